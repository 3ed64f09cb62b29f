"""Reads a photo file of any kind into upright RGB, and says what was lost on the way."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import IO, Any

from PIL import ExifTags, ImageOps, JpegImagePlugin
from PIL import Image as Pil

from dp2.errors import MediaError, UnreadableMedia, UnsupportedMedia, one_line
from dp2.source.big_tiff import classic_tiff, is_big_endian_bigtiff
from dp2.source.colour import cut, to_rgb
from dp2.source.crop_box import crop_box
from dp2.source.metadata import read_metadata
from dp2.source.sniff import IMAGE_SUFFIXES, RAW_SUFFIXES, image_format, is_image
from dp2.types import JpegCoding, Picture

__all__ = ["IMAGE_SUFFIXES", "MAX_PIXELS", "is_image", "read_image"]

MAX_PIXELS = 210_000_000  # what telephones of 200 Mpx make; each pixel takes about ten bytes of memory

_MARKER = re.compile(rb"\xff+([^\0\xd0-\xd7\xff])", re.DOTALL)  # in entropy-coded data: not stuffing, not a restart
_JPEG_END, _JPEG_TEMPORARY = 0xD9, 0x01
# A progressive JPEG has about ten scans; each costs a pass over all its pixels, of 1 to 7 ns, however short it is.
_MOST_SCANS = 300
_FEW_SCANS, _MOST_SCANNED_PIXELS = 20, 3_000_000_000


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIC file; its content decides, not its name.

    Of several pages or frames the first is read (of HEIC the primary one).

    Args:
        path: the file.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        UnreadableMedia: missing, not readable, empty, not a picture, damaged or cut off.
        UnsupportedMedia: too large, or a kind of pixels that cannot be shown.
    """
    try:
        with _open(path) as file:
            return _read(file, path, max_pixels)
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror or error}). Nothing was written.") from error


def _open(path: Path) -> IO[bytes]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableMedia(f"{path}: is a folder, not a picture.")
        if not stat.S_ISREG(mode):
            raise UnreadableMedia(f"{path}: is not a regular file.")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreadableMedia(f"{path}: there is no such file; check the path.") from error
    except PermissionError as error:
        raise UnreadableMedia(f"{path}: may not be read; change its permissions.") from error


def _read(file: IO[bytes], path: Path, max_pixels: int) -> Picture:
    head = file.read(4096)
    file.seek(0)
    kind = _kind(head, path)
    try:
        if kind == "JPEG" and not is_whole_jpeg(file):
            raise UnreadableMedia(f"{path}: the picture is cut off; get a complete copy. Nothing was written.")
        with _plugin(kind, file) as picture:
            _check_size(picture, path, max_pixels)
            if kind == "JPEG":
                _check_scans(file, path, picture.width * picture.height)
            picture.load()
            return _convert(picture, kind, path, head, file)
    except (MediaError, MemoryError):
        raise
    except Pil.DecompressionBombError as error:
        raise UnsupportedMedia(f"{path}: a tile is too large; save the picture without tiles first.") from error
    except Exception as error:  # Pillow and its codecs raise nearly anything on damaged files
        reason = one_line(error, 120)
        raise UnreadableMedia(
            f"{path}: damaged or not a {kind} that can be read ({reason}); get a complete copy or save it as PNG."
            " Nothing was written."
        ) from error


def _kind(head: bytes, path: Path) -> str:
    if not head:
        raise UnreadableMedia(f"{path}: the file is empty; get a complete copy.")
    if path.suffix.lower() in RAW_SUFFIXES:
        raise UnsupportedMedia(f"{path}: camera raw; develop it to JPEG, PNG or TIFF first.")
    kind = image_format(head)
    if kind is None:
        raise UnreadableMedia(
            f"{path}: the content is not a picture that can be read; use JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIC."
        )
    return kind


def _plugin(kind: str, file: IO[bytes]) -> Any:
    """Pillow's reader for a format, without `Image.open`: that warns and refuses by a limit of the whole process."""
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    if kind == "TIFF" and is_big_endian_bigtiff(file):
        file = classic_tiff(file)  # Pillow reads BigTIFF only in the other byte order
    Pil.init()
    factory, _ = Pil.OPEN[kind]
    return factory(file, "")


def _check_size(picture: Any, path: Path, max_pixels: int) -> None:
    width, height = picture.size
    if width < 1 or height < 1:
        raise UnreadableMedia(f"{path}: the picture has no pixels.")
    if width * height > max_pixels:
        raise UnsupportedMedia(
            f"{path}: {width}x{height} pixels are more than the {max_pixels} allowed; "
            "raise --max-pixels if the file is trusted. Nothing was written."
        )


