//! Byte vectors of Omi's clock, features, motion and offline storage, from the vendor's firmware.
//!
//! They say what real glasses send: if one fails do not change the test.

use std::time::Duration;

use glassd_core::Timestamp;
use glassd_core::link::omi::{self, Connection, Firmware};
use glassd_core::link::{
    Characteristic, DropReason, LinkCommand, LinkEvent, Motion, Protocol, Record, Unsupported, Write, uuid,
};

use Characteristic::{Accelerometer, Features, Storage, TimeSync};
use LinkEvent::Dropped;

const START: Timestamp = Timestamp::from_secs(1_700_000_000);
const INFO: [u8; 1] = [0x10];
const STOP: [u8; 1] = [0x03];
const ACK: [u8; 2] = [0x01, 0];

fn events(connection: &mut Connection) -> Vec<LinkEvent> {
    std::iter::from_fn(|| connection.poll_event()).collect()
}

fn writes(connection: &mut Connection) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| connection.poll_write())
        .map(|write| {
            assert_eq!(write.characteristic, Storage);
            write.value
        })
        .collect()
}

/// A connection that has asked for INFO.
fn with_storage() -> Connection {
    let mut connection = Connection::new(Firmware::Unknown);
    begin(&mut connection);
    connection
}

fn begin(connection: &mut Connection) {
    begin_from(connection, 0);
}

/// Records from this one on are wanted.
fn begin_from(connection: &mut Connection, from: u64) {
    connection.handle_connected(START);
    let clock = Write { characteristic: TimeSync, value: vec![0x00, 0xF1, 0x53, 0x65] };
    assert_eq!(connection.poll_write(), Some(clock));
    assert_eq!(keep(connection, from), Vec::<Vec<u8>>::new());
    connection.handle_notification(Features, &[0x40, 0, 0, 0], START);
    assert_eq!(writes(connection), [INFO]);
}

/// Says that what is before this record is kept; returns what is written then.
fn keep(connection: &mut Connection, from: u64) -> Vec<Vec<u8>> {
    connection.handle_command(&LinkCommand::FetchRecordings { from }, START).expect("it has a ring");
    writes(connection)
}

fn info(read: u64, write: u64) -> Vec<u8> {
    [&[2], &read.to_be_bytes()[..], &write.to_be_bytes(), &[0, 0x10, 0, 0], &[0; 8], &[0x01, 0xBC]].concat()
}

fn read(start: u64) -> Vec<u8> {
    [&[0x11], &start.to_be_bytes()[..], &[0, 0, 0, 60]].concat()
}

fn advance(next: u64) -> Vec<u8> {
    [&[0x12], &next.to_be_bytes()[..]].concat()
}

fn read_begin(start: u64, count: u32) -> Vec<u8> {
    [&[5], &start.to_be_bytes()[..], &count.to_be_bytes()].concat()
}

fn done(status: u8, next: u64) -> Vec<u8> {
    [&[4, status], &next.to_be_bytes()[..]].concat()
}

fn done_with_checksum(next: u64, bytes: &[u8]) -> Vec<u8> {
    [done(0, next), crc32fast::hash(bytes).to_be_bytes().to_vec()].concat()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    [&[3], bytes].concat()
}

fn record(stamp: u32, frames: &[&[u8]]) -> Vec<u8> {
    let mut record = stamp.to_be_bytes().to_vec();
    for frame in frames {
        record.push(frame.len() as u8);
        record.extend_from_slice(frame);
    }
    record.resize(omi::RECORD, 0);
    record
}

fn kept_record(seconds: u64, frames: &[&[u8]]) -> Record {
    let at = (seconds > 0).then_some(Timestamp::from_secs(seconds));
    Record { at, frames: frames.iter().map(|frame| frame.to_vec()).collect() }
}

fn recorded(first: u64, records: &[Record]) -> LinkEvent {
    LinkEvent::Recorded { first, records: records.to_vec() }
}

