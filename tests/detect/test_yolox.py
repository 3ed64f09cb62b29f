"""YOLOX: letterbox and decoding against known truth, and people in real pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dp2.detect.people.yolox import Yolox, decode, letterbox_of, letterboxed
from dp2.errors import MissingWeights, UsageError, WeightsError
from dp2.types import Image, Origin

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
needs_weights = pytest.mark.skipif(not (SHARED / "weights").is_dir(), reason="../shared/data/weights is not there")


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DP2_WEIGHTS", str(SHARED / "weights"))


def cells_of(size: tuple[int, int]) -> int:
    return sum((size[0] // stride) * (size[1] // stride) for stride in (8, 16, 32))


@given(
    size=st.tuples(st.integers(16, 3000), st.integers(16, 3000)), longer=st.integers(32, 1300), share=st.floats(0, 1)
)
def test_point_in_the_letterbox_comes_back_to_the_frame(size: tuple[int, int], longer: int, share: float) -> None:
    box = letterbox_of(size, longer)
    assert max(box.padded) == -(-longer // 32) * 32
    assert all(side % 32 == 0 and 0 <= side - inner < 32 for side, inner in zip(box.padded, box.inner, strict=True))
    for axis in range(2):
        assert box.inner[axis] * share * box.stretch[axis] == pytest.approx(size[axis] * share)


def test_letterbox_is_bgr_at_the_top_left_and_grey_elsewhere() -> None:
    image = np.zeros((50, 100, 3), np.uint8)
    image[..., 0] = 200  # red
    box = letterbox_of((100, 50), 96)
    seen = letterboxed(image, box)
    assert seen.shape == (64, 96, 3)
    assert (seen[:48] == (0, 0, 200)).all()
    assert (seen[48:] == 114).all()


def test_decoding_puts_centre_and_size_in_the_cell_of_its_stride() -> None:
    size = (64, 96)
    first, second, third = 0, 8 * 12 + 4 * 1 + 2, cells_of(size) - 1  # stride 8 (0, 0); 16 (2, 1); 32 (1, 2)
    rows = np.array([[0.5, 0.25, 0, np.log(2)], [0, 0, 0, 0], [0.5, 0.5, np.log(3), 0]], np.float32)
    boxes = decode(rows, np.array([first, second, third]), size)
    expected = [[0, -6, 8, 10], [24, 8, 40, 24], [0, 64, 96, 96]]
    np.testing.assert_allclose(boxes, expected, atol=1e-4)


def fake_yolox(path: Path, columns: int = 85) -> Path:
    """A file with YOLOX's input and an output of one row."""
    floats = TensorProto.FLOAT
    pick = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
    nodes = [helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=1)]
    nodes.append(helper.make_node("Squeeze", ["mean", "zero"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "fake",
        [helper.make_tensor_value_info("images", floats, [1, 3, 416, 416])],
        [helper.make_tensor_value_info("output", floats, [1, 1, columns])],
        [pick],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


def test_other_network_is_refused(tmp_path: Path) -> None:
    path = fake_yolox(tmp_path / "other.onnx", columns=7)
    with pytest.raises(WeightsError, match=r"other\.onnx: not YOLOX"):
        Yolox(weights=str(path))([np.zeros((32, 32, 3), np.uint8)])


def test_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(WeightsError, match=r"broken\.onnx: not an ONNX file"):
        Yolox(weights=str(path))([np.zeros((32, 32, 3), np.uint8)])


@pytest.mark.parametrize(
    "wrong",
    [{"kinds": ()}, {"kinds": ("face",)}, {"kinds": ("person", "person")}, {"input_size": 0}, {"nms_iou": 2.0}],
)
def test_value_out_of_range_is_refused(wrong: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Yolox(weights=str(fake_yolox(tmp_path / "y.onnx")), **wrong)  # type: ignore[arg-type]


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DP2_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("DP2_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match="dp2 weights fetch yolox_nano"):
        Yolox()


@needs_weights
@pytest.mark.usefixtures("weights")
def test_people_in_a_street_are_found_in_order_of_their_scores(city: Image) -> None:
    detector = Yolox(device="cpu")
    (people,) = detector([city])[0]
    assert len(people) >= 15
    assert (np.diff(people.scores) <= 0).all()
    assert (people.scores >= 0.25).all()
    assert not np.any(people.origins == Origin.WEAK)


@needs_weights
@pytest.mark.usefixtures("weights")
def test_relaxed_threshold_adds_only_weak_people(city: Image) -> None:
    detector = Yolox(device="cpu")
    (sure,), (relaxed,) = detector([city])[0], detector([city], relax=0.4)[0]
    assert len(relaxed) > len(sure)
    assert (relaxed.scores[relaxed.origins == Origin.WEAK] < 0.25).all()
    np.testing.assert_array_equal(relaxed.confirmed.boxes, sure.boxes)


@needs_weights
@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("engine", ["openvino", "opencv"])
def test_every_engine_finds_the_same_people(engine: str, city: Image) -> None:
    ours, theirs = (Yolox(engine=name, device="cpu")([city])[0][0] for name in ("onnxruntime", engine))
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=0.1)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-3)


@needs_weights
@pytest.mark.usefixtures("weights")
def test_batch_of_mixed_sizes_equals_frames_one_by_one(city: Image) -> None:
    detector = Yolox(device="cpu", kinds=("vehicle", "person"), input_size=320)
    frames = [city, city[:300, :400], city[:, ::-1]]
    together = detector(frames)
    for frame, found in zip(frames, together, strict=True):
        for alone, batched in zip(detector([frame])[0], found, strict=True):
            assert alone.kind == batched.kind
            np.testing.assert_allclose(alone.boxes, batched.boxes, atol=1e-3)


@needs_weights
@pytest.mark.usefixtures("weights")
def test_setting_that_decides_results_changes_the_cache_key() -> None:
    assert Yolox(input_size=320, device="cpu").settings != Yolox(input_size=640, device="cpu").settings


def test_naming_light_detectors_in_a_config_imports_no_network_library() -> None:
    program = """
import sys
import dp2.detect.people.light_bodies, dp2.detect.people.matte, dp2.detect.people.yolox
heavy = {"torch", "torchvision", "onnx", "onnxruntime", "openvino", "cv2"}
sys.exit(", ".join(heavy & set(sys.modules)) or None)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
