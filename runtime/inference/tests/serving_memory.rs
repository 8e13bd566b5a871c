//! What the budget reckons with, held against what the system counts. Alone in its process, whose memory is measured.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use glassd_inference::serving::Models;

/// A line of the process's status, in bytes.
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_model_holds_about_what_is_reckoned() {
    let Some(data) = support::data() else { return };
    // The high-water mark starts anew where the system allows it.
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        eprintln!("skipped: the high-water mark of memory cannot be reset here");
        return;
    }
    let bus = support::picture(&data, "detection/images/bus.jpg");
    let mut models = Models::new(Some(support::store(&data, "serving-memory")), u64::MAX);
    let before = status("VmRSS");
    let names = ["yolov8n-int8-640", "yolox-nano", "yolov8n-int8-320", "mobilenet-v2-int8"];
    for name in names {
        models.admit(name).unwrap();
    }
    // From here on what they hold, not what loading took for a moment.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    for name in names {
        let seen = models.perceive(name, &[&bus]).map(drop);
        seen.or_else(|_| models.classify(name, &[&bus]).map(drop)).unwrap();
    }
    let (reckoned, grown) = (models.held_bytes() as f64, (status("VmHWM") - before) as f64);
    println!("{names:?}: {:.1} MB reckoned, {:.1} MB grown", reckoned / 1e6, grown / 1e6);
    // The allocator keeps some of what loading took.
    assert!((0.5..3.0).contains(&(grown / reckoned)));
}