/// Notifies a value; returns what is written then.
fn notify(connection: &mut Connection, value: &[u8]) -> Vec<Vec<u8>> {
    connection.handle_notification(Storage, value, START);
    writes(connection)
}

#[test]
fn uuids() {
    let text = |uuid: u128| format!("{uuid:032X}");
    for (characteristic, expected) in [
        (Features, "19B10021E8F2537E4F6CD104768A1214"),
        (TimeSync, "19B10031E8F2537E4F6CD104768A1214"),
        (Accelerometer, "32403791000010007450BF445E5829A2"),
        (Storage, "302957814301EABD29042849ADFEAE43"),
    ] {
        assert_eq!(text(uuid::of(characteristic)), expected);
    }
}

#[test]
fn motion() {
    let value = [0, -9_806_650, 4_903_325, 0, 3_141_593, -1_570_796]
        .map(|micro: i32| [(micro / 1_000_000).to_le_bytes(), (micro % 1_000_000).to_le_bytes()].concat())
        .concat();
    let mut connection = Connection::new(Firmware::Unknown);
    connection.handle_notification(Accelerometer, &[6, 0, 0, 0], START);
    assert_eq!(events(&mut connection), []);
    connection.handle_notification(Accelerometer, &value, START);
    let events_of_motion = events(&mut connection);
    let [LinkEvent::Motion(Motion { acceleration, rotation: Some(rotation) })] = events_of_motion[..] else {
        panic!("{events_of_motion:?}")
    };
    assert_eq!(acceleration, [0.0, -1.0, 0.5]);
    assert!(
        rotation.iter().zip([0.0, 180.0, -90.0]).all(|(got, right)| (got - right).abs() < 1e-3),
        "{rotation:?}"
    );
    for (value, reason) in [
        (&value[..47], DropReason::Malformed),
        (&[5, 0, 0, 0], DropReason::UnknownValue),
        (&[0; 49], DropReason::Malformed),
        (&[], DropReason::Malformed),
    ] {
        connection.handle_notification(Accelerometer, value, START);
        assert_eq!(events(&mut connection), [Dropped(reason)]);
    }
}

#[test]
fn features_tell_of_motor_and_storage() {
    let mut connection = Connection::new(Firmware::Unknown);
    let vibrate = LinkCommand::Vibrate(Duration::from_millis(100));
    assert!(connection.abilities().haptics);
    connection.handle_notification(Features, &[0x9F, 0, 0, 0], START);
    assert!(!connection.abilities().haptics);
    assert_eq!(connection.handle_command(&vibrate, START), Err(Unsupported));
    assert_eq!(writes(&mut connection), Vec::<Vec<u8>>::new());
    connection.handle_notification(Features, &[0x20, 0, 0, 0], START);
    assert!(connection.handle_command(&vibrate, START).is_ok());
    connection.handle_notification(Features, &[0x20, 0, 0], START);
    assert_eq!(events(&mut connection), [Dropped(DropReason::Malformed)]);
}

#[test]
fn an_empty_ring_is_read_once() {
    let mut connection = with_storage();
    assert_eq!(notify(&mut connection, &info(7, 7)), [read(7)]);
    assert_eq!(notify(&mut connection, &read_begin(7, 0)), Vec::<Vec<u8>>::new());
    assert_eq!(notify(&mut connection, &done_with_checksum(7, &[])), Vec::<Vec<u8>>::new());
    assert_eq!((connection.poll_timeout(), events(&mut connection)), (None, vec![]));
}

