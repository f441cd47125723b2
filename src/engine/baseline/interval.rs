//! How regular: the gaps between contacts of a pair.
//!
//! The last 48 gaps are kept, and looked at each time eight more have come. Their regularity is the median absolute
//! deviation over the median, after gaps near twice, three or four times the median were divided by that (a missing beat).
//! Polls, clocks and telemetry are regular too, so a pair is not held against a law of random arrivals but against the
//! population's pairs with as many gaps: p is the share of them that is at least as regular. Pairs with a common and a rare
//! destination, and new and old ones, are compared with their like. While there are few, the definition's belief stands
//! in: some machines, with regularities from 0.001 to 0.3 alike in their logarithm, among people whose gaps are
//! exponential (the table below; two million simulated pairs a row, below it a power law).
//!
//! How rare the destination is among the population's sources and whether the pair is new is a question of its own: p is
//! the share of pairs that stand at least as much apart. The two are combined by Fisher's rule, P (1 - ln P) for their
//! product P; the first p is conditional on the answer to the second, so that they are independent. What is not known
//! (how common, while there are few sources; how new, within the first day) is left out. Below eight gaps nothing is said.
//!
//! A gap is kept in 16 bits: five of exponent and eleven of fraction, 1 s to 2^32 s, true to 1 in 4,000.
//! A state is 32 bytes and 2 a gap.

use super::judgement::Judgement;
use super::{Baseline, Decay, Expected, Learned, Memory, NormalIf, Scale, Summary, Tail};
use serde::{Deserialize, Serialize};

/// The gaps between contacts of a pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// As [`packed`]; a ring once it is full.
    gaps: Vec<u16>,
    next: u8,
    /// How the pair stood when last seen.
    standing: Standing,
}

/// How common a destination is among the population's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Rarity {
    /// More than a tenth of the sources call it.
    Common,
    /// A tenth of the sources at most call it.
    Rare,
    /// One source alone calls it.
    Alone,
}

/// How a pair stands in the population.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How common its destination is; `None` when not known.
    pub rarity: Option<Rarity>,
    /// Whether it is new; `None` when the population has not been watched for long enough to tell.
    pub is_new: Option<bool>,
}

/// One more contact of a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// Seconds since the contact before.
    pub gap_seconds: f64,
    /// How the pair stands in the population.
    pub standing: Standing,
}

/// What is believed of the regularity of pairs, and of how they stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalPrior {
    /// Gaps of a smaller median are a stream, not beats.
    period_seconds_min: f64,
    /// Shares of pairs that are at least as regular as each edge: [common old, rare old, common new, rare new] by number of
    /// gaps.
    shares: [[[f64; EDGES]; SIZES]; CLASSES],
    /// Shares of pairs by rarity, old and new.
    standings: [[f64; 2]; RARITIES],
    /// How many sources the population has, about.
    sources: f64,
    /// The first epoch that is known of; `None` before there is a population.
    since: Option<i32>,
}

/// How regular a group's pairs are and how they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalSummary {
    /// By class, number of gaps and regularity.
    pairs: [[[u64; EDGES + 1]; SIZES]; CLASSES],
    /// By rarity: old, new, and of unknown age.
    standings: [[u64; 3]; RARITIES],
    /// A bit for each source, by its hash (linear counting, Whang et al. 1990).
    sources: [u64; SOURCE_WORDS],
    /// The first epoch in which anybody had a say.
    since: Option<i32>,
}

