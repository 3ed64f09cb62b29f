"""docs/training.md leads through a training whose results it shows: the small run leaves what the page promises."""

from __future__ import annotations

import re
from pathlib import Path

from dp2.config import load_config

ROOT = Path(__file__).resolve().parents[2]


def test_the_small_run_of_the_page_leaves_sheets(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"<!-- file: my_faces\.py -->\n```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "my_faces.py").write_text(text, encoding="utf-8")
    training = load_config(tmp_path / "my_faces.py").training
    assert training.report.sheet_every <= training.images
