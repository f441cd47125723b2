//! The engine as a whole: stamped events in, alerts out. Events are routed to the partitions of their entities, epochs are
//! closed, and the findings of all partitions are handed to triage in their one order.
//!
//! The same work can be shared by several processes: [`Departures`] routes events to partitions elsewhere, [`Shard`] is one
//! of these partitions, and [`Docket`] hands the findings of all of them to triage.

mod departures;
mod docket;
mod partitions;
mod save;
mod shard;
mod shared;
mod site;

pub use departures::{Departure, Departures};
pub use docket::Docket;
pub(super) use partitions::Partitions;
pub use partitions::Share;
pub use shard::Shard;

use super::order::Stamped;
use super::partition::Partition;
use super::population::{Uniformity, Version};
use super::program::Program;
use super::triage::{Budget, Counters, Desk, Triage};
use crate::domain::{Alert, EntityHash, Timestamp};

/// The engine.
pub struct Engine {
    partitions: Partitions,
    triage: Triage,
    /// Findings handed to triage since this process began, by detector.
    findings_of: Vec<u64>,
    /// Where events go when the partitions are elsewhere.
    departures: Option<Departures>,
}

/// What the engine has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events taken in.
    pub events: u64,
    /// Entities with state.
    pub entities: u64,
    /// Judgements made.
    pub judgements: u64,
    /// Visits by entities that shared a baseline because a bound was reached.
    pub shared: u64,
    /// What triage did.
    pub triage: Counters,
}

/// What one detector has done since this process began.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectorTotals {
    /// Findings handed to triage.
    pub findings: u64,
    /// How evenly its p was spread.
    pub uniformity: Uniformity,
    /// The surprise from which its alerts are told.
    pub bar: f64,
}

impl Engine {
    /// An engine of so many partitions, run by as many threads.
    pub fn new(program: Program, budget: Budget, partitions: usize, zone: jiff::tz::TimeZone) -> Engine {
        Engine {
            triage: Triage::new(budget),
            findings_of: vec![0; program.definitions.len()],
            partitions: Partitions::new(program, budget, partitions, zone),
            departures: None,
        }
    }

    /// An engine whose partitions, so many of them, are elsewhere: it judges nothing, and gives departures in place of
    /// alerts.
    pub fn with_partitions_elsewhere(program: Program, partitions: u16) -> Engine {
        let mut engine = Engine::new(program, Budget::Unlimited, 1, jiff::tz::TimeZone::UTC);
        engine.departures = Some(Departures::new(partitions));
        engine
    }

    /// What goes to partitions elsewhere, where they are.
    pub fn departures(&mut self) -> Option<&mut Departures> {
        self.departures.as_mut()
    }

    /// How many events were handed on to partitions elsewhere, or would have been had somebody needed them.
    pub fn handed_on(&self) -> u64 {
        self.departures.as_ref().map_or(0, Departures::pushed)
    }

    /// Hands so many events to the partitions at once, in place of what suits the number of threads. No alert depends
    /// on it.
    #[must_use]
    pub fn with_batches_of(mut self, events: usize) -> Engine {
        self.partitions.set_batch(events);
        self
    }

    /// What is run.
    pub fn program(&self) -> &Program {
        &self.partitions.program
    }

    /// The partition of an entity's hash.
    pub(super) fn partition(&self, hash: EntityHash) -> &Partition {
        self.partitions.partition(hash)
    }

    /// What the population is believed to be like now.
    pub(super) fn version(&self) -> &Version {
        self.partitions.population.current()
    }

    /// What the engine has done so far.
    pub fn totals(&self) -> Totals {
        let partitions = &self.partitions.partitions;
        Totals {
            events: self.partitions.events,
            entities: partitions.iter().map(|partition| partition.entities() as u64).sum(),
            judgements: partitions.iter().map(Partition::judgements).sum(),
            shared: partitions.iter().map(Partition::shared_visits).sum(),
            triage: self.triage.counters(),
        }
    }

    /// What each detector has done since this process began, in the order of the definitions.
    pub fn detectors(&self) -> impl Iterator<Item = DetectorTotals> {
        let population = &self.partitions.population;
        let counted = self.findings_of.iter().zip(population.uniformity());
        counted
            .zip(&population.current().bars)
            .map(|((findings, uniformity), bar)| DetectorTotals {
                findings: *findings,
                uniformity: *uniformity,
                bar: *bar,
            })
    }

    /// Alerts told on the present day of event time (UTC), the later forms of one not counted again.
    pub fn told_today(&self) -> u64 {
        self.triage.told_today()
    }

    /// Takes the next event, in the order of engine time.
    pub fn push(&mut self, stamped: Stamped, alerts: &mut Vec<Alert>) {
        if let Some(departures) = &mut self.departures {
            return departures.push(stamped, &self.partitions.program);
        }
        self.partitions.push(stamped);
        self.tell(alerts);
    }

    /// Every event before `watermark` has been pushed.
    pub fn advance(&mut self, watermark: Timestamp, alerts: &mut Vec<Alert>) {
        if let Some(departures) = &mut self.departures {
            return departures.advance(watermark);
        }
        self.partitions.advance(watermark);
        self.tell(alerts);
    }

    /// Judges what has been pushed so far, without waiting for more.
    pub fn flush(&mut self, alerts: &mut Vec<Alert>) {
        if !self.partitions.batch.events.is_empty() {
            self.partitions.run_batch();
        }
        self.tell(alerts);
    }

    /// The input has ended: open windows are closed without judging absence, and what is left is told.
    pub fn finish(&mut self, alerts: &mut Vec<Alert>) {
        self.partitions.finish();
        self.tell(alerts);
        self.triage.finish(alerts);
    }

    /// Hands to triage what is in order.
    fn tell(&mut self, alerts: &mut Vec<Alert>) {
        for judged in self.partitions.ready.drain(..) {
            if let Some(findings) = self.findings_of.get_mut(usize::from(judged.finding.detector)) {
                *findings += 1;
            }
            let desk = Desk {
                definitions: &self.partitions.program.definitions,
                bars: &judged.version.bars,
            };
            self.triage.push(judged.finding, &desk, alerts);
        }
    }
}
