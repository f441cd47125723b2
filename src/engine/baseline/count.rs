//! How many in a window: events, distinct things. A hurdle, then a zero-truncated negative binomial.
//!
//! Whether a window is active at all is beta-Bernoulli. How many there are in an active window is negative binomial
//! given that it is not zero; its mean and spread come from forgotten moments, because a gamma-Poisson alone does not
//! learn over-dispersion. With `a` the forgotten weight of active windows, prior mean `M0` worth `K` windows and prior
//! variance `V0` worth `N` windows:
//!
//! ```text
//! mean      M = (K M0 + a m) / (K + a)                     credibility (Bühlmann 1967)
//! within    W = (N V0(M) + a v) / (N + a - 1)              spread, shrunk to the group's at this level
//! predict   V = W + W / (K + a)                            and not knowing the mean; at a = 0 this is the width
//!                                                          between entities, which no number of entities shrinks
//! ```
//!
//! The negative binomial with moments M and V judges (Hilbe, "Negative Binomial Regression", on truncation). Its spread
//! is an estimate, so the tail is that of an estimated spread. The fast memory predicts with its own mean, shrunk
//! to the slow one's, and with the spread of its own one-step errors as the slow memory knows them: a habit that
//! jumps every morning does not break it.
//!
//! One update moves a mean by at most [`Count::BOUND`] predictive deviations divided by the weight of the memory
//! (Huber 1964). For an exponential tail, cutting there takes 3 % of the variance, which is put back.
//! Learning takes about 10 ns, a state 40 bytes.

use super::decay::{power, round9, weight_of};
use super::judgement::{Tails, largest_usual, strangest, with_estimated_spread};
use super::solve::{with_dispersion, with_spread};
use super::tail::{NegativeBinomial, ln_one_minus_exp, ln_sum};
use super::{Baseline, Decay, Expected, Judgement, Learned, Memory, NormalIf, Summary, Tail};
use serde::{Deserialize, Serialize};

/// The predictive distribution of a count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// Forgotten number of windows.
    weight: f32,
    /// Forgotten number of active windows.
    active: f32,
    /// Mean and variance of active windows.
    mean: f32,
    variance: f32,
    /// The same of the fast memory; its errors are squared one-step errors, forgotten slowly.
    fast_active: f32,
    fast_mean: f32,
    fast_error: f32,
    /// The level that the last surprising windows agree on, and how many they are.
    candidate: f32,
    agreeing: u8,
}

/// What is believed of a count before the entity has a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CountPrior {
    /// Share of active windows, and how many windows that is worth.
    active: f64,
    active_weight: f64,
    /// Mean of active windows, and how many active windows that is worth.
    mean: f64,
    mean_weight: f64,
    /// Over-dispersion of the negative binomial before truncation.
    dispersion: f64,
}

/// What a group's entities say together about their counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountSummary {
    entities: u64,
    active_sum: i64,
    active_squares: i64,
    active_noise: i64,
    levels: u64,
    mean_sum: i128,
    mean_squares: i128,
    mean_noise: i128,
    dispersion_sum: i64,
}

