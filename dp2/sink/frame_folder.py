"""Writes frames as PNG files into a folder, with a manifest of their exact times."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from dp2.errors import OutputError
from dp2.media.frame_manifest import MANIFEST, FrameEntry, FrameManifest
from dp2.media.video_info import VideoInfo
from dp2.sink.atomic import atomic_path, output_error, PendingFile
from dp2.frame_manifest import MANIFEST, FrameEntry, FrameManifest
from dp2.sink.parts import is_abandoned, parts_in, remove_part
from dp2.types import Frame, Image

_FRAME = re.compile(r"frame_\d{10}\.png", re.ASCII)
_COMPRESSION = 1  # of 9: a third larger than with the default, and several times as fast


class FrameFolderSink:
    """A `Sink` of PNG files `frame_0000000001.png`, …

    They lie in the folder from the start: original frames belong nowhere but where they were asked for. The manifest,
    which makes it a folder of frames, comes last; until then its unfinished file marks the folder as being filled.
    What a killed process left in the folder is removed by the next one.

    Args:
        path: the folder; it may exist if it is empty.
        info: of the source.

    Raises:
        OutputError: the folder holds something, another process fills it, or it cannot be made.
    """

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self._path = path
        self._info = info
        self._entries: list[FrameEntry] = []
        self._existed = path.is_dir()
        try:
            _clear_abandoned(path)
            if os.path.lexists(path) and (not path.is_dir() or any(path.iterdir())):
                raise OutputError(f"{path}: exists and is no empty folder; name another one. Nothing was written.")
        except OSError as error:
            raise output_error(error, path) from error
        self._manifest = PendingFile(path / MANIFEST, overwrite=False)

    def write(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            OutputError: the disk is full, or the folder cannot be written to.
        """
        entry = FrameEntry(f"frame_{len(self._entries) + 1:010}.png", frame.time, frame.duration)
        self._entries.append(entry)
        try:
            (self._path / entry.name).write_bytes(encode_png(frame.image))
        except OSError as error:
            raise output_error(error, self._path) from error

    def finish(self) -> None:
        """Write the manifest, which makes it a folder of frames.

        Raises:
            OutputError: there was no frame, or the folder cannot be written; nothing is left.
        """
        try:
            if not self._entries:
                raise OutputError(f"{self._path}: there was no frame to write. Nothing was written.")
            manifest = FrameManifest(replace(self._info, frames=len(self._entries)), tuple(self._entries))
            self._manifest.temporary.write_text(manifest.dumps(), encoding="utf-8")
            self._manifest.commit()
        except OSError as error:
            self.discard()
            raise output_error(error, self._path) from error
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Leave nothing."""
        for entry in self._entries:
            with suppress(OSError):
                (self._path / entry.name).unlink(missing_ok=True)
        self._manifest.discard()
        if not self._existed:
            with suppress(OSError):  # somebody put something else there
                self._path.rmdir()


def _clear_abandoned(folder: Path) -> None:
    """Empty a folder that holds nothing but the frames of a process that was killed while it filled it."""
    marks = [part for part in parts_in(folder) if _is_mark(part)]
    if not marks:
        return
    frames = [path for path in folder.iterdir() if path not in marks]
    if not all(_FRAME.fullmatch(path.name) for path in frames):
        return
    # The frames go first: as long as the mark is there, a process that is killed in between can be followed up.
    if not all(is_abandoned(mark) for mark in marks):
        raise OutputError(f"{folder}: is being filled by another process; wait for it, or name another folder.")
    for frame in frames:
        frame.unlink()
    for mark in marks:
        remove_part(mark)


def _is_mark(part: Path) -> bool:
    stem, _, suffix = MANIFEST.partition(".")
    return part.name.startswith(f".{stem}.") and part.name.endswith(f".part.{suffix}")


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
