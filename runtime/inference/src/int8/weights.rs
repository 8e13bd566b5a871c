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
    /// A matrix of weights may come with its input channels first: then there are neither groups nor taps.
    pub(crate) inputs_first: bool,
}

impl Levels<'_> {
    /// Returns the sum of each output channel's weights: what one level of the input's zero point adds to it.
    pub(crate) fn sums(&self) -> Vec<i32> {
        let mut sums = vec![0; self.output_channels];
        if self.inputs_first {
            for line in self.values.chunks_exact(self.output_channels.max(1)) {
                sums.iter_mut().zip(line).for_each(|(sum, &weight)| *sum += i32::from(weight));
            }
        } else {
            let each = (self.values.len() / self.output_channels.max(1)).max(1);
            for (sum, line) in sums.iter_mut().zip(self.values.chunks_exact(each)) {
                *sum = line.iter().map(|&weight| i32::from(weight)).sum();
            }
        }
        sums
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

impl PackedPanel {
    /// Takes a quad's weights; what is beyond the range of s8 becomes excess.
    fn take(&mut self, quad: usize, quads: usize, values: &[i16]) {
        for (sum, weights) in self.sums.iter_mut().zip(values.chunks_exact(QUAD)) {
            *sum += weights.iter().map(|&weight| i32::from(weight)).sum::<i32>();
        }
        let to = &mut self.weights[quad * values.len()..][..values.len()];
        to.iter_mut().zip(values).for_each(|(to, &value)| *to = value.clamp(-128, 127) as i8);
        if values.iter().any(|&value| i8::try_from(value).is_err()) {
            let rest = values.iter().map(|&value| value - value.clamp(-128, 127)).collect();
            let (segment, quad) = (quad / quads, quad % quads);
            self.excess.extend(terms(rest).into_iter().map(|weights| Excess { segment, quad, weights }));
        }
    }
}

impl Packed {
    /// Packs the output channels of `group`. K is cut into the window's segments, each filled up to whole quads.
    pub(crate) fn new(levels: &Levels<'_>, group: usize, window: &Window, segments: &Segments) -> Self {
        let columns = levels.output_channels / levels.groups;
        let taps = window.taps();
        // From one column to the next, and from one input channel to the next.
        let (column_step, channel_step) = match levels.inputs_first {
            true => (1, levels.output_channels),
            false => (levels.input_channels * taps, taps),
        };
        let start = group * columns * column_step;
        // Where each place of K lies; none for what fills up a segment's last quad.
        let places: Vec<Option<usize>> = (0..segments.count)
            .flat_map(|segment| (0..segments.quads * QUAD).map(move |place| (segment, place)))
            .map(|(segment, place)| segments.source(segment, place))
            .map(|source| source.map(|(tap, channel)| start + channel * channel_step + tap))
            .collect();
        let vectors = columns.div_ceil(LANES);
        let panels = (0..vectors)
            .step_by(MAX_VECTORS)
            .map(|first| {
                let vectors = (vectors - first).min(MAX_VECTORS);
                let first = first * LANES;
                let real = (columns - first).min(vectors * LANES);
                let block = vectors * LANES * QUAD;
                let mut panel = PackedPanel {
                    first,
                    vectors,
                    weights: vec![0; places.len() / QUAD * block],
                    excess: Vec::new(),
                    sums: vec![0; vectors * LANES],
                };
                let mut values = vec![0i16; block];
                for (quad, places) in places.chunks_exact(QUAD).enumerate() {
                    values.fill(0);
                    for (tap, place) in places.iter().enumerate() {
                        let Some(place) = place else { continue };
                        let from = levels.values[place + first * column_step..].iter().step_by(column_step);
                        let to = values.iter_mut().skip(tap).step_by(QUAD);
                        to.zip(from).take(real).for_each(|(to, &from)| *to = from);
                    }
                    panel.take(quad, segments.quads, &values);
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
            channels,
        }
    }

    /// Returns bytes of a segment that carry weights.
    pub(crate) fn length(&self) -> usize {
        self.columns * self.channels
    }

    /// Returns (tap, channel) at a place of a segment; none in what fills up the last quad.
    fn source(&self, segment: usize, place: usize) -> Option<(usize, usize)> {
        (place < self.length())
            .then(|| (segment * self.columns + place / self.channels, place % self.channels))
    }
}
