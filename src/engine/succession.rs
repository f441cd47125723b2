//! Which of the detectors that learned saved state go on, and as which plans: what a changed catalog makes of it.
//!
//! A detector goes on where one of the same name has the same meaning ([`Definition::meaning`]); its state then gets
//! the new numbers. The state of one that is gone, or means something else now, is dropped, and one that is new or
//! means something else begins anew.

use super::program::Program;
use crate::domain::{Definition, Finding};
use serde::{Deserialize, Serialize};

/// The detectors that learned, as they stand beside what they learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedCatalog {
    /// The kinds of entities, each by its fields' names.
    kinds: Vec<Vec<String>>,
    detectors: Vec<SavedDetector>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedDetector {
    id: String,
    meaning: String,
    /// How many plans it has.
    windows: u16,
    at_least: f64,
}

impl SavedCatalog {
    pub(super) fn of(program: &Program) -> SavedCatalog {
        SavedCatalog {
            kinds: kinds(program),
            detectors: program
                .definitions
                .iter()
                .map(|definition| SavedDetector {
                    id: definition.id.clone(),
                    meaning: definition.meaning.clone(),
                    windows: definition.windows.len() as u16,
                    at_least: definition.at_least,
                })
                .collect(),
        }
    }
}

fn kinds(program: &Program) -> Vec<Vec<String>> {
    let names = |kind: &super::program::Kind| kind.fields.iter().map(|field| field.name().to_owned()).collect();
    program.kinds.iter().map(names).collect()
}

/// What became of the detectors when state was taken up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// How many go on with what they learned.
    pub kept: usize,
    /// Those that begin anew, and why.
    pub anew: Vec<(String, Anew)>,
    /// Those that are no more, with what they had learned.
    pub ended: Vec<String>,
}

/// Why a detector begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anew {
    /// There was none of its name.
    New,
    /// It measures or judges something else than what was learned.
    Changed,
}

impl Anew {
    /// The reason in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Anew::New => "new",
            Anew::Changed => "changed",
        }
    }
}

/// Where the state of each saved detector, plan and kind goes.
#[derive(Debug)]
pub(super) struct Succession {
    detectors: Vec<Option<u16>>,
    plans: Vec<Option<u16>>,
    kinds: Vec<Option<u8>>,
    /// New plans of detectors that go on with another `at_least`.
    tuned: Vec<u16>,
    restored: Restored,
}

impl Succession {
    pub(super) fn new(saved: &SavedCatalog, program: &Program) -> Succession {
        let own = kinds(program);
        let place = |kind: &Vec<String>| own.iter().position(|held| held == kind).map(|place| place as u8);
        let mut succession = Succession {
            detectors: Vec::new(),
            plans: Vec::new(),
            kinds: saved.kinds.iter().map(place).collect(),
            tuned: Vec::new(),
            restored: Restored::default(),
        };
        for detector in &saved.detectors {
            succession.add(detector, program);
        }
        succession.restored.anew = program
            .definitions
            .iter()
            .zip(0u16..)
            .filter(|(_, number)| !succession.detectors.contains(&Some(*number)))
            .map(|(definition, _)| {
                let is_known = saved.detectors.iter().any(|detector| detector.id == definition.id);
                let why = if is_known { Anew::Changed } else { Anew::New };
                (definition.id.clone(), why)
            })
            .collect();
        succession
    }

    fn add(&mut self, saved: &SavedDetector, program: &Program) {
        let named = |(definition, _): &(&Definition, u16)| definition.id == saved.id;
        let heir = program.definitions.iter().zip(0u16..).find(named);
        if heir.is_none() {
            self.restored.ended.push(saved.id.clone());
        }
        let heir = heir.filter(|(definition, _)| {
            definition.meaning == saved.meaning && definition.windows.len() == usize::from(saved.windows)
        });
        self.detectors.push(heir.map(|(_, number)| number));
        let Some((definition, number)) = heir else {
            self.plans.extend((0..saved.windows).map(|_| None));
            return;
        };
        self.restored.kept += 1;
        let plans = program.detectors[usize::from(number)].plans.clone();
        if definition.at_least.to_bits() != saved.at_least.to_bits() {
            self.tuned.extend(plans.clone());
        }
        self.plans.extend(plans.map(Some));
    }

    /// What became of the detectors.
    pub(super) fn into_restored(self) -> Restored {
        self.restored
    }

    /// The new number of a saved detector.
    pub(super) fn detector(&self, saved: u16) -> Option<u16> {
        self.detectors.get(usize::from(saved)).copied().flatten()
    }

    /// The new number of a saved plan.
    pub(super) fn plan(&self, saved: u16) -> Option<u16> {
        self.plans.get(usize::from(saved)).copied().flatten()
    }

    /// The new number of a saved kind of entity.
    pub(super) fn kind(&self, saved: usize) -> Option<usize> {
        self.kinds.get(saved).copied().flatten().map(usize::from)
    }

    /// Whether what the plan's watches have worked out with `at_least` must be worked out again.
    pub(super) fn is_tuned(&self, plan: u16) -> bool {
        self.tuned.contains(&plan)
    }

    /// Saved detectors.
    pub(super) fn detectors_saved(&self) -> usize {
        self.detectors.len()
    }

    /// Saved plans.
    pub(super) fn plans_saved(&self) -> usize {
        self.plans.len()
    }

    /// Saved kinds of entities.
    pub(super) fn kinds_saved(&self) -> usize {
        self.kinds.len()
    }

    /// Gives the values of saved detectors to those that go on with them; the others keep what they have.
    pub(super) fn hand_on_detectors<T>(&self, saved: Vec<T>, held: &mut [T]) {
        hand_on(&self.detectors, saved, held);
    }

    /// The same for plans.
    pub(super) fn hand_on_plans<T>(&self, saved: Vec<T>, held: &mut [T]) {
        hand_on(&self.plans, saved, held);
    }

    /// A finding under its detector's new number; nothing when its detector does not go on.
    pub(super) fn finding(&self, mut finding: Finding) -> Option<Finding> {
        finding.detector = self.detector(finding.detector)?;
        Some(finding)
    }
}

fn hand_on<T>(places: &[Option<u16>], saved: Vec<T>, held: &mut [T]) {
    for (saved, place) in saved.into_iter().zip(places) {
        if let Some(held) = place.and_then(|place| held.get_mut(usize::from(place))) {
            *held = saved;
        }
    }
}
