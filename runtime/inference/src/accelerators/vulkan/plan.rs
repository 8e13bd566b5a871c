//! What a model becomes: steps, each a shader with its parameters, on tensors of f32.

use super::expression::Expression;

/// A tensor on the device, by number.
pub(super) type TensorId = usize;

/// The shaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shader {
    Map,
    Binary(&'static str),
    Copy,
    Fill,
    Convolve,
    Pointwise,
    Grouped,
    Transposed,
    Pool,
    Softmax,
    Mean,
    Product,
}

/// One run of a shader.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) shader: Shader,
    /// The first is how many invocations there are.
    pub(super) parameters: Vec<u32>,
    pub(super) reads: Vec<TensorId>,
    pub(super) writes: TensorId,
    /// What is put on top of each value.
    pub(super) finish: Expression,
}

/// A compiled model, before it is on a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Number of values of each tensor.
    pub(super) lengths: Vec<usize>,
    /// What is known of tensors beforehand.
    pub(super) constants: Vec<(TensorId, Vec<f32>)>,
    pub(super) inputs: Vec<TensorId>,
    pub(super) outputs: Vec<TensorId>,
}

impl Plan {
    pub(super) fn tensor(&mut self, length: usize) -> TensorId {
        self.lengths.push(length);
        self.lengths.len() - 1
    }

    pub(super) fn constant(&mut self, values: Vec<f32>) -> TensorId {
        let id = self.tensor(values.len());
        self.constants.push((id, values));
        id
    }

    /// Puts functions that stand alone into the step that makes what they read, where nobody else reads it.
    pub(super) fn fuse(&mut self) {
        let mut readers = vec![0_usize; self.lengths.len()];
        let mut writers = vec![0_usize; self.lengths.len()];
        for step in &self.steps {
            step.reads.iter().for_each(|&read| readers[read] += 1);
            writers[step.writes] += 1;
        }
        self.outputs.iter().for_each(|&output| readers[output] += 1);
        let mut fused: Vec<Step> = Vec::with_capacity(self.steps.len());
        for step in std::mem::take(&mut self.steps) {
            let source = step.reads.first().copied().filter(|_| step.shader == Shader::Map);
            let maker = source.filter(|&source| readers[source] == 1 && writers[source] == 1);
            let maker = maker.and_then(|source| fused.iter_mut().rfind(|made| made.writes == source));
            match maker {
                Some(made) if made.finish.is_x() => {
                    made.finish = step.finish;
                    made.writes = step.writes;
                }
                _ => fused.push(step),
            }
        }
        self.steps = fused;
    }

    /// Gives every tensor that is not constant a place in as few buffers as a simple rule finds: a buffer is free
    /// after the last step that reads its tensor. Returns the buffer of each tensor and the buffers' lengths.
    pub(super) fn places(&self) -> (Vec<Option<usize>>, Vec<usize>) {
        let mut last = vec![0; self.lengths.len()];
        for (at, step) in self.steps.iter().enumerate() {
            step.reads.iter().for_each(|&read| last[read] = at);
        }
        self.outputs.iter().for_each(|&output| last[output] = usize::MAX);
        let (mut places, mut buffers) = (vec![None; self.lengths.len()], Vec::new());
        let mut free: Vec<usize> = Vec::new();
        let take = |length: usize, buffers: &mut Vec<usize>, free: &mut Vec<usize>| {
            // The smallest that holds it, else the largest, grown.
            let fits = |&&place: &&usize| buffers[place] >= length;
            let best = free.iter().filter(fits).min_by_key(|&&place| buffers[place]);
            let best = best.or_else(|| free.iter().max_by_key(|&&place| buffers[place])).copied();
            if let Some(place) = best {
                free.retain(|&other| other != place);
                buffers[place] = buffers[place].max(length);
                return place;
            }
            buffers.push(length);
            buffers.len() - 1
        };
        for &input in &self.inputs {
            places[input] = Some(take(self.lengths[input], &mut buffers, &mut free));
        }
        let is_constant: std::collections::BTreeSet<TensorId> =
            self.constants.iter().map(|(id, _)| *id).collect();
        for (at, step) in self.steps.iter().enumerate() {
            if places[step.writes].is_none() {
                places[step.writes] = Some(take(self.lengths[step.writes], &mut buffers, &mut free));
            }
            let mut done: Vec<TensorId> = step
                .reads
                .iter()
                .copied()
                .filter(|read| last[*read] == at && !is_constant.contains(read))
                .collect();
            done.sort_unstable();
            done.dedup();
            free.extend(done.iter().filter_map(|read| places[*read]));
        }
        (places, buffers)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn map(reads: TensorId, writes: TensorId, finish: Expression) -> Step {
        Step { shader: Shader::Map, parameters: vec![4], reads: vec![reads], writes, finish }
    }

    fn chain(length: usize) -> Plan {
        let mut plan = Plan::default();
        let ids: Vec<_> = (0..=length).map(|_| plan.tensor(4)).collect();
        plan.inputs = vec![ids[0]];
        plan.outputs = vec![ids[length]];
        for pair in ids.windows(2) {
            plan.steps.push(Step { shader: Shader::Copy, ..map(pair[0], pair[1], Expression::X) });
        }
        plan
    }

    #[test]
    fn a_chain_needs_two_buffers_and_no_step_writes_what_it_reads() {
        let plan = chain(9);
        let (places, buffers) = plan.places();
        assert_eq!(buffers.len(), 2);
        for step in &plan.steps {
            assert_ne!(places[step.reads[0]].unwrap(), places[step.writes].unwrap());
        }
    }

    #[test]
    fn what_is_read_later_keeps_its_buffer() {
        let mut plan = chain(5);
        // The last step reads the first tensor too.
        plan.steps[4].reads.push(1);
        let (places, _) = plan.places();
        for later in 2..=5 {
            assert_ne!(places[later], places[1], "tensor {later}");
        }
    }

    #[test]
    fn a_function_goes_into_the_step_before_unless_others_read_that() {
        let double = || Expression::infix('*', Expression::X, Expression::Constant(2.0));
        let mut plan = chain(2);
        plan.steps[1] = map(1, 2, double());
        let mut shared = plan.clone();
        plan.fuse();
        assert_eq!(plan.steps.len(), 1);
        assert_eq!((plan.steps[0].writes, plan.steps[0].finish.clone()), (2, double()));
        shared.outputs.push(1);
        shared.fuse();
        assert_eq!(shared.steps.len(), 2);
    }
}
