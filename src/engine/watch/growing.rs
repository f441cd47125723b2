//! Measures that can only grow within a window: counts, sums, distinct values, a field's greatest value. They are judged when the window closes
//! and, on the ladder of surprise, while it is still open.

use super::{Moment, Notes, Outcome, Plan, Raised, Sight, expected, memory_name, rung_begin, rung_of, surprise};
use crate::domain::{Duration, MemoryName, NormalIf, Timestamp};
use crate::engine::baseline::{self, Baseline, Learned};
use crate::engine::measure::Distinct;
use serde::{Deserialize, Serialize};

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

/// Windows that a silent entity is followed for, and rungs that its silence may climb.
const SILENT_WINDOWS_MAX: f64 = 100_000.0;
/// An entity is expected to speak only after so many windows of history.
const SILENCE_HISTORY_MIN: f64 = 12.0;

/// What was measured in an open window.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Total {
    Number(f64),
    Distinct(Box<Distinct>),
    Weight(Box<Distinct>),
    Greatest(f64),
}

impl Total {
    fn value(&self) -> f64 {
        match self {
            Total::Number(number) | Total::Greatest(number) => *number,
            Total::Distinct(distinct) => distinct.count(),
            Total::Weight(distinct) => distinct.weight(),
        }
    }

    /// Begins anew.
    fn clear(&mut self) {
        match self {
            Total::Number(number) | Total::Greatest(number) => *number = 0.0,
            Total::Distinct(distinct) | Total::Weight(distinct) => distinct.clear(),
        }
    }

    /// An empty total of the same kind.
    fn fresh(&self) -> Total {
        match self {
            Total::Number(_) => Total::Number(0.0),
            Total::Greatest(_) => Total::Greatest(0.0),
            Total::Distinct(_) => Total::Distinct(Box::default()),
            Total::Weight(_) => Total::Weight(Box::default()),
        }
    }

    fn add(&mut self, sight: &Sight<'_>) {
        match self {
            Total::Number(number) => *number += sight.amount,
            Total::Greatest(number) => *number = number.max(sight.amount),
            Total::Distinct(distinct) | Total::Weight(distinct) => {
                distinct.insert(sight.value, sight.amount);
            }
        }
    }
}

/// How a growing measure is kept in an open window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// As a number: counts and sums.
    Number,
    /// As the number of distinct values.
    Distinct,
    /// As the summed weight of distinct values.
    Weight,
    /// As the greatest value.
    Greatest,
}

/// From this surprise on, what goes on is judged by what was known before it began: by lasting, it does not become
/// usual before [`STRETCH_MAX`] has passed. Below, an entity that is still little known may just be learned.
const STRANGE: f64 = 4.0;
/// Strange windows this far apart, or a window if that is longer, belong to one stretch.
const STRETCH_GAP: Duration = Duration::from_seconds(3600);
/// After so long, or so many windows if that is longer, a stretch is what the entity is like now.
const STRETCH_MAX: Duration = Duration::from_seconds(24 * 3600);
const STRETCH_WINDOWS_MAX: i64 = 6;

/// A window that is over but still takes late events.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Closing {
    slot: i32,
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
struct Aside<B> {
    closing: Option<Closing>,
    before: Option<Before<B>>,
}

/// The state of a growing measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Growing<B> {
    baseline: B,
    total: Total,
    aside: Option<Box<Aside<B>>>,
    notes: Notes,
    /// From this total on the next rung is reached; valid for the population `version`.
    next: f64,
    version: u32,
    slot: i32,
    /// The epoch of the last vote.
    voted: i32,
    rung: u16,
    silence_rung: u16,
    late: u16,
    /// Whether no window has closed yet. The entity is there because it was seen, so its first window is judged given
    /// that it is not empty.
    first: bool,
    /// Whether the open window has already asked to be woken for silence.
    listening: bool,
    /// Whether `next` is the exact beginning of a rung and not just a bound below it.
    exact: bool,
}

