//! Attention over several heads in one layer: the scores of a few queries at a time stay in the cache, where
//! written out they would fill megabytes.

use tract_onnx::tract_core::internal::{DatumType, TDim, TValue, TVec, Tensor, TractResult, ensure};

use super::super::kernels::{self, FloatProduct, Isa, unwritten};
use super::super::pool::{FLOAT, for_rows};
use super::{Layer, dims, floats, sides};

/// Queries whose scores are held at a time.
const QUERIES: usize = 24;
/// From so many queries on it pays to bring a head's keys and values together first.
const MANY: usize = 8;
/// Keys that lie side by side once turned: what one tile of a product reads stays in the first cache.
const PANEL: usize = 64;

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
        let work = self.macs(&[inputs[0].shape(), inputs[1].shape(), inputs[2].shape()]) * FLOAT;
        // One query alone, as when a sentence grows by a word, is divided by its heads.
        let is_one = rows == 1;
        let divided = if is_one { heads } else { rows };
        for_rows(divided, output.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?, work, |range, part| {
            let (own_heads, rows) = if is_one { (range, 0..1) } else { (0..heads, range) };
            let mut scratch = Scratch::new(rows.len(), depth, keys.shape[2], values.shape[3]);
            for head in own_heads.clone() {
                scratch.take(&keys, &values, head);
                for first in rows.clone().step_by(QUERIES) {
                    let count = (rows.end - first).min(QUERIES);
                    scratch.score(&queries, &keys, head, first, count, self.scale);
                    let width = values.shape[3];
                    let (right, stride) = match &scratch.gathered {
                        Some(gathered) => (&*gathered.values, width),
                        None => (values.head(head, 0), values.strides[2]),
                    };
                    let part = &mut part[((first - rows.start) * heads + head - own_heads.start) * width..];
                    let mut product = FloatProduct {
                        sides: [count, keys.shape[2], width],
                        strides: [keys.shape[2], stride, heads * width],
                        left: &scratch.scores,
                        right,
                        output: part,
                    };
                    kernels::multiply_floats(Isa::best(), &mut product);
                    // Dividing what came out is less work than dividing the scores.
                    for (row, sum) in part.chunks_mut(heads * width).zip(&scratch.sums[..count]) {
                        let share = 1.0 / sum;
                        row[..width].iter_mut().for_each(|value| *value *= share);
                    }
                }
            }
        });
        Ok(output)
    }

    fn macs(&self, inputs: &[&[usize]]) -> u64 {
        let side = |input: usize, axis: usize| inputs[input][self.axes[input][axis]];
        (side(0, 1) * side(0, 2) * side(1, 2) * (side(0, 3) + side(2, 3))) as u64
    }
}

/// One head's keys and values, each in one piece.
struct Gathered {
    /// `[panels, depth, PANEL]`
    keys: Vec<f32>,
    /// `[keys, width]`
    values: Vec<f32>,
}

/// What one thread holds.
struct Scratch {
    /// Where there are queries enough.
    gathered: Option<Gathered>,
    scaled: Vec<f32>,
    scores: Vec<f32>,
    /// Of each query's scores.
    sums: Vec<f32>,
    depth: usize,
    keys: usize,
}

impl Scratch {
    fn new(rows: usize, depth: usize, keys: usize, width: usize) -> Self {
        let gathered = || Gathered {
            keys: vec![0.0; depth * keys.next_multiple_of(PANEL)],
            values: vec![0.0; keys * width],
        };
        Self {
            gathered: (rows >= MANY).then(gathered),
            scaled: vec![0.0; rows.min(QUERIES) * depth],
            scores: vec![0.0; rows.min(QUERIES) * keys],
            sums: vec![1.0; rows.min(QUERIES)],
            depth,
            keys,
        }
    }

