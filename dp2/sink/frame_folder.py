"""Writes frames as PNG files into a folder, with a manifest of their exact times."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from dp2.errors import OutputError
from dp2.media.frame_manifest import MANIFEST, FrameEntry, FrameManifest
from dp2.media.video_info import VideoInfo
from dp2.sink.atomic import atomic_path, output_error
from dp2.types import Frame, Image

_COMPRESSION = 1  # of 9: a third larger than with the default, and several times as fast


class FrameFolderSink:
    """A `Sink` of PNG files `frame_0000000001.png`, … Only `finish` makes the folder visible, with its manifest.

    Args:
        path: the folder; it may exist if it is empty.
        info: of the source.

    Raises:
        OutputError: the folder holds something, or cannot be made.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self._path = path
        self._info = info
        self._entries: list[FrameEntry] = []
        self._part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}.part")
        try:
            if os.path.lexists(path) and (not path.is_dir() or any(path.iterdir())):
                raise OutputError(f"{path}: exists and is no empty folder; name another one. Nothing was written.")
            self._part.mkdir(parents=True)
        except OSError as error:
            raise output_error(error, path) from error

    def write(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            OutputError: the disk is full, or the folder cannot be written to.
        """
        entry = FrameEntry(f"frame_{len(self._entries) + 1:010}.png", frame.time, frame.duration)
        try:
            (self._part / entry.name).write_bytes(encode_png(frame.image))
        except OSError as error:
            raise output_error(error, self._path) from error
        self._entries.append(entry)

    def finish(self) -> None:
        """Write the manifest and give the folder its name.

        Raises:
            OutputError: there was no frame, or the folder cannot be written; nothing is left.
        """
        try:
            if not self._entries:
                raise OutputError(f"{self._path}: there was no frame to write. Nothing was written.")
            manifest = FrameManifest(replace(self._info, frames=len(self._entries)), tuple(self._entries))
            (self._part / MANIFEST).write_text(manifest.dumps(), encoding="utf-8")
            if self._path.is_dir():
                self._path.rmdir()  # empty; Windows does not rename onto it
            self._part.rename(self._path)
        except OSError as error:
            self.discard()
            raise output_error(error, self._path) from error
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self._part, ignore_errors=True)


def write_frame(path: Path, image: Image) -> None:
    """One (H, W, 3) uint8 RGB frame as a PNG without metadata, in place of an earlier one.

    Raises:
        OutputError: it cannot be written; nothing new is left.
    """
    with atomic_path(path, overwrite=True) as part:
        part.write_bytes(encode_png(image))


def encode_png(image: Image) -> bytes:
    """(H, W, 3) uint8 RGB as the bytes of a PNG without metadata."""
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    whole, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
    if not whole:
        raise OutputError("a frame cannot be encoded as PNG.")
    return bytes(data)
