//! Where a broker is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Registered port of MQTT without TLS.
const DEFAULT_PORT: u16 = 1883;

/// Address of a broker, `mqtt://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    host: String,
    port: u16,
}

/// Why a text is no [`BrokerAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBrokerAddress {
    /// `mqtts://` and its kin.
    #[error("TLS to the broker ({0}://) is not supported yet; use mqtt://host:port in a network you trust")]
    Tls(String),
    /// Anything else.
    #[error("a broker is mqtt://host[:port], not {0:?}")]
    Malformed(String),
}

impl BrokerAddress {
    /// Takes host and port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Returns the host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Tells whether the broker is on this machine, as far as its address says so.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl From<SocketAddr> for BrokerAddress {
    fn from(address: SocketAddr) -> Self {
        let host = match address.ip() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        Self::new(host, address.port())
    }
}

impl FromStr for BrokerAddress {
    type Err = InvalidBrokerAddress;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || InvalidBrokerAddress::Malformed(text.chars().take(100).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        match scheme {
            "mqtt" | "tcp" => {}
            "mqtts" | "ssl" | "wss" => return Err(InvalidBrokerAddress::Tls(scheme.to_owned())),
            _ => return Err(malformed()),
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The colons of an IPv6 address are inside its brackets.
        let bracket = rest.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match rest[bracket..].find(':') {
            Some(colon) => {
                let port = rest[bracket + colon + 1..].parse().ok().filter(|port| *port != 0);
                (&rest[..bracket + colon], port.ok_or_else(malformed)?)
            }
            None => (rest, DEFAULT_PORT),
        };
        let legal_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let legal = match host.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
            None => !host.is_empty() && host.bytes().all(legal_name),
        };
        if legal { Ok(Self::new(host, port)) } else { Err(malformed()) }
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::{BrokerAddress, InvalidBrokerAddress};

    #[test]
    fn addresses_are_parsed_or_refused() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let parsed = text.parse::<BrokerAddress>().ok();
            assert_eq!(parsed, expected.map(|(host, port)| BrokerAddress::new(host, port)), "{text:?}");
        };
        check("mqtt://127.0.0.1:1884", Some(("127.0.0.1", 1884)));
        check("mqtt://broker.lan", Some(("broker.lan", 1883)));
        check("tcp://broker/", Some(("broker", 1883)));
        check("mqtt://[::1]:1884", Some(("[::1]", 1884)));
        check("mqtt://[::1]", Some(("[::1]", 1883)));
        for text in [
            "",
            "mqtt://",
            "127.0.0.1:1883",
            "http://a",
            "mqtt://a:0",
            "mqtt://a:70000",
            "mqtt://a:b",
            "mqtt://::1",
            "mqtt://[::1",
            "mqtt://u:p@a",
            "mqtt://a/b",
            "mqtt://a b",
        ] {
            check(text, None);
        }
        let tls = "mqtts://a".parse::<BrokerAddress>();
        assert_eq!(tls, Err(InvalidBrokerAddress::Tls("mqtts".to_owned())));
    }

    #[test]
    fn loopback_is_told_by_the_address() {
        let check = |text: &str, expected: bool| {
            assert_eq!(text.parse::<BrokerAddress>().unwrap().is_loopback(), expected, "{text}");
        };
        check("mqtt://localhost", true);
        check("mqtt://127.8.0.1:9", true);
        check("mqtt://[::1]:9", true);
        check("mqtt://10.0.0.1", false);
        check("mqtt://localhost.lan", false);
    }
}