/// A pair with fewer gaps is not judged, and one with more each time so many more have come.
pub const GAPS_MIN: usize = 8;
/// So many gaps are kept.
pub const GAPS_MAX: usize = 48;
/// A population of fewer sources does not know what is common.
const SOURCES_MIN: f64 = 8.0;
/// A destination of a smaller share of the sources is rare.
const RARE: f64 = 0.1;
/// A pair is new for so many epochs, if it began when the population had been watched for a day.
const NEW_EPOCHS: i32 = 7 * 24;
const WATCHED_EPOCHS: i32 = 24;
/// How many pairs the belief of a class's more general class is worth.
const BELIEF_PAIRS: f64 = 50.0;
/// The share of machines among pairs with a common and with a rare destination. Of the pairs in `fixtures/benign_network_*`
/// with eight gaps or more a third are (88 of 261), and of the desktop's in Stratosphere's benign capture of 2023-02-20 a
/// quarter; that few call an address of their own is an assumption.
const MACHINES: [f64; 2] = [0.3, 0.02];
/// Shares of pairs by rarity, old and new, before there is a population.
const STANDINGS: [[f64; 2]; RARITIES] = [[0.6, 0.05], [0.1, 0.05], [0.15, 0.05]];

const CLASSES: usize = 4;
const RARITIES: usize = 3;
const SOURCE_WORDS: usize = 4;
const SIZES: usize = GAPS_MAX / GAPS_MIN;
const EDGES: usize = 14;
const REGULARITY: [f64; EDGES] = [
    0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0,
];
/// Exponential gaps at least as regular as the edges from 0.05 on, for 8, 16, 24, 32, 40 and 48 of them.
const RANDOM: [[f64; EDGES - 3]; SIZES] = [
    [
        3.7e-3, 3.9e-2, 1.2e-1, 2.3e-1, 3.6e-1, 4.8e-1, 6.8e-1, 8.3e-1, 9.2e-1, 9.9e-1, 1.0,
    ],
    [
        6.8e-5, 5.2e-3, 4.3e-2, 1.4e-1, 2.8e-1, 4.5e-1, 7.4e-1, 9.1e-1, 9.7e-1, 9.98e-1, 1.0,
    ],
    [
        1.5e-6, 7.5e-4, 1.6e-2, 8.5e-2, 2.3e-1, 4.2e-1, 7.7e-1, 9.4e-1, 9.9e-1, 9.99e-1, 1.0,
    ],
    [
        2.7e-8, 1.0e-4, 6.3e-3, 5.3e-2, 1.8e-1, 3.9e-1, 7.9e-1, 9.6e-1, 9.95e-1, 1.0, 1.0,
    ],
    [
        5.0e-10, 1.7e-5, 2.6e-3, 3.3e-2, 1.5e-1, 3.6e-1, 8.1e-1, 9.7e-1, 9.98e-1, 1.0, 1.0,
    ],
    [
        9.4e-12, 2.5e-6, 1.0e-3, 2.1e-2, 1.2e-1, 3.4e-1, 8.3e-1, 9.8e-1, 9.99e-1, 1.0, 1.0,
    ],
];
const MACHINE_LEAST: f64 = 0.001;
const MACHINE_MOST: f64 = 0.3;

impl Standing {
    fn is_rare(self) -> bool {
        self.rarity.is_some_and(|rarity| rarity >= Rarity::Rare)
    }

    /// The pairs that it is compared with.
    fn class(self) -> usize {
        usize::from(self.is_rare()) + 2 * usize::from(self.is_new == Some(true))
    }
}

impl IntervalPrior {
    /// The belief before there is a population; gaps whose median is under `period_seconds_min` are never beats.
    pub fn new(period_seconds_min: f64) -> Self {
        let mut shares = [[[0.0; EDGES]; SIZES]; CLASSES];
        for (class, rows) in shares.iter_mut().enumerate() {
            let machines = MACHINES[class % 2];
            for (size, (row, random)) in rows.iter_mut().zip(&RANDOM).enumerate() {
                let gaps = (GAPS_MIN * (size + 1)) as f64;
                for (at, share) in row.iter_mut().enumerate() {
                    let edge = REGULARITY[at];
                    let machine = (edge / MACHINE_LEAST).ln() / (MACHINE_MOST / MACHINE_LEAST).ln();
                    let person = match at.checked_sub(3) {
                        Some(tabled) => random[tabled],
                        None => random[0] * (edge / 0.05).powf(0.5 * gaps),
                    };
                    *share = machines * machine.clamp(0.0, 1.0) + (1.0 - machines) * person;
                }
            }
        }
        IntervalPrior {
            period_seconds_min,
            shares,
            standings: STANDINGS,
            sources: 0.0,
            since: None,
        }
    }

