//! Which values an entity has: ports, processes, paths, networks. Each different value of a window is judged once, as
//! soon as it has been seen often enough, against what was known before the window.

use super::{Ballot, Moment, Notes, Outcome, Peers, Plan, Raised, Sight, expected, memory_name, rung_of, told};
use crate::domain::{NormalIf, Timestamp};
use crate::engine::baseline::{Baseline, Category, CategoryPrior, CategorySummary, Judgement, Memory, Scale, print};
use crate::engine::calibration::{CalibrationVote, INCIDENT_SURPRISE};
use crate::engine::population::{epoch_of, span_of};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// The state of a category.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CategoryWatch {
    baseline: Category,
    /// The values of the open window.
    open: SmallVec<[Open; 2]>,
    slot: i32,
    voted: i32,
    /// Whether a window of the open one's epoch has voted on calibration.
    drawn: bool,
    /// Values judged in the open window, and the vote of the one of them that a hash has chosen so far.
    judged: u16,
    chosen: Option<(f32, bool, bool)>,
}

/// A value of the open window, by its print, and how often it was seen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Open {
    print: u32,
    times: u32,
}

impl CategoryWatch {
    /// Different values of one window that are judged and learned. What is beyond has company enough.
    pub const OPEN_VALUES_MAX: usize = 64;

    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        CategoryWatch {
            baseline: Category::default(),
            open: SmallVec::new(),
            slot: plan.slot(time),
            voted: i32::MIN,
            drawn: false,
            judged: 0,
            chosen: None,
        }
    }

    /// The entity's vote: how fond of new values it is, and those of its values that the group has not been told of.
    pub fn vote(&mut self, votes: &mut CategorySummary) {
        self.baseline.vote(votes);
        self.baseline.tell(votes);
    }

    /// The number of the open window.
    pub fn slot(&self) -> i32 {
        self.slot
    }

    /// Takes an event in.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        peers: &Peers<'_, CategoryPrior>,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) {
        let prior = peers.prior;
        let slot = plan.slot(sight.event.time());
        if slot > self.slot {
            self.roll(slot, sight.moment(), prior, plan, ballot);
        }
        let Some(times) = self.count(sight.value) else { return };
        if f64::from(times) != plan.at_least.max(1.0).ceil() {
            return;
        }
        outcome.judgements += 1;
        let judgement = self.baseline.judge(prior, Scale::ONE, sight.value, plan.tail);
        let epoch = epoch_of(sight.now) as i32;
        if epoch != self.voted {
            if span_of(epoch.into()) != span_of(self.voted.into()) {
                self.baseline.tell_all_again();
            }
            self.voted = epoch;
            outcome.vote = true;
        }
        let newcomer = judgement.memory == Memory::Prior;
        let surprise = told(judgement.ln_p, peers.calibrations.of_entity(newcomer), plan);
        self.choose(&judgement, newcomer, surprise, sight, plan);
        let rung = rung_of(surprise);
        if rung > 0 {
            let mut notes = Notes::default();
            notes.add(sight, plan, slot < self.slot);
            outcome.raised.push(Raised {
                at: sight.now,
                window_start: plan.begin(self.slot),
                surprise,
                rung,
                seen: f64::from(times),
                expected: expected(&self.baseline.expected(prior, Scale::ONE), f64::from(times)),
                normal_if: if plan.at_least > 1.0 {
                    NormalIf::AtMost(plan.at_least - 1.0)
                } else {
                    NormalIf::SeenBefore
                },
                memory: memory_name(judgement.memory),
                context: notes.context(),
                regime_change: false,
            });
        }
    }

    /// Closes a first window that is over, so that an entity that never comes back has its say in what is usual. Gives
    /// whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        prior: &CategoryPrior,
        ballot: &mut Ballot<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        if moment.now < plan.close(self.slot) {
            return false;
        }
        if self.baseline.values() == 0 {
            let open = plan
                .slot(moment.now.minus(plan.lateness))
                .max(self.slot.saturating_add(1));
            self.roll(open, moment, prior, plan, ballot);
            outcome.vote = true;
        }
        true
    }

    /// Of the values that are judged in a window one votes on calibration, each as likely as another.
    fn choose(&mut self, judgement: &Judgement, newcomer: bool, surprise: f64, sight: &Sight<'_>, plan: &Plan) {
        self.judged = self.judged.saturating_add(1);
        let chance = plan.uniform(sight.entity ^ sight.value, self.slot);
        if chance * f64::from(self.judged) < 1.0 {
            let uniform = plan.uniform(sight.entity, self.slot);
            let vote = CalibrationVote::new(
                judgement,
                sight.entity,
                newcomer,
                surprise >= INCIDENT_SURPRISE,
                uniform,
            );
            self.chosen = Some((vote.raw as f32, newcomer, vote.incident));
        }
    }

    /// How often the value has been seen in the open window; nothing when the window has too many values.
    fn count(&mut self, value: u64) -> Option<u32> {
        let print = print(value);
        if let Some(held) = self.open.iter_mut().find(|held| held.print == print) {
            held.times = held.times.saturating_add(1);
            return Some(held.times);
        }
        if self.open.len() >= Self::OPEN_VALUES_MAX {
            return None;
        }
        self.open.push(Open { print, times: 1 });
        Some(1)
    }

    /// Learns the values of the window that is over, and forgets for as long as has passed.
    fn roll(&mut self, slot: i32, moment: Moment, prior: &CategoryPrior, plan: &Plan, ballot: &mut Ballot<'_>) {
        if let Some((raw, newcomer, incident)) = self.chosen.take()
            && (newcomer || plan.draws(&mut self.drawn, moment.entity, self.slot))
        {
            ballot.calibration.vote(CalibrationVote {
                entity: moment.entity,
                newcomer,
                raw: raw.into(),
                incident,
            });
        }
        self.judged = 0;
        if let Ok(windows @ 1..) = u64::try_from(i64::from(slot) - i64::from(self.slot)) {
            self.baseline.age(windows, &plan.decay);
        }
        for held in self.open.drain(..) {
            self.baseline.learn(prior, Scale::ONE, held.print.into(), &plan.decay);
        }
        self.open.shrink_to_fit();
        plan.pass_on(&mut self.drawn, self.slot, slot);
        self.slot = slot;
    }
}
