"""Weighted boxes fusion by its authors' own code, for JSON cases on standard input; prints [[box, score, label], …] a case."""
import json
import sys

from ensemble_boxes import weighted_boxes_fusion

results = []
for case in json.load(sys.stdin):
    boxes, scores, labels = weighted_boxes_fusion(
        case["boxes"], case["scores"], case["labels"], weights=case["weights"],
        iou_thr=case["overlap"], skip_box_thr=0.0, conf_type="avg", allows_overflow=False,
    )
    results.append([[b.tolist(), float(s), float(l)] for b, s, l in zip(boxes, scores, labels)])
print(json.dumps(results))
