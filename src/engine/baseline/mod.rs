//! Per-entity predictive distributions: what one measure of one entity is expected to be, learned as it goes by.
//!
//! Every kind answers one question: how likely was something at least this strange, for this entity, now? A state is
//! a few `f32` numbers (relative error 6e-8, far below the error of any estimate), updated by + - x / and square root
//! alone, so it is the same on every CPU; what is computed from it is computed in `f64`, and transcendental functions
//! only judge. Two memories watch a number: the slow one forgets with the definition's half-life, the fast one sixteen
//! times sooner. Knowledge is shrunk to where it comes from: the fast memory to the slow one, the slow one to the
//! group's prior, the group's prior to the definition's.
//!
//! Windows, entities and epochs belong to the caller. A window that was empty is not visited: [`Baseline::age`] tells
//! how many there were.

mod activity;
mod burst;
mod category;
mod count;
mod decay;
mod interval;
mod judgement;
mod lost;
mod magnitude;
mod moments;
mod prevalence;
#[cfg(test)]
mod proof;
#[cfg(test)]
pub(super) use proof::Random;
mod quantile;
mod ratio;
mod season;
mod solve;
mod strength;
pub mod tail;
mod time_of_week;
mod values;

pub use category::{Category, CategoryPrior, CategorySummary, News, Novelty};
pub use count::{Count, CountPrior, CountSummary};
pub use decay::Decay;
pub(in crate::engine) use decay::{power, weight_of};
pub use interval::{Contact, GAPS_MAX, GAPS_MIN, Interval, IntervalPrior, IntervalSummary, Rarity, Standing};
pub use judgement::{Expected, Judgement, Learned, Memory, NormalIf, Tail, surprise_of};
pub use magnitude::{Magnitude, MagnitudePrior, MagnitudeSummary};
pub use quantile::{Quantile, QuantilePrior, QuantileSummary};
pub use ratio::{Attempts, Ratio, RatioPrior, RatioSummary};

pub use season::{Scale, Season, SeasonSummary, SeasonVote};
pub use time_of_week::{HOURS, TimeOfWeek, TimeOfWeekPrior, TimeOfWeekSummary};
pub use values::print;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What many entities say together. Integers only, so that merging in any order gives the same bits.
pub trait Summary: Clone + Default + Serialize + DeserializeOwned {
    /// Adds what another part of the population says.
    fn merge(&mut self, other: &Self);
}

/// The predictive distribution of one measure of one entity.
///
/// `count`, `magnitude`, `ratio` and `quantile` are told one number a window, and [`learn`](Baseline::learn) forgets
/// for that window. `category`, `time_of_week` and `interval` are told any number of things in a window; for them the
/// caller ages by one when a window closes.
pub trait Baseline: Clone + Default + Serialize + DeserializeOwned {
    /// What a window shows.
    type Seen: Copy;
    /// What is believed before the entity has a history.
    type Prior: Clone;
    /// What the group's entities say together.
    type Summary: Summary;

    /// Accounts for `windows` in which nothing was seen, in closed form.
    fn age(&mut self, windows: u64, decay: &Decay);

    /// How strange `seen` is. `scale` is what the season multiplies at the window's hour.
    fn judge(&self, prior: &Self::Prior, scale: Scale, seen: Self::Seen, tail: Tail) -> Judgement;

    /// Takes `seen` into the memory, after it was judged.
    fn learn(&mut self, prior: &Self::Prior, scale: Scale, seen: Self::Seen, decay: &Decay) -> Learned;

    /// The logarithm of the probability that a window has anything in it; 0 where empty windows are not predicted.
    /// Judging is of all windows, so `ln_p` less this is how strange an active window is among active ones.
    fn ln_active(&self, _prior: &Self::Prior, _scale: Scale) -> f64 {
        0.0
    }

    /// How many windows the entity has been seen for, after forgetting.
    fn windows(&self) -> f64;

    /// What the window shows about its hour of the week: the entity's own share of active windows, and how much there
    /// was over what usually is in an active one (nothing for an empty window). `None` where there is no season.
    fn season_vote(&self, _prior: &Self::Prior, _seen: Self::Seen) -> Option<(f64, Option<f64>)> {
        None
    }

    /// A number below which an upper tail is certainly less surprising than 2, from + - x / and square root alone, so
    /// that the hot path need not judge.
    fn surprising_from(&self, prior: &Self::Prior, scale: Scale) -> f64;

    /// What people read: interval, mean, variance, and how much evidence stands behind them. Dearer than judging.
    fn expected(&self, prior: &Self::Prior, scale: Scale) -> Expected;

    /// The smallest change of `seen` that would have been less surprising than `surprise_max`.
    fn normal_if(
        &self,
        prior: &Self::Prior,
        scale: Scale,
        seen: Self::Seen,
        tail: Tail,
        surprise_max: f64,
    ) -> Option<NormalIf>;

    /// Adds this entity's one vote to the summary of its group's epoch.
    fn vote(&self, summary: &mut Self::Summary);

    /// The group's prior from merged summaries; the definition's own while the group is small.
    fn prior(definition: &Self::Prior, summary: &Self::Summary) -> Self::Prior;
}
