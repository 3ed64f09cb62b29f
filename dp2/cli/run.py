"""A run of the command line: what was asked for, input by input, to the closing line and the exit code."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dp2.cli.inputs import CAMERA, FRAMES, Collected, Job, collect, parse_request
from dp2.cli.report import Record, RunReport
from dp2.errors import Dp2Error, UsageError

if TYPE_CHECKING:
    from dp2.anonymizer import Anonymizer
    from dp2.batch.frame_folder import FolderOptions
    from dp2.cli.progress import Progress
    from dp2.files import FileReport, Options


_FILES_ONLY = (
    ("start", "--start-time"),
    ("end", "--end-time"),
    ("fps", "--fps"),
    ("cache", "--cache"),
    ("detections", "--detections"),
    ("keep_audio", "--keep-audio"),
    ("keep_metadata", "--keep-metadata"),
    ("salvage", "--salvage"),
)


def run(options: Mapping[str, Any]) -> int:
    """Do what the command line says.

    Args:
        options: the values of `dp2.cli.anonymize`'s parameters.

    Returns:
        the exit code: 0 all done; 1 some input failed, the others are finished; 2 they failed by wrong usage alone.

    Raises:
        UsageError: what is asked for contradicts itself; nothing was done.
    """
    from dp2.anonymizer import build_anonymizer
    from dp2.cli.fetching import fetch_missing
    from dp2.cli.frame_job import folder_options
    from dp2.cli.progress import Progress
    from dp2.cli.tree import config_tree
    from dp2.weights.needs import check_extras

    prepare_process()
    request = parse_request(options)
    tree = config_tree(request, options)
    inputs = collect(request)
    _check(options, inputs, request.config)
    report = RunReport(config=request.config, overrides=request.overrides)
    with contextlib.ExitStack() as stack:
        settings = _settings(options, stack)
        frames = folder_options(request, options) if inputs.jobs and inputs.jobs[0].kind == FRAMES else None
        given = settings.detections is not None
        check_extras(tree, request.config, detector=not given)
        fetch_missing(tree, offline=options["offline"], detector=not given)
        anonymizer = build_anonymizer(tree, request.config, detections_given=given)
        preview = options["preview"] or (inputs.jobs and inputs.jobs[0].target is None)
        progress = stack.enter_context(Progress(len(inputs.jobs), preview=bool(preview)))
        for path in inputs.others:
            progress.say(f"{path}: neither a photo nor a video; not copied.")
            report.records.append(Record(str(path), status="skipped"))
        unusable = [(path, "the folder cannot be looked into; check its permissions") for path in inputs.unreadable]
        unusable += [(path, "the folder holds neither photos nor videos") for path in inputs.empty]
        for path, reason in unusable:
            progress.say(f"error: {path}: {reason}.")
            report.records.append(Record(str(path), status="failed", error=reason))
        for job in inputs.jobs:
            report.records.append(_one(anonymizer, job, frames or settings, progress))
    report.seconds = progress.seconds
    if options["report_json"] is not None:
        report.write(options["report_json"])
    click.echo(report.closing_line(), err=True)
    failed = [record for record in report.records if record.status == "failed"]
    return 0 if not failed else UsageError.exit_code if all(record.misused for record in failed) else 1


def _check(options: Mapping[str, Any], inputs: Collected, config: str) -> None:
    """What can be known to be wrong before any work is done."""
    from dp2.cli.frame_job import check_frame_options
    from dp2.sink.naming import check_apart

    for name in ("start", "end", "fps"):
        if options[name] is not None and not math.isfinite(options[name]):
            raise UsageError(f"{dict(_FILES_ONLY)[name]} {options[name]}: must be a finite number.")
    read = [Path(job.source) for job in inputs.jobs if job.kind != CAMERA]
    read += [Path(options[name]) for name in ("detections", "replaceimg") if options[name] is not None]
    read += [Path(config)] if config.endswith(".py") else []
    targets = [job.target for job in inputs.jobs if job.target is not None]
    check_apart(read, [*targets, *(options[n] for n in ("report_json", "save_detections") if options[n] is not None)])
    report = options["report_json"]
    if report is not None and report.exists() and not options["overwrite"]:
        raise UsageError(f"{report}: exists already; use --overwrite to replace it.")
    if any(job.kind == FRAMES for job in inputs.jobs):
        check_frame_options(options)
    elif options["debug"]:
        raise UsageError("--debug: for folders of frames only; see --visualize-detection and --draw-scores.")
    if any(job.kind == CAMERA for job in inputs.jobs):
        given = [shown for name, shown in _FILES_ONLY if options[name] not in (None, False)]
        if given:
            raise UsageError(f"{', '.join(given)}: for files only, not for a camera or stream.")


def _one(anonymizer: Anonymizer, job: Job, settings: Options | FolderOptions, progress: Progress) -> Record:
    """One input; what goes wrong with it is said and does not stop the others."""
    began = time.perf_counter()
    record = Record(job.name, None if job.target is None else str(job.target))
    try:
        with progress.job(job) as shown:
            done = _anonymize(anonymizer, job, settings, shown, progress.say)
        record.summary, record.notes = done.summary, done.notes
        progress.say(f"{job.name} -> {job.target}: {done.summary}", *(f"{job.name}: {note}" for note in done.notes))
    except Dp2Error as error:
        record.status, record.error, record.misused = "failed", str(error), isinstance(error, UsageError)
        progress.say(f"error: {error}")
    except OSError as error:
        record.status, record.error = "failed", f"{job.name}: {error.strerror or error}"
        progress.say(f"error: {record.error}")
    except MemoryError:
        record.status, record.error = "failed", f"{job.name}: not enough memory; try --max-res. Nothing was written."
        progress.say(f"error: {record.error}")
    record.seconds = time.perf_counter() - began
    return record


def _anonymize(
    anonymizer: Anonymizer, job: Job, settings: Options | FolderOptions, shown: Any, say: Callable[[str], None]
) -> FileReport:
    from dp2 import files
    from dp2.batch.frame_folder import FolderOptions, anonymize_frames

    if isinstance(settings, FolderOptions):
        return anonymize_frames(anonymizer, Path(job.source), Path(str(job.target)), settings, shown, say)
    if job.kind == CAMERA:
        return files.anonymize_camera(anonymizer, str(job.source), job.target, settings, shown)
    if job.target is None:
        raise UsageError(f"{job.name}: no output is named.")
    work = files.anonymize_image if job.kind == "image" else files.anonymize_video
    return work(anonymizer, Path(job.source), job.target, settings, shown)


def _settings(options: Mapping[str, Any], stack: contextlib.ExitStack) -> Options:
    from dp2.detect.formats import detection_writer, open_detections
    from dp2.files import Options
    from dp2.sink.atomic import atomic_path
    from dp2.sink.encoder import Encoding

    if options["detections"] is not None and options["cache"]:
        raise UsageError("--detections and --cache exclude each other: the file takes the detector's place.")
    start, end = options["start"], options["end"]
    if start is not None and end is not None and end <= start:
        raise UsageError(f"--end-time {end:g} is not after --start-time {start:g}.")
    stored = None
    if options["detections"] is not None:
        stored = open_detections(options["detections"])
        stack.callback(stored.close)
    save = None
    if options["save_detections"] is not None:
        part = stack.enter_context(atomic_path(options["save_detections"], overwrite=options["overwrite"]))
        file = stack.enter_context(part.open("w", encoding="utf-8"))
        save = detection_writer(options["save_detections"], file)
        stack.callback(save.finish)
    track = options["track"] if options["track"] is not None else stored is None
    return Options(
        **{name: options[name] for name in ("overwrite", "keep_metadata", "keep_audio", "max_pixels")},
        quality=options["quality"] if isinstance(options["quality"], int) else None,
        **{name: options[name] for name in ("fps", "max_res", "salvage", "cache")},
        start=start,
        end=end,
        encoding=Encoding.from_options(
            codec=options["codec"], crf=options["crf"], preset=options["preset"], ffmpeg_config=options["ffmpeg_config"]
        ),
        track=track,
        synthesize=not options["detections_only"],
        detections=stored,
        save=save,
        view=_view(options),
    )


def _view(options: Mapping[str, Any]) -> Any:
    from dp2 import files
    from dp2.cli.view import Overlay

    if options["detections_only"] or options["draw_scores"] or options["legend"]:
        return Overlay(everything=options["detections_only"], scores=options["draw_scores"], legend=options["legend"])
    return files.plain


def prepare_process() -> None:
    """Warnings go to stderr, and being terminated cleans up."""
    _log_to_stderr()
    _interrupt_on_termination()


def _interrupt_on_termination() -> None:
    for name in ("SIGTERM", "SIGHUP"):  # the latter: the terminal was closed; Windows has none
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    """Being terminated cleans up as Ctrl-C does: nothing half-written stays."""
    raise KeyboardInterrupt


def _log_to_stderr() -> None:
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    warnings.filterwarnings("ignore", module="PIL")  # on damaged EXIF, which dp2 reports itself
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
