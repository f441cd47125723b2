//! What is counted of a text, as numbers that mean the same in every column of texts.

use super::language::{Language, Reading};
use super::text::{Text, kind_of};
use crate::engine::model::shape::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The names of the numbers of a text, in their order.
pub(super) const NAMES: [&str; 57] = [
    "logarithm of the length",
    "length",
    "square of the length",
    "dots",
    "hyphens",
    "dots of the public suffix",
    "long public suffix",
    "public suffix com",
    "public suffix of a country",
    "how usual the public suffix is",
    "share of digits",
    "any digit",
    "runs of digits",
    "digits",
    "mixture of digits",
    "share of vowels",
    "how far the share of vowels is from 0.4",
    "longest run of consonants",
    "longest run of vowels",
    "runs of vowels",
    "runs of consonants",
    "entropy of characters",
    "share of different characters",
    "entropy beside that of a text as long",
    "doubled characters",
    "share of rare letters",
    "letters beyond ASCII or their coding",
    "runs of three consonants",
    "runs of four consonants",
    "runs of five consonants and more",
    "share of the commonest character",
    "changes of kind",
    "vowel and consonant by turns",
    "hexadecimal",
    "share of signs",
    "different signs",
    "rarity of pairs of signs",
    "mean surprise of characters after two",
    "largest surprise of characters after two",
    "surprise of the strangest quarter after two",
    "surprise of the stranger half after two",
    "surprise of the most usual third after two",
    "sum of surprises after two",
    "share of surprising characters after two",
    "mean surprise of characters after four",
    "largest surprise of characters after four",
    "surprise of the strangest quarter after four",
    "surprise of the stranger half after four",
    "surprise of the most usual third after four",
    "sum of surprises after four",
    "share of surprising characters after four",
    "share covered by pieces of other texts",
    "longest piece of other texts",
    "pieces of other texts",
    "share of the longest piece",
    "no text",
    "how its runs of characters are told",
];
/// The place of the number that the linear rule gives.
pub(super) const RULE: usize = NAMES.len() - 1;
/// Share of the different texts of a column that are names, from which on it holds domain names.
const NAMES_SHARE: f64 = 0.9;
/// Surprise in natural units from which on a character is surprising.
const SURPRISING: f64 = 4.0;

/// What was learned of the texts of a column, from normal rows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Texts {
    pub(super) is_names: bool,
    language: Language,
    shape: Shape,
    suffixes: BTreeMap<String, u32>,
    texts: u32,
}

impl Texts {
    /// Learns from different texts.
    pub(super) fn of(texts: &[&str]) -> Texts {
        let names = texts
            .iter()
            .filter(|text| super::text::suffix_of(text).is_some())
            .count();
        let is_names = names as f64 >= NAMES_SHARE * texts.len().max(1) as f64 && names > 0;
        let read: Vec<Text> = texts.iter().map(|text| Text::of(text, is_names)).collect();
        let mut suffixes = BTreeMap::new();
        for text in &read {
            *suffixes.entry(text.suffix.clone()).or_insert(0) += 1;
        }
        Texts {
            is_names,
            language: Language::of(read.iter().map(|text| text.main.as_slice())),
            shape: Shape::of(texts.iter().map(|text| (*text, 1))),
            suffixes,
            texts: texts.len() as u32,
        }
    }

    /// Appends the numbers of a text, that of the rule left 0; `own` is true for a text that was learned from. While
    /// learning every text counts its suffix once less: if only normal texts did, that would tell them.
    pub(super) fn add(&self, raw: &str, text: &Text, role: Role, numbers: &mut Vec<f32>) {
        let own = role == Role::LearnedFrom;
        let begin = numbers.len();
        let mut put = |value: f64| numbers.push(value as f32);
        let counted = Counted::of(text, self.is_names);
        let length = counted.length;
        put((text.whole.len().max(1) as f64).ln());
        put(length);
        put(length * length / 100.0);
        let signs = |sign: u8| text.whole.iter().filter(|byte| **byte == sign).count() as f64;
        put(signs(b'.'));
        put(signs(b'-'));
        put(text.suffix.bytes().filter(|byte| *byte == b'.').count() as f64);
        put(f64::from(u8::from(text.suffix.len() >= 5)));
        put(f64::from(u8::from(text.suffix == "com")));
        put(f64::from(u8::from(text.suffix.len() == 2)));
        let seen = self.suffixes.get(&text.suffix).copied().unwrap_or(0);
        let seen = seen.saturating_sub(u32::from(role != Role::Judged));
        put((f64::from(seen + 1) / f64::from(self.texts.max(1))).ln());
        counted.put(&mut put);
        put(self.shape.strangeness(raw, own));
        let reading = self.language.read(&text.main, own);
        put_surprises(&reading.short, &mut put);
        put_surprises(&reading.long, &mut put);
        put_pieces(&reading, text.main.len(), &mut put);
        put(f64::from(u8::from(text.whole.is_empty())));
        put(0.0);
        debug_assert_eq!(numbers.len() - begin, NAMES.len());
    }
}

