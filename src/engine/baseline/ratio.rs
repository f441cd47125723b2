//! So many failures of so many attempts: beta-binomial.
//!
//! Failures of one entity come in bursts, so a window of n attempts tells less than n independent ones. With `r` the
//! correlation inside a window, the failures of a window have variance n m (1 - m) (1 + (n - 1) r), and a window counts
//! as n / (1 + (n - 1) r) attempts. `r` is estimated from forgotten squared residuals (Williams 1982), shrunk to the
//! prior's. Judging takes the correlation and what is not known of the mean together as the width of the beta law.
//! A window without attempts says nothing.

use super::decay::power;
use super::judgement::{Tails, largest_usual, strangest};
use super::tail::beta_binomial;
use super::{Baseline, Decay, Expected, Judgement, Learned, Memory, NormalIf, Scale, Summary, Tail};
use serde::{Deserialize, Serialize};

/// The attempts of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// How many failed (or whatever is counted); at most `total`.
    pub failed: u64,
    /// How many there were.
    pub total: u64,
}

/// The predictive distribution of a ratio.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Forgotten number of windows with attempts.
    weight: f32,
    attempts: f32,
    failed: f32,
    fast_attempts: f32,
    fast_failed: f32,
    /// Forgotten weighted sum of what each window says of the correlation, and the weights.
    correlation: f32,
    correlation_weight: f32,
    candidate: f32,
    agreeing: u8,
}

/// What is believed of a ratio before the entity has a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatioPrior {
    mean: f64,
    /// How many independent attempts the prior is worth: the precision of the beta law between entities.
    weight: f64,
    /// Correlation inside a window.
    correlation: f64,
}

/// What a group's entities say together about their ratios.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatioSummary {
    entities: u64,
    mean_sum: i64,
    mean_squares: i64,
    mean_noise: i64,
    correlations: u64,
    correlation_sum: i64,
}

const CORRELATION_MIN: f64 = 1e-3;
/// How many windows the prior's correlation is worth.
const CORRELATION_WEIGHT: f64 = 10.0;
/// How many attempts the slow memory is worth to the fast one.
const FAST_WEIGHT: f64 = 10.0;
const BOUND: f64 = 5.0;
const SURPRISING: f64 = 3.0;
const REGIME_WINDOWS: u8 = 6;
const ONE: f64 = 1_073_741_824.0;
const DEFINITION_ENTITIES: f64 = 20.0;
const GROUP_ENTITIES_MIN: u64 = 8;

impl RatioPrior {
    /// A prior as definitions write it: the mean share, the correlation inside a window (0 to 1) as dispersion, and how
    /// many attempts of an entity's own history outweigh it.
    pub fn new(mean: f64, dispersion: f64, weight: f64) -> Self {
        RatioPrior {
            mean: mean.clamp(1e-6, 1.0 - 1e-6),
            weight: weight.clamp(0.1, 1e6),
            correlation: dispersion.clamp(CORRELATION_MIN, 0.9),
        }
    }
}

#[derive(Clone, Copy)]
struct Law {
    mean: f64,
    correlation: f64,
}

impl Law {
    fn tails(&self, seen: Attempts) -> Tails {
        let precision = 1.0 / self.correlation - 1.0;
        let (alpha, beta) = (self.mean * precision, (1.0 - self.mean) * precision);
        let (at_least, below) = beta_binomial(seen.failed, seen.total, alpha, beta);
        let (above, at_most) = beta_binomial(seen.failed + 1, seen.total, alpha, beta);
        Tails {
            at_least,
            above,
            at_most,
            below,
        }
    }

    /// The variance of the share that fails of so many attempts.
    fn variance(&self, total: f64) -> f64 {
        self.mean * (1.0 - self.mean) * (1.0 + (total - 1.0) * self.correlation) / total
    }
}

impl Ratio {
    /// The mean share of the slow memory.
    fn mean(&self, prior: &RatioPrior) -> f64 {
        (prior.weight * prior.mean + f64::from(self.failed)) / (prior.weight + f64::from(self.attempts))
    }

    fn correlation(&self, prior: &RatioPrior) -> f64 {
        ((CORRELATION_WEIGHT * prior.correlation + f64::from(self.correlation))
            / (CORRELATION_WEIGHT + f64::from(self.correlation_weight)))
        .clamp(CORRELATION_MIN, 0.95)
    }

    fn slow_law(&self, prior: &RatioPrior) -> Law {
        let unknown = 1.0 / (1.0 + prior.weight + f64::from(self.attempts));
        Law {
            mean: self.mean(prior).clamp(1e-9, 1.0 - 1e-9),
            correlation: (self.correlation(prior) + unknown).min(0.95),
        }
    }