    /// How a pair stands whose destination so many pairs of the population have, that was first seen in one epoch and is
    /// seen in another.
    pub fn standing(&self, holders: Option<u32>, first_epoch: i32, epoch: i32) -> Standing {
        let holders = holders.filter(|_| self.sources >= SOURCES_MIN);
        let rarity = holders.map(|holders| match holders {
            0 | 1 => Rarity::Alone,
            holders if f64::from(holders) <= RARE * self.sources => Rarity::Rare,
            _ => Rarity::Common,
        });
        let known_from = self.since.map(|since| since.saturating_add(WATCHED_EPOCHS));
        let is_new = known_from
            .filter(|from| epoch >= *from)
            .map(|from| first_epoch >= from && epoch <= first_epoch.saturating_add(NEW_EPOCHS));
        Standing { rarity, is_new }
    }

    /// The share of pairs with as many gaps that are at least as regular.
    fn share(&self, standing: Standing, gaps: usize, regularity: f64) -> f64 {
        let row = &self.shares[standing.class()][size_of_gaps(gaps)];
        let at = REGULARITY.partition_point(|edge| *edge < regularity);
        let (Some(high), Some(high_share)) = (REGULARITY.get(at), row.get(at)) else {
            return 1.0;
        };
        // Nobody has counted below the first edge.
        let Some(below) = at.checked_sub(1) else {
            return *high_share;
        };
        let (low, low_share) = (REGULARITY[below], row[below]);
        low_share + (high_share - low_share) * (regularity - low) / (high - low)
    }

    /// The share of pairs that stand at least as much apart: rare counts as much as new.
    fn apart(&self, standing: Standing) -> Option<f64> {
        let rarity = standing.rarity? as usize;
        let shares = self.standings.iter().enumerate();
        let Some(is_new) = standing.is_new else {
            return Some(shares.skip(rarity).map(|(_, [old, new])| old + new).sum());
        };
        let own = rarity + usize::from(is_new);
        let at_least = |place: usize, share: f64| if place >= own { share } else { 0.0 };
        Some(
            shares
                .map(|(place, [old, new])| at_least(place, *old) + at_least(place + 1, *new))
                .sum(),
        )
    }
}

impl Default for IntervalPrior {
    fn default() -> Self {
        IntervalPrior::new(5.0)
    }
}

impl IntervalSummary {
    /// A source had a pair in this epoch.
    pub fn note(&mut self, source: u32, epoch: i32) {
        let bit = source as usize % (64 * SOURCE_WORDS);
        self.sources[bit / 64] |= 1 << (bit % 64);
        self.since = Some(self.since.map_or(epoch, |since| since.min(epoch)));
    }

    /// How many sources had a pair, about.
    fn sources(&self) -> f64 {
        let bits = (64 * SOURCE_WORDS) as f64;
        let set: f64 = self.sources.iter().map(|word| f64::from(word.count_ones())).sum();
        -bits * (1.0 - set.min(bits - 1.0) / bits).ln()
    }
}

fn size_of_gaps(gaps: usize) -> usize {
    (gaps / GAPS_MIN).clamp(1, SIZES) - 1
}

/// A gap in 16 bits: an `f32` from 1 on without its sign, with five bits of its exponent and eleven of its fraction.
fn packed(gap_seconds: f64) -> u16 {
    let bits = (gap_seconds.clamp(1.0, 1e9) as f32).to_bits() - ONE_BITS;
    ((bits + 0x800) >> 12) as u16
}

fn unpacked(gap: u16) -> f32 {
    f32::from_bits((u32::from(gap) << 12) + ONE_BITS)
}

/// The bits of 1.0.
const ONE_BITS: u32 = 0x3f80_0000;

/// The median gap in seconds and the regularity around it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rhythm {
    median: f64,
    regularity: f64,
}

