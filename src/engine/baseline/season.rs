//! The shape of a week: how much more or less there is at an hour than at any hour.
//!
//! Two shapes are learned for a group, from one vote an entity and hour about one of the hour's windows: how often it
//! is active, against the entity's own share of active windows, and how much there is in it then, against the
//! entity's own level. Empty windows vote too. An hour of the day is shrunk to all hours and an hour of the week to
//! its hour of the day, as far as the differences between them are no more than the noise of so many votes would make
//! (empirical Bayes; Efron and Morris 1975); then the whole is raised to weeks / (weeks + 1), since a day that was seen
//! once may have been any day. Every entity follows its group's shape the more, the longer its own mean has had the
//! chance to cover all hours.

use super::Summary;
use super::decay::round9;
use super::time_of_week::HOURS;
use serde::{Deserialize, Serialize};

/// What an hour of the week multiplies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The odds of being active.
    pub odds: f64,
    /// What there is in an active window.
    pub level: f64,
}

impl Scale {
    /// An hour like any other.
    pub const ONE: Scale = Scale { odds: 1.0, level: 1.0 };
}

/// Multipliers for the hours of a week, from Monday 00:00 in the site's time zone; all 1 without votes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Season {
    scales: Vec<Scale>,
}

/// What one entity says about one window of one hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeasonVote {
    /// The hour of the week, 0 to 167.
    pub hour: u8,
    /// The entity's own share of active windows, above 0, up to 1.
    pub share: f64,
    /// Nothing for an empty window; else what was in it over what usually is in an active one, 0 or more.
    pub level: Option<f64>,
}

/// What a group's entities say together about the hours of the week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeasonSummary {
    /// Empty, or one for each hour.
    hours: Vec<HourVotes>,
    /// Sum of the squares of all levels, in 2^-20.
    level_squares: i64,
}

/// The votes about one hour, in 2^-20 where they are not counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct HourVotes {
    votes: u64,
    active: u64,
    share_sum: i64,
    level_sum: i64,
}

const ONE: f64 = 1_048_576.0;
/// No window says more than this many times its entity's mean.
const RATIO_MAX: f64 = 20.0;
/// An hour multiplies the odds by so much at most, or divides them by it.
const ODDS_MAX: f64 = 50.0;
/// The same for what there is in an active window: beyond it the noise of a quiet hour would drown a busy one's.
const LEVEL_MAX: f64 = 10.0;
/// No hour is believed to be active more often than this.
const SHARE_MAX: f64 = 0.98;
/// An entity that has been seen for so many weeks follows half of the group's shape.
const ENTITY_WEEKS: f64 = 0.5;

impl SeasonSummary {
    /// Adds a vote. An entity whose share is not known has none.
    pub fn vote(&mut self, vote: SeasonVote) {
        if vote.share.is_nan() || vote.share <= 0.0 {
            return;
        }
        if self.hours.is_empty() {
            self.hours = vec![HourVotes::default(); HOURS];
        }
        let Some(hour) = self.hours.get_mut(usize::from(vote.hour)) else {
            return;
        };
        hour.votes += 1;
        hour.share_sum += (vote.share.min(1.0) * ONE).round() as i64;
        if let Some(level) = vote.level.filter(|level| level.is_finite()) {
            let level = level.clamp(0.0, RATIO_MAX);
            hour.active += 1;
            hour.level_sum += (level * ONE).round() as i64;
            self.level_squares += (level * level * ONE).round() as i64;
        }
    }
}

impl Summary for SeasonSummary {
    fn merge(&mut self, other: &Self) {
        self.level_squares += other.level_squares;
        if self.hours.is_empty() {
            self.hours.clone_from(&other.hours);
            return;
        }
        for (held, more) in self.hours.iter_mut().zip(&other.hours) {
            held.votes += more.votes;
            held.active += more.active;
            held.share_sum += more.share_sum;
            held.level_sum += more.level_sum;
        }
    }
}

