"""The inpainting synthesizer: what it never sees, what it refuses, and that nothing but seed and identity decides."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from dp2.cli import main
from dp2.cli.commands.anonymize import anonymize
from dp2.config import build, load_config
from dp2.errors import CheckpointMismatch, EngineError, MissingWeights, UsageError
from dp2.inference.openvino import openvino_core
from dp2.paint.paint import Outcome, paint
from dp2.synthesize.crops import BodyCrop, Crop, FaceCrop
from dp2.synthesize.exported import example_inputs
from dp2.synthesize.fills import Solid
from dp2.synthesize.generators import GeneratorSource
from dp2.synthesize.inpaint import Inpainter
from dp2.synthesize.latents import hashed_index
from dp2.synthesize.redact import Redaction
from dp2.synthesize.torch_backend import stacked, to_pixels
from dp2.types import FACE, PERSON, PaintTask, Patch, Refusal, Region

DATA = Path(__file__).resolve().parents[1] / "fixtures"
PARITY = Path(__file__).resolve().parents[2].parent / "shared" / "parity"
FALLBACK = Redaction(fill=Solid(), shape="ellipse", mask_scale=1.3)
FACES = "dp2.models.stylegan.unet.StyleGANUnet", {"resolution": [32, 32], "width": 4, "max_multiplier": 2}
BODIES = (
    "dp2.models.triagan.TriaGAN",
    {
        "resolution": [48, 32],
        "width": 4,
        "multipliers": [1, 2],
        "keypoints": list(range(17)),
        "joint_map": True,
        "silhouette": True,
        "layer_scale": True,
    },
)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load(DATA / "make_stylegan_cases.py")
triagan = load(DATA / "make_keypoint_generators.py")


def random_state(network: Any, rule: Callable[..., Any]) -> dict[str, torch.Tensor]:
    return {key: rule(key, tuple(value.shape)) for key, value in network.state_dict().items()}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """For networks this small threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., Path]) -> Callable[..., str]:
    """The config of a narrow generator of faces or bodies, its random weights in DP2_WEIGHTS."""
    folder = tmp_path_factory.mktemp("generators")

    def write(kind: str = "faces", centers: bool = True) -> str:
        target, arguments = FACES if kind == "faces" else BODIES
        name = f"{kind}{'_centers' if centers else ''}"
        config = folder / f"{name}.py"
        if not config.exists():
            settings = {**arguments, "z_channels": 8, "w_channels": 8}
            call = f"from dp2.config import L\ngenerator = L({target!r})(**{settings!r})\n"
            config.write_text(f"{call}weights = {str(folder / name)!r} + '.ckpt'\n")
            network = build(load_config(config).generator)
            if kind == "faces":
                state = make.seeded(make.shapes_of(network))
            else:
                state = random_state(network, triagan.triagan_weight)
            publish(folder, f"{name}.ckpt", state, make.normal("centers", (5, 8)) if centers else None)
        return str(config)

    return write


@pytest.fixture
def inpainter(small: Callable[..., str]) -> Callable[..., Inpainter]:
    def make_one(**settings: Any) -> Inpainter:
        arguments: dict[str, Any] = {"generator": small(), "crop": FaceCrop(size=(32, 32)), "truncation": 1.0}
        return Inpainter(**{**arguments, "device": "cpu", "amp": False, **settings})

    return make_one


@pytest.fixture(scope="module")
def picture(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[40:240, 120:320])


def face(x: float, y: float, width: float, height: float | None = None, identity: int = 0) -> Region:
    return Region(FACE, np.array([x, y, x + width, y + (height or width)], np.float32), 0.9, identity)


def body(identity: int = 0) -> Region:
    mask = np.zeros((200, 200), bool)
    mask[40:160, 70:120] = True
    points = np.random.default_rng(0).uniform([70, 40, 0], [120, 160, 1], (17, 3)).astype(np.float32)
    return Region(PERSON, np.array([70, 40, 120, 160], np.float32), 0.9, identity, mask=mask, keypoints=points)


# Pixels of so small a crop are coarse: a mask needs a wider margin than at 288x160.
BODY_CROP = BodyCrop(size=(48, 32), dilation=0.06, keypoints=True, joint_map=True, silhouette=True)


