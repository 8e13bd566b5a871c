//! CPU time of a process.

/// USER_HZ of Linux on every architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time in seconds; fields 14 and 15 of `/proc/<pid>/stat` (proc(5)).
pub(crate) fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs, on Linux");
    let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
    let ticks =
        after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("a number"));
    ticks.sum::<f64>() / TICKS_PER_SECOND
}
