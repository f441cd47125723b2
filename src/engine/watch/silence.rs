//! The silence of an entity that is expected to speak: how strange it is after what is known of its habit, and when the
//! next rung of that will be reached. It is told once: what lasts stays one silence.

use super::growing::{Amount, Growing};
use super::habit::Habit;
use super::{Peers, Plan, Raised, rung_begin, step_begin, step_of};
use crate::domain::{Context, Expected, MemoryName, NormalIf, Timestamp};
use crate::engine::baseline::{Baseline, Judgement};
use crate::engine::calibration::{CalibrationVote, Class, INCIDENT_SURPRISE};
use std::f64::consts::LN_10;

/// Windows that a silent entity is followed for.
const SILENT_WINDOWS_MAX: i32 = 100_000;
/// A window that is over, as it is learned.
pub(super) struct Over {
    pub(super) slot: i32,
    pub(super) hour: u8,
    /// The share of packets that was lost around its events.
    pub(super) loss: u8,
    pub(super) total: f64,
}

/// Nothing more is said of this silence.
const SAID: u8 = u8::MAX;

impl<B: Baseline> Growing<B>
where
    B::Seen: Amount,
{
    /// The entity is heard in the open window for the first time.
    pub(super) fn hear(&mut self, plan: &Plan) {
        let (slot, hour) = (self.slot, self.hour);
        match &mut self.aside().habit {
            Some(habit) => habit.hear(slot, hour, plan),
            none => *none = Some(Box::new(Habit::new(slot, hour, plan))),
        }
    }

    /// When the entity's silence will have climbed its first rung, if it is expected to speak at all. Asked after each
    /// event; answers once a window.
    pub fn silence_due(&mut self, plan: &Plan, peers: &Peers<'_, B::Prior>, bar: f64) -> Option<Timestamp> {
        if self.listening {
            return None;
        }
        self.listening = true;
        self.silence_due_again(plan, peers, bar)
    }

    /// When the entity's silence will have climbed its next rung.
    pub fn silence_due_again(&self, plan: &Plan, peers: &Peers<'_, B::Prior>, bar: f64) -> Option<Timestamp> {
        let habit = self.habit().filter(|habit| habit.is_known())?;
        let wanted = step_begin(self.silence_rung.checked_add(1)?.into(), bar) + plan.windows_log10;
        let raw = peers.calibrations.of_entity(false).raw(wanted);
        let windows = habit.windows_until(raw, self.slot, SILENT_WINDOWS_MAX, plan)?;
        Some(plan.close(self.slot.saturating_add(windows.max(plan.at_least as i32))))
    }

    /// The entity, last heard at `last`, has been silent until `now`: says so if that has climbed a rung.
    pub fn fall_silent(
        &mut self,
        now: Timestamp,
        last: Timestamp,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        bar: f64,
    ) -> Option<Raised> {
        let to = plan.slot(now.minus(plan.lateness));
        let habit = self.habit().filter(|habit| habit.is_known())?;
        let hours = habit.expected_hours(self.slot.saturating_add(1), to, &habit.profile(plan), plan);
        let calibration = peers.calibrations.of_entity(false);
        let raw = habit.surprise(hours, plan);
        let told = (calibration.surprise(raw) - plan.windows_log10).clamp(0.0, Judgement::SURPRISE_MAX);
        let surprise = (told * 1e6).round() / 1e6;
        let rung = step_of(surprise, bar).min(u16::from(SAID) - 1) as u8;
        if rung <= self.silence_rung || surprise < rung_begin(1) {
            return None;
        }
        let windows = |hours: f64| hours * 3600.0 / plan.length.as_seconds();
        let usual = habit.silences(plan);
        let reached = calibration.raw(bar.max(rung_begin(1)) + plan.windows_log10);
        let normal = windows(habit.hours_until(reached, plan)).floor();
        let raised = Raised {
            at: now,
            window_start: plan.begin(self.slot),
            surprise,
            rung: rung.into(),
            seen: windows(hours),
            expected: Expected {
                typical: windows(usual.mean_hours),
                low: 0.0,
                high: windows(usual.longest_hours),
                mean: windows(usual.mean_hours),
                variance: windows(windows(usual.variance_hours)),
                z: (hours - usual.mean_hours) / usual.variance_hours.sqrt(),
                history_windows: usual.chances,
                prior_weight: usual.prior_weight,
            },
            normal_if: NormalIf::AtMost(normal.max(plan.at_least - 1.0)),
            memory: MemoryName::Slow,
            context: Context {
                start: last,
                end: last,
                ..Context::default()
            },
            regime_change: false,
            by_model: None,
        };
        self.silence_rung = if surprise >= bar { SAID } else { rung };
        Some(raised)
    }

    /// The vote of the run of empty windows that followed a window; a run of none is a run too.
    pub(super) fn silence_vote(
        &self,
        over: &Over,
        entity: u64,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
    ) -> Option<CalibrationVote> {
        let habit = self.habit().filter(|habit| habit.is_known())?;
        let (from, profile) = (over.slot.saturating_add(1), habit.profile(plan));
        let surprise = |to: i32| habit.surprise(habit.expected_hours(from, to, &profile, plan), plan);
        let at_least = surprise(self.slot.max(from));
        let longer = surprise(self.slot.max(from).saturating_add(1));
        let judgement = Judgement {
            ln_p: -at_least * LN_10,
            ln_p_beyond: -longer * LN_10,
            ..Judgement::CERTAIN
        };
        let told = peers.calibrations.of_entity(false).surprise(at_least) - plan.windows_log10;
        let uniform = plan.uniform(entity, over.slot);
        Some(CalibrationVote::new(
            &judgement,
            entity,
            Class::Known,
            told >= INCIDENT_SURPRISE,
            uniform,
        ))
    }

    fn habit(&self) -> Option<&Habit> {
        self.aside.as_ref()?.habit.as_deref()
    }
}
