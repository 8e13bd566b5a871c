//! What became known of local candidates, for `glassd calibrate`.

use glassd_policies::calibration::{Drift, Outcome};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

/// Outcomes that are kept; the oldest goes first, for the world changes.
const KEPT: i64 = 20_000;

pub(super) const SCHEMA: &str = "
CREATE TABLE outcome (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind   TEXT NOT NULL,
    score  REAL NOT NULL,
    agreed INTEGER NOT NULL,
    share  REAL NOT NULL,
    raised REAL NOT NULL
) STRICT;
";

pub(super) fn write(connection: &Connection, outcome: &Outcome, drift: Drift) -> rusqlite::Result<()> {
    let Outcome { kind, score, right, share } = outcome;
    connection
        .prepare_cached(
            "INSERT INTO outcome (kind, score, agreed, share, raised) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![kind, score, right, share, drift.raise()])?;
    let oldest_kept = connection.last_insert_rowid() - KEPT;
    connection.prepare_cached("DELETE FROM outcome WHERE seq <= ?1")?.execute([oldest_kept])?;
    Ok(())
}

/// Returns all outcomes, the oldest first, and the number of the newest; 0 where there is none.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<(Vec<Outcome>, i64)> {
    let mut statement =
        connection.prepare("SELECT seq, kind, score, agreed, share FROM outcome ORDER BY seq")?;
    let mut newest = 0;
    let outcome = |row: &Row<'_>| {
        newest = row.get(0)?;
        Ok(Outcome { kind: row.get(1)?, score: row.get(2)?, right: row.get(3)?, share: row.get(4)? })
    };
    let outcomes: rusqlite::Result<Vec<Outcome>> = statement.query_map([], outcome)?.collect();
    Ok((outcomes?, newest))
}

/// Returns how wrong answers were lately, as far as that is not in the calibration yet: it knows outcomes up to `known`.
pub(super) fn drift(connection: &Connection, known: i64) -> rusqlite::Result<Drift> {
    let newest = "SELECT raised FROM outcome WHERE seq > ?1 ORDER BY seq DESC LIMIT 1";
    let raise: Option<f32> = connection.query_row(newest, [known], |row| row.get(0)).optional()?;
    Ok(raise.map(Drift::from_raise).unwrap_or_default())
}
