//! How much: bytes, durations, sums. A hurdle, then Student's t on log1p, then a generalised Pareto tail.
//!
//! Whether a window has anything is beta-Bernoulli. What is in it is log-normal with a spread that was estimated, so
//! the logarithm is Student's t around the memory's mean (Gelman et al., "Bayesian Data Analysis", 3.2). Far out,
//! real traffic is heavier than that: windows whose logarithm is two deviations or more above the mean are
//! counted with their excess, the group fits a generalised Pareto law to what its entities saw there (moments, Hosking
//! and Wallis 1987), and the larger of the two tails judges.
//!
//! A season multiplies the odds of being active, and the magnitude of an active window. Learning takes about 20 ns (one logarithm, rounded
//! to 1e-9), a state 48 bytes.

use super::activity::{Activity, ActivityPrior, ActivitySummary, DEFINITION_ENTITIES, GROUP_ENTITIES_MIN};
use super::decay::{power, round9};
use super::judgement::{Tails, strangest};
use super::moments::{Belief, Moments, Prediction, SPREAD_WEIGHT};
use super::tail::{GeneralisedPareto, ln_sum, student_upper};
use super::{Baseline, Decay, Expected, Judgement, Learned, Memory, NormalIf, Scale, Summary, Tail};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// The predictive distribution of a magnitude.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Magnitude {
    activity: Activity,
    /// Logarithms of what active windows hold.
    level: Moments,
    /// Forgotten number of windows far out, the sum of their excesses, and of the squares.
    far: f32,
    excess: f32,
    excess_squares: f32,
}

/// What is believed of a magnitude before the entity has a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MagnitudePrior {
    activity: ActivityPrior,
    /// Mean logarithm of active windows, and how many active windows that is worth.
    mean: f64,
    mean_weight: f64,
    /// How many active windows the spread is worth.
    spread_weight: f64,
    /// Variance of the logarithm within an entity.
    variance: f64,
    /// The share of windows far out, and the law of their excess in deviations.
    far_share: f64,
    far_law: GeneralisedPareto,
}

/// What a group's entities say together about their magnitudes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MagnitudeSummary {
    activity: ActivitySummary,
    entities: u64,
    mean_sum: i64,
    mean_squares: i64,
    mean_noise: i64,
    variance_sum: i64,
    windows: i64,
    far: i64,
    excess: i64,
    excess_squares: i64,
}

/// So many deviations above the mean the tail is the group's.
const TAIL_FROM: f64 = 2.0;
/// Degrees of freedom of the spread of an entity without history.
const DEGREES: f64 = 8.0;
const DEGREES_MAX: f64 = 1e5;
/// Excesses beyond this many deviations count as this many.
const EXCESS_MAX: f64 = 50.0;
const VARIANCE_MIN: f64 = 1e-4;
const ONE: f64 = 1_048_576.0;
/// How many windows far out the normal law's own tail is worth against the group's.
const FAR_WEIGHT: f64 = 20.0;
/// The normal law beyond two deviations: how often, and the mean and the mean square of the excess.
const NORMAL_FAR: (f64, f64, f64) = (0.022_75, 0.373_2, 0.253_6);

impl MagnitudePrior {
    /// A prior as definitions write it: the typical amount of an active window, the variance of its logarithm,
    /// and how many windows of an entity's own history outweigh it. Half of the windows are active.
    pub fn new(mean: f64, dispersion: f64, weight: f64) -> Self {
        let weight = weight.clamp(0.1, 1e4);
        MagnitudePrior {
            activity: ActivityPrior { share: 0.5, weight },
            mean: round9(mean.max(0.0).ln_1p()),
            mean_weight: weight,
            spread_weight: SPREAD_WEIGHT,
            variance: dispersion.clamp(VARIANCE_MIN, 100.0),
            far_share: NORMAL_FAR.0,
            far_law: GeneralisedPareto::of_moments(-0.1, NORMAL_FAR.1, NORMAL_FAR.2),
        }
    }

    /// The same belief, whose spread is worth so many active windows of an entity's own: a quiet night says little
    /// about how the day will be.
    #[must_use]
    pub fn spread_known_after(mut self, windows: f64) -> Self {
        self.spread_weight = windows.clamp(SPREAD_WEIGHT, 1e4);
        self
    }