fn rhythm(gaps: &mut [f32]) -> Rhythm {
    let first = median(gaps);
    for gap in gaps.iter_mut() {
        for beats in [2.0, 3.0, 4.0] {
            if *gap >= (beats - 0.5) * first && *gap < (beats + 0.5) * first {
                *gap /= beats;
                break;
            }
        }
    }
    let middle = median(gaps);
    for gap in gaps.iter_mut() {
        *gap = (*gap - middle).abs();
    }
    let deviation = median(gaps);
    Rhythm {
        median: middle.into(),
        regularity: if middle > 0.0 {
            f64::from(deviation) / f64::from(middle)
        } else {
            1.0
        },
    }
}

fn median(numbers: &mut [f32]) -> f32 {
    numbers.sort_unstable_by(f32::total_cmp);
    let half = numbers.len() / 2;
    match (numbers.get(half.wrapping_sub(1)), numbers.get(half)) {
        (Some(low), Some(high)) if numbers.len().is_multiple_of(2) => 0.5 * (low + high),
        (_, Some(middle)) => *middle,
        _ => 0.0,
    }
}

/// The logarithm of Fisher's combination of two independent p-values; of one, it is its own.
fn combined(one: f64, other: Option<f64>) -> f64 {
    let ln = |p: f64| p.clamp(1e-300, 1.0).ln();
    match other {
        Some(other) => {
            let ln_product = ln(one) + ln(other);
            ln_product + (1.0 - ln_product).ln()
        }
        None => ln(one),
    }
}

impl Interval {
    fn rhythm_with(&self, gap: Option<f32>) -> (usize, Rhythm) {
        let mut gaps = [0.0f32; GAPS_MAX + 1];
        let mut length = 0;
        for (slot, held) in gaps.iter_mut().zip(&self.gaps) {
            *slot = unpacked(*held);
            length += 1;
        }
        if let Some(gap) = gap {
            let at = if length < GAPS_MAX {
                length
            } else {
                usize::from(self.next)
            };
            if let Some(slot) = gaps.get_mut(at) {
                *slot = gap;
            }
            length = (length + 1).min(GAPS_MAX);
        }
        (length, rhythm(&mut gaps[..length]))
    }

    /// Whether the next gap makes another eight, so that it is time to look.
    pub fn is_due(&self) -> bool {
        let gaps = if self.gaps.len() < GAPS_MAX {
            self.gaps.len()
        } else {
            usize::from(self.next)
        };
        (gaps + 1).is_multiple_of(GAPS_MIN)
    }

    /// How long the gaps that are kept lasted together, in seconds.
    pub fn span_seconds(&self) -> f64 {
        self.gaps.iter().map(|gap| f64::from(unpacked(*gap))).sum()
    }

    /// How many gaps are kept.
    pub fn gaps(&self) -> usize {
        self.gaps.len()
    }

    /// The median of the gaps in seconds, missing beats folded.
    pub fn period_seconds(&self) -> f64 {
        self.rhythm_with(None).1.median
    }

    /// Median absolute deviation over median: 0 is a clock, people are above 0.3.
    pub fn regularity(&self) -> f64 {
        self.rhythm_with(None).1.regularity
    }
}

impl Baseline for Interval {
    type Seen = Contact;
    type Prior = IntervalPrior;
    type Summary = IntervalSummary;

    /// Gaps are not forgotten by windows: the ring forgets by itself.
    fn age(&mut self, _windows: u64, _decay: &Decay) {}

    /// There is one tail: the regular.
    fn judge(&self, prior: &IntervalPrior, _scale: Scale, seen: Contact, _tail: Tail) -> Judgement {
        let (gaps, rhythm) = self.rhythm_with(Some(unpacked(packed(seen.gap_seconds))));
        if gaps < GAPS_MIN || rhythm.median < prior.period_seconds_min {
            return Judgement::CERTAIN;
        }
        let regular = prior.share(seen.standing, gaps, rhythm.regularity);
        let ln_p = combined(regular, prior.apart(seen.standing)).min(0.0);
        Judgement {
            ln_p,
            ln_p_beyond: ln_p,
            memory: Memory::Slow,
        }
    }

