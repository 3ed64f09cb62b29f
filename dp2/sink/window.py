"""A window for pictures: OpenCV's where it was built with one, else Tk's, which comes with most Pythons."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Protocol

from dp2.errors import DisplayError
from dp2.types import Image

ESCAPE = 27
_NO_WINDOW = "no window can be opened: this OpenCV has none, and Python lacks tkinter; install it (Debian: python3-tk)"


class Window(Protocol):
    """An open window; only the thread that opened it may use it."""

    def show(self, image: Image) -> None:
        """Show (H, W, 3) uint8 RGB, fitted into the window."""

    def key(self, wait: int) -> int | None:
        """The code of a key that was pressed within `wait` ms, at least 1; None = none was."""

    def place(self, size: tuple[int, int] | None, corner: tuple[int, int] | None) -> None:
        """Set the size (width, height) and the place (x, y) of the window in pixels; None = leave as it is."""

    @property
    def is_open(self) -> bool:
        """Whether the user has not closed it."""

    def close(self) -> None:
        """Take it off the screen; may be called twice."""


def check_display(remedy: str = "run without --preview") -> None:
    """Raise `DisplayError` where no window can be shown.

    Args:
        remedy: what to do without one, for the message.
    """
    # OpenCV's Qt ends the whole process where it finds no display, so look before it does.
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise DisplayError(f"there is no display for a preview window; {remedy}, or set DISPLAY.")


def open_window(title: str) -> Window:
    """Open a window.

    Raises:
        DisplayError: there is no display, or nothing here that can open a window on it.
    """
    check_display()
    try:
        return OpenCvWindow(title)
    except DisplayError:
        return TkWindow(title)


class OpenCvWindow:
    """A `Window`, by opencv-python; the headless package has none.

    Raises:
        DisplayError: this OpenCV was built without windows.
    """

    def __init__(self, title: str) -> None:
        import cv2

        self._cv2: Any = cv2
        self._title = title
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL)
        except cv2.error as error:
            raise DisplayError("this OpenCV opens no windows.") from error

    def show(self, image: Image) -> None:
        """See `Window`."""
        self._cv2.imshow(self._title, self._cv2.cvtColor(image, self._cv2.COLOR_RGB2BGR))

    def key(self, wait: int) -> int | None:
        """See `Window`."""
        code = self._cv2.waitKey(wait)
        return None if code < 0 else code & 0xFF

    def place(self, size: tuple[int, int] | None, corner: tuple[int, int] | None) -> None:
        """See `Window`."""
        if size is not None:
            self._cv2.resizeWindow(self._title, *size)
        if corner is not None:
            self._cv2.moveWindow(self._title, *corner)

    @property
    def is_open(self) -> bool:
        """See `Window`."""
        return bool(self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) >= 1)

    def close(self) -> None:
        """See `Window`."""
        self._cv2.destroyWindow(self._title)
        self._cv2.waitKey(1)  # the window goes only when its events are handled


class TkWindow:
    """A `Window`, by tkinter and Pillow.

    Raises:
        DisplayError: this Python has no tkinter, or there is no display.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise DisplayError(f"{_NO_WINDOW}, or run without a preview.") from error
        try:
            self._root = tkinter.Tk(className="dp2")
        except tkinter.TclError as error:
            raise DisplayError(f"there is no display for a preview window ({error}); run without --preview.") from error
        self._root.title(title)
        self._label = tkinter.Label(self._root, borderwidth=0, background="black")
        self._label.pack(expand=True, fill="both")
        self._keys: list[int] = []
        self._open = True
        self._sized = False
        self._shown: Any = None  # Tk does not keep the picture that it shows
        self._root.bind("<Key>", lambda event: self._keys.append(ord(event.char) if len(event.char) == 1 else 0))
        self._root.protocol("WM_DELETE_WINDOW", self.close)

    def show(self, image: Image) -> None:
        """See `Window`."""
        from PIL import Image as Pil
        from PIL import ImageTk

        if not self._open:
            return
        picture = Pil.fromarray(image)
        if not self._sized:
            self.place(self._fitting(picture.size), None)
        self._root.update()
        if not self._open:  # the update may have brought the click that closes it
            return
        room = max(self._root.winfo_width(), 1), max(self._root.winfo_height(), 1)
        factor = min(room[0] / picture.width, room[1] / picture.height)
        size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
        if size != picture.size:
            picture = picture.resize(size, Pil.Resampling.BILINEAR)
        self._shown = ImageTk.PhotoImage(picture, master=self._root)
        self._label.configure(image=self._shown)
        self._root.update()

    def key(self, wait: int) -> int | None:
        """See `Window`."""
        if not self._open:
            return None
        self._root.update()
        if self._open and not self._keys and wait > 1:
            time.sleep(wait / 1000)
            self._root.update()
        return self._keys.pop(0) if self._keys else None

    def place(self, size: tuple[int, int] | None, corner: tuple[int, int] | None) -> None:
        """See `Window`."""
        if size is not None:
            self._root.geometry(f"{size[0]}x{size[1]}")
            self._sized = True
        if corner is not None:
            self._root.geometry(f"+{corner[0]}+{corner[1]}")

    @property
    def is_open(self) -> bool:
        """See `Window`."""
        return self._open

    def close(self) -> None:
        """See `Window`."""
        if self._open:
            self._open = False
            self._shown = None
            self._root.destroy()

    def _fitting(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size of a picture, shrunk into nine tenths of the screen."""
        screen = self._root.winfo_screenwidth(), self._root.winfo_screenheight()
        factor = min(1.0, *(0.9 * room / side for room, side in zip(screen, size, strict=True)))
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
