//! How regular: the gaps between contacts of a pair.
//!
//! The last 24 gaps are kept. Their regularity is the median absolute deviation over the median, after gaps near twice,
//! three or four times the median were divided by that (a missing beat). Polls, clocks and telemetry are regular too,
//! so a pair is not held against a law of random arrivals but against the population's pairs with as many contacts, common
//! and rare destinations apart: p is the share of them that is at least as regular. While there are few, the
//! definition's belief stands in: some machines, with regularities from 0.001 to 0.3 alike in their logarithm, among
//! people whose gaps are exponential (the table below; two million simulated pairs a row, below it a power law).
//!
//! That p, the prevalence of the destination and its newness are three questions, combined by Fisher's rule:
//! with P the product of k p-values, p = P * sum of (-ln P)^i / i! for i < k. Below eight gaps nothing is said.
//! A state is 24 bytes and 4 a gap.

use super::judgement::Judgement;
use super::{Baseline, Decay, Expected, Learned, Memory, NormalIf, Scale, Summary, Tail};
use serde::{Deserialize, Serialize};

/// The gaps between contacts of a pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Seconds; a ring once it is full.
    gaps: Vec<f32>,
    next: u8,
    /// Whether the destination was rare when last seen.
    rare: bool,
}

/// One more contact of a pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// Seconds since the contact before.
    pub gap_seconds: f64,
    /// The probability of a destination at most this common among the group's entities; `None` when not known.
    pub prevalence: Option<f64>,
    /// The probability of a destination at least this new to the entity; `None` when not known.
    pub newness: Option<f64>,
}

/// What is believed of the regularity of pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalPrior {
    /// Gaps of a smaller median are a stream, not beats.
    period_seconds_min: f64,
    /// Shares of pairs that are at least as regular as each edge: [common, rare] by number of gaps.
    shares: [[[f64; EDGES]; SIZES]; 2],
}

/// How regular a group's pairs are: a histogram by rarity, number of gaps and regularity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalSummary {
    pairs: [[[u64; EDGES + 1]; SIZES]; 2],
}

/// A pair with fewer gaps is not judged.
pub const GAPS_MIN: usize = 8;
/// So many gaps are kept.
pub const GAPS_MAX: usize = 24;
/// A destination rarer than this is compared with rare ones.
const RARE: f64 = 0.1;
/// How many pairs the definition's belief is worth.
const DEFINITION_PAIRS: f64 = 50.0;
/// The share of machines among pairs with a common and with a rare destination.
const MACHINES: [f64; 2] = [0.15, 0.02];

const SIZES: usize = 4;
const EDGES: usize = 14;
const REGULARITY: [f64; EDGES] = [
    0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0,
];
/// Exponential gaps at least as regular as the edges from 0.05 on, for 8, 12, 18 and 24 of them.
const RANDOM: [[f64; EDGES - 3]; SIZES] = [
    [
        3.7e-3, 3.9e-2, 1.2e-1, 2.3e-1, 3.6e-1, 4.8e-1, 6.8e-1, 8.3e-1, 9.2e-1, 9.9e-1, 1.0,
    ],
    [
        4.4e-4, 1.4e-2, 7.1e-2, 1.8e-1, 3.2e-1, 4.7e-1, 7.2e-1, 8.8e-1, 9.5e-1, 9.97e-1, 1.0,
    ],
    [
        1.8e-5, 3.2e-3, 3.4e-2, 1.2e-1, 2.7e-1, 4.4e-1, 7.5e-1, 9.2e-1, 9.8e-1, 9.98e-1, 1.0,
    ],
    [
        1.5e-6, 7.5e-4, 1.6e-2, 8.5e-2, 2.3e-1, 4.2e-1, 7.7e-1, 9.4e-1, 9.9e-1, 9.99e-1, 1.0,
    ],
];
const MACHINE_LEAST: f64 = 0.001;
const MACHINE_MOST: f64 = 0.3;

