//! Reading a node's attributes.

use tract_onnx::pb::{AttributeProto, NodeProto};

/// The attributes of a node.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a NodeProto);

impl<'a> Attributes<'a> {
    fn find(self, name: &str) -> Option<&'a AttributeProto> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn int(self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |attribute| attribute.i)
    }

    /// Returns a number that stands there.
    pub(crate) fn integer(self, name: &str) -> Option<i64> {
        self.find(name).map(|attribute| attribute.i)
    }

    pub(crate) fn float(self, name: &str, default: f32) -> f32 {
        self.find(name).map_or(default, |attribute| attribute.f)
    }

    pub(crate) fn text(self, name: &str) -> &'a str {
        self.find(name).map_or("", |attribute| std::str::from_utf8(&attribute.s).unwrap_or_default())
    }

    pub(crate) fn integers(self, name: &str) -> Option<Vec<i64>> {
        self.find(name).map(|attribute| attribute.ints.clone())
    }

    /// Returns the numbers of a list, none of them negative.
    pub(crate) fn sizes(self, name: &str) -> Option<Vec<usize>> {
        self.find(name)?.ints.iter().map(|&size| usize::try_from(size).ok()).collect()
    }

    /// Returns an axis, counted from the first one.
    pub(crate) fn axis(self, name: &str, default: i64, rank: usize) -> Option<usize> {
        let axis = self.int(name, default);
        usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok().filter(|axis| *axis < rank)
    }
}
