//! Brilliant Labs' Frame: a camera, a microphone and a display behind one characteristic each way, and Lua.
//!
//! Facts from the vendor's firmware (`frame-codebase/source/application/bluetooth.c`, `luaport.c`,
//! `lua_libraries/`) and from the packages that define what is spoken over it: `frame-ble`, `frame-msg`
//! (`CitizenOneX/frame_msg_python`) and `frame-sdk` 1.2.4.
//!
//! What is written begins with:
//!
//! | byte | meaning |
//! |---|---|
//! | `01` | data for the callback of the app on the Frame |
//! | `03` | break: what runs ends with an error |
//! | `04` | reset: Lua begins anew |
//! | else | Lua source, without a byte 0; the firmware has room for one line of it at a time (`repl_buffer`) |
//!
//! What is notified begins with `01` where it is data; all else is text that Lua printed. Values have at most
//! [`MAX_WRITE`] bytes. A Frame is bonded to one host: to others it is there and hangs up.
//!
//! The messages are the app's own, so there are two sets of them: see [`Messages`], `frame_msg` and `sdk`.
//! Neither numbers its photo packets; `frame-sdk` tells how many there were. ATT keeps their order, and our app ends
//! when it cannot send one, so what can be missing is an end: a photo must begin with FF D8 and end with FF D9.
//!
//! The camera is turned: photos are upright once they are turned by 90° anticlockwise (`rx_photo.py`).

mod connection;
mod display;
mod frame_msg;
mod lua;
mod messages;
mod photo;
mod sdk;
mod settings;
mod talk;
mod taps;

pub use connection::Connection;
pub use messages::Messages;
pub use photo::MAX_PHOTO;
pub use settings::{Settings, Sound};

use super::{AudioCodec, Characteristic, DropReason, Events, MAX_VALUE};

/// Every characteristic of a Frame.
pub const CHARACTERISTICS: [Characteristic; 2] = [Characteristic::FrameTx, Characteristic::FrameRx];
/// Longest value that is written: the MTU of 247 less 4.
pub const MAX_WRITE: usize = 243;
