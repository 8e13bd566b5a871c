//! What glasses recorded while nobody was connected, kept on disk: a [folder](folder) for each pair, written by one thread.
//!
//! Only glasses with `offline_audio = true` have one: sound of people is kept with their consent alone. Invariants:
//! - what was told as kept survives kill −9 and power loss, and is not fetched again;
//! - each folder stays within its size: the oldest is given up.

mod folder;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context as _;
use glassd_core::GlassesId;
use glassd_core::gateway::{Input, MAX_GLASSES, Recording};
use tokio::sync::mpsc::Sender;

use self::folder::Folder;
use crate::config::GlassesConfig;
use crate::event_loop::Event;

/// Batches that wait for the disk: the core has one of each pair of glasses written at a time, so it is never full.
const QUEUE: usize = MAX_GLASSES;

/// Handle to the thread that keeps recordings.
#[derive(Debug)]
pub struct Recordings {
    batches: SyncSender<Recording>,
    given_up: Arc<AtomicU64>,
}

/// The thread, ready, and what the folders hold.
#[derive(Debug)]
pub struct Opened {
    /// Takes batches.
    pub recordings: Recordings,
    /// Glasses whose recordings are kept, each with the record after the last on disk.
    pub kept: BTreeMap<GlassesId, u64>,
}

impl Recordings {
    /// Opens or makes a folder for each pair of glasses whose recordings are wanted, and starts the thread `recordings`,
    /// which waits while `events` is full. `None` where no recordings are wanted.
    pub fn open(
        state_dir: &Path,
        glasses: &[GlassesConfig],
        events: Sender<Event>,
    ) -> anyhow::Result<Option<Opened>> {
        let mut folders = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for one in glasses.iter().filter(|one| one.offline_audio) {
            let path = state_dir.join("recordings").join(one.name.as_str());
            let (folder, next) = Folder::open(&path, one.offline_audio_mb * 1_000_000)
                .with_context(|| format!("cannot keep recordings in {}", path.display()))?;
            folders.insert(one.name.clone(), folder);
            kept.insert(one.name.clone(), next);
        }
        if folders.is_empty() {
            return Ok(None);
        }
        let (batches, inbox) = sync_channel(QUEUE);
        let given_up = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&given_up);
        std::thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || run(&folders, inbox, &count, &events))
            .context("cannot start the thread that keeps recordings")?;
        Ok(Some(Opened { recordings: Self { batches, given_up }, kept }))
    }

    /// Has a batch written; the thread tells how it went. Never waits. Says that it failed where the thread has ended.
    pub fn keep(&self, recording: Recording) -> Option<Input> {
        let (glasses, up_to) = (recording.glasses.clone(), recording.next);
        let taken = self.batches.try_send(recording);
        taken.is_err().then_some(Input::RecordingFailed { glasses, up_to })
    }

    /// Returns how many batches made room for newer ones.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }
}

fn run(
    folders: &BTreeMap<GlassesId, Folder>,
    inbox: Receiver<Recording>,
    given_up: &AtomicU64,
    events: &Sender<Event>,
) {
    for recording in inbox {
        let Recording { glasses, next: up_to, .. } = recording.clone();
        let kept = folders
            .get(&glasses)
            .ok_or_else(|| std::io::Error::other("no recordings of these glasses are wanted"))
            .and_then(|folder| folder.keep(&recording));
        let input = match kept {
            Ok(made_room) => {
                given_up.fetch_add(made_room, Ordering::Relaxed);
                if made_room > 0 {
                    tracing::warn!(%glasses, batches = made_room, "old recordings made room for new ones");
                }
                Input::RecordingKept { glasses, up_to }
            }
            Err(error) => {
                tracing::error!(%glasses, %error, "a recording could not be kept; it stays on the glasses");
                Input::RecordingFailed { glasses, up_to }
            }
        };
        // Nobody listens any more while the daemon stops: what is on disk is known at the next start.
        let _ = events.blocking_send(Event::Input(input));
    }
}
