//! What the core costs: a photo put together from its notifications, one step of the gateway, a query.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use glassd_core::gateway::{Gateway, Input, Output, Probe, Settings};
use glassd_core::link::{Arm, Characteristic, LinkEvent, Profile, Protocol, frame, mentra, omi};
use glassd_core::query::Source;
use glassd_core::{GlassesId, QueryId, Scene, Timestamp};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Size of a VGA photo of OmiGlass, in bytes.
const PHOTO: usize = 30_000;

/// The notifications of one OmiGlass 2.3.2 photo.
fn photo() -> Vec<Vec<u8>> {
    let jpeg: Vec<u8> = (0..PHOTO).map(|i| (i * 31 % 251) as u8).collect();
    let mut notifications = vec![[&[0, 0, 0], &jpeg[..199]].concat()];
    for (number, chunk) in jpeg[199..].chunks(200).enumerate() {
        let number = u16::try_from(number + 1).expect("fewer than 65,536 chunks");
        notifications.push([&number.to_le_bytes(), chunk].concat());
    }
    notifications.push(vec![0xFF, 0xFF]);
    notifications
}

/// The notifications of one photo of a Frame.
fn frame_photo() -> Vec<Vec<u8>> {
    let mut jpeg: Vec<u8> = (0..PHOTO).map(|i| (i * 31 % 251) as u8).collect();
    jpeg[..2].copy_from_slice(&[0xFF, 0xD8]);
    jpeg[PHOTO - 2..].copy_from_slice(&[0xFF, 0xD9]);
    jpeg.chunks(242).map(|packet| [&[1, 7], packet].concat()).chain([vec![1, 8]]).collect()
}

/// A Frame whose app runs, as far as it can tell.
fn frame() -> Box<dyn Protocol> {
    let mut frame = Profile::Frame(frame::Settings::default()).connect();
    frame.handle_connected(START);
    let mut now = START;
    while let Some(due) = frame.poll_timeout() {
        now = now.max(due);
        frame.handle_timeout(now);
        while let Some(write) = frame.poll_write() {
            let lua = String::from_utf8_lossy(&write.value).into_owned();
            let reply =
                lua.rsplit_once("print(").map_or("glassd 1", |(_, reply)| reply.trim_end_matches(')'));
            frame.handle_notification(Characteristic::FrameRx, reply.as_bytes(), now);
        }
    }
    while frame.poll_event().is_some() {}
    frame
}

/// Ten seconds of a G1's microphone.
fn even_audio() -> Vec<Vec<u8>> {
    (0..100).map(|seq| [&[0xF1, seq], &[seq; 200][..]].concat()).collect()
}

fn decode(criterion: &mut Criterion) {
    let notifications = photo();
    let mut group = criterion.benchmark_group("link");
    group.throughput(Throughput::Bytes(PHOTO as u64));
    group.bench_function(
        format!("omi photo of {PHOTO} B from {} notifications", notifications.len()),
        |bencher| {
            let mut decoder = omi::Decoder::new(omi::Firmware::from_revision("2.3.2"));
            bencher.iter(|| {
                for value in &notifications {
                    decoder.handle_notification(Characteristic::PhotoData, black_box(value));
                }
                black_box(decoder.poll_event().expect("a whole photo"))
            });
        },
    );
    let notifications = frame_photo();
    group.bench_function(
        format!("frame photo of {PHOTO} B from {} notifications", notifications.len()),
        |bencher| {
            let mut frame = frame();
            bencher.iter(|| {
                for value in &notifications {
                    frame.handle_notification(Characteristic::FrameRx, black_box(value), START);
                }
                black_box(frame.poll_event().expect("a whole photo"))
            });
        },
    );
    let notifications = even_audio();
    group.throughput(Throughput::Bytes(notifications.iter().map(|value| value.len() as u64 - 2).sum()));
    group.bench_function(
        format!("even audio of 10 s from {} notifications", notifications.len()),
        |bencher| {
            let mut even = Profile::Even.connect();
            even.handle_connected(START);
            bencher.iter(|| {
                for value in &notifications {
                    even.handle_notification(Characteristic::EvenRx(Arm::Right), black_box(value), START);
                    for _ in 0..10 {
                        black_box(even.poll_event().expect("ten frames"));
                    }
                }
            });
        },
    );
    group.finish();
}

