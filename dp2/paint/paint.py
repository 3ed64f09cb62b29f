"""From regions to finished frames: synthesize in large batches, paste as if one by one, and never leave a face."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

import numpy as np

from dp2.errors import EngineError, SynthesisError
from dp2.geometry.boxes import empty, union
from dp2.paint.behind import behind
from dp2.paint.check import patch_fault
from dp2.paint.paste import paste
from dp2.paint.waves import painting_order, waves
from dp2.stages import Synthesizer
from dp2.types import Box, Image, Keep, PaintTask, Patch, Reach, Refusal, Region

_log = logging.getLogger(__name__)
_NOWHERE: Box = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of a region.

    Attributes:
        region: as it was asked for.
        action: changed by its synthesizer, changed by the fallback, or kept because a synthesizer is told to.
        reason: why the fallback took over; empty otherwise.
    """

    class Action(Enum):
        """What was done to the pixels of a region."""

        CHANGED = "changed"
        FALLBACK = "fallback"
        KEPT = "kept"

    region: Region
    action: Action
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """One finished frame.

    Attributes:
        image: (H, W, 3) uint8 RGB; the frame that came in where it has no regions.
        outcomes: one for each region, in the order in which they came in.
    """

    image: Image
    outcomes: tuple[Outcome, ...]


@dataclass(slots=True, eq=False)
class _Task:
    """One region on its way."""

    canvas: Image
    region: Region
    place: int  # among the regions of its frame, as they came in
    synthesizer: Synthesizer | None
    write: Box = _NOWHERE
    reason: str = ""  # not empty: only the fallback can still serve it
    wave: int = 0
    patch: Patch | None = None
    action: Outcome.Action = Outcome.Action.CHANGED

    @property
    def size(self) -> tuple[int, int]:
        return self.canvas.shape[0], self.canvas.shape[1]

    def refuse(self, reason: str) -> None:
        self.reason = reason

    def outcome(self) -> Outcome:
        return Outcome(self.region, self.action, self.reason)


def paint(
    images: Sequence[Image],
    regions: Sequence[Sequence[Region]],
    synthesizers: Mapping[str, Synthesizer],
    fallback: Synthesizer,
    seed: int,
) -> list[Painted]:
    """Replace regions of several frames.

    The result equals painting the regions of each frame one after the other (faces, other things, bodies, bodies
    with a surface; what its synthesizer refuses first, then small before large), each seeing what was painted before it
    and never the pixels that were there.
    Kept faces in front of a region (`Region.behind`) stay as they are.

    Args:
        images: (H, W, 3) uint8 RGB each; sizes may differ; not changed.
        regions: what to replace in each.
        synthesizers: by kind of region.
        fallback: for kinds without synthesizer, and for regions that it refuses, fails at or does not cover.
        seed: of every random choice.

    Returns:
        a finished frame for each image.

    Raises:
        SynthesisError: the fallback failed too. None of these frames may be written out.
    """
    frames = [
        _planned(image, own, synthesizers, fallback) if own else [] for image, own in zip(images, regions, strict=True)
    ]
    tasks = sorted((task for frame in frames for task in frame), key=lambda task: task.wave)  # stable: painting order
    for _, group in groupby(tasks, key=lambda task: task.wave):
        wave = list(group)
        _synthesize(wave, fallback, seed)
        for task in wave:
            if task.patch is not None:
                paste(task.canvas, behind(task.patch, task.region.behind))
    return [
        Painted(frame[0].canvas, _in_order(frame)) if frame else Painted(image, ())
        for image, frame in zip(images, frames, strict=True)
    ]


def _planned(
    image: Image, regions: Sequence[Region], synthesizers: Mapping[str, Synthesizer], fallback: Synthesizer
) -> list[_Task]:
    """The tasks of one frame in painting order, each with its wave."""
    canvas = np.ascontiguousarray(image).copy()
    tasks = [_Task(canvas, region, place, synthesizers.get(region.kind)) for place, region in enumerate(regions)]
    reaches = [_reach(task, fallback) for task in tasks]
    refused = [task.synthesizer is not None and empty(task.write) for task in tasks]
    order = painting_order(regions, refused)
    for place, wave in zip(order, waves([reaches[place] for place in order]), strict=True):
        tasks[place].wave = wave
    return [tasks[place] for place in order]


