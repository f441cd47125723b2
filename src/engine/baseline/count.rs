//! How many in a window: events, distinct things. A hurdle, then a zero-truncated negative binomial.
//!
//! Whether a window is active at all is beta-Bernoulli. How many there are in an active window is negative binomial
//! given that it is not zero; its mean and spread come from forgotten moments (see `moments.rs`), because a
//! gamma-Poisson alone does not learn over-dispersion. The law with these moments judges (Hilbe, "Negative Binomial
//! Regression", on truncation and hurdles). Its spread is an estimate, so its tail is that of an estimated spread.
//! A season multiplies the odds of being active, and what is above one in an active window. Empty windows are forgotten
//! at the odds of all hours: over a week the multipliers have a mean of 1.
//!
//! Learning takes about 10 ns, a state 36 bytes.

use super::activity::{Activity, ActivityPrior, ActivitySummary, DEFINITION_ENTITIES, GROUP_ENTITIES_MIN};
use super::decay::round9;
use super::judgement::{Tails, largest_usual, strangest, with_estimated_spread};
use super::moments::{Belief, Moments, Prediction, SPREAD_WEIGHT};
use super::solve::{with_dispersion, with_spread};
use super::tail::{NegativeBinomial, ln_one_minus_exp, ln_sum};
use super::{Baseline, Decay, Expected, Judgement, Learned, Memory, NormalIf, Scale, Summary, Tail};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// The predictive distribution of a count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    activity: Activity,
    /// How many in active windows.
    level: Moments,
}

/// What is believed of a count before the entity has a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountPrior {
    activity: ActivityPrior,
    /// Mean of active windows, and how many active windows that is worth.
    mean: f64,
    mean_weight: f64,
    /// How many active windows the spread is worth.
    spread_weight: f64,
    /// Over-dispersion of the negative binomial before truncation.
    dispersion: f64,
}

/// What a group's entities say together about their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountSummary {
    activity: ActivitySummary,
    entities: u64,
    mean_sum: i128,
    mean_squares: i128,
    mean_noise: i128,
    spreads: u64,
    dispersion_sum: i64,
}

/// Degrees of freedom of the spread of an entity without history.
const DEGREES: f64 = 30.0;
/// Fixed point of the summaries: 2^20 to one.
const ONE: f64 = 1_048_576.0;

impl CountPrior {
    /// A prior as definitions write it: the mean over all windows (empty ones too), over-dispersion (variance =
    /// mean + dispersion * mean^2), and how many windows of an entity's own history outweigh it.
    pub fn new(mean: f64, dispersion: f64, weight: f64) -> Self {
        let law = NegativeBinomial {
            mean: mean.clamp(1e-6, 1e12),
            dispersion: dispersion.clamp(1e-9, 1e4),
        };
        let active = (-law.ln_zero().exp_m1()).clamp(1e-9, 1.0 - 1e-9);
        CountPrior {
            activity: ActivityPrior {
                share: round9(active),
                weight: weight.clamp(0.1, 1e4),
            },
            mean: round9((law.mean / active).max(1.0)),
            mean_weight: weight.clamp(0.1, 1e4),
            spread_weight: SPREAD_WEIGHT,
            dispersion: law.dispersion,
        }
    }

    /// The same belief, whose spread is worth so many active windows of an entity's own: a quiet night says little
    /// about how the day will be.
    #[must_use]
    pub fn spread_known_after(mut self, windows: f64) -> Self {
        self.spread_weight = windows.clamp(SPREAD_WEIGHT, 1e4);
        self
    }

    /// For learning: from + - x / alone.
    fn rough(&self) -> Belief<impl Fn(f64) -> f64> {
        Belief {
            mean: self.mean,
            weight: self.mean_weight,
            spread_weight: self.spread_weight,
            variance_at: |mean| self.rough_variance(mean),
        }
    }

    /// For judging.
    fn exact(&self) -> Belief<impl Fn(f64) -> f64> {
        Belief {
            mean: self.mean,
            weight: self.mean_weight,
            spread_weight: self.spread_weight,
            variance_at: |mean| self.variance(mean),
        }
    }

