//! Raw surprise to calibrated surprise, learned from what a group's entities have shown.
//!
//! A baseline's law is never quite that of the traffic. Were it right, one window in ten would have a surprise of 1, one
//! in a hundred of 2, and so on. Each group of entities therefore counts the surprises of its windows, for each window
//! length of each detector, and a surprise is worth what share of the windows had at least as much:
//!
//! - Only final values of closed windows with something in them count, at most one an entity and epoch; a discrete
//!   measure votes with its randomised p. Windows that already rank as somebody's incident weigh a 24th, so that an
//!   incident of a day has one vote: an attack does not teach that attacks are normal. What comes every day is none: they
//!   weigh so much more that on all days together as many count as on the median day. A law that is wrong far out is so
//!   found out, and whatever happens on fewer than half of the days does not count.
//! - The law itself is believed like `LAW_VOTES` votes, so a group of few has the identity. An entity is like itself from
//!   epoch to epoch: the votes of one count as `VOTES_OF_ONE` at most, however many they are.
//! - Where `RANK_VOTES` votes are at least as surprising, their share decides. Beyond, the map goes on with the slope of
//!   a generalised Pareto tail, which is exponential on the scale of surprise, fitted to the most surprising tenth of
//!   the votes, `FIT_VOTES` at most; excesses are censored at `EXCESS_MAX`, so that a few far ones don't bend it.
//! - A calibrated surprise is never above the raw one: calibration may make an alert rarer, never more frequent.
//!
//! Entities that are seen for the first time are judged by their peers' prior alone, and are calibrated apart. So is how
//! many values of a window are new, which is another question than whether one of them is strange.

use super::baseline::{Judgement, Summary};
use crate::domain::earlier;
use serde::{Deserialize, Deserializer, Serialize};

/// What a group's windows say together: how many had which surprise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationSummary {
    /// By [`Class`].
    #[serde(deserialize_with = "classes")]
    classes: [Tally; CLASSES],
}

/// What is calibrated apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Entities with a history.
    Known,
    /// Entities that were judged by their peers' prior alone.
    Newcomer,
    /// How many values of a window are new to an entity with a history.
    News,
}

const CLASSES: usize = 3;

impl Class {
    /// The class of an entity that was judged by its peers' prior alone, or was not.
    pub fn of(newcomer: bool) -> Self {
        if newcomer { Class::Newcomer } else { Class::Known }
    }
}

/// The votes of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    /// Empty, or windows by bucket of surprise: those that do not rank as incidents, and those that do.
    ordinary: Vec<u64>,
    incidents: Vec<u64>,
    /// How many of the latter there were on each day, ascending; also where there were none.
    days: Vec<(i64, u64)>,
    /// A bit for each entity, by its hash: who voted (linear counting, Whang et al. 1990).
    voters: [u64; VOTER_WORDS],
}

/// What one closed window says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationVote {
    /// The hash of its entity.
    pub entity: u64,
    /// What it is calibrated with.
    pub class: Class,
    /// Its randomised raw surprise among windows with something in them.
    pub raw: f64,
    /// Whether its calibrated surprise ranks as an incident's.
    pub incident: bool,
}

/// A map from raw surprise to calibrated surprise. The default is the identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Calibrated surprise at multiples of [`BUCKET`]; empty for the identity.
    knots: Vec<f64>,
    /// What one more of raw surprise is worth beyond the last knot, up to 1.
    slope: f64,
}

/// The maps of a group, by [`Class`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibrations([Calibration; CLASSES]);

/// The surprise from which a window ranks as an incident, whatever the budget.
pub const INCIDENT_SURPRISE: f64 = 4.0;

