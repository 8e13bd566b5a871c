//! How the last queries ended, readable beside a running gateway.

use std::path::{Path, PathBuf};

use glassd_core::QueryId;
use glassd_core::query::Answered;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{FILE_NAME, database};

/// Ended queries that are kept; the oldest goes first.
pub(super) const KEPT: i64 = 10_000;

/// Why the history cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("history in {path}: {reason}")]
pub struct HistoryError {
    path: PathBuf,
    reason: String,
}

/// Read-only view of the history, for `glassd why` in a process of its own.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

impl History {
    /// Opens the history of the outbox in `folder`, which must exist.
    pub fn open(folder: &Path) -> Result<Self, HistoryError> {
        let path = folder.join(FILE_NAME);
        match connect(&path) {
            Ok(connection) => Ok(Self { connection, path }),
            Err(error) => Err(HistoryError { path, reason: error.to_string() }),
        }
    }

    /// Returns how a query ended; `None` where it did not end yet, or is forgotten.
    pub fn lookup(&self, query: QueryId) -> Result<Option<Answered>, HistoryError> {
        let found: rusqlite::Result<String> = self.connection.query_row(
            "SELECT explanation FROM history WHERE id = ?1",
            [query.to_string()],
            |row| row.get(0),
        );
        let found = found.optional().map_err(|error| self.error(&error))?;
        found.map(|json| self.parse(&json)).transpose()
    }

    /// Returns the `count` queries that ended last, the newest first.
    pub fn last(&self, count: u32) -> Result<Vec<Answered>, HistoryError> {
        let found = self.read_last(count).map_err(|error| self.error(&error))?;
        found.iter().map(|json| self.parse(json)).collect()
    }

    fn read_last(&self, count: u32) -> rusqlite::Result<Vec<String>> {
        let mut statement =
            self.connection.prepare("SELECT explanation FROM history ORDER BY seq DESC LIMIT ?1")?;
        statement.query_map([count], |row| row.get(0))?.collect()
    }

    fn parse(&self, json: &str) -> Result<Answered, HistoryError> {
        serde_json::from_str(json).map_err(|error| self.error(&error))
    }

    fn error(&self, error: &dyn std::error::Error) -> HistoryError {
        HistoryError { path: self.path.clone(), reason: error.to_string() }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(database::BUSY)?;
    Ok(connection)
}
