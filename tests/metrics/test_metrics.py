"""What each metric says of generators whose faults are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dp2.data.batch import Batch, collate
from dp2.errors import DatasetError, TrainingError
from dp2.metrics.cache import Cache, data_key
from dp2.metrics.distribution import FrechetDistance, KernelDistance
from dp2.metrics.evaluate import Settings, evaluate
from dp2.metrics.faces import DetectionRate, IdentityDistance
from dp2.metrics.features import SeededConvolutions
from dp2.metrics.metric import Run, View
from dp2.metrics.painter import Painter
from dp2.metrics.perceptual import Diversity, PathLength, PerceptualDistance, SeededDistance
from dp2.metrics.pixels import MaskedL1
from dp2.types import Detections

CPU = torch.device("cpu")


class Flat:
    """Paints holes in a grey that a style of one number decides."""

    z_channels = 1
    resolution = (32, 32)
    conditions = ()

    def __init__(self, slope: float = 0.0, level: float = 0.0) -> None:
        self.slope, self.level = slope, level

    def to(self, device):
        return self

    def style(self, z, *, truncation=None, center_index=None):
        return z if truncation is None else z * truncation

    def __call__(self, condition, mask, *, w):
        return condition + (1 - mask) * (self.level + self.slope * w[:, :, None, None])


def everything() -> dict:
    net, distance = SeededConvolutions(), SeededDistance()
    return {
        "fid": FrechetDistance(net=net), "kid": KernelDistance(net=net, subsets=3, size=8), "l1": MaskedL1(),
        "lpips": PerceptualDistance(net=distance), "diversity": Diversity(net=distance, draws=3),
        "ppl": PathLength(net=distance, step=0.01),
    }  # fmt: skip


def values(results) -> dict[str, float]:
    return {result.name: result.value for result in results}


def test_every_metric_runs_and_says_which_net_it_used(ramps, painter: Painter) -> None:
    results = evaluate(ramps(9), painter, everything(), Settings(batch_size=4))
    assert all(math.isfinite(result.value) and result.count > 0 for result in results)
    assert [result.name for result in results] == [
        "FID-like", "KID-like ×1000", "masked L1", "LPIPS-like", "LPIPS-like diversity", "PPL-like",
    ]  # fmt: skip
    assert all("stand-in" in result.net for result in results if "like" in result.name)
    assert results[4].count == 9 * 3


def test_results_do_not_depend_on_the_batch_size(ramps, painter: Painter) -> None:
    runs = [values(evaluate(ramps(9), painter, everything(), Settings(batch_size=size))) for size in (2, 9)]
    for name in runs[0]:
        assert runs[0][name] == pytest.approx(runs[1][name], rel=2e-2 if "PPL" in name else 1e-4, abs=1e-6)


def test_masked_l1_is_the_mean_over_the_hole(ramps) -> None:
    data = ramps(5)
    found = values(evaluate(data, Painter(Flat(level=-1), CPU), {"l1": MaskedL1()}, Settings()))
    holes = [sample.image[:, ~sample.mask[0]].float() for sample in (data.sample(i, None) for i in range(5))]
    assert found["masked L1"] == pytest.approx(torch.stack(holes).mean().item() / 255, rel=1e-6)


def test_one_that_ignores_its_latent_has_no_diversity_and_no_path(ramps) -> None:
    metrics = {"d": Diversity(net=SeededDistance()), "p": PathLength(net=SeededDistance())}
    dull = values(evaluate(ramps(4), Painter(Flat(), CPU), metrics, Settings()))
    lively = values(evaluate(ramps(4), Painter(Flat(slope=0.3), CPU), metrics, Settings()))
    assert set(dull.values()) == {0.0}
    assert min(lively.values()) > 0


def test_path_length_is_the_squared_speed(ramps) -> None:
    """With d(a, b) = mean |a - b|² over the picture, a hole of share s and slope m gives s·m²·(w₂ - w₁)²."""

    class Squared:
        name, suffix = "squared", "-like"

        def __call__(self, a, b):
            return (a.double() - b.double()).square().mean(dim=(1, 2, 3))

    painter = Painter(Flat(slope=0.05), CPU)
    found = evaluate(ramps(3), painter, {"p": PathLength(net=Squared(), step=0.05)}, Settings())[0]
    ends = [painter.latents(range(3), draw)[:, 0] for draw in (0, 1)]
    speed = (16 * 12 / 32**2) * 0.05**2 * (ends[1] - ends[0]).square()
    assert found.value == pytest.approx(speed.sort().values.mean().item(), rel=0.01)


def test_nothing_is_measured_in_rounded_products(ramps) -> None:
    class Watching(Flat):
        def __call__(self, condition, mask, *, w):
            seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32))
            return super().__call__(condition, mask, w=w)

    def settings():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    seen: list[tuple[bool, bool]] = []
    before = settings()
    evaluate(ramps(3), Painter(Watching(), CPU), {"l1": MaskedL1()}, Settings())
    assert set(seen) == {(False, False)}
    assert settings() == before


def test_path_length_leaves_out_the_outer_percents_as_published() -> None:
    class Chosen:
        name, suffix = "chosen", "-like"

        def __call__(self, a, b):
            return torch.arange(150.0) * 0.01**2

    metric = PathLength(net=Chosen(), step=0.01)
    metric.start(Run("", 150, 0, Cache(None)))
    masks = torch.zeros(150, 1, 2, 2, dtype=torch.bool)
    batch = Batch(torch.zeros(150, 3, 2, 2, dtype=torch.uint8), masks)
    metric.update(View(batch, range(150), [batch.image], Painter(Flat(), CPU)))
    (found,) = metric.results()
    assert found.count == 148  # numpy's "lower" at 1.49 and "higher" at 147.51: from 1 to 148, both included
    assert found.value == pytest.approx(74.5)


def test_the_better_of_two_generators_is_nearer_to_the_real_pictures(ramps, painter: Painter) -> None:
    class Original:
        z_channels, conditions = 1, ()

        def to(self, device):
            return self

        def style(self, z, **_):
            return z

        def __call__(self, condition, mask, *, w):
            near = torch.nn.functional.avg_pool2d(condition, 31, 1, 15, count_include_pad=False)
            share = torch.nn.functional.avg_pool2d(mask, 31, 1, 15, count_include_pad=False)
            return condition + (1 - mask) * near / share

    metrics = {
        "fid": FrechetDistance(net=SeededConvolutions()),
        "kid": KernelDistance(net=SeededConvolutions(), size=30),
    }
    good = values(evaluate(ramps(30), Painter(Original(), CPU), metrics, Settings()))
    bad = values(evaluate(ramps(30), Painter(Flat(level=1), CPU), metrics, Settings()))
    assert all(good[name] < bad[name] for name in good)


def test_real_pictures_are_looked_at_once(ramps, painter: Painter, tmp_path) -> None:
    class Counting(SeededConvolutions):
        seen = 0

        def forward(self, images):
            Counting.seen += len(images)
            return super().forward(images)

    def measured() -> dict[str, float]:
        metrics = {"fid": FrechetDistance(net=Counting()), "kid": KernelDistance(net=Counting(), subsets=2)}
        return values(evaluate(ramps(6), painter, metrics, Settings(cache=Cache(tmp_path)), described="ramps"))

    first = measured()
    assert Counting.seen == 12  # both metrics share the features
    second = measured()
    assert Counting.seen == 18
    assert second == pytest.approx(first, rel=1e-9)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"damaged")
    assert measured() == pytest.approx(first, rel=1e-9)


def test_a_cache_that_cannot_be_written_costs_no_result(ramps, painter: Painter, tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = Settings(cache=Cache(tmp_path / "file" / "cache"))
    (found,) = evaluate(ramps(5), painter, {"fid": FrechetDistance(net=SeededConvolutions())}, settings)
    assert math.isfinite(found.value)
    assert "is not kept" in caplog.text


def test_other_pictures_have_another_key(ramps) -> None:
    keys = {
        data_key(ramps(8, shift), text, count=count, seed=seed)
        for shift, text, count, seed in ((0, "a", 8, 0), (1, "a", 8, 0), (0, "b", 8, 0), (0, "a", 7, 0), (0, "a", 8, 1))
    }
    assert len(keys) == 5


def test_what_cannot_be_measured_is_an_error(ramps, painter: Painter) -> None:
    with pytest.raises(DatasetError, match="nothing"):
        evaluate(ramps(0), painter, everything(), Settings())
    with pytest.raises(TrainingError, match="finite"):
        evaluate(ramps(2), Painter(Flat(level=math.nan), CPU), everything(), Settings())
    alone = evaluate(ramps(1), painter, {"fid": FrechetDistance(net=SeededConvolutions())}, Settings())[0]
    assert math.isnan(alone.value)
    assert alone.as_dict()["value"] is None
    assert "two" in alone.note


class Marks:
    """Finds a "face" where the picture's middle is bright; five landmarks."""

    kinds = ("face",)
    settings = {"detector": "Marks"}  # noqa: RUF012

    def __init__(self, box=(10, 8, 22, 24)) -> None:
        self.box = box

    def __call__(self, images, *, relax=1.0):
        points = np.array([[[13, 12, 1], [19, 12, 1], [16, 15, 1], [14, 20, 1], [18, 20, 1]]], np.float32)
        found = Detections("face", [self.box], [0.9], keypoints=points)
        return [(found if image[16, 16].mean() > 100 else Detections.empty("face"),) for image in images]


