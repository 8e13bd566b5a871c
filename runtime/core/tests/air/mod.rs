//! A protocol in virtual time, with glasses at the other end that are played by the test.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

pub mod even;
pub mod frame;

use std::collections::VecDeque;
use std::time::Duration;

use glassd_core::link::answer_text::Kind;
use glassd_core::link::{Characteristic, LinkCommand, LinkEvent, Profile, Protocol, Unsupported, Write};
use glassd_core::{QueryId, Timestamp};
use proptest::prelude::*;

pub const START: Timestamp = Timestamp::from_secs(1_700_000_000);

pub type Notification = (Characteristic, Vec<u8>);

/// Every letter was shown in its order, or, where 20 pages do not hold them, as many as they do.
pub fn check_shown(shown: &str, text: &str, pages: usize) -> Result<(), TestCaseError> {
    let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let (shown, text) = (letters(shown), letters(text));
    if shown != text {
        prop_assert_eq!(pages, 20);
        prop_assert!(shown.strip_suffix("...").is_some_and(|shown| text.starts_with(shown)), "{}", shown);
    }
    Ok(())
}

/// Glasses: what they answer to a write, at once.
pub trait Device {
    fn handle_write(&mut self, write: &Write) -> Vec<Notification>;
}

/// What becomes of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Arrives,
    Lost,
    Twice,
    /// It comes after the next one.
    Late,
}

/// The link between them.
pub struct Air<D> {
    pub protocol: Box<dyn Protocol>,
    pub device: D,
    pub now: Timestamp,
    pub events: Vec<LinkEvent>,
    pub writes: Vec<Write>,
    pub notifications: Vec<Notification>,
    /// Fates of the next notifications; all later ones arrive.
    pub fates: VecDeque<Fate>,
    on_air: VecDeque<Notification>,
}

impl<D: Device> Air<D> {
    pub fn connect(profile: Profile, device: D) -> Self {
        let mut air = Self {
            protocol: profile.connect(),
            device,
            now: START,
            events: Vec::new(),
            writes: Vec::new(),
            notifications: Vec::new(),
            fates: VecDeque::new(),
            on_air: VecDeque::new(),
        };
        air.protocol.handle_connected(air.now);
        air.settle();
        air
    }

    pub fn command(&mut self, command: &LinkCommand) -> Result<(), Unsupported> {
        let result = self.protocol.handle_command(command, self.now);
        self.settle();
        result
    }

    pub fn show(&mut self, text: &str) {
        let command = LinkCommand::Show { kind: Kind::Answer, query: QueryId(1), text: text.to_owned() };
        self.command(&command).expect("there is a display");
    }

    /// The glasses say something of themselves.
    pub fn notify(&mut self, characteristic: Characteristic, value: &[u8]) {
        self.on_air.push_back((characteristic, value.to_vec()));
        self.settle();
    }

    /// Lets time pass, and what is due happen.
    pub fn wait(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut timeouts = 0;
        while let Some(due) = self.protocol.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.protocol.handle_timeout(self.now);
            self.settle();
            let next = self.protocol.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "it is not done with what was due: {:?}",
                self.protocol
            );
            timeouts += 1;
            assert!(timeouts < 1000 + 100 * duration.as_secs(), "it spins: {:?}", self.protocol);
        }
        self.now = until;
    }

    pub fn take_events(&mut self) -> Vec<LinkEvent> {
        std::mem::take(&mut self.events)
    }

    pub fn take_writes(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.writes)
    }

    fn settle(&mut self) {
        loop {
            while let Some(event) = self.protocol.poll_event() {
                self.events.push(event);
            }
            if let Some(write) = self.protocol.poll_write() {
                self.on_air.extend(self.device.handle_write(&write));
                self.writes.push(write);
            } else if let Some(notification) = self.on_air.pop_front() {
                self.deliver(notification);
            } else {
                return;
            }
        }
    }

    fn deliver(&mut self, notification: Notification) {
        let times = match self.fates.pop_front() {
            None | Some(Fate::Arrives) => 1,
            Some(Fate::Lost) => 0,
            Some(Fate::Twice) => 2,
            Some(Fate::Late) => {
                let at = self.on_air.len().min(1);
                self.on_air.insert(at, notification);
                return;
            }
        };
        for _ in 0..times {
            self.protocol.handle_notification(notification.0, &notification.1, self.now);
            self.notifications.push(notification.clone());
        }
    }
}
