"""A run of the command line: what was asked for, input by input, to the closing line and the exit code."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dp2.cli.command import INTERRUPTED, Terminated
from dp2.cli.inputs import ANIMATION, CAMERA, FRAMES, IMAGE, VIDEO, Collected, Job, Request, collect, parse_request
from dp2.cli.library_lines import captured_library_lines, is_ours
from dp2.cli.report import Record, RunReport
from dp2.errors import OutputError, UsageError
from dp2.failures import failure_of, wants_tracebacks

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from dp2.anonymizer import Anonymizer
    from dp2.batch.files import FileReport, Options
    from dp2.batch.frame_folder import FolderOptions
    from dp2.cli.progress import Bar, Progress


# Options that change nothing without an input of these kinds.
_MOVING = {VIDEO, ANIMATION, CAMERA}
_NEEDED = (
    ("keep_audio", "--keep-audio", {VIDEO}),
    ("start", "--start-time", {VIDEO, ANIMATION}),
    ("end", "--end-time", {VIDEO, ANIMATION}),
    ("fps", "--fps", {VIDEO, ANIMATION}),
    ("salvage", "--salvage", {VIDEO, ANIMATION}),
    ("codec", "--codec", _MOVING),
    ("crf", "--crf", _MOVING),
    ("preset", "--preset", _MOVING),
    ("ffmpeg_config", "--ffmpeg-config", _MOVING),
)
_FILES_ONLY = (
    ("start", "--start-time"),
    ("end", "--end-time"),
    ("fps", "--fps"),
    ("cache", "--cache"),
    ("detections", "--detections"),
    ("keep_audio", "--keep-audio"),
    ("keep_metadata", "--keep-metadata"),
    ("salvage", "--salvage"),
    ("deinterlace", "--deinterlace"),
)


def run(options: Mapping[str, Any]) -> int:
    """Do what the command line says.

    Args:
        options: the values of `dp2.cli.commands.anonymize`'s parameters.

    Returns:
        the exit code: 0 all done; 1 some input failed, the others are finished; 2 they failed by wrong usage alone;
        130 stopped by Ctrl-C.

    Raises:
        UsageError: what is asked for contradicts itself; nothing was done.
    """
    prepare_process()
    with captured_library_lines():
        return _run(options)


def _run(options: Mapping[str, Any]) -> int:
    from dp2.cli.config_tree import config_tree
    from dp2.sink.parts import sweep_parts

    began = time.perf_counter()
    request = parse_request(options)
    tree = config_tree(request, options)
    inputs = collect(request)
    _check(options, inputs, request.config)
    for folder in {job.target.parent for job in inputs.jobs if job.target is not None}:
        sweep_parts(folder)
    report = RunReport(config=request.config, overrides=request.overrides)
    stopped = False
    try:
        _work(options, request, tree, inputs, report)
    except Terminated:
        raise
    except KeyboardInterrupt:
        stopped = True
        left = inputs.jobs[sum(record.job for record in report.records) :]
        click.echo(_stopped(left), err=True)
        report.records += [Record(job.name, None, status="stopped") for job in left]
    report.seconds = time.perf_counter() - began
    if options["report_json"] is not None:
        report.write(options["report_json"])
    click.echo(report.closing_line(), err=True)
    failed = [record for record in report.records if record.status == "failed"]
    if stopped:
        return INTERRUPTED
    return 0 if not failed else UsageError.exit_code if all(record.misused for record in failed) else 1


def _work(options: Mapping[str, Any], request: Request, tree: DictConfig, inputs: Collected, report: RunReport) -> None:
    """All inputs, one after the other; what becomes of each is added to the report."""
    from dp2.anonymizer import build_anonymizer
    from dp2.cli.fetching import fetch_missing
    from dp2.cli.frame_job import folder_options
    from dp2.cli.progress import Progress
    from dp2.weights.needs import check_extras

    with contextlib.ExitStack() as stack:
        settings = _settings(options, stack)
        frames = folder_options(request, options) if inputs.jobs and inputs.jobs[0].kind == FRAMES else None
        taken = {job: reason for job in inputs.jobs if (reason := _taken(job, options["overwrite"])) is not None}
        ready = len(taken) < len(inputs.jobs)  # else there is no use in loading anything
        if ready:
            given = settings.detections is not None
            check_extras(tree, request.config, detector=not given)
            fetch_missing(tree, offline=options["offline"], detector=not given)
            anonymizer = build_anonymizer(tree, request.config, detections_given=given)
        preview = ready and (options["preview"] or inputs.jobs[0].target is None)
        progress = stack.enter_context(Progress(len(inputs.jobs), preview=bool(preview)))
        progress.say(*_remarks(options, inputs))
        for path in inputs.others:
            progress.say(f"{path}: neither a photo nor a video; not copied.")
            report.records.append(Record(str(path), status="skipped"))
        unusable = [(path, "the folder cannot be looked into; check its permissions") for path in inputs.unreadable]
        unusable += [(path, "the folder holds neither photos nor videos") for path in inputs.empty]
        for path, reason in unusable:
            progress.say(f"error: {path}: {reason}.")
            report.records.append(Record(str(path), status="failed", error=reason))
        for job in inputs.jobs:
            if job in taken:
                progress.say(f"error: {taken[job]}")
                report.records.append(Record(job.name, str(job.target), "failed", taken[job], job=True))
            else:
                report.records.append(_one(anonymizer, job, frames or settings, progress))


def _taken(job: Job, overwrite: bool) -> str | None:
    """Why a job's output cannot be written, if that is known before any work is done."""
    from dp2.sink.atomic import check_free

    if job.target is None or job.kind == FRAMES:
        return None
    try:
        check_free(job.target, overwrite=overwrite)
    except OutputError as error:
        return str(error)
    return None


