//! When an entity is active: a profile over the 168 hours of a week, judged once a session.
//!
//! p is the summed mass of all hours no likelier than the one seen. The mass of an hour is a kernel estimate: half of
//! it from the hour and its neighbours (weights 1, 2, 3, 4, 3, 2, 1), half from the same hours of all seven days, since
//! people keep hours more than weekdays. What an entity has not shown is filled up from its group's profile, which is
//! worth the more sessions the more often the entity was active at hours of the day that its own could not explain (see
//! `strength.rs`). The kernel's width is the one under which the ordinary logins of `fixtures/` are likelier to come as
//! they did: per session, 0.11 nats over all hours alike for a half-width of 2 hours, 0.24 for 3, 0.30 for 4.
//!
//! Bins are 16-bit numbers whose unit grows instead of the bins fading (forward decay: Cormode et al., ICDE 2009), so
//! forgetting costs one multiplication; 336 bytes, allocated at the first session.

use super::decay::power;
use super::strength::{StrengthPrior, StrengthSummary};
use super::{Baseline, Decay, Expected, Judgement, Learned, Memory, NormalIf, Scale, Summary, Tail};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Hours in a week.
pub const HOURS: usize = 168;

/// The predictive distribution over the hours of a week; hour 0 is Monday 00:00 in the site's time zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeOfWeek {
    /// Empty before the first session, then one number an hour.
    bins: Vec<u16>,
    /// What one session adds to its bin now.
    unit: f32,
    /// Forgotten number of sessions that the entity's own hours did not explain, the first one not counted.
    news: f32,
}

/// What is believed of an entity's hours before it has a history.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeOfWeekPrior {
    /// How many sessions the profile is worth.
    strength: StrengthPrior,
    /// Shares of the hours; they add up to 1.
    profile: Arc<Vec<f64>>,
}

/// What a group's entities say together about their hours: each entity's profile, with one vote an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOfWeekSummary {
    entities: u64,
    /// Empty, or 168 sums of shares in 2^-20.
    shares: Vec<i64>,
    strength: StrengthSummary,
}

/// Half of the kernel, from its middle outwards.
const KERNEL: [f64; 4] = [4.0 / 16.0, 3.0 / 16.0, 2.0 / 16.0, 1.0 / 16.0];
const UNIT_FIRST: f32 = 64.0;
const UNIT_MAX: f32 = 4096.0;
const ONE: f64 = 1_048_576.0;
const GROUP_ENTITIES_MIN: u64 = 8;
const DEFINITION_ENTITIES: f64 = 20.0;
const WEIGHT: f64 = 4.0;

impl TimeOfWeekPrior {
    /// All hours alike, worth so many sessions.
    pub fn new(weight: f64) -> Self {
        TimeOfWeekPrior {
            strength: StrengthPrior::new(weight.clamp(0.5, 1e4)),
            profile: Arc::new(vec![1.0 / HOURS as f64; HOURS]),
        }
    }
}

impl Default for TimeOfWeekPrior {
    fn default() -> Self {
        TimeOfWeekPrior::new(WEIGHT)
    }
}

impl TimeOfWeek {
    /// Forgotten number of sessions.
    fn weight(&self) -> f64 {
        if self.unit > 0.0 {
            self.bins.iter().map(|bin| f64::from(*bin)).sum::<f64>() / f64::from(self.unit)
        } else {
            0.0
        }
    }

    fn strength(&self, prior: &TimeOfWeekPrior) -> f64 {
        prior.strength.strength(f64::from(self.news), self.weight())
    }

    /// Sessions at each hour of the day.
    fn hours_of_day(&self) -> [f64; 24] {
        let mut hours = [0.0; 24];
        if self.unit > 0.0 {
            for (hour, bin) in self.bins.iter().enumerate() {
                hours[hour % 24] += f64::from(*bin) / f64::from(self.unit);
            }
        }
        hours
    }

    /// The smoothed mass of every hour; they add up to 1.
    fn masses(&self, prior: &TimeOfWeekPrior) -> [f64; HOURS] {
        let mut masses = [0.0; HOURS];
        let weight = self.weight();
        let strength = self.strength(prior);
        let total = weight + strength;
        for (mass, share) in masses.iter_mut().zip(prior.profile.iter()) {
            *mass = share * strength / total;
        }
        if weight <= 0.0 {
            return masses;
        }
        let days = self.hours_of_day();
        let daily: [f64; 24] = std::array::from_fn(|hour| smoothed(24, hour, |hour| days[hour]) / 7.0);
        let unit = 1.0 / f64::from(self.unit);
        let bin = |hour: usize| self.bins.get(hour).map_or(0.0, |bin| f64::from(*bin) * unit);
        for (hour, mass) in masses.iter_mut().enumerate() {
            *mass += 0.5 * (smoothed(HOURS, hour, bin) + daily[hour % 24]) / total;
        }
        masses
    }

