//! Single-shot detectors (Liu et al. 2016) with the anchors of TensorFlow's object detection API.

/// A box that an output is a change of: centre x, centre y, width, height, in shares of the input.
pub(super) type Anchor = [f32; 4];

/// Scales of the first and the last layer, in shares of the input (`ssd_mobilenet_v1_coco.config`).
const SCALES: [f32; 2] = [0.2, 0.95];
/// Layers: the first has 16 pixels a cell, each next half as many cells.
const LAYERS: usize = 6;
const FIRST_STRIDE: usize = 16;
/// Width over height of a cell's anchors.
const RATIOS: [f32; 5] = [1.0, 2.0, 0.5, 3.0, 1.0 / 3.0];
/// The only scale and ratios of the first layer (`reduce_boxes_in_lowest_layer`).
const FIRST: [(f32, f32); 3] = [(0.1, 1.0), (SCALES[0], 2.0), (SCALES[0], 0.5)];
/// What the changes of centre and size are multiplied by (`faster_rcnn_box_coder`).
const CODED: [f32; 2] = [10.0, 5.0];

/// Returns the anchors of an input in the order of the outputs: layer, row, column, anchor.
pub(super) fn anchors(width: usize, height: usize) -> Vec<Anchor> {
    let scale = |layer: usize| SCALES[0] + (SCALES[1] - SCALES[0]) * layer as f32 / (LAYERS - 1) as f32;
    let mut anchors = Vec::new();
    let (mut columns, mut rows) = (width.div_ceil(FIRST_STRIDE), height.div_ceil(FIRST_STRIDE));
    for layer in 0..LAYERS {
        let next = if layer + 1 < LAYERS { scale(layer + 1) } else { 1.0 };
        let kinds: Vec<(f32, f32)> = match layer {
            0 => FIRST.to_vec(),
            _ => {
                let each = RATIOS.map(|ratio| (scale(layer), ratio));
                each.into_iter().chain([((scale(layer) * next).sqrt(), 1.0)]).collect()
            }
        };
        for cell in 0..rows * columns {
            let x = ((cell % columns) as f32 + 0.5) / columns as f32;
            let y = ((cell / columns) as f32 + 0.5) / rows as f32;
            anchors.extend(
                kinds.iter().map(|(scale, ratio)| [x, y, scale * ratio.sqrt(), scale / ratio.sqrt()]),
            );
        }
        (columns, rows) = (columns.div_ceil(2), rows.div_ceil(2));
    }
    anchors
}

/// Returns the box (left, top, right, bottom, in shares of the input) that a change (y, x, height, width) makes of
/// its anchor.
pub(super) fn decoded([x, y, width, height]: Anchor, change: &[f32; 4]) -> [f32; 4] {
    let [dy, dx, dh, dw] = *change;
    let (x, y) = (x + dx / CODED[0] * width, y + dy / CODED[0] * height);
    let (width, height) = ((dw / CODED[1]).exp() * width, (dh / CODED[1]).exp() * height);
    super::around(x, y, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mobilenet_ssd_has_its_1917_anchors() {
        let anchors = anchors(300, 300);
        assert_eq!(anchors.len(), 1917);
        assert_eq!(anchors[0], [0.5 / 19.0, 0.5 / 19.0, 0.1, 0.1]);
        // The second layer's first cell: scale 0.35, ratio 1; its last anchor lies between 0.35 and 0.5.
        let expected = [0.05, 0.05, 0.35, 0.35];
        assert!(anchors[1083].iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
        assert!((anchors[1088][2] - (0.35_f32 * 0.5).sqrt()).abs() < 1e-6);
        let [.., last] = anchors[..] else { panic!("no anchors") };
        assert!((last[2] - 0.95_f32.sqrt()).abs() < 1e-6 && last[0] == 0.5, "{last:?}");
    }

    #[test]
    fn changes_are_in_tenths_and_fifths() {
        let bounds = decoded([0.5, 0.4, 0.2, 0.1], &[5.0, -5.0, 0.0, 5.0 * 2_f32.ln()]);
        let expected = [0.4 - 0.2, 0.45 - 0.05, 0.4 + 0.2, 0.45 + 0.05];
        assert!(bounds.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{bounds:?}");
    }
}
