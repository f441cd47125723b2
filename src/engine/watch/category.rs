//! Which values an entity has: ports, processes, paths, networks. Each different value of a window is judged once, as
//! soon as it has been seen often enough, against what was known before the window.

use super::{Moment, Notes, Outcome, Plan, Raised, Sight, expected, memory_name, rung_of, surprise};
use crate::domain::{NormalIf, Timestamp};
use crate::engine::baseline::{Baseline, Category, CategoryPrior, CategorySummary};
use crate::engine::population::{epoch_of, span_of};
use serde::{Deserialize, Serialize};

/// The state of a category.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CategoryWatch {
    baseline: Category,
    /// The values of the open window, and how often each was seen.
    open: Vec<(u64, u32)>,
    notes: Notes,
    slot: i32,
    voted: i32,
}

impl CategoryWatch {
    /// Different values of one window that are judged and learned. What is beyond has company enough.
    pub const OPEN_VALUES_MAX: usize = 64;

    /// A watch whose first window holds `time`.
    pub fn new(plan: &Plan, time: Timestamp) -> Self {
        CategoryWatch {
            baseline: Category::default(),
            open: Vec::new(),
            notes: Notes::default(),
            slot: plan.slot(time),
            voted: i32::MIN,
        }
    }

    /// The entity's vote: how fond of new values it is, and those of its values that the group has not been told of.
    pub fn vote(&mut self, votes: &mut CategorySummary) {
        self.baseline.vote(votes);
        self.baseline.tell(votes);
    }

    /// Takes an event in.
    pub fn observe(&mut self, sight: &Sight<'_>, plan: &Plan, prior: &CategoryPrior, outcome: &mut Outcome) {
        let slot = plan.slot(sight.event.time());
        if slot > self.slot {
            self.roll(slot, prior, plan);
        }
        let Some(times) = self.count(sight.value) else { return };
        if f64::from(times) != plan.at_least.max(1.0).ceil() {
            return;
        }
        outcome.judgements += 1;
        let judgement = self.baseline.judge(prior, 1.0, sight.value, plan.tail);
        let epoch = epoch_of(sight.now) as i32;
        if epoch != self.voted {
            if span_of(epoch.into()) != span_of(self.voted.into()) {
                self.baseline.tell_all_again();
            }
            self.voted = epoch;
            outcome.vote = true;
        }
        let surprise = surprise(&judgement, plan);
        let rung = rung_of(surprise);
        if rung > 0 {
            self.notes.clear();
            self.notes.add(sight, plan, slot < self.slot);
            outcome.raised.push(Raised {
                at: sight.now,
                window_start: plan.begin(self.slot),
                surprise,
                rung,
                seen: f64::from(times),
                expected: expected(&self.baseline.expected(prior, 1.0), f64::from(times)),
                normal_if: if plan.at_least > 1.0 {
                    NormalIf::AtMost(plan.at_least - 1.0)
                } else {
                    NormalIf::SeenBefore
                },
                memory: memory_name(judgement.memory),
                context: self.notes.context(),
                regime_change: false,
            });
            self.notes.clear();
        }
    }

    /// Closes a first window that is over, so that an entity that never comes back has its say in what is usual. Gives
    /// whether nothing is left to do.
    pub fn settle_first(&mut self, moment: Moment, plan: &Plan, prior: &CategoryPrior, outcome: &mut Outcome) -> bool {
        if moment.now < plan.close(self.slot) {
            return false;
        }
        if self.baseline.values() == 0 {
            let open = plan
                .slot(moment.now.minus(plan.lateness))
                .max(self.slot.saturating_add(1));
            self.roll(open, prior, plan);
            outcome.vote = true;
        }
        true
    }

    /// How often the value has been seen in the open window; nothing when the window has too many values.
    fn count(&mut self, value: u64) -> Option<u32> {
        if let Some((_, times)) = self.open.iter_mut().find(|(held, _)| *held == value) {
            *times = times.saturating_add(1);
            return Some(*times);
        }
        if self.open.len() >= Self::OPEN_VALUES_MAX {
            return None;
        }
        if self.open.len() == self.open.capacity() {
            self.open.reserve_exact(self.open.len().max(1));
        }
        self.open.push((value, 1));
        Some(1)
    }

    /// Learns the values of the window that is over, and forgets for as long as has passed.
    fn roll(&mut self, slot: i32, prior: &CategoryPrior, plan: &Plan) {
        if let Ok(windows @ 1..) = u64::try_from(i64::from(slot) - i64::from(self.slot)) {
            self.baseline.age(windows, &plan.decay);
        }
        for (value, _) in self.open.drain(..) {
            self.baseline.learn(prior, 1.0, value, &plan.decay);
        }
        self.open.shrink_to(4);
        self.slot = slot;
    }
}
