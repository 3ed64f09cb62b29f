"""What processes that anonymize one folder of frames leave for each other, beside the results in `.dp2/`.

.dp2/settings.json                     what decides the result: a run with another is refused
.dp2/found/<pass>/<frame>.json         what the detector found in a frame
.dp2/plan/<key>/<chunk>.json           what is to be done in some frames: tracked, gaps filled, chosen
.dp2/done/<frame>.json                 the SHA-256 of a frame's result
.dp2/claims/                           only while somebody works

All but the claims are sealed (see `seals`): a file that was changed counts as missing, and is made again. A result
that is not as dp2 wrote it is refused, for it may show an original.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dp2.batch.seals import KEY_VARIABLE, BrokenSeal, Remembered, Seals, file_digest, own_seals
from dp2.detections.records import from_records, to_records
from dp2.errors import DetectionFileError, OutputError, UnreadableMedia, UsageError
from dp2.media.frame_manifest import MANIFEST, FrameEntry, FrameManifest
from dp2.sink.atomic import atomic_path
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


class WorkFolder:
    """The folder of results of one folder of frames.

    Args:
        folder: where results go.
        manifest: of the frames.
        debug: a second picture of each frame, with boxes, belongs to the result.

    """

    def __init__(self, folder: Path, manifest: FrameManifest, *, debug: bool = False) -> None:
        self.folder = folder
        self.manifest = manifest
        self._debug = debug
        self._seals: Seals
        self._holding = Remembered[bool]()
        self._done = Remembered[dict[str, Any]]()
        self._digests = Remembered[str]()

    @cached_property
    def _own(self) -> Seals:
        return own_seals()

    @property
    def claims(self) -> Path:
        """The folder for `dp2.batch.claims`."""
        return self.folder / HIDDEN / "claims"

    def begin(self, settings: Mapping[str, str]) -> None:
        """Make the folder, or make sure that it was begun in the same way, and holds only results of dp2.

        Raises:
            UsageError: it was begun with other settings, for other frames, with another key, or holds frames that are
                not as dp2 wrote them.
            OutputError: it cannot be written, or the key cannot.
        """
        mine = {"manifest": hashlib.sha256(self.manifest.dumps().encode()).hexdigest(), **settings}
        self._refuse_links()
        path = self._settings
        if not os.path.lexists(path):
            self._refuse_foreign(path)
            self._write_first(path, mine)
        try:
            there = self._own.read(path, "settings")
        except BrokenSeal as error:
            raise UsageError(
                f"{self.folder}: was not begun with your key: by another user, on another machine or with an earlier "
                f"dp2, or somebody changed {path}. Delete the folder to begin again. Machines that share a folder need "
                f"the same {KEY_VARIABLE} or DP2_HOME."
            ) from error
        if there != mine:
            raise UsageError(
                f"{self.folder}: was begun with other settings ({_difference(there, mine)}), and the results of both "
                "would be mixed. Give the same, name another folder, or delete this one to begin again."
            )
        self._bind(mine)
        self._write_manifest()
        self._refuse_changed()

    def output(self, entry: FrameEntry) -> Path:
        """Where a frame goes."""
        return self.folder / entry.name

    def debug_output(self, entry: FrameEntry) -> Path:
        """Where the picture with boxes goes."""
        return self.folder / DEBUG / entry.name

    def announce(self, entry: FrameEntry, result: bytes, debug: bytes | None) -> None:
        """Say what a frame's result is; it must be said before it is written.

        Args:
            result, debug: the bytes of the files to come.
        """
        record = {"sha256": hashlib.sha256(result).hexdigest()}
        if debug is not None:
            record["debug"] = hashlib.sha256(debug).hexdigest()
        self._seals.write(self._done_path(entry), self._name(self._done_path(entry)), record)

    def written(self, entry: FrameEntry) -> bool:
        """Whether a frame's result is there, as dp2 wrote it."""
        return self._is_as_announced(entry, self.output(entry), "sha256")

    def done(self, entry: FrameEntry) -> bool:
        """Whether nothing is left to do for a frame."""
        return self.written(entry) and (
            not self._debug or self._is_as_announced(entry, self.debug_output(entry), "debug")
        )

    def is_found(self, search: str, entry: FrameEntry) -> bool:
        """Whether a pass has searched a frame."""
        return self._holds(self._found(search, entry))

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
        return self._holds(self._plan(key, chunk))

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
        for part in [
            *hidden.glob("found/*/.*.part.*"),
            *hidden.glob("plan/*/.*.part.*"),
            *hidden.glob("done/.*.part.*"),
        ]:
            with suppress(OSError):
                part.unlink()
        for plan in hidden.glob("plan/*"):
            if key is not None and plan.name != key:
                shutil.rmtree(plan, ignore_errors=True)

    def shows_originals(self) -> bool:
        """Whether people may be recognised: a frame is not as dp2 wrote it, or only shows what was found."""
        try:
            settings = self._own.read(self._settings, "settings")
        except (BrokenSeal, UsageError, OutputError):  # with no key that can be used, nothing can be vouched for
            return True
        if not isinstance(settings, dict) or settings.get("--visualize-detection") == "True":
            return True
        self._bind(settings)
        return not all(self.written(entry) for entry in self.manifest.frames)

    @property
    def _settings(self) -> Path:
        return self.folder / HIDDEN / "settings.json"

    def _bind(self, settings: Mapping[str, str]) -> None:
        """What was made with other settings or for other frames does not count."""
        self._seals = self._own.bound_to(json.dumps(settings, sort_keys=True))

    def _refuse_links(self) -> None:
        """Links could lead out of the folder, where files would be removed as leftovers."""
        hidden = self.folder / HIDDEN
        places = [hidden, self.folder / DEBUG, *(hidden / name for name in ("found", "plan", "done", "claims"))]
        with suppress(OSError):
            places += [*(hidden / "found").iterdir(), *(hidden / "plan").iterdir()]
        for place in places:
            if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
                raise UsageError(f"{place}: is not a folder of dp2's; delete {self.folder} to begin again.")

    def _refuse_foreign(self, settings: Path) -> None:
        strange = [entry.name for entry in self.manifest.frames if os.path.lexists(self.output(entry))]
        if strange and not settings.exists():  # another process may have begun in the meantime
            raise UsageError(
                f"{self.folder}: holds {strange[0]}{', …' if len(strange) > 1 else ''}, which dp2 did not anonymize; "
                "name another folder."
            )

    def _refuse_changed(self) -> None:
        """What is cut off was killed while it was written, and is done again; a whole picture may be an original."""
        strange = [e.name for e in self.manifest.frames if is_whole_png(self.output(e)) and not self.written(e)]
        if strange:
            raise UsageError(
                f"{self.folder}: holds {strange[0]}{', …' if len(strange) > 1 else ''}, which is not as dp2 wrote it "
                "and may show people. Delete it to have it done again, or move it elsewhere."
            )

    def _write_manifest(self) -> None:
        path = self.folder / MANIFEST
        wanted = self.manifest.dumps().encode()
        if not os.path.lexists(path):
            with suppress(OutputError), atomic_path(path, overwrite=False) as part:
                part.write_bytes(wanted)
        try:
            if path.is_symlink() or path.stat().st_size != len(wanted) or path.read_bytes() != wanted:
                raise UsageError(f"{path}: is not the manifest of these frames; delete it and run again.")
        except OSError as error:
            raise OutputError(
                f"{self.folder}: {MANIFEST} cannot be written; is the disk full? Run again then."
            ) from error

    def _found(self, search: str, entry: FrameEntry) -> Path:
        return self.folder / HIDDEN / "found" / search / f"{entry.name.removesuffix('.png')}.json"

    def _plan(self, key: str, chunk: str) -> Path:
        return self.folder / HIDDEN / "plan" / key / f"{chunk}.json"

    def _done_path(self, entry: FrameEntry) -> Path:
        return self.folder / HIDDEN / "done" / f"{entry.name.removesuffix('.png')}.json"

    def _name(self, path: Path) -> str:
        """For what a file is sealed: its place."""
        return path.relative_to(self.folder).as_posix()

    def _holds(self, path: Path) -> bool:
        try:
            return self._holding.of(path, lambda path: self._seals.holds(path, self._name(path)))
        except OSError:
            return False

    def _is_as_announced(self, entry: FrameEntry, result: Path, which: str) -> bool:
        if not is_whole_png(result):
            return False
        try:
            said = self._done.of(self._done_path(entry), lambda path: dict(self._seals.read(path, self._name(path))))
            return said.get(which) == self._digests.of(result, file_digest)
        except (BrokenSeal, OSError):
            return False

    def _write(self, path: Path, record: Any) -> None:
        self._seals.write(path, self._name(path), record)  # whoever comes second writes the same

    def _write_first(self, path: Path, record: Any) -> None:
        """Of several processes that begin at once, one sets the settings for all."""
        try:
            self._own.write(path, "settings", record, overwrite=False)
        except OutputError:
            if not path.exists():
                raise

    def _read(self, path: Path) -> Any:
        try:
            return self._seals.read(path, self._name(path))
        except BrokenSeal as error:
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