/// How many windows the group's dispersion is worth.
const DISPERSION_WEIGHT: f64 = 10.0;
/// Degrees of freedom of the spread of an entity without history.
const DEGREES: f64 = 30.0;
/// How many windows the slow memory is worth to the fast one.
const FAST_WEIGHT: f64 = 4.0;
/// What cutting at the bound takes from the variance of an exponential tail.
const CONSISTENCY: f64 = 1.03;
/// A window this many predictive deviations out may be the first of a new level.
const SURPRISING: f64 = 3.0;
/// So many surprising windows that agree on a level are a change of regime.
const REGIME_WINDOWS: u8 = 6;
/// Fixed point of the summaries: 2^20 to one.
const ONE: f64 = 1_048_576.0;
/// How many entities the definition's prior is worth against the group's.
const DEFINITION_ENTITIES: f64 = 20.0;
/// A group of fewer entities has no say.
const GROUP_ENTITIES_MIN: u64 = 8;

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
            active: round9(active),
            active_weight: weight.clamp(0.1, 1e4),
            mean: round9((law.mean / active).max(1.0)),
            mean_weight: weight.clamp(0.1, 1e4),
            dispersion: law.dispersion,
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
    fn tails(&self, seen: u64) -> Tails {
        let (ln_active, ln_quiet) = (self.active.ln(), (-self.active).ln_1p());
        if seen == 0 {
            return Tails {
                at_least: 0.0,
                above: ln_active,
                at_most: ln_quiet,
                below: f64::NEG_INFINITY,
            };
        }
        let ln_untruncated = ln_one_minus_exp(self.law.ln_zero());
        let truncated = |x: f64| {
            let (upper, lower) = self.law.ln_tails(x);
            let upper = (upper - ln_untruncated).min(0.0);
            // P(0 < X < x) = P(X < x) - P(0).
            let zero = self.law.ln_zero();
            let lower = if lower > zero {
                (lower + ln_one_minus_exp(zero - lower) - ln_untruncated).min(0.0)
            } else {
                f64::NEG_INFINITY
            };
            (
                with_estimated_spread(upper, self.degrees),
                with_estimated_spread(lower, self.degrees),
            )
        };
        let (upper, lower) = truncated(seen as f64);
        let (upper_next, lower_next) = truncated(seen as f64 + 1.0);
        Tails {
            at_least: ln_active + if seen == 1 { 0.0 } else { upper },
            above: ln_active + upper_next,
            at_most: ln_sum(ln_quiet, ln_active + lower_next),
            below: ln_sum(ln_quiet, ln_active + lower),
        }
    }

    /// The smallest count whose probability of not being exceeded is at least `share`.
    fn quantile(&self, share: f64) -> f64 {
        let ln_share = share.ln();
        let reached = |x: u64| self.tails(x).at_most >= ln_share;
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
    /// How many predictive deviations from the mean an update counts as at most.
    pub const BOUND: f64 = 5.0;

    /// The posterior mean of active windows, without season.
    fn slow_mean(&self, prior: &CountPrior) -> f64 {
        let active = f64::from(self.active);
        (prior.mean_weight * prior.mean + active * f64::from(self.mean)) / (prior.mean_weight + active)
    }

    fn fast_mean(&self, slow_mean: f64) -> f64 {
        let active = f64::from(self.fast_active);
        (FAST_WEIGHT * slow_mean + active * f64::from(self.fast_mean)) / (FAST_WEIGHT + active)
    }

    /// Variance of active windows around their mean, shrunk to the prior's.
    fn within(&self, prior_variance: f64, own: f32) -> f64 {
        let active = f64::from(self.active);
        (DISPERSION_WEIGHT * prior_variance + active * f64::from(own)) / (DISPERSION_WEIGHT + (active - 1.0).max(0.0))
    }

    /// The share of active windows, with the season's odds.
    fn active_share(&self, prior: &CountPrior, scale: f64) -> f64 {
        let yes = prior.active_weight * prior.active + f64::from(self.active);
        let no = prior.active_weight * (1.0 - prior.active) + f64::from(self.weight - self.active).max(0.0);
        (yes * scale / (yes * scale + no)).clamp(1e-12, 1.0 - 1e-12)
    }

    /// Whether the fast memory knows something else than the slow one.
    fn has_fast(&self) -> bool {
        self.active > 8.0 && self.fast_active < 0.8 * self.active
    }

    fn memory(&self, prior: &CountPrior) -> Memory {
        if f64::from(self.weight) < prior.mean_weight {
            Memory::Prior
        } else {
            Memory::Slow
        }
    }

    fn slow_law(&self, prior: &CountPrior, scale: f64) -> Hurdle {
        let mean = self.slow_mean(prior);
        let within = self.within(prior.variance(mean), self.variance);
        let variance = within + within / (prior.mean_weight + f64::from(self.active));
        self.law(prior, scale, mean, variance)
    }

    fn fast_law(&self, prior: &CountPrior, scale: f64) -> Hurdle {
        let slow_mean = self.slow_mean(prior);
        let mean = self.fast_mean(slow_mean);
        let variance = self.within(prior.variance(mean), self.fast_error);
        self.law(prior, scale, mean, variance)
    }

    fn law(&self, prior: &CountPrior, scale: f64, mean: f64, variance: f64) -> Hurdle {
        let seasonal_mean = 1.0 + (mean - 1.0).max(1e-9) * scale;
        // The part of the variance that is the level's own goes with the square of the level, the rest with the level.
        let ratio = seasonal_mean / mean.max(1.0);
        let poisson = variance.min(mean);
        let seasonal_variance = poisson * ratio + (variance - poisson) * ratio * ratio;
        let spread = seasonal_variance / seasonal_mean + seasonal_mean - 1.0;
        Hurdle {
            active: self.active_share(prior, scale),
            law: with_spread(seasonal_mean, spread),
            degrees: DEGREES + f64::from(self.active),
        }
    }

    /// Follows windows that are surprising; true when they have agreed often enough.
    fn agree(&mut self, level: f64, mean: f64, deviation: f64) -> bool {
        let candidate = f64::from(self.candidate);
        let ratio = candidate / mean.max(1e-9);
        let tolerance = SURPRISING * deviation * (ratio * ratio.max(1.0)).sqrt();
        if self.agreeing > 0 && candidate > 0.0 && (level - candidate).abs() <= tolerance {
            self.agreeing += 1;
            self.candidate += ((level - candidate) / f64::from(self.agreeing)) as f32;
        } else {
            self.agreeing = 1;
            self.candidate = level as f32;
        }
        self.agreeing >= REGIME_WINDOWS
    }

    fn settle(&mut self, mean: f64, within: f64) {
        let ratio = f64::from(self.candidate) / mean.max(1e-9);
        let weight = f32::from(REGIME_WINDOWS);
        self.mean = self.candidate;
        self.variance = (within * ratio * ratio.max(1.0)) as f32;
        self.active = self.active.min(weight);
        self.weight = self.weight.min(weight);
        self.fast_mean = self.candidate;
        self.fast_active = self.fast_active.min(weight);
        self.fast_error = self.variance;
        self.agreeing = 0;
        self.candidate = 0.0;
    }

    /// Follows empty windows of an entity that hardly ever had one.
    fn learn_quiet(&mut self, windows: u64) -> bool {
        let was_busy = self.active > 0.99 * self.weight && self.weight > 20.0;
        let follows = self.agreeing > 0 && self.candidate == 0.0;
        if !was_busy && !follows {
            self.agreeing = 0;
            return false;
        }
        let before = if follows { self.agreeing } else { 0 };
        self.candidate = 0.0;
        self.agreeing = u8::try_from(windows.saturating_add(before.into())).unwrap_or(u8::MAX);
        if self.agreeing < REGIME_WINDOWS {
            return false;
        }
        self.agreeing = 0;
        self.weight = self.weight.min(f32::from(REGIME_WINDOWS));
        self.active = 0.0;
        self.fast_active = 0.0;
        true
    }
}

