//! The silence of an entity that is expected to speak: how strange a run of empty windows is, and when the next rung of
//! that will be reached. Windows of different hours are empty with different probability.

use super::growing::{Amount, Growing, Over};
use super::{Peers, Plan, Raised, expected, memory_name, rung_begin, rung_of};
use crate::domain::{NormalIf, Timestamp};
use crate::engine::baseline::{Baseline, Judgement, Tail};
use crate::engine::calibration::{CalibrationVote, INCIDENT_SURPRISE};
use std::f64::consts::LN_10;

/// Windows that a silent entity is followed for.
const SILENT_WINDOWS_MAX: f64 = 100_000.0;
/// An entity is expected to speak only after so many windows of history.
const HISTORY_WINDOWS_MIN: f64 = 12.0;
const WEEK_HOURS: i32 = 168;

/// A run of empty windows in one hour, or in all hours where these are alike.
struct Run {
    windows: f64,
    /// The surprise of each.
    each: f64,
}

impl<B: Baseline> Growing<B>
where
    B::Seen: Amount,
{
    /// When the entity's silence will have climbed its first rung, if it is expected to speak at all. Asked after each
    /// event; answers once a window.
    pub fn silence_due(&mut self, plan: &Plan, peers: &Peers<'_, B::Prior>) -> Option<Timestamp> {
        if self.listening {
            return None;
        }
        self.listening = true;
        self.silence_due_again(plan, peers)
    }

    /// When the entity's silence will have climbed its next rung.
    pub fn silence_due_again(&self, plan: &Plan, peers: &Peers<'_, B::Prior>) -> Option<Timestamp> {
        if self.baseline.windows() < HISTORY_WINDOWS_MIN {
            return None;
        }
        let wanted = rung_begin(u16::from(self.silence_rung) + 1) + plan.windows_log10;
        let raw = peers.calibrations.of_entity(false).raw(wanted);
        let windows = self.windows_until(raw, plan, peers)?.max(plan.at_least);
        Some(plan.close(self.slot.saturating_add(windows as i32)))
    }

    /// The entity has been silent until `now`: says so if that has climbed a rung.
    pub fn fall_silent(
        &mut self,
        now: Timestamp,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
        bar: f64,
    ) -> Option<Raised> {
        let windows = i64::from(plan.slot(now.minus(plan.lateness))) - i64::from(self.slot) - 1;
        if windows < 1 {
            return None;
        }
        let calibration = peers.calibrations.of_entity(false);
        let raw = self.surprise_of_silence(windows as f64, self.slot, self.hour, plan, peers);
        let told = (calibration.surprise(raw) - plan.windows_log10).clamp(0.0, Judgement::SURPRISE_MAX);
        let surprise = (told * 1e6).round() / 1e6;
        let rung = rung_of(surprise);
        if rung <= self.silence_rung.into() {
            return None;
        }
        self.silence_rung = rung as u8;
        let reached = self.windows_until(calibration.raw(bar + plan.windows_log10), plan, peers);
        let usual = reached.map_or(windows as f64, |windows| windows - 1.0);
        let scale = self.scale(self.hour, plan, peers);
        let empty = self.baseline.judge(peers.prior, scale, B::Seen::of(0.0), Tail::Lower);
        Some(Raised {
            at: now,
            window_start: plan.begin(self.slot),
            surprise,
            rung,
            seen: windows as f64,
            expected: expected(&self.baseline.expected(peers.prior, scale), 0.0),
            normal_if: NormalIf::AtMost(usual.max(plan.at_least - 1.0)),
            memory: memory_name(empty.memory),
            context: self.context(),
            regime_change: false,
        })
    }

    /// The vote of the run of empty windows that followed a window; a run of none is a run too.
    pub(super) fn silence_vote(
        &self,
        over: &Over,
        entity: u64,
        plan: &Plan,
        peers: &Peers<'_, B::Prior>,
    ) -> Option<CalibrationVote> {
        if self.baseline.windows() < HISTORY_WINDOWS_MIN {
            return None;
        }
        let windows = f64::from(self.slot.saturating_sub(over.slot).saturating_sub(1).max(0));
        let at_least = self.surprise_of_silence(windows, over.slot, over.hour, plan, peers);
        let longer = self.surprise_of_silence(windows + 1.0, over.slot, over.hour, plan, peers);
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
            false,
            told >= INCIDENT_SURPRISE,
            uniform,
        ))
    }

    /// How strange so many empty windows after a window are.
    fn surprise_of_silence(&self, windows: f64, slot: i32, hour: u8, plan: &Plan, peers: &Peers<'_, B::Prior>) -> f64 {
        if !plan.seasonal || peers.season.is_flat() {
            return windows * self.quiet(hour, plan, peers);
        }
        let week = f64::from(WEEK_HOURS * plan.windows_of_epoch);
        let (weeks, mut left) = ((windows / week).floor(), windows % week);
        let mut surprise = 0.0;
        if weeks > 0.0 {
            let runs = self.runs(slot, hour, plan, peers);
            surprise = weeks * runs.map(|run| run.windows * run.each).sum::<f64>();
        }
        for run in self.runs(slot, hour, plan, peers) {
            if left <= 0.0 {
                break;
            }
            surprise += run.windows.min(left) * run.each;
            left -= run.windows;
        }
        surprise
    }

    /// After how many empty windows their surprise is `wanted`; nothing when that is beyond all patience.
    fn windows_until(&self, wanted: f64, plan: &Plan, peers: &Peers<'_, B::Prior>) -> Option<f64> {
        if !plan.seasonal || peers.season.is_flat() {
            let windows = (wanted / self.quiet(self.hour, plan, peers)).ceil();
            return (windows <= SILENT_WINDOWS_MAX).then_some(windows.max(1.0));
        }
        let (mut windows, mut surprise) = (0.0, 0.0);
        for lap in 0..2 {
            for run in self.runs(self.slot, self.hour, plan, peers) {
                if surprise + run.windows * run.each >= wanted && run.each > 0.0 {
                    return Some((windows + ((wanted - surprise) / run.each).ceil()).max(1.0));
                }
                windows += run.windows;
                surprise += run.windows * run.each;
            }
            if lap == 0 {
                // Whole weeks are skipped, so that the second lap ends in the last one.
                let more = ((wanted - surprise) / surprise).floor();
                windows += more * windows;
                surprise += more * surprise;
                if windows.is_nan() || windows > SILENT_WINDOWS_MAX {
                    return None;
                }
            }
        }
        None
    }

    /// The empty windows of the week after a window, hour by hour.
    fn runs(&self, slot: i32, hour: u8, plan: &Plan, peers: &Peers<'_, B::Prior>) -> impl Iterator<Item = Run> {
        let first = slot.saturating_add(1);
        let begin = plan.epoch_of_slot(first);
        (0..=WEEK_HOURS).map(move |ahead| {
            let epoch = begin.saturating_add(ahead);
            let from = plan.first_slot(epoch).max(first);
            let to = if ahead < WEEK_HOURS {
                plan.first_slot(epoch.saturating_add(1))
            } else {
                // What the first hour lacked to a whole week.
                from.saturating_add(first.saturating_sub(plan.first_slot(begin)))
            };
            Run {
                windows: f64::from(to.saturating_sub(from)),
                each: self.quiet(plan.hour_of(from, slot, hour), plan, peers),
            }
        })
    }

    /// The surprise of one empty window at an hour.
    fn quiet(&self, hour: u8, plan: &Plan, peers: &Peers<'_, B::Prior>) -> f64 {
        -self.baseline.ln_quiet(peers.prior, self.scale(hour, plan, peers)) / LN_10
    }
}
