//! What Home Assistant is told, held against its documentation of MQTT discovery and of the entities used.

#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Broker, Gateway, wait_until};

const GLASSES: &str = "[[glasses]]\nname = \"amber\"\nkind = \"simulated\"\nseed = 3\n";

/// What every entity may have ("MQTT discovery" and the options that all entities share).
const SHARED: [&str; 5] = ["platform", "unique_id", "name", "icon", "entity_category"];

/// What an entity must have, and what it may have besides: the pages of the platforms.
fn keys(platform: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match platform {
        "binary_sensor" => (&["state_topic"], &["device_class", "value_template"]),
        "sensor" => {
            (&["state_topic"], &["device_class", "state_class", "unit_of_measurement", "value_template"])
        }
        "select" => (&["command_topic", "options"], &["state_topic", "value_template"]),
        "text" => (&["command_topic"], &["command_template", "state_topic"]),
        "notify" => (&["command_topic"], &["command_template"]),
        platform => panic!("{platform}: no entity of this kind was wanted"),
    }
}

fn check_device(config: &Value) {
    let device = &config["device"];
    assert!(device["identifiers"].as_array().is_some_and(|ids| !ids.is_empty()), "{device}");
    assert!(config["origin"]["name"].is_string(), "an origin is required of devices");
    assert_eq!(config["availability"][0]["topic"], "glassd/test/status");
    for (name, component) in config["components"].as_object().unwrap() {
        let platform = component["platform"].as_str().unwrap();
        let (required, optional) = keys(platform);
        assert_eq!(component["unique_id"], name.as_str(), "required of entities in a device");
        for key in required {
            assert!(component.get(key).is_some(), "{name} has no {key}");
        }
        for key in component.as_object().unwrap().keys() {
            let known = [&SHARED[..], required, optional].concat();
            assert!(known.contains(&key.as_str()), "{name}: a {platform} has no {key}");
        }
    }
}

/// Payloads by topic, the latest last.
fn seen(lines: &[String]) -> BTreeMap<String, Vec<Value>> {
    let mut seen: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in lines {
        let (topic, payload) = line.split_once(' ').unwrap();
        if let Ok(payload) = serde_json::from_str(payload) {
            seen.entry(topic.to_owned()).or_default().push(payload);
        }
    }
    seen
}

#[test]
fn home_assistant_is_told_at_its_birth_and_at_ours() {
    let Some(broker) = Broker::start() else { return };
    let mut gateway = Gateway::configure(&broker.url(), "open", GLASSES);
    gateway.set("[mqtt]\n", "[mqtt]\nhome_assistant = true\n");
    let told = broker.subscribe("homeassistant/device/#");
    gateway.start();
    wait_until("both devices are told", || told.lines().len() >= 2);
    let first = seen(&told.lines());
    let own = &first["homeassistant/device/test/config"][0];
    let pair = &first["homeassistant/device/test/amber/config"][0];
    for config in [own, pair] {
        check_device(config);
    }
    assert_eq!(pair["device"]["via_device"], own["device"]["identifiers"][0]);
    let platforms = |config: &Value| -> Vec<String> {
        let components = config["components"].as_object().unwrap().values();
        components.map(|component| component["platform"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(platforms(own), ["sensor", "select"]);
    assert_eq!(platforms(pair), ["sensor", "text", "sensor", "binary_sensor", "sensor", "notify"]);

    broker.publish("homeassistant/status", "offline");
    broker.publish("homeassistant/status", "online");
    wait_until("both are told again", || told.lines().len() >= 4);
    assert_eq!(told.lines().len(), 4, "once for each birth");
    let page = gateway.get("/metrics").1;
    assert!(
        page.contains("\nglassd_uplink_unexpected 0"),
        "a death of Home Assistant is no surprise: {page}"
    );
    // Whoever comes later finds it.
    let late = broker.subscribe("homeassistant/device/test/#");
    wait_until("it is retained", || late.lines().len() == 2);
}

#[test]
fn what_home_assistant_commands_is_done() {
    let Some(broker) = Broker::start() else { return };
    let mut gateway = Gateway::configure(&broker.url(), "open", GLASSES);
    gateway.set("[mqtt]\n", "[mqtt]\nhome_assistant = true\n");
    let told = broker.subscribe("#");
    gateway.start();
    let latest = |topic: &str| seen(&told.lines()).get(topic).and_then(|payloads| payloads.last().cloned());
    let config = "homeassistant/device/test/amber/config";
    wait_until("glasses and state are told", || {
        latest(config).is_some() && latest("glassd/test/state").is_some()
    });
    let own = latest("homeassistant/device/test/config").unwrap();
    let privacy = &own["components"]["glassd_test_privacy"];
    assert_eq!(latest("glassd/test/state").unwrap()["privacy"], privacy["options"][0]);
    for option in [1, 0] {
        let option = privacy["options"][option].as_str().unwrap();
        broker.publish(privacy["command_topic"].as_str().unwrap(), option);
        wait_until(option, || latest("glassd/test/state").unwrap()["privacy"] == option);
    }
    let pair = latest(config).unwrap();
    let ask = &pair["components"]["glassd_test_amber_ask"];
    // What Home Assistant makes of the template.
    assert_eq!(ask["command_template"], "{{ {'text': value, 'glasses': 'amber'} | tojson }}");
    let question = r#"{"text": "what time is it", "glasses": "amber"}"#;
    broker.publish(ask["command_topic"].as_str().unwrap(), question);
    let answer = &pair["components"]["glassd_test_amber_answer"];
    let topic = answer["state_topic"].as_str().unwrap();
    wait_until("the answer is told", || latest(topic).is_some());
    let answered = latest(topic).unwrap();
    assert!(answered["answer"].as_str().unwrap().starts_with("It is "), "{answered}");
    assert_eq!(answered["glasses"], "amber");
}

#[test]
fn nobody_is_told_who_did_not_ask() {
    let Some(broker) = Broker::start() else { return };
    let mut gateway = Gateway::configure(&broker.url(), "open", GLASSES);
    let told = broker.subscribe("#");
    gateway.start();
    wait_until("the state is told", || {
        told.lines().iter().any(|line| line.starts_with("glassd/test/state "))
    });
    assert!(!told.lines().iter().any(|line| line.starts_with("homeassistant/")), "{:?}", told.lines());
}
