//! What all partitions saw in each epoch, gathered from partitions that are elsewhere.

use super::EpochSummary;
use crate::engine::program::Program;
use crate::engine::succession::SavedCatalog;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

/// The newest form of a summary as bytes.
const FORMAT: u16 = 2;
/// Epochs that are held at once, whole or in part. Beyond it the earliest is forgotten.
const EPOCHS_MAX: usize = 4096;

/// Why a summary can't be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SummaryProblem {
    /// Another version has written it.
    #[error("a summary has format {found}, this program reads {FORMAT}; run the same version everywhere")]
    UnknownFormat {
        /// The format that was found.
        found: u16,
    },
    /// It was made with other detectors.
    #[error("a summary was made with other detectors; give every instance the same detectors and configuration")]
    OtherDetectors,
    /// Its bytes do not follow the format.
    #[error("a summary is damaged ({reason})")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
}

/// Summaries by epoch: of each partition until all are there, then of all together.
pub struct Summaries {
    partitions: usize,
    detectors: u64,
    blank: EpochSummary,
    open: BTreeMap<i64, (BTreeSet<u16>, EpochSummary)>,
}

/// What decides whether summaries of two programs can be added.
fn detectors(program: &Program) -> u64 {
    let catalog = SavedCatalog::of(program);
    xxh3_64(&postcard::to_allocvec(&catalog).unwrap_or_default())
}

/// The summary as bytes.
pub fn write_summary(summary: &EpochSummary, program: &Program) -> Result<Vec<u8>, SummaryProblem> {
    let head = FORMAT.to_le_bytes().to_vec();
    postcard::to_extend(&(detectors(program), summary), head).map_err(damaged)
}

fn damaged(error: postcard::Error) -> SummaryProblem {
    SummaryProblem::Damaged {
        reason: error.to_string(),
    }
}

impl Summaries {
    /// None yet, of so many partitions that run this program.
    pub fn new(program: &Program, partitions: u16, blank: EpochSummary) -> Summaries {
        Summaries {
            partitions: usize::from(partitions),
            detectors: detectors(program),
            blank,
            open: BTreeMap::new(),
        }
    }

    /// Takes what one partition saw in an epoch. One that has come before is the same.
    pub fn take(&mut self, epoch: i64, partition: u16, bytes: &[u8]) -> Result<(), SummaryProblem> {
        let Some((format, body)) = bytes.split_first_chunk::<2>() else {
            let reason = format!("{} bytes", bytes.len());
            return Err(SummaryProblem::Damaged { reason });
        };
        let found = u16::from_le_bytes(*format);
        if found != FORMAT {
            return Err(SummaryProblem::UnknownFormat { found });
        }
        // The number stands first, because what follows it may not even be of this form.
        let (held, _) = postcard::take_from_bytes::<u64>(body).map_err(damaged)?;
        if held != self.detectors {
            return Err(SummaryProblem::OtherDetectors);
        }
        let (_, summary): (u64, EpochSummary) = postcard::from_bytes(body).map_err(damaged)?;
        let (seen, sum) = self
            .open
            .entry(epoch)
            .or_insert_with(|| (BTreeSet::new(), self.blank.clone()));
        if seen.insert(partition) {
            sum.merge(&summary);
        }
        if self.open.len() > EPOCHS_MAX {
            self.open.pop_first();
        }
        Ok(())
    }

    /// The summary of all partitions of an epoch, once it is whole.
    pub fn whole(&self, epoch: i64) -> Option<&EpochSummary> {
        let (seen, sum) = self.open.get(&epoch)?;
        (seen.len() >= self.partitions).then_some(sum)
    }

    /// Nobody asks for epochs before this one any more.
    pub fn forget_before(&mut self, epoch: i64) {
        self.open = self.open.split_off(&epoch);
    }
}