/// What a text is to the model that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The language was learned from it too.
    LearnedFrom,
    /// Strange, while learning.
    Strange,
    /// Judged by what was learned.
    Judged,
}

/// Counts of a text's characters.
struct Counted {
    length: f64,
    bytes: Vec<u8>,
}

impl Counted {
    /// Of names only what is no dot and no hyphen counts.
    fn of(text: &Text, is_names: bool) -> Counted {
        let between = |byte: &u8| is_names && matches!(byte, b'.' | b'-');
        let mut bytes: Vec<u8> = text.whole.iter().copied().filter(|byte| !between(byte)).collect();
        if bytes.is_empty() {
            bytes.push(b'-');
        }
        Counted {
            length: bytes.len() as f64,
            bytes,
        }
    }

    fn put(&self, put: &mut impl FnMut(f64)) {
        let kinds: Vec<u8> = self.bytes.iter().map(|byte| kind_of(*byte)).collect();
        let of_kind = |kind: u8| kinds.iter().filter(|other| **other == kind).count() as f64;
        let (digits, vowels) = (of_kind(b'D'), of_kind(b'V'));
        let letters = (vowels + of_kind(b'C') + of_kind(b'U')).max(1.0);
        let digit_share = digits / self.length;
        let (_, digit_runs) = runs(&kinds, b'D');
        let (vowel_longest, vowel_runs) = runs(&kinds, b'V');
        let (consonant_longest, consonant_runs) = runs(&kinds, b'C');
        put(digit_share);
        put(f64::from(u8::from(digits > 0.0)));
        put(digit_runs.len() as f64 / self.length);
        put(digits);
        put(digit_share * (1.0 - digit_share));
        put(vowels / letters);
        put((vowels / letters - 0.4).abs());
        put(consonant_longest as f64);
        put(vowel_longest as f64);
        put(vowel_runs.len() as f64 / self.length);
        put(consonant_runs.len() as f64 / self.length);
        let mut counts = [0u32; 256];
        self.bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let shares = counts
            .iter()
            .filter(|count| **count > 0)
            .map(|count| f64::from(*count) / self.length);
        let entropy: f64 = shares.clone().map(|share| -share * share.ln()).sum();
        put(entropy);
        put(shares.clone().count() as f64 / self.length);
        put(entropy - self.length.min(26.0).ln());
        let pairs =
            |same: fn(u8, u8) -> bool, of: &[u8]| of.windows(2).filter(|pair| same(pair[0], pair[1])).count() as f64;
        put(pairs(|one, other| one == other, &self.bytes) / self.length);
        put(self.bytes.iter().filter(|byte| b"qxzjwkvy".contains(byte)).count() as f64 / letters);
        let coded = self.bytes.windows(2).any(|pair| pair == b"xn") || of_kind(b'U') > 0.0;
        put(f64::from(u8::from(coded)));
        for (least, most) in [(3, 3), (4, 4), (5, usize::MAX)] {
            let as_long = consonant_runs
                .iter()
                .filter(|run| (least..=most).contains(*run))
                .count();
            put(as_long as f64 / self.length);
        }
        put(shares.fold(0.0, f64::max));
        let changes = pairs(|one, other| one != other, &kinds) / (self.length - 1.0).max(1.0);
        put(changes);
        put(f64::from(u8::from(changes >= 1.0 && digits == 0.0)));
        put(f64::from(u8::from(self.bytes.iter().all(u8::is_ascii_hexdigit))));
        let sign = |byte: &u8| !matches!(kind_of(*byte), b'V' | b'C' | b'D' | b'U');
        put(self.bytes.iter().filter(|byte| sign(byte)).count() as f64 / self.length);
        let different = (0..=255u8).filter(|byte| counts[usize::from(*byte)] > 0 && sign(byte));
        put(different.count() as f64);
    }
}