    /// The variance of active windows at a level, nearly; from + - x / alone, for learning.
    fn rough_variance(&self, mean: f64) -> f64 {
        let inverse = 1.0 / mean.max(1.0);
        let spread = (mean.max(1.0) - inverse) * (1.0 + self.dispersion * (1.0 - inverse));
        (mean * (spread + 1.0 - mean)).max(0.1 * mean).max(0.05)
    }

    /// The variance of active windows at a level.
    fn variance(&self, mean: f64) -> f64 {
        let law = with_dispersion(mean, self.dispersion);
        (mean * (law.mean * (1.0 + law.dispersion) + 1.0 - mean)).max(1e-9)
    }
}

/// A law of counts: active with this probability, and then this law given that it is not zero.
#[derive(Clone, Copy, Debug)]
struct Hurdle {
    active: f64,
    law: NegativeBinomial,
    degrees: f64,
}

impl Hurdle {
    fn judge(&self, seen: u64, tail: Tail, memory: Memory) -> Judgement {
        let (at_least, above) = match tail {
            Tail::Lower => (0.0, 0.0),
            Tail::Upper | Tail::Both => (self.ln_at_least(seen), self.ln_at_least(seen.saturating_add(1))),
        };
        let (at_most, below) = match tail {
            Tail::Upper => (0.0, 0.0),
            Tail::Lower | Tail::Both => (self.ln_below(seen.saturating_add(1)), self.ln_below(seen)),
        };
        let tails = Tails {
            at_least,
            above,
            at_most,
            below,
        };
        tails.judge(tail, memory)
    }

    /// ln P(X >= x)
    fn ln_at_least(&self, x: u64) -> f64 {
        match x {
            0 => 0.0,
            1 => self.active.ln(),
            x => {
                let ln_untruncated = ln_one_minus_exp(self.law.ln_zero());
                let upper = (self.law.ln_tails(x as f64).0 - ln_untruncated).min(0.0);
                self.active.ln() + with_estimated_spread(upper, self.degrees)
            }
        }
    }

    /// ln P(X < x)
    fn ln_below(&self, x: u64) -> f64 {
        let ln_quiet = (-self.active).ln_1p();
        match x {
            0 => f64::NEG_INFINITY,
            1 => ln_quiet,
            x => {
                let (lower, zero) = (self.law.ln_tails(x as f64).1, self.law.ln_zero());
                // P(0 < X < x) = P(X < x) - P(0).
                let lower = if lower > zero {
                    (lower + ln_one_minus_exp(zero - lower) - ln_one_minus_exp(zero)).min(0.0)
                } else {
                    f64::NEG_INFINITY
                };
                ln_sum(ln_quiet, self.active.ln() + with_estimated_spread(lower, self.degrees))
            }
        }
    }

    /// The smallest count whose probability of not being exceeded is at least `share`.
    fn quantile(&self, share: f64) -> f64 {
        let ln_share = share.ln();
        let reached = |x: u64| self.ln_below(x.saturating_add(1)) >= ln_share;
        if reached(0) {
            return 0.0;
        }
        let mut high = 1u64;
        while !reached(high) && high < 1 << 52 {
            high *= 2;
        }
        let mut low = high / 2;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if reached(middle) { high = middle } else { low = middle }
        }
        high as f64
    }
}

impl Count {
    fn memory(&self, prior: &CountPrior) -> Memory {
        if f64::from(self.activity.windows) < prior.activity.weight {
            Memory::Prior
        } else {
            Memory::Slow
        }
    }

    /// What the slow memory alone says.
    pub(super) fn judge_slow(&self, prior: &CountPrior, scale: Scale, seen: u64, tail: Tail) -> Judgement {
        self.slow_law(prior, scale).judge(seen, tail, self.memory(prior))
    }

    fn slow_law(&self, prior: &CountPrior, scale: Scale) -> Hurdle {
        self.law(prior, scale, self.level.slow(&prior.exact()))
    }

    fn fast_law(&self, prior: &CountPrior, scale: Scale) -> Hurdle {
        self.law(prior, scale, self.level.fast(&prior.exact()))
    }

