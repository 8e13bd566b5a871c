//! Glasses that speak MentraOS' own BLE protocol with JSON control messages.
//!
//! Facts from `mcu_client/firmware_spec.md` v1.1 (June 2025), and, where a number is marked so, from the firmware
//! (`nrf5340_ble_simulator`, `pdm_audio_stream.c`), which wins. The first byte tells what a value is:
//!
//! | value | meaning |
//! |---|---|
//! | `01` then UTF-8 JSON | a control message, see `json`: one message a value, no length |
//! | `A0 [stream u8]` then LC3 frames | audio: 5 frames of 40 bytes (firmware), 10 ms each at 16 kHz; stream 0 is the microphone (firmware; v2 of the document says 1), so the stream is not looked at. Nothing counts the values: a loss cannot be told |
//! | `B0 [stream u16 BE][index u8]` then bytes | a chunk of an image, see `image` |
//! | `02` then protobuf | control messages since v2 of the document: not read, counted |
//!
//! The document has no command that takes a photo, and images only towards the glasses. So these glasses have no camera
//! for the gateway; an image that they send in the document's frames is taken all the same.

mod connection;
mod image;
mod json;
mod pages;

use super::Characteristic;
pub use connection::{Connection, HEARTBEAT};
pub use image::MAX_CHUNKS;
pub use pages::{MAX_TEXT, PAGE_TIME};

/// Every characteristic that these glasses have.
pub const CHARACTERISTICS: [Characteristic; 2] = [Characteristic::MentraTx, Characteristic::MentraRx];
/// Bytes of an LC3 frame: 32 kbit/s in frames of 10 ms (`pdm_audio_stream.c`: 5 frames are 202 bytes with the header).
pub const LC3_FRAME: usize = 40;
/// Longest value that is written, in bytes. The document names no MTU; 247 is what one packet of the radio carries.
pub const LONGEST_WRITE: usize = 247 - 3;
