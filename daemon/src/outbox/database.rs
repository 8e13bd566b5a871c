//! The SQLite file of the outbox.
//!
//! | table `query` | SQLite type | meaning |
//! |---|---|---|
//! | `seq` | INTEGER | order of acceptance |
//! | `id` | TEXT | 16 hex digits |
//! | `glasses` | TEXT | name of the glasses, or NULL |
//! | `text` | TEXT | the question |
//! | `source` | TEXT | `cli`, `mqtt` or `button` |
//! | `asked_at`, `expires_at` | INTEGER | microseconds since the Unix epoch |
//! | `stage` | TEXT | `accepted`, `ready` or `answered` |
//! | `message` | BLOB | the message for the cloud, in stage `ready` |
//! | `answer` | TEXT | the answer, in stage `answered` |
//!
//! | table `history` | SQLite type | meaning |
//! |---|---|---|
//! | `seq` | INTEGER | order of ending |
//! | `id` | TEXT | 16 hex digits |
//! | `asked_at`, `ended_at` | INTEGER | microseconds since the Unix epoch |
//! | `question`, `route`, `answer` | TEXT | for whoever reads the file with SQL |
//! | `explanation` | TEXT | JSON |
//!
//! The virtual table `history_words` (FTS5) finds rows of `history` by the words of their question and answer.
//!
//! | table `outcome` | SQLite type | meaning |
//! |---|---|---|
//! | `seq` | INTEGER | order of becoming known |
//! | `kind` | TEXT | what was asked for: the intent's name |
//! | `score` | REAL | what the skill gave its candidate, 0 to 1 |
//! | `agreed` | INTEGER | 1 where the cloud said the same |
//! | `share` | REAL | probability with which the candidate was chosen to be checked |
//! | `raised` | REAL | by how much the bound was raised then |

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use glassd_core::query::{Source, Stage, StoredQuery};
use glassd_core::{QueryId, Timestamp};
use glassd_policies::calibration::{Drift, Outcome};
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Transaction, params};

use super::history::{self, Explanation, KEPT};
use super::{OutboxSettings, StoreError, outcomes};

/// Version in `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 3;

const SCHEMA: &str = "
CREATE TABLE query (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    glasses    TEXT,
    text       TEXT NOT NULL,
    source     TEXT NOT NULL,
    asked_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    stage      TEXT NOT NULL,
    message    BLOB,
    answer     TEXT
) STRICT;
CREATE TABLE history (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    asked_at    INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    question    TEXT NOT NULL,
    route       TEXT NOT NULL,
    answer      TEXT NOT NULL,
    explanation TEXT NOT NULL
) STRICT;
";

const FORGET_OLDER_HALF: &str =
    "DELETE FROM history WHERE seq <= (SELECT (MIN(seq) + MAX(seq)) / 2 FROM history)";

/// How long a statement waits for another process (`glassd why`, a backup) before it fails.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// SQLite's page size in bytes, its default.
const PAGE: u64 = 4096;

/// Why a file is no outbox, or cannot be opened.
#[derive(Debug)]
pub(super) enum DatabaseError {
    /// Its content is not what SQLite or we wrote.
    Damaged(String),
    NewerSchema {
        found: i64,
        supported: i64,
    },
    Io(io::Error),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        let damaged = match &error {
            rusqlite::Error::SqliteFailure(failure, _) => {
                matches!(failure.code, ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
            }
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => true,
            _ => false,
        };
        if damaged { Self::Damaged(error.to_string()) } else { Self::Sqlite(error) }
    }
}

#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    /// How long the history remembers; `None` as long as there is room.
    history_lifetime: Option<Duration>,
}

