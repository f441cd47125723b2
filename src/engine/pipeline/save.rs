//! The engine's state between two events, in pieces.

use super::{Engine, Partitions};
use crate::domain::{Alert, earlier};
use crate::engine::partition::{self, Restoring, SavedEntities, SavedGroup};
use crate::engine::program::Program;
use crate::engine::snapshot::{self, Head, Saved, SnapshotProblem};
use crate::engine::succession::{Restored, SavedCatalog, Succession};
use crate::engine::triage::Triage;
use std::borrow::Cow;

/// Entities that are saved to a piece.
const ROWS_TOGETHER: usize = 1024;

impl Engine {
    /// Ends a run whose state is kept: what is open stays open. What was pushed is judged first; then `put` gets the
    /// state piece by piece.
    pub fn save<E: From<SnapshotProblem>>(
        &mut self,
        alerts: &mut Vec<Alert>,
        put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.settle(alerts);
        self.save_settled(put)
    }

    /// Judges what was pushed, so that the state can be saved.
    pub fn settle(&mut self, alerts: &mut Vec<Alert>) {
        self.partitions.run_batch();
        self.tell(alerts);
    }

    /// Gives the state piece by piece, after [`Engine::settle`].
    pub(in crate::engine) fn save_settled<E: From<SnapshotProblem>>(
        &mut self,
        put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.partitions.save(&self.triage, put)
    }

    /// Begins to save the state as it is at this moment, after [`Engine::settle`]. More events may be pushed before
    /// [`Engine::go_on_saving`] has given the rest of it.
    pub fn begin_saving<E: From<SnapshotProblem>>(
        &mut self,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.partitions.begin_saving(&self.triage, &mut put)
    }

    /// Goes on with what [`Engine::begin_saving`] has begun: gives entities that have changed since, and up to so many
    /// others. Gives whether that is all. When it can't be, nothing of what was given is of use.
    pub fn go_on_saving<E: From<SnapshotProblem>>(
        &mut self,
        entities: usize,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.partitions.go_on_saving(entities, &mut put)
    }

    /// What was begun to be saved is of no use any more.
    pub fn stop_saving(&mut self) {
        self.partitions.stop_saving();
    }

    /// Takes up what an earlier run has saved: its first piece, then those that `next` gives in place of what its argument
    /// holds, until it gives none. What detectors learned that are still the same goes on, wherever they stand among the
    /// others. To be called before the first event; an engine that could not take up a state is of no use.
    pub fn restore<E: From<SnapshotProblem>>(
        &mut self,
        first: &[u8],
        next: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<Restored, E> {
        let budget = self.triage.budget();
        let (triage, restored) = self.partitions.restore(first, next)?;
        self.triage = triage;
        self.triage.set_budget(budget);
        Ok(restored)
    }

    /// Last forms of the alerts that end when an engine of this program takes up the state: those of detectors that do not
    /// go on. To be asked after [`Engine::settle`].
    pub fn ending(&self, next: &Program) -> Vec<Alert> {
        let succession = Succession::new(&SavedCatalog::of(&self.partitions.program), next);
        self.triage.ending(&succession, self.partitions.now)
    }
}

impl Partitions {
    /// Gives the state at once, piece by piece. What was pushed is judged already.
    pub(super) fn save<E: From<SnapshotProblem>>(
        &mut self,
        triage: &Triage,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.begin_saving(triage, &mut put)?;
        while !self.go_on_saving(ROWS_TOGETHER, &mut put)? {}
        Ok(())
    }

    /// Gives a head, and begins to save the entities that are here. What was pushed is judged already.
    fn begin_saving<E: From<SnapshotProblem>>(
        &mut self,
        triage: &Triage,
        put: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        debug_assert!(
            self.batch.events.is_empty(),
            "events that were not judged would be lost"
        );
        let mut leases: Vec<_> = self
            .leases
            .iter()
            .map(|(address, machine)| (*address, *machine))
            .collect();
        leases.sort_unstable();
        let head = snapshot::write(&Saved {
            catalog: SavedCatalog::of(&self.program),
            epoch: self.epoch,
            now: self.now,
            last_event: self.last_event,
            epoch_events: self.epoch_events,
            leases,
            losses: self.losses.clone(),
            findings: self.findings.clone(),
            entities: partition::save(&self.partitions, self.population.blank()),
            population: self.population.save(),
            triage: Cow::Borrowed(triage),
        })?;
        put(&head)?;
        partition::begin_saving(&mut self.partitions, put)
    }