class MeanColour:
    """The direction of a face's mean colour as its embedding."""

    name, channels, same_person = "mean colour", 3, 0.99

    def __call__(self, images, boxes, landmarks=None):
        made = np.stack([image[12:20, 12:20].reshape(-1, 3).mean(0) for image in images]) - 127.5
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def view(real: list[tuple], fake: list[tuple]) -> View:
    mask = torch.ones(len(real), 1, 32, 32, dtype=torch.bool)
    mask[:, :, 8:24, 10:22] = False
    tensors = [
        torch.tensor(side, dtype=torch.uint8)[:, :, None, None].expand(-1, 3, 32, 32).contiguous()
        for side in (real, fake)
    ]
    return View(Batch(tensors[0], mask), range(len(real)), [tensors[1]], painter=None)


RED, GREEN, BLACK = (255, 120, 120), (120, 255, 120), (0, 0, 0)


def measured(metric, *views: View) -> dict[str, float]:
    metric.start(Run("", 0, 0, Cache(None)))
    for each in views:
        metric.update(each)
    return values(metric.results())


def test_detection_rate_counts_holes_with_a_face() -> None:
    found = measured(DetectionRate(detector=Marks()), view([RED] * 4, [RED, RED, RED, BLACK]))
    assert found == {"detection rate": 0.75, "detection rate of the originals": 1.0}
    elsewhere = measured(DetectionRate(detector=Marks(box=(0, 0, 6, 6))), view([RED], [RED]))
    assert elsewhere["detection rate"] == 0