/// A protocol takes these values; each time something else than drops comes out.
fn take(protocol: &mut dyn Protocol, characteristic: Characteristic, values: &[Vec<u8>]) {
    for value in values {
        protocol.handle_notification(characteristic, black_box(value), START);
    }
    while let Some(event) = protocol.poll_event() {
        assert!(!matches!(event, LinkEvent::Dropped(_)), "{event:?}");
        black_box(event);
    }
    while let Some(write) = protocol.poll_write() {
        black_box(write);
    }
}

/// A photo as glasses of the open profile send it with an MTU of 247.
fn open_photo(number: u8, jpeg: &[u8]) -> Vec<Vec<u8>> {
    let length = u32::try_from(jpeg.len()).expect("a small photo").to_le_bytes();
    let announced =
        [&[3, number], &length[..], &[240, 0], &crc32fast::hash(jpeg).to_le_bytes(), &[0; 9]].concat();
    let chunk = |(index, chunk): (u16, &[u8])| [&[4, number], &index.to_le_bytes()[..], chunk].concat();
    [vec![announced], (0..).zip(jpeg.chunks(240)).map(chunk).collect()].concat()
}

fn mentra_image(jpeg: &[u8]) -> Vec<Vec<u8>> {
    let chunks = jpeg.chunks(240);
    let announced = format!(
        r#"{{"type":"display_image","stream_id":"002A","total_chunks":{},"encoding":"jpeg"}}"#,
        chunks.len()
    );
    let chunk = |(index, chunk): (u8, &[u8])| [&[0xB0, 0, 0x2A, index], chunk].concat();
    [vec![[&[1], announced.as_bytes()].concat()], (0..).zip(chunks).map(chunk).collect()].concat()
}

/// The answers of Omi's storage to one READ of a full batch.
fn omi_batch(start: u64) -> Vec<Vec<u8>> {
    let record = [&[0x65, 0, 0, 0][..], &[[80].as_slice(), &[7; 80]].concat().repeat(5), &[0; 35]].concat();
    let bytes = record.repeat(omi::BATCH as usize);
    let begin = [&[5], &start.to_be_bytes()[..], &omi::BATCH.to_be_bytes()].concat();
    let next = start + u64::from(omi::BATCH);
    let done = [&[4, 0], &next.to_be_bytes()[..], &crc32fast::hash(&bytes).to_be_bytes()].concat();
    let data = bytes.chunks(243).map(|piece| [&[3], piece].concat()).collect();
    [vec![begin], data, vec![done, vec![1, 0]]].concat()
}