def _check_scans(file: IO[bytes], path: Path, pixels: int) -> None:
    """Refuse a small JPEG that would be decoded for minutes."""
    at = file.tell()
    file.seek(0)
    scans = file.read().count(b"\xff\xda")
    file.seek(at)
    if scans > _MOST_SCANS or (scans > _FEW_SCANS and scans * pixels > _MOST_SCANNED_PIXELS):
        raise UnsupportedMedia(f"{path}: comes in {scans} passes; save the picture anew. Nothing was written.")


def _cropped(picture: Any, file: IO[bytes], path: Path) -> Any:
    """What a viewer shows of an AVIF picture, still as it is stored: Pillow turns it, but does not crop it."""
    file.seek(0)
    try:
        box = crop_box(file.read(), picture.size)
    except UnreadableMedia as error:
        raise UnreadableMedia(f"{path}: {error}; save the picture anew. Nothing was written.") from error
    return picture if box is None else cut(picture, box)


def _convert(picture: Any, kind: str, path: Path, head: bytes, file: IO[bytes]) -> Picture:
    mode, depth = picture.mode, _bit_depth(picture, kind, head)
    inverted = kind == "TIFF" and picture.tag_v2.get(ExifTags.Base.PhotometricInterpretation) == 0
    coding = _jpeg_coding(picture) if kind == "JPEG" else None
    notes = _pages(picture)
    if kind == "AVIF":
        picture = _cropped(picture, file, path)
    turned = _turn_upright(picture)
    metadata = read_metadata(picture)
    try:
        pixels = to_rgb(picture, depth=depth, inverted=inverted, shifted=kind == "HEIF")
    except UnsupportedMedia as error:
        raise UnsupportedMedia(f"{path}: {error}") from error
    if depth > 8 and not pixels.reduced:
        notes.append(f"{depth} bits per channel became 8 bits.")
    if coding is not None and turned and coding.subsampling == 1:
        coding = JpegCoding(coding.tables, 0)  # halved columns are halved rows now, which Pillow cannot write
    return Picture(
        image=pixels.image,
        alpha=pixels.alpha,
        icc_profile=pixels.icc_profile,
        format=kind,
        mode=mode,
        bit_depth=depth,
        lossless=_is_lossless(picture, kind, head),
        metadata=metadata,
        jpeg=coding,
        full_chroma=kind != "HEIF" or picture.info.get("chroma") not in (400, 420),
        notes=(*notes, *pixels.notes),
    )


def is_whole_jpeg(file: IO[bytes]) -> bool:
    """Whether the markers of a JPEG lead to an end marker. The file is left at its beginning.

    libjpeg decodes a file that was filled up with zeros, as interrupted copies are, without a word. The thumbnail in
    the EXIF has an end marker too, so the segments have to be walked (ITU-T T.81, annex B).
    """
    data = file.read()
    file.seek(0)
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        at, marker = found.end(), data[found.end() - 1]
        if marker == _JPEG_END:
            return True
        if marker == _JPEG_TEMPORARY:
            continue
        at += int.from_bytes(data[at : at + 2], "big")
    return False


def _turn_upright(picture: Any) -> bool:
    """Apply the EXIF orientation in place; whether that changed anything."""
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
        ImageOps.exif_transpose(picture, in_place=True)
    except Exception:  # damaged EXIF raises nearly anything in Pillow; it turns the picture in no viewer
        return False
    return bool(orientation != 1)


def _bit_depth(picture: Any, kind: str, head: bytes) -> int:
    if kind == "PNG":
        return head[24]  # in the header chunk, which always comes first
    if kind == "TIFF":
        return int(max(picture.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))))
    if kind == "HEIF":
        return int(picture.info.get("bit_depth", 8))
    if kind == "AVIF" and 0 <= (at := head.find(b"pixi")) < len(head) - 10:
        return head[at + 9]  # ISO/IEC 23008-12: version and flags, number of channels, bits of the first
    return 8


def _jpeg_coding(picture: Any) -> JpegCoding | None:
    subsampling = JpegImagePlugin.get_sampling(picture)
    tables = tuple(tuple(picture.quantization[key]) for key in sorted(picture.quantization))
    if picture.mode not in ("L", "RGB") or not tables or not (picture.mode == "L" or subsampling in (0, 1, 2)):
        return None
    return JpegCoding(tables, max(subsampling, 0))


def _is_lossless(picture: Any, kind: str, head: bytes) -> bool:
    if kind == "WEBP":
        return b"VP8L" in head
    if kind == "TIFF":
        return picture.info.get("compression") not in ("jpeg", "tiff_jpeg", "webp")
    return kind in ("PNG", "BMP", "GIF")


def _pages(picture: Any) -> list[str]:
    more = getattr(picture, "n_frames", 1) - 1
    if more < 1:
        return []
    what = "frame or page was" if more == 1 else "frames or pages were"
    return [f"{more} further {what} left out; only the first picture was anonymized and written."]
