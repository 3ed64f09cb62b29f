"""Checkpoints in the published layout."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

Publish = Callable[..., Path]


class EasyDict(dict):  # type: ignore[type-arg]
    """The class of the package easydict as pickles name it. It is not installed, so reading must do without."""


EasyDict.__module__ = "easydict"


def _publish(folder: Path, name: str, state: Mapping[str, torch.Tensor], centers: torch.Tensor | None = None) -> Path:
    """Write `folder/name` as DeepPrivacy2 publishes: the averaged generator, a training state of a foreign class."""

    layout: dict[str, Any] = {"EMA_generator": dict(state), "generator": {"other": torch.zeros(1)}}
    if name == "fdf_deep_privacy1.ckpt":  # nested as its predecessor wrote it
        layout = {"running_average_generator": {"parameters": dict(state)}}
    if centers is not None:
        layout["w_centers"] = centers
    layout["train_state"] = EasyDict(next_log_step=5, total_time=2.5)
    module = types.ModuleType("easydict")
    module.EasyDict = EasyDict  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "easydict", module)
        torch.save(layout, folder / name)
    return folder / name


@pytest.fixture(scope="session")
def publish() -> Publish:
    """`publish(folder, file name, state, centers=None)` writes a checkpoint."""
    return _publish
