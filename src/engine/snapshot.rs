//! Versioned bytes of what the engine has learned, so that last week teaches and today is judged.
//!
//! The form is a format number in two bytes, then postcard. It names the detectors that learned and what decides the
//! meaning of what they learned, because a baseline that was learned by another definition answers another question:
//! [`super::succession`] tells whose state goes on. A form that is not known is refused whole, never half read. Entities
//! are saved by their hash, so that any number of partitions can take them up.

use super::loss::Losses;
use super::partition::SavedEntities;
use super::population::SavedPopulation;
use super::succession::SavedCatalog;
use super::triage::Triage;
use crate::domain::{Finding, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The newest form.
pub const FORMAT: u16 = 8;

/// Everything that the engine has learned and has open.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved<'a> {
    pub(super) catalog: SavedCatalog,
    pub(super) epoch: Option<i64>,
    pub(super) now: Timestamp,
    pub(super) last_event: Option<Timestamp>,
    pub(super) epoch_events: u64,
    pub(super) leases: Vec<(IpAddr, u64)>,
    pub(super) losses: Losses,
    pub(super) findings: Vec<Finding>,
    pub(super) entities: SavedEntities<'a>,
    pub(super) population: SavedPopulation,
    pub(super) triage: Triage,
}

/// Why saved state cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SnapshotProblem {
    /// It is too short to have a format number.
    #[error("the state has only {bytes} bytes; it was not written completely, remove it to begin anew")]
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// Another program, or a later version, has written it.
    #[error(
        "the state has format {found}, this program reads format {FORMAT}; use the version that wrote it, or remove it to begin anew"
    )]
    UnknownFormat {
        /// The format number found.
        found: u16,
    },
    /// The bytes do not follow the format.
    #[error("the state is corrupt ({reason}); remove it to begin anew")]
    Corrupt {
        /// What was wrong.
        reason: String,
    },
}

pub(super) fn write(saved: &Saved<'_>) -> Result<Vec<u8>, SnapshotProblem> {
    let bytes = FORMAT.to_le_bytes().to_vec();
    postcard::to_extend(saved, bytes).map_err(|error| SnapshotProblem::Corrupt {
        reason: error.to_string(),
    })
}

pub(super) fn read(bytes: &[u8]) -> Result<Saved<'static>, SnapshotProblem> {
    let Some((format, body)) = bytes.split_first_chunk::<2>() else {
        return Err(SnapshotProblem::TooShort { bytes: bytes.len() });
    };
    let found = u16::from_le_bytes(*format);
    if found != FORMAT {
        return Err(SnapshotProblem::UnknownFormat { found });
    }
    let (saved, rest): (Saved<'static>, &[u8]) =
        postcard::take_from_bytes(body).map_err(|error| SnapshotProblem::Corrupt {
            reason: error.to_string(),
        })?;
    if rest.is_empty() {
        Ok(saved)
    } else {
        Err(SnapshotProblem::Corrupt {
            reason: format!("{} bytes too many", rest.len()),
        })
    }
}