    fn learn(&mut self, _prior: &IntervalPrior, _scale: Scale, seen: Contact, _decay: &Decay) -> Learned {
        let gap = packed(seen.gap_seconds);
        if self.gaps.len() < GAPS_MAX {
            if self.gaps.len() == self.gaps.capacity() {
                self.gaps.reserve_exact(GAPS_MIN);
            }
            self.gaps.push(gap);
        } else if let Some(slot) = self.gaps.get_mut(usize::from(self.next)) {
            *slot = gap;
            self.next = (self.next + 1) % GAPS_MAX as u8;
        }
        self.standing = seen.standing;
        Learned::Usual
    }

    fn windows(&self) -> f64 {
        self.gaps.len() as f64
    }

    /// A rhythm is not a number that grows.
    fn surprising_from(&self, _prior: &IntervalPrior, _scale: Scale) -> f64 {
        0.0
    }

    /// The gap that is expected next, in seconds.
    fn expected(&self, _prior: &IntervalPrior, _scale: Scale) -> Expected {
        let (gaps, rhythm) = self.rhythm_with(None);
        let mut sorted: Vec<f32> = self.gaps.iter().map(|gap| unpacked(*gap)).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let at = |share: f64| {
            let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
            sorted.get(index).copied().map_or(0.0, f64::from)
        };
        let mean = sorted.iter().map(|gap| f64::from(*gap)).sum::<f64>() / sorted.len().max(1) as f64;
        let squares = sorted.iter().map(|gap| (f64::from(*gap) - mean).powi(2)).sum::<f64>();
        Expected {
            typical: rhythm.median,
            low: at(0.05),
            high: at(0.95),
            mean,
            variance: squares / sorted.len().max(1) as f64,
            history_windows: gaps as f64,
            prior_weight: if gaps < GAPS_MIN { 1.0 } else { 0.0 },
        }
    }

    /// No single gap would have been normal.
    fn normal_if(
        &self,
        _prior: &IntervalPrior,
        _scale: Scale,
        _seen: Contact,
        _tail: Tail,
        _surprise_max: f64,
    ) -> Option<NormalIf> {
        None
    }

    /// As the pair was when it was last looked at.
    fn vote(&self, summary: &mut IntervalSummary) {
        let looked_at = self.gaps.len() / GAPS_MIN * GAPS_MIN;
        let mut gaps = [0.0f32; GAPS_MAX];
        for (slot, gap) in gaps.iter_mut().zip(self.gaps.iter().take(looked_at)) {
            *slot = unpacked(*gap);
        }
        let Some(gaps) = gaps.get_mut(..looked_at).filter(|gaps| !gaps.is_empty()) else {
            return;
        };
        let rhythm = rhythm(gaps);
        let at = REGULARITY.partition_point(|edge| *edge < rhythm.regularity);
        summary.pairs[self.standing.class()][size_of_gaps(looked_at)][at] += 1;
        if let Some(rarity) = self.standing.rarity {
            let age = self.standing.is_new.map_or(2, usize::from);
            summary.standings[rarity as usize][age] += 1;
        }
    }

    /// New pairs are believed to be like all with as rare a destination, until there are some.
    fn prior(definition: &IntervalPrior, summary: &IntervalSummary) -> IntervalPrior {
        let mut prior = definition.clone();
        for rare in 0..2 {
            let all: Vec<[u64; EDGES + 1]> = summary.pairs[rare]
                .iter()
                .zip(&summary.pairs[rare + 2])
                .map(|(old, new)| std::array::from_fn(|at| old[at] + new[at]))
                .collect();
            for (size, counts) in all.iter().enumerate() {
                let of_all = shrunk(counts, &definition.shares[rare][size]);
                for class in [rare, rare + 2] {
                    prior.shares[class][size] = shrunk(&summary.pairs[class][size], &of_all);
                }
            }
        }
        let known = summary
            .standings
            .iter()
            .flat_map(|ages| ages.iter().take(2))
            .sum::<u64>() as f64;
        let of_unknown_age = summary.standings.iter().map(|ages| ages[2]).sum::<u64>() as f64;
        for (shares, ages) in prior.standings.iter_mut().zip(&summary.standings) {
            // Pairs of unknown age say how many are rare; of those, as many are believed to be new as at first.
            let rarity = shares[0] + shares[1];
            let unknown = ages[2] as f64;
            for (share, count) in shares.iter_mut().zip(ages) {
                let believed = BELIEF_PAIRS * *share + unknown * *share / rarity;
                *share = (believed + *count as f64) / (BELIEF_PAIRS + of_unknown_age + known);
            }
        }
        prior.sources = summary.sources();
        prior.since = summary.since;
        prior
    }
}

