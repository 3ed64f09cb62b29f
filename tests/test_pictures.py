"""Callers get back the kind of picture they gave."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from dp2.errors import UsageError
from dp2.pictures import unwrap


def test_numpy_rgb_is_taken_as_it_is(astronaut: np.ndarray) -> None:
    rgb, back = unwrap(astronaut)
    assert np.array_equal(rgb, astronaut)
    assert back(rgb) is rgb


def test_numpy_grey_round_trip_is_exact(astronaut: np.ndarray) -> None:
    grey = astronaut[..., 1]
    rgb, back = unwrap(grey)
    assert rgb.shape == (512, 512, 3)
    assert np.array_equal(back(rgb), grey)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "1", "P", "CMYK"])
def test_pil_keeps_mode_size_and_alpha(astronaut: np.ndarray, mode: str) -> None:
    picture = Image.fromarray(astronaut).convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    rgb, back = unwrap(picture)
    out = back(rgb)
    assert (out.mode, out.size) == (picture.mode, picture.size)
    if mode in ("RGB", "L", "RGBA", "LA"):
        assert np.array_equal(np.asarray(out), np.asarray(picture))


def test_torch_uint8_round_trip_is_exact(astronaut: np.ndarray) -> None:
    tensor = torch.from_numpy(astronaut.copy()).permute(2, 0, 1)
    rgb, back = unwrap(tensor)
    assert np.array_equal(rgb, astronaut)
    assert torch.equal(back(rgb), tensor)


def test_torch_float_changes_only_where_the_result_differs() -> None:
    tensor = torch.rand(3, 8, 8, dtype=torch.float64)
    rgb, back = unwrap(tensor)
    changed = rgb.copy()
    changed[:4] = 255 - changed[:4]
    out = back(changed)
    assert out.dtype == torch.float64
    assert torch.equal(out[:, 4:], tensor[:, 4:])
    assert torch.allclose(out[:, :4], 1 - tensor[:, :4], atol=1 / 255)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        torch.zeros(1, 4, 4),
        torch.full((3, 4, 4), 200.0),
        torch.zeros(3, 4, 4, dtype=torch.int32),
        "photo.jpg",
        None,
    ],
)
def test_anything_else_is_refused(bad: object) -> None:
    with pytest.raises(UsageError):
        unwrap(bad)


@pytest.mark.parametrize("mode", ["YCbCr", "LAB", "HSV", "CMYK", "P", "I", "F", "I;16", "I;16B"])
def test_pil_pixels_that_did_not_change_are_exact_in_every_mode(astronaut: np.ndarray, mode: str) -> None:
    picture = Image.fromarray(astronaut).quantize(50) if mode == "P" else Image.fromarray(astronaut).convert("L")
    if mode in ("I", "I;16", "I;16B"):
        deep = np.asarray(picture).astype({"I": "<i4", "I;16": "<u2", "I;16B": ">u2"}[mode]) * 200
        picture = Image.frombytes(mode, picture.size, deep.tobytes())
    elif mode == "F":
        picture = Image.fromarray(np.asarray(picture).astype(np.float32) / 255)
    elif mode != "P":
        picture = Image.fromarray(astronaut).convert(mode)
    rgb, back = unwrap(picture)
    assert rgb.std() > 30  # neither black nor burnt out: a face can be found in it
    changed = rgb.copy()
    changed[:256] = 255 - changed[:256]
    before, after = np.asarray(picture), np.asarray(back(changed))
    assert np.array_equal(before[256:], after[256:])
    assert (before[:256] != after[:256]).mean() > 0.5


def test_palette_keeps_its_transparent_colour_and_drops_what_else_the_file_said(astronaut: np.ndarray) -> None:
    picture = Image.fromarray(astronaut).quantize(50)
    picture.info.update(transparency=3, exif=b"Exif\0\0thumbnail", comment=b"Anna")
    rgb, back = unwrap(picture)
    assert back(rgb).info == {"transparency": 3}


@pytest.mark.parametrize("value", [-1.0, 300.0, float("nan")])
def test_pil_floats_that_are_no_brightness_are_refused(value: float) -> None:
    with pytest.raises(UsageError, match="must hold 0 to 255"):
        unwrap(Image.fromarray(np.full((4, 4), value, np.float32)))
