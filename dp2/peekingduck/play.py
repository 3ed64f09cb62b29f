"""Runs a pipeline on one input: read, turn as the input node says, anonymize, draw, show, write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from dp2.anonymizer import Anonymizer
from dp2.batch.files import FileReport, Report, nothing, writing
from dp2.errors import UnreadableMedia
from dp2.media.video_info import VideoInfo
from dp2.peekingduck.drawing import Drawing
from dp2.peekingduck.nodes import Visual
from dp2.peekingduck.plan import Plan
from dp2.prefetch import Prefetch
from dp2.result import Result, Summary
from dp2.types import Frame, Image


class Shows(Protocol):
    """A screen; see `dp2.peekingduck.screen`."""

    def show(self, image: Image) -> None: ...

    def hold(self) -> None: ...


@dataclass
class Player:
    """Plays inputs through one pipeline.

    Attributes:
        anonymizer: as the plan's config builds it.
        plan: what to do.
        screen: where results are shown, or None.
        overwrite: replace existing files.
        report: called with each result and the number to expect.
    """

    anonymizer: Anonymizer
    plan: Plan
    screen: Shows | None = None
    overwrite: bool = False
    report: Report = nothing

    def __post_init__(self) -> None:
        self._view = Drawing(self.plan)

    @property
    def _synthesize(self) -> bool:
        return self.plan.redaction is not None

    def photo(self, source: Path, target: Path | None) -> FileReport:
        """One picture; where nothing is written it stays on the screen until a key is pressed.

        Raises:
            MediaError: it cannot be read or written; nothing is left at `target`.
            DetectionError, SynthesisError: it could not be made safe.
        """
        from dp2.sink.image import write_image
        from dp2.source.image import read_image

        picture, summary = read_image(source), Summary()
        alpha = None if picture.alpha is None else turned(picture.alpha, self.plan.source)
        result, alpha = self.anonymizer.anonymize_picture(
            turned(picture.image, self.plan.source), alpha, synthesize=self._synthesize
        )
        image = self._shown(result, summary, 1)
        notes: tuple[str, ...] = ()
        if target is not None:
            notes = write_image(target, image, like=replace(picture, alpha=alpha), overwrite=self.overwrite)
        elif self.screen is not None:
            self.screen.hold()
        return FileReport(source, target or source, summary, (*picture.notes, *notes))

    def video(self, source: Path, target: Path | None) -> FileReport:
        """A video or an animation.

        Raises:
            MediaError: it cannot be read to its end or written; nothing is left at `target`.
            DetectionError, SynthesisError: a frame could not be made safe.
        """
        from dp2.source.open import open_source

        stream, summary = open_source(source), Summary()
        with Prefetch(self._turned(stream), size=2 * self.anonymizer.batch_size) as frames:
            self._run(frames, stream.info, target, summary, live=False)
        if summary.frames == 0:
            raise UnreadableMedia(f"{source}: holds no frame. Nothing was written.")
        return FileReport(source, target or source, summary, tuple(stream.notes))

    def camera(self, device: str, target: Path | None) -> FileReport:
        """A camera or stream, until it ends, Ctrl-C, or q in the window; what was recorded until then is kept.

        Raises:
            MediaError: there is no such camera, or the file cannot be written.
            DetectionError, SynthesisError: a frame could not be made safe.
        """
        from dp2.source.camera import CameraSource, without_password

        summary, name = Summary(), Path(without_password(device))
        with CameraSource(device) as camera:
            self._run(self._turned(camera), camera.info, target, summary, live=True)
        return FileReport(name, target or name, summary)

    def _run(
        self, frames: Iterable[Frame], info: VideoInfo, target: Path | None, summary: Summary, *, live: bool
    ) -> None:
        from dp2.sink.open import open_sink

        info = _resized(info, self.plan.source)
        with contextlib.ExitStack() as stack:
            writer = None
            if target is not None:
                writer = stack.enter_context(writing(open_sink(target, info, overwrite=self.overwrite)))
            results = self.anonymizer.process(frames, live=live, synthesize=self._synthesize)
            # A live recording that is ended is whole; a file that is not played to its end is not written.
            ended = contextlib.suppress(KeyboardInterrupt) if live or target is None else contextlib.nullcontext()
            with ended, contextlib.closing(results):
                for result in results:
                    image = self._shown(result, summary, None if live else info.frames)
                    if writer is not None:
                        writer.write(replace(result.frame, image=image))

    def _shown(self, result: Result, summary: Summary, total: int | None) -> Image:
        image = self._view(result)
        summary.add(result)
        self.report(result, total)
        if self.screen is not None:
            self.screen.show(image)
        return image

    def _turned(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield replace(frame, image=turned(frame.image, self.plan.source))


def turned(image: Image, source: Visual) -> Image:
    """A picture, (H, W, 3) or (H, W) uint8, mirrored and stretched as the input node says."""
    if source.mirror_image:
        image = np.asarray(cv2.flip(image, 1), np.uint8)
    if source.resize.do_resizing:
        size = (source.resize.width, source.resize.height)
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return image


def _resized(info: VideoInfo, source: Visual) -> VideoInfo:
    if not source.resize.do_resizing:
        return info
    return replace(info, width=source.resize.width, height=source.resize.height)
