//! Texts in pages: broken into lines that fit the screen, and shown one page after the other.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// How long a page is shown before the next one: as the app of Even Realities does (`evenai.dart`).
pub(super) const PAGE_TIME: Duration = Duration::from_secs(5);
/// Pages of a text; what does not fit is left out, and the last line ends in an ellipsis.
pub(super) const MAX_PAGES: usize = 20;
const ELLIPSIS: &str = "...";

/// What fits a display.
#[derive(Debug)]
pub(super) struct Screen {
    /// Width of a line, in pixels.
    pub(super) width: u32,
    /// Lines of a page.
    pub(super) lines: usize,
    /// Pixels from the beginning of a character to that of the next one.
    pub(super) advance: fn(char) -> u32,
}

impl Screen {
    fn width_of(&self, text: &str) -> u32 {
        text.chars().map(self.advance).fold(0, u32::saturating_add)
    }
}

/// A page of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Counted from 1.
    pub(super) number: u8,
    /// Pages of the text.
    pub(super) total: u8,
    pub(super) lines: Vec<String>,
}

/// The pages of a text that are still to be shown.
#[derive(Debug, Default)]
pub(super) struct Pages {
    waiting: VecDeque<Page>,
    next_at: Timestamp,
}

impl Pages {
    /// Begins to show a text in place of what is left of the one before.
    pub(super) fn show(&mut self, text: &str, screen: &Screen) {
        self.waiting = lay_out(text, screen).into();
        self.next_at = Timestamp::default();
    }

    /// Adds a page without a line, which ends the show.
    pub(super) fn then_clear(&mut self) {
        let total = self.waiting.back().map_or(0, |page| page.total);
        self.waiting.push_back(Page { number: total, total, lines: Vec::new() });
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Takes the next page if it is due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Page> {
        if now < self.next_at {
            return None;
        }
        let page = self.waiting.pop_front()?;
        self.next_at = now + PAGE_TIME;
        Some(page)
    }

    /// Returns when the next page is due.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        (!self.waiting.is_empty()).then_some(self.next_at)
    }
}

/// Breaks a text into pages, at most [`MAX_PAGES`]; a text without a word has none.
fn lay_out(text: &str, screen: &Screen) -> Vec<Page> {
    let most = MAX_PAGES * screen.lines;
    let mut lines = Vec::new();
    for paragraph in text.trim().lines() {
        if lines.len() > most {
            break;
        }
        wrap(paragraph, screen, most + 1 - lines.len(), &mut lines);
    }
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            end_in_ellipsis(last, screen);
        }
    }
    if lines.iter().all(String::is_empty) {
        return Vec::new();
    }
    let total = u8::try_from(lines.len().div_ceil(screen.lines)).expect("at most MAX_PAGES");
    (1..)
        .zip(lines.chunks(screen.lines))
        .map(|(number, lines)| Page { number, total, lines: lines.to_vec() })
        .collect()
}

/// Appends the lines of a paragraph, at most `most`: words as long as they fit, longer ones cut. Of empty lines that
/// follow each other one is enough.
fn wrap(paragraph: &str, screen: &Screen, most: usize, lines: &mut Vec<String>) {
    let end = lines.len() + most;
    let space = (screen.advance)(' ');
    let (mut line, mut used) = (String::new(), 0);
    for word in paragraph.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            if screen.width_of(word).saturating_add(used + space) <= screen.width {
                line.push(' ');
                used += space;
            } else {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
        }
        for character in word.chars() {
            if lines.len() == end {
                return;
            }
            let width = (screen.advance)(character);
            if used + width > screen.width && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(character);
            used += width;
        }
    }
    let is_again = line.is_empty() && lines.last().is_some_and(String::is_empty);
    if lines.len() < end && !is_again {
        lines.push(line);
    }
}

fn end_in_ellipsis(line: &mut String, screen: &Screen) {
    let room = screen.width.saturating_sub(screen.width_of(ELLIPSIS));
    while screen.width_of(line) > room && line.pop().is_some() {}
    line.push_str(ELLIPSIS);
}
