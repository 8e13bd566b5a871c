#!/usr/bin/env python3
"""Holds what we read against RapidOCR, which runs the same models with OpenCV, on the same pictures.

    tests/accuracy/vision --data DIR --lines lines.json
    tests/accuracy/reading_peer.py --data DIR --lines lines.json

Needs the package rapidocr-onnxruntime (1.4.4).
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from rapidocr_onnxruntime import RapidOCR


def overlap(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Intersection over union of two convex quadrilaterals, in pixels."""
    shared, _ = cv2.intersectConvexConvex(ours.astype(np.float32), theirs.astype(np.float32))
    joined = cv2.contourArea(ours.astype(np.float32)) + cv2.contourArea(theirs.astype(np.float32)) - shared
    return shared / joined if joined > 0 else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--data", "--lines"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    reader = RapidOCR()
    theirs_all = found = same = ours_all = 0
    overlaps = []
    for name, ours in json.loads(arguments.lines.read_text()).items():
        folder = "ocr" if (arguments.data / "ocr" / name).is_file() else "detection/coco_val/images"
        image = cv2.imread(str(arguments.data / folder / name))
        sides = [image.shape[1], image.shape[0]]
        corners = [np.array(line["corners"]) * sides for line in ours]
        theirs, _ = reader(image)
        theirs_all, ours_all = theirs_all + len(theirs or []), ours_all + len(ours)
        for quad, text, score in theirs or []:
            shares = [overlap(corner, np.array(quad)) for corner in corners]
            best = int(np.argmax(shares)) if shares else -1
            if best < 0 or shares[best] < 0.5:
                print(f"{name}: only RapidOCR reads {text!r} ({float(score):.2f})")
                continue
            found, overlaps = found + 1, [*overlaps, shares[best]]
            if "".join(ours[best]["text"].split()) == "".join(text.split()):
                same += 1
            else:
                print(f"{name}: {ours[best]['text']!r}, and RapidOCR {text!r} ({float(score):.2f})")
    print(f"RapidOCR reads {theirs_all} lines, we {ours_all}; {found} of its lines are found, {same} read the same "
          f"but for spaces; mean overlap {np.mean(overlaps):.3f}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