/// The width of a bucket of surprise.
const BUCKET: f64 = 0.125;
/// Buckets up to a surprise of 12, and one for what is beyond.
const BUCKETS: usize = 97;
/// What an incident's window weighs that does not come every day.
const INCIDENT_WEIGHT: f64 = 1.0 / 24.0;
/// Of fewer days no day is the median.
const DAYS_MIN: usize = 3;
/// Words of the set of voters: it tells some thousand of them apart.
const VOTER_WORDS: usize = 4;
/// What the votes of one entity are worth at most.
const VOTES_OF_ONE: f64 = 50.0;
/// How many votes the baseline's own law is worth.
const LAW_VOTES: f64 = 100.0;
/// So many votes at least as surprising make a share.
const RANK_VOTES: f64 = 30.0;
/// A tenth of the votes, but up to so many, tell how the tail falls, and how many the law's own tail is worth.
const FIT_VOTES: f64 = 200.0;
const TAIL_VOTES: f64 = 50.0;
/// An excess is followed up to here.
const EXCESS_MAX: f64 = 2.0;
/// The mean excess of a law that is right.
const EXCESS_MEAN: f64 = std::f64::consts::LOG10_E;
const SLOPE_MIN: f64 = 0.05;

impl CalibrationSummary {
    /// Adds a window's vote.
    pub fn vote(&mut self, vote: CalibrationVote) {
        let tally = &mut self.classes[vote.class as usize];
        let windows = if vote.incident {
            &mut tally.incidents
        } else {
            &mut tally.ordinary
        };
        if windows.is_empty() {
            *windows = vec![0; BUCKETS];
        }
        // The top bits choose the key group, the low ones its cells.
        let bit = (vote.entity >> 24) as usize % (64 * VOTER_WORDS);
        tally.voters[bit / 64] |= 1 << (bit % 64);
        let bucket = ((vote.raw.max(0.0) / BUCKET) as usize).min(BUCKETS - 1);
        if let Some(held) = windows.get_mut(bucket) {
            *held += 1;
        }
    }

    /// Says on which day all of these votes were cast.
    pub fn date(&mut self, day: i64) {
        for tally in &mut self.classes {
            tally.days = vec![(day, tally.incidents.iter().sum())];
        }
    }

    /// How many windows had a calibrated p of at most each of `bounds`, had these maps judged them. Within a bucket p is
    /// taken to be spread evenly. A window that ranks as an incident counts as a 24th.
    pub fn windows_within<const N: usize>(&self, maps: &Calibrations, bounds: &[f64; N]) -> [f64; N] {
        let mut within = [0.0; N];
        for (tally, map) in self.classes.iter().zip(&maps.0) {
            let windows = tally.weighed(INCIDENT_WEIGHT);
            for (bucket, windows) in windows.enumerate().filter(|(_, windows)| *windows > 0.0) {
                let p = |raw: f64| 10f64.powf(-map.surprise(raw));
                let high = p(bucket as f64 * BUCKET);
                let low = if bucket + 1 < BUCKETS {
                    p((bucket + 1) as f64 * BUCKET)
                } else {
                    0.0
                };
                for (held, bound) in within.iter_mut().zip(bounds) {
                    *held += windows * share_below(*bound, low, high);
                }
            }
        }
        within
    }
}

/// The share of [low, high] that lies at or below `bound`.
fn share_below(bound: f64, low: f64, high: f64) -> f64 {
    if bound >= high {
        1.0
    } else if bound <= low {
        0.0
    } else {
        (bound - low) / (high - low)
    }
}

impl Summary for CalibrationSummary {
    fn merge(&mut self, other: &Self) {
        for (held, other) in self.classes.iter_mut().zip(&other.classes) {
            add(&mut held.ordinary, &other.ordinary);
            add(&mut held.incidents, &other.incidents);
            for (day, count) in &other.days {
                match held.days.binary_search_by_key(day, |(day, _)| *day) {
                    Ok(place) => held.days[place].1 += count,
                    Err(place) => held.days.insert(place, (*day, *count)),
                }
            }
            for (held, more) in held.voters.iter_mut().zip(&other.voters) {
                *held |= more;
            }
        }
    }
}

/// Reads the votes by class. There were two, whose windows stood in one list: 24 for each, and one for an incident's.
fn classes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[Tally; CLASSES], D::Error> {
    if !earlier::is_before(earlier::NEWNESS) {
        return Deserialize::deserialize(deserializer);
    }
    let earlier: [(Vec<u64>, [u64; VOTER_WORDS]); 2] = Deserialize::deserialize(deserializer)?;
    let [known, newcomers] = earlier.map(|(units, voters)| Tally {
        ordinary: units.iter().map(|units| units / 24).collect(),
        incidents: units.iter().map(|units| units % 24).collect(),
        days: Vec::new(),
        voters,
    });
    Ok([known, newcomers, Tally::default()])
}

