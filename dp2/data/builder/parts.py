"""What was cut out of a run of files, kept on disk so that a build that was broken off goes on there."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from dp2.data.builder.cut import REASONS, Candidate, cut
from dp2.data.builder.settings import BuildSettings
from dp2.data.builder.sources import SourceFile
from dp2.errors import DatasetError, MediaError
from dp2.sink.atomic import atomic_path
from dp2.source.image import read_image
from dp2.source.open import open_source
from dp2.stages import Detector
from dp2.types import PERSON, Detections, Image, regions

_FRAMES_AT_ONCE = 8
_THUMB = 128
_THUMBS = 6  # of each reason in each part: enough for the sheets


class OpensDetector(Protocol):
    """Gives the detector, which is loaded by the first part that is not there yet."""

    def __call__(self) -> Detector: ...


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate as a part remembers it.

    Attributes:
        source: which of the part's files.
        fingerprint: of the face or body.
        reason: why it was dropped; None = it may be kept.
        record: the JSON of its `CropRecord`.
        picture: the name of its picture in the part's tar file; None = not stored.
        mask: the name of its mask there; None = it has none.
    """

    source: int
    fingerprint: str
    reason: str | None
    record: str
    picture: str | None
    mask: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """What came of a run of files.

    Attributes:
        rows: all candidates in order.
        unreadable: which of the files failed, and why.
        pictures: frames looked at.
        tar: their pictures.
    """

    rows: tuple[Row, ...]
    unreadable: dict[int, str]
    pictures: int
    tar: Path

    def read(self, names: Iterable[str]) -> Iterator[bytes]:
        """Members of the tar file."""
        with tarfile.open(self.tar, "r:") as tar:
            for name in names:
                file = tar.extractfile(name)
                if file is None:
                    raise DatasetError(f"{self.tar}: {name} is no file; remove {self.tar.parent} and build again.")
                yield file.read()


def make_part(
    stem: Path, files: Sequence[SourceFile], settings: BuildSettings, detector: OpensDetector, key: str
) -> Part:
    """Cut up a run of files, or take what an earlier run left.

    Args:
        stem: path without suffix of the part's two files; the JSON is written last, and makes the part valid.
        files: the run.
        settings: how.
        detector: called only if there is work to do.
        key: names settings, detector and the files' state; a part with another key is made again.

    Raises:
        DetectionError, EngineError, WeightsError: the detector cannot work.
        OutputError: the disk is full.
    """
    made = _stored(stem, key)
    if made is not None:
        return made
    rows: list[Row] = []
    unreadable: dict[int, str] = {}
    tar_path = stem.with_suffix(".tar")
    with atomic_path(tar_path, overwrite=True) as temporary, tarfile.open(temporary, "w") as tar:
        writer = _Writer(tar, settings)
        for batch in _batches(files, settings, unreadable):
            for candidate, number in _candidates(batch, files, settings, detector()):
                rows.append(writer.add(candidate, number))
            writer.pictures += len(batch)
    part = Part(tuple(rows), unreadable, writer.pictures, tar_path)
    values = {
        "key": key,
        "rows": [asdict(row) for row in rows],
        "unreadable": {str(number): text for number, text in unreadable.items()},
        "pictures": writer.pictures,
    }
    with atomic_path(stem.with_suffix(".json"), overwrite=True) as temporary:
        temporary.write_text(json.dumps(values), encoding="utf-8")
    return part


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Append a file without a date or owner: the same input gives the same bytes."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def encode_picture(image: Image, quality: int) -> bytes:
    """WebP; quality 101 = lossless."""
    return _encoded(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, quality])


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """PNG with 0 and 255."""
    return _encoded(".png", mask.astype(np.uint8) * 255, [])


