//! Hits among attempts. A ratio is judged only when its window closes, because it can fall again until then.

use super::{
    Ballot, Moment, Notes, Outcome, Peers, Plan, Raised, Sight, expected, memory_name, rung_begin, rung_of, told,
};
use crate::domain::{NormalIf, Timestamp};
use crate::engine::baseline::{Attempts, Baseline, Learned, Ratio, RatioPrior, Scale};
use crate::engine::calibration::{CalibrationVote, Class, INCIDENT_SURPRISE};
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
    /// Whether a window of the open one's epoch has voted on calibration.
    drawn: bool,
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
            drawn: false,
            judged: false,
        }
    }

    /// The number of the open window.
    pub fn slot(&self) -> i32 {
        self.slot
    }

    /// The baseline behind it.
    pub fn baseline(&self) -> &Ratio {
        &self.baseline
    }

    /// Takes an event in.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, RatioPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let slot = plan.slot(sight.event.time());
        if slot > self.slot {
            self.roll(slot, sight.moment(), plan, peers, ballot, outcome);
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
    pub fn wake(&mut self, now: Timestamp, plan: &Plan, peers: &Peers<'_, RatioPrior>, bar: f64) -> Option<Raised> {
        if self.judged || now < plan.close(self.slot) || (self.hits as f64) < plan.at_least {
            return None;
        }
        self.judged = true;
        let seen = Attempts {
            failed: self.hits,
            total: self.attempts,
        };
        let prior = peers.prior;
        let judgement = self.baseline.judge(prior, Scale::ONE, seen, plan.tail);
        let calibration = peers.calibrations.of_entity(self.is_new());
        let surprise = told(judgement.ln_p, calibration, plan);
        let rung = rung_of(surprise);
        if rung == 0 {
            return None;
        }
        let share = self.hits as f64 / self.attempts.max(1) as f64;
        let wanted = calibration.raw(bar.max(rung_begin(1)) + plan.windows_log10);
        let usual = match self.baseline.normal_if(prior, Scale::ONE, seen, plan.tail, wanted) {
            Some(crate::engine::baseline::NormalIf::AtMost(most)) => most,
            _ => self.hits as f64,
        };
        Some(Raised {
            at: now,
            window_start: plan.begin(self.slot),
            surprise,
            rung,
            seen: self.hits as f64,
            expected: expected(&self.baseline.expected(prior, Scale::ONE), share),
            normal_if: NormalIf::AtMost(usual.max(plan.at_least - 1.0)),
            memory: memory_name(judgement.memory),
            context: self.notes.context(),
            regime_change: false,
            by_model: None,
        })
    }

    /// Closes a first window that is over. Gives whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, RatioPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if self.voted != i32::MIN {
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

    /// Whether no window has been learned yet.
    fn is_new(&self) -> bool {
        self.voted == i32::MIN
    }

    fn roll(
        &mut self,
        slot: i32,
        moment: Moment,
        plan: &Plan,
        peers: &Peers<'_, RatioPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let seen = Attempts {
            failed: self.hits,
            total: self.attempts,
        };
        outcome.judgements += 1;
        let newcomer = self.is_new();
        if seen.total > 0 && (newcomer || plan.draws(&mut self.drawn, moment.entity, self.slot)) {
            let judgement = self.baseline.judge(peers.prior, Scale::ONE, seen, plan.tail);
            let told = told(judgement.ln_p, peers.calibrations.of_entity(newcomer), plan);
            let uniform = plan.uniform(moment.entity, self.slot);
            let vote = CalibrationVote::new(
                &judgement,
                moment.entity,
                Class::of(newcomer),
                told >= INCIDENT_SURPRISE,
                uniform,
            );
            ballot.calibration.vote(vote);
        }
        let epoch = (moment.now.seconds() / 3600) as i32;
        if epoch != self.voted {
            self.voted = epoch;
            outcome.vote = true;
        }
        // A new level of a ratio is told by the windows that reached it.
        let _: Learned = self.baseline.learn(peers.prior, Scale::ONE, seen, &plan.decay);
        if let Ok(empty @ 1..) = u64::try_from(i64::from(slot) - i64::from(self.slot) - 1) {
            self.baseline.age(empty, &plan.decay);
        }
        plan.pass_on(&mut self.drawn, self.slot, slot);
        self.slot = slot;
        self.hits = 0;
        self.attempts = 0;
        self.judged = false;
        self.notes.clear();
    }
}
