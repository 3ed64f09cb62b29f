"""`dp2 frames`: a video as a folder of frames, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from dp2.cli.command import GroupedCommand

if TYPE_CHECKING:
    from dp2.media.frame_manifest import FrameManifest
    from dp2.media.video_info import VideoInfo
    from dp2.stages import Sink
    from dp2.types import Frame

T = TypeVar("T")
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_RATE = click.FloatRange(min=0, min_open=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def frames() -> None:
    """A video as a folder of frames, and back.

    In between, `anonymize.py -i FRAMES -o OUT` anonymizes the folder: any number of processes at a time, and again
    for the results that you have deleted.
    """


@frames.command(cls=GroupedCommand)
@click.argument("video", type=_FILE)
@click.argument("folder", type=_FOLDER)
@click.option("--fps", type=_RATE, help="Resample to this constant rate.  [default: every frame, at its own time]")
@click.option("--width", type=click.IntRange(2, 32_768), metavar="PIXELS", help="Scale to this width.")
@click.option("--overlay-time", is_flag=True, help="Write each frame's time into its lower right corner.")
def split(video: Path, folder: Path, fps: float | None, width: int | None, overlay_time: bool) -> None:
    """Write the frames of VIDEO as PNG files into FOLDER, with a manifest of their exact times."""
    from dataclasses import replace

    from dp2.sink.frame_folder import FrameFolderSink
    from dp2.sink.frame_time import draw_time
    from dp2.source.open import open_source
    from dp2.source.scaled import scale_to_width, scaled

    _check_rate(fps)
    source = open_source(video, fps=fps)
    info = source.info if width is None else scale_to_width(source.info, width)

    def drawn(frame: Frame) -> Frame:
        image = scaled(frame.image, info)
        return replace(frame, image=draw_time(image, frame.time) if overlay_time else image)

    count = _write(map(drawn, _shown(source, info.frames, "splitting")), FrameFolderSink(folder, info))
    for note in source.notes:
        click.echo(f"{video}: {note}", err=True)
    click.echo(f"{video} -> {folder}: {count} frames", err=True)


@frames.command(cls=GroupedCommand)
@click.argument("folder", type=_FOLDER)
@click.argument("video", type=_FILE)
@click.option("--fps", type=_RATE, help="Show them at this constant rate.  [default: each at its own time]")
@click.option("--crf", type=click.IntRange(0, 63), help="Quality of the encoder, lower is better.")
@click.option("--audio-from", type=_FILE, metavar="FILE", help="Copy the sound of this file, packet by packet.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def join(
    folder: Path, video: Path, fps: float | None, crf: int | None, audio_from: Path | None, overwrite: bool
) -> None:
    """Write the frames in FOLDER as VIDEO. It is refused as long as one of them is missing."""
    from dp2.batch.work_folder import WorkFolder
    from dp2.errors import UsageError
    from dp2.media.frame_manifest import read_manifest
    from dp2.sink.encoder import Encoding
    from dp2.sink.naming import check_apart
    from dp2.sink.open import open_sink
    from dp2.source.frame_folder import FrameFolderSource

    _check_rate(fps)
    if fps is not None and audio_from is not None:
        raise UsageError("--fps and --audio-from exclude each other: at another rate the sound would not fit.")
    if audio_from is not None:
        check_apart([audio_from], [video])
    manifest = _at_rate(read_manifest(folder), fps)
    source = FrameFolderSource(folder, manifest)
    sink = open_sink(
        video,
        _with_sound(source.info, audio_from),
        encoding=Encoding.from_options(crf=crf),
        keep_audio=audio_from is not None,
        overwrite=overwrite,
    )
    count = _write(_shown(source, source.info.frames, "joining"), sink)
    if WorkFolder(folder, manifest).shows_originals():
        click.echo(f"{folder}: these frames were not anonymized by dp2; people in {video} may be recognised.", err=True)
    click.echo(f"{folder} -> {video}: {count} frames", err=True)


def _write(frames: Iterable[Frame], sink: Sink) -> int:
    """All frames; returns how many. The output becomes visible only if all goes well."""
    count = 0
    try:
        for frame in frames:
            sink.write(frame)
            count += 1
        sink.finish()
    except BaseException:
        sink.discard()
        raise
    return count


def _check_rate(fps: float | None) -> None:
    import math

    from dp2.errors import UsageError

    if fps is not None and not math.isfinite(fps):
        raise UsageError(f"--fps {fps}: must be a finite number.")


def _at_rate(manifest: FrameManifest, fps: float | None) -> FrameManifest:
    from dp2.source.timing import exact_rate

    return manifest if fps is None else manifest.at_rate(exact_rate(fps))


def _with_sound(info: VideoInfo, audio_from: Path | None) -> VideoInfo:
    """Where the sound comes from, and by how much its times differ from the frames'."""
    from dataclasses import replace

    from dp2.errors import UnreadableMedia, UsageError
    from dp2.source.probe import audio_codecs, probe

    if audio_from is None:
        return info
    if not audio_codecs(audio_from):
        raise UsageError(f"{audio_from}: has no sound; leave out --audio-from.")
    try:
        origin = probe(audio_from)[0].origin
    except UnreadableMedia:  # sound alone
        return replace(info, path=audio_from)
    return replace(info, path=audio_from, origin=origin)


def _shown(items: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """With a bar where stderr is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, what, total=total, console=console, transient=True, disable=not console.is_terminal)
