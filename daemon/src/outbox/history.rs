//! How the last queries ended, readable beside a running gateway.

use std::path::{Path, PathBuf};

use glassd_core::{QueryId, Timestamp};
use glassd_policies::calibration::Outcome;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::database;

/// Ended queries that are kept; the oldest goes first.
pub(super) const KEPT: i64 = 10_000;

/// Words of questions and answers, and where they are. What is purged is overwritten in it too.
pub(super) const SEARCH_SCHEMA: &str = "
CREATE VIRTUAL TABLE history_words USING fts5(
    question, answer, content = 'history', content_rowid = 'seq', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO history_words (history_words, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER history_added AFTER INSERT ON history BEGIN
    INSERT INTO history_words (rowid, question, answer) VALUES (new.seq, new.question, new.answer);
END;
CREATE TRIGGER history_removed AFTER DELETE ON history BEGIN
    INSERT INTO history_words (history_words, rowid, question, answer)
    VALUES ('delete', old.seq, old.question, old.answer);
END;
INSERT INTO history_words (history_words) VALUES ('rebuild');
CREATE INDEX history_ended ON history (ended_at);
";

const COLUMNS: &str = "id, asked_at, ended_at, question, route, answer, explanation";

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

/// View of the history, for commands in a process of their own.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
}

impl History {
    /// Opens the history in the outbox at `path`, which must exist, to read it.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        Self::open_as(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens it to purge it.
    pub fn open_to_purge(path: &Path) -> Result<Self, HistoryError> {
        Self::open_as(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn open_as(path: &Path, mode: OpenFlags) -> Result<Self, HistoryError> {
        match connect(path, mode) {
            Ok(connection) => Ok(Self { connection, path: path.to_owned() }),
            Err(source) => Err(HistoryError { path: path.to_owned(), source }),
        }
    }

    /// Returns how a query ended; `None` where it did not end yet, or is forgotten.
    pub fn lookup(&self, query: QueryId) -> Result<Option<Explanation>, HistoryError> {
        let select = format!("SELECT {COLUMNS} FROM history WHERE id = ?1");
        let found = self.connection.query_row(&select, [query.to_string()], explanation);
        found.optional().map_err(|source| self.error(source))
    }

    /// Returns the `count` queries that ended last, the newest first.
    pub fn last(&self, count: u32) -> Result<Vec<Explanation>, HistoryError> {
        let select = format!("SELECT {COLUMNS} FROM history ORDER BY seq DESC LIMIT ?1");
        self.read(&select, params![count])
    }

    /// Returns the `count` newest queries in whose question or answer all words stand; a last word that ends in `*` is a
    /// beginning.
    pub fn search(&self, words: &str, count: u32) -> Result<Vec<Explanation>, HistoryError> {
        let select = format!(
            "SELECT {COLUMNS} FROM history WHERE seq IN (SELECT rowid FROM history_words WHERE history_words MATCH ?1) \
             ORDER BY seq DESC LIMIT ?2"
        );
        self.read(&select, params![terms(words), count])
    }

    /// Returns all, the oldest first.
    pub fn all(&self) -> Result<Vec<Explanation>, HistoryError> {
        self.read(&format!("SELECT {COLUMNS} FROM history ORDER BY seq"), params![])
    }

    /// Forgets what ended before; returns how many that were. What was forgotten is overwritten in the file.
    pub fn purge(&self, before: Timestamp) -> Result<usize, HistoryError> {
        database::purge(&self.connection, before).map_err(|source| self.error(source))
    }

    /// Returns what became known of local candidates, the oldest first, and the number of the newest.
    pub fn outcomes(&self) -> Result<(Vec<Outcome>, i64), HistoryError> {
        super::outcomes::all(&self.connection).map_err(|source| self.error(source))
    }

    fn read(
        &self,
        select: &str,
        arguments: &[&dyn rusqlite::ToSql],
    ) -> Result<Vec<Explanation>, HistoryError> {
        let read = || {
            let mut statement = self.connection.prepare(select)?;
            statement.query_map(arguments, explanation)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| self.error(source))
    }

    fn error(&self, source: rusqlite::Error) -> HistoryError {
        HistoryError { path: self.path.clone(), source }
    }
}

fn connect(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(database::BUSY)?;
    connection.execute_batch("PRAGMA secure_delete = ON;")?;
    Ok(connection)
}

/// Each word in quotation marks: what people type is no query language.
fn terms(words: &str) -> String {
    let term = |word: &str| {
        let (word, is_beginning) = word.strip_suffix('*').map_or((word, false), |word| (word, true));
        format!("\"{}\"{}", word.replace('"', "\"\""), if is_beginning { "*" } else { "" })
    };
    words.split_whitespace().map(term).collect::<Vec<_>>().join(" ")
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
