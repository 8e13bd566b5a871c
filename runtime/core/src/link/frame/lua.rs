//! Lua source for the Frame, in lines of at most [`MAX_WRITE`] bytes.

use super::MAX_WRITE;
use super::talk::{Reply, Step};

/// Runs a statement, and waits for it to be done.
pub(super) fn run(statement: &str, number: usize) -> Step {
    Step::Lua(format!("{statement};print({number})"), Reply::Words(number.to_string()))
}

/// Writes a file: what is written as `f:write` (`frame_ble.py`) with comments and indentation left out.
pub(super) fn upload(file: &str, source: &str) -> Vec<Step> {
    // `f:write("` and `");print(999)`.
    const ROOM: usize = MAX_WRITE - 9 - 13;
    let lines: Vec<_> = source
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
        .collect();
    let source = lines.join("\n");
    let mut rest = source.as_str();
    let mut statements = vec![format!("f=frame.file.open('{file}','w')")];
    while !rest.is_empty() {
        statements.push(format!("f:write(\"{}\")", quote(&mut rest, ROOM)));
    }
    statements.push("f:close()".to_owned());
    (1..).zip(statements).map(|(number, statement)| run(&statement, number)).collect()
}

/// Takes from the beginning of a text what has at most `room` bytes, which are 4 or more, within a string's quotes.
pub(super) fn quote(text: &mut &str, room: usize) -> String {
    let mut quoted = String::new();
    let mut buffer = [0; 4];
    for (at, character) in text.char_indices() {
        let escape = match character {
            '\\' => "\\\\",
            '"' => "\\\"",
            '\n' => "\\n",
            // The firmware ends a line of source at its first 0.
            '\0' => "",
            _ => character.encode_utf8(&mut buffer),
        };
        if quoted.len() + escape.len() > room {
            *text = &text[at..];
            return quoted;
        }
        quoted.push_str(escape);
    }
    *text = "";
    quoted
}