def _reach(task: _Task, fallback: Synthesizer) -> Reach:
    """Of the synthesizer and of the fallback together, since it shows only later which of them serves."""
    try:
        spare = fallback.reach(task.region, *task.size)
    except Exception as error:
        raise SynthesisError(f"{_name(task.region)}: the fallback failed: {_said(error)}.") from error
    if task.synthesizer is None:
        task.refuse(f"no synthesizer for {task.region.kind}")
        return spare
    try:
        reach = task.synthesizer.reach(task.region, *task.size)
    except Exception as error:
        _log.warning("%s: falling back to redaction: %s", _name(task.region), _said(error), exc_info=error)
        task.refuse(_said(error))
        return spare
    task.write = reach.write
    return Reach(union(reach.view, spare.view), union(reach.write, spare.write))


def _synthesize(wave: Sequence[_Task], fallback: Synthesizer, seed: int) -> None:
    """Give every task of a wave its patch, or mark it as kept."""
    for synthesizer, tasks in _by_synthesizer(task for task in wave if not task.reason):
        _ask(synthesizer, tasks, seed)
    left = [task for task in wave if task.reason]
    if not left:
        return
    reasons = [task.reason for task in left]
    for task in left:
        task.reason = ""
        task.write = fallback.reach(task.region, *task.size).write
    _ask(fallback, left, seed)
    for task, reason in zip(left, reasons, strict=True):
        if task.reason:
            raise SynthesisError(
                f"{_name(task.region)} could not be made unrecognisable: {reason}; the fallback: {task.reason}."
            )
        task.reason = reason
        if task.action is not Outcome.Action.KEPT:
            task.action = Outcome.Action.FALLBACK


def _ask(synthesizer: Synthesizer, tasks: Sequence[_Task], seed: int) -> None:
    """One call for many regions; what is wrong with an answer becomes the reason of its task."""
    jobs = [PaintTask(_read_only(task.canvas), task.region) for task in tasks]
    try:
        answers = synthesizer.synthesize(jobs, seed)
        if len(answers) != len(tasks):
            raise SynthesisError(f"{len(answers)} answers for {len(tasks)} regions")
    except EngineError:  # it is not there for anyone, so that a fallback would hide what is wrong
        raise
    except Exception as error:
        if len(tasks) > 1:  # what else is in a batch must not decide whether a region falls back
            for task in tasks:
                _ask(synthesizer, [task], seed)
            return
        name = _name(tasks[0].region)
        _log.warning("%s failed on %s: %s", type(synthesizer).__name__, name, _said(error), exc_info=error)
        tasks[0].refuse(_said(error))
        return
    for task, answer in zip(tasks, answers, strict=True):
        _take(task, answer)


def _take(task: _Task, answer: Patch | Refusal) -> None:
    if isinstance(answer, Keep):
        task.action = Outcome.Action.KEPT
    elif isinstance(answer, Refusal):
        task.refuse(answer.reason or "refused")
    elif not isinstance(answer, Patch):
        task.refuse(f"the answer is a {type(answer).__name__}, not a patch")
    elif (fault := patch_fault(answer, task.region, task.write, *task.size)) is not None:
        task.refuse(fault)
    else:
        task.patch = answer


def _by_synthesizer(tasks: Iterable[_Task]) -> list[tuple[Synthesizer, list[_Task]]]:
    """Tasks of the same object together: one synthesizer may serve several kinds."""
    groups: dict[int, tuple[Synthesizer, list[_Task]]] = {}
    for task in tasks:
        if task.synthesizer is not None:
            groups.setdefault(id(task.synthesizer), (task.synthesizer, []))[1].append(task)
    return list(groups.values())


def _in_order(tasks: Sequence[_Task]) -> tuple[Outcome, ...]:
    return tuple(task.outcome() for task in sorted(tasks, key=lambda task: task.place))


def _read_only(canvas: Image) -> Image:
    view = canvas.view()
    view.flags.writeable = False
    return view


def _name(region: Region) -> str:
    x0, y0, x1, y1 = (round(float(value)) for value in region.box)
    return f"the {region.kind} at {x0},{y0}-{x1},{y1}"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
