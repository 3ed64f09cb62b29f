"""What the stages promise each other. An implementation is any object that fits; there is no base class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from dp2.types import Choice, Detections, Frame, Image, PaintTask, Patch, Reach, Refusal, Region


@runtime_checkable
class Detector(Protocol):
    """Finds things of one or several kinds in a batch of frames."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that results carry, always in this order."""

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the results, as JSON-able values: the key of the detection cache."""

    def __call__(self, images: Sequence[Image], *, relax: float = 1.0) -> list[tuple[Detections, ...]]:
        """Detect in frames, which may differ in size.

        Args:
            images: (H, W, 3) uint8 RGB each.
            relax: factor in (0, 1] on the score threshold. What only passes because of it comes with
                `Origin.WEAK`: a tracker may continue a track with it.

        Returns:
            for every frame one `Detections` a kind, in the order of `kinds`; empty ones included.

        Raises:
            DetectionError: inference failed; the frames must not be written out.
        """


class StreamTracker(Protocol):
    """Gives ids to the detections of one stream and fills gaps. Looks ahead by a bounded number of frames."""

    def update(self, detections: Sequence[Detections], frame: Frame) -> Iterator[tuple[Detections, ...]]:
        """Feed the next frame; yields the finished detections of zero or more earlier frames, in order."""

    def flush(self) -> Iterator[tuple[Detections, ...]]:
        """The stream has ended: yields what is still held back."""


class Tracker(Protocol):
    """The settings of tracking; every stream gets a tracker of its own."""

    @property
    def relax(self) -> float:
        """The factor on the detector's score threshold above which a weak detection may continue a track."""

    def start(self, *, live: bool = False) -> StreamTracker:
        """The tracker of one stream. `live`: nothing is held back, so nothing looks ahead."""


class StreamChooser(Protocol):
    """Decides about the regions of one stream. Looks ahead by a bounded number of frames."""

    def update(self, frame: Frame, detections: Sequence[Detections]) -> Iterator[Choice]:
        """Feed the next frame with its finished detections; yields the choices for zero or more earlier frames."""

    def flush(self) -> Iterator[Choice]:
        """The stream has ended: yields what is still held back."""


class Study(Protocol):
    """Sees a whole stream before anything in it is decided."""

    def observe(self, frame: Frame, detections: Sequence[Detections]) -> None:
        """The next frame with its finished detections."""

    def decide(self) -> StreamChooser:
        """The stream has ended: decides about the same frames when they come a second time."""


class Chooser(Protocol):
    """The settings of who is left as he is; every stream gets a chooser of its own. Unsure means anonymize."""

    def start(self, *, live: bool = False) -> StreamChooser:
        """The chooser of one stream. `live`: every choice comes out before the next frame is needed."""

    def study(self) -> Study | None:
        """For a stream that can be read twice; None where that would decide nothing better."""


class Synthesizer(Protocol):
    """Makes new pixels for regions."""

    def reach(self, region: Region, height: int, width: int) -> Reach:
        """Where in a frame of that size this region is looked at and changed."""

    def synthesize(self, tasks: Sequence[PaintTask], seed: int) -> list[Patch | Refusal]:
        """New pixels for each task, in order. Tasks of one call never reach into each other's changes."""


class Source(Protocol):
    """A stream of frames."""

    def __iter__(self) -> Iterator[Frame]: ...


class Sink(Protocol):
    """Takes finished frames. Only `finish` makes the output visible; leaving without it discards everything."""

    def write(self, frame: Frame) -> None: ...

    def finish(self) -> None: ...

    def discard(self) -> None: ...
