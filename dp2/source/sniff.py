"""What a file is, told from its first bytes, so that a wrong name deceives nobody."""

from __future__ import annotations

import re
import stat
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"}
    | {".png", ".tif", ".tiff", ".webp"}
)
# TIFF containers whose first picture is a small preview; the photo itself has to be developed.
RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".nef", ".nrw", ".pef", ".rwl"}
    | {".sr2", ".srf", ".srw"}
)

_HEAD = 4096
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_TEXT_MARKS = re.compile(rb"\A(\xef\xbb\xbf|\xff\xfe|\xfe\xff)|\0")  # byte order marks, and what UTF-16 fills up with
_REFERRING = (b"ffconcat", b"#extm3u", b"[playlist]", b"[reference]", b"v=0", b"rtsptext", b"smiltext")
_REFERRING_XML = (b"<mpd", b"<asx", b"<smil", b"<playlist", b"<smoothstreamingmedia", b"<manifest", b"<assetmap")
_NOT_IN_TEXT = frozenset(range(32)) - frozenset(b"\t\n\f\r\x1b")
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def image_format(head: bytes) -> str | None:
    """The format that these first bytes of a file announce.

    Returns:
        JPEG, PNG, WEBP, TIFF, BMP, GIF, AVIF or HEIF; None for anything else.
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return _isobmff_format(head)


def is_image(path: Path) -> bool:
    """Whether a file's content is a picture that dp2 reads, animations included. False if it cannot be opened."""
    return path.suffix.lower() not in RAW_SUFFIXES and image_format(read_head(path)) is not None


def is_animation(path: Path) -> bool:
    """Whether a file is a GIF or WebP of more than one frame."""
    head = read_head(path)
    kind = image_format(head)
    if kind == "WEBP":
        return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 0x02)
    return kind == "GIF" and _gif_has_second_frame(path)


def names_other_files(head: bytes) -> bool:
    """Whether a file begins like a text that tells a player to open others: ffconcat, playlists, manifests, SDP."""
    text = _TEXT_MARKS.sub(b"", head).lstrip().lower()
    return text.startswith(_REFERRING) or any(mark in text[:1024] for mark in _REFERRING_XML)


def is_text(head: bytes) -> bool:
    """Whether these first bytes of a file can be text in UTF-8, ASCII or an encoding like it."""
    return bool(head) and not set(head) & _NOT_IN_TEXT


def read_head(path: Path) -> bytes:
    """The first bytes of a regular file; empty if there are none to be had."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe or a device could wait for ever
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError:
        return b""


def _isobmff_format(head: bytes) -> str | None:
    """AVIF and HEIF are told apart by the brands of their first box (ISO/IEC 14496-12, `ftyp`)."""
    if head[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size, 4))]
    if not {brands[0]} & (_AVIF_BRANDS | _HEIF_BRANDS):
        return None
    return "AVIF" if _AVIF_BRANDS & set(brands) and brands[0] in _AVIF_BRANDS | {b"mif1", b"msf1"} else "HEIF"


def _gif_has_second_frame(path: Path) -> bool:
    from PIL import GifImagePlugin

    try:
        with path.open("rb") as file, GifImagePlugin.GifImageFile(file) as gif:
            return bool(gif.is_animated)
    except Exception:  # Pillow raises nearly anything on damaged files; whoever reads it says what is wrong
        return False