/// Adds windows by bucket.
fn add(held: &mut Vec<u64>, more: &[u64]) {
    if held.is_empty() {
        held.extend_from_slice(more);
    } else {
        for (held, more) in held.iter_mut().zip(more) {
            *held += more;
        }
    }
}

impl Tally {
    /// How many entities voted.
    fn entities(&self) -> f64 {
        let bits = (64 * VOTER_WORDS) as f64;
        let set: f64 = self.voters.iter().map(|word| f64::from(word.count_ones())).sum();
        -bits * (1.0 - set.min(bits - 1.0) / bits).ln()
    }

    /// Windows by bucket, where one that ranks as an incident weighs so much.
    fn weighed(&self, incident: f64) -> impl Iterator<Item = f64> + Clone {
        let buckets = self.ordinary.len().max(self.incidents.len());
        (0..buckets).map(move |bucket| {
            let at = |windows: &[u64]| windows.get(bucket).copied().unwrap_or(0) as f64;
            at(&self.ordinary) + incident * at(&self.incidents)
        })
    }

    /// What a window weighs that ranks as an incident: as many count together as if each day were the median day.
    fn incident_weight(&self) -> f64 {
        let all: u64 = self.days.iter().map(|(_, count)| count).sum();
        if all == 0 || self.days.len() < DAYS_MIN {
            return INCIDENT_WEIGHT;
        }
        let mut counts: Vec<u64> = self.days.iter().map(|(_, count)| *count).collect();
        counts.sort_unstable();
        let median = counts[(counts.len() - 1) / 2];
        ((median * counts.len() as u64) as f64 / all as f64).clamp(INCIDENT_WEIGHT, 1.0)
    }

    /// Votes by bucket, as many as they are worth given that entities are like themselves.
    fn votes(&self) -> Vec<f64> {
        let votes = self.weighed(self.incident_weight());
        let each = votes.clone().sum::<f64>() / self.entities().max(1.0);
        let worth = 1.0 / (1.0 + (each - 1.0).max(0.0) / VOTES_OF_ONE);
        votes.map(|votes| votes * worth).collect()
    }
}

impl Calibration {
    fn of(tally: &Tally) -> Self {
        let votes = tally.votes();
        let all: f64 = votes.iter().sum();
        if all <= 0.0 {
            return Calibration::default();
        }
        let (mut knots, mut beyond) = (Vec::new(), all);
        for (bucket, here) in votes.iter().enumerate() {
            let raw = bucket as f64 * BUCKET;
            let share = (LAW_VOTES * 10f64.powf(-raw) + beyond) / (LAW_VOTES + all);
            let calibrated = (-share.log10()).clamp(0.0, raw);
            knots.push(rounded(calibrated.max(knots.last().copied().unwrap_or(0.0))));
            beyond -= here;
            if beyond < RANK_VOTES {
                break;
            }
        }
        Calibration {
            knots,
            slope: rounded((EXCESS_MEAN / mean_excess(&votes)).clamp(SLOPE_MIN, 1.0)),
        }
    }

    /// The calibrated surprise of a raw one; never above it.
    pub fn surprise(&self, raw: f64) -> f64 {
        let Some(last) = self.knots.last() else { return raw };
        let place = raw.max(0.0) / BUCKET;
        let at = place as usize;
        let calibrated = match (self.knots.get(at), self.knots.get(at + 1)) {
            (Some(low), Some(high)) => low + (high - low) * (place - at as f64),
            _ => last + self.slope * (raw - (self.knots.len() - 1) as f64 * BUCKET),
        };
        calibrated.min(raw)
    }

