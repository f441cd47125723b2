//! What the numbers say about one seen value.

use serde::{Deserialize, Serialize};
use std::f64::consts::{LN_2, LN_10};

/// Which side of the predictive distribution is strange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// Much is strange.
    Upper,
    /// Little is strange.
    Lower,
    /// Much and little are strange.
    Both,
}

/// Which memory was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// The last sixteenth of the half-life.
    Fast,
    /// The half-life.
    Slow,
    /// What is believed of the entity's group: the entity itself has hardly any history.
    Prior,
}

/// How strange one seen value is, as a tail probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Natural logarithm of the probability of something at least this strange; at most 0.
    pub ln_p: f64,
    /// Natural logarithm of the probability of something stranger still; below `ln_p` where the measure is discrete.
    pub ln_p_beyond: f64,
    /// The memory that found it strangest.
    pub memory: Memory,
}

impl Judgement {
    /// The largest surprise that is told.
    pub const SURPRISE_MAX: f64 = 300.0;
    /// Nothing strange at all.
    pub const CERTAIN: Judgement = Judgement {
        ln_p: 0.0,
        ln_p_beyond: f64::NEG_INFINITY,
        memory: Memory::Prior,
    };

    /// The probability of something at least this strange, in (0, 1]; never below 1e-300.
    pub fn p(&self) -> f64 {
        self.ln_p.min(0.0).exp().max(1e-300)
    }

    /// The probability of something stranger still, in [0, 1].
    pub fn p_beyond(&self) -> f64 {
        self.ln_p_beyond.min(0.0).exp()
    }

    /// `-log10 p`, rounded to 1e-6, from 0 to [`Self::SURPRISE_MAX`].
    pub fn surprise(&self) -> f64 {
        surprise_of(self.ln_p)
    }

    /// The randomised p: uniform when the prediction is right, where `p` itself is only bounded by it because the
    /// measure is discrete (Brockwell 2007). `uniform` is in [0, 1), from a hash of detector, entity and window.
    pub fn randomised(&self, uniform: f64) -> f64 {
        let (p, beyond) = (self.p(), self.p_beyond());
        (beyond + (1.0 - uniform) * (p - beyond).max(0.0)).clamp(1e-300, 1.0)
    }

    /// The same judgement when it was the strangest of two that were made.
    pub(super) fn of_two(self) -> Self {
        Judgement {
            ln_p: (self.ln_p + LN_2).min(0.0),
            ln_p_beyond: (self.ln_p_beyond + LN_2).min(0.0),
            memory: self.memory,
        }
    }
}

/// Surprise of a logarithm of a probability: `-log10 p`, rounded to 1e-6.
pub fn surprise_of(ln_p: f64) -> f64 {
    let surprise = (-ln_p / LN_10).clamp(0.0, Judgement::SURPRISE_MAX);
    (surprise * 1e6).round() / 1e6
}

/// What was expected, as people read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The median of the predictive distribution, or its mean where that says more.
    pub typical: f64,
    /// Lower end of the 90 % predictive interval.
    pub low: f64,
    /// Upper end of the 90 % predictive interval.
    pub high: f64,
    /// Mean of the predictive distribution.
    pub mean: f64,
    /// Variance of the predictive distribution.
    pub variance: f64,
    /// How many windows of the entity's own history stand behind it, after forgetting.
    pub history_windows: f64,
    /// The share of the prior in what was expected, from 0 (all history) to 1 (all prior).
    pub prior_weight: f64,
}

impl Expected {
    /// How many standard deviations `seen` is away from the mean.
    pub fn z(&self, seen: f64) -> f64 {
        if self.variance > 0.0 {
            (seen - self.mean) / self.variance.sqrt()
        } else {
            0.0
        }
    }
}

/// The smallest change that would have been normal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormalIf {
    /// The number should have been at most this.
    AtMost(f64),
    /// The number should have been at least this.
    AtLeast(f64),
}

/// What learning a value showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// The value went into the memory.
    Usual,
    /// The value was so far out that its influence was bounded.
    Bounded,
    /// Several surprising windows agreed on one new level, which is now what is expected. Told once.
    RegimeChange,
}

/// The logarithms of the four tail probabilities of a seen value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tails {
    /// ln P(X >= x)
    pub(super) at_least: f64,
    /// ln P(X > x)
    pub(super) above: f64,
    /// ln P(X <= x)
    pub(super) at_most: f64,
    /// ln P(X < x)
    pub(super) below: f64,
}

impl Tails {
    pub(super) fn judge(&self, tail: Tail, memory: Memory) -> Judgement {
        let upper = Judgement {
            ln_p: self.at_least.min(0.0),
            ln_p_beyond: self.above.min(self.at_least).min(0.0),
            memory,
        };
        let lower = Judgement {
            ln_p: self.at_most.min(0.0),
            ln_p_beyond: self.below.min(self.at_most).min(0.0),
            memory,
        };
        match tail {
            Tail::Upper => upper,
            Tail::Lower => lower,
            Tail::Both if upper.ln_p <= lower.ln_p => upper.of_two(),
            Tail::Both => lower.of_two(),
        }
    }
}

/// The strangest of what two memories say, made up for having asked two.
pub(super) fn strangest(slow: Judgement, fast: Option<Judgement>) -> Judgement {
    match fast {
        None => slow,
        Some(fast) if fast.ln_p < slow.ln_p => fast.of_two(),
        Some(_) => slow.of_two(),
    }
}

/// A tail probability whose spread was itself estimated with so many degrees of freedom: the mean of `p^g` over a
/// gamma-distributed `g` of mean 1, `(1 + 2 s / degrees)^(-degrees / 2)` for `s = -ln p`. It is to a p-value what
/// Student's t is to the normal law, is never below `p`, and tends to it as the degrees grow.
pub(super) fn with_estimated_spread(ln_p: f64, degrees: f64) -> f64 {
    if ln_p >= 0.0 || ln_p == f64::NEG_INFINITY {
        return ln_p.min(0.0);
    }
    -0.5 * degrees * (-2.0 * ln_p / degrees).ln_1p()
}

/// The largest whole number that `usual` accepts, between 0 (accepted or not) and `seen` (not accepted).
pub(super) fn largest_usual(seen: u64, usual: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0u64, seen);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if usual(middle) { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimated_spread_makes_a_p_value_larger_and_fades_with_degrees() {
        let ln_p = -20.0;
        let few = with_estimated_spread(ln_p, 10.0);
        let many = with_estimated_spread(ln_p, 1e7);
        assert!(few > -10.0 && many < -19.9999 && many >= ln_p);
        assert_eq!(with_estimated_spread(0.0, 5.0), 0.0);
        // mpmath 1.3 with 60 digits: the integral over the gamma law.
        for (ln_p, degrees, reference) in [
            (-27.631_021_115_9, 30.0, -15.667_979_735_648_2),
            (-60.0, 100.0, -39.422_868_018_213_5),
        ] {
            let found = with_estimated_spread(ln_p, degrees);
            assert!(
                (found - reference).abs() < 1e-11 * f64::abs(reference),
                "{ln_p}: {found}"
            );
        }
    }

    #[test]
    fn surprise_is_finite_for_every_p() {
        for (ln_p, surprise) in [
            (0.0, 0.0),
            (-f64::INFINITY, 300.0),
            (-LN_10 * 11.35, 11.35),
            (1e-17, 0.0),
        ] {
            assert_eq!(surprise_of(ln_p), surprise);
        }
    }
}
