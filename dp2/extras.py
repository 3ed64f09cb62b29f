"""Optional packages: which extra of dp2 brings them, and the one line that says that one is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from dp2.errors import MissingExtra


@dataclass(frozen=True, slots=True)
class Extra:
    """Packages that `pip install 'dp2[NAME]'` adds.

    Attributes:
        title: what they are, for people.
        packages: as they are imported.
        includes: names of the extras that it contains.
    """

    title: str
    packages: tuple[str, ...]
    includes: tuple[str, ...] = ()


EXTRAS: Mapping[str, Extra] = MappingProxyType(
    {
        "torch": Extra("PyTorch", ("torch", "torchvision", "onnxscript")),
        "train": Extra("TensorBoard", ("tensorboard",), includes=("torch",)),
        "metrics": Extra("torch-fidelity and torchmetrics", ("torch_fidelity", "torchmetrics"), includes=("torch",)),
        "wandb": Extra("Weights & Biases", ("wandb",)),
        "web": Extra("FastAPI and uvicorn", ("fastapi", "uvicorn", "websockets", "starlette", "pydantic")),
    }
)
"""Name → what it brings; `pyproject.toml` says in which versions."""


def is_installed(extra: str) -> bool:
    """Whether all packages of an extra are here, without importing them."""
    wanted = EXTRAS[extra]
    return all(importlib.util.find_spec(package) is not None for package in wanted.packages) and all(
        map(is_installed, wanted.includes)
    )


def missing_extra(what: str, extra: str, suggested: str | None = None) -> MissingExtra:
    """The error that names what is missing and the command that installs it.

    Args:
        what: needs the extra: a command, config or detector.
        extra: holds what is missing.
        suggested: the extra to install, where another one that contains it serves better.
    """
    return MissingExtra(f"{what} needs {EXTRAS[extra].title}: pip install 'dp2[{suggested or extra}]'")


@contextmanager
def needing(what: str, suggested: str | None = None) -> Iterator[None]:
    """A failed import of an optional package inside becomes a `MissingExtra` that names `what`.

    Args:
        what: the command, config or detector that is at work.
        suggested: the extra to install if it contains the missing one.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = extra_of(error)
        if extra is None:
            raise
        contains = suggested is not None and extra in EXTRAS[suggested].includes
        raise missing_extra(what, extra, suggested if contains else None) from error


def extra_of(error: ModuleNotFoundError) -> str | None:
    """The extra that brings the package that could not be imported; None = it is none of dp2's optional ones."""
    package = (error.name or "").partition(".")[0]
    return next((name for name, extra in EXTRAS.items() if package in extra.packages), None)
