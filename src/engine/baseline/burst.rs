//! How many values that are new to an entity come in one window.
//!
//! What is new comes in bursts: who opens one directory of a new project opens ten. The values of a window are therefore
//! a sequence of known ones and of bursts of new ones. With a probability `q` that a burst begins where a known value
//! might have come, so many bursts come along with `g` known values as failures come before the (g + 1)-th success
//! (negative binomial), and each has a size of its own. The number of new values is their compound, computed by Panjer's
//! recursion (1981); what is judged is the chance of so many or more. An entity that is hardly known, to which half of
//! what it does is new, is so expected to show many new values by chance alone; one that is well known shows many only
//! when a burst is large. `q` is what the entity's memory says of one value (see `category.rs`), divided by the mean size
//! of its bursts; or, if that is more, what its last windows have shown, because one that keeps turning to new things shows
//! more of them than one whose new things become old.
//!
//! The size of a burst has no law that fits everywhere, so it is learned by doubling: of the windows with `2^j` new
//! values, what share had `2^(j+1)`? Each share is a beta-Bernoulli of its own, forgotten as all else, shrunk to the
//! group's, which is shrunk to one half, the law without a scale. Between the doublings the tail is a power law.
//! Where most windows have several bursts, they are taken for one larger burst: then zero is a little too likely, and the
//! tail careful.
//! An entity that once had a large burst expects another about as often as it had one.
//!
//! 44 bytes, for entities that have had something new after their first window.

use super::decay::round9;
use serde::{Deserialize, Serialize};

/// Doublings: 1, 2, 4 ... 64 new values, and more are not told apart (see `CategoryWatch::OPEN_VALUES_MAX`).
const LEVELS: usize = 7;
/// The largest burst that is told from a larger one.
const SIZE_MAX: usize = 1 << (LEVELS - 1);
/// How many windows the group's shares are worth against the entity's: as much as Laplace's rule gives to one half.
const GROUP_WINDOWS: f64 = 2.0;
/// How many entities' votes one half is worth against the group's.
const HALF_ENTITIES: f64 = 4.0;
/// How often a burst may begin at most, so that few of them are a law at all.
const BEGINS_MAX: f64 = 0.98;
const ONE: f64 = 1_048_576.0;

/// The bursts of one entity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Bursts {
    /// Forgotten number of windows with at least 1, 2, 4 ... new values, less where newness was to be expected.
    reached: [f32; LEVELS],
    /// Forgotten number of new values in them.
    values: f32,
    /// Of the windows since there was something new, sooner forgotten: how many they are, and their known and new values.
    windows: f32,
    known: f32,
    new: f32,
}

/// What is believed of bursts before the entity has had any: the share that goes on to twice the size, by doubling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BurstPrior {
    goes_on: [f64; LEVELS - 1],
}

/// What a group's entities say together about their bursts. In 2^-20.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BurstSummary {
    reached: [u64; LEVELS],
}

/// The predictive law of the number of new values of a window.
#[derive(Clone, Debug)]
pub(super) struct NewsLaw {
    /// The probability of 0, 1, 2 ... new values.
    shares: Vec<f64>,
    /// The probability of just one burst.
    one: f64,
    sizes: Sizes,
}

/// The tail of one burst's size.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// The probability of 1, 2, 4 ... new values or more.
    reaches: [f64; LEVELS],
    /// The share that goes on beyond the last.
    goes_on: f64,
}

impl Default for BurstPrior {
    fn default() -> Self {
        BurstPrior {
            goes_on: [0.5; LEVELS - 1],
        }
    }
}

impl BurstPrior {
    /// The group's shares, one vote an entity, shrunk to one half.
    pub(super) fn taught(&self, summary: &BurstSummary) -> Self {
        let mut goes_on = self.goes_on;
        let mut half = HALF_ENTITIES;
        for (share, pair) in goes_on.iter_mut().zip(summary.reached.windows(2)) {
            if let [reached, further] = pair {
                *share = (0.5 * half + *further as f64 / ONE) / (half + *reached as f64 / ONE);
                half *= 0.5;
            }
        }
        BurstPrior { goes_on }
    }
}

impl BurstSummary {
    /// Adds what another part of the population says.
    pub(super) fn merge(&mut self, other: &Self) {
        for (held, more) in self.reached.iter_mut().zip(other.reached) {
            *held = held.saturating_add(more);
        }
    }
}

impl Bursts {
    /// The largest number of new values that a law is made for.
    pub(super) const NEW_MAX: u32 = SIZE_MAX as u32;

    /// Forgets; what shares of their weight the slow and the fast memory keep over the time that has passed.
    pub(super) fn age(&mut self, slow: f32, fast: f32) {
        for held in self.reached.iter_mut().chain([&mut self.values]) {
            *held *= slow;
        }
        for held in [&mut self.windows, &mut self.known, &mut self.new] {
            *held *= fast;
        }
    }

