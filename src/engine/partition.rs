//! A partition: a set of whole key groups, their entities and watches. It sees the events that concern its entities, in
//! order, and gives findings.
//!
//! A partition never asks what time it is: events and watermarks tell. Whatever was due before an event happens before
//! it, so that a watermark more or less changes nothing.

mod saved;

pub use saved::Learned;
pub(super) use saved::{
    Restoring, SavedEarlier, SavedEntities, SavedGroup, begin_saving, go_on_saving, save, stop_saving,
};

use super::order::Stamped;
use super::population::{EpochSummary, GROUPS, Version, epoch_of};
use super::program::{Program, Watched};
use super::table::{Bounds, Found, Posted, Row, Table};
use super::vector::{Glimpse, Look};
use super::watch::{Moment, Newcomers, Outcome, Plan, Raised, Sight, Watch, target};
use crate::domain::{
    Duration, Entity, EntityHash, EntityValue, Field, Finding, Neighbourhood, Networks, Timestamp, Value, hash_value,
};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// Entities that have not been seen for so many half-lives of the slowest detector are forgotten.
const FORGOTTEN_HALF_LIVES: i64 = 8;

/// Visits whose state is looked up together.
const AHEAD: usize = 8;

/// One entity of an event, for a partition.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The event's place in its batch.
    pub event: u32,
    /// The kind of entity, which is its table's place.
    pub kind: u8,
    /// The detectors that select the event for this kind of entity, a bit each.
    pub detectors: u128,
    /// Of these, those whose ratio the event is a hit of.
    pub hits: u128,
    /// The entity's hash.
    pub hash: EntityHash,
    /// The entity's canonical bytes within the batch's.
    pub bytes: std::ops::Range<u32>,
}

/// Events in order, with the entities that they are for. All engine times lie in one epoch.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<Stamped>,
    /// The hour of the week of each event, in the site's time zone.
    pub hours: Vec<u8>,
    /// The share of packets that was lost around each event, 0 to 1.
    pub losses: Vec<f64>,
    /// The canonical bytes of entities.
    pub bytes: Vec<u8>,
    /// For each partition, the visits of its entities, in the order of the events.
    pub visits: Vec<Vec<Visit>>,
    /// Addresses that passed to another machine, before the event of this place.
    pub moved: Vec<(u32, IpAddr)>,
}

/// A moment at which a watch wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Wake {
    at: Timestamp,
    kind: u8,
    hash: EntityHash,
    plan: u16,
    row: u32,
    silence: bool,
}

/// The entities of a partition.
pub struct Partition {
    tables: Vec<Table>,
    wakes: BinaryHeap<Reverse<Wake>>,
    summary: EpochSummary,
    swept_day: i64,
    judgements: u64,
    scratch: Vec<u8>,
    glimpses: Vec<Glimpse>,
    newcomers: Newcomers,
}

impl Partition {
    /// A partition without entities.
    pub fn new(program: &Program, blank: EpochSummary) -> Self {
        Partition {
            tables: program.kinds.iter().map(|_| Table::new()).collect(),
            wakes: BinaryHeap::new(),
            summary: blank,
            swept_day: i64::MIN,
            judgements: 0,
            scratch: Vec::new(),
            glimpses: Vec::new(),
            newcomers: Newcomers::default(),
        }
    }

    /// How many entities have state.
    pub fn entities(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }

    /// The state that an entity has of its own.
    pub(super) fn row(&self, kind: usize, hash: EntityHash, bytes: &[u8]) -> Option<&Row> {
        self.tables.get(kind)?.row_of(hash, bytes)
    }

    /// How many judgements were made.
    pub fn judgements(&self) -> u64 {
        self.judgements
    }

    /// Visits by entities that share a baseline because their key group is full.
    pub fn shared_visits(&self) -> u64 {
        self.tables.iter().map(Table::shared_visits).sum()
    }

    /// Takes a batch's events in, for the entities that are here.
    pub fn run(
        &mut self,
        batch: &Batch,
        visits: &[Visit],
        program: &Program,
        version: &Version,
        findings: &mut Vec<Finding>,
    ) {
        let mut moved = batch.moved.iter().peekable();
        for (place, visit) in visits.iter().enumerate() {
            if place % AHEAD == 0 {
                self.fetch(&visits[place..visits.len().min(place + AHEAD)]);
            }
            while let Some((_, address)) = moved.next_if(|(before, _)| *before <= visit.event) {
                self.forget_address(*address);
            }
            let stamped = &batch.events[visit.event as usize];
            self.advance(stamped.engine_time, Timestamp::MAX, program, version, findings);
            let bytes = &batch.bytes[visit.bytes.start as usize..visit.bytes.end as usize];
            self.observe(
                stamped,
                visit,
                bytes,
                batch.hours[visit.event as usize],
                batch.losses[visit.event as usize],
                program,
                version,
                findings,
            );
        }
        for (_, address) in moved {
            self.forget_address(*address);
        }
    }

