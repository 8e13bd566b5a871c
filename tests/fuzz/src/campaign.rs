//! A run of one target over its corpus and mutations of it.

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::mutate::mutate;
use crate::targets::Target;

/// Inputs kept for further mutation, the corpus included.
const MAX_POOL: usize = 4096;
/// An input that takes longer is a failure. The largest JPEG within bounds takes a tenth of it.
const SLOWEST: Duration = Duration::from_secs(5);

/// An input that a target did not survive.
#[derive(Debug)]
pub struct Failure {
    /// The input.
    pub input: Vec<u8>,
    /// What happened.
    pub what: String,
}

/// Reads the committed inputs of a target, with their paths.
pub fn corpus(target: &Target) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    // Folders list their files in any order; a seed must mean the same run everywhere.
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            Ok((path, bytes))
        })
        .collect()
}

/// Mutates inputs and keeps those that lead to something new.
pub struct Campaign<'a> {
    target: &'a Target,
    pool: Vec<Vec<u8>>,
    outcomes: BTreeSet<u64>,
    random: ChaCha8Rng,
    slowest: Duration,
}

impl<'a> Campaign<'a> {
    /// Starts from these inputs, which are run as they are.
    pub fn new(target: &'a Target, inputs: Vec<Vec<u8>>, seed: u64) -> Result<Self, Failure> {
        let mut campaign = Self {
            target,
            pool: Vec::new(),
            outcomes: BTreeSet::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            slowest: Duration::ZERO,
        };
        for input in inputs {
            campaign.run(&input)?;
            campaign.pool.push(input);
        }
        Ok(campaign)
    }

    /// Runs one mutated input.
    pub fn step(&mut self) -> Result<(), Failure> {
        let mut input = self.pick();
        let other = self.pick();
        mutate(&mut input, &other, &mut self.random);
        let is_new = self.run(&input)?;
        if is_new && self.pool.len() < MAX_POOL {
            self.pool.push(input);
        }
        Ok(())
    }

    /// Returns how many different outcomes there were.
    pub fn outcomes(&self) -> usize {
        self.outcomes.len()
    }

    /// Returns how long the slowest input took.
    pub fn slowest(&self) -> Duration {
        self.slowest
    }

    fn pick(&mut self) -> Vec<u8> {
        // Now and then from nothing, so that no part of a corpus is taken for granted.
        if self.random.random_ratio(1, 64) {
            return Vec::new();
        }
        self.pool.choose(&mut self.random).cloned().unwrap_or_default()
    }

    /// Runs an input; tells whether its outcome is new.
    fn run(&mut self, input: &[u8]) -> Result<bool, Failure> {
        let started = Instant::now();
        let result = panic::catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let took = started.elapsed();
        self.slowest = self.slowest.max(took);
        let failure = |what| Failure { input: input.to_vec(), what };
        let outcome = result.map_err(|panic| failure(panic_message(panic.as_ref())))?;
        if took > SLOWEST {
            return Err(failure(format!("took {took:?}")));
        }
        Ok(self.outcomes.insert(outcome))
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message").to_owned()
}
