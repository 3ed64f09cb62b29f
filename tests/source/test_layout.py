"""Display matrices: turns and flips are applied, what shows nothing or shears is ignored, both with a word."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from dp2.source.layout import Orientation, orientation_of, upright
from dp2.source.video import VideoSource

ONE = 65536


def matrix(a: float, b: float, c: float, d: float) -> tuple[int, ...]:
    return (round(a * ONE), round(b * ONE), 0, round(c * ONE), round(d * ONE), 0, 0, 0, 1 << 30)


def turn(degrees: float, *, x: float = 1, y: float = 1) -> tuple[int, ...]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return matrix(x * cos, y * sin, x * -sin, y * cos)


def with_matrix(path: Path, values: tuple[int, ...]) -> Path:
    """Replace the matrix in the track header of an MP4 (version 0)."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", *values)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 0.4, 89.7])
@pytest.mark.parametrize("scale", [1, 0.01, 30])
def test_right_angles_are_exact(degrees: float, mirrored: bool, scale: float) -> None:
    values = turn(degrees, x=scale, y=scale)
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    expected = np.rot90(image, -round(degrees / 90))
    if mirrored:  # the stored picture is mirrored first
        values = (-values[0], -values[1], *values[2:])
        expected = np.rot90(image[:, ::-1], -round(degrees / 90))
    orientation = orientation_of(values)
    assert orientation is not None
    assert np.array_equal(upright(image, orientation), expected)


@pytest.mark.parametrize(
    "values",
    [(0,) * 9, matrix(1, 0, 0, 0), matrix(0, 0, 0, 1), matrix(1, 1, 1, 1), matrix(1, 1, 0, 1), matrix(0, 1, 0, 0)],
)
def test_matrix_that_is_no_turn_is_ignored_with_a_note(clips, values: tuple[int, ...]) -> None:
    assert orientation_of(values) is None
    path = clips.make("a.mp4", 2)
    plain = next(iter(VideoSource(path))).image
    source = VideoSource(with_matrix(path, values))
    frame = next(iter(source))
    assert frame.image.shape == (source.info.height, source.info.width, 3)
    if values[0]:  # FFmpeg reads a scale as the shape of pixels, and drops what has none
        assert np.array_equal(frame.image, plain)
    assert any("display matrix is no turn" in note for note in source.notes)


@pytest.mark.parametrize("degrees", [30, 45, 200, -60])
def test_any_angle_is_turned_upright_and_nothing_is_cut_off(clips, degrees: float) -> None:
    pixels = np.full((120, 160, 3), 30, np.uint8)
    corners = {"red": (0, 0), "green": (0, 140), "blue": (100, 0)}
    for channel, (y, x) in enumerate(corners.values()):
        pixels[y : y + 20, x : x + 20, channel] = 255
    path = clips.make("a.mp4", 2, pixels=pixels, pix_fmt="yuv444p", options={"crf": "1"})
    source = VideoSource(with_matrix(path, turn(degrees)))
    image = next(iter(source)).image
    assert image.shape == (source.info.height, source.info.width, 3)
    assert image.shape[0] % 2 == image.shape[1] % 2 == 0
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for channel, (y, x) in enumerate(corners.values()):
        found = np.argwhere((image[..., channel] > 150) & (image.sum(2) < 500))
        assert 340 < len(found) < 440  # all of 20x20 pixels
        dx, dy = x + 9.5 - 79.5, y + 9.5 - 59.5
        expected = (image.shape[0] / 2 - 0.5 + sin * dx + cos * dy, image.shape[1] / 2 - 0.5 + cos * dx - sin * dy)
        assert np.allclose(found.mean(0), expected, atol=1.5)
    assert any(
        f"turned by {round(degrees if degrees < 180 else degrees - 360)} degrees" in note for note in source.notes
    )


def test_a_turned_size_holds_all(clips) -> None:
    path = with_matrix(clips.make("a.mp4", 2), turn(45))
    source = VideoSource(path, max_res=64)
    assert next(iter(source)).image.shape == (source.info.height, source.info.width, 3)
    assert max(source.info.width, source.info.height) <= 64


def test_size_after_a_turn() -> None:
    assert Orientation(turn=90.0).size(160, 120) == (120, 160)
    assert Orientation(turn=45.0).size(100, 100) == (142, 142)
    assert Orientation(swap=True).size(160, 120) == (120, 160)


def test_shared_matrix_of_zeros(shared_cases: Path) -> None:
    source = VideoSource(shared_cases / "display_matrix_zero.mp4")
    assert (source.info.width, source.info.height) == (320, 178)
    assert all(frame.image.shape == (178, 320, 3) for frame in source)
