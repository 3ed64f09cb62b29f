"""Reads a file through before anything in it is decided: detections go to a private file, pixels are not kept."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from dp2.anonymizer import Anonymizer, Detect, FrameDetections
from dp2.detections.records import from_records, to_records
from dp2.errors import UnreadableMedia
from dp2.stages import StreamChooser, Study
from dp2.types import Frame


@contextlib.contextmanager
def studied(
    anonymizer: Anonymizer, frames: Iterable[Frame], study: Study, *, track: bool, detect: Detect
) -> Iterator[tuple[Detect, StreamChooser]]:
    """Detect and track in all frames, and let a study see them.

    Args:
        frames: the whole stream; it will be read once more.
        study: of the anonymizer's chooser.
        track, detect: as of `Anonymizer.process`.

    Yields:
        the finished detections of the same frames, which need no tracking any more, and who decides about them. They
        lie in a temporary file that nobody else can open; it is gone when the block ends.

    Raises:
        DetectionError: the detector failed.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", prefix="dp2-") as file:
        with contextlib.closing(anonymizer.follow(frames, track=track, detect=detect)) as followed:
            for frame, found in followed:
                study.observe(frame, found)
                _write(file, frame, found)
        file.seek(0)
        yield _reader(file), study.decide()


def _write(file: IO[str], frame: Frame, found: FrameDetections) -> None:
    kinds = [part.kind for part in found]
    json.dump([frame.index, *frame.image.shape[:2], kinds, to_records(found)], file, separators=(",", ":"))
    file.write("\n")


def _reader(file: IO[str]) -> Detect:
    def read(frames: Sequence[Frame]) -> list[FrameDetections]:
        return [_read(file, frame) for frame in frames]

    return read


def _read(file: IO[str], frame: Frame) -> FrameDetections:
    line = file.readline()
    index, height, width, kinds, records = json.loads(line) if line else (None, 0, 0, [], [])
    if index != frame.index or (height, width) != frame.image.shape[:2]:
        raise UnreadableMedia(f"frame {frame.index}: the file changed while it was read. Nothing was written.")
    return from_records(records, kinds, height, width, f"frame {frame.index}")
