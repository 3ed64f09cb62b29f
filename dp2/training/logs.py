"""Where a run's numbers go: lines of JSON always, TensorBoard and wandb where asked for."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from dp2.extras import needing
from dp2.sink.atomic import atomic_path

LOG = "log.jsonl"


class Log(Protocol):
    """Takes numbers and sheets."""

    def numbers(self, step: int, images: int, values: Mapping[str, float]) -> None:
        """Averages over the steps since the last call; "images_per_second" among them."""

    def sheet(self, images: int, path: Path) -> None:
        """A sheet of samples was written."""

    def close(self) -> None:
        """Write out what is held back."""


OpenLog = Callable[[Path, int], Log]
"""From a run's folder and the images seen so far to a log that goes on there."""


class JsonLines:
    """`log.jsonl`: an object a line with step, images and the values. A resumed run continues it without a trace.

    Args:
        folder: of the run.
        images: entries beyond are of steps that the run lost; they are removed.
    """

    def __init__(self, folder: Path, images: int) -> None:
        self.path = folder / LOG
        kept = [line for line in _lines(self.path) if (_images(line) or 0) <= images]
        with atomic_path(self.path, overwrite=True) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def numbers(self, step: int, images: int, values: Mapping[str, float]) -> None:
        """As in `Log`."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "images": images, **values}) + "\n")

    def sheet(self, images: int, path: Path) -> None:
        """Sheets lie beside the log already."""

    def close(self) -> None:
        """Each line is written at once."""


class TensorBoard:
    """Event files for TensorBoard, which must be installed (`pip install dp2[train]`).

    Raises:
        MissingExtra: it is not installed.
    """

    def __init__(self, folder: Path, images: int) -> None:
        with needing("the log TensorBoard"):
            from torch.utils.tensorboard import SummaryWriter
        self._writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=images + 1)

    def numbers(self, step: int, images: int, values: Mapping[str, float]) -> None:  # noqa: ARG002
        """As in `Log`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, images)

    def sheet(self, images: int, path: Path) -> None:
        """As in `Log`."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            self._writer.add_image("samples", np.asarray(picture), images, dataformats="HWC")

    def close(self) -> None:
        """As in `Log`."""
        self._writer.close()


class Wandb:
    """Weights & Biases. The only log that leaves the machine (unless WANDB_MODE=offline): it is never on by itself.

    Args:
        folder, images: as of `OpenLog`.
        project: there.

    Raises:
        MissingExtra: it is not installed.
    """

    def __init__(self, folder: Path, images: int, *, project: str = "dp2") -> None:
        with needing("the log Wandb"):
            import wandb  # type: ignore[import-not-found, unused-ignore]
        self._wandb: Any = wandb
        self._run: Any = wandb.init(project=project, dir=str(folder), id=_wandb_id(folder, images), resume="allow")

    def numbers(self, step: int, images: int, values: Mapping[str, float]) -> None:
        """As in `Log`."""
        self._run.log({"step": step, "images": images, **values})

    def sheet(self, images: int, path: Path) -> None:
        """As in `Log`."""
        self._run.log({"images": images, "samples": self._wandb.Image(str(path))})

    def close(self) -> None:
        """As in `Log`."""
        self._run.finish()


def _wandb_id(folder: Path, images: int) -> str:
    """The run's there, kept in its folder: names of folders recur, and runs of one id would be mixed."""
    path = folder / "wandb-id"
    if images == 0 or not path.is_file():
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(secrets.token_hex(8), encoding="ascii")
    return path.read_text(encoding="ascii").strip()


def _lines(path: Path) -> list[str]:
    """Whole lines; what a kill or a loss of power left of others is dropped."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return [line for line in text.split("\n")[:-1] if _images(line) is not None]


def _images(line: str) -> int | None:
    """None = the line is no entry."""
    try:
        return int(json.loads(line)["images"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