    /// The same belief with this share of active windows.
    #[must_use]
    pub fn active(mut self, share: f64) -> Self {
        self.activity.share = share.clamp(1e-6, 1.0 - 1e-6);
        self
    }

    fn belief(&self) -> Belief<impl Fn(f64) -> f64> {
        Belief {
            mean: self.mean,
            weight: self.mean_weight,
            spread_weight: self.spread_weight,
            variance_at: |_| self.variance,
        }
    }
}

struct Law {
    active: f64,
    mean: f64,
    deviation: f64,
    degrees: f64,
    ln_far: f64,
    far_law: GeneralisedPareto,
}

impl Law {
    /// ln P(logarithm >= level), given that the window is active.
    fn ln_upper(&self, level: f64) -> f64 {
        let z = (level - self.mean) / self.deviation;
        let body = student_upper(z, self.degrees);
        if z <= TAIL_FROM {
            return body;
        }
        body.max(self.ln_far + self.far_law.ln_upper(z - TAIL_FROM))
    }

    fn tails(&self, seen: f64, level: f64) -> Tails {
        let (ln_active, ln_quiet) = (self.active.ln(), (-self.active).ln_1p());
        if seen <= 0.0 {
            return Tails {
                at_least: 0.0,
                above: ln_active,
                at_most: ln_quiet,
                below: f64::NEG_INFINITY,
            };
        }
        let upper = ln_active + self.ln_upper(level);
        let z = (level - self.mean) / self.deviation;
        let lower = ln_sum(ln_quiet, ln_active + student_upper(-z, self.degrees));
        Tails {
            at_least: upper,
            above: upper,
            at_most: lower,
            below: lower,
        }
    }

    /// The magnitude that is not exceeded with this probability; `scale` puts the season back.
    fn quantile(&self, share: f64, scale: Scale) -> f64 {
        if 1.0 - self.active >= share {
            return 0.0;
        }
        let ln_upper = ((1.0 - share) / self.active).ln();
        let (mut low, mut high) = (0.0, self.mean + 60.0 * self.deviation);
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if self.ln_upper(middle) > ln_upper {
                low = middle
            } else {
                high = middle
            }
        }
        high.min(700.0).exp_m1() * scale.level
    }
}

/// The logarithm that enters the state.
fn level_of(seen: f64, scale: Scale) -> f64 {
    round9((seen / scale.level).clamp(0.0, 1e300).ln_1p())
}

impl Magnitude {
    fn law(&self, prior: &MagnitudePrior, scale: Scale, predicted: Prediction) -> Law {
        Law {
            active: self.activity.share(&self.level, &prior.activity, scale),
            mean: predicted.mean,
            deviation: predicted.variance.max(VARIANCE_MIN).sqrt(),
            degrees: (DEGREES + f64::from(self.level.weight)).min(DEGREES_MAX),
            ln_far: prior.far_share.ln(),
            far_law: prior.far_law,
        }
    }

    fn memory(&self, prior: &MagnitudePrior) -> Memory {
        if f64::from(self.activity.windows) < prior.activity.weight {
            Memory::Prior
        } else {
            Memory::Slow
        }
    }

    /// What the slow memory alone says.
    pub(super) fn judge_slow(&self, prior: &MagnitudePrior, scale: Scale, seen: f64, tail: Tail) -> Judgement {
        let tails = self.slow_law(prior, scale).tails(seen, level_of(seen, scale));
        tails.judge(tail, self.memory(prior))
    }

    fn slow_law(&self, prior: &MagnitudePrior, scale: Scale) -> Law {
        self.law(prior, scale, self.level.slow(&prior.belief()))
    }
}

impl Baseline for Magnitude {
    type Seen = f64;
    type Prior = MagnitudePrior;
    type Summary = MagnitudeSummary;

    fn age(&mut self, windows: u64, decay: &Decay) {
        let kept = power(decay.slow(), windows) as f32;
        self.far *= kept;
        self.excess *= kept;
        self.excess_squares *= kept;
        self.activity.age(&mut self.level, windows, decay);
    }

