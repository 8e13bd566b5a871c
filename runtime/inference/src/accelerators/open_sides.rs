//! Sides that a model leaves open, and settling them in the file itself, for whatever compiles it.

use std::fmt;
use std::str::FromStr;

use prost::Message as _;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{GraphProto, ModelProto, TensorShapeProto, ValueInfoProto, type_proto};

use super::LoadError;
use crate::soundness;

/// Longest side that is taken: no tensor may hold more values.
const LONGEST_SIDE: usize = soundness::MAX_VALUES as usize;

/// An input of which some sides are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenInput {
    /// Its name.
    pub name: String,
    /// Its sides, `?` or a name for an open one; none where the model does not even say how many there are.
    pub sides: Option<Vec<String>>,
}

impl fmt::Display for OpenInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = soundness::shortened(&self.name);
        match &self.sides {
            Some(sides) => write!(f, "{name:?} is {}", sides.join(",")),
            None => write!(f, "{name:?} has no shape"),
        }
    }
}

/// The shape of one input, as somebody asks for it: `NAME=1,3,224,224`, or without a name for the only input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputShape {
    /// Which input; none for the only one.
    pub input: Option<String>,
    /// Its sides, the outermost first.
    pub sides: Vec<usize>,
}

/// Why a text is no shape of an input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no shape: NAME=1,3,224,224, or 1,3,224,224 for the only input; sides are whole numbers above 0"
)]
pub struct InvalidShape(String);

impl FromStr for InputShape {
    type Err = InvalidShape;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (input, sides) = match text.rsplit_once('=') {
            Some((name, sides)) => (Some(name.to_owned()), sides),
            None => (None, text),
        };
        let side = |side: &str| side.trim().parse().ok().filter(|side| (1..=LONGEST_SIDE).contains(side));
        let sides: Option<Vec<usize>> = sides.split(',').map(side).collect();
        let sides = sides.ok_or_else(|| InvalidShape(text.to_owned()))?;
        Ok(Self { input, sides })
    }
}

impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(input) = &self.input {
            write!(f, "{input}=")?;
        }
        f.write_str(&self.sides.iter().map(usize::to_string).collect::<Vec<_>>().join(","))
    }
}

/// Returns a model whose inputs have these shapes. An input that is not named keeps the shape that it has.
pub fn settled(onnx: &[u8], shapes: &[InputShape]) -> Result<Vec<u8>, LoadError> {
    let mut model = decoded(onnx)?;
    let graph = model.graph.get_or_insert_default();
    let names: Vec<String> = asked(graph).map(|input| input.name.clone()).collect();
    let mut ordered = vec![None; names.len()];
    for shape in shapes {
        let at = match &shape.input {
            Some(name) => names.iter().position(|known| known == name),
            None => (names.len() == 1).then_some(0),
        };
        let Some(at) = at else {
            let names = names.iter().map(|name| format!("{:?}", soundness::shortened(name)));
            let names = names.collect::<Vec<_>>().join(", ");
            return Err(LoadError::Shape(match &shape.input {
                Some(name) => format!("it has no input {name:?}, its inputs are {names}"),
                None => format!("it has {} inputs, and {shape} does not say which: {names}", ordered.len()),
            }));
        };
        if ordered[at].replace(shape.sides.clone()).is_some() {
            return Err(LoadError::Shape(format!("the shape of {:?} is given twice", names[at])));
        }
    }
    settle(graph, &ordered)?;
    Ok(model.encode_to_vec())
}

/// Returns a model whose inputs have these shapes, in order; as it is where it leaves no side open.
pub(crate) fn settled_for(onnx: Vec<u8>, shapes: &[&[usize]]) -> Result<Vec<u8>, LoadError> {
    let mut model = decoded(&onnx)?;
    let graph = model.graph.get_or_insert_default();
    if open_inputs(graph).is_empty() {
        return Ok(onnx);
    }
    let ordered: Vec<_> = shapes.iter().map(|shape| Some(shape.to_vec())).collect();
    settle(graph, &ordered)?;
    Ok(model.encode_to_vec())
}

/// Lists the inputs that leave more than their first side open: that one is a batch, and becomes 1.
pub(super) fn open_inputs(graph: &GraphProto) -> Vec<OpenInput> {
    let open = |input: &ValueInfoProto| {
        let Some(shape) = shape(input) else {
            return Some(OpenInput { name: input.name.clone(), sides: None });
        };
        let is_open = |side: &Dimension| fixed(side).is_none();
        let told = |side: &Dimension| match &side.value {
            Some(dimension::Value::DimValue(_)) if !is_open(side) => {
                fixed(side).unwrap_or_default().to_string()
            }
            Some(dimension::Value::DimParam(name)) => soundness::shortened(name),
            _ => "?".to_owned(),
        };
        let sides = shape.dim.iter().map(told).collect();
        let is_any_open = shape.dim.iter().skip(1).any(is_open);
        is_any_open.then(|| OpenInput { name: input.name.clone(), sides: Some(sides) })
    };
    asked(graph).filter_map(open).collect()
}

