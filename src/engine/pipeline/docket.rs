//! Triage over partitions that are elsewhere: their findings in, alerts out.
//!
//! Findings are heard up to the time that every partition has passed, in their one order, each under the bars that the
//! population sets in its epoch. So a docket tells what an engine with all partitions would.

use super::partitions::in_order;
use crate::domain::{Alert, Finding, Passed, Timestamp};
use crate::engine::population::{EpochSummary, Population, epoch_of};
use crate::engine::program::Program;
use crate::engine::triage::{Budget, Counters, Desk, Triage};
use std::collections::VecDeque;

/// Triage of what all partitions find.
pub struct Docket {
    pub(super) program: Program,
    pub(super) population: Population,
    pub(super) triage: Triage,
    /// How far each partition has come.
    pub(super) passed: Vec<Timestamp>,
    /// Findings that were not heard yet.
    pub(super) waiting: Vec<Finding>,
    /// Whether those that wait are in order.
    is_sorted: bool,
    /// Epochs that ended with events in them, of which the whole summary has not come.
    pub(super) awaited: VecDeque<i64>,
    /// The last epoch that was told to have ended.
    pub(super) ended: i64,
}

impl Docket {
    /// The docket of so many partitions.
    pub fn new(program: Program, budget: Budget, partitions: u16) -> Docket {
        Docket {
            population: Population::new(&program.definitions, budget),
            triage: Triage::new(budget),
            passed: vec![Timestamp::MIN; usize::from(partitions)],
            waiting: Vec::new(),
            is_sorted: true,
            awaited: VecDeque::new(),
            ended: i64::MIN,
            program,
        }
    }

    /// What is run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What triage did.
    pub fn counters(&self) -> Counters {
        self.triage.counters()
    }

    /// Alerts told on the present day of event time (UTC), the later forms of one not counted again.
    pub fn told_today(&self) -> u64 {
        self.triage.told_today()
    }

    /// The surprise from which each detector's alerts are told, by detector.
    pub fn bars(&self) -> &[f64] {
        &self.population.current().bars
    }

    /// Findings that were not heard yet.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How far each partition has come.
    pub fn passed(&self) -> &[Timestamp] {
        &self.passed
    }

    /// Takes a finding of a partition.
    pub fn finding(&mut self, finding: Finding) {
        self.waiting.push(finding);
        self.is_sorted = false;
    }

    /// Takes how far a partition has come.
    pub fn partition_passed(&mut self, partition: u16, passed: Passed) {
        if let Some(held) = self.passed.get_mut(usize::from(partition)) {
            *held = (*held).max(passed.watermark);
        }
        // All partitions tell the same epochs.
        for epoch in passed.ended {
            if epoch > self.ended {
                self.ended = epoch;
                self.awaited.push_back(epoch);
            }
        }
    }

    /// The epochs that have ended and whose whole summary has not come yet, in order.
    pub fn awaited(&self) -> impl Iterator<Item = i64> {
        self.awaited.iter().copied()
    }

    /// The epoch that the slowest partition has come to.
    pub fn epoch(&self) -> Option<i64> {
        let slowest = self.passed.iter().min()?;
        (*slowest > Timestamp::MIN).then(|| epoch_of(*slowest))
    }

    /// A summary without anything, for partitions' summaries to be merged into.
    pub fn blank(&self) -> EpochSummary {
        self.population.blank()
    }

    /// Takes the summary of all partitions about the first epoch of [`Docket::awaited`].
    pub fn absorb(&mut self, whole: &EpochSummary) {
        if let Some(epoch) = self.awaited.pop_front() {
            self.population.absorb(epoch, whole);
        }
    }

    /// Hears every finding whose time has come, as far as what judges it is known. Gives the epoch whose summary is
    /// missing, where one is.
    pub fn work(&mut self, alerts: &mut Vec<Alert>) -> Result<(), i64> {
        let watermark = self.passed.iter().min().copied().unwrap_or(Timestamp::MIN);
        if !self.is_sorted {
            self.waiting.sort_by(in_order);
            self.is_sorted = true;
        }
        let due = self.waiting.partition_point(|finding| finding.at < watermark);
        let mut heard = 0;
        let mut missing = Ok(());
        for finding in self.waiting.iter().take(due) {
            let epoch = epoch_of(finding.at);
            if let Some(awaited) = self
                .awaited
                .front()
                .filter(|awaited| **awaited <= epoch.saturating_sub(2))
            {
                missing = Err(*awaited);
                break;
            }
            self.population.begin(epoch);
            let version = self.population.current().clone();
            let desk = Desk {
                definitions: &self.program.definitions,
                bars: &version.bars,
            };
            self.triage.push(finding.clone(), &desk, alerts);
            heard += 1;
        }
        self.waiting.drain(..heard);
        missing
    }

    /// The input has ended: what was told and something has joined since is told a last time.
    pub fn finish(&mut self, alerts: &mut Vec<Alert>) {
        self.triage.finish(alerts);
    }
}
