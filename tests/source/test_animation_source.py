from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dp2.errors import MediaError, UnreadableMedia, UnsupportedMedia
from dp2.source.animation import AnimationSource

DURATIONS = [100, 50, 200, 30, 500]


@pytest.fixture(params=["gif", "webp"])
def animation(request, tmp_path: Path) -> Path:
    images = [Image.fromarray(np.full((40, 60, 3), (50 * i, 200 - 40 * i, 90), np.uint8)) for i in range(5)]
    path = tmp_path / f"a.{request.param}"
    more = {"lossless": True} if request.param == "webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=DURATIONS, loop=3, **more)
    return path


def test_frames_durations_and_loop(animation: Path) -> None:
    source = AnimationSource(animation)
    frames = list(source)
    assert [frame.duration for frame in frames] == [Fraction(d, 1000) for d in DURATIONS]
    assert [frame.time for frame in frames] == [Fraction(sum(DURATIONS[:i]), 1000) for i in range(5)]
    assert all((frame.image == (50 * i, 200 - 40 * i, 90)).all() for i, frame in enumerate(frames))
    assert (source.info.loop, source.info.frames, source.info.duration) == (3, 5, Fraction(880, 1000))


def test_span_rate_and_size(animation: Path) -> None:
    assert [f.time for f in AnimationSource(animation, start=0.1, end=0.36)] == [
        Fraction(1, 10), Fraction(3, 20), Fraction(7, 20)
    ]  # fmt: skip
    frames = list(AnimationSource(animation, fps=10, max_res=30))
    assert [frame.time for frame in frames] == [Fraction(i, 10) for i in range(9)]
    assert frames[0].image.shape == (20, 30, 3)


def test_cut_animation_is_refused_or_salvaged(animation: Path, caplog) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (5, 40, 60, 3), np.uint8)
    images = [Image.fromarray(image) for image in noise]
    images[0].save(animation, save_all=True, append_images=images[1:], duration=100)
    data = animation.read_bytes()
    animation.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(UnreadableMedia, match="Nothing was written"):
        list(AnimationSource(animation))
    if animation.suffix == ".gif":  # a WebP must be whole before anything of it can be read
        assert 1 <= len(list(AnimationSource(animation, salvage=True))) <= 3


def test_transparent_becomes_white_with_a_word(tmp_path: Path) -> None:
    images = [Image.new("RGBA", (8, 8), (255, 0, 0, alpha)) for alpha in (0, 255)]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], lossless=True)
    source = AnimationSource(tmp_path / "a.webp")
    assert [tuple(frame.image[0, 0]) for frame in source] == [(255, 255, 255), (255, 0, 0)]
    assert source.notes


def test_bomb_and_text_are_refused(animation: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match="--max-pixels"):
        AnimationSource(animation, max_pixels=1000)
    (tmp_path / "t.gif").write_text("text")
    with pytest.raises(UnreadableMedia, match="not a GIF"):
        AnimationSource(tmp_path / "t.gif")


def test_frame_that_grows_is_refused(tmp_path: Path) -> None:
    images = [Image.new("L", (10, 10), shade) for shade in (0, 90, 180)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:])
    data = bytearray((tmp_path / "a.gif").read_bytes())
    second = data.index(b"\x2c", data.index(b"\x2c") + 1)  # an image descriptor: separator, place, size
    assert data[second + 5 : second + 9] == b"\x0a\0\x0a\0"
    data[second + 5 : second + 9] = b"\x14\0\x14\0"
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(UnsupportedMedia, match=r"a\.gif: frame 1 has 20x20 pixels, the animation 10x10"):
        list(AnimationSource(tmp_path / "a.gif"))


@pytest.mark.parametrize("name", ["gif_truncated.gif", "gif_grows.gif"])
def test_cases_of_damaged_gifs_are_one_line(shared_cases: Path, name: str) -> None:
    with pytest.raises(MediaError, match=f"{name}: ") as caught:
        list(AnimationSource(shared_cases / name))
    assert "\n" not in str(caught.value)


def test_whatever_is_damaged_is_one_line_and_whole_frames_come_first(animation: Path) -> None:
    """Pillow raises IndexError, struct.error and many more."""
    noise = np.random.default_rng(0).integers(0, 255, (4, 24, 32, 3), np.uint8)
    images = [Image.fromarray(image) for image in noise]
    images[0].save(animation, save_all=True, append_images=images[1:], duration=100)
    whole, random = animation.read_bytes(), np.random.default_rng(5)
    messages = []
    for _ in range(150):
        data = bytearray(whole)
        for place in random.integers(6 if animation.suffix == ".gif" else 12, len(data), random.integers(1, 6)):
            data[place] = random.integers(256)
        animation.write_bytes(data[: random.integers(len(data) // 2, 2 * len(data))])
        try:
            shapes = {frame.image.shape for frame in AnimationSource(animation)}
        except MediaError as error:
            messages.append(str(error))
        else:
            assert len(shapes) == 1
    assert len(messages) > 10
    assert all(str(animation) in message and "\n" not in message for message in messages)


def test_frames_of_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("L", (8, 8), 9)])
    data = bytearray((tmp_path / "a.gif").read_bytes())
    data[6:10] = b"\x10\x27\x10\x27"  # 10,000 x 10,000
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(UnsupportedMedia, match="too large"):
        AnimationSource(tmp_path / "a.gif")
