"""SFace's faces are cut out and fed as OpenCV's own class does it; its weights are not needed for that."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dp2.config import build, load_config
from dp2.config.matchings import MATCHINGS, chosen, needs
from dp2.errors import MissingWeights, UsageError, WeightsError
from dp2.faces.sface import SFace
from dp2.weights.registry import find

EYES_NOSE_MOUTH = np.array([[[60, 80], [100, 76], [82, 104], [66, 122], [98, 119]]], np.float32)
BOX = np.array([[45, 50, 115, 140]], np.float32)


def network(path: Path, sides: tuple[int, int] = (112, 112)) -> Path:
    """A file with SFace's input, first operations and output, and a linear layer of its own between them."""
    random = np.random.default_rng(5)
    weights = random.normal(0, 0.02, (3 * 14 * 14, 128)).astype(np.float32)
    constants = {"mean": np.float32(127.5), "scale": np.float32(0.0078125), "weights": weights}
    nodes = [
        helper.make_node("Sub", ["data", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("AveragePool", ["scaled"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["fc1"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sface",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, (1, 3, *sides))],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, (1, 128))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), str(path))
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network(tmp_path_factory.mktemp("sface") / "sface.onnx")


@pytest.fixture
def face(astronaut: np.ndarray) -> np.ndarray:
    """(160, 160, 3): a real face of about the size that the network sees, so that nothing is averaged down."""
    return np.ascontiguousarray(cv2.resize(astronaut[40:240, 120:320], (160, 160), interpolation=cv2.INTER_AREA))


def test_embedding_is_that_of_opencvs_own_class(file: Path, face: np.ndarray) -> None:
    theirs = cv2.FaceRecognizerSF.create(str(file), "")
    row = np.concatenate([BOX[0, :2], BOX[0, 2:] - BOX[0, :2], EYES_NOSE_MOUTH[0].ravel(), [1.0]]).astype(np.float32)
    cut = theirs.alignCrop(cv2.cvtColor(face, cv2.COLOR_RGB2BGR), row)
    both = theirs.feature(cut).copy() + theirs.feature(np.ascontiguousarray(cut[:, ::-1])).copy()
    ours = SFace(device="cpu", weights=str(file))([face], BOX, EYES_NOSE_MOUTH)
    assert ours.shape == (1, 128)
    assert ours.dtype == np.float32
    assert float(ours[0] @ (both[0] / np.linalg.norm(both))) > 0.9995
    wrong = SFace(device="cpu", weights=str(file))([face[..., ::-1]], BOX, EYES_NOSE_MOUTH)
    assert float(wrong[0] @ ours[0]) < 0.999, "the order of the colours matters"


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "opencv"])
def test_engines_agree(file: Path, face: np.ndarray, engine: str) -> None:
    first = SFace(device="cpu", weights=str(file))([face, face[:, ::-1]], np.tile(BOX, (2, 1)))
    other = SFace(device="cpu", weights=str(file), engine=engine)([face, face[:, ::-1]], np.tile(BOX, (2, 1)))
    assert np.allclose(first, other, atol=1e-3)
    assert np.allclose(np.linalg.norm(other, axis=1), 1, atol=1e-5)


def test_nobody_is_no_rows(file: Path) -> None:
    assert SFace(device="cpu", weights=str(file))([], np.zeros((0, 4), np.float32)).shape == (0, 128)


def test_another_network_is_refused_by_name(tmp_path: Path, face: np.ndarray) -> None:
    path = network(tmp_path / "wide.onnx", (112, 120))
    with pytest.raises(WeightsError, match=r"wide\.onnx: not SFace"):
        SFace(device="cpu", weights=str(path))([face], BOX)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(WeightsError, match=r"text\.onnx"):
        SFace(device="cpu", weights=str(tmp_path / "text.onnx"))([face], BOX)


def test_registry_knows_it_with_a_clear_licence() -> None:
    entry = find("sface")
    assert (entry.licence, entry.size) == ("Apache-2.0", 38_696_353)
    assert entry.sha256 == "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"
    assert needs("sface") == ("sface",)


def test_limit_is_stricter_than_the_published_ones(file: Path) -> None:
    tree = load_config("matching/sface")
    tree.device, tree.engine = "cpu", "auto"
    tree.matching.embedder.weights = str(file)
    matching = build(tree.matching)
    assert matching.veto < 1.055, "even a doubtful face must be nearer than what others call the same person"
    assert 2 - 2 * matching.embedder.same_person < matching.veto**2


def test_first_network_that_is_here_is_taken_and_the_clearest_licence_asked_for(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DP2_HOME", str(tmp_path))
    monkeypatch.setenv("DP2_WEIGHTS", "")
    assert chosen("auto") == MATCHINGS[0] == "sface"
    with pytest.raises(MissingWeights, match="dp2 weights fetch sface"):
        SFace()
    monkeypatch.setenv("DP2_WEIGHTS", str(shared_data / "weights"))
    assert chosen("auto") == "mobilefacenet"
    assert chosen("de_facer") == "de_facer"


def test_unknown_engine_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match="steam"):
        SFace(weights=str(file), engine="steam")
