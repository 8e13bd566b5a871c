//! Element-wise functions: kept until somebody wants their values, then part of the shader before them.

use std::sync::Arc;

/// A function of one value, x.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    X,
    Constant(f32),
    /// A function of WGSL or of the preamble, by name.
    Call(&'static str, Vec<Arc<Expression>>),
    /// A sum, difference, product or quotient.
    Infix(char, Arc<Expression>, Arc<Expression>),
}

/// From here on an expression is computed before more is put on top: x occurs in it many times.
const MOST_NODES: usize = 96;

impl Expression {
    pub(super) fn call(name: &'static str, arguments: impl IntoIterator<Item = Self>) -> Self {
        Self::Call(name, arguments.into_iter().map(Arc::new).collect())
    }

    pub(super) fn infix(operator: char, left: Self, right: Self) -> Self {
        Self::Infix(operator, Arc::new(left), Arc::new(right))
    }

    pub(super) fn is_x(&self) -> bool {
        *self == Self::X
    }

    pub(super) fn is_large(&self) -> bool {
        self.nodes() > MOST_NODES
    }

    fn nodes(&self) -> usize {
        match self {
            Self::X | Self::Constant(_) => 1,
            Self::Call(_, arguments) => 1 + arguments.iter().map(|one| one.nodes()).sum::<usize>(),
            Self::Infix(_, left, right) => 1 + left.nodes() + right.nodes(),
        }
    }

    /// Writes WGSL. Constants go to `constants` and are read from there, so that expressions which differ in
    /// them alone share a shader.
    pub(super) fn wgsl(&self, constants: &mut Vec<f32>) -> String {
        match self {
            Self::X => "x".to_owned(),
            Self::Constant(value) => {
                constants.push(*value);
                format!("c({}u)", constants.len() - 1)
            }
            Self::Call(name, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(|one| one.wgsl(constants)).collect();
                format!("{name}({})", arguments.join(", "))
            }
            Self::Infix(operator, left, right) => {
                let (left, right) = (left.wgsl(constants), right.wgsl(constants));
                format!("({left} {operator} {right})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_constants_alone_shares_its_text() {
        let silu = |scale| {
            let x = Expression::infix('*', Expression::X, Expression::Constant(scale));
            Expression::infix('*', x.clone(), Expression::call("sigmoid", [x]))
        };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        assert_eq!(silu(0.5).wgsl(&mut first), "((x * c(0u)) * sigmoid((x * c(1u))))");
        assert_eq!(silu(0.5).wgsl(&mut Vec::new()), silu(2.0).wgsl(&mut second));
        assert_eq!((first, second), (vec![0.5, 0.5], vec![2.0, 2.0]));
    }
}
