//! A certificate authority of a test's own, made by OpenSSL.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// An authority and what it signed, in a folder that goes with it.
pub struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    /// Makes one; `None`, with a message, where OpenSSL is not installed.
    pub fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: openssl is not installed");
            return None;
        }
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        let extension = "basicConstraints=critical,CA:TRUE";
        // A name of its own: authorities of the same name are told apart by their signatures alone.
        let name = authority.folder.path().file_name().unwrap().to_string_lossy();
        authority.openssl(
            &format!(
                "req -x509 -days 2 -subj /CN={name} -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                 -keyout ca.key -out ca.pem"
            ),
            &["-addext", extension],
        );
        Some(authority)
    }

    /// Returns the authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Makes a certificate, and returns it and its key. `name` is its common name; `names` are those of a server
    /// (`DNS:localhost`, `IP:127.0.0.1`).
    pub fn sign(&self, name: &str, names: &str) -> (PathBuf, PathBuf) {
        self.openssl(
            &format!(
                "req -new -subj /CN={name} -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
                 -out {name}.csr"
            ),
            &[],
        );
        std::fs::write(
            self.path(&format!("{name}.ext")),
            format!("basicConstraints=CA:FALSE\nsubjectAltName={names}\n"),
        )
        .unwrap();
        self.openssl(
            &format!(
                "x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile {name}.ext \
                 -out {name}.pem"
            ),
            &[],
        );
        (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")))
    }

    /// Writes a file beside the certificates.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, line: &str, further: &[&str]) {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .args(further)
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
