//! Reading the configuration from its sources.

use std::path::{Path, PathBuf};

use super::{Config, DEFAULT_PATH, KEYS, Key, Problem, validate};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file that was named cannot be read.
    #[error("cannot read the configuration {path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Not TOML, or a value of the wrong type.
    #[error("{0}")]
    Malformed(String),
    /// Unknown keys and values out of range, all at once.
    #[error("{}", listed(.problems))]
    Invalid {
        /// All of them.
        problems: Vec<Problem>,
        /// What was read, for whoever wants to check the rest.
        config: Box<Config>,
    },
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    let noun = if problems.len() == 1 { "problem" } else { "problems" };
    format!("{} {noun} in the configuration:\n{}", problems.len(), lines.join("\n"))
}

/// Loads the file (the default one may be absent), its drop-ins and the environment, and validates.
pub fn load(path: Option<&Path>) -> Result<Config, LoadError> {
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT_PATH));
    let mut builder = config::Config::builder();
    if named || path.exists() {
        std::fs::read(path)
            .map_err(|error| LoadError::Unreadable { path: path.to_owned(), reason: error.to_string() })?;
        builder = builder.add_source(source(path));
    }
    for drop_in in drop_ins(path)? {
        builder = builder.add_source(source(&drop_in));
    }
    let environment = config::Environment::with_prefix("GLASSD").prefix_separator("__").separator("__");
    let merged = builder
        .add_source(environment.try_parsing(true))
        .build()
        .map_err(|error| LoadError::Malformed(error.to_string()))?;
    let mut found = fractions(&merged);
    if !found.is_empty() {
        // They would be rounded on the way into the configuration.
        return Err(LoadError::Malformed(found.remove(0).to_string()));
    }
    let config: Config = serde_ignored::deserialize(merged, |path| {
        found.push(Problem {
            key: path.to_string(),
            what: "unknown key; `glassd config reference` lists them".to_owned(),
        });
    })
    .map_err(|error| LoadError::Malformed(with_range(&error.to_string())))?;
    found.extend(validate(&config));
    found.extend(misspelt_variables());
    if found.is_empty() {
        Ok(config)
    } else {
        Err(LoadError::Invalid { problems: found, config: Box::new(config) })
    }
}

/// Finds numbers with a fraction where whole ones are wanted.
fn fractions(merged: &config::Config) -> Vec<Problem> {
    let defaults = toml::Value::try_from(Config::default()).expect("the default configuration is TOML");
    let whole = KEYS.iter().filter(|key| {
        let (section, name) = key.path.split_once('.').unwrap_or(("", key.path));
        defaults.get(section).and_then(|section| section.get(name)).is_some_and(toml::Value::is_integer)
    });
    let fraction = |key: &Key| match merged.get::<config::Value>(key.path).ok()?.kind {
        config::ValueKind::Float(value) if value.fract() != 0.0 => {
            let what = format!("{value} is no whole number; it is {}", key.range);
            Some(Problem { key: key.path.to_owned(), what })
        }
        _ => None,
    };
    whole.filter_map(fraction).collect()
}

/// Adds to a message about a key what would be right, and leaves out what it is called in the program.
fn with_range(message: &str) -> String {
    let Some((what, rest)) = message.rsplit_once(" for key `") else { return message.to_owned() };
    let path = rest.split_once('`').map_or(rest, |(path, _)| path);
    let Some(key) = KEYS.iter().find(|key| key.path == path) else { return message.to_owned() };
    match what.split_once(" does not have variant constructor ") {
        Some((_, word)) => format!("{path}: {word:?} is not {}", key.range),
        None => format!("{message}; it is {}", key.range),
    }
}

/// Finds environment variables that were meant for glassd and would be ignored.
fn misspelt_variables() -> Vec<Problem> {
    let is_meant = |name: &str| {
        SECTIONS.iter().any(|section| {
            name.strip_prefix("GLASSD_")
                .and_then(|rest| rest.strip_prefix(section))
                .is_some_and(|rest| rest.starts_with('_'))
        })
    };
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| is_meant(name))
        .map(|key| Problem {
            what: format!("is not read; it is spelt {}", key.replacen("GLASSD_", "GLASSD__", 1)),
            key,
        })
        .collect()
}

/// First parts of keys, as the environment spells them.
const SECTIONS: [&str; 7] = ["GATEWAY", "MQTT", "UPLINK", "QUERIES", "HTTP", "MODELS", "POLICIES"];

fn source(path: &Path) -> config::File<config::FileSourceFile, config::FileFormat> {
    config::File::from(path).format(config::FileFormat::Toml)
}

/// `glassd.toml` → `glassd.d/*.toml`, by name.
fn drop_ins(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let folder = path.with_extension("d");
    let unreadable =
        |error: &std::io::Error| LoadError::Unreadable { path: folder.clone(), reason: error.to_string() };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| unreadable(&error))?.path();
        if file.extension().is_some_and(|extension| extension == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
