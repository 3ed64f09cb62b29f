"""Ids for the things in a stream, and boxes for them in frames where the detector missed them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

import numpy as np

from dp2.errors import TrackingError, UsageError
from dp2.geometry.boxes import iou
from dp2.track.association import Association
from dp2.track.filled import append
from dp2.track.gaps import SPEED_WINDOW, Filling, Moment, touches_border
from dp2.track.lane import Lane, Seen
from dp2.track.motion import MotionModel
from dp2.track.steady import Steadying
from dp2.types import Detections, Frame, Origin

_SAME = 0.6  # IoU from which a guessed box is another name for a detection of its frame


@dataclass(frozen=True, slots=True)
class Tracking:
    """Settings; `start` gives the tracker of one stream. All times are seconds, so frame rates may vary.

    Attributes:
        max_gap: a thing missed between two hits at most this far apart is filled in.
        coast: it is shown this long after its last hit. Live, where nobody knows yet whether it comes back, it is
            shown for `max_gap`.
        coast_back: it is shown this long before its first hit.
        growth: share by which a filled box grows with each second to the nearest hit.
        relax: factor in (0, 1] on the detector's threshold; what only passes because of it continues tracks.
        memory: a lost thing that comes back within this time keeps its id.
        steady: standard deviation, in seconds, of the window over which a face's box and landmarks are smoothed for
            those who paint it; see `dp2.track.steady`. 0 = not at all.
        max_held: at most this many frames are held back, however many come a second.
        association, motion: how detections are matched.

    Raises:
        UsageError: a setting is out of range.
    """

    max_gap: float = 0.5
    coast: float = 0.25
    coast_back: float = 0.15
    growth: float = 1.0
    relax: float = 0.5
    memory: float = 1.0
    steady: float = 0.2
    max_held: int = 64
    association: Association = field(default_factory=Association)
    motion: MotionModel = field(default_factory=MotionModel)

    def __post_init__(self) -> None:
        for name in ("max_gap", "coast", "coast_back", "growth", "memory", "steady", "max_held"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"tracking.{name}={value}: must be a finite number that is not negative")
        if not 0 < self.relax <= 1:
            raise UsageError(f"tracking.relax={self.relax}: must lie in (0, 1]")

    def start(self, *, live: bool = False) -> StreamTracker:
        """A tracker for one stream, with ids from 0. `live`: every frame is released at once, nothing looks ahead."""
        return StreamTracker(self, live)


class StreamTracker:
    """The tracker of one stream; a `dp2.stages.Tracker`.

    Every frame fed comes out once, in order, with one `Detections` a kind: all sure detections, the weak ones that
    continue a track (as DETECTED), and rows of origin FILLED where a track was missed; every row with a track id,
    each id at most once a frame. Only detections are held back, not frames.

    Args:
        settings: how to track.
        live: no look-ahead.
    """

    def __init__(self, settings: Tracking, live: bool = False) -> None:
        self._settings = settings
        self._filling = Filling(
            max_gap=settings.max_gap,
            after=max(settings.coast, settings.max_gap) if live else settings.coast,
            before=0.0 if live else settings.coast_back,
            growth=settings.growth,
        )
        self._steadying = Steadying(settings.steady)
        self._look_ahead = 0.0 if live else max(settings.max_gap, settings.coast_back)
        self._max_held = 0 if live else settings.max_held
        self._lanes: dict[str, Lane] = {}
        self._held: deque[_Held] = deque()
        self._ids = count()
        self._last: tuple[int, Fraction] | None = None
        self._fed = 0
        self._ended = False

    @property
    def pending(self) -> int:
        """How many frames have been fed and not yet released."""
        return len(self._held)

    def update(self, detections: Sequence[Detections], frame: Frame) -> Iterator[tuple[Detections, ...]]:
        """Feed the next frame.

        Args:
            detections: one of each kind; a kind may be left out.
            frame: whose time, index and size count; the pixels are not looked at.

        Returns:
            the finished detections of zero or more earlier frames, in order.

        Raises:
            TrackingError: the frame is not later in the stream than the one before, or a kind comes twice.
        """
        elapsed = self._check(detections, frame)
        height, width = frame.image.shape[:2]
        at = Moment(self._fed, float(frame.time), height, width)
        given = {found.kind: found for found in detections}
        for kind in given:
            if kind not in self._lanes:
                self._lanes[kind] = self._lane()
        seen = {}
        for kind, lane in self._lanes.items():
            before = [held.seen[kind] for held in self._held if kind in held.seen]
            seen[kind] = lane.step(at, elapsed, given.get(kind, Detections.empty(kind)), before)
        self._held.append(_Held(at, seen, tuple(given)))
        self._last, self._fed = (frame.index, frame.time), self._fed + 1
        return iter(self._release(at))

    def flush(self) -> Iterator[tuple[Detections, ...]]:
        """The stream has ended: what is still held back. Nothing can be fed afterwards."""
        self._ended = True
        finished = [self._finish(held) for held in self._held]
        self._held.clear()
        self._lanes.clear()
        return iter(finished)

    def _lane(self) -> Lane:
        settings = self._settings
        return Lane(settings.association, settings.motion, settings.memory, settings.max_gap, self._ids)

    def _check(self, detections: Sequence[Detections], frame: Frame) -> float:
        """Seconds since the frame before."""
        if self._ended:
            raise TrackingError(f"frame {frame.index} was fed after the end of the stream; start a new tracker")
        kinds = [found.kind for found in detections]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise TrackingError(f"frame {frame.index} has detections of kind {kind!r} twice; concatenate them")
        if self._last is None:
            return 0.0
        index, time = self._last
        if frame.index <= index or frame.time < time:
            raise TrackingError(
                f"frame {frame.index} at {float(frame.time):.3f} s was fed after frame {index} at {float(time):.3f} s; "
                "feed frames in the order of their times"
            )
        return float(frame.time - time)

    def _release(self, now: Moment) -> list[tuple[Detections, ...]]:
        finished = []
        while self._held and (
            len(self._held) > self._max_held or now.time - self._held[0].at.time >= self._look_ahead - 1e-9
        ):
            finished.append(self._finish(self._held.popleft()))
        oldest = self._held[0].at.time if self._held else now.time
        for lane in self._lanes.values():
            lane.forget(now, oldest - self._filling.horizon - SPEED_WINDOW)
        return finished

    def _finish(self, held: _Held) -> tuple[Detections, ...]:
        finished = []
        for kind, lane in self._lanes.items():
            seen = held.seen.get(kind) or Seen(held.at, Detections.empty(kind), np.zeros(0, np.int64))
            found = self._complete(lane, seen)
            if len(found) or kind in held.kinds:
                finished.append(found)
        return tuple(sorted(finished, key=lambda found: _place(found.kind, held.kinds)))

    def _complete(self, lane: Lane, seen: Seen) -> Detections:
        """What was seen, with ids, and what was not but must be there."""
        known = seen.ids >= 0
        origin = seen.detections.origins.copy()
        origin[origin == Origin.WEAK] = Origin.DETECTED
        sure = self._whole(lane, seen).with_(origin=origin, track_ids=seen.ids)[known]
        here = set(seen.ids[known].tolist())
        filled = {
            track.id: row
            for track in lane.tracks
            if track.id not in here and (row := self._filling.fill(track.hits, seen.at)) is not None
        }
        guesses = [id_ for id_, row in filled.items() if row.guessed]
        if guesses and len(sure):
            overlap = iou(np.stack([filled[id_].box for id_ in guesses]), sure.boxes).max(axis=1)
            for id_ in np.asarray(guesses)[overlap >= _SAME]:
                del filled[int(id_)]
        whole = append(sure, list(filled.values()), list(filled))
        return self._steadying(whole, {track.id: track.hits for track in lane.tracks}, seen.at)

    def _whole(self, lane: Lane, seen: Seen) -> Detections:
        """The detections of a frame; a weak one that the border cuts may be a leg alone: what the track's other hits
        tell of the rest belongs to its mask."""
        found = seen.detections
        weak = (found.origins == Origin.WEAK) & (seen.ids >= 0)
        if found.masks is None or not weak.any():
            return found
        tracks, masks = {track.id: track for track in lane.tracks}, found.masks.copy()
        for row in np.flatnonzero(weak):
            track = tracks.get(int(seen.ids[row]))
            if track is None or not touches_border(found.boxes[row], seen.at.height, seen.at.width):
                continue
            others = [hit for hit in track.hits if hit.number != seen.at.number]
            rest = self._filling.fill(others, seen.at)
            if rest is not None and rest.mask is not None and rest.mask.shape == masks[row].shape:
                masks[row] |= rest.mask
        return found.with_(masks=masks)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A frame that is held back: what was seen in it by kind, and the kinds in the order they came."""

    at: Moment
    seen: dict[str, Seen]
    kinds: tuple[str, ...]


def _place(kind: str, kinds: tuple[str, ...]) -> int:
    return kinds.index(kind) if kind in kinds else len(kinds)
