"""The pictures that a browser's camera sends, anonymized one by one."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pil
from PIL import JpegImagePlugin

from dp2.errors import UnreadableMedia, UnsupportedMedia
from dp2.types import Frame, Image

if TYPE_CHECKING:
    from dp2.anonymizer import Anonymizer

_QUALITY = 80


def answers(
    anonymizer: Anonymizer, receive: Callable[[], str | None], max_pixels: int
) -> Iterator[tuple[str, dict[str, int]]]:
    """Anonymize live: no look-ahead, each picture comes out before the next is asked for.

    Args:
        anonymizer: what to do.
        receive: the next picture as base64 of a JPEG; None at the end.
        max_pixels: larger pictures are refused.

    Yields:
        each anonymized picture as base64 of a JPEG, and how many regions were changed, by kind.

    Raises:
        UnreadableMedia, UnsupportedMedia: what came is no such JPEG, or the camera changed its size.
        DetectionError, SynthesisError: a picture could not be made safe.
    """

    def frames() -> Iterator[Frame]:
        began, last, index, size = time.monotonic(), Fraction(-1), 0, None
        while (encoded := receive()) is not None:
            image = _decode(encoded, max_pixels)
            if size is not None and image.shape != size:
                raise UnsupportedMedia("the camera changed its size; start it again.")
            size = image.shape
            now = max(Fraction(time.monotonic() - began).limit_denominator(1000), last + Fraction(1, 1000))
            yield Frame(image, index, now)
            last, index = now, index + 1

    for result in anonymizer.process(frames(), live=True):
        yield _encode(result.image), dict(result.changed)


def _decode(encoded: str, max_pixels: int) -> Image:
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(base64.b64decode(encoded, validate=True))) as picture:
            if picture.width * picture.height > max_pixels:
                raise UnsupportedMedia(f"{picture.width}x{picture.height} is too large for a camera here.")
            return np.asarray(picture.convert("RGB"), np.uint8)
    except UnsupportedMedia:
        raise
    except Exception as error:  # Pillow raises nearly anything on damaged files
        raise UnreadableMedia("the camera's picture is not a JPEG that can be read.") from error


def _encode(image: Image) -> str:
    buffer = io.BytesIO()
    Pil.fromarray(np.ascontiguousarray(image)).save(buffer, "JPEG", quality=_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()
