"""What a program around onnxruntime does before and after YOLOv8n: vectorised numpy and Pillow, without OpenCV.

Fair enough for a Python program, and slower than the same in C++: the rows "model alone" compare the engines, the row
"end to end" compares what people would write. Decoding the JPEG is in neither.
"""

import numpy as np
from PIL import Image

SIDE = 640
# As the entry `yolov8n-int8-640` of config/models/example.toml says.
PAD = 114
FLOOR = 0.05
OVERLAP = 0.5

Placement = tuple[int, int, int, int]


def letterbox(image: Image.Image) -> tuple[np.ndarray, Placement]:
    """Returns the input tensor, and left, top, width and height of the picture in it."""
    scale = SIDE / max(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    levels = np.full((SIDE, SIDE, 3), PAD, np.uint8)
    levels[top:top + height, left:left + width] = image.resize((width, height), Image.Resampling.BILINEAR)
    planes = np.ascontiguousarray(levels.transpose(2, 0, 1)[None])
    return planes * np.float32(1 / 255), (left, top, width, height)


def read(output: np.ndarray, placement: Placement) -> np.ndarray:
    """Returns rows of label, score, left, top, right, bottom (shares of the picture), the highest score first."""
    cells = output[0]
    scores = cells[4:].max(0)
    seen = np.flatnonzero(scores >= FLOOR)
    seen = seen[np.argsort(-scores[seen], kind="stable")]
    labels = cells[4:, seen].argmax(0)
    middle, half = cells[:2, seen].T, cells[2:4, seen].T / 2
    bounds = np.concatenate([middle - half, middle + half], 1)
    kept = suppressed(bounds, labels)
    left, top, width, height = placement
    shares = (bounds[kept] - [left, top, left, top]) / [width, height, width, height]
    rows = [labels[kept, None], scores[seen][kept, None], shares.clip(0, 1)]
    return np.concatenate(rows, 1).astype(np.float32)


def suppressed(bounds: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns which of the boxes, sorted by falling score, no better one of their label overlaps."""
    kept = []
    area = (bounds[:, 2:] - bounds[:, :2]).clip(0).prod(1)
    left = np.arange(len(bounds))
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        low = np.maximum(bounds[best, :2], bounds[left, :2])
        high = np.minimum(bounds[best, 2:], bounds[left, 2:])
        shared = (high - low).clip(0).prod(1)
        same = (shared > OVERLAP * (area[best] + area[left] - shared)) & (labels[left] == labels[best])
        left = left[~same]
    return np.array(kept, int)
