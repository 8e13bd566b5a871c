//! How the last queries ended, readable beside a running gateway.

use std::path::{Path, PathBuf};

use glassd_core::{QueryId, Timestamp};
use glassd_policies::calibration::Outcome;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::database;

/// Ended queries that are kept; the oldest goes first.
pub(super) const KEPT: i64 = 10_000;

/// How one query ended, and why so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Which.
    pub query: QueryId,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The question.
    pub question: String,
    /// Where it was answered (`local`, `cloud`), or how else it ended.
    pub route: String,
    /// The answer, or the notice why there is none.
    pub answer: String,
    /// The whole explanation as JSON, with its reasons.
    pub json: String,
}

/// Why the history cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("history in {path}: {source}")]
pub struct HistoryError {
    path: PathBuf,
    source: rusqlite::Error,
}

/// Read-only view of the history, for `glassd why` in a process of its own.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

impl History {
    /// Opens the history in the outbox at `path`, which must exist.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        match connect(path) {
            Ok(connection) => Ok(Self { connection, path: path.to_owned() }),
            Err(source) => Err(HistoryError { path: path.to_owned(), source }),
        }
    }

    /// Returns how a query ended; `None` where it did not end yet, or is forgotten.
    pub fn lookup(&self, query: QueryId) -> Result<Option<Explanation>, HistoryError> {
        let found = self.connection.query_row(
            "SELECT id, asked_at, ended_at, question, route, answer, explanation FROM history WHERE id = ?1",
            [query.to_string()],
            explanation,
        );
        found.optional().map_err(|source| self.error(source))
    }

    /// Returns the `count` queries that ended last, the newest first.
    pub fn last(&self, count: u32) -> Result<Vec<Explanation>, HistoryError> {
        self.read_last(count).map_err(|source| self.error(source))
    }

    /// Returns what became known of local candidates, the oldest first, and the number of the newest.
    pub fn outcomes(&self) -> Result<(Vec<Outcome>, i64), HistoryError> {
        super::outcomes::all(&self.connection).map_err(|source| self.error(source))
    }

    fn read_last(&self, count: u32) -> rusqlite::Result<Vec<Explanation>> {
        let mut statement = self.connection.prepare(
            "SELECT id, asked_at, ended_at, question, route, answer, explanation FROM history \
             ORDER BY seq DESC LIMIT ?1",
        )?;
        statement.query_map([count], explanation)?.collect()
    }

    fn error(&self, source: rusqlite::Error) -> HistoryError {
        HistoryError { path: self.path.clone(), source }
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(database::BUSY)?;
    Ok(connection)
}

fn explanation(row: &Row<'_>) -> rusqlite::Result<Explanation> {
    Ok(Explanation {
        query: database::query_id(row, 0)?,
        asked_at: database::timestamp(row, 1)?,
        ended_at: database::timestamp(row, 2)?,
        question: row.get(3)?,
        route: row.get(4)?,
        answer: row.get(5)?,
        json: row.get(6)?,
    })
}
