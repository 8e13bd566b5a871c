#!/usr/bin/env python3
"""Makes the models of `tests/compare/inference` that nobody publishes in INT8: make_models.py FOLDER [NAME …]

Architectures as published, weights random but seeded: what is measured is time, which does not depend on them (their
batch norms have seen noise, so that activations stay in range). onnxruntime's own tools quantise, in the ways that people
use for each kind: statically in QDQ and in QOperator form with u8 activations (and s8 as ARM likes it), dynamically for
transformers. None of these models sees anything: tests/accuracy scores real ones.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import environment

SEED = 0
# The decoder has spoken this many tokens, and the encoder made this many frames (Whisper: 30 s).
SPOKEN, FRAMES = 32, 1500


def seen_noise(model, shape: tuple[int, ...], batches: int):
    """Lets the batch norms measure noise, so that an untrained net's activations stay in range."""
    import torch

    model.train()
    with torch.no_grad():
        for _ in range(batches):
            model(torch.randn(shape))
    return model.eval()


def mbv2():
    import torch
    import torchvision

    model = seen_noise(torchvision.models.mobilenet_v2(weights=None), (8, 3, 224, 224), 6)
    return model, (torch.randn(1, 3, 224, 224),)


def kws():
    """DS-CNN small (Zhang et al. 2017, "Hello Edge"), 10 MFCCs of 49 frames to 12 words."""
    import torch
    from torch import nn

    def separable(width: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        pointwise = nn.Conv2d(width, width, 1, bias=False)
        return [depthwise, nn.BatchNorm2d(width), nn.ReLU(), pointwise, nn.BatchNorm2d(width), nn.ReLU()]

    first = [nn.Conv2d(1, 64, (10, 4), stride=2, padding=(5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    middle = [layer for _ in range(4) for layer in separable(64)]
    model = nn.Sequential(*first, *middle, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))
    return seen_noise(model, (32, 1, 49, 10), 10), (torch.randn(1, 1, 49, 10),)


def yolo():
    import torch
    from ultralytics.nn.tasks import DetectionModel

    model = seen_noise(DetectionModel("yolov8n.yaml", verbose=False), (2, 3, 320, 320), 4).fuse(verbose=False)
    model.model[-1].export, model.model[-1].format = True, "onnx"
    return model, (torch.rand(1, 3, 640, 640),)


def clip():
    """The image tower of CLIP ViT-B/32."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, patch_size=32,
        image_size=224, projection_dim=512, attn_implementation="eager",
    )

    class Tower(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = CLIPVisionModelWithProjection(config)

        def forward(self, pixels):
            return self.model(pixel_values=pixels).image_embeds

    return Tower().eval(), (torch.randn(1, 3, 224, 224),)


def whisper_tiny():
    from transformers import WhisperConfig, WhisperModel

    return WhisperModel(WhisperConfig(
        d_model=384, encoder_layers=4, decoder_layers=4, encoder_attention_heads=6, decoder_attention_heads=6,
        encoder_ffn_dim=1536, decoder_ffn_dim=1536, vocab_size=51865, num_mel_bins=80, attn_implementation="eager",
    )).eval()


def wenc():
    import torch

    encoder = whisper_tiny().encoder

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, mel):
            return self.encoder(mel).last_hidden_state

    return Encoder(), (torch.randn(1, 80, 2 * FRAMES),)


def wdec():
    """One token more, with the keys and values of the ones before and of the encoder as inputs."""
    import torch
    from torch.nn import functional

    decoder = whisper_tiny().decoder

    def heads(values):
        return values.view(1, -1, 6, 64).transpose(1, 2)

    def attended(attention, hidden, keys, values):
        weights = torch.softmax(heads(attention.q_proj(hidden) * 0.125) @ keys.transpose(-1, -2), -1)
        return attention.out_proj((weights @ values).transpose(1, 2).reshape(1, 1, 384))

    class Step(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = decoder

        def forward(self, token, *past):
            table = self.decoder.embed_tokens.weight
            x = functional.embedding(token, table) + self.decoder.embed_positions.weight[SPOKEN:SPOKEN + 1][None]
            present = []
            for at, layer in enumerate(self.decoder.layers):
                keys, values, far_keys, far_values = past[4 * at:4 * at + 4]
                hidden = layer.self_attn_layer_norm(x)
                keys = torch.cat([keys, heads(layer.self_attn.k_proj(hidden))], 2)
                values = torch.cat([values, heads(layer.self_attn.v_proj(hidden))], 2)
                x = x + attended(layer.self_attn, hidden, keys, values)
                x = x + attended(layer.encoder_attn, layer.encoder_attn_layer_norm(x), far_keys, far_values)
                x = x + layer.fc2(functional.gelu(layer.fc1(layer.final_layer_norm(x))))
                present += [keys, values]
            return self.decoder.layer_norm(x) @ table.t(), *present

    near, far = (1, 6, SPOKEN, 64), (1, 6, FRAMES, 64)
    past = [torch.randn(shape) for _ in range(4) for shape in (near, near, far, far)]
    return Step(), (torch.tensor([[123]]), *past)


STATIC: dict[str, Callable] = {"mbv2": mbv2, "kws": kws, "yolo": yolo}
DYNAMIC: dict[str, Callable] = {"clip": clip, "whisper-encoder": wenc, "whisper-decoder-step": wdec}


def exported(make: Callable, path: Path) -> dict:
    """Writes FP32 ONNX and returns an input for each of its names."""
    import torch

    torch.manual_seed(SEED)
    model, inputs = make()
    names = [f"x{at}" for at in range(len(inputs))]
    with torch.no_grad():
        torch.onnx.export(model, inputs, path, input_names=names, opset_version=14, dynamo=False)
    return {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}


def quantised_statically(path: Path, inputs: dict) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Once(CalibrationDataReader):
        def __init__(self):
            self.batches = iter([inputs])

        def get_next(self):
            return next(self.batches, None)

    prepared = path.with_suffix(".prepared")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    # Usual for YOLOv8: what turns distributions into boxes stays in f32.
    head = [
        node.name for node in onnx.load(prepared).graph.node
        if node.name.startswith("/model.22/") and "cv2" not in node.name and "cv3" not in node.name
    ]
    ways = {
        "qdq": (QuantFormat.QDQ, QuantType.QUInt8, None),
        "qdqs8": (QuantFormat.QDQ, QuantType.QInt8, None),
        "qop": (QuantFormat.QOperator, QuantType.QUInt8, None),
        # With none but the quantised operators of the ONNX standard: the others are onnxruntime's own.
        "qopstd": (QuantFormat.QOperator, QuantType.QUInt8, ["Conv"]),
    }
    for way, (form, activations, operators) in ways.items():
        quantize_static(
            prepared, path.with_suffix(f".{way}.onnx"), Once(), quant_format=form, per_channel=True,
            activation_type=activations, weight_type=QuantType.QInt8, op_types_to_quantize=operators,
            nodes_to_exclude=head,
        )
    prepared.unlink()


def quantised_dynamically(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # The encoder's convolutions stay in f32, as ConvInteger is slower than they are.
    operators = ["MatMul", "Gemm"] + ["Gather"] * (path.stem != "whisper-encoder")
    for way, per_channel in (("dyn", False), ("dynpc", True)):
        quantize_dynamic(
            path, path.with_suffix(f".{way}.onnx"), weight_type=QuantType.QInt8, per_channel=per_channel,
            op_types_to_quantize=operators,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(STATIC | DYNAMIC)}; all if none")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(STATIC | DYNAMIC):
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(STATIC | DYNAMIC)}")
    environment.enter("models-venv", Path(__file__).parent / "models-requirements.txt")
    os.environ["YOLO_OFFLINE"] = "1"
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or list(STATIC | DYNAMIC):
        print(f"making {name}", file=sys.stderr, flush=True)
        path = arguments.folder / f"{name}.onnx"
        inputs = exported((STATIC | DYNAMIC)[name], path)
        if name in STATIC:
            quantised_statically(path, inputs)
        else:
            quantised_dynamically(path)


if __name__ == "__main__":
    main()
