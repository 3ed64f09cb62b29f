"""A moviepy clip passes through an anonymizer like any picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dp2 import load_anonymizer

moviepy = pytest.importorskip("moviepy", reason="moviepy comes with the extra `test`")
FRAMES = (0.0, 0.04)  # seconds


def test_frames_of_a_moviepy_clip_are_anonymized(media: Path) -> None:
    anonymizer = load_anonymizer("face_blur")
    with moviepy.VideoFileClip(str(media / "pan.mp4"), audio=False) as clip:
        safe = clip.image_transform(anonymizer)
        assert (*safe.size, safe.fps, safe.duration) == (*clip.size, clip.fps, clip.duration)
        for time in FRAMES:
            before, after = clip.get_frame(time), safe.get_frame(time)
            np.testing.assert_array_equal(after, anonymizer(before))
            (faces,) = anonymizer.detect(before)
            assert len(faces) == 3
            for x0, y0, x1, y1 in faces.boxes.astype(int):
                inside = np.s_[max(y0, 0) : y1, max(x0, 0) : x1]
                assert (before[inside] != after[inside]).any(axis=2).mean() > 0.7


def test_a_moviepy_clip_is_written_without_its_sound(media: Path, tmp_path: Path) -> None:
    anonymizer = load_anonymizer("face_solid")
    with moviepy.VideoFileClip(str(media / "pan.mp4")) as clip:
        short = clip.subclipped(0, 0.12).image_transform(anonymizer)
        short.write_videofile(str(tmp_path / "safe.mp4"), audio=False, logger=None)
        (faces,) = anonymizer.detect(clip.get_frame(0))
    centres = ((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2).astype(int).T
    with moviepy.VideoFileClip(str(tmp_path / "safe.mp4")) as written:
        assert written.audio is None
        assert len(faces) == 3
        assert (written.get_frame(0)[centres[1], centres[0]] < 30).all()  # black there, give or take the coding
