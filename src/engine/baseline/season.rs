//! The shape of a week: how much more or less there is at an hour than at any hour.
//!
//! The group's multipliers come from integer sums, one vote an entity and hour; each is shrunk to 1 by how many entities
//! spoke for the hour. Every entity follows the group's shape as far as it has been seen to: the exponent of the shape
//! grows from 0 with the weeks that were seen, weeks / (weeks + 1). The multipliers of a week have mean 1.

use super::Summary;
use super::decay::round9;
use super::time_of_week::HOURS;
use serde::{Deserialize, Serialize};

/// Multipliers for the hours of a week, from Monday 00:00 in the site's time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Season {
    multipliers: Vec<f64>,
}

/// What a group's entities say together about the hours of the week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeasonSummary {
    /// Empty, or for each hour the number of votes and the sum of what they say, in 2^-20.
    hours: Vec<(u64, i64)>,
    /// How many weeks the longest-known entity has been seen, in 2^-20.
    weeks: i64,
}

const ONE: f64 = 1_048_576.0;
/// So many votes for an hour are worth as much as the belief that it is like any other.
const BELIEF_VOTES: f64 = 10.0;
/// No entity says more than this many times its mean about an hour.
const RATIO_MAX: f64 = 20.0;
const MULTIPLIER_MIN: f64 = 0.02;

impl SeasonSummary {
    /// One entity's vote about an hour of the week (0 to 167) in this epoch: what it showed there, over its own mean of
    /// a window. An entity whose mean is not known yet has no vote.
    pub fn vote(&mut self, hour: u8, seen: f64, own_mean: f64) {
        if own_mean.is_nan() || own_mean <= 0.0 || seen.is_nan() || seen < 0.0 {
            return;
        }
        if self.hours.is_empty() {
            self.hours = vec![(0, 0); HOURS];
        }
        if let Some((votes, sum)) = self.hours.get_mut(usize::from(hour) % HOURS) {
            *votes += 1;
            *sum += ((seen / own_mean).min(RATIO_MAX) * ONE).round() as i64;
        }
    }

    /// Tells for how many weeks the group has been seen.
    pub fn seen_for(&mut self, weeks: f64) {
        self.weeks = self.weeks.max((weeks.clamp(0.0, 1e4) * ONE).round() as i64);
    }
}

impl Summary for SeasonSummary {
    fn merge(&mut self, other: &Self) {
        self.weeks = self.weeks.max(other.weeks);
        if self.hours.is_empty() {
            self.hours.clone_from(&other.hours);
        } else {
            for ((votes, sum), (more_votes, more)) in self.hours.iter_mut().zip(&other.hours) {
                *votes += more_votes;
                *sum += more;
            }
        }
    }
}

impl Season {
    /// All hours alike.
    pub fn none() -> Self {
        Season {
            multipliers: Vec::new(),
        }
    }

    /// The group's shape from merged summaries, rounded to 1e-9.
    pub fn of(summary: &SeasonSummary) -> Self {
        if summary.hours.is_empty() {
            return Season::none();
        }
        let weeks = summary.weeks as f64 / ONE;
        let trust = weeks / (weeks + 1.0);
        let mut multipliers: Vec<f64> = summary
            .hours
            .iter()
            .map(|(votes, sum)| {
                let ratio = (BELIEF_VOTES + *sum as f64 / ONE) / (BELIEF_VOTES + *votes as f64);
                ratio.max(MULTIPLIER_MIN).powf(trust)
            })
            .collect();
        let mean = multipliers.iter().sum::<f64>() / HOURS as f64;
        for multiplier in &mut multipliers {
            *multiplier = round9((*multiplier / mean).max(MULTIPLIER_MIN));
        }
        Season { multipliers }
    }

    /// What an hour of the week (0 to 167) is multiplied with.
    pub fn scale(&self, hour: u8) -> f64 {
        self.multipliers.get(usize::from(hour)).copied().unwrap_or(1.0)
    }

    /// The same for an entity that has been seen for some weeks: it follows the group's shape the more, the longer its
    /// own mean has had the chance to cover all hours. From + - x / alone.
    pub fn scale_for(&self, hour: u8, entity_weeks: f64) -> f64 {
        let share = entity_weeks / (entity_weeks + 0.5);
        1.0 + (self.scale(hour) - 1.0) * share.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_season_is_learned_from_votes_and_merging_in_any_order_gives_the_same() {
        let parts: Vec<SeasonSummary> = (0..5)
            .map(|part| {
                let mut summary = SeasonSummary::default();
                summary.seen_for(4.0 + f64::from(part));
                for entity in 0..40 {
                    for hour in 0..168u8 {
                        let by_day = (8..18).contains(&(hour % 24));
                        summary.vote(hour, if by_day { 30.0 } else { 3.0 }, 14.25 + f64::from(entity + part));
                    }
                }
                summary
            })
            .collect();
        let (mut forward, mut backward) = (SeasonSummary::default(), SeasonSummary::default());
        parts.iter().for_each(|part| forward.merge(part));
        parts.iter().rev().for_each(|part| backward.merge(part));
        assert_eq!(forward, backward);
        let season = Season::of(&forward);
        assert!(season.scale(12) / season.scale(2) > 5.0 && season.scale(12) / season.scale(2) < 10.5);
        let mean = (0..168).map(|hour| season.scale(hour)).sum::<f64>() / 168.0;
        assert!((mean - 1.0).abs() < 1e-6);
        assert_eq!(season.scale_for(12, 0.0), 1.0);
        assert_eq!(Season::none().scale(3), 1.0);
    }
}
