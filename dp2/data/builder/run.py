"""Builds a set: finds, cuts, judges, writes. The output appears when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp2.config import build, load_config
from dp2.data.builder.parts import make_part
from dp2.data.builder.report import write_report
from dp2.data.builder.selection import Selection
from dp2.data.builder.settings import BuildSettings, digest
from dp2.data.builder.shards import write_shards
from dp2.data.builder.sources import SourceFile, list_sources, parts_of
from dp2.data.crop_shards import TRAIN, VALIDATION
from dp2.errors import ConfigError, OutputError, UsageError
from dp2.sink.atomic import output_error
from dp2.stages import Detector

Progress = Callable[[int, int, int], None]  # files done, files in all, crops kept


@dataclass(frozen=True, slots=True)
class Built:
    """A finished set.

    Attributes:
        folder: where it lies.
        summary: what its dataset.json holds.
    """

    folder: Path
    summary: dict[str, Any]


def build_dataset(
    inputs: Sequence[Path],
    output: Path,
    settings: BuildSettings,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Make a set of training crops.

    Work in progress lies in a hidden folder beside the output; a build that was broken off goes on there.

    Args:
        inputs: photos, videos, and folders of them. They are only read.
        output: folder to be made.
        settings: how.
        overwrite: replace an existing set (no other folder).
        progress: called as the work goes on; None = nobody.

    Raises:
        UsageError: an input does not exist or holds nothing.
        OutputError: the output exists, cannot be written, or another build is at work on it.
        DetectionError, EngineError, WeightsError: the detector cannot work.
    """
    from filelock import FileLock, Timeout

    _check_output(output, overwrite)
    work = output.parent / f".{output.name}.building"
    sources = list_sources(inputs, skip=(output, work))
    try:
        (work / "parts").mkdir(parents=True, exist_ok=True)
        with FileLock(work / "lock", timeout=0):
            built = _build(sources, work, settings, progress)
            _move(work, output)
        shutil.rmtree(work)
    except Timeout as error:
        raise OutputError(f"{output}: another build is at work on it; wait, or choose another -o.") from error
    except OSError as error:
        raise output_error(error, output) from error
    return Built(output, built)


def _build(
    sources: Sequence[SourceFile], work: Path, settings: BuildSettings, progress: Progress | None
) -> dict[str, Any]:
    detector = load_detector(settings)
    selection = Selection(settings)
    shared = digest({"cutting": settings.cutting(), "detector": detector.settings})
    for number, files in enumerate(parts_of(sources)):
        key = digest([shared, [file.state() for file in files]])
        part = make_part(work / "parts" / f"{number:06d}", files, settings, lambda: detector, key)
        selection.add(part, files)
        if progress is not None:
            progress(selection.files, len(sources), len(selection.kept))
        if selection.full:
            break
    if not selection.kept:
        dropped = ", ".join(f"{count} {reason}" for reason, count in selection.counts().items()) or "nothing was found"
        raise UsageError(f"no crop is left of {selection.pictures} pictures ({dropped}); nothing was written.")
    selection.settle()
    finished = work / "set"
    shutil.rmtree(finished, ignore_errors=True)
    for split in (TRAIN, VALIDATION):
        write_shards(finished / split, [item for item in selection.kept if item.split == split])
    return write_report(finished, selection, detector.settings)


def load_detector(settings: BuildSettings) -> Detector:
    """The detector of the config, which must give what the set is of.

    Raises:
        ConfigError: the config has no detector, or it finds something else.
    """
    tree = load_config(settings.detector_config)
    if "detector" not in tree:
        raise ConfigError(f"{settings.detector_config} defines no detector; see `dp2 configs`.")
    detector: Detector = build(tree.detector)
    if not any(kind.startswith(settings.kind) for kind in detector.kinds):
        found = ", ".join(detector.kinds)
        raise ConfigError(f"the detector of {settings.detector_config} finds {found}, no {settings.kind}.")
    return detector


def _check_output(output: Path, overwrite: bool) -> None:
    if not os.path.lexists(output):
        return
    if not overwrite:
        raise OutputError(f"{output}: exists already; use --overwrite to replace it. Nothing was written.")
    if not (output / "dataset.json").is_file():
        raise OutputError(f"{output}: is not a set made by this command, and is not replaced; choose another -o.")


def _move(work: Path, output: Path) -> None:
    if output.exists():
        old = work / "replaced"
        shutil.rmtree(old, ignore_errors=True)
        os.replace(output, old)
    os.replace(work / "set", output)
