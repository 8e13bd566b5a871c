//! Every key of the configuration, in one place: default, range and meaning.

use std::fmt::Write as _;

use super::Config;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`.
    pub path: &'static str,
    /// Legal values.
    pub range: &'static str,
    /// What it does.
    pub note: &'static str,
}

const fn key(path: &'static str, range: &'static str, note: &'static str) -> Key {
    Key { path, range, note }
}

/// All keys but those of `[[glasses]]`.
pub const KEYS: &[Key] = &[
    key("gateway.name", "1 to 32 of a-z, 0-9, '-', '_'", "Name of this gateway in MQTT topics."),
    key("gateway.state_dir", "a folder", "What must outlive a restart: the outbox and the history."),
    key("gateway.control_socket", "a path", "Unix socket of `glassd ask` and `glassd status`."),
    key("gateway.privacy", "\"open\" or \"local-only\"", "In local-only mode no query leaves this device."),
    key("gateway.language", "BCP 47", "Language of the questions."),
    key("gateway.button_question", "a text", "What a press of the glasses' button asks."),
    key(
        "mqtt.broker",
        "mqtt://host:port, mqtts://host:port, ws://host:port/path, wss://host:port/path, or empty",
        "The broker; with an 's' in TLS 1.3. Empty runs one in process on loopback.",
    ),
    key(
        "mqtt.version",
        "\"auto\", \"5\" or \"3.1.1\"",
        "MQTT version; auto is 5, or 3.1.1 with a broker that refuses it.",
    ),
    key("mqtt.username", "a text", "User name at the broker; empty for none."),
    key(
        "mqtt.password_file",
        "a path, or empty",
        "File that holds the password, or a token. Without it the systemd credential `mqtt-password` is used, if there is one. It and the files below are read anew for every connection.",
    ),
    key(
        "mqtt.ca_file",
        "a path, or empty",
        "PEM file of those whose signature makes the broker's certificate good; empty trusts whom this system trusts.",
    ),
    key(
        "mqtt.certificate_file",
        "a path, or empty",
        "PEM file of the certificate that is shown to the broker. Without it the credential `mqtt-certificate` is used, if there is one.",
    ),
    key(
        "mqtt.key_file",
        "a path, or empty",
        "PEM file of its key. Without it the credential `mqtt-key` is used, if there is one.",
    ),
    key(
        "mqtt.keep_alive_s",
        "0, or 5 to 3600",
        "After so many seconds of silence the broker is asked whether it is there, and after twice as many given up; 0 chooses by the battery: 15 on mains, 60 to 240 without.",
    ),
    key(
        "mqtt.topic_prefix",
        "a prefix without '#' and '+', and without '/' at its ends",
        "First part of every topic.",
    ),
    key("mqtt.local_port", "0 to 65535", "Port of the broker in process; 0 takes a free one."),
    key("mqtt.encoding", "\"cbor\" or \"json\"", "How queries are written."),
    key(
        "mqtt.home_assistant",
        "true or false",
        "Home Assistant is told of the gateway and its glasses, and finds them by itself.",
    ),
    key(
        "mqtt.home_assistant_prefix",
        "a prefix without '#' and '+', and without '/' at its ends",
        "First part of its topics, as its MQTT integration has it.",
    ),
    key("uplink.kilobytes_per_minute", "1 to 1000000", "Uplink budget for queries, never exceeded."),
    key("uplink.metered", "true or false", "The uplink costs money: fewer questions are forwarded."),
    key("uplink.in_flight", "1 to 64", "Most queries published and not yet answered."),
    key(
        "queries.lifetime_s",
        "1 to 604800",
        "A query without an answer expires after so many seconds, with notice.",
    ),
    key(
        "queries.answer_timeout_s",
        "1 to 3600",
        "A published query is published again after so many seconds.",
    ),
    key("queries.frame_wait_ms", "0 to 60000", "How long a question waits for a fresh frame."),
    key("queries.frame_freshness_ms", "0 to 60000", "How old a frame may be when the question is asked."),
    key(
        "queries.history_days",
        "0 to 36500",
        "What was asked and answered is forgotten after so many days (0: when there is no room; `glassd history`).",
    ),
    key(
        "http.listen",
        "address:port, or empty",
        "Where /metrics, /healthz and /readyz are served; empty for nowhere.",
    ),
    key(
        "bluetooth.adapter",
        "a name as \"hci1\", or empty",
        "The radio that glasses are reached by; empty for the first that has power.",
    ),
    key(
        "models.detector",
        "\"embedded\", or a name of the manifest",
        "What sees: a model, an ensemble, or a variant that gives each pair of glasses one of several.",
    ),
    key("models.manifest", "a path, or empty", "Manifest of installed models."),
    key(
        "models.directory",
        "a folder, or empty",
        "Where the manifest's files are; empty for the manifest's folder.",
    ),
    key(
        "models.accelerator",
        "\"auto\", \"cpu\", \"vulkan[:N]\", \"onnxruntime[:PROVIDER]\" or \"litert[:delegate]\"",
        "What runs the models, once its outputs agreed with the processor's; auto measures, and `glassd accel list` lists.",
    ),
    key(
        "models.preference",
        "\"low-power\", \"fast-single-answer\" or \"sustained-speed\"",
        "What auto chooses for.",
    ),
    key(
        "models.memory_mb",
        "1 to 1000000",
        "Memory of loaded models, in millions of bytes. One that is needed and not there takes the place of the least recently used.",
    ),
    key(
        "models.cache_lifetime_ms",
        "0 to 60000",
        "How long what was seen stands for pictures like it; 0 for never. What a question waits for is always looked at anew.",
    ),
    key(
        "models.cache_distance",
        "0 to 64",
        "Most bits in which the perceptual hashes of such pictures differ.",
    ),
    key(
        "policies.files",
        "paths",
        "Policy files that replace built-in ones; try them with `glassd policy test FILE`.",
    ),
];

const GLASSES: &str = "\
# One section for each pair of glasses.
# [[glasses]]
# # Name in MQTT topics: 1 to 32 of a-z, 0-9, '-', '_'.
# name = \"left-desk\"
# # \"omi\" (OpenGlass and OmiGlass too), \"frame\", \"frame-sdk\" (a Frame that is spoken to as frame-sdk does),
# # \"even\" (G1), \"mentra\" or \"open\" over Bluetooth; \"simulated\": the simulator's, in a world of their own.
# kind = \"omi\"
# # Their Bluetooth address, see `glassd devices scan`; empty for the first of their kind that are heard.
# address = \"\"
# # The right arm's, for a G1; the left one has the address above.
# right_address = \"\"
# # Who exchanges keys, if the glasses want any: \"automatic\", the daemon, and again when they have forgotten theirs;
# # \"by-hand\", you with `glassd pair`, which keeps out somebody who passes for the glasses.
# pairing = \"automatic\"
# # Seed of a simulated world.
# seed = 0
# # What the simulated radio carries, in bytes a second (1000 to 1000000).
# goodput_bytes_per_s = 28000.0
# # Turn their microphone on (Frame, G1, MentraOS, open profile; Omi's is always on). It is sound of people, takes battery and air,
# # and nothing here listens to it yet.
# microphone = false
# # Fetch what they recorded while nobody was connected, and keep it in `state_dir/recordings` (Omi with a storage). It is
# # sound of people: ask them. Off leaves it on the glasses; on needs their address.
# offline_audio = false
# # Most of it that is kept, in millions of bytes (1 to 1000000); the oldest is given up.
# offline_audio_mb = 64
";

/// Writes the annotated reference: every key with its meaning, its range and its default.
pub fn reference() -> String {
    let defaults = toml::Value::try_from(Config::default()).expect("the default configuration is TOML");
    let mut text = String::from(
        "# Configuration of glassd: every key with its default. `glassd config reference` prints this.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (part, name) = key.path.split_once('.').expect("a key has a section");
        if part != section {
            let _ = write!(text, "\n[{part}]\n");
            section = part;
        }
        let value = defaults.get(part).and_then(|table| table.get(name)).expect("a key has a default");
        let _ = writeln!(text, "# {} ({})\n{name} = {value}", key.note, key.range);
    }
    text.push('\n');
    text.push_str(GLASSES);
    text
}
