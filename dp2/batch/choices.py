"""Choices that are made once and carried out later, perhaps by another process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from dp2.stages import StreamChooser
from dp2.types import Choice, Detections, Frame, regions


class AsPlanned:
    """A `StreamChooser` that does what was planned."""

    def __init__(self, choices: Mapping[int, Choice | None]) -> None:
        self._choices = choices

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        choice = self._choices[frame.index]
        yield Choice(tuple(region for part in detections for region in regions(part))) if choice is None else choice

    def flush(self) -> Iterator[Choice]:
        return iter(())


class Recorded:
    """A `StreamChooser` whose choices are kept."""

    def __init__(self, inner: StreamChooser) -> None:
        self._inner = inner
        self.choices: deque[Choice] = deque()

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        for choice in self._inner.update(frame, detections):
            self.choices.append(choice)
            yield choice

    def flush(self) -> Iterator[Choice]:
        for choice in self._inner.flush():
            self.choices.append(choice)
            yield choice
