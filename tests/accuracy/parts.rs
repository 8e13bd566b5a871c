//! Tasks of several models: the files of `DIR/ocr` and `DIR/faces`, and their likes in another precision.

use std::path::{Path, PathBuf};

use glassd_inference::{Fit, InputContract, Layout, Level, ModelEntry, Order, Part, Task, Thresholds};
use glassd_media::{Image, decode};

use crate::report::{entries, models};

/// Files of one task, in the order that was asked for.
pub(crate) struct Parts {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) bytes: Vec<Vec<u8>>,
}

impl Parts {
    /// Reads the models of a folder whose names hold `names`, one each; nothing if the folder has none of them.
    pub(crate) fn read(folder: &Path, names: &[&str]) -> Option<Result<Self, String>> {
        let present = models(folder);
        let named = |name: &&str| {
            let holds =
                |path: &&PathBuf| path.file_name().is_some_and(|it| it.to_string_lossy().contains(*name));
            present.iter().find(holds).cloned()
        };
        let paths: Vec<PathBuf> = names.iter().filter_map(named).collect();
        match paths.len() {
            0 => None,
            all if all == names.len() => {
                let bytes = paths.iter().map(|path| std::fs::read(path).map_err(|error| error.to_string()));
                let bytes: Result<Vec<Vec<u8>>, String> = bytes.collect();
                Some(bytes.map(|bytes| Self { paths, bytes }))
            }
            _ => Some(Err(format!("{} has only some of {names:?}", folder.display()))),
        }
    }
}

/// A part that nobody has described: nothing here checks its hash.
pub(crate) fn unnamed_part() -> Part {
    Part { file: String::new(), sha256: String::new() }
}

/// An entry for networks that take levels as level × scale + offset.
pub(crate) fn entry(
    task: Task,
    (width, height): (u32, u32),
    order: Order,
    (scale, offset): (f32, f32),
    floor: f32,
) -> ModelEntry {
    let input = InputContract {
        width,
        height,
        layout: Layout::Nchw,
        level: Level::F32,
        order,
        scale,
        offset,
        fit: Fit::Stretch,
        pad: 0,
        keep: 1.0,
    };
    crate::unnamed(task, input, Thresholds { floor, decision: 0.5, overlap: 0.5 })
}

/// Reads the JPEGs of folders, each with its name.
pub(crate) fn pictures(folders: &[PathBuf]) -> Result<Vec<(String, Image)>, String> {
    let files = folders.iter().flat_map(|folder| entries(folder));
    let is_jpeg = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jpg");
    files
        .filter(is_jpeg)
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let jpeg = std::fs::read(&path).map_err(|error| format!("{name}: {error}"))?;
            Ok((name.clone(), decode(&jpeg).map_err(|error| format!("{name}: {error}"))?))
        })
        .collect()
}

/// Returns, for each box, the greatest intersection over union with one of the others and which that is.
pub(crate) fn nearest(bounds: [f32; 4], others: &[[f32; 4]]) -> Option<(usize, f64)> {
    let overlaps = others
        .iter()
        .map(|other| crate::average_precision::overlap(bounds.map(f64::from), other.map(f64::from)));
    overlaps.enumerate().max_by(|a, b| a.1.total_cmp(&b.1))
}
