//! Pages of text for both displays.
//!
//! | offset | size | field (`evenai_proto.dart`) |
//! |---|---|---|
//! | 0 | 1 | `4E` |
//! | 1 | 1 | seq, one per page |
//! | 2 | 1 | packets of this page |
//! | 3 | 1 | which of them, from 0 |
//! | 4 | 1 | screen: `71`, new content and a text to show (`README.md`, "Text Sending") |
//! | 5 | 2 | position of a new character, BE: 0 |
//! | 7 | 1 | page, from 1 |
//! | 8 | 1 | pages of the text |
//! | 9 | ≤ 191 | UTF-8, a line feed after each line; packets may end within a character |

use super::super::pages::{Page, Screen};

/// Most bytes of text in a packet.
pub const MAX_TEXT: usize = 191;

const SHOW: u8 = 0x4E;
const NEW_TEXT: u8 = 0x71;

/// Five lines of 488 pixels, as the vendor's app sends them at a font size of 21 (`evenai.dart`).
pub(super) const SCREEN: Screen = Screen { width: 488, lines: LINES, advance };
const LINES: usize = 5;

/// Mean width of a character at that size, in pixels. **A guess**: the app measures with the font of the phone, the
/// widths of the glasses' own are not published. Forty to a line, as `even_glasses` (`commands.py`) takes them too.
const CHARACTER_WIDTH: u32 = 12;
/// Width of a Chinese, Japanese or Korean character, or of a picture: as high as wide.
const WIDE_CHARACTER_WIDTH: u32 = 21;
/// From here on characters are taken as wide: the first of the Hangul letters. Scripts between them that are not wide
/// get shorter lines.
const FIRST_WIDE: char = '\u{1100}';

fn advance(character: char) -> u32 {
    if character < FIRST_WIDE { CHARACTER_WIDTH } else { WIDE_CHARACTER_WIDTH }
}

/// Cuts a page into its packets.
pub(super) fn packets(page: &Page, seq: u8) -> Vec<Vec<u8>> {
    // A text of one page that is not full stands in the middle, as the app has it.
    let above = match page.lines.len() {
        _ if page.total > 1 => 0,
        0..4 => 2,
        4 => 1,
        _ => 0,
    };
    let text = "\n".repeat(above) + &page.lines.join("\n") + "\n";
    let chunks = text.as_bytes().chunks(MAX_TEXT);
    let total = u8::try_from(chunks.len()).expect("five lines have less than 200 characters");
    (0..)
        .zip(chunks)
        .map(|(number, chunk)| {
            [&[SHOW, seq, total, number, NEW_TEXT, 0, 0, page.number, page.total], chunk].concat()
        })
        .collect()
}
