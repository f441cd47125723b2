//! The tokens of sequences and their numbers, the commonest first.

use super::{BEGIN, Text, UNSEEN};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Different tokens that are told apart at most, the commonest; rarer ones are like one never seen.
const WORDS_MAX: usize = 60_000;
const _: () = assert!(WORDS_MAX < BEGIN as usize && BEGIN < UNSEEN);

/// Tokens with their numbers, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Words {
    sorted: Vec<(String, u16)>,
}

impl Words {
    /// Learns from texts, each with the number of rows that have it.
    pub(super) fn of<'a>(texts: impl Iterator<Item = (&'a str, u32)>) -> Words {
        // How many sequences have a token, and the last text that it was counted for.
        let mut counted: HashMap<&str, (u64, usize)> = HashMap::new();
        for (place, (text, rows)) in texts.enumerate().filter(|(_, (_, rows))| *rows > 0) {
            for token in text.split_whitespace() {
                let count = counted.entry(token).or_insert((0, usize::MAX));
                if count.1 != place {
                    *count = (count.0 + u64::from(rows), place);
                }
            }
        }
        let mut counted: Vec<(u64, &str)> = counted.into_iter().map(|(token, (rows, _))| (rows, token)).collect();
        counted.sort_unstable_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(right.1)));
        counted.truncate(WORDS_MAX);
        let numbered = counted.into_iter().enumerate();
        let mut sorted: Vec<(String, u16)> = numbered
            .map(|(number, (_, token))| (token.to_owned(), number as u16))
            .collect();
        sorted.sort_unstable();
        Words { sorted }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The number of a token, or that of all that are not known.
    pub(super) fn number(&self, token: &str) -> u16 {
        let place = self.sorted.binary_search_by(|(name, _)| name.as_str().cmp(token));
        place.map_or(UNSEEN, |place| self.sorted[place].1)
    }

    /// The numbers of the tokens of a text.
    pub(super) fn numbers(&self, text: &str) -> Text {
        text.split_whitespace().map(|token| self.number(token)).collect()
    }

    /// The known tokens with their numbers.
    pub(super) fn known(&self) -> impl Iterator<Item = (&str, u16)> {
        self.sorted.iter().map(|(name, number)| (name.as_str(), *number))
    }
}