impl IntervalPrior {
    /// The belief before there is a population; gaps whose median is under `period_seconds_min` are never beats.
    pub fn new(period_seconds_min: f64) -> Self {
        let mut shares = [[[0.0; EDGES]; SIZES]; 2];
        for (rows, machines) in shares.iter_mut().zip(MACHINES) {
            for (row, (random, gaps)) in rows.iter_mut().zip(RANDOM.iter().zip([8.0, 12.0, 18.0, 24.0])) {
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
        }
    }

    /// The share of pairs with as many gaps that are at least as regular.
    fn share(&self, rare: bool, gaps: usize, regularity: f64) -> f64 {
        let row = &self.shares[usize::from(rare)][size_of_gaps(gaps)];
        let at = REGULARITY.partition_point(|edge| *edge < regularity);
        let (Some(high), Some(high_share)) = (REGULARITY.get(at), row.get(at)) else {
            return 1.0;
        };
        let (low, low_share) = match at.checked_sub(1) {
            Some(below) => (REGULARITY[below], row[below]),
            None => (0.0, 0.0),
        };
        low_share + (high_share - low_share) * (regularity - low) / (high - low)
    }
}

impl Default for IntervalPrior {
    fn default() -> Self {
        IntervalPrior::new(5.0)
    }
}

fn size_of_gaps(gaps: usize) -> usize {
    match gaps {
        0..12 => 0,
        12..18 => 1,
        18..24 => 2,
        _ => 3,
    }
}

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

/// Fisher's combination of independent p-values.
fn combine(ps: impl Iterator<Item = f64>) -> f64 {
    let (mut ln_product, mut count) = (0.0, 0);
    for p in ps {
        ln_product += p.clamp(1e-300, 1.0).ln();
        count += 1;
    }
    let (mut sum, mut term) = (0.0, 1.0);
    for i in 0..count {
        sum += term;
        term *= -ln_product / f64::from(i + 1);
    }
    ln_product + f64::ln(sum)
}

impl Interval {
    fn rhythm_with(&self, gap: Option<f32>) -> (usize, Rhythm) {
        let mut gaps = [0.0f32; GAPS_MAX + 1];
        let mut length = 0;
        for (slot, held) in gaps.iter_mut().zip(&self.gaps) {
            *slot = *held;
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
        let (gaps, rhythm) = self.rhythm_with(Some(seen.gap_seconds as f32));
        if gaps < GAPS_MIN || rhythm.median.is_nan() || rhythm.median < prior.period_seconds_min {
            return Judgement::CERTAIN;
        }
        let rare = seen.prevalence.is_some_and(|share| share < RARE);
        let regular = prior.share(rare, gaps, rhythm.regularity);
        let ps = [Some(regular), seen.prevalence, seen.newness];
        let ln_p = combine(ps.into_iter().flatten()).min(0.0);
        Judgement {
            ln_p,
            ln_p_beyond: ln_p,
            memory: Memory::Slow,
        }
    }

    fn learn(&mut self, _prior: &IntervalPrior, _scale: Scale, seen: Contact, _decay: &Decay) -> Learned {
        let gap = seen.gap_seconds.clamp(0.0, 1e9) as f32;
        if self.gaps.len() < GAPS_MAX {
            if self.gaps.len() == self.gaps.capacity() {
                self.gaps.reserve_exact(GAPS_MIN);
            }
            self.gaps.push(gap);
        } else if let Some(slot) = self.gaps.get_mut(usize::from(self.next)) {
            *slot = gap;
            self.next = (self.next + 1) % GAPS_MAX as u8;
        }
        self.rare = seen.prevalence.is_some_and(|share| share < RARE);
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
        let mut sorted = self.gaps.clone();
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

    fn vote(&self, summary: &mut IntervalSummary) {
        let (gaps, rhythm) = self.rhythm_with(None);
        if gaps < GAPS_MIN {
            return;
        }
        let at = REGULARITY.partition_point(|edge| *edge < rhythm.regularity);
        summary.pairs[usize::from(self.rare)][size_of_gaps(gaps)][at] += 1;
    }

    fn prior(definition: &IntervalPrior, summary: &IntervalSummary) -> IntervalPrior {
        let mut prior = definition.clone();
        for (rows, counts) in prior.shares.iter_mut().zip(&summary.pairs) {
            for (row, counts) in rows.iter_mut().zip(counts) {
                let total = counts.iter().sum::<u64>() as f64;
                let mut as_regular = 0.0;
                for (share, count) in row.iter_mut().zip(counts) {
                    as_regular += *count as f64;
                    *share = (DEFINITION_PAIRS * *share + as_regular) / (DEFINITION_PAIRS + total);
                }
            }
        }
        prior
    }
}

impl Summary for IntervalSummary {
    fn merge(&mut self, other: &Self) {
        let mine = self.pairs.iter_mut().flatten().flatten();
        for (count, more) in mine.zip(other.pairs.iter().flatten().flatten()) {
            *count += more;
        }
    }
}
