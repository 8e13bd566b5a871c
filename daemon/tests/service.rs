//! The service as people run it: its sockets, its topics, its journal, its restarts.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::model_server::{Act, ModelServer};
use support::{Broker, Gateway, Process, wait_until, worker};

const GLASSES: &str = "[[glasses]]\nname = \"amber\"\nkind = \"simulated\"\nseed = 3\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn asks_answers_and_explains() {
    let mut gateway = Gateway::configure("", "open", GLASSES);
    gateway.start();
    let asked = gateway.glassd(&["ask", "what time is it"]);
    assert!(asked.status.success());
    let answer = text(&asked.stdout);
    assert!(answer.starts_with("It is ") && answer.trim_end().ends_with('.'), "{answer}");
    let query = text(&asked.stderr).trim().strip_prefix("query ").unwrap().to_owned();
    let why = text(&gateway.glassd(&["why", &query]).stdout);
    for part in [query.as_str(), "what time is it", "local", answer.trim(), "accepted", "ended"] {
        assert!(why.contains(part), "{part:?} is missing in\n{why}");
    }
    assert_eq!(why, text(&gateway.glassd(&["why", "last"]).stdout));
    let unknown = gateway.glassd(&["why", "0000000000000001"]);
    assert!(!unknown.status.success() && text(&unknown.stderr).contains("not in the history"));
    let nobody = gateway.glassd(&["ask", "--glasses", "nobody", "what do you see"]);
    assert!(!nobody.status.success() && text(&nobody.stderr).contains("there are: amber"));
    let status = text(&gateway.glassd(&["status"]).stdout);
    assert!(status.contains("amber") && status.contains("fps"), "{status}");
}

#[test]
fn serves_metrics_and_health() {
    let mut gateway = Gateway::configure("", "open", GLASSES);
    gateway.start();
    wait_until("ready", || gateway.get("/readyz").0 == 200);
    assert_eq!(gateway.get("/healthz"), (200, "ok\n".to_owned()));
    wait_until("a frame was perceived", || {
        let page = gateway.get("/metrics").1;
        page.lines().any(|line| line.starts_with("glassd_frames_perceived_total ") && !line.ends_with(" 0"))
    });
    let page = gateway.get("/metrics").1;
    assert!(
        page.contains("glassd_stage_seconds_bucket{le=")
            || page.contains("glassd_stage_seconds_bucket{stage="),
        "{page}"
    );
    assert!(page.contains("glassd_resident_bytes "), "{page}");
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn tells_the_service_manager() {
    let mut gateway = Gateway::configure("", "open", "");
    let socket = gateway.folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let child = gateway
        .command(&["run"])
        .env("NOTIFY_SOCKET", &socket)
        .env("WATCHDOG_USEC", "400000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Process(child);
    let mut said = String::new();
    let mut hear = |what: &str| {
        let mut buffer = [0; 4096];
        while !said.contains(what) {
            let length =
                manager.recv(&mut buffer).unwrap_or_else(|_| panic!("never heard {what} after\n{said}"));
            said += &text(&buffer[..length]);
            said.push('\n');
        }
    };
    hear("READY=1");
    hear("STATUS=0 glasses");
    // Twice: the watchdog is fed for as long as the loop turns.
    hear("WATCHDOG=1");
    said.clear();
    let mut buffer = [0; 4096];
    while !said.contains("WATCHDOG=1") {
        let length = manager.recv(&mut buffer).expect("fed again");
        said += &text(&buffer[..length]);
    }
    drop(process);
    gateway.kill();
}

#[test]
fn a_second_one_is_told_what_is_in_its_way() {
    let mut first = Gateway::configure("", "open", "");
    first.start();
    let second = first.glassd(&["run"]);
    assert!(!second.status.success());
    let error = text(&second.stderr);
    assert!(error.contains("in use by another process"), "{error}");
    // The same port, another folder: the port is named.
    let other = Gateway::configure("", "open", "");
    let config = std::fs::read_to_string(other.config()).unwrap();
    std::fs::write(other.config(), config.replace(&other.http.to_string(), &first.http.to_string())).unwrap();
    for command in ["run", "check"] {
        let refused = other.glassd(&[command]);
        assert!(!refused.status.success(), "{command}");
        let said = text(&refused.stdout) + &text(&refused.stderr);
        assert!(said.contains("http.listen") && said.contains(&first.http.to_string()), "{command}: {said}");
    }
}

#[test]
fn leaves_its_files_to_nobody_else() {
    let mut gateway = Gateway::configure("", "open", "");
    gateway.start();
    let mode = |file: &str| gateway.folder.path().join(file).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("state/outbox.sqlite"), 0o600);
    assert_eq!(mode("control.sock") & 0o007, 0);
}

#[test]
fn a_killed_gateway_answers_what_it_had_accepted() {
    let Some(broker) = Broker::start() else { return };
    let mut gateway = Gateway::configure(&broker.url(), "open", "");
    gateway.start();
    wait_until("the broker is connected", || gateway.get("/readyz").0 == 200);
    let queries = broker.subscribe("glassd/test/query");
    let mut client =
        Process(gateway.command(&["ask", "why is the sky blue"]).stderr(Stdio::null()).spawn().unwrap());
    wait_until("the query is published", || !queries.lines().is_empty());
    gateway.kill();
    let _ = client.0.wait();
    // No worker has ever been there; now the gateway and a worker come up.
    let answered = broker.subscribe("glassd/test/answered");
    let model = ModelServer::start([Act::Say("Rayleigh scattering.")]);
    worker(&broker.url(), &model);
    gateway.start();
    wait_until("the answer is told", || !answered.lines().is_empty());
    std::thread::sleep(Duration::from_secs(1));
    let lines = answered.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("Rayleigh scattering.") && lines[0].contains("restored"), "{lines:?}");
    let why = text(&gateway.glassd(&["why", "last"]).stdout);
    assert!(why.contains("Rayleigh scattering.") && why.contains("cloud"), "{why}");
}