def painted(synthesizer: Inpainter, image: np.ndarray, *regions: Region, seed: int = 0) -> np.ndarray:
    """The picture after painting; every region must have been served by the generator."""
    kinds = {region.kind: synthesizer for region in regions}
    (result,) = paint([image], [regions], kinds, FALLBACK, seed)
    assert {outcome.action for outcome in result.outcomes} == {Outcome.Action.CHANGED}
    return result.image


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


class Spy:
    """A backend that does something in the place of another's painting, or before it."""

    def __init__(self, inner: Any, before: Callable[[Sequence[Crop], Any], Any]) -> None:
        self.inner, self.before = inner, before

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def paint(self, crops: Sequence[Crop], styles: Any) -> Any:
        instead = self.before(crops, styles)
        return self.inner.paint(crops, styles) if instead is None else instead


def spy(synthesizer: Inpainter, before: Callable[[Sequence[Crop], Any], Any]) -> None:
    synthesizer._backend = Spy(synthesizer._backend, before)  # type: ignore[assignment]


@pytest.mark.parametrize(("kind", "side"), [("face", 20), ("face", 90), ("body", 0)])
def test_pixels_in_the_hole_play_no_part(
    kind: str, side: int, inpainter: Callable[..., Inpainter], small: Callable[..., str], picture: np.ndarray
) -> None:
    region = face(60, 60, side) if kind == "face" else body()
    synthesizer = inpainter() if kind == "face" else inpainter(generator=small("bodies"), crop=BODY_CROP)
    (patch,) = synthesizer.synthesize([PaintTask(picture, region)], 0)
    assert isinstance(patch, Patch)
    hole = np.zeros(picture.shape[:2], bool)
    height, width = patch.alpha.shape
    hole[patch.y : patch.y + height, patch.x : patch.x + width] = patch.alpha == 1
    assert hole.sum() > (0.9 * side * side if region.mask is None else region.mask.sum())
    noise = np.random.default_rng(0).integers(0, 256, picture.shape).astype(np.uint8)
    other = np.where(hole[..., None], noise, picture)
    assert np.array_equal(painted(synthesizer, picture, region), painted(synthesizer, other, region))