#[test]
fn records_come_out_with_their_time() {
    for newer in [false, true] {
        let mut connection = with_storage();
        assert_eq!(notify(&mut connection, &info(7, 9)), [read(7)]);
        notify(&mut connection, &read_begin(7, 2));
        let bytes = [record(1_690_000_000, &[&[1; 80], &[2; 3]]), record(0, &[&[3; 160]])].concat();
        for part in bytes.chunks(243) {
            assert_eq!(notify(&mut connection, &data(part)), Vec::<Vec<u8>>::new());
            assert_eq!(events(&mut connection), [], "nothing before it is known to be right");
        }
        let done = if newer { done_with_checksum(9, &bytes) } else { done(0, 9) };
        assert_eq!(notify(&mut connection, &done), Vec::<Vec<u8>>::new(), "nothing is kept yet");
        let records = [kept_record(1_690_000_000, &[&[1; 80], &[2; 3]]), kept_record(0, &[&[3; 160]])];
        assert_eq!(events(&mut connection), [recorded(7, &records)]);
        assert_eq!(connection.poll_timeout(), None, "who keeps it takes the time that it takes");
        assert_eq!(keep(&mut connection, 9), [advance(9)]);
        assert_eq!(notify(&mut connection, &ACK), [read(9)]);
    }
}

#[test]
fn a_last_length_without_its_frame_is_legal() {
    let check = |payload: &[u8], expected: &[&[u8]]| {
        let mut bytes = [&[0; 4], payload].concat();
        bytes.resize(omi::RECORD, 0);
        let mut connection = with_storage();
        for value in [info(0, 1), read_begin(0, 1)] {
            notify(&mut connection, &value);
        }
        for part in bytes.chunks(400) {
            notify(&mut connection, &data(part));
        }
        notify(&mut connection, &done(0, 1));
        assert_eq!(events(&mut connection), [recorded(0, &[kept_record(0, expected)])]);
    };
    check(&[], &[]);
    check(&[[200; 201], [200; 201]].concat(), &[&[200; 200], &[200; 200]]);
    check(&[vec![200; 402], vec![36; 37]].concat(), &[&[200; 200], &[200; 200], &[36; 36]]);
    check(&[vec![200; 402], vec![37; 38]].concat(), &[&[200; 200], &[200; 200]]);
    check(&[vec![200; 402], vec![0, 0], vec![90]].concat(), &[&[200; 200], &[200; 200]]);
    check(&[0, 0, 2, 8, 9], &[&[8, 9]]);
}

#[test]
fn a_batch_that_does_not_agree_with_its_end_is_read_again() {
    let bytes = record(5, &[&[1; 80]]);
    let wrong = done_with_checksum(8, &[9]);
    for (count, parts, end) in [
        (1, vec![&bytes[..]], wrong),
        (1, vec![&bytes[..443]], done(0, 8)),
        (1, vec![&bytes[..]], done(0, 9)),
        (1, vec![&bytes[..]], done(0, 6)),
        (1, vec![&bytes[..]], done(0, u64::MAX)),
        (1, vec![&bytes[..], &bytes[..1]], done(0, 8)),
        // Without an error all that was sent is answered for.
        (2, vec![&bytes[..], &bytes[..]], done(0, 8)),
        (2, vec![&bytes[..], &bytes[..1]], done(0, 8)),
        (1, vec![], done(9, 7)),
    ] {
        let mut connection = with_storage();
        for value in [info(7, 9), read_begin(7, count)] {
            notify(&mut connection, &value);
        }
        for part in &parts {
            notify(&mut connection, &data(part));
        }
        assert_eq!(notify(&mut connection, &end), Vec::<Vec<u8>>::new());
        let dropped = events(&mut connection);
        assert!(!dropped.is_empty() && dropped.iter().all(|event| *event == Dropped(DropReason::RecordGap)));
        let again = connection.poll_timeout().expect("it is tried again");
        assert_eq!(again, START + omi::PAUSE);
        connection.handle_timeout(again);
        assert_eq!(writes(&mut connection), [STOP, INFO]);
        assert_eq!(notify(&mut connection, &ACK), Vec::<Vec<u8>>::new());
        assert_eq!(notify(&mut connection, &info(7, 9)), [read(7)]);
    }
}