def _encoded(suffix: str, pixels: NDArray[np.uint8], options: Sequence[int]) -> bytes:
    done, data = cv2.imencode(suffix, pixels, options)
    if not done:
        raise DatasetError(f"a crop of {pixels.shape[1]}×{pixels.shape[0]} pixels cannot be stored as {suffix}.")
    return data.tobytes()


class _Writer:
    """Puts candidates into a part's tar file: those kept whole, of those dropped some thumbnails."""

    def __init__(self, tar: tarfile.TarFile, settings: BuildSettings) -> None:
        self.pictures = 0
        self._tar = tar
        self._settings = settings
        self._count = 0
        self._thumbs = dict.fromkeys(REASONS, 0)

    def add(self, candidate: Candidate, source: int) -> Row:
        name, picture, mask = f"{self._count:06d}", None, None
        self._count += 1
        if candidate.reason is None:
            picture = f"{name}.webp"
            add_member(self._tar, picture, encode_picture(candidate.image, self._settings.quality))
            if self._settings.kind == PERSON:
                mask = f"{name}.mask.png"
                add_member(self._tar, mask, encode_mask(_mask(candidate)))
        elif self._thumbs[candidate.reason] < _THUMBS:
            self._thumbs[candidate.reason] += 1
            picture = f"{name}.webp"
            add_member(self._tar, picture, encode_picture(thumbnail(candidate.image), 80))
        return Row(source, candidate.fingerprint, candidate.reason, candidate.record.to_json(), picture, mask)


def thumbnail(image: Image) -> Image:
    """At most 128 pixels a side."""
    factor = min(1.0, _THUMB / max(image.shape[:2]))
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    small: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return small


def _mask(candidate: Candidate) -> NDArray[np.bool_]:
    if candidate.mask is None:
        raise DatasetError("the detector gives no masks of bodies; choose another --detector-config.")
    return candidate.mask


_Frame = tuple[int, float | None, Image]  # which file, when, what


def _batches(
    files: Sequence[SourceFile], settings: BuildSettings, unreadable: dict[int, str]
) -> Iterator[list[_Frame]]:
    """Frames, some at once. A file that cannot be read is noted; what was whole of it stays."""
    batch: list[_Frame] = []
    for number, file in enumerate(files):
        try:
            for time, image in _frames(file, settings):
                batch.append((number, time, image))
                if len(batch) == _FRAMES_AT_ONCE:
                    yield batch
                    batch = []
        except MediaError as error:
            unreadable[number] = str(error)
    if batch:
        yield batch


def _frames(file: SourceFile, settings: BuildSettings) -> Iterator[tuple[float | None, Image]]:
    if not file.moving:
        yield None, read_image(file.path).image
        return
    for frame in open_source(file.path, fps=settings.fps):
        yield float(frame.time), frame.image


def _candidates(
    batch: Sequence[_Frame], files: Sequence[SourceFile], settings: BuildSettings, detector: Detector
) -> Iterator[tuple[Candidate, int]]:
    found = detector([image for _, _, image in batch])
    for (number, time, image), detections in zip(batch, found, strict=True):
        for region in regions(_of_kind(detections, settings.kind)):
            yield cut(image, region, files[number], time, settings), number


def _of_kind(found: Sequence[Detections], kind: str) -> Detections:
    """The people or faces; where a detector gives people in several ways, the first that has masks."""
    fitting = [detections for detections in found if detections.kind.startswith(kind)]
    masked = [detections for detections in fitting if detections.masks is not None]
    return (masked or fitting or [Detections.empty(kind)])[0].with_(kind=kind)


def _stored(stem: Path, key: str) -> Part | None:
    path, tar = stem.with_suffix(".json"), stem.with_suffix(".tar")
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        if values["key"] != key or not tar.is_file():
            return None
        rows = tuple(Row(**row) for row in values["rows"])
        unreadable = {int(number): str(text) for number, text in values["unreadable"].items()}
        return Part(rows, unreadable, int(values["pictures"]), tar)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # not there, or not whole: it is made again
