//! CPU time of the daemon for an hour of 5 frames a second and 50 audio packets a second.
//!
//! `cargo bench -p glassd --bench hour` prints a table. Simulated glasses make what a minute of a link carries, beforehand;
//! the daemon takes it in as over Bluetooth, from decoding the notifications to the detector. What BlueZ, the kernel and
//! the bus take is not in it: `tests/radio` has a real stack, in an emulator whose times say nothing.

mod cpu_time;

use std::collections::BTreeMap;
use std::time::Duration;

use glassd::config::Config;
use glassd::daemon::{Daemon, Extras};
use glassd::event_loop::Event;
use glassd_core::gateway::{Counter, Input};
use glassd_core::link::{Characteristic, Profile, omi};
use glassd_core::{GlassesId, Timestamp};
use glassd_sim::glasses::OmiGlasses;
use glassd_sim::world::Room;
use tokio::sync::oneshot;

use cpu_time::cpu_seconds;

const FRAMES_PER_S: u32 = 5;
const PACKETS_PER_S: u32 = 50;
const SECONDS: u32 = 60;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    println!(
        "{:<52}{:>10}{:>14}{:>16}",
        "a minute of a link, in real time", "CPU s", "CPU s/hour", "of a core"
    );
    for (what, rooms) in
        [("the wearer looks at one thing", 1), ("the wearer looks at another thing every second", SECONDS)]
    {
        let frames = frames(rooms);
        let (cpu, counters) = runtime.block_on(minute(&frames));
        let hour = cpu * 60.0;
        println!("{what:<52}{cpu:>10.2}{hour:>14.0}{:>14.1} %", hour / 36.0);
        println!("    {counters}");
    }
}

/// The notifications of each photo of a minute.
fn frames(rooms: u32) -> Vec<Vec<(Characteristic, Vec<u8>)>> {
    let mut glasses = OmiGlasses::new(3);
    let mut now = Timestamp::from_secs(1_700_000_000);
    let count = FRAMES_PER_S * SECONDS;
    (0..count)
        .map(|frame| {
            if frame % (count / rooms) == 0 {
                glasses.look_at(Room::random(u64::from(frame)), now);
            }
            let photo = omi::encode(&glassd_core::link::LinkCommand::TakePhoto).expect("Omi takes photos");
            glasses.handle_write(&photo, now);
            let mut sent = Vec::new();
            for _ in 0..200 {
                now = now + Duration::from_millis(1);
                while let Some((characteristic, value)) = glasses.poll_notification(now) {
                    if characteristic == Characteristic::PhotoData {
                        sent.push((characteristic, value));
                    }
                }
            }
            sent
        })
        .collect()
}

async fn minute(frames: &[Vec<(Characteristic, Vec<u8>)>]) -> (f64, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut config = Config::default();
    config.gateway.state_dir = folder.path().to_owned();
    config.gateway.control_socket = std::path::PathBuf::new();
    config.http.listen = String::new();
    config.mqtt.local_port = 0;
    let daemon = Daemon::start(&config, Extras::default()).await.expect("the daemon starts");
    let glasses: GlassesId = "bench".parse().expect("a name");
    let send = async |input| daemon.events.send(Event::Input(input)).await.expect("the daemon runs");
    let profile = Profile::Omi(omi::Firmware::Oriented);
    send(Input::GlassesConnected { glasses: glasses.clone(), profile, device_fps_limit: None }).await;
    let notify =
        |characteristic, value| Input::Notification { glasses: glasses.clone(), characteristic, value };
    send(notify(Characteristic::Codec, vec![20])).await;
    // The start is not what an hour has.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, started) = (cpu_seconds("self"), tokio::time::Instant::now());
    let tick = Duration::from_secs(1) / PACKETS_PER_S;
    let mut packet = 0_u16;
    for frame in frames {
        for (index, _) in (0..PACKETS_PER_S / FRAMES_PER_S).enumerate() {
            if index == 0 {
                for (characteristic, value) in frame {
                    send(notify(*characteristic, value.clone())).await;
                }
            }
            let audio = [&packet.to_le_bytes()[..], &[0], &[7; 80]].concat();
            send(notify(Characteristic::Audio, audio)).await;
            packet = packet.wrapping_add(1);
            tokio::time::sleep_until(started + tick * u32::from(packet)).await;
        }
    }
    let cpu = cpu_seconds("self") - before;
    let (reply, answer) = oneshot::channel();
    daemon.events.send(Event::Snapshot(reply)).await.expect("the daemon runs");
    let counters = answer.await.expect("the daemon runs").counters;
    let wanted: BTreeMap<&str, Counter> = [
        ("photos", Counter::Frames),
        ("seen by the detector", Counter::FramesPerceived),
        ("audio frames", Counter::AudioFrames),
        ("notifications", Counter::Notifications),
    ]
    .into();
    let told: Vec<String> =
        wanted.iter().map(|(name, counter)| format!("{} {name}", counters.get(*counter))).collect();
    daemon.stop().await.expect("the daemon ends");
    (cpu, told.join(", "))
}
