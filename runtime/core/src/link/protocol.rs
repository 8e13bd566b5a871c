//! What every vendor's protocol is to the gateway.

use std::fmt;
use std::time::Duration;

use super::{Characteristic, LinkCommand, LinkEvent, Write};
use crate::time::Timestamp;

/// One connection to a pair of glasses: notifications, commands and time in, events and writes out.
///
/// After each call poll all events and all writes. Writes are sent in order; each is acknowledged by the radio, not
/// by the glasses: where a protocol has acknowledgements of its own, the next write comes when they did.
/// Foreign bytes end at worst as [`LinkEvent::Dropped`], at a bounded cost in memory and time.
pub trait Protocol: fmt::Debug + Send {
    /// Begins the conversation: all characteristics are subscribed to. After a link was lost the same connection may
    /// begin again: what was on its way is forgotten.
    fn handle_connected(&mut self, _now: Timestamp) {}

    /// Takes a notified value, or one that was read.
    fn handle_notification(&mut self, characteristic: Characteristic, value: &[u8], now: Timestamp);

    /// Does what is due: heartbeats, and asking again for what has not come.
    fn handle_timeout(&mut self, _now: Timestamp) {}

    /// Returns when something is due.
    fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// Returns when a photo that is on its way would be given up, if nothing more of it came; `None` where none is.
    /// Until then no other one is asked for: its pieces would come among those of the first.
    fn photo_due(&self) -> Option<Timestamp> {
        None
    }

    /// Yields the next event.
    fn poll_event(&mut self) -> Option<LinkEvent>;

    /// Yields the next write.
    fn poll_write(&mut self) -> Option<Write>;

    /// Turns a command into writes.
    fn handle_command(&mut self, command: &LinkCommand, now: Timestamp) -> Result<(), Unsupported>;

    /// Returns what these glasses have, as far as is known by now.
    fn abilities(&self) -> Abilities;
}

/// The glasses have no such command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the glasses cannot do that")]
pub struct Unsupported;

/// What a pair of glasses has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Its camera.
    pub camera: Option<CameraAbilities>,
    /// Whether it sends what it hears.
    pub microphone: bool,
    /// Whether it shows text.
    pub display: bool,
    /// Whether it can buzz.
    pub haptics: bool,
}

/// What a camera can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CameraAbilities {
    /// Least time between two photos that the protocol allows.
    pub shortest_interval: Duration,
    /// Whether its size and quality can be set.
    pub is_adjustable: bool,
    /// Time between the photos that its firmware takes by itself, until it is told to stop; it cannot be set. `None`
    /// where it takes none by itself.
    pub own_interval: Option<Duration>,
}
