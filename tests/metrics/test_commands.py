"""dp2 validate, dp2 samples, dp2 w-centers from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from dp2.cli import main
from dp2.config import load_config
from dp2.synthesize.generators import GeneratorSource
from dp2.training.w_centers import k_means, random_styles


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FBA_METRICS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DP2_WEIGHTS", raising=False)


def test_validate_prints_a_table_and_writes_json(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "numbers.json"
    done = run("validate", tiny, "--limit", 6, "--device", "cpu", "-o", output)
    assert done.exit_code == 0, done.output
    written = json.loads(output.read_text())
    assert written["samples"] == 6
    names = [result["name"] for result in written["results"]]
    assert names == ["masked L1", "FID-like", "KID-like ×1000", "LPIPS-like", "LPIPS-like diversity"]
    assert all(name in done.output for name in names)
    assert list((tmp_path / "cache").glob("*.safetensors"))
    again = run("validate", tiny, "--limit", 6, "--device", "cpu", "-o", output)
    assert again.exit_code == 1
    assert "exists" in again.output
    assert "masked L1" not in again.output  # said before anything is measured


def test_validate_measures_what_is_asked_for(tiny: Path) -> None:
    done = run("validate", tiny, "--metrics", "ppl_like, l1", "--limit", 3, "--device", "cpu", "--no-cache")
    assert done.exit_code == 0, done.output
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == ["PPL-like", "masked L1"]


def test_unknown_metrics_and_absent_weights_are_told_in_one_error(tiny: Path) -> None:
    unknown = run("validate", tiny, "--metrics", "fdi")
    assert unknown.exit_code == 2
    assert "nearest is" in unknown.output
    absent = run("validate", tiny, "--metrics", "fid")
    assert absent.exit_code == 1
    assert "dp2 weights fetch inception/fid" in absent.output


def test_a_metric_of_ones_own_is_one_file_and_a_config(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "brightness.py").write_text(
        "from dp2.metrics.metric import Result\n"
        "class Brightness:\n"
        "    draws = 1\n"
        "    def start(self, run): self.found = []\n"
        "    def update(self, view): self.found += [float(fake.float().mean()) for fake in view.fakes[0]]\n"
        "    def results(self): return [Result('brightness', sum(self.found) / len(self.found))]\n"
    )
    config = tmp_path / "mine.py"
    config.write_text("from dp2.config import L\nmetrics = {'mine': L('brightness.Brightness')()}\n")
    done = run("validate", tiny, "--metrics-config", config, "--limit", 2, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("brightness")


def test_the_metrics_are_listed(tiny: Path) -> None:
    done = run("validate", tiny, "--list")
    table = load_config("metrics/default").metrics
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(table)


def test_a_config_without_validation_data_is_named(tmp_path: Path) -> None:
    config = tmp_path / "bare.py"
    config.write_text("generator = {}\nweights = 'x'\n")
    done = run("validate", config)
    assert done.exit_code == 2
    assert "data.validation" in done.output


def test_samples_shows_original_hole_latents_and_truncations(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "sheet.png"
    done = run("samples", tiny, "-o", output, "--rows", 3, "--latents", 2, "--device", "cpu")
    assert done.exit_code == 0, done.output
    sheet = np.asarray(Image.open(output))
    assert sheet.shape == (16 + 3 * 32, (2 + 2 + 5) * 32, 3)
    cells = sheet[16:].reshape(3, 32, 9, 32, 3).transpose(0, 2, 1, 3, 4)
    original, hole, first, second, *truncated = cells[1]
    kept = hole.any(axis=2)
    assert np.array_equal(original[kept], first[kept])
    assert not np.array_equal(first, second)
    assert np.array_equal(truncated[-1], first)
    assert not np.array_equal(truncated[0], first)
    rows = cells[:, 4] - cells[:, 0]
    assert rows.any()
    assert run("samples", tiny, "-o", tmp_path / "sheet.jpg").exit_code == 2


def test_a_folder_of_training_is_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "generator.safetensors").write_bytes((tiny.parent / "tiny.safetensors").read_bytes())
    done = run("samples", tiny, "-o", tmp_path / "a.png", "--checkpoint", tmp_path / "step", "--device", "cpu")
    assert done.exit_code == 0, done.output
    (tmp_path / "none").mkdir()
    assert run("samples", tiny, "-o", tmp_path / "b.png", "--checkpoint", tmp_path / "none").exit_code == 2


def test_w_centers_are_found_by_the_generator(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "with.safetensors"
    done = run("w-centers", tiny, output, "--clusters", 5, "--styles", 300)
    assert done.exit_code == 0, done.output
    network = GeneratorSource(str(tiny), weights=str(output)).network()
    assert network.style_net.w_centers.shape == (5, 16)
    z = torch.randn(4, 8)
    index = torch.tensor([0, 1, 2, 3])
    assert torch.equal(network.style(z, truncation=0.0, center_index=index), network.style_net.w_centers[:4])
    plain = GeneratorSource(str(tiny)).network()
    assert torch.equal(network.style(z), plain.style(z))


class Clustered(torch.nn.Module):
    """Styles that lie close around four known points."""

    z_channels = 2

    def __init__(self) -> None:
        super().__init__()
        self.points = torch.nn.Parameter(torch.tensor([[9.0, 0, 1], [0, 9, 2], [-9, 0, 3], [0, -9, 4]]))

    def style(self, z, *, truncation=None, center_index=None):
        corner = (z[:, 0] > 0).long() + 2 * (z[:, 1] > 0.5).long()
        return self.points[corner] + 0.05 * torch.cat([z, z[:, :1]], dim=1)


def test_known_clusters_are_found_the_largest_first() -> None:
    styles = random_styles(Clustered(), 5000, seed=3)
    centers = k_means(styles, 4, seed=1)
    known = Clustered().points.detach()
    nearest = torch.cdist(centers, known)
    assert sorted(nearest.argmin(dim=1).tolist()) == [0, 1, 2, 3]
    assert nearest.min(dim=1).values.max() < 0.15
    assert {0, 1} == set(nearest.argmin(dim=1)[:2].tolist())  # z[1] ≤ 0.5 in 69 % of all


def test_centers_depend_on_the_seed_alone_and_beat_a_random_choice() -> None:
    points = torch.from_numpy(np.random.RandomState(0).normal(size=(400, 3)).astype(np.float32))
    first = k_means(points, 7, seed=5)
    assert torch.equal(first, k_means(points, 7, seed=5))
    spread = torch.cdist(points, first).min(dim=1).values.square().mean()
    assert spread < torch.cdist(points, points[:7]).min(dim=1).values.square().mean()


def test_k_means_equals_scikit_learns_where_it_has_converged() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    rng = np.random.RandomState(0)
    points = np.concatenate([rng.normal(size=(60, 4)) * 0.3 + centre for centre in rng.normal(size=(6, 4)) * 4])
    ours = k_means(torch.from_numpy(points.astype(np.float32)), 6, seed=0)
    theirs = cluster.KMeans(6, n_init=10, random_state=0).fit(points).cluster_centers_
    assert torch.cdist(ours.double(), torch.from_numpy(theirs)).min(dim=1).values.max() < 1e-4


def test_as_many_clusters_as_points_are_the_points() -> None:
    points = torch.arange(12.0).reshape(6, 2)
    assert sorted(k_means(points, 6).tolist()) == points.tolist()
