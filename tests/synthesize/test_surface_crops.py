"""Crops of bodies with a surface: equal to the published pipeline, and safe where a surface does not fit its body."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dp2.errors import CheckpointMismatch, MissingWeights
from dp2.geometry.bodies import BodyRule
from dp2.geometry.mask_matching import greedy_matches, mask_ious, masks_to_boxes
from dp2.paint.paste import paste
from dp2.synthesize.crops import BodyCrop
from dp2.synthesize.inpaint import Inpainter
from dp2.synthesize.surface import surface_place
from dp2.types import PERSON_SURFACE, Detections, PaintTask, Patch, Refusal, Region, regions

PARITY = Path(__file__).resolve().parents[2].parent / "shared" / "parity"
LOOKED_UP = 7 if os.environ.get("DP2_PARITY") else 1  # bodies: each takes seconds
EMBEDDER = "roi_heads.embedder.embedder_smpl_27554."


def write_mesh(folder: Path, embeddings: torch.Tensor) -> str:
    """A checkpoint whose vertices have these embeddings, rows of length one."""
    path = folder / "cse.safetensors"
    identity = torch.eye(embeddings.shape[1])
    save_file({f"{EMBEDDER}features": embeddings.contiguous(), f"{EMBEDDER}embeddings": identity}, path)
    return str(path)


@pytest.fixture(scope="module")
def case() -> Mapping[str, torch.Tensor]:
    if not (PARITY / "pipeline.safetensors").is_file():
        pytest.skip("../shared/parity is not there")
    return load_file(PARITY / "pipeline.safetensors")


def published_people(case: Mapping[str, torch.Tensor]) -> Detections:
    """The matched bodies of the case, by the area of their masks as it paints them."""
    matched = case["combined/matches"][:, 1]
    body = case["combined/instance_segmentation"].float()[:, None]
    surface = torch.cat([case["cse_in/instance_embedding"][matched], body], dim=1).numpy()
    masks, boxes = case["combined/segmentation"].numpy(), case["combined/bbox_XYXY"].numpy()
    found = Detections(PERSON_SURFACE, boxes, case["combined/scores"], masks=masks, surface=surface)
    return found[np.argsort(masks.sum(axis=(1, 2)))]


@pytest.fixture(scope="module")
def served(case: Mapping[str, torch.Tensor]) -> list[Region]:
    """Those large enough for the published pipeline."""
    return [one for one in regions(published_people(case)) if not isinstance(BodyCrop().box(one, 480, 640), Refusal)]


@pytest.mark.parity
def test_masks_match_as_published(case: Mapping[str, torch.Tensor]) -> None:
    masks, bodies = case["segmentation"].numpy(), case["cse_in/im_segmentation"].numpy()
    ious = mask_ious(masks, bodies)
    assert np.array_equal(ious, case["mask_iou"].numpy())
    assert greedy_matches(ious, 0.4).tolist() == case["combined/matches"].tolist()
    assert np.array_equal(masks_to_boxes(masks), case["masks_to_boxes"].numpy())


@pytest.mark.parity
def test_crops_are_the_published_ones(case: Mapping[str, torch.Tensor], served: list[Region], tmp_path: Path) -> None:
    looking = BodyCrop(embedding=write_mesh(tmp_path, case["cse_in/embed_map"]), silhouette=True, device="cpu")
    plain = BodyCrop(silhouette=True)
    image = case["image"].permute(1, 2, 0).numpy()
    assert len(served) == len(case["cse_person/boxes"])
    looked_up = wrong = 0
    for index, region in enumerate(served):
        crop = looking if index < LOOKED_UP else plain
        box = looking.box(region, 480, 640)
        assert not isinstance(box, Refusal)
        ours, theirs = crop.cut(image, region, box), f"cse_person/crops/{index}"
        assert list(box) == case[f"{theirs}/boxes"][0].tolist()
        assert np.array_equal(ours.keep, case[f"{theirs}/mask"][0, 0].bool().numpy())
        assert (ours.image.transpose(2, 0, 1) != case[f"{theirs}/img"][0].numpy()).mean() <= 1e-3
        outside = case[f"{theirs}/maskrcnn_mask"][0, 0]
        assert np.array_equal(ours.conditions["silhouette"][0], 1 - outside.float().numpy())
        if crop is plain:
            continue
        embedding = torch.from_numpy(ours.conditions["embedding"])
        body = case[f"{theirs}/E_mask"][0, 0]
        assert torch.equal(embedding[-1], body.float())
        expected = case["cse_in/embed_map"][case["cse_person/vertices"][index, 0].long()].permute(2, 0, 1) * body
        wrong += int(((embedding[:-1] - expected).abs() > 1e-5).any(dim=0).sum())
        looked_up += int(body.sum())
    assert wrong <= 1e-3 * looked_up


@pytest.mark.parity
def test_holes_have_the_published_boxes(case: Mapping[str, torch.Tensor], served: list[Region]) -> None:
    rule = BodyRule()
    ours = {rule.hole_box(one.mask, one.surface_box) for one in served if one.mask is not None}
    assert ours == {tuple(box) for box in case["cse_person/dilated_boxes"].tolist()}


@pytest.mark.parity
@pytest.mark.skipif(os.environ.get("DP2_PARITY") != "1", reason="takes minutes; runs with DP2_PARITY=1")
@pytest.mark.parametrize("variant", ["t0", "mm_t0"])
def test_whole_pictures_are_the_published_ones(
    variant: str,
    case: Mapping[str, torch.Tensor],
    served: list[Region],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = importlib.util.spec_from_file_location("recipe", PARITY / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    centers = 0.5 * recipe.normal("input/w_centers", (8, 512))
    published = {"EMA_generator": recipe.weights("fdh_styleganL"), "w_centers": centers}
    torch.save(published, tmp_path / "fdh_styleganL.ckpt")
    monkeypatch.setenv("DP2_WEIGHTS", str(tmp_path))
    synthesizer = Inpainter(
        generator="configs/fdh/styleganL.py",
        crop=BodyCrop(embedding=write_mesh(tmp_path, case["cse_in/embed_map"]), device="cpu"),
        multi_modal_truncation=variant == "mm_t0",
        paste="reference",
        amp=False,
        device="cpu",
        latent_index=lambda _, identity: 11 + 7 * identity,
    )
    canvas = case["image"].permute(1, 2, 0).contiguous().numpy().copy()
    for place, region in enumerate(served):
        (patch,) = synthesizer.synthesize([PaintTask(canvas, replace(region, identity=place))], seed=0)
        assert isinstance(patch, Patch)
        paste(canvas, patch)
    theirs = case[f"anonymized/cse/{variant}"].permute(1, 2, 0).numpy().astype(int)
    difference = np.abs(canvas - theirs)
    # A pixel whose two nearest vertices are equally near may take the other one, and shows it
    assert np.median(difference) == 0
    assert (difference > 1).mean() < 1e-3


def body(surface_box: tuple[float, ...] = (20, 10, 60, 110), cells: int = 8) -> Region:
    """40 × 100 pixels in a frame of 120 × 100; the surface is the first vertex left, the second right."""
    mask = np.zeros((120, 100), bool)
    mask[10:110, 20:60] = True
    surface = np.zeros((3, cells, cells), np.float32)
    surface[0, :, : cells // 2], surface[1, :, cells // 2 :], surface[2] = 1, 1, 1
    return Region(
        PERSON_SURFACE,
        np.array([20, 10, 60, 110], np.float32),
        0.9,
        0,
        mask=mask,
        surface=surface,
        surface_box=np.array(surface_box, np.float32),
    )


@pytest.fixture
def crop(tmp_path: Path) -> BodyCrop:
    return BodyCrop(embedding=write_mesh(tmp_path, torch.tensor([[1.0, 0], [0, 1], [-1, 0]])), device="cpu")


def test_each_pixel_gets_the_embedding_of_its_vertex_and_nothing_off_the_body(crop: BodyCrop) -> None:
    region = body()
    box = crop.box(region, 120, 100)
    assert not isinstance(box, Refusal)
    embedding = crop.cut(np.zeros((120, 100, 3), np.uint8), region, box).conditions["embedding"]
    left, top, right, bottom = surface_place(region.surface_box, box, crop.size)
    middle = (left + right) // 2
    assert embedding.shape == (3, 288, 160)
    assert (embedding[0, top:bottom, left : middle - 3] == 1).all()
    assert (embedding[1, top:bottom, middle + 3 : right] == 1).all()
    assert set(np.unique(embedding)) == {0, 1}
    outside = np.ones((288, 160), bool)
    outside[top:bottom, left:right] = False
    assert not embedding[:, outside].any()


def test_surface_beside_the_mask_widens_the_crop(crop: BodyCrop) -> None:
    box = crop.box(body((2, 10, 60, 110)), 120, 100)
    assert not isinstance(box, Refusal)
    assert box[0] <= 2


def test_body_without_surface_is_refused(crop: BodyCrop) -> None:
    bare = Region(PERSON_SURFACE, body().box, 0.9, 0, mask=body().mask)
    assert isinstance(crop.box(bare, 120, 100), Refusal)


@pytest.mark.parametrize("surface_box", [(20, 10, 20, 110), (-500, 10, -400, 110), (0, -1e6, 100, 1e6)])
def test_surface_that_does_not_fit_is_left_out_or_refused(crop: BodyCrop, surface_box: tuple[float, ...]) -> None:
    region = body(surface_box)
    box = crop.box(region, 120, 100)
    if not isinstance(box, Refusal):
        found = crop.cut(np.zeros((120, 100, 3), np.uint8), region, box)
        assert not found.conditions["embedding"].any()
        assert not found.keep.all()


def test_surface_of_another_network_is_an_error(crop: BodyCrop) -> None:
    region = body()
    other = Region(PERSON_SURFACE, region.box, 0.9, 0, region.mask, None, region.surface[:2], region.surface_box)
    box = crop.box(other, 120, 100)
    assert not isinstance(box, Refusal)
    with pytest.raises(CheckpointMismatch, match="1 coordinates"):
        crop.cut(np.zeros((120, 100, 3), np.uint8), other, box)


def test_checkpoint_is_looked_for_at_once_and_must_hold_a_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("DP2_OFFLINE", "1")
    with pytest.raises(MissingWeights, match="cse/R101_DL_soft"):
        BodyCrop(embedding="cse/R101_DL_soft")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    crop = BodyCrop(embedding=str(tmp_path / "other.safetensors"))
    region = body()
    with pytest.raises(CheckpointMismatch, match="vertex embedder"):
        crop.cut(np.zeros((120, 100, 3), np.uint8), region, (10, 0, 70, 108))
