#!/usr/bin/env python3
"""Peers of the inference tasks: a request as JSON on standard input, the answer as JSON on standard output.

tokens    the tokens of texts, by Hugging Face's tokenizers
heads     the boxes of SSD and NanoDet outputs, by their published formulas in numpy
clip      a small CLIP of random weights, and what onnxruntime makes of it
"""

import gzip
import importlib.util
import json
import math
import sys
from pathlib import Path


def clip_tokenizer():
    """CLIP's published vocabulary, which the package open_clip carries, in a tokenizer as CLIP's own."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    package = Path(importlib.util.find_spec("open_clip").origin).parent
    lines = gzip.open(package / "bpe_simple_vocab_16e6.txt.gz").read().decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1:49152 - 256 - 2 + 1]]
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in visible] + [chr(256 + at) for at in range(256 - len(visible))]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(merge) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>",
                                     unk_token="<|endoftext|>"))
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(words, behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    return tokenizer


def tokens(request):
    from tokenizers import Tokenizer

    if request["tokenizer"] == "clip":
        tokenizer = clip_tokenizer()
    else:
        tokenizer = Tokenizer.from_file(request["tokenizer"])
        tokenizer.no_padding()
        tokenizer.no_truncation()
    encoded = [tokenizer.encode(text, add_special_tokens=False).ids for text in request["texts"]]
    described = tokenizer.to_str() if request["tokenizer"] == "clip" else ""
    return {"tokens": encoded, "tokenizer": described}


def heads(request):
    import numpy as np

    width, height, labels, floor = (request[key] for key in ("width", "height", "labels", "floor"))
    outputs = [np.array(output, np.float64) for output in request["outputs"]]
    if request["head"] == "nanodet":
        rows = outputs[0].reshape(-1, labels + 32)
        centres, strides = [], []
        for stride in (8, 16, 32, 64):
            y, x = np.mgrid[:math.ceil(height / stride), :math.ceil(width / stride)]
            centres.append(np.stack([x.ravel(), y.ravel()], 1) * stride)
            strides.append(np.full(x.size, stride))
        centres, strides = np.concatenate(centres), np.concatenate(strides)
        logits = rows[:, labels:].reshape(-1, 4, 8)
        shares = np.exp(logits - logits.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        distances = (shares @ np.arange(8)) * strides[:, None]
        boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], 1)
        scores = rows[:, :labels]
    else:
        scales = [0.2 + (0.95 - 0.2) * i / 5 for i in range(6)] + [1.0]
        anchors, columns, rows = [], math.ceil(width / 16), math.ceil(height / 16)
        for layer in range(6):
            if layer == 0:
                kinds = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
            else:
                kinds = [(scales[layer], ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
                kinds.append((math.sqrt(scales[layer] * scales[layer + 1]), 1.0))
            for y in range(rows):
                for x in range(columns):
                    for scale, ratio in kinds:
                        anchors.append([(y + 0.5) / rows, (x + 0.5) / columns,
                                        scale / math.sqrt(ratio), scale * math.sqrt(ratio)])
            columns, rows = math.ceil(columns / 2), math.ceil(rows / 2)
        anchors, changes = np.array(anchors), outputs[0].reshape(-1, 4)
        centres = changes[:, :2] / 10 * anchors[:, 2:] + anchors[:, :2]
        sizes = np.exp(changes[:, 2:] / 5) * anchors[:, 2:]
        corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)
        boxes = corners[:, [1, 0, 3, 2]] * [width, height, width, height]
        scores = 1 / (1 + np.exp(-outputs[1].reshape(-1, labels + 1)[:, 1:]))
    found = [[int(label), float(scores[at, label]),
              *np.clip(boxes[at] / [width, height, width, height], 0, 1).tolist()]
             for at, label in zip(*np.nonzero(scores >= floor))]
    return {"found": found}


def clip(request):
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    size, vectors = 32, np.random.default_rng(request["seed"])
    tokenizer = clip_tokenizer()

    def model(nodes, inputs, output, weights):
        inputs = [helper.make_tensor_value_info(*one) for one in inputs]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", size])]
        weights = [numpy_helper.from_array(value, name) for name, value in weights.items()]
        graph = helper.make_graph(nodes, "tower", inputs, outputs, weights)
        sets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString()

    def random(*shape):
        return vectors.normal(size=shape).astype(np.float32)

    image = model(
        [helper.make_node("Conv", ["pixels", "patch"], ["patches"], strides=[8, 8]),
         helper.make_node("Relu", ["patches"], ["kept"]),
         helper.make_node("GlobalAveragePool", ["kept"], ["pooled"]),
         helper.make_node("Flatten", ["pooled"], ["flat"]),
         helper.make_node("MatMul", ["flat", "projection"], ["embedding"])],
        [("pixels", TensorProto.FLOAT, ["batch", 3, 32, 32])], "embedding",
        {"patch": random(16, 3, 8, 8), "projection": random(16, size)})
    # What stands at the end of the text is the greatest number of all; its place's mean with the first words
    # before it is the text's.
    text = model(
        [helper.make_node("Gather", ["table", "input_ids"], ["words"]),
         helper.make_node("CumSum", ["words", "one"], ["sums"]),
         helper.make_node("Tanh", ["sums"], ["states"]),
         helper.make_node("ArgMax", ["input_ids"], ["end"], axis=1, keepdims=1),
         helper.make_node("Unsqueeze", ["end", "two"], ["place"]),
         helper.make_node("Expand", ["place", "shape"], ["places"]),
         helper.make_node("GatherElements", ["states", "places"], ["state"], axis=1),
         helper.make_node("Squeeze", ["state", "ones"], ["flat"]),
         helper.make_node("MatMul", ["flat", "projection"], ["embedding"])],
        [("input_ids", TensorProto.INT64, ["batch", "length"])], "embedding",
        {"table": random(49408, 16) * 0.2, "projection": random(16, size), "one": np.array(1),
         "two": np.array([2]), "ones": np.array([1]), "shape": np.array([1, 1, 16])})

    folder = Path(request["folder"])
    (folder / "image.onnx").write_bytes(image)
    (folder / "text.onnx").write_bytes(text)
    (folder / "tokenizer.json").write_text(tokenizer.to_str())

    def towers(data, feed):
        vector = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feed)[0][0]
        return vector / np.linalg.norm(vector)

    colour = np.array(request["colour"], np.float32) / 255
    seen = towers(image, {"pixels": np.broadcast_to(colour[:, None, None], (1, 3, 32, 32)).copy()})
    cosines = []
    for label in request["labels"]:
        meanings = []
        for prompt in request["prompts"]:
            ids = tokenizer.encode(prompt.replace("{}", label), add_special_tokens=False).ids
            ids = [49406, *ids[:request["length"] - 2], 49407]
            ids += [0] * (request["length"] - len(ids))
            meanings.append(towers(text, {"input_ids": np.array([ids], np.int64)}))
        meaning = np.mean(meanings, 0)
        cosines.append(float(meaning / np.linalg.norm(meaning) @ seen))
    logits = np.array(cosines) * request["scale"]
    shares = np.exp(logits - logits.max())
    return {"probabilities": (shares / shares.sum()).tolist()}


if __name__ == "__main__":
    answers = {"tokens": tokens, "heads": heads, "clip": clip}
    json.dump(answers[sys.argv[1]](json.load(sys.stdin)), sys.stdout)
