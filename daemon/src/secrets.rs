//! Secrets: from files and systemd credentials, never from the configuration itself.

use std::path::PathBuf;

use crate::config::Config;
use crate::mqtt::AccessFiles;

/// Names of the systemd credentials with the broker's password or token, and with the client's certificate and key.
const MQTT_PASSWORD: &str = "mqtt-password";
const MQTT_CERTIFICATE: &str = "mqtt-certificate";
const MQTT_KEY: &str = "mqtt-key";

/// Finds what a broker is shown: each from the file that the configuration names, else from the credential.
pub fn mqtt_access(config: &Config) -> anyhow::Result<AccessFiles> {
    let mqtt = &config.mqtt;
    let either =
        |file: &str, name| if file.is_empty() { credential(name) } else { Some(PathBuf::from(file)) };
    let (certificate, key) =
        (either(&mqtt.certificate_file, MQTT_CERTIFICATE), either(&mqtt.key_file, MQTT_KEY));
    anyhow::ensure!(key.is_some() || certificate.is_none(), "a client certificate needs mqtt.key_file");
    anyhow::ensure!(certificate.is_some() || key.is_none(), "a client key needs mqtt.certificate_file");
    Ok(AccessFiles {
        username: mqtt.username.clone(),
        password: either(&mqtt.password_file, MQTT_PASSWORD),
        authorities: (!mqtt.ca_file.is_empty()).then(|| PathBuf::from(&mqtt.ca_file)),
        identity: certificate.zip(key),
    })
}

fn credential(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name);
    path.exists().then_some(path)
}
