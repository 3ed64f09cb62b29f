"""Names of outputs: beside the input, or mirrored into a folder; never one that is an input or is given twice, nor two
that differ by case only, which many disks do not tell apart."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from dp2.errors import UsageError
from dp2.sink.parts import cut_name

ENDING = "_anonymized"
_LONGEST_NAME = 255  # bytes, on nearly all file systems

PHOTO_FORMATS: Mapping[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
}


@dataclass(frozen=True, slots=True)
class Input:
    """One file to be anonymized.

    Attributes:
        path: the file.
        suffix: that its output gets, with the dot; see `photo_suffix`.
        folder: the folder that was named on the command line and in which the file was found; None if the file itself
            was named.
    """

    path: Path
    suffix: str
    folder: Path | None = None


def photo_suffix(path: Path, kind: str | None = None) -> str:
    """The ending of a photo's output: its own if photos can be written under it, else that of its format `kind`."""
    if path.suffix.lower() in PHOTO_FORMATS:
        return path.suffix
    return next((suffix for suffix, name in PHOTO_FORMATS.items() if name == kind), ".jpg")


def anonymized_name(path: Path, suffix: str, ending: str = ENDING) -> str:
    """`photo.mpo` with suffix `.jpg` becomes `photo_anonymized.jpg`."""
    return ended(path.stem, f"{ending}{suffix}")


def mirrored_name(path: Path, suffix: str) -> str:
    """The name of a file in another folder: its own, but for the suffix."""
    return path.name if path.suffix == suffix else ended(path.stem, suffix)


def ended(name: str, ending: str) -> str:
    """A name with something behind it, of a length that disks hold: of a longer name the end is replaced by a mark that
    tells it from others with the same beginning."""
    if len(os.fsencode(name + ending)) <= _LONGEST_NAME:
        return name + ending
    ending = f"~{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{ending}"
    return cut_name(name, _LONGEST_NAME - len(os.fsencode(ending))) + ending


def plan_outputs(inputs: Sequence[Input], output: Path | None, ending: str = ENDING) -> list[Path]:
    """Where the results go, one path an input, in order.

    Without `output`, a file's result lies beside it as `<name>_anonymized.<ext>`, and the results of a folder mirror
    it in `<folder>_anonymized`. A single named file can be given a file as `output`. Otherwise `output` is a folder:
    named files keep their names in it, a folder's files their places, below the folder's name if it is not the only
    thing named.

    Where two names would be the same, or differ by case only, because a suffix cannot be written (`x.mp4` and `x.lrv`),
    the file that keeps its suffix keeps its name, and the other one's tells what it was: `x_lrv.mp4`. The order of
    inputs does not matter.

    Args:
        inputs: the files.
        output: file or folder, or None.
        ending: what marks a result that lies beside its input.

    Raises:
        UsageError: two inputs would get one output, an output is an input (also through links), or one file is to hold
            several results.
    """
    targets = _told_apart(inputs, _placed(inputs, output, ending))
    check_outputs([item.path for item in inputs], targets)
    return targets


