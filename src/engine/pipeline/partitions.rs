//! The partitions of a process with what they share: events are routed to the partitions of their entities, epochs are
//! closed, and the findings of all partitions come out in their one order, each with what judged it.
//!
//! All key groups may be here, or a share of them while other processes have the rest ([`Share`]). Nothing that a
//! partition does depends on which.

use super::super::loss::Losses;
use super::super::partition::{Batch, Partition, Visit};
use super::super::population::{EPOCH_SECONDS, EpochSummary, Population, Version, epoch_of};
use super::super::program::Program;
use super::super::selection::Selection;
use super::super::triage::Budget;
use super::site::{WeekClock, enrich};
use crate::domain::{
    CaptureLoss, Duration, EntityHash, Event, Field, Finding, KEY_GROUPS, Timestamp, hash_value, write_entity,
};
use crate::engine::order::Stamped;
use crate::engine::template::Templates;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

/// Events that are handed at once to partitions that run on threads of their own.
const BATCH_EVENTS_MAX: usize = 4096;
/// Events that are handed to the partitions at once where the same thread reads them and runs the partitions: few enough
/// to be still in the processor's cache.
const BATCH_EVENTS_ALONE: usize = 256;
/// When no event comes for so long, collection has paused, and nobody's silence is judged.
pub(in crate::engine) const PAUSE: Duration = Duration::from_seconds(15 * 60);
/// Leases that are remembered.
const LEASES_MAX: usize = 1 << 16;

/// A finding, and what was believed when it was made.
pub(in crate::engine) struct Judged {
    pub(in crate::engine) finding: Finding,
    pub(in crate::engine) version: Arc<Version>,
}

/// The key groups that are here, as one of several equal runs of them; the others are elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which of the runs, from 0.
    pub place: u16,
    /// How many runs there are.
    pub of: u16,
}

impl Share {
    /// Whether a key group is of this share.
    pub fn holds(self, key_group: usize) -> bool {
        key_group * usize::from(self.of) / KEY_GROUPS == usize::from(self.place)
    }
}

/// What a share waits for from the others.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) share: Share,
    /// Epochs that ended with events in them, of which the whole summary has not come.
    pub(super) epochs: VecDeque<i64>,
    /// What was summed up here and not handed out yet.
    pub(super) summaries: Vec<(i64, EpochSummary)>,
}

/// The partitions.
pub(in crate::engine) struct Partitions {
    pub(super) program: Program,
    pub(super) partitions: Vec<Partition>,
    threads: usize,
    batch_events_max: usize,
    pub(super) population: Population,
    pub(super) batch: Batch,
    pub(super) findings: Vec<Finding>,
    /// Findings that no other can come before any more, in order.
    pub(super) ready: Vec<Judged>,
    pub(super) epoch: Option<i64>,
    pub(super) now: Timestamp,
    pub(super) last_event: Option<Timestamp>,
    pub(super) epoch_events: u64,
    pub(super) events: u64,
    pub(super) leases: HashMap<IpAddr, u64>,
    /// What sensors report of what they lose.
    pub(super) losses: Losses,
    scratch: Vec<u8>,
    selection: Selection,
    zone: WeekClock,
    templates: Templates,
    pub(super) awaited: Option<Awaited>,
}

impl Partitions {
    /// So many partitions of all key groups, run by as many threads.
    pub(super) fn new(program: Program, budget: Budget, partitions: usize, zone: jiff::tz::TimeZone) -> Partitions {
        let population = Population::new(&program.definitions, budget);
        let partitions = partitions.clamp(1, KEY_GROUPS);
        let threads = partitions.min(std::thread::available_parallelism().map_or(1, usize::from));
        Partitions {
            partitions: (0..partitions)
                .map(|_| Partition::new(&program, population.blank()))
                .collect(),
            threads,
            batch_events_max: if threads > 1 {
                BATCH_EVENTS_MAX
            } else {
                BATCH_EVENTS_ALONE
            },
            population,
            batch: Batch {
                visits: vec![Vec::new(); partitions],
                ..Batch::default()
            },
            findings: Vec::new(),
            ready: Vec::new(),
            epoch: None,
            now: Timestamp::MIN,
            last_event: None,
            epoch_events: 0,
            events: 0,
            leases: HashMap::new(),
            losses: Losses::default(),
            scratch: Vec::new(),
            selection: Selection::default(),
            zone: WeekClock::new(zone),
            templates: Templates::default(),
            program,
            awaited: None,
        }
    }

    /// One partition of a share of the key groups.
    pub(super) fn of_share(program: Program, budget: Budget, share: Share, zone: jiff::tz::TimeZone) -> Partitions {
        let mut partitions = Partitions::new(program, budget, 1, zone);
        partitions.awaited = Some(Awaited {
            share,
            epochs: VecDeque::new(),
            summaries: Vec::new(),
        });
        partitions
    }

    pub(super) fn set_batch(&mut self, events: usize) {
        self.batch_events_max = events.clamp(1, BATCH_EVENTS_MAX);
    }

