from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.source.video_kind import is_video


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi", "a.ts", "a.webm", "a.flv"])
def test_video_is_known_by_its_content_under_any_name(clips, name: str) -> None:
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    path = clips.make(name, 5, codec=codec)
    assert is_video(path)
    assert is_video(path.rename(path.with_name("photo.jpg")))


def test_picture_is_no_video_under_any_name(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff", "avif"):
        path = tmp_path / f"{kind}.mp4"
        image.save(path, kind)
        assert not is_video(path), kind


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_animation_is_a_video(tmp_path: Path, kind: str) -> None:
    images = [Image.fromarray(np.full((8, 8, 3), 99 * i, np.uint8)) for i in range(3)]
    images[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=images[1:])
    assert is_video(tmp_path / f"a.{kind}")


def test_unknown_content_counts_by_name(tmp_path: Path) -> None:
    for name, expected in {"a.mp4": True, "a.txt": False, "a.jpg": False}.items():
        (tmp_path / name).write_text("Good morning, good day. " * 40)
        assert is_video(tmp_path / name) is expected
    assert is_video(tmp_path / "missing.mkv")
