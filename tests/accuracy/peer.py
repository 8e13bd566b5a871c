#!/usr/bin/env python3
"""Holds our mean average precision against pycocotools on the same detections.

    tests/accuracy/vision --data DIR --json rows.json --detections found
    tests/accuracy/peer.py --data DIR --json rows.json --detections found

Needs the packages of requirements.txt beside this.
"""

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

# Both compute in f64; the order of sums differs.
TOLERANCE = 1e-6


def truth(labels: Path) -> COCO:
    images, boxes = [], []
    for file in sorted(labels.glob("*.txt")):
        images.append({"id": int(file.stem)})
        for line in file.read_text().splitlines():
            label, x, y, width, height = map(float, line.split())
            boxes.append({
                "id": len(boxes) + 1, "image_id": int(file.stem), "category_id": int(label), "iscrowd": 0,
                "bbox": [x - width / 2, y - height / 2, width, height], "area": width * height,
            })
    known = COCO()
    known.dataset = {"images": images, "categories": [{"id": label} for label in range(80)], "annotations": boxes}
    known.createIndex()
    return known


def scored(known: COCO, detections: Path) -> dict[str, float]:
    evaluation = COCOeval(known, known.loadRes(str(detections)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {"mAP50-95": float(evaluation.stats[0]), "mAP50": float(evaluation.stats[1])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--data", "--json", "--detections"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    rows = [row for row in json.loads(arguments.json.read_text()) if row["task"] == "detection"]
    ours = {(row["model"], row["metric"]): row["value"] for row in rows}
    apart, compared = 0.0, 0
    for model in sorted({model for model, _ in ours}):
        with contextlib.redirect_stdout(io.StringIO()):
            known = truth(arguments.data / "detection/coco_val/labels")
            theirs = scored(known, arguments.detections / f"{model}.json")
        for metric, value in theirs.items():
            print(f"{model:<36} {metric:<9} ours {ours[model, metric]:.6f} pycocotools {value:.6f}")
            apart, compared = max(apart, abs(ours[model, metric] - value)), compared + 1
    print(f"{compared} figures, at most {apart:.1e} apart")
    return 0 if compared and apart <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
