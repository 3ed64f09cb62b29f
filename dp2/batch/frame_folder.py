"""Anonymizes a folder of frames as the video that it is, with any number of processes on any number of machines.

Three steps, each shared in chunks of consecutive frames:

1. search: the detector's answer for each frame, which depends on nothing but the frame;
2. plan: one process follows people through the whole video, fills gaps and chooses;
3. paint: each frame from its plan.

So the result is that of one process, and of a video given as one file, whoever does what and however often it is
interrupted.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dp2.anonymizer import Anonymizer, FrameDetections
from dp2.batch.choices import AsPlanned, Recorded
from dp2.batch.claims import LEASE, Claim, Claims
from dp2.batch.files import FileReport, Report, View, nothing, plain
from dp2.batch.share import share
from dp2.batch.work_folder import Found, Planned, WorkFolder
from dp2.errors import UnreadableMedia, UsageError
from dp2.media.frame_manifest import FrameEntry, FrameManifest, read_manifest
from dp2.prefetch import Prefetch, batched
from dp2.result import Result, Summary
from dp2.sink.frame_folder import write_frame
from dp2.source.frame_folder import read_frame
from dp2.types import Choice, Frame, Image

PASSES = ("accurate", "only", "fast")  # the most thorough first
_CHUNKS = 64  # as many as that in a folder, if it is large enough
_CHUNK = (4, 32)  # frames


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """How a folder of frames is anonymized.

    Attributes:
        settings: all that decides the result, as shown to the user; a folder begun with others is refused.
        search: which pass this is: fast, accurate, or the only one. A pass searches the frames whose results are
            missing; for the others it takes what earlier passes found.
        track: use the anonymizer's tracker.
        synthesize: False shows detections only.
        view: what is written for a result.
        debug: what is written beside it, in the folder `debug`; None = nothing.
        lease: seconds after which a process that gives no sign counts as dead.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    search: str = "only"
    track: bool = True
    synthesize: bool = True
    view: View = plain
    debug: View | None = None
    lease: float = LEASE


def anonymize_frames(
    anonymizer: Anonymizer,
    source: Path,
    target: Path,
    options: FolderOptions,
    report: Report = nothing,
    say: Callable[[str], None] = lambda _: None,
) -> FileReport:
    """Anonymize a folder of frames, together with whichever processes do the same.

    Frames that are done are skipped; a frame whose result was deleted is done again. Returns when all are done.

    Args:
        source: with a manifest; see `dp2.media.frame_manifest`.
        target: another folder.
        options: how.
        report: called for each frame that this process has painted.
        say: called with a line for each step that there is something to do in.

    Raises:
        UsageError: the target is the source, was begun in another way, or holds other files.
        UnreadableMedia: a frame is missing, damaged, or not the one that was searched; nothing is painted where one
            cannot be searched, since who is seen in it tells where people are in others.
        DetectionError, SynthesisError: frames could not be made safe; all others are done.
        OutputError: the disk is full, or the target cannot be written. Frames that are done stay.
    """
    manifest = read_manifest(source)
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the folder of the original frames; name another one.")
    folder = WorkFolder(target, manifest, debug=options.debug is not None)
    folder.begin(options.settings)
    run = _Run(anonymizer, source, folder, options, report)
    before = len(manifest.frames) - run.left
    with Claims(folder.claims, lease=options.lease) as claims:
        key = None
        if before < len(manifest.frames):
            with claims.take(f"worker-{secrets.token_hex(8)}") or nullcontext():  # so that nobody tidies up
                key = run.work(claims, say)
        claims.sweep()
        if not claims.others():
            folder.sweep(key)
    others = len(manifest.frames) - before - run.summary.frames
    notes = [f"{before} of {len(manifest.frames)} frames were done before"] if before else []
    notes += [f"{others} frames were done by other processes"] if others > 0 else []
    return FileReport(source, target, run.summary, tuple(notes))


