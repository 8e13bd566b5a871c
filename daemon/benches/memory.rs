//! Resident memory and CPU time of `glassd run`: idle, and with the embedded detector at 5 frames a second.
//!
//! `cargo bench -p glassd --bench memory` prints a table. The simulated glasses live in the same process, so the
//! second row is what a real pair costs plus what rendering and encoding its photos takes.

mod cpu_time;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cpu_time::cpu_seconds;

const IDLE: Duration = Duration::from_secs(5);
const BUSY: Duration = Duration::from_secs(20);

const GLASSES: &str =
    "[[glasses]]\nname = \"bench\"\nkind = \"simulated\"\nseed = 3\ngoodput_bytes_per_s = 60000\n";

fn main() {
    println!(
        "{:<34}{:>10}{:>12}{:>10}{:>10}{:>15}",
        "glassd run", "RSS MB", "own MB", "peak MB", "frames/s", "CPU of a core"
    );
    measure("idle, broker in process", "", IDLE);
    measure("simulated glasses, detector, 5 fps", GLASSES, BUSY);
}

fn measure(what: &str, glasses: &str, duration: Duration) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let http = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let config = folder.path().join("glassd.toml");
    let at = folder.path().display();
    let text = format!(
        "[gateway]\nstate_dir = \"{at}/state\"\ncontrol_socket = \"{at}/control.sock\"\n[mqtt]\nlocal_port = 0\n\
         [http]\nlisten = \"127.0.0.1:{http}\"\n{glasses}"
    );
    std::fs::write(&config, text).expect("the configuration is written");
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_glassd"))
        .arg("--config")
        .arg(&config)
        .arg("run")
        .stderr(Stdio::null())
        .spawn()
        .expect("glassd starts");
    wait_ready(http);
    // The first second has the start in it.
    std::thread::sleep(Duration::from_secs(1));
    let (cpu, frames, started) = (cpu_seconds(&daemon.id().to_string()), frames_total(http), Instant::now());
    std::thread::sleep(duration);
    let seconds = started.elapsed().as_secs_f64();
    let rate = (frames_total(http) - frames) / seconds;
    let cpu = (cpu_seconds(&daemon.id().to_string()) - cpu) / seconds * 100.0;
    let [rss, own, peak] = ["VmRSS:", "RssAnon:", "VmHWM:"].map(|key| status_mb(&daemon, key));
    println!("{what:<34}{rss:>10.1}{own:>12.1}{peak:>10.1}{rate:>10.1}{cpu:>13.1} %");
    // It may have ended by itself.
    let _ = daemon.kill();
    let _ = daemon.wait();
}

fn wait_ready(http: u16) {
    let started = Instant::now();
    while !get(http, "/readyz").starts_with("HTTP/1.1 200") {
        assert!(started.elapsed() < Duration::from_secs(20), "glassd is not ready within 20 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn frames_total(http: u16) -> f64 {
    let page = get(http, "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix("glassd_frames_total "));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

fn get(port: u16, path: &str) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        // Not ready yet reads as nothing.
        let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut text));
    }
    text
}

fn proc(daemon: &Child, file: &str) -> String {
    std::fs::read_to_string(Path::new("/proc").join(daemon.id().to_string()).join(file)).expect("glassd runs")
}

fn status_mb(daemon: &Child, key: &str) -> f64 {
    let status = proc(daemon, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1000.0
}