def check_outputs(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Raise `UsageError` where an output is an input, also through links, or two inputs have one output."""
    inputs = {_identity(source): source for source in sources}
    taken: dict[object, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        identity = _identity(target)
        if identity in inputs:
            raise UsageError(f"{target}: the output of {source} would be the input {inputs[identity]}; choose another.")
        if identity in taken:
            raise UsageError(f"{target}: would be the output of both {taken[identity]} and {source}; rename one.")
        taken[identity] = source


def check_apart(read: Sequence[Path], written: Sequence[Path]) -> None:
    """Raise `UsageError` where a file that is written is also read, also through links, or is written twice."""
    inputs = {_identity(path): path for path in read}
    taken: set[object] = set()
    for path in written:
        identity = _identity(path)
        if identity in inputs:
            raise UsageError(f"{path}: is the input {inputs[identity]}, which is never written over; choose another.")
        if identity in taken:
            raise UsageError(f"{path}: would hold two different results; choose another name for one.")
        taken.add(identity)


def _placed(inputs: Sequence[Input], output: Path | None, ending: str) -> list[Path]:
    if output is None:
        return [_beside(item, ending) for item in inputs]
    if len(inputs) == 1 and inputs[0].folder is None and _is_file_name(output):
        return [output]
    if _is_file_name(output) and (output.exists() or output.suffix.lower() in {*PHOTO_FORMATS, *_suffixes(inputs)}):
        raise UsageError(f"{output}: one file cannot hold the results of several inputs; name a folder.")
    named = {item.folder if item.folder is not None else item.path for item in inputs}
    return [output / _place(item, below_name=len(named) > 1) for item in inputs]


def _told_apart(inputs: Sequence[Input], targets: Sequence[Path]) -> list[Path]:
    """Other names for outputs that are the same but for their case, if their inputs' names differ."""
    alike: dict[str, list[int]] = defaultdict(list)
    for index, target in enumerate(targets):
        alike[_folded(target)].append(index)
    taken, renamed = set(alike), list(targets)
    for _, group in sorted(alike.items()):
        # Who keeps its name: first those that keep their suffix, then by name, so that the order of inputs is nothing.
        first, *others = sorted(group, key=lambda index: (_changes_suffix(inputs[index]), str(inputs[index].path)))
        given = {_source(inputs[first], targets[first]): targets[first]}
        for index in others:
            source = _source(inputs[index], targets[index])
            if source not in given:
                given[source] = _free(inputs[index], targets[index], taken)
                taken.add(_folded(given[source]))
            renamed[index] = given[source]
    return renamed


def _source(item: Input, target: Path) -> Path:
    """What tells two inputs apart: in an output folder their names, so that two of one name are refused there."""
    return item.path if target.parent == item.path.parent else Path(item.path.name)


def _free(item: Input, target: Path, taken: set[str]) -> Path:
    """`x_lrv_anonymized.mp4` for `x_anonymized.mp4`, or with a number behind `lrv`."""
    stem = item.path.stem
    kept, rest = (stem, target.name[len(stem) :]) if target.name.startswith(stem) else (target.stem, target.suffix)
    marks = (f"_{item.path.suffix[1:]}{'' if number == 1 else f'_{number}'}" for number in count(1))
    names = (target.with_name(ended(kept, mark + rest)) for mark in marks)
    return next(name for name in names if _folded(name) not in taken)


def _changes_suffix(item: Input) -> bool:
    return item.path.suffix != item.suffix


def _folded(path: Path) -> str:
    """Equal for paths that are one on disks that do not tell cases, or ways to write an accent, apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _suffixes(inputs: Sequence[Input]) -> set[str]:
    return {item.suffix.lower() for item in inputs} - {""}


def _is_file_name(output: Path) -> bool:
    return not output.is_dir() and (output.exists() or output.suffix != "")


def _beside(item: Input, ending: str) -> Path:
    if item.folder is None:
        return item.path.with_name(anonymized_name(item.path, item.suffix, ending))
    folder = _named(item.folder)
    return folder.with_name(ended(folder.name, ending)) / _place(item, below_name=False)


def _place(item: Input, *, below_name: bool) -> Path:
    if item.folder is None:
        return Path(mirrored_name(item.path, item.suffix))
    relative = item.path.relative_to(item.folder)
    inner = relative.with_name(mirrored_name(item.path, item.suffix))
    return Path(_named(item.folder).name) / inner if below_name else inner


def _named(folder: Path) -> Path:
    """The folder by a path that ends in its name, which `.` and `..` do not."""
    return folder if folder.name not in ("", "..") else folder.resolve()


def _identity(path: Path) -> object:
    """Equal for two names of one file: by its number on its device, or by its full path while it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.normcase(path.resolve())
    return status.st_dev, status.st_ino
