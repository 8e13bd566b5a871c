//! Where a broker is.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// What carries MQTT to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, `mqtt://`.
    Tcp,
    /// TLS, `mqtts://`.
    Tls,
    /// HTTP's WebSocket, `ws://`.
    WebSocket,
    /// WebSocket in TLS, `wss://`.
    SecureWebSocket,
}

impl Transport {
    /// Tells whether others on the way can neither read nor change what is said.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::SecureWebSocket)
    }

    /// Tells whether MQTT goes in WebSocket frames.
    pub const fn is_web_socket(self) -> bool {
        matches!(self, Self::WebSocket | Self::SecureWebSocket)
    }

    /// Registered port (IANA: `mqtt`, `secure-mqtt`, `http`, `https`).
    const fn port(self) -> u16 {
        match self {
            Self::Tcp => 1883,
            Self::Tls => 8883,
            Self::WebSocket => 80,
            Self::SecureWebSocket => 443,
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
        }
    }

    fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "mqtt" | "tcp" => Some(Self::Tcp),
            "mqtts" | "ssl" | "tls" => Some(Self::Tls),
            "ws" => Some(Self::WebSocket),
            "wss" => Some(Self::SecureWebSocket),
            _ => None,
        }
    }
}

/// Where brokers listen for WebSocket, unless the address says otherwise: so do EMQX and HiveMQ; Mosquitto takes any path.
const DEFAULT_PATH: &str = "/mqtt";

/// Address of a broker: `mqtt://host[:port]`, `mqtts://…`, `ws://host[:port][/path]` or `wss://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    transport: Transport,
    host: String,
    port: u16,
    /// Of a WebSocket; empty otherwise.
    path: String,
}

/// A text is no [`BrokerAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a broker is mqtt://host[:port], mqtts://…, ws://host[:port][/path] or wss://…, not {0:?}")]
pub struct InvalidBrokerAddress(String);

impl BrokerAddress {
    /// Takes host and port of a broker on plain TCP.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { transport: Transport::Tcp, host: host.into(), port, path: String::new() }
    }

    /// Returns what carries MQTT there.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the host: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host as certificates and resolvers name it: an IPv6 address without its brackets.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Tells whether the broker is on this machine, as far as its address says so.
    pub fn is_loopback(&self) -> bool {
        let bare = self.bare_host();
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
        let malformed = || InvalidBrokerAddress(text.chars().take(100).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(malformed)?;
        let transport = Transport::of_scheme(scheme).ok_or_else(malformed)?;
        let (rest, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = match (transport.is_web_socket(), path) {
            (true, "" | "/") => DEFAULT_PATH,
            (true, path) => path,
            (false, "" | "/") => "",
            (false, _) => return Err(malformed()),
        };
        let legal_path = |b: u8| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'<' | b'>' | b'\\');
        // The colons of an IPv6 address are inside its brackets.
        let bracket = rest.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match rest[bracket..].find(':') {
            Some(colon) => {
                let port = rest[bracket + colon + 1..].parse().ok().filter(|port| *port != 0);
                (&rest[..bracket + colon], port.ok_or_else(malformed)?)
            }
            None => (rest, transport.port()),
        };
        let legal_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let legal = match host.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
            None => !host.is_empty() && host.bytes().all(legal_name),
        };
        if !legal || !path.bytes().all(legal_path) {
            return Err(malformed());
        }
        Ok(Self { transport, host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.transport.scheme(), self.host, self.port, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::{BrokerAddress, Transport};

    #[test]
    fn addresses_are_parsed_or_refused() {
        let check = |text: &str, expected: Option<(Transport, &str, u16, &str)>| {
            let parsed = text.parse::<BrokerAddress>().ok();
            let expected = expected.map(|(transport, host, port, path)| BrokerAddress {
                transport,
                host: host.to_owned(),
                port,
                path: path.to_owned(),
            });
            assert_eq!(parsed, expected, "{text:?}");
        };
        let tcp = |host, port| Some((Transport::Tcp, host, port, ""));
        check("mqtt://127.0.0.1:1884", tcp("127.0.0.1", 1884));
        check("mqtt://broker.lan", tcp("broker.lan", 1883));
        check("tcp://broker/", tcp("broker", 1883));
        check("mqtt://[::1]:1884", tcp("[::1]", 1884));
        check("mqtt://[::1]", tcp("[::1]", 1883));
        check("mqtts://a", Some((Transport::Tls, "a", 8883, "")));
        check("ssl://a:1/", Some((Transport::Tls, "a", 1, "")));
        check("ws://a", Some((Transport::WebSocket, "a", 80, "/mqtt")));
        check("ws://[::1]:9001/", Some((Transport::WebSocket, "[::1]", 9001, "/mqtt")));
        check("wss://a/b/c?d=e:f", Some((Transport::SecureWebSocket, "a", 443, "/b/c?d=e:f")));
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
            "wss://u:p@a/b",
            "mqtt://a/b",
            "mqtts://a/b",
            "mqtt://a b",
            "ws://a/b c",
            "ws://a/b#c",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for text in ["mqtt://a:1", "mqtts://[::1]:8883", "ws://a:80/mqtt", "wss://a:443/b?c"] {
            assert_eq!(text.parse::<BrokerAddress>().unwrap().to_string(), text);
        }
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
