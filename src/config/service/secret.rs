//! Secrets: named in the configuration by where they are, never written in it.

use std::path::{Path, PathBuf};

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In a file, whose leading and trailing blanks do not count.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
}

/// A secret that can't be had.
#[derive(Debug, thiserror::Error)]
#[error("the secret in {place}: {problem}")]
pub struct SecretProblem {
    place: String,
    problem: String,
}

impl Secret {
    /// The file that it is in.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Secret::File(path) => Some(path),
            Secret::Variable(_) => None,
        }
    }

    /// The secret itself.
    pub fn read(&self) -> Result<String, SecretProblem> {
        let (place, read) = match self {
            Secret::File(path) => (
                path.display().to_string(),
                std::fs::read_to_string(path).map_err(|error| error.to_string()),
            ),
            Secret::Variable(name) => (
                format!("${name}"),
                std::env::var(name).map_err(|error| error.to_string()),
            ),
        };
        let secret = read.map(|text| text.trim().to_owned());
        match secret {
            Ok(secret) if secret.is_empty() => Err("it is empty".to_owned()),
            secret => secret,
        }
        .map_err(|problem| SecretProblem { place, problem })
    }
}