class _Run:
    """The work of one process."""

    def __init__(
        self, anonymizer: Anonymizer, source: Path, folder: WorkFolder, options: FolderOptions, report: Report
    ) -> None:
        self._anonymizer = anonymizer
        self._kinds = anonymizer.detector.kinds
        self._source = source
        self._folder = folder
        self._manifest: FrameManifest = folder.manifest
        self._options = options
        self._report = report
        self.summary = Summary()
        self.left = sum(not folder.done(entry) for entry in folder.manifest.frames)
        frames = self._manifest.frames
        size = min(max(len(frames) // _CHUNKS, _CHUNK[0]), _CHUNK[1])
        self._chunks = {
            f"{number:08}": range(start, min(start + size, len(frames)))
            for number, start in enumerate(range(0, len(frames), size))
        }

    def work(self, claims: Claims, say: Callable[[str], None]) -> str:
        """All three steps; returns the key of the plan."""
        chunks = list(self._chunks)
        left = sum(len(self._unsearched(chunk)) for chunk in chunks)
        if left:
            say(f"{self._source}: searching {left} frames")
        self._share("search", chunks, claims, lambda chunk: not self._unsearched(chunk), self._search)
        passes = self._passes()
        key = hashlib.sha256(json.dumps([passes, self._options.track]).encode()).hexdigest()[:16]

        def planned(_: str) -> bool:
            return all(self._folder.plan_exists(key, chunk) for chunk in chunks)

        self._share("plan", [key], claims, planned, lambda _, claim: self._plan(key, passes, claim))
        self._share(
            "paint",
            chunks,
            claims,
            lambda chunk: not self._unpainted(chunk),
            lambda chunk, claim: self._paint(key, chunk, claim),
        )
        return key

    def _share(
        self,
        step: str,
        tasks: Sequence[str],
        claims: Claims,
        done: Callable[[str], bool],
        work: Callable[[str, Claim], None],
    ) -> None:
        def name(task: str) -> str:
            return task.removeprefix(f"{step}-")

        errors = share(
            [f"{step}-{task}" for task in tasks],
            claims,
            done=lambda task: done(name(task)),
            work=lambda task, claim: work(name(task), claim),
        )
        if len(errors) == 1:
            raise errors[0]
        if errors:
            kind = type(errors[0]) if len({type(error) for error in errors}) == 1 else UnreadableMedia
            raise kind(" ".join(str(error) for error in errors[:3]) + f" ({len(errors)} such errors)")

    def _unsearched(self, chunk: str) -> list[int]:
        """Frames that this pass has to search: their result is missing, or no pass has searched them."""
        return [index for index in self._chunks[chunk] if self._is_unsearched(self._manifest.frames[index])]

    def _is_unsearched(self, entry: FrameEntry) -> bool:
        if self._folder.is_found(self._options.search, entry):
            return False
        return not self._folder.written(entry) or not any(self._folder.is_found(search, entry) for search in PASSES)

    def _unpainted(self, chunk: str) -> list[int]:
        return [index for index in self._chunks[chunk] if not self._folder.done(self._manifest.frames[index])]

    def _search(self, chunk: str, claim: Claim) -> None:
        for batch in batched(self._unsearched(chunk), self._anonymizer.batch_size):
            read = [read_frame(self._source / self._manifest.frames[i].name, self._manifest.info) for i in batch]
            frames = [self._frame(index, image) for index, (image, _) in zip(batch, read, strict=True)]
            found = self._anonymizer.detect_frames(frames)
            for index, (_, digest), detections in zip(batch, read, found, strict=True):
                entry = self._manifest.frames[index]
                self._folder.write_found(self._options.search, entry, Found(digest, detections))
            if not claim.held:
                return

    def _passes(self) -> list[str]:
        """For each frame the most thorough pass that has searched it."""
        found = self._folder.is_found
        return [next(search for search in PASSES if found(search, entry)) for entry in self._manifest.frames]

    def _plan(self, key: str, passes: Sequence[str], claim: Claim) -> None:
        digests: dict[int, str] = {}
        with closing(self._planned(passes, digests)) as planned:
            for chunk, indices in self._chunks.items():
                frames = []
                for index in indices:
                    found, choice = next(planned)
                    frames.append(Planned(digests.pop(index), found, choice))
                self._folder.write_plan(key, chunk, frames)
                if not claim.held:
                    return

    def _planned(
        self, passes: Sequence[str], digests: dict[int, str]
    ) -> Generator[tuple[FrameDetections, Choice | None], None, None]:
        """For each frame its finished detections, and the choice if there is a chooser, who needs the pixels."""

        def detect(frames: Sequence[Frame]) -> list[FrameDetections]:
            return [self._read_found(frame.index, passes, digests) for frame in frames]

        track = self._options.track
        chooser = self._anonymizer.chooser
        if chooser is None:
            with closing(self._anonymizer.follow(self._blank(), track=track, detect=detect)) as followed:
                for _, found in followed:
                    yield found, None
            return
        study = chooser.study()
        if study is not None:
            for frame, found in self._anonymizer.follow(self._pixels(passes), track=track, detect=detect):
                study.observe(frame, found)
        chosen = Recorded(chooser.start() if study is None else study.decide())
        results = self._anonymizer.process(
            self._pixels(passes), track=track, detect=detect, synthesize=False, choose=chosen
        )
        with closing(results):
            for result in results:
                yield result.detections, chosen.choices.popleft()

    def _read_found(self, index: int, passes: Sequence[str], digests: dict[int, str]) -> FrameDetections:
        found = self._folder.read_found(passes[index], self._manifest.frames[index], self._kinds)
        digests[index] = found.digest
        return found.detections

    def _pixels(self, passes: Sequence[str]) -> Iterator[Frame]:
        for index, entry in enumerate(self._manifest.frames):
            yield self._searched_frame(index, self._folder.read_found(passes[index], entry, self._kinds).digest)

    def _blank(self) -> Iterator[Frame]:
        """Frames without pixels of their own, for who looks only at size and time."""
        info = self._manifest.info
        nobody: Image = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (info.height, info.width, 3))
        for index in range(len(self._manifest.frames)):
            yield self._frame(index, nobody)

    def _frame(self, index: int, image: Image) -> Frame:
        entry: FrameEntry = self._manifest.frames[index]
        return Frame(image, index, entry.time, entry.duration)

    def _paint(self, key: str, chunk: str, claim: Claim) -> None:
        indices = self._chunks[chunk]
        plan = dict(zip(indices, self._folder.read_plan(key, chunk, self._kinds, len(indices)), strict=True))
        todo = self._unpainted(chunk)

        def frames() -> Iterator[Frame]:
            for index in todo:
                yield self._searched_frame(index, plan[index].digest)

        with Prefetch(frames(), size=2 * self._anonymizer.batch_size) as ahead:
            results = self._anonymizer.process(
                ahead,
                track=False,
                detect=lambda batch: [plan[frame.index].detections for frame in batch],
                synthesize=self._options.synthesize,
                choose=AsPlanned({index: frame.choice for index, frame in plan.items()}),
            )
            with closing(results):
                for result in results:
                    if not claim.held:
                        return
                    self._write(result)

    def _searched_frame(self, index: int, digest: str) -> Frame:
        path = self._source / self._manifest.frames[index].name
        image, own = read_frame(path, self._manifest.info)
        if own != digest:
            raise UnreadableMedia(
                f"{path}: is not the frame that was searched; delete {self._folder.folder} to begin again."
            )
        return self._frame(index, image)

    def _write(self, result: Result) -> None:
        entry = self._manifest.frames[result.frame.index]
        if self._options.debug is not None:
            write_frame(self._folder.debug_output(entry), self._options.debug(result))
        write_frame(self._folder.output(entry), self._options.view(result))
        self.summary.add(result)
        self._report(result, self.left)