impl Baseline for Count {
    type Seen = u64;
    type Prior = CountPrior;
    type Summary = CountSummary;

    fn age(&mut self, windows: u64, decay: &Decay) {
        if windows == 0 {
            return;
        }
        let kept = power(decay.slow(), windows);
        self.learn_quiet(windows);
        self.weight = (f64::from(self.weight) * kept + weight_of(decay.slow(), windows)) as f32;
        self.active = (f64::from(self.active) * kept) as f32;
        self.fast_active = (f64::from(self.fast_active) * power(decay.fast(), windows)) as f32;
    }

    fn judge(&self, prior: &CountPrior, scale: f64, seen: u64, tail: Tail) -> Judgement {
        let slow = self.slow_law(prior, scale).tails(seen).judge(tail, self.memory(prior));
        let fast = self
            .has_fast()
            .then(|| self.fast_law(prior, scale).tails(seen).judge(tail, Memory::Fast));
        strangest(slow, fast)
    }

    fn learn(&mut self, prior: &CountPrior, scale: f64, seen: u64, decay: &Decay) -> Learned {
        if seen == 0 {
            let told = self.learn_quiet(1);
            self.weight = (f64::from(self.weight) * decay.slow() + 1.0) as f32;
            self.active = (f64::from(self.active) * decay.slow()) as f32;
            self.fast_active = (f64::from(self.fast_active) * decay.fast()) as f32;
            return if told { Learned::RegimeChange } else { Learned::Usual };
        }
        let level = 1.0 + (seen - 1) as f64 / scale;
        let mean = self.slow_mean(prior);
        let within = self.within(prior.rough_variance(mean), self.variance);
        let deviation = (within + within / (prior.mean_weight + f64::from(self.active))).sqrt();
        let error = level - mean;
        let surprising = error.abs() > SURPRISING * deviation;
        let bounded = error.clamp(-Self::BOUND * deviation, Self::BOUND * deviation);

        let fast_mean = self.fast_mean(mean);
        let fast_deviation = self.within(prior.rough_variance(fast_mean), self.fast_error).sqrt();
        let fast_bounded = (level - fast_mean).clamp(-Self::BOUND * fast_deviation, Self::BOUND * fast_deviation);

        let active = f64::from(self.active) * decay.slow() + 1.0;
        let share = 1.0 / active;
        self.weight = (f64::from(self.weight) * decay.slow() + 1.0) as f32;
        self.active = active as f32;
        let fast_active = f64::from(self.fast_active) * decay.fast() + 1.0;
        self.fast_active = fast_active as f32;

        if !surprising {
            self.agreeing = 0;
        } else if self.agree(level, mean, deviation) {
            self.settle(mean, within);
            return Learned::RegimeChange;
        }
        let own = f64::from(self.mean);
        let step = mean + bounded - own;
        self.mean = (own + step * share) as f32;
        // Windows that follow a first surprising one and agree with it are a new level, not a wider spread.
        if self.agreeing < 2 {
            let put_back = if error == bounded { 1.0 } else { CONSISTENCY };
            let square = step * step * put_back;
            self.variance = ((1.0 - share) * (f64::from(self.variance) + square * share)) as f32;
            let fast_square = fast_bounded * fast_bounded;
            self.fast_error += ((fast_square - f64::from(self.fast_error)) * share) as f32;
        }
        let fast_own = f64::from(self.fast_mean);
        self.fast_mean = (fast_own + (fast_mean + fast_bounded - fast_own) / fast_active) as f32;
        if error == bounded {
            Learned::Usual
        } else {
            Learned::Bounded
        }
    }

