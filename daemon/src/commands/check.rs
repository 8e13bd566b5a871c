//! `glassd check`: configuration and environment, all problems at once. Used as `ExecStartPre`.

use std::fs::TryLockError;
use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::accelerators::Wanted;
use crate::config::{self, Config, LoadError};
use crate::mqtt::BrokerAddress;

/// What was checked, and how it went.
type Finding = (&'static str, anyhow::Result<String>);

/// How long a broker may take to accept a connection, and to shake hands.
const BROKER: Duration = Duration::from_secs(2);

/// Checks everything that can be checked without starting; prints a line each.
pub(super) fn run(path: Option<&Path>) -> ExitCode {
    let findings = match config::load(path) {
        Ok(config) => check(&config),
        Err(LoadError::Invalid { problems, config }) => {
            // What is wrong in the configuration is told once.
            let told = |key: &str| problems.iter().any(|problem| problem.key.starts_with(key));
            let rest = check(&config).into_iter().filter(|(what, _)| match *what {
                "configuration" => false,
                "broker" => !told("mqtt.broker"),
                "metrics port" => !told("http.listen"),
                "detector" => !told("models."),
                _ => true,
            });
            let rest: Vec<Finding> = rest.collect();
            let problems = problems.into_iter();
            problems.map(|problem| ("configuration", Err(anyhow::anyhow!("{problem}")))).chain(rest).collect()
        }
        Err(error) => vec![("configuration", Err(error.into()))],
    };
    let stopped = findings.iter().all(|(what, _)| *what == "configuration");
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
    if stopped {
        println!(
            "not checked yet: state, policies, detector, password, ports; they need a right configuration"
        );
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
        ("accelerator", accelerator(config)),
        ("password", password(config)),
        ("certificates", certificates(config)),
    ];
    findings.push(("broker", broker(config)));
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
        findings.push(("control socket", control_socket(&config.gateway.control_socket)));
    }
    findings
}

/// The state folder, or the one that it will be made in, must take files. Leaves nothing behind.
fn state(config: &Config) -> anyhow::Result<String> {
    let folder = &config.gateway.state_dir;
    let told = writable(folder).with_context(|| format!("gateway.state_dir = {}", folder.display()))?;
    let lock = config.outbox_path().with_extension("sqlite.lock");
    if let Ok(lock) = std::fs::OpenOptions::new().write(true).open(&lock)
        && let Err(TryLockError::WouldBlock) = lock.try_lock()
    {
        return Ok(format!("{told}; a glassd uses it now, and a second one would refuse to start"));
    }
    Ok(told)
}

/// A socket's path has room for 107 bytes, and its folder must take files.
fn control_socket(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str().is_empty() {
        return Ok("none is wanted".to_owned());
    }
    let bytes = path.as_os_str().len();
    anyhow::ensure!(bytes <= 107, "gateway.control_socket has {bytes} bytes, a socket's path at most 107");
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        anyhow::ensure!(
            metadata.file_type().is_socket(),
            "gateway.control_socket = {} is there and is no socket",
            path.display()
        );
    }
    writable(path.parent().unwrap_or(Path::new(".")))
        .with_context(|| format!("gateway.control_socket = {}", path.display()))
}

/// Finds whether files can be made in a folder, or in the nearest one above it that exists.
fn writable(folder: &Path) -> anyhow::Result<String> {
    let existing = folder
        .ancestors()
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path })
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let probe = existing.join(format!(".glassd-check-{}", std::process::id()));
    std::fs::write(&probe, b"")
        .and_then(|()| std::fs::remove_file(&probe))
        .with_context(|| format!("{} cannot be written", existing.display()))?;
    Ok(if existing == folder {
        format!("{} can be written", folder.display())
    } else {
        format!("{} will be made at the start", folder.display())
    })
}

fn password(config: &Config) -> anyhow::Result<String> {
    let there = crate::secrets::mqtt_access(config)?.password()?.is_some();
    let broker = config.mqtt.broker.parse::<BrokerAddress>();
    let clear = broker.is_ok_and(|broker| !broker.transport().is_encrypted() && !broker.is_loopback());
    Ok(match (there, clear) {
        (true, true) => "is there, and goes to the broker in the clear: mqtts:// or wss:// would hide it",
        (true, false) => "is there",
        (false, _) => "none is configured",
    }
    .to_owned())
}

fn certificates(config: &Config) -> anyhow::Result<String> {
    let files = crate::secrets::mqtt_access(config)?;
    let Ok(broker) = config.mqtt.broker.parse::<BrokerAddress>() else {
        return Ok("none is needed".to_owned());
    };
    if !broker.transport().is_encrypted() {
        let unused = files.authorities.is_some() || files.identity.is_some();
        anyhow::ensure!(!unused, "mqtt.broker = {broker} is without TLS and never sees them");
        return Ok("none is needed".to_owned());
    }
    files.read(&broker)?;
    let trusted = if files.authorities.is_some() { "mqtt.ca_file" } else { "this system" };
    let shown = if files.identity.is_some() { "a certificate is shown" } else { "none is shown" };
    Ok(format!("the broker must be vouched for by {trusted}; {shown} to it"))
}

/// A broker that is away now is no problem: questions wait for it on disk.
fn broker(config: &Config) -> anyhow::Result<String> {
    if config.mqtt.broker.is_empty() {
        return Ok("one in process".to_owned());
    }
    let address: BrokerAddress = config.mqtt.broker.parse().context("mqtt.broker")?;
    // What is wrong with the files is another finding.
    let Ok(access) = crate::secrets::mqtt_access(config).and_then(|files| Ok(files.read(&address)?)) else {
        return Ok(format!("{address} is not tried without its certificates"));
    };
    Ok(match glassd_mqtt::probe(&address, &access, BROKER) {
        Ok(()) => format!("{address} accepts connections"),
        Err(failure) => {
            format!("{address} cannot be reached now ({failure}); hard questions would wait for it")
        }
    })
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
    let (_, mut models) = crate::models::perception(config, None)?;
    let vocabulary = crate::models::admitted(&mut models, &config.models.detector)?;
    Ok(format!("{} with {} labels", config.models.detector, vocabulary.labels.len()))
}

fn accelerator(config: &Config) -> anyhow::Result<String> {
    let Wanted::Named(wanted) = config.models.accelerator else {
        return Ok("measured, where there is more than the processor".to_owned());
    };
    let survey = glassd_inference::survey();
    if let Some(here) = survey.present.iter().find(|one| one.accelerator == wanted) {
        return Ok(format!("{wanted}: {}", here.device));
    }
    let absent = survey.absent.iter().find(|one| one.accelerator == wanted);
    let why = absent.map_or("glassd accel list tells which there are", |absent| absent.why.as_str());
    anyhow::bail!("models.accelerator: {wanted} cannot be had: {why}; the processor would run the models")
}

fn free(listen: &str, key: &str) -> anyhow::Result<String> {
    if listen.is_empty() {
        return Ok("none is wanted".to_owned());
    }
    TcpListener::bind(listen)
        .with_context(|| format!("{key} = {listen} cannot be taken; does another program use it?"))?;
    Ok(format!("{listen} is free"))
}
