"""What comes out of an anonymizer: pictures with what was done to them, and the sums over a run."""

from __future__ import annotations

import base64
import io
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dp2.types import Detections, Frame, Image, Origin, Region


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One anonymized frame.

    Attributes:
        frame: the anonymized frame.
        original: (H, W, 3) uint8 RGB as it came in.
        detections: what was acted on, one a kind, gap-filled rows included.
        changed, kept, fallback: number of regions by kind: replaced (fallbacks included), left as they were by
            choice, and replaced by classic redaction because the synthesizer could not serve them.
        altered: the regions that were replaced.
    """

    frame: Frame
    original: Image
    detections: tuple[Detections, ...]
    changed: Counter[str]
    kept: Counter[str]
    fallback: Counter[str]
    altered: tuple[Region, ...] = ()

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB, anonymized."""
        return self.frame.image

    def __repr__(self) -> str:
        """One line: which frame, and what was done in it."""
        height, width = self.image.shape[:2]
        summary = Summary()
        summary.add(self)
        return f"<Result: frame {self.frame.index}, {width}x{height}; {summary}>"

    def _repr_html_(self) -> str:
        """Before and after, side by side, for notebooks."""
        count = sum(self.changed.values())
        cells = "".join(
            f'<figure style="display:inline-block;margin:4px"><img style="max-width:480px" src="{_data_url(image)}">'
            f"<figcaption>{caption}</figcaption></figure>"
            for image, caption in ((self.original, "before"), (self.image, f"after: {count} regions replaced"))
        )
        return f"<div>{cells}</div>"


def _data_url(image: Image) -> str:
    from PIL import Image as Pil

    picture = Pil.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((960, 960))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


@dataclass(slots=True)
class Summary:
    """Sums over the frames of a run, by kind.

    Attributes:
        frames: number of frames.
        found: regions a detector saw.
        filled: regions that only the tracker put there.
        changed, kept, fallback: as in `Result`.
        tracks: distinct track ids.
    """

    frames: int = 0
    found: Counter[str] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    fallback: Counter[str] = field(default_factory=Counter)
    tracks: dict[str, set[int]] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Count one frame."""
        self.frames += 1
        for detections in result.detections:
            filled = int((detections.origins == Origin.FILLED).sum())
            self.filled[detections.kind] += filled
            self.found[detections.kind] += len(detections) - filled
            if detections.track_ids is not None:
                self.tracks.setdefault(detections.kind, set()).update(
                    detections.track_ids[detections.track_ids >= 0].tolist()
                )
        self.changed.update(result.changed)
        self.kept.update(result.kept)
        self.fallback.update(result.fallback)

    def merge(self, other: Summary) -> None:
        """Add the sums of another file; its tracks are other people."""
        self.frames += other.frames
        for name in ("found", "filled", "changed", "kept", "fallback"):
            getattr(self, name).update(getattr(other, name))
        for kind, ids in other.tracks.items():
            own = self.tracks.setdefault(kind, set())
            start = max(own, default=-1) + 1
            own.update(start + position for position in range(len(ids)))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; the number of tracks in place of their ids."""
        sums = {name: dict(getattr(self, name)) for name in ("found", "filled", "changed", "kept", "fallback")}
        return {"frames": self.frames, **sums, "tracks": {kind: len(ids) for kind, ids in self.tracks.items()}}

    def __str__(self) -> str:
        words = []
        for kind in sorted(self.changed.keys() | self.kept.keys() | self.found.keys()):
            plural = "" if self.found[kind] == 1 else "s"
            part = f"{self.found[kind]} {kind}{plural} found, {self.changed[kind]} changed"
            extras = (("filled in", self.filled), ("kept", self.kept), ("fallen back to redaction", self.fallback))
            part += "".join(f", {count[kind]} {word}" for word, count in extras if count[kind])
            words.append(part)
        return "; ".join(words) or "nobody found"
