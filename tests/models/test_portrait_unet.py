"""dp2's own generator: what reaches it of a face, and what it gives."""

import pytest
import torch

from dp2.errors import UsageError
from dp2.models.portrait.unet import PortraitUnet, landmark_maps, sharpness, widened

_POINTS = torch.tensor([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.4, 0.7], [0.6, 0.7]])


@pytest.fixture(scope="module")
def network() -> PortraitUnet:
    torch.manual_seed(0)
    return PortraitUnet(widths=(4, 8, 8, 8), z_channels=6, w_channels=10).eval()


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(1)
    mask = torch.ones(2, 1, 32, 32)
    mask[:, :, 8:26, 9:24] = 0
    picture = torch.rand(2, 3, 32, 32, generator=chance) * 2 - 1
    keypoints = torch.cat([_POINTS, torch.ones(5, 1)], 1).expand(2, 5, 3)
    return {"condition": picture * mask, "mask": mask, "keypoints": keypoints, "tone": torch.zeros(2, 3)}


def test_kept_pixels_stay_and_the_hole_depends_on_the_latent(network: PortraitUnet, inputs: dict[str, torch.Tensor]):
    z = torch.randn(2, 2, 6, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        one, other = (network(**inputs, z=row) for row in z)
    kept = inputs["mask"].expand_as(one) == 1
    assert torch.equal(one[kept], inputs["condition"][kept])
    assert not torch.allclose(one[~kept], other[~kept])
    assert one[~kept].abs().max() <= 1


def test_a_batch_equals_its_samples(network: PortraitUnet, inputs: dict[str, torch.Tensor]):
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        together = network(**inputs, z=z)
        apart = [network(**{name: value[i : i + 1] for name, value in inputs.items()}, z=z[i : i + 1]) for i in (0, 1)]
    torch.testing.assert_close(together, torch.cat(apart), atol=1e-5, rtol=1e-5)


def test_no_truncation_left_gives_everybody_the_average(network: PortraitUnet):
    z = torch.randn(3, 6)
    assert torch.equal(network.style(z, truncation=0), network.w_avg.expand(3, 10))
    assert torch.equal(network.style(z, truncation=1), network.style(z))


def test_centres_are_asked_for_before_they_are_set(network: PortraitUnet):
    with pytest.raises(UsageError, match="w_centers"):
        network.style(torch.zeros(1, 6), truncation=0.5, center_index=torch.zeros(1, dtype=torch.int64))


def test_conditions_are_needed(network: PortraitUnet, inputs: dict[str, torch.Tensor]):
    del inputs["tone"]
    with pytest.raises(UsageError, match="tone"):
        network(**inputs, z=torch.zeros(2, 6))


def test_every_weight_gets_a_gradient(network: PortraitUnet, inputs: dict[str, torch.Tensor]):
    w = network.style(torch.randn(2, 6))
    painted = network.paint(inputs["condition"], inputs["mask"], w, inputs["keypoints"], inputs["tone"])
    painted.square().sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_landmark_maps_peak_at_the_landmarks():
    maps = landmark_maps(_POINTS[None], 64)
    for group, points in enumerate(((0, 1), (2,), (3, 4))):
        for x, y in _POINTS[list(points)]:
            assert maps[0, group, int(y * 64), int(x * 64)] > 0.9
    assert maps[0, :, 2, 2].max() < 1e-3


def test_sharpness_falls_with_blur_and_ignores_contrast_and_the_hole():
    chance = torch.Generator().manual_seed(4)
    sharp = torch.rand(1, 3, 64, 64, generator=chance) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, 1, 2, count_include_pad=False)
    mask = torch.ones(1, 1, 64, 64)
    mask[:, :, 20:44, 20:44] = 0
    assert sharpness(blurred * mask, mask) < sharpness(sharp * mask, mask) - 0.3
    torch.testing.assert_close(sharpness(sharp * mask, mask), sharpness(0.5 * sharp * mask, mask), atol=0.02, rtol=0)
    other = sharp.clone()
    other[:, :, 20:44, 20:44] = 0.7  # what lies in the hole
    assert torch.equal(sharpness(other * mask, mask), sharpness(sharp * mask, mask))


def test_a_hole_widens_to_all_sides():
    hole = torch.zeros(1, 1, 9, 9)
    hole[..., 4, 4] = 1
    assert widened(hole, 2).sum() == 25
