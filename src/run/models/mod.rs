//! The life of a model: trained from tables, kept with its lineage, compared, put in force, evaluated.
//!
//! A model's file holds its lineage and the model; `edge/registry` keeps files and says which version is in force. A
//! model is named `NAME` (the version in force), `NAME@VERSION`, or by the path of its file.

mod commands;
mod evaluate;
mod gate;
mod lineage;
mod report;
mod train;

pub use commands::{PromoteOptions, Shown};
pub use commands::{diff, list, promote, rollback, show};
pub use evaluate::{EvaluateOptions, Report, evaluate};
pub use lineage::{Lineage, Part};
pub use train::{TrainOptions, train};

use crate::edge::registry::{self, Registry};
use crate::engine::model::{Kind, Model};
use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The folder of models when nobody says which.
pub const MODELS: &str = "models";
/// Hexadecimal digits of a checksum that are enough to tell models apart.
const ID_DIGITS: usize = 16;

/// How a model is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A file.
    Path(PathBuf),
    /// A model of the registry: a version, or the one in force.
    Named {
        /// The model's name.
        name: String,
        /// The version; nothing means the one in force.
        version: Option<u32>,
    },
}

/// A model and where it comes from.
pub struct Saved {
    /// The model.
    pub model: Model,
    /// Its lineage.
    pub lineage: Lineage,
    /// Bytes of its file.
    pub bytes: u64,
    /// The beginning of the checksum of its file's body: what the model is, whatever its file is called.
    pub id: String,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Reference, String> {
        if text.contains(['/', '.']) {
            return Ok(Reference::Path(PathBuf::from(text)));
        }
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => {
                let number = version.parse().ok().filter(|number: &u32| *number > 0);
                let number = number.ok_or_else(|| format!("{version:?} is no version: a number from 1"))?;
                (name, Some(number))
            }
        };
        if !registry::is_name(name) {
            return Err(format!("{name:?} is neither NAME, NAME@VERSION nor the path of a file"));
        }
        let name = name.to_owned();
        Ok(Reference::Named { name, version })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Path(path) => write!(formatter, "{}", path.display()),
            Reference::Named { name, version: None } => formatter.write_str(name),
            Reference::Named {
                name,
                version: Some(version),
            } => write!(formatter, "{name}@{version}"),
        }
    }
}

/// Reads a model.
///
/// # Errors
/// When it is not there, none is in force, or its file is refused.
pub(super) fn load(reference: &Reference, models: &Path) -> anyhow::Result<Saved> {
    let registry = Registry::new(models);
    match reference {
        Reference::Path(path) => {
            let (body, bytes) = registry::read_model(path)?;
            decode(&body, bytes).with_context(|| path.display().to_string())
        }
        Reference::Named { name, version } => {
            let version = match version {
                Some(version) => *version,
                None => in_force(&registry, name)?,
            };
            read(&registry, name, version)
        }
    }
}

fn read(registry: &Registry, name: &str, version: u32) -> anyhow::Result<Saved> {
    let (body, bytes) = registry.read(name, version)?;
    decode(&body, bytes).with_context(|| format!("{name}@{version}"))
}

/// The version in force, which there has to be.
fn in_force(registry: &Registry, name: &str) -> anyhow::Result<u32> {
    if let Some(version) = registry.in_force(name)?.version {
        return Ok(version);
    }
    let versions = registry.versions(name)?;
    match versions.last() {
        None => Err(registry.unknown(name).into()),
        Some(last) => bail!(
            "no version of {name} is in force: name one ({name}@{last}), or put one in force with `stakeout models promote {name}@{last}`"
        ),
    }
}

/// What a model's file holds.
fn encode(lineage: &Lineage, model: &Model) -> Vec<u8> {
    postcard::to_stdvec(&(lineage, model))
        .expect("writing to memory never fails, and these types have no maps of unknown length")
}

fn decode(body: &[u8], bytes: u64) -> anyhow::Result<Saved> {
    let (lineage, model) = postcard::from_bytes::<(Lineage, Model)>(body)
        .map_err(|error| anyhow::anyhow!("the model's body can't be understood ({error}): train it anew"))?;
    let id = id_of(body);
    Ok(Saved {
        model,
        lineage,
        bytes,
        id,
    })
}

fn id_of(body: &[u8]) -> String {
    hexadecimal(&Sha256::digest(body))[..ID_DIGITS].to_owned()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name for models that is not taken by what else `score --model` understands.
fn check_name(name: &str) -> anyhow::Result<()> {
    if Kind::from_name(name).is_some() {
        bail!("{name} is the name of a kind of model: choose another name for this one");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_by_version_or_path() {
        let named = |name: &str, version| Reference::Named {
            name: name.to_owned(),
            version,
        };
        for (text, expected) in [
            ("flows", named("flows", None)),
            ("flows@3", named("flows", Some(3))),
            ("./flows", Reference::Path("./flows".into())),
            ("3.model", Reference::Path("3.model".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
            assert_eq!(text.parse::<Reference>().expect("just read").to_string(), text);
        }
        for text in ["flows@", "flows@0", "flows@x", "Flows", ""] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
