"""The nouns that flow through the stages: frames, detections, regions, patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB
Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, half-open

FACE = "face"
PERSON = "person"
PERSON_SURFACE = "person_surface"
VEHICLE = "vehicle"
PLATE = "plate"
ZONE = "zone"  # a place that is changed whatever it shows


class Origin(IntEnum):
    """Where a detection comes from."""

    DETECTED = 0  # the detector is sure enough of it
    WEAK = 1  # below the detector's threshold: may only continue a track, never starts one
    FILLED = 2  # no detection in this frame; the tracker put it there


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a stream.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        index: position in the stream, from 0.
        time: exact presentation time in seconds.
        duration: exact display time in seconds, or None where the container does not say.
        pixel_aspect: width over height of one pixel as shown; detectors look at the picture in that shape.
    """

    image: Image
    index: int = 0
    time: Fraction = Fraction(0)
    duration: Fraction | None = None
    pixel_aspect: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What one detector family found in one frame: parallel arrays, checked when built.

    Attributes:
        kind: what the boxes hold: face, person, person_surface, vehicle, plate, or a name of your own.
        boxes: (N, 4) float32, x0 y0 x1 y1 in pixels; may leave the frame.
        scores: (N,) float32 in [0, 1].
        keypoints: (N, K, 3) float32: x, y in pixels and a confidence; or None.
        masks: (N, H, W) bool over the whole frame, True on the object; or None.
        surface: (N, E + 1, S, S) float32: which point of the body each cell shows, in E coordinates of an embedding
            (of DensePose CSE: 16, S = 112); last the body, 1 or 0; or None. The coordinates mean nothing off the body.
        surface_boxes: (N, 4) float32: where in the frame the surface lies, in pixels; `boxes` if a surface is given
            without.
        track_ids: (N,) int64, -1 = no track; or None before tracking.
        origin: (N,) uint8 of `Origin`.
        steady: the same rows as their tracks show them around this frame: box and keypoints without the jitter of
            single detections, and the score of the track; or None. For who paints, not for who covers: the thing
            itself may lie beside it.

    Raises:
        ValueError: lengths, shapes or values do not fit.
    """

    kind: str
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None = None
    masks: NDArray[np.bool_] | None = None
    surface: NDArray[np.float32] | None = None
    surface_boxes: NDArray[np.float32] | None = None
    track_ids: NDArray[np.int64] | None = None
    origin: NDArray[np.uint8] | None = None
    steady: Detections | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any, dtype: Any) -> None:
            array = np.ascontiguousarray(value, dtype=dtype)
            array = array.view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

        put("boxes", np.asarray(self.boxes, np.float32).reshape(-1, 4), np.float32)
        put("scores", np.asarray(self.scores, np.float32).reshape(-1), np.float32)
        if self.origin is None:
            object.__setattr__(self, "origin", np.zeros(len(self.scores), np.uint8))
        object.__setattr__(self, "surface_boxes", _surface_boxes(self.surface, self.surface_boxes, self.boxes))
        for name, dtype in _OPTIONAL.items():
            value = getattr(self, name)
            if value is not None:
                put(name, value, dtype)
        self._check()

    def _check(self) -> None:
        count = len(self.boxes)
        for name in ("scores", *_OPTIONAL, "steady"):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise ValueError(f"{name} has {len(value)} rows, boxes {count}")
        if self.steady is not None and self.steady.kind != self.kind:
            raise ValueError(f"steady is of kind {self.steady.kind}, not {self.kind}")
        if self.keypoints is not None and (self.keypoints.ndim != 3 or self.keypoints.shape[2] != 3):
            raise ValueError(f"keypoints must be (N, K, 3), not {self.keypoints.shape}")
        if self.masks is not None and self.masks.ndim != 3:
            raise ValueError(f"masks must be (N, H, W), not {self.masks.shape}")
        if self.surface is not None and (self.surface.ndim != 4 or self.surface.shape[1] < 2):
            raise ValueError(f"surface must be (N, E + 1, S, S), not {self.surface.shape}")
        for name in ("boxes", "scores", "surface", "surface_boxes"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite")
        for boxes in (self.boxes, self.surface_boxes):
            if boxes is not None and (boxes[:, 2:] < boxes[:, :2]).any():
                raise ValueError("a box has x1 < x0 or y1 < y0")

    @classmethod
    def empty(cls, kind: str) -> Detections:
        """No detections of this kind."""
        return cls(kind, np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    @classmethod
    def concatenate(cls, parts: Sequence[Detections]) -> Detections:
        """All rows of several detections of one kind; an optional array stays only if every part has it."""
        if not parts:
            raise ValueError("nothing to concatenate")
        kinds = {part.kind for part in parts}
        if len(kinds) > 1:
            raise ValueError(f"cannot concatenate different kinds: {sorted(kinds)}")
        filled = [part for part in parts if len(part)] or [parts[0]]
        arrays: dict[str, Any] = {}
        for name in ("boxes", "scores", *_OPTIONAL):
            values = [getattr(part, name) for part in filled]
            arrays[name] = None if any(v is None for v in values) else np.concatenate(values)
        steady = [part.steady for part in filled if part.steady is not None]
        arrays["steady"] = cls.concatenate(steady) if len(steady) == len(filled) else None
        return cls(filled[0].kind, **arrays)

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        """One line: how many, how sure, and which arrays there are."""
        scores = ", ".join(f"{score:.2f}" for score in self.scores[:_SHOWN])
        more = ", …" if len(self) > _SHOWN else ""
        arrays = [name for name in _OPTIONAL if name != "origin" and getattr(self, name) is not None]
        extras = "".join(f", {name}" for name in arrays)
        return f"<Detections: {len(self)} {self.kind}, scores [{scores}{more}]{extras}>"

    def __getitem__(self, index: Any) -> Detections:
        """Rows by mask, slice or index array; an integer gives one row."""
        if isinstance(index, (int, np.integer)):
            index = [int(index)]
        arrays: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kind"}
        rows: dict[str, Any] = {name: None if array is None else array[index] for name, array in arrays.items()}
        return Detections(self.kind, **rows)

    def with_(self, **changes: Any) -> Detections:
        """A copy with some arrays replaced."""
        return replace(self, **changes)

    @property
    def confirmed(self) -> Detections:
        """The rows that are to be acted on: all but the weak ones."""
        sure = self.origins != Origin.WEAK
        return self if sure.all() else self[sure]

    @property
    def origins(self) -> NDArray[np.uint8]:
        """(N,) uint8 of `Origin`; everything counts as detected where nothing else was said."""
        return np.zeros(len(self), np.uint8) if self.origin is None else self.origin


def _surface_boxes(surface: Any, given: Any, boxes: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Those of a surface; without one there are none."""
    if surface is None:
        return None
    return boxes if given is None else np.asarray(given, np.float32).reshape(-1, 4)


