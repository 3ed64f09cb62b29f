"""A run says which checkpoints it lacks and fetches them before any work: those that are named and checksummed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from dp2.anonymizer import load_anonymizer
from dp2.cli.commands.anonymize import anonymize
from dp2.config import build, load_config
from dp2.errors import MissingWeights
from dp2.weights import registry
from dp2.weights.registry import Package

NAME = "fdf/stylegan"
FILE = "fdf_stylegan.ckpt"
GENERATOR = """
from dp2.config import L
generator = L("dp2.models.stylegan.unet.StyleGANUnet")(
    resolution=[16, 16], width=4, max_multiplier=2, lowest=8, embedding_channels=0, z_channels=8, w_channels=8,
    linear_skip=True, clamp=256.0,
)
weights = "fdf/stylegan"
"""
CONFIG = """
from dp2.config import L, load_config
from dp2.synthesize.crops import FaceCrop
from dp2.synthesize.inpaint import Inpainter
_base = load_config("face_blur")
device, engine, batch_size, seed = _base.device, _base.engine, _base.batch_size, _base.seed
detector, tracker, fallback, anonymizer = _base.detector, _base.tracker, _base.fallback, _base.anonymizer
synthesizer = L(Inpainter)(generator="{folder}/tiny_generator.py", crop=L(FaceCrop)(size=[16, 16]))
"""


@pytest.fixture
def checkpoint(tmp_path: Path) -> bytes:
    """Of a tiny generator, whose config lies beside that of an anonymizer."""
    (tmp_path / "tiny_generator.py").write_text(GENERATOR)
    (tmp_path / "tiny.py").write_text(CONFIG.format(folder=tmp_path.as_posix()))
    torch.manual_seed(0)
    network = build(load_config(tmp_path / "tiny_generator.py").generator)
    torch.save({"EMA_generator": network.state_dict()}, tmp_path / "made.ckpt")
    return (tmp_path / "made.ckpt").read_bytes()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes the registry's row of the generator."""

    def change(**changes: Any) -> None:
        known = dict(registry.entries())
        known[NAME] = replace(known[NAME], **changes)
        monkeypatch.setattr(registry, "entries", lambda: known)

    return change


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: np.ndarray) -> Callable[..., Result]:
    """The command on a photo, on a machine without checkpoints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    for name in ("DP2_WEIGHTS", "DP2_OFFLINE", "DP2_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    Image.fromarray(astronaut[20:212, 100:356]).save("photo.png")
    return lambda *words: CliRunner().invoke(anonymize, ["tiny.py", "photo.png", *words])


def refused(result: Result, tmp_path: Path) -> str:
    """The one line of a run that failed and left nothing."""
    assert result.exit_code == 1
    assert not list(tmp_path.glob("photo_anonymized*"))
    assert {path.suffix for path in tmp_path.glob("home/weights/*")} <= {".lock"}
    line = result.output.splitlines()[-1]
    assert line.startswith("Error: ")
    return line


def test_what_is_fetched_is_announced_with_its_licence_and_used(
    run: Callable[..., Result], server: Any, checkpoint: bytes, publish: Callable[..., None], tmp_path: Path
) -> None:
    server.answers["/net"] = server.serve(checkpoint)
    digest = hashlib.sha256(checkpoint).hexdigest()
    publish(urls=(server.url("/net"),), md5=None, sha256=digest[:6], size=len(checkpoint))
    result = run("--report-json", "r.json")
    assert result.exit_code == 0, result.output
    announced = result.output.index("fdf/stylegan: StyleGAN U-Net")
    assert announced < result.output.index("photo.png ->")
    assert f"{len(checkpoint) / 1e6:.1f} MB; licence: follows the FDF data set" in result.output
    assert (tmp_path / "home/weights" / FILE).read_bytes() == checkpoint
    assert (tmp_path / "photo_anonymized.png").exists()
    again = run("--overwrite")
    assert "To be fetched" not in again.output
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["option", "environment"])
def test_offline_nothing_is_asked_for(
    how: str, run: Callable[..., Result], server: Any, checkpoint: bytes, publish: Callable[..., None],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    server.answers["/net"] = server.serve(checkpoint)
    publish(urls=(server.url("/net"),), md5=hashlib.md5(checkpoint).hexdigest())
    if how == "environment":
        monkeypatch.setenv("DP2_OFFLINE", "1")
    line = refused(run(*(["--offline"] if how == "option" else [])), tmp_path)
    assert line.endswith("dp2 weights fetch fdf/stylegan")
    assert server.requests == []


def test_without_a_checksum_nothing_is_fetched_unasked(
    run: Callable[..., Result], server: Any, checkpoint: bytes, publish: Callable[..., None], tmp_path: Path
) -> None:
    server.answers["/net"] = server.serve(checkpoint)
    publish(urls=(server.url("/net"),), md5=None)
    line = refused(run(), tmp_path)
    assert "no checksum is published" in line
    assert line.endswith("dp2 weights fetch fdf/stylegan")
    assert server.requests == []


def test_failing_server_is_one_line_and_leaves_nothing(
    run: Callable[..., Result], server: Any, checkpoint: bytes, publish: Callable[..., None], tmp_path: Path
) -> None:
    server.answers["/net"] = server.status(503)
    publish(urls=(server.url("/net"),), md5=hashlib.md5(checkpoint).hexdigest())
    assert "HTTP 503" in refused(run(), tmp_path)


def test_another_file_than_the_published_one_is_thrown_away(
    run: Callable[..., Result], server: Any, checkpoint: bytes, publish: Callable[..., None], tmp_path: Path
) -> None:
    server.answers["/net"] = server.serve(checkpoint[::-1])
    publish(urls=(server.url("/net"),), md5=hashlib.md5(checkpoint).hexdigest())
    assert "holds another file" in refused(run(), tmp_path)


def test_every_checkpoint_of_a_config_is_announced_before_the_first_is_asked_for(
    run: Callable[..., Result], server: Any, checkpoint: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {name: replace(entry, urls=(server.url(f"/{name}"),)) for name, entry in registry.entries().items()}
    monkeypatch.setattr(registry, "entries", lambda: known)
    result = CliRunner().invoke(anonymize, ["configs/anonymizers/FB_cse.py", "-i", "photo.png"])
    assert result.output.count("\n") == 5
    for name in ("mask_rcnn/X101", "cse/R101_DL_soft", "fdh/styleganL"):
        assert f"  {name}: {known[name].network}; size not published; licence: {known[name].licence}" in result.output
    assert server.requests == [("/mask_rcnn/X101", None)]
    assert "HTTP 404" in refused(result, tmp_path)


def test_file_of_a_package_is_installed_not_fetched(
    run: Callable[..., Result], checkpoint: bytes, publish: Callable[..., None], tmp_path: Path
) -> None:
    publish(package=Package("no_such_package", "net.ckpt", "1.0"))
    assert refused(run(), tmp_path).endswith("pip install no-such-package==1.0")


def test_notebook_fetches_only_when_asked_to(
    run: Callable[..., Result], server: Any, checkpoint: bytes, publish: Callable[..., None], tmp_path: Path
) -> None:
    server.answers["/net"] = server.serve(checkpoint)
    publish(urls=(server.url("/net"),), md5=hashlib.md5(checkpoint).hexdigest())
    with pytest.raises(MissingWeights, match="dp2 weights fetch"):
        load_anonymizer(tmp_path / "tiny.py")
    assert server.requests == []
    load_anonymizer(tmp_path / "tiny.py", download=True)
    assert (tmp_path / "home/weights" / FILE).read_bytes() == checkpoint


def test_given_detections_need_no_detector(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "given.jsonl").write_text(
        '{"media": "photo.png", "frame": 0, "detections": [{"kind": "person", "box": [20, 20, 90, 180]}]}'
    )
    (tmp_path / "tiny.py").write_text(
        'from dp2.config import load_config\n_base = load_config("traditional/body/maskout")\n'
        "globals().update({name: _base[name] for name in _base})\n"
    )
    result = run("--detections", "given.jsonl", "--offline")
    assert result.exit_code == 0, result.output
    before, after = (np.asarray(Image.open(tmp_path / name)) for name in ("photo.png", "photo_anonymized.png"))
    assert (before != after).any(axis=2)[25:175, 25:85].mean() > 0.95
    Path("photo_anonymized.png").unlink()
    assert "torchvision/mask_rcnn_v2" in refused(run("--offline"), tmp_path)