    fn judge(&self, prior: &MagnitudePrior, scale: Scale, seen: f64, tail: Tail) -> Judgement {
        let level = level_of(seen, scale);
        let slow = self.judge_slow(prior, scale, seen, tail);
        let fast = self.level.has_fast().then(|| {
            let law = self.law(prior, scale, self.level.fast(&prior.belief()));
            law.tails(seen, level).judge(tail, Memory::Fast)
        });
        strangest(slow, fast)
    }

    fn learn(&mut self, prior: &MagnitudePrior, scale: Scale, seen: f64, decay: &Decay) -> Learned {
        let kept = decay.slow() as f32;
        self.far *= kept;
        self.excess *= kept;
        self.excess_squares *= kept;
        if seen.is_nan() || seen <= 0.0 {
            let told = self.activity.age(&mut self.level, 1, decay);
            return if told { Learned::RegimeChange } else { Learned::Usual };
        }
        self.activity.learn_active(&mut self.level, decay);
        let update = self.level.learn(&prior.belief(), level_of(seen, scale), decay);
        self.activity.follow(&self.level);
        if update.deviations >= TAIL_FROM && update.learned != Learned::RegimeChange {
            let excess = (update.deviations - TAIL_FROM).min(EXCESS_MAX);
            self.far += 1.0;
            self.excess += excess as f32;
            self.excess_squares += (excess * excess) as f32;
        }
        update.learned
    }

