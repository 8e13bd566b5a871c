//! Why a connection ended, in words for people.

use std::error::Error;
use std::fmt;
use std::io;

use rumqttc::v5;
use rustls::{AlertDescription, CertificateError};

/// What kind of end it was, for [`crate::Negotiation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The broker does not speak this version of MQTT.
    VersionRefused,
    /// The broker closed before it said anything.
    Wordless,
    /// All else.
    Other,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind it is.
    pub kind: FailureKind,
    /// What happened.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Failure {
    /// Reads the client's word; `heard` tells whether the broker had taken the connection.
    pub(crate) fn of_v5(error: &v5::ConnectionError, heard: bool) -> Self {
        use rumqttc::v5::mqttbytes::v5::ConnectReturnCode::{
            RefusedProtocolVersion, UnsupportedProtocolVersion,
        };
        use v5::ConnectionError::{ConnectionRefused, MqttState};
        use v5::StateError::{ConnectionAborted, Deserialization};
        use v5::mqttbytes::Error::{InvalidConnectReturnCode, Io};
        match error {
            ConnectionRefused(UnsupportedProtocolVersion | RefusedProtocolVersion)
            // The refusal of MQTT 3.1.1, 3.2.2.3.
            | MqttState(Deserialization(InvalidConnectReturnCode(1))) => Self {
                kind: FailureKind::VersionRefused,
                reason: "the broker does not speak MQTT 5".to_owned(),
            },
            MqttState(ConnectionAborted) => Self::closed(heard),
            // The client does not name it as the source.
            MqttState(Deserialization(Io(error))) => Self::of(error, heard),
            error => Self::of(error, heard),
        }
    }

    /// The same of MQTT 3.1.1.
    pub(crate) fn of_v311(error: &rumqttc::ConnectionError, heard: bool) -> Self {
        use rumqttc::ConnectReturnCode::RefusedProtocolVersion;
        use rumqttc::ConnectionError::{ConnectionRefused, MqttState};
        use rumqttc::StateError::ConnectionAborted;
        match error {
            ConnectionRefused(RefusedProtocolVersion) => Self {
                kind: FailureKind::VersionRefused,
                reason: "the broker does not speak MQTT 3.1.1".to_owned(),
            },
            MqttState(ConnectionAborted) => Self::closed(heard),
            error => Self::of(error, heard),
        }
    }

    fn closed(heard: bool) -> Self {
        if heard {
            return Self { kind: FailureKind::Other, reason: "the broker closed the connection".to_owned() };
        }
        let reason = "the broker closed the connection without a word".to_owned();
        Self { kind: FailureKind::Wordless, reason }
    }

    fn of(error: &(dyn Error + 'static), heard: bool) -> Self {
        let Some(io) = io_error(error) else {
            return Self { kind: FailureKind::Other, reason: error.to_string() };
        };
        if matches!(
            io.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe
        ) {
            return Self::closed(heard);
        }
        Self::of_io(io)
    }

    /// Reads the word of the system, or of TLS.
    pub(crate) fn of_io(io: &io::Error) -> Self {
        if let Some(error) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self { kind: FailureKind::Other, reason: tls_reason(error) };
        }
        Self { kind: FailureKind::Other, reason: io.to_string() }
    }
}

/// Finds what the system or TLS said, below what the client made of it.
fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut error: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(inner) = error {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io);
        }
        error = inner.source();
    }
    None
}

fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => certificate_reason(reason),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => "the broker does not speak TLS 1.3".to_owned(),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the broker wants a client certificate".to_owned()
        }
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError),
        ) => format!("the broker refuses the client certificate ({alert:?})"),
        rustls::Error::InvalidMessage(_) => "what the broker sends is not TLS".to_owned(),
        error => format!("TLS: {error}"),
    }
}

fn certificate_reason(reason: &CertificateError) -> String {
    match reason {
        // The latter where an authority has the name of one that is trusted.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the broker's certificate is signed by nobody who is trusted; a CA file says who is".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the broker's certificate is for another name ({reason})")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the broker's certificate has expired, or the clock of this device is wrong".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the broker's certificate is not valid yet, or the clock of this device is wrong".to_owned()
        }
        reason => format!("the broker's certificate is not good: {reason}"),
    }
}
