//! The shared data, where it is present.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};

use glassd_inference::{Manifest, ModelStore};
use glassd_media::{Image, decode};

/// Returns the folder of the shared data, or says that what needs it is skipped.
pub(crate) fn data() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var_os("GLASSD_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    if root.join("detection/models").is_dir() {
        return Some(root);
    }
    eprintln!("skipped: no shared data beside the repository and no GLASSD_DATA");
    None
}

/// Opens the example manifest on a folder of links to the shared models and their labels.
pub(crate) fn store(data: &Path, name: &str) -> ModelStore {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for models in ["detection/models", "classification/models", "classification/vww", "ocr", "faces", "text"]
    {
        for entry in std::fs::read_dir(data.join(models)).unwrap() {
            let file = entry.unwrap().path();
            std::os::unix::fs::symlink(&file, folder.join(file.file_name().unwrap())).unwrap();
        }
    }
    let labels = "imagenet_labels_1001.txt";
    std::os::unix::fs::symlink(data.join("classification").join(labels), folder.join(labels)).unwrap();
    ModelStore::open(example(), folder)
}

/// Reads the manifest of public models.
pub(crate) fn example() -> Manifest {
    Manifest::parse(include_str!("../../../../config/models/example.toml")).unwrap()
}

/// Decodes a picture of the shared data.
pub(crate) fn picture(data: &Path, file: &str) -> Image {
    decode(&std::fs::read(data.join(file)).unwrap()).unwrap()
}
