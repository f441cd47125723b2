//! A watch of any kind, behind one face.

use super::{
    CategoryWatch, Growing, HoursWatch, IntervalWatch, Kept, Moment, Outcome, Plan, Raised, RatioWatch, Sight,
};
use crate::domain::Timestamp;
use crate::engine::baseline::{Baseline, Count, Magnitude};
use crate::engine::population::{Belief, Votes};
use crate::engine::program::Watched;
use serde::{Deserialize, Serialize};

/// The state of one detector's window for one entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Watch {
    /// Counts and distinct values.
    Count(Box<Growing<Count>>),
    /// Ratios.
    Ratio(Box<RatioWatch>),
    /// Categories.
    Category(Box<CategoryWatch>),
    /// Amounts.
    Magnitude(Box<Growing<Magnitude>>),
    /// The hour of the week.
    Hours(Box<HoursWatch>),
    /// Gaps.
    Interval(Box<IntervalWatch>),
}

impl Watch {
    /// A watch for what is measured and believed, whose first window holds `time`.
    pub fn new(watched: &Watched, plan: &Plan, belief: &Belief, time: Timestamp) -> Watch {
        let kept = match watched {
            Watched::Distinct(_) | Watched::Spread(_) => Kept::Distinct,
            Watched::DistinctBytes(_) => Kept::Weight,
            Watched::Value(_) => Kept::Greatest,
            _ => Kept::Number,
        };
        match belief {
            Belief::Count(_) => Watch::Count(Box::new(Growing::new(kept, plan, time))),
            Belief::Ratio(_) => Watch::Ratio(Box::new(RatioWatch::new(plan, time))),
            Belief::Category(_) => Watch::Category(Box::new(CategoryWatch::new(plan, time))),
            Belief::Magnitude(_) => Watch::Magnitude(Box::new(Growing::new(kept, plan, time))),
            Belief::TimeOfWeek(_) => Watch::Hours(Box::new(HoursWatch::new(plan, time))),
            Belief::Interval(..) => Watch::Interval(Box::new(IntervalWatch::new(plan, time))),
        }
    }

    /// Takes an event in. The entity's vote, when it is due, goes to `votes`.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        belief: &Belief,
        votes: &mut Votes,
        outcome: &mut Outcome,
    ) {
        match (&mut *self, belief) {
            (Watch::Count(watch), Belief::Count(prior)) => watch.observe(sight, plan, prior, outcome),
            (Watch::Ratio(watch), Belief::Ratio(prior)) => watch.observe(sight, plan, prior, outcome),
            (Watch::Category(watch), Belief::Category(prior)) => watch.observe(sight, plan, prior, outcome),
            (Watch::Magnitude(watch), Belief::Magnitude(prior)) => watch.observe(sight, plan, prior, outcome),
            (Watch::Hours(watch), Belief::TimeOfWeek(prior)) => watch.observe(sight, plan, prior, outcome),
            (Watch::Interval(watch), Belief::Interval(prior, common)) => {
                watch.observe(sight, plan, prior, common, outcome);
            }
            _ => {}
        }
        self.vote(votes, outcome);
    }

    /// Closes a first window that is over, so that an entity that never comes back has its say in what is usual. Gives
    /// whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        belief: &Belief,
        votes: &mut Votes,
        outcome: &mut Outcome,
    ) -> bool {
        let done = match (&mut *self, belief) {
            (Watch::Count(watch), Belief::Count(prior)) => watch.settle_first(moment, plan, prior, outcome),
            (Watch::Ratio(watch), Belief::Ratio(prior)) => watch.settle_first(moment, plan, prior, outcome),
            (Watch::Category(watch), Belief::Category(prior)) => watch.settle_first(moment, plan, prior, outcome),
            (Watch::Magnitude(watch), Belief::Magnitude(prior)) => watch.settle_first(moment, plan, prior, outcome),
            _ => true,
        };
        self.vote(votes, outcome);
        done
    }

    /// When the entity's silence will have climbed its first rung; answers once a window.
    pub fn silence_due(&mut self, plan: &Plan, belief: &Belief) -> Option<Timestamp> {
        match (self, belief) {
            (Watch::Count(watch), Belief::Count(prior)) if plan.absence => watch.silence_due(plan, prior, 1.0),
            (Watch::Magnitude(watch), Belief::Magnitude(prior)) if plan.absence => watch.silence_due(plan, prior, 1.0),
            _ => None,
        }
    }

    /// The entity has been silent until `now`: what is to be said of that, and when to ask again.
    pub fn fall_silent(
        &mut self,
        now: Timestamp,
        plan: &Plan,
        belief: &Belief,
        bar: f64,
    ) -> Option<(Raised, Option<Timestamp>)> {
        match (self, belief) {
            (Watch::Count(watch), Belief::Count(prior)) => {
                let raised = watch.fall_silent(now, plan, prior, 1.0, bar)?;
                let again = watch.silence_due_again(plan, prior, 1.0).filter(|at| *at > now);
                Some((raised, again))
            }
            (Watch::Magnitude(watch), Belief::Magnitude(prior)) => {
                let raised = watch.fall_silent(now, plan, prior, 1.0, bar)?;
                let again = watch.silence_due_again(plan, prior, 1.0).filter(|at| *at > now);
                Some((raised, again))
            }
            _ => None,
        }
    }

    /// A moment that the watch wanted to be woken at: its window has ended.
    pub fn wake(&mut self, now: Timestamp, plan: &Plan, belief: &Belief, bar: f64) -> Option<Raised> {
        match (self, belief) {
            (Watch::Ratio(watch), Belief::Ratio(prior)) => watch.wake(now, plan, prior, bar),
            _ => None,
        }
    }

    fn vote(&mut self, votes: &mut Votes, outcome: &Outcome) {
        if !outcome.vote {
            return;
        }
        match (self, votes) {
            (Watch::Count(watch), Votes::Count(votes)) => watch.baseline().vote(votes),
            (Watch::Ratio(watch), Votes::Ratio(votes)) => watch.baseline().vote(votes),
            (Watch::Category(watch), Votes::Category(votes)) => watch.vote(votes),
            (Watch::Magnitude(watch), Votes::Magnitude(votes)) => watch.baseline().vote(votes),
            (Watch::Hours(watch), Votes::TimeOfWeek(votes)) => watch.baseline().vote(votes),
            (Watch::Interval(watch), Votes::Interval(votes, seen)) => watch.vote(votes, seen),
            _ => {}
        }
    }
}