fn decode_others(criterion: &mut Criterion) {
    let jpeg: Vec<u8> = (0..PHOTO).map(|i| (i * 31 % 251) as u8).collect();
    let mut group = criterion.benchmark_group("link");
    group.throughput(Throughput::Bytes(PHOTO as u64));
    group.bench_function(format!("open photo of {PHOTO} B in chunks of 240 B"), |bencher| {
        let photos = [open_photo(0, &jpeg), open_photo(1, &jpeg)];
        let mut connection = Profile::Open.connect();
        let mut turn = photos.iter().cycle();
        bencher.iter(|| take(&mut *connection, Characteristic::OpenData, turn.next().expect("it cycles")));
    });
    group.bench_function(format!("mentra image of {PHOTO} B in chunks of 240 B"), |bencher| {
        let image = mentra_image(&jpeg);
        let mut connection = Profile::Mentra.connect();
        bencher.iter(|| take(&mut *connection, Characteristic::MentraRx, &image));
    });
    group.throughput(Throughput::Bytes(5 * mentra::LC3_FRAME as u64));
    group.bench_function("mentra audio of 5 frames", |bencher| {
        let audio = [[&[0xA0, 0][..], &[7; 5 * mentra::LC3_FRAME]].concat()];
        let mut connection = Profile::Mentra.connect();
        bencher.iter(|| take(&mut *connection, Characteristic::MentraRx, &audio));
    });
    group.throughput(Throughput::Bytes(u64::from(omi::BATCH) * omi::RECORD as u64));
    group.bench_function("omi storage, a batch of 60 records", |bencher| {
        let mut connection = Profile::Omi(omi::Firmware::Unknown).connect();
        connection.handle_notification(Characteristic::Features, &[0x40, 0, 0, 0], START);
        let info = [&[2][..], &[0; 8], &u64::MAX.to_be_bytes(), &[0; 12], &[1, 188]].concat();
        take(&mut *connection, Characteristic::Storage, &[info]);
        let mut start = 0;
        bencher.iter_batched(
            || {
                start += u64::from(omi::BATCH);
                omi_batch(start - u64::from(omi::BATCH))
            },
            |batch| take(&mut *connection, Characteristic::Storage, &batch),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

struct Driven {
    gateway: Gateway,
    glasses: GlassesId,
    now: Timestamp,
}

impl Driven {
    fn new() -> Self {
        let glasses: GlassesId = "bench".parse().expect("a legal name");
        let mut driven = Self { gateway: Gateway::new(Settings::default(), START), glasses, now: START };
        let connected = Input::GlassesConnected {
            glasses: driven.glasses.clone(),
            profile: Profile::Omi(omi::Firmware::from_revision("2.3.2")),
            device_fps_limit: None,
        };
        driven.handle(connected);
        driven
    }

    /// Handles an input and everything that follows, with a world that answers at once.
    fn handle(&mut self, input: Input) {
        self.now = self.now + Duration::from_millis(10);
        self.gateway.handle(input, self.now);
        while let Some(output) = self.gateway.poll_output() {
            let reply = match output {
                Output::Probe(frame) => Some(Input::Probed {
                    frame: frame.id,
                    result: Ok(Probe { motion: 0.5, sharpness: 1.0, light: 0.5 }),
                }),
                Output::Perceive { frame, .. } => {
                    let scene = Scene { seen_at: frame.taken_at, ..Scene::default() };
                    Some(Input::Perceived { frame: frame.id, result: Ok(scene) })
                }
                Output::PrepareImage { query, frame, .. } => {
                    Some(Input::ImagePrepared { query, result: Ok(frame.jpeg.to_vec()) })
                }
                Output::Store(row) => Some(Input::Stored { query: row.query }),
                Output::RecordAnswer { query, .. } => Some(Input::Stored { query }),
                Output::Write { .. }
                | Output::HangUp { .. }
                | Output::Sound(_)
                | Output::KeepRecording(_)
                | Output::KeepOutcome { .. }
                | Output::Publish { .. }
                | Output::Ended(_)
                | Output::Notice(_) => None,
            };
            if let Some(reply) = reply {
                self.gateway.handle(reply, self.now);
            }
        }
    }
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gateway");
    group.bench_function("one step: a notification of 202 B", |bencher| {
        let mut driven = Driven::new();
        // The second chunk again and again: decoded, found out of order, counted.
        let value = photo().swap_remove(1);
        bencher.iter(|| {
            driven.handle(Input::Notification {
                glasses: driven.glasses.clone(),
                characteristic: Characteristic::PhotoData,
                value: black_box(value.clone()),
            });
        });
    });
    group.bench_function("one frame: 152 notifications, probe, decision, scene", |bencher| {
        let mut driven = Driven::new();
        let notifications = photo();
        bencher.iter(|| {
            for value in &notifications {
                driven.handle(Input::Notification {
                    glasses: driven.glasses.clone(),
                    characteristic: Characteristic::PhotoData,
                    value: black_box(value.clone()),
                });
            }
        });
    });
    group.bench_function("one query: asked, stored, answered locally", |bencher| {
        let mut driven = Driven::new();
        let mut name = 0;
        bencher.iter(|| {
            name += 1;
            driven.handle(Input::Ask {
                query: QueryId(name),
                glasses: Some(driven.glasses.clone()),
                text: black_box("What time is it?").to_owned(),
                source: Source::Cli,
            });
        });
    });
    group.finish();
}

criterion_group!(benches, decode, decode_others, step);
criterion_main!(benches);
