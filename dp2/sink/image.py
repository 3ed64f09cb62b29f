"""Writes a photo file like the one that was read, without what it said about people and places."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL import PngImagePlugin

from dp2.errors import OutputError, UsageError, one_line
from dp2.sink.atomic import atomic_path
from dp2.sink.naming import PHOTO_FORMATS
from dp2.types import Image, Metadata, Picture

DEFAULT_QUALITY = 95

_FINE = 90  # from this quality on, colour is worth its full resolution, unless the source had less
_LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535, "AVIF": 65_536, "HEIF": 16_384}
_NO_ALPHA = {"JPEG", "BMP"}
_GREY = {"JPEG", "PNG", "TIFF", "BMP"}
_XMP_TIFF_TAG = 700


@dataclass(frozen=True, slots=True)
class _Job:
    """What an encoder has to know: the picture to be like, `quality` or None, and the metadata to carry over."""

    like: Picture
    quality: int | None
    metadata: Metadata
    grey: bool


def write_image(
    path: Path,
    image: Image,
    *,
    like: Picture | None = None,
    quality: int | None = None,
    keep_metadata: bool = False,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write an anonymized photo in the format that its name asks for.

    Alpha and colour profile of `like` are kept where the format can hold them. EXIF, GPS, XMP, comments and texts are
    written only with `keep_metadata`, thumbnails never.

    Args:
        path: ends in one of `PHOTO_FORMATS`.
        image: (H, W, 3) uint8 RGB.
        like: the photo that was read; its alpha is scaled if `image` has another size.
        quality: 1-100, of JPEG, WebP, AVIF and HEIC. None: 95, but a JPEG made of a JPEG is quantized as that one was,
            which leaves what was not anonymized nearly as it is (measured on five photos: a mean change of 0.03 to
            0.18 grey levels, against 0.30 to 1.20 at quality 95).
        keep_metadata: write `like.metadata`.
        overwrite: replace an existing file.

    Returns:
        words to be said, e.g. that transparency was lost.

    Raises:
        UsageError: no photo format has this name.
        OutputError: it cannot be encoded or written; nothing is left.
    """
    kind = photo_format(path)
    like = Picture(image) if like is None else like
    metadata = like.metadata if keep_metadata else Metadata()
    notes = _losses(kind, like, metadata)
    with atomic_path(path, overwrite=overwrite) as part:
        # Encoded in memory: Pillow's codecs do not tell a full disk from a failure of their own.
        part.write_bytes(_encode(path, kind, image, _Job(like, quality, metadata, _is_grey(image, like))))
    return tuple(notes)


def photo_format(path: Path) -> str:
    """The format that a name asks for.

    Raises:
        UsageError: the name has no ending known here; the message lists the names there are.
    """
    kind = PHOTO_FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: cannot write a photo of that name; end it in {', '.join(sorted(PHOTO_FORMATS))}.")
    return kind


def _encode(path: Path, kind: str, image: Image, job: _Job) -> bytes:
    height, width = image.shape[:2]
    longest = _LONGEST.get(kind)
    if longest is not None and max(height, width) > longest:
        raise OutputError(
            f"{path}: {kind} holds at most {longest} pixels a side, not {width}x{height}; choose .png or --max-res."
        )
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    try:
        picture = _assemble(kind, image, job)
        picture.save(buffer, kind, **_common(kind, job), **_ENCODERS.get(kind, _plain)(job))
    except MemoryError:
        raise
    except Exception as error:  # codecs raise many kinds; whichever it is, there is no output
        reason = one_line(error, 120)
        raise OutputError(f"{path}: cannot be encoded as {kind} ({reason}); choose .png or .jpg.") from error
    return buffer.getvalue()


def _assemble(kind: str, image: Image, job: _Job) -> Pil.Image:
    """The pixels in the mode that the format gets: with alpha where there is some, grey where all is grey."""
    alpha = _fitting_alpha(job.like, image)
    if alpha is not None and kind in _NO_ALPHA:
        image, alpha = _on_white(image, alpha), None
    if job.grey and kind in _GREY:
        grey = np.ascontiguousarray(image[..., 0])
        return Pil.fromarray(grey if alpha is None else np.dstack([grey, alpha]))
    return Pil.fromarray(np.ascontiguousarray(image) if alpha is None else np.dstack([image, alpha]))


def _fitting_alpha(like: Picture, image: Image) -> NDArray[np.uint8] | None:
    if like.alpha is None or like.alpha.shape == image.shape[:2]:
        return like.alpha
    height, width = image.shape[:2]
    return np.asarray(Pil.fromarray(like.alpha).resize((width, height), Pil.Resampling.BOX))


