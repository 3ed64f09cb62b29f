"""Frame rates: constant-rate resampling by time, and the exact value of a rate that was written as a decimal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

from dp2.types import Frame


def exact_rate(rate: float | Fraction) -> Fraction:
    """The rate that a decimal number means: 29.97 is 30000/1001, 12.5 is 25/2."""
    if isinstance(rate, Fraction):
        return rate
    nearest = Fraction(round(rate * 1.001) * 1000, 1001)
    if abs(rate - nearest) < 0.005 and abs(rate - round(rate)) > 0.005:
        return nearest
    return Fraction(rate).limit_denominator(1000)


def resample(frames: Iterable[Frame], rate: Fraction) -> Iterator[Frame]:
    """Drop and repeat frames so that one comes every 1/rate seconds.

    Each frame moves to the nearest multiple of 1/rate; of several at one multiple the last is kept, and a frame is
    repeated until the next one's place. The images of repeated frames are the same array.
    """
    index = 0
    held: tuple[int, Frame] | None = None
    for frame in frames:
        place = _nearest(frame.time * rate)
        if held is not None:
            for tick in range(held[0], place):
                yield replace(held[1], index=index, time=tick / rate, duration=1 / rate)
                index += 1
            place = max(place, held[0])
        held = place, frame
    if held is None:
        return
    place, frame = held
    end = place + 1 if frame.duration is None else max(place + 1, _nearest((frame.time + frame.duration) * rate))
    for tick in range(place, end):
        yield replace(frame, index=index, time=tick / rate, duration=1 / rate)
        index += 1


def _nearest(value: Fraction) -> int:
    """Halves go up, so that 60 to 30 frames/s keeps an even rhythm."""
    return (value + Fraction(1, 2)).__floor__()
