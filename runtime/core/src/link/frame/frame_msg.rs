//! The messages of `frame_msg` 5.2.1, which `app.lua` speaks.
//!
//! From the Frame, after `01` (`rx_audio.py`, `rx_photo.py`, `rx_tap.py`, `rx_imu.py`, `battery.lua`):
//!
//! | code | then | meaning |
//! |---|---|---|
//! | `00` | | a chunk was taken |
//! | `01` | | a chunk was refused |
//! | `05` | signed PCM | audio |
//! | `06` | signed PCM, mostly none | audio, the last of it |
//! | `07` | ≤ 242 B of JPEG | photo |
//! | `08` | JPEG, mostly none | photo, the last of it |
//! | `09` | | one tap |
//! | `0A` | 1 B, 3 × i16 compass, 3 × i16 acceleration | motion, little-endian: x, y, z |
//! | `0C` | u8 | battery in percent |
//!
//! To the Frame: a message is `01`, code, length u16 BE and what fits, then `01`, code and what fits, until it is
//! whole; each chunk is acknowledged (`frame_ble.py`, `data.lua`). The codes are those of our app:
//!
//! | code | offset | size | field |
//! |---|---|---|---|
//! | `0A` text | 0 | 2 | x, BE, from 1 (`tx_plain_text.py`) |
//! | | 2 | 2 | y, BE, from 1 |
//! | | 4 | 1 | colour in the palette |
//! | | 5 | 1 | pixels between two glyphs |
//! | | 6 | n | text, UTF-8; a line each 60 pixels |
//! | `0D` photo | 0 | 1 | quality, 0 to 4 (`tx_capture_settings.py`) |
//! | | 1 | 2 | half the resolution, BE |
//! | | 3 | 2 | pan + 140, BE |
//! | | 5 | 1 | raw: 0, as a photo's first 623 bytes are left out with 1 |
//! | `30` microphone | 0 | 2 | samples a second, BE; 0 stops |
//! | | 2 | 1 | bits of a sample |

use super::super::Motion;
use super::super::pages::Page;
use super::messages::Message;
use super::settings::CaptureSettings;
use super::talk::{Reply, Signal, Step};
use super::{DropReason, MAX_WRITE, Sound, display, lua};

const APP: &str = include_str!("app.lua");
/// What the app prints when it is ready.
const GREETING: &str = "glassd 1";

const TEXT: u8 = 0x0A;
const CAPTURE: u8 = 0x0D;
const MICROPHONE: u8 = 0x30;

/// Colour of texts: white.
const WHITE: u8 = 1;
const PAN: u16 = 0;
const PAN_OFFSET: u16 = 140;
/// Raw values of one earth's gravity: `imu.c` sets the accelerometer to ± 2 g in 14 bits.
const GRAVITY: f32 = 4096.0;

/// Ends what runs, begins Lua anew, ends a `main.lua` that began by itself (`frame_msg.py`), sends the app.
pub(super) fn start() -> Vec<Step> {
    let mut steps: Vec<_> = [Signal::Break, Signal::Reset, Signal::Break].map(Step::Signal).into();
    steps.extend(lua::upload("glassd.lua", APP));
    steps.push(Step::Lua("require('glassd')".to_owned(), Reply::Words(GREETING.to_owned())));
    steps
}

pub(super) fn take_photo(settings: CaptureSettings) -> Vec<Step> {
    let [resolution, pan] = [settings.resolution / 2, PAN + PAN_OFFSET].map(u16::to_be_bytes);
    message(CAPTURE, &[&[settings.quality], &resolution[..], &pan, &[0]].concat())
}

/// Starts the microphone, or stops it.
pub(super) fn microphone(sound: Option<Sound>) -> Vec<Step> {
    let [high, low] = sound.map_or(0, Sound::rate).to_be_bytes();
    message(MICROPHONE, &[high, low, sound.map_or(0, Sound::depth)])
}

pub(super) fn show(page: &Page) -> Vec<Step> {
    let header = [0, 1, 0, 1, WHITE, display::SPACING];
    message(TEXT, &[&header, page.lines.join("\n").as_bytes()].concat())
}

/// Cuts a message of less than 64 KiB into chunks.
fn message(code: u8, payload: &[u8]) -> Vec<Step> {
    let [high, low] = u16::try_from(payload.len()).expect("a page has some hundred characters").to_be_bytes();
    let (first, rest) = payload.split_at(payload.len().min(MAX_WRITE - 4));
    let rest = rest.chunks(MAX_WRITE - 2).map(|chunk| [&[1, code], chunk].concat());
    std::iter::once([&[1, code, high, low], first].concat()).chain(rest).map(Step::Chunk).collect()
}

pub(super) fn decode(value: &[u8]) -> Result<Message<'_>, DropReason> {
    match value {
        [1, 0] => Ok(Message::Acknowledgement(true)),
        [1, 1] => Ok(Message::Acknowledgement(false)),
        [1, 5, samples @ ..] => Ok(Message::Audio(samples)),
        [1, 6, samples @ ..] => Ok(Message::AudioEnd(samples)),
        [1, 7, jpeg @ ..] => Ok(Message::Photo(jpeg)),
        [1, 8, jpeg @ ..] => Ok(Message::PhotoEnd { jpeg, packets: None }),
        [1, 9] => Ok(Message::Tap),
        [1, 0x0A, _, raw @ ..] => Ok(Message::Motion(motion(raw).ok_or(DropReason::Malformed)?)),
        [1, 0x0C, percent @ 0..=100] => Ok(Message::Battery(*percent)),
        [1, 0x0C, _] => Err(DropReason::UnknownValue),
        [] | [1] | [1, 0 | 1 | 9 | 0x0A | 0x0C, ..] => Err(DropReason::Malformed),
        [1, ..] => Err(DropReason::UnknownValue),
        text => Ok(Message::Text(std::str::from_utf8(text).map_err(|_| DropReason::Malformed)?)),
    }
}

/// Reads compass and accelerometer; of the compass nothing is told, as its units are not known.
fn motion(raw: &[u8]) -> Option<Motion> {
    let raw: &[u8; 12] = raw.try_into().ok()?;
    let axis = |at: usize| f32::from(i16::from_le_bytes([raw[at], raw[at + 1]])) / GRAVITY;
    Some(Motion { acceleration: [axis(6), axis(8), axis(10)], rotation: None })
}