def test_identity_distance_tells_the_same_from_another() -> None:
    metric = IdentityDistance(detector=Marks(), embedder=MeanColour())
    found = measured(metric, view([RED, GREEN, BLACK], [RED, RED, RED]))
    assert found["identity distance"] == pytest.approx((0 + 1 - np.dot(*unit(RED, GREEN))) / 2, abs=1e-5)
    assert found["still the same person"] == 0.5
    assert found["identity distance of strangers"] == pytest.approx(1 - np.dot(*unit(RED, GREEN)), abs=1e-5)
    assert "1 originals left out" in metric.results()[0].note


def test_without_faces_identity_is_not_measured() -> None:
    found = measured(IdentityDistance(detector=Marks(), embedder=MeanColour()), view([BLACK], [RED]))
    assert all(math.isnan(value) for value in found.values())


def unit(*colours: tuple) -> list[np.ndarray]:
    return [(np.array(c) - 127.5) / np.linalg.norm(np.array(c) - 127.5) for c in colours]


def test_kept_pixels_stay_and_latents_differ_by_sample_and_draw(ramps, painter: Painter) -> None:
    batch = collate([ramps(2).sample(i, None) for i in range(2)])
    first, second = painter.draw(batch, [0, 1], 0), painter.draw(batch, [0, 1], 1)
    assert torch.equal(first * batch.mask, batch.image * batch.mask)
    assert not torch.equal(first, second)
    assert torch.equal(painter.draw(batch[1:2], [1], 0), first[1:2])