    /// The partition of an entity's hash.
    pub(super) fn partition(&self, hash: EntityHash) -> &Partition {
        &self.partitions[partition_of(hash, self.partitions.len())]
    }

    /// Takes the next event, in the order of engine time.
    pub(super) fn push(&mut self, mut stamped: Stamped) {
        self.pass(stamped.engine_time);
        self.events += 1;
        enrich(&mut stamped.event, &self.program, &mut self.templates);
        if stamped.event.has(Field::DhcpAssignedIp) {
            self.lease(&stamped.event);
        }
        if let Some(report) = CaptureLoss::of(&stamped.event) {
            self.losses.take(report);
        }
        self.route(stamped);
        if self.batch.events.len() >= self.batch_events_max {
            self.run_batch();
        }
    }

    /// There is an event at this time, here or elsewhere.
    pub(super) fn pass(&mut self, time: Timestamp) {
        self.end_pause(time);
        self.reach(time);
        self.last_event = Some(time);
        self.epoch_events = 1;
    }

    /// When collection has paused before this time, what was due before the pause is done, and silence during it is
    /// nobody's.
    pub(super) fn end_pause(&mut self, time: Timestamp) {
        if self.last_event.is_some_and(|last| time > last.plus(PAUSE)) {
            self.run_batch();
            self.partitions.iter_mut().for_each(Partition::pass_over);
        }
    }

    /// Every event before `watermark` has been pushed.
    pub(super) fn advance(&mut self, watermark: Timestamp) {
        if watermark > self.now && self.epoch.is_some() {
            self.reach(watermark);
        }
    }

    /// The input has ended: open windows are closed without judging absence.
    pub(super) fn finish(&mut self) {
        self.run_batch();
        let version = self.population.current().clone();
        for partition in &mut self.partitions {
            partition.pass_over();
            partition.advance(
                Timestamp::MAX,
                Timestamp::MIN,
                &self.program,
                &version,
                &mut self.findings,
            );
        }
        for finding in &mut self.findings {
            // What the end of the input closes became known at its end, not later.
            finding.at = finding.at.min(self.now);
        }
        self.sort_out(Timestamp::MAX);
    }

    /// Engine time goes on to `time`, over the ends of epochs.
    pub(super) fn reach(&mut self, time: Timestamp) {
        let epoch = epoch_of(time);
        let mut current = *self.epoch.get_or_insert(epoch);
        while current < epoch {
            self.run_batch();
            self.end_epoch(current);
            // After two epochs nothing is left that could change between empty ones: they are skipped in one step.
            current = if self.is_settled() { epoch } else { current + 1 };
            self.population.begin(current);
            self.epoch = Some(current);
        }
        self.now = self.now.max(time);
    }

    /// Whether no version waits for its epoch, here or elsewhere.
    fn is_settled(&self) -> bool {
        self.population.settled() && self.awaited.as_ref().is_none_or(|awaited| awaited.epochs.is_empty())
    }

    fn end_epoch(&mut self, ending: i64) {
        let end = Timestamp::from_seconds((ending + 1) * EPOCH_SECONDS);
        let version = self.population.current().clone();
        let silence_until = self.silence_until();
        for partition in &mut self.partitions {
            partition.advance(end, silence_until, &self.program, &version, &mut self.findings);
        }
        self.now = self.now.max(end);
        self.sort_out(end);
        if self.epoch_events > 0 {
            self.epoch_events = 0;
            let mut whole = self.population.blank();
            for partition in &mut self.partitions {
                let blank = self.population.blank();
                whole.merge(&partition.end_epoch(end, &self.program, &version, blank, &mut self.findings));
            }
            match &mut self.awaited {
                None => self.population.absorb(ending, &whole),
                Some(awaited) => {
                    awaited.epochs.push_back(ending);
                    awaited.summaries.push((ending, whole));
                }
            }
        }
    }

    /// Silence is judged up to here: when no event comes for longer, it is collection that has paused.
    fn silence_until(&self) -> Timestamp {
        self.last_event.map_or(Timestamp::MIN, |last| last.plus(PAUSE))
    }

    /// Notices an address that passes from one machine to another.
    fn lease(&mut self, event: &Event) {
        let (Some(address), Some(machine)) = (event.ip(Field::DhcpAssignedIp), event.get(Field::ClientMac)) else {
            return;
        };
        let machine = hash_value(machine, &mut Vec::new());
        if self.leases.len() >= LEASES_MAX {
            self.leases.clear();
        }
        if self.leases.insert(address, machine).is_some_and(|held| held != machine) {
            self.batch.moved.push((self.batch.events.len() as u32, address));
        }
    }

