//! The registry: trained models in a folder, `NAME/VERSION.model`, and beside them which version is in force.
//!
//! A version is written once and never changed. `NAME/in-force.json` says which is in force and how that came to be; it
//! is written beside itself, made durable and moved into place, so whoever reads it, and whatever is killed, finds the old
//! one or the new one. The registry knows bytes and names; what a model is, and whether it may be in force, its caller knows.

mod sealed;

pub use sealed::{FORMAT, MODEL_BYTES_MAX, Refusal, seal, unseal};

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Characters of a name at most.
const NAME_LENGTH_MAX: usize = 64;
/// Which version is in force.
const IN_FORCE: &str = "in-force.json";
/// Held while versions are added or put in force.
const LOCK: &str = "lock";
/// The end of a model's file name.
const ENDING: &str = "model";
/// Changes of what is in force that are remembered.
const CHANGES_MAX: usize = 1000;
/// Bytes of the file of what is in force at most: its own are a fraction of that.
const IN_FORCE_BYTES_MAX: u64 = 1 << 20;

/// Why the registry can't do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum RegistryFailure {
    /// The name is none.
    #[error(
        "{0:?} can't be the name of a model: lower-case letters, digits, _ and -, {NAME_LENGTH_MAX} at most, a letter first"
    )]
    BadName(String),
    /// There is no such model.
    #[error("there is no model {name} in {folder}; there are: {known}")]
    UnknownName {
        /// The name.
        name: String,
        /// The registry.
        folder: String,
        /// The names that are there.
        known: String,
    },
    /// There is no such version.
    #[error("there is no version {version} of {name}; there are: {known}")]
    UnknownVersion {
        /// The name.
        name: String,
        /// The version.
        version: u32,
        /// The versions that are there.
        known: String,
    },
    /// A file can't be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A model's file is refused.
    #[error("{path}: {refusal}")]
    Refused {
        /// The file.
        path: String,
        /// Why.
        refusal: Refusal,
    },
    /// What says which version is in force can't be understood.
    #[error("{path}: {problem}; put a version in force again with --force")]
    Pointer {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

/// Which version is in force, and how that came to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InForce {
    /// The version; nothing before the first.
    pub version: Option<u32>,
    /// Changes, the latest last.
    pub changes: Vec<Change>,
}

/// A version was put in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When, in RFC 3339.
    pub at: String,
    /// The version that was in force before.
    pub from: Option<u32>,
    /// The version that is from then on.
    pub to: u32,
    /// Whether it took the place of a version that had taken its place.
    pub is_rollback: bool,
    /// Why, where it had to be said.
    pub reason: Option<String>,
}

/// A folder of models.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

/// A model's folder while nobody else may change it.
pub struct Held {
    folder: PathBuf,
    _lock: File,
}

impl Registry {
    /// The registry of a folder, which need not be there before something is added.
    pub fn new(folder: &Path) -> Registry {
        Registry {
            folder: folder.to_owned(),
        }
    }

