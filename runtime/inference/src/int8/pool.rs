//! Dividing a layer's rows between threads.
//!
//! The threads are rayon's, which sleep when there is nothing to do: a gateway spends most of its life waiting.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

/// Threads that a session may compute on.
#[derive(Clone)]
pub struct Threads(Arc<rayon::ThreadPool>);

/// Why there are no threads.
#[derive(Debug, thiserror::Error)]
#[error("the threads of an inference session cannot be started: {0}")]
pub struct ThreadsError(#[from] rayon::ThreadPoolBuildError);

impl Threads {
    /// Starts `count` threads, 1 at least, which sleep until a session runs on them.
    pub fn new(count: usize) -> Result<Self, ThreadsError> {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(count.max(1));
        Ok(Self(Arc::new(builder.thread_name(|index| format!("inference-{index}")).build()?)))
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs on these threads what divides its rows.
    ///
    /// Until it is done the others look out for their share: a thread that sleeps takes longer to wake than most
    /// layers take to compute.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.0.install(|| {
            let (is_done, leader) = (AtomicBool::new(false), rayon::current_thread_index());
            rayon::scope(|scope| {
                for _ in 1..self.count() {
                    scope.spawn(|_| look_out(&is_done, leader));
                }
                // Also where it panics.
                let _done = Done(&is_done);
                work()
            })
        })
    }
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How often a thread looks for work before it sleeps in the midst of a run: some 100 µs.
const PATIENCE: u32 = 4_000;

/// Takes parts of a run until it is done, or there was nothing for a while.
fn look_out(is_done: &AtomicBool, leader: Option<usize>) {
    // Whoever leads the run finds this when it waits for a part, and has nothing to look out for.
    if rayon::current_thread_index() == leader {
        return;
    }
    let mut idle = 0;
    while idle < PATIENCE && !is_done.load(Ordering::Acquire) {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => idle = 0,
            _ => {
                idle += 1;
                std::hint::spin_loop();
            }
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Threads").field(&self.count()).finish()
    }
}

/// Work under which handing some of it over costs more than it saves, in multiply-adds; about 10 µs of one core.
const WORTH_DIVIDING: u64 = 2_000_000;
/// Multiply-adds that a value costs which is only moved or looked up.
pub(crate) const MOVED: u64 = 16;
/// Multiply-adds of INT8 that one in f32 costs.
pub(crate) const FLOAT: u64 = 4;
/// Up to so many rows a thread is better given columns: reading its share of the weights costs it more than its share
/// of the rows.
pub(crate) const FEW_ROWS: usize = 128;
/// Parts for each thread: the one that is done first takes from the others.
const PARTS: usize = 2;

/// Computes all rows of an output, in parts that may run side by side: each part gets its rows and their memory.
/// `work` is what all of it costs, in multiply-adds.
pub(crate) fn for_rows<T: Send>(
    rows: usize,
    output: &mut [T],
    work: u64,
    compute: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    if rows == 0 {
        return;
    }
    let each = output.len() / rows;
    divide(0..rows, output, each, parts(work).min(rows), &compute);
}

/// Calls `each` with every picture of a batch, input and output, one after the other; they lie one behind the other.
pub(crate) fn for_pictures<I, O>(
    pictures: usize,
    input: &[I],
    output: &mut [O],
    mut each: impl FnMut(&[I], &mut [O]),
) {
    let of = |length: usize| (length / pictures.max(1)).max(1);
    let outputs = output.chunks_exact_mut(of(output.len()));
    input.chunks_exact(of(input.len())).zip(outputs).for_each(|(input, output)| each(input, output));
}

/// Returns into how many parts it pays to cut such work, in multiply-adds, where this runs.
pub(crate) fn parts(work: u64) -> usize {
    // Outside of a pool there is no index, and everything happens here.
    let threads = if rayon::current_thread_index().is_some() { rayon::current_num_threads() } else { 1 };
    if threads == 1 || work < WORTH_DIVIDING { 1 } else { threads * PARTS }
}

/// Computes parts that may run side by side, by their number.
pub(crate) fn for_parts<R: Send>(parts: usize, compute: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    if parts == 1 {
        // Outside of a pool rayon would start one of its own.
        return vec![compute(0)];
    }
    (0..parts).into_par_iter().with_max_len(1).map(compute).collect()
}

/// Computes parts of a matrix that may run side by side, by their number: some of its columns, for all rows.
pub(crate) fn for_columns(
    parts: usize,
    columns: usize,
    output: &mut [f32],
    compute: impl Fn(usize) -> (Range<usize>, Vec<f32>) + Sync + Send,
) {
    for (own, part) in for_parts(parts, compute) {
        for (line, part) in output.chunks_exact_mut(columns).zip(part.chunks_exact(own.len().max(1))) {
            line[own.clone()].copy_from_slice(part);
        }
    }
}

fn divide<T: Send>(
    rows: Range<usize>,
    output: &mut [T],
    each: usize,
    parts: usize,
    compute: &(impl Fn(Range<usize>, &mut [T]) + Sync),
) {
    if parts <= 1 {
        return compute(rows, output);
    }
    let half = parts / 2;
    let middle = rows.start + rows.len() * half / parts;
    let (first, second) = output.split_at_mut((middle - rows.start) * each);
    rayon::join(
        || divide(rows.start..middle, first, each, half, compute),
        || divide(middle..rows.end, second, each, parts - half, compute),
    );
}