    fn law(&self, prior: &CountPrior, scale: Scale, predicted: Prediction) -> Hurdle {
        let Prediction { mean, variance } = predicted;
        let seasonal_mean = 1.0 + (mean - 1.0).max(1e-9) * scale.level;
        // The part of the variance that is the level's own goes with the square of the level, the rest with the level.
        let ratio = seasonal_mean / mean.max(1.0);
        let poisson = variance.min(mean);
        let seasonal_variance = poisson * ratio + (variance - poisson) * ratio * ratio;
        let spread = seasonal_variance / seasonal_mean + seasonal_mean - 1.0;
        Hurdle {
            active: self.activity.share(&self.level, &prior.activity, scale),
            law: with_spread(seasonal_mean, spread),
            degrees: DEGREES + f64::from(self.level.weight),
        }
    }
}

impl Baseline for Count {
    type Seen = u64;
    type Prior = CountPrior;
    type Summary = CountSummary;

    fn age(&mut self, windows: u64, decay: &Decay) {
        self.activity.age(&mut self.level, windows, decay);
    }

    fn judge(&self, prior: &CountPrior, scale: Scale, seen: u64, tail: Tail) -> Judgement {
        let slow = self.judge_slow(prior, scale, seen, tail);
        let fast = self
            .level
            .has_fast()
            .then(|| self.fast_law(prior, scale).judge(seen, tail, Memory::Fast));
        strangest(slow, fast)
    }

    fn learn(&mut self, prior: &CountPrior, scale: Scale, seen: u64, decay: &Decay) -> Learned {
        if seen == 0 {
            let told = self.activity.age(&mut self.level, 1, decay);
            return if told { Learned::RegimeChange } else { Learned::Usual };
        }
        let level = 1.0 + (seen - 1) as f64 / scale.level;
        self.activity.learn_active(&mut self.level, decay);
        let learned = self.level.learn(&prior.rough(), level, decay).learned;
        self.activity.follow(&self.level);
        learned
    }

    fn ln_active(&self, prior: &CountPrior, scale: Scale) -> f64 {
        let ln_share = self.activity.share(&self.level, &prior.activity, scale).ln();
        if self.level.has_fast() {
            (ln_share + LN_2).min(0.0)
        } else {
            ln_share
        }
    }

    fn windows(&self) -> f64 {
        self.activity.windows.into()
    }

    fn season_vote(&self, prior: &CountPrior, seen: u64) -> Option<(f64, Option<f64>)> {
        let share = self.activity.share(&self.level, &prior.activity, Scale::ONE);
        let usual = self.level.slow_mean(&prior.rough());
        // Half an event more keeps the ratio of small numbers in bounds.
        let level = (seen > 0).then(|| ((seen - 1) as f64 + 0.5) / ((usual - 1.0).max(0.0) + 0.5));
        Some((share, level))
    }

    fn surprising_from(&self, prior: &CountPrior, scale: Scale) -> f64 {
        let share = self.activity.share(&self.level, &prior.activity, scale);
        if share < 0.3 {
            return if share < 0.0101 { 1.0 } else { 2.0 };
        }
        let slow = self.level.slow_mean(&prior.rough());
        let mean = if self.level.has_fast() {
            slow.min(self.level.fast_mean(slow))
        } else {
            slow
        };
        let usual = 1.0 + (mean - 1.0).max(0.0) * scale.level;
        // Both laws are at least as wide as a Poisson law after truncation, nearly.
        (usual + (usual - 1.0).max(0.0).sqrt()).max(2.0)
    }

    fn expected(&self, prior: &CountPrior, scale: Scale) -> Expected {
        let hurdle = self.slow_law(prior, scale);
        let law = hurdle.law;
        let untruncated = -law.ln_zero().exp_m1();
        let positive = law.mean / untruncated.max(1e-300);
        let mean = hurdle.active * positive;
        let square = mean * (1.0 + law.mean * (1.0 + law.dispersion));
        Expected {
            typical: hurdle.quantile(0.5),
            low: hurdle.quantile(0.05),
            high: hurdle.quantile(0.95),
            mean,
            variance: (square - mean * mean).max(0.0),
            history_windows: f64::from(self.activity.windows),
            prior_weight: prior.activity.weight / (prior.activity.weight + f64::from(self.activity.windows)),
        }
    }

