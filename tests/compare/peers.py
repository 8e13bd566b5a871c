"""Measures one model on one peer, speaking what `measure.rs` speaks (its table of lines is there).

    peers.py ENGINE --threads N --inputs FOLDER MODEL.onnx
    peers.py ENGINE --threads N --image FILE MODEL.onnx     # from decoded image to boxes
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DTYPES = {"f32": np.float32, "i64": np.int64, "u8": np.uint8, "i8": np.int8}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}

Arrays = list[np.ndarray]


class Onnxruntime:
    """All of onnxruntime's optimisations, which are its default; inputs bound once, as `measure.rs` hands its own over
    without a copy. A call through Python costs it some microseconds, which count for the smallest models alone."""

    def __init__(self, model: Path, threads: int):
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.bound = self.session.io_binding()

    def bind(self, inputs: Arrays) -> None:
        from onnxruntime import OrtValue

        for described, array in zip(self.session.get_inputs(), inputs, strict=True):
            self.bound.bind_ortvalue_input(described.name, OrtValue.ortvalue_from_numpy(array))
        for described in self.session.get_outputs():
            self.bound.bind_output(described.name, "cpu")

    def run(self) -> None:
        self.session.run_with_iobinding(self.bound)

    def outputs(self) -> Arrays:
        return self.bound.copy_outputs_to_cpu()


class Openvino:
    """Tuned for the latency of one stream. FP32 stays FP32: it would take bfloat16 where the processor has it, and the
    gateways have not. Unpinned, as the others are."""

    def __init__(self, model: Path, threads: int):
        import openvino

        wishes = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        self.request = openvino.compile_model(model, "CPU", wishes).create_infer_request()

    def bind(self, inputs: Arrays) -> None:
        import openvino

        # Its tensors do not keep alive what they share.
        self.inputs = inputs
        for at, array in enumerate(inputs):
            self.request.set_input_tensor(at, openvino.Tensor(array, shared_memory=True))

    def run(self) -> None:
        self.request.infer()

    def outputs(self) -> Arrays:
        return [tensor.data.copy() for tensor in self.request.output_tensors]


ENGINES = {"onnxruntime": Onnxruntime, "openvino": Openvino}
Engine = Onnxruntime | Openvino


def tensors(folder: Path) -> Arrays:
    def read(at: int, line: str) -> np.ndarray:
        dtype, sides = line.split(" ")
        flat = np.fromfile(folder / f"{at}.bin", DTYPES[dtype])
        return flat.reshape([int(side) for side in sides.split("x") if side])

    return [read(at, line) for at, line in enumerate((folder / "inputs.txt").read_text().splitlines())]


def detecting(engine: Engine, image: Path) -> tuple[Callable[[], None], Callable[[], Arrays]]:
    """Returns what looks at the image once, and what returns the last rows of label, score, left, top, right, bottom."""
    from PIL import Image

    import boxes

    decoded = Image.open(image).convert("RGB")
    found = np.empty((0, 6), np.float32)

    def run() -> None:
        nonlocal found
        letterboxed, placement = boxes.letterbox(decoded)
        engine.bind([letterboxed])
        engine.run()
        found = boxes.read(engine.outputs()[0], placement)

    return run, lambda: [found]


def times(run: Callable[[], None], least: float) -> list[float]:
    """Runs for at least this many seconds and at least once; returns milliseconds."""
    taken: list[float] = []
    began = time.perf_counter()
    while not taken or time.perf_counter() - began < least:
        started = time.perf_counter()
        run()
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def memory(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(name))


def written(outputs: Arrays, folder: Path) -> str:
    for at, output in enumerate(outputs):
        output.tofile(folder / f"{at}.bin")
    return " ".join(f"{NAMES[output.dtype]}:{'x'.join(map(str, output.shape))}" for output in outputs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--inputs", type=Path)
    parser.add_argument("--image", type=Path)
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    __import__(arguments.engine)
    base = memory("VmRSS:")
    started = time.perf_counter()
    try:
        engine = ENGINES[arguments.engine](arguments.model, arguments.threads)
    except Exception as error:  # Whatever a peer has against a model goes into the table.
        print("refused", " ".join(str(error).split())[:300], flush=True)
        return
    print(f"ready {(time.perf_counter() - started) * 1e3:.3f} {base}", flush=True)
    if arguments.image:
        run, outputs = detecting(engine, arguments.image)
    else:
        engine.bind(tensors(arguments.inputs))
        run, outputs = engine.run, engine.outputs
    for line in sys.stdin:
        verb, _, rest = line.strip().partition(" ")
        if verb == "run":
            taken = times(run, float(rest))
            print(f"ran {len(taken)} {statistics.median(taken):.6f} {min(taken):.6f}", flush=True)
        elif verb == "memory":
            print("peak", memory("VmHWM:"), flush=True)
        elif verb == "outputs":
            run()
            print("outputs", written(outputs(), Path(rest)), flush=True)
        else:
            raise SystemExit(f"{line!r}: not run, memory or outputs")


if __name__ == "__main__":
    main()
