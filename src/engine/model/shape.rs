//! The shape of texts that are hardly ever the same: payloads, paths, names. How strange is one whose characters follow
//! each other as in few others?
//!
//! Characters are folded to classes (letters of either case, digits; runs of one class are one), all signs stay
//! themselves, and a text is the set of pairs that follow each other. Its strangeness is the sum of the surprises of its
//! three rarest pairs: one rare pair may be a slip, and a sum over all would tell long texts. N-grams of payloads go
//! back to PAYL and Anagram (Wang and Stolfo 2004; Wang, Parekh and Stolfo 2006).
//!
//! Size: at most 130 x 130 pairs of 8 bytes. A text costs a few nanoseconds a byte, of `TEXT_BYTES_MAX` at most.

use serde::{Deserialize, Serialize};

/// Bytes of a text that are looked at, from its beginning.
const TEXT_BYTES_MAX: usize = 4096;
/// Pairs that count.
const RAREST: usize = 3;
/// What is added to the count of each pair, so that one never seen has a surprise.
const PAIR_ADDED: f64 = 0.5;
const BEGIN: u8 = 2;
const END: u8 = 3;

/// In how many texts each pair was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Pairs, rising, and in how many texts each was.
    pairs: Vec<(u16, u32)>,
    texts: u32,
}

impl Shape {
    /// Learns from texts, each with the number of rows that have it.
    pub(super) fn of<'a>(texts: impl Iterator<Item = (&'a str, u32)>) -> Shape {
        let mut counts = vec![0u32; 1 << 16];
        let mut total = 0u32;
        let mut pairs = Vec::new();
        for (text, rows) in texts {
            pairs_of(text, &mut pairs);
            total = total.saturating_add(rows);
            for pair in &pairs {
                let count = &mut counts[usize::from(*pair)];
                *count = count.saturating_add(rows);
            }
        }
        let seen = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
        Shape {
            pairs: seen.map(|(pair, count)| (pair as u16, count)).collect(),
            texts: total,
        }
    }

    /// The strangeness of a text; `own` is true for one that was learned from, which is then left out.
    pub(super) fn strangeness(&self, text: &str, own: bool) -> f64 {
        let own = u32::from(own);
        let texts = f64::from(self.texts - own.min(self.texts)) + 1.0;
        let mut pairs = Vec::new();
        pairs_of(text, &mut pairs);
        let mut rarest = [0.0f64; RAREST];
        for pair in pairs {
            let place = self.pairs.binary_search_by_key(&pair, |pair| pair.0);
            let count = place.map_or(0, |place| self.pairs[place].1.saturating_sub(own));
            let surprise = (texts / (f64::from(count) + PAIR_ADDED)).ln().max(0.0);
            if surprise > rarest[0] {
                rarest[0] = surprise;
                rarest.sort_by(f64::total_cmp);
            }
        }
        rarest.iter().sum()
    }
}

/// The different pairs of a text's folded characters.
fn pairs_of(text: &str, pairs: &mut Vec<u16>) {
    pairs.clear();
    let mut last = BEGIN;
    let mut length = 0;
    for character in text.chars() {
        length += character.len_utf8();
        if length > TEXT_BYTES_MAX {
            break;
        }
        let class = class_of(character);
        if class == last && class.is_ascii_alphanumeric() {
            continue;
        }
        pairs.push(u16::from_be_bytes([last, class]));
        last = class;
    }
    pairs.push(u16::from_be_bytes([last, END]));
    pairs.sort_unstable();
    pairs.dedup();
}

fn class_of(character: char) -> u8 {
    match character {
        _ if character.is_alphabetic() => b'a',
        _ if character.is_numeric() => b'0',
        // Control characters keep clear of the marks of beginning and end.
        '\u{0}'..='\u{8}' => 1,
        _ if character.is_ascii() => character as u8,
        _ => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_strange_as_its_rarest_pairs_and_no_stranger_for_its_length() {
        let texts = [
            "jane doe",
            "18 high street",
            "jane.doe@example.org",
            "22997112x",
            "o'neil, sean",
        ];
        let shape = Shape::of(texts.iter().map(|text| (*text, 100)));
        let strangeness = |text| shape.strangeness(text, false);
        assert_eq!(
            strangeness("john roe"),
            strangeness("william butler yeats and many more names")
        );
        assert!(strangeness("john roe") < strangeness("john, sean"));
        assert!(strangeness("john, sean") < strangeness("1' or 1=1 -- "));
        assert!(strangeness("john, sean") < strangeness("<script>alert(1)</script>"));
        // What was learned from one text alone is as strange as what never was, once that text is left out.
        let lone = Shape::of([("a", 9), ("a=b", 1)].into_iter());
        assert_eq!(
            lone.strangeness("a=b", true),
            Shape::of([("a", 9)].into_iter()).strangeness("a=b", false)
        );
    }

    #[test]
    fn long_and_odd_texts_are_taken() {
        let shape = Shape::of(std::iter::once(("", 1)));
        for text in [
            "\u{2}\u{3}",
            "é\u{301}漢字🦀",
            &"<>".repeat(1 << 20),
            &"a".repeat(1 << 20),
        ] {
            assert!(shape.strangeness(text, false).is_finite());
        }
    }
}
