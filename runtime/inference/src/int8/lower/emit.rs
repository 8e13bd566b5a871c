//! Putting layers into tract's graph.

use std::sync::Arc;

use tract_onnx::tract_core::internal::{DatumType, InletId, OutletId, TractResult, bail, tvec};
use tract_onnx::tract_hir::infer::InferenceFact;
use tract_onnx::tract_hir::internal::expand;

use super::super::conv::{Convolution, Scaling};
use super::super::depthwise::Depthwise;
use super::super::kernels::{Addition, Combination, Combine, Isa};
use super::super::layers::{
    AddLevels, AveragePool, ChannelsSecond, CombineTables, Concatenate, Convolve, ConvolveDepthwise,
    Dequantise, Finish, Layer, LookUp, Node, Part, Permute, Quantise, Relabel, Spread,
};
use super::value::{Layout, Levels, Mean, Pair, Rounded, Stored, Sums, Table, Target, Value, in_layout};
use super::weights::Filter;
use super::{Lowering, Quantised};

impl Lowering<'_> {
    /// Adds a layer; `of` is the ONNX tensor that it serves.
    pub(super) fn emit(&mut self, of: &str, layer: impl Layer, inputs: &[OutletId]) -> TractResult<OutletId> {
        self.emit_shared(of, Arc::new(layer), inputs)
    }

    pub(super) fn emit_shared(
        &mut self,
        of: &str,
        layer: Arc<dyn Layer>,
        inputs: &[OutletId],
    ) -> TractResult<OutletId> {
        self.count += 1;
        let name = format!("{of}.int8.{}", self.count);
        let op = expand(Node(Arc::clone(&layer)));
        let node = self.model.add_node(name, op, tvec![InferenceFact::default()])?;
        self.layers.insert(node, layer);
        for (slot, input) in inputs.iter().enumerate() {
            self.model.add_edge(*input, InletId::new(node, slot))?;
        }
        Ok(OutletId::new(node, 0))
    }

    /// Returns the same levels in a layout.
    pub(super) fn in_layout(&mut self, stored: &Stored, layout: Layout) -> TractResult<Stored> {
        if stored.layout == layout || stored.shape.len() < 2 {
            return Ok(Stored { layout, ..stored.clone() });
        }
        if let Some(converted) = self.converted.get(&(stored.outlet, layout)) {
            return Ok(Stored { shape: stored.shape.clone(), ..converted.clone() });
        }
        let converted = if stored.is_both() {
            self.relabelled(stored, in_layout(&stored.shape, layout))?
        } else {
            let rank = stored.shape.len();
            let order = match layout {
                Layout::ChannelsLast => std::iter::once(0).chain(2..rank).chain([1]).collect(),
                Layout::Natural => [0, rank - 1].into_iter().chain(1..rank - 1).collect(),
            };
            self.emit("layout", Permute { input: stored.memory(), order }, &[stored.outlet])?
        };
        let converted = Stored { outlet: converted, shape: stored.shape.clone(), layout };
        self.converted.insert((stored.outlet, layout), converted.clone());
        Ok(converted)
    }

    /// Returns the same memory under another shape.
    pub(super) fn relabelled(&mut self, stored: &Stored, memory: Vec<usize>) -> TractResult<OutletId> {
        if stored.memory() == memory {
            return Ok(stored.outlet);
        }
        let shape = Some((stored.memory(), memory));
        self.emit("shape", Relabel { shape, to: DatumType::U8, shift: false }, &[stored.outlet])
    }

    /// Turns s8 into u8 or back.
    pub(super) fn shifted(&mut self, stored: &Stored, to: DatumType) -> TractResult<Stored> {
        let outlet = self.emit("sign", Relabel { shape: None, to, shift: true }, &[stored.outlet])?;
        Ok(Stored { outlet, ..stored.clone() })
    }

    /// Returns a quantised tensor as the original graph has it.
    pub(super) fn restored(&mut self, quantised: &Quantised) -> TractResult<OutletId> {
        let quantised = self.looked_up(quantised)?;
        let stored = self.in_layout(&quantised.stored, Layout::Natural)?;
        let stored = if quantised.signed { self.shifted(&stored, DatumType::I8)? } else { stored };
        Ok(stored.outlet)
    }

    /// Quantises a tensor of numbers, channels last where it has rows and columns.
    pub(super) fn quantised_floats(
        &mut self,
        input: &str,
        shape: Vec<usize>,
        table: &Table,
        of: &str,
    ) -> TractResult<Stored> {
        let target = target(table)?;
        let layout = joined_layout(&shape);
        let (outlet, spread) = self.numbers_for(input, layout)?;
        let rounding = target.rounding(f32::NEG_INFINITY, f32::INFINITY);
        let layer = Quantise { scale: target.scale, rounding, spread };
        Ok(Stored { outlet: self.emit(of, layer, &[outlet])?, shape, layout })
    }

    /// Rounds a function of levels to the levels of `table`.
    pub(super) fn rounded(&mut self, value: &Value, table: &Table, of: &str) -> TractResult<Stored> {
        let target = target(table)?;
        match value {
            Value::Levels(levels) => self.rounded_levels(levels, target, of),
            Value::Sums(sums) => self.rounded_sums(sums, target, of),
            Value::Pair(pair) => self.rounded_pair(pair, target, of),
            Value::Mean(mean) => self.rounded_mean(mean, target, of),
            Value::Joined { parts, axis, shape } => {
                let mut inputs = Vec::new();
                let mut joined = Vec::new();
                for part in parts {
                    let (stored, table) = match part {
                        Value::Levels(levels) => (levels.stored.clone(), changes(&levels.table, target)),
                        part => (self.rounded(part, table, of)?, None),
                    };
                    let stored = self.in_layout(&stored, joined_layout(shape))?;
                    joined.push(Part { length: stored.shape[*axis], table });
                    inputs.push(stored.outlet);
                }
                let output = Stored { outlet: inputs[0], shape: shape.clone(), layout: joined_layout(shape) };
                let layer = Concatenate { shape: output.memory(), axis: output.axis(*axis), parts: joined };
                Ok(Stored { outlet: self.emit(of, layer, &inputs)?, ..output })
            }
        }
    }

    fn rounded_levels(&mut self, levels: &Levels, target: Target, of: &str) -> TractResult<Stored> {
        match changes(&levels.table, target) {
            None => Ok(levels.stored.clone()),
            Some(table) => self.look_up(&levels.stored, table, of),
        }
    }

    /// Puts a look-up into the graph, once for all its readers.
    fn look_up(&mut self, stored: &Stored, table: Box<[u8; 256]>, of: &str) -> TractResult<Stored> {
        let key = (stored.outlet, table);
        if let Some(&outlet) = self.settled.get(&key) {
            return Ok(Stored { outlet, ..stored.clone() });
        }
        let outlet = self.emit(of, LookUp { table: key.1.clone() }, &[stored.outlet])?;
        self.look_ups.push((outlet.node, key.1.clone()));
        self.settled.insert(key, outlet);
        Ok(Stored { outlet, ..stored.clone() })
    }

    /// Lets a look-up that waits happen.
    pub(super) fn looked_up(&mut self, quantised: &Quantised) -> TractResult<Quantised> {
        let Some(table) = quantised.through.clone() else { return Ok(quantised.clone()) };
        let stored = self.look_up(&quantised.stored, table, "levels")?;
        Ok(Quantised { stored, through: None, signed: quantised.signed })
    }

    /// Likewise for levels that stand for numbers: what was rounded gets evenly spaced again.
    pub(super) fn settled(&mut self, levels: &Levels) -> TractResult<Levels> {
        let Some(Rounded { levels: table, scale, zero_point }) = levels.table.rounded.clone() else {
            return Ok(levels.clone());
        };
        let stored = self.look_up(&levels.stored, table, "levels")?;
        Ok(Levels { stored, table: Arc::new(Table::affine(scale, zero_point)) })
    }

    /// Returns the same numbers as a function of levels of which a greater one never stands for less: each level
    /// becomes its number's rank. None where some are no numbers.
    pub(super) fn increasing(&mut self, levels: &Levels) -> TractResult<Option<Levels>> {
        let values = &levels.table.values;
        if values.iter().any(|value| value.is_nan()) {
            return Ok(None);
        }
        if levels.table.is_increasing() {
            return Ok(Some(levels.clone()));
        }
        let mut sorted: [u8; 256] = std::array::from_fn(|level| level as u8);
        sorted.sort_by(|&a, &b| values[usize::from(a)].total_cmp(&values[usize::from(b)]));
        let mut ranks = Box::new([0; 256]);
        sorted.iter().enumerate().for_each(|(rank, &level)| ranks[usize::from(level)] = rank as u8);
        let stored = self.look_up(&levels.stored, ranks, "ranks")?;
        let values = sorted.map(|level| values[usize::from(level)]);
        Ok(Some(Levels { stored, table: Arc::new(Table { values, affine: None, rounded: None }) }))
    }

    fn rounded_sums(&mut self, sums: &Sums, target: Target, of: &str) -> TractResult<Stored> {
        let [low, high] = sums.bounds;
        let rounding = target.rounding(low, high);
        let outlet = match &*sums.filter {
            Filter::Depthwise { channels, .. } => {
                let levels = sums.filter.levels();
                let values = levels.values.widened();
                let depthwise = Depthwise::new(Isa::best(), &values, *channels, sums.window.clone());
                let scaling = Scaling {
                    bias: depthwise.spread(&sums.start()),
                    multiplier: depthwise.spread(&sums.multiplier(target.scale)),
                    fill: sums.input_zero_point as u8,
                };
                let layer = ConvolveDepthwise {
                    scaling,
                    rounding,
                    table: None,
                    size: sums.size(),
                    shape: in_layout(&sums.shape, sums.layout),
                    depthwise: Arc::new(depthwise),
                };
                self.emit(of, layer, &[sums.input.outlet])?
            }
            Filter::Whole { .. } => {
                let layer =
                    self.convolve(sums, &sums.multiplier(target.scale), |_| Finish::Levels(rounding, None));
                self.emit(of, layer, &[sums.input.outlet])?
            }
        };
        Ok(Stored { outlet, shape: sums.shape.clone(), layout: sums.layout })
    }

    fn convolve(
        &self,
        sums: &Sums,
        multiplier: &[f32],
        finish: impl FnOnce(&dyn Fn(&[f32]) -> Vec<f32>) -> Finish,
    ) -> Convolve {
        let convolution = Convolution::new(&sums.filter.levels(), sums.window.clone());
        let scaling = Scaling {
            bias: convolution.spread(&sums.start()),
            multiplier: convolution.spread(multiplier),
            fill: sums.input_zero_point as u8,
        };
        let finish = finish(&|values| convolution.spread(values));
        Convolve {
            scaling,
            finish,
            size: sums.size(),
            input: sums.input.memory(),
            shape: in_layout(&sums.shape, sums.layout),
            convolution: Arc::new(convolution),
        }
    }

    /// Returns a layer's numbers in ONNX's layout: nobody rounds them.
    pub(super) fn float_sums(&mut self, sums: &Sums, of: &str) -> TractResult<OutletId> {
        let multiplier = sums.multiplier(1.0);
        let zeros = vec![0.0; sums.filter.outputs()];
        let bounds = sums.bounds;
        let layer = self.convolve(sums, &multiplier, |spread| Finish::Floats(spread(&zeros), bounds));
        let outlet = self.emit(of, layer, &[sums.input.outlet])?;
        match sums.layout {
            Layout::Natural => Ok(outlet),
            Layout::ChannelsLast => self.channels_second(outlet, of),
        }
    }

    /// Brings numbers that lie with channels last into ONNX's layout; both can be read from now on.
    pub(super) fn channels_second(&mut self, outlet: OutletId, of: &str) -> TractResult<OutletId> {
        self.floats_last.insert(of.to_owned(), outlet);
        self.emit(of, ChannelsSecond, &[outlet])
    }

    /// Returns numbers that are to be quantised in a layout, and whether their channels have to be moved for it.
    pub(super) fn numbers_for(&mut self, name: &str, layout: Layout) -> TractResult<(OutletId, Spread)> {
        match (layout, self.floats_last.get(name)) {
            (Layout::ChannelsLast, Some(last)) => Ok((*last, Spread::Same)),
            (Layout::ChannelsLast, None) => Ok((self.number_outlet(name)?, Spread::Channels)),
            (Layout::Natural, _) => Ok((self.number_outlet(name)?, Spread::Same)),
        }
    }

    fn rounded_pair(&mut self, pair: &Pair, target: Target, of: &str) -> TractResult<Stored> {
        let [a, b] = [self.settled(&pair.parts[0])?, self.settled(&pair.parts[1])?];
        let other = self.in_layout(&b.stored, a.stored.layout)?;
        let rounding = target.rounding(pair.bounds[0], pair.bounds[1]);
        let inputs = [a.stored.outlet, other.outlet];
        let outlet = match (pair.combine, a.table.affine, b.table.affine) {
            (Combine::Sum, Some((scale_a, zero_a)), Some((scale_b, zero_b))) => {
                let scales = [scale_a / target.scale, scale_b / target.scale];
                let offset = -(zero_a as f32 * scales[0] + zero_b as f32 * scales[1]);
                self.emit(of, AddLevels { addition: Addition { scales, offset, rounding } }, &inputs)?
            }
            _ => {
                let divided = |table: &Table, by: f32| table.values.map(|value| value / by);
                let by = if pair.combine == Combine::Sum { target.scale } else { 1.0 };
                let tables = Box::new([divided(&a.table, target.scale), divided(&b.table, by)]);
                let combination = Combination { combine: pair.combine, tables, rounding };
                self.emit(of, CombineTables { combination }, &inputs)?
            }
        };
        Ok(Stored { outlet, ..a.stored })
    }

    fn rounded_mean(&mut self, mean: &Mean, target: Target, of: &str) -> TractResult<Stored> {
        let levels = self.settled(&mean.levels)?;
        let Some((scale, zero_point)) = levels.table.affine else { bail!("{of}: a mean of a table") };
        let input = self.in_layout(&levels.stored, Layout::ChannelsLast)?;
        let output =
            Stored { outlet: input.outlet, shape: mean.shape.clone(), layout: joined_layout(&mean.shape) };
        let layer = AveragePool {
            pictures: input.shape[0],
            window: mean.window.clone(),
            size: [input.shape[2], input.shape[3]],
            channels: input.shape[1],
            counts_margin: mean.counts_margin,
            multiplier: scale / target.scale,
            zero_point,
            rounding: target.rounding(f32::NEG_INFINITY, f32::INFINITY),
            shape: output.memory(),
        };
        Ok(Stored { outlet: self.emit(of, layer, &[input.outlet])?, ..output })
    }

    /// Returns a function's numbers in ONNX's layout.
    pub(super) fn float(&mut self, name: &str) -> TractResult<OutletId> {
        if let Some(outlet) = self.floats.get(name) {
            return Ok(*outlet);
        }
        let outlet = match self.values.get(name).cloned() {
            Some(Value::Levels(Levels { stored, table })) => {
                let spread = match stored.layout {
                    Layout::Natural => Spread::Same,
                    Layout::ChannelsLast => Spread::Channels,
                };
                let layer = Dequantise { table: Box::new(table.values), spread };
                self.emit(name, layer, &[stored.outlet])?
            }
            Some(Value::Sums(sums)) => self.float_sums(&sums, name)?,
            // A sum, a mean or a concatenation that somebody does not only round: tract computes it.
            _ => {
                let node = self.producers[name];
                self.leave(node)?;
                self.outlets[name]
            }
        };
        self.floats.insert(name.to_owned(), outlet);
        Ok(outlet)
    }

    /// Merges a look-up into the layer before it, where that has no other reader.
    pub(super) fn merge_look_ups(&mut self, outputs: &mut [OutletId]) -> TractResult<()> {
        for (node, table) in std::mem::take(&mut self.look_ups) {
            let producer = self.model.nodes[node].inputs[0];
            let readers = &self.model.nodes[producer.node].outputs[producer.slot].successors;
            if readers.len() != 1 || outputs.contains(&producer) {
                continue;
            }
            let Some(layer) = self.layer(producer.node).and_then(|layer| layer.with_table(&table)) else {
                continue;
            };
            let name = self.model.nodes[node].name.clone();
            let inputs = self.model.nodes[producer.node].inputs.clone();
            let merged = self.emit_shared(&name, layer, &inputs)?;
            let old = OutletId::new(node, 0);
            for reader in self.model.nodes[node].outputs[0].successors.clone() {
                self.model.add_edge(merged, reader)?;
            }
            outputs.iter_mut().filter(|output| **output == old).for_each(|output| *output = merged);
        }
        Ok(())
    }

    fn layer(&self, node: usize) -> Option<Arc<dyn Layer>> {
        self.layers.get(&node).map(Arc::clone)
    }
}

/// Pictures lie with their channels last, everything else as in ONNX.
fn joined_layout(shape: &[usize]) -> Layout {
    if shape.len() == 4 { Layout::ChannelsLast } else { Layout::Natural }
}

pub(super) fn target(table: &Table) -> TractResult<Target> {
    let Some((scale, zero_point)) = table.affine else { bail!("levels to round to are evenly spaced") };
    Ok(Target { scale, zero_point })
}

/// Returns the table from levels to `target`'s levels; none where each stays what it is.
pub(super) fn changes(table: &Table, target: Target) -> Option<Box<[u8; 256]>> {
    let table = table.rounded_to(&target);
    let is_same = table.iter().enumerate().all(|(level, &to)| level == usize::from(to));
    (!is_same).then_some(table)
}