#[test]
fn local_only_mode_is_silent_on_the_wire() {
    let Some(broker) = Broker::start() else { return };
    let everything = broker.subscribe("#");
    // The same machine in a spelling that is not known as loopback: the broker counts as remote.
    let url = broker.url().replace("127.0.0.1", "127.1");
    let mut gateway = Gateway::configure(&url, "local-only", GLASSES);
    gateway.set("[mqtt]\n", "[mqtt]\nhome_assistant = true\n");
    gateway.start();
    let hard = gateway.glassd(&["ask", "why is the sky blue"]);
    assert!(!hard.status.success());
    assert!(text(&hard.stdout).contains("may not ask the cloud"), "{}", text(&hard.stdout));
    let easy = gateway.glassd(&["ask", "what time is it"]);
    assert!(easy.status.success());
    broker.publish("marker", "end");
    wait_until("the marker came", || everything.lines().iter().any(|line| line.starts_with("marker")));
    let topics: Vec<String> =
        everything.lines().iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert!(topics.iter().all(|topic| topic == "glassd/test/status" || topic == "marker"), "{topics:?}");
}

#[test]
fn commands_over_mqtt_are_obeyed_and_nonsense_is_not() {
    let Some(broker) = Broker::start() else { return };
    let mut gateway = Gateway::configure(&broker.url(), "open", "");
    gateway.start();
    wait_until("the broker is connected", || gateway.get("/readyz").0 == 200);
    let answered = broker.subscribe("glassd/test/answered");
    for nonsense in ["{", "{\"text\": 5}", "{\"words\": \"x\"}"] {
        broker.publish("glassd/test/command/ask", nonsense);
    }
    broker.publish("glassd/test/command/dance", "now");
    let named = r#"{"text": "what time is it", "query": "00000000000000aa"}"#;
    broker.publish("glassd/test/command/ask", named);
    broker.publish("glassd/test/command/ask", named);
    broker.publish("glassd/test/command/ask", "what day is it");
    wait_until("both answers are told", || answered.lines().len() >= 2);
    std::thread::sleep(Duration::from_millis(500));
    let lines = answered.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("00000000000000aa") && lines[0].contains("It is "), "{lines:?}");
    broker.publish("glassd/test/command/privacy", "local-only");
    wait_until("the mode is set", || text(&gateway.glassd(&["status"]).stdout).contains("local-only"));
    // And it outlives the gateway, whatever the configuration says.
    gateway.kill();
    gateway.start();
    assert!(text(&gateway.glassd(&["status"]).stdout).contains("local-only"));
}

#[test]
fn a_policy_file_is_run_by_its_own_cases() {
    for name in ["frame-rate", "frame-keep", "camera", "compression", "escalation"] {
        let path = support::root().join(format!("config/policies/{name}.toml"));
        let run = |file: &std::path::Path| {
            Command::new(env!("CARGO_BIN_EXE_glassd")).args(["policy", "test"]).arg(file).output().unwrap()
        };
        assert!(run(&path).status.success(), "{name}");
    }
}
