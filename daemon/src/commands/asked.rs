//! Which models a name on the command line stands for: `embedded`, a name of the manifest or a file.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use glassd_inference::{
    Accelerator, EMBEDDED, InputShape, LoadError, Manifest, ModelFile, Named, PreparedModel, Tensor, settled,
};

use crate::config::Config;

/// A model that is explained or measured.
pub(super) struct Asked {
    /// What it is called, for a heading.
    pub(super) name: String,
    pub(super) onnx: Vec<u8>,
    /// The inputs of its check sample; where it has none, inputs are made up.
    pub(super) sample: Option<Vec<Tensor>>,
    pub(super) tflite: Option<Vec<u8>>,
}

impl From<ModelFile> for Asked {
    fn from(ModelFile { name, candidate, .. }: ModelFile) -> Self {
        Self { name, onnx: candidate.onnx, sample: Some(candidate.sample), tflite: None }
    }
}

impl Asked {
    /// Compiles it for the processor.
    pub(super) fn prepared(&self) -> anyhow::Result<PreparedModel> {
        let prepared = Accelerator::Cpu.prepare(&self.onnx);
        prepared.map_err(with_option).with_context(|| self.name.clone())
    }
}

/// Returns every model behind a name: of the members of an ensemble, of the arms of a variant and of the parts of one
/// model each. An ONNX file has the `.tflite` file of the same name beside it, where there is one. Shapes take the place
/// of those that the task gives, and are for a single model.
pub(super) fn asked(config: &Config, name: &str, shapes: &[InputShape]) -> anyhow::Result<Vec<Asked>> {
    let path = Path::new(name);
    let mut models = if name == EMBEDDED {
        let candidate = glassd_inference::embedded_candidate()?;
        let (onnx, sample) = (candidate.onnx, Some(candidate.sample));
        vec![Asked { name: name.to_owned(), onnx, sample, tflite: None }]
    } else if path.is_file() {
        let onnx = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
        let tflite = std::fs::read(path.with_extension("tflite")).ok();
        vec![Asked { name: name.to_owned(), onnx, sample: None, tflite }]
    } else {
        anyhow::ensure!(
            !config.models.manifest.as_os_str().is_empty(),
            "{name} is no file, and no models.manifest is configured that could name it"
        );
        let store = crate::models::store(config)?;
        let behind = models_behind(store.manifest(), Some(name));
        // A part, or what nobody knows: the store says so.
        let names = if behind.is_empty() { vec![name.to_owned()] } else { behind };
        let files = names.iter().map(|name| store.files(name)).collect::<Result<Vec<_>, _>>()?;
        files.into_iter().flatten().map(Asked::from).collect()
    };
    match &mut models[..] {
        _ if shapes.is_empty() => {}
        [only] => {
            only.onnx = settled(&only.onnx, shapes).with_context(|| name.to_owned())?;
            only.sample = None;
        }
        several => {
            let names: Vec<&str> = several.iter().map(|one| one.name.as_str()).collect();
            anyhow::bail!("--shape is for one model, and {name} stands for {}", names.join(", "));
        }
    }
    Ok(models)
}

/// The models that a name stands for, or all; each once, in the manifest's order. That ensembles and variants are made
/// of what exists was checked when the manifest was read.
pub(super) fn models_behind(manifest: &Manifest, only: Option<&str>) -> Vec<String> {
    let Some(name) = only else { return manifest.models.iter().map(|entry| entry.name.clone()).collect() };
    let parts = match manifest.named(name) {
        Some(Named::Model(entry)) => return vec![entry.name.clone()],
        Some(Named::Ensemble(entry)) => entry.members.iter().map(|member| &member.model).collect(),
        Some(Named::Variant(entry)) => entry.arms.iter().map(|arm| &arm.model).collect(),
        None => Vec::new(),
    };
    let behind: BTreeSet<String> =
        parts.into_iter().flat_map(|part: &String| models_behind(manifest, Some(part))).collect();
    let in_order = manifest.models.iter().filter(|entry| behind.contains(&entry.name));
    in_order.map(|entry| entry.name.clone()).collect()
}

/// Says how to settle what a model leaves open.
fn with_option(error: LoadError) -> anyhow::Error {
    let LoadError::OpenSides(open) = &error else { return error.into() };
    let examples = open.iter().map(|input| {
        let sides = input.sides.as_deref().unwrap_or_default();
        // Pictures have sides of hundreds, texts and the like of tens.
        let likely = if sides.len() == 4 { "224" } else { "16" };
        let side = |(at, side): (usize, &String)| match (side.parse::<u64>(), at) {
            (Ok(_), _) => side.clone(),
            (Err(_), 0) => "1".to_owned(),
            (Err(_), _) if side.contains("batch") => "1".to_owned(),
            (Err(_), _) => likely.to_owned(),
        };
        let sides: Vec<String> = sides.iter().enumerate().map(side).collect();
        let sides = if sides.is_empty() { "1,3,224,224".to_owned() } else { sides.join(",") };
        format!("--shape {}={sides}", input.name)
    });
    let examples = examples.collect::<Vec<_>>().join(" ");
    anyhow::anyhow!("{error}; settle them, as with {examples}")
}
