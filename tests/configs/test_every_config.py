"""Every anonymizer that comes with dp2 on a photo and a clip, from the command line to the written files.

Generators have random weights, written in their published layout and read by the real readers; they are an eighth as
wide as the published ones, save with DP2_FULL_SIZE=1. Detections are given in a file, for random detectors find nothing
useful.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from omegaconf import DictConfig
from PIL import Image

from dp2.cli.commands.anonymize import anonymize
from dp2.config import build, config_names, load_config
from dp2.detections.stored import DetectionWriter
from dp2.types import FACE, PERSON, PERSON_SURFACE, VEHICLE, Detections, Frame
from dp2.weights.needs import weights_of
from dp2.weights.registry import entries
from dp2.weights.store import Store

CSE = "cse/R101_DL_soft"
HEIGHT, WIDTH = 96, 320
PLACES = {FACE: (20, 12), VEHICLE: (90, 70), PERSON: (170, 40), PERSON_SURFACE: (250, 40)}  # kind: x0, width
TOP, BOTTOM = 12, 88
PUBLISHED = ("fdf/", "fdh/")  # generators; their configs are called so too
FULL_SIZE = os.environ.get("DP2_FULL_SIZE") == "1"


def narrow(config: str, overrides: Sequence[str] = ()) -> DictConfig:
    """`load_config`, with the published generators at an eighth of their width."""
    tree = load_config(config, overrides)
    if not FULL_SIZE and str(tree.get("weights")).startswith(PUBLISHED):
        tree.generator.width = tree.generator.get("width", 512) // 8
    return tree


def fetched(config: str) -> list[str]:
    """What a config needs that no package brings."""
    return [name for name in weights_of(config) if entries()[name].package is None]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on a busy machine lose most of their time to waiting threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., Path]) -> Callable[[str], Path]:
    """The folder with the checkpoints that a config needs when detections are given; each is made once."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def provide(config: str) -> Path:
        for name in weights_of(config):
            file = entries()[name].file
            if (folder / file).exists():
                continue
            torch.manual_seed(len(name))
            if name.startswith(PUBLISHED):
                publish(folder, file, build(narrow(f"configs/{name}.py").generator).state_dict())
            elif name == CSE:
                _write_embedder(folder / file)
        return folder

    return provide


def _write_embedder(path: Path) -> None:
    """The part of a CSE checkpoint that generators use, as detectron2 pickles it."""
    key = "roi_heads.embedder.embedder_smpl_27554."
    rng = np.random.default_rng(0)
    parts = {"features": (27554 if FULL_SIZE else 100, 256), "embeddings": (256, 16)}
    model = {key + name: rng.standard_normal(shape, np.float32) for name, shape in parts.items()}
    path.write_bytes(pickle.dumps({"model": model, "__author__": "test"}))


def found(frame: Frame) -> list[Detections]:
    """One thing of each kind, as the detectors of the most demanding configs would give it."""
    rows = []
    for kind, (x0, width) in PLACES.items():
        box = np.array([x0, TOP, x0 + width, BOTTOM if kind != FACE else TOP + 16], np.float32)
        more: dict[str, Any] = {}
        if kind == FACE:
            more["keypoints"] = np.column_stack([_spread(box, 7), np.ones(7)])[None]
        else:
            mask = np.zeros((1, HEIGHT, WIDTH), bool)
            mask[0, TOP:BOTTOM, x0 : x0 + width] = True
            more["masks"] = mask
        if kind == PERSON:
            more["keypoints"] = np.column_stack([_spread(box, 17), np.ones(17)])[None]
        if kind == PERSON_SURFACE:
            more["surface"] = np.ones((1, 17, 112, 112), np.float32)
            more["surface"][0, 16, 40:] = 0  # looking up each pixel's vertex takes the longest
        rows.append(Detections(kind, box[None], [0.9], track_ids=[len(rows)], **more))
    assert frame.image.shape[:2] == (HEIGHT, WIDTH)
    return rows


def _spread(box: np.ndarray, count: int) -> np.ndarray:
    """(count, 2) points inside a box."""
    shares = np.random.default_rng(count).uniform(0.1, 0.9, (count, 2))
    return box[:2] + shares * (box[2:] - box[:2])