    /// The names of all models, sorted.
    pub fn names(&self) -> Result<Vec<String>, RegistryFailure> {
        let mut names = Vec::new();
        for entry in entries(&self.folder)? {
            if is_name(&entry) && !self.versions(&entry)?.is_empty() {
                names.push(entry);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The versions of a model, rising; none where the model is not known.
    pub fn versions(&self, name: &str) -> Result<Vec<u32>, RegistryFailure> {
        let folder = self.folder_of(name)?;
        let names = entries(&folder)?;
        let mut versions: Vec<u32> = names.iter().filter_map(|name| version_of(name)).collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// Reads a version's body and the length of its file.
    pub fn read(&self, name: &str, version: u32) -> Result<(Vec<u8>, u64), RegistryFailure> {
        let path = self.folder_of(name)?.join(file_name(version));
        if path.exists() {
            return read_model(&path);
        }
        let versions = self.versions(name)?;
        if versions.is_empty() {
            return Err(self.unknown(name));
        }
        let known: Vec<String> = versions.iter().map(u32::to_string).collect();
        Err(RegistryFailure::UnknownVersion {
            name: name.to_owned(),
            version,
            known: known.join(", "),
        })
    }

    /// Which version of a model is in force.
    pub fn in_force(&self, name: &str) -> Result<InForce, RegistryFailure> {
        read_in_force(&self.folder_of(name)?)
    }

    /// Keeps all others from changing a model that is there.
    pub fn hold(&self, name: &str) -> Result<Held, RegistryFailure> {
        if self.versions(name)?.is_empty() {
            return Err(self.unknown(name));
        }
        Held::of(self.folder_of(name)?)
    }

    /// Keeps all others from changing a model, whose folder is made if it is not there.
    pub fn make(&self, name: &str) -> Result<Held, RegistryFailure> {
        let folder = self.folder_of(name)?;
        // A folder is durable once the one that holds it is.
        fs::create_dir_all(&folder)
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(|error| file_failure(&folder, error))?;
        Held::of(folder)
    }

    /// The error of a name that is not there.
    pub fn unknown(&self, name: &str) -> RegistryFailure {
        let known = self.names().unwrap_or_default();
        RegistryFailure::UnknownName {
            name: name.to_owned(),
            folder: self.folder.display().to_string(),
            known: match known.as_slice() {
                [] => "none".to_owned(),
                names => names.join(", "),
            },
        }
    }

    fn folder_of(&self, name: &str) -> Result<PathBuf, RegistryFailure> {
        if is_name(name) {
            Ok(self.folder.join(name))
        } else {
            Err(RegistryFailure::BadName(name.to_owned()))
        }
    }
}

impl Held {
    fn of(folder: PathBuf) -> Result<Held, RegistryFailure> {
        let path = folder.join(LOCK);
        let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
        Ok(Held {
            _lock: lock.map_err(|error| file_failure(&path, error))?,
            folder,
        })
    }

    /// Adds a version after all others, durably, and gives its number and the file's length. `body` is asked for the bytes
    /// of the version with this number.
    pub fn add(&self, body: impl FnOnce(u32) -> Vec<u8>) -> Result<(u32, u64), RegistryFailure> {
        let names = entries(&self.folder)?;
        let version = names
            .iter()
            .filter_map(|name| version_of(name))
            .max()
            .map_or(1, |last| last + 1);
        let file = seal(&body(version));
        replace(&self.folder, &file_name(version), &file)?;
        Ok((version, file.len() as u64))
    }

    /// Puts a version in force, durably: whoever reads then finds it, or what was there before, and nothing else.
    pub fn put_in_force(&self, change: Change) -> Result<(), RegistryFailure> {
        let mut in_force = match read_in_force(&self.folder) {
            Err(RegistryFailure::Pointer { .. }) => InForce::default(),
            read => read?,
        };
        in_force.version = Some(change.to);
        in_force.changes.push(change);
        let too_many = in_force.changes.len().saturating_sub(CHANGES_MAX);
        in_force.changes.drain(..too_many);
        let mut text = serde_json::to_vec_pretty(&in_force).map_err(|error| RegistryFailure::Pointer {
            path: self.folder.join(IN_FORCE).display().to_string(),
            problem: error.to_string(),
        })?;
        text.push(b'\n');
        replace(&self.folder, IN_FORCE, &text)
    }
}

/// Reads the body of a model's file and the file's length.
pub fn read_model(path: &Path) -> Result<(Vec<u8>, u64), RegistryFailure> {
    let refused = |refusal| RegistryFailure::Refused {
        path: path.display().to_string(),
        refusal,
    };
    let mut file = Vec::new();
    let read = File::open(path).and_then(|input| input.take(MODEL_BYTES_MAX + 1).read_to_end(&mut file));
    read.map_err(|error| file_failure(path, error))?;
    if file.len() as u64 > MODEL_BYTES_MAX {
        return Err(refused(Refusal::TooLarge));
    }
    let body = unseal(&file).map_err(refused)?.to_vec();
    Ok((body, file.len() as u64))
}

/// Whether a word can be the name of a model.
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

fn file_name(version: u32) -> String {
    format!("{version}.{ENDING}")
}

fn version_of(file_name: &str) -> Option<u32> {
    let (number, ending) = file_name.split_once('.')?;
    let version: u32 = number.parse().ok()?;
    (ending == ENDING && number == version.to_string()).then_some(version)
}

/// The names in a folder; none where there is no folder.
fn entries(folder: &Path) -> Result<Vec<String>, RegistryFailure> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    };
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| file_failure(folder, error)),
    }
}

