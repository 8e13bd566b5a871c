//! Even Realities' G1: a display and a microphone, no camera, and a Bluetooth device for each arm.
//!
//! Facts from the vendor's app (`EvenDemoApp`: `README.md`, `lib/ble_manager.dart`, `lib/services/proto.dart`,
//! `evenai_proto.dart`, `evenai.dart`, `ios/Runner/BluetoothManager.swift`); its firmware is not public. What is said
//! to both arms is said to the left one first, and to the right one once the left has acknowledged it.
//!
//! | written | then | to | answered with |
//! |---|---|---|---|
//! | `4D` | `01` | each arm, when its link is up | not waited for |
//! | `0E` | 1 on, 0 off | right | `0E`, status, the same |
//! | `25` | `06 00`, seq u8, `04`, seq u8; every 8 s | both | `25`, 3 B, `04` |
//! | `4E` | a packet of a page, see `text` | both | `4E`, status |
//!
//! Status: `C9` done, `CB` go on, `CA` failed.
//!
//! | notified | then | meaning |
//! |---|---|---|
//! | `F1` | seq u8, 200 B | audio of the right arm, see `audio` |
//! | `F5` | `00` | two taps |
//! | | `01` | one tap |
//! | | `04`, `05` | three taps: the glasses turn their silent mode on or off by themselves |
//! | | `17`, `18` | the left side is held; it is let go |

mod audio;
mod connection;
mod requests;
mod text;

pub use connection::Connection;
pub use text::MAX_TEXT;

use super::{Arm, Characteristic, DropReason, Events, MAX_VALUE};

/// The characteristics of the left arm.
pub const LEFT: [Characteristic; 2] = [Characteristic::EvenTx(Arm::Left), Characteristic::EvenRx(Arm::Left)];
/// The characteristics of the right arm.
pub const RIGHT: [Characteristic; 2] =
    [Characteristic::EvenTx(Arm::Right), Characteristic::EvenRx(Arm::Right)];
