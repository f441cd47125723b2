//! A watch of any kind, behind one face.

use super::{
    Ballot, CategoryWatch, Growing, HoursWatch, IntervalWatch, Kept, Moment, Newcomer, Outcome, Peers, Plan, Raised,
    RatioWatch, SequenceWatch, Sight, VectorWatch,
};
use crate::domain::Timestamp;
use crate::engine::baseline::{Baseline, Count, Expected, Magnitude, Quantile, Scale};
use crate::engine::population::{Belief, Prior, PriorVotes, Votes};
use crate::engine::program::Watched;
use serde::{Deserialize, Serialize};

/// The state of one detector's window for one entity. Those lie in place that most entities have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Watch {
    /// Counts and distinct values.
    Count(Growing<Count>),
    /// Ratios.
    Ratio(RatioWatch),
    /// Categories.
    Category(CategoryWatch),
    /// Amounts.
    Magnitude(Growing<Magnitude>),
    /// Any other number.
    Quantile(Box<Growing<Quantile>>),
    /// The hour of the week.
    Hours(HoursWatch),
    /// Gaps.
    Interval(IntervalWatch),
    /// Several numbers together.
    Vector(Box<VectorWatch>),
    /// What comes one after the other.
    Sequence(Box<SequenceWatch>),
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
        match &belief.prior {
            Prior::Count(_) => Watch::Count(Growing::new(kept, plan, time)),
            Prior::Ratio(_) => Watch::Ratio(RatioWatch::new(plan, time)),
            Prior::Category(_) => Watch::Category(CategoryWatch::new(plan, time)),
            Prior::Magnitude(_) => Watch::Magnitude(Growing::new(kept, plan, time)),
            Prior::Quantile(_) => Watch::Quantile(Box::new(Growing::new(kept, plan, time))),
            Prior::TimeOfWeek(_) => Watch::Hours(HoursWatch::new(plan, time)),
            Prior::Interval(..) => Watch::Interval(IntervalWatch::new(plan, time)),
            Prior::Vector(_) => Watch::Vector(Box::new(VectorWatch::new(plan, time))),
            Prior::Sequence(_) => Watch::Sequence(Box::new(SequenceWatch::new(plan, time))),
        }
    }

    /// The number of the open window. Asking for it brings the watch into the processor's cache.
    #[inline]
    pub fn glance(&self) -> i32 {
        match self {
            Watch::Count(watch) => watch.slot(),
            Watch::Ratio(watch) => watch.slot(),
            Watch::Category(watch) => watch.slot(),
            Watch::Magnitude(watch) => watch.slot(),
            Watch::Quantile(watch) => watch.slot(),
            Watch::Hours(watch) => watch.slot(),
            Watch::Interval(watch) => watch.slot(),
            Watch::Vector(watch) => watch.slot(),
            Watch::Sequence(watch) => watch.slot(),
        }
    }

    /// What was measured in the open window, where that lies apart. Asking for it brings it into the processor's cache.
    #[inline]
    pub fn glance_aside(&self) -> f64 {
        match self {
            Watch::Count(watch) => watch.total(),
            _ => 0.0,
        }
    }

    /// What is expected of a whole window, the hour of the week left out; nothing where no number says it.
    pub fn expected(&self, belief: &Belief) -> Option<Expected> {
        Some(match (self, &belief.prior) {
            (Watch::Count(watch), Prior::Count(prior)) => watch.baseline().expected(prior, Scale::ONE),
            (Watch::Ratio(watch), Prior::Ratio(prior)) => watch.baseline().expected(prior, Scale::ONE),
            (Watch::Magnitude(watch), Prior::Magnitude(prior)) => watch.baseline().expected(prior, Scale::ONE),
            (Watch::Quantile(watch), Prior::Quantile(prior)) => watch.baseline().expected(prior, Scale::ONE),
            _ => return None,
        })
    }

    /// Takes an event in. The entity's vote, when it is due, goes to `votes`.
    pub fn observe(
        &mut self,
        sight: &Sight<'_>,
        plan: &Plan,
        belief: &Belief,
        votes: &mut Votes,
        newcomer: Newcomer<'_>,
        outcome: &mut Outcome,
    ) {
        let about = About(belief);
        let ballot = &mut Ballot {
            calibration: &mut votes.calibration,
            season: &mut votes.season,
            newcomer,
        };
        match (&mut *self, &belief.prior) {
            (Watch::Count(watch), Prior::Count(prior)) => {
                watch.observe(sight, plan, &about.peers(prior), ballot, outcome);
            }
            (Watch::Ratio(watch), Prior::Ratio(prior)) => {
                watch.observe(sight, plan, &about.peers(prior), ballot, outcome);
            }
            (Watch::Category(watch), Prior::Category(prior)) => {
                watch.observe(sight, plan, &about.peers(prior), ballot, outcome);
            }
            (Watch::Magnitude(watch), Prior::Magnitude(prior)) => {
                watch.observe(sight, plan, &about.peers(prior), ballot, outcome);
            }
            (Watch::Quantile(watch), Prior::Quantile(prior)) => {
                watch.observe(sight, plan, &about.peers(prior), ballot, outcome);
            }
            (Watch::Hours(watch), Prior::TimeOfWeek(prior)) => {
                watch.observe(sight, plan, &about.peers(prior), ballot, outcome);
            }
            (Watch::Interval(watch), Prior::Interval(prior, common)) => {
                watch.observe(sight, plan, &about.peers(&**prior), common, ballot, outcome);
            }
            (Watch::Vector(watch), Prior::Vector(prior)) => {
                watch.observe(sight, plan, &about.peers(prior), ballot, outcome);
            }
            (Watch::Sequence(watch), Prior::Sequence(prior)) => {
                watch.observe(sight, plan, &about.peers(prior), ballot, outcome);
            }
            _ => {}
        }
        self.vote(&mut votes.prior, outcome);
    }

    /// Closes a first window that is over, so that an entity that never comes back has its say in what is usual. Gives
    /// whether nothing is left to do.
    pub fn settle_first(
        &mut self,
        moment: Moment,
        plan: &Plan,
        belief: &Belief,
        votes: &mut Votes,
        newcomer: Newcomer<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        let about = About(belief);
        let ballot = &mut Ballot {
            calibration: &mut votes.calibration,
            season: &mut votes.season,
            newcomer,
        };
        let done = match (&mut *self, &belief.prior) {
            (Watch::Count(watch), Prior::Count(prior)) => {
                watch.settle_first(moment, plan, &about.peers(prior), ballot, outcome)
            }
            (Watch::Ratio(watch), Prior::Ratio(prior)) => {
                watch.settle_first(moment, plan, &about.peers(prior), ballot, outcome)
            }
            (Watch::Category(watch), Prior::Category(prior)) => {
                watch.settle_first(moment, plan, &about.peers(prior), ballot, outcome)
            }
            (Watch::Magnitude(watch), Prior::Magnitude(prior)) => {
                watch.settle_first(moment, plan, &about.peers(prior), ballot, outcome)
            }
            (Watch::Quantile(watch), Prior::Quantile(prior)) => {
                watch.settle_first(moment, plan, &about.peers(prior), ballot, outcome)
            }
            (Watch::Interval(watch), Prior::Interval(..)) => watch.settle_first(moment, plan, ballot, outcome),
            (Watch::Vector(watch), Prior::Vector(prior)) => {
                watch.settle_first(moment, plan, &about.peers(prior), ballot, outcome)
            }
            (Watch::Sequence(watch), Prior::Sequence(prior)) => {
                watch.settle_first(moment, plan, &about.peers(prior), ballot, outcome)
            }
            _ => true,
        };
        self.vote(&mut votes.prior, outcome);
        done
    }

    /// The detector's `at_least` is another: what was worked out with it is worked out again.
    pub fn reconsider(&mut self) {
        match self {
            Watch::Count(watch) => watch.reconsider(),
            Watch::Magnitude(watch) => watch.reconsider(),
            Watch::Quantile(watch) => watch.reconsider(),
            Watch::Ratio(_) | Watch::Category(_) | Watch::Hours(_) | Watch::Interval(_) => {}
            Watch::Vector(_) | Watch::Sequence(_) => {}
        }
    }

    /// When the entity's silence will have climbed its first rung; answers once a window.
    pub fn silence_due(&mut self, plan: &Plan, belief: &Belief, bar: f64) -> Option<Timestamp> {
        if !plan.absence {
            return None;
        }
        let about = About(belief);
        match (self, &belief.prior) {
            (Watch::Count(watch), Prior::Count(prior)) => watch.silence_due(plan, &about.peers(prior), bar),
            (Watch::Magnitude(watch), Prior::Magnitude(prior)) => watch.silence_due(plan, &about.peers(prior), bar),
            _ => None,
        }
    }

    /// The entity, last heard at `last`, has been silent until `now`: what is to be said of that, and when to ask again.
    pub fn fall_silent(
        &mut self,
        now: Timestamp,
        last: Timestamp,
        plan: &Plan,
        belief: &Belief,
        bar: f64,
    ) -> Option<(Raised, Option<Timestamp>)> {
        let about = About(belief);
        match (self, &belief.prior) {
            (Watch::Count(watch), Prior::Count(prior)) => {
                let raised = watch.fall_silent(now, last, plan, &about.peers(prior), bar)?;
                let again = watch.silence_due_again(plan, &about.peers(prior), bar);
                Some((raised, again.filter(|at| *at > now)))
            }
            (Watch::Magnitude(watch), Prior::Magnitude(prior)) => {
                let raised = watch.fall_silent(now, last, plan, &about.peers(prior), bar)?;
                let again = watch.silence_due_again(plan, &about.peers(prior), bar);
                Some((raised, again.filter(|at| *at > now)))
            }
            _ => None,
        }
    }

    /// A moment that the watch wanted to be woken at: its window has ended.
    pub fn wake(&mut self, now: Timestamp, plan: &Plan, belief: &Belief, bar: f64) -> Option<Raised> {
        match (self, &belief.prior) {
            (Watch::Ratio(watch), Prior::Ratio(prior)) => watch.wake(now, plan, &About(belief).peers(prior), bar),
            (Watch::Vector(watch), Prior::Vector(prior)) => watch.wake(now, plan, &About(belief).peers(prior), bar),
            (Watch::Sequence(watch), Prior::Sequence(prior)) => watch.wake(now, plan, &About(belief).peers(prior)),
            _ => None,
        }
    }

    fn vote(&mut self, votes: &mut PriorVotes, outcome: &Outcome) {
        if !outcome.vote {
            return;
        }
        match (self, votes) {
            (Watch::Count(watch), PriorVotes::Count(votes)) => watch.baseline().vote(votes),
            (Watch::Ratio(watch), PriorVotes::Ratio(votes)) => watch.baseline().vote(votes),
            (Watch::Category(watch), PriorVotes::Category(votes)) => watch.vote(votes),
            (Watch::Magnitude(watch), PriorVotes::Magnitude(votes)) => watch.baseline().vote(votes),
            (Watch::Quantile(watch), PriorVotes::Quantile(votes)) => watch.baseline().vote(votes),
            (Watch::Hours(watch), PriorVotes::TimeOfWeek(votes)) => watch.baseline().vote(votes),
            (Watch::Interval(watch), PriorVotes::Interval(votes, seen)) => watch.vote(votes, seen),
            (Watch::Vector(watch), PriorVotes::Vector(votes)) => watch.vote(votes),
            (Watch::Sequence(watch), PriorVotes::Sequence(votes)) => watch.vote(votes),
            _ => {}
        }
    }
}

/// What is believed, for the kind of watch that its prior is for.
struct About<'a>(&'a Belief);

impl<'a> About<'a> {
    fn peers<P>(&self, prior: &'a P) -> Peers<'a, P> {
        Peers {
            prior,
            calibrations: &self.0.calibrations,
            season: &self.0.season,
        }
    }
}
