"""TensorFlow Lite files: read and converted as LiteRT runs them, and refused when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp2.errors import UnreadableCheckpoint
from dp2.inference.engine import load_engine
from dp2.inference.network import Network
from dp2.inference.tflite_onnx import to_onnx
from dp2.weights.formats.tflite import read_tflite

CASE = Path(__file__).resolve().parents[1] / "fixtures" / "tflite_case.tflite"  # see make_tflite_case.py


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "opencv"])
def test_converted_network_answers_as_litert(engine: str) -> None:
    case = np.load(CASE.with_suffix(".npz"))
    model = to_onnx(read_tflite(CASE.read_bytes(), CASE), scale=1 / 255)
    (answers,) = load_engine(Network(model, ("output0",), pixels=True), engine=engine, device="cpu").run(case["pixels"])
    assert case["answers"].std() > 0.001
    np.testing.assert_allclose(answers, case["answers"].transpose(0, 3, 1, 2), atol=1e-6)


def test_other_file_is_refused_by_name() -> None:
    with pytest.raises(UnreadableCheckpoint, match=r"street\.tflite: not a TensorFlow Lite file"):
        read_tflite(b"<html>not found</html>", Path("street.tflite"))


@given(length=st.integers(8, 3991))
@settings(max_examples=50, deadline=None)
def test_file_cut_short_is_refused(length: int) -> None:
    with pytest.raises(UnreadableCheckpoint, match=r"fetch it again"):
        read_tflite(CASE.read_bytes()[:length], CASE)


@given(place=st.integers(8, 3991), value=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_damaged_byte_never_raises_anything_else(place: int, value: int) -> None:
    data = bytearray(CASE.read_bytes())
    data[place] = value
    try:
        graph = read_tflite(bytes(data), CASE)
    except UnreadableCheckpoint:
        return
    assert all(index < len(graph.tensors) for operator in graph.operators for index in operator.inputs)
