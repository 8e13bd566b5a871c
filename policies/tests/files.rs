//! Policy files: the ones that come along, and what is wrong with others.

use glassd_policies::{
    CameraPolicy, CompressionPolicy, EscalationPolicy, FrameKeepPolicy, FrameRatePolicy, Policies,
    PolicyFile, PolicyFileError, test_file,
};

fn built_in(name: &str) -> &'static str {
    PolicyFile::BUILT_IN.iter().find(|(file, _)| *file == name).expect("a file of that name comes along").1
}

#[test]
fn defaults_are_what_the_files_say() {
    let expected = [
        PolicyFile::FrameRate(FrameRatePolicy::default()),
        PolicyFile::FrameKeep(FrameKeepPolicy::default()),
        PolicyFile::Camera(CameraPolicy::default()),
        PolicyFile::Compression(CompressionPolicy::default()),
        PolicyFile::Escalation(EscalationPolicy::default()),
    ];
    for ((name, text), expected) in PolicyFile::BUILT_IN.into_iter().zip(expected) {
        assert_eq!(PolicyFile::parse(text).expect(name), expected);
        assert_eq!(name, format!("{}.toml", expected.name()));
    }
}

/// A file that leaves a parameter out would take it from the defaults and hide a difference.
#[test]
fn the_files_leave_no_parameter_out() {
    for (name, text) in PolicyFile::BUILT_IN {
        let written: toml::Table = text.parse().expect(name);
        let all = match PolicyFile::parse(text).expect(name) {
            PolicyFile::FrameRate(policy) => toml::Table::try_from(policy),
            PolicyFile::FrameKeep(policy) => toml::Table::try_from(policy),
            PolicyFile::Camera(policy) => toml::Table::try_from(policy),
            PolicyFile::Compression(policy) => toml::Table::try_from(policy),
            PolicyFile::Escalation(policy) => toml::Table::try_from(policy),
        };
        assert_eq!(keys(&written["parameters"]), keys(&all.expect(name).into()), "{name}");
    }
}

fn keys(value: &toml::Value) -> Vec<String> {
    let Some(table) = value.as_table() else { return vec![String::new()] };
    let mut all: Vec<_> = table
        .iter()
        .flat_map(|(key, value)| keys(value).into_iter().map(move |rest| format!("{key}.{rest}")))
        .collect();
    all.sort();
    all
}

#[test]
fn every_case_of_the_files_passes() {
    for (name, text) in PolicyFile::BUILT_IN {
        let report = test_file(text).expect(name);
        assert!(report.is_ok(), "{name}: {report}");
        assert!(report.passed >= 7, "{name}: {report}");
    }
}

#[test]
fn a_case_that_fails_is_reported_with_its_reasons() {
    let text = r#"
        policy = "frame-rate"
        [parameters.battery]
        plenty_above = 80
        [[case]]
        name = "seventy is plenty"
        given = { battery = 70, user_active = true, motion = 0.1 }
        expect = { fps = 10.0 }
        [[case]]
        name = "right, for another reason"
        given = { battery = 90, user_active = true, motion = 0.0 }
        expect = { mode = "medium" }
        because = "high-motion"
        [[case]]
        name = "ninety is plenty"
        given = { battery = 90, user_active = true, motion = 0.0 }
        expect = { mode = "medium" }
    "#;
    let report = test_file(text).expect("the file is well formed");
    assert_eq!((report.policy, report.passed, report.failures.len()), ("frame-rate", 1, 2));
    let text = report.failures[0].to_string();
    let lines: Vec<_> = text.lines().collect();
    let table = |text: &str| text.parse::<toml::Value>().expect("an inline table");
    assert_eq!(lines[0], "failed: seventy is plenty");
    let (label, facts) = lines[1].split_at(11);
    assert_eq!(label, "  given    ");
    assert_eq!(table(facts), table("{ battery = 70, user_active = true, motion = 0.1 }"));
    let expected = [
        "  expected { fps = 10.0 }",
        "  actual   { fps = 5.0, mode = \"low\" }",
        "  because  battery 70 % ≤ 80 %: active-low",
        "  because  motion 0.10 ≤ 0.3: low-motion",
    ];
    assert_eq!(lines[2..], expected);
    assert_eq!(report.failures[1].expected, "{ mode = \"medium\" } because high-motion");
}

#[track_caller]
fn check_malformed(text: &str, expected: &str) {
    match test_file(text) {
        Err(PolicyFileError::Malformed(message)) => assert!(message.contains(expected), "{message}"),
        other => panic!("expected a malformed file, got {other:?}"),
    }
}

