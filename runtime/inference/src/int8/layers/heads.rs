//! Attention over several heads in one layer: the scores of a few queries at a time stay in the cache, where
//! written out they would fill megabytes.

use tract_onnx::tract_core::internal::{DatumType, TDim, TValue, TVec, Tensor, TractResult, ensure};

use super::super::kernels::{self, FloatProduct, Isa, unwritten};
use super::super::pool::{FLOAT, for_rows};
use super::{Layer, dims, floats, sides};

/// Queries whose scores are held at a time.
const QUERIES: usize = 48;
/// From so many queries on it pays to turn the keys round first.
const MANY: usize = 8;

/// `softmax(queries · keys · scale) · values` for each head; written heads side by side: `[1, rows, heads, width]`.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) scale: f32,
    /// For each of batch, head, row and place, the axis of the memory: of queries, keys and values.
    pub(crate) axes: [[usize; 4]; 3],
}

/// A tensor seen as batch, head, row and place.
struct View<'a> {
    values: &'a [f32],
    shape: [usize; 4],
    strides: [usize; 4],
}

impl<'a> View<'a> {
    fn new(tensor: &'a TValue, axes: [usize; 4]) -> TractResult<Self> {
        let memory = tensor.shape();
        ensure!(memory.len() == 4, "attention over {memory:?}");
        let stride = |axis: usize| memory[axis + 1..].iter().product();
        Ok(Self { values: floats(tensor)?, shape: axes.map(|axis| memory[axis]), strides: axes.map(stride) })
    }

    /// Returns one head, from a row on.
    fn head(&self, head: usize, row: usize) -> &'a [f32] {
        &self.values[head * self.strides[1] + row * self.strides[2]..]
    }
}

impl Layer for Attention {
    fn name(&self) -> &'static str {
        "AttentionF32"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        ensure!(
            inputs.iter().all(|(datum, shape)| *datum == DatumType::F32 && shape.len() == 4),
            "{inputs:?}"
        );
        let side = |input: usize, axis: usize| inputs[input].1[self.axes[input][axis]].clone();
        Ok((DatumType::F32, [side(0, 0), side(0, 2), side(0, 1), side(2, 3)].into_iter().collect()))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let facts: Vec<_> = inputs.iter().map(|input| (DatumType::F32, dims(input.shape()))).collect();
        let shape = sides(&self.output(&facts)?.1)?;
        let [queries, keys, values] = [0, 1, 2].map(|at| View::new(&inputs[at], self.axes[at]));
        let (queries, keys, values) = (queries?, keys?, values?);
        let [batch, heads, rows, depth] = queries.shape;
        ensure!(
            batch == 1
                && [&keys, &values].iter().all(|view| view.shape[..2] == [batch, heads])
                && keys.shape[2] == values.shape[2]
                && keys.shape[3] == depth
                && [&queries, &keys, &values].iter().all(|view| view.strides[3] == 1),
            "attention over {:?}, {:?} and {:?}",
            queries.shape,
            keys.shape,
            values.shape
        );
        let mut output = unwritten::<f32>(&shape)?;
        let work = (heads * rows * keys.shape[2] * (depth + values.shape[3])) as u64 * FLOAT;
        for_rows(rows, output.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?, work, |range, part| {
            let mut scratch = Scratch::new(range.len(), depth, keys.shape[2]);
            for head in 0..heads {
                scratch.take_keys(&keys, head);
                for first in range.clone().step_by(QUERIES) {
                    let count = (range.end - first).min(QUERIES);
                    scratch.score(&queries, &keys, head, first, count, self.scale);
                    let width = values.shape[3];
                    let mut product = FloatProduct {
                        sides: [count, keys.shape[2], width],
                        strides: [keys.shape[2], values.strides[2], heads * width],
                        left: &scratch.scores,
                        right: values.head(head, 0),
                        output: &mut part[((first - range.start) * heads + head) * width..],
                    };
                    kernels::multiply_floats(Isa::best(), &mut product);
                }
            }
        });
        Ok(output)
    }
}

/// What one thread holds.
struct Scratch {
    /// `[depth, keys]`, where there are queries enough.
    turned: Option<Vec<f32>>,
    scaled: Vec<f32>,
    scores: Vec<f32>,
    depth: usize,
    keys: usize,
}

impl Scratch {
    fn new(rows: usize, depth: usize, keys: usize) -> Self {
        Self {
            turned: (rows >= MANY).then(|| vec![0.0; depth * keys]),
            scaled: vec![0.0; rows.min(QUERIES) * depth],
            scores: vec![0.0; rows.min(QUERIES) * keys],
            depth,
            keys,
        }
    }

    fn take_keys(&mut self, keys: &View<'_>, head: usize) {
        let Some(turned) = &mut self.turned else { return };
        let head = keys.head(head, 0);
        for (place, line) in turned.chunks_exact_mut(self.keys.max(1)).enumerate() {
            let from = head[place..].iter().step_by(keys.strides[2]);
            line.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }

    fn score(
        &mut self,
        queries: &View<'_>,
        keys: &View<'_>,
        head: usize,
        first: usize,
        count: usize,
        scale: f32,
    ) {
        let isa = Isa::best();
        for (at, line) in self.scaled.chunks_exact_mut(self.depth.max(1)).take(count).enumerate() {
            let from = queries.head(head, first + at);
            line.iter_mut().zip(from).for_each(|(to, from)| *to = from * scale);
        }
        let scores = &mut self.scores[..count * self.keys];
        match &self.turned {
            Some(turned) => {
                let mut product = FloatProduct {
                    sides: [count, self.depth, self.keys],
                    strides: [self.depth, self.keys, self.keys],
                    left: &self.scaled,
                    right: turned,
                    output: &mut *scores,
                };
                kernels::multiply_floats(isa, &mut product);
            }
            None => {
                let lines = scores.chunks_exact_mut(self.keys.max(1));
                for (line, query) in lines.zip(self.scaled.chunks_exact(self.depth.max(1))) {
                    kernels::dots(isa, query, keys.head(head, 0), keys.strides[2], line);
                }
            }
        }
        if self.keys > 0 {
            kernels::softmax(isa, scores, self.keys);
        }
    }
}