    fn surprising_from(&self, prior: &CountPrior, scale: f64) -> f64 {
        let share = self.active_share(prior, scale);
        if share < 0.3 {
            return if share < 0.0101 { 1.0 } else { 2.0 };
        }
        let mean = self.slow_mean(prior);
        let fast = if self.has_fast() { self.fast_mean(mean) } else { mean };
        let lower = 1.0 + (mean.min(fast) - 1.0).max(0.0) * scale;
        // Both laws have at least the variance of a Poisson law after truncation, nearly.
        (lower + (lower - 1.0).max(0.0).sqrt()).max(2.0)
    }

    fn expected(&self, prior: &CountPrior, scale: f64) -> Expected {
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
            history_windows: f64::from(self.weight),
            prior_weight: prior.active_weight / (prior.active_weight + f64::from(self.weight)),
        }
    }

    fn normal_if(&self, prior: &CountPrior, scale: f64, seen: u64, tail: Tail, surprise_max: f64) -> Option<NormalIf> {
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
        if self.weight < 6.0 {
            return;
        }
        let weight = f64::from(self.weight);
        let share = (f64::from(self.active) / weight).clamp(0.0, 1.0);
        summary.entities += 1;
        summary.active_sum += (share * ONE).round() as i64;
        summary.active_squares += (share * share * ONE).round() as i64;
        summary.active_noise += (share * (1.0 - share) / weight * ONE).round() as i64;
        if self.active < 4.0 {
            return;
        }
        let mean = f64::from(self.mean).clamp(1.0, 1e12);
        let variance = f64::from(self.variance).clamp(0.0, 1e24);
        summary.levels += 1;
        summary.mean_sum += (mean * ONE).round() as i128;
        summary.mean_squares += (mean * mean * ONE).round() as i128;
        summary.mean_noise += (variance / f64::from(self.active) * ONE).round() as i128;
        let dispersion = ((variance - mean) / (mean * mean)).clamp(0.0, 100.0);
        summary.dispersion_sum += (dispersion * ONE).round() as i64;
    }

    fn prior(definition: &CountPrior, summary: &CountSummary) -> CountPrior {
        let mut prior = *definition;
        if summary.entities >= GROUP_ENTITIES_MIN {
            let n = summary.entities as f64 + DEFINITION_ENTITIES;
            let between = definition.active * (1.0 - definition.active) / (definition.active_weight + 1.0);
            let mean = (DEFINITION_ENTITIES * definition.active + summary.active_sum as f64 / ONE) / n;
            let square = (DEFINITION_ENTITIES * (definition.active * definition.active + between)
                + (summary.active_squares - summary.active_noise) as f64 / ONE)
                / n;
            let between = (square - mean * mean).max(1e-6);
            prior.active = mean.clamp(1e-6, 1.0 - 1e-6);
            prior.active_weight = (prior.active * (1.0 - prior.active) / between - 1.0).clamp(0.2, 100.0);
        }
        if summary.levels >= GROUP_ENTITIES_MIN {
            let n = summary.levels as f64 + DEFINITION_ENTITIES;
            let within = definition.rough_variance(definition.mean);
            let between = within / definition.mean_weight;
            prior.mean = ((DEFINITION_ENTITIES * definition.mean + summary.mean_sum as f64 / ONE) / n).max(1.0);
            let square = (DEFINITION_ENTITIES * (definition.mean * definition.mean + between)
                + (summary.mean_squares - summary.mean_noise) as f64 / ONE)
                / n;
            prior.dispersion = (DEFINITION_ENTITIES * definition.dispersion + summary.dispersion_sum as f64 / ONE) / n;
            let within = prior.rough_variance(prior.mean);
            let between = (square - prior.mean * prior.mean).max(1e-3 * within);
            prior.mean_weight = (within / between).clamp(1e-3, 100.0);
        }
        prior
    }
}

impl Summary for CountSummary {
    fn merge(&mut self, other: &Self) {
        self.entities += other.entities;
        self.active_sum += other.active_sum;
        self.active_squares += other.active_squares;
        self.active_noise += other.active_noise;
        self.levels += other.levels;
        self.mean_sum += other.mean_sum;
        self.mean_squares += other.mean_squares;
        self.mean_noise += other.mean_noise;
        self.dispersion_sum += other.dispersion_sum;
    }
}
