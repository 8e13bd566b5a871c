//! Whether a broker can be reached, as far as that is told without MQTT.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use glassd_core::broker::BrokerAddress;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::access::Access;
use crate::failure::{Failure, FailureKind};

/// Connects, shakes hands where there is TLS, and closes; each step within `timeout`.
pub fn probe(broker: &BrokerAddress, access: &Access, timeout: Duration) -> Result<(), Failure> {
    let failed = |reason: String| Failure { kind: FailureKind::Other, reason };
    let io = |error: std::io::Error| Failure::of_io(&error);
    let mut found = (broker.bare_host(), broker.port()).to_socket_addrs().map_err(io)?;
    let at = found.next().ok_or_else(|| failed("the name has no address".to_owned()))?;
    let mut stream = TcpStream::connect_timeout(&at, timeout).map_err(io)?;
    let Some(config) = &access.tls else { return Ok(()) };
    stream.set_read_timeout(Some(timeout)).map_err(io)?;
    let name = ServerName::try_from(broker.bare_host().to_owned())
        .map_err(|_| failed(format!("{} is no name that a certificate could have", broker.bare_host())))?;
    let mut tls =
        ClientConnection::new(Arc::clone(config), name).map_err(|error| failed(error.to_string()))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).map_err(io)?;
    }
    Ok(())
}