impl Season {
    /// The group's shape from merged summaries that were collected over so many weeks.
    pub fn of(summary: &SeasonSummary, weeks: f64) -> Self {
        let votes: f64 = summary.hours.iter().map(|hour| hour.votes as f64).sum();
        let share_sum: f64 = summary.hours.iter().map(|hour| hour.share_sum as f64 / ONE).sum();
        if votes <= 0.0 || share_sum <= 0.0 {
            return Season::default();
        }
        let share = (share_sum / votes).clamp(1e-6, SHARE_MAX);
        let activity: Vec<(f64, f64)> = summary
            .hours
            .iter()
            .map(|hour| (hour.share_sum as f64 / ONE, hour.active as f64))
            .collect();
        let levels: Vec<(f64, f64)> = summary
            .hours
            .iter()
            .map(|hour| (hour.active as f64, hour.level_sum as f64 / ONE))
            .collect();
        let active: f64 = levels.iter().map(|(active, _)| active).sum();
        let mean = levels.iter().map(|(_, sum)| sum).sum::<f64>() / active.max(1.0);
        let variance = summary.level_squares as f64 / ONE / active.max(1.0) - mean * mean;
        let trust = weeks.max(0.0) / (weeks.max(0.0) + 1.0);
        let odds = |ratio: f64| {
            let at = (share * ratio).min(SHARE_MAX);
            at / (1.0 - at) * (1.0 - share) / share
        };
        let odds: Vec<f64> = shrunk(&activity, 1.0 - share).into_iter().map(odds).collect();
        let odds = multipliers(odds, ODDS_MAX, trust);
        let levels = multipliers(shrunk(&levels, variance.max(0.0)), LEVEL_MAX, trust);
        let scales = odds.into_iter().zip(levels);
        Season {
            scales: scales.map(|(odds, level)| Scale { odds, level }).collect(),
        }
    }

    /// Whether all hours are alike.
    pub fn is_flat(&self) -> bool {
        self.scales.is_empty()
    }

    /// What an hour of the week (0 to 167) multiplies for an entity that has been seen for some weeks. From + - x / alone.
    pub fn scale(&self, hour: u8, entity_weeks: f64) -> Scale {
        let Some(group) = self.scales.get(usize::from(hour)) else {
            return Scale::ONE;
        };
        let share = (entity_weeks / (entity_weeks + ENTITY_WEEKS)).clamp(0.0, 1.0);
        Scale {
            odds: 1.0 + (group.odds - 1.0) * share,
            level: 1.0 + (group.level - 1.0) * share,
        }
    }
}

/// The ratio of each hour of the week to all hours, shrunk to its hour of the day's, which is shrunk to 1. `hours` are
/// (weight, sum) and `variance` is the variance of a sum of weight 1.
fn shrunk(hours: &[(f64, f64)], variance: f64) -> Vec<f64> {
    let weight: f64 = hours.iter().map(|(weight, _)| weight).sum();
    let mean = hours.iter().map(|(_, sum)| sum).sum::<f64>() / weight.max(1e-9);
    if weight <= 0.0 || mean <= 0.0 {
        return vec![1.0; hours.len()];
    }
    let mut days = [(0.0, 0.0); 24];
    for (hour, (weight, sum)) in hours.iter().enumerate() {
        days[hour % 24].0 += weight;
        days[hour % 24].1 += sum;
    }
    let days = towards(&days, &[mean; 24], variance);
    let centres: Vec<f64> = (0..hours.len()).map(|hour| days[hour % 24]).collect();
    let hours = towards(hours, &centres, variance);
    hours.into_iter().map(|hour| (hour / mean).max(0.0)).collect()
}

/// Means of (weight, sum), each shrunk to its centre as far as noise explains the differences.
fn towards(bins: &[(f64, f64)], centres: &[f64], variance: f64) -> Vec<f64> {
    let (mut between, mut noise, mut known) = (0.0, 0.0, 0.0);
    for ((weight, sum), centre) in bins.iter().zip(centres).filter(|((weight, _), _)| *weight > 0.0) {
        between += (sum / weight - centre) * (sum / weight - centre) * weight;
        noise += variance;
        known += weight;
    }
    // The sum of squares of k bins of noise alone has a relative deviation of sqrt(2 / k).
    let unsure = 1.0 + 2.0 * (2.0 / bins.len().max(1) as f64).sqrt();
    let between = ((between - noise * unsure) / f64::max(known, 1e-9)).max(0.0);
    let each = bins.iter().zip(centres).map(|((weight, sum), centre)| {
        if *weight <= 0.0 || between <= 0.0 {
            return *centre;
        }
        let believed = between / (between + variance / weight);
        centre + (sum / weight - centre) * believed
    });
    each.collect()
}

