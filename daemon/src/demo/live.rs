//! The screen of the demo: one line for each thing that happens.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use glassd_core::GlassesId;
use glassd_core::gateway::Notice;
use glassd_core::query::Answered;

/// Prints what happens, with the time since the start.
#[derive(Clone, Debug)]
pub(super) struct Live {
    started: Instant,
    colours: bool,
}

impl Live {
    /// Starts the clock.
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), colours: std::io::stdout().is_terminal() }
    }

    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Prints a line about one pair of glasses.
    pub(super) fn line(&self, who: &GlassesId, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        // Standard output that is closed ends the demo at its summary, not here.
        let _ = writeln!(std::io::stdout(), "{seconds:6.1} s  {:<7} {text}", who.as_str());
    }

    /// Prints an answer with its route, its time and its verdict.
    pub(super) fn answer(&self, who: &GlassesId, answered: &Answered, right: bool) {
        let route = answered.route.map_or("none".to_owned(), |route| format!("{route:?}").to_lowercase());
        let verdict = self.coloured(if right { "✓" } else { "✗" }, if right { 32 } else { 31 });
        let route = self.coloured(&format!("{route:<5}"), if route == "local" { 36 } else { 35 });
        let sure = answered.probability.map_or("      ".to_owned(), |p| format!("p={p:.2}"));
        self.line(
            who,
            &format!(
                "{route} {:5.0} ms {sure}  “{}” → {}  {verdict}",
                answered.total_ms(),
                answered.question,
                answered.answer
            ),
        );
    }

    /// Prints what people may want to see of a notice.
    pub(super) fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Connected(glasses) => self.line(glasses, "connected"),
            Notice::Disconnected(glasses) => self.line(glasses, "gone"),
            Notice::FrameRate { glasses, decision } => {
                let why: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
                let text = format!("{:.1} fps  ({})", decision.value.fps, why.join("; "));
                self.line(glasses, &self.coloured(&text, 2));
            }
            Notice::Deferred { .. }
            | Notice::Camera { .. }
            | Notice::FrameArrived { .. }
            | Notice::Scene { .. }
            | Notice::Accepted { .. }
            | Notice::Forwarded { .. }
            | Notice::Button(_) => {}
        }
    }

    fn coloured(&self, text: &str, code: u8) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
