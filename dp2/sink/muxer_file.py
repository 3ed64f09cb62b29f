"""The file into which FFmpeg writes a video."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import av
from av.container import OutputContainer

_AVIO_FLAG_WRITE = 2


class MuxerFile:
    """A file that FFmpeg writes by way of Python: its name is nothing that FFmpeg could take for a URL, and a full disk
    is no matter of FFmpeg's muxers, which give up on it in many ways.

    After the first failure, writing goes on into nothing; `check` tells the failure.

    Args:
        path: of an empty file.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb+", buffering=0)
        self._error: OSError | None = None

    def open_container(self, muxer: str, options: Mapping[str, str]) -> OutputContainer:
        """FFmpeg's muxer on this file.

        Raises:
            av.FFmpegError: there is no such muxer, or it does not start.
        """
        return av.open(self, "w", format=muxer, container_options=dict(options), io_open=self._reopen)

    def check(self) -> None:
        """Raise the `OSError` with which writing failed, if it did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """After the container. Harmless a second time."""
        self._file.close()

    def write(self, data: bytes) -> int:
        """All of it, or into nothing."""
        left = memoryview(data)
        try:
            while left and self._error is None:
                left = left[self._file.write(left) :]  # near the end of a disk it takes a part
        except OSError as error:
            self._error = error
        return len(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def _reopen(self, url: str, flags: int, _: Mapping[str, str]) -> io.FileIO:
        """MP4 reads what it wrote, to put its index in front. Whatever a muxer asks for, nothing else is opened."""
        if flags & _AVIO_FLAG_WRITE:
            raise PermissionError(f"{self._path}: FFmpeg may not write {url!r}")
        return self._path.open("rb", buffering=0)