/// Ratios raised to `trust`, with a mean of 1 over the week, rounded to 1e-9.
fn multipliers(ratios: Vec<f64>, most: f64, trust: f64) -> Vec<f64> {
    let raised: Vec<f64> = ratios
        .into_iter()
        .map(|ratio| ratio.clamp(1.0 / most, most).powf(trust))
        .collect();
    let mean = raised.iter().sum::<f64>() / raised.len().max(1) as f64;
    raised.into_iter().map(|ratio| round9(ratio / mean)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::proof::Random;
    use super::*;

    /// Forty entities that are active in three of ten windows by day and in one of a hundred by night, with three times
    /// as much by day; all alike when `seasonal` is not set.
    fn votes(seed: u64, weeks: usize, seasonal: bool) -> SeasonSummary {
        let mut random = Random::new(seed);
        let mut summary = SeasonSummary::default();
        for _ in 0..weeks * 40 {
            for hour in 0..168u8 {
                let by_day = seasonal && (8..18).contains(&(hour % 24));
                let (share, level) = if by_day { (0.3, 1.8) } else { (0.03, 0.6) };
                let active = random.uniform() < if seasonal { share } else { 0.15 };
                let level = if seasonal { level } else { 1.0 } * 2.0 * random.uniform();
                summary.vote(SeasonVote {
                    hour,
                    share: 0.15,
                    level: active.then_some(level),
                });
            }
        }
        summary
    }

    #[test]
    fn merging_in_any_order_gives_the_same() {
        let parts: Vec<_> = (0..5).map(|part| votes(part, 1, true)).collect();
        let (mut forward, mut backward) = (SeasonSummary::default(), SeasonSummary::default());
        parts.iter().for_each(|part| forward.merge(part));
        parts.iter().rev().for_each(|part| backward.merge(part));
        assert_eq!(forward, backward);
    }

    #[test]
    fn a_season_is_learned_and_followed_as_far_as_it_was_seen() {
        let season = Season::of(&votes(1, 4, true), 4.0);
        let (noon, night) = (season.scale(12, 1e9), season.scale(2, 1e9));
        // The odds differ by 0.3 / 0.7 to 0.03 / 0.97, 13.9; four weeks are trusted to the power of 0.8.
        let odds = noon.odds / night.odds;
        assert!((6.0..12.0).contains(&odds), "{odds}");
        let level = noon.level / night.level;
        assert!((2.0..3.0).contains(&level), "{level}");
        let means = (0..168).map(|hour| season.scale(hour, 1e9));
        let (odds, levels) = means.fold((0.0, 0.0), |sum, at| (sum.0 + at.odds, sum.1 + at.level));
        assert!((odds / 168.0 - 1.0).abs() < 1e-6 && (levels / 168.0 - 1.0).abs() < 1e-6);
        assert_eq!(season.scale(12, 0.0), Scale::ONE);
        assert_eq!(Season::default().scale(3, 5.0), Scale::ONE);
        let young = Season::of(&votes(1, 1, true), 1.0 / 7.0);
        assert!(young.scale(12, 1e9).odds / young.scale(2, 1e9).odds < 2.0);
    }

    #[test]
    fn noise_makes_no_season() {
        let season = Season::of(&votes(2, 1, false), 50.0);
        for hour in 0..168 {
            let scale = season.scale(hour, 1e9);
            assert!((scale.odds - 1.0).abs() < 0.15, "{hour} {scale:?}");
            assert!((scale.level - 1.0).abs() < 0.15, "{hour} {scale:?}");
        }
    }
}
