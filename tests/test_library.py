"""The library as somebody meets it who tries it out: names, texts and paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dp2
from dp2 import Detections, Options, anonymize_image, anonymize_video, load_anonymizer
from dp2.errors import OutputError


def test_dir_shows_the_public_names_and_all_of_them_exist() -> None:
    assert dir(dp2) == sorted(dp2.__all__)
    assert {"Anonymizer", "Detections", "Result", "anonymize_image", "load_anonymizer"} <= set(dir(dp2))
    assert all(getattr(dp2, name) is not None for name in dir(dp2))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dp2.nothing  # noqa: B018


def test_importing_and_listing_it_is_light() -> None:
    code = "import sys, dp2; dir(dp2); print(sorted({'numpy', 'torch', 'cv2', 'av', 'click'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_detections_are_shown_on_one_line() -> None:
    boxes = np.arange(32, dtype=np.float32).reshape(8, 4)
    found = Detections("face", boxes, np.linspace(0.9, 0.2, 8), keypoints=np.zeros((8, 5, 3)), track_ids=np.arange(8))
    assert repr(found) == "<Detections: 8 face, scores [0.90, 0.80, 0.70, 0.60, 0.50, …], keypoints, track_ids>"
    assert repr(Detections.empty("person")) == "<Detections: 0 person, scores []>"


def test_a_result_is_shown_on_one_line(astronaut: np.ndarray) -> None:
    result = load_anonymizer("face_blur").anonymize(astronaut)
    assert repr(result) == "<Result: frame 0, 512x512; 1 face found, 1 changed>"


def test_files_may_be_named_by_text(tmp_path: Path, astronaut: np.ndarray, media: Path) -> None:
    anonymizer = load_anonymizer("face_blur")
    source, target = str(tmp_path / "photo.png"), str(tmp_path / "o.png")
    Image.fromarray(astronaut).save(source)
    done = anonymize_image(anonymizer, source, target)
    assert done.target == Path(target)
    assert done.summary.changed["face"] == 1
    assert Path(target).stat().st_size > 0
    with pytest.raises(OutputError, match="exists already"):
        anonymize_image(anonymizer, source, target)
    video = anonymize_video(anonymizer, str(media / "pan.mp4"), str(tmp_path / "o.mp4"), Options(end=0.2))
    assert video.summary.frames > 0
    assert video.target.exists()