    /// The raw surprise from which the calibrated one is at least `wanted`.
    pub fn raw(&self, wanted: f64) -> f64 {
        if self.knots.is_empty() || wanted <= 0.0 {
            return wanted;
        }
        let (mut low, mut high) = (wanted, wanted / SLOPE_MIN + BUCKETS as f64);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.surprise(middle) >= wanted {
                high = middle
            } else {
                low = middle
            }
        }
        high
    }
}

impl Calibrations {
    /// The maps that merged summaries make.
    pub fn of(summary: &CalibrationSummary) -> Self {
        Calibrations(std::array::from_fn(|place| Calibration::of(&summary.classes[place])))
    }

    /// The map of a class.
    pub fn of_class(&self, class: Class) -> &Calibration {
        &self.0[class as usize]
    }

    /// The map for an entity without a history, or for one with it.
    pub fn of_entity(&self, newcomer: bool) -> &Calibration {
        self.of_class(Class::of(newcomer))
    }
}

impl CalibrationVote {
    /// The vote of a judgement among windows with something in them. `uniform` randomises it.
    pub fn new(judgement: &Judgement, entity: u64, class: Class, incident: bool, uniform: f64) -> Self {
        CalibrationVote {
            entity,
            class,
            raw: -judgement.randomised(uniform).log10(),
            incident,
        }
    }
}

/// The mean excess of the most surprising votes, censored at [`EXCESS_MAX`].
fn mean_excess(votes: &[f64]) -> f64 {
    let wanted = (0.1 * votes.iter().sum::<f64>()).clamp(RANK_VOTES, FIT_VOTES);
    let (mut beyond, mut from) = (0.0, votes.len());
    while from > 0 && beyond < wanted {
        from -= 1;
        beyond += votes.get(from).copied().unwrap_or(0.0);
    }
    let (mut followed, mut ended) = (TAIL_VOTES * EXCESS_MEAN, TAIL_VOTES);
    for (bucket, here) in votes.iter().skip(from).enumerate() {
        let excess = (bucket as f64 + 0.5) * BUCKET;
        followed += here * excess.min(EXCESS_MAX);
        if excess < EXCESS_MAX {
            ended += here;
        }
    }
    followed / ended
}

