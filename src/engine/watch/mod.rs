//! A watch: one detector's window length at work on one entity. It measures, judges and learns.
//!
//! Sketch: a watch is 96 bytes, whatever its kind; an entity has one for each window length of each detector that has seen
//! it, and all of an entity lie together. What few watches have at a time lies elsewhere: windows that still take late
//! events, notes of contributing events, more than two values. An event costs one addition and one comparison until what
//! was measured passes what is usual; only then is anything judged.

mod any;
mod category;
mod growing;
mod habit;
mod hours;
mod interval;
mod newcomer;
mod ratio;
mod sequence;
mod silence;
mod total;
mod vector;

pub use any::Watch;
pub use category::CategoryWatch;
pub use growing::{Amount, Growing};
pub use hours::HoursWatch;
pub use interval::IntervalWatch;
pub use newcomer::{Newcomer, Newcomers};
pub use ratio::RatioWatch;
pub use sequence::SequenceWatch;
pub use total::Kept;
pub use vector::VectorWatch;

use super::baseline::{self, Decay, Season, SeasonSummary};
use super::calibration::{Calibration, CalibrationSummary, Calibrations};
use super::population::EPOCH_SECONDS;
use super::vector::Glimpse;
use crate::domain::{
    ByModel, Context, Definition, Duration, Entity, Event, Expected, Feature, Field, Measure, MemoryName, NormalIf,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use total::Total;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The ladder of surprise: an open window gives at most one finding for each rung.
const RUNGS: [f64; 8] = [2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0];
/// Beyond the ladder's end, one rung for each so much more.
const RUNG_STEP: f64 = 8.0;

/// The number of the highest rung that a surprise reaches; 0 when it is below the first.
pub(super) fn rung_of(surprise: f64) -> u16 {
    let on_ladder = RUNGS.iter().filter(|rung| surprise >= **rung).count() as u16;
    let last = RUNGS[RUNGS.len() - 1];
    if surprise >= last {
        on_ladder + ((surprise - last) / RUNG_STEP) as u16
    } else {
        on_ladder
    }
}

/// The surprise at which a rung begins.
pub(super) fn rung_begin(rung: u16) -> f64 {
    let last = RUNGS[RUNGS.len() - 1];
    match usize::from(rung) {
        0 => 0.0,
        number if number <= RUNGS.len() => RUNGS[number - 1],
        number => last + RUNG_STEP * (number - RUNGS.len()) as f64,
    }
}

/// The number of the highest step that a surprise reaches: the rungs, and the bar from which a detector's alerts are told
/// as a step of its own, so that what passes the bar between two rungs is told.
pub(super) fn step_of(surprise: f64, bar: f64) -> u16 {
    rung_of(surprise) + u16::from(surprise >= bar)
}

/// The surprise at which a step begins.
pub(super) fn step_begin(step: u16, bar: f64) -> f64 {
    let below = rung_of(bar);
    match step {
        step if step <= below => rung_begin(step),
        step if step == below + 1 => bar,
        step => rung_begin(step - 1),
    }
}

/// What a watch needs to know of its detector, compiled once.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The detector's place in the catalog.
    pub detector: u16,
    /// The window's place among the detector's windows.
    pub window: u16,
    /// What its draws by lot begin with: the detector's name and the window's length, so that other detectors may come
    /// and go.
    seed: u64,
    /// The window's length.
    pub length: Duration,
    /// How long after its end a window takes late events.
    pub lateness: Duration,
    /// How fast its memories forget, by windows.
    pub decay: Decay,
    /// Which tail is strange.
    pub tail: baseline::Tail,
    /// No finding below this.
    pub at_least: f64,
    /// `log10` of how many windows watch the same measure: the price of asking more than once.
    pub windows_log10: f64,
    /// The window's length in weeks.
    pub window_weeks: f64,
    /// Whole windows in an epoch, at least one: votes on calibration and season are about one of them.
    pub windows_of_epoch: i32,
    /// Whether the hour of the week matters. A window of a day or more has all hours in it.
    pub seasonal: bool,
    /// Whether it looks for silence.
    pub absence: bool,
    /// Events closer together than this are one session.
    pub session_gap: Option<Duration>,
    /// Whom actors share.
    pub target: Vec<Field>,
    /// Fields that alerts name.
    pub related: Vec<Field>,
    /// Of a vector, its features.
    pub features: Vec<Feature>,
    /// Of a sequence, the fields that make a token.
    pub sequence: Vec<Field>,
}