#[test]
fn what_came_before_a_failure_is_kept() {
    let mut connection = with_storage();
    let bytes = [record(5, &[&[1; 80]]), record(6, &[&[2; 80]])].concat();
    for value in [info(7, 17), read_begin(7, 10), data(&bytes[..500])] {
        notify(&mut connection, &value);
    }
    let end = [done(9, 8), crc32fast::hash(&bytes[..500]).to_be_bytes().to_vec()].concat();
    notify(&mut connection, &end);
    assert_eq!(events(&mut connection), [recorded(7, &[kept_record(5, &[&[1; 80]])])]);
    assert_eq!(keep(&mut connection, 8), [advance(8)]);
    assert_eq!(notify(&mut connection, &ACK), [read(8)]);
}

#[test]
fn silence_and_refusals_are_tried_again_and_then_given_up() {
    for refusal in [None, Some([1, 9]), Some([1, 10])] {
        let mut connection = with_storage();
        let mut now = START;
        for failures in 1..=omi::MAX_FAILURES + 1 {
            assert_eq!(connection.poll_timeout(), Some(now + omi::SILENCE));
            match refusal {
                Some(ack) => connection.handle_notification(Storage, &ack, now),
                None => {
                    now = now + omi::SILENCE;
                    connection.handle_timeout(now);
                }
            }
            let reason =
                if failures > omi::MAX_FAILURES { DropReason::Unanswered } else { DropReason::RecordGap };
            assert_eq!(events(&mut connection), [Dropped(reason)]);
            if failures <= omi::MAX_FAILURES {
                now = now + omi::PAUSE;
                connection.handle_timeout(now);
                assert_eq!(writes(&mut connection), [STOP, INFO]);
            }
        }
        assert_eq!(connection.poll_timeout(), None);
        begin(&mut connection);
    }
}

#[test]
fn failures_are_forgotten_when_a_record_is_kept() {
    let mut connection = with_storage();
    for number in 0..3 * u64::from(omi::MAX_FAILURES) {
        assert_eq!(notify(&mut connection, &info(number, 99)), [read(number)]);
        for value in [read_begin(number, 1), data(&record(5, &[&[1; 80]])[..400]), data(&[0; 44])] {
            notify(&mut connection, &value);
        }
        notify(&mut connection, &done(9, number + 1));
        assert_eq!(events(&mut connection), [recorded(number, &[kept_record(5, &[&[1; 80]])])]);
        assert_eq!(keep(&mut connection, number + 1), [advance(number + 1)]);
        assert_eq!(notify(&mut connection, &ACK), [read(number + 1)]);
        notify(&mut connection, &[1, 9]);
        assert_eq!(events(&mut connection), [Dropped(DropReason::RecordGap)]);
        connection.handle_timeout(connection.poll_timeout().expect("it is tried again"));
        assert_eq!(writes(&mut connection), [STOP, INFO]);
    }
}

#[test]
fn firmware_without_a_ring_is_left_alone() {
    let mut connection = with_storage();
    assert_eq!(notify(&mut connection, &[1, 6]), Vec::<Vec<u8>>::new());
    assert_eq!(
        (connection.poll_timeout(), events(&mut connection)),
        (None, vec![Dropped(DropReason::Unanswered)])
    );
}

/// A connection that has given out records 7 and 8, which came in one READ from 7 on.
fn given_out(connection: &mut Connection) {
    let bytes = [record(5, &[&[1; 80]]), record(6, &[&[2; 80]])].concat();
    assert_eq!(notify(connection, &info(7, 19)), [read(7)]);
    notify(connection, &read_begin(7, 2));
    for part in bytes.chunks(400) {
        notify(connection, &data(part));
    }
    assert_eq!(notify(connection, &done_with_checksum(9, &bytes)), Vec::<Vec<u8>>::new());
    assert_eq!(events(connection).len(), 1);
}

