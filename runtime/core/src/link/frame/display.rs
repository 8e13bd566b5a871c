//! What fits the display of a Frame: 640 × 400 pixels.
//!
//! Lines are reckoned as `frame_sdk/display.py` does, which has the widths of the firmware's font
//! (`lua_libraries/system_font.h`): a glyph, and 4 pixels to the next one; a line every 60 pixels, so that a
//! page has six. The firmware leaves out glyphs that do not fit, so what its font has not takes 25 pixels.

use super::super::pages::Screen;

/// Pixels between two glyphs.
pub(super) const SPACING: u8 = 4;
/// Pixels from a line to the next one; `app.lua` has it too.
pub(super) const LINE_HEIGHT: u16 = 60;

pub(super) const SCREEN: Screen = Screen { width: 640, lines: 400 / LINE_HEIGHT as usize, advance };

/// Widths of the glyphs from space to `~`.
const WIDTHS: [u8; 95] = [
    13, 5, 13, 19, 17, 34, 20, 5, 10, 11, 21, 19, 8, 17, 6, 25, //
    18, 16, 16, 15, 18, 15, 17, 15, 18, 17, 6, 8, 19, 19, 19, 14, //
    31, 22, 18, 16, 19, 17, 17, 18, 19, 12, 14, 19, 16, 23, 19, 20, //
    18, 22, 20, 17, 20, 19, 21, 23, 21, 23, 17, 9, 15, 10, 20, 25, //
    11, 19, 18, 13, 18, 16, 15, 20, 18, 5, 11, 18, 8, 28, 18, 18, //
    18, 18, 11, 15, 14, 17, 19, 30, 20, 20, 16, 12, 5, 12, 17,
];
const OTHER_WIDTH: u8 = 25;

fn advance(character: char) -> u32 {
    let glyph = u32::from(character).checked_sub(0x20).and_then(|at| WIDTHS.get(usize::try_from(at).ok()?));
    u32::from(*glyph.unwrap_or(&OTHER_WIDTH)) + u32::from(SPACING)
}
