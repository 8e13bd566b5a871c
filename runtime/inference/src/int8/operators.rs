//! Graphs in QOperator form, spelled out as dequantise, compute, quantise: one form is lowered, not two.

use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType, tensor_proto,
};

/// Spells out every operation on quantised tensors that stands in one node.
pub(crate) fn spelled_out(graph: &mut GraphProto, opset: i64) {
    let nodes = std::mem::take(&mut graph.node);
    let mut speller = Speller { graph, count: 0, opset };
    for node in nodes {
        speller.spell(node);
    }
}

struct Speller<'a> {
    graph: &'a mut GraphProto,
    count: usize,
    opset: i64,
}

impl Speller<'_> {
    fn spell(&mut self, node: NodeProto) {
        // (plain operation, inputs that come with scale and zero point, index of the output's scale)
        let (plain, operands, target): (&str, &[usize], usize) = match &*node.op_type {
            "QLinearConv" => ("Conv", &[0, 3], 6),
            "QLinearMatMul" => ("MatMul", &[0, 3], 6),
            "QGemm" => ("Gemm", &[0, 3], 7),
            "QLinearAdd" => ("Add", &[0, 3], 6),
            "QLinearMul" => ("Mul", &[0, 3], 6),
            "QLinearSigmoid" => ("Sigmoid", &[0], 3),
            "QLinearLeakyRelu" => ("LeakyRelu", &[0], 3),
            "QLinearSoftmax" => ("Softmax", &[0], 3),
            "QLinearAveragePool" => ("AveragePool", &[0], 3),
            "QLinearGlobalAveragePool" => ("GlobalAveragePool", &[0], 3),
            "QLinearConcat" => return self.concat(node),
            _ => return self.graph.node.push(node),
        };
        let channels_last =
            node.attribute.iter().any(|attribute| attribute.name == "channels_last" && attribute.i != 0);
        let mut attributes: Vec<AttributeProto> = node.attribute.clone();
        if plain == "Softmax" && !self.settle_softmax(&mut attributes) {
            return self.graph.node.push(node);
        }
        let present = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
        if channels_last || !operands.iter().all(|&at| present(at) && present(at + 1)) {
            return self.graph.node.push(node);
        }
        let weights_axis = if plain == "Conv" || transposes(&node) { 0 } else { 1 };
        let mut inputs: Vec<String> =
            operands.iter().map(|&at| self.dequantised(&node.input[at..], weights_axis)).collect();
        let bias = match plain {
            "Conv" => node.input.get(8),
            "Gemm" => node.input.get(6),
            _ => None,
        };
        if let Some(bias) = bias.filter(|bias| !bias.is_empty()) {
            let Some(bias) = self.dequantised_bias(bias, &node.input[1], &node.input[4], alpha(&node)) else {
                return self.graph.node.push(node);
            };
            inputs.push(bias);
        }
        let own = |attribute: &&AttributeProto| !matches!(&*attribute.name, "channels_last" | "opset");
        let attribute = attributes.iter().filter(own).cloned().collect();
        let output = &node.output[0];
        let rounds = present(target);
        let computed = if rounds { self.name(output) } else { output.clone() };
        self.push(plain, inputs, &computed, attribute);
        if rounds {
            let quantise = std::iter::once(computed).chain(node.input[target..].iter().take(2).cloned());
            self.push("QuantizeLinear", quantise.collect(), output, Vec::new());
        }
    }

    /// Output scale, output zero point, then tensor, scale and zero point of each part.
    fn concat(&mut self, node: NodeProto) {
        let parts: Vec<String> =
            node.input[2..].chunks_exact(3).map(|part| self.dequantised(part, 1)).collect();
        let computed = self.name(&node.output[0]);
        self.push("Concat", parts, &computed, node.attribute);
        let quantise = vec![computed, node.input[0].clone(), node.input[1].clone()];
        self.push("QuantizeLinear", quantise, &node.output[0], Vec::new());
    }

    /// `[tensor, scale, zero point, …]` becomes numbers.
    fn dequantised(&mut self, operand: &[String], axis: i64) -> String {
        let name = self.name(&operand[0]);
        let axis = AttributeProto {
            name: "axis".to_owned(),
            i: axis,
            r#type: AttributeType::Int as i32,
            ..AttributeProto::default()
        };
        self.push("DequantizeLinear", operand.iter().take(3).cloned().collect(), &name, vec![axis]);
        name
    }

    /// QLinearSoftmax says itself of which opset it is: before 13 all axes from the named one on are one. Tells whether
    /// the model's own Softmax can say the same.
    fn settle_softmax(&self, attributes: &mut Vec<AttributeProto>) -> bool {
        let int = |name: &str| attributes.iter().find(|attribute| attribute.name == name).map(|it| it.i);
        let is_old = int("opset").is_some_and(|opset| opset < 13);
        let axis = int("axis").unwrap_or(-1);
        attributes.retain(|attribute| attribute.name != "axis");
        attributes.push(AttributeProto {
            name: "axis".to_owned(),
            i: axis,
            r#type: AttributeType::Int as i32,
            ..AttributeProto::default()
        });
        // The last axis is the same to both.
        is_old == (self.opset < 13) || axis == -1
    }

    /// A bias of i32 has the scale of the input times that of the weights, and what the product is multiplied with; none
    /// where those are no constants.
    fn dequantised_bias(
        &mut self,
        bias: &str,
        input_scale: &str,
        weight_scale: &str,
        alpha: f32,
    ) -> Option<String> {
        let input = self.constant(input_scale)?;
        let weights = self.constant(weight_scale)?;
        let scales: Vec<f32> =
            weights.iter().map(|weight| alpha * weight * input.first().copied().unwrap_or(1.0)).collect();
        let scale = self.name(bias);
        self.graph.initializer.push(TensorProto {
            name: scale.clone(),
            data_type: tensor_proto::DataType::Float as i32,
            dims: if scales.len() == 1 { Vec::new() } else { vec![scales.len() as i64] },
            raw_data: scales.iter().flat_map(|scale| scale.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        Some(self.dequantised(&[bias.to_owned(), scale], 0))
    }

    fn constant(&self, name: &str) -> Option<Vec<f32>> {
        let tensor = self.graph.initializer.iter().find(|tensor| tensor.name == name)?;
        if !tensor.float_data.is_empty() {
            return Some(tensor.float_data.clone());
        }
        let (numbers, rest) = tensor.raw_data.as_chunks::<4>();
        rest.is_empty().then(|| numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn push(&mut self, op: &str, input: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            name: format!("{output} ({op})"),
            op_type: op.to_owned(),
            input,
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        });
    }

    fn name(&mut self, of: &str) -> String {
        self.count += 1;
        format!("{of}.spelled.{}", self.count)
    }
}

/// Returns what QGemm multiplies its product with.
fn alpha(node: &NodeProto) -> f32 {
    node.attribute.iter().find(|attribute| attribute.name == "alpha").map_or(1.0, |attribute| attribute.f)
}

fn transposes(node: &NodeProto) -> bool {
    node.attribute.iter().any(|attribute| attribute.name == "transB" && attribute.i != 0)
}
