//! Forgotten mean and variance of one number, in two memories, with bounded influence and changes of regime.
//!
//! With `a` the forgotten weight of the slow memory, a belief of mean `M0` worth `K` observations, and the belief's
//! variance `V0` at a level, worth `N` observations:
//!
//! ```text
//! mean      M = (K M0 + a m) / (K + a)                  credibility (Bühlmann 1967)
//! within    W = (N V0(M) + a v) / (N + a - 1)           spread, shrunk to the belief's at this level
//! predict   V = W + W / (K + a)                         and not knowing the mean; at a = 0 the second term is the width
//!                                                       between entities, which no number of entities shrinks
//! ```
//!
//! The fast memory predicts with its own mean, shrunk to the slow one's, and with the spread of its own one-step errors
//! as the slow memory knows them: a habit that jumps every morning does not break it.
//!
//! One observation moves a mean by at most [`BOUND`] predictive deviations times its share of the memory (Huber 1964).
//! For an exponential tail, cutting there takes 3 % of the variance, which is put back. When
//! [`REGIME_WINDOWS`] surprising observations in a row agree on one level, the memory starts again from there.

use super::{Decay, Learned};
use serde::{Deserialize, Serialize};

/// How many predictive deviations from the mean an observation counts as at most.
pub(super) const BOUND: f64 = 5.0;
/// So many surprising windows that agree on a level are a change of regime.
pub(super) const REGIME_WINDOWS: u8 = 6;
/// An observation this many predictive deviations out may be the first of a new level.
const SURPRISING: f64 = 3.0;
/// How many observations the belief's spread is worth, unless a definition knows better.
pub(super) const SPREAD_WEIGHT: f64 = 10.0;
/// How many observations the slow memory is worth to the fast one.
const FAST_WEIGHT: f64 = 4.0;
/// What cutting at the bound takes from the variance of an exponential tail.
const CONSISTENCY: f64 = 1.03;

/// Mean and variance in two memories: 32 bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    /// Forgotten number of observations.
    pub(super) weight: f32,
    pub(super) mean: f32,
    pub(super) variance: f32,
    fast_weight: f32,
    fast_mean: f32,
    /// Mean squared one-step error of the fast memory, forgotten slowly.
    fast_error: f32,
    /// The level that the last surprising observations agree on, and how many they are.
    candidate: f32,
    agreeing: u8,
    /// How many windows in a row had nothing to observe, of an entity that hardly ever had one. Kept here for
    /// `activity.rs`, because it takes no room here.
    pub(super) quiet: u8,
}

/// What is believed of a number before there are observations.
#[derive(Clone, Copy)]
pub(super) struct Belief<V> {
    pub(super) mean: f64,
    /// How many observations the mean is worth.
    pub(super) weight: f64,
    /// How many observations the spread is worth.
    pub(super) spread_weight: f64,
    /// The variance of observations at a level. For learning, from + - x / and square root alone.
    pub(super) variance_at: V,
}

/// What one memory predicts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prediction {
    pub(super) mean: f64,
    pub(super) variance: f64,
}

/// What an observation did to the memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    pub(super) learned: Learned,
    /// How many predictive deviations of the slow memory it was out, before it was learned.
    pub(super) deviations: f64,
}

impl Moments {
    /// Forgets.
    pub(super) fn keep(&mut self, slow: f64, fast: f64) {
        self.weight = (f64::from(self.weight) * slow) as f32;
        self.fast_weight = (f64::from(self.fast_weight) * fast) as f32;
    }

    /// Empties the memory of what it has seen, so that only the belief is left.
    pub(super) fn clear(&mut self) {
        *self = Moments::default();
    }

    pub(super) fn slow_mean<V>(&self, belief: &Belief<V>) -> f64 {
        let weight = f64::from(self.weight);
        (belief.weight * belief.mean + weight * f64::from(self.mean)) / (belief.weight + weight)
    }

    pub(super) fn fast_mean(&self, slow_mean: f64) -> f64 {
        let weight = f64::from(self.fast_weight);
        (FAST_WEIGHT * slow_mean + weight * f64::from(self.fast_mean)) / (FAST_WEIGHT + weight)
    }

    fn within<V>(&self, belief: &Belief<V>, believed: f64, own: f32) -> f64 {
        let weight = f64::from(self.weight);
        let spread_weight = belief.spread_weight;
        (spread_weight * believed + weight * f64::from(own)) / (spread_weight + (weight - 1.0).max(0.0))
    }

