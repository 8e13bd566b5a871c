//! Models by name, within a memory budget.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use glassd_media::Image;

use super::budget::{Budget, OverBudget};
use super::ensemble::{Ballot, fused, voted};
use super::sighting::Sighting;
use super::words::{intersection, union};
use crate::accelerators::{Accelerator, InferenceError, Placement, Site};
use crate::embedded::{self, EMBEDDED};
use crate::manifest::{EnsembleEntry, Named, Task, Vocabulary};
use crate::memory::Loaded;
use crate::store::{ModelStore, VerifyError};
use crate::tasks::classify::Classifier;
use crate::tasks::detect::Detector;

/// The models of one accelerator: loaded when somebody asks for them, and the least recently used unloaded when another
/// needs the room.
///
/// A model in use is never unloaded: using one borrows the whole set.
#[derive(Debug)]
pub struct Models {
    store: Option<ModelStore>,
    site: Site,
    /// Models that run on the processor although another accelerator was asked to.
    fallen: BTreeSet<String>,
    budget: Budget,
    loaded: BTreeMap<String, Model>,
    /// The words of every model that was ever loaded.
    words: BTreeMap<String, Arc<Vocabulary>>,
    /// The memory of every model that was ever loaded, in bytes.
    sizes: BTreeMap<String, u64>,
    events: Vec<ModelEvent>,
}

#[derive(Debug)]
enum Model {
    Detector(Box<Detector>),
    Classifier(Box<Classifier>),
}

impl Model {
    fn placement(&self) -> &Placement {
        match self {
            Self::Detector(detector) => detector.placement(),
            Self::Classifier(classifier) => classifier.placement(),
        }
    }
}

/// Something that happened to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelEvent {
    /// It was verified and is in memory.
    Loaded {
        /// Which.
        name: String,
        /// Its memory, in bytes.
        bytes: u64,
    },
    /// The processor runs it, and not the accelerator that was asked to.
    FellBack {
        /// Which.
        name: String,
        /// Why, in one sentence.
        why: String,
    },
    /// It made room for another, or failed.
    Unloaded {
        /// Which.
        name: String,
    },
}

/// Why nothing was seen.
#[derive(Debug, thiserror::Error)]
pub enum PerceiveError {
    /// The model cannot be trusted.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The model needs more memory than all models together may have.
    #[error("model {name}: {problem}")]
    Memory {
        /// Which.
        name: String,
        /// How much.
        problem: OverBudget,
    },
    /// The model failed on an image.
    #[error("model {name}: {problem}")]
    Failed {
        /// Which.
        name: String,
        /// How.
        problem: InferenceError,
    },
    /// The name stands for nothing that can look at an image this way.
    #[error("{name:?} is no {task} of the manifest")]
    Unknown {
        /// Which.
        name: String,
        /// What it was asked to be.
        task: &'static str,
    },
}

