"""Picture, hole, keypoints and surface move together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dp2.data.batch import Sample
from dp2.data.transforms import COCO_MIRROR, FACE_MIRROR, FDF_MIRROR, mirrored, resized
from dp2.errors import DatasetError

VERTICES = 40


def symmetry_of(rng: np.random.Generator) -> torch.Tensor:
    """Pairs of vertices, some their own counterpart."""
    order = rng.permutation(VERTICES)
    table = np.arange(VERTICES)
    for left, right in order[:30].reshape(-1, 2):
        table[left], table[right] = right, left
    return torch.from_numpy(table)


@st.composite
def samples(draw) -> tuple[Sample, torch.Tensor]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    points = rng.random((17, 3)).astype(np.float32)
    sample = Sample(
        image=torch.from_numpy(rng.integers(0, 256, (3, height, width)).astype(np.uint8)),
        mask=torch.from_numpy(rng.random((1, height, width)) < 0.5),
        keypoints=torch.from_numpy(points),
        vertices=torch.from_numpy(rng.integers(-1, VERTICES, (height, width))),
        silhouette=torch.from_numpy(rng.random((1, height, width)) < 0.5),
    )
    return sample, symmetry_of(rng)


@given(samples())
def test_mirrored_twice_is_as_before(given_sample) -> None:
    sample, symmetry = given_sample
    twice = mirrored(mirrored(sample, COCO_MIRROR, symmetry), COCO_MIRROR, symmetry)
    for name in ("image", "mask", "vertices", "silhouette"):
        assert torch.equal(getattr(twice, name), getattr(sample, name)), name
    assert torch.allclose(twice.keypoints, sample.keypoints, atol=1e-6)


@given(samples(), st.data())
def test_marked_pixel_moves_with_keypoint_hole_and_vertex(given_sample, data) -> None:
    sample, symmetry = given_sample
    height, width = sample.image.shape[1:]
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    point, vertex = data.draw(st.integers(0, 16)), data.draw(st.integers(0, VERTICES - 1))
    sample.image.zero_()[:, y, x] = 255
    sample.mask.fill_(True)[:, y, x] = False
    sample.vertices.fill_(-1)[y, x] = vertex
    sample.keypoints[point] = torch.tensor([(x + 0.5) / width, (y + 0.5) / height, 1])

    turned = mirrored(sample, COCO_MIRROR, symmetry)

    where = [y, width - 1 - x]
    assert (turned.image[0] == 255).nonzero().tolist() == [where]
    assert (~turned.mask[0]).nonzero().tolist() == [where]
    assert (turned.vertices >= 0).nonzero().tolist() == [where]
    assert turned.vertices[tuple(where)] == symmetry[vertex]
    place = turned.keypoints[COCO_MIRROR[point]]
    assert [int(place[1] * height), int(place[0] * width)] == where


@pytest.mark.parametrize("table", [COCO_MIRROR, FDF_MIRROR, FACE_MIRROR])
def test_counterparts_are_mutual(table: tuple[int, ...]) -> None:
    assert [table[other] for other in table] == list(range(len(table)))


def test_surface_without_symmetry_is_not_mirrored() -> None:
    sample = Sample(torch.zeros(3, 2, 2, dtype=torch.uint8), torch.ones(1, 2, 2, dtype=torch.bool),
                    vertices=torch.zeros(2, 2, dtype=torch.int64))  # fmt: skip
    with pytest.raises(DatasetError, match="symmetry"):
        mirrored(sample)


@given(samples(), st.integers(1, 3))
def test_enlarged_pixels_stay_under_their_hole_and_vertex(given_sample, times: int) -> None:
    sample, _ = given_sample
    height, width = sample.image.shape[1:]
    large = resized(sample, (height * times, width * times))
    for name in ("mask", "vertices", "silhouette"):
        before = getattr(sample, name)
        expected = before.repeat_interleave(times, -1).repeat_interleave(times, -2)
        assert torch.equal(getattr(large, name), expected), name


def test_shrunk_picture_keeps_its_mean() -> None:
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    small = resized(Sample(image, torch.ones(1, 64, 64, dtype=torch.bool)), (16, 16))
    assert small.image.shape == (3, 16, 16)
    assert abs(small.image.float().mean() - image.float().mean()) < 2
