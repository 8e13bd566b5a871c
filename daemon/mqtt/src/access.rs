//! What is shown to a broker, and what it must show.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glassd_core::broker::BrokerAddress;
use rustls::ClientConfig;

/// Longest secret or certificate file, in bytes: the bundle of a system has 220 KB.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Where secrets and certificates are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessFiles {
    /// User name; may be empty, also with a token in the password's place.
    pub username: String,
    /// File with the password or token.
    pub password: Option<PathBuf>,
    /// PEM file of those whose signature makes a broker's certificate good; `None` for the system's.
    pub authorities: Option<PathBuf>,
    /// PEM files of the client's own certificate, with what leads up to an authority, and of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// User name and password; the password shows in no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What was in the files.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Who we say we are.
    pub login: Option<Login>,
    /// For brokers behind TLS.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Why a broker cannot be shown what it wants.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file of certificates has none that can be used.
    #[error("{path} is no PEM file of certificates: {reason}")]
    Certificates {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key cannot be used.
    #[error("{path} is no PEM file of a usable key: {reason}")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Nobody is trusted.
    #[error(
        "this system has no certificates of authorities (Debian's ca-certificates); a CA file says whom to trust"
    )]
    NoAuthorities,
}

impl AccessFiles {
    /// Reads what a broker at this address will ask for. Takes some milliseconds where TLS trusts the system's authorities.
    pub fn read(&self, broker: &BrokerAddress) -> Result<Access, AccessError> {
        let password = self.password()?;
        let login = (!self.username.is_empty() || password.is_some())
            .then(|| Login { username: self.username.clone(), password: password.unwrap_or_default() });
        let tls = if broker.transport().is_encrypted() { Some(crate::tls::config(self)?) } else { None };
        Ok(Access { login, tls })
    }

    /// Reads the password; one of nothing but white space is none.
    pub fn password(&self) -> Result<Option<String>, AccessError> {
        let Some(path) = &self.password else { return Ok(None) };
        let text = String::from_utf8(read(path)?).map_err(|_| AccessError::Unreadable {
            path: path.clone(),
            reason: "it is not UTF-8".to_owned(),
        })?;
        Ok(Some(text.trim().to_owned()).filter(|password| !password.is_empty()))
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, AccessError> {
    let unreadable = |reason: String| AccessError::Unreadable { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(unreadable(format!("it is longer than {MAX_FILE} bytes")));
    }
    Ok(bytes)
}
