//! Measures that can only grow within a window: counts, sums, distinct values, a field's greatest value. They are judged when the window closes
//! and, on the ladder of surprise, while it is still open.

use super::habit::Habit;
use super::silence::Over;
use super::{
    Ballot, Kept, Moment, Notes, Outcome, Peers, Plan, Raised, Sight, Total, expected, memory_name, rung_begin,
    step_begin, step_of,
};
use crate::domain::{Context, Duration, MemoryName, NormalIf, Timestamp};
use crate::engine::baseline::{self, Baseline, Judgement, Learned, Scale, SeasonVote, surprise_of};
use crate::engine::calibration::{Calibration, CalibrationVote, Class, INCIDENT_SURPRISE};
use crate::engine::loss::{made_good, packed};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_10;

/// A number that a baseline judges, out of what was measured.
pub trait Amount: Copy {
    /// Rounds what was measured to what the baseline judges.
    fn of(measured: f64) -> Self;
}

impl Amount for u64 {
    fn of(measured: f64) -> Self {
        measured.max(0.0).round() as u64
    }
}

impl Amount for f64 {
    fn of(measured: f64) -> Self {
        measured.max(0.0)
    }
}

/// The hour of a window in which nothing has been seen yet.
const HOUR_UNKNOWN: u8 = u8::MAX;
/// An entity's mean is known well enough to tell hours apart after so many days.
const SEASON_DAYS_MIN: f64 = 1.0;
const HOURS: i64 = 168;

/// From this surprise on, what goes on is judged by what was known before it began: by lasting, it does not become
/// usual before [`STRETCH_MAX`] has passed. Below, an entity that is still little known may just be learned.
const STRANGE: f64 = INCIDENT_SURPRISE;
/// Strange windows this far apart, or a window if that is longer, belong to one stretch.
const STRETCH_GAP: Duration = Duration::from_seconds(3600);
/// After so long, or so many windows if that is longer, a stretch is what the entity is like now.
const STRETCH_MAX: Duration = Duration::from_seconds(24 * 3600);
const STRETCH_WINDOWS_MAX: i64 = 6;

/// A window that is over but still takes late events.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Closing {
    slot: i32,
    hour: u8,
    loss: u8,
    total: Total,
}

/// What was known before a strange stretch of windows began, which judges it to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Before<B> {
    baseline: B,
    /// The stretch's first window, and its latest one that was strange.
    first: i32,
    last: i32,
}

impl<B> Before<B> {
    /// Whether the stretch is over when a window begins.
    fn is_over(&self, slot: i32, plan: &Plan) -> bool {
        let time = |from: i32| plan.begin(slot).since(plan.begin(from));
        let windows = |count: i64| Duration::from_nanos(plan.length.nanos().saturating_mul(count));
        time(self.last) > STRETCH_GAP.max(plan.length)
            || time(self.first) >= STRETCH_MAX.max(windows(STRETCH_WINDOWS_MAX))
    }
}

/// What few watches have at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Aside<B> {
    closing: Option<Closing>,
    before: Option<Before<B>>,
    notes: Notes,
    /// When the entity is usually heard, for detectors that look for silence.
    pub(super) habit: Option<Box<Habit>>,
    /// The greatest share of packets that was lost around the open window's events, as [`packed`].
    loss: u8,
}

impl<B> Default for Aside<B> {
    fn default() -> Self {
        Aside {
            closing: None,
            before: None,
            notes: Notes::default(),
            habit: None,
            loss: 0,
        }
    }
}

/// What is known of the total from which the next rung is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Next {
    Unknown,
    /// It is not below this.
    Bound,
    Exact,
}

/// The state of a growing measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Growing<B> {
    pub(super) baseline: B,
    total: Total,
    pub(super) aside: Option<Box<Aside<B>>>,
    /// From this total on the next rung is reached, as far as `known` says; valid for the population `version`.
    next: f64,
    pub(super) slot: i32,
    /// The epoch of the last vote; the smallest number while no window has closed yet.
    voted: i32,
    /// The version's last bits: no window is open for so many epochs that they come again.
    version: u16,
    known: Next,
    /// The step that the open window has reached.
    rung: u8,
    pub(super) silence_rung: u8,
    /// The hour of the week in which the open window began to be seen.
    pub(super) hour: u8,
    /// Whether the open window has already asked to be woken for silence.
    pub(super) listening: bool,
    /// Whether a window of the open one's epoch has voted on calibration.
    drawn: bool,
}