    /// Whether the fast memory knows something else than the slow one.
    pub(super) fn has_fast(&self) -> bool {
        self.weight > 8.0 && self.fast_weight < 0.8 * self.weight
    }

    pub(super) fn slow<V: Fn(f64) -> f64>(&self, belief: &Belief<V>) -> Prediction {
        let mean = self.slow_mean(belief);
        let within = self.within(belief, (belief.variance_at)(mean), self.variance);
        Prediction {
            mean,
            variance: within + within / (belief.weight + f64::from(self.weight)),
        }
    }

    pub(super) fn fast<V: Fn(f64) -> f64>(&self, belief: &Belief<V>) -> Prediction {
        let mean = self.fast_mean(self.slow_mean(belief));
        Prediction {
            mean,
            variance: self.within(belief, (belief.variance_at)(mean), self.fast_error),
        }
    }

    /// Forgets for one observation and takes it in.
    pub(super) fn learn<V: Fn(f64) -> f64>(&mut self, belief: &Belief<V>, level: f64, decay: &Decay) -> Update {
        let Prediction { mean, variance } = self.slow(belief);
        let deviation = variance.sqrt();
        let error = level - mean;
        let deviations = error / deviation;
        let bounded = error.clamp(-BOUND * deviation, BOUND * deviation);
        let fast = self.fast(belief);
        let fast_bound = BOUND * fast.variance.sqrt();
        let fast_bounded = (level - fast.mean).clamp(-fast_bound, fast_bound);

        self.keep(decay.slow(), decay.fast());
        self.weight += 1.0;
        self.fast_weight += 1.0;
        if deviations.abs() <= SURPRISING {
            self.agreeing = 0;
        } else if self.agree(belief, level, mean, deviation) {
            self.settle(belief, mean, variance);
            return Update {
                learned: Learned::RegimeChange,
                deviations,
            };
        }
        let share = 1.0 / f64::from(self.weight);
        let own = f64::from(self.mean);
        let step = mean + bounded - own;
        self.mean = (own + step * share) as f32;
        // Observations that follow a first surprising one and agree with it are a new level, not a wider spread.
        if self.agreeing < 2 {
            let put_back = if error == bounded { 1.0 } else { CONSISTENCY };
            self.variance = ((1.0 - share) * (f64::from(self.variance) + step * step * share * put_back)) as f32;
            let square = fast_bounded * fast_bounded;
            self.fast_error += ((square - f64::from(self.fast_error)) * share) as f32;
        }
        let fast_own = f64::from(self.fast_mean);
        self.fast_mean = (fast_own + (fast.mean + fast_bounded - fast_own) / f64::from(self.fast_weight)) as f32;
        Update {
            learned: if error == bounded {
                Learned::Usual
            } else {
                Learned::Bounded
            },
            deviations,
        }
    }

    /// Follows surprising observations; true when they have agreed often enough.
    fn agree<V: Fn(f64) -> f64>(&mut self, belief: &Belief<V>, level: f64, mean: f64, deviation: f64) -> bool {
        let candidate = f64::from(self.candidate);
        let ratio = (belief.variance_at)(candidate) / (belief.variance_at)(mean);
        if self.agreeing > 0 && (level - candidate).abs() <= SURPRISING * deviation * ratio.sqrt() {
            self.agreeing += 1;
            self.candidate += ((level - candidate) / f64::from(self.agreeing)) as f32;
        } else {
            self.agreeing = 1;
            self.candidate = level as f32;
        }
        self.agreeing >= REGIME_WINDOWS
    }

    fn settle<V: Fn(f64) -> f64>(&mut self, belief: &Belief<V>, mean: f64, variance: f64) {
        let candidate = f64::from(self.candidate);
        // The belief is outweighed: what agreed so often is what is, however far from it.
        let weight = f32::from(REGIME_WINDOWS).max(8.0 * belief.weight as f32);
        self.variance = (variance * (belief.variance_at)(candidate) / (belief.variance_at)(mean)) as f32;
        self.mean = self.candidate;
        self.weight = weight;
        self.fast_mean = self.candidate;
        self.fast_weight = weight;
        self.fast_error = self.variance;
        self.agreeing = 0;
        self.candidate = 0.0;
    }
}
