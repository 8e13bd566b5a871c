//! Secrets: from files and systemd credentials, never from the configuration itself.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config::Config;

/// Name of the systemd credential with the broker's password.
const MQTT_PASSWORD: &str = "mqtt-password";

/// Reads the broker's password: from `mqtt.password_file`, else from the credential `mqtt-password`.
pub fn mqtt_password(config: &Config) -> anyhow::Result<Option<String>> {
    let file = &config.mqtt.password_file;
    if !file.is_empty() {
        return read(Path::new(file)).with_context(|| format!("mqtt.password_file = {file:?}")).map(Some);
    }
    match credential(MQTT_PASSWORD) {
        Some(path) => {
            // The unit's default for a credential that is not set is one space.
            Ok(Some(read(&path).with_context(|| format!("the credential {MQTT_PASSWORD}"))?)
                .filter(|p| !p.is_empty()))
        }
        None => Ok(None),
    }
}

fn credential(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.exists().then_some(path)
}

fn read(path: &Path) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(path).context("cannot read the secret")?.trim().to_owned())
}
