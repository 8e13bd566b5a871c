//! What comes over the air, as a file: one JSON object a line. `glassd record` writes it, `glassd replay` plays it.
//!
//! ```text
//! {"capture":1}
//! {"at_us":1700000000000000,"glasses":"worn","connected":{"omi":"oriented"}}
//! {"at_us":1700000000020000,"glasses":"worn","notified":["audio","AAAAKio="]}
//! {"at_us":1700000000021000,"glasses":"worn","written":["photo-control","/w=="]}
//! {"at_us":1700000003000000,"glasses":"worn","disconnected":{}}
//! ```
//!
//! Values are base64. What was written to the glasses is there to be read; playing it would make no difference.

use std::io::BufRead;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::gateway::Input;
use crate::ids::GlassesId;
use crate::link::{Characteristic, Profile, Write};
use crate::time::Timestamp;

/// Version of the format, in the first line.
const VERSION: u32 = 1;
/// Longest line, in bytes: a value of 512 has 684 in base64.
const MAX_LINE: u64 = 4096;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    capture: u32,
}

/// One line of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// When, in microseconds since 1970 by the gateway's clock.
    pub at_us: u64,
    /// With whom.
    pub glasses: GlassesId,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened on the air.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A link came to be, or was there when the capture began.
    Connected(Profile),
    /// It was lost.
    Disconnected {},
    /// A value was notified or read.
    Notified(Characteristic, Bytes),
    /// A value was written.
    Written(Characteristic, Bytes),
}

/// Bytes, in base64 for the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        STANDARD.encode(bytes.0)
    }
}

impl TryFrom<String> for Bytes {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD.decode(text).map(Self)
    }
}

/// A capture that cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum BadCapture {
    /// It could not be read.
    #[error("cannot read the capture: {0}")]
    Io(#[from] std::io::Error),
    /// Its first line is not that of a capture.
    #[error("not a capture of version {VERSION}: its first line is not {{\"capture\":{VERSION}}}")]
    NotACapture,
    /// A line is none of a capture.
    #[error("line {line} of the capture: {reason}")]
    BadLine {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Captured {
    /// Takes what goes into the core, if it came over the air.
    pub fn of_input(input: &Input, now: Timestamp) -> Option<Self> {
        let (glasses, what) = match input {
            Input::GlassesConnected { glasses, profile, .. } => (glasses, What::Connected(*profile)),
            Input::GlassesDisconnected { glasses } => (glasses, What::Disconnected {}),
            Input::Notification { glasses, characteristic, value } => {
                (glasses, What::Notified(*characteristic, Bytes(value.clone())))
            }
            _ => return None,
        };
        Some(Self { at_us: now.as_micros(), glasses: glasses.clone(), what })
    }

    /// Takes what is written to glasses.
    pub fn of_write(glasses: &GlassesId, write: &Write, now: Timestamp) -> Self {
        let what = What::Written(write.characteristic, Bytes(write.value.clone()));
        Self { at_us: now.as_micros(), glasses: glasses.clone(), what }
    }

    /// Returns what went into the core.
    pub fn into_input(self) -> Option<Input> {
        let glasses = self.glasses;
        match self.what {
            What::Connected(profile) => {
                Some(Input::GlassesConnected { glasses, profile, device_fps_limit: None })
            }
            What::Disconnected {} => Some(Input::GlassesDisconnected { glasses }),
            What::Notified(characteristic, value) => {
                Some(Input::Notification { glasses, characteristic, value: value.0 })
            }
            What::Written(..) => None,
        }
    }
}

/// Returns the first line of a capture.
pub fn header() -> String {
    serde_json::to_string(&Header { capture: VERSION }).expect("a number is JSON")
}

/// Reads a capture line by line; the first bad line ends it.
pub fn read(
    mut file: impl BufRead,
) -> Result<impl Iterator<Item = Result<Captured, BadCapture>>, BadCapture> {
    let first = line(&mut file)?.unwrap_or_default();
    match serde_json::from_str(&first) {
        Ok(Header { capture: VERSION }) => {}
        _ => return Err(BadCapture::NotACapture),
    }
    let mut number = 1;
    let mut is_broken = false;
    Ok(std::iter::from_fn(move || {
        if is_broken {
            return None;
        }
        number += 1;
        let next = match line(&mut file) {
            Ok(Some(text)) => serde_json::from_str(&text)
                .map_err(|error| BadCapture::BadLine { line: number, reason: error.to_string() }),
            Ok(None) => return None,
            Err(error) => Err(error.into()),
        };
        is_broken = next.is_err();
        Some(next)
    }))
}

/// A line that is longer than any of a capture is cut off, and so does not parse.
fn line(file: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let length = std::io::Read::take(&mut *file, MAX_LINE).read_until(b'\n', &mut bytes)?;
    Ok((length > 0).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Arm, frame, omi};

    fn captured(what: What) -> Captured {
        Captured { at_us: 7, glasses: "worn".parse().expect("a name"), what }
    }

    #[test]
    fn lines_are_what_the_format_says() {
        let line = |what| serde_json::to_string(&captured(what)).expect("JSON");
        assert_eq!(
            line(What::Connected(Profile::Omi(omi::Firmware::Oriented))),
            r#"{"at_us":7,"glasses":"worn","connected":{"omi":"oriented"}}"#
        );
        assert_eq!(
            line(What::Notified(Characteristic::EvenRx(Arm::Right), Bytes(vec![0, 1, 255]))),
            r#"{"at_us":7,"glasses":"worn","notified":[{"even-rx":"right"},"AAH/"]}"#
        );
        assert_eq!(line(What::Disconnected {}), r#"{"at_us":7,"glasses":"worn","disconnected":{}}"#);
        assert_eq!(header(), r#"{"capture":1}"#);
    }

    #[test]
    fn what_was_written_is_read() {
        let all = [
            captured(What::Connected(Profile::Frame(frame::Settings::default()))),
            captured(What::Notified(Characteristic::FrameRx, Bytes((0..=255).collect()))),
            captured(What::Written(Characteristic::FrameTx, Bytes(Vec::new()))),
            captured(What::Connected(Profile::Open)),
            captured(What::Disconnected {}),
        ];
        let lines: Vec<String> =
            all.iter().map(|one| serde_json::to_string(one).expect("JSON") + "\n").collect();
        let file = header() + "\n" + &lines.concat();
        let read: Vec<_> =
            read(file.as_bytes()).expect("a capture").collect::<Result<_, _>>().expect("good lines");
        assert_eq!(read, all);
    }

    #[test]
    fn bad_files_are_told() {
        let error = |file: &str| match read(file.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(lines) => match lines.last() {
                Some(Err(error)) => error.to_string(),
                other => format!("{other:?}"),
            },
        };
        assert!(error("").contains("not a capture"));
        assert!(error("{\"capture\":2}\n").contains("not a capture"));
        assert!(error("{\"capture\":1}\n{\"at_us\":1}\n").contains("line 2"));
        let long = format!("{{\"capture\":1}}\n{}\n", "x".repeat(9000));
        assert!(error(&long).contains("line 2"));
        let bad = r#"{"at_us":7,"glasses":"worn","notified":["audio","=="]}"#;
        assert!(error(&format!("{{\"capture\":1}}\n{bad}\n{bad}\n")).contains("line 2"));
    }
}
