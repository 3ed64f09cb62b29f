"""People who stay because a picture of them was dropped in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.errors import MissingWeights, UsageError
from dp2.web.workers.references import by_references, remedy
from dp2.web.workers.tasks import Workshop, anonymize


class Listener:
    """A `dp2.web.workers.child.Line` that only listens."""

    def say(self, event: str, **values: object) -> None:
        assert event == "progress"


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    return Workshop("cpu")


@pytest.fixture
def two_people(tmp_path: Path, astronaut: np.ndarray, hopper: np.ndarray) -> Path:
    path = tmp_path / "two.png"
    Image.fromarray(np.hstack([astronaut, hopper[:512]])).save(path)
    return path


@pytest.fixture
def reference(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """The astronaut, smaller and darker."""
    path = tmp_path / "reference.png"
    Image.fromarray(astronaut[20:240, 120:330]).resize((170, 178)).point(lambda value: value * 0.8).save(path)
    return path


def changed(workshop: Workshop, source: Path, reference: Path, only: bool) -> tuple[float, float, dict[str, int]]:
    """Mean difference in the left and in the right half, and how many were kept."""
    target = source.with_name("result.png")
    paths = {"source": str(source), "target": str(target), "preview": str(source.with_name("preview.jpg"))}
    options = {
        "keep_audio": False,
        "keep_metadata": False,
        "pixels": 10**7,
        "seconds": 600.0,
        "detections": None,
        "keep": [],
    }
    chosen = {"anonymizer": "face_solid", "kind": "image", "references": [[str(reference), "a.png"]], "only": only}
    result = anonymize(workshop, Listener(), {**paths, **options, **chosen})
    before, after = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (source, target))
    difference = np.abs(before - after).mean(axis=(0, 2))
    return difference[:512].mean(), difference[512:].mean(), result["summary"]["kept"]


@pytest.mark.parametrize("only", [False, True])
def test_shown_person_stays_or_is_the_only_one_changed(
    workshop: Workshop,
    two_people: Path,
    reference: Path,
    shared_data: Path,
    only: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DP2_WEIGHTS", str(shared_data / "weights"))
    assert remedy() is None
    left, right, kept = changed(workshop, two_people, reference, only)
    assert kept == {"face": 1}
    assert (left > 0.1, right > 0.1) == (only, not only)


def test_picture_of_nobody_is_refused_by_name(
    workshop: Workshop, two_people: Path, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DP2_WEIGHTS", str(shared_data / "weights"))
    Image.new("RGB", (100, 100), "green").save(tmp_path / "green.png")
    with pytest.raises(UsageError, match=r"green\.png: no face"):
        changed(workshop, two_people, tmp_path / "green.png", only=False)


def test_without_the_network_the_remedy_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DP2_WEIGHTS", "")
    monkeypatch.setenv("DP2_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"^[^\n]*dp2 weights fetch mobilefacenet[^\n]*$"):
        by_references([tmp_path / "a.png"], Workshop("cpu").anonymizer("face_solid"), only=False)
