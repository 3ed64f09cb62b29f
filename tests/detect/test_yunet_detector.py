"""YuNet: decoding against known truth, real faces, weak ones and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dp2.detect.faces.yunet import YuNet, decode
from dp2.errors import DetectionError, UsageError, WeightsError
from dp2.stages import Detector
from dp2.types import Image, Origin

WEIGHTS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "weights"
REAL = WEIGHTS / "yunet_n_dynamic.onnx"
FLOATS = TensorProto.FLOAT


@pytest.fixture(scope="module")
def detector() -> YuNet:
    if not REAL.is_file():
        pytest.skip("../shared/data/weights is not there")
    return YuNet(weights=str(REAL))


def fake_yunet(path: Path, value: float) -> Path:
    """YuNet's inputs and outputs, every number of which is `value`."""
    nodes, outputs = [], []
    for part, columns in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            name, kernel = f"{part}_{stride}", [stride, stride]
            zeros = helper.make_tensor(f"{name}_w", FLOATS, [columns, 3, 1, 1], [0.0] * (3 * columns))
            fill = helper.make_tensor(f"{name}_b", FLOATS, [columns], [value] * columns)
            shape = helper.make_tensor(f"{name}_s", TensorProto.INT64, [3], [0, -1, columns])
            nodes += [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in (zeros, fill, shape)]
            nodes += [
                helper.make_node("AveragePool", ["input"], [f"{name}_p"], kernel_shape=kernel, strides=kernel),
                helper.make_node("Conv", [f"{name}_p", zeros.name, fill.name], [f"{name}_c"]),
                helper.make_node("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"{name}_t", shape.name], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, FLOATS, ["N", "A", columns]))
    entry = helper.make_tensor_value_info("input", FLOATS, ["N", 3, "H", "W"])
    graph = helper.make_graph(nodes, "fake", [entry], outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_decoding_puts_centre_size_and_landmarks_in_the_cell_of_its_stride() -> None:
    size = (64, 96)
    first, second, third = 0, 8 * 12 + 4 * 1 + 2, 8 * 12 + 4 * 6 + 2 * 3 - 1  # 8 (0, 0); 16 (2, 1); 32 (1, 2)
    rows = np.zeros((3, 14), np.float32)
    rows[0, :4] = 0.5, 0.25, 0, np.log(2)
    rows[2, 4:6] = 0.5, 0.25
    boxes, points = decode(rows, np.array([first, second, third]), size)
    np.testing.assert_allclose(boxes, [[0, -6, 8, 10], [24, 8, 40, 24], [16, 48, 48, 80]], atol=1e-4)
    np.testing.assert_allclose(points[:, 0], [[0, 0], [32, 16], [48, 72]], atol=1e-4)


@given(st.integers(1, 4), st.integers(1, 4), st.floats(0, 1), st.floats(0, 1))
def test_decoded_centre_lies_in_its_cell(columns: int, rows: int, x: float, y: float) -> None:
    size = (32 * columns, 32 * rows)
    count = sum(size[0] // s * (size[1] // s) for s in (8, 16, 32))
    raw = np.zeros((count, 14), np.float32)
    raw[:, :2] = x, y
    boxes, _ = decode(raw, np.arange(count), size)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert (middle >= 0).all()
    assert (middle <= size).all()


def test_finds_the_face_with_its_landmarks(detector: YuNet, astronaut: Image) -> None:
    assert isinstance(detector, Detector)
    ((faces,),) = detector([astronaut])
    x0, y0, x1, y1 = faces.boxes[0]
    assert faces.scores[0] > 0.8
    left_eye, right_eye, nose, *mouth = faces.keypoints[0, :, :2]
    assert x0 < left_eye[0] < nose[0] < right_eye[0] < x1
    assert y0 < left_eye[1] < nose[1] < min(corner[1] for corner in mouth) < y1


def test_faces_of_20_pixels_and_more_are_covered(detector: YuNet, city: Image, city_faces: np.ndarray) -> None:
    ((faces,),) = detector([city])
    x0, y0, x1, y1 = faces.boxes.T
    x, y = city_faces.T[:, :, None]
    assert ((x0 < x) & (x < x1) & (y0 < y) & (y < y1)).any(axis=1).all()


def test_boxes_are_in_the_frames_pixels_at_any_scale(detector: YuNet, astronaut: Image) -> None:
    ((faces,),) = detector([astronaut])
    ((half,),) = YuNet(weights=str(REAL), scale=0.5)([astronaut])
    np.testing.assert_allclose(half.boxes[0], faces.boxes[0], atol=16)


def test_sides_that_no_stride_divides_change_nothing(detector: YuNet, astronaut: Image) -> None:
    ((faces,),) = detector([astronaut])
    ((odd,),) = detector([np.ascontiguousarray(astronaut[:-5, :-3])])
    np.testing.assert_allclose(odd.boxes[0], faces.boxes[0], atol=3)


def test_relaxed_faces_are_weak_and_the_sure_ones_stay(detector: YuNet, city: Image) -> None:
    strict = YuNet(weights=str(REAL), score_threshold=0.9)
    ((sure,),), ((relaxed,),) = strict([city]), strict([city], relax=0.2)
    weak = relaxed.origins == Origin.WEAK
    assert weak.any()
    assert (relaxed.scores[weak] < 0.9).all()
    np.testing.assert_array_equal(relaxed.confirmed.boxes, sure.boxes)


def test_any_weights_give_faces_of_the_cells_size_inside_the_frame(tmp_path: Path) -> None:
    detector = YuNet(weights=str(fake_yunet(tmp_path / "fake.onnx", 0.5)), nms_iou=1)
    ((faces,),) = detector([np.zeros((50, 70, 3), np.uint8)])
    assert 0 < len(faces) < 12 * 8 + 6 * 4 + 3 * 2  # those in the black border are gone
    np.testing.assert_allclose(faces.scores, 0.5)
    sides = np.unique((faces.boxes[:, 2] - faces.boxes[:, 0]).round(2))
    np.testing.assert_allclose(sides, np.exp(0.5) * np.array([8, 16, 32]), atol=0.01)


def test_output_that_is_no_number_is_an_error_not_an_empty_frame(tmp_path: Path) -> None:
    detector = YuNet(weights=str(fake_yunet(tmp_path / "broken.onnx", float("nan"))))
    with pytest.raises(DetectionError, match="not finite"):
        detector([np.zeros((64, 64, 3), np.uint8)])


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(WeightsError, match=r"text\.onnx"):
        YuNet(weights=str(tmp_path / "text.onnx"))([np.zeros((32, 32, 3), np.uint8)])
    with pytest.raises(UsageError, match="nms_iou"):
        YuNet(weights=str(tmp_path / "text.onnx"), nms_iou=3)


def test_network_for_one_size_is_refused() -> None:
    if not (WEIGHTS / "yunet_n_640_640.onnx").is_file():
        pytest.skip("../shared/data/weights is not there")
    with pytest.raises(WeightsError, match="one picture size"):
        YuNet(weights=str(WEIGHTS / "yunet_n_640_640.onnx"))([np.zeros((32, 32, 3), np.uint8)])
