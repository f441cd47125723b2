//! Versioned bytes of what the engine has learned, so that last week teaches and today is judged.
//!
//! State is saved in pieces: a head, then wakes, contacts and rows, so that neither who writes it nor who reads it holds it
//! twice, and so that judging goes on between them: all pieces are of the moment at which the head was written. The head is
//! a format number in two bytes, then postcard; so are the others without a number. The head names the
//! detectors that learned and what decides the meaning of what they learned, because a baseline that was learned by
//! another definition answers another question: [`super::succession`] tells whose state goes on. A form that is not known
//! is refused whole, never half read. Entities are saved by their hash, so that any number of partitions can take them up.

use super::loss::Losses;
use super::partition::{SavedEarlier, SavedEntities};
use super::population::SavedPopulation;
use super::succession::SavedCatalog;
use super::triage::Triage;
use crate::domain::earlier;
use crate::domain::{Field, Finding, Timestamp};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::IpAddr;

/// The newest form.
pub const FORMAT: u16 = 12;
/// The form before it, without vectors.
const FORMAT_NO_VECTORS: u16 = 11;
/// The form before that, whose values of categories were not packed yet.
const FORMAT_LONG_VALUES: u16 = 10;
/// The form before that: a piece for each key group.
const FORMAT_GROUPED: u16 = 9;
/// The form before that: one piece with all entities in it.
const FORMAT_EARLIER: u16 = 8;

/// Everything that the engine has learned and has open, with `E` for the entities.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved<'a, E> {
    pub(super) catalog: SavedCatalog,
    pub(super) epoch: Option<i64>,
    pub(super) now: Timestamp,
    pub(super) last_event: Option<Timestamp>,
    pub(super) epoch_events: u64,
    pub(super) leases: Vec<(IpAddr, u64)>,
    pub(super) losses: Losses,
    pub(super) findings: Vec<Finding>,
    pub(super) entities: E,
    pub(super) population: SavedPopulation,
    pub(super) triage: Cow<'a, Triage>,
}

/// What the first piece of a saved state holds.
pub(super) enum Head {
    /// The head; entities follow in pieces, which are to be read in the form of this format.
    Newest(Saved<'static, SavedEntities>, u16),
    /// The head; key groups follow, each in a piece, which are to be read in the form of this format.
    // TODO: drop once states of format 9 are gone (0.3).
    Grouped(Saved<'static, SavedEntities>, u16),
    /// All of it.
    // TODO: drop once states of format 8 are gone (0.3).
    Earlier(Saved<'static, SavedEarlier>),
}

/// Why saved state cannot be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
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
    /// More has changed at once than is held until it is written.
    #[error("more entities have changed at once than can be held until they are written; another try may do")]
    Overrun,
}

impl SnapshotProblem {
    /// What was saved of entities does not fit together.
    pub(super) fn contradiction() -> SnapshotProblem {
        SnapshotProblem::Corrupt {
            reason: "entities contradict themselves".to_owned(),
        }
    }
}

/// The first piece.
pub(super) fn write(saved: &Saved<'_, SavedEntities>) -> Result<Vec<u8>, SnapshotProblem> {
    postcard::to_extend(saved, FORMAT.to_le_bytes().to_vec()).map_err(corrupt)
}

/// Reads the first piece.
pub(super) fn read(bytes: &[u8]) -> Result<Head, SnapshotProblem> {
    let Some((format, body)) = bytes.split_first_chunk::<2>() else {
        return Err(SnapshotProblem::TooShort { bytes: bytes.len() });
    };
    let format = u16::from_le_bytes(*format);
    match format {
        FORMAT => whole(body).map(|saved| Head::Newest(saved, format)),
        FORMAT_NO_VECTORS | FORMAT_LONG_VALUES => {
            earlier::reading(format, || whole(body)).map(|saved| Head::Newest(saved, format))
        }
        FORMAT_GROUPED => earlier::reading(format, || whole(body)).map(|saved| Head::Grouped(saved, format)),
        FORMAT_EARLIER => earlier::reading(format, || whole(body)).map(Head::Earlier),
        found => Err(SnapshotProblem::UnknownFormat { found }),
    }
}

/// Writes a piece in place of what `piece` holds.
pub(super) fn write_piece(value: &impl Serialize, piece: &mut Vec<u8>) -> Result<(), SnapshotProblem> {
    piece.clear();
    append(value, piece)
}

/// Writes behind what `bytes` holds.
pub(super) fn append(value: &impl Serialize, bytes: &mut Vec<u8>) -> Result<(), SnapshotProblem> {
    *bytes = postcard::to_extend(value, std::mem::take(bytes)).map_err(corrupt)?;
    Ok(())
}

/// Reads what bytes begin with, and gives the rest.
pub(super) fn begin<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), SnapshotProblem> {
    postcard::take_from_bytes(bytes).map_err(corrupt)
}

/// Reads a piece, which holds nothing else.
pub(super) fn whole<'a, T: Deserialize<'a>>(piece: &'a [u8]) -> Result<T, SnapshotProblem> {
    let (value, rest) = postcard::take_from_bytes(piece).map_err(corrupt)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(SnapshotProblem::Corrupt {
            reason: format!("{} bytes too many", rest.len()),
        })
    }
}

/// The names of all fields by number, to stand beside events that are kept by number.
pub(super) fn fields() -> Vec<&'static str> {
    Field::ALL.iter().map(|field| field.name()).collect()
}

/// Whether events that were kept beside these names mean the same now. Later versions may add fields at the end, so that
/// older numbers keep their meaning.
pub(super) fn fields_fit(names: &[&str]) -> bool {
    let same = |(name, field): (&&str, &Field)| *name == field.name();
    names.len() <= Field::ALL.len() && names.iter().zip(Field::ALL).all(same)
}

pub(super) fn corrupt(error: postcard::Error) -> SnapshotProblem {
    SnapshotProblem::Corrupt {
        reason: error.to_string(),
    }
}