/// The longest run of a kind, and the lengths of all.
fn runs(kinds: &[u8], kind: u8) -> (usize, Vec<usize>) {
    let all = kinds
        .split(|other| *other != kind)
        .map(<[u8]>::len)
        .filter(|run| *run > 0);
    let all: Vec<usize> = all.collect();
    (all.iter().copied().max().unwrap_or(0), all)
}

fn put_surprises(logarithms: &[f64], put: &mut impl FnMut(f64)) {
    let mut surprises: Vec<f64> = logarithms.iter().map(|logarithm| -logarithm).collect();
    surprises.sort_by(|left, right| right.total_cmp(left));
    let count = surprises.len().max(1);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    put(mean(&surprises));
    put(surprises.first().copied().unwrap_or(0.0));
    put(mean(&surprises[..(count / 4).max(1).min(surprises.len())]));
    put(mean(&surprises[..(count / 2).max(1).min(surprises.len())]));
    put(mean(
        &surprises[surprises.len() - (count / 3).max(1).min(surprises.len())..],
    ));
    put(surprises.iter().sum::<f64>() / 10.0);
    put(surprises.iter().filter(|surprise| **surprise > SURPRISING).count() as f64 / count as f64);
}

fn put_pieces(reading: &Reading, length: usize, put: &mut impl FnMut(f64)) {
    put(reading.covered);
    put(reading.longest as f64);
    put(reading.pieces as f64);
    put(reading.longest as f64 / length.max(1) as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_as_many_finite_numbers_as_there_are_names() {
        let texts = Texts::of(&[
            "example.com",
            "wikipedia.org",
            "",
            "bbc.co.uk",
            "a.b.c.d.org",
            "1.com",
            "é.com",
            "x-y.de",
            "z.fr",
            "zz.it",
        ]);
        assert!(!texts.is_names);
        let names = Texts::of(&["example.com", "bbc.co.uk"]);
        assert!(names.is_names);
        for raw in [
            "",
            "-",
            "com",
            "example.com",
            "\u{0}\u{7f}\u{ffff}",
            &"ab1-".repeat(5000),
            "漢字",
            "'; drop table--",
        ] {
            for (texts, role) in [
                (&texts, Role::Judged),
                (&names, Role::Strange),
                (&names, Role::LearnedFrom),
            ] {
                let mut numbers = Vec::new();
                texts.add(raw, &Text::of(raw, texts.is_names), role, &mut numbers);
                assert_eq!(numbers.len(), NAMES.len());
                assert!(numbers.iter().all(|number| number.is_finite()), "{raw}: {numbers:?}");
            }
        }
    }

    #[test]
    fn numbers_say_what_their_names_say() {
        let texts = Texts::of(&["example.com", "bbc.co.uk"]);
        let number = |raw: &str, name: &str| {
            let mut numbers = Vec::new();
            texts.add(raw, &Text::of(raw, true), Role::Judged, &mut numbers);
            let place = NAMES
                .iter()
                .position(|other| *other == name)
                .expect("a name of the list");
            numbers[place]
        };
        for (raw, name, expected) in [
            ("a1b22.com", "digits", 3.0),
            ("a1b22.com", "share of digits", 0.6),
            ("strengths.de", "longest run of consonants", 5.0),
            ("ab-cd.ef.net", "hyphens", 1.0),
            ("ab-cd.ef.net", "dots", 1.0),
            ("example.co.uk", "dots of the public suffix", 1.0),
            ("nasima.org", "vowel and consonant by turns", 1.0),
            ("nassima.org", "vowel and consonant by turns", 0.0),
            ("deadbeef.org", "hexadecimal", 1.0),
            ("x.com", "public suffix com", 1.0),
        ] {
            assert!(
                (number(raw, name) - expected).abs() < 1e-6,
                "{raw}, {name}: {}",
                number(raw, name)
            );
        }
    }
}
