"""The window of `output.screen`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import cv2

from dp2.errors import DisplayError
from dp2.peekingduck import nodes
from dp2.sink.preview import Preview
from dp2.types import Image

_WAIT = 50  # ms


class Screen:
    """A window of the size and at the place that the node asks for."""

    def __init__(self, preview: Preview, node: nodes.Screen) -> None:
        self._preview = preview
        self._name = node.window_name
        if node.window_size.do_resizing:
            cv2.resizeWindow(self._name, node.window_size.width, node.window_size.height)
        if (node.window_loc.x, node.window_loc.y) != (0, 0):
            cv2.moveWindow(self._name, node.window_loc.x, node.window_loc.y)

    def show(self, image: Image) -> None:
        """Show (H, W, 3) uint8 RGB.

        Raises:
            KeyboardInterrupt: the user pressed q or Escape.
        """
        self._preview.show(image)

    def hold(self) -> None:
        """Wait for a key, or until the window is closed."""
        while cv2.waitKey(_WAIT) < 0 and cv2.getWindowProperty(self._name, cv2.WND_PROP_VISIBLE) >= 1:
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
