"""How far two engines are apart on the same input."""

from dataclasses import dataclass

import numpy as np

Arrays = list[np.ndarray]


@dataclass
class Difference:
    """The worst over a model's outputs."""

    # In levels, of what is quantised: integers, and floats that were dequantised at the end.
    max_lsb: float | None
    # Of floats.
    max_abs: float | None
    cosine: float | None
    # Set if the outputs cannot be compared number by number.
    note: str = ""

    def __str__(self) -> str:
        parts = [self.note] if self.note else []
        if self.max_lsb is not None:
            parts.append(f"{self.max_lsb:.0f} LSB")
        if self.max_abs is not None:
            parts.append(f"{self.max_abs:.1e}")
        if self.cosine is not None:
            parts.append(f"cos {self.cosine:.6f}")
        return ", ".join(parts)


def worst(values: list[float], of) -> float | None:
    """NaN is the worst of all: `max` alone would lose it."""
    if any(np.isnan(value) for value in values):
        return float("nan")
    return of(values) if values else None


def difference(ours: Arrays, theirs: Arrays, steps: list[float | None]) -> Difference:
    if [output.size for output in ours] != [output.size for output in theirs]:
        shapes = [[output.shape for output in outputs] for outputs in (ours, theirs)]
        return Difference(None, None, None, f"shapes {shapes[0]} and {shapes[1]}")
    if [output.dtype for output in ours] != [output.dtype for output in theirs]:
        types = [[str(output.dtype) for output in outputs] for outputs in (ours, theirs)]
        return Difference(None, None, None, f"types {types[0]} and {types[1]}")
    levels, distances, cosines = [], [], []
    for a, b, step in zip(ours, theirs, steps or [None] * len(ours), strict=True):
        exact_a, exact_b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
        apart = float(np.abs(exact_a - exact_b).max(initial=0))
        if a.dtype.kind in "iu":
            levels.append(apart)
            continue
        if step:
            levels.append(apart / step)
        distances.append(apart)
        lengths = float(np.linalg.norm(exact_a) * np.linalg.norm(exact_b))
        cosines.append(float(exact_a @ exact_b) / lengths if lengths else float(apart == 0))
    return Difference(worst(levels, max), worst(distances, max), worst(cosines, min))


def boxes_difference(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """Rows of label, score, left, top, right, bottom: pictures resized by two libraries give the same objects with
    scores and places that differ a little, and doubtful ones that only one sees. Told of the objects whose score is at
    least 0.5, from left to right within their label."""
    a, b = (sure(rows) for rows in (ours, theirs))
    if a.shape != b.shape or (a[:, 0] != b[:, 0]).any():
        return Difference(None, None, None, f"labels {a[:, 0].astype(int)} and {b[:, 0].astype(int)}")
    return Difference(None, float(np.abs(a - b).max(initial=0)), None, f"same {len(a)} objects")


def sure(rows: np.ndarray) -> np.ndarray:
    rows = rows[rows[:, 1] >= 0.5]
    return rows[np.lexsort((rows[:, 2], rows[:, 0]))]
