"""Reads a camera or a network stream; whoever is slow gets the newest frame, not an old one."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import av
import cv2
import numpy as np

from dp2.errors import UnreadableMedia
from dp2.media.video_info import RGB_MATRIX, Colour, VideoInfo
from dp2.source.video import VideoSource, limited_size
from dp2.types import Frame, Image

_PATIENCE = 10.0  # seconds to wait for a frame before a camera counts as gone
_NANOSECOND = Fraction(1, 1_000_000_000)
Pictures = Iterator[Image]


class CameraSource:
    """Live frames, (H, W, 3) uint8 RGB, timed by when they arrived, the first at 0.

    A thread reads without pause and keeps only the newest frame, so a slow consumer skips frames instead of falling
    behind. Ends when the stream ends; `close` (or leaving a `with`) stops it.

    Args:
        device: "0" or "<video0>" or "cam" for a camera by number, "/dev/video0", an rtsp:// or other URL; a file:// URL
            is played at its own speed.
        max_res: scale down so that no side is longer.

    Attributes:
        info: size and rate, as far as the device tells.
        live: True: frames that are not taken in time are lost.

    Raises:
        UnreadableMedia: from the constructor, if there is no such camera or no frame comes; while iterating, if it
            stops delivering.
    """

    live = True

    def __init__(self, device: str = "0", *, max_res: int | None = None) -> None:
        self._name = without_password(device)
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._newest: tuple[Image, int] | None = None
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(
            target=self._read, args=(_reader(device, self._stop, self._name), max_res), name="dp2-camera", daemon=True
        )
        self._thread.start()
        first = self._wait(-1)
        if first is None:
            self.close()
            raise UnreadableMedia(f"{self._name}: delivers no frame; check that it is connected.")
        self._began = first[1]
        height, width = first[0].shape[:2]
        self.info = VideoInfo(
            path=Path(self._name),
            width=width,
            height=height,
            average_rate=Fraction(30),
            time_base=Fraction(1, 90_000),
            colour=Colour(matrix=RGB_MATRIX),
            coded_height=height,
        )
        self.notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Frame]:
        index, seen = 0, -1
        while (newest := self._wait(seen)) is not None:
            image, seen = newest
            yield Frame(image, index, (seen - self._began) * _NANOSECOND)
            index += 1

    def __enter__(self) -> CameraSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading and let go of the camera."""
        self._stop.set()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(timeout=_PATIENCE)

    def _wait(self, seen: int) -> tuple[Image, int] | None:
        """The newest frame, once it is newer than `seen`; None at the end."""

        def ready() -> bool:
            return self._ended or (self._newest is not None and self._newest[1] > seen)

        with self._changed:
            if not self._changed.wait_for(ready, timeout=_PATIENCE):
                raise UnreadableMedia(f"{self._name}: no frame for {_PATIENCE:g} s; check the connection.")
            if self._newest is not None and self._newest[1] > seen:
                return self._newest
        if self._error is not None:
            raise self._error
        return None

    def _read(self, open_reader: Callable[[], Pictures], max_res: int | None) -> None:
        try:
            for image in open_reader():
                small = _fit(image, max_res)
                with self._changed:
                    self._newest = small, time.monotonic_ns()
                    self._changed.notify_all()
                if self._stop.is_set():
                    break
        except Exception as error:  # raised again by whoever waits for a frame
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


def without_password(device: str) -> str:
    """A camera's name for messages: user and password in a URL are not shown."""
    return re.sub(r"//[^/?#]*@", "//", device)


def _reader(device: str, stop: threading.Event, name: str) -> Callable[[], Pictures]:
    if device.startswith("file:"):
        return lambda: _played(Path(unquote(urlsplit(device).path)), stop)
    if "://" in device:
        return lambda: _streamed(device, name)
    number = re.fullmatch(r"(?:<video)?(\d+)>?", "0" if device == "cam" else device)
    return lambda: _captured(int(number[1]) if number else device, name)


def _captured(device: int | str, name: str) -> Pictures:
    """Frames of a local camera by OpenCV, which numbers cameras alike on every system."""
    if sys.platform == "linux":
        path = Path(f"/dev/video{device}" if isinstance(device, int) else device)
        if not path.exists():  # OpenCV would try every backend and print what each thinks
            raise UnreadableMedia(f"{name}: there is no camera {path}; connect one or give its number or URL.")
    capture = cv2.VideoCapture(device)
    try:
        if not capture.isOpened():
            raise UnreadableMedia(f"{name}: this camera cannot be opened; check that no other program uses it.")
        while True:
            whole, image = capture.read()
            if not whole:
                raise UnreadableMedia(f"{name}: the camera stopped delivering frames; check its connection.")
            yield np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    finally:
        capture.release()


def _streamed(url: str, name: str) -> Pictures:
    """Frames of a network stream; damaged ones are left out until the next whole one."""
    options = {"rtsp_transport": "tcp"} if url.startswith("rtsp") else {}
    try:
        container = av.open(url, container_options=options, timeout=_PATIENCE)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UnreadableMedia(f"{name}: cannot be opened ({reason}); check the address and the network.") from None
    with container:
        if not container.streams.video:
            raise UnreadableMedia(f"{name}: this stream carries no video.")
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # frame threads would hold frames back
        packets = container.demux(stream)
        while (packet := _next_packet(packets, name)) is not None:
            yield from _decoded(stream, packet)


def _next_packet(packets: Any, name: str) -> Any:
    try:
        return next(packets, None)
    except av.FFmpegError as error:
        raise UnreadableMedia(f"{name}: the stream broke off ({error.strerror}); check the network.") from None


def _decoded(stream: Any, packet: Any) -> Pictures:
    try:
        frames = stream.decode(packet)
    except av.FFmpegError:
        return
    for frame in frames:
        if not frame.is_corrupt:
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _played(path: Path, stop: threading.Event) -> Pictures:
    began = time.monotonic()
    for frame in VideoSource(path):
        stop.wait(max(0.0, began + float(frame.time) - time.monotonic()))
        yield frame.image


def _fit(image: Image, max_res: int | None) -> Image:
    height, width = image.shape[:2]
    size = limited_size(width, height, max_res)
    if size == (width, height):
        return np.ascontiguousarray(image)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
