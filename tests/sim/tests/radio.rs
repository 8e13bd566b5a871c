//! The radio: its rate, its order, its losses.

use std::time::Duration;

use glassd_core::Timestamp;
use glassd_core::link::Characteristic;
use glassd_sim::radio::{Radio, RadioSettings};

const START: Timestamp = Timestamp::from_secs(1_790_000_000);

/// Sends so many values of 200 bytes at once, and returns when each arrived and its first byte.
fn carried(radio: &mut Radio, values: u8) -> Vec<(Timestamp, u8)> {
    for n in 0..values {
        radio.send(Characteristic::PhotoData, vec![n; 200], START);
    }
    let mut arrived = Vec::new();
    while let Some(at) = radio.poll_timeout() {
        assert!(radio.poll(at - Duration::from_micros(1)).is_none(), "nothing arrives early");
        let (_, value) = radio.poll(at).expect("it was announced");
        arrived.push((at, value[0]));
    }
    arrived
}

#[test]
fn the_goodput_is_what_was_asked_for() {
    for goodput in [25_000.0, 32_000.0] {
        let mut radio = Radio::with(1, RadioSettings { goodput, ..RadioSettings::default() });
        let arrived = carried(&mut radio, 200);
        let took = arrived.last().unwrap().0.since(START).as_secs_f64();
        let measured = 40_000.0 / took;
        assert!((0.93..1.0).contains(&(measured / goodput)), "{measured} B/s of {goodput}");
    }
}

#[test]
fn values_arrive_in_order_after_the_latency() {
    let arrived = carried(&mut Radio::new(2), 100);
    assert_eq!(arrived.iter().map(|(_, n)| *n).collect::<Vec<_>>(), (0..100).collect::<Vec<u8>>());
    assert!(arrived.is_sorted_by_key(|(at, _)| *at));
    assert!(arrived[0].0 >= START + Duration::from_millis(25));
}

#[test]
fn the_same_seed_loses_the_same_values() {
    let lossy = |seed| {
        let mut radio = Radio::with(seed, RadioSettings { loss: 0.2, ..RadioSettings::default() });
        let arrived = carried(&mut radio, 250);
        assert_eq!(radio.lost(), 250 - arrived.len() as u64);
        arrived
    };
    assert_eq!(lossy(3), lossy(3));
    let kept = lossy(3).len();
    assert!((180..=220).contains(&kept), "{kept} of 250 at a loss of 20 %");
}

#[test]
fn a_cut_loses_what_is_in_the_air_until_it_heals() {
    let mut radio = Radio::new(4);
    let send = |radio: &mut Radio, length| radio.send(Characteristic::Audio, vec![0; length], START);
    send(&mut radio, 100);
    radio.cut();
    send(&mut radio, 100);
    assert_eq!((radio.poll_timeout(), radio.lost()), (None, 2));
    radio.heal();
    send(&mut radio, 100);
    assert!(radio.poll_timeout().is_some());
    send(&mut radio, 515);
    assert_eq!(radio.lost(), 3, "a value over the MTU is lost");
}

#[test]
fn a_full_buffer_is_not_ready() {
    let mut radio = Radio::new(5);
    assert!(radio.is_ready(START));
    radio.send(Characteristic::Audio, vec![0; 500], START);
    radio.send(Characteristic::Audio, vec![0; 500], START);
    radio.send(Characteristic::Audio, vec![0; 500], START);
    assert!(!radio.is_ready(START));
    assert!(radio.is_ready(START + Duration::from_millis(20)));
}