_SHOWN = 5  # scores in a repr
_OPTIONAL: Mapping[str, Any] = {
    "keypoints": np.float32,
    "masks": np.bool_,
    "surface": np.float32,
    "surface_boxes": np.float32,
    "track_ids": np.int64,
    "origin": np.uint8,
}


@dataclass(frozen=True, slots=True, eq=False)
class Steady:
    """A region as its track shows it around a frame: a row of `Detections.steady`; attributes as of `Region`."""

    box: NDArray[np.float32]
    score: float
    keypoints: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """One thing to be made unrecognisable in one frame: a row of `Detections` with its identity.

    Attributes:
        kind: as in `Detections`.
        box: (4,) float32 x0 y0 x1 y1 in pixels; may leave the frame.
        score: in [0, 1].
        identity: from which latents are drawn: a track, a matched person, or the place in its picture.
        mask: (H, W) bool over the whole frame, or None.
        keypoints: (K, 3) float32, or None.
        surface: (E + 1, S, S) float32, as in `Detections`, or None.
        surface_box: (4,) float32, where the surface lies, or None.
        steady: as in `Detections`, or None.
        behind: (4,) boxes of kept faces in front of it, of which nothing is covered for its sake.
    """

    kind: str
    box: NDArray[np.float32]
    score: float
    identity: int
    mask: NDArray[np.bool_] | None = None
    keypoints: NDArray[np.float32] | None = None
    surface: NDArray[np.float32] | None = None
    surface_box: NDArray[np.float32] | None = None
    steady: Steady | None = None
    behind: tuple[NDArray[np.float32], ...] = ()

    @property
    def area(self) -> float:
        """Of the box, in pixels."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


def regions(detections: Detections) -> Iterator[Region]:
    """The rows of `detections`; without a track, a row's place in the picture is its identity."""
    for row in range(len(detections)):
        track = -1 if detections.track_ids is None else int(detections.track_ids[row])
        yield Region(
            kind=detections.kind,
            box=detections.boxes[row],
            score=float(detections.scores[row]),
            identity=track if track >= 0 else row,
            mask=None if detections.masks is None else detections.masks[row],
            keypoints=None if detections.keypoints is None else detections.keypoints[row],
            surface=None if detections.surface is None else detections.surface[row],
            surface_box=None if detections.surface_boxes is None else detections.surface_boxes[row],
            steady=_steady(detections.steady, row),
        )


