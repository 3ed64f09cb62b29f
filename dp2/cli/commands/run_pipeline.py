"""`dp2 run`: a PeekingDuck pipeline."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dp2.cli.command import GroupedCommand

if TYPE_CHECKING:
    from dp2.cli.inputs import Collected, Job
    from dp2.cli.progress import Progress
    from dp2.cli.report import Record
    from dp2.peekingduck.plan import Plan
    from dp2.peekingduck.play import Player


@click.command("run", cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("pipeline", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[NODE.OPTION=VALUE]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Write to this file or folder, in place of the pipeline's outputs.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist. Inputs are never overwritten.")
@click.option(
    "--show-originals",
    is_flag=True,
    help="Allow a pipeline without draw.mosaic_bbox and draw.blur_bbox: nobody is anonymized.",
)
@click.option("--device", metavar="NAME", help="auto, cpu, cuda.  [default: auto]")
def run_pipeline(
    pipeline: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    overwrite: bool,
    show_originals: bool,
    device: str | None,
) -> None:
    """Run PIPELINE, a file of PeekingDuck nodes.

    \b
    dp2 run privacy_protection_faces.yml
    dp2 run privacy_protection_faces.yml input.source=clip.mp4 -o safe.mp4
    dp2 run privacy_protection_faces.yml draw.mosaic_bbox.mosaic_level=5
    """
    from dp2.anonymizer import build_anonymizer
    from dp2.cli.library_lines import captured_library_lines
    from dp2.cli.progress import Progress
    from dp2.cli.report import Record, RunReport
    from dp2.cli.run import prepare_process
    from dp2.peekingduck.parse import load_pipeline
    from dp2.peekingduck.plan import make_plan
    from dp2.peekingduck.play import Player
    from dp2.peekingduck.screen import open_screen

    prepare_process()
    plan = make_plan(load_pipeline(pipeline, overrides), originals=show_originals, redirected=output is not None)
    inputs = _inputs(plan, output)
    report = RunReport(config=str(pipeline), overrides=overrides)
    with contextlib.ExitStack() as stack:
        stack.enter_context(captured_library_lines())
        screen = None
        if plan.screen is not None and output is None:
            screen = stack.enter_context(open_screen(plan.screen))
        tree = plan.config()
        if device is not None:
            tree["device"] = device
        player = Player(build_anonymizer(tree, str(pipeline)), plan, screen, overwrite)
        progress = stack.enter_context(Progress(len(inputs.jobs), preview=False))
        progress.say(*(f"{pipeline}: {note}" for note in plan.notes))
        progress.say(*(f"{path}: neither a photo nor a video; not copied." for path in inputs.others))
        for path in inputs.unreadable:
            reason = "the folder cannot be looked into; check its permissions"
            progress.say(f"error: {path}: {reason}.")
            report.records.append(Record(str(path), status="failed", error=reason))
        for job in inputs.jobs:
            report.records.append(_one(player, job, progress))
    report.seconds = progress.seconds
    click.echo(report.closing_line(), err=True)
    if report.count("failed"):
        raise click.exceptions.Exit(1)


def _inputs(plan: Plan, output: Path | None) -> Collected:
    """What to play, and where each result goes."""
    from dataclasses import replace

    from dp2.cli.inputs import CAMERA, FRAMES, Request, collect
    from dp2.errors import UsageError
    from dp2.sink.atomic import output_error
    from dp2.sink.naming import check_apart

    source = plan.source.source
    if source is None or source == "":
        raise UsageError("the input has no source; say e.g. input.source=clip.mp4.")
    name = f"<video{source}>" if isinstance(source, int) else source
    written = output
    if output is None and plan.writer is not None:
        written = Path(plan.writer.output_dir)
        try:
            written.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(error, written) from error
    inputs = collect(Request(str(plan), (name,), (), written))
    jobs = inputs.jobs
    if any(job.kind == FRAMES for job in jobs):
        raise UsageError(f"{name}: is a folder of frames; anonymize it with `dp2 anonymize face_mosaic -i {name}`.")
    if not jobs:
        raise UsageError(f"{name}: the folder holds neither photos nor videos.")
    if written is None:
        jobs = [replace(job, target=None) for job in jobs]
    elif jobs[0].kind == CAMERA and output is None:
        jobs = [replace(jobs[0], target=written / f"{Path(plan.source.filename).stem}.mp4")]
    read = [Path(job.source) for job in jobs if job.kind != CAMERA]
    check_apart(read, [job.target for job in jobs if job.target is not None])
    return replace(inputs, jobs=jobs)


def _one(player: Player, job: Job, progress: Progress) -> Record:
    """One input; what goes wrong with it is said and does not stop the others."""
    from dp2.cli.report import Record
    from dp2.failures import failure_of

    record = Record(job.name, None if job.target is None else str(job.target))
    try:
        with progress.job(job) as player.report:
            done = _play(player, job)
        record.summary, record.notes = done.summary, done.notes
        where = "" if job.target is None else f" -> {job.target}"
        progress.say(f"{job.name}{where}: {done.summary}", *(f"{job.name}: {note}" for note in done.notes))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of any class, from a damaged file or somebody's plugin, SystemExit included
        record.status, record.error = "failed", failure_of(error, job.name)
        progress.say(f"error: {record.error}")
    return record


def _play(player: Player, job: Job) -> Any:
    from dp2.cli.inputs import CAMERA, IMAGE

    if job.kind == CAMERA:
        return player.camera(str(job.source), job.target)
    play = player.photo if job.kind == IMAGE else player.video
    return play(Path(job.source), job.target)