def test_the_network_is_fed_zeros_in_the_hole_whatever_the_paste(
    inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    seen: list[torch.Tensor] = []
    synthesizer = inpainter(paste="reference")
    spy(synthesizer, lambda crops, _: seen.extend(stacked(crops, ())[:2]))
    painted(synthesizer, picture, face(60, 60, 50))
    condition, mask = seen
    assert mask.min() == 0
    assert condition[mask.expand_as(condition) == 0].abs().max() == 0


def test_overlapping_regions_see_each_other_anonymized(
    inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    first, second = face(60, 60, 40, identity=0), face(80, 70, 50, identity=1)
    synthesizer = inpainter(batch_size=8)
    crops: list[Crop] = []
    spy(synthesizer, lambda batch, _: crops.extend(batch))
    result = painted(synthesizer, picture, second, first)
    alone = painted(synthesizer, picture, first)
    assert np.array_equal(painted(synthesizer, alone, second), result)
    small, large = crops[0], crops[1]
    assert not np.array_equal(small.image, large.image)
    noisy = picture.copy()  # where the first one is; its hole ends up to a coarse pixel before its box
    noisy[61:97, 61:97] = np.random.default_rng(0).integers(0, 256, (36, 36, 3))
    assert np.array_equal(painted(synthesizer, noisy, second, first), result)


@pytest.mark.parametrize("count", [1, 5])
def test_one_batch_or_many_frames_or_one_by_one(
    count: int, inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    people = [face(10 + 60 * (i % 3), 10 + 60 * (i // 3), 30, identity=i) for i in range(7)]
    large, single = inpainter(batch_size=8), inpainter(batch_size=1)
    frames = [np.roll(picture, 5 * i, axis=1) for i in range(count)]
    together = paint(frames, [people] * count, {FACE: large}, FALLBACK, 3)
    for frame, result in zip(frames, together, strict=True):
        assert difference(result.image, painted(single, frame, *people, seed=3)) <= 1
        assert difference(result.image, frame) > 50


def test_two_runs_are_byte_equal(inpainter: Callable[..., Inpainter], picture: np.ndarray) -> None:
    people = [face(10, 10, 60, identity=4), face(90, 90, 80, identity=7)]
    assert np.array_equal(painted(inpainter(), picture, *people), painted(inpainter(), picture, *people))


def test_seed_and_identity_decide_who_is_painted(inpainter: Callable[..., Inpainter], picture: np.ndarray) -> None:
    styles: list[torch.Tensor] = []
    synthesizer = inpainter()
    spy(synthesizer, lambda _, given: styles.append(given))
    for seed, identity, x in ((0, 1, 60), (0, 1, 75), (0, 2, 60), (1, 1, 60)):
        painted(synthesizer, picture, face(x, 60, 50, identity=identity), seed=seed)
    here, moved, other, reseeded = styles
    assert torch.equal(here, moved)
    assert (here - other).abs().max() > 0.1
    assert (here - reseeded).abs().max() > 0.1
    assert hashed_index(0, 1) == hashed_index(0, 1)
    assert len({hashed_index(seed, identity) for seed in range(30) for identity in range(30)}) == 900


def test_truncation_0_gives_everyone_the_average_and_modes_tell_them_apart(
    inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    def style(identity: int, **settings: Any) -> torch.Tensor:
        found: list[torch.Tensor] = []
        synthesizer = inpainter(truncation=0.0, **settings)
        spy(synthesizer, lambda _, given: found.append(given))
        painted(synthesizer, picture, face(60, 60, 50, identity=identity))
        return found[0]

    assert torch.equal(style(1), style(2))
    centers = make.normal("centers", (5, 8))
    for identity in (1, 2, 3):
        mode = style(identity, multi_modal_truncation=True)
        assert torch.allclose(mode[0], centers[hashed_index(0, identity) % 5])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_become_redaction(
    value: float, inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    synthesizer = inpainter()
    network = synthesizer._backend

    def spoiled(crops: Sequence[Crop], styles: Any) -> Any:
        images = torch.zeros(len(crops), 3, 32, 32)
        images[0, 0, 16, 16] = value
        return to_pixels(images)

    spy(synthesizer, spoiled)
    (result,) = paint([picture], [[face(20, 20, 30), face(120, 120, 40)]], {FACE: synthesizer}, FALLBACK, 0)
    assert [outcome.action for outcome in result.outcomes] == [Outcome.Action.FALLBACK, Outcome.Action.CHANGED]
    assert result.outcomes[0].reason == "values that are not finite"
    assert network is not synthesizer._backend


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("broken"), "the generator failed"),
        (ValueError("from an engine"), "the generator failed"),
        (torch.OutOfMemoryError("full"), "not enough memory"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_failing_generator_becomes_redaction_of_just_that_region(
    error: Exception, reason: str, inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    people = [face(10 + 60 * (i % 3), 10 + 60 * (i // 3), 30 + i, identity=i) for i in range(6)]
    synthesizer = inpainter()
    wanted = painted(inpainter(batch_size=1), picture, *people)
    sizes: list[int] = []

    def failing(crops: Sequence[Crop], _: Any) -> None:
        sizes.append(len(crops))
        if any(crop.box[0] == synthesizer.crop.box(people[2], 200, 200)[0] for crop in crops):  # type: ignore[index]
            raise error

    spy(synthesizer, failing)
    (result,) = paint([picture], [people], {FACE: synthesizer}, FALLBACK, 0)
    actions = [outcome.action for outcome in result.outcomes]
    assert actions.count(Outcome.Action.FALLBACK) == 1
    assert result.outcomes[2].reason == reason
    assert max(sizes) > 1
    assert difference(result.image[75:], wanted[75:]) <= 1
    assert (result.image[15:35, 135:155] == 0).all()


def test_full_memory_halves_the_batch_until_it_fits(inpainter: Callable[..., Inpainter], picture: np.ndarray) -> None:
    people = [face(10 + 60 * (i % 3), 10 + 60 * (i // 3), 30, identity=i) for i in range(7)]
    synthesizer = inpainter()
    sizes: list[int] = []

    def tight(crops: Sequence[Crop], _: Any) -> None:
        sizes.append(len(crops))
        if len(crops) > 2:
            raise torch.OutOfMemoryError("full")

    spy(synthesizer, tight)
    result = painted(synthesizer, picture, *people)
    assert sizes == [7, 3, 1, 2, 4, 2, 2]
    assert difference(result, painted(inpainter(batch_size=1), picture, *people)) <= 1


@pytest.mark.parametrize(
    "region",
    [
        face(50, 50, 3),
        face(50, 50, 1, 100),
        face(-5000, -5000, 9000),
        face(500, 500, 40),
        Region(PERSON, np.array([50, 50, 90, 90], np.float32), 1.0, 0, mask=np.zeros((200, 200), bool)),
    ],
)
def test_what_no_generator_can_paint_is_redacted(
    region: Region, inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    synthesizer = inpainter()
    synthesizer.crop = FaceCrop(size=(32, 32)) if region.kind == FACE else BodyCrop(size=(32, 32))
    (answer,) = synthesizer.synthesize([PaintTask(picture, region)], 0)
    assert isinstance(answer, Refusal)
    (result,) = paint([picture], [[region]], {region.kind: synthesizer}, FALLBACK, 0)
    assert result.outcomes[0].action is Outcome.Action.FALLBACK


@pytest.mark.parametrize("paste", ["natural", "reference"])
@pytest.mark.parametrize("side", [4, 8, 16, 33, 64, 190])
@pytest.mark.parametrize("corner", [(70, 60), (-3, 5), (150, 170)])
def test_faces_of_every_size_are_covered_and_nothing_far_away_changes(
    side: int, corner: tuple[int, int], paste: str, inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    region = face(*corner, side)
    result = painted(inpainter(paste=paste), picture, region)
    changed = (result != picture).any(2)
    x0, y0 = max(corner[0], 0), max(corner[1], 0)
    assert changed[y0 : corner[1] + side, x0 : corner[0] + side].mean() > 0.9
    far = max(2, round(0.07 * side))
    changed[max(y0 - far, 0) : corner[1] + side + far, max(x0 - far, 0) : corner[0] + side + far] = False
    assert not changed.any()


def test_natural_paste_leaves_no_step_where_the_generator_is_too_bright(
    inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    flat = np.full_like(picture, 100)
    steps = {}
    for paste in ("natural", "reference"):
        synthesizer = inpainter(paste=paste)
        spy(synthesizer, lambda crops, _: [np.full((32, 32, 3), 160, np.float32) for _ in crops])
        result = painted(synthesizer, flat, face(60, 60, 80))[100, :, 0].astype(int)
        assert result[100] == 160
        assert result[20] == 100
        steps[paste] = np.abs(np.diff(result)).max()
    assert steps["reference"] == 60
    assert steps["natural"] < 20


def test_natural_paste_takes_grain_and_blur_from_the_surroundings(
    inpainter: Callable[..., Inpainter], picture: np.ndarray
) -> None:
    def inner(image: np.ndarray, generated: np.ndarray) -> np.ndarray:
        synthesizer = inpainter(crop=FaceCrop(size=(32, 32)))
        spy(synthesizer, lambda crops, _: [generated for _ in crops])
        return painted(synthesizer, image, face(80, 80, 23))[84:98, 84:98, 0].astype(float)

    plain = np.full((32, 32, 3), 120, np.float32)
    grey = np.full_like(picture, 120)
    grain = np.random.default_rng(0).normal(0, 6, (200, 200, 1))
    noisy = np.clip(grey + grain, 0, 255).astype(np.uint8)
    assert inner(grey, plain).std() == 0
    assert 3 < inner(noisy, plain).std() < 9
    checks = np.where(np.indices((32, 32)).sum(0) // 4 % 2 == 0, 60, 180)[..., None].repeat(3, 2).astype(np.float32)
    blurry = np.asarray(Image.fromarray(picture).resize((20, 20)).resize((200, 200), Image.Resampling.BICUBIC))
    slope = {
        name: np.abs(np.diff(inner(image, checks))).max()
        for name, image in (("s", picture), ("b", blurry), ("f", grey))
    }
    assert slope["b"] < 0.7 * slope["s"]
    assert slope["f"] > 0.9 * slope["s"]  # a plain wall says nothing about sharpness


def test_wrong_settings_are_said_before_anything_starts(
    inpainter: Callable[..., Inpainter], small: Callable[..., str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="truncation"):
        inpainter(truncation=1.5)
    with pytest.raises(UsageError, match="paste"):
        inpainter(paste="glue")
    with pytest.raises(UsageError, match="batch_size"):
        inpainter(batch_size=0)
    with pytest.raises(UsageError, match="engine"):
        inpainter(engine="caffe")
    with pytest.raises(UsageError, match=r"32, 32.*64, 64"):
        inpainter(crop=FaceCrop(size=(64, 64)))
    with pytest.raises(UsageError, match="needs joint_map, keypoints, silhouette, which BodyCrop"):
        inpainter(generator=small("bodies"), crop=BodyCrop(size=(48, 32)))
    with pytest.raises(UsageError, match="w_centers"):
        inpainter(generator=small(centers=False), multi_modal_truncation=True)
    with pytest.raises(EngineError, match="device"):
        inpainter(device="cuda:7")


def test_absent_or_foreign_checkpoint_is_said_before_anything_starts(
    inpainter: Callable[..., Inpainter], small: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DP2_HOME", str(tmp_path))
    monkeypatch.delenv("DP2_WEIGHTS", raising=False)
    with pytest.raises(MissingWeights, match="dp2 weights fetch fdf/stylegan"):
        inpainter(generator="configs/fdf/stylegan.py", crop=FaceCrop())
    config = tmp_path / "wrong.py"
    config.write_text(Path(small()).read_text().replace("faces_centers", "bodies_centers"))
    small("bodies")
    with pytest.raises(CheckpointMismatch, match="is missing"):
        inpainter(generator=str(config))


@pytest.mark.parametrize(("kind", "engine"), [("faces", "openvino"), ("bodies", "onnxruntime")])
def test_exported_engines_paint_the_same(
    kind: str, engine: str, inpainter: Callable[..., Inpainter], small: Callable[..., str], picture: np.ndarray
) -> None:
    settings: dict[str, Any] = {}
    people = [face(20, 20, 60, identity=1), face(100, 90, 80, identity=2)]
    if kind == "bodies":
        settings, people = {"generator": small("bodies"), "crop": BODY_CROP}, [body()]
    exported = painted(inpainter(engine=engine, **settings), picture, *people)
    assert difference(exported, painted(inpainter(**settings), picture, *people)) <= 2


@pytest.mark.parametrize("kind", ["faces", "bodies"])
def test_export_command_writes_what_both_engines_run(kind: str, small: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "generator.onnx"
    result = CliRunner().invoke(main, ["export", small(kind), str(path)])
    assert result.exit_code == 0, result.output
    assert f"{path}: inputs condition, mask, w" in result.output
    assert [file.name for file in tmp_path.iterdir()] == ["generator.onnx"]
    network = GeneratorSource(small(kind)).network()
    inputs = example_inputs(network, batch=3)
    inputs = {name: make.normal(name, tuple(value.shape)).to(value.dtype) for name, value in inputs.items()}
    inputs["mask"] = (inputs["mask"] > 0).float()
    if "silhouette" in inputs:
        inputs["silhouette"] = (inputs["silhouette"] > 0).float()
        inputs["keypoints"] = inputs["keypoints"].sigmoid()
        inputs["joint_map"] = inputs["joint_map"].abs().round()
    with torch.inference_mode():
        wanted = network(**inputs).numpy()
    feed = {name: value.numpy() for name, value in inputs.items()}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    core = openvino_core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for ours in (session.run(None, feed)[0], compiled(feed)[0]):
        assert np.linalg.norm(ours - wanted) / np.linalg.norm(wanted) < 1e-3
    again = CliRunner().invoke(main, ["export", small(kind), str(path)])
    assert again.exit_code != 0
    assert "generator.onnx" in again.output
    assert CliRunner().invoke(main, ["export", small(kind), str(tmp_path / "x.pt")]).exit_code == 2


@pytest.fixture
def run(small: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`anonymize.py face` with the narrow generator in the place of the published one."""
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, generator: str | None = None) -> Result:
        changes = [f"synthesizer.generator={generator or small()}", "synthesizer.crop.size=[32,32]"]
        changes += ["--detector", "centerface"]  # whose weights are here
        return CliRunner().invoke(anonymize, ["face", *map(str, arguments), *changes, "--device", "cpu"])

    return call


@pytest.fixture
def photo(tmp_path: Path, astronaut: np.ndarray) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(astronaut).save(path)
    return path


def test_face_config_paints_a_photo_as_seed_and_truncation_say(
    run: Callable[..., Result], photo: Path, tmp_path: Path, astronaut: np.ndarray
) -> None:
    options = {
        "plain": ("-t", 1),
        "same": ("-t", 1),
        "seeded": ("-t", 1, "--seed", 5),
        "truncated": ("-t", 0),
        "modes": ("-t", 0, "--mt"),
    }
    found = {}
    for name, chosen in options.items():
        result = run(photo, "-o", tmp_path / f"{name}.png", *chosen)
        assert result.exit_code == 0, result.output
        assert "1 face found, 1 changed" in result.output
        assert "fell back" not in result.output
        found[name] = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
    assert np.array_equal(found["plain"], found["same"])
    for name in ("seeded", "truncated", "modes"):
        assert difference(found[name], found["plain"]) > 10, name
    assert difference(found["modes"], found["truncated"]) > 10
    changed = (found["plain"] != astronaut).any(2)
    assert changed[85:165, 190:255].mean() > 0.95
    assert changed.mean() < 0.1


def test_modes_without_centres_stop_the_command(
    run: Callable[..., Result], small: Callable[..., str], photo: Path, tmp_path: Path
) -> None:
    result = run(photo, "--mt", "-o", tmp_path / "out.png", generator=small(centers=False))
    assert result.exit_code == 2
    assert "w_centers" in result.output
    assert not (tmp_path / "out.png").exists()


def test_face_config_keeps_one_new_face_through_a_clip(
    run: Callable[..., Result], tmp_path: Path, astronaut: np.ndarray
) -> None:
    clip, target = tmp_path / "clip.mp4", tmp_path / "safe.mp4"
    with av.open(str(clip), "w") as out:
        video = out.add_stream("libx264", rate=10, options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 256, 192, "yuv420p"
        for index in range(6):
            view = np.ascontiguousarray(astronaut[20:212, 90 + 2 * index : 346 + 2 * index])
            out.mux(video.encode(av.VideoFrame.from_ndarray(view, "rgb24")))
        out.mux(video.encode())
    result = run(clip, "-o", target, "-t", 1, "--crf", 10)
    assert result.exit_code == 0, result.output
    with av.open(str(target)) as source:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in source.decode(video=0)]
    assert len(frames) == 6
    faces = [frame[75:135, 105 - 2 * index : 155 - 2 * index] for index, frame in enumerate(frames)]
    originals = astronaut[95:155, 195:245].astype(int)
    for one in faces:
        assert np.abs(one - originals).mean() > 25
        assert np.abs(one - faces[0]).mean() < 0.4 * np.abs(one - originals).mean()


@pytest.mark.skipif(os.environ.get("DP2_PARITY") != "1", reason="takes a minute; runs with DP2_PARITY=1")
@pytest.mark.skipif(not (PARITY / "recipe.py").exists(), reason="needs ../shared/parity")
@pytest.mark.parity
def test_face_config_at_full_size(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish: Callable[..., Path], astronaut: np.ndarray
) -> None:
    checkpoint = publish(tmp_path, "fdf_stylegan.ckpt", load(PARITY / "recipe.py").weights("fdf_stylegan"))
    monkeypatch.setenv("DP2_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("DP2_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(
        anonymize, ["face", str(photo), "-o", str(tmp_path / "out.png"), "--detector", "centerface"]
    )
    checkpoint.unlink()
    assert result.exit_code == 0, result.output
    assert "1 face found, 1 changed" in result.output
    changed = (np.asarray(Image.open(tmp_path / "out.png").convert("RGB")) != astronaut).any(2)
    assert changed[85:165, 190:255].mean() > 0.95


def test_crops_may_hold_more_than_the_generator_needs() -> None:
    crop = Crop(
        np.zeros((8, 8, 3), np.uint8),
        np.ones((8, 8), bool),
        (0, 0, 8, 8),
        {"tone": np.ones(3, np.float32), "more": np.ones(1, np.float32)},
    )
    assert list(stacked([crop, crop], ("tone",))[2]) == ["tone"]
