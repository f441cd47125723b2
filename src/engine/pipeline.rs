//! The engine as a whole: stamped events in, alerts out. It routes events to the partitions of their entities, closes
//! epochs, and hands the findings of all partitions to triage in their one order.

mod save;

use super::loss::Losses;
use super::order::Stamped;
use super::partition::{Batch, Partition, Visit};
use super::population::{Population, Uniformity, Version, epoch_of};
use super::program::Program;
use super::selection::Selection;
use super::triage::{Budget, Counters, Desk, Triage};
use crate::domain::{
    Alert, CaptureLoss, Duration, EntityHash, Event, Field, Finding, KEY_GROUPS, Timestamp, write_entity,
};
use std::collections::HashMap;
use std::net::IpAddr;

/// Events that are handed at once to partitions that run on threads of their own.
const BATCH_EVENTS_MAX: usize = 4096;
/// Events that are handed to the partitions at once where the same thread reads them and runs the partitions: few enough
/// to be still in the processor's cache.
const BATCH_EVENTS_ALONE: usize = 256;
/// When no event comes for so long, collection has paused, and nobody's silence is judged.
const PAUSE: Duration = Duration::from_seconds(15 * 60);
/// Leases that are remembered.
const LEASES_MAX: usize = 1 << 16;

/// The engine.
pub struct Engine {
    program: Program,
    partitions: Vec<Partition>,
    threads: usize,
    batch_events_max: usize,
    population: Population,
    triage: Triage,
    batch: Batch,
    findings: Vec<Finding>,
    epoch: Option<i64>,
    now: Timestamp,
    last_event: Option<Timestamp>,
    epoch_events: u64,
    events: u64,
    /// Findings handed to triage since this process began, by detector.
    findings_of: Vec<u64>,
    leases: HashMap<IpAddr, u64>,
    /// What sensors report of what they lose.
    losses: Losses,
    scratch: Vec<u8>,
    selection: Selection,
    zone: WeekClock,
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
        let population = Population::new(&program.definitions, budget);
        let partitions = partitions.clamp(1, KEY_GROUPS);
        let threads = partitions.min(std::thread::available_parallelism().map_or(1, usize::from));
        Engine {
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
            triage: Triage::new(budget),
            batch: Batch {
                visits: vec![Vec::new(); partitions],
                ..Batch::default()
            },
            findings: Vec::new(),
            epoch: None,
            now: Timestamp::MIN,
            last_event: None,
            epoch_events: 0,
            events: 0,
            findings_of: vec![0; program.definitions.len()],
            leases: HashMap::new(),
            losses: Losses::default(),
            scratch: Vec::new(),
            selection: Selection::default(),
            zone: WeekClock::new(zone),
            program,
        }
    }

    /// Hands so many events to the partitions at once, in place of what suits the number of threads. No alert depends
    /// on it.
    #[must_use]
    pub fn with_batches_of(mut self, events: usize) -> Engine {
        self.batch_events_max = events.clamp(1, BATCH_EVENTS_MAX);
        self
    }

    /// What is run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The partition of an entity's hash.
    pub(super) fn partition(&self, hash: EntityHash) -> &Partition {
        &self.partitions[partition_of(hash, self.partitions.len())]
    }

    /// What the population is believed to be like now.
    pub(super) fn version(&self) -> &Version {
        self.population.current()
    }

    /// What the engine has done so far.
    pub fn totals(&self) -> Totals {
        Totals {
            events: self.events,
            entities: self
                .partitions
                .iter()
                .map(|partition| partition.entities() as u64)
                .sum(),
            judgements: self.partitions.iter().map(Partition::judgements).sum(),
            shared: self.partitions.iter().map(Partition::shared_visits).sum(),
            triage: self.triage.counters(),
        }
    }

    /// What each detector has done since this process began, in the order of the definitions.
    pub fn detectors(&self) -> impl Iterator<Item = DetectorTotals> {
        let counted = self.findings_of.iter().zip(self.population.uniformity());
        counted
            .zip(&self.population.current().bars)
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
    pub fn push(&mut self, mut stamped: Stamped, alerts: &mut Vec<Alert>) {
        let time = stamped.engine_time;
        if self.last_event.is_some_and(|last| time > last.plus(PAUSE)) {
            // Collection has paused. What was due before the pause is done, and silence during it is nobody's.
            self.run_batch(alerts);
            self.partitions.iter_mut().for_each(Partition::pass_over);
        }
        self.reach(time, alerts);
        self.last_event = Some(time);
        self.events += 1;
        self.epoch_events += 1;
        self.enrich(&mut stamped.event);
        if let Some(report) = CaptureLoss::of(&stamped.event) {
            self.losses.take(report);
        }
        self.route(stamped);
        if self.batch.events.len() >= self.batch_events_max {
            self.run_batch(alerts);
        }
    }

    /// Every event before `watermark` has been pushed.
    pub fn advance(&mut self, watermark: Timestamp, alerts: &mut Vec<Alert>) {
        if watermark > self.now && self.epoch.is_some() {
            self.reach(watermark, alerts);
        }
    }

    /// Judges what has been pushed so far, without waiting for more.
    pub fn flush(&mut self, alerts: &mut Vec<Alert>) {
        if !self.batch.events.is_empty() {
            self.run_batch(alerts);
        }
    }

    /// The input has ended: open windows are closed without judging absence, and what is left is told.
    pub fn finish(&mut self, alerts: &mut Vec<Alert>) {
        self.run_batch(alerts);
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
        self.tell(Timestamp::MAX, alerts);
        self.triage.finish(alerts);
    }

    /// Engine time goes on to `time`, over the ends of epochs.
    fn reach(&mut self, time: Timestamp, alerts: &mut Vec<Alert>) {
        let epoch = epoch_of(time);
        let mut current = *self.epoch.get_or_insert(epoch);
        while current < epoch {
            self.run_batch(alerts);
            self.end_epoch(current, alerts);
            // After two epochs nothing is left that could change between empty ones: they are skipped in one step.
            current = if self.population.settled() { epoch } else { current + 1 };
            self.population.begin(current);
            self.epoch = Some(current);
        }
        self.now = self.now.max(time);
    }

    fn end_epoch(&mut self, ending: i64, alerts: &mut Vec<Alert>) {
        let end = Timestamp::from_seconds((ending + 1) * super::population::EPOCH_SECONDS);
        let version = self.population.current().clone();
        let silence_until = self.silence_until();
        for partition in &mut self.partitions {
            partition.advance(end, silence_until, &self.program, &version, &mut self.findings);
        }
        self.now = self.now.max(end);
        self.tell(end, alerts);
        if self.epoch_events > 0 {
            self.epoch_events = 0;
            let mut whole = self.population.blank();
            for partition in &mut self.partitions {
                let blank = self.population.blank();
                whole.merge(&partition.end_epoch(end, &self.program, &version, blank, &mut self.findings));
            }
            self.population.absorb(ending, &whole);
        }
    }

    /// Silence is judged up to here: when no event comes for longer, it is collection that has paused.
    fn silence_until(&self) -> Timestamp {
        self.last_event.map_or(Timestamp::MIN, |last| last.plus(PAUSE))
    }

    fn enrich(&mut self, event: &mut Event) {
        if !event.has(Field::NetworkDirection)
            && let (Some(source), Some(destination)) = (event.ip(Field::SourceIp), event.ip(Field::DestinationIp))
        {
            let direction = self.program.networks.direction(source, destination);
            event.add_str(Field::NetworkDirection, direction.word());
        }
        if event.has(Field::HttpResponseStatusCode) && !event.has(Field::ServerAddress) {
            name_server(event);
        }
        if event.has(Field::DhcpAssignedIp) {
            self.lease(event);
        }
    }

    /// Notices an address that passes from one machine to another.
    fn lease(&mut self, event: &Event) {
        let (Some(address), Some(machine)) = (event.ip(Field::DhcpAssignedIp), event.get(Field::ClientMac)) else {
            return;
        };
        let machine = crate::domain::hash_value(machine, &mut Vec::new());
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
            self.batch.visits[partition_of(hash, self.partitions.len())].push(visit);
            wanted = true;
        }
        self.scratch = bytes;
        if wanted {
            self.batch.hours.push(self.zone.hour_of_week(event.time()));
            self.batch.losses.push(self.losses.share(event, stamped.engine_time));
            self.batch.events.push(stamped);
        }
    }

    /// Hands the batch to the partitions and tells what they found.
    fn run_batch(&mut self, alerts: &mut Vec<Alert>) {
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
        self.tell(self.now, alerts);
    }

    /// Hands findings from before `watermark` to triage, in their one order; later ones may still get company.
    fn tell(&mut self, watermark: Timestamp, alerts: &mut Vec<Alert>) {
        if self.findings.is_empty() {
            return;
        }
        self.findings.sort_by(|a, b| {
            (a.at, a.detector, &a.entity, a.window, a.rung, &a.seen_text)
                .cmp(&(b.at, b.detector, &b.entity, b.window, b.rung, &b.seen_text))
                .then_with(|| a.surprise.total_cmp(&b.surprise))
        });
        let ready = self
            .findings
            .partition_point(|finding| finding.at < watermark || watermark == Timestamp::MAX);
        let version = self.population.current().clone();
        let desk = Desk {
            definitions: &self.program.definitions,
            bars: &version.bars,
        };
        for finding in self.findings.drain(..ready) {
            if let Some(findings) = self.findings_of.get_mut(usize::from(finding.detector)) {
                *findings += 1;
            }
            self.triage.push(finding, &desk, alerts);
        }
    }
}