def _on_white(image: Image, alpha: NDArray[np.uint8]) -> Image:
    weight = alpha[..., None].astype(np.uint32)
    blended = (image * weight + 255 * (255 - weight) + 127) // 255
    return blended.astype(np.uint8)


def _is_grey(image: Image, like: Picture) -> bool:
    """A grey file stays one unless colour was painted into it."""
    return like.grey and bool((image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all())


def _profile(job: _Job, kind: str) -> bytes | None:
    """The colour profile, unless it is for grey and the file gets colour."""
    if job.like.grey and not (job.grey and kind in _GREY):
        return None
    return job.like.icc_profile


def _common(kind: str, job: _Job) -> dict[str, Any]:
    """Profile and metadata, as far as the format has a place for them."""
    if kind == "BMP":
        return {}
    if kind == "GIF":
        return {"comment": job.metadata.comment} if job.metadata.comment else {}
    wanted = {"icc_profile": _profile(job, kind)}
    if kind != "TIFF":
        wanted["exif"] = job.metadata.exif
    if kind not in ("PNG", "TIFF"):  # these two take it as a text and as a tag
        wanted["xmp"] = job.metadata.xmp
    return {name: value for name, value in wanted.items() if value}


def _plain(_: _Job) -> dict[str, Any]:
    return {}


def _jpeg(job: _Job) -> dict[str, Any]:
    comment = {"comment": job.metadata.comment} if job.metadata.comment else {}
    if job.quality is None and job.like.jpeg is not None:
        tables = [list(table) for table in job.like.jpeg.tables]
        return {"qtables": tables, "subsampling": job.like.jpeg.subsampling, **comment}
    quality = job.quality or DEFAULT_QUALITY
    return {"quality": quality, "subsampling": 0 if quality >= _FINE else 2, **comment}


def _png(job: _Job) -> dict[str, Any]:
    chunks = PngImagePlugin.PngInfo()
    for key, value in job.metadata.text:
        chunks.add_itxt(key, value)
    if job.metadata.xmp:
        chunks.add_itxt("XML:com.adobe.xmp", job.metadata.xmp.decode("utf-8", "replace"))
    return {"pnginfo": chunks}


def _webp(job: _Job) -> dict[str, Any]:
    if job.like.lossless and job.quality is None:
        return {"lossless": True, "exact": True}  # exact: colours under full transparency stay
    return {"quality": job.quality or DEFAULT_QUALITY, "exact": True}


def _tiff(job: _Job) -> dict[str, Any]:
    tags = Pil.Exif()
    if job.metadata.exif:
        tags.load(job.metadata.exif)
    if job.metadata.xmp:
        tags[_XMP_TIFF_TAG] = job.metadata.xmp
    if len(tags):
        return {"compression": "raw", "exif": tags}  # with compression Pillow cannot write the directories inside EXIF
    return {"compression": "tiff_adobe_deflate"}


def _avif(job: _Job) -> dict[str, Any]:
    quality = job.quality or DEFAULT_QUALITY
    return {"quality": quality, "subsampling": "4:4:4" if quality >= _FINE else "4:2:0"}


def _heif(job: _Job) -> dict[str, Any]:
    quality = job.quality or DEFAULT_QUALITY
    fine = quality >= _FINE and (job.like.full_chroma or job.quality is not None)
    # libheif asks x265 for the preset "slow". Measured on four photos at quality 95, "ultrafast" takes a sixth of its
    # time (0.5 to 0.9 s for a megapixel) and comes nearer to the original (by 0.4 to 2.6 dB); files grow by a fifth.
    return {"quality": quality, "chroma": 444 if fine else 420, "enc_params": {"preset": "ultrafast"}}


_ENCODERS: Mapping[str, Callable[[_Job], dict[str, Any]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "AVIF": _avif,
    "HEIF": _heif,
}


def _losses(kind: str, like: Picture, metadata: Metadata) -> list[str]:
    """What the format cannot hold of the photo, in words."""
    notes = []
    if like.alpha is not None and kind in _NO_ALPHA and (like.alpha < 255).any():
        notes.append(f"{kind} has no transparency; what was transparent is white now.")
    if kind == "GIF":
        notes.append("GIF holds 256 colours; the others were replaced by near ones.")
    if kind in ("BMP", "GIF") and like.icc_profile is not None:
        notes.append(f"{kind} has no colour profile; it was left out.")
    for name in metadata.lost:
        what = f"parts of its {name} were" if getattr(metadata, name) else f"its {name} was"
        notes.append(f"{what} left out: damaged, not known here, or it may show the original.")
    return notes
