//! Which models may be in memory.

use std::collections::BTreeMap;

/// A model that needs more than all models together may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it needs {} MB, and all models together may have {} MB: raise models.memory_mb or choose a smaller one",
    megabytes(.bytes), megabytes(.limit)
)]
pub struct OverBudget {
    /// What it needs, in bytes.
    pub bytes: u64,
    /// What all may have, in bytes.
    pub limit: u64,
}

/// Bytes as whole millions, rounded up.
fn megabytes(bytes: &u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

/// The memory of one accelerator's models: who has how much, and who was used last.
///
/// Invariant: what is held is never more than the limit.
#[derive(Clone, Debug)]
pub struct Budget {
    limit: u64,
    held: BTreeMap<String, Held>,
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    bytes: u64,
    last_use: u64,
}

impl Budget {
    /// Makes a budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, held: BTreeMap::new(), uses: 0 }
    }

    /// Grants `name` its bytes, now most recently used, and returns who must go for it, the least recently used first.
    ///
    /// A model that has some already has as many as `bytes` afterwards. Nobody goes for one that could never fit; it
    /// loses what it had.
    pub fn grant(&mut self, name: &str, bytes: u64) -> Result<Vec<String>, OverBudget> {
        self.held.remove(name);
        if bytes > self.limit {
            return Err(OverBudget { bytes, limit: self.limit });
        }
        let mut gone = Vec::new();
        while self.held() > self.limit - bytes {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.last_use);
            let oldest = oldest.map(|(name, _)| name.clone()).expect("who holds something can go");
            self.held.remove(&oldest);
            gone.push(oldest);
        }
        self.uses += 1;
        self.held.insert(name.to_owned(), Held { bytes, last_use: self.uses });
        Ok(gone)
    }

    /// Makes `name` the most recently used, if it is in memory.
    pub fn used(&mut self, name: &str) {
        self.uses += 1;
        if let Some(held) = self.held.get_mut(name) {
            held.last_use = self.uses;
        }
    }

    /// Takes its bytes back from `name`.
    pub fn release(&mut self, name: &str) {
        self.held.remove(name);
    }

    /// Returns how many bytes are held.
    pub fn held(&self) -> u64 {
        self.held.values().map(|held| held.bytes).sum()
    }

    /// Returns how many bytes can be held.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the names of those in memory.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }
}