/// The partition of a key group: key groups are dealt out in equal runs.
pub(super) fn partition_of(hash: EntityHash, partitions: usize) -> usize {
    hash.key_group() * partitions / KEY_GROUPS
}

/// The hour of the week at a site, with the zone's offset looked up once an hour.
struct WeekClock {
    zone: jiff::tz::TimeZone,
    hour: i64,
    offset_seconds: i64,
}

impl WeekClock {
    fn new(zone: jiff::tz::TimeZone) -> Self {
        WeekClock {
            zone,
            hour: i64::MIN,
            offset_seconds: 0,
        }
    }

    /// 0 to 167; Monday's first hour is 0.
    fn hour_of_week(&mut self, time: Timestamp) -> u8 {
        // Zones change their offset on quarter hours.
        let quarter = time.seconds().div_euclid(900);
        if quarter != self.hour {
            self.hour = quarter;
            self.offset_seconds = jiff::Timestamp::from_second(time.seconds())
                .map_or(0, |at| i64::from(self.zone.to_offset(at).seconds()));
        }
        // 1970-01-01 was a Thursday.
        ((time.seconds() + self.offset_seconds).div_euclid(3600) + 72).rem_euclid(168) as u8
    }
}

/// What a web server is called whose log names neither its machine nor a site.
const UNNAMED_SERVER: &str = "web-server";

