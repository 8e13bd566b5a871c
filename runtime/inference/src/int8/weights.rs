//! Weights in the order in which the kernels read them.

use super::kernels::{Excess, LANES, MAX_VECTORS, Panel, QUAD};
use super::window::Window;

/// Convolution weights as levels above their zero point, -255 to 255, in ONNX's order: output channel, input
/// channel of the group, row, column.
pub(crate) struct Levels<'a> {
    pub(crate) values: &'a [i16],
    pub(crate) output_channels: usize,
    /// Input channels of one group.
    pub(crate) input_channels: usize,
    pub(crate) groups: usize,
}

impl Levels<'_> {
    /// Returns the sum of each output channel's weights: what one level of the input's zero point adds to it.
    pub(crate) fn sums(&self) -> Vec<i32> {
        let each = self.values.len() / self.output_channels;
        self.values.chunks_exact(each).map(|weights| weights.iter().map(|&w| i32::from(w)).sum()).collect()
    }
}

/// The weights of one group, in panels.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    columns: usize,
    quads: usize,
    panels: Vec<PackedPanel>,
}

#[derive(Clone, Debug)]
struct PackedPanel {
    first: usize,
    vectors: usize,
    weights: Vec<i8>,
    excess: Vec<Excess>,
    sums: Vec<i32>,
}

impl Packed {
    /// Packs the output channels of `group`. K is cut into the window's segments, each filled up to whole quads.
    pub(crate) fn new(levels: &Levels<'_>, group: usize, window: &Window, segments: &Segments) -> Self {
        let columns = levels.output_channels / levels.groups;
        let taps = window.taps();
        let at = |column: usize, segment: usize, place: usize| -> i16 {
            let Some((tap, channel)) = segments.source(segment, place) else { return 0 };
            let output = group * columns + column;
            levels.values[(output * levels.input_channels + channel) * taps + tap]
        };
        let vectors = columns.div_ceil(LANES);
        let panels = (0..vectors)
            .step_by(MAX_VECTORS)
            .map(|first| {
                let vectors = (vectors - first).min(MAX_VECTORS);
                let width = vectors * LANES;
                let mut panel = PackedPanel {
                    first: first * LANES,
                    vectors,
                    weights: Vec::new(),
                    excess: Vec::new(),
                    sums: vec![0; width],
                };
                for segment in 0..segments.count {
                    for quad in 0..segments.quads {
                        let value = |column: usize, tap: usize| match first * LANES + column {
                            column if column < columns => at(column, segment, quad * QUAD + tap),
                            _ => 0,
                        };
                        let block: Vec<i16> = (0..width * QUAD).map(|i| value(i / QUAD, i % QUAD)).collect();
                        for (at, &weight) in block.iter().enumerate() {
                            panel.sums[at / QUAD] += i32::from(weight);
                        }
                        let mut terms = terms(block).into_iter();
                        panel.weights.extend(terms.next().unwrap_or_default());
                        panel.excess.extend(terms.map(|weights| Excess { segment, quad, weights }));
                    }
                }
                panel
            })
            .collect();
        Self { columns, quads: segments.quads, panels }
    }

    /// Returns columns filled up to whole vectors.
    pub(crate) fn width(&self) -> usize {
        self.columns.div_ceil(LANES) * LANES
    }

    pub(crate) fn quads(&self) -> usize {
        self.quads
    }

    /// Returns each panel with its first column; `bias` and `multiplier` have [`Packed::width`] values.
    pub(crate) fn panels<'a>(
        &'a self,
        bias: &'a [i32],
        multiplier: &'a [f32],
    ) -> impl Iterator<Item = (usize, Panel<'a>)> {
        self.panels.iter().map(move |panel| {
            let range = panel.first..panel.first + panel.vectors * LANES;
            let packed = Panel {
                vectors: panel.vectors,
                weights: &panel.weights,
                excess: &panel.excess,
                sums: &panel.sums,
                bias: &bias[range.clone()],
                multiplier: &multiplier[range],
                columns: (self.columns - panel.first).min(panel.vectors * LANES),
            };
            (panel.first, packed)
        })
    }
}

/// Splits weights into summands of the range of s8: one, as a rule; at least one.
pub(crate) fn terms(mut values: Vec<i16>) -> Vec<Vec<i8>> {
    let mut terms = Vec::new();
    while terms.is_empty() || values.iter().any(|&value| value != 0) {
        let term: Vec<i8> = values.iter().map(|&value| value.clamp(-128, 127) as i8).collect();
        values.iter_mut().zip(&term).for_each(|(value, &term)| *value -= i16::from(term));
        terms.push(term);
    }
    terms
}

/// How the K of one output pixel lies in memory: pieces of neighbouring bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segments {
    pub(crate) count: usize,
    pub(crate) quads: usize,
    /// Window columns in a segment: all of a row where they lie side by side.
    pub(crate) columns: usize,
    window_columns: usize,
    channels: usize,
}

impl Segments {
    /// `channels` are those of a group; `whole` says that the group has all of a pixel's.
    pub(crate) fn new(window: &Window, channels: usize, whole: bool) -> Self {
        let columns = if whole && window.dilation[1] == 1 { window.size[1] } else { 1 };
        Self {
            count: window.size[0] * window.size[1] / columns,
            quads: (columns * channels).div_ceil(QUAD),
            columns,
            window_columns: window.size[1],
            channels,
        }
    }

    /// Returns bytes of a segment that carry weights.
    pub(crate) fn length(&self) -> usize {
        self.columns * self.channels
    }

    /// Returns (tap, channel) at a place of a segment; none in what fills up the last quad.
    fn source(&self, segment: usize, place: usize) -> Option<(usize, usize)> {
        let within = (place < self.length())
            .then(|| (segment * self.columns + place / self.channels, place % self.channels));
        debug_assert!(self.count * self.columns % self.window_columns == 0);
        within
    }
}
