//! How much of an entity's next observation is reserved for what it has not shown yet.
//!
//! A Dirichlet process of strength `s` shows something new at its `i`-th observation with probability `s / (i + s)`, so
//! after `n` of them about `s ln(1 + n)` things were new (Antoniak 1974). Read the other way round, an entity that
//! showed `k` new things in `n` observations tells its own strength: with a gamma law between entities (shape `a`,
//! exposure `b`), its posterior mean is `(a + k) / (b + ln(1 + n))`. Who travels expects new networks after the first
//! few, who never leaves the desk does not, and how different entities are from each other is learned from the group,
//! one vote an entity: the law's mean and variance are those of the votes, less the noise of counting.

use super::decay::round9;
use serde::{Deserialize, Serialize};

/// The gamma law of strengths between entities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StrengthPrior {
    shape: f64,
    exposure: f64,
}

/// What a group's entities say together about their strengths. Integers, in 2^-20.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StrengthSummary {
    votes: u64,
    rates: u64,
    squares: u64,
    /// Sum of 1 / ln(1 + n), which the noise of counting is proportional to.
    noise: u64,
}

const ONE: f64 = 1_048_576.0;
const RATE_MAX: f64 = 1000.0;
const STRENGTH_MIN: f64 = 1e-3;
/// How many entities the definition's belief is worth against the group's.
pub(super) const DEFINITION_ENTITIES: f64 = 8.0;

/// What `n` observations are worth in telling a strength. Rounded, so that it may enter state.
fn exposure_of(weight: f64) -> f64 {
    round9(weight.max(0.0).ln_1p())
}

impl StrengthPrior {
    /// Strengths of this mean, as different from each other as exponential numbers are.
    pub(super) fn new(mean: f64) -> Self {
        StrengthPrior {
            shape: 1.0,
            exposure: 1.0 / mean.clamp(STRENGTH_MIN, 1e4),
        }
    }

    /// The strength of an entity that showed `news` new things in observations of this weight, the first one not
    /// counted.
    pub(super) fn strength(&self, news: f64, weight: f64) -> f64 {
        ((self.shape + news) / (self.exposure + exposure_of(weight))).max(STRENGTH_MIN)
    }

    /// The law of the group's votes, shrunk to this one, which a definition has.
    pub(super) fn taught(&self, summary: &StrengthSummary) -> Self {
        let votes = summary.votes as f64;
        let (mut mean, mut square) = (0.0, 0.0);
        if votes > 0.0 {
            mean = summary.rates as f64 / ONE / votes;
            let noise = mean * summary.noise as f64 / ONE / votes;
            square = (summary.squares as f64 / ONE / votes - noise).max(mean * mean);
        }
        let total = votes + DEFINITION_ENTITIES;
        let believed = self.shape / self.exposure;
        let mean = (DEFINITION_ENTITIES * believed + votes * mean) / total;
        let square = (DEFINITION_ENTITIES * 2.0 * believed * believed + votes * square) / total;
        let variance = (square - mean * mean).max(0.01 * mean * mean);
        StrengthPrior {
            shape: mean * mean / variance,
            exposure: mean / variance,
        }
    }
}

impl StrengthSummary {
    /// Adds the vote of one entity that has been observed.
    pub(super) fn vote(&mut self, news: f64, weight: f64) {
        if weight < 0.5 {
            return;
        }
        let exposure = exposure_of(weight);
        let rate = (news / exposure).min(RATE_MAX);
        let fixed = |x: f64| (x * ONE).round() as u64;
        self.votes += 1;
        self.rates = self.rates.saturating_add(fixed(rate));
        self.squares = self.squares.saturating_add(fixed(rate * rate));
        self.noise = self.noise.saturating_add(fixed(1.0 / exposure));
    }

    /// Adds what another part of the population says.
    pub(super) fn merge(&mut self, other: &Self) {
        self.votes += other.votes;
        self.rates = self.rates.saturating_add(other.rates);
        self.squares = self.squares.saturating_add(other.squares);
        self.noise = self.noise.saturating_add(other.noise);
    }
}

#[cfg(test)]
mod tests {
    use super::super::proof::Random;
    use super::*;

    #[test]
    fn an_entity_tells_its_own_strength() {
        let prior = StrengthPrior::new(1.0);
        assert!(
            (prior.strength(0.0, 0.0) - 1.0).abs() < 1e-12,
            "without history it is the group's"
        );
        assert!(prior.strength(0.0, 100.0) < 0.2, "nothing new in a hundred");
        assert!(prior.strength(25.0, 45.0) > 4.0, "new things all the time");
    }

    #[test]
    fn a_process_of_known_strength_is_recognised() {
        let mut random = Random::new(9);
        for strength in [0.2, 1.0, 5.0] {
            let (mut sum, entities) = (0.0, 400);
            for _ in 0..entities {
                let mut news = 0.0;
                for i in 1..300 {
                    news += f64::from(u8::from(random.uniform() < strength / (f64::from(i) + strength)));
                }
                sum += StrengthPrior::new(strength).strength(news, 300.0);
            }
            let mean = sum / f64::from(entities);
            // The logarithm stands for a sum that is smaller where the strength is great.
            assert!((0.6..1.2).contains(&(mean / strength)), "{strength}: {mean}");
        }
    }

    #[test]
    fn a_group_of_homebodies_with_one_traveller_leaves_newness_to_the_traveller() {
        let mut summary = StrengthSummary::default();
        for _ in 0..170 {
            summary.vote(0.0, 30.0);
        }
        for _ in 0..10 {
            summary.vote(24.0, 45.0);
        }
        let prior = StrengthPrior::new(1.0).taught(&summary);
        assert!(prior.strength(0.0, 30.0) < 0.05);
        assert!(prior.strength(24.0, 45.0) > 4.0);
        let mut merged = StrengthSummary::default();
        merged.merge(&summary);
        assert_eq!(merged, summary);
    }
}
