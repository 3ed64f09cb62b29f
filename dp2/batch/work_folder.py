"""What processes that anonymize one folder of frames leave for each other, beside the results in `.dp2/`.

.dp2/settings.json                     what decides the result: a run with another is refused
.dp2/found/<pass>/<frame>.json         what the detector found in a frame
.dp2/plan/<key>/<chunk>.json           what is to be done in some frames: tracked, gaps filled, chosen
.dp2/claims/                           only while somebody works
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp2.detections.records import from_records, to_records
from dp2.errors import DetectionFileError, OutputError, UnreadableMedia, UsageError
from dp2.media.frame_manifest import MANIFEST, FrameEntry, FrameManifest
from dp2.sink.atomic import atomic_path, output_error
from dp2.source.frame_folder import is_whole_png
from dp2.types import Choice, Detections, Region, Steady, regions

HIDDEN = ".dp2"
DEBUG = "debug"


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What the detector found in a frame whose file has this SHA-256."""

    digest: str
    detections: tuple[Detections, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """What is to be done in a frame; `choice` is None where all detections are changed."""

    digest: str
    detections: tuple[Detections, ...]
    choice: Choice | None


@dataclass(frozen=True)
class WorkFolder:
    """The folder of results of one folder of frames.

    Attributes:
        folder: where results go.
        manifest: of the frames.
        debug: a second picture of each frame, with boxes, belongs to the result.
    """

    folder: Path
    manifest: FrameManifest
    debug: bool = False

    @property
    def claims(self) -> Path:
        """The folder for `dp2.batch.claims`."""
        return self.folder / HIDDEN / "claims"

    def begin(self, settings: Mapping[str, str]) -> None:
        """Make the folder, or make sure that it was begun in the same way.

        Raises:
            UsageError: it was begun with other settings, for other frames, or holds frames that dp2 did not write.
            OutputError: it cannot be written.
        """
        mine = {"manifest": hashlib.sha256(self.manifest.dumps().encode()).hexdigest(), **settings}
        path = self.folder / HIDDEN / "settings.json"
        if not path.exists():
            self._refuse_foreign(path)
            self._write_first(path, mine)
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read; delete {self.folder} to begin again.") from error
        if there != mine:
            raise UsageError(
                f"{self.folder}: was begun with other settings ({_difference(there, mine)}), and the results of both "
                "would be mixed. Give the same, name another folder, or delete this one to begin again."
            )
        if not (self.folder / MANIFEST).exists():
            with suppress(OutputError), atomic_path(self.folder / MANIFEST, overwrite=False) as part:
                part.write_text(self.manifest.dumps(), encoding="utf-8")
            if not (self.folder / MANIFEST).exists():
                raise OutputError(f"{self.folder}: {MANIFEST} cannot be written; is the disk full? Run again then.")

    def output(self, entry: FrameEntry) -> Path:
        """Where a frame goes."""
        return self.folder / entry.name

    def debug_output(self, entry: FrameEntry) -> Path:
        """Where the picture with boxes goes."""
        return self.folder / DEBUG / entry.name

    def written(self, entry: FrameEntry) -> bool:
        """Whether a frame's result is there."""
        return is_whole_png(self.output(entry))

    def done(self, entry: FrameEntry) -> bool:
        """Whether nothing is left to do for a frame."""
        return self.written(entry) and (not self.debug or is_whole_png(self.debug_output(entry)))

    def is_found(self, search: str, entry: FrameEntry) -> bool:
        """Whether a pass has searched a frame."""
        return self._found(search, entry).exists()

    def write_found(self, search: str, entry: FrameEntry, found: Found) -> None:
        """Keep what a pass found in a frame."""
        self._write(self._found(search, entry), {"sha256": found.digest, "detections": to_records(found.detections)})

    def read_found(self, search: str, entry: FrameEntry, kinds: Sequence[str]) -> Found:
        """What a pass found in a frame.

        Raises:
            UnreadableMedia: it is not as it was written.
        """
        path = self._found(search, entry)
        record = self._read(path)
        return Found(_digest(record, path), self._detections(record, kinds, path))

    def plan_exists(self, key: str, chunk: str) -> bool:
        """Whether it is known what to do in the frames of a chunk."""
        return self._plan(key, chunk).exists()

    def write_plan(self, key: str, chunk: str, frames: Sequence[Planned]) -> None:
        """Keep what is to be done in the frames of a chunk."""
        self._write(self._plan(key, chunk), [_plan_record(frame) for frame in frames])

    def read_plan(self, key: str, chunk: str, kinds: Sequence[str], frames: int) -> list[Planned]:
        """What is to be done in the frames of a chunk.

        Raises:
            UnreadableMedia: it is not as it was written.
        """
        path = self._plan(key, chunk)
        records = self._read(path)
        if not isinstance(records, list) or len(records) != frames:
            raise _damaged(path)
        return [
            Planned(_digest(record, path), self._detections(record, kinds, path), self._choice(record, path))
            for record in records
        ]

    def sweep(self, key: str | None) -> None:
        """Remove what killed processes left half-written, and the plans that are no longer followed."""
        hidden = self.folder / HIDDEN
        for place in (self.folder, self.folder / DEBUG, hidden):
            for part in place.glob(".*.part.*"):
                with suppress(OSError):
                    part.unlink()
        for part in [*hidden.glob("found/*/.*.part.*"), *hidden.glob("plan/*/.*.part.*")]:
            with suppress(OSError):
                part.unlink()
        for plan in hidden.glob("plan/*"):
            if key is not None and plan.name != key:
                shutil.rmtree(plan, ignore_errors=True)

    def shows_originals(self) -> bool:
        """Whether people may be recognised: dp2 did not write the frames, or only to show what was found."""
        try:
            settings = json.loads((self.folder / HIDDEN / "settings.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return True
        return not isinstance(settings, dict) or settings.get("--visualize-detection") == "True"

    def _refuse_foreign(self, settings: Path) -> None:
        strange = [entry.name for entry in self.manifest.frames if os.path.lexists(self.output(entry))]
        if strange and not settings.exists():  # another process may have begun in the meantime
            raise UsageError(
                f"{self.folder}: holds {strange[0]}{', …' if len(strange) > 1 else ''}, which dp2 did not anonymize; "
                "name another folder."
            )

    def _found(self, search: str, entry: FrameEntry) -> Path:
        return self.folder / HIDDEN / "found" / search / f"{entry.name.removesuffix('.png')}.json"

    def _plan(self, key: str, chunk: str) -> Path:
        return self.folder / HIDDEN / "plan" / key / f"{chunk}.json"

    def _write(self, path: Path, record: Any) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(error, path) from error
        # Whoever comes second writes the same.
        with atomic_path(path, overwrite=True) as part:
            part.write_text(json.dumps(record), encoding="utf-8")

    def _write_first(self, path: Path, record: Any) -> None:
        """Of several processes that begin at once, one sets the settings for all."""
        try:
            with atomic_path(path, overwrite=False) as part:
                part.write_text(json.dumps(record), encoding="utf-8")
        except OutputError:
            if not path.exists():
                raise

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise _damaged(path) from error

    def _detections(self, record: Any, kinds: Sequence[str], path: Path) -> tuple[Detections, ...]:
        info = self.manifest.info
        try:
            return from_records(record.get("detections"), kinds, info.height, info.width, str(path))
        except (DetectionFileError, AttributeError) as error:
            raise _damaged(path) from error

    def _choice(self, record: Mapping[str, Any], path: Path) -> Choice | None:
        if "change" not in record:
            return None
        info = self.manifest.info
        try:
            change, keep = (
                tuple(_region(row, info.height, info.width, str(path)) for row in record[name])
                for name in ("change", "keep")
            )
        except (DetectionFileError, KeyError, TypeError, StopIteration) as error:
            raise _damaged(path) from error
        return Choice(change, keep)


def _plan_record(frame: Planned) -> dict[str, Any]:
    record: dict[str, Any] = {"sha256": frame.digest, "detections": to_records(frame.detections)}
    if frame.choice is not None:
        record["change"] = [_region_record(region) for region in frame.choice.change]
        record["keep"] = [_region_record(region) for region in frame.choice.keep]
    return record


def _region_record(region: Region) -> dict[str, Any]:
    one = Detections(
        region.kind,
        region.box[None],
        [region.score],  # type: ignore[arg-type]  # it becomes an array
        masks=None if region.mask is None else region.mask[None],
        keypoints=None if region.keypoints is None else region.keypoints[None],
        surface=None if region.surface is None else region.surface[None],
        surface_boxes=None if region.surface_box is None else region.surface_box[None],
        track_ids=[region.identity],  # type: ignore[arg-type]
        steady=None if region.steady is None else _steady(region.kind, region.steady),
    )
    return to_records([one])[0]


def _steady(kind: str, steady: Steady) -> Detections:
    keypoints = None if steady.keypoints is None else steady.keypoints[None]
    return Detections(kind, steady.box[None], [steady.score], keypoints=keypoints)  # type: ignore[arg-type]


def _region(record: Any, height: int, width: int, where: str) -> Region:
    (one,) = from_records([record], (), height, width, where)
    return next(regions(one))


def _digest(record: Any, path: Path) -> str:
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise _damaged(path)
    digest: str = record["sha256"]
    return digest


def _damaged(path: Path) -> UnreadableMedia:
    return UnreadableMedia(f"{path}: is damaged; delete it and run again.")


def _difference(there: Any, mine: Mapping[str, str]) -> str:
    if not isinstance(there, dict):
        return "which cannot be read"
    names = [name for name in sorted({*there, *mine}) if there.get(name) != mine.get(name)]
    if "manifest" in names:
        return "its frames are of another video"
    shown = [f"{name}: {there.get(name, 'none')} there, {mine.get(name, 'none')} now" for name in names[:3]]
    return "; ".join(shown) + ("; …" if len(names) > 3 else "")
