//! Configuration: one file, a folder of drop-ins beside it, the environment; in that order.
//!
//! `/etc/glassd/glassd.toml` is read first, then `/etc/glassd/glassd.d/*.toml` in the order of their
//! names, then `GLASSD__SECTION__KEY`. Unknown keys are refused, and every problem is reported at
//! once. Secrets are never in the file: a key names a file or a systemd credential that holds one.

mod keys;
mod load;
mod validate;

use std::path::PathBuf;

use glassd_core::GlassesId;
use glassd_core::link::{Profile, frame, omi};
use glassd_core::wire::Encoding;
use glassd_inference::Preference;
use glassd_policies::Privacy;
use serde::{Deserialize, Serialize};

use crate::accelerators::Wanted;
use crate::mqtt::Version;

pub use self::keys::{KEYS, Key, reference};
pub use self::load::{LoadError, load};
pub use self::validate::{Problem, validate};

/// Where the configuration is looked for when none is named.
pub const DEFAULT_PATH: &str = "/etc/glassd/glassd.toml";

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The gateway itself.
    pub gateway: GatewayConfig,
    /// The broker.
    pub mqtt: MqttConfig,
    /// The way to the cloud.
    pub uplink: UplinkConfig,
    /// Questions.
    pub queries: QueriesConfig,
    /// Metrics and health.
    pub http: HttpConfig,
    /// The radio.
    pub bluetooth: BluetoothConfig,
    /// Models.
    pub models: ModelsConfig,
    /// Policies.
    pub policies: PoliciesConfig,
    /// Pairs of glasses.
    pub glasses: Vec<GlassesConfig>,
}

impl Config {
    /// Returns where the outbox and the history are.
    pub fn outbox_path(&self) -> PathBuf {
        self.gateway.state_dir.join("outbox.sqlite")
    }
}

/// The gateway itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayConfig {
    /// Name in MQTT topics.
    pub name: String,
    /// Folder of what must outlive a restart.
    pub state_dir: PathBuf,
    /// Socket of `glassd ask` and `glassd status`.
    pub control_socket: PathBuf,
    /// Privacy mode at start.
    pub privacy: Privacy,
    /// Language of questions, BCP 47.
    pub language: String,
    /// What a press of the glasses' button asks.
    pub button_question: String,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            name: "gateway".to_owned(),
            state_dir: PathBuf::from("/var/lib/glassd"),
            control_socket: PathBuf::from("/run/glassd/control.sock"),
            privacy: Privacy::Open,
            language: "en".to_owned(),
            button_question: "What do you see?".to_owned(),
        }
    }
}

/// The broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MqttConfig {
    /// `mqtt://host:port`, or its kin; empty runs a broker in process on loopback.
    pub broker: String,
    /// Which MQTT.
    pub version: Version,
    /// User name; empty for none.
    pub username: String,
    /// File that holds the password or token; empty for none, or the credential `mqtt-password`.
    pub password_file: String,
    /// File of those who sign the broker's certificate; empty for the system's.
    pub ca_file: String,
    /// File of the client's certificate; empty for none, or the credential `mqtt-certificate`.
    pub certificate_file: String,
    /// File of its key; empty for none, or the credential `mqtt-key`.
    pub key_file: String,
    /// Seconds of silence after which the broker is asked whether it is there; 0 for by the battery.
    pub keep_alive_s: u16,
    /// First part of every topic.
    pub topic_prefix: String,
    /// Port of the broker in process; 0 takes a free one.
    pub local_port: u16,
    /// How queries are written.
    pub encoding: Encoding,
    /// Whether Home Assistant is told of the gateway and its glasses.
    pub home_assistant: bool,
    /// First part of its topics.
    pub home_assistant_prefix: String,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            broker: String::new(),
            version: Version::Auto,
            username: String::new(),
            password_file: String::new(),
            ca_file: String::new(),
            certificate_file: String::new(),
            key_file: String::new(),
            keep_alive_s: 0,
            topic_prefix: "glassd".to_owned(),
            local_port: 1883,
            encoding: Encoding::Cbor,
            home_assistant: false,
            home_assistant_prefix: "homeassistant".to_owned(),
        }
    }
}

/// The way to the cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UplinkConfig {
    /// Budget.
    pub kilobytes_per_minute: u64,
    /// The uplink costs money.
    pub metered: bool,
    /// Most queries published and not answered.
    pub in_flight: usize,
}

impl Default for UplinkConfig {
    fn default() -> Self {
        Self { kilobytes_per_minute: 600, metered: false, in_flight: 4 }
    }
}

/// Questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueriesConfig {
    /// How long a query lives.
    pub lifetime_s: u64,
    /// How long a published query waits for its answer.
    pub answer_timeout_s: u64,
    /// How long a query waits for a fresh frame.
    pub frame_wait_ms: u64,
    /// How old a scene may be when the question is asked.
    pub frame_freshness_ms: u64,
    /// How many days the history remembers; 0 as long as there is room.
    pub history_days: u64,
}

impl Default for QueriesConfig {
    fn default() -> Self {
        Self {
            lifetime_s: 600,
            answer_timeout_s: 20,
            frame_wait_ms: 3000,
            frame_freshness_ms: 1000,
            history_days: 30,
        }
    }
}

