//! TLS 1.3 from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::access::{AccessError, AccessFiles, read};

/// Reads whom to trust and who we are.
pub(crate) fn config(files: &AccessFiles) -> Result<Arc<ClientConfig>, AccessError> {
    let roots = match &files.authorities {
        Some(path) => authorities(path)?,
        None => authorities_of_the_system()?,
    };
    // The provider is named, not installed: who links this crate may have another one.
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has the cipher suites of TLS 1.3")
        .with_root_certificates(roots);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let bytes = read(key)?;
            let unusable = |reason: String| AccessError::Key { path: key.clone(), reason };
            let private =
                PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    unusable(format!("it is not the key of {}", certificate.display()))
                }
                error => unusable(error.to_string()),
            })?
        }
    };
    Ok(Arc::new(config))
}

fn authorities(path: &Path) -> Result<RootCertStore, AccessError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| AccessError::Certificates {
            path: path.to_owned(),
            reason: format!("a certificate of it is of no use: {error}"),
        })?;
    }
    Ok(roots)
}

/// A few odd certificates among the system's are no reason to trust none.
fn authorities_of_the_system() -> Result<RootCertStore, AccessError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(AccessError::NoAuthorities) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let bytes = read(path)?;
    let wrong = |reason: String| AccessError::Certificates { path: path.to_owned(), reason };
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("there is no certificate in it".to_owned())) } else { Ok(found) }
}