/// Adds who answered a web request: its address where packets were seen, else the machine that wrote the log, else the
/// site that was asked for. A client may ask for any site, so that comes last.
fn name_server(event: &mut Event) {
    if let Some(address) = event.ip(Field::DestinationIp) {
        event.add_ip_text(Field::ServerAddress, address);
        return;
    }
    let name = event.str(Field::HostName).or_else(|| event.str(Field::UrlDomain));
    let name = name.unwrap_or(UNNAMED_SERVER).to_owned();
    event.add_str(Field::ServerAddress, &name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_of_the_week_follows_the_sites_zone() {
        let time = Timestamp::parse_rfc3339(b"2026-03-02T09:12:41Z").expect("a time");
        let mut utc = WeekClock::new(jiff::tz::TimeZone::UTC);
        assert_eq!(utc.hour_of_week(time), 9);
        let mut plus_two = WeekClock::new(jiff::tz::TimeZone::fixed(jiff::tz::offset(2)));
        assert_eq!(plus_two.hour_of_week(time), 11);
    }

    #[test]
    fn every_partition_gets_key_groups() {
        for partitions in [1usize, 3, 8, 1024] {
            let mut seen = vec![false; partitions];
            for group in 0..KEY_GROUPS as u64 {
                seen[partition_of(EntityHash(group << 54), partitions)] = true;
            }
            assert!(seen.into_iter().all(|seen| seen));
        }
    }
}