@pytest.fixture(scope="session")
def media_and_detections(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    """photo.png, clip.mp4 of two frames, and found.jsonl for both."""
    folder = tmp_path_factory.mktemp("media")
    view = np.ascontiguousarray(astronaut[60 : 60 + HEIGHT, 40 : 40 + WIDTH])
    Image.fromarray(view).save(folder / "photo.png")
    with av.open(str(folder / "clip.mp4"), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(2):
            out.mux(video.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
        out.mux(video.encode())
    with (folder / "found.jsonl").open("w") as file:
        writer = DetectionWriter(file)
        for medium, count in (("photo.png", 1), ("clip.mp4", 2)):
            for index in range(count):
                frame = Frame(view, index, Fraction(index, 10))
                writer.write(medium, frame, found(frame))
    return folder


@pytest.mark.parametrize("config", config_names())
def test_config_covers_everything_with_its_own_synthesizers(
    config: str,
    checkpoints: Callable[[str], Path],
    media_and_detections: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vouch: Callable[[pytest.MonkeyPatch, Path, Path], None],
) -> None:
    packages = [name for name in weights_of(config) if entries()[name].package and Store().locate(name) is None]
    if packages:
        pytest.skip(f"{', '.join(packages)}: the package that brings it is not here")
    vouch(monkeypatch, checkpoints(config), tmp_path / "home")
    monkeypatch.setattr("dp2.synthesize.generators.load_config", narrow)
    given = media_and_detections
    words = [config, given / "photo.png", given / "clip.mp4", "--detections", given / "found.jsonl", "--offline"]
    words += ["-o", tmp_path / "out", "--report-json", tmp_path / "r.json"]
    result = CliRunner().invoke(anonymize, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "r.json").read_text())["total"]
    assert report["changed"] == dict.fromkeys(PLACES, 3)
    served = set(load_config(config).anonymizer.synthesizers)
    if "PortraitCrop" in str(load_config(config).get("synthesizer")):
        served.remove(FACE)  # it needs 5 landmarks; this face has the 7 keypoints of DeepPrivacy1
    if "NewFaces" in str(load_config(config).get("synthesizer")):
        served.remove(FACE)  # in noise its own network sees no face
    assert set(report["fallback"]) == set(PLACES) - served
    before, after = (np.asarray(Image.open(folder / "photo.png")).astype(int) for folder in (given, tmp_path / "out"))
    changed = (before != after).any(axis=2)
    for kind, (x0, width) in PLACES.items():
        bottom = TOP + 16 if kind == FACE else BOTTOM
        assert changed[TOP + 3 : bottom - 3, x0 + 3 : x0 + width - 3].mean() > 0.9, kind
    assert not changed[:, 60:75].any()


@pytest.mark.parametrize("config", ["FB_cse_mask_face", "FB_triagan", "deep_privacy1"])
def test_detections_are_shown_without_any_checkpoint(
    config: str, media_and_detections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DP2_WEIGHTS", raising=False)
    given = media_and_detections
    words = [config, given / "photo.png", given / "clip.mp4", "--visualize-detection", "--offline"]
    words += ["--detections", given / "found.jsonl", "-o", tmp_path / "out"]
    result = CliRunner().invoke(anonymize, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    before, after = (np.asarray(Image.open(folder / "photo.png")).astype(int) for folder in (given, tmp_path / "out"))
    drawn = (before != after).any(axis=2)
    for kind, (x0, width) in PLACES.items():
        bottom = TOP + 16 if kind == FACE else BOTTOM
        assert drawn[TOP, x0 : x0 + width].mean() > 0.9, kind
        assert drawn[TOP + 3 : bottom - 3, x0 + 3 : x0 + width - 3].mean() > 0.3, kind
    assert not drawn[30:, 60:75].any()


@pytest.mark.parametrize("config", [name for name in config_names() if fetched(name)])
def test_without_checkpoints_the_remedy_is_one_line(
    config: str, media_and_detections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DP2_WEIGHTS", raising=False)
    photo = str(media_and_detections / "photo.png")
    result = CliRunner().invoke(anonymize, [config, photo, "-o", str(tmp_path / "o.png"), "--offline"])
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.endswith("dp2 weights fetch " + " ".join(fetched(config)))
    assert list(tmp_path.iterdir()) == []
