//! Text of `detectors/` to a checked catalog, or every mistake in it with file, line and key.
//!
//! Reading files is the caller's; the definitions that come with the program are in [`embedded`].

mod definition;
pub mod embedded;
mod expectation;
mod features;
mod number;
mod schema;
mod sentence;

pub use schema::schema;

use super::select::Matcher;
use crate::domain::{Definition, Document, Field, Mistake, Setting, nearest};
use sha2::{Digest, Sha256};

/// Checked and compiled definitions, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    detectors: Vec<Compiled>,
}

/// A definition with its selection compiled.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What was defined.
    pub definition: Definition,
    /// Which events it watches: those that meet the condition and have the entity's and the measure's fields.
    pub selects: Matcher,
    /// For a ratio, which of them are hits.
    pub hits: Option<Matcher>,
    /// For a vector, by feature, which of them alone count.
    pub among: Vec<Option<Matcher>>,
    /// The fields that its selection speaks of, its entity and its measure, in the order of their numbers.
    fields: Vec<Field>,
}

impl Compiled {
    /// Every field that its selection, entity and measure speak of, in the order of their numbers.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

impl Catalog {
    /// The largest number of definitions.
    pub const DETECTORS_MAX: usize = 1000;

    /// Reads definitions from `(file, text)` pairs. A file's name, without folder and `.yml`, is its detector's id.
    pub fn read<F: AsRef<str>, T: AsRef<str>>(files: &[(F, T)]) -> Result<Catalog, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut detectors: Vec<(String, Compiled)> = Vec::new();
        for (file, text) in files {
            let (file, text) = (file.as_ref(), text.as_ref());
            match Document::parse(file, text) {
                Ok(document) => {
                    let compiled = definition::read(&document.root(), file, text, &mut mistakes);
                    detectors.extend(compiled.map(|compiled| (file.to_owned(), compiled)));
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if files.len() > Self::DETECTORS_MAX {
            mistakes.push(Mistake {
                file: String::new(),
                line: 0,
                column: 0,
                key: String::new(),
                message: format!(
                    "{} definitions are over detectors_max ({})",
                    files.len(),
                    Self::DETECTORS_MAX
                ),
                nearest: None,
            });
        }
        detectors.sort_by(|(_, a), (_, b)| a.definition.id.cmp(&b.definition.id));
        for pair in detectors.windows(2) {
            if let [(first, a), (second, b)] = pair
                && a.definition.id == b.definition.id
            {
                mistakes.push(Mistake {
                    file: second.clone(),
                    line: 0,
                    column: 0,
                    key: "id".to_owned(),
                    message: format!("`{}` is defined in {first} already", b.definition.id),
                    nearest: None,
                });
            }
        }
        if mistakes.is_empty() {
            let detectors = detectors.into_iter().map(|(_, compiled)| compiled).collect();
            Ok(Catalog { detectors })
        } else {
            mistakes.sort();
            Err(mistakes)
        }
    }

    /// The definitions, in the order of their ids.
    pub fn detectors(&self) -> &[Compiled] {
        &self.detectors
    }

    /// The definition of an id.
    pub fn get(&self, id: &str) -> Option<&Compiled> {
        let found = self
            .detectors
            .binary_search_by(|compiled| compiled.definition.id.as_str().cmp(id));
        self.detectors.get(found.ok()?)
    }

    /// Changes what a site wants changed. A changed definition has another version: its own, `+`, and the first six hex
    /// digits of a hash of what was changed.
    pub fn apply(&mut self, settings: &[Setting]) -> Result<(), Vec<Mistake>> {
        let mut mistakes = Vec::new();
        for setting in settings {
            let found = self
                .detectors
                .binary_search_by(|compiled| compiled.definition.id.as_str().cmp(&setting.id));
            match found {
                Ok(index) if setting.is_off => drop(self.detectors.remove(index)),
                Ok(index) => {
                    if let Some(compiled) = self.detectors.get_mut(index) {
                        change(&mut compiled.definition, setting);
                    }
                }
                Err(_) => {
                    let ids = self.detectors.iter().map(|compiled| compiled.definition.id.as_str());
                    mistakes.push(Mistake {
                        nearest: nearest(&setting.id, ids),
                        ..setting.unknown.clone()
                    });
                }
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}

fn change(definition: &mut Definition, setting: &Setting) {
    let mut changes = String::new();
    if let Some(at_least) = setting.at_least {
        definition.at_least = at_least;
        changes.push_str(&format!("at_least {at_least} "));
    }
    if let Some(level) = setting.level {
        definition.level = level;
        changes.push_str(&format!("level {}", level.word()));
    }
    if !changes.is_empty() {
        definition.version = format!("{}+{}", definition.version, short_hash(&changes, 3));
    }
}

/// The first bytes of the text's SHA-256, as hex digits.
fn short_hash(text: &str, bytes: usize) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
