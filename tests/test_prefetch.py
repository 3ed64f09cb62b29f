"""Iterators that run ahead and sinks that write behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from dp2.prefetch import BackgroundSink, Prefetch, batched
from dp2.types import Frame


class Memory:
    """A sink that remembers, and fails at a chosen frame."""

    def __init__(self, fail_at: int = -1) -> None:
        self.frames: list[int] = []
        self.fail_at, self.finished, self.discarded = fail_at, False, False

    def write(self, frame: Frame) -> None:
        if frame.index == self.fail_at:
            raise OSError("no space")
        self.frames.append(frame.index)

    def finish(self) -> None:
        self.finished = True

    def discard(self) -> None:
        self.discarded = True


def frame(index: int) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), index)


def test_prefetch_keeps_the_order_and_ends() -> None:
    with Prefetch(range(100), size=3) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_prefetch_runs_at_most_its_size_ahead() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for index in range(50):
            taken.append(index)
            yield index

    with Prefetch(source(), size=2) as items:
        for position, _ in enumerate(items):
            assert len(taken) <= position + 1 + 2 + 1  # in hand, queued, and one waiting to be queued


def test_prefetch_raises_the_sources_error_after_what_came_before() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with Prefetch(source(), size=4) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="broken"):
            next(items)
        assert list(items) == []


def test_closing_early_closes_the_source_and_ends_its_thread() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    outer = Prefetch(Prefetch(source(), size=1), size=1)
    assert next(outer) == 0
    outer.close()
    assert closed.wait(5)
    assert not [thread for thread in threading.enumerate() if thread.name == "dp2-prefetch"]


def test_background_sink_writes_everything_before_it_finishes() -> None:
    memory = Memory()
    sink = BackgroundSink(memory, size=2)
    for index in range(20):
        sink.write(frame(index))
    sink.finish()
    assert memory.frames == list(range(20))
    assert memory.finished


def test_background_sink_tells_of_an_error_and_never_finishes() -> None:
    memory = Memory(fail_at=3)
    sink = BackgroundSink(memory, size=2)

    def write_all() -> None:
        for index in range(20):
            sink.write(frame(index))
        sink.finish()

    with pytest.raises(OSError, match="no space"):
        write_all()
    sink.discard()
    assert memory.discarded
    assert not memory.finished


def test_batched_leaves_nothing_out() -> None:
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