impl Models {
    /// Makes an empty set on the models of `store` (none: only the embedded detector) that holds at most `limit` bytes.
    pub fn new(store: Option<ModelStore>, limit: u64) -> Self {
        Self {
            store,
            site: Site::default(),
            fallen: BTreeSet::new(),
            budget: Budget::new(limit),
            loaded: BTreeMap::new(),
            words: BTreeMap::new(),
            sizes: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Has the models run elsewhere than on the processor.
    #[must_use]
    pub fn on(self, site: Site) -> Self {
        Self { store: self.store.map(|store| store.on(site.clone())), site, ..self }
    }

    /// Returns the accelerator that is asked to run the models.
    pub fn accelerator(&self) -> Accelerator {
        self.site.accelerator
    }

    /// Loads every model behind a name once, so that each is known to be trusted and to fit, and returns the words that
    /// what the name stands for can use: those of any member of an ensemble, those that all arms of a variant share.
    pub fn admit(&mut self, name: &str) -> Result<Vocabulary, PerceiveError> {
        let Some(named) = self.named(name) else { return Ok(self.words(name)?.as_ref().clone()) };
        match named {
            Parts::Members(members) => {
                let words = members.iter().map(|member| self.words(member)).collect::<Result<Vec<_>, _>>()?;
                Ok(union(&words))
            }
            Parts::Arms(arms) => {
                let words = arms.iter().map(|arm| self.admit(arm)).collect::<Result<Vec<_>, _>>()?;
                Ok(intersection(words))
            }
        }
    }

    /// Returns what a detector or an ensemble of detectors sees in each image, the most probable first. A member looks
    /// at all images before the next is loaded.
    pub fn perceive(&mut self, target: &str, images: &[&Image]) -> Result<Vec<Vec<Sighting>>, PerceiveError> {
        let Some(ensemble) = self.ensemble(target) else { return self.sightings(target, images) };
        let (words, seen) = self.members(&ensemble, |models, member| models.sightings(member, images))?;
        let calibrated = |mut sighting: Sighting| {
            sighting.probability = ensemble.calibration.probability(sighting.probability);
            sighting
        };
        let together = |at: usize| {
            let sightings = fused(&ballots(&ensemble, &words, &seen, at), &ensemble.thresholds);
            sightings.into_iter().map(calibrated).collect()
        };
        Ok((0..images.len()).map(together).collect())
    }

    /// Returns what a classifier or an ensemble of classifiers calls each image, (label, probability), the most
    /// probable first.
    pub fn classify(
        &mut self,
        target: &str,
        images: &[&Image],
    ) -> Result<Vec<Vec<(String, f32)>>, PerceiveError> {
        let Some(ensemble) = self.ensemble(target) else { return self.names(target, images) };
        let (words, seen) = self.members(&ensemble, |models, member| models.names(member, images))?;
        let together = |at: usize| {
            let named = voted(&ballots(&ensemble, &words, &seen, at), ensemble.thresholds.floor);
            named
                .into_iter()
                .map(|(label, probability)| (label, ensemble.calibration.probability(probability)))
                .collect()
        };
        Ok((0..images.len()).map(together).collect())
    }

    /// Forgets a model's session after it failed in a way that may have left it half done.
    pub fn unload(&mut self, name: &str) {
        // Even if it never got so far as to be loaded.
        self.budget.release(name);
        if self.loaded.remove(name).is_some() {
            self.events.push(ModelEvent::Unloaded { name: name.to_owned() });
        }
    }

    /// Returns the names of the models behind a target: the members of an ensemble, else itself.
    pub fn members_of(&self, target: &str) -> Vec<String> {
        match self.ensemble(target) {
            Some(ensemble) => ensemble.members.into_iter().map(|member| member.model).collect(),
            None => vec![target.to_owned()],
        }
    }

    /// Returns what was loaded and unloaded since the last call, in order.
    pub fn take_events(&mut self) -> Vec<ModelEvent> {
        std::mem::take(&mut self.events)
    }

    /// Returns the memory of the models that are loaded, in bytes.
    pub fn held_bytes(&self) -> u64 {
        self.budget.held()
    }

    /// Has every member look, one after another.
    fn members<T>(
        &mut self,
        ensemble: &EnsembleEntry,
        mut look: impl FnMut(&mut Self, &str) -> Result<T, PerceiveError>,
    ) -> Result<(Vec<Arc<Vocabulary>>, Vec<T>), PerceiveError> {
        let looks = ensemble.members.iter().map(|member| {
            let seen = look(self, &member.model)?;
            Ok((self.words(&member.model)?, seen))
        });
        looks.collect::<Result<Vec<_>, _>>().map(|looks| looks.into_iter().unzip())
    }

    fn sightings(&mut self, name: &str, images: &[&Image]) -> Result<Vec<Vec<Sighting>>, PerceiveError> {
        let Model::Detector(detector) = self.model(name, "detector")? else {
            return Err(PerceiveError::Unknown { name: name.to_owned(), task: "detector" });
        };
        let looks = images.iter().map(|image| detector.sightings(image));
        looks.collect::<Result<_, _>>().map_err(|problem| failed(name, problem))
    }

    fn names(&mut self, name: &str, images: &[&Image]) -> Result<Vec<Vec<(String, f32)>>, PerceiveError> {
        let Model::Classifier(classifier) = self.model(name, "classifier")? else {
            return Err(PerceiveError::Unknown { name: name.to_owned(), task: "classifier" });
        };
        let looks = images.iter().map(|image| {
            let named = classifier.classify(image)?;
            let words = classifier.labels();
            Ok(named.into_iter().map(|(label, probability)| (words[label].clone(), probability)).collect())
        });
        looks.collect::<Result<_, _>>().map_err(|problem| failed(name, problem))
    }

    /// The words of a model; it is loaded if it never was.
    fn words(&mut self, name: &str) -> Result<Arc<Vocabulary>, PerceiveError> {
        if !self.words.contains_key(name) {
            self.model(name, "detector or classifier")?;
        }
        Ok(Arc::clone(&self.words[name]))
    }

    fn model(&mut self, name: &str, task: &'static str) -> Result<&mut Model, PerceiveError> {
        if !self.loaded.contains_key(name) {
            self.load(name, task)?;
        }
        // It may have failed in its latest run.
        self.note_fallback(name);
        self.budget.used(name);
        Ok(self.loaded.get_mut(name).expect("it was loaded just now"))
    }

    /// Makes room for at least what it will need, so that the old and the new are not side by side, then loads it.
    fn load(&mut self, name: &str, task: &'static str) -> Result<(), PerceiveError> {
        let least = match (self.sizes.get(name), &self.store) {
            (Some(&size), _) => size,
            (None, _) if name == EMBEDDED => embedded::ONNX.len() as u64,
            (None, Some(store)) if store.manifest().model(name).is_some() => store.file_bytes(name)?,
            (None, _) => return Err(PerceiveError::Unknown { name: name.to_owned(), task }),
        };
        self.make_room(name, least)?;
        let loaded = self.read(name, task).inspect_err(|_| self.budget.release(name));
        let (model, words, bytes) = loaded?;
        self.sizes.insert(name.to_owned(), bytes);
        self.make_room(name, bytes)?;
        self.words.insert(name.to_owned(), Arc::new(words));
        self.loaded.insert(name.to_owned(), model);
        self.events.push(ModelEvent::Loaded { name: name.to_owned(), bytes });
        self.fallen.remove(name);
        self.note_fallback(name);
        Ok(())
    }

    /// Tells once that the processor runs a model which another accelerator was asked to run.
    fn note_fallback(&mut self, name: &str) {
        let why = self.loaded.get(name).and_then(|model| model.placement().why.clone());
        if let Some(why) = why
            && self.fallen.insert(name.to_owned())
        {
            self.events.push(ModelEvent::FellBack { name: name.to_owned(), why });
        }
    }

    fn make_room(&mut self, name: &str, bytes: u64) -> Result<(), PerceiveError> {
        let granted = self.budget.grant(name, bytes);
        let gone = granted.map_err(|problem| PerceiveError::Memory { name: name.to_owned(), problem })?;
        for name in gone {
            self.loaded.remove(&name);
            self.events.push(ModelEvent::Unloaded { name });
        }
        Ok(())
    }

    /// Reads and verifies a model; returns its words and its memory too.
    fn read(&self, name: &str, task: &'static str) -> Result<(Model, Vocabulary, u64), PerceiveError> {
        let detector = |loaded: Loaded<Detector>| {
            let words = loaded.model.vocabulary().clone();
            (Model::Detector(Box::new(loaded.model)), words, loaded.bytes)
        };
        let of_store = self.store.as_ref().and_then(|store| Some((store, store.manifest().model(name)?)));
        Ok(match of_store {
            None => detector(embedded::loaded(&self.site)?),
            Some((store, entry)) => match entry.task {
                Task::Detect { .. } => detector(store.load_detector(entry)?),
                Task::Classify { .. } => {
                    let loaded = store.load_classifier(entry)?;
                    let labels = loaded.model.labels().to_vec();
                    let words = Vocabulary { labels, colours: Vec::new() };
                    (Model::Classifier(Box::new(loaded.model)), words, loaded.bytes)
                }
                Task::Read { .. }
                | Task::Presence { .. }
                | Task::Faces { .. }
                | Task::ZeroShot { .. }
                | Task::Embed { .. } => return Err(PerceiveError::Unknown { name: name.to_owned(), task }),
            },
        })
    }

    fn ensemble(&self, name: &str) -> Option<EnsembleEntry> {
        match self.store.as_ref()?.manifest().named(name)? {
            Named::Ensemble(ensemble) => Some(ensemble.clone()),
            Named::Model(_) | Named::Variant(_) => None,
        }
    }

    /// What a name is made of; none for a single model.
    fn named(&self, name: &str) -> Option<Parts> {
        match self.store.as_ref()?.manifest().named(name)? {
            Named::Model(_) => None,
            Named::Ensemble(ensemble) => {
                Some(Parts::Members(ensemble.members.iter().map(|member| member.model.clone()).collect()))
            }
            Named::Variant(variant) => {
                Some(Parts::Arms(variant.arms.iter().map(|arm| arm.model.clone()).collect()))
            }
        }
    }
}

enum Parts {
    Members(Vec<String>),
    Arms(Vec<String>),
}

/// What each member says of one image.
fn ballots<'a, T>(
    ensemble: &EnsembleEntry,
    words: &'a [Arc<Vocabulary>],
    seen: &'a [Vec<Vec<T>>],
    at: usize,
) -> Vec<Ballot<'a, T>> {
    let members = ensemble.members.iter().zip(words).zip(seen);
    let ballot = |((member, words), seen): (
        (&crate::manifest::EnsembleMember, &'a Arc<Vocabulary>),
        &'a Vec<Vec<T>>,
    )| { Ballot { weight: member.weight, labels: &words.labels, seen: &seen[at] } };
    members.map(ballot).collect()
}

fn failed(name: &str, problem: InferenceError) -> PerceiveError {
    PerceiveError::Failed { name: name.to_owned(), problem }
}