impl Database {
    pub(super) fn open(settings: &OutboxSettings) -> Result<Self, DatabaseError> {
        let OutboxSettings { path, max_bytes, history_lifetime, .. } = settings;
        // SQLite would make the file readable for everybody; what it makes beside it takes over the mode.
        private_file(path).map_err(DatabaseError::Io)?;
        let mut connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY)?;
        // WAL: a reader in another process (`glassd why`) never holds up the writer. FULL: in WAL mode
        // NORMAL loses the last commits with the power, and a query accepted is a promise; one fsync a
        // step of a query is a few a minute. secure_delete: the photo of an answered query is gone from
        // the file, not only from its index.
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; \
             PRAGMA journal_size_limit = 4194304; PRAGMA max_page_count = {};",
            max_bytes.div_ceil(PAGE).max(16)
        ))?;
        check(&connection)?;
        migrate(&mut connection)?;
        Ok(Self { connection, history_lifetime: *history_lifetime })
    }

    /// Reads the rows in the order of acceptance.
    pub(super) fn queries(&self) -> Result<Vec<StoredQuery>, DatabaseError> {
        let mut statement = self.connection.prepare(
            "SELECT id, glasses, text, source, asked_at, expires_at, stage, message, answer FROM query \
             ORDER BY seq",
        )?;
        let rows: rusqlite::Result<Vec<StoredQuery>> = statement.query_map([], stored_query)?.collect();
        Ok(rows?)
    }

    pub(super) fn store(&self, row: &StoredQuery) -> Result<(), StoreError> {
        self.with_room(|connection| write_row(connection, row))
    }

    pub(super) fn record_answer(&self, query: QueryId, text: &str) -> Result<(), StoreError> {
        let changed = self.with_room(|connection| {
            connection
                .prepare_cached(
                    "UPDATE query SET stage = 'answered', message = NULL, answer = ?2 WHERE id = ?1",
                )?
                .execute(params![query.to_string(), text])
        })?;
        if changed == 0 { Err(StoreError::Unknown) } else { Ok(()) }
    }

    pub(super) fn end(&self, explanation: &Explanation) -> Result<(), StoreError> {
        let ended = self.with_room(|connection| {
            let transaction = connection.unchecked_transaction()?;
            write_end(&transaction, explanation)?;
            if let Some(lifetime) = self.history_lifetime {
                purge(&transaction, explanation.ended_at - lifetime)?;
            }
            transaction.commit()
        });
        if ended.is_err() {
            // A query that has ended must not be asked again after a restart, explained or not.
            delete_row(&self.connection, explanation.query).map_err(store_error)?;
        }
        ended
    }

    pub(super) fn keep_outcome(&self, outcome: &Outcome, drift: Drift) -> Result<(), StoreError> {
        self.with_room(|connection| outcomes::write(connection, outcome, drift))
    }

    /// Returns how wrong answers were lately, as far as the calibration does not know it.
    pub(super) fn drift(&self, known: i64) -> Result<Drift, DatabaseError> {
        Ok(outcomes::drift(&self.connection, known)?)
    }

    /// Writes; where there is no room, forgets the older half of the history and writes again.
    fn with_room<T>(&self, write: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        write(&self.connection).map_err(store_error).or_else(|error| match error {
            StoreError::Full => {
                self.connection.execute(FORGET_OLDER_HALF, []).map_err(store_error)?;
                write(&self.connection).map_err(store_error)
            }
            StoreError::Unknown | StoreError::Sqlite(_) => Err(error),
        })
    }
}

fn write_row(connection: &Connection, row: &StoredQuery) -> rusqlite::Result<()> {
    let (stage, message, answer) = match &row.stage {
        Stage::Accepted => ("accepted", None, None),
        Stage::Ready(message) => ("ready", Some(message), None),
        Stage::Answered(answer) => ("answered", None, Some(answer)),
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO query (id, glasses, text, source, asked_at, expires_at, stage, message, answer) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
         ON CONFLICT (id) DO UPDATE SET glasses = ?2, text = ?3, source = ?4, asked_at = ?5, \
         expires_at = ?6, stage = ?7, message = ?8, answer = ?9",
    )?;
    statement.execute(params![
        row.query.to_string(),
        row.glasses.as_ref().map(ToString::to_string),
        row.text,
        source_name(row.source),
        micros(row.asked_at),
        micros(row.expires_at),
        stage,
        message,
        answer,
    ])?;
    Ok(())
}

