"""What the user sees while a run goes: bars with frames/s and time left, lines, and the preview window."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from dp2.cli.inputs import Job
from dp2.cli.pace import Pace
from dp2.result import Result

if TYPE_CHECKING:
    from dp2.sink.preview import Preview

_LABEL = 22  # characters in front of a bar: what else stands there leaves no more on a line of 80
_FIRST = "first reading"


class Progress:
    """The display of one run, on stderr. Use it in a `with` block.

    Args:
        jobs: how many inputs there are.
        preview: open a window with the results.
        console: where to write; stderr by default.

    Raises:
        DisplayError: there is no display for the window.
    """

    def __init__(self, jobs: int, *, preview: bool, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            _TimeLeft(),
            console=self._console,
            transient=True,
            disable=not self.shows_bars,
        )
        self._total = self.bars.add_task("inputs", total=jobs, rate="", visible=jobs > 1)
        self._stack = ExitStack()
        self._preview = _window(self._stack) if preview else None
        self._began = time.perf_counter()

    def __enter__(self) -> Progress:
        self._stack.enter_context(self.bars)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """Since the display was made."""
        return time.perf_counter() - self._began

    @property
    def shows_bars(self) -> bool:
        """Whether stderr is a terminal; elsewhere lines say how far the work is."""
        return self._console.is_terminal

    def say(self, *lines: str) -> None:
        """Lines that stay, also where stderr is no terminal."""
        for line in lines:
            self._console.print(_printable(line), markup=False, highlight=False, soft_wrap=True)

    def show(self, result: Result) -> None:
        """In the window, if there is one."""
        if self._preview is not None:
            self._preview.show(result.image)

    @contextmanager
    def job(self, job: Job) -> Iterator[Bar]:
        """A bar for one input; yields what is to be told of every frame."""
        bar = Bar(self, _printable(job.name))
        try:
            yield bar
        finally:
            self.bars.remove_task(bar.task)
            self.bars.advance(self._total)


class Bar:
    """How far one input is. Called with every result and the number to expect, as a `dp2.batch.files.Report`."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name
        self.task = progress.bars.add_task(escape(_short(name)), total=None, rate="")
        self._pace = Pace(name)
        self._step = ""

    def __call__(self, result: Result, total: int | None) -> None:
        if self._step:
            self._begin("")
        self._advance(total)
        self._progress.show(result)

    def read(self, total: int | None) -> None:
        """A frame was looked at before anything is written, as a `dp2.batch.files.Reading`."""
        if self._step != _FIRST:
            self._begin(_FIRST)
        self._advance(total)

    def _begin(self, step: str) -> None:
        self._pace.restart()
        self._step = step
        label = f"reading {_short(self._name, _LABEL - 8)}" if step else _short(self._name)
        self._progress.bars.reset(self.task, description=escape(label), total=None, rate="")

    def _advance(self, total: int | None) -> None:
        self._pace.count += 1
        self._progress.bars.update(self.task, advance=1, total=total, rate=f"{self._pace.rate:.1f} frames/s")
        if not self._progress.shows_bars and (line := self._pace.line(total, self._step)) is not None:
            self._progress.say(line)


class _TimeLeft(TimeRemainingColumn):
    """The time left, and that it is that."""

    def render(self, task: Task) -> Text:
        return Text.assemble(super().render(task), (" left", "progress.remaining"))


def _short(name: str, length: int = _LABEL) -> str:
    """The end of a path, which tells files apart, in a few characters."""
    last = PurePath(name).name or name
    return last if len(last) <= length else f"…{last[1 - length :]}"


def _printable(line: str) -> str:
    """With what a file's name may hold to break lines or to steer a terminal, or cannot be encoded, in escapes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)


def _window(stack: ExitStack) -> Preview:
    from dp2.sink.preview import Preview

    return stack.enter_context(Preview("dp2"))
