//! Hits among attempts. A ratio is judged only when its window closes, because it can fall again until then.

use super::{Moment, Notes, Outcome, Plan, Raised, Sight, expected, memory_name, rung_begin, rung_of, surprise};
use crate::domain::{NormalIf, Timestamp};
use crate::engine::baseline::{Attempts, Baseline, Learned, Ratio, RatioPrior};
use serde::{Deserialize, Serialize};

/// The state of a ratio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RatioWatch {
    baseline: Ratio,
    hits: u64,
    attempts: u64,
    notes: Notes,
    slot: i32,
    voted: i32,
    /// Whether the window was judged already, by a wake-up at its end.
    judged: bool,
}

impl RatioWatch {
    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        RatioWatch {
            baseline: Ratio::default(),
            hits: 0,
            attempts: 0,
            notes: Notes::default(),
            slot: plan.slot(time),
            voted: i32::MIN,
            judged: false,
        }
    }

    /// The baseline behind it.
    pub fn baseline(&self) -> &Ratio {
        &self.baseline
    }

    /// Takes an event in.
    pub fn observe(&mut self, sight: &Sight<'_>, plan: &Plan, prior: &RatioPrior, outcome: &mut Outcome) {
        let slot = plan.slot(sight.event.time());
        if slot > self.slot {
            self.roll(slot, sight.moment(), plan, prior, outcome);
        }
        self.attempts += 1;
        if sight.hit {
            self.hits += 1;
            self.notes.add(sight, plan, slot < self.slot);
            if self.hits as f64 >= plan.at_least && !self.judged {
                outcome.wake = Some(plan.close(self.slot).max(sight.now));
            }
        }
    }

    /// The window has ended: judges it. Events that come later still count in it, but are not judged.
    pub fn wake(&mut self, now: Timestamp, plan: &Plan, prior: &RatioPrior, bar: f64) -> Option<Raised> {
        if self.judged || now < plan.close(self.slot) || (self.hits as f64) < plan.at_least {
            return None;
        }
        self.judged = true;
        let seen = Attempts {
            failed: self.hits,
            total: self.attempts,
        };
        let judgement = self.baseline.judge(prior, 1.0, seen, plan.tail);
        let surprise = surprise(&judgement, plan);
        let rung = rung_of(surprise);
        if rung == 0 {
            return None;
        }
        let share = self.hits as f64 / self.attempts.max(1) as f64;
        let wanted = bar.max(rung_begin(1)) + plan.windows_log10;
        let usual = match self.baseline.normal_if(prior, 1.0, seen, plan.tail, wanted) {
            Some(crate::engine::baseline::NormalIf::AtMost(most)) => most,
            _ => self.hits as f64,
        };
        Some(Raised {
            at: now,
            window_start: plan.begin(self.slot),
            surprise,
            rung,
            seen: self.hits as f64,
            expected: expected(&self.baseline.expected(prior, 1.0), share),
            normal_if: NormalIf::AtMost(usual.max(plan.at_least - 1.0)),
            memory: memory_name(judgement.memory),
            context: self.notes.context(),
            regime_change: false,
        })
    }

    /// Closes a first window that is over. Gives whether nothing is left to do.
    pub fn settle_first(&mut self, moment: Moment, plan: &Plan, prior: &RatioPrior, outcome: &mut Outcome) -> bool {
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

    fn roll(&mut self, slot: i32, moment: Moment, plan: &Plan, prior: &RatioPrior, outcome: &mut Outcome) {
        let seen = Attempts {
            failed: self.hits,
            total: self.attempts,
        };
        outcome.judgements += 1;
        let epoch = (moment.now.seconds() / 3600) as i32;
        if epoch != self.voted {
            self.voted = epoch;
            outcome.vote = true;
        }
        // A new level of a ratio is told by the windows that reached it.
        let _: Learned = self.baseline.learn(prior, 1.0, seen, &plan.decay);
        if let Ok(empty @ 1..) = u64::try_from(i64::from(slot) - i64::from(self.slot) - 1) {
            self.baseline.age(empty, &plan.decay);
        }
        self.slot = slot;
        self.hits = 0;
        self.attempts = 0;
        self.judged = false;
        self.notes.clear();
    }
}
