"""Where datasets lie and where training writes, as the environment says."""

from __future__ import annotations

import os
from pathlib import Path


def dataset_folder(*parts: str) -> str:
    """A place below `BASE_DATASET_DIR` (default `data`), as configs name it."""
    return str(Path(os.environ.get("BASE_DATASET_DIR") or "data", *parts))


def output_folder(*parts: str) -> str:
    """A place below `BASE_OUTPUT_DIR` (default `outputs`)."""
    return str(Path(os.environ.get("BASE_OUTPUT_DIR") or "outputs", *parts))


def index_folder() -> Path:
    """Where indices of shards are cached: below dp2's own folder, never beside the dataset."""
    from dp2.weights.settings import Settings

    return Settings.from_environment().home / "dataset_index"