impl Plan {
    /// The plan of one window of a definition.
    pub fn new(detector: u16, window: u16, definition: &Definition) -> Plan {
        let length = definition.windows[usize::from(window)];
        let mut related = vec![Field::SourceIp, Field::DestinationIp, Field::UserName, Field::HostName];
        related.extend(
            definition
                .fields
                .iter()
                .filter(|field| !related.contains(field))
                .copied()
                .collect::<Vec<_>>(),
        );
        Plan {
            detector,
            window,
            seed: xxh3_64_with_seed(definition.id.as_bytes(), length.nanos() as u64),
            length,
            lateness: definition.lateness,
            decay: Decay::new(definition.baseline.half_life, length),
            tail: match definition.tail {
                crate::domain::Tail::Upper => baseline::Tail::Upper,
                crate::domain::Tail::Lower => baseline::Tail::Lower,
                crate::domain::Tail::Both => baseline::Tail::Both,
            },
            at_least: definition.at_least,
            windows_log10: (definition.windows.len() as f64).log10(),
            window_weeks: length.as_seconds() / 604_800.0,
            windows_of_epoch: (Duration::from_seconds(EPOCH_SECONDS).nanos() / length.nanos().max(1)).clamp(1, 3600)
                as i32,
            seasonal: definition.baseline.season == crate::domain::Season::HourOfWeek
                && length < Duration::from_seconds(86_400),
            absence: definition.absence,
            session_gap: definition.session_gap,
            target: definition.target.clone(),
            related,
            features: match &definition.measure {
                Measure::Vector(features) => features.clone(),
                _ => Vec::new(),
            },
            sequence: match &definition.measure {
                Measure::Sequence(fields) => fields.clone(),
                _ => Vec::new(),
            },
        }
    }

    /// Whether windows are compared as wholes, so that one that was seen in part can't be judged.
    pub(super) fn is_of_whole_windows(&self) -> bool {
        !self.features.is_empty() || !self.sequence.is_empty()
    }

    /// The number of the window that holds a moment.
    pub(super) fn slot(&self, time: Timestamp) -> i32 {
        time.slot(self.length).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    }

    /// When a window begins.
    pub(super) fn begin(&self, slot: i32) -> Timestamp {
        Timestamp::from_nanos(i64::from(slot).saturating_mul(self.length.nanos()))
    }

    /// The run of [`Plan::windows_of_epoch`] windows that a window lies in: an epoch, or a window that is longer.
    pub(super) fn epoch_of_slot(&self, slot: i32) -> i32 {
        slot.div_euclid(self.windows_of_epoch)
    }

    /// The first window of such a run.
    pub(super) fn first_slot(&self, epoch: i32) -> i32 {
        epoch.saturating_mul(self.windows_of_epoch)
    }

    /// The window of such a run that an entity is asked about.
    pub(super) fn chosen_slot(&self, entity: u64, epoch: i32) -> i32 {
        let chosen = self.mixed(entity, epoch) % self.windows_of_epoch as u64;
        self.first_slot(epoch).saturating_add(chosen as i32)
    }

