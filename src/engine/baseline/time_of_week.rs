//! When an entity is active: a profile over the 168 hours of a week, judged once a session.
//!
//! p is the summed mass of all hours no likelier than the one seen. The mass of an hour is a kernel estimate: half of
//! it from the hour and its neighbours (weights 1, 2, 1), half from the same hours of all seven days, since people keep
//! hours more than weekdays; what an entity has not shown is filled up from its group's profile.
//!
//! Bins are 16-bit numbers whose unit grows instead of the bins fading (forward decay: Cormode et al., ICDE 2009), so
//! forgetting costs one multiplication; 336 bytes, allocated at the first session.

use super::decay::power;
use super::{Baseline, Decay, Expected, Judgement, Learned, Memory, NormalIf, Summary, Tail};
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
}

/// What is believed of an entity's hours before it has a history.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeOfWeekPrior {
    /// How many sessions the profile is worth.
    weight: f64,
    /// Shares of the hours; they add up to 1.
    profile: Arc<Vec<f64>>,
}

/// What a group's entities say together about their hours: each entity's profile, with one vote an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeOfWeekSummary {
    entities: u64,
    /// Empty, or 168 sums of shares in 2^-20.
    shares: Vec<i64>,
}

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
            weight: weight.clamp(0.5, 1e4),
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

    /// The smoothed mass of every hour; they add up to 1.
    fn masses(&self, prior: &TimeOfWeekPrior) -> [f64; HOURS] {
        let mut masses = [0.0; HOURS];
        let weight = self.weight();
        let total = weight + prior.weight;
        for (mass, share) in masses.iter_mut().zip(prior.profile.iter()) {
            *mass = share * prior.weight / total;
        }
        if weight <= 0.0 {
            return masses;
        }
        let mut hours = [0.0; 24];
        for (hour, bin) in self.bins.iter().enumerate() {
            hours[hour % 24] += f64::from(*bin);
        }
        let unit = 1.0 / (f64::from(self.unit) * total);
        let bin = |hour: usize| self.bins.get(hour % HOURS).map_or(0.0, |bin| f64::from(*bin));
        for (hour, mass) in masses.iter_mut().enumerate() {
            let near = 0.25 * (bin(hour + HOURS - 1) + 2.0 * bin(hour) + bin(hour + 1));
            let of_day = hour % 24;
            let daily = 0.25 / 7.0 * (hours[(of_day + 23) % 24] + 2.0 * hours[of_day] + hours[(of_day + 1) % 24]);
            *mass += 0.5 * (near + daily) * unit;
        }
        masses
    }

    fn halve(&mut self) {
        for bin in &mut self.bins {
            *bin /= 2;
        }
        self.unit *= 0.5;
    }
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
        self.unit = (f64::from(self.unit) / kept) as f32;
        while self.unit > UNIT_MAX {
            self.halve();
        }
    }

    /// `seen` is the hour of the week, 0 to 167. There is one tail: the unlikely.
    fn judge(&self, prior: &TimeOfWeekPrior, _scale: f64, seen: u8, _tail: Tail) -> Judgement {
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
            memory: if self.weight() < prior.weight {
                Memory::Prior
            } else {
                Memory::Slow
            },
        }
    }

    fn learn(&mut self, _prior: &TimeOfWeekPrior, _scale: f64, seen: u8, _decay: &Decay) -> Learned {
        if self.bins.is_empty() {
            self.bins = vec![0; HOURS];
            self.unit = UNIT_FIRST;
        }
        let hour = usize::from(seen) % HOURS;
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

    /// An hour has no order.
    fn surprising_from(&self, _prior: &TimeOfWeekPrior, _scale: f64) -> f64 {
        0.0
    }

    /// The likeliest hour, and the shortest run of hours of the day around it that holds 90 % of the mass.
    fn expected(&self, prior: &TimeOfWeekPrior, _scale: f64) -> Expected {
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
        Expected {
            typical: typical as f64,
            low: low as f64,
            high: ((low + length - 1) % 24) as f64,
            mean: typical as f64,
            variance: 0.0,
            history_windows: weight,
            prior_weight: prior.weight / (prior.weight + weight),
        }
    }

    /// No number would have been normal: another hour would.
    fn normal_if(
        &self,
        _prior: &TimeOfWeekPrior,
        _scale: f64,
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
            .map(|(hour, believed)| {
                let near = 0.25 * (share(hour + HOURS - 1) + 2.0 * share(hour) + share(hour + 1));
                (1.0 - own) * believed + own * near
            })
            .collect();
        TimeOfWeekPrior {
            weight: definition.weight,
            profile: Arc::new(profile),
        }
    }
}

impl Summary for TimeOfWeekSummary {
    fn merge(&mut self, other: &Self) {
        self.entities += other.entities;
        if self.shares.is_empty() {
            self.shares.clone_from(&other.shares);
        } else {
            for (share, more) in self.shares.iter_mut().zip(&other.shares) {
                *share += more;
            }
        }
    }
}