    /// How far a session at this hour of the week is not explained by the hours of the day that the entity keeps: the
    /// share of the group's profile in its probability, 0 to 1. From + - x / alone.
    fn unexplained(&self, prior: &TimeOfWeekPrior, hour: usize) -> f64 {
        let days = self.hours_of_day();
        let own = smoothed(24, hour % 24, |hour| days[hour]);
        let profile = prior.profile.iter().enumerate();
        let anybody: f64 = profile
            .filter(|(at, _)| at % 24 == hour % 24)
            .map(|(_, share)| share)
            .sum();
        let anybody = (self.strength(prior) * anybody).max(1e-9);
        anybody / (anybody + own)
    }

    fn halve(&mut self) {
        for bin in &mut self.bins {
            *bin /= 2;
        }
        self.unit *= 0.5;
    }
}

/// A value at an hour of a circle of hours, smoothed by the kernel.
fn smoothed(hours: usize, at: usize, value: impl Fn(usize) -> f64) -> f64 {
    let mut sum = KERNEL[0] * value(at);
    for (distance, weight) in KERNEL.iter().enumerate().skip(1) {
        sum += weight * (value((at + distance) % hours) + value((at + hours - distance) % hours));
    }
    sum
}

impl Baseline for TimeOfWeek {
    type Seen = u8;
    type Prior = TimeOfWeekPrior;
    type Summary = TimeOfWeekSummary;

    fn age(&mut self, windows: u64, decay: &Decay) {
        let kept = power(decay.slow(), windows);
        if kept < 1e-6 {
            *self = TimeOfWeek::default();
            return;
        }
        self.news *= kept as f32;
        self.unit = (f64::from(self.unit) / kept) as f32;
        while self.unit > UNIT_MAX {
            self.halve();
        }
    }

    /// `seen` is the hour of the week, 0 to 167. There is one tail: the unlikely.
    fn judge(&self, prior: &TimeOfWeekPrior, _scale: Scale, seen: u8, _tail: Tail) -> Judgement {
        let masses = self.masses(prior);
        let at = masses.get(usize::from(seen)).copied().unwrap_or(0.0);
        // Hours of equal mass differ in their last bits.
        let (mut p, mut beyond) = (0.0, 0.0);
        for mass in masses {
            if mass <= at * (1.0 + 1e-9) {
                p += mass;
            }
            if mass < at * (1.0 - 1e-9) {
                beyond += mass;
            }
        }
        Judgement {
            ln_p: p.min(1.0).ln(),
            ln_p_beyond: beyond.min(1.0).ln(),
            memory: if self.weight() < self.strength(prior) {
                Memory::Prior
            } else {
                Memory::Slow
            },
        }
    }

    fn learn(&mut self, prior: &TimeOfWeekPrior, _scale: Scale, seen: u8, _decay: &Decay) -> Learned {
        let hour = usize::from(seen) % HOURS;
        if self.bins.is_empty() {
            self.bins = vec![0; HOURS];
            self.unit = UNIT_FIRST;
        } else {
            self.news += self.unexplained(prior, hour) as f32;
        }
        while self
            .bins
            .get(hour)
            .is_some_and(|bin| f32::from(*bin) + self.unit > f32::from(u16::MAX))
        {
            self.halve();
        }
        let unit = self.unit.round().max(1.0) as u16;
        if let Some(bin) = self.bins.get_mut(hour) {
            *bin += unit;
        }
        Learned::Usual
    }

    fn windows(&self) -> f64 {
        self.weight()
    }

    /// An hour has no order.
    fn surprising_from(&self, _prior: &TimeOfWeekPrior, _scale: Scale) -> f64 {
        0.0
    }

    /// The likeliest hour, and the shortest run of hours of the day around it that holds 90 % of the mass.
    fn expected(&self, prior: &TimeOfWeekPrior, _scale: Scale) -> Expected {
        let masses = self.masses(prior);
        let mut hours = [0.0; 24];
        for (hour, mass) in masses.iter().enumerate() {
            hours[hour % 24] += mass;
        }
        let (mut low, mut length) = (0, 24);
        for start in 0..24 {
            let mut sum = 0.0;
            let shortest = length;
            for run in 0..shortest {
                sum += hours[(start + run) % 24];
                if sum >= 0.9 {
                    if run + 1 < shortest {
                        (low, length) = (start, run + 1);
                    }
                    break;
                }
            }
        }
        let typical = (0..24).max_by(|a, b| hours[*a].total_cmp(&hours[*b])).unwrap_or(0);
        let weight = self.weight();
        let strength = self.strength(prior);
        Expected {
            typical: typical as f64,
            low: low as f64,
            high: ((low + length - 1) % 24) as f64,
            mean: typical as f64,
            variance: 0.0,
            history_windows: weight,
            prior_weight: strength / (strength + weight),
        }
    }