impl<B: Baseline> Growing<B>
where
    B::Seen: Amount,
{
    /// A watch whose first window holds `time`.
    pub fn new(kept: Kept, plan: &Plan, time: Timestamp) -> Self {
        Growing {
            baseline: B::default(),
            total: Total::new(kept),
            aside: None,
            next: 0.0,
            slot: plan.slot(time),
            voted: i32::MIN,
            version: 0,
            known: Next::Unknown,
            rung: 0,
            silence_rung: 0,
            hour: HOUR_UNKNOWN,
            listening: false,
            drawn: false,
        }
    }

    /// The number of the open window.
    pub fn slot(&self) -> i32 {
        self.slot
    }

    /// What was measured in the open window so far.
    pub fn total(&self) -> f64 {
        self.total.value()
    }

    /// The baseline behind it.
    pub fn baseline(&self) -> &B {
        &self.baseline
    }

    /// The total from which the next rung is reached is worked out again.
    pub fn reconsider(&mut self) {
        self.known = Next::Unknown;
    }

    /// Takes an event in.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let own_slot = plan.slot(sight.event.time());
        if own_slot > self.slot {
            self.roll(own_slot, sight.moment(), plan, peers, ballot, outcome);
        }
        if let Some(closing) = self.closing()
            && sight.now >= plan.close(closing.slot)
        {
            self.settle(sight.moment(), plan, peers, ballot, outcome);
        }
        let mut late = false;
        if own_slot < self.slot {
            let closing = self.aside.as_mut().and_then(|aside| aside.closing.as_mut());
            if let Some(closing) = closing.filter(|closing| closing.slot == own_slot) {
                closing.total.add(sight);
                return;
            }
            late = true;
        }
        if self.hour == HOUR_UNKNOWN {
            self.hour = sight.hour_of_week;
            if plan.absence {
                self.hear(plan);
            }
        }
        self.total.add(sight);
        if sight.loss > 0.0 {
            let aside = self.aside();
            aside.loss = aside.loss.max(packed(sight.loss));
        }
        let total = self.total.value();
        if total * 2.0 < plan.at_least {
            return;
        }
        if self.known == Next::Unknown || self.version != sight.version as u16 {
            self.version = sight.version as u16;
            self.known = Next::Bound;
            let scale = self.scale(self.hour, plan, peers);
            self.next = self.judge().surprising_from(peers.prior, scale).max(plan.at_least);
        }
        // What is far from being strange is not worth remembering.
        if total * 2.0 >= self.next {
            self.aside().notes.add(sight, plan, late);
        }
        if total >= plan.at_least && total >= self.next {
            self.judge_early(total, sight, plan, peers, outcome);
        }
    }

    /// What the season multiplies at an hour for this entity.
    pub(super) fn scale(&self, hour: u8, plan: &Plan, peers: &Peers<'_, B::Prior>) -> Scale {
        if !plan.seasonal || peers.season.is_flat() {
            return Scale::ONE;
        }
        peers.season.scale(hour, self.baseline.windows() * plan.window_weeks)
    }

    /// How totals of a window at this hour are judged.
    fn judging<'p>(&self, hour: u8, plan: &Plan, peers: &Peers<'p, B::Prior>) -> Judging<'p, B::Prior> {
        let scale = self.scale(hour, plan, peers);
        Judging {
            prior: peers.prior,
            calibration: peers.calibrations.of_entity(self.is_new()),
            scale,
            ln_active: self.judge().ln_active(peers.prior, scale),
            first: self.is_new(),
            windows_log10: plan.windows_log10,
        }
    }

    /// What judges: the baseline, or what it was before a strange stretch began.
    fn judge(&self) -> &B {
        let before = self.aside.as_ref().and_then(|aside| aside.before.as_ref());
        before.map_or(&self.baseline, |before| &before.baseline)
    }

    fn closing(&self) -> Option<&Closing> {
        self.aside.as_ref()?.closing.as_ref()
    }

    pub(super) fn aside(&mut self) -> &mut Aside<B> {
        self.aside.get_or_insert_default()
    }

    /// What is known of the open window's contributing events.
    pub(super) fn context(&self) -> Context {
        self.aside
            .as_ref()
            .map_or_else(Context::default, |aside| aside.notes.context())
    }

    /// Whether no window has closed yet. The entity is there because it was seen, so its first window is judged given
    /// that it is not empty.
    fn is_new(&self) -> bool {
        self.voted == i32::MIN
    }

    /// The open window is strange: begins a stretch, or goes on with it.
    fn stretch(&mut self) {
        let slot = self.slot;
        if let Some(before) = self.aside.as_mut().and_then(|aside| aside.before.as_mut()) {
            before.last = slot;
        } else {
            let baseline = self.baseline.clone();
            self.aside().before = Some(Before {
                baseline,
                first: slot,
                last: slot,
            });
        }
    }

    /// Judges the open window's total so far, which may have reached a rung.
    fn judge_early(
        &mut self,
        total: f64,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        outcome: &mut Outcome,
    ) {
        if plan.tail == baseline::Tail::Lower {
            return;
        }
        let judging = self.judging(self.hour, plan, peers);
        let (judgement, surprise) = self.judge_upper(total, &judging);
        let step = step_of(surprise, sight.bar) as u8;
        if step > self.rung {
            self.rung = step;
            if surprise >= STRANGE {
                self.stretch();
            }
            let raised = self.raise(total, surprise, &judgement, sight, plan, &judging);
            outcome.raised.push(raised);
        }
        if self.known != Next::Exact || step >= self.rung {
            let wanted = step_begin(u16::from(self.rung) + 1, sight.bar);
            self.next = self.beginning_of(wanted, total, &judging);
            self.known = Next::Exact;
        }
    }

    /// How strange it is that the window's total reaches `total`.
    fn judge_upper(&self, total: f64, judging: &Judging<'_, B::Prior>) -> (Judgement, f64) {
        let seen = B::Seen::of(total);
        let judgement = self
            .judge()
            .judge(judging.prior, judging.scale, seen, baseline::Tail::Upper);
        let surprise = judging.told(&judgement);
        (judgement, surprise)
    }

    /// The smallest total above `total` that is so surprising, by doubling and halving.
    fn beginning_of(&self, wanted: f64, total: f64, judging: &Judging<'_, B::Prior>) -> f64 {
        let reaches = |total: f64| self.judge_upper(total, judging).1 >= wanted;
        let whole = matches!(self.total, Total::Distinct(_)) || total.fract() == 0.0;
        let (mut below, mut step) = (total, total.max(1.0));
        while !reaches(below + step) {
            below += step;
            step *= 2.0;
            if below > 1e15 {
                return f64::MAX;
            }
        }
        let mut above = below + step;
        // Whole numbers are found exactly; others to a thousandth, which can only make a rung come a little later.
        let close =
            |below: f64, above: f64| above - below <= if whole { 1.0_f64.max(above * 1e-3) } else { above * 1e-3 };
        while !close(below, above) {
            let middle = if whole {
                ((below + above) / 2.0).floor()
            } else {
                (below + above) / 2.0
            };
            if middle <= below || middle >= above {
                break;
            }
            if reaches(middle) {
                above = middle
            } else {
                below = middle
            }
        }
        above
    }

    fn raise(
        &self,
        total: f64,
        surprise: f64,
        judgement: &Judgement,
        sight: &Sight<'_>,
        plan: &Plan,
        judging: &Judging<'_, B::Prior>,
    ) -> Raised {
        let (prior, scale) = (judging.prior, judging.scale);
        let bar = judging.raw(sight.bar.max(rung_begin(1)));
        let normal = self
            .judge()
            .normal_if(prior, scale, B::Seen::of(total), baseline::Tail::Upper, bar);
        let usual = match normal {
            Some(baseline::NormalIf::AtMost(most)) => most,
            _ => total,
        };
        Raised {
            at: sight.now,
            window_start: plan.begin(self.slot),
            surprise,
            rung: self.rung.into(),
            seen: total,
            expected: expected(&self.judge().expected(prior, scale), total),
            normal_if: NormalIf::AtMost(usual.max(plan.at_least - 1.0)),
            memory: memory_name(judgement.memory),
            context: self.context(),
            regime_change: false,
            by_model: None,
        }
    }

    /// Opens the window of `slot`; the one before goes on for late events or is settled at once.
    fn roll(
        &mut self,
        slot: i32,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        if self.closing().is_some() {
            self.settle(moment, plan, peers, ballot, outcome);
        }
        let over = Over {
            slot: self.slot,
            hour: self.hour,
            loss: self.aside.as_ref().map_or(0, |aside| aside.loss),
            total: self.total.value(),
        };
        self.slot = slot;
        self.hour = HOUR_UNKNOWN;
        if moment.now >= plan.close(over.slot) {
            self.total.clear();
            self.learn(&over, moment, plan, peers, ballot, outcome);
        } else {
            let fresh = self.total.fresh();
            let total = std::mem::replace(&mut self.total, fresh);
            self.aside().closing = Some(Closing {
                slot: over.slot,
                hour: over.hour,
                loss: over.loss,
                total,
            });
        }
        if let Some(aside) = &mut self.aside {
            aside.before.take_if(|before| before.is_over(slot, plan));
            aside.notes.clear();
            aside.loss = 0;
        }
        self.put_away();
        self.rung = 0;
        self.silence_rung = 0;
        self.listening = false;
        self.known = Next::Unknown;
    }

    /// Frees what is not needed.
    fn put_away(&mut self) {
        self.aside.take_if(|aside| {
            aside.before.is_none()
                && aside.closing.is_none()
                && aside.notes.is_empty()
                && aside.habit.is_none()
                && aside.loss == 0
        });
    }

    /// Learns the window that was left open for late events.
    fn settle(
        &mut self,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        if let Some(closing) = self.aside.as_mut().and_then(|aside| aside.closing.take()) {
            let over = Over {
                slot: closing.slot,
                hour: closing.hour,
                loss: closing.loss,
                total: closing.total.value(),
            };
            self.learn(&over, moment, plan, peers, ballot, outcome);
            self.put_away();
        }
    }

    /// Learns a window that is over, and accounts for the empty windows between it and the open one.
    fn learn(
        &mut self,
        over: &Over,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        // What was lost is learned as if it had been seen, so that a whole capture is no news after it.
        let seen = B::Seen::of(made_good(over.total, over.loss));
        outcome.judgements += 1;
        self.vote(over, moment, plan, peers, ballot);
        let epoch = (moment.now.seconds() / 3600) as i32;
        if epoch != self.voted {
            self.voted = epoch;
            outcome.vote = true;
        }
        let scale = self.scale(over.hour, plan, peers);
        let learned = if over.hour == HOUR_UNKNOWN {
            // The window saw no event at all, which is not a value of 0.
            self.baseline.age(1, &plan.decay);
            Learned::Usual
        } else {
            self.baseline.learn(peers.prior, scale, seen, &plan.decay)
        };
        if learned == Learned::RegimeChange {
            outcome.raised.push(Raised {
                at: moment.now,
                window_start: plan.begin(over.slot),
                surprise: rung_begin(1),
                rung: 1,
                seen: over.total,
                expected: expected(&self.baseline.expected(peers.prior, scale), over.total),
                normal_if: NormalIf::AtMost(over.total),
                memory: MemoryName::Slow,
                context: self.context(),
                regime_change: true,
                by_model: None,
            });
        }
        let empty = i64::from(self.slot) - i64::from(over.slot) - 1;
        if let Ok(empty @ 1..) = u64::try_from(empty) {
            self.baseline.age(empty, &plan.decay);
            // A prediction covers empty windows too: each was a chance to be wrong.
            outcome.judgements += empty;
        }
        self.known = Next::Unknown;
    }

    /// What the window that is over says of calibration and season, before it is learned.
    fn vote(&mut self, over: &Over, moment: Moment, plan: &Plan, peers: &Peers<'_, B::Prior>, ballot: &mut Ballot<'_>) {
        if over.total > 0.0 && (self.is_new() || plan.draws(&mut self.drawn, moment.entity, over.slot)) {
            let vote = if plan.absence {
                self.silence_vote(over, moment.entity, plan, peers)
            } else {
                let judging = self.judging(over.hour, plan, peers);
                let judge = || self.judge_upper(over.total, &judging).0;
                let judgement = if self.is_new() {
                    ballot.newcomer.judge(over.total, judging.scale, judge)
                } else {
                    judge()
                };
                let surprise = judging.told(&judgement);
                let among = given(judgement, judging.ln_active);
                let incident = surprise >= INCIDENT_SURPRISE;
                let uniform = plan.uniform(moment.entity, over.slot);
                Some(CalibrationVote::new(
                    &among,
                    moment.entity,
                    Class::of(self.is_new()),
                    incident,
                    uniform,
                ))
            };
            if let Some(vote) = vote {
                ballot.calibration.vote(vote);
            }
        }
        plan.pass_on(&mut self.drawn, over.slot, self.slot);
        let days = self.baseline.windows() * plan.window_weeks * 7.0;
        if plan.seasonal && days >= SEASON_DAYS_MIN && over.hour != HOUR_UNKNOWN {
            self.season_votes(over, moment.entity, plan, peers, ballot);
        }
    }

    /// One vote for each hour from the window that is over to the open one, about a window of the hour that a hash
    /// chooses. Hours of which another window is closed later are left to that one.
    fn season_votes(
        &self,
        over: &Over,
        entity: u64,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        ballot: &mut Ballot<'_>,
    ) {
        let first = plan.epoch_of_slot(over.slot);
        let last = plan
            .epoch_of_slot(self.slot.saturating_sub(1))
            .min(first.saturating_add(HOURS as i32));
        for epoch in first..=last {
            let chosen = plan.chosen_slot(entity, epoch);
            if chosen < over.slot || chosen >= self.slot {
                continue;
            }
            let total = if chosen == over.slot { over.total } else { 0.0 };
            if let Some((share, level)) = self.baseline.season_vote(peers.prior, B::Seen::of(total)) {
                ballot.season.vote(SeasonVote {
                    hour: plan.hour_of(chosen, over.slot, over.hour),
                    share,
                    level,
                });
            }
        }
    }

    /// Closes a first window that is over, so that an entity that never comes back has its say in what is usual. Gives
    /// whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if !self.is_new() {
            return true;
        }
        if moment.now < plan.close(self.slot) {
            return false;
        }
        let open = plan
            .slot(moment.now.minus(plan.lateness))
            .max(self.slot.saturating_add(1));
        self.roll(open, moment, plan, peers, ballot, outcome);
        true
    }
}