/// Inputs that are no weights.
fn asked(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    let is_weight =
        |input: &&ValueInfoProto| graph.initializer.iter().any(|tensor| tensor.name == input.name);
    graph.input.iter().filter(move |input| !is_weight(input))
}

fn settle(graph: &mut GraphProto, shapes: &[Option<Vec<usize>>]) -> Result<(), LoadError> {
    let names: Vec<String> = asked(graph).map(|input| input.name.clone()).collect();
    if names.len() != shapes.len() {
        let (takes, given) = (names.len(), shapes.len());
        return Err(LoadError::Shape(format!("it takes {takes} inputs, and {given} are given")));
    }
    for (name, sides) in names.iter().zip(shapes) {
        let Some(sides) = sides else { continue };
        let input = graph.input.iter_mut().find(|input| input.name == *name).expect("it is one of them");
        if let Some(known) = shape(input) {
            let fits =
                |(known, side): (&Dimension, &usize)| fixed(known).is_none_or(|known| known == *side as i64);
            if known.dim.len() != sides.len() || !known.dim.iter().zip(sides).all(fits) {
                let shape = InputShape { input: Some(name.clone()), sides: sides.clone() };
                let known =
                    known.dim.iter().map(|side| fixed(side).map_or("?".into(), |side| side.to_string()));
                let known = known.collect::<Vec<_>>().join(",");
                return Err(LoadError::Shape(format!("{shape} does not fit its input, which is {known}")));
            }
        }
        let side = |side: &usize| Dimension {
            denotation: String::new(),
            value: Some(dimension::Value::DimValue(*side as i64)),
        };
        if let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        {
            tensor.shape = Some(TensorShapeProto { dim: sides.iter().map(side).collect() });
        }
    }
    // What is said of tensors within and of outputs still names the open sides.
    graph.value_info.clear();
    for output in &mut graph.output {
        if let Some(type_proto::Value::TensorType(tensor)) =
            output.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        {
            tensor.shape = None;
        }
    }
    Ok(())
}

fn shape(input: &ValueInfoProto) -> Option<&TensorShapeProto> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    tensor.shape.as_ref()
}

/// A side that the model fixes; 0 and -1 are what some exporters write for an open one.
fn fixed(side: &Dimension) -> Option<i64> {
    match side.value {
        Some(dimension::Value::DimValue(side)) if ![0, -1].contains(&side) => Some(side),
        _ => None,
    }
}

fn decoded(onnx: &[u8]) -> Result<ModelProto, LoadError> {
    ModelProto::decode(onnx).map_err(|error| LoadError::Unusable(soundness::undecoded(&error)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::accelerators::Accelerator;
    use crate::accelerators::dynamic::tests::open_model;

    fn shape(text: &str) -> InputShape {
        text.parse().unwrap()
    }

    #[test]
    fn shapes_are_read_as_they_are_written() {
        for text in ["1,3,224,224", "x=1,16", "a=b=7", "input:0=1"] {
            assert_eq!(shape(text).to_string(), text);
        }
        assert_eq!(shape("a=b=7").input.unwrap(), "a=b");
        for text in ["", "x=", "x=1,,2", "x=0", "x=1,-1", "1x3", "x=1,n", "x=18446744073709551615,3"] {
            let why = text.parse::<InputShape>().unwrap_err().to_string();
            assert!(why.contains("is no shape: NAME=1,3,224,224"), "{text}: {why}");
        }
    }

    #[test]
    fn an_open_model_says_which_side_is_open() {
        let why = Accelerator::Cpu.prepare(&open_model()).unwrap_err();
        assert_eq!(why.to_string(), "its inputs leave sides open: \"x\" is 1,?");
        assert!(matches!(why, LoadError::OpenSides(_)));
    }

    #[test]
    fn a_settled_model_runs() {
        for text in ["x=1,5", "1,5"] {
            let onnx = settled(&open_model(), &[shape(text)]).unwrap();
            assert_eq!(Accelerator::Cpu.prepare(&onnx).unwrap().outputs()[0].shape, [1, 5]);
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_told() {
        let check = |shapes: &[&str], expected: &str| {
            let shapes: Vec<InputShape> = shapes.iter().map(|text| shape(text)).collect();
            let why = settled(&open_model(), &shapes).unwrap_err().to_string();
            assert_eq!(why, expected);
        };
        check(&["x=2,5"], "x=2,5 does not fit its input, which is 1,?");
        check(&["1,5,1"], "x=1,5,1 does not fit its input, which is 1,?");
        check(&["y=1,5"], "it has no input \"y\", its inputs are \"x\"");
        check(&["x=1,5", "1,6"], "the shape of \"x\" is given twice");
    }
}