impl<B: Baseline> Growing<B>
where
    B::Seen: Amount,
{
    /// A watch whose first window holds `time`.
    pub fn new(kept: Kept, plan: &Plan, time: Timestamp) -> Self {
        Growing {
            baseline: B::default(),
            total: empty(kept),
            aside: None,
            notes: Notes::default(),
            next: 0.0,
            version: u32::MAX,
            slot: plan.slot(time),
            voted: i32::MIN,
            rung: 0,
            silence_rung: 0,
            first: true,
            listening: false,
            late: 0,
            exact: false,
        }
    }

    /// The baseline behind it.
    pub fn baseline(&self) -> &B {
        &self.baseline
    }

    /// Takes an event in.
    pub fn observe(&mut self, sight: &Sight<'_>, plan: &Plan, prior: &B::Prior, outcome: &mut Outcome) {
        let now_slot = plan.slot(sight.event.time().max(self.begin_of_open(plan)));
        if now_slot > self.slot {
            self.roll(now_slot, sight.moment(), plan, prior, outcome);
        }
        if let Some(closing) = self.closing()
            && sight.now >= plan.close(closing.slot)
        {
            self.settle(sight.moment(), plan, prior, outcome);
        }
        let own_slot = plan.slot(sight.event.time());
        let mut late = false;
        if own_slot < self.slot {
            let closing = self.aside.as_mut().and_then(|aside| aside.closing.as_mut());
            if let Some(closing) = closing.filter(|closing| closing.slot == own_slot) {
                closing.total.add(sight);
                return;
            }
            late = true;
            self.late = self.late.saturating_add(1);
        }
        self.total.add(sight);
        let total = self.total.value();
        if total * 2.0 < plan.at_least {
            return;
        }
        if self.version != sight.version {
            self.version = sight.version;
            self.exact = false;
            self.next = self.judging().surprising_from(prior, sight.scale).max(plan.at_least);
        }
        // What is far from being strange is not worth remembering.
        if total * 2.0 >= self.next {
            self.notes.add(sight, plan, late);
        }
        if total >= plan.at_least {
            self.judge_early(total, sight, plan, prior, outcome);
        }
    }

    /// What judges: the baseline, or what it was before a strange stretch began.
    fn judging(&self) -> &B {
        let before = self.aside.as_ref().and_then(|aside| aside.before.as_ref());
        before.map_or(&self.baseline, |before| &before.baseline)
    }

    fn closing(&self) -> Option<&Closing> {
        self.aside.as_ref()?.closing.as_ref()
    }

    fn aside(&mut self) -> &mut Aside<B> {
        self.aside.get_or_insert_with(|| {
            Box::new(Aside {
                closing: None,
                before: None,
            })
        })
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

    fn begin_of_open(&self, plan: &Plan) -> Timestamp {
        plan.begin(self.slot)
    }

    /// Judges the open window's total so far, if it may have reached a rung.
    fn judge_early(&mut self, total: f64, sight: &Sight<'_>, plan: &Plan, prior: &B::Prior, outcome: &mut Outcome) {
        if plan.tail == baseline::Tail::Lower {
            return;
        }
        if total < self.next {
            return;
        }
        let (judgement, surprise) = self.judge_upper(total, sight.scale, plan, prior);
        let rung = rung_of(surprise);
        if rung > self.rung {
            self.rung = rung;
            if surprise >= STRANGE {
                self.stretch();
            }
            let raised = self.raise(total, surprise, &judgement, sight, plan, prior);
            outcome.raised.push(raised);
        }
        if !self.exact || rung >= self.rung {
            self.next = self.beginning_of(self.rung + 1, total, sight.scale, plan, prior);
            self.exact = true;
        }
    }

    /// How strange it is that the window's total reaches `total`.
    fn judge_upper(&self, total: f64, scale: f64, plan: &Plan, prior: &B::Prior) -> (baseline::Judgement, f64) {
        let mut judgement = self
            .judging()
            .judge(prior, scale, B::Seen::of(total), baseline::Tail::Upper);
        if self.first {
            judgement = given(judgement, self.not_empty(prior, scale));
        }
        let surprise = surprise(&judgement, plan);
        (judgement, surprise)
    }

    /// The logarithm of the probability that a window is not empty.
    fn not_empty(&self, prior: &B::Prior, scale: f64) -> f64 {
        self.judging()
            .judge(prior, scale, B::Seen::of(1.0), baseline::Tail::Upper)
            .ln_p
    }

    /// The smallest total above `total` that reaches a rung, by doubling and halving.
    fn beginning_of(&self, rung: u16, total: f64, scale: f64, plan: &Plan, prior: &B::Prior) -> f64 {
        let wanted = rung_begin(rung);
        let reaches = |total: f64| self.judge_upper(total, scale, plan, prior).1 >= wanted;
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
        judgement: &baseline::Judgement,
        sight: &Sight<'_>,
        plan: &Plan,
        prior: &B::Prior,
    ) -> Raised {
        let empty = if self.first {
            self.not_empty(prior, sight.scale) / std::f64::consts::LN_10
        } else {
            0.0
        };
        let bar = sight.bar.max(rung_begin(1)) + plan.windows_log10 - empty;
        let judging = self.judging();
        let normal = judging.normal_if(prior, sight.scale, B::Seen::of(total), baseline::Tail::Upper, bar);
        let usual = match normal {
            Some(baseline::NormalIf::AtMost(most)) => most,
            _ => total,
        };
        Raised {
            at: sight.now,
            window_start: plan.begin(self.slot),
            surprise,
            rung: self.rung,
            seen: total,
            expected: expected(&judging.expected(prior, sight.scale), total),
            normal_if: NormalIf::AtMost(usual.max(plan.at_least - 1.0)),
            memory: memory_name(judgement.memory),
            context: self.notes.context(),
            regime_change: false,
        }
    }

    /// Opens the window of `slot`; the one before goes on for late events or is settled at once.
    fn roll(&mut self, slot: i32, moment: Moment, plan: &Plan, prior: &B::Prior, outcome: &mut Outcome) {
        if self.closing().is_some() {
            self.settle(moment, plan, prior, outcome);
        }
        let over = self.slot;
        self.slot = slot;
        if moment.now >= plan.close(over) {
            let seen = self.total.value();
            self.total.clear();
            self.learn(over, seen, moment, plan, prior, outcome);
        } else {
            let fresh = self.total.fresh();
            let total = std::mem::replace(&mut self.total, fresh);
            self.aside().closing = Some(Closing { slot: over, total });
        }
        self.put_away(plan);
        self.notes.clear();
        self.rung = 0;
        self.silence_rung = 0;
        self.listening = false;
        self.late = 0;
        self.version = u32::MAX;
    }

    /// Forgets what was known before a stretch that is over, and frees what is not needed.
    fn put_away(&mut self, plan: &Plan) {
        let slot = self.slot;
        let Some(aside) = &mut self.aside else { return };
        aside.before.take_if(|before| before.is_over(slot, plan));
        if aside.before.is_none() && aside.closing.is_none() {
            self.aside = None;
        }
    }

    /// Learns the window that was left open for late events.
    fn settle(&mut self, moment: Moment, plan: &Plan, prior: &B::Prior, outcome: &mut Outcome) {
        if let Some(closing) = self.aside.as_mut().and_then(|aside| aside.closing.take()) {
            self.learn(closing.slot, closing.total.value(), moment, plan, prior, outcome);
        }
    }

    /// Learns a window that is over, and accounts for the empty windows between it and the open one.
    fn learn(&mut self, over: i32, total: f64, moment: Moment, plan: &Plan, prior: &B::Prior, outcome: &mut Outcome) {
        let seen = B::Seen::of(total);
        outcome.judgements += 1;
        let epoch = (moment.now.seconds() / 3600) as i32;
        if epoch != self.voted {
            self.voted = epoch;
            outcome.vote = true;
        }
        let learned = self.baseline.learn(prior, moment.scale, seen, &plan.decay);
        if learned == Learned::RegimeChange {
            outcome.raised.push(Raised {
                at: moment.now,
                window_start: plan.begin(over),
                surprise: rung_begin(1),
                rung: 1,
                seen: total,
                expected: expected(&self.baseline.expected(prior, moment.scale), total),
                normal_if: NormalIf::AtMost(total),
                memory: MemoryName::Slow,
                context: self.notes.context(),
                regime_change: true,
            });
        }
        let empty = i64::from(self.slot) - i64::from(over) - 1;
        if let Ok(empty @ 1..) = u64::try_from(empty) {
            self.baseline.age(empty, &plan.decay);
            // A prediction covers empty windows too: each was a chance to be wrong.
            outcome.judgements += empty;
        }
        self.first = false;
        self.version = u32::MAX;
    }

    /// Closes a first window that is over, so that an entity that never comes back has its say in what is usual. Gives
    /// whether nothing is left to do.
    pub fn settle_first(&mut self, moment: Moment, plan: &Plan, prior: &B::Prior, outcome: &mut Outcome) -> bool {
        if self.voted != i32::MIN {
            return true;
        }
        if moment.now < plan.close(self.slot) {
            return false;
        }
        let open = plan
            .slot(moment.now.minus(plan.lateness))
            .max(self.slot.saturating_add(1));
        self.roll(open, moment, plan, prior, outcome);
        true
    }

    /// When the entity's silence will have climbed its first rung, if it is expected to speak at all. Asked after each
    /// event; answers once a window.
    pub fn silence_due(&mut self, plan: &Plan, prior: &B::Prior, scale: f64) -> Option<Timestamp> {
        if self.listening {
            return None;
        }
        self.listening = true;
        self.silence_due_again(plan, prior, scale)
    }

    /// When the entity's silence will have climbed its next rung.
    pub fn silence_due_again(&self, plan: &Plan, prior: &B::Prior, scale: f64) -> Option<Timestamp> {
        let expected = self.baseline.expected(prior, scale);
        if expected.history_windows < SILENCE_HISTORY_MIN {
            return None;
        }
        let each = self
            .baseline
            .judge(prior, scale, B::Seen::of(0.0), baseline::Tail::Lower)
            .surprise();
        if each <= 0.0 {
            return None;
        }
        let wanted = rung_begin(self.silence_rung + 1) + plan.windows_log10;
        let windows = (wanted / each).ceil().max(plan.at_least);
        if windows > SILENT_WINDOWS_MAX {
            return None;
        }
        Some(plan.close(self.slot.saturating_add(windows as i32)))
    }

    /// The entity has been silent until `now`: says so if that has climbed a rung.
    pub fn fall_silent(
        &mut self,
        now: Timestamp,
        plan: &Plan,
        prior: &B::Prior,
        scale: f64,
        bar: f64,
    ) -> Option<Raised> {
        let windows = i64::from(plan.slot(now.minus(plan.lateness))) - i64::from(self.slot) - 1;
        if windows < 1 {
            return None;
        }
        let empty = self
            .baseline
            .judge(prior, scale, B::Seen::of(0.0), baseline::Tail::Lower);
        let each = empty.surprise();
        let surprise = ((each * windows as f64 - plan.windows_log10).clamp(0.0, 300.0) * 1e6).round() / 1e6;
        let rung = rung_of(surprise);
        if rung <= self.silence_rung {
            return None;
        }
        self.silence_rung = rung;
        let usual = ((bar + plan.windows_log10) / each).ceil() - 1.0;
        Some(Raised {
            at: now,
            window_start: plan.begin(self.slot),
            surprise,
            rung,
            seen: windows as f64,
            expected: expected(&self.baseline.expected(prior, scale), 0.0),
            normal_if: NormalIf::AtMost(usual.max(plan.at_least - 1.0)),
            memory: memory_name(empty.memory),
            context: self.notes.context(),
            regime_change: false,
        })
    }
}

/// A judgement given something that had this logarithm of a probability.
fn given(judgement: baseline::Judgement, ln_condition: f64) -> baseline::Judgement {
    baseline::Judgement {
        ln_p: (judgement.ln_p - ln_condition).min(0.0),
        ln_p_beyond: (judgement.ln_p_beyond - ln_condition).min(0.0),
        ..judgement
    }
}

fn empty(kept: Kept) -> Total {
    match kept {
        Kept::Number => Total::Number(0.0),
        Kept::Distinct => Total::Distinct(Box::default()),
        Kept::Weight => Total::Weight(Box::default()),
        Kept::Greatest => Total::Greatest(0.0),
    }
}
