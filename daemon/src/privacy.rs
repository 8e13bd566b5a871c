//! The privacy mode that a wearer chose, kept over restarts.
//!
//! `<state_dir>/privacy` holds `local-only` while that is the choice, and is not there otherwise. At the start
//! the stricter of this and `gateway.privacy` holds.

use std::io::{self, ErrorKind};
use std::path::Path;

use glassd_policies::Privacy;

use crate::config::Config;

const FILE: &str = "privacy";

/// Returns the mode to start in. A file that cannot be read is taken for a choice of local-only.
pub fn at_start(config: &Config) -> Privacy {
    match std::fs::metadata(config.gateway.state_dir.join(FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => config.gateway.privacy,
        Ok(_) | Err(_) => Privacy::LocalOnly,
    }
}

/// Keeps the choice. A few bytes, seldom: the event loop can afford them.
pub fn remember(state_dir: &Path, mode: Privacy) -> io::Result<()> {
    let file = state_dir.join(FILE);
    match mode {
        Privacy::LocalOnly => std::fs::write(file, "local-only\n"),
        Privacy::Open => match std::fs::remove_file(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result,
        },
    }
}
