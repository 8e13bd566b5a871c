//! How the link to a pair of glasses stands, and how well it carries.

use std::time::Duration;

use glassd_core::Timestamp;
use serde_json::{Value, json};

/// Over how long the goodput is a mean.
const WINDOW: Duration = Duration::from_secs(5);

/// What a link does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It has not begun.
    #[default]
    Begins,
    /// It looks for the glasses.
    Searching,
    /// It connects to the glasses that it found.
    Connecting,
    /// It is up.
    Up {
        /// Whom it is to.
        address: String,
        /// Longest packet of the attribute protocol, in bytes.
        mtu: u16,
        /// Signal strength in dBm when the glasses were last heard advertising; BlueZ tells none of a link.
        rssi: Option<i16>,
    },
    /// It failed or was lost, and waits before it tries again.
    Waiting {
        /// Why.
        reason: String,
    },
}

/// How a link stands.
#[derive(Clone, Debug, Default)]
pub struct LinkStatus {
    stage: Stage,
    /// Times that glasses were there.
    connections: u64,
    connected_at: Option<Timestamp>,
    lost_at: Option<Timestamp>,
    /// Between the glasses' being there and their first frame, the last time.
    first_frame: Option<Duration>,
    last_loss: Option<String>,
    notifications: u64,
    bytes: u64,
    /// When the window at hand began, and its bytes.
    window: Option<(Timestamp, u64)>,
    /// Bytes a second over the last whole window.
    goodput: f64,
}

impl LinkStatus {
    /// Takes what a link does now.
    pub fn handle_stage(&mut self, stage: Stage) {
        if let Stage::Waiting { reason } = &stage {
            self.last_loss = Some(reason.clone());
        }
        self.stage = stage;
    }

    /// The glasses are there.
    pub fn handle_connected(&mut self, now: Timestamp) {
        self.connections += 1;
        self.connected_at = Some(now);
        self.first_frame = None;
        self.window = Some((now, 0));
    }

    /// The glasses are gone.
    pub fn handle_disconnected(&mut self, now: Timestamp) {
        if self.connected_at.take().is_some() {
            self.lost_at = Some(now);
        }
        self.window = None;
        self.goodput = 0.0;
    }

    /// So many bytes came.
    pub fn handle_notification(&mut self, bytes: usize, now: Timestamp) {
        self.notifications += 1;
        self.bytes += bytes as u64;
        let Some((began, carried)) = &mut self.window else { return };
        *carried += bytes as u64;
        let lasted = now.since(*began);
        if lasted >= WINDOW {
            self.goodput = *carried as f64 / lasted.as_secs_f64();
            self.window = Some((now, 0));
        }
    }

    /// A whole frame came. Returns, for the first one of a link, how long it took from when the glasses were there, and
    /// from when they were lost.
    pub fn handle_frame(&mut self, now: Timestamp) -> Option<FirstFrame> {
        if self.first_frame.is_some() {
            return None;
        }
        let took = now.since(self.connected_at?);
        self.first_frame = Some(took);
        Some(FirstFrame { since_connected: took, since_lost: self.lost_at.take().map(|at| now.since(at)) })
    }

    /// Returns numbers for `/metrics`.
    pub fn figures(&self, now: Timestamp) -> Figures {
        Figures {
            is_up: self.connected_at.is_some(),
            connections: self.connections,
            notifications: self.notifications,
            bytes: self.bytes,
            goodput: self.goodput_at(now),
            rssi: match self.stage {
                Stage::Up { rssi, .. } => rssi,
                _ => None,
            },
            first_frame: self.first_frame,
        }
    }

    /// Returns what `status` shows.
    pub fn describe(&self, now: Timestamp) -> Value {
        let stage = match &self.stage {
            Stage::Up { .. } | Stage::Begins if self.connected_at.is_some() => "up",
            Stage::Begins => "not begun",
            Stage::Searching => "searching",
            Stage::Connecting | Stage::Up { .. } => "connecting",
            Stage::Waiting { .. } => "waiting to try again",
        };
        let mut link = json!({
            "stage": stage,
            "connections": self.connections,
            "notifications": self.notifications,
            "goodput_bytes_per_s": self.goodput_at(now).round(),
            "first_frame_ms": self.first_frame.map(|took| took.as_millis() as u64),
            "up_s": self.connected_at.map(|at| now.since(at).as_secs()),
            "last_loss": self.last_loss,
        });
        if let Stage::Up { address, mtu, rssi } = &self.stage {
            link["address"] = json!(address);
            link["mtu"] = json!(mtu);
            link["rssi_dbm"] = json!(rssi);
        }
        link
    }

    /// Silence is told by nobody: a window that is long over carried what it has.
    fn goodput_at(&self, now: Timestamp) -> f64 {
        match self.window {
            Some((began, carried)) if now.since(began) > 2 * WINDOW => {
                carried as f64 / now.since(began).as_secs_f64()
            }
            _ => self.goodput,
        }
    }
}

/// How long the first frame of a link took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstFrame {
    /// From when the glasses were there.
    pub since_connected: Duration,
    /// From when they were lost; `None` the first time.
    pub since_lost: Option<Duration>,
}

/// A link in numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Whether the glasses are there.
    pub is_up: bool,
    /// Times that they were there.
    pub connections: u64,
    /// Notifications since the start.
    pub notifications: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes a second.
    pub goodput: f64,
    /// Signal strength in dBm.
    pub rssi: Option<i16>,
    /// Between their being there and their first frame.
    pub first_frame: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1000)
    }

    #[test]
    fn the_first_frame_is_timed_once_for_each_link() {
        let mut link = LinkStatus::default();
        assert_eq!(link.handle_frame(at(5)), None, "glasses that are not there");
        link.handle_connected(at(100));
        let first = FirstFrame { since_connected: Duration::from_millis(200), since_lost: None };
        assert_eq!(link.handle_frame(at(300)), Some(first));
        assert_eq!(link.handle_frame(at(400)), None);
        link.handle_disconnected(at(1000));
        link.handle_disconnected(at(1500));
        link.handle_connected(at(2000));
        let first = link.handle_frame(at(2100)).expect("the first of the second link");
        assert_eq!(first.since_lost, Some(Duration::from_millis(1100)));
        assert_eq!(link.figures(at(2100)).connections, 2);
    }

    #[test]
    fn goodput_is_of_the_last_window_and_falls_with_silence() {
        let mut link = LinkStatus::default();
        link.handle_connected(at(0));
        for n in 1..=50 {
            link.handle_notification(1000, at(n * 100));
        }
        assert_eq!(link.figures(at(5000)).goodput, 10_000.0);
        link.handle_notification(1000, at(5100));
        assert_eq!(link.figures(at(9000)).goodput, 10_000.0);
        assert_eq!(link.figures(at(105_000)).goodput, 10.0);
        link.handle_disconnected(at(105_000));
        assert_eq!(link.figures(at(105_000)).goodput, 0.0);
    }

    #[test]
    fn a_link_is_up_when_the_core_has_heard_of_it() {
        let mut link = LinkStatus::default();
        link.handle_stage(Stage::Up { address: "C0:11:22:33:44:55".to_owned(), mtu: 517, rssi: None });
        assert_eq!(link.describe(at(0))["stage"], "connecting");
        link.handle_connected(at(0));
        assert_eq!(link.describe(at(0))["stage"], "up");
        link.handle_disconnected(at(1));
        link.handle_stage(Stage::Waiting { reason: "the link was lost".to_owned() });
        assert_eq!(link.describe(at(2))["stage"], "waiting to try again");
        assert_eq!(link.describe(at(2))["last_loss"], "the link was lost");
    }
}