#[test]
fn what_is_kept_is_not_read_again_after_a_reconnect() {
    let mut connection = with_storage();
    given_out(&mut connection);
    // The link is lost before it is known to be kept: it is read again.
    begin(&mut connection);
    given_out(&mut connection);
    assert_eq!(keep(&mut connection, 9), [advance(9)]);
    // The link is lost: whether the ring was advanced is not known.
    begin_from(&mut connection, 9);
    assert_eq!(notify(&mut connection, &info(7, 19)), [advance(9)]);
    assert_eq!(notify(&mut connection, &ACK), [read(9)]);
    begin_from(&mut connection, 9);
    assert_eq!(notify(&mut connection, &info(9, 19)), [read(9)]);
    // What was overwritten meanwhile is lost.
    begin_from(&mut connection, 9);
    assert_eq!(notify(&mut connection, &info(12, 19)), [read(12)]);
    // Somebody cleared the ring.
    begin_from(&mut connection, 9);
    assert_eq!(notify(&mut connection, &info(0, 3)), [read(0)]);
}

#[test]
fn nothing_is_asked_of_a_ring_that_is_not_wanted() {
    let mut connection = Connection::new(Firmware::Unknown);
    connection.handle_connected(START);
    connection.poll_write();
    connection.handle_notification(Features, &[0x40, 0, 0, 0], START);
    assert_eq!((writes(&mut connection), connection.poll_timeout()), (vec![], None));
    // Nor of one that is not there.
    let mut connection = Connection::new(Firmware::Unknown);
    assert_eq!(keep(&mut connection, 0), Vec::<Vec<u8>>::new());
    connection.handle_notification(Features, &[0x20, 0, 0, 0], START);
    assert_eq!((writes(&mut connection), connection.poll_timeout()), (vec![], None));
}

#[test]
fn what_could_not_be_kept_is_read_again_and_at_last_given_up() {
    let mut connection = with_storage();
    for failures in 1..=omi::MAX_FAILURES + 1 {
        given_out(&mut connection);
        // A late answer of the glasses does not take the place of the disk's.
        assert_eq!(notify(&mut connection, &[1, 9]), Vec::<Vec<u8>>::new());
        assert_eq!(keep(&mut connection, 7), Vec::<Vec<u8>>::new(), "nothing is advanced over");
        let last = failures > omi::MAX_FAILURES;
        let reason = if last { DropReason::Unanswered } else { DropReason::NotKept };
        assert_eq!(events(&mut connection), [Dropped(reason)]);
        let again = connection.poll_timeout();
        assert_eq!(again, (!last).then_some(START + omi::PAUSE));
        if let Some(again) = again {
            connection.handle_timeout(again);
            assert_eq!(writes(&mut connection), [STOP, INFO]);
        }
    }
}

#[test]
fn rings_that_the_protocol_does_not_define() {
    let mut other_size = info(7, 9);
    other_size[30] = 0xBD;
    for bad in [other_size, info(9, 7)] {
        let mut connection = with_storage();
        assert_eq!(notify(&mut connection, &bad), Vec::<Vec<u8>>::new());
        assert_eq!(events(&mut connection), [Dropped(DropReason::UnknownValue)]);
        assert_eq!(connection.poll_timeout(), None);
    }
    for bad in [&[][..], &[1], &[2, 0], &[4], &[4, 0, 0], &[5, 0], &[1, 0, 0]] {
        let mut connection = with_storage();
        notify(&mut connection, bad);
        assert_eq!(events(&mut connection), [Dropped(DropReason::Malformed)], "{bad:?}");
    }
    let mut connection = with_storage();
    for (stray, reason) in [
        (vec![6], DropReason::UnknownValue),
        (data(&[1]), DropReason::RecordGap),
        (read_begin(0, 1), DropReason::RecordGap),
        (done(0, 1), DropReason::RecordGap),
    ] {
        assert_eq!(notify(&mut connection, &stray), Vec::<Vec<u8>>::new());
        assert_eq!(events(&mut connection), [Dropped(reason)]);
    }
    assert_eq!(notify(&mut connection, &info(u64::MAX, u64::MAX)), [read(u64::MAX)]);
}