    /// Looks at the state that these visits are for, so that it lies in the processor's cache when their turn comes. What
    /// is waited for is waited for together.
    fn fetch(&self, visits: &[Visit]) {
        let mut rows = [None; AHEAD];
        for (row, visit) in rows.iter_mut().zip(visits) {
            let table = &self.tables[usize::from(visit.kind)];
            *row = table.probable(visit.hash).map(|number| (table, number));
        }
        let mut seen = 0;
        for (table, number) in rows.iter().flatten() {
            seen ^= table.row(*number).map_or(0, |row| row.last.nanos());
        }
        for (table, number) in rows.iter().flatten() {
            for posted in table.row(*number).into_iter().flat_map(|row| &row.watches) {
                seen ^= i64::from(posted.watch.glance());
            }
        }
        let mut measured = 0.0;
        for (table, number) in rows.iter().flatten() {
            for posted in table.row(*number).into_iter().flat_map(|row| &row.watches) {
                measured += posted.watch.glance_aside();
            }
        }
        std::hint::black_box((seen, measured));
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one visit, each of its own type")]
    fn observe(
        &mut self,
        stamped: &Stamped,
        visit: &Visit,
        bytes: &[u8],
        hour_of_week: u8,
        loss: f64,
        program: &Program,
        version: &Version,
        findings: &mut Vec<Finding>,
    ) {
        let kind = &program.kinds[usize::from(visit.kind)];
        let bounds = Bounds {
            pair: kind.fields.len() > 1,
            entities_per_key_group_max: program.bounds.entities_per_key_group_max,
        };
        let table = &mut self.tables[usize::from(visit.kind)];
        let group = || group_of(bytes, program);
        let Found::Row(number) = table.visit(visit.hash, bytes, stamped.engine_time, &bounds, group) else {
            return;
        };
        let Some(row) = table.row_mut(number) else { return };
        row.last = row.last.max(stamped.engine_time);
        row.events = row.events.saturating_add(1);
        let group = usize::from(row.group).min(GROUPS - 1);
        let mut watches = std::mem::take(&mut row.watches).into_vec();
        let held = watches.len();
        let mut detectors = visit.detectors;
        while detectors != 0 {
            let detector_number = detectors.trailing_zeros() as usize;
            detectors &= detectors - 1;
            let detector = &program.detectors[detector_number];
            if row.events < detector.after_events {
                continue;
            }
            if let Watched::Vector(features) = &detector.watched {
                let look = Look {
                    event: &stamped.event,
                    networks: &program.networks,
                    hour_of_week,
                };
                look.write(features, &detector.among, &mut self.scratch, &mut self.glimpses);
            }
            let Some((value, amount)) = measured(&detector.watched, stamped, &program.networks, &mut self.scratch)
            else {
                continue;
            };
            for plan_number in detector.plans.clone() {
                let plan = &program.plans[usize::from(plan_number)];
                let sight = Sight {
                    event: &stamped.event,
                    now: stamped.engine_time,
                    input: stamped.input,
                    sequence: stamped.sequence,
                    value,
                    amount,
                    hit: visit.hits & (1 << detector_number) != 0,
                    glimpses: &self.glimpses,
                    entity: visit.hash.0,
                    hour_of_week,
                    loss,
                    bar: version.bars[detector_number],
                    version: version.number as u32,
                };
                let mut outcome = Outcome::default();
                let belief = &version.beliefs[usize::from(plan_number)][group];
                let place = watches.iter().position(|posted| posted.plan == plan_number);
                let place = place.unwrap_or_else(|| {
                    if watches.len() == watches.capacity() {
                        // A new entity has nearly always all of its watches from its first event.
                        watches.reserve_exact(if held == 0 {
                            plans_of(visit.detectors, program)
                        } else {
                            1
                        });
                    }
                    watches.push(Posted {
                        plan: plan_number,
                        settled: false,
                        watch: Watch::new(&detector.watched, plan, belief, stamped.event.time()),
                    });
                    watches.len() - 1
                });
                let watch = &mut watches[place].watch;
                let votes = &mut self.summary.votes[usize::from(plan_number)][group];
                let newcomer = self.newcomers.of(version.number, plan_number, group);
                watch.observe(&sight, plan, belief, votes, newcomer, &mut outcome);
                let silence = watch.silence_due(plan, belief, version.bars[detector_number]);
                self.judgements += outcome.judgements;
                take_up(&mut self.summary, plan_number, &outcome);
                let (kind, hash) = (visit.kind, row.hash);
                for (at, silence) in silence
                    .map(|at| (at, true))
                    .into_iter()
                    .chain(outcome.wake.map(|at| (at, false)))
                {
                    self.wakes.push(Reverse(Wake {
                        at,
                        kind,
                        hash,
                        plan: plan_number,
                        row: number,
                        silence,
                    }));
                }
                for raised in outcome.raised {
                    let entity = if row.shared {
                        Entity::from_bytes(bytes)
                    } else {
                        row.entity.clone()
                    };
                    let mut finding = finding(raised, plan, entity, row.shared, version);
                    finding.target = target(&stamped.event, plan);
                    finding.seen_text = seen_text(&detector.watched, stamped, &program.networks);
                    findings.push(finding);
                }
            }
        }
        let has_new = watches.len() > held;
        row.watches = watches.into_boxed_slice();
        if has_new {
            table.bear(number);
        }
    }

    /// Engine time has reached `to`: wakes what wanted to be woken until then. Silence past `silence_until` is not
    /// judged: collection itself may have paused there.
    pub fn advance(
        &mut self,
        to: Timestamp,
        silence_until: Timestamp,
        program: &Program,
        version: &Version,
        findings: &mut Vec<Finding>,
    ) {
        while let Some(Reverse(wake)) = self.wakes.peek().copied().filter(|Reverse(wake)| wake.at <= to) {
            self.wakes.pop();
            let plan = &program.plans[usize::from(wake.plan)];
            // Where the input ends, what was measured in a part of its window only does not compare with whole ones.
            let is_cut = silence_until == Timestamp::MIN && plan.is_of_whole_windows();
            if is_cut || wake.silence && wake.at > silence_until {
                continue;
            }
            let Some(row) = self.tables[usize::from(wake.kind)].row_mut(wake.row) else {
                continue;
            };
            if row.hash != wake.hash {
                continue;
            }
            let group = usize::from(row.group).min(GROUPS - 1);
            let belief = &version.beliefs[usize::from(wake.plan)][group];
            let bar = version.bars[usize::from(plan.detector)];
            let (shared, entity, last) = (row.shared, row.entity.clone(), row.last);
            let Some(Posted { watch, .. }) = row.watches.iter_mut().find(|posted| posted.plan == wake.plan) else {
                continue;
            };
            let raised = if wake.silence {
                watch
                    .fall_silent(wake.at, last, plan, belief, bar)
                    .map(|(raised, again)| {
                        if let Some(at) = again {
                            self.wakes.push(Reverse(Wake { at, ..wake }));
                        }
                        raised
                    })
            } else {
                watch.wake(wake.at, plan, belief, bar)
            };
            if let Some(raised) = raised {
                findings.push(finding(raised, plan, entity, shared, version));
            }
        }
    }

    /// Nothing was collected for a while: silence in between is nobody's. An entity is listened for again from its next
    /// event on.
    pub fn pass_over(&mut self) {
        self.wakes.retain(|Reverse(wake)| !wake.silence);
    }

    /// The epoch has ended: gives its summary, and forgets once a day who has not been seen for long.
    pub fn end_epoch(
        &mut self,
        now: Timestamp,
        program: &Program,
        version: &Version,
        blank: EpochSummary,
        findings: &mut Vec<Finding>,
    ) -> EpochSummary {
        self.settle_newborn(now, program, version, findings);
        let day = epoch_of(now).div_euclid(24);
        if day != self.swept_day {
            self.swept_day = day;
            let idle = Duration::from_nanos(program.half_life_max.nanos().saturating_mul(FORGOTTEN_HALF_LIVES));
            let before = now.minus(idle);
            for table in &mut self.tables {
                table.retain(|row| row.last >= before);
            }
        }
        std::mem::replace(&mut self.summary, blank)
    }

    /// Closes the first windows that are over.
    fn settle_newborn(&mut self, now: Timestamp, program: &Program, version: &Version, findings: &mut Vec<Finding>) {
        let (summary, judgements) = (&mut self.summary, &mut self.judgements);
        let newcomers = &mut self.newcomers;
        for table in &mut self.tables {
            table.see_to_newborn(|row| {
                let group = usize::from(row.group).min(GROUPS - 1);
                row.newborn = false;
                for posted in row.watches.iter_mut().filter(|posted| !posted.settled) {
                    let number = usize::from(posted.plan);
                    let plan = &program.plans[number];
                    let belief = &version.beliefs[number][group];
                    let votes = &mut summary.votes[number][group];
                    let moment = Moment {
                        now,
                        entity: row.hash.0,
                    };
                    let mut outcome = Outcome::default();
                    let newcomer = newcomers.of(version.number, posted.plan, group);
                    posted.settled = posted
                        .watch
                        .settle_first(moment, plan, belief, votes, newcomer, &mut outcome);
                    row.newborn |= !posted.settled;
                    *judgements += outcome.judgements;
                    take_up(summary, posted.plan, &outcome);
                    for raised in outcome.raised {
                        findings.push(finding(raised, plan, row.entity.clone(), row.shared, version));
                    }
                }
            });
        }
    }

    /// An address has passed to another machine: its baselines are not that machine's.
    fn forget_address(&mut self, address: IpAddr) {
        for table in &mut self.tables {
            table.retain(|row| !matches!(row.entity.values().first(), Some(EntityValue::Ip(held)) if *held == address));
        }
    }
}

/// What a detector measures of an event: the hash of the watched value and the watched number. Nothing when the event
/// does not have it.
fn measured(watched: &Watched, stamped: &Stamped, networks: &Networks, bytes: &mut Vec<u8>) -> Option<(u64, f64)> {
    let event = &stamped.event;
    match watched {
        Watched::Events | Watched::Hits | Watched::Hour | Watched::Vector(_) | Watched::Sequence => Some((0, 1.0)),
        Watched::Gap => {
            let destination = event
                .get(Field::DestinationIp)
                .map_or(0, |value| hash_value(value, bytes));
            Some((destination, 1.0))
        }
        Watched::Spread(slot) => {
            let slot = event.time().slot(*slot);
            Some((hash_value(Value::I64(slot), bytes), 1.0))
        }
        Watched::Sum(field) | Watched::Value(field) => Some((0, event.number(*field)?.max(0.0))),
        Watched::Distinct(fields) | Watched::Category(fields) => {
            let hash = match fields.as_slice() {
                [field] => hash_value(event.get(*field)?, bytes),
                fields => crate::domain::write_entity(event, fields, bytes)?.0,
            };
            Some((hash, 1.0))
        }
        Watched::DistinctBytes(field) => {
            let value = event.get(*field)?;
            let length = match value {
                Value::Str(text) => text.len() as f64,
                _ => 8.0,
            };
            Some((hash_value(value, bytes), length))
        }
        Watched::Network(field) => {
            let value = match networks.neighbourhood(event.ip(*field)?) {
                Neighbourhood::System(system) => Value::U64(system.number.into()),
                Neighbourhood::Prefix(network) => Value::Ip(network.first()),
            };
            Some((hash_value(value, bytes), 1.0))
        }
    }
}

/// The watched value as text, where it is one.
fn seen_text(watched: &Watched, stamped: &Stamped, networks: &Networks) -> Option<String> {
    let event = &stamped.event;
    match watched {
        Watched::Category(fields) => {
            let mut text = String::new();
            for field in fields {
                if !text.is_empty() {
                    text.push(' ');
                }
                match event.get(*field)? {
                    Value::Str(value) => text.push_str(&value[..value.floor_char_boundary(200)]),
                    Value::U64(number) => text.push_str(&number.to_string()),
                    Value::I64(number) => text.push_str(&number.to_string()),
                    Value::F64(number) => text.push_str(&number.to_string()),
                    Value::Ip(address) => text.push_str(&address.to_string()),
                    Value::Bool(yes) => text.push_str(if yes { "true" } else { "false" }),
                }
            }
            Some(text)
        }
        Watched::Network(field) => Some(networks.neighbourhood(event.ip(*field)?).to_string()),
        _ => None,
    }
}

fn group_of(bytes: &[u8], program: &Program) -> u8 {
    match Entity::from_bytes(bytes).values().first() {
        Some(EntityValue::Ip(address)) if !program.networks.is_internal(*address) => 1,
        _ => 0,
    }
}

/// How many watches these detectors have of an entity.
fn plans_of(mut detectors: u128, program: &Program) -> usize {
    let mut plans = 0;
    while detectors != 0 {
        plans += program.detectors[detectors.trailing_zeros() as usize].plans.len();
        detectors &= detectors - 1;
    }
    plans
}

/// Adds what one watch brought about to the epoch's summary.
fn take_up(summary: &mut EpochSummary, plan_number: u16, outcome: &Outcome) {
    summary.judgements[usize::from(plan_number)] += outcome.judgements;
    summary.entities[usize::from(plan_number)] += u64::from(outcome.vote);
}

fn finding(raised: Raised, plan: &Plan, entity: Entity, shared: bool, version: &Version) -> Finding {
    let p = 10f64.powf(-raised.surprise);
    Finding {
        at: raised.at,
        detector: plan.detector,
        entity,
        window: plan.window,
        window_start: raised.window_start,
        rung: raised.rung,
        p,
        surprise: raised.surprise,
        seen: raised.seen,
        seen_text: None,
        expected: raised.expected,
        normal_if: raised.normal_if,
        memory: raised.memory,
        target: None,
        context: raised.context,
        shared,
        regime_change: raised.regime_change,
        population: version.number,
        by_model: raised.by_model,
    }
}
