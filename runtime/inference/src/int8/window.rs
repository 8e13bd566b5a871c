//! The window of a convolution or a pooling, and where it lies.

use std::ops::Range;

/// Rows first, columns second, everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) size: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Rows above and columns to the left.
    pub(crate) before: [usize; 2],
    /// Rows below and columns to the right.
    pub(crate) after: [usize; 2],
}

impl Window {
    /// One pixel, as it is.
    pub(crate) fn point() -> Self {
        Self { size: [1; 2], stride: [1; 2], dilation: [1; 2], before: [0; 2], after: [0; 2] }
    }

    pub(crate) fn taps(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Returns rows and columns of the output; none where the window does not fit once.
    pub(crate) fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let side = |at: usize| {
            let room = input[at] + self.before[at] + self.after[at];
            let reach = (self.size[at] - 1) * self.dilation[at] + 1;
            Some(room.checked_sub(reach)? / self.stride[at] + 1)
        };
        Some([side(0)?, side(1)?])
    }

    /// Returns whether it reads each pixel once, in order.
    pub(crate) fn is_point(&self) -> bool {
        *self == Self::point()
    }
}

/// Input rows, widened by the window's margins, a few at a time: each row is copied once, into the cache.
pub(crate) struct Rows<'a> {
    input: &'a [u8],
    /// Bytes of an input row.
    length: usize,
    height: usize,
    /// Bytes before and after a row.
    margin: [usize; 2],
    buffer: Vec<u8>,
    /// Which input row a slot of the buffer holds.
    held: Vec<Option<usize>>,
    outside: usize,
}

/// Bytes behind each row that a kernel may read: what fills up a quad has weight zero.
const SLACK: usize = 64;

impl<'a> Rows<'a> {
    /// `fill` is what stands outside of the picture.
    pub(crate) fn new(
        input: &'a [u8],
        [height, width]: [usize; 2],
        channels: usize,
        window: &Window,
        fill: u8,
    ) -> Self {
        let margin = [window.before[1] * channels, window.after[1] * channels];
        let slots = (window.size[0] - 1) * window.dilation[0] + 1;
        let length = width * channels;
        let slot = margin[0] + length + margin[1] + SLACK;
        Self {
            input,
            length,
            height,
            margin,
            // One slot more, for rows outside.
            buffer: vec![fill; slot * (slots + 1)],
            held: vec![None; slots],
            outside: slots,
        }
    }

    /// Returns the rows that one row of windows sees, the topmost first.
    pub(crate) fn seen(&mut self, window: &Window, row: usize) -> Vec<&[u8]> {
        let slots: Vec<usize> = (0..window.size[0])
            .map(|at| {
                let row = (row * window.stride[0] + at * window.dilation[0]).checked_sub(window.before[0]);
                row.filter(|row| *row < self.height).map_or(self.outside, |row| self.hold(row))
            })
            .collect();
        slots.into_iter().map(|slot| &self.buffer[self.range(slot)]).collect()
    }

    fn hold(&mut self, row: usize) -> usize {
        let slot = row % self.held.len();
        if self.held[slot] != Some(row) {
            let start = self.range(slot).start + self.margin[0];
            self.buffer[start..start + self.length]
                .copy_from_slice(&self.input[row * self.length..][..self.length]);
            self.held[slot] = Some(row);
        }
        slot
    }

    fn range(&self, slot: usize) -> Range<usize> {
        let each = self.buffer.len() / (self.held.len() + 1);
        slot * each..(slot + 1) * each
    }
}
