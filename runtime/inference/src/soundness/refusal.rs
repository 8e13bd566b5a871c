//! What tract refuses, in a sentence that names the node of the file.

use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::prelude::TractError;

use super::shapes::shown;
use super::{Shape, constants, label, numbers, on_a_line, shortened};

/// Numbers of a list that are told.
const MOST: usize = 8;

/// Makes a sentence of an error of tract's: with the node that it stopped at, if it is one of the graph's.
pub(crate) fn told(error: &TractError, graph: &GraphProto, shape: impl Fn(&str) -> Shape) -> String {
    let text = format!("{error:#}");
    let Some(node) = blamed(&text, graph) else { return on_a_line(&text) };
    let (name, operation) = (label(node), shortened(&node.op_type));
    // What fails there is what follows from the shapes, of which tract tells its equations.
    let is_of_shapes = text.starts_with("Failed analyse");
    if !is_of_shapes {
        let why = on_a_line(&error.root_cause().to_string());
        return format!("node {name:?}: this {operation} cannot run here: {why}");
    }
    let constants = constants(graph);
    let input = |(at, input): (usize, &String)| {
        let numbers = numbers(node, at, &constants).filter(|numbers| numbers.len() <= MOST);
        match (numbers, shape(input)) {
            (Some(numbers), _) => format!("{numbers:?}").replace(".0", ""),
            (None, Some(sides)) if sides.is_empty() => "one number".to_owned(),
            (None, Some(sides)) => shown(&sides),
            (None, None) => format!("{:?}", shortened(input)),
        }
    };
    let inputs = node.input.iter().enumerate().filter(|(_, name)| !name.is_empty());
    let inputs: Vec<String> = inputs.map(input).collect();
    if inputs.is_empty() {
        return format!("node {name:?}: {operation} takes inputs, and it has none");
    }
    let with = attributes(node);
    let with = if with.is_empty() { with } else { format!(" with {with}") };
    format!("node {name:?}: {operation}{with} does not take {}", inputs.join(" and "))
}

/// Makes a sentence of why a file is no ONNX at all.
pub(crate) fn undecoded(error: &prost::DecodeError) -> String {
    let text = error.to_string();
    let why = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
    if why.ends_with("buffer underflow") {
        return "it is no ONNX file, or one that was cut off".to_owned();
    }
    format!("it is no ONNX file, or a damaged one ({})", on_a_line(why))
}

/// The numbers among a node's attributes.
fn attributes(node: &NodeProto) -> String {
    let numbers = node.attribute.iter().filter_map(|attribute| {
        let name = shortened(&attribute.name);
        match &attribute.ints[..] {
            [] if attribute.r#type == 2 => Some(format!("{name} {}", attribute.i)),
            ints @ [_, ..] if ints.len() <= MOST => Some(format!("{name} {ints:?}")),
            _ => None,
        }
    });
    numbers.take(MOST).collect::<Vec<_>>().join(", ")
}

/// Finds the node that tract names first: `node #4 "name" Op`, or `Building node name (Op)`.
fn blamed<'a>(text: &str, graph: &'a GraphProto) -> Option<&'a NodeProto> {
    let quoted = text.split_once("node #").and_then(|(_, rest)| rest.split_once(" \""));
    let quoted = quoted.and_then(|(_, rest)| Some(rest.split_once('"')?.0));
    let named = |name: &str| {
        let is_it = |node: &&NodeProto| {
            let own = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
            // tract makes several nodes of one, each with something behind its name.
            own.is_some_and(|own| {
                let rest = (!own.is_empty()).then(|| name.strip_prefix(own.as_str())).flatten();
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        graph.node.iter().filter(is_it).max_by_key(|node| node.name.len())
    };
    match quoted {
        Some(name) => named(name),
        None => {
            let built = text.strip_prefix("Building node ")?;
            let is_it = |node: &&NodeProto| built.starts_with(&format!("{} ({})", node.name, node.op_type));
            graph.node.iter().find(is_it)
        }
    }
}