/// How the totals of one window are judged: what is believed, and what a raw surprise is worth.
struct Judging<'p, P> {
    prior: &'p P,
    calibration: &'p Calibration,
    scale: Scale,
    /// The logarithm of the probability that a window has anything in it.
    ln_active: f64,
    /// The entity is there because it was seen, so its first window is judged given that it is not empty.
    first: bool,
    windows_log10: f64,
}

impl<P> Judging<'_, P> {
    /// That there is anything at all, as surprise.
    fn active(&self) -> f64 {
        -self.ln_active / LN_10
    }

    /// The surprise that is told: what is strange among active windows is calibrated, that the window is active at all
    /// is counted by the baseline itself, and several windows have their price.
    fn told(&self, judgement: &Judgement) -> f64 {
        let among = surprise_of(judgement.ln_p - self.ln_active);
        let active = if self.first { 0.0 } else { self.active() };
        let told = (self.calibration.surprise(among) + active - self.windows_log10).clamp(0.0, Judgement::SURPRISE_MAX);
        (told * 1e6).round() / 1e6
    }

    /// The raw surprise of a judgement from which so much is told.
    fn raw(&self, told: f64) -> f64 {
        let active = if self.first { 0.0 } else { self.active() };
        self.calibration.raw(told + self.windows_log10 - active) + self.active()
    }
}

/// A judgement given something that had this logarithm of a probability.
fn given(judgement: Judgement, ln_condition: f64) -> Judgement {
    Judgement {
        ln_p: (judgement.ln_p - ln_condition).min(0.0),
        ln_p_beyond: (judgement.ln_p_beyond - ln_condition).min(0.0),
        ..judgement
    }
}