    fn take(&mut self, keys: &View<'_>, values: &View<'_>, head: usize) {
        let Some(gathered) = &mut self.gathered else { return };
        let from = keys.head(head, 0);
        let stride = keys.strides[2];
        for (panel, turned) in gathered.keys.chunks_exact_mut((self.depth * PANEL).max(1)).enumerate() {
            let first = panel * PANEL;
            for key in 0..PANEL.min(self.keys - first) {
                let places = &from[(first + key) * stride..][..self.depth];
                let to = turned[key..].iter_mut().step_by(PANEL);
                to.zip(places).for_each(|(to, &place)| *to = place);
            }
        }
        let from = values.head(head, 0);
        let width = values.shape[3];
        for (row, to) in gathered.values.chunks_exact_mut(width.max(1)).enumerate() {
            to.copy_from_slice(&from[row * values.strides[2]..][..width]);
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
        match &self.gathered {
            Some(gathered) => {
                for (panel, turned) in gathered.keys.chunks_exact((self.depth * PANEL).max(1)).enumerate() {
                    let first = panel * PANEL;
                    let mut product = FloatProduct {
                        sides: [count, self.depth, PANEL.min(self.keys - first)],
                        strides: [self.depth, PANEL, self.keys],
                        left: &self.scaled,
                        right: turned,
                        output: &mut scores[first..],
                    };
                    kernels::multiply_floats(isa, &mut product);
                }
            }
            None => {
                let lines = scores.chunks_exact_mut(self.keys.max(1));
                for (line, query) in lines.zip(self.scaled.chunks_exact(self.depth.max(1))) {
                    kernels::dots(isa, query, keys.head(head, 0), keys.strides[2], line);
                }
            }
        }
        if self.keys > 0 {
            kernels::exponentials(isa, scores, self.keys, &mut self.sums[..count]);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::super::pool::Threads;
    use super::*;

    /// One query and many, on one thread and on two, are what the formula says.
    #[test]
    fn attention_is_the_same_however_it_is_divided() {
        let (heads, depth, keys) = (6, 64, 700);
        let tensor = |rows: usize, step: usize| -> TValue {
            let values: Vec<f32> =
                (0..rows * heads * depth).map(|at| ((at * step) % 31) as f32 / 60.0 - 0.25).collect();
            Tensor::from_shape(&[1, rows, heads, depth], &values).unwrap().into()
        };
        let layer = Attention { scale: 0.7, axes: [[0, 2, 1, 3]; 3] };
        let threads = Threads::new(2).unwrap();
        for rows in [1, 2, 50] {
            let inputs = [tensor(rows, 7), tensor(keys, 11), tensor(keys, 13)];
            assert!(
                layer.macs(&[inputs[0].shape(), inputs[1].shape(), inputs[2].shape()]) * FLOAT > 2_000_000
            );
            let alone = layer.run(&inputs).unwrap();
            let divided = threads.run(|| layer.run(&inputs)).unwrap();
            let values =
                |tensor: &Tensor| tensor.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec();
            let [queries, keys_of, values_of] = [0, 1, 2].map(|at| values(&inputs[at]));
            let (alone, divided) = (values(&alone), values(&divided));
            for (at, (alone, divided)) in alone.iter().zip(&divided).enumerate() {
                let (row, head, place) = (at / (heads * depth), at / depth % heads, at % depth);
                let from =
                    |values: &[f32], row: usize| values[(row * heads + head) * depth..][..depth].to_vec();
                let query = from(&queries, row);
                let shares: Vec<f64> = (0..keys)
                    .map(|key| {
                        let dot: f32 = query.iter().zip(from(&keys_of, key)).map(|(a, b)| a * b).sum();
                        f64::from(dot * 0.7).exp()
                    })
                    .collect();
                let expected = shares
                    .iter()
                    .enumerate()
                    .map(|(key, share)| share * f64::from(values_of[(key * heads + head) * depth + place]))
                    .sum::<f64>()
                    / shares.iter().sum::<f64>();
                assert!((f64::from(*alone) - expected).abs() < 1e-5, "{rows} {at}: {alone} {expected}");
                assert!((alone - divided).abs() < 1e-6, "{rows} {at}: {alone} {divided}");
            }
        }
    }
}
