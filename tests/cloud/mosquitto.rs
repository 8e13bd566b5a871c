//! A real Mosquitto (Debian's `mosquitto`) on a free port of 127.0.0.1, for one test.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A running broker; it is killed when this is dropped.
pub struct Mosquitto {
    child: Child,
    port: u16,
    config: tempfile::NamedTempFile,
}

impl Mosquitto {
    /// Starts a broker with further lines of configuration; `None`, with a message, where Mosquitto is
    /// not installed.
    pub fn start(further: &str) -> Option<Self> {
        let Some(program) = program() else {
            eprintln!("skipped: mosquitto is not installed");
            return None;
        };
        // Another program may take the port between the look and the use.
        (0..5).find_map(|_| {
            let port = free_port();
            let mut config = tempfile::NamedTempFile::new().unwrap();
            write!(config, "listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n{further}\n")
                .unwrap();
            let mut broker = Self { child: spawn(&program, &config), port, config };
            broker.listens().then_some(broker)
        })
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it, without a chance to say goodbye.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port.
    pub fn restart(&mut self) {
        self.child = spawn(&program().unwrap(), &self.config);
        assert!(self.listens(), "mosquitto does not come back on port {}", self.port);
    }

    /// Waits for the broker's own word: a connection could be answered by somebody else's.
    fn listens(&mut self) -> bool {
        let mut log = BufReader::new(self.child.stderr.take().unwrap()).lines();
        let running = log.by_ref().map_while(Result::ok).any(|line| line.ends_with(" running"));
        // Mosquitto would wait on a full pipe.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        running
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &PathBuf, config: &tempfile::NamedTempFile) -> Child {
    let mut command = Command::new(program);
    command.arg("-c").arg(config.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian installs it where only root looks.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join("mosquitto")).find(|program| program.is_file())
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
