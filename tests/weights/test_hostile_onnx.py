"""ONNX files that read other files, run for ever, or make gigabytes: refused before an engine sees them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dp2.detect.faces.yunet import YuNet
from dp2.errors import ChecksumMismatch, UnsafeCheckpoint
from dp2.inference.engine import load_engine
from dp2.inference.network import Network
from dp2.weights.onnx_files import check_onnx, read_onnx

CASES = Path(__file__).resolve().parents[2].parent / "shared" / "cases"
PICTURE = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])
ANSWER = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)


def constant(name: str, values: object, dtype: str = "int64") -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def model(*nodes: onnx.NodeProto, constants: tuple[onnx.TensorProto, ...] = (), **settings: object) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "g", [PICTURE], [ANSWER], list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **settings)


def endless() -> onnx.ModelProto:
    """A loop without a trip count whose condition is always true."""
    condition = helper.make_tensor_value_info("more", TensorProto.BOOL, [])
    step = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    again = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
    body = helper.make_graph([helper.make_node("Identity", ["more"], ["again"])], "b", [step, condition], [again])
    loop = helper.make_node("Loop", ["", "true"], [], body=body)
    return model(loop, helper.make_node("Relu", ["x"], ["y"]), constants=(constant("true", True, "bool"),))


def outside(where: str) -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="secret.bin")
    add = helper.make_node("Add", ["x", "w"], ["y"])
    if where == "initializer":
        return model(add, constants=(tensor,))
    return model(helper.make_node("Constant", [], ["w"], value=tensor), add)


def branch() -> onnx.ModelProto:
    inner = helper.make_graph([helper.make_node("Constant", [], ["z"], value=constant("v", 1.0, "float32"))], "b", [], [
        helper.make_tensor_value_info("z", TensorProto.FLOAT, [])
    ])  # fmt: skip
    return model(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner), constants=(
        constant("c", True, "bool"),
    ))  # fmt: skip


def hidden_graph() -> onnx.ModelProto:
    """A body where the operator takes none."""
    node = helper.make_node("Relu", ["x"], ["y"])
    node.attribute.append(helper.make_attribute("body", endless().graph))
    return model(node)


def function() -> onnx.ModelProto:
    made = model(helper.make_node("Relu", ["x"], ["y"]))
    made.functions.append(
        helper.make_function("own", "Relu", ["a"], ["b"], [helper.make_node("Identity", ["a"], ["b"])], [])
    )
    return made


def hollow() -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20], raw_data=b"abcd")
    return model(helper.make_node("Add", ["x", "w"], ["y"]), constants=(tensor,))


def resized(times: int, factor: float) -> onnx.ModelProto:
    names = ["x", *(f"v{index}" for index in range(times - 1)), "y"]
    nodes = [helper.make_node("Resize", [a, "", "s"], [b]) for a, b in pairwise(names)]
    return model(*nodes, constants=(constant("s", [1, 1, factor, factor], "float32"),))


def sized(operator: str, sizes: list[int]) -> onnx.ModelProto:
    inputs = ["s"] if operator == "ConstantOfShape" else ["x", "", "", "s"] if operator == "Resize" else ["x", "s"]
    return model(helper.make_node(operator, inputs, ["y"]), constants=(constant("s", sizes),))


HOSTILE: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "external weights": (lambda: outside("initializer"), "other files"),
    "external constant": (lambda: outside("constant"), "other files"),
    "endless loop": (endless, "operator Loop"),
    "branch": (branch, "operator If"),
    "graph in an attribute": (hidden_graph, "graph of its own"),
    "function": (function, "functions"),
    "operator of another domain": (lambda: model(helper.make_node("Run", ["x"], ["y"], domain="com.evil")), "com.evil"),
    "unknown operator": (lambda: model(helper.make_node("Optional", ["x"], ["y"])), "operator Optional"),
    "tensor without its bytes": (hollow, "larger than its bytes"),
    "one giant resize": (lambda: resized(1, 1e6), "enlarges|out of bounds|numbers"),
    "resize to nan": (lambda: resized(1, float("nan")), "out of bounds"),
    "many resizes": (lambda: resized(12, 8), "enlarges"),
    "resize to a size": (lambda: sized("Resize", [1, 3, 100_000, 100_000]), "numbers"),
    "giant constant": (lambda: sized("ConstantOfShape", [1 << 20, 1 << 20]), "numbers"),
    "giant expansion": (lambda: sized("Expand", [1, 3, 1 << 15, 1 << 15]), "numbers"),
    "giant tiles": (lambda: sized("Tile", [1, 1, 1 << 12, 1 << 12]), "enlarges"),
    "giant padding": (
        lambda: model(helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 0, 1 << 30, 1 << 30])),
        "pads out of bounds",
    ),
    "many operators": (lambda: model(*[helper.make_node("Relu", ["x"], ["y"])] * 21_000), "operators"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_network_reaches_no_engine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, reason = HOSTILE[name]
    data = make().SerializeToString()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.ones(3, np.float32).tobytes())
    (tmp_path / "x.onnx").write_bytes(data)
    with pytest.raises(UnsafeCheckpoint, match=rf"x\.onnx: .*({reason})"):
        read_onnx(tmp_path / "x.onnx")
    for engine in ("auto", "onnxruntime", "openvino", "opencv"):
        with pytest.raises(UnsafeCheckpoint):
            load_engine(Network(data, ("y",)), engine=engine)


def test_plain_networks_pass_and_run() -> None:
    scales = constant("s", [1, 1, 2, 2], "float32")
    data = model(helper.make_node("Resize", ["x", "", "s"], ["y"]), constants=(scales,)).SerializeToString()
    check_onnx(data, "plain")
    (answer,) = load_engine(Network(data, ("y",)), engine="onnxruntime").run(np.ones((1, 3, 4, 5), np.float32))
    assert answer.shape == (1, 3, 8, 10)


def test_branches_that_enlarge_side_by_side_are_no_bomb() -> None:
    """A U-Net's picture and its features grow together, each by as much."""
    nodes = [helper.make_node("Resize", ["x", "", "s"], [f"v{index}"]) for index in range(40)]
    nodes.append(helper.make_node("Sum", [f"v{index}" for index in range(40)], ["y"]))
    check_onnx(model(*nodes, constants=(constant("s", [1, 1, 8, 8], "float32"),)).SerializeToString(), "wide")