    /// A number in [0, 1) from a hash of detector, entity and window.
    pub(super) fn uniform(&self, entity: u64, slot: i32) -> f64 {
        (self.mixed(entity ^ 0x756e_6966_6f72_6d00, slot) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A hash of detector, window length, entity and a number (SplitMix64's finaliser).
    fn mixed(&self, entity: u64, number: i32) -> u64 {
        let mut mixed = entity
            ^ self
                .seed
                .wrapping_add(u64::from(number as u32))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether a window's entity may vote on calibration with it: it votes with the first in its epoch that is closed
    /// from the window on that a hash chooses, so that what happens on the hour has no more say than the rest.
    pub(super) fn may_draw(&self, entity: u64, slot: i32) -> bool {
        slot >= self.chosen_slot(entity, self.epoch_of_slot(slot))
    }

    /// Whether a window's entity votes on calibration with it. `drawn` tells whether it has, with a window of the same
    /// epoch.
    pub(super) fn draws(&self, drawn: &mut bool, entity: u64, slot: i32) -> bool {
        if *drawn || !self.may_draw(entity, slot) {
            return false;
        }
        *drawn = true;
        true
    }

    /// A window was closed, and `next` is the one that will be closed after it.
    pub(super) fn pass_on(&self, drawn: &mut bool, closed: i32, next: i32) {
        *drawn &= self.epoch_of_slot(closed) == self.epoch_of_slot(next);
    }

    /// The hour of the week of a window, from another window's.
    pub(super) fn hour_of(&self, slot: i32, other: i32, hour_of_other: u8) -> u8 {
        let hour = |slot: i32| self.begin(slot).seconds().div_euclid(3600);
        (i64::from(hour_of_other) + hour(slot) - hour(other)).rem_euclid(168) as u8
    }

    /// When a window takes no more events.
    pub(super) fn close(&self, slot: i32) -> Timestamp {
        self.begin(slot).plus(self.length).plus(self.lateness)
    }
}

/// What is believed of an entity's peers, for one kind of watch.
pub struct Peers<'a, P> {
    /// What an entity is like before it has history.
    pub prior: &'a P,
    /// How often a surprise comes.
    pub calibrations: &'a Calibrations,
    /// The shape of their week.
    pub season: &'a Season,
}

/// Where a watch votes on what does not depend on its kind.
pub struct Ballot<'a> {
    /// How often a surprise comes.
    pub calibration: &'a mut CalibrationSummary,
    /// The shape of the week.
    pub season: &'a mut SeasonSummary,
    /// How first windows were judged before.
    pub newcomer: Newcomer<'a>,
}

/// One event as a watch sees it.
pub struct Sight<'a> {
    /// The event.
    pub event: &'a Event,
    /// The engine time.
    pub now: Timestamp,
    /// The event's input, for evidence.
    pub input: u16,
    /// The event's number in its input, for evidence.
    pub sequence: u64,
    /// The hash of the watched value, or of the values' combination; 0 where none is watched.
    pub value: u64,
    /// The watched number: 1 for an event, a field's value, a text's length.
    pub amount: f64,
    /// Whether the event is a hit, for ratios.
    pub hit: bool,
    /// What each feature of a vector sees of the event.
    pub glimpses: &'a [Glimpse],
    /// The hash of the watch's entity.
    pub entity: u64,
    /// The hour of the week, 0 to 167, Monday's first hour first, in the site's time zone.
    pub hour_of_week: u8,
    /// The share of packets that was lost around the event, 0 to 1.
    pub loss: f64,
    /// The surprise from which this detector's alerts are told.
    pub bar: f64,
    /// The version of the population that judges, so that what is remembered of a judgement is not used after a change.
    pub version: u32,
}

impl Sight<'_> {
    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            entity: self.entity,
        }
    }
}

/// When a window is closed, and what that needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The engine time.
    pub now: Timestamp,
    /// The hash of the watch's entity.
    pub entity: u64,
}

/// What a watch has to say.
#[derive(Clone, Debug)]
pub struct Raised {
    /// When it became known.
    pub at: Timestamp,
    /// When the window began.
    pub window_start: Timestamp,
    /// `-log10 p` over all memories and windows of the measure.
    pub surprise: f64,
    /// The rung that was reached.
    pub rung: u16,
    /// What was seen.
    pub seen: f64,
    /// What was expected.
    pub expected: Expected,
    /// The smallest change that would have been normal.
    pub normal_if: NormalIf,
    /// The memory that was broken.
    pub memory: MemoryName,
    /// The contributing events.
    pub context: Context,
    /// Whether the history has agreed on a new level.
    pub regime_change: bool,
    /// What a model says of a vector.
    pub by_model: Option<ByModel>,
}

/// What one observation brought about.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What a person might be told.
    pub raised: Vec<Raised>,
    /// Whether the entity's vote of this epoch is due.
    pub vote: bool,
    /// How many judgements were made in closing, for the budget.
    pub judgements: u64,
    /// When the watch wants to be woken: a window closes that must be judged then.
    pub wake: Option<Timestamp>,
}

