//! The outbox: every accepted query on disk until it has ended, and how the last ones ended.
//!
//! One SQLite file, written by one named thread. A row is written before anything else happens with
//! its query, and removed in the same transaction that writes the query's explanation to the history.
//!
//! Invariants:
//! - a request whose result is `Ok` survives kill −9 and power loss (`synchronous = FULL`);
//! - every request about a query that was taken gets exactly one [`OutboxEvent`], in the order of the requests;
//! - a damaged file is set aside, never deleted.

mod database;
mod history;
mod outcomes;
mod set_aside;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use glassd_core::QueryId;
use glassd_core::query::StoredQuery;
use glassd_policies::calibration::{Drift, Outcome};
use tokio::sync::mpsc::Sender;

pub use self::history::{Explanation, History, HistoryError};
pub use self::set_aside::SetAside;

use self::database::{Database, DatabaseError};

/// Requests that may wait for the disk. A full queue refuses the next request: its query is told so
/// rather than kept in memory, where it would not survive.
const QUEUE: usize = 256;

/// How long [`Outbox::close`] waits for the disk.
const CLOSE: Duration = Duration::from_secs(5);

/// Where the outbox is and how large it may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// The SQLite file; its folder is made (mode 0700) where missing.
    pub path: PathBuf,
    /// Largest size of the file in bytes; a request that needs more fails with [`StoreError::Full`].
    pub max_bytes: u64,
    /// How long the history remembers; `None` as long as there is room for it.
    pub history_lifetime: Option<Duration>,
    /// Number of the newest outcome that the calibration knows.
    pub known_outcome: i64,
}

impl OutboxSettings {
    /// Takes a path and the default size: 64 MiB, room for 256 open queries (the core's bound) with
    /// an image of 200 KB each, beside the history.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_bytes: 64 * 1024 * 1024, history_lifetime: None, known_outcome: 0 }
    }
}

/// The outbox, ready, and what it found.
#[derive(Debug)]
pub struct Opened {
    /// Takes requests.
    pub outbox: Outbox,
    /// The queries that outlived the last run, in the order in which they were accepted.
    pub queries: Vec<StoredQuery>,
    /// How wrong answers were lately, as far as the calibration does not know it.
    pub drift: Drift,
    /// The damaged file that had to make room, if one had to.
    pub set_aside: Option<SetAside>,
}

/// Why the outbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("outbox {0} is in use by another process")]
    InUse(PathBuf),
    /// A newer glassd wrote it.
    #[error("outbox {path} has schema version {found}, this glassd reads up to {supported}")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: i64,
        /// Newest version that is understood.
        supported: i64,
    },
    /// Reading, writing or making files failed.
    #[error("outbox {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("outbox {path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

/// What was asked of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// [`Outbox::store`].
    Store,
    /// [`Outbox::record_answer`].
    RecordAnswer,
    /// [`Outbox::end`].
    End,
}

/// How a request went.
#[derive(Debug)]
pub struct OutboxEvent {
    /// Which query.
    pub query: QueryId,
    /// What was asked.
    pub operation: Operation,
    /// `Ok` once it is on disk.
    pub result: Result<(), StoreError>,
}

/// Why a request failed; nothing of it is on disk, but for the removal of the row by [`Outbox::end`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: the disk or [`OutboxSettings::max_bytes`].
    #[error("the disk or the outbox is full")]
    Full,
    /// An answer for a query that has no row.
    #[error("the query has no row")]
    Unknown,
    /// Anything else SQLite or the system says.
    #[error("{0}")]
    Sqlite(rusqlite::Error),
}

/// Why a request was not taken; no [`OutboxEvent`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// Too many requests wait for the disk.
    #[error("{QUEUE} requests wait for the disk")]
    Busy,
    /// The thread has ended, which it does only when it panicked.
    #[error("the outbox thread has ended")]
    Stopped,
}

/// Why the outbox did not end well; what was taken last may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// The disk, or the reader of the events, is too slow.
    #[error("the outbox is not done after {} s", CLOSE.as_secs())]
    TooSlow,
    /// The thread panicked.
    #[error("the outbox thread panicked")]
    Panicked,
}

enum Request {
    Store(StoredQuery),
    RecordAnswer { query: QueryId, text: String },
    End(Explanation),
    KeepOutcome(Outcome, Drift),
}

