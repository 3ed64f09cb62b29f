"""Reads a folder of frames as the video that it was made of."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Pil

from dp2.errors import UnreadableMedia
from dp2.media.frame_manifest import FrameManifest, read_manifest
from dp2.media.video_info import VideoInfo
from dp2.types import Frame, Image

_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk of every PNG (ISO/IEC 15948, 11.2.5)


class FrameFolderSource:
    """The frames that a manifest names, (H, W, 3) uint8 RGB, with their exact times. Can be iterated repeatedly.

    Args:
        folder: with a manifest.
        manifest: in place of the folder's own, e.g. one at another rate.

    Raises:
        UnreadableMedia: from the constructor, if there is no manifest or frames are missing; while iterating, at the
            first frame that cannot be read whole.
    """

    def __init__(self, folder: Path, manifest: FrameManifest | None = None) -> None:
        self._folder = folder
        self._manifest = manifest or read_manifest(folder)
        self.info: VideoInfo = self._manifest.info
        missing = [entry.name for entry in self._manifest.frames if not is_whole_png(folder / entry.name)]
        if missing:
            some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise UnreadableMedia(
                f"{folder}: {len(missing)} of {len(self._manifest.frames)} frames are missing or cut off ({some}); "
                "anonymize the folder again, which does just those. Nothing was written."
            )

    def __iter__(self) -> Iterator[Frame]:
        for index, entry in enumerate(self._manifest.frames):
            image, _ = read_frame(self._folder / entry.name, self.info)
            yield Frame(image, index, entry.time, entry.duration)


def read_frame(path: Path, info: VideoInfo) -> tuple[Image, str]:
    """One frame of a folder.

    Args:
        path: a PNG.
        info: of the folder: the frame must have its size.

    Returns:
        (H, W, 3) uint8 RGB, and the SHA-256 of the file in hexadecimal.

    Raises:
        UnreadableMedia: it is missing, damaged, no PNG, or of another size.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        with Pil.open(io.BytesIO(data), formats=("PNG",)) as picture:
            size = picture.size
            if size == (info.width, info.height):  # checked before the pixels are unpacked
                image = np.array(picture.convert("RGB"))
                return image, hashlib.sha256(data).hexdigest()
    except (OSError, SyntaxError, ValueError, Pil.DecompressionBombError) as error:
        raise UnreadableMedia(f"{path}: is damaged or no PNG; split the video again.") from error
    raise UnreadableMedia(f"{path}: is {size[0]}x{size[1]}, the video {info.width}x{info.height}.")


def is_whole_png(path: Path) -> bool:
    """Whether a file is there and ends as a PNG does; its pixels are not looked at."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_END), 2)
            return file.read() == _END
    except OSError:  # also a file that is shorter
        return False