    fn ln_active(&self, prior: &MagnitudePrior, scale: Scale) -> f64 {
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

    /// Levels are logarithms: what a window says of its hour is the factor between it and the typical one.
    fn season_vote(&self, prior: &MagnitudePrior, seen: f64) -> Option<(f64, Option<f64>)> {
        let share = self.activity.share(&self.level, &prior.activity, Scale::ONE);
        let usual = self.level.slow_mean(&prior.belief());
        let factor = (level_of(seen, Scale::ONE) - usual).clamp(-50.0, 50.0);
        Some((share, (seen > 0.0).then(|| round9(factor.exp()))))
    }

    fn surprising_from(&self, prior: &MagnitudePrior, scale: Scale) -> f64 {
        let share = self.activity.share(&self.level, &prior.activity, scale);
        if share < 0.2 {
            return f64::MIN_POSITIVE;
        }
        let belief = prior.belief();
        let slow = self.level.slow(&belief);
        let fast = if self.level.has_fast() {
            self.level.fast(&belief)
        } else {
            slow
        };
        // One and a half deviations above the mean are exceeded by 6 % of a normal law, and by more of Student's t.
        let from = |p: Prediction| p.mean + 1.5 * p.variance.max(VARIANCE_MIN).sqrt();
        from(slow).min(from(fast)).min(700.0).exp_m1() * scale.level * (1.0 - 1e-6)
    }

    fn expected(&self, prior: &MagnitudePrior, scale: Scale) -> Expected {
        let law = self.slow_law(prior, scale);
        // Moments of the log-normal law, its variance held to where they say something.
        let variance = (law.deviation * law.deviation).min(20.0);
        let positive = (law.mean + 0.5 * variance).min(300.0).exp_m1() * scale.level;
        let square = (2.0 * law.mean + 2.0 * variance).min(600.0).exp() * scale.level * scale.level;
        let mean = law.active * positive;
        Expected {
            typical: law.quantile(0.5, scale),
            low: law.quantile(0.05, scale),
            high: law.quantile(0.95, scale),
            mean,
            variance: (law.active * square - mean * mean).max(0.0),
            history_windows: f64::from(self.activity.windows),
            prior_weight: prior.activity.weight / (prior.activity.weight + f64::from(self.activity.windows)),
        }
    }

    /// In whole units where `seen` is whole, else in thousandths.
    fn normal_if(
        &self,
        prior: &MagnitudePrior,
        scale: Scale,
        seen: f64,
        tail: Tail,
        surprise_max: f64,
    ) -> Option<NormalIf> {
        let usual = |x: f64| self.judge(prior, scale, x, tail).surprise() < surprise_max;
        if usual(seen) {
            return None;
        }
        let units = if seen.fract() == 0.0 { 1.0 } else { 1000.0 };
        let law = self.slow_law(prior, scale);
        if tail != Tail::Lower && seen >= law.quantile(0.5, scale) {
            return Some(NormalIf::AtMost(
                edge(0.0, (seen * units).floor() + 1.0, |n| usual(n / units)) / units,
            ));
        }
        let mut high = (seen * units).floor() + 1.0;
        while !usual(high / units) && high < 1e18 {
            high *= 2.0;
        }
        Some(NormalIf::AtLeast(
            edge(high, (seen * units).floor(), |n| usual(n / units)) / units,
        ))
    }

    fn vote(&self, summary: &mut MagnitudeSummary) {
        self.activity.vote(&self.level, &mut summary.activity);
        if self.level.weight < 4.0 {
            return;
        }
        let fixed = |number: f64| (number.clamp(-1e9, 1e9) * ONE).round() as i64;
        let (mean, variance) = (f64::from(self.level.mean), f64::from(self.level.variance));
        let weight = f64::from(self.level.weight);
        summary.entities += 1;
        summary.mean_sum += fixed(mean);
        summary.mean_squares += fixed(mean * mean);
        summary.mean_noise += fixed(variance / weight);
        summary.variance_sum += fixed(variance * weight / (weight - 1.0));
        // A busy entity has no more to say about the tail than one with a hundred windows.
        let vote = 1.0_f64.min(100.0 / weight);
        summary.windows += fixed(weight * vote);
        summary.far += fixed(f64::from(self.far) * vote);
        summary.excess += fixed(f64::from(self.excess) * vote);
        summary.excess_squares += fixed(f64::from(self.excess_squares) * vote);
    }

    fn prior(definition: &MagnitudePrior, summary: &MagnitudeSummary) -> MagnitudePrior {
        let mut prior = MagnitudePrior {
            activity: definition.activity.learned(&summary.activity),
            ..*definition
        };
        if summary.entities < GROUP_ENTITIES_MIN {
            return prior;
        }
        let number = |fixed: i64| fixed as f64 / ONE;
        let n = summary.entities as f64 + DEFINITION_ENTITIES;
        let between = definition.variance / definition.mean_weight;
        prior.mean = (DEFINITION_ENTITIES * definition.mean + number(summary.mean_sum)) / n;
        let square = (DEFINITION_ENTITIES * (definition.mean * definition.mean + between)
            + number(summary.mean_squares - summary.mean_noise))
            / n;
        prior.variance =
            ((DEFINITION_ENTITIES * definition.variance + number(summary.variance_sum)) / n).max(VARIANCE_MIN);
        let between = (square - prior.mean * prior.mean).max(1e-3 * prior.variance);
        prior.mean_weight = (prior.variance / between).clamp(1e-3, 100.0);
        let (share, mean, square) = NORMAL_FAR;
        let far = FAR_WEIGHT + number(summary.far);
        prior.far_share = (far / (FAR_WEIGHT / share + number(summary.windows))).clamp(1e-4, 0.5);
        prior.far_law = GeneralisedPareto::of_moments(
            -0.1,
            (FAR_WEIGHT * mean + number(summary.excess)) / far,
            (FAR_WEIGHT * square + number(summary.excess_squares)) / far,
        );
        prior
    }
}

/// The last whole number from `yes` towards `no` of which the property still holds.
pub(super) fn edge(yes: f64, no: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut yes, mut no) = (yes, no);
    for _ in 0..128 {
        if (yes - no).abs() <= 1.0 {
            break;
        }
        let middle = (0.5 * (yes + no)).floor();
        if middle == yes || middle == no {
            break;
        }
        if holds(middle) { yes = middle } else { no = middle }
    }
    yes
}

impl Summary for MagnitudeSummary {
    fn merge(&mut self, other: &Self) {
        self.activity.merge(&other.activity);
        self.entities += other.entities;
        self.mean_sum += other.mean_sum;
        self.mean_squares += other.mean_squares;
        self.mean_noise += other.mean_noise;
        self.variance_sum += other.variance_sum;
        self.windows += other.windows;
        self.far += other.far;
        self.excess += other.excess;
        self.excess_squares += other.excess_squares;
    }
}
