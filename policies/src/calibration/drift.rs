//! What keeps the promise when the world is no longer that of the outcomes.

/// How far one wrong answer raises the bound: some five in a row of a world grown dark ask the cloud everything.
const STEP: f32 = 0.1;

/// Raises the bound while answers are wrong more often than promised, and lowers it back while they are not (adaptive
/// conformal inference: Gibbs and Candès 2021): over time the share of wrong ones returns to the risk, whatever the
/// world does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Drift {
    raise: f32,
}

impl Drift {
    /// Takes the outcome of an answer that was given without asking, against the share of wrong ones that is promised.
    pub fn handle_outcome(&mut self, right: bool, share: f32) {
        let wrong = f32::from(u8::from(!right));
        self.raise = (self.raise + STEP * (wrong - share)).clamp(0.0, 1.0);
    }

    /// Goes on from a raise; one that is none counts as 0.
    pub fn from_raise(raise: f32) -> Self {
        Self { raise: if raise > 0.0 { raise.min(1.0) } else { 0.0 } }
    }

    /// Returns by how much the bound is raised, 0 to 1.
    pub const fn raise(self) -> f32 {
        self.raise
    }
}
