"""Faces that only transparency shows: drawn in an alpha channel, or seen when a picture is laid over a ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dp2.detect.checks import joined
from dp2.geometry.nms import suppress
from dp2.paint.paint import paint
from dp2.synthesize.fills import Blur
from dp2.synthesize.redact import Redaction
from dp2.types import Detections, Image, Region

Alpha = NDArray[np.uint8]  # (H, W), 255 = opaque

_SAME = 0.5  # IoU from which boxes of two views are one face
_REDACTION = Redaction(Blur())


def views(image: Image, alpha: Alpha | None) -> list[Image]:
    """The pictures in which to search: the colours, over white and black, and the alpha channel and its negative.

    Args:
        image: (H, W, 3) uint8 RGB, colours under full transparency included.
        alpha: of the same size; None or one value everywhere adds nothing.
    """
    if alpha is None or alpha.min() == alpha.max():
        return [image]
    weight = alpha[..., None].astype(np.uint16)
    black = ((image * weight + 127) // 255).astype(np.uint8)
    white = black + (255 - alpha)[..., None]
    grey = np.repeat(alpha[..., None], 3, axis=2)
    return [image, white, black, grey, 255 - grey]


def merged(found: Sequence[tuple[Detections, ...]]) -> tuple[Detections, ...]:
    """What was found in several views of one picture, each thing once."""
    if len(found) == 1:
        return found[0]
    kinds = dict.fromkeys(part.kind for view in found for part in view)
    parts = {kind: [part for view in found for part in view if part.kind == kind] for kind in kinds}
    return tuple(suppress(joined(of_kind), _SAME) for of_kind in parts.values())


def covered(alpha: Alpha, altered: Sequence[Region]) -> Alpha:
    """An alpha channel that shows nobody: blurred in the shape of every region. Where it is even it stays so.

    Raises:
        SynthesisError: a region cannot be covered.
    """
    if not altered or alpha.min() == alpha.max():
        return alpha
    (painted,) = paint([np.repeat(alpha[..., None], 3, axis=2)], [altered], {}, _REDACTION, seed=0)
    return np.ascontiguousarray(painted.image[..., 0])
