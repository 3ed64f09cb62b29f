"""What dp2 knows of each published checkpoint: names, mirrors, checksums, sizes, licences. Data: `registry.toml`."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dp2.errors import UsageError

_FULL = {"md5": 32, "sha256": 64}
_PERMISSIVE = ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause")


@dataclass(frozen=True)
class Package:
    """An installed Python package that carries a file.

    Attributes:
        name: as imported.
        path: of the file, below the package's folder.
        version: the release of which the file was measured.
    """

    name: str
    path: str
    version: str


@dataclass(frozen=True)
class Entry:
    """One published file.

    Attributes:
        name: what configs and commands call it.
        file: its name in the cache, in `DP2_WEIGHTS` folders and below `DP2_MIRROR`.
        network: what it is for, in words.
        licence: in words.
        format: torch, detectron2, onnx, tflite or safetensors.
        urls: where it is published, in the order to try.
        md5, sha256: hexadecimal; a short sha256 is the prefix that its publisher states.
        size: bytes, where known.
        leftovers: keys in it (fnmatch patterns) that the network has no use for.
        package: carries the file in place of `urls`.
    """

    name: str
    file: str
    network: str
    licence: str
    format: str = "torch"
    urls: tuple[str, ...] = ()
    md5: str | None = None
    sha256: str | None = None
    size: int | None = None
    leftovers: tuple[str, ...] = ()
    package: Package | None = None

    @property
    def checksums(self) -> dict[str, str]:
        """Algorithm → digest or its prefix; empty where none is published."""
        known = {"md5": self.md5, "sha256": self.sha256}
        return {algorithm: digest for algorithm, digest in known.items() if digest is not None}

    @property
    def licensed(self) -> bool:
        """Whether its publisher states a licence."""
        return not self.licence.startswith("none stated")

    @property
    def permissive(self) -> bool:
        """Whether the licence allows any use, commercial use included, and asks for no more than a notice."""
        first = self.licence.partition(";")[0].partition(" (")[0].strip()
        return first in _PERMISSIVE and "terms of its own" not in self.licence

    @property
    def fully_checked(self) -> bool:
        """Whether a whole digest is known, rather than a prefix or none."""
        return any(len(digest) == _FULL[algorithm] for algorithm, digest in self.checksums.items())


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Every known checkpoint by name, in the order of `registry.toml`."""
    text = files("dp2.weights").joinpath("registry.toml").read_text(encoding="utf-8")
    return MappingProxyType({name: _entry(name, row) for name, row in tomllib.loads(text).items()})


def find(name: str) -> Entry:
    """The entry of this name.

    Raises:
        UsageError: there is none; the nearest names are given.
    """
    known = entries()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "see dp2 weights list."
    raise UsageError(f"no checkpoint is called {name}; {hint}")


def packaged(package: str, path: str) -> Path | None:
    """A file inside an installed package, found without importing the package; None where it is absent.

    Args:
        package: top-level name of the package.
        path: of the file, below the package's folder.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        candidate = Path(folder, path)
        if candidate.is_file():
            return candidate
    return None


def _entry(name: str, row: dict[str, Any]) -> Entry:
    fields: dict[str, Any] = dict(row, name=name)
    fields |= {key: tuple(row[key]) for key in ("urls", "leftovers") if key in row}
    fields |= {"package": Package(*row["package"])} if "package" in row else {}
    return Entry(**fields)