fn rounded(number: f64) -> f64 {
    (number * 1e9).round().max(0.0) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::baseline::Random;

    /// Votes whose surprise is exponential with this mean over that of a law that is right.
    fn voted(seed: u64, votes: usize, heaviness: f64) -> CalibrationSummary {
        let mut random = Random::new(seed);
        let mut summary = CalibrationSummary::default();
        for number in 0..votes as u64 {
            let raw = -heaviness * (1.0 - random.uniform()).log10();
            summary.vote(CalibrationVote {
                entity: (number % 200).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                class: Class::Known,
                raw,
                incident: raw > 60.0,
            });
        }
        summary
    }

    #[test]
    fn few_votes_are_the_identity_nearly_and_none_are_it_exactly() {
        let none = Calibrations::of(&CalibrationSummary::default());
        assert_eq!(none.of_entity(false).surprise(7.25), 7.25);
        assert_eq!(none.of_entity(true).raw(7.25), 7.25);
        let few = Calibrations::of(&voted(1, 20, 2.0));
        assert!(few.of_entity(false).surprise(6.0) > 4.0);
    }

    #[test]
    fn surprises_that_come_too_often_are_worth_as_much_as_they_are_rare() {
        let map = Calibrations::of(&voted(2, 100_000, 1.5));
        let map = map.of_entity(false);
        for (raw, worth) in [(1.5, 1.0), (3.0, 2.0), (4.5, 3.0), (6.0, 4.0), (9.0, 6.0)] {
            let found = map.surprise(raw);
            assert!((found - worth).abs() < 0.15 + 0.03 * worth, "{raw}: {found}");
        }
        assert_eq!(
            *map,
            *Calibrations::of(&voted(2, 100_000, 1.5)).of_entity(false),
            "the same votes make the same map"
        );
    }

    #[test]
    fn nothing_becomes_more_surprising_and_more_is_never_less() {
        for (seed, heaviness) in [(3, 0.5), (4, 1.0), (5, 3.0)] {
            let maps = Calibrations::of(&voted(seed, 5000, heaviness));
            let map = maps.of_entity(false);
            let mut last = 0.0;
            for step in 0..3000 {
                let raw = f64::from(step) * 0.1;
                let calibrated = map.surprise(raw);
                assert!(
                    calibrated <= raw && calibrated >= last,
                    "{raw}: {calibrated} after {last}"
                );
                last = calibrated;
                assert!((map.surprise(map.raw(calibrated)) - calibrated).abs() < 1e-9);
                assert!(map.raw(calibrated) <= raw + 1e-9);
            }
        }
    }

    #[test]
    fn an_attack_of_a_day_does_not_calibrate_itself_away() {
        let mut summary = voted(6, 4000, 1.0);
        // Ten attackers with a vote an hour for a whole day, all far out.
        for number in 0..240 {
            summary.vote(CalibrationVote {
                entity: (number % 10u64).wrapping_mul(0xbf58_476d_1ce4_e5b9),
                class: Class::Known,
                raw: 20.0,
                incident: true,
            });
        }
        let map = Calibrations::of(&summary);
        assert!(map.of_entity(false).surprise(20.0) > 12.0, "{map:?}");
        assert!(map.of_entity(false).surprise(5.0) > 4.0);
    }

    #[test]
    fn what_comes_every_day_is_no_incident_and_what_came_on_some_days_is() {
        // One window of two hundred is far out, on so many of ten days.
        let surprise_of_far_out = |days: i64| {
            let mut summary = CalibrationSummary::default();
            for day in 0..10 {
                let mut of_day = voted(10 + day as u64, 1000, 1.0);
                for number in 0..if day < days { 5 } else { 0u64 } {
                    of_day.vote(CalibrationVote {
                        entity: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                        class: Class::Known,
                        raw: 9.0,
                        incident: true,
                    });
                }
                of_day.date(day);
                summary.merge(&of_day);
            }
            Calibrations::of(&summary).of_class(Class::Known).surprise(9.0)
        };
        assert!(surprise_of_far_out(10) < 3.5, "{}", surprise_of_far_out(10));
        assert!(surprise_of_far_out(4) > 5.0, "{}", surprise_of_far_out(4));
    }

    #[test]
    fn one_entity_alone_does_not_make_what_is_usual() {
        let mut summary = CalibrationSummary::default();
        for _ in 0..2000 {
            summary.vote(CalibrationVote {
                entity: 1 << 30,
                class: Class::Known,
                raw: 3.0,
                incident: false,
            });
        }
        let map = Calibrations::of(&summary);
        assert!(map.of_entity(false).surprise(8.0) > 4.0, "{map:?}");
    }

    #[test]
    fn a_law_that_is_right_spreads_p_evenly_and_a_wrong_one_is_seen() {
        let bounds = [0.001, 0.01, 0.1, 0.5, 1.0];
        let shares = |heaviness: f64, maps: &Calibrations| {
            let votes = 200_000;
            let within = voted(7, votes, heaviness).windows_within(maps, &bounds);
            within.map(|windows| windows / votes as f64)
        };
        let identity = Calibrations::default();
        for (share, bound) in shares(1.0, &identity).iter().zip(bounds) {
            assert!((share / bound - 1.0).abs() < 0.2, "{share} at {bound}");
        }
        // Twice the surprise that the law expects: one window in ten has p of at most 0.01.
        let wrong = shares(2.0, &identity);
        assert!((wrong[1] / 0.1 - 1.0).abs() < 0.1, "{wrong:?}");
        let learned = shares(2.0, &Calibrations::of(&voted(8, 200_000, 2.0)));
        assert!((learned[1] / 0.01 - 1.0).abs() < 0.2, "{learned:?}");
    }

    #[test]
    fn merging_in_any_order_gives_the_same() {
        let parts: Vec<_> = (0..6).map(|seed| voted(seed, 300, 1.2)).collect();
        let (mut forward, mut backward) = (CalibrationSummary::default(), CalibrationSummary::default());
        parts.iter().for_each(|part| forward.merge(part));
        parts.iter().rev().for_each(|part| backward.merge(part));
        assert_eq!(forward, backward);
    }
}
