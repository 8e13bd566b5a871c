"""Which ONNX files there are, what each is made of, and inputs for it."""

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

TYPES = {TensorProto.FLOAT: "f32", TensorProto.INT64: "i64", TensorProto.UINT8: "u8", TensorProto.INT8: "i8"}

# Sides that a model leaves open and that are not its batch, which becomes 1: what is usual for its task.
OPEN_SIDES: dict[str, dict[str, list[int]]] = {
    "ch_PP-OCRv4_det_infer": {"x": [1, 3, 640, 640]},
    "ch_PP-OCRv4_rec_infer": {"x": [1, 3, 48, 320]},
    "ch_ppocr_mobile_v2.0_cls_infer": {"x": [1, 3, 48, 192]},
    "melspectrogram": {"input": [1, 1760]},
    "minilm_l6_int8_dynamic": {"input_ids": [1, 64], "attention_mask": [1, 64]},
    "mtcnn_pnet": {"image": [1, 3, 240, 320]},
    "silero_vad": {"input": [1, 576], "state": [2, 1, 128]},
    "silero_vad_16k_noif": {"input": [1, 576], "state": [2, 1, 128]},
    "silero_vad_op18_ifless": {"input": [1, 576], "state": [2, 1, 128]},
}


@dataclass
class Model:
    """An ONNX file with all sides fixed."""

    name: str
    path: Path
    precision: str
    # Type and sides of each input, in order.
    inputs: list[tuple[str, str, list[int]]]
    # The step between two levels of each output that is a dequantised integer, in order; None for others.
    steps: list[float | None] = field(default_factory=list)


class Unusable(Exception):
    """Why a file is left out."""


def precision(graph: onnx.GraphProto) -> str:
    operators = {node.op_type for node in graph.node}
    if operators & {"QLinearConv", "QLinearMatMul", "QGemm"}:
        return "INT8 QOperator"
    if operators & {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul"}:
        return "INT8 dynamic"
    if "QuantizeLinear" in operators:
        return "INT8 QDQ"
    return "INT8 weights" if "DequantizeLinear" in operators else "FP32"


def fixed(path: Path, folder: Path) -> Model:
    """Reads a model; if it leaves sides open, all engines get the same copy in `folder` with those sides fixed."""
    proto = onnx.load(path)
    graph = proto.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs, is_open = [], False
    for value in graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        if tensor.elem_type not in TYPES:
            raise Unusable(f"input {value.name} is of type {TensorProto.DataType.Name(tensor.elem_type)}")
        usual = OPEN_SIDES.get(path.stem, {}).get(value.name)
        sides = []
        for at, side in enumerate(tensor.shape.dim):
            if not side.HasField("dim_value") or side.dim_value <= 0:
                if not usual and at > 0:
                    raise Unusable(f"input {value.name} leaves side {at} open, and nobody said what is usual")
                side.dim_value = usual[at] if usual else 1
                is_open = True
            sides.append(side.dim_value)
        inputs.append((value.name, TYPES[tensor.elem_type], sides))
    target = path
    if is_open:
        # What was inferred for the open sides would contradict the fixed ones.
        del graph.value_info[:]
        for value in graph.output:
            for side in value.type.tensor_type.shape.dim:
                side.Clear()
        target = folder / path.name
        onnx.save(proto, target)
    return Model(path.stem, target, precision(graph), inputs, output_steps(graph))


def output_steps(graph: onnx.GraphProto) -> list[float | None]:
    makers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}

    def step(name: str) -> float | None:
        maker = makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear" or maker.input[1] not in weights:
            return None
        scale = onnx.numpy_helper.to_array(weights[maker.input[1]])
        return float(scale.reshape(-1)[0]) if scale.size == 1 else None

    return [step(value.name) for value in graph.output]


def write_inputs(model: Model, folder: Path) -> None:
    """Writes inputs that are the same at each run: pictures from 0 to 1 for detectors, else a normal distribution;
    small ids; any level where the input is quantised."""
    dice = np.random.default_rng(zlib.crc32(model.name.encode()))
    lines = []
    for at, (name, dtype, sides) in enumerate(model.inputs):
        if dtype == "f32":
            picture = "yolo" in model.name
            values = dice.random(sides, np.float32) if picture else dice.standard_normal(sides, np.float32)
        elif dtype == "i64":
            ids = {"sr": np.array(16000), "attention_mask": np.ones(sides)}.get(name, dice.integers(1, 100, sides))
            values = ids.astype(np.int64)
        else:
            low, high = (0, 256) if dtype == "u8" else (-128, 128)
            values = dice.integers(low, high, sides).astype(np.uint8 if dtype == "u8" else np.int8)
        values.tofile(folder / f"{at}.bin")
        lines.append(f"{dtype} {'x'.join(map(str, sides))}\n")
    (folder / "inputs.txt").write_text("".join(lines))
