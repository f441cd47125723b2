//! The language of normal texts: how likely each character is after the four before it, and how much of a text is made
//! of pieces that other texts have.
//!
//! The law of a character is the counted one, mixed with that after one character less (MacKay and Peto, "A hierarchical
//! Dirichlet language model", 1995). A text that was learned from is left out of the counts while it is judged, so what
//! is learned from these values holds for texts never seen.
//!
//! Size: at most `ENTRIES_MAX` counts of 8 bytes in each of two tables. A character costs five searches in one and seven
//! in the other.

use super::text::{BEGIN, END};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Characters of the longest run that is counted.
const ORDER: usize = 5;
/// The shorter order, of which the probabilities are told too.
const SHORT_ORDER: usize = 3;
/// How many characters the shorter law counts for, by the length of the run before.
const MIXED: [f64; ORDER] = [4.0, 1.0, 1.0, 2.0, 3.0];
/// Lengths of pieces.
const PIECE: std::ops::RangeInclusive<usize> = 4..=10;
/// Pieces up to this length count only when two other texts have them.
const SHORT_PIECE: usize = 5;
/// Counts of a table at most; the rarest are dropped.
const ENTRIES_MAX: usize = 1 << 20;

/// What was counted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Language {
    texts: u32,
    characters: u32,
    alphabet: u32,
    runs: Counts,
    pieces: Counts,
}

/// Counts by hash, which rises.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counts(Vec<(u32, u32)>);

/// How a text reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// The natural logarithm of each character's probability, after two characters and after four, the end's included.
    pub(super) short: Vec<f64>,
    /// See `short`.
    pub(super) long: Vec<f64>,
    /// Share of the text that is covered by pieces of others.
    pub(super) covered: f64,
    /// The length of the longest such piece.
    pub(super) longest: usize,
    /// How many pieces cover it.
    pub(super) pieces: usize,
}

impl Language {
    /// Learns from different texts.
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Language {
        let mut language = Language::default();
        let (mut runs, mut pieces) = (HashMap::new(), HashMap::new());
        let mut seen = [false; 256];
        for text in texts {
            language.texts += 1;
            language.characters = language.characters.saturating_add(text.len() as u32 + 1);
            text.iter().for_each(|byte| seen[usize::from(*byte)] = true);
            for run in runs_of(text).into_iter().flatten() {
                *runs.entry(run).or_insert(0) += 1;
            }
            for piece in different(pieces_of(text)) {
                *pieces.entry(piece).or_insert(0) += 1;
            }
        }
        language.alphabet = seen.iter().filter(|seen| **seen).count() as u32 + 1;
        language.runs = Counts::of(runs);
        language.pieces = Counts::of(pieces);
        language
    }

    /// Reads a text; `own` is true for one that was learned from, which is then left out.
    pub(super) fn read(&self, text: &[u8], own: bool) -> Reading {
        let mut reading = Reading::default();
        self.read_runs(text, own, &mut reading);
        self.read_pieces(text, own, &mut reading);
        reading
    }

    fn read_runs(&self, text: &[u8], own: bool, reading: &mut Reading) {
        let runs = runs_of(text);
        let mut mine: HashMap<u32, u32> = HashMap::new();
        if own {
            for run in runs.iter().flatten() {
                *mine.entry(*run).or_insert(0) += 1;
            }
        }
        let count = |run: u32| {
            let all = self.runs.get(run);
            f64::from(all.saturating_sub(mine.get(&run).copied().unwrap_or(0)))
        };
        let own_count = |whole: u32, part: u32| f64::from(whole.saturating_sub(if own { part } else { 0 }));
        let texts = own_count(self.texts, 1);
        let characters = own_count(self.characters, text.len() as u32 + 1);
        // How often what stands before a character was seen, by its length.
        let mut before = [texts; ORDER];
        before[0] = characters;
        for run in runs {
            let counts = run.map(count);
            let mut probability = 1.0 / f64::from(self.alphabet + 1);
            for (length, (seen, mixed)) in counts.iter().zip(MIXED).enumerate() {
                probability = (seen + mixed * probability) / (before[length] + mixed);
                if length + 1 == SHORT_ORDER {
                    reading.short.push(probability.ln());
                }
            }
            reading.long.push(probability.ln());
            before[1..].copy_from_slice(&counts[..ORDER - 1]);
        }
    }