    fn normal_if(
        &self,
        prior: &CountPrior,
        scale: Scale,
        seen: u64,
        tail: Tail,
        surprise_max: f64,
    ) -> Option<NormalIf> {
        let usual = |x: u64| self.judge(prior, scale, x, tail).surprise() < surprise_max;
        if usual(seen) {
            return None;
        }
        let high = tail != Tail::Lower && seen as f64 >= self.expected(prior, scale).typical;
        if high {
            return Some(NormalIf::AtMost(largest_usual(seen, usual) as f64));
        }
        let mut step = 1u64;
        while !usual(seen.saturating_add(step)) {
            step = step.checked_mul(2)?;
        }
        let missing = step - largest_usual(step, |less| usual(seen + (step - less)));
        Some(NormalIf::AtLeast((seen + missing) as f64))
    }

    fn vote(&self, summary: &mut CountSummary) {
        self.activity.vote(&self.level, &mut summary.activity);
        // An entity that came once says as much about the next one that comes as any other.
        if self.level.weight < 0.5 {
            return;
        }
        let mean = f64::from(self.level.mean).clamp(1.0, 1e12);
        summary.entities += 1;
        summary.mean_sum += (mean * ONE).round() as i128;
        summary.mean_squares += (mean * mean * ONE).round() as i128;
        // What an entity shows of its own spread takes a few windows.
        if self.level.weight < 4.0 {
            return;
        }
        let variance = f64::from(self.level.variance).clamp(0.0, 1e24);
        summary.mean_noise += (variance / f64::from(self.level.weight) * ONE).round() as i128;
        let dispersion = ((variance - mean) / (mean * mean)).clamp(0.0, 100.0);
        summary.spreads += 1;
        summary.dispersion_sum += (dispersion * ONE).round() as i64;
    }

    fn prior(definition: &CountPrior, summary: &CountSummary) -> CountPrior {
        let mut prior = CountPrior {
            activity: definition.activity.learned(&summary.activity),
            ..*definition
        };
        if summary.entities < GROUP_ENTITIES_MIN {
            return prior;
        }
        let n = summary.entities as f64 + DEFINITION_ENTITIES;
        let between = definition.rough_variance(definition.mean) / definition.mean_weight;
        prior.mean = ((DEFINITION_ENTITIES * definition.mean + summary.mean_sum as f64 / ONE) / n).max(1.0);
        let square = (DEFINITION_ENTITIES * (definition.mean * definition.mean + between)
            + (summary.mean_squares - summary.mean_noise) as f64 / ONE)
            / n;
        let spreads = summary.spreads as f64 + DEFINITION_ENTITIES;
        prior.dispersion =
            (DEFINITION_ENTITIES * definition.dispersion + summary.dispersion_sum as f64 / ONE) / spreads;
        let within = prior.rough_variance(prior.mean);
        let between = (square - prior.mean * prior.mean).max(1e-3 * within);
        prior.mean_weight = (within / between).clamp(1e-3, 100.0);
        prior
    }
}

impl Summary for CountSummary {
    fn merge(&mut self, other: &Self) {
        self.activity.merge(&other.activity);
        self.entities += other.entities;
        self.mean_sum += other.mean_sum;
        self.mean_squares += other.mean_squares;
        self.mean_noise += other.mean_noise;
        self.spreads += other.spreads;
        self.dispersion_sum += other.dispersion_sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(
        clippy::excessive_precision,
        reason = "references are given with all digits that were computed"
    )]
    fn truncated_tails_are_right_at_1e_minus_12() {
        // mpmath 1.3 with 60 digits: sums of the mass function over 1 - P(0).
        for (mean, dispersion, seen, reference) in [
            (0.4, 2.0, 30, -24.9557790967383538),
            (3.0, 0.5, 40, -17.4254582194386335),
            (20.0, 0.2, 140, -20.9017856756223117),
            (0.05, 1.0, 9, -24.3561795017873835),
        ] {
            let hurdle = Hurdle {
                active: 0.25,
                law: NegativeBinomial { mean, dispersion },
                degrees: 1e13,
            };
            let upper = hurdle.ln_at_least(seen) - 0.25f64.ln();
            assert!(
                (upper - reference).abs() < 1e-9 * reference.abs(),
                "{mean} {dispersion} {seen}: {upper} {reference}"
            );
        }
    }
}