/// Forgets what ended before; returns how many that were.
pub(super) fn purge(connection: &Connection, before: Timestamp) -> rusqlite::Result<usize> {
    connection.execute("DELETE FROM history WHERE ended_at < ?1", [micros(before)])
}

fn delete_row(connection: &Connection, query: QueryId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM query WHERE id = ?1")?.execute([query.to_string()])?;
    Ok(())
}

fn write_end(transaction: &Transaction<'_>, explanation: &Explanation) -> rusqlite::Result<()> {
    delete_row(transaction, explanation.query)?;
    // In place of an earlier end, which a reused name would be; REPLACE would leave its words in the search.
    transaction
        .prepare_cached("DELETE FROM history WHERE id = ?1")?
        .execute([explanation.query.to_string()])?;
    transaction
        .prepare_cached(
            "INSERT INTO history (id, asked_at, ended_at, question, route, answer, explanation) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            explanation.query.to_string(),
            micros(explanation.asked_at),
            micros(explanation.ended_at),
            explanation.question,
            explanation.route,
            explanation.answer,
            explanation.json,
        ])?;
    let oldest_kept = transaction.last_insert_rowid() - KEPT;
    transaction.prepare_cached("DELETE FROM history WHERE seq <= ?1")?.execute([oldest_kept])?;
    Ok(())
}

/// Opens a file that only its owner may read, and makes it so.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Finds damage now rather than in the middle of a query.
fn check(connection: &Connection) -> Result<(), DatabaseError> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(DatabaseError::Damaged(verdict)) }
}

fn migrate(connection: &mut Connection) -> Result<(), DatabaseError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // What each version added to the one before.
    let steps = [SCHEMA, outcomes::SCHEMA, history::SEARCH_SCHEMA];
    match found {
        0..SCHEMA_VERSION => {
            let transaction = connection.transaction()?;
            for step in steps.iter().skip(found as usize) {
                transaction.execute_batch(step)?;
            }
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            transaction.commit()?;
            Ok(())
        }
        SCHEMA_VERSION => Ok(()),
        newer if newer > SCHEMA_VERSION => {
            Err(DatabaseError::NewerSchema { found, supported: SCHEMA_VERSION })
        }
        _ => Err(DatabaseError::Damaged(format!("schema version {found}"))),
    }
}

fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Sqlite(error),
    }
}

fn stored_query(row: &Row<'_>) -> rusqlite::Result<StoredQuery> {
    let glasses: Option<String> = row.get(1)?;
    let stage: String = row.get(6)?;
    Ok(StoredQuery {
        query: query_id(row, 0)?,
        glasses: glasses.map(|text| parse(1, &text)).transpose()?,
        text: row.get(2)?,
        source: source(row, 3)?,
        asked_at: timestamp(row, 4)?,
        expires_at: timestamp(row, 5)?,
        stage: match stage.as_str() {
            "accepted" => Stage::Accepted,
            "ready" => Stage::Ready(row.get(7)?),
            "answered" => Stage::Answered(row.get(8)?),
            _ => return Err(unreadable(6, format!("stage {stage:?}"))),
        },
    })
}

const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Cli => "cli",
        Source::Mqtt => "mqtt",
        Source::Button => "button",
    }
}

fn source(row: &Row<'_>, column: usize) -> rusqlite::Result<Source> {
    let text: String = row.get(column)?;
    [Source::Cli, Source::Mqtt, Source::Button]
        .into_iter()
        .find(|source| source_name(*source) == text)
        .ok_or_else(|| unreadable(column, format!("source {text:?}")))
}

pub(super) fn query_id(row: &Row<'_>, column: usize) -> rusqlite::Result<QueryId> {
    parse(column, &row.get::<_, String>(column)?)
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let micros: i64 = row.get(column)?;
    u64::try_from(micros)
        .map(Timestamp::from_micros)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, micros))
}

fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

fn parse<T: FromStr>(column: usize, text: &str) -> rusqlite::Result<T>
where
    T::Err: std::error::Error,
{
    text.parse().map_err(|error: T::Err| unreadable(column, error.to_string()))
}

fn unreadable(column: usize, what: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}
