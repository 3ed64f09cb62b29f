"""Made-up sets, and a cache of indices that belongs to the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from dp2.data.synthetic import FORMATS, synthesize


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """dp2's own folder."""
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny set of each format; not to be changed."""
    root = tmp_path_factory.mktemp("made_up")
    for kind in FORMATS:
        synthesize(kind, root / kind, count=9, seed=3)
    return {kind: root / kind for kind in FORMATS}
