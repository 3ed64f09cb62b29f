from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dp2.errors import EngineError, UsageError
from dp2.inference.engine import ENGINES, load_engine
from dp2.inference.network import Engine, Network

NAMED = [name for name in ENGINES if name not in ("auto", "openvino-bf16")]


def edge_network(*, pixels: bool) -> Network:
    """A 3×3 convolution over 3 channels that sums what lies around each pixel, and the input's doubled value."""
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, 3, 3, 3], np.ones(27))
    two = helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernel"], ["sum"], pads=[1, 1, 1, 1]),
            helper.make_node("Mul", ["x", "two"], ["double"]),
        ],
        "edges",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N", 1, "H", "W"]),
            helper.make_tensor_value_info("double", TensorProto.FLOAT, ["N", 3, "H", "W"]),
        ],
        [kernel, two],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return Network(model.SerializeToString(), ("double", "sum"), pixels=pixels)


def load(name: str, *, pixels: bool) -> Engine:
    try:
        return load_engine(edge_network(pixels=pixels), engine=name)
    except EngineError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("shape", [(1, 8, 12), (3, 16, 8)])
def test_outputs_come_in_the_order_asked_for_and_for_any_shape(name: str, shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    planes = images.transpose(0, 3, 1, 2).astype(np.float32)
    double, total = load(name, pixels=True).run(images)
    np.testing.assert_array_equal(double, planes * 2)
    np.testing.assert_allclose(total[:, 0, 1, 1], planes[:, :, :3, :3].sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("name", NAMED)
def test_later_runs_leave_earlier_results_alone(name: str) -> None:
    engine = load(name, pixels=False)
    first = engine.run(np.full((2, 3, 8, 8), 1, np.float32))[0]
    engine.run(np.full((2, 3, 8, 8), 7, np.float32))
    assert (first == 2).all()


def test_engine_says_what_it_is() -> None:
    chosen = load("openvino", pixels=True).chosen
    assert (chosen.engine, chosen.device, chosen.precision) == ("openvino", "CPU", "fp32")
    assert str(chosen).endswith("on CPU, fp32")


def test_automatic_engine_on_the_processor_is_one_of_the_known() -> None:
    chosen = load_engine(edge_network(pixels=True), device="cpu").chosen
    assert chosen.engine in ENGINES[1:]
    assert chosen.device in ("CPU", "CPUExecutionProvider")


def test_execution_provider_is_taken_by_its_own_name() -> None:
    engine = load_engine(edge_network(pixels=True), device="CPUExecutionProvider")
    assert (engine.chosen.engine, engine.chosen.device) == ("onnxruntime", "CPUExecutionProvider")


@pytest.mark.parametrize("wrong", [{"engine": "tensorrt"}, {"device": "tpu"}])
def test_unknown_name_is_wrong_usage_and_the_known_are_listed(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="known are auto, "):
        load_engine(edge_network(pixels=True), **wrong)


@pytest.mark.parametrize("engine", ["openvino", "opencv"])
def test_device_that_an_engine_lacks_is_an_error(engine: str) -> None:
    with pytest.raises(EngineError, match="cuda"):
        load_engine(edge_network(pixels=True), engine=engine, device="cuda")


def test_provider_that_is_not_built_in_is_an_error_naming_those_that_are() -> None:
    with pytest.raises(EngineError, match="CPUExecutionProvider"):
        load_engine(edge_network(pixels=True), device="NoSuchExecutionProvider")


@pytest.mark.parametrize("name", NAMED)
def test_file_that_is_no_network_is_an_error(name: str) -> None:
    load(name, pixels=True)
    with pytest.raises(EngineError):
        load_engine(Network(b"not a network", ("y",)), engine=name)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_input_that_does_not_fit_is_an_error(name: str) -> None:
    with pytest.raises(EngineError, match="failed"):
        load(name, pixels=False).run(np.zeros((1, 5, 8, 8), np.float32))


def test_openvino_is_imported_without_its_telemetry(tmp_path: Path) -> None:
    pytest.importorskip("openvino_telemetry")
    program = """
import sys
from dp2.inference.openvino import import_openvino
ov = import_openvino()
assert ov.Core().available_devices
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")], "telemetry was imported"
import openvino_telemetry
"""
    root = Path(__file__).resolve().parents[2]
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(root), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_onnxruntime_is_imported_without_its_telemetry(tmp_path: Path) -> None:
    (tmp_path / "edges.onnx").write_bytes(edge_network(pixels=False).model)
    program = """
import sys
from pathlib import Path
from dp2.inference.engine import load_engine
from dp2.inference.network import Network
network = Network(Path(sys.argv[1]).read_bytes(), ("double", "sum"), pixels=False)
assert load_engine(network, engine="onnxruntime").chosen.engine == "onnxruntime"
"""
    (tmp_path / "home").mkdir()
    root = Path(__file__).resolve().parents[2]
    environment = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "home"), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", program, str(tmp_path / "edges.onnx")]
    done = subprocess.run(command, env={**environment, "PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = [path.name for path in (tmp_path / "home").rglob("*") if "icrosoft" in str(path) or path.name == ".ses"]
    assert left == [], "an id of this machine, or events to be sent"


def test_signals_are_handled_after_engines_have_gone(tmp_path: Path) -> None:
    (tmp_path / "edges.onnx").write_bytes(edge_network(pixels=False).model)
    code = """
import gc, signal, sys
from pathlib import Path
from dp2.inference.engine import load_engine
from dp2.inference.network import Network
network = Network(Path(sys.argv[1]).read_bytes(), ("double", "sum"), pixels=False)
first = load_engine(network, engine="openvino")
second = load_engine(network, engine="openvino")
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "edges.onnx"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "handled"), done.stderr
