//! Programs around the gateway: Mosquitto, the gateway itself, a cloud model.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part of it")]

#[path = "../../../tests/cloud/model_server.rs"]
pub mod model_server;
#[path = "../../../tests/cloud/mosquitto.rs"]
pub mod mosquitto;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use model_server::ModelServer;
use mosquitto::Mosquitto;

/// Returns a port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something holds; panics with `what` after 20 s.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that ends with its handle.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real Mosquitto on a port of its own, and Debian's clients for it.
pub struct Broker {
    pub mosquitto: Mosquitto,
    folder: tempfile::TempDir,
}

impl Broker {
    /// Starts one; `None`, with a word about it, where Mosquitto or its clients are not installed.
    pub fn start() -> Option<Self> {
        if find("mosquitto_sub").is_none() {
            println!("skipped: mosquitto-clients is not installed");
            return None;
        }
        Some(Self { mosquitto: Mosquitto::start("")?, folder: tempfile::tempdir().unwrap() })
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.mosquitto.port())
    }

    /// Collects what is published on a filter, a line each: `topic payload`.
    pub fn subscribe(&self, filter: &str) -> Subscription {
        let path = self.folder.path().join(format!("sub-{}", filter.replace(['/', '#', '+'], "_")));
        let file = std::fs::File::create(&path).unwrap();
        let child = Command::new(find("mosquitto_sub").unwrap())
            .args([
                "-V",
                "5",
                "-h",
                "127.0.0.1",
                "-p",
                &self.mosquitto.port().to_string(),
                "-t",
                filter,
                "-v",
                "-q",
                "1",
            ])
            .stdout(file)
            .spawn()
            .unwrap();
        // mosquitto_sub says nothing when it is subscribed.
        std::thread::sleep(Duration::from_millis(300));
        Subscription { path, _process: Process(child) }
    }

    pub fn publish(&self, topic: &str, payload: &str) {
        let status = Command::new(find("mosquitto_pub").unwrap())
            .args([
                "-V",
                "5",
                "-h",
                "127.0.0.1",
                "-p",
                &self.mosquitto.port().to_string(),
                "-t",
                topic,
                "-m",
                payload,
                "-q",
                "1",
            ])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

/// What a subscriber saw.
pub struct Subscription {
    path: PathBuf,
    _process: Process,
}

impl Subscription {
    pub fn lines(&self) -> Vec<String> {
        let bytes = std::fs::read(&self.path).unwrap();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

/// Looks a program up where Debian has it and in `PATH`.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A gateway with a folder, a configuration and ports of its own.
pub struct Gateway {
    pub folder: tempfile::TempDir,
    pub http: u16,
    process: Option<Process>,
}

impl Gateway {
    /// Writes its configuration; `extra` is TOML that comes after the sections written here.
    pub fn configure(broker: &str, privacy: &str, extra: &str) -> Self {
        let gateway = Self { folder: tempfile::tempdir().unwrap(), http: free_port(), process: None };
        let folder = gateway.folder.path().display();
        let http = gateway.http;
        let text = format!(
            "[gateway]\nname = \"test\"\nstate_dir = \"{folder}/state\"\ncontrol_socket = \"{folder}/control.sock\"\n\
             privacy = \"{privacy}\"\n[mqtt]\nbroker = \"{broker}\"\nlocal_port = 0\n\
             [http]\nlisten = \"127.0.0.1:{http}\"\n{extra}"
        );
        std::fs::write(gateway.config(), text).unwrap();
        gateway
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("glassd.toml")
    }

    /// Changes the configuration.
    pub fn set(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        std::fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    /// Starts `glassd run` and waits until it listens on its control socket.
    pub fn start(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let child = self.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.process = Some(Process(child));
        wait_until("glassd runs", || self.glassd(&["status"]).status.success());
    }

    /// kill −9.
    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().0.id()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_glassd"));
        command.arg("--config").arg(self.config()).args(args);
        command
    }

    /// Runs a client command to its end.
    pub fn glassd(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.http, path)
    }
}

/// One HTTP GET on loopback.
pub fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A cloud worker in this process, on a thread of its own; it ends with the test.
pub fn worker(broker: &str, model: &ModelServer) {
    let backend = glassd_cloud::OpenAi::new(glassd_cloud::OpenAiSettings {
        base_url: model.url(),
        model: "m".to_owned(),
        key: None,
        prompt: glassd_cloud::DEFAULT_PROMPT.to_owned(),
    })
    .unwrap();
    let config =
        glassd_cloud::WorkerConfig::new(broker.parse().unwrap(), glassd_cloud::Backend::OpenAi(backend));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(glassd_cloud::Worker::run(config, std::future::pending()));
    });
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
