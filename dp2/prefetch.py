"""Stages that overlap in time: iterators that run ahead in a thread, sinks that write behind in one."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from dp2.stages import Sink
from dp2.types import Frame

T = TypeVar("T")

_POLL = 0.1  # seconds after which a blocked thread looks whether it is still wanted


class _End:
    """Closes a queue; carries the error that ended it, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Prefetch(Generic[T]):
    """Runs an iterator in a thread, at most `size` items ahead of its consumer.

    An error of the iterator is raised at the consumer's next step. `close` (or leaving a `with`) stops the thread
    and closes the iterator if it is a generator.
    """

    def __init__(self, items: Iterable[T], size: int) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(maxsize=size)
        self._stop = threading.Event()
        self._done = False
        self._thread = threading.Thread(target=self._run, name="dp2-prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        item = self._queue.get()
        if isinstance(item, _End):
            self._done = True
            if item.error is not None:
                raise item.error
            raise StopIteration
        return item

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop early; waits until the thread has let go of what it uses."""
        self._done = True
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        end = _End()
        iterator = iter(self._items)
        try:
            for item in iterator:
                if not self._put(item):
                    break
        except BaseException as error:  # handed to the consumer, whatever it is
            end = _End(error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                try:
                    close()
                except BaseException as error:
                    end = _End(end.error or error)
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False


class BackgroundSink:
    """A `Sink` that writes in a thread of its own, at most `size` frames behind.

    An error of the sink beneath is raised at the next `write` or at `finish`; after it nothing more is written.
    """

    def __init__(self, sink: Sink, size: int = 4) -> None:
        self._sink = sink
        self._queue: queue.Queue[Frame | None] = queue.Queue(maxsize=size)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="dp2-sink", daemon=True)
        self._thread.start()

    def write(self, frame: Frame) -> None:
        self._raise()
        self._queue.put(frame)

    def finish(self) -> None:
        self._join()
        self._raise()
        self._sink.finish()

    def discard(self) -> None:
        self._join()
        self._sink.discard()

    def _join(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (frame := self._queue.get()) is not None:
            if self._error is not None:
                continue  # keep taking frames, so that the writer never blocks on a full queue
            try:
                self._sink.write(frame)
            except BaseException as error:  # raised again in the thread that writes
                self._error = error


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` consecutive items."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
