"""What a set is built by. Another value of any of these is another set."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from dp2.errors import UsageError
from dp2.types import FACE, PERSON

FORMAT = 4  # of parts; raised when the same settings would give other crops
KINDS = (FACE, PERSON)
_BODY_ASPECT = 160 / 288  # width by height, as FDH has it


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """How crops are found, judged and stored.

    Attributes:
        kind: "face" or "person".
        detector_config: name or file of the anonymizer whose detector finds them.
        size: longest side of a stored crop in pixels; larger ones are shrunk, smaller ones kept as they are.
        context: side of the crop by the box's longer side (faces); height and width by the box's (bodies).
        min_size: of the box's longer side, in pixels of the photo.
        min_score: of the detector.
        min_sharpness: see `dp2.data.builder.quality.sharpness`.
        max_cut: share of the box that may lie outside the photo.
        max_same: bits of 256 in which two crops may differ and still count as near-duplicates; -1 = keep all.
        fps: frames a second taken from videos.
        quality: of the stored WebP, 1 to 100; 101 = lossless.
        validation: share of the source files set apart.
        seed: decides which.
        limit: stop at so many crops; None = take all.
        names: store the names of source files instead of hashes.

    Raises:
        UsageError: a value is out of its range.
    """

    kind: str = FACE
    detector_config: str = "face_blur"
    size: int = 256
    context: float = 2.0
    min_size: int = 48
    min_score: float = 0.5
    min_sharpness: float = 250.0
    max_cut: float = 0.1
    max_same: int = 10
    fps: float = 1.0
    quality: int = 92
    validation: float = 0.02
    seed: int = 0
    limit: int | None = None
    names: bool = False

    def __post_init__(self) -> None:
        checks = {
            "kind": self.kind in KINDS,
            "size": 16 <= self.size <= 4096,
            "context": 1 <= self.context <= 8,
            "min_size": self.min_size >= 1,
            "min_score": 0 <= self.min_score <= 1,
            "min_sharpness": self.min_sharpness >= 0,
            "max_cut": 0 <= self.max_cut <= 1,
            "max_same": -1 <= self.max_same <= 63,
            "fps": 0 < self.fps <= 1000,
            "quality": 1 <= self.quality <= 101,
            "validation": 0 <= self.validation < 1,
            "seed": self.seed >= 0,
            "limit": self.limit is None or self.limit >= 1,
        }
        for name, fits in checks.items():
            if not fits:
                raise UsageError(f"{name}={getattr(self, name)} is out of its range.")

    @property
    def aspect(self) -> float:
        """Width of a crop by its height."""
        return 1.0 if self.kind == FACE else _BODY_ASPECT

    def cutting(self) -> dict[str, Any]:
        """The values that decide what is cut out of one file: when they change, no part can be used again."""
        values = asdict(self)
        for name in ("validation", "limit", "max_same", "seed"):  # these only choose among what was cut
            del values[name]
        return {"format": FORMAT, **values}


def digest(values: Any) -> str:
    """A short name for JSON-able values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
