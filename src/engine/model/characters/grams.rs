//! Which runs of characters tell strange texts from normal ones: a linear rule over hashed n-grams of the characters and
//! of their kinds. Kinds (vowel, consonant, digit, sign) hold for what was never learned from: a family of names with an
//! alphabet of its own still alternates as no word does.
//!
//! It is learned as a support vector machine with squared hinge loss by dual coordinate descent (Hsieh et al., "A dual
//! coordinate descent method for large-scale linear SVM", 2008).
//!
//! Size: 2^18 weights of 4 bytes. A text costs nine additions a character, of 128 at most.

use super::language::Hash;
use super::text::{BEGIN, END, Text};
use crate::engine::model::random::Random;
use serde::{Deserialize, Serialize};

/// Lengths of the runs of characters.
const CHARACTERS: std::ops::RangeInclusive<usize> = 1..=4;
/// Lengths of the runs of kinds.
const KINDS: std::ops::RangeInclusive<usize> = 2..=6;
/// Characters of a text whose runs count, from its beginning.
const CHARACTERS_MAX: usize = 128;
const BUCKETS: usize = 1 << 18;
/// What an error costs beside the size of the weights.
const COST: f32 = 0.1;
/// Rounds over all rows.
const ROUNDS: usize = 30;
/// What is one for every row, so that the rule has a threshold; it has a bucket of its own after the others.
const ALWAYS: u32 = BUCKETS as u32;

/// A linear rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Rule {
    weights: Vec<f32>,
}

/// The n-grams of a row: buckets and values.
pub(super) type Grams = Vec<(u32, f32)>;

/// Adds the n-grams of a column's text to those of its row.
pub(super) fn add(text: &Text, column: usize, grams: &mut Grams) {
    for (view, (bytes, lengths)) in [(&text.main, CHARACTERS), (&text.skeleton(), KINDS)]
        .into_iter()
        .enumerate()
    {
        let mut marked = vec![BEGIN];
        marked.extend(bytes.iter().take(CHARACTERS_MAX));
        marked.push(END);
        let mut buckets: Vec<u32> = Vec::new();
        for end in 1..=marked.len() {
            let mut hash = Hash::default();
            hash.add(column as u8);
            hash.add(view as u8);
            for (place, byte) in marked[..end].iter().rev().take(*lengths.end()).enumerate() {
                let run = hash.add(*byte);
                if lengths.contains(&(place + 1)) {
                    buckets.push(run % BUCKETS as u32);
                }
            }
        }
        buckets.sort_unstable();
        buckets.dedup();
        let value = 1.0 / (buckets.len() as f32).sqrt();
        grams.extend(buckets.into_iter().map(|bucket| (bucket, value)));
    }
}

impl Rule {
    /// Learns to tell rows that are strange, those of which `strange` is true, from the others; only from the rows of
    /// which `wanted` is true.
    pub(super) fn learn(rows: &[Grams], strange: &[bool], wanted: &[bool], mut random: Random) -> Rule {
        let mut rule = Rule {
            weights: vec![0.0; BUCKETS + 1],
        };
        let mut places: Vec<u32> = (0..rows.len() as u32).filter(|row| wanted[*row as usize]).collect();
        let mut duals = vec![0.0f32; rows.len()];
        let softness = 1.0 / (2.0 * COST);
        for _ in 0..ROUNDS {
            random.shuffle(&mut places);
            for row in &places {
                let row = *row as usize;
                let side = if strange[row] { 1.0 } else { -1.0 };
                let length: f32 = 1.0 + rows[row].iter().map(|(_, value)| value * value).sum::<f32>();
                let slope = side * rule.decide(&rows[row]) - 1.0 + softness * duals[row];
                let dual = (duals[row] - slope / (length + softness)).max(0.0);
                let step = (dual - duals[row]) * side;
                duals[row] = dual;
                if step != 0.0 {
                    rule.step(&rows[row], step);
                }
            }
        }
        rule
    }

    /// The mean of rules, which decides as they do on average.
    pub(super) fn mean(rules: &[Rule]) -> Rule {
        let mut weights = vec![0.0; BUCKETS + 1];
        for rule in rules {
            for (mean, weight) in weights.iter_mut().zip(&rule.weights) {
                *mean += weight / rules.len() as f32;
            }
        }
        Rule { weights }
    }

    /// Above 0 where the row is on the strange side.
    pub(super) fn decide(&self, grams: &Grams) -> f32 {
        let sum: f32 = grams.iter().map(|(bucket, value)| self.weight(*bucket) * value).sum();
        sum + self.weight(ALWAYS)
    }

    fn weight(&self, bucket: u32) -> f32 {
        self.weights.get(bucket as usize).copied().unwrap_or(0.0)
    }

    fn step(&mut self, grams: &Grams, step: f32) {
        for (bucket, value) in grams.iter().chain([&(ALWAYS, 1.0)]) {
            self.weights[*bucket as usize] += step * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grams(text: &str) -> Grams {
        let mut grams = Vec::new();
        add(&Text::of(text, false), 0, &mut grams);
        grams
    }

    #[test]
    fn the_kinds_of_characters_tell_a_family_with_letters_never_seen() {
        let normal = ["plantree", "sunlight", "workshop", "grandson", "landmark", "campfire"];
        let strange = ["kexoli", "sabiro", "mucati", "gidopa", "lonuka", "tebima"];
        let texts: Vec<&str> = normal.into_iter().chain(strange).collect();
        let rows: Vec<Grams> = texts.iter().map(|text| grams(text)).collect();
        let labels: Vec<bool> = (0..rows.len()).map(|row| row >= normal.len()).collect();
        let all = vec![true; rows.len()];
        let rule = Rule::learn(&rows, &labels, &all, Random::new(1));
        for (row, strange) in rows.iter().zip(&labels) {
            assert_eq!(rule.decide(row) > 0.0, *strange);
        }
        assert!(rule.decide(&grams("vuzevy")) > rule.decide(&grams("brinkfelt")));
        let again = Rule::learn(&rows, &labels, &all, Random::new(1));
        assert_eq!(rule.weights, again.weights);
        assert!(Rule::mean(&[rule.clone(), again]).decide(&rows[0]) - rule.decide(&rows[0]) < 1e-6);
    }

    #[test]
    fn a_text_has_a_bounded_number_of_runs_and_an_empty_one_few() {
        assert!(grams(&"abc1-".repeat(10_000)).len() <= 9 * (CHARACTERS_MAX + 2));
        assert!(!grams("").is_empty());
    }
}
