"""Writes tflite_case.tflite and tflite_case.npz: a small network of every operator, and what LiteRT makes of a picture.

Needs `pip install ai-edge-litert`, in an environment of its own: python tests/data/make_tflite_case.py
"""

from __future__ import annotations

import struct
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

HERE = Path(__file__).parent
CODES = schema.BuiltinOperator
RNG = np.random.default_rng(5)


class Builder:
    """A model with one graph, made operator by operator."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.graph], []
        self.model.buffers = [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape, data=None, kind=schema.TensorType.FLOAT32) -> int:
        made = schema.TensorT()
        made.shape, made.type, made.buffer, made.name = list(shape), kind, 0, f"t{len(self.graph.tensors)}"
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def weights(self, *shape) -> int:
        """In half precision, as MediaPipe's files hold them."""
        values = (RNG.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float16)
        half = self.tensor(shape, values, schema.TensorType.FLOAT16)
        return self.add(CODES.DEQUANTIZE, [half], shape)

    def add(self, code, inputs, shape, options=None, custom=None) -> int:
        kind = schema.OperatorCodeT()
        kind.builtinCode, kind.version = code, 1
        kind.deprecatedBuiltinCode = min(code, 127)
        made = schema.OperatorT()
        if custom is not None:
            kind.customCode, made.customOptions = custom[0], list(custom[1])
        if options is not None:
            made.builtinOptions = options
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self.model.operatorCodes.append(kind)
        made.opcodeIndex, made.inputs = len(self.model.operatorCodes) - 1, inputs
        out = self.tensor(shape)
        made.outputs = [out]
        self.graph.operators.append(made)
        return out


def options(name, **values):
    made = getattr(schema, f"{name}OptionsT")()
    for key, value in values.items():
        setattr(made, key, value)
    return made


def network() -> bytes:
    b = Builder()
    source = b.tensor((1, 11, 14, 3))
    conv = options("Conv2D", padding=0, strideW=2, strideH=2, dilationWFactor=1, dilationHFactor=1)
    x = b.add(CODES.CONV_2D, [source, b.weights(8, 3, 3, 3), b.weights(8)], (1, 6, 7, 8), conv)
    x = b.add(CODES.HARD_SWISH, [x], (1, 6, 7, 8), options("HardSwish"))
    deep = options("DepthwiseConv2D", padding=0, strideW=2, strideH=1, depthMultiplier=1, fusedActivationFunction=1,
                   dilationWFactor=1, dilationHFactor=1)  # fmt: skip
    y = b.add(CODES.DEPTHWISE_CONV_2D, [x, b.weights(1, 5, 3, 8), b.weights(8)], (1, 6, 4, 8), deep)
    pool = options("Pool2D", padding=1, strideW=4, strideH=6, filterWidth=4, filterHeight=6)
    z = b.add(CODES.AVERAGE_POOL_2D, [y], (1, 1, 1, 8), pool)
    one = options("Conv2D", padding=1, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
    z = b.add(CODES.CONV_2D, [z, b.weights(8, 1, 1, 8), b.weights(8)], (1, 1, 1, 8), one)
    z = b.add(CODES.LOGISTIC, [z], (1, 1, 1, 8))
    y = b.add(CODES.MUL, [y, z], (1, 6, 4, 8), options("Mul"))
    size = b.tensor((2,), np.int32([12, 8]), schema.TensorType.INT32)
    y = b.add(CODES.RESIZE_BILINEAR, [y, size], (1, 12, 8, 8), options("ResizeBilinear", halfPixelCenters=True))
    small = options("Pool2D", padding=0, strideW=1, strideH=1, filterWidth=3, filterHeight=3)
    y = b.add(CODES.ADD, [y, b.add(CODES.AVERAGE_POOL_2D, [y], (1, 12, 8, 8), small)], (1, 12, 8, 8), options("Add"))
    y = b.add(CODES.RELU, [y], (1, 12, 8, 8))
    bias = ("Convolution2DTransposeBias", struct.pack("<3i", 1, 2, 2))
    y = b.add(CODES.CUSTOM, [y, b.weights(1, 2, 2, 8), b.weights(1)], (1, 24, 16, 1), custom=bias)
    b.graph.inputs, b.graph.outputs = [source], [y]
    packer = flatbuffers.Builder(1024)
    packer.Finish(b.model.Pack(packer), b"TFL3")
    return bytes(packer.Output())


def main() -> None:
    path = HERE / "tflite_case.tflite"
    path.write_bytes(network())
    runtime = Interpreter(str(path))
    runtime.allocate_tensors()
    pixels = RNG.integers(0, 256, (2, 11, 14, 3), np.uint8)
    answers = []
    for picture in pixels:
        runtime.set_tensor(runtime.get_input_details()[0]["index"], (picture[None] / 255).astype(np.float32))
        runtime.invoke()
        answers.append(runtime.get_tensor(runtime.get_output_details()[0]["index"])[0])
    np.savez_compressed(HERE / "tflite_case.npz", pixels=pixels, answers=np.stack(answers))


if __name__ == "__main__":
    main()