/// The surprise that is told of a judgement's logarithm: calibrated, after the price of several windows.
pub(super) fn told(ln_p: f64, calibration: &Calibration, plan: &Plan) -> f64 {
    let told = calibration.surprise(baseline::surprise_of(ln_p)) - plan.windows_log10;
    (told.max(0.0) * 1e6).round() / 1e6
}

pub(super) fn memory_name(memory: baseline::Memory) -> MemoryName {
    match memory {
        baseline::Memory::Fast => MemoryName::Fast,
        baseline::Memory::Slow => MemoryName::Slow,
        baseline::Memory::Prior => MemoryName::Prior,
    }
}

/// What people read of an expectation.
pub(super) fn expected(held: &baseline::Expected, seen: f64) -> Expected {
    Expected {
        typical: held.typical,
        low: held.low,
        high: held.high,
        mean: held.mean,
        variance: held.variance,
        z: held.z(seen),
        history_windows: held.history_windows,
        prior_weight: held.prior_weight,
    }
}

/// The contributing events of an open window, kept once the window is worth it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Notes(Option<Box<Context>>);

impl Notes {
    /// Adds an event.
    pub(super) fn add(&mut self, sight: &Sight<'_>, plan: &Plan, late: bool) {
        let event = sight.event;
        let start = event.start().unwrap_or(event.time()).min(event.time());
        let context = self.0.get_or_insert_with(|| {
            Box::new(Context {
                start,
                end: event.time(),
                dataset: event.str(Field::EventDataset).unwrap_or("").chars().take(64).collect(),
                ..Context::default()
            })
        });
        context.events += 1;
        context.late += u64::from(late);
        context.loss = context.loss.max(sight.loss);
        context.start = context.start.min(start);
        context.end = context.end.max(event.time());
        if context.evidence.len() < Context::EVIDENCE_MAX {
            context.evidence.push((sight.input, sight.sequence));
        }
        if context.related.len() < Context::RELATED_MAX {
            relate(context, event, plan);
        }
    }

    /// Counts an event that is not worth more.
    pub(super) fn count(&mut self, sight: &Sight<'_>, late: bool) {
        if let Some(context) = &mut self.0 {
            context.events += 1;
            context.late += u64::from(late);
            context.loss = context.loss.max(sight.loss);
            context.end = context.end.max(sight.event.time());
        }
    }

    /// What is known of the contributing events.
    pub(super) fn context(&self) -> Context {
        self.0.as_deref().cloned().unwrap_or_default()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Forgets them, for the next window.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

fn relate(context: &mut Context, event: &Event, plan: &Plan) {
    let mut bytes = Vec::new();
    for field in &plan.related {
        if let Some(value) = event.get(*field) {
            bytes.clear();
            crate::domain::write_value(value, &mut bytes);
            let number = *field as u16;
            if !context
                .related
                .iter()
                .any(|(held, entity)| *held == number && entity.bytes() == bytes.as_slice())
            {
                context.related.push((number, Entity::from_bytes(&bytes)));
            }
        }
    }
    context.related.truncate(Context::RELATED_MAX);
}

/// The target that an event names for a detector: the first of the detector's target fields that has a value.
pub(super) fn target(event: &Event, plan: &Plan) -> Option<(u16, Entity)> {
    let (field, value) = plan
        .target
        .iter()
        .find_map(|field| event.get(*field).map(|value| (*field, value)))?;
    let mut bytes = Vec::new();
    crate::domain::write_value(value, &mut bytes);
    Some((field as u16, Entity::from_bytes(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_the_rungs_that_the_design_names() {
        for (surprise, rung) in [
            (1.9, 0),
            (2.0, 1),
            (3.5, 2),
            (4.0, 3),
            (23.9, 7),
            (24.0, 8),
            (32.0, 9),
            (300.0, 42),
        ] {
            assert_eq!(rung_of(surprise), rung, "{surprise}");
            assert!(rung_begin(rung) <= surprise && surprise < rung_begin(rung + 1));
            for bar in [2.0, 2.5, 4.0, 7.1] {
                let step = step_of(surprise, bar);
                assert!(step_begin(step, bar) <= surprise && surprise < step_begin(step + 1, bar));
                assert_eq!(surprise >= bar, step_begin(step, bar) >= bar, "{surprise} {bar}");
            }
        }
    }
}
