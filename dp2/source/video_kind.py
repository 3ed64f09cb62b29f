"""Tells from the first bytes of a file whether it is a video or an animation."""

from __future__ import annotations

from pathlib import Path

from dp2.source.motion_jpeg import is_motion_jpeg
from dp2.source.sniff import is_animation, read_head

VIDEO_SUFFIXES = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".asf", ".avc", ".avi", ".dif", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265"}
    | {".hevc", ".ivf", ".m1v", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjp2", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4"}
    | {".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vc1"}
    | {".vob", ".webm", ".wmv", ".y4m"}
)
ANIMATION_SUFFIXES = frozenset({".gif", ".webp"})

_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_PICTURES_AND_SOUND = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif", b"M4A ", b"M4B ", b"crx "}
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*")
_STARTS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"FLV",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x06\x0e\x2b\x34",  # MXF
    b"YUV4MPEG2",
    b"DKIF",  # IVF
    b".RMF",
    b"nut/multimedia",
    b"\x1f\x07\x00",  # DV: the header section of the first sequence (IEC 61834-2)
)


def is_video(path: Path, suffix: str | None = None) -> bool:
    """Whether a file is a video or an animation of several frames.

    The content decides. A file that cannot be read or whose content is not known counts by its name, so that whoever
    opens it gets to say what is wrong with it; a GIF or WebP of one frame is a picture. JPEG pictures one after the
    other are a video under a video's name.

    Args:
        path: the file.
        suffix: of the name that it had; by default that of `path`.
    """
    suffix = (path.suffix if suffix is None else suffix).lower()
    head = read_head(path)
    if head.startswith(b"GIF8") or head[8:12] == b"WEBP":
        return is_animation(path)
    if suffix in VIDEO_SUFFIXES and is_motion_jpeg(path):
        return True
    if head[4:12] in {b"ftyp" + brand for brand in _PICTURES_AND_SOUND} or head.startswith(_PICTURES):
        return False
    return _is_container(head) or suffix in VIDEO_SUFFIXES


def _is_container(head: bytes) -> bool:
    if head[4:8] == b"jP  ":  # a family of JPEG 2000; Motion JPEG 2000 says so in the box that follows
        return head[16:24] == b"ftypmjp2"
    if head.startswith(b"OggS"):
        return b"theora" in head or b"\x01video" in head
    return head[4:8] in _BOXES or head.startswith(_STARTS) or head[8:12] == b"AVI " or _is_transport_stream(head)


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes that start alike, in M2TS after 4 bytes of their own (ISO/IEC 13818-1, 2.4.3)."""
    return any(head[first::size][:4] == b"\x47" * 4 for first, size in ((0, 188), (4, 192)))
