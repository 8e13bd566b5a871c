//! What accelerators compiled, kept on disk, so that a second start need not compile again.
//!
//! One file an entry, named after its key. Written beside its place and renamed into it, so that a crash
//! leaves the old or the new one:
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | `GLASSDC1` |
//! | 8–15 | length of the content, little endian |
//! | 16–47 | SHA-256 of the content |
//! | 48–63 | zero: the content starts where memory maps and vector loads like it |
//! | 64– | the content |
//!
//! An entry that does not hold what its head says is thrown away and counted, and made anew by whoever asked.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::store::sha256;

const MAGIC: &[u8; 8] = b"GLASSDC1";

/// Bytes before the content of an entry.
pub(crate) const HEAD: usize = 64;

/// A folder of compiled models; clones share it.
#[derive(Clone, Debug)]
pub struct CompilationCache {
    folder: PathBuf,
    limit: u64,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    damaged: AtomicU64,
    errors: AtomicU64,
}

/// What an entry was compiled from, for what, and by what: any other is another entry.
#[derive(Clone, Copy, Debug)]
pub struct CacheKey<'a> {
    /// SHA-256 of the model file, in hexadecimal.
    pub model: &'a str,
    /// The accelerator and the device behind it.
    pub device: &'a str,
    /// The versions of whatever compiled it; this crate's own is added.
    pub version: &'a str,
}

/// What happened to a cache since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Entries found and right.
    pub hits: u64,
    /// Entries that were not there.
    pub misses: u64,
    /// Entries thrown away because they were not what their head says.
    pub damaged: u64,
    /// Reads and writes that the system refused: the model was compiled all the same.
    pub errors: u64,
}

impl CompilationCache {
    /// Opens the cache in `folder`, which is made when the first entry is written; of more than `limit` bytes
    /// the entries go that were used longest ago.
    pub fn open(folder: impl Into<PathBuf>, limit: u64) -> Self {
        Self { folder: folder.into(), limit, counters: Arc::default() }
    }

    /// Returns the content of an entry, if it is there and undamaged.
    pub fn get(&self, key: &CacheKey<'_>) -> Option<Vec<u8>> {
        let path = self.path(key);
        match read(&path) {
            Ok(Some(content)) => {
                count(&self.counters.hits);
                // The time of use orders what goes first; without it an entry merely goes earlier.
                let touched =
                    File::open(&path).and_then(|file| file.set_modified(std::time::SystemTime::now()));
                drop(touched);
                Some(content)
            }
            Ok(None) => {
                self.throw_away(key);
                None
            }
            Err(error) => {
                let counter = match error.kind() {
                    ErrorKind::NotFound => &self.counters.misses,
                    _ => &self.counters.errors,
                };
                count(counter);
                None
            }
        }
    }

    /// Writes an entry in the place of an older one; a failure is counted, and costs only the next start's time.
    pub fn put(&self, key: &CacheKey<'_>, content: &[u8]) {
        if content.len() as u64 + HEAD as u64 > self.limit {
            return;
        }
        if self.write(&self.path(key), content).and_then(|()| self.shrink()).is_err() {
            count(&self.counters.errors);
        }
    }

    /// Throws away an entry that turned out to be of no use, and counts it as damaged.
    pub fn throw_away(&self, key: &CacheKey<'_>) {
        count(&self.counters.damaged);
        if fs::remove_file(self.path(key)).is_err() {
            count(&self.counters.errors);
        }
    }

    /// Returns where an entry lies or would lie: its content starts at its byte 64.
    pub fn path(&self, key: &CacheKey<'_>) -> PathBuf {
        let own = env!("CARGO_PKG_VERSION");
        let text = [key.model, key.device, key.version, own].join("\0");
        self.folder.join(format!("{}.compiled", &sha256(text.as_bytes())[..32]))
    }

    /// Returns a name in the cache's folder for a library that writes its own file; the folder exists.
    #[cfg(feature = "onnxruntime")]
    pub(super) fn scratch(&self, key: &CacheKey<'_>) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        Ok(self.path(key).with_extension(format!("{}.part", std::process::id())))
    }

