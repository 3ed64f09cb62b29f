"""Takes from a photo file what may be written again, without what shows or turns the original."""

from __future__ import annotations

import re
from typing import Any

from PIL import ExifTags, Image

from dp2.types import Metadata

# Of the first directory only what describes; all else lays out the file, or may hold previews and layers.
_DESCRIBING = (
    ExifTags.Base.DocumentName,
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.XResolution,
    ExifTags.Base.YResolution,
    ExifTags.Base.ResolutionUnit,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Rating,
    ExifTags.Base.Copyright,
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPAuthor,
    ExifTags.Base.XPKeywords,
    ExifTags.Base.XPSubject,
)
# Maker notes are opaque and often hold previews; the sizes are no longer true once the picture is turned or scaled.
_UNWANTED = {
    ExifTags.Base.MakerNote,
    ExifTags.Base.ExifImageWidth,
    ExifTags.Base.ExifImageHeight,
    ExifTags.Base.ExifInteroperabilityOffset,
}
_HEADER = b"Exif\0\0"
_RAW_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|ftyp(?:heic|avif|mif1)", re.DOTALL)
# Pictures in text: the beginnings of JPEG, PNG and WebP in base 64 and of JPEG in hexadecimal, or any long run of it.
_TEXT_PICTURE = re.compile(rb"/9j/|iVBORw0KGgo|UklGR|ffd8ff|[A-Za-z0-9+/]{200}", re.IGNORECASE)
_THUMBNAILS = re.compile(rb"<(\w+):Thumbnails\b.*?</\1:Thumbnails\s*>", re.DOTALL)
_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|\s*>\s*))\d+")


def read_metadata(picture: Image.Image) -> Metadata:
    """The metadata of a loaded picture, cleaned.

    Anything in which a picture is or could be hidden is left out: thumbnails, previews, maker notes, embedded files.
    What was left out or could not be read is named in `Metadata.lost`.
    """
    parts: dict[str, Any] = {}
    lost = []
    for name, read in (("exif", _exif), ("xmp", _xmp), ("comment", _comment), ("text", _text)):
        try:
            parts[name] = read(picture)
        except Exception:  # damaged metadata raises nearly anything in Pillow, and never is a reason to lose a photo
            lost.append(name)
    return Metadata(**parts, lost=tuple(lost))


class _HoldsPictureError(ValueError):
    """Found a picture where only words should be."""


def _exif(picture: Image.Image) -> bytes | None:
    source = picture.getexif()
    clean = Image.Exif()
    for tag in _DESCRIBING:
        if tag in source:
            clean[tag] = source[tag]
    photo = {tag: value for tag, value in source.get_ifd(ExifTags.IFD.Exif).items() if tag not in _UNWANTED}
    position = dict(source.get_ifd(ExifTags.IFD.GPSInfo))
    if photo:
        clean[ExifTags.IFD.Exif] = photo
    if position:
        clean[ExifTags.IFD.GPSInfo] = position
    if not len(clean):
        return None
    clean[ExifTags.Base.Orientation] = 1
    written = clean.tobytes()
    if _RAW_PICTURE.search(written):
        raise _HoldsPictureError
    return written if written.startswith(_HEADER) else _HEADER + written


def _xmp(picture: Image.Image) -> bytes | None:
    packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    if isinstance(packet, tuple):
        packet = b"".join(packet)
    if not packet:
        return None
    if isinstance(packet, str):
        packet = packet.encode()
    packet = packet.rstrip(b"\0")
    packet = _THUMBNAILS.sub(b"", packet)
    packet = _ORIENTATION.sub(rb"\g<1>1", packet)
    # A zero byte means UTF-16, in which nothing above was searched.
    if b"\0" in packet or _TEXT_PICTURE.search(packet):
        raise _HoldsPictureError
    return bytes(packet)


def _comment(picture: Image.Image) -> bytes | None:
    comment = picture.info.get("comment")
    if not comment:
        return None
    comment = comment if isinstance(comment, bytes) else str(comment).encode()
    if _RAW_PICTURE.search(comment) or _TEXT_PICTURE.search(comment):
        raise _HoldsPictureError
    return bytes(comment)


def _text(picture: Image.Image) -> tuple[tuple[str, str], ...]:
    texts = []
    for key, value in getattr(picture, "text", {}).items():
        if key == "XML:com.adobe.xmp" or key.startswith("Raw profile type"):  # XMP is kept as such; EXIF in hex
            continue
        if not _TEXT_PICTURE.search(str(value).encode()):
            texts.append((str(key), str(value)))
    return tuple(texts)
