//! Weights in the order in which the kernels read them.

use std::borrow::Cow;
use std::ops::Range;

use super::kernels::{Excess, LANES, MAX_VECTORS, Panel, QUAD};
use super::window::Window;

/// Convolution weights as levels above their zero point, in ONNX's order: output channel, input channel of the group,
/// row, column.
pub(crate) struct Levels<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) output_channels: usize,
    /// Input channels of one group.
    pub(crate) input_channels: usize,
    pub(crate) groups: usize,
    /// A matrix of weights may come with its input channels first: then there are neither groups nor taps.
    pub(crate) inputs_first: bool,
}

/// Levels above a zero point.
pub(crate) enum Values<'a> {
    /// In the range of s8: the bytes are s8 once `flip` is applied to them by exclusive or. u8 around 128 has 128
    /// there.
    Narrow { bytes: &'a [u8], flip: u8 },
    /// -255 to 255.
    Wide(Vec<i16>),
}

impl Values<'_> {
    pub(crate) fn widened(&self) -> Cow<'_, [i16]> {
        match self {
            Self::Narrow { bytes, flip } => bytes.iter().map(|byte| i16::from((byte ^ flip) as i8)).collect(),
            Self::Wide(values) => Cow::Borrowed(values),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Narrow { bytes, .. } => bytes.len(),
            Self::Wide(values) => values.len(),
        }
    }

    /// Adds `sums.len()` neighbours to sums.
    fn add_to(&self, sums: &mut [i32], from: usize) {
        match self {
            Self::Narrow { bytes, flip } => {
                let bytes = &bytes[from..][..sums.len()];
                sums.iter_mut().zip(bytes).for_each(|(sum, byte)| *sum += i32::from((byte ^ flip) as i8));
            }
            Self::Wide(values) => {
                let values = &values[from..][..sums.len()];
                sums.iter_mut().zip(values).for_each(|(sum, &value)| *sum += i32::from(value));
            }
        }
    }

    fn sum(&self, range: Range<usize>) -> i32 {
        match self {
            Self::Narrow { bytes, flip } => {
                bytes[range].iter().map(|byte| i32::from((byte ^ flip) as i8)).sum()
            }
            Self::Wide(values) => values[range].iter().map(|&value| i32::from(value)).sum(),
        }
    }
}

impl Levels<'_> {
    /// Returns the sum of each output channel's weights: what one level of the input's zero point adds to it.
    pub(crate) fn sums(&self) -> Vec<i32> {
        let mut sums = vec![0; self.output_channels];
        if self.inputs_first {
            for start in (0..self.values.len()).step_by(self.output_channels.max(1)) {
                self.values.add_to(&mut sums, start);
            }
        } else {
            let each = self.values.len() / self.output_channels.max(1);
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = self.values.sum(at * each..(at + 1) * each);
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
    pub(super) panels: Vec<PackedPanel>,
}

#[derive(Clone, Debug)]
pub(super) struct PackedPanel {
    /// Its first column.
    pub(super) first: usize,
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

    /// Takes a quad's weights in the range of s8: for each place of the quad, those of all columns.
    fn take_narrow(&mut self, quad: usize, lines: [Option<Line<'_>>; QUAD], flip: u8, real: usize) {
        let block = self.sums.len() * QUAD;
        let to = &mut self.weights[quad * block..][..real * QUAD];
        let (sums, to) = (&mut self.sums[..real], to.chunks_exact_mut(QUAD));
        if let [Some(Line { bytes: a, step: 1 }), Some(Line { bytes: b, step: 1 }), ..] = lines
            && let [_, _, Some(Line { bytes: c, step: 1 }), Some(Line { bytes: d, step: 1 })] = lines
        {
            let lines = a[..real].iter().zip(&b[..real]).zip(c[..real].iter().zip(&d[..real]));
            for ((to, sum), ((a, b), (c, d))) in to.zip(sums).zip(lines) {
                let weights = [a, b, c, d].map(|byte| (byte ^ flip) as i8);
                to.copy_from_slice(&weights);
                *sum += weights.into_iter().map(i32::from).sum::<i32>();
            }
            return;
        }
        for (column, (to, sum)) in to.zip(sums).enumerate() {
            let weight =
                |line: Option<Line<'_>>| line.map_or(0, |line| (line.bytes[column * line.step] ^ flip) as i8);
            let weights = lines.map(weight);
            to.copy_from_slice(&weights);
            *sum += weights.into_iter().map(i32::from).sum::<i32>();
        }
    }
}

/// One input's weights: those of neighbouring columns `step` bytes apart.
#[derive(Clone, Copy)]
struct Line<'a> {
    bytes: &'a [u8],
    step: usize,
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
                let mut gathered = vec![0i16; block];
                for (quad, places) in places.chunks_exact(QUAD).enumerate() {
                    match &levels.values {
                        Values::Narrow { bytes, flip } => {
                            let line = |place: Option<usize>| {
                                place.map(|place| Line {
                                    bytes: &bytes[place + first * column_step..],
                                    step: column_step,
                                })
                            };
                            let lines = std::array::from_fn(|tap| line(places[tap]));
                            panel.take_narrow(quad, lines, *flip, real);
                        }
                        Values::Wide(values) => {
                            gathered.fill(0);
                            for (tap, place) in places.iter().enumerate() {
                                let Some(place) = place else { continue };
                                let from = values[place + first * column_step..].iter().step_by(column_step);
                                let to = gathered.iter_mut().skip(tap).step_by(QUAD);
                                to.zip(from).take(real).for_each(|(to, &from)| *to = from);
                            }
                            panel.take(quad, segments.quads, &gathered);
                        }
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
