//! What the scores here have in common: arguments, which models are meant, rows.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

/// `--data DIR [--json FILE] [--model FILE]…`, and what only one of the tools knows.
pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    pub(crate) fn from_env() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<PathBuf> {
        let values = self.0.iter().zip(self.0.iter().skip(1));
        values.filter(|(argument, _)| *argument == name).map(|(_, value)| value.into()).collect()
    }

    /// Tells whether a switch is among them.
    #[allow(dead_code, reason = "not every tool has one")]
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.all(name).pop()
    }
}

/// One score.
#[derive(Debug, Serialize)]
struct Row {
    task: &'static str,
    model: String,
    metric: &'static str,
    value: f64,
}

/// The scores so far, and what could not be scored.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    tried: Vec<PathBuf>,
    failures: usize,
}

impl Report {
    /// Takes scores, or why there are none: a score that is no number is none.
    pub(crate) fn add(
        &mut self,
        task: &'static str,
        path: &Path,
        scores: Result<Vec<(&'static str, f64)>, String>,
    ) {
        self.tried.push(path.to_owned());
        let model = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let scores = scores.and_then(|scores| match scores.iter().find(|(_, value)| !value.is_finite()) {
            Some((metric, value)) => Err(format!("{metric} is {value}")),
            None => Ok(scores),
        });
        match scores {
            Ok(scores) => {
                for (metric, value) in scores {
                    println!("{task:<14} {model:<36} {metric:<18} {value:.4}");
                    self.rows.push(Row { task, model: model.clone(), metric, value });
                }
            }
            Err(reason) => {
                println!("{task:<14} {model:<36} FAILED: {reason}");
                self.failures += 1;
            }
        }
    }

    /// Reads a part of the data; none if its folder is not there, which is said and is no failure.
    pub(crate) fn read<T>(
        &mut self,
        task: &'static str,
        folder: &Path,
        read: impl FnOnce(&Path) -> Result<T, String>,
    ) -> Option<T> {
        if !folder.is_dir() {
            println!("{task:<14} skipped: {} is not there", folder.display());
            return None;
        }
        read(folder).map_err(|reason| self.add(task, folder, Err(reason))).ok()
    }

    /// Returns the models that were named, else those of the folder, except what was broken on purpose.
    pub(crate) fn models(&self, task: &str, named: &[PathBuf], folder: &Path) -> Vec<PathBuf> {
        let found = if named.is_empty() { models(folder) } else { named.to_vec() };
        if found.is_empty() {
            println!("{task:<14} skipped: no models in {}", folder.display());
        }
        found
    }

    /// Counts as a failure each model that was asked for by name and that nothing here knows how to score.
    pub(crate) fn require(&mut self, named: &[PathBuf]) {
        for path in named {
            if !self.tried.contains(path) {
                self.add(
                    "unknown",
                    path,
                    Err("of no shape that is known here, or its data are missing".into()),
                );
            }
        }
    }

    /// Writes the rows as JSON and returns whether all that was to be scored was scored.
    pub(crate) fn finish(&self, json: Option<&Path>) -> ExitCode {
        if let Some(path) = json {
            let text = serde_json::to_string_pretty(&self.rows).expect("rows of numbers and names");
            if let Err(error) = std::fs::write(path, text + "\n") {
                println!("{}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
        if self.failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Lists the entries of a folder in order; none if it is not there.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// Lists the models of a folder in order, except what was broken on purpose.
pub(crate) fn models(folder: &Path) -> Vec<PathBuf> {
    let is_whole = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "onnx")
            && !path.to_string_lossy().contains("BROKEN")
    };
    entries(folder).into_iter().filter(is_whole).collect()
}