    fn go_on_saving<E: From<SnapshotProblem>>(
        &mut self,
        entities: usize,
        put: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let gone_on = partition::go_on_saving(&mut self.partitions, entities, put);
        if gone_on.is_err() {
            self.stop_saving();
        }
        gone_on
    }

    fn stop_saving(&mut self) {
        partition::stop_saving(&mut self.partitions);
    }

    pub(super) fn restore<E: From<SnapshotProblem>>(
        &mut self,
        first: &[u8],
        mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<(Triage, Restored), E> {
        match snapshot::read(first)? {
            Head::Newest(saved, format) => {
                let (entities, rest) = saved.split();
                let mut restoring = self.restoring(entities, &rest)?;
                let mut piece = Vec::new();
                while next(&mut piece)? {
                    earlier::reading(format, || restoring.take_up(&piece))?;
                }
                Ok(self.take_up(restoring, rest)?)
            }
            Head::Grouped(saved, format) => {
                let (entities, rest) = saved.split();
                let mut restoring = self.restoring(entities, &rest)?;
                let mut piece = Vec::new();
                while next(&mut piece)? {
                    let group: SavedGroup = earlier::reading(format, || snapshot::whole(&piece))?;
                    restoring
                        .take_up_group(group)
                        .ok_or_else(SnapshotProblem::contradiction)?;
                }
                Ok(self.take_up(restoring, rest)?)
            }
            Head::Earlier(saved) => {
                let (entities, rest) = saved.split();
                let (entities, groups) = entities.by_key_group().ok_or_else(SnapshotProblem::contradiction)?;
                let mut restoring = self.restoring(entities, &rest)?;
                for group in groups {
                    restoring
                        .take_up_group(group)
                        .ok_or_else(SnapshotProblem::contradiction)?;
                }
                Ok(self.take_up(restoring, rest)?)
            }
        }
    }

    fn restoring(&self, entities: SavedEntities, rest: &Saved<'_, ()>) -> Result<Restoring, SnapshotProblem> {
        let succession = Succession::new(&rest.catalog, &self.program);
        let (partitions, blank) = (self.partitions.len(), self.population.blank());
        Restoring::begin(entities, succession, &self.program, partitions, &blank)
            .ok_or_else(SnapshotProblem::contradiction)
    }

    fn take_up(
        &mut self,
        restoring: Restoring,
        saved: Saved<'static, ()>,
    ) -> Result<(Triage, Restored), SnapshotProblem> {
        let (partitions, succession) = restoring.finish().ok_or_else(SnapshotProblem::contradiction)?;
        self.partitions = partitions;
        if !self.population.restore(saved.population, &succession) {
            return Err(SnapshotProblem::Corrupt {
                reason: "priors contradict themselves".to_owned(),
            });
        }
        let triage = saved.triage.into_owned().handed_on(&succession);
        self.epoch = saved.epoch;
        self.now = saved.now;
        self.last_event = saved.last_event;
        self.epoch_events = saved.epoch_events;
        self.leases = saved.leases.into_iter().collect();
        self.losses = saved.losses;
        let findings = saved.findings.into_iter();
        self.findings = findings.filter_map(|finding| succession.finding(finding)).collect();
        Ok((triage, succession.into_restored()))
    }
}

impl<'a, E> Saved<'a, E> {
    /// The entities, and all the rest.
    fn split(self) -> (E, Saved<'a, ()>) {
        let rest = Saved {
            catalog: self.catalog,
            epoch: self.epoch,
            now: self.now,
            last_event: self.last_event,
            epoch_events: self.epoch_events,
            leases: self.leases,
            losses: self.losses,
            findings: self.findings,
            entities: (),
            population: self.population,
            triage: self.triage,
        };
        (self.entities, rest)
    }
}
