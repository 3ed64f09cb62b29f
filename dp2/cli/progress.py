"""What the user sees while a run goes: bars with frames/s and time left, lines, and the preview window."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from dp2.cli.inputs import Job
from dp2.result import Result

if TYPE_CHECKING:
    from dp2.batch.files import Report
    from dp2.sink.preview import Preview


class Progress:
    """The display of one run, on stderr. Use it in a `with` block.

    Args:
        jobs: how many inputs there are.
        preview: open a window with the results.

    Raises:
        DisplayError: there is no display for the window.
    """

    def __init__(self, jobs: int, *, preview: bool) -> None:
        self._console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._total = self._bars.add_task("inputs", total=jobs, rate="", visible=jobs > 1)
        self._stack = ExitStack()
        self._preview = _window(self._stack) if preview else None
        self._began = time.perf_counter()

    def __enter__(self) -> Progress:
        self._stack.enter_context(self._bars)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def seconds(self) -> float:
        """Since the display was made."""
        return time.perf_counter() - self._began

    def say(self, *lines: str) -> None:
        """Lines that stay, also where stderr is no terminal."""
        for line in lines:
            self._console.print(_printable(line), markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def job(self, job: Job) -> Iterator[Report]:
        """A bar for one input; yields what is to be called with every result and the number to expect."""
        task = self._bars.add_task(escape(_printable(job.name)), total=None, rate="")
        began, count = time.perf_counter(), 0

        def shown(result: Result, total: int | None) -> None:
            nonlocal count
            count += 1
            rate = count / max(time.perf_counter() - began, 1e-9)
            self._bars.update(task, advance=1, total=total, rate=f"{rate:.1f} frames/s")
            if self._preview is not None:
                self._preview.show(result.image)

        try:
            yield shown
        finally:
            self._bars.remove_task(task)
            self._bars.advance(self._total)


def _printable(line: str) -> str:
    """With what a file's name may hold to break lines or to steer a terminal, or cannot be encoded, in escapes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)


def _window(stack: ExitStack) -> Preview:
    from dp2.sink.preview import Preview

    return stack.enter_context(Preview("dp2"))
