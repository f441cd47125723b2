//! The state of a shard and of a docket, in pieces: what the rest of the engine has no word for, then the engine's own
//! form.

use super::shard::Stream;
use super::{Docket, Shard};
use crate::domain::{Finding, Timestamp};
use crate::engine::population::SavedPopulation;
use crate::engine::snapshot::{self, SnapshotProblem};
use crate::engine::succession::{Restored, SavedCatalog, Succession};
use crate::engine::triage::{Budget, Triage};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The newest form of a shard's first piece, and of a docket.
const FORMAT: u16 = 1;

#[derive(Serialize, Deserialize)]
struct SavedShard<'a> {
    /// Which share of the key groups it is: its place, and of how many.
    share: (u16, u16),
    #[serde(borrow)]
    fields: Vec<&'a str>,
    streams: Cow<'a, BTreeMap<String, Stream>>,
    active: Vec<(Timestamp, Timestamp)>,
    horizon: Timestamp,
    awaited: Vec<i64>,
}

#[derive(Serialize, Deserialize)]
struct SavedDocket<'a> {
    catalog: SavedCatalog,
    population: SavedPopulation,
    triage: Cow<'a, Triage>,
    passed: Cow<'a, [Timestamp]>,
    waiting: Cow<'a, [Finding]>,
    awaited: Vec<i64>,
    ended: i64,
}

impl Shard {
    /// Gives the state piece by piece. Findings and summaries are taken out first.
    pub fn save<E: From<SnapshotProblem>>(&mut self, mut put: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.partitions.run_batch();
        let share = self.share();
        let first = SavedShard {
            share: (share.place, share.of),
            fields: snapshot::fields(),
            streams: Cow::Borrowed(&self.streams),
            active: self.active.iter().copied().collect(),
            horizon: self.horizon,
            awaited: self.awaited().collect(),
        };
        put(&write(&first)?)?;
        self.partitions.save(&Triage::new(Budget::Unlimited), put)
    }

    /// Takes up what was saved, as [`super::Engine::restore`] does.
    pub fn restore<E: From<SnapshotProblem>>(
        &mut self,
        first: &[u8],
        mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<Restored, E> {
        let saved: SavedShard<'_> = read(first)?;
        let share = self.share();
        if saved.share != (share.place, share.of) {
            let (place, of) = saved.share;
            let reason = format!(
                "it is of partition {place} of {of}, and this is partition {} of {}",
                share.place, share.of
            );
            return Err(SnapshotProblem::Corrupt { reason }.into());
        }
        if !snapshot::fields_fit(&saved.fields) {
            let reason = "it knows other fields than this version".to_owned();
            return Err(SnapshotProblem::Corrupt { reason }.into());
        }
        self.take_up_streams(saved.streams.into_owned());
        self.active = saved.active.into_iter().collect();
        self.horizon = saved.horizon;
        if let Some(awaited) = &mut self.partitions.awaited {
            awaited.epochs = saved.awaited.into();
        }
        let mut head = Vec::new();
        if !next(&mut head)? {
            let reason = "it ends before the entities".to_owned();
            return Err(SnapshotProblem::Corrupt { reason }.into());
        }
        let (_, restored) = self.partitions.restore(&head, next)?;
        Ok(restored)
    }
}

impl Docket {
    /// The state, in one piece.
    pub fn save(&self) -> Result<Vec<u8>, SnapshotProblem> {
        write(&SavedDocket {
            catalog: SavedCatalog::of(&self.program),
            population: self.population.save(),
            triage: Cow::Borrowed(&self.triage),
            passed: Cow::Borrowed(&self.passed),
            waiting: Cow::Borrowed(&self.waiting),
            awaited: self.awaited().collect(),
            ended: self.ended,
        })
    }

    /// Takes up what was saved.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Restored, SnapshotProblem> {
        let saved: SavedDocket<'_> = read(bytes)?;
        if saved.passed.len() != self.passed.len() {
            let reason = format!(
                "it is of {} partitions, and there are {}",
                saved.passed.len(),
                self.passed.len()
            );
            return Err(SnapshotProblem::Corrupt { reason });
        }
        let succession = Succession::new(&saved.catalog, &self.program);
        if !self.population.restore(saved.population, &succession) {
            let reason = "priors contradict themselves".to_owned();
            return Err(SnapshotProblem::Corrupt { reason });
        }
        let budget = self.triage.budget();
        self.triage = saved.triage.into_owned().handed_on(&succession);
        self.triage.set_budget(budget);
        self.passed = saved.passed.into_owned();
        let waiting = saved.waiting.into_owned().into_iter();
        self.waiting = waiting.filter_map(|finding| succession.finding(finding)).collect();
        self.awaited = saved.awaited.into();
        self.ended = saved.ended;
        Ok(succession.into_restored())
    }
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, SnapshotProblem> {
    postcard::to_extend(value, FORMAT.to_le_bytes().to_vec()).map_err(snapshot::corrupt)
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, SnapshotProblem> {
    let Some((format, body)) = bytes.split_first_chunk::<2>() else {
        return Err(SnapshotProblem::TooShort { bytes: bytes.len() });
    };
    match u16::from_le_bytes(*format) {
        FORMAT => snapshot::whole(body),
        found => Err(SnapshotProblem::UnknownFormat { found }),
    }
}