def test_files_that_parse_to_gigabytes_are_refused_early(
    tmp_path: Path, verdicts: Callable[..., dict[str, str]]
) -> None:
    def field(number: int, content: bytes) -> bytes:
        length = len(content)
        return bytes([number << 3 | 2]) + helper_varint(length) + content

    files = {
        "nodes": field(7, b"\x0a\x00" * 30_000_000),
        "tensors": field(7, b"\x2a\x00" * 30_000_000),
        "attributes": field(7, field(1, b"\x2a\x00" * 30_000_000)),
        "functions": b"\xca\x01\x00" * 20_000_000,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    told = verdicts(
        "from pathlib import Path\nfrom dp2.weights.onnx_files import read_onnx\n"
        "import onnx\ndef work(name): read_onnx(Path(name))",
        [str(tmp_path / name) for name in files],
    )
    for name in files:
        assert told[str(tmp_path / name)].startswith("UnsafeCheckpoint"), told


def helper_varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


@pytest.mark.parametrize(("case", "reason"), [("onnx_altered", "com.evil"), ("onnx_external_data", "other files")])
def test_altered_yunet_is_used_neither_by_name_nor_by_path(
    case: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hopper: np.ndarray
) -> None:
    if not CASES.is_dir():
        pytest.skip("../shared/cases is not there")
    monkeypatch.setenv("DP2_WEIGHTS", str(CASES / case))
    monkeypatch.setenv("DP2_HOME", str(tmp_path))
    with pytest.raises(ChecksumMismatch, match=r"is not yunet: .* weights=.*yunet_n_dynamic\.onnx"):
        YuNet()
    with pytest.raises(UnsafeCheckpoint, match=reason):
        YuNet(weights=str(CASES / case / "yunet_n_dynamic.onnx"))([hopper])