def _remarks(options: Mapping[str, Any], inputs: Collected) -> list[str]:
    """What the user may not have expected."""
    lines = []
    shown = [name for name in ("--visualize-detection",) if options["detections_only"]]
    shown += ["--replacewith none"] * (options["replacewith"] == "none")
    if shown:
        lines.append(f"warning: {shown[0]}: nobody is anonymized; people can be recognised in the output.")
    kinds = {job.kind for job in inputs.jobs}
    unused = [name for key, name, needed in _NEEDED if options[key] not in (None, False) and not kinds & needed]
    if unused and inputs.jobs:
        lines.append(f"warning: {', '.join(unused)}: ignored, for no input is a video.")
    return lines


def _stopped(left: Sequence[Job]) -> str:
    """What Ctrl-C left undone."""
    if not left:
        return "stopped."
    if left[0].kind == FRAMES:
        return f"stopped; the frames that are done stay in {left[0].target}, and the same command goes on there."
    more = f" and {len(left) - 1} more" if len(left) > 1 else ""
    return f"stopped; nothing was written for {left[0].name}{more}."


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
    _check_window(options, inputs)


def _check_window(options: Mapping[str, Any], inputs: Collected) -> None:
    """A window that cannot be opened is known before any network is loaded."""
    from dp2.sink.window import check_display

    if any(job.target is None for job in inputs.jobs):
        check_display("name a file with -o, e.g. -o recording.mp4")
    elif options["preview"]:
        check_display()


def _one(anonymizer: Anonymizer, job: Job, settings: Options | FolderOptions, progress: Progress) -> Record:
    """One input; what goes wrong with it is said and does not stop the others."""
    began = time.perf_counter()
    record = Record(job.name, None if job.target is None else str(job.target), job=True)
    try:
        with progress.job(job) as shown:
            done = _anonymize(anonymizer, job, settings, shown, progress.say)
        record.summary, record.notes = done.summary, done.notes
        progress.say(f"{job.name} -> {job.target}: {done.summary}", *(f"{job.name}: {note}" for note in done.notes))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of any class, from a damaged file or somebody's plugin, SystemExit included
        record.status, record.error = "failed", failure_of(error, job.name)
        record.misused = isinstance(error, UsageError)
        progress.say(f"error: {record.error}")
    record.seconds = time.perf_counter() - began
    return record


def _anonymize(
    anonymizer: Anonymizer, job: Job, settings: Options | FolderOptions, shown: Bar, say: Callable[[str], None]
) -> FileReport:
    from dp2.batch import files
    from dp2.batch.frame_folder import FolderOptions, anonymize_frames

    if isinstance(settings, FolderOptions):
        return anonymize_frames(anonymizer, Path(job.source), Path(str(job.target)), settings, shown, say, shown.read)
    if job.kind == CAMERA:
        return files.anonymize_camera(anonymizer, str(job.source), job.target, settings, shown)
    if job.target is None:
        raise UsageError(f"{job.name}: no output is named.")
    if job.kind == IMAGE:
        return files.anonymize_image(anonymizer, Path(job.source), job.target, settings, shown)
    return files.anonymize_video(anonymizer, Path(job.source), job.target, settings, shown, shown.read)


def _settings(options: Mapping[str, Any], stack: contextlib.ExitStack) -> Options:
    from dp2.batch.files import Options
    from dp2.detections.formats import detection_writer, open_detections
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
        **{name: options[name] for name in ("fps", "max_res", "salvage", "deinterlace", "cache")},
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
    from dp2.batch import files
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
    raise Terminated


def _log_to_stderr() -> None:
    from rich.console import Console
    from rich.logging import RichHandler

    handler = RichHandler(console=Console(stderr=True), show_time=False, show_path=False)
    handler.addFilter(is_ours)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    if wants_tracebacks():
        logging.getLogger("dp2").setLevel(logging.DEBUG)
