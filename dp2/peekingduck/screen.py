"""The window of `output.screen`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dp2.errors import DisplayError
from dp2.peekingduck import nodes
from dp2.sink.preview import Preview
from dp2.types import Image

_WAIT = 50  # ms


class Screen:
    """A window of the size and at the place that the node asks for."""

    def __init__(self, preview: Preview, node: nodes.Screen) -> None:
        self._preview = preview
        size, corner = node.window_size, (node.window_loc.x, node.window_loc.y)
        if size.do_resizing:
            preview.window.place((size.width, size.height), None)
        if corner != (0, 0):
            preview.window.place(None, corner)

    def show(self, image: Image) -> None:
        """Show (H, W, 3) uint8 RGB.

        Raises:
            KeyboardInterrupt: the user pressed q or Escape.
        """
        self._preview.show(image)

    def hold(self) -> None:
        """Wait for a key, or until the window is closed."""
        window = self._preview.window
        while window.is_open and window.key(_WAIT) is None:
            pass


@contextlib.contextmanager
def open_screen(node: nodes.Screen) -> Iterator[Screen]:
    """The window, as long as the block lasts.

    Raises:
        DisplayError: it cannot be opened.
    """
    try:
        preview = Preview(node.window_name)
    except DisplayError as error:
        raise DisplayError(
            "output.screen: there is no display for its window; set DISPLAY, or write to a file: -o FILE, or the node "
            "output.media_writer."
        ) from error
    with preview:
        yield Screen(preview, node)
