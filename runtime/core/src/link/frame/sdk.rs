//! The messages of `frame-sdk` 1.2.4 (`bluetooth.py`, `library_functions.py`, `camera.py`, `microphone.py`,
//! `display.py`).
//!
//! | notification | then | meaning |
//! |---|---|---|
//! | `01 01` | JPEG | long data: here only photos |
//! | `01 02` | packets in ASCII, or nothing | the end of long data |
//! | `01 03` | | awake again; not asked for |
//! | `01 04` | | one tap |
//! | `01 05` | signed PCM | audio |
//! | `01 06` | text | for who debugs; not asked for |
//! | `0A`, `0B` | text; its packets in ASCII | long text and its end; not asked for |
//! | else | text | what Lua printed |
//!
//! Nothing but Lua source is written: calls of the library that the vendor's package leaves on the Frame, in a
//! folder named after its SHA-256. While one of its functions runs the Frame takes no other source. So the
//! microphone is stopped by a break before anything else, and started again after it.

use super::super::pages::Page;
use super::messages::Message;
use super::settings::{CaptureSettings, QUALITY_NAMES};
use super::talk::{Reply, Signal, Step};
use super::{DropReason, MAX_WRITE, Sound, display, lua};

/// Where version 1.2.4 leaves its functions.
const LIBRARY: &str = "lib-b6c885/prntLng";
/// Time for the exposure to settle, in seconds: ten of its steps.
const EXPOSURE_SECONDS: u8 = 1;

/// Ends what runs, loads the library, and asks for taps.
pub(super) fn start() -> Vec<Step> {
    vec![
        Step::Signal(Signal::Break),
        lua::run(&format!("require(\"{LIBRARY}\")"), 1),
        lua::run("frame.imu.tap_callback(function();frame.bluetooth.send('\\x04');end)", 2),
    ]
}

pub(super) fn take_photo(settings: CaptureSettings) -> Vec<Step> {
    let CaptureSettings { resolution, quality } = settings;
    let quality = QUALITY_NAMES[usize::from(quality)];
    let call =
        format!("cameraCaptureAndSend('{quality}',{EXPOSURE_SECONDS},'CENTER_WEIGHTED',{resolution},0)");
    vec![Step::Lua(call, Reply::None)]
}

pub(super) fn start_microphone(sound: Sound) -> Vec<Step> {
    let call = format!("microphoneRecordAndSend({},{},nil)", sound.rate(), sound.depth());
    vec![Step::Lua(call, Reply::None)]
}

pub(super) fn stop_microphone() -> Vec<Step> {
    vec![Step::Signal(Signal::Break), lua::run("frame.microphone.stop()", 1)]
}

pub(super) fn show(page: &Page) -> Vec<Step> {
    // `frame.display.text("` and `",1,301);print(9)`: what does not fit, of characters of many bytes, is left out.
    const ROOM: usize = MAX_WRITE - 20 - 17;
    let mut statements: Vec<_> = (1..)
        .step_by(display::LINE_HEIGHT.into())
        .zip(&page.lines)
        .map(|(y, line)| format!("frame.display.text(\"{}\",1,{y})", lua::quote(&mut line.as_str(), ROOM)))
        .collect();
    statements.push("frame.display.show()".to_owned());
    (1..).zip(statements).map(|(number, statement)| lua::run(&statement, number)).collect()
}

pub(super) fn ask_battery() -> Vec<Step> {
    vec![Step::Lua("print(frame.battery_level())".to_owned(), Reply::Battery)]
}

pub(super) fn decode(value: &[u8]) -> Result<Message<'_>, DropReason> {
    match value {
        [1, 1, jpeg @ ..] => Ok(Message::Photo(jpeg)),
        [1, 2, digits @ ..] => Ok(Message::PhotoEnd { jpeg: &[], packets: packets(digits)? }),
        [1, 4] => Ok(Message::Tap),
        [1, 5, samples @ ..] => Ok(Message::Audio(samples)),
        [1, 3 | 6, ..] | [0x0A | 0x0B, ..] => Err(DropReason::Unexpected),
        [] | [1] | [1, 4, ..] => Err(DropReason::Malformed),
        [1, ..] => Err(DropReason::UnknownValue),
        text => Ok(Message::Text(std::str::from_utf8(text).map_err(|_| DropReason::Malformed)?)),
    }
}

fn packets(digits: &[u8]) -> Result<Option<u32>, DropReason> {
    if digits.is_empty() {
        return Ok(None);
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.map(Some).ok_or(DropReason::Malformed)
}
