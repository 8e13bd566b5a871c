//! What is told of a pair of glasses: to `glassd status` and in the topic `state`.

use glassd_core::gateway::GlassesState;
use glassd_policies::Reason;
use serde_json::{Value, json};

pub(super) fn describe(glasses: &GlassesState<'_>) -> Value {
    let limits = glasses.limits;
    json!({
        "connected": glasses.connected,
        "battery": glasses.battery,
        "fps": glasses.rate.map(|rate| tenths(rate.value.fps)),
        "mode": glasses.rate.map(|rate| rate.value.mode),
        "why": glasses.rate.map(|rate| words(&rate.reasons)),
        "abilities": glasses.abilities.map(|abilities| json!({
            "microphone": abilities.microphone,
            "display": abilities.display,
            "haptics": abilities.haptics,
        })),
        "camera": camera(glasses),
        "limits": {
            "device_fps": limits.device_fps.map(tenths),
            "protocol_fps": limits.protocol_fps.map(tenths),
            "link_fps": limits.link_fps.map(tenths),
            "link_bytes_per_second": limits.link_bytes_per_second,
        },
    })
}

/// What the camera can be told, and what it was; nothing where there is none.
fn camera(glasses: &GlassesState<'_>) -> Option<Value> {
    let camera = glasses.abilities?.camera?;
    Some(json!({
        "adjustable": camera.is_adjustable,
        "own_interval_s": camera.own_interval.map(|interval| interval.as_secs_f64()),
        "shortest_interval_s": camera.shortest_interval.as_secs_f64(),
        "longest_side": glasses.camera.map(|settings| settings.value.longest_side),
        "quality": glasses.camera.map(|settings| settings.value.quality),
        "why": glasses.camera.map(|settings| words(&settings.reasons)),
    }))
}

fn words(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}

fn tenths(number: f32) -> f64 {
    (f64::from(number) * 10.0).round() / 10.0
}
