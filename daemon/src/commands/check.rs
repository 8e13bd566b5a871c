//! `glassd check`: configuration and environment, all problems at once. Used as `ExecStartPre`.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::{self, Config, LoadError};

/// What was checked, and how it went.
type Finding = (&'static str, anyhow::Result<String>);

/// Checks everything that can be checked without starting; prints a line each.
pub(super) fn run(path: Option<&Path>) -> ExitCode {
    let findings = match config::load(path) {
        Ok(config) => check(&config),
        Err(LoadError::Invalid(problems)) => {
            problems.into_iter().map(|problem| ("configuration", Err(anyhow::anyhow!("{problem}")))).collect()
        }
        Err(error) => vec![("configuration", Err(error.into()))],
    };
    let mut failed = 0;
    for (what, result) in &findings {
        match result {
            Ok(detail) => println!("ok    {what}: {detail}"),
            Err(error) => {
                failed += 1;
                println!("FAIL  {what}: {error:#}");
            }
        }
    }
    match failed {
        0 => ExitCode::SUCCESS,
        1 => {
            eprintln!("glassd: 1 problem");
            ExitCode::FAILURE
        }
        n => {
            eprintln!("glassd: {n} problems");
            ExitCode::FAILURE
        }
    }
}

fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        ("configuration", Ok("every key is known and in range".to_owned())),
        ("state", state(config)),
        ("policies", policies(config)),
        ("detector", detector(config)),
        (
            "password",
            crate::secrets::mqtt_password(config).map(|password| match password {
                Some(_) => "is there".to_owned(),
                None => "none is configured".to_owned(),
            }),
        ),
    ];
    if UnixStream::connect(&config.gateway.control_socket).is_ok() {
        findings.push(("ports", Ok("not checked: a glassd with this configuration is running".to_owned())));
    } else {
        findings.push(("metrics port", free(&config.http.listen, "http.listen")));
        if config.mqtt.broker.is_empty() {
            findings.push((
                "broker port",
                free(&format!("127.0.0.1:{}", config.mqtt.local_port), "mqtt.local_port"),
            ));
        }
    }
    findings
}

fn state(config: &Config) -> anyhow::Result<String> {
    let folder = &config.gateway.state_dir;
    std::fs::create_dir_all(folder)
        .and_then(|()| {
            let probe = folder.join(".glassd-check");
            std::fs::write(&probe, b"")?;
            std::fs::remove_file(probe)
        })
        .with_context(|| format!("gateway.state_dir = {} cannot be written", folder.display()))?;
    Ok(format!("{} can be written", folder.display()))
}

/// Every policy file must load, and keep its own cases.
fn policies(config: &Config) -> anyhow::Result<String> {
    crate::daemon::load_policies(config)?;
    for path in &config.policies.files {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let report = glassd_policies::test_file(&text).with_context(|| format!("in {}", path.display()))?;
        anyhow::ensure!(report.is_ok(), "{}: its own cases fail:\n{report}", path.display());
    }
    Ok(match config.policies.files.len() {
        0 => "built in".to_owned(),
        n => format!("{n} files, and they keep their cases"),
    })
}

fn detector(config: &Config) -> anyhow::Result<String> {
    let detector = crate::daemon::load_detector(config)?;
    Ok(format!("{} with {} labels", config.models.detector, detector.labels().len()))
}

fn free(listen: &str, key: &str) -> anyhow::Result<String> {
    if listen.is_empty() {
        return Ok("none is wanted".to_owned());
    }
    TcpListener::bind(listen)
        .with_context(|| format!("{key} = {listen} cannot be taken; does another program use it?"))?;
    Ok(format!("{listen} is free"))
}