    fn fast_law(&self, prior: &RatioPrior) -> Law {
        let attempts = FAST_WEIGHT + f64::from(self.fast_attempts);
        let mean = (FAST_WEIGHT * self.mean(prior) + f64::from(self.fast_failed)) / attempts;
        Law {
            mean: mean.clamp(1e-9, 1.0 - 1e-9),
            correlation: (self.correlation(prior) + 1.0 / (1.0 + attempts)).min(0.95),
        }
    }

    fn has_fast(&self) -> bool {
        self.weight > 8.0 && self.fast_attempts < 0.8 * self.attempts
    }

    /// What the slow memory alone says.
    pub(super) fn judge_slow(&self, prior: &RatioPrior, seen: Attempts, tail: Tail) -> Judgement {
        self.slow_law(prior).tails(seen).judge(tail, self.memory(prior))
    }

    fn memory(&self, prior: &RatioPrior) -> Memory {
        if f64::from(self.attempts) < prior.weight {
            Memory::Prior
        } else {
            Memory::Slow
        }
    }
}

impl Baseline for Ratio {
    type Seen = Attempts;
    type Prior = RatioPrior;
    type Summary = RatioSummary;

    /// Windows without attempts are forgotten windows, not windows without failures.
    fn age(&mut self, windows: u64, decay: &Decay) {
        let slow = power(decay.slow(), windows) as f32;
        let fast = power(decay.fast(), windows) as f32;
        for number in [
            &mut self.weight,
            &mut self.attempts,
            &mut self.failed,
            &mut self.correlation,
            &mut self.correlation_weight,
        ] {
            *number *= slow;
        }
        self.fast_attempts *= fast;
        self.fast_failed *= fast;
    }

    fn judge(&self, prior: &RatioPrior, _scale: Scale, seen: Attempts, tail: Tail) -> Judgement {
        if seen.total == 0 {
            return Judgement::CERTAIN;
        }
        let seen = Attempts {
            failed: seen.failed.min(seen.total),
            total: seen.total,
        };
        let slow = self.judge_slow(prior, seen, tail);
        let fast = self
            .has_fast()
            .then(|| self.fast_law(prior).tails(seen).judge(tail, Memory::Fast));
        strangest(slow, fast)
    }

    fn learn(&mut self, prior: &RatioPrior, _scale: Scale, seen: Attempts, decay: &Decay) -> Learned {
        let law = self.slow_law(prior);
        let own_correlation = self.correlation(prior);
        self.age(1, decay);
        if seen.total == 0 {
            return Learned::Usual;
        }
        let total = seen.total as f64;
        let share = seen.failed.min(seen.total) as f64 / total;
        let deviation = law.variance(total).sqrt();
        let error = share - law.mean;
        let bounded = error.clamp(-BOUND * deviation, BOUND * deviation);
        let counts_as = total / (1.0 + (total - 1.0) * own_correlation);
        if error.abs() > SURPRISING * deviation {
            let candidate = f64::from(self.candidate);
            let there = Law {
                mean: candidate.clamp(1e-9, 1.0 - 1e-9),
                ..law
            };
            let spread = deviation.max(there.variance(total).sqrt());
            if self.agreeing > 0 && (share - candidate).abs() <= SURPRISING * spread {
                self.agreeing += 1;
                self.candidate += ((share - candidate) / f64::from(self.agreeing)) as f32;
            } else {
                self.agreeing = 1;
                self.candidate = share as f32;
            }
            if self.agreeing >= REGIME_WINDOWS {
                // The prior is outweighed: what agreed so often is what is.
                let attempts = (counts_as * f64::from(REGIME_WINDOWS)).max(8.0 * prior.weight);
                self.attempts = attempts as f32;
                self.failed = (attempts * f64::from(self.candidate)) as f32;
                self.fast_attempts = self.attempts;
                self.fast_failed = self.failed;
                self.weight = f32::from(REGIME_WINDOWS);
                self.agreeing = 0;
                return Learned::RegimeChange;
            }
        } else {
            self.agreeing = 0;
        }
        let failed = (law.mean + bounded).clamp(0.0, 1.0) * counts_as;
        self.weight += 1.0;
        self.attempts += counts_as as f32;
        self.failed += failed as f32;
        self.fast_attempts += counts_as as f32;
        self.fast_failed += failed as f32;
        if seen.total > 1 && self.agreeing < 2 {
            let plain = law.mean * (1.0 - law.mean) / total;
            let says = ((bounded * bounded / plain - 1.0) / (total - 1.0)).clamp(-1.0, 1.0);
            let weight = (total - 1.0) / (total + 9.0);
            self.correlation += (says * weight) as f32;
            self.correlation_weight += weight as f32;
        }
        if error == bounded {
            Learned::Usual
        } else {
            Learned::Bounded
        }
    }