    /// Returns what happened since the cache was opened.
    pub fn counts(&self) -> CacheCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { hits, misses, damaged, errors } = &*self.counters;
        CacheCounts { hits: load(hits), misses: load(misses), damaged: load(damaged), errors: load(errors) }
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let written = File::create(&part).and_then(|mut file| {
            file.write_all(&head(content))?;
            file.write_all(content)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&part, path)).inspect_err(|_| drop(fs::remove_file(&part)))
    }

    /// Removes the entries used longest ago until the rest fits, and parts that a crash left behind.
    fn shrink(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            // Another process may remove an entry at any time.
            let Ok(about) = fs::metadata(&path) else { continue };
            let age = about.modified()?.elapsed().unwrap_or_default();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("compiled") => entries.push((age, about.len(), path)),
                Some("part") if age.as_secs() > 3600 => fs::remove_file(&path)?,
                _ => {}
            }
        }
        entries.sort();
        let mut kept = 0;
        for (_, length, path) in entries {
            kept += length;
            if kept > self.limit {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn head(content: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..16].copy_from_slice(&(content.len() as u64).to_le_bytes());
    head[16..48].copy_from_slice(&Sha256::digest(content));
    head
}

/// Reads an entry's content; nothing if it is damaged.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut found = [0; HEAD];
    if length < HEAD as u64 {
        return Ok(None);
    }
    file.read_exact(&mut found)?;
    // Memory is reserved by the file's length, never by what a damaged head claims.
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.read_to_end(&mut content)?;
    Ok((head(&content) == found).then_some(content))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    const KEY: CacheKey<'static> = CacheKey { model: "abc", device: "cpu", version: "1" };

    fn cache(limit: u64) -> (tempfile::TempDir, CompilationCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = CompilationCache::open(folder.path().join("compiled"), limit);
        (folder, cache)
    }

    #[test]
    fn an_entry_is_found_again_under_its_own_key_only() {
        let (_folder, cache) = cache(1 << 20);
        assert_eq!(cache.get(&KEY), None);
        cache.put(&KEY, b"packed weights");
        assert_eq!(cache.get(&KEY).unwrap(), b"packed weights");
        for other in [
            CacheKey { model: "abd", ..KEY },
            CacheKey { device: "vulkan", ..KEY },
            CacheKey { version: "2", ..KEY },
            CacheKey { model: "abc\0cpu", device: "1", version: "" },
        ] {
            assert_eq!(cache.get(&other), None, "{other:?}");
        }
        assert_eq!(cache.counts(), CacheCounts { hits: 1, misses: 5, ..CacheCounts::default() });
    }

    proptest! {
        #[test]
        fn a_damaged_entry_is_thrown_away(at in 0_usize..(HEAD + 40), flip in 1_u8.., cut: bool) {
            let (_folder, cache) = cache(1 << 20);
            cache.put(&KEY, &[7; 40]);
            let path = cache.path(&KEY);
            let mut bytes = fs::read(&path).unwrap();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= flip;
            }
            fs::write(&path, bytes).unwrap();
            prop_assert_eq!(cache.get(&KEY), None);
            prop_assert_eq!(cache.counts().damaged, 1);
            prop_assert!(!path.exists());
            cache.put(&KEY, &[8; 40]);
            prop_assert_eq!(cache.get(&KEY).unwrap(), vec![8; 40]);
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let (_folder, cache) = cache(3 * (100 + HEAD as u64));
        let key = |model| CacheKey { model, ..KEY };
        for (age, model) in [(30, "a"), (20, "b"), (10, "c")] {
            cache.put(&key(model), &[1; 100]);
            let file = File::open(cache.path(&key(model))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert!(cache.get(&key("a")).is_some(), "used now: b is the oldest");
        cache.put(&key("d"), &[1; 100]);
        let left = ["a", "b", "c", "d"].map(|model| cache.path(&key(model)).exists());
        assert_eq!(left, [true, false, true, true]);
    }

    #[test]
    fn what_can_never_fit_is_not_written() {
        let (_folder, cache) = cache(100);
        cache.put(&KEY, &[1; 100]);
        assert!(!cache.path(&KEY).exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let cache = CompilationCache::open(folder.path().join("file/compiled"), 1 << 20);
        cache.put(&KEY, b"x");
        assert_eq!(cache.get(&KEY), None);
        assert_eq!(cache.counts().errors, 2);
    }
}
