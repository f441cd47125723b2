//! How often each token comes: the distance to the nearest of the sequences learned from.
//!
//! The count of a token becomes the root of the logarithm of one more, between being there or not and how often, so
//! that a token that is missing weighs more than a loop that went round once more. The distance of two profiles is the
//! share that they don't have in common (Ruzicka 1958; Jaccard's for sets), and the strangeness is the mean of the three
//! nearest.
//!
//! Size: 256 bytes a profile, of `PROFILES_MAX` at most, which is also how many bytes are compared for a sequence.

use super::super::random::Random;
use super::{Text, UNSEEN};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Counts of a profile.
pub(super) const BUCKETS: usize = 256;
/// Different profiles at most, drawn from the others.
const PROFILES_MAX: usize = 4096;
/// The commonest tokens have a count of their own; the others share what is left, and those never seen the last.
const OWN: u16 = 192;
const SHARED: u16 = BUCKETS as u16 - OWN - 1;
const NEAREST: usize = 3;
/// Where randomness comes from: other parts of a model have lower numbers.
const PART: usize = 1 << 20;

/// What each count becomes.
static CODES: LazyLock<[u8; 256]> =
    LazyLock::new(|| std::array::from_fn(|count| (100.0 * (count as f64).ln_1p().sqrt()).round() as u8));

/// Profiles that differ.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Profiles {
    /// The coded counts of one profile after the other.
    codes: Vec<u8>,
    /// Their sums.
    sums: Vec<u16>,
    /// Of each profile, how many sequences have it, `NEAREST` at most.
    times: Vec<u8>,
}

/// How often each token came, 255 times at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts(Vec<u8>);

/// What is counted where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    /// The place of the count.
    pub(super) bucket: usize,
    /// Its share of the distance to the nearest profile.
    pub(super) share: f64,
    /// How often it came.
    pub(super) times: u8,
    /// How often it came in the nearest profile.
    pub(super) usual: u8,
}

impl Counts {
    pub(super) fn new() -> Counts {
        Counts(vec![0; BUCKETS])
    }

    pub(super) fn add(&mut self, word: u16) {
        if let Some(count) = self.0.get_mut(bucket_of(word)) {
            *count = count.saturating_add(1);
        }
    }

    fn coded(&self) -> [u8; BUCKETS] {
        let mut coded = [0; BUCKETS];
        for (coded, count) in coded.iter_mut().zip(&self.0) {
            *coded = CODES[usize::from(*count)];
        }
        coded
    }
}

/// The place of a token's count.
pub(super) fn bucket_of(word: u16) -> usize {
    usize::from(match word {
        UNSEEN => OWN + SHARED,
        common if common < OWN => common,
        rare => OWN + rare % SHARED,
    })
}

impl Profiles {
    /// Learns from texts, each with the number of rows that have it.
    pub(super) fn of(texts: &[Text], rows: &[u32], seed: u64) -> Profiles {
        let mut different: BTreeMap<[u8; BUCKETS], u32> = BTreeMap::new();
        for (text, rows) in texts.iter().zip(rows).filter(|(_, rows)| **rows > 0) {
            let mut counts = Counts::new();
            text.iter().for_each(|word| counts.add(*word));
            let times = different.entry(counts.coded()).or_default();
            *times = times.saturating_add(*rows);
        }
        let mut kept = vec![different.len() <= PROFILES_MAX; different.len()];
        if different.len() > PROFILES_MAX {
            let drawn = Random::part(seed, PART).places(PROFILES_MAX, different.len());
            drawn.into_iter().for_each(|place| kept[place as usize] = true);
        }
        let mut profiles = Profiles::default();
        for ((codes, times), _) in different.into_iter().zip(kept).filter(|(_, kept)| *kept) {
            profiles.codes.extend(codes);
            profiles.sums.push(sum(&codes));
            profiles.times.push(times.min(NEAREST as u32) as u8);
        }
        profiles
    }

    /// The mean distance to the nearest profiles, in 0..=1.
    pub(super) fn distance(&self, counts: &Counts) -> f64 {
        let coded = counts.coded();
        let own = sum(&coded);
        let mut nearest = [f64::INFINITY; NEAREST];
        for ((profile, times), other) in self.profiles().zip(&self.times).zip(&self.sums) {
            let distance = distance((&coded, own), (profile, *other));
            for _ in 0..*times {
                if distance < nearest[NEAREST - 1] {
                    nearest[NEAREST - 1] = distance;
                    nearest.sort_by(f64::total_cmp);
                }
            }
        }
        let found = nearest.iter().filter(|distance| distance.is_finite());
        found.clone().sum::<f64>() / (found.count().max(1) as f64)
    }

    /// What differs from the nearest profile, the most first.
    pub(super) fn differences(&self, counts: &Counts) -> Vec<Difference> {
        let coded = counts.coded();
        let apart = |profile: &[u8; BUCKETS]| distance((&coded, sum(&coded)), (profile, sum(profile)));
        let nearest = self.profiles().min_by(|one, other| apart(one).total_cmp(&apart(other)));
        let Some(nearest) = nearest else {
            return Vec::new();
        };
        let apart = |bucket: usize| f64::from(coded[bucket].abs_diff(nearest[bucket]));
        let total: f64 = (0..BUCKETS).map(apart).sum();
        let mut differences: Vec<Difference> = (0..BUCKETS)
            .filter(|bucket| coded[*bucket] != nearest[*bucket])
            .map(|bucket| Difference {
                bucket,
                share: apart(bucket) / total,
                times: counts.0.get(bucket).copied().unwrap_or_default(),
                usual: CODES.partition_point(|code| *code < nearest[bucket]) as u8,
            })
            .collect();
        differences.sort_by(|left, right| right.share.total_cmp(&left.share));
        differences
    }

    fn profiles(&self) -> impl Iterator<Item = &[u8; BUCKETS]> {
        self.codes.as_chunks::<BUCKETS>().0.iter()
    }
}

/// The share of two profiles, each with its sum, that they don't have in common.
fn distance((one, one_sum): (&[u8; BUCKETS], u16), (other, other_sum): (&[u8; BUCKETS], u16)) -> f64 {
    let common = one
        .iter()
        .zip(other)
        .fold(0u16, |sum, (one, other)| sum.wrapping_add(u16::from(*one.min(other))));
    let all = (u32::from(one_sum) + u32::from(other_sum)).saturating_sub(u32::from(common));
    if all == 0 {
        return 0.0;
    }
    1.0 - f64::from(common) / f64::from(all)
}

/// At most 256 times 235, the code of 255, which 16 bits hold; nothing that was learned wraps.
fn sum(codes: &[u8; BUCKETS]) -> u16 {
    codes.iter().fold(0u16, |sum, code| sum.wrapping_add(u16::from(*code)))
}
