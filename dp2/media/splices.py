"""Recordings joined byte by byte (MPEG-TS and PS allow it): where one ends and the next begins, times start anew."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dp2.media.ffmpeg_open import chosen_video, open_media

_log = logging.getLogger(__name__)

_BACK = Fraction(1, 10)  # seconds; what goes back further is another recording
_NEAR = 4  # packets before a joint that may lack their end
_WAITING = 100_000  # packets of sound that wait for the pictures of their recording


@dataclass(frozen=True, slots=True)
class Step:
    """A packet on its way to the decoder.

    Attributes:
        packet: None where the container cannot be read further.
        joins: it is the first one of another recording.
        corrupt: it is not whole.
    """

    packet: Packet[VideoStream] | None
    joins: bool = False
    corrupt: bool = False


class Splices:
    """The times of a video stream, going on where a recording ends, for one reading from the beginning.

    Attributes:
        shifts: by how many seconds each recording's times grow; the first's by 0.
    """

    def __init__(self) -> None:
        self.shifts = [Fraction(0)]
        self._last: int | None = None
        self._end: Fraction | None = None
        self._step = 0
        self._searching = False

    def joins(self, packet: Packet[Any]) -> bool | None:
        """Move a packet's times. True for the first one of another recording, None for one before its key frame."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return None if self._searching else False
        self._searching = self._searching or _goes_back(packet, self._last)
        # Not every packet says how long it is shown.
        self._step = packet.duration or max(stamp - (stamp if self._last is None else self._last), 0) or self._step
        self._last = stamp
        if self._searching and not packet.is_keyframe:
            return None
        joined, self._searching = self._searching, False
        base = packet.time_base
        shown = packet.pts if packet.pts is not None else stamp
        if joined:
            self.shifts.append((self._end or Fraction(0)) - shown * base)
        _move(packet, self.shifts[-1])
        end = shown * base + self.shifts[-1] + self._step * base
        self._end = end if self._end is None else max(self._end, end)
        return joined

    @property
    def searching(self) -> bool:
        """Whether a recording began of which no key frame has come yet."""
        return self._searching

    def steps(self, packets: Iterator[Packet[VideoStream] | None], path: Path) -> Iterator[Step]:
        """Packets as a decoder needs them; those that a joint cut off count as whole, the decoder will say more."""
        near: deque[Step] = deque()
        lost = 0
        for packet in packets:
            joins = False if packet is None else self.joins(packet)
            if joins is None:
                lost += 1
                continue
            if joins:
                yield from (Step(step.packet, step.joins) for step in near)
                near.clear()
                if lost:
                    _log.warning("%s: a recording in it begins between key frames; %d frames are left out", path, lost)
                lost = 0
            near.append(Step(packet, joins, packet is not None and packet.is_corrupt and not joins))
            if len(near) > _NEAR:
                yield near.popleft()
        yield from near
        if self._searching:
            yield Step(None)


def may_be_joined(container: InputContainer) -> bool:
    """Whether times of this format may start anew."""
    flags: Any = container.format.flags  # an int, whatever PyAV's stub says
    return bool(flags & av.format.Flags.ts_discont.value)


def is_joined(path: Path) -> bool:
    """Whether times of a file's video start anew somewhere: it is read to its end without decoding.

    Raises:
        av.FFmpegError: it cannot be opened.
    """
    with open_media(path) as container:
        video = chosen_video(container)
        if video is None or not may_be_joined(container):
            return False
        last: int | None = None
        try:
            for packet in container.demux(video):
                if _goes_back(packet, last):
                    return True
                last = packet.dts if packet.dts is not None else last
        except av.FFmpegError:
            return False
    return False


def joined_sound(container: InputContainer, sounds: Sequence[Any]) -> Iterator[Packet[Any]]:
    """The packets of sound streams, their times moved as `Splices` moves those of the video beside them."""
    video = chosen_video(container)
    splices = Splices()
    places = {sound.index: 0 for sound in sounds}
    last: dict[int, int] = {}
    written: dict[int, int] = {}
    waiting: deque[tuple[int, Packet[Any]]] = deque()

    def ready() -> Iterator[Packet[Any]]:
        while waiting and (waiting[0][0] < len(splices.shifts) or len(waiting) > _WAITING):
            place, packet = waiting.popleft()
            if place >= len(splices.shifts):
                continue  # no picture belongs to it
            _move(packet, splices.shifts[place])
            stamp = packet.dts if packet.dts is not None else packet.pts
            if stamp is None or stamp > written.get(packet.stream_index, stamp - 1):  # joints may overlap
                written[packet.stream_index] = stamp or 0
                yield packet

    for packet in container.demux([*sounds] if video is None else [video, *sounds]):
        index = packet.stream_index
        if index not in places:
            splices.joins(packet)
        elif packet.size:
            places[index] += _goes_back(packet, last.get(index))
            stamp = packet.dts if packet.dts is not None else packet.pts
            last = last if stamp is None else {**last, index: stamp}
            waiting.append((places[index], packet))
        yield from ready()


def _goes_back(packet: Packet[Any], last: int | None) -> bool:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return last is not None and stamp is not None and (last - stamp) * packet.time_base > _BACK


def _move(packet: Packet[Any], shift: Fraction) -> None:
    ticks = round(shift / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks
