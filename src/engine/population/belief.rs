//! What is believed of a group's entities, and how it follows from what they say.

use crate::domain::{self, Duration, VectorModel};
use crate::engine::baseline::{
    Baseline, Category, CategoryPrior, CategorySummary, Count, CountPrior, CountSummary, Interval, IntervalPrior,
    IntervalSummary, Magnitude, MagnitudePrior, MagnitudeSummary, Quantile, QuantilePrior, QuantileSummary, Ratio,
    RatioPrior, RatioSummary, Season, SeasonSummary, Summary, TimeOfWeek, TimeOfWeekPrior, TimeOfWeekSummary,
};
use crate::engine::calibration::{CalibrationSummary, Calibrations};
use crate::engine::vector::{SequencePrior, SequenceSummary, VectorPrior, VectorSummary};
use serde::{Deserialize, Serialize};

/// An entity's own spread is believed after it has been active for so long: nights differ from days, and one weekday
/// from the next.
const SPREAD_KNOWN_AFTER: Duration = Duration::from_seconds(3 * 86_400);
/// What is believed of a group's entities, for one window of one detector.
#[derive(Clone, Debug)]
pub struct Belief {
    /// Of an entity before it has history.
    pub prior: Prior,
    /// How often a surprise comes.
    pub calibrations: Calibrations,
    /// The shape of their week.
    pub season: Season,
}

/// What is believed of an entity before it has history.
#[derive(Clone, Debug)]
pub enum Prior {
    /// For counts and distinct values.
    Count(CountPrior),
    /// For ratios.
    Ratio(RatioPrior),
    /// For categories.
    Category(CategoryPrior),
    /// For amounts.
    Magnitude(MagnitudePrior),
    /// For the hour of the week.
    TimeOfWeek(TimeOfWeekPrior),
    /// For any other number.
    Quantile(QuantilePrior),
    /// For gaps, and how common destinations are.
    Interval(Box<IntervalPrior>, CategoryPrior),
    /// For vectors.
    Vector(VectorPrior),
    /// For sequences.
    Sequence(SequencePrior),
}

/// What a group's entities say together, for one window of one detector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Votes {
    /// On what an entity is like.
    pub prior: PriorVotes,
    /// On how often a surprise comes.
    pub calibration: CalibrationSummary,
    /// On the hours of the week.
    pub season: SeasonSummary,
}

/// The votes of a group's entities on what an entity is like.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PriorVotes {
    /// On counts and distinct values.
    Count(CountSummary),
    /// On ratios.
    Ratio(RatioSummary),
    /// On categories.
    Category(CategorySummary),
    /// On amounts.
    Magnitude(MagnitudeSummary),
    /// On the hour of the week.
    TimeOfWeek(TimeOfWeekSummary),
    /// On any other number.
    Quantile(QuantileSummary),
    /// On gaps and destinations.
    Interval(Box<IntervalSummary>, CategorySummary),
    /// On vectors.
    Vector(VectorSummary),
    /// On sequences.
    Sequence(SequenceSummary),
}

impl Belief {
    /// The definition's own belief.
    pub fn of(prior: &domain::Prior, window: Duration) -> Belief {
        Belief {
            prior: Prior::of(prior, window),
            calibrations: Calibrations::default(),
            season: Season::default(),
        }
    }

    pub(super) fn no_votes(&self) -> Votes {
        Votes {
            prior: self.prior.no_votes(),
            calibration: CalibrationSummary::default(),
            season: SeasonSummary::default(),
        }
    }

    pub(super) fn taught(&self, votes: &Votes, weeks: f64) -> Belief {
        Belief {
            prior: self.prior.taught(&votes.prior),
            calibrations: Calibrations::of(&votes.calibration),
            season: Season::of(&votes.season, weeks),
        }
    }
}

impl Votes {
    /// Adds what the same entities said in an earlier span of time.
    pub(super) fn join_earlier(&mut self, earlier: &Votes) {
        self.prior.join_earlier(&earlier.prior);
        self.calibration.merge(&earlier.calibration);
        self.season.merge(&earlier.season);
    }

    pub(super) fn merge(&mut self, other: &Votes) {
        self.prior.merge(&other.prior);
        self.calibration.merge(&other.calibration);
        self.season.merge(&other.season);
    }
}

impl Prior {
    /// The definition's own belief.
    pub(super) fn of(prior: &domain::Prior, window: Duration) -> Prior {
        let known_after = SPREAD_KNOWN_AFTER.as_seconds() / window.as_seconds();
        match prior {
            domain::Prior::Count(prior) | domain::Prior::Distinct(prior) => Prior::Count(
                CountPrior::new(prior.mean, prior.dispersion, prior.weight).spread_known_after(known_after),
            ),
            domain::Prior::Ratio {
                mean,
                dispersion,
                weight,
            } => Prior::Ratio(RatioPrior::new(*mean, *dispersion, *weight)),
            domain::Prior::Category { discount, strength } => Prior::Category(CategoryPrior::new(*discount, *strength)),
            domain::Prior::Magnitude(prior) => Prior::Magnitude(
                MagnitudePrior::new(prior.typical, prior.spread * prior.spread, prior.weight)
                    .active(prior.active)
                    .spread_known_after(known_after),
            ),
            domain::Prior::TimeOfWeek { weight } => Prior::TimeOfWeek(TimeOfWeekPrior::new(*weight)),
            domain::Prior::Interval { .. } => Prior::Interval(Box::default(), CategoryPrior::new(0.5, 1.0)),
            domain::Prior::Quantile {
                typical,
                spread,
                weight,
            } => Prior::Quantile(QuantilePrior::new(*typical, *spread, *weight)),
            domain::Prior::Model(VectorModel::Sequence) => Prior::Sequence(SequencePrior::default()),
            domain::Prior::Model(model) => Prior::Vector(VectorPrior::new(*model)),
        }
    }

    pub(super) fn no_votes(&self) -> PriorVotes {
        match self {
            Prior::Count(_) => PriorVotes::Count(CountSummary::default()),
            Prior::Ratio(_) => PriorVotes::Ratio(RatioSummary::default()),
            Prior::Category(_) => PriorVotes::Category(CategorySummary::default()),
            Prior::Magnitude(_) => PriorVotes::Magnitude(MagnitudeSummary::default()),
            Prior::TimeOfWeek(_) => PriorVotes::TimeOfWeek(TimeOfWeekSummary::default()),
            Prior::Quantile(_) => PriorVotes::Quantile(QuantileSummary::default()),
            Prior::Interval(..) => PriorVotes::Interval(Box::default(), CategorySummary::default()),
            Prior::Vector(_) => PriorVotes::Vector(VectorSummary::default()),
            Prior::Sequence(_) => PriorVotes::Sequence(SequenceSummary::default()),
        }
    }

    pub(super) fn taught(&self, votes: &PriorVotes) -> Prior {
        match (self, votes) {
            (Prior::Count(own), PriorVotes::Count(votes)) => Prior::Count(Count::prior(own, votes)),
            (Prior::Ratio(own), PriorVotes::Ratio(votes)) => Prior::Ratio(Ratio::prior(own, votes)),
            (Prior::Category(own), PriorVotes::Category(votes)) => Prior::Category(Category::prior(own, votes)),
            (Prior::Magnitude(own), PriorVotes::Magnitude(votes)) => Prior::Magnitude(Magnitude::prior(own, votes)),
            (Prior::TimeOfWeek(own), PriorVotes::TimeOfWeek(votes)) => Prior::TimeOfWeek(TimeOfWeek::prior(own, votes)),
            (Prior::Quantile(own), PriorVotes::Quantile(votes)) => Prior::Quantile(Quantile::prior(own, votes)),
            (Prior::Interval(own, common), PriorVotes::Interval(votes, seen)) => {
                Prior::Interval(Box::new(Interval::prior(own, votes)), Category::prior(common, seen))
            }
            (Prior::Vector(own), PriorVotes::Vector(votes)) => Prior::Vector(own.taught(votes)),
            (Prior::Sequence(own), PriorVotes::Sequence(votes)) => Prior::Sequence(own.taught(votes)),
            _ => self.clone(),
        }
    }
}

impl PriorVotes {
    fn join_earlier(&mut self, earlier: &PriorVotes) {
        match (self, earlier) {
            (PriorVotes::Category(held), PriorVotes::Category(earlier)) => held.join_earlier(earlier),
            // What models learn from was set apart with the earlier votes in it.
            (PriorVotes::Vector(_), PriorVotes::Vector(_)) | (PriorVotes::Sequence(_), PriorVotes::Sequence(_)) => {}
            (held, earlier) => held.merge(earlier),
        }
    }

    pub(super) fn merge(&mut self, other: &PriorVotes) {
        match (self, other) {
            (PriorVotes::Count(held), PriorVotes::Count(other)) => held.merge(other),
            (PriorVotes::Ratio(held), PriorVotes::Ratio(other)) => held.merge(other),
            (PriorVotes::Category(held), PriorVotes::Category(other)) => held.merge(other),
            (PriorVotes::Magnitude(held), PriorVotes::Magnitude(other)) => held.merge(other),
            (PriorVotes::TimeOfWeek(held), PriorVotes::TimeOfWeek(other)) => held.merge(other),
            (PriorVotes::Quantile(held), PriorVotes::Quantile(other)) => held.merge(other),
            (PriorVotes::Interval(held, seen), PriorVotes::Interval(other, more)) => {
                held.merge(other);
                seen.merge(more);
            }
            (PriorVotes::Vector(held), PriorVotes::Vector(other)) => held.merge(other),
            (PriorVotes::Sequence(held), PriorVotes::Sequence(other)) => held.merge(other),
            _ => {}
        }
    }
}
