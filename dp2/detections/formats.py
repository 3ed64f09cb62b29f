"""Files of detections by their names: COCO's JSON where they end in .json, else lines of dp2's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from dp2.detections.coco import CocoDetections, CocoWriter
from dp2.detections.stored import SCHEMA, DetectionWriter, StoredDetections
from dp2.errors import DetectionFileError
from dp2.types import FACE, PERSON, PERSON_SURFACE

GivenFile = StoredDetections | CocoDetections
SavedFile = DetectionWriter | CocoWriter


def check_kinds(file: GivenFile, kinds: Sequence[str]) -> None:
    """Refuse a file of faces for an anonymizer of bodies: all but the faces would stay visible, and nobody be told.

    Args:
        kinds: that the anonymizer covers.

    Raises:
        DetectionFileError: the file holds none of them, and nothing that covers them.
    """
    covering = {*kinds, PERSON, PERSON_SURFACE}
    if file.kinds and FACE not in kinds and not file.kinds & covering:
        raise DetectionFileError(
            f"{file.path}: holds {', '.join(sorted(file.kinds))}, but what is to be covered is {', '.join(kinds)}; "
            "take a file that this anonymizer saved (--save-detections), or an anonymizer of faces."
        )


def open_detections(path: Path) -> GivenFile:
    """A file of detections to be looked up by medium and frame; one of dp2's own lines may end in .json, too.

    Raises:
        DetectionFileError: it cannot be read, or is of neither form.
    """
    if path.suffix.lower() != ".json":
        return StoredDetections(path)
    try:
        with path.open("rb") as file:
            own = SCHEMA.encode() in file.readline(200)
    except OSError as error:
        raise DetectionFileError(f"{path}: cannot be read ({error.strerror}).") from error
    return StoredDetections(path) if own else CocoDetections(path)


def detection_writer(path: Path, file: IO[str]) -> SavedFile:
    """Writes detections into an open file in the form that its name asks for; call `finish` at the end."""
    return CocoWriter(file) if path.suffix.lower() == ".json" else DetectionWriter(file)
