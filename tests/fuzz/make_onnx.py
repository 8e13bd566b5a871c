#!/usr/bin/env python3
"""Makes corpus/onnx: small quantised graphs that hold every form which the INT8 engine lowers.

Needs the packages onnx and numpy. The files are committed; this is how they came to be."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

FOLDER = Path(__file__).parent / "corpus" / "onnx"
random = np.random.default_rng(1)


class Graph:
    """Nodes and constants, named as they come."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], []

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes) -> str | list[str]:
        names = [f"t{len(self.nodes)}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def step(self, scale: float, zero: int, kind: type) -> list[str]:
        return [self.constant(np.float32(scale)), self.constant(kind(zero))]

    def rounded(self, value: str, scale: float, zero: int, kind: type = np.uint8) -> str:
        step = self.step(scale, zero, kind)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", value, *step), *step)

    def weights(self, *shape: int, axis: int = 0) -> str:
        levels = self.constant(random.integers(-127, 128, shape).astype(np.int8))
        scales = self.constant((0.01 + random.random(shape[axis]) / 100).astype(np.float32))
        zeros = self.constant(np.zeros(shape[axis], np.int8))
        return self.node("DequantizeLinear", levels, scales, zeros, axis=axis)

    def bias(self, count: int) -> str:
        return self.constant(random.normal(size=count).astype(np.float32))

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        """A linear layer whose input is quantised at each run."""
        levels, scale, zero = self.node("DynamicQuantizeLinear", x, outputs=3)
        weights = self.constant(random.integers(-127, 128, (inputs, outputs)).astype(np.int8))
        scales = (0.01 + random.random(outputs) / 100).astype(np.float32)
        scales = self.node("Mul", scale, self.constant(scales))
        sums = self.node("MatMulInteger", levels, weights, zero, self.constant(np.int8(0)))
        sums = self.node("Cast", sums, to=TensorProto.FLOAT)
        return self.node("Add", self.node("Mul", sums, scales), self.bias(outputs))

    def save(self, name: str, inputs: list, output: tuple[str, int], opset: int = 13) -> None:
        made = [helper.make_tensor_value_info(f"x{at}", kind, shape) for at, (kind, shape) in enumerate(inputs)]
        result = [helper.make_tensor_value_info(output[0], output[1], None)]
        graph = helper.make_graph(self.nodes, name, made, result, self.constants)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model: ModelProto = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 8
        (FOLDER / name).write_bytes(model.SerializeToString())


def pictures(kind: type) -> None:
    """Convolutions of all sorts, activations, a residual sum, pooling, a concatenation, an upsampling."""
    g = Graph()
    zero = 128 if kind is np.uint8 else 0
    x = g.rounded("x0", 0.02, zero, kind)
    y = g.node("Conv", x, g.weights(8, 3, 3, 3), g.bias(8), pads=[1, 1, 1, 1], strides=[2, 2])
    y = g.rounded(g.node("Relu", y), 0.02, zero - 100, kind)
    z = g.node("Conv", y, g.weights(8, 1, 3, 3), g.bias(8), pads=[1, 1, 1, 1], group=8)
    z = g.rounded(g.node("Clip", z, g.constant(np.float32(0)), g.constant(np.float32(6))), 0.025, zero - 120, kind)
    w = g.rounded(g.node("Conv", z, g.weights(8, 8, 1, 1), g.bias(8)), 0.03, zero, kind)
    silu = g.rounded(g.node("Mul", w, g.node("Sigmoid", w)), 0.02, zero - 90, kind)
    total = g.rounded(g.node("Add", silu, y), 0.04, zero - 90, kind)
    grouped = g.node("Conv", total, g.weights(6, 4, 2, 3), g.bias(6), group=2, auto_pad="SAME_UPPER")
    grouped = g.rounded(grouped, 0.05, zero, kind)
    left, right = g.node("Split", grouped, outputs=2, axis=1)
    largest = g.node("MaxPool", left, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    joined = g.rounded(g.node("Concat", largest, right, total, axis=1), 0.05, zero, kind)
    empty = g.constant(np.array([], np.float32))
    large = g.node("Resize", joined, empty, g.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest",
                   coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    small = g.rounded(g.node("AveragePool", large, kernel_shape=[2, 2], strides=[2, 2]), 0.04, zero, kind)
    mean = g.rounded(g.node("GlobalAveragePool", small), 0.02, zero, kind)
    flat = g.node("Flatten", mean)
    y = g.node("Add", g.node("MatMul", flat, g.weights(14, 5, axis=1)), g.bias(5))
    y = g.node("Softmax", g.rounded(y, 0.05, zero, kind), axis=-1)
    g.save("pictures-" + kind.__name__, [(TensorProto.FLOAT, [1, 3, 9, 10])], (y, TensorProto.FLOAT))


def operators() -> None:
    """The same in QOperator form, with onnxruntime's own operators; weights in u8."""
    g = Graph()
    in_step, out_step = g.step(0.02, 128, np.uint8), g.step(0.03, 100, np.uint8)
    x = g.node("QuantizeLinear", "x0", *in_step)
    levels = g.constant(random.integers(0, 256, (6, 2, 3, 3)).astype(np.uint8))
    bias = g.constant(random.integers(-500, 500, 6).astype(np.int32))
    y = g.node("QLinearConv", x, *in_step, levels, *g.step(0.01, 77, np.uint8), *out_step, bias, pads=[1, 1, 1, 1])
    com = {"domain": "com.microsoft"}
    unit = g.step(1 / 256, 0, np.uint8)
    s = g.node("QLinearSigmoid", y, *out_step, *unit, **com)
    y = g.node("QLinearMul", y, *out_step, s, *unit, *out_step, **com)
    y = g.node("QLinearAdd", y, *out_step, y, *out_step, *in_step, **com)
    y = g.node("QLinearConcat", *out_step, y, *in_step, s, *unit, axis=1, **com)
    y = g.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = g.node("QLinearGlobalAveragePool", y, *out_step, *in_step, channels_last=0, **com)
    y = g.node("Flatten", y)
    levels = g.constant(random.integers(-127, 128, (4, 12)).astype(np.int8))
    bias = g.constant(random.integers(-500, 500, 4).astype(np.int32))
    y = g.node("QGemm", y, *in_step, levels, *g.step(0.02, 0, np.int8), bias, *out_step, transB=1, alpha=1.0, **com)
    y = g.node("DequantizeLinear", y, *out_step)
    g.save("operators", [(TensorProto.FLOAT, [1, 2, 6, 7])], (y, TensorProto.FLOAT))


def dynamic() -> None:
    """Activations quantised at each run, and attention between them."""
    g = Graph()

    def heads(x: str, order: list[int]) -> str:
        return g.node("Transpose", g.node("Reshape", x, g.constant(np.array([1, 10, 2, 4]))), perm=order)

    q, k, v = (g.linear("x0", 6, 8) for _ in range(3))
    scores = g.node("MatMul", heads(q, [0, 2, 1, 3]), heads(k, [0, 2, 3, 1]))
    shares = g.node("Softmax", g.node("Mul", scores, g.constant(np.float32(0.5))), axis=-1)
    y = g.node("Transpose", g.node("MatMul", shares, heads(v, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    y = g.linear(g.node("Reshape", y, g.constant(np.array([1, 10, 8]))), 8, 6)
    g.save("dynamic", [(TensorProto.FLOAT, [1, 10, 6])], (y, TensorProto.FLOAT))

    g = Graph()
    levels, scale, zero = g.node("DynamicQuantizeLinear", "x0", outputs=3)
    weights = g.constant(random.integers(0, 256, (5, 3, 3, 3)).astype(np.uint8))
    sums = g.node("ConvInteger", levels, weights, zero, g.constant(np.uint8(120)), pads=[1, 1, 1, 1])
    y = g.node("Mul", g.node("Cast", sums, to=TensorProto.FLOAT), g.node("Mul", scale, g.constant(np.float32(0.02))))
    y = g.node("Add", y, g.constant(random.normal(size=(1, 5, 1, 1)).astype(np.float32)))
    y = g.node("Softmax", y, axis=1)
    g.save("dynamic-pictures", [(TensorProto.FLOAT, [1, 3, 5, 6])], (y, TensorProto.FLOAT))


def odd() -> None:
    """What is legal and rare: a bound behind a mean and behind a concatenation, a scale of resizing between two
    factors, attention of two sentences."""
    g = Graph()
    x = g.rounded("x0", 0.02, 128)
    y = g.rounded(g.node("Conv", x, g.weights(4, 3, 3, 3), g.bias(4), pads=[1, 1, 1, 1]), 0.03, 128)
    mean = g.rounded(g.node("Relu", g.node("AveragePool", y, kernel_shape=[2, 2], strides=[2, 2])), 0.02, 0)
    both = g.rounded(g.node("Relu", g.node("Concat", mean, mean, axis=1)), 0.02, 0)
    scales = g.constant(np.array([1, 1, 2.4, 2.4], np.float32))
    y = g.node("Resize", both, g.constant(np.array([], np.float32)), scales, mode="nearest",
               coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    y = g.rounded(y, 0.02, 0)
    y = g.rounded(g.node("Conv", y, g.weights(3, 8, 1, 1), g.bias(3)), 0.05, 128)
    g.save("odd", [(TensorProto.FLOAT, [1, 3, 4, 4])], (y, TensorProto.FLOAT))

    g = Graph()

    def heads(x: str) -> str:
        return g.node("Transpose", g.node("Reshape", x, g.constant(np.array([2, 5, 2, 3]))), perm=[0, 2, 1, 3])

    q, k, v = (heads(g.linear("x0", 6, 6)) for _ in range(3))
    scores = g.node("MatMul", q, g.node("Transpose", k, perm=[0, 1, 3, 2]))
    y = g.node("MatMul", g.node("Softmax", scores, axis=-1), v)
    y = g.node("Reshape", g.node("Transpose", y, perm=[0, 2, 1, 3]), g.constant(np.array([2, 5, 6])))
    g.save("two-sentences", [(TensorProto.FLOAT, [2, 5, 6])], (y, TensorProto.FLOAT))


def chain() -> None:
    """Convolutions whose input is quantised at each run, one behind the other: numbers stay with channels last."""
    g = Graph()

    def conv(x: str, inputs: int, outputs: int, side: int) -> str:
        levels, scale, zero = g.node("DynamicQuantizeLinear", x, outputs=3)
        weights = g.constant(random.integers(-127, 128, (outputs, inputs, side, side)).astype(np.int8))
        sums = g.node("ConvInteger", levels, weights, zero, pads=[side // 2] * 4)
        scale = g.node("Mul", scale, g.constant(np.float32(0.005)))
        y = g.node("Mul", g.node("Cast", sums, to=TensorProto.FLOAT), scale)
        return g.node("Add", y, g.constant(random.normal(size=(1, outputs, 1, 1)).astype(np.float32)))

    a = conv("x0", 3, 5, 3)
    a = g.node("Mul", a, g.node("Sigmoid", a))
    b = conv(a, 5, 5, 1)
    # Read as it is, too.
    b = g.node("Add", g.node("Mul", g.node("Sigmoid", b), b), g.node("Add", a, b))
    y = g.rounded(conv(b, 5, 4, 3), 0.05, 128)
    y = g.rounded(g.node("Conv", y, g.weights(3, 4, 1, 1), g.bias(3)), 0.05, 128)
    g.save("dynamic-chain", [(TensorProto.FLOAT, [1, 3, 6, 7])], (y, TensorProto.FLOAT))


def transformer(opset: int) -> None:
    """Layer normalisation and activations, spelled out in the ways of exporters, or as the operations of later opsets."""
    g = Graph()
    one = lambda value: g.constant(np.float32(value))

    def normalised(x: str) -> str:
        scale, shift = g.constant((1 + random.random(8)).astype(np.float32)), g.bias(8)
        if opset >= 17:
            return g.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-3)
        centred = g.node("Sub", x, g.node("ReduceMean", x, axes=[-1]))
        variance = g.node("ReduceMean", g.node("Pow", centred, one(2)), axes=[2])
        share = g.node("Div", centred, g.node("Sqrt", g.node("Add", variance, one(1e-3))))
        return g.node("Add", g.node("Mul", share, scale), shift)

    def erf_of(x: str) -> str:
        return g.node("Add", g.node("Erf", g.node("Div", x, one(2**0.5))), one(1))

    def widened(x: str) -> str:
        return g.linear(x, 8, 12)

    y = normalised("x0")
    a, b, c, d, e = (widened(y) for _ in range(5))
    a = g.node("Mul", g.node("Mul", a, erf_of(a)), one(0.5))
    b = g.node("Mul", g.node("Mul", b, one(0.5)), erf_of(b))
    c = g.node("Mul", c, g.node("Sigmoid", g.node("Mul", c, one(1.702))))
    # The numbers before it are wanted too.
    d = g.node("Add", g.node("Mul", g.node("Sigmoid", d), d), d)
    # Looks like an activation, and is none: the share is another tensor's.
    e = g.node("Mul", e, g.node("Sigmoid", g.node("Mul", a, one(1.702))))
    parts = [a, b, c, d, e] + ([g.node("Gelu", widened(y))] if opset >= 20 else [])
    total = parts[0]
    for part in parts[1:]:
        total = g.node("Add", total, part)
    y = normalised(g.node("Add", g.linear(total, 12, 8), y))
    g.save(f"transformer-{opset}", [(TensorProto.FLOAT, [1, 5, 8])], (y, TensorProto.FLOAT), opset)


def pools() -> None:
    """The greatest of what is not rounded, and falls before it rises, as in the pyramid pooling of detectors."""
    g = Graph()
    x = g.rounded("x0", 0.02, 128)
    y = g.rounded(g.node("Conv", x, g.weights(6, 3, 1, 1), g.bias(6)), 0.03, 128)
    silu = g.node("Mul", y, g.node("Sigmoid", y))
    once = g.node("MaxPool", silu, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    twice = g.node("MaxPool", once, kernel_shape=[5, 5], pads=[2, 2, 2, 2])
    y = g.rounded(g.node("Concat", silu, once, twice, axis=1), 0.02, 20)
    y = g.rounded(g.node("Conv", y, g.weights(4, 18, 1, 1), g.bias(4)), 0.05, 128)
    g.save("pictures-pools", [(TensorProto.FLOAT, [1, 3, 7, 8])], (y, TensorProto.FLOAT))


def shares() -> None:
    """Sides of boxes as shares of distances: a softmax between two transpositions."""
    g = Graph()
    x = g.rounded("x0", 0.02, 128)
    y = g.rounded(g.node("Conv", x, g.weights(12, 3, 1, 1), g.bias(12)), 0.05, 128)
    y = g.node("Reshape", y, g.constant(np.array([1, 4, 3, 20])))
    y = g.node("Softmax", g.node("Transpose", y, perm=[0, 3, 1, 2]), axis=3)
    y = g.rounded(g.node("Transpose", y, perm=[0, 3, 2, 1]), 1 / 256, 0)
    y = g.rounded(g.node("Conv", y, g.weights(1, 3, 1, 1)), 0.02, 128)
    g.save("shares", [(TensorProto.FLOAT, [1, 3, 4, 5])], (y, TensorProto.FLOAT))


pictures(np.uint8)
pictures(np.int8)
operators()
dynamic()
transformer(13)
transformer(20)
pools()
shares()
chain()
odd()