#[test]
fn files_that_are_none() {
    check_malformed("", "missing field `policy`");
    check_malformed("policy = ", "line 1");
    check_malformed("policy = \"heat\"", "unknown variant `heat`");
    check_malformed("policy = \"escalation\"\nsurprise = 1", "unknown field `surprise`");
    check_malformed("policy = \"escalation\"\n[parameters]\nlocal = 1", "unknown field `local`");
    check_malformed("policy = \"frame-rate\"\n[parameters.modes]\nhigh = true", "line 3");
    let case =
        "policy = \"frame-keep\"\n[[case]]\nname = \"x\"\ngiven = { motion = 1.0 }\nexpect = { keep = true }";
    check_malformed(case, "missing field `sharpness`");
}

#[track_caller]
fn check_out_of_range(text: &str, expected: &[&str]) {
    match PolicyFile::parse(text) {
        Err(PolicyFileError::OutOfRange(problems)) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(problems, expected);
        }
        other => panic!("expected parameters out of range, got {other:?}"),
    }
}

#[test]
fn all_parameters_out_of_range_are_named_at_once() {
    check_out_of_range(
        "policy = \"frame-rate\"\n[parameters]\n\
         battery = { plenty_above = 99, middle_above = 100 }\n\
         modes = { low = 20.0, high = 61.0 }\n\
         motion = { high_above = nan, factor = 0.5 }",
        &[
            "modes.high = 61, expected 0.1 to 60",
            "modes.low = 20, expected at most 10, the next mode",
            "battery.plenty_above = 99, expected 0 to 97",
            "battery.middle_above = 100, expected 0 to 99",
            "motion.high_above = NaN, expected 0 to 1",
            "motion.hysteresis = 0.05, expected 0 to 0",
            "motion.factor = 0.5, expected 1 to 4",
        ],
    );
    check_out_of_range(
        "policy = \"compression\"\n[parameters]\nlow_below = 60\nsize = { largest = 16 }\n\
         tiers = { full = { quality = 0, bytes_per_pixel = -1.0 } }",
        &[
            "low_below = 60, expected 0 to 50",
            "size.largest = 16, expected 32 to 4096",
            "size.smallest = 192, expected 32 to 32",
            "tiers.full.quality = 0, expected 1 to 100",
            "tiers.full.bytes_per_pixel = -1, expected 0.01 to 3",
        ],
    );
    check_out_of_range(
        "policy = \"camera\"\n[parameters]\nfull_above = 98\ngrow_with = 0.5\n\
         arrive_within_ms = { idle = 10 }\nsize = { smallest = 600 }\n\
         tiers = { low = { quality = 101, bytes_per_pixel = 0.2 } }",
        &[
            "full_above = 98, expected 0 to 97",
            "grow_with = 0.5, expected 1 to 4",
            "arrive_within_ms.idle = 10, expected 50 to 60000",
            "size.smallest = 600, expected 32 to 512",
            "tiers.low.quality = 101, expected 1 to 100",
        ],
    );
    check_out_of_range(
        "policy = \"escalation\"\n[parameters]\nlocal_probability = 0.7\ntentative_probability = 0.9",
        &["costly_probability = 0.8, expected 0 to 0.7", "tentative_probability = 0.9, expected 0 to 0.8"],
    );
    check_out_of_range(
        "policy = \"frame-keep\"\n[parameters]\ndark_below = 2.0\nrefresh_ms = 3600001",
        &["dark_below = 2, expected 0 to 1", "refresh_ms = 3600001, expected 0 to 3600000"],
    );
}

#[test]
fn one_parameter_out_of_range_is_enough() {
    check_out_of_range(
        "policy = \"frame-keep\"\n[parameters]\nblurred_below = -0.1",
        &["blurred_below = -0.1, expected 0 to 1"],
    );
}

#[test]
fn a_file_replaces_its_policy_alone() {
    let mut policies = Policies::default();
    let file = PolicyFile::parse("policy = \"escalation\"\n[parameters]\nlocal_probability = 0.9")
        .expect("a policy");
    policies.replace(file);
    assert!((policies.escalation.local_probability - 0.9).abs() < f32::EPSILON);
    assert_eq!(policies.frame_rate, FrameRatePolicy::default());
    let PolicyFile::FrameRate(frame_rate) = PolicyFile::parse(built_in("frame-rate.toml")).expect("a policy")
    else {
        panic!("frame-rate.toml is another policy");
    };
    assert_eq!(policies.frame_rate, frame_rate);
}
