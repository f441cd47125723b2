//! Which token follows which: how many of the sequences learned from have each run of up to `ORDER` tokens.
//!
//! The probability of a token is that behind the longest run of tokens before it that was seen, mixed with those behind
//! the shorter runs, each weighted by how much it was seen (Witten and Bell, "The zero-frequency problem", 1991, method
//! C, interpolated). Sequences are counted, not places in them: what one sequence repeats a thousand times was seen
//! once.
//!
//! Size: 20 bytes a run, of `GRAMS_MAX` at most. A step looks up `ORDER` runs, each by some 20 comparisons.

use super::{BEGIN, Text};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Tokens of a run at most: the last of them is judged, the others are what it follows.
pub(super) const ORDER: usize = 6;
/// Runs at most. Where those of one length don't fit, neither they nor longer ones are kept.
const GRAMS_MAX: usize = 1 << 20;
/// The key of the run of no token.
const ROOT: u64 = 0x9e37_79b9_7f4a_7c15;
/// No run.
const NONE: u32 = u32::MAX;

/// The runs, by their keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Grams {
    /// Rising.
    keys: Vec<u64>,
    grams: Vec<Gram>,
    /// The run of no token.
    root: u32,
    /// Different tokens that may follow.
    words: u32,
}

/// How often a run was seen, and what followed it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Gram {
    /// Sequences that have it.
    sequences: u32,
    /// The sum of those of all runs that go one token on.
    followed: u32,
    /// How many such runs there are.
    followers: u32,
}

/// The runs that end at the last token, by their lengths: what the next token is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Behind([u32; ORDER]);

impl Grams {
    /// Learns from texts of tokens out of `words` different ones, each with the number of rows that have it.
    pub(super) fn of(texts: &[Text], rows: &[u32], words: usize) -> Grams {
        let taken = || texts.iter().zip(rows).filter(|(_, rows)| **rows > 0);
        let all = taken().fold(0u32, |sum, (_, rows)| sum.saturating_add(*rows));
        let seen = |sequences| Gram {
            sequences,
            ..Gram::default()
        };
        let mut grams = HashMap::from([(ROOT, seen(all)), (key(ROOT, BEGIN), seen(all))]);
        for length in 1..=ORDER {
            let Some(counted) = count(taken(), length, GRAMS_MAX.saturating_sub(grams.len())) else {
                break;
            };
            for (run, (before, sequences)) in counted {
                let before = grams.entry(before).or_default();
                before.followed = before.followed.saturating_add(sequences);
                before.followers += 1;
                grams.insert(run, seen(sequences));
            }
        }
        let mut sorted: Vec<(u64, Gram)> = grams.into_iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        let (keys, grams): (Vec<u64>, Vec<Gram>) = sorted.into_iter().unzip();
        let mut learned = Grams {
            keys,
            grams,
            root: NONE,
            words: words as u32,
        };
        learned.root = learned.find(ROOT);
        learned
    }

    /// How many runs are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Before the first token.
    pub(super) fn begin(&self) -> Behind {
        let mut behind = Behind([NONE; ORDER]);
        behind.0[0] = self.root;
        behind.0[1] = self.find(key(ROOT, BEGIN));
        behind
    }

    /// How improbable a token is here, `-ln p`; finite.
    pub(super) fn surprise(&self, behind: &Behind, word: u16) -> f64 {
        -self.follow(behind, word).0.ln()
    }

    /// The same, and goes one token on.
    pub(super) fn step(&self, behind: &mut Behind, word: u16) -> f64 {
        let (probability, next) = self.follow(behind, word);
        *behind = next;
        -probability.ln()
    }

    /// How many of the last tokens were seen in this order.
    pub(super) fn length(&self, behind: &Behind) -> usize {
        behind.0.iter().rposition(|place| *place != NONE).unwrap_or(0)
    }

    fn follow(&self, behind: &Behind, word: u16) -> (f64, Behind) {
        let mut probability = 1.0 / (f64::from(self.words) + 1.0);
        let mut next = Behind([NONE; ORDER]);
        next.0[0] = self.root;
        for (length, place) in behind.0.iter().enumerate() {
            let place = *place as usize;
            let (Some(before), Some(gram)) = (self.keys.get(place), self.grams.get(place)) else {
                break;
            };
            if gram.followed == 0 {
                continue;
            }
            let run = self.find(key(*before, word));
            let sequences = self.grams.get(run as usize).map_or(0, |gram| gram.sequences);
            let followers = f64::from(gram.followers);
            probability = (f64::from(sequences) + followers * probability) / (f64::from(gram.followed) + followers);
            if let Some(longer) = next.0.get_mut(length + 1) {
                *longer = run;
            }
        }
        (probability, next)
    }

    fn find(&self, key: u64) -> u32 {
        self.keys.binary_search(&key).map_or(NONE, |place| place as u32)
    }
}

/// How many rows have each run of this length, with the key of the run that is one token shorter; nothing when there
/// are more than `room`.
fn count<'a>(
    texts: impl Iterator<Item = (&'a Text, &'a u32)>,
    length: usize,
    room: usize,
) -> Option<HashMap<u64, (u64, u32)>> {
    let mut counted: HashMap<u64, (u64, u32)> = HashMap::new();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for (text, rows) in texts {
        runs.clear();
        runs.extend((1..=text.len()).filter_map(|end| run(text, end, length)));
        runs.sort_unstable();
        runs.dedup();
        for (run, before) in &runs {
            let count = counted.entry(*run).or_insert((*before, 0));
            count.1 = count.1.saturating_add(*rows);
        }
        if counted.len() > room {
            return None;
        }
    }
    Some(counted)
}

/// The key of the run of this length that ends before `end`, and of the same without its last token. The beginning of
/// the text counts as a token.
fn run(text: &[u16], end: usize, length: usize) -> Option<(u64, u64)> {
    let (last, before) = text[..end].split_last()?;
    let before = match (length - 1).checked_sub(before.len()) {
        None | Some(0) => before[before.len() + 1 - length..]
            .iter()
            .fold(ROOT, |run, word| key(run, *word)),
        Some(1) => before.iter().fold(key(ROOT, BEGIN), |run, word| key(run, *word)),
        Some(_) => return None,
    };
    Some((key(before, *last), before))
}

/// The key of a run with one more token: the finish of SplitMix64, so that different runs have different keys but for a
/// chance of one in 10^7 with a million of them.
fn key(run: u64, word: u16) -> u64 {
    let mut mixed = run ^ (u64::from(word) + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