/// Handle to the outbox thread.
#[derive(Debug)]
pub struct Outbox {
    requests: SyncSender<Request>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Outbox {
    /// Opens or makes the outbox and starts the thread `outbox`, which waits while `events` is full.
    pub fn open(settings: &OutboxSettings, events: Sender<OutboxEvent>) -> Result<Opened, OpenError> {
        let path = &settings.path;
        make_folder(path)?;
        let lock = lock(path)?;
        let ((database, queries, drift), set_aside) = match open_and_read(settings) {
            Ok(read) => (read, None),
            Err(DatabaseError::Damaged(reason)) => {
                let set_aside =
                    set_aside::set_aside(path, reason).map_err(|source| io_error(path, source))?;
                (open_and_read(settings).map_err(|error| open_error(path, error))?, Some(set_aside))
            }
            Err(error) => return Err(open_error(path, error)),
        };
        let (requests, inbox) = sync_channel(QUEUE);
        let (alive, ended) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || {
                let _alive = alive;
                run(&database, inbox, &events);
                drop(database);
                // Held until the file is closed.
                drop(lock);
            })
            .map_err(|source| io_error(path, source))?;
        Ok(Opened { outbox: Self { requests, ended, thread }, queries, drift, set_aside })
    }

    /// Writes a row, in place of an older one of the same query. Never waits.
    pub fn store(&self, row: StoredQuery) -> Result<(), NotTaken> {
        self.send(Request::Store(row))
    }

    /// Notes the answer in the row, which drops the message for the cloud. Never waits.
    pub fn record_answer(&self, query: QueryId, text: String) -> Result<(), NotTaken> {
        self.send(Request::RecordAnswer { query, text })
    }

    /// Removes the row, if there is one, and adds the explanation to the history; where there is no room
    /// for the explanation the row is removed all the same. Never waits.
    pub fn end(&self, explanation: Explanation) -> Result<(), NotTaken> {
        self.send(Request::End(explanation))
    }

    /// Keeps what became known of a candidate. Never waits, and has no [`OutboxEvent`]: one that is lost is one fewer.
    pub fn keep_outcome(&self, outcome: Outcome, drift: Drift) -> Result<(), NotTaken> {
        self.send(Request::KeepOutcome(outcome, drift))
    }

    /// Returns whether the thread still runs; false means that it panicked.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Writes what was taken, closes the file and waits for that, at most 5 s. Drop the receiver of the
    /// events before, or go on reading it.
    pub fn close(self) -> Result<(), CloseError> {
        drop(self.requests);
        if self.ended.recv_timeout(CLOSE) == Err(RecvTimeoutError::Timeout) {
            return Err(CloseError::TooSlow);
        }
        self.thread.join().map_err(|_| CloseError::Panicked)
    }

    fn send(&self, request: Request) -> Result<(), NotTaken> {
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Busy,
            TrySendError::Disconnected(_) => NotTaken::Stopped,
        })
    }
}

fn run(database: &Database, inbox: Receiver<Request>, events: &Sender<OutboxEvent>) {
    for request in inbox {
        let (query, operation, result) = match request {
            Request::Store(row) => (row.query, Operation::Store, database.store(&row)),
            Request::RecordAnswer { query, text } => {
                (query, Operation::RecordAnswer, database.record_answer(query, &text))
            }
            Request::KeepOutcome(outcome, drift) => {
                if let Err(error) = database.keep_outcome(&outcome, drift) {
                    tracing::warn!(%error, "what became known of a candidate is lost");
                }
                continue;
            }
            Request::End(explanation) => (explanation.query, Operation::End, database.end(&explanation)),
        };
        // Nobody listens any more while the daemon stops: what was asked is still written.
        let _ = events.blocking_send(OutboxEvent { query, operation, result });
    }
}

fn open_and_read(settings: &OutboxSettings) -> Result<(Database, Vec<StoredQuery>, Drift), DatabaseError> {
    let database = Database::open(settings)?;
    let (queries, drift) = (database.queries()?, database.drift(settings.known_outcome)?);
    Ok((database, queries, drift))
}

fn open_error(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::NewerSchema { found, supported } => OpenError::NewerSchema { path, found, supported },
        DatabaseError::Io(source) => OpenError::Io { path, source },
        DatabaseError::Sqlite(source) => OpenError::Sqlite { path, source },
        DatabaseError::Damaged(reason) => OpenError::Io { path, source: io::Error::other(reason) },
    }
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| io_error(folder, source))
}

/// Takes the lock file beside the outbox: two gateways on one outbox would ask every query twice.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = database::private_file(Path::new(&name)).map_err(|source| io_error(path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error(path, source)),
    }
}
