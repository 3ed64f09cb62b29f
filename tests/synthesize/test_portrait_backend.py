"""dp2's own generator without torch paints what it paints with it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from dp2.cli import main
from dp2.errors import CheckpointMismatch, EngineError, UsageError
from dp2.inference.engine import load_engine
from dp2.models.portrait.unet import PortraitUnet
from dp2.synthesize import generators
from dp2.synthesize.crops import Crop
from dp2.synthesize.generators import GeneratorSource
from dp2.synthesize.portrait import backend as portrait_backend
from dp2.synthesize.portrait.backend import PortraitBackend
from dp2.synthesize.torch_backend import TorchBackend

WIDTHS = {64: (4, 6, 8, 8, 8), 128: (4, 4, 6, 8, 8, 8)}  # 128: a level of one modulated convolution
SHAPE: dict[str, Any] = {"z_channels": 6, "w_channels": 10}


def network(side: int) -> PortraitUnet:
    torch.manual_seed(side)
    made = PortraitUnet(widths=WIDTHS[side], **SHAPE).eval()
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # so that no bias is 0
    made.w_avg.normal_()
    return made


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    folder = tmp_path_factory.mktemp("portraits")

    def write(side: int) -> Path:
        path = folder / f"{side}.safetensors"
        if not path.exists():
            save_file({**network(side).state_dict(), "w_centers": torch.randn(3, 10)}, path)
        return path

    return write


def crop(side: int, seed: int) -> Crop:
    chance = np.random.default_rng(seed)
    keep = np.ones((side, side), np.bool_)
    top, left = chance.integers(0, side // 2, 2)
    keep[top : top + side // 2, left : left + side // 3] = False
    points = np.concatenate([chance.uniform(-0.2, 1.2, (5, 2)), np.ones((5, 1))], 1).astype(np.float32)
    image = np.repeat(chance.integers(0, 256, (side // 8, side // 8, 3), np.uint8).repeat(8, 0), 8, 1)
    tone = chance.uniform(-1, 1, 3).astype(np.float32)
    return Crop(image, keep, (0, 0, side, side), {"keypoints": points, "tone": tone})


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("truncation", [0.0, 0.6, 1.0])
def test_it_paints_what_torch_paints(checkpoint: Callable[[int], Path], side: int, truncation: float) -> None:
    crops = [crop(side, seed) for seed in range(3)]
    z = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)
    theirs = TorchBackend(network(side), torch.device("cpu"), amp=False, compiled=False)
    ours = PortraitBackend(checkpoint(side), widths=WIDTHS[side], amp=False, **SHAPE)
    wanted = theirs.paint(crops, theirs.styles(z, truncation, None))
    found = ours.paint(crops, ours.styles(z, truncation, None))
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == np.float32
        assert np.abs(one - other).max() < 0.01  # of 255
    assert np.ptp(found[0][~crops[0].keep]) > 1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_it_sees_what_torch_sees(seed: int) -> None:
    side, one = 64, crop(64, seed)
    keep = one.keep.astype(np.float32)[..., None]
    known = (one.image.astype(np.float32) - 127.5) / 127.5 * keep
    ours = portrait_backend.seen_by_generator(known, keep, one.conditions["keypoints"], one.conditions["tone"])
    tensors = [torch.from_numpy(part) for part in (known, keep)]
    condition, mask = (part.permute(2, 0, 1)[None] for part in tensors)
    points, tone = (torch.from_numpy(one.conditions[name])[None] for name in ("keypoints", "tone"))
    theirs = network(side)._inputs(condition, mask, points, tone).numpy()
    assert np.abs(ours - theirs).max() < 1e-5


def test_both_engines_paint_the_same(checkpoint: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ours = PortraitBackend(checkpoint(64), widths=WIDTHS[64], amp=False, **SHAPE)
    monkeypatch.setattr(portrait_backend, "load_engine", lambda model, **_: load_engine(model, engine="onnxruntime"))
    other = PortraitBackend(checkpoint(64), widths=WIDTHS[64], amp=False, **SHAPE)
    z = np.zeros((1, 6), np.float32)
    one, two = (made.paint([crop(64, 0)], made.styles(z, 1.0, None))[0] for made in (ours, other))
    assert np.abs(one - two).max() < 0.01


def test_what_else_is_in_a_batch_decides_nothing(checkpoint: Callable[[int], Path]) -> None:
    ours = PortraitBackend(checkpoint(64), widths=WIDTHS[64], **SHAPE)
    crops = [crop(64, seed) for seed in range(4)]
    z = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
    together = ours.paint(crops, ours.styles(z, 0.9, None))
    apart = [ours.paint([one], ours.styles(z[i : i + 1], 0.9, None))[0] for i, one in enumerate(crops)]
    assert all(np.array_equal(one, two) for one, two in zip(together, apart, strict=True))


def test_centres_of_styles_are_those_of_torch(checkpoint: Callable[[int], Path], tmp_path: Path) -> None:
    made = network(64)
    made.set_w_centers(torch.randn(3, 10))
    save_file({**made.state_dict(), "w_centers": made.w_centers}, tmp_path / "x.safetensors")
    ours = PortraitBackend(tmp_path / "x.safetensors", widths=WIDTHS[64], **SHAPE)
    z, rows = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32), np.array([0, 1, 2, 7])
    theirs = made.style(torch.from_numpy(z), truncation=0.5, center_index=torch.from_numpy(rows))
    assert np.allclose(ours.styles(z, 0.5, rows), theirs.detach().numpy(), atol=1e-6)
    save_file(made.state_dict(), tmp_path / "y.safetensors")
    without = PortraitBackend(tmp_path / "y.safetensors", widths=WIDTHS[64], **SHAPE)
    with pytest.raises(UsageError, match="holds no w_centers"):
        without.styles(z, 0.5, rows)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("decoder.2.1.weight", None),
        ("stem.weight", torch.zeros(4, 8, 3, 3)),
        ("more.weight", torch.zeros(1)),
        ("mapping.2.bias", None),
        ("w_avg", torch.zeros(11)),
        ("w_centers", torch.zeros(3, 11)),
        ("w_centers", torch.zeros(3)),
        ("decoder.1.0.bias", torch.zeros(6, dtype=torch.int32)),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path, name: str, value: torch.Tensor | None) -> None:
    state = dict(network(64).state_dict())
    if value is None:
        del state[name]
    else:
        state[name] = value
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointMismatch, match=name.replace(".", r"\.")):
        PortraitBackend(tmp_path / "x.safetensors", widths=WIDTHS[64], **SHAPE)


def test_an_engine_that_cannot_load_is_an_error_and_no_fallback(
    astronaut: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: Any, **_: Any) -> Any:
        raise EngineError("the engine is broken")

    monkeypatch.setattr(portrait_backend, "load_engine", broken)
    photo, output = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(astronaut).save(photo)
    done = CliRunner().invoke(main, ["anonymize", "-i", str(photo), "-o", str(output), "--device", "cpu"])
    assert done.exit_code != 0
    assert "the engine is broken" in done.output
    assert "Traceback" not in done.output
    assert not output.exists()


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_engine_can_be_named(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Half:
        def run_named(self, inputs: Any) -> list[np.ndarray]:
            return [np.full((1, 3, 64, 64), 0.5)]

    def load(network: Any, **settings: Any) -> Half:
        loaded.append(settings["engine"])
        return Half()

    monkeypatch.setattr(portrait_backend, "load_engine", load)
    named = GeneratorSource("configs/fdf/tiny64.py", device="cpu", engine=engine).load()
    assert isinstance(named, PortraitBackend)
    assert loaded == [engine]
    painted = named.paint([crop(64, 0)], named.styles(np.zeros((1, 64), np.float32), 1.0, None))[0]
    assert np.allclose(painted[~crop(64, 0).keep], 0.75 * 255)


class Inf:
    def run_named(self, inputs: Any) -> list[np.ndarray]:
        return [np.full((1, 3, 64, 64), np.inf, np.float32)]


def test_what_the_engine_leaves_undefined_is_seen(checkpoint: Callable[[int], Path]) -> None:
    ours = PortraitBackend(checkpoint(64), widths=WIDTHS[64], **SHAPE)
    ours._engine = Inf()
    painted = ours.paint([crop(64, 0)], ours.styles(np.zeros((1, 6), np.float32), 1.0, None))[0]
    assert np.isnan(painted[~crop(64, 0).keep]).all()


def test_training_checkpoints_and_bfloat16_are_read_too(tmp_path: Path) -> None:
    state = network(64).state_dict()
    torch.save({"EMA_generator": state, "w_centers": torch.ones(2, 10)}, tmp_path / "x.pth")
    save_file({name: value.bfloat16() for name, value in state.items()}, tmp_path / "y.safetensors")
    z = np.ones((1, 6), np.float32)
    one, other = (
        PortraitBackend(tmp_path / name, widths=WIDTHS[64], **SHAPE).styles(z, 1.0, None)
        for name in ("x.pth", "y.safetensors")
    )
    assert np.allclose(one, other, atol=0.05)
    assert not np.array_equal(one, other)


def test_torch_paints_where_a_gpu_may_be_or_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    config = "configs/fdf/tiny64.py"
    assert isinstance(GeneratorSource(config, device="cpu").load(), PortraitBackend)
    assert isinstance(GeneratorSource(config, device="cpu", engine="torch").load(), TorchBackend)
    for sign, kind in ((True, TorchBackend), (False, PortraitBackend)):
        monkeypatch.setattr("dp2.inference.device.may_have_gpu", lambda sign=sign: sign)
        assert isinstance(GeneratorSource(config, device="auto").load(), kind)
    assert "auto" in generators.ENGINES


def test_new_faces_need_no_torch(astronaut: np.ndarray, tmp_path: Path) -> None:
    """Its import alone takes half as long as all the rest."""
    photo = tmp_path / "photo.png"
    Image.fromarray(astronaut).save(photo)
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from dp2.cli.commands.anonymize import anonymize\n"
        f"anonymize(['-i', {str(photo)!r}, '-o', {str(tmp_path / 'out.png')!r}, '--device', 'cpu'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 changed" in done.stdout + done.stderr
    assert "redaction" not in done.stdout + done.stderr


def test_one_openvino_core_for_however_many_threads() -> None:
    """A second one can make the next signal a segmentation fault, see `dp2.inference.openvino.openvino_core`."""
    program = (
        "import threading, time\n"
        "from dp2.inference import openvino as own\n"
        "made = []\n"
        "class Slow:\n"
        "    @staticmethod\n"
        "    def Core():\n"
        "        time.sleep(0.2); made.append(1); return object()\n"
        "own.import_openvino = lambda: Slow\n"
        "threads = [threading.Thread(target=own.openvino_core) for _ in range(4)]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]\n"
        "assert len(made) == 1, made\n"
        "class Broken:\n"
        "    @staticmethod\n"
        "    def Core():\n"
        "        raise RuntimeError('no\\nprocessor')\n"
        "own.import_openvino = lambda: Broken\n"
        "own._core.cache_clear()\n"
        "try:\n"
        "    own.openvino_core()\n"
        "except own.EngineError as error:\n"
        "    assert 'no processor' in str(error)\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
