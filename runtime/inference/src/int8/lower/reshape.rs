//! Operations that move levels: what they stand for stays.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::TractResult;

use super::super::layers::{Permute, Slice};
use super::value::{Layout, Levels, Stored, Value};
use super::weights::numbers;
use super::{Lowering, Meaning};
use crate::attributes::Attributes;

impl Lowering<'_> {
    pub(super) fn reshape(&mut self, node: &NodeProto) -> TractResult<bool> {
        self.moved(node, |lowering, stored, shape| {
            if stored.shape == shape {
                return Ok(Some(stored));
            }
            let natural = lowering.in_layout(&stored, Layout::Natural)?;
            let outlet = lowering.relabelled(&natural, shape.clone())?;
            Ok(Some(Stored { outlet, shape, layout: Layout::Natural }))
        })
    }

    pub(super) fn transpose(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let order = attributes.sizes("perm");
        self.moved(node, |lowering, stored, shape| {
            let rank = shape.len();
            let order = order.unwrap_or_else(|| (0..rank).rev().collect());
            // Channels that go last or come from there change their name only.
            let to_last: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
            let from_last: Vec<usize> = [0, rank.max(1) - 1].into_iter().chain(1..rank.max(1) - 1).collect();
            if rank > 2 && order == from_last && stored.layout == Layout::Natural {
                return Ok(Some(Stored { shape, layout: Layout::ChannelsLast, ..stored }));
            }
            if rank > 2 && order == to_last && stored.layout == Layout::ChannelsLast {
                return Ok(Some(Stored { shape, layout: Layout::Natural, ..stored }));
            }
            let natural = lowering.in_layout(&stored, Layout::Natural)?;
            let layer = Permute { input: natural.shape.clone(), order };
            let outlet = lowering.emit("transpose", layer, &[natural.outlet])?;
            Ok(Some(Stored { outlet, shape, layout: Layout::Natural }))
        })
    }

    /// Moves levels, whether they stand for numbers already or not.
    fn moved(
        &mut self,
        node: &NodeProto,
        make: impl FnOnce(&mut Self, Stored, Vec<usize>) -> TractResult<Option<Stored>>,
    ) -> TractResult<bool> {
        let (input, output) = (&node.input[0], &node.output[0]);
        let Some(shape) = self.shape(output) else { return Ok(false) };
        let Some((levels, meaning)) = self.taken(input)? else { return Ok(false) };
        let Some(stored) = make(self, levels.stored, shape)? else { return Ok(false) };
        self.give(output, (Levels { stored, table: levels.table }, meaning));
        Ok(true)
    }

    pub(super) fn split(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let Some((levels, meaning)) = self.taken(&node.input[0])? else { return Ok(false) };
        let Some(axis) = attributes.axis("axis", 0, levels.stored.shape.len()) else { return Ok(false) };
        let mut start = 0;
        for output in &node.output {
            let Some(shape) = self.shape(output) else { return Ok(false) };
            self.take_slice((&levels, meaning), output, axis, start, shape.clone())?;
            start += shape[axis];
        }
        Ok(true)
    }

    pub(super) fn slice(&mut self, node: &NodeProto) -> TractResult<bool> {
        let Some((levels, meaning)) = self.taken(&node.input[0])? else { return Ok(false) };
        let Some(shape) = self.shape(&node.output[0]) else { return Ok(false) };
        let given = |at: usize| {
            Some(numbers(&*self.constant(node.input.get(at)?)?)?.iter().map(|&x| x as i64).collect())
        };
        let listed =
            |name: &str| Some(node.attribute.iter().find(|attribute| attribute.name == name)?.ints.clone());
        let starts: Option<Vec<i64>> = given(1).or_else(|| listed("starts"));
        let axes: Option<Vec<i64>> = given(3).or_else(|| listed("axes"));
        let steps: Vec<i64> = given(4).unwrap_or_else(|| vec![1]);
        let input = &levels.stored.shape;
        let changed: Vec<usize> = (0..input.len()).filter(|&axis| input[axis] != shape[axis]).collect();
        let (Some([start]), [axis], [1]) = (starts.as_deref(), &changed[..], &steps[..]) else {
            return Ok(false);
        };
        let named = axes.as_deref().map_or(0, |axes| axes[0]).rem_euclid(input.len() as i64);
        let side = input[*axis] as i64;
        let start = if *start < 0 { start + side } else { *start }.clamp(0, side) as usize;
        if named as usize != *axis || start + shape[*axis] > input[*axis] {
            return Ok(false);
        }
        self.take_slice((&levels, meaning), &node.output[0], *axis, start, shape)?;
        Ok(true)
    }

    fn take_slice(
        &mut self,
        (levels, meaning): (&Levels, Meaning),
        output: &str,
        axis: usize,
        start: usize,
        shape: Vec<usize>,
    ) -> TractResult<()> {
        let stored = &levels.stored;
        let layer = Slice { input: stored.memory(), axis: stored.axis(axis), start, length: shape[axis] };
        let outlet = self.emit(output, layer, &[stored.outlet])?;
        let stored = Stored { outlet, shape, layout: stored.layout };
        let levels = Levels { stored, table: levels.table.clone() };
        self.give(output, (levels, meaning));
        Ok(())
    }

    pub(super) fn concat(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let output = &node.output[0];
        let Some(shape) = self.shape(output) else { return Ok(false) };
        let Some(axis) = attributes.axis("axis", 0, shape.len()) else { return Ok(false) };
        let parts: Option<Vec<Value>> = node
            .input
            .iter()
            .map(|input| match self.values.get(input)? {
                Value::Joined { .. } | Value::Sums(_) | Value::Mean(_) => None,
                value => Some(value.clone()),
            })
            .collect();
        let Some(parts) = parts.filter(|_| self.is_only_rounded(output)) else { return Ok(false) };
        self.values.insert(output.clone(), Value::Joined { parts, axis, shape });
        Ok(true)
    }
}