fn read_in_force(folder: &Path) -> Result<InForce, RegistryFailure> {
    let path = folder.join(IN_FORCE);
    let mut text = Vec::new();
    match File::open(&path).and_then(|file| file.take(IN_FORCE_BYTES_MAX).read_to_end(&mut text)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(InForce::default()),
        read => read.map_err(|error| file_failure(&path, error))?,
    };
    serde_json::from_slice(&text).map_err(|error| RegistryFailure::Pointer {
        path: path.display().to_string(),
        problem: error.to_string(),
    })
}

/// Writes a file beside its place, makes it durable, and moves it there.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), RegistryFailure> {
    let (new, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let write = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        // What stays behind takes room and is never read; the next one is written over it.
        let _ = fs::remove_file(&new);
        file_failure(&path, error)
    })
}

fn file_failure(path: &Path, error: io::Error) -> RegistryFailure {
    RegistryFailure::File {
        path: path.display().to_string(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::folder::Folder;

    fn change(to: u32) -> Change {
        Change {
            at: "2026-11-26T12:00:00Z".to_owned(),
            from: None,
            to,
            is_rollback: false,
            reason: None,
        }
    }

    #[test]
    fn versions_are_counted_and_one_is_in_force() {
        let folder = Folder::new("registry");
        let registry = Registry::new(&folder.0);
        assert_eq!(registry.names().expect("read"), Vec::<String>::new());
        let held = registry.make("flows").expect("held");
        assert_eq!(held.add(|_| b"one".to_vec()).expect("added").0, 1);
        assert_eq!(held.add(|version| vec![version as u8]).expect("added").0, 2);
        assert_eq!(registry.in_force("flows").expect("read").version, None);
        held.put_in_force(change(1)).expect("put");
        held.put_in_force(change(2)).expect("put");
        let in_force = registry.in_force("flows").expect("read");
        assert_eq!((in_force.version, in_force.changes.len()), (Some(2), 2));
        assert_eq!(registry.read("flows", 2).expect("read").0, [2]);
        assert_eq!(registry.names().expect("read"), ["flows"]);
        let unknown = registry.read("flows", 7).expect_err("there are two");
        assert_eq!(unknown.to_string(), "there is no version 7 of flows; there are: 1, 2");
        let unknown = registry.read("logins", 1).expect_err("there is one").to_string();
        assert!(
            unknown.contains("no model logins") && unknown.ends_with("there are: flows"),
            "{unknown}"
        );
    }

    #[test]
    fn a_name_stays_in_its_folder() {
        let registry = Registry::new(Path::new("models"));
        for name in ["", "..", "a/b", "A", "1st", "a.b", "a b", &"a".repeat(65)] {
            assert!(
                matches!(registry.versions(name), Err(RegistryFailure::BadName(_))),
                "{name}"
            );
        }
        assert!(is_name("host-traffic_2"));
    }

    #[test]
    fn what_is_half_written_is_no_version_and_a_broken_pointer_is_named() {
        let folder = Folder::new("registry-half");
        let registry = Registry::new(&folder.0);
        let held = registry.make("flows").expect("held");
        held.add(|_| b"one".to_vec()).expect("added");
        let place = |name: &str| folder.0.join("flows").join(name);
        fs::write(place("2.model.new"), b"half").expect("written");
        fs::write(place("03.model"), b"no number").expect("written");
        assert_eq!(registry.versions("flows").expect("read"), [1]);
        fs::write(place("in-force.json"), b"{\"version\": 1").expect("written");
        let error = registry.in_force("flows").expect_err("it is cut").to_string();
        assert!(error.contains("in-force.json") && error.contains("--force"), "{error}");
        held.put_in_force(change(1)).expect("put");
        assert_eq!(registry.in_force("flows").expect("read").version, Some(1));
    }
}
