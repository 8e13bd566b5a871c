//! The link to simulated glasses: drives the simulator in real time, through its simulated radio.

use std::time::Duration;

use glassd_core::gateway::Input;
use glassd_core::link::{Profile, Write, omi};
use glassd_core::{GlassesId, QueryId};
use glassd_sim::glasses::OmiGlasses;
use glassd_sim::radio::{Radio, RadioSettings};
use glassd_sim::world::Room;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::GlassesConfig;
use crate::daemon::MAX_WRITES;
use crate::event_loop::Event;

/// Stage directions that wait. Full-queue rule: the director waits.
const MAX_DIRECTIONS: usize = 8;
/// What simulated firmware says of itself.
const FIRMWARE: &str = "2.3.2";

/// What the director of a demo can do to the glasses.
#[derive(Debug)]
pub enum Direction {
    /// The wearer looks at another room.
    LookAt(Box<Room>),
    /// The wearer presses the button.
    Press,
    /// Photos no longer decode.
    BreakCamera,
    /// The link is cut for so long.
    Cut(Duration),
    /// Tells what the wearer was told: answers only, by query.
    Answers(oneshot::Sender<Vec<(QueryId, String)>>),
}

/// A running link.
#[derive(Debug)]
pub struct SimulatedLink {
    /// Takes GATT writes.
    pub writes: mpsc::Sender<Write>,
    /// Takes stage directions.
    pub directions: mpsc::Sender<Direction>,
    /// Ends when the daemon's loop does.
    pub task: JoinHandle<()>,
}

/// Starts glasses in the room of their seed, and their link.
pub fn spawn(config: &GlassesConfig, events: mpsc::Sender<Event>, clock: Clock) -> SimulatedLink {
    let (writes, writes_in) = mpsc::channel(MAX_WRITES);
    let (directions, directions_in) = mpsc::channel(MAX_DIRECTIONS);
    let radio = RadioSettings { goodput: config.goodput_bytes_per_s, ..RadioSettings::default() };
    let link = Link {
        id: config.name.clone(),
        glasses: OmiGlasses::new(config.seed),
        radio: Radio::with(config.seed, radio),
        events,
        clock,
        connected: false,
        healed_at: None,
    };
    let task = tokio::spawn(link.run(writes_in, directions_in));
    SimulatedLink { writes, directions, task }
}

struct Link {
    id: GlassesId,
    glasses: OmiGlasses,
    radio: Radio,
    events: mpsc::Sender<Event>,
    clock: Clock,
    connected: bool,
    healed_at: Option<tokio::time::Instant>,
}

impl Link {
    async fn run(mut self, mut writes: mpsc::Receiver<Write>, mut directions: mpsc::Receiver<Direction>) {
        self.glasses.look_at(Room::random(self.glasses.seed()), self.clock.now());
        if !self.connect().await {
            return;
        }
        let mut directed = true;
        loop {
            let now = self.clock.now();
            let due = self.glasses.poll_timeout().into_iter().chain(self.radio.poll_timeout()).min();
            let wake = due.map(|at| self.clock.instant(at)).into_iter().chain(self.healed_at).min();
            tokio::select! {
                write = writes.recv() => match write {
                    Some(write) if self.connected => self.glasses.handle_write(&write, now),
                    Some(_) => {}
                    None => return,
                },
                direction = directions.recv(), if directed => match direction {
                    Some(direction) => self.follow(direction).await,
                    None => directed = false,
                },
                () = sleep_until(wake) => {}
            }
            if !self.turn().await {
                return;
            }
        }
    }

    /// Moves what is due: glasses → radio → core. `false` when the daemon has ended.
    async fn turn(&mut self) -> bool {
        let now = self.clock.now();
        if self.healed_at.is_some_and(|at| at <= tokio::time::Instant::now()) {
            self.healed_at = None;
            if !self.connect().await {
                return false;
            }
        }
        while let Some((characteristic, value)) = self.glasses.poll_notification(now) {
            if self.connected {
                self.radio.send(characteristic, value, now);
            }
        }
        while let Some((characteristic, value)) = self.radio.poll(now) {
            let input = Input::Notification { glasses: self.id.clone(), characteristic, value };
            if self.events.send(Event::Input(input)).await.is_err() {
                return false;
            }
        }
        true
    }

    async fn connect(&mut self) -> bool {
        self.connected = true;
        self.glasses.handle_connect(self.clock.now());
        let input = Input::GlassesConnected {
            glasses: self.id.clone(),
            profile: Profile::Omi(omi::Firmware::from_revision(FIRMWARE)),
            device_fps_limit: None,
        };
        self.events.send(Event::Input(input)).await.is_ok()
    }

    async fn follow(&mut self, direction: Direction) {
        match direction {
            Direction::LookAt(room) => self.glasses.look_at(*room, self.clock.now()),
            Direction::Press => self.glasses.press(self.clock.now()),
            Direction::BreakCamera => self.glasses.break_camera(),
            Direction::Cut(duration) => {
                self.connected = false;
                self.radio.clear();
                self.healed_at = Some(tokio::time::Instant::now() + duration);
                let input = Input::GlassesDisconnected { glasses: self.id.clone() };
                // A daemon that has ended is noticed at the next turn.
                let _ = self.events.send(Event::Input(input)).await;
            }
            // Who asked may be gone.
            Direction::Answers(reply) => drop(reply.send(self.glasses.answers().to_vec())),
        }
    }
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
