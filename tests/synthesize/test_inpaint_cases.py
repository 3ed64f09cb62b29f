"""Geometry, crops and one whole picture against reduced cases, so that they are checked without ../shared."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.faces.crop_box import fitted_square, square
from dp2.paint.paint import paint
from dp2.synthesize.crops import BodyCrop, Cropper, FaceCrop
from dp2.synthesize.fills import Solid
from dp2.synthesize.inpaint import Inpainter
from dp2.synthesize.redact import Redaction
from dp2.types import FACE, PERSON, Refusal, Region

DATA = Path(__file__).resolve().parents[1] / "fixtures"
CROPS: dict[str, Cropper] = {
    "face256": FaceCrop(),
    "face128": FaceCrop(size=(128, 128), fitted=True),
    "person": BodyCrop(),
    "person_kp": BodyCrop(keypoints=True, joint_map=True, silhouette=True),
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DATA / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load("make_inpaint_cases")


@pytest.fixture(scope="module")
def cases() -> dict[str, np.ndarray]:
    with np.load(DATA / "inpaint_cases.npz") as file:
        return dict(file)


def test_squares_around_faces(cases: dict[str, np.ndarray]) -> None:
    for row in cases["faces"].tolist():
        assert square(tuple(row[:4]), 0.4) == tuple(row[6:10])
        assert fitted_square(tuple(row[:4]), 0.35, row[4], row[5]) == tuple(row[10:])


@given(
    st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(1, 300), st.integers(1, 300)),
    st.integers(1, 700),
    st.integers(1, 700),
)
@settings(max_examples=200, deadline=None)
def test_squares_hold_their_faces(place: tuple[int, int, int, int], height: int, width: int) -> None:
    x0, y0, x1, y1 = place[0], place[1], place[0] + place[2], place[1] + place[3]
    for box in (square((x0, y0, x1, y1), 0.4), fitted_square((x0, y0, x1, y1), 0.35, height, width)):
        assert box[2] - box[0] == box[3] - box[1]
        assert box[0] <= x0
        assert box[1] <= y0
        if max(place[2:]) >= 4:
            assert box[2] >= x1
            assert box[3] >= y1


@pytest.mark.parametrize("name", ["face256/0", "face256/2", "face128/0", "person/0", "person/1", "person_kp/0"])
def test_crops(name: str, cases: dict[str, np.ndarray]) -> None:
    case = {key.rpartition("/")[2]: value for key, value in cases.items() if key.startswith(f"{name}/")}
    picture = np.ascontiguousarray(cases["_".join(map(str, case["window"]))])
    region = Region(FACE, case["face"], 1.0, 0) if "face" in case else _body(case)
    cropper = CROPS[name.split("/")[0]]
    box = cropper.box(region, *picture.shape[:2])
    assert not isinstance(box, Refusal)
    assert box == tuple(case["box"])
    crop = cropper.cut(picture, region, box)
    assert np.array_equal(crop.image[:: make.STEP, :: make.STEP], case["image"])
    assert np.array_equal(crop.keep[:: make.STEP, :: make.STEP], case["keep"])
    if "joint_map" in case:
        assert np.array_equal(crop.conditions["joint_map"][0, :: make.STEP, :: make.STEP], case["joint_map"])


def _body(case: dict[str, np.ndarray]) -> Region:
    rows, columns = np.flatnonzero(case["mask"].any(1)), np.flatnonzero(case["mask"].any(0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return Region(PERSON, box, 1.0, 0, mask=case["mask"], keypoints=case.get("points"))


def test_whole_picture(cases: dict[str, np.ndarray], tmp_path: Path, publish: Callable[..., Path]) -> None:
    stylegan = load("make_stylegan_cases")
    arguments = stylegan.GENERATORS["face"]
    config = tmp_path / "narrow.py"
    config.write_text(
        f"from dp2.config import L\ngenerator = L('dp2.models.stylegan.unet.StyleGANUnet')(**{arguments!r})\n"
        f"weights = {str(tmp_path / 'narrow.ckpt')!r}\n"
    )
    from dp2.models.stylegan.unet import StyleGANUnet

    publish(tmp_path, "narrow.ckpt", stylegan.seeded(stylegan.shapes_of(StyleGANUnet(**arguments))))
    inpainter = Inpainter(
        generator=str(config),
        crop=FaceCrop(size=(make.SIZE, make.SIZE)),
        truncation=1.0,
        paste="reference",
        device="cpu",
        amp=False,
        latent_index=lambda _, identity: 11 + 7 * identity,
    )
    boxes = sorted(make.FACES, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    faces = [Region(FACE, np.array(box, np.float32), 1.0, place) for place, box in enumerate(boxes)]
    fallback = Redaction(fill=Solid(), shape="ellipse", mask_scale=1.3)
    (result,) = paint([make.scene()], [faces[::-1]], {FACE: inpainter}, fallback, seed=0)
    difference = np.abs(result.image.astype(int) - cases["picture"])
    assert difference.max() <= 1
    assert np.abs(result.image.astype(int) - make.scene()).max() > 100
