"""From a file to an anonymized file: what the command line, notebooks and servers call for each input."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from dp2.anonymizer import Anonymizer, Detect, FrameDetections
from dp2.batch.study import studied
from dp2.detections.formats import GivenFile, SavedFile, check_kinds
from dp2.detections.sealed import open_sealed, seal
from dp2.detections.stored import DetectionWriter, cache_folder, cache_key
from dp2.errors import UnreadableMedia
from dp2.prefetch import BackgroundSink, Prefetch
from dp2.result import Result, Summary
from dp2.sink.atomic import atomic_path
from dp2.stages import Sink, StreamChooser
from dp2.types import Frame, Image

if TYPE_CHECKING:
    from dp2.sink.encoder import Encoding
    from dp2.source.animation import AnimationSource
    from dp2.source.video import VideoSource

View = Callable[[Result], Image]
Report = Callable[[Result, int | None], None]  # called with each result and the number of frames to expect, if known


def plain(result: Result) -> Image:
    """The anonymized picture as it is."""
    return result.image


def nothing(_: Result, __: int | None) -> None:
    """For callers who do not follow the progress."""


class _Steps(TypedDict, total=False):
    """Arguments of `Anonymizer.process`."""

    track: bool
    detect: Detect
    choose: StreamChooser


@dataclass(frozen=True, kw_only=True)
class Options:
    """How files are read and written.

    Attributes:
        overwrite: replace an existing output.
        keep_metadata: carry EXIF, XMP, comments and container tags over (never the thumbnail).
        keep_audio: copy the sound of a video.
        quality: of JPEG, WebP, AVIF and HEIC pictures, 1-100; None = as the input's, else 95.
        max_pixels: larger pictures are refused.
        start, end: of a video, in seconds.
        fps: resample a video to this constant rate.
        max_res: scale down so that no side is longer.
        salvage: write what was whole of a damaged video.
        encoding: codec, quality and preset of a video.
        track: use the anonymizer's tracker in videos.
        synthesize: False shows detections only.
        cache: keep the detector's answers on disk and use those that fit.
        detections: take these in the detector's place.
        save: write what was acted on.
        view: what is written for a result, e.g. with an overlay.
    """

    overwrite: bool = False
    keep_metadata: bool = False
    keep_audio: bool = False
    quality: int | None = None
    max_pixels: int = 210_000_000
    start: float | None = None
    end: float | None = None
    fps: float | None = None
    max_res: int | None = None
    salvage: bool = False
    encoding: Encoding | None = None
    track: bool = True
    synthesize: bool = True
    cache: bool = False
    detections: GivenFile | None = None
    save: SavedFile | None = None
    view: View = field(default=plain)


@dataclass(frozen=True)
class FileReport:
    """What became of one input.

    Attributes:
        source, target: the files.
        summary: counts.
        notes: words to be said, e.g. that 16 bits became 8.
    """

    source: Path
    target: Path
    summary: Summary
    notes: tuple[str, ...] = ()


def anonymize_image(
    anonymizer: Anonymizer, source: Path, target: Path, options: Options, report: Report = nothing
) -> FileReport:
    """Anonymize a photo.

    Raises:
        MediaError: it cannot be read or written; nothing is left at `target`.
        DetectionError, SynthesisError: it could not be made safe.
    """
    from dp2.sink.image import write_image
    from dp2.source.image import read_image

    picture = read_image(source, max_pixels=options.max_pixels)
    summary = Summary()
    pixels = fit(picture.image, options.max_res)
    alpha = None if picture.alpha is None else fit(picture.alpha, options.max_res)
    with _detect(anonymizer, source, options) as detect:
        result, alpha = anonymizer.anonymize_picture(
            pixels, alpha, detect=detect, search_alpha=options.detections is None, synthesize=options.synthesize
        )
    notes = write_image(
        target,
        options.view(result),
        like=replace(picture, alpha=alpha),
        quality=options.quality,
        keep_metadata=options.keep_metadata,
        overwrite=options.overwrite,
    )
    _count(result, summary, options, str(source), report, 1)
    return FileReport(source, target, summary, (*picture.notes, *notes))


def anonymize_video(
    anonymizer: Anonymizer, source: Path, target: Path, options: Options, report: Report = nothing
) -> FileReport:
    """Anonymize a video or an animation; decoding, detecting, painting and encoding overlap.

    Raises:
        MediaError: it cannot be read to its end or written; nothing is left at `target`.
        DetectionError, SynthesisError: a frame could not be made safe.
    """
    from dp2.sink.open import open_sink

    span = {"start": options.start, "end": options.end}
    stream = _open(source, options)
    sink = open_sink(
        target,
        stream.info,
        encoding=options.encoding,
        keep_audio=options.keep_audio,
        keep_metadata=options.keep_metadata,
        overwrite=options.overwrite,
        **span,
    )
    summary = Summary()
    with writing(sink) as writer:
        with _decided(anonymizer, source, options) as steps, Prefetch(stream, size=2 * anonymizer.batch_size) as frames:
            results = anonymizer.process(frames, synthesize=options.synthesize, **steps)
            for result in results:
                writer.write(replace(result.frame, image=options.view(result)))
                _count(result, summary, options, str(source), report, stream.info.frames)
        if summary.frames == 0:
            raise UnreadableMedia(f"{source}: no frame lies in the chosen time span. Nothing was written.")
    return FileReport(source, target, summary, tuple(stream.notes))


def anonymize_camera(
    anonymizer: Anonymizer, device: str, target: Path | None, options: Options, report: Report = nothing
) -> FileReport:
    """Anonymize a camera or stream live, until it ends or KeyboardInterrupt; the newest frame wins.

    Args:
        device: `cam`, `<video0>`, a device or a URL.
        target: a video file, or None where the results are only shown by `report`.

    Raises:
        MediaError: there is no such camera, or the file cannot be written.
        DetectionError, SynthesisError: a frame could not be made safe.
    """
    from dp2.sink.open import open_sink
    from dp2.source.camera import CameraSource, without_password

    summary = Summary()
    with CameraSource(device, max_res=options.max_res) as camera, contextlib.ExitStack() as stack:
        writer = None
        if target is not None:
            sink = open_sink(target, camera.info, encoding=options.encoding, overwrite=options.overwrite)
            writer = stack.enter_context(writing(sink))
        results = anonymizer.process(
            camera, track=options.track, live=True, detect=anonymizer.detect_frames, synthesize=options.synthesize
        )
        with contextlib.suppress(KeyboardInterrupt), contextlib.closing(results):  # how a user ends a live stream
            for result in results:
                if writer is not None:
                    writer.write(replace(result.frame, image=options.view(result)))
                _count(result, summary, options, without_password(device), report, None)
    return FileReport(Path(without_password(device)), Path(target or without_password(device)), summary)


@contextlib.contextmanager
def writing(sink: Sink) -> Iterator[BackgroundSink]:
    """Encodes behind the caller; the file becomes visible if the block ends well, else nothing is left of it."""
    writer = BackgroundSink(sink)
    try:
        yield writer
        writer.finish()
    except BaseException:
        writer.discard()
        raise


def fit(image: Image, max_res: int | None) -> Image:
    """Scale down so that no side is longer than `max_res`; (H, W, 3) or (H, W) uint8."""
    import cv2

    longest = max(image.shape[:2])
    if max_res is None or longest <= max_res:
        return image
    height, width = (max(1, round(side * max_res / longest)) for side in image.shape[:2])
    shrunk: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return shrunk


def _count(result: Result, summary: Summary, options: Options, name: str, report: Report, total: int | None) -> None:
    summary.add(result)
    if options.save is not None:
        options.save.write(name, result.frame, result.detections)
    report(result, total)


@contextlib.contextmanager
def _detect(anonymizer: Anonymizer, source: Path, options: Options) -> Iterator[Detect]:
    """Where detections come from: a file, the cache, or the detector (whose answers then go into the cache)."""
    kinds = anonymizer.detector.kinds
    if options.detections is not None:
        check_kinds(options.detections, kinds)
        yield _stored(options.detections, options.detections.resolve(source), kinds)
        return
    if not options.cache:
        yield anonymizer.detect_frames
        return
    decides = {
        "detector": anonymizer.detector.settings,
        "relax": 1.0 if anonymizer.tracker is None else anonymizer.tracker.relax,
        "frames": [options.start, options.end, _rate(options), options.max_res, options.salvage],
    }
    path = cache_folder() / f"{cache_key(source, decides)}.jsonl"
    cached = open_sealed(path)
    if cached is not None:
        with contextlib.closing(cached):
            yield _stored(cached, "", kinds)
        return
    # The cache becomes visible only when the whole file went well, so it never lacks frames.
    with atomic_path(path, overwrite=True) as part:
        with part.open("w", encoding="utf-8") as file:
            yield _recording(anonymizer.detect_frames, DetectionWriter(file))
        seal(part)


@contextlib.contextmanager
def _decided(anonymizer: Anonymizer, source: Path, options: Options) -> Iterator[_Steps]:
    """How a video is processed: at once, or, if who somebody is shows better in the whole of it, after a study."""
    with _detect(anonymizer, source, options) as detect:
        study = None if anonymizer.chooser is None else anonymizer.chooser.study()
        if study is None:
            yield {"track": options.track, "detect": detect}
            return
        with contextlib.ExitStack() as stack:
            with Prefetch(_open(source, options), size=2 * anonymizer.batch_size) as frames:
                seen = studied(anonymizer, frames, study, track=options.track, detect=detect)
                known, choose = stack.enter_context(seen)
            yield {"track": False, "detect": known, "choose": choose}


def _open(source: Path, options: Options) -> VideoSource | AnimationSource:
    from dp2.source.open import open_source

    return open_source(
        source,
        start=options.start,
        end=options.end,
        fps=_rate(options),
        max_res=options.max_res,
        salvage=options.salvage,
        max_pixels=options.max_pixels,
    )


def _rate(options: Options) -> float | Fraction | None:
    """To which a video is resampled: by `fps`, else by the encoding."""
    return options.fps if options.fps is not None or options.encoding is None else options.encoding.fps


def _stored(stored: GivenFile, medium: str, kinds: Sequence[str]) -> Detect:
    def detect(frames: Sequence[Frame]) -> list[FrameDetections]:
        return [stored.lookup(medium, frame, kinds) for frame in frames]

    return detect


def _recording(detect: Detect, writer: DetectionWriter) -> Detect:
    def recorded(frames: Sequence[Frame]) -> list[FrameDetections]:
        found = detect(frames)
        for frame, detections in zip(frames, found, strict=True):
            writer.write("", frame, detections)
        return found

    return recorded