    fn read_pieces(&self, text: &[u8], own: bool, reading: &mut Reading) {
        let own = u32::from(own);
        // For each end the most that is covered up to there, and by how many pieces.
        let mut best = vec![(0usize, 0usize); text.len() + 1];
        for end in 1..=text.len() {
            best[end] = best[end - 1];
            for (length, piece) in pieces_to(text, end) {
                let needed = 1 + own + u32::from(length <= SHORT_PIECE);
                if self.pieces.get(piece) < needed {
                    continue;
                }
                reading.longest = reading.longest.max(length);
                let (covered, pieces) = best[end - length];
                if covered + length > best[end].0 {
                    best[end] = (covered + length, pieces + 1);
                }
            }
        }
        let (covered, pieces) = best[text.len()];
        reading.covered = covered as f64 / text.len().max(1) as f64;
        reading.pieces = pieces;
    }
}

impl Counts {
    fn of(counted: HashMap<u32, u32>) -> Counts {
        let mut counts: Vec<(u32, u32)> = counted.into_iter().collect();
        let mut least = 2;
        while counts.len() > ENTRIES_MAX {
            counts.retain(|(_, count)| *count >= least);
            least *= 2;
        }
        counts.sort_unstable();
        Counts(counts)
    }

    fn get(&self, hash: u32) -> u32 {
        let place = self.0.binary_search_by_key(&hash, |entry| entry.0);
        place.map_or(0, |place| self.0[place].1)
    }
}

/// For each character and the end the hashes of the runs of 1 to [`ORDER`] characters that end there.
fn runs_of(text: &[u8]) -> Vec<[u32; ORDER]> {
    let mut padded = vec![BEGIN; ORDER - 1];
    padded.extend_from_slice(text);
    padded.push(END);
    (ORDER - 1..padded.len())
        .map(|end| {
            let mut hash = Hash::default();
            std::array::from_fn(|back| hash.add(padded[end - back]))
        })
        .collect()
}

/// The pieces that end before `end`: their lengths and hashes.
fn pieces_to(text: &[u8], end: usize) -> impl Iterator<Item = (usize, u32)> {
    let mut hash = Hash::default();
    let back = text[..end].iter().rev().take(*PIECE.end());
    back.enumerate()
        .map(move |(place, byte)| (place + 1, hash.add(*byte)))
        .filter(|(length, _)| PIECE.contains(length))
}

fn pieces_of(text: &[u8]) -> Vec<u32> {
    (1..=text.len())
        .flat_map(|end| pieces_to(text, end))
        .map(|(_, piece)| piece)
        .collect()
}

fn different(mut hashes: Vec<u32>) -> Vec<u32> {
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// A hash of bytes added one by one (FNV-1a, 64 bits, of which the upper half is told after mixing).
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Default for Hash {
    fn default() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    /// Adds a byte and tells the hash of all so far.
    pub(super) fn add(&mut self, byte: u8) -> u32 {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        ((self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_like_the_texts_learned_from_is_likely_and_covered() {
        let texts = ["wolfhouse", "housecat", "catwoman", "blackwolf", "blackhouse"];
        let language = Language::of(texts.iter().map(|text| text.as_bytes()));
        let mean = |text: &str| {
            let long = language.read(text.as_bytes(), false).long;
            long.iter().sum::<f64>() / long.len() as f64
        };
        assert!(mean("blackcat") > mean("xkcdqjzv") + 1.0);
        let read = language.read(b"wolfblack", false);
        assert_eq!((read.covered, read.pieces), (1.0, 2), "{read:?}");
        assert_eq!(language.read(b"qqqqqqq", false).covered, 0.0);
    }

    #[test]
    fn the_probabilities_of_all_that_may_follow_add_up_to_one() {
        let language = Language::of([&b"aab"[..], b"ba", b"abba"].into_iter());
        // The alphabet has a, b and the end, and one place for whatever was never seen.
        let after = |text: &[u8], place: usize| language.read(text, false).long[place].exp();
        let sum = after(b"ab", 1) + after(b"aa", 1) + after(b"a", 1) + after(b"a?", 1);
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

    #[test]
    fn a_text_left_out_reads_as_if_it_had_never_been_learned() {
        let others = [&b"alpha"[..], b"alphabet", b"beta"];
        let without = Language::of(others.into_iter());
        let with = Language::of(others.into_iter().chain([&b"betalpha"[..]]));
        let (left_out, never) = (with.read(b"betalpha", true), without.read(b"betalpha", false));
        assert_eq!(left_out, never);
    }
}
