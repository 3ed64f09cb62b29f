"""The preview window on a virtual screen, looked at from outside; skipped where there is no Xvfb."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import ImageGrab

from dp2.errors import DisplayError
from dp2.sink.preview import Preview
from dp2.sink.window import TkWindow, open_window

WIDTH, HEIGHT = 320, 240
needs_tk = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import tkinter"], capture_output=True, check=False).returncode != 0,
    reason="this Python has no tkinter",
)


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """Name of a virtual display."""
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no Xvfb; apt-get install xvfb")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        yield f":{number}"
        server.terminate()


@pytest.fixture
def display(screen: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DISPLAY", screen)
    return screen


@pytest.fixture
def picture() -> np.ndarray:
    """Red, and blue in the lower half."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[: HEIGHT // 2, :, 0] = 250
    image[HEIGHT // 2 :, :, 2] = 250
    return image


def on_screen(display: str) -> np.ndarray:
    return np.asarray(ImageGrab.grab(xdisplay=display).convert("RGB"))


def typed(display: str, key: str) -> None:
    """Press a key with the pointer over the window; without a window manager that is where keys go."""
    if shutil.which("xdotool") is None:
        pytest.skip("there is no xdotool; apt-get install xdotool")
    command = ["xdotool", "mousemove", "60", "60", "key", key]
    subprocess.run(command, env={**os.environ, "DISPLAY": display}, check=True, timeout=60)


def shown_for(preview: Preview, picture: np.ndarray, times: int) -> None:
    for _ in range(times):
        preview.show(picture)
        time.sleep(0.05)


@needs_tk
def test_tk_shows_the_picture_in_its_colours_and_at_its_size(display: str, picture: np.ndarray) -> None:
    window = TkWindow("dp2")
    try:
        window.place(None, (10, 20))
        for _ in range(5):  # the first picture may come before the window
            window.show(picture)
            time.sleep(0.05)
        seen = on_screen(display)
    finally:
        window.close()
    red, blue = (seen[..., 0] > 200) & (seen[..., 2] < 50), (seen[..., 2] > 200) & (seen[..., 0] < 50)
    assert red.sum() == blue.sum() == WIDTH * HEIGHT // 2
    assert np.argwhere(red).min(axis=0).tolist() == [20, 10]
    assert np.argwhere(blue).min(axis=0).tolist() == [20 + HEIGHT // 2, 10]


@needs_tk
def test_tk_fits_the_picture_into_the_size_that_is_asked_for(display: str, picture: np.ndarray) -> None:
    window = TkWindow("dp2")
    try:
        window.place((160, 200), (0, 0))
        for _ in range(5):
            window.show(picture)
            time.sleep(0.05)
        coloured = (on_screen(display).max(axis=2) > 200).sum()
    finally:
        window.close()
    assert coloured == pytest.approx(160 * 120, rel=0.05)


@needs_tk
@pytest.mark.parametrize("key", ["q", "Escape"])
def test_q_and_escape_end_the_run(key: str, display: str, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dp2.sink.preview.open_window", TkWindow)
    with Preview("dp2") as preview:
        for _ in range(5):
            preview.show(picture)
            time.sleep(0.05)
        typed(display, "a")  # any other key does not
        preview.show(picture)
        typed(display, key)
        with pytest.raises(KeyboardInterrupt):
            shown_for(preview, picture, times=40)


@needs_tk
def test_a_closed_window_takes_pictures_without_an_error(display: str, picture: np.ndarray) -> None:
    window = TkWindow("dp2")
    window.show(picture)
    assert window.is_open
    window.close()
    window.show(picture)
    assert window.key(1) is None
    assert not window.is_open


@needs_tk
def test_opencv_without_windows_gives_way_to_tk(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise cv2.error("The function is not implemented. Rebuild the library with GTK+ support.")

    monkeypatch.setattr(cv2, "namedWindow", refuses)
    window = open_window("dp2")
    assert isinstance(window, TkWindow)
    window.close()


def test_without_a_display_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if not sys.platform.startswith("linux"):
        pytest.skip("elsewhere there always is one")
    with pytest.raises(DisplayError, match="without --preview"):
        Preview("dp2")


def test_without_tkinter_the_error_says_what_to_install(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(DisplayError, match="python3-tk"):
        TkWindow("dp2")
