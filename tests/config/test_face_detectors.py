"""Face detectors chosen by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from dp2.anonymizer import load_anonymizer
from dp2.cli.commands.anonymize import anonymize
from dp2.config import build, load_config
from dp2.config.face_detectors import use_face_detector
from dp2.errors import ConfigError, UsageError
from dp2.types import FACE

NAMES = tuple(load_config("anonymizers/_face").detectors)


@pytest.mark.parametrize("config", ["face", "face_fdf128", "deep_privacy1"])
def test_published_face_anonymizers_use_dsfd_as_published(config: str) -> None:
    detector = load_config(config).detector
    dsfd = detector.get("faces", detector)
    assert dsfd._target_.endswith(".DSFD")
    assert (dsfd.score_threshold, dsfd.nms_iou, dsfd.scale) == (0.3, 0.3, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_every_named_detector_takes_the_place_of_another(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dp2.weights.registry import entries

    for entry in entries().values():
        (tmp_path / entry.file).touch()  # looked for, and not read before the first frame
    monkeypatch.setenv("DP2_WEIGHTS", str(tmp_path))
    for config in ("face_mosaic", "FB_cse_mask_face"):
        tree = load_config(config)
        use_face_detector(tree, name)
        detector = build(tree.detector.get("faces", tree.detector))
        wanted = build(load_config("anonymizers/_face").detectors[name])
        assert type(detector) is type(wanted)
        assert detector.kinds == (FACE,)


def test_options_and_overrides_reach_the_chosen_detector(tmp_path: Path, astronaut: np.ndarray) -> None:
    Image.fromarray(astronaut).save(tmp_path / "photo.png")
    words = ["face_blur", str(tmp_path / "photo.png"), "--detector", "mtcnn", "detector.min_size=30", "--thresh", "0.9"]
    result = CliRunner().invoke(anonymize, [*words, "-o", str(tmp_path / "o.png")])
    assert result.exit_code == 0, result.output
    assert "1 face found, 1 changed" in result.output
    loaded = load_anonymizer("face_blur", "detector.min_size=30", detector="mtcnn")
    assert loaded.detector.settings["min_size"] == 30


def test_what_cannot_be_chosen_is_named() -> None:
    with pytest.raises(UsageError, match="no face detector is called yunett; there are dsfd, "):
        use_face_detector(load_config("face"), "yunett")
    with pytest.raises(UsageError, match="this anonymizer has no face detector"):
        use_face_detector(load_config("FB_nocse"), "yunet")
    with pytest.raises(ConfigError, match="--detector yunet"):
        load_anonymizer("face_blur", "detector=yunet")
