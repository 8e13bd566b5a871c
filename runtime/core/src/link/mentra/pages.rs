//! Texts in pages: `display_text` shows what one message holds.

use std::collections::VecDeque;
use std::time::Duration;

use super::LONGEST_WRITE;
use super::json::Command;
use crate::time::Timestamp;

/// Longest text that is shown, in bytes.
pub const MAX_TEXT: usize = 2048;
/// How long a page stands before the next one: ours, some 20 words at the speed of reading.
pub const PAGE_TIME: Duration = Duration::from_secs(6);
/// What a message has besides its text, with the longest name.
const AROUND: usize = 120;

/// Pages that wait for their time.
#[derive(Debug, Default)]
pub(super) struct Pages {
    waiting: VecDeque<String>,
    due: Option<Timestamp>,
}

impl Pages {
    /// Takes a text instead of what is still waiting; returns its first page.
    pub(super) fn show(&mut self, text: &str, now: Timestamp) -> Option<String> {
        self.waiting = split(&text[..text.floor_char_boundary(MAX_TEXT)]);
        self.turn(now)
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Option<String> {
        if self.due? <= now { self.turn(now) } else { None }
    }

    fn turn(&mut self, now: Timestamp) -> Option<String> {
        let page = self.waiting.pop_front();
        self.due = (!self.waiting.is_empty()).then_some(now + PAGE_TIME);
        page
    }
}

/// The look of a page: white, in the font and at the size of the document's example.
pub(super) fn command(page: &str) -> Command<'_> {
    Command::DisplayText { text: page, color: "0xFFFF", font_code: "0x11", x: 0, y: 0, size: 2 }
}

fn split(text: &str) -> VecDeque<String> {
    let mut rest = text.trim();
    let mut pages = VecDeque::new();
    while !rest.is_empty() {
        let fits = fitting(rest);
        // At a space, unless one word fills more than half of the page.
        let space = rest[..fits].rfind(char::is_whitespace).filter(|at| fits < rest.len() && *at >= fits / 2);
        let (page, after) = rest.split_at(space.unwrap_or(fits));
        pages.push_back(page.trim_end().to_owned());
        rest = after.trim_start();
    }
    pages
}

/// How many bytes of a text one message holds, up to a whole character.
fn fitting(text: &str) -> usize {
    let mut written = AROUND;
    for (at, character) in text.char_indices() {
        written += match character {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..' ' => 6,
            _ => character.len_utf8(),
        };
        if written > LONGEST_WRITE {
            return at;
        }
    }
    text.len()
}