/// Shares that are at least as regular as the edges, where a belief is worth [`BELIEF_PAIRS`].
fn shrunk(counts: &[u64; EDGES + 1], belief: &[f64; EDGES]) -> [f64; EDGES] {
    let total = counts.iter().sum::<u64>() as f64;
    let mut as_regular = 0.0;
    std::array::from_fn(|at| {
        as_regular += counts[at] as f64;
        (BELIEF_PAIRS * belief[at] + as_regular) / (BELIEF_PAIRS + total)
    })
}

impl Summary for IntervalSummary {
    fn merge(&mut self, other: &Self) {
        let mine = self.pairs.iter_mut().flatten().flatten();
        for (count, more) in mine.zip(other.pairs.iter().flatten().flatten()) {
            *count += more;
        }
        let mine = self.standings.iter_mut().flatten();
        for (count, more) in mine.zip(other.standings.iter().flatten()) {
            *count += more;
        }
        for (word, more) in self.sources.iter_mut().zip(&other.sources) {
            *word |= more;
        }
        self.since = match (self.since, other.since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(gap_seconds: f64, standing: Standing) -> Contact {
        Contact { gap_seconds, standing }
    }

    fn standing(rarity: Rarity, is_new: bool) -> Standing {
        Standing {
            rarity: Some(rarity),
            is_new: Some(is_new),
        }
    }

    /// A pair whose gaps differ from a minute by this share, with one gap to go until it is looked at.
    fn pair(share: f64, gaps: usize, standing: Standing) -> Interval {
        let (mut pair, decay) = (
            Interval::default(),
            Decay::new(
                crate::domain::Duration::from_seconds(86_400),
                crate::domain::Duration::from_seconds(86_400),
            ),
        );
        for gap in 1..gaps {
            let differs = if gap % 2 == 0 { share } else { -share };
            pair.learn(
                &IntervalPrior::default(),
                Scale::ONE,
                contact(60.0 * (1.0 + differs), standing),
                &decay,
            );
        }
        pair
    }

    #[test]
    fn a_gap_is_kept_true_to_one_in_four_thousand() {
        for gap in [1.0, 1.0001, 2.5, 59.99, 300.0, 86_400.0, 1e9] {
            let kept = f64::from(unpacked(packed(gap)));
            assert!((kept / gap - 1.0).abs() <= 1.0 / 4000.0, "{gap}: {kept}");
        }
        assert_eq!(unpacked(packed(0.0)), 1.0);
        assert!(packed(f64::MAX) > packed(1e8));
    }

    #[test]
    fn a_pair_is_looked_at_with_each_eighth_gap() {
        let looked_at: Vec<usize> = (1..=80)
            .filter(|gaps| pair(0.1, *gaps, Standing::default()).is_due())
            .collect();
        assert_eq!(looked_at, [8, 16, 24, 32, 40, 48, 56, 64, 72, 80]);
    }

    #[test]
    fn the_regular_is_stranger_where_it_is_rare_and_new() {
        let judged = |is_known, rarity, is_new| {
            let standing = if is_known {
                standing(rarity, is_new)
            } else {
                Standing::default()
            };
            let pair = pair(0.05, 24, standing);
            pair.judge(
                &IntervalPrior::default(),
                Scale::ONE,
                contact(60.0, standing),
                Tail::Lower,
            )
            .ln_p
        };
        let unknown = judged(false, Rarity::Common, false);
        let common = judged(true, Rarity::Common, false);
        let alone = judged(true, Rarity::Alone, false);
        let alone_and_new = judged(true, Rarity::Alone, true);
        assert!(
            alone_and_new < alone && alone < common,
            "{alone_and_new} {alone} {common}"
        );
        assert!(unknown < 0.0 && unknown > alone, "{unknown}");
    }

    #[test]
    fn below_eight_gaps_and_for_streams_nothing_is_said() {
        let (prior, rare) = (IntervalPrior::default(), standing(Rarity::Alone, true));
        let early = pair(0.0, 7, rare);
        assert_eq!(
            early.judge(&prior, Scale::ONE, contact(60.0, rare), Tail::Lower).ln_p,
            0.0
        );
        let stream = IntervalPrior::new(90.0);
        let pair = pair(0.0, 24, rare);
        assert_eq!(
            pair.judge(&stream, Scale::ONE, contact(60.0, rare), Tail::Lower).ln_p,
            0.0
        );
    }

    #[test]
    fn nobody_knows_what_is_common_or_new_before_there_are_sources_and_a_day() {
        let unknown = IntervalPrior::default();
        assert_eq!(unknown.standing(Some(1), 500, 500), Standing::default());
        let mut summary = IntervalSummary::default();
        for source in 0..20u32 {
            summary.note(source.wrapping_mul(0x9e37_79b9), 100);
        }
        let taught = Interval::prior(&unknown, &summary);
        for (holders, rarity) in [
            (0, Rarity::Alone),
            (1, Rarity::Alone),
            (2, Rarity::Rare),
            (3, Rarity::Common),
        ] {
            assert_eq!(
                taught.standing(Some(holders), 500, 500).rarity,
                Some(rarity),
                "{holders}"
            );
        }
        for (first, now, is_new) in [
            (100, 110, None),
            (110, 130, Some(false)),
            (124, 130, Some(true)),
            (124, 124 + NEW_EPOCHS, Some(true)),
            (124, 125 + NEW_EPOCHS, Some(false)),
        ] {
            assert_eq!(taught.standing(None, first, now).is_new, is_new, "{first} {now}");
        }
    }

    #[test]
    fn shares_follow_the_votes_and_one_pair_in_twenty_is_as_rare_as_one_in_twenty() {
        let prior = IntervalPrior::default();
        let mut summary = IntervalSummary::default();
        for number in 0..2000 {
            let stands = if number % 20 == 0 {
                standing(Rarity::Alone, true)
            } else {
                standing(Rarity::Common, false)
            };
            pair(0.02, 25, stands).vote(&mut summary);
        }
        let taught = Interval::prior(&prior, &summary);
        let apart = taught.apart(standing(Rarity::Alone, true)).unwrap();
        assert!((apart - 0.05).abs() < 0.005, "{apart}");
        let all = taught.apart(standing(Rarity::Common, false)).unwrap();
        assert!((all - 1.0).abs() < 1e-9, "{all}");
        let regular = taught.share(standing(Rarity::Common, false), 24, 0.05);
        assert!(regular > 0.97, "all of them are as regular: {regular}");
        let mut twice = summary.clone();
        twice.merge(&summary);
        assert_eq!(twice.standings[2][1], 200);
    }

    #[test]
    fn pairs_of_unknown_age_say_how_many_are_rare_and_nothing_of_how_many_are_new() {
        let prior = IntervalPrior::default();
        let mut summary = IntervalSummary::default();
        for _ in 0..1000 {
            let stands = Standing {
                rarity: Some(Rarity::Common),
                is_new: None,
            };
            pair(0.02, 25, stands).vote(&mut summary);
        }
        let taught = Interval::prior(&prior, &summary);
        let [old, new] = taught.standings[0];
        let [old_before, new_before] = STANDINGS[0];
        assert!((new / old - new_before / old_before).abs() < 1e-9);
        assert!(taught.apart(standing(Rarity::Alone, false)).unwrap() < 0.03);
    }
}
