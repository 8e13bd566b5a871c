"""The two tasks that quantisers are compared on: how pictures become samples, and how outputs are scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
from PIL import Image

# YOLOX as Megvii evaluates it.
SIDE, PAD, FLOOR, OVERLAP, MOST = 416, 114, 0.001, 0.65, 100
CROP, SHORT = 224, 256


def letterbox(path: Path) -> tuple[np.ndarray, float, tuple[int, int]]:
    """Returns the picture in the top left corner as NCHW BGR, its scale and its size."""
    picture = Image.open(path).convert("RGB")
    scale = min(SIDE / picture.width, SIDE / picture.height)
    width, height = round(picture.width * scale), round(picture.height * scale)
    levels = np.full((SIDE, SIDE, 3), PAD, np.float32)
    levels[:height, :width] = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(levels[:, :, ::-1].transpose(2, 0, 1)[None]), scale, picture.size


def centre_crop(path: Path) -> np.ndarray:
    """Returns the middle of the picture as NHWC RGB, -1 to 1."""
    picture = Image.open(path).convert("RGB")
    scale = SHORT / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
    left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
    levels = np.asarray(picture.crop((left, top, left + CROP, top + CROP)), np.float32)
    return (levels / 128 - 1)[None]


def boxes(output: np.ndarray, scale: float) -> np.ndarray:
    """Returns rows of label, score, left, top, right, bottom in pixels of the picture, the highest score first."""
    cells, strides = [], []
    for stride in (8, 16, 32):
        side = SIDE // stride
        y, x = np.mgrid[:side, :side]
        cells.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((side * side, 1), stride))
    cells, strides, rows = np.concatenate(cells), np.concatenate(strides), output[0]
    middle, size = (rows[:, :2] + cells) * strides, np.exp(rows[:, 2:4]) * strides
    bounds = np.concatenate([middle - size / 2, middle + size / 2], 1) / scale
    scores = rows[:, 4:5] * rows[:, 5:]
    at, label = np.nonzero(scores > FLOOR)
    found = np.concatenate([label[:, None], scores[at, label][:, None], bounds[at]], 1)
    kept = [suppressed(found[found[:, 0] == label]) for label in np.unique(label)]
    found = np.concatenate(kept) if kept else np.zeros((0, 6))
    return found[np.argsort(-found[:, 1], kind="stable")][:MOST]


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the intersection over union of every box of `a` with every box of `b`."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(-1)
    return shared / np.maximum(area(a)[:, None] + area(b)[None] - shared, 1e-9)


def suppressed(found: np.ndarray) -> np.ndarray:
    found, kept = found[np.argsort(-found[:, 1], kind="stable")], []
    while len(found):
        kept.append(found[0])
        found = found[1:][overlaps(found[:1, 2:], found[1:, 2:])[0] <= OVERLAP]
    return np.array(kept)


def average_precision(pictures: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Returns COCO's mAP over intersections 0.5 to 0.95 and at 0.5, of (found, truth) of every picture."""
    thresholds = np.arange(0.5, 1.0, 0.05)
    per_label = []
    for label in np.unique(np.concatenate([truth[:, 0] for _, truth in pictures])):
        scores, hits, count = [], [], 0
        for found, truth in pictures:
            found, truth = found[found[:, 0] == label], truth[truth[:, 0] == label]
            count += len(truth)
            shared = overlaps(found[:, 2:], truth[:, 1:])
            hit = np.zeros((len(thresholds), len(found)), bool)
            for at, threshold in enumerate(thresholds):
                free = np.ones(len(truth), bool)
                for row in range(len(found)):
                    candidates = np.where(free, shared[row], 0)
                    if candidates.size and candidates.max() >= threshold:
                        hit[at, row], free[candidates.argmax()] = True, False
            scores.append(found[:, 1])
            hits.append(hit)
        order = np.argsort(-np.concatenate(scores), kind="stable")
        right = np.concatenate(hits, 1)[:, order].cumsum(1)
        recall = right / count
        precision = np.maximum.accumulate((right / np.arange(1, len(order) + 1))[:, ::-1], 1)[:, ::-1]
        points = np.linspace(0, 1, 101)
        at = [np.searchsorted(row, points) for row in recall]
        padded = np.concatenate([precision, np.zeros((len(thresholds), 1))], 1)
        per_label.append([row[place].mean() for row, place in zip(padded, at)])
    return float(np.mean(per_label)), float(np.mean(per_label, 0)[0])


@dataclass
class Task:
    """A model, the pictures to calibrate it on, and how it is scored."""
    name: str
    model: str
    calibration: str
    # For `glassd models quantize --input`.
    contract: str
    sample: Callable[[Path], np.ndarray]
    # From a function that runs the model to (metric, value).
    scores: Callable[[Path, Callable[[np.ndarray], np.ndarray]], dict[str, float]]


def detection(data: Path, run: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    pictures = []
    for file in sorted((data / "detection/coco_val/labels").glob("*.txt")):
        sample, scale, (width, height) = letterbox(data / "detection/coco_val/images" / f"{file.stem}.jpg")
        truth = np.array([line.split() for line in file.read_text().splitlines()], float).reshape(-1, 5)
        middle, half = truth[:, 1:3], truth[:, 3:] / 2
        bounds = np.concatenate([middle - half, middle + half], 1) * [width, height, width, height]
        pictures.append((boxes(run(sample), scale), np.concatenate([truth[:, :1], bounds], 1)))
    whole, half = average_precision(pictures)
    return {"mAP": whole, "mAP50": half}


def classification(data: Path, run: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    folder, right = data / "classification/imagenet", []
    for line in (folder / "labels.tsv").read_text().splitlines():
        file, label = line.split("\t")
        if (folder / "images" / file).is_file():
            # The model's class 0 is "background".
            right.append(run(centre_crop(folder / "images" / file)).argmax() == int(label) + 1)
    return {"top1": float(np.mean(right))}


TASKS = [
    Task("yolox-nano", "detection/models/yolox_nano_fp32.onnx", "detection/coco_train_calib/images",
         'width=416,height=416,layout="nchw",type="f32",order="bgr",fit="letterbox-corner",pad=114',
         lambda path: letterbox(path)[0], detection),
    Task("mobilenet-v2", "classification/models/mobilenet_v2_1.0_224_fp32.onnx", "classification/imagenet_calib/images",
         'width=224,height=224,layout="nhwc",type="f32",order="rgb",scale=0.0078125,offset=-1.0,fit="crop",keep=0.875',
         centre_crop, classification),
]