    /// Whether nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.reached[0] <= 0.01 && self.windows <= 0.01
    }

    /// A window had so many new values, where `chance` was the probability of a value to be new, and so many known ones.
    pub(super) fn learn(&mut self, new: u32, known: u32, chance: f64) {
        self.windows += 1.0;
        self.known += known as f32;
        self.new += new as f32;
        // By how much the window tells of bursts: where everything is new, many new values are no burst.
        let weight = round9(1.0 - chance.clamp(0.0, 1.0)) as f32;
        self.values += weight * new as f32;
        for (level, held) in self.reached.iter_mut().enumerate() {
            if new >= 1 << level {
                *held += weight;
            }
        }
    }

    /// The entity's vote: bursts by doubling, of one entity never more than one.
    pub(super) fn vote(&self, summary: &mut BurstSummary) {
        let all = 1.0 + f64::from(self.reached[0]);
        for (held, reached) in summary.reached.iter_mut().zip(self.reached) {
            *held = held.saturating_add((f64::from(reached) / all * ONE).round() as u64);
        }
    }

    /// How many known values a window usually has; nothing where that is long forgotten.
    pub(super) fn known_usually(&self) -> Option<f64> {
        (self.windows >= 1.0).then(|| f64::from(self.known) / f64::from(self.windows))
    }

    /// The share of new values in the last windows.
    fn recent(&self) -> f64 {
        let new = f64::from(self.new);
        new / (1.0 + new + f64::from(self.known))
    }

    /// The law of the number of new values, up to `most`, along with so many known ones, where `chance` is the probability
    /// of one value to be new.
    pub(super) fn law(&self, prior: &BurstPrior, chance: f64, known: f64, most: u32) -> NewsLaw {
        // New values, not bursts, make the chance; one burst of one value stands for what is not known.
        let size = (1.0 + f64::from(self.values)) / (1.0 + f64::from(self.reached[0]));
        let chance = chance.max(self.recent()).min(BEGINS_MAX);
        // A burst may also come after the last of the known values.
        let usual = self.known_usually().unwrap_or(known).max(1.0);
        let odds = chance / (1.0 - chance) / size.max(1.0) * usual / (usual + 1.0);
        let begins = (odds / (1.0 + odds)).max(1e-12);
        let sizes = self.sizes(prior);
        let ones: Vec<f64> = (0..=most as usize + 1).map(|size| sizes.just(size)).collect();
        let none = ((known + 1.0) * (-begins).ln_1p()).exp();
        let mut shares = vec![none];
        for count in 1..=most as usize {
            let share = (1..=count)
                .map(|size| begins * (1.0 + known * size as f64 / count as f64) * ones[size] * shares[count - size])
                .sum();
            shares.push(share);
        }
        NewsLaw {
            shares,
            one: (known + 1.0) * begins * none,
            sizes,
        }
    }

    /// As if each new value had come by itself.
    #[cfg(test)]
    pub(super) fn forget_sizes(&mut self) {
        self.reached = [0.0; LEVELS];
        self.reached[0] = self.values;
    }

    fn sizes(&self, prior: &BurstPrior) -> Sizes {
        let mut reaches = [1.0; LEVELS];
        let mut goes_on = 0.5;
        for level in 1..LEVELS {
            goes_on = (GROUP_WINDOWS * prior.goes_on[level - 1] + f64::from(self.reached[level]))
                / (GROUP_WINDOWS + f64::from(self.reached[level - 1]));
            reaches[level] = reaches[level - 1] * goes_on.min(1.0);
        }
        Sizes { reaches, goes_on }
    }
}

impl Sizes {
    /// The probability of a burst of at least this size.
    fn at_least(&self, size: usize) -> f64 {
        if size <= 1 {
            return 1.0;
        }
        let level = (size.ilog2() as usize).min(LEVELS - 1);
        let begin = self.reaches[level];
        let goes_on = match self.reaches.get(level + 1) {
            Some(next) => next / begin,
            None => self.goes_on,
        };
        begin * goes_on.powf((size as f64 / (1usize << level) as f64).log2())
    }

    fn just(&self, size: usize) -> f64 {
        match size {
            0 => 0.0,
            size => (self.at_least(size) - self.at_least(size + 1)).max(0.0),
        }
    }
}

impl NewsLaw {
    /// The probability of at least so many new values, up to one more than the law was made for.
    pub(super) fn at_least(&self, new: u32) -> f64 {
        if new == 0 {
            return 1.0;
        }
        let below: f64 = self.shares.iter().take(new as usize).sum();
        // Far out, where the difference is no number any more, it is one burst that is large.
        (1.0 - below).max(self.one * self.sizes.at_least(new as usize)).min(1.0)
    }

    /// The smallest number that is not exceeded with this probability.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let mut sum = 0.0;
        for (number, here) in self.shares.iter().enumerate() {
            sum += here;
            if sum >= share {
                return number as f64;
            }
        }
        self.shares.len() as f64
    }

    /// Mean and variance of what the law was made for.
    pub(super) fn moments(&self) -> (f64, f64) {
        let sum = |power: i32| -> f64 {
            let each = self.shares.iter().enumerate();
            each.map(|(number, share)| share * (number as f64).powi(power)).sum()
        };
        let mean = sum(1);
        (mean, (sum(2) - mean * mean).max(0.0))
    }
}