    /// Finds who the event is for, and puts it into the batch of each partition that needs it.
    fn route(&mut self, stamped: Stamped) {
        let event = &stamped.event;
        let selected = self.selection.of(event, &self.program);
        if selected == 0 {
            return;
        }
        let mut hits = 0u128;
        let mut open = selected & self.program.ratios;
        while open != 0 {
            let number = open.trailing_zeros() as usize;
            open &= open - 1;
            let is_hit = self.program.detectors[number]
                .hits
                .as_ref()
                .is_some_and(|hit| hit.matches(event));
            hits |= u128::from(is_hit) << number;
        }
        let place = self.batch.events.len() as u32;
        let mut bytes = std::mem::take(&mut self.scratch);
        let mut wanted = false;
        for (kind, entities) in self.program.kinds.iter().enumerate() {
            let detectors = entities.detectors & selected;
            if detectors == 0 {
                continue;
            }
            let Some(hash) = write_entity(event, &entities.fields, &mut bytes) else {
                continue;
            };
            let place_of = match &self.awaited {
                None => partition_of(hash, self.partitions.len()),
                Some(awaited) if awaited.share.holds(hash.key_group()) => 0,
                Some(_) => continue,
            };
            let start = self.batch.bytes.len() as u32;
            self.batch.bytes.extend_from_slice(&bytes);
            let visit = Visit {
                event: place,
                kind: kind as u8,
                detectors,
                hits,
                hash,
                bytes: start..self.batch.bytes.len() as u32,
            };
            self.batch.visits[place_of].push(visit);
            wanted = true;
        }
        self.scratch = bytes;
        if wanted {
            self.batch.hours.push(self.zone.hour_of_week(event.time()));
            self.batch.losses.push(self.losses.share(event, stamped.engine_time));
            self.batch.events.push(stamped);
        }
    }

    /// Hands the batch to the partitions and sorts out what they found.
    pub(super) fn run_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let version = self.population.current().clone();
        let silence_until = self.silence_until();
        let program = &self.program;
        if self.threads <= 1 {
            for (partition, visits) in self.partitions.iter_mut().zip(&batch.visits) {
                partition.run(&batch, visits, program, &version, &mut self.findings);
                partition.advance(self.now, silence_until, program, &version, &mut self.findings);
            }
        } else {
            let share = self.partitions.len().div_ceil(self.threads);
            let (batch, version, now) = (&batch, &*version, self.now);
            let found = std::thread::scope(|scope| {
                let workers: Vec<_> = self
                    .partitions
                    .chunks_mut(share)
                    .zip(batch.visits.chunks(share))
                    .map(|(partitions, visits)| {
                        scope.spawn(move || {
                            let mut findings = Vec::new();
                            for (partition, visits) in partitions.iter_mut().zip(visits) {
                                partition.run(batch, visits, program, version, &mut findings);
                                partition.advance(now, silence_until, program, version, &mut findings);
                            }
                            findings
                        })
                    })
                    .collect();
                workers
                    .into_iter()
                    .map(std::thread::ScopedJoinHandle::join)
                    .collect::<Vec<_>>()
            });
            for findings in found {
                match findings {
                    Ok(findings) => self.findings.extend(findings),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        }
        self.batch = batch;
        self.batch.events.clear();
        self.batch.hours.clear();
        self.batch.losses.clear();
        self.batch.bytes.clear();
        self.batch.moved.clear();
        self.batch.visits.iter_mut().for_each(Vec::clear);
        self.sort_out(self.now);
    }

    /// Sets apart the findings from before `watermark`, in their one order; later ones may still get company.
    fn sort_out(&mut self, watermark: Timestamp) {
        if self.findings.is_empty() {
            return;
        }
        self.findings.sort_by(in_order);
        let ready = self
            .findings
            .partition_point(|finding| finding.at < watermark || watermark == Timestamp::MAX);
        let version = self.population.current();
        let findings = self.findings.drain(..ready);
        self.ready.extend(findings.map(|finding| Judged {
            finding,
            version: version.clone(),
        }));
    }
}

/// The order of findings: engine time, detector, entity, window, rung.
pub(super) fn in_order(a: &Finding, b: &Finding) -> std::cmp::Ordering {
    (a.at, a.detector, &a.entity, a.window, a.rung, &a.seen_text)
        .cmp(&(b.at, b.detector, &b.entity, b.window, b.rung, &b.seen_text))
        .then_with(|| a.surprise.total_cmp(&b.surprise))
}

/// The partition of a key group: key groups are dealt out in equal runs.
fn partition_of(hash: EntityHash, partitions: usize) -> usize {
    hash.key_group() * partitions / KEY_GROUPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_gets_key_groups() {
        for partitions in [1usize, 3, 8, 1024] {
            let mut seen = vec![false; partitions];
            for group in 0..KEY_GROUPS as u64 {
                let place = partition_of(EntityHash(group << 54), partitions);
                seen[place] = true;
                let share = |place: usize| Share {
                    place: place as u16,
                    of: partitions as u16,
                };
                assert!((0..partitions).all(|other| share(other).holds(group as usize) == (other == place)));
            }
            assert!(seen.into_iter().all(|seen| seen));
        }
    }
}
