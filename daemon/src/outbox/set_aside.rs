//! Moving a damaged outbox out of the way, for a person to look at.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A damaged file that was moved, not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now: `<path>.corrupt-<Unix seconds>`.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Renames the file and what SQLite keeps beside it.
///
/// The write-ahead log goes first: without it the damaged file is found damaged again if the power
/// fails in between, while a log left behind could be replayed into the new file.
pub(super) fn set_aside(path: &Path, reason: String) -> io::Result<SetAside> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let target = free_name(path, seconds);
    for suffix in ["-wal", "-shm", ""] {
        match std::fs::rename(with_suffix(path, suffix), with_suffix(&target, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
            result => result?,
        }
    }
    Ok(SetAside { path: target, reason })
}

/// Never overwrites what was set aside in the same second.
fn free_name(path: &Path, seconds: u64) -> PathBuf {
    (seconds..)
        .map(|seconds| with_suffix(path, &format!(".corrupt-{seconds}")))
        .find(|candidate| !candidate.exists() && !with_suffix(candidate, "-wal").exists())
        .expect("some second is free")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