/// Metrics and health.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpConfig {
    /// Address and port; empty for none.
    pub listen: String,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned() }
    }
}

/// The radio.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BluetoothConfig {
    /// Name of the adapter, as `hci1`; empty for the first that has power.
    pub adapter: String,
}

/// Models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelsConfig {
    /// `embedded`, or a model, an ensemble or a variant of the manifest.
    pub detector: String,
    /// The manifest; empty for none.
    pub manifest: PathBuf,
    /// Folder of the manifest's files; empty for the manifest's own folder.
    pub directory: PathBuf,
    /// What runs them.
    pub accelerator: Wanted,
    /// What is chosen for, where `accelerator` leaves the choice open.
    pub preference: Preference,
    /// Memory of the models that are loaded, of each accelerator, in millions of bytes.
    pub memory_mb: u64,
    /// How long what was seen stands for pictures like its own, in milliseconds; 0 for never.
    pub cache_lifetime_ms: u64,
    /// Most bits of 64 in which the fingerprints of such pictures differ.
    pub cache_distance: u32,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        Self {
            detector: "embedded".to_owned(),
            manifest: PathBuf::new(),
            directory: PathBuf::new(),
            accelerator: Wanted::Auto,
            preference: Preference::FastSingleAnswer,
            // A large detector and a small one, or a detector and an image tower, of the models measured.
            memory_mb: 256,
            // A wearer who stands still: of 85 pictures of COCO val2017 93 % are within 2 bits when compressed otherwise,
            // 80 % when moved by 2 of 640 pixels, 5 % at a pan of 2 %, and no two different ones within 17
            // (`cargo test -p glassd-inference --test serving_choice`). But 36 % still are when something of 3 % of the
            // picture appeared, so a result holds no longer than a scene may be old for a question
            // (`queries.frame_freshness_ms`).
            cache_lifetime_ms: 1000,
            cache_distance: 2,
        }
    }
}

/// Policy files; empty for the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoliciesConfig {
    /// Policy files that replace built-in policies.
    pub files: Vec<PathBuf>,
}

/// One pair of glasses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlassesConfig {
    /// Name in MQTT topics.
    pub name: GlassesId,
    /// What they are.
    pub kind: GlassesKind,
    /// Bluetooth address of real ones; empty for the first of their kind that are heard.
    #[serde(default)]
    pub address: String,
    /// The right arm's, where each arm is a device of its own.
    #[serde(default)]
    pub right_address: String,
    /// Who exchanges keys with them, if they want any.
    #[serde(default)]
    pub pairing: Pairing,
    /// Seed of a simulated world.
    #[serde(default)]
    pub seed: u64,
    /// What a simulated radio carries, in bytes a second.
    #[serde(default = "default_goodput")]
    pub goodput_bytes_per_s: f64,
    /// Whether their microphone is turned on, where it is not on by itself. Off unless wanted: it is sound of people.
    #[serde(default)]
    pub microphone: bool,
    /// Whether what they recorded while nobody was connected is fetched and kept. Off unless wanted: it is sound of people.
    #[serde(default)]
    pub offline_audio: bool,
    /// Most of it that is kept, in millions of bytes; the oldest is given up.
    #[serde(default = "default_offline_audio_mb")]
    pub offline_audio_mb: u64,
}

/// About four hours of Opus at 32 kbit/s.
const fn default_offline_audio_mb() -> u64 {
    64
}

/// What BlueZ was measured to carry with notifications back to back (25 to 32 KB/s).
const fn default_goodput() -> f64 {
    28_000.0
}

/// What a pair of glasses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GlassesKind {
    /// The simulator's, speaking OmiGlass's protocol in a world of its own.
    Simulated,
    /// Omi, OpenGlass or OmiGlass.
    Omi,
    /// Brilliant's Frame, with the app that the gateway sends it.
    Frame,
    /// Brilliant's Frame, spoken to as `frame-sdk` does.
    FrameSdk,
    /// Even's G1.
    Even,
    /// Glasses of MentraOS.
    Mentra,
    /// Glasses of the open profile.
    Open,
}

impl GlassesKind {
    /// All that are reached over Bluetooth.
    pub const REAL: [Self; 6] =
        [Self::Omi, Self::Frame, Self::FrameSdk, Self::Even, Self::Mentra, Self::Open];

    /// Returns what they speak; `None` for simulated ones.
    pub fn profile(self) -> Option<Profile> {
        let frame = |messages| Profile::Frame(frame::Settings { messages, ..frame::Settings::default() });
        match self {
            Self::Simulated => None,
            Self::Omi => Some(Profile::Omi(omi::Firmware::Unknown)),
            Self::Frame => Some(frame(frame::Messages::FrameMsg)),
            Self::FrameSdk => Some(frame(frame::Messages::FrameSdk)),
            Self::Even => Some(Profile::Even),
            Self::Mentra => Some(Profile::Mentra),
            Self::Open => Some(Profile::Open),
        }
    }
}

/// Who exchanges keys with glasses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// The daemon, when the glasses want it, and again when they have forgotten it. Somebody in the midst of it could
    /// pass for them.
    #[default]
    Automatic,
    /// A person, with `glassd pair`.
    ByHand,
}