    fn windows(&self) -> f64 {
        self.weight.into()
    }

    /// The share below which the upper tail can't be surprising: the smaller mean of the memories.
    fn surprising_from(&self, prior: &RatioPrior, _scale: Scale) -> f64 {
        let slow = self.slow_law(prior);
        let mean = if self.has_fast() {
            slow.mean.min(self.fast_law(prior).mean)
        } else {
            slow.mean
        };
        if mean > 0.1 { mean } else { 0.0 }
    }

    fn expected(&self, prior: &RatioPrior, _scale: Scale) -> Expected {
        let law = self.slow_law(prior);
        let precision = 1.0 / law.correlation - 1.0;
        let (alpha, beta) = (law.mean * precision, (1.0 - law.mean) * precision);
        let quantile = |share: f64| {
            let ln_share = share.ln();
            let (mut low, mut high) = (0.0f64, 1.0f64);
            for _ in 0..40 {
                let middle = 0.5 * (low + high);
                if super::tail::ln_beta_inc(alpha, beta, middle, 1.0 - middle).0 >= ln_share {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            0.5 * (low + high)
        };
        Expected {
            typical: law.mean,
            low: quantile(0.05),
            high: quantile(0.95),
            mean: law.mean,
            variance: law.mean * (1.0 - law.mean) * law.correlation,
            history_windows: f64::from(self.weight),
            prior_weight: prior.weight / (prior.weight + f64::from(self.attempts)),
        }
    }

    /// In failures of as many attempts.
    fn normal_if(
        &self,
        prior: &RatioPrior,
        scale: Scale,
        seen: Attempts,
        tail: Tail,
        surprise_max: f64,
    ) -> Option<NormalIf> {
        let Attempts { failed, total } = seen;
        let usual = |failed: u64| self.judge(prior, scale, Attempts { failed, total }, tail).surprise() < surprise_max;
        if usual(failed) {
            return None;
        }
        let mean = self.mean(prior);
        if tail != Tail::Lower && failed as f64 >= mean * total as f64 {
            return Some(NormalIf::AtMost(largest_usual(failed, usual) as f64));
        }
        let missing = (total - failed) - largest_usual(total - failed, |less| usual(total - less));
        Some(NormalIf::AtLeast((failed + missing) as f64))
    }

    fn vote(&self, summary: &mut RatioSummary) {
        if self.weight < 4.0 || self.attempts < 4.0 {
            return;
        }
        let mean = f64::from(self.failed / self.attempts).clamp(0.0, 1.0);
        summary.entities += 1;
        summary.mean_sum += (mean * ONE).round() as i64;
        summary.mean_squares += (mean * mean * ONE).round() as i64;
        summary.mean_noise += (mean * (1.0 - mean) / f64::from(self.attempts) * ONE).round() as i64;
        if self.correlation_weight > 1.0 {
            let correlation = f64::from(self.correlation / self.correlation_weight).clamp(0.0, 1.0);
            summary.correlations += 1;
            summary.correlation_sum += (correlation * ONE).round() as i64;
        }
    }

    fn prior(definition: &RatioPrior, summary: &RatioSummary) -> RatioPrior {
        let mut prior = *definition;
        if summary.entities >= GROUP_ENTITIES_MIN {
            let n = summary.entities as f64 + DEFINITION_ENTITIES;
            let between = definition.mean * (1.0 - definition.mean) / (definition.weight + 1.0);
            let mean = (DEFINITION_ENTITIES * definition.mean + summary.mean_sum as f64 / ONE) / n;
            let square = (DEFINITION_ENTITIES * (definition.mean * definition.mean + between)
                + (summary.mean_squares - summary.mean_noise) as f64 / ONE)
                / n;
            let between = (square - mean * mean).max(1e-7);
            prior.mean = mean.clamp(1e-6, 1.0 - 1e-6);
            prior.weight = (prior.mean * (1.0 - prior.mean) / between - 1.0).clamp(0.2, 1000.0);
        }
        if summary.correlations >= GROUP_ENTITIES_MIN {
            let n = summary.correlations as f64 + DEFINITION_ENTITIES;
            prior.correlation = ((DEFINITION_ENTITIES * definition.correlation + summary.correlation_sum as f64 / ONE)
                / n)
                .clamp(CORRELATION_MIN, 0.9);
        }
        prior
    }
}

impl Summary for RatioSummary {
    fn merge(&mut self, other: &Self) {
        self.entities += other.entities;
        self.mean_sum += other.mean_sum;
        self.mean_squares += other.mean_squares;
        self.mean_noise += other.mean_noise;
        self.correlations += other.correlations;
        self.correlation_sum += other.correlation_sum;
    }
}