    /// No number would have been normal: another hour would.
    fn normal_if(
        &self,
        _prior: &TimeOfWeekPrior,
        _scale: Scale,
        _seen: u8,
        _tail: Tail,
        _surprise_max: f64,
    ) -> Option<NormalIf> {
        None
    }

    fn vote(&self, summary: &mut TimeOfWeekSummary) {
        let sum: f64 = self.bins.iter().map(|bin| f64::from(*bin)).sum();
        if sum <= 0.0 {
            return;
        }
        if summary.shares.is_empty() {
            summary.shares = vec![0; HOURS];
        }
        summary.entities += 1;
        summary.strength.vote(f64::from(self.news), self.weight());
        for (share, bin) in summary.shares.iter_mut().zip(&self.bins) {
            *share += (f64::from(*bin) / sum * ONE).round() as i64;
        }
    }

    fn prior(definition: &TimeOfWeekPrior, summary: &TimeOfWeekSummary) -> TimeOfWeekPrior {
        if summary.entities < GROUP_ENTITIES_MIN {
            return definition.clone();
        }
        let group: f64 = summary.shares.iter().map(|share| *share as f64).sum::<f64>().max(1.0);
        let own = summary.entities as f64 / (summary.entities as f64 + DEFINITION_ENTITIES);
        let share = |hour: usize| summary.shares.get(hour % HOURS).map_or(0.0, |share| *share as f64) / group;
        let profile = definition
            .profile
            .iter()
            .enumerate()
            .map(|(hour, believed)| (1.0 - own) * believed + own * smoothed(HOURS, hour, share))
            .collect();
        TimeOfWeekPrior {
            strength: definition.strength.taught(&summary.strength),
            profile: Arc::new(profile),
        }
    }
}

impl Summary for TimeOfWeekSummary {
    fn merge(&mut self, other: &Self) {
        self.entities += other.entities;
        self.strength.merge(&other.strength);
        if self.shares.is_empty() {
            self.shares.clone_from(&other.shares);
        } else {
            for (share, more) in self.shares.iter_mut().zip(&other.shares) {
                *share += more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::proof::Random;
    use super::*;
    use crate::domain::Duration;

    fn decay() -> Decay {
        Decay::new(Duration::from_seconds(30 * 86_400), Duration::from_seconds(3600))
    }

    /// Sessions of somebody who works from 8 to 17 o'clock on weekdays, for so many days.
    fn office(prior: &TimeOfWeekPrior, seed: u64, days: usize) -> TimeOfWeek {
        let (mut random, mut hours) = (Random::new(seed), TimeOfWeek::default());
        for day in (0..days).filter(|day| day % 7 < 5) {
            for _ in 0..4 {
                let hour = (day % 7) * 24 + 8 + (random.uniform() * 9.0) as usize;
                hours.learn(prior, Scale::ONE, hour as u8, &decay());
            }
            hours.age(24, &decay());
        }
        hours
    }

    fn surprise(hours: &TimeOfWeek, prior: &TimeOfWeekPrior, hour: u8) -> f64 {
        hours.judge(prior, Scale::ONE, hour, Tail::Upper).surprise()
    }

    #[test]
    fn ten_days_at_the_office_make_a_night_stand_out_and_another_morning_not() {
        let definition = TimeOfWeekPrior::new(4.0);
        let mut summary = TimeOfWeekSummary::default();
        for person in 0..14 {
            for days in 3..10 {
                office(&definition, person, days).vote(&mut summary);
            }
        }
        let prior = TimeOfWeek::prior(&definition, &summary);
        let person = office(&prior, 99, 10);
        assert!(surprise(&person, &prior, 6 * 24 + 3) > 2.0, "Sunday at 3");
        assert!(surprise(&person, &prior, 2 * 24 + 10) < 0.5, "Wednesday at 10");
        assert!(surprise(&person, &prior, 4 * 24 + 18) < 2.0, "Friday at 18");
    }

    #[test]
    fn who_is_active_at_any_hour_expects_any_hour() {
        let prior = TimeOfWeekPrior::new(4.0);
        let (mut random, mut hours) = (Random::new(3), TimeOfWeek::default());
        for _ in 0..60 {
            hours.learn(&prior, Scale::ONE, (random.uniform() * 168.0) as u8, &decay());
            hours.age(4, &decay());
        }
        let strange = (0..168).filter(|hour| surprise(&hours, &prior, *hour) >= 2.0);
        assert!(strange.count() <= 3, "of 168 hours, one in a hundred may seem strange");
    }

    #[test]
    fn the_masses_of_a_week_add_up_to_one() {
        let prior = TimeOfWeekPrior::new(4.0);
        for days in [0, 1, 9] {
            let sum: f64 = office(&prior, 7, days).masses(&prior).iter().sum();
            assert!((sum - 1.0).abs() < 1e-3, "{days}: {sum}");
        }
    }
}