def _steady(detections: Detections | None, row: int) -> Steady | None:
    if detections is None:
        return None
    keypoints = None if detections.keypoints is None else detections.keypoints[row]
    return Steady(detections.boxes[row], float(detections.scores[row]), keypoints)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be done in one frame.

    Attributes:
        change: made unrecognisable; may hold regions that nobody detected.
        keep: left as they are.
    """

    change: tuple[Region, ...]
    keep: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """New pixels for a rectangle of a frame.

    Attributes:
        x, y: top left corner; the rectangle lies inside the frame.
        pixels: (h, w, 3) uint8 RGB.
        alpha: (h, w) float32 in [0, 1]: 1 = replaced, 0 = left as it was.
    """

    x: int
    y: int
    pixels: Image
    alpha: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A synthesizer cannot serve a region; classic redaction takes over."""

    reason: str


@dataclass(frozen=True, slots=True)
class Keep(Refusal):
    """A synthesizer was told to leave regions as they are: no redaction takes over, the region counts as kept."""


@dataclass(frozen=True, slots=True, eq=False)
class PaintTask:
    """A region to be synthesized on a canvas.

    Attributes:
        canvas: (H, W, 3) uint8 RGB, regions painted earlier are already anonymized in it; not to be written to.
        region: what to replace.
    """

    canvas: Image
    region: Region


@dataclass(frozen=True, slots=True)
class Reach:
    """Which pixels of a frame a synthesizer looks at and which it may change for one region; clipped to the frame."""

    view: Box
    write: Box


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a photo file says beside its pixels, in a form that no longer shows or turns the original.

    Thumbnails, previews and maker notes are gone (they show the faces as they were), the orientation is upright.

    Attributes:
        exif: begins with b"Exif\\0\\0"; or None.
        xmp: an XMP packet, or None.
        comment: of a JPEG or GIF, or None.
        text: keywords and texts of a PNG.
        lost: names of those above of which something was damaged, not known, or could be a picture of the original.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    comment: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JpegCoding:
    """How a JPEG was quantized: with the same tables, what does not change survives another encoding best.

    Attributes:
        tables: one to four quantization tables of 64 numbers in natural order.
        subsampling: of the chroma: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0.
    """

    tables: tuple[tuple[int, ...], ...]
    subsampling: int


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A photo file: its pixels, upright and in RGB, and what is needed to write another file like it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        alpha: (H, W) uint8, 255 = opaque; or None.
        icc_profile: the RGB or grey profile that the pixels are in; None = sRGB.
        format: JPEG, PNG, WEBP, TIFF, BMP, GIF, AVIF or HEIF.
        mode: the file's own pixel mode as Pillow names it: L, P, CMYK, I;16, …
        bit_depth: of the file's channels.
        lossless: the file held the pixels exactly.
        metadata: to be written again only on request.
        jpeg: of a JPEG.
        full_chroma: False for a HEIC that stores colour at half its resolution, as telephones do.
        notes: words to be said, e.g. that 16 bits became 8.
    """

    image: Image
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    format: str = "PNG"
    mode: str = "RGB"
    bit_depth: int = 8
    lossless: bool = True
    metadata: Metadata = Metadata()
    jpeg: JpegCoding | None = None
    full_chroma: bool = True
    notes: tuple[str, ...] = ()

    @property
    def grey(self) -> bool:
        """Whether the file had no colour."""
        return self.mode in ("1", "L", "LA", "La", "I", "F") or self.mode.startswith("I;")
