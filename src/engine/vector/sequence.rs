//! Sequences of tokens that entities' windows show, and what models learn from a sample of them.
//!
//! Size: 512 votes of at most 128 tokens of 40 bytes, usually some 100 kB; a model about as much.

use super::super::baseline::Summary;
use super::super::model::{Model, SequenceWords};
use super::kept::{Kept, ROWS_MIN, Taught, Vote, priority_of, vouched};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

/// Tokens of a window that are looked at, from its beginning.
pub const TOKENS_MAX: u16 = 128;
/// Bytes of a token; a longer one is cut and has a print of the whole behind it.
const TOKEN_BYTES_MAX: usize = 40;
/// Where the randomness of learning begins.
const SEED: u64 = 0x7365_7175;

/// Appends a value as a token: without blanks, and not too long.
pub fn push_token(value: &str, text: &mut String) {
    if !text.is_empty() {
        text.push(' ');
    }
    let cut = &value[..value.floor_char_boundary(TOKEN_BYTES_MAX)];
    let plain = |c: char| if c.is_whitespace() || c.is_control() { '_' } else { c };
    text.extend(cut.chars().map(plain));
    if cut.len() < value.len() {
        let print = xxhash_rust::xxh3::xxh3_64(value.as_bytes()) as u16;
        text.push_str(&format!("~{print:04x}"));
    }
    if value.is_empty() {
        text.push('-');
    }
}

/// One window of one entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceVote {
    priority: u64,
    /// The number of the window, by which sequences are put in order.
    slot: i32,
    tokens: Box<str>,
}

impl SequenceVote {
    /// A vote with a priority drawn evenly from all numbers.
    pub fn new(drawn: u64, incident: bool, slot: i32, tokens: Box<str>) -> SequenceVote {
        SequenceVote {
            priority: priority_of(drawn, incident),
            slot,
            tokens,
        }
    }
}

impl Vote for SequenceVote {
    fn priority(&self) -> u64 {
        self.priority
    }

    fn compare(&self, other: &Self) -> Ordering {
        (self.slot, &self.tokens).cmp(&(other.slot, &other.tokens))
    }
}

/// The votes of a group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SequenceSummary {
    kept: Kept<SequenceVote>,
    /// What models learn from; the population's alone has it.
    training: Option<Arc<SequenceTraining>>,
}

/// What models learn from, and what they have learned.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SequenceTraining {
    taught: Taught,
    rows: Arc<Vec<SequenceVote>>,
    /// Learned when it is first asked.
    #[serde(skip)]
    model: OnceLock<Option<Model>>,
}

impl SequenceTraining {
    fn model(&self) -> Option<&Model> {
        let learn = || {
            if self.rows.len() < ROWS_MIN {
                return None;
            }
            let mut rows: Vec<&SequenceVote> = self.rows.iter().collect();
            rows.sort_by(|one, other| one.compare(other));
            Model::of_sequences(rows.iter().map(|row| &*row.tokens), SEED).ok()
        };
        self.model.get_or_init(learn).as_ref()
    }
}

impl SequenceSummary {
    /// Adds an entity's vote.
    pub fn vote(&mut self, vote: SequenceVote) {
        self.kept.vote(vote);
    }

    /// Sets apart what models learn from, when it is time. `earlier` holds the votes of the span before.
    pub fn settle(&mut self, earlier: &SequenceSummary, epoch: i64) {
        if self.training.is_none() {
            self.training.clone_from(&earlier.training);
        }
        let votes = self.kept.votes + earlier.kept.votes;
        let before = self.training.as_ref().map(|training| training.taught);
        if !self.kept.is_due(&earlier.kept, before, epoch) {
            return;
        }
        let mut all = self.kept.clone();
        all.merge(&earlier.kept);
        self.training = Some(Arc::new(SequenceTraining {
            taught: Taught {
                epoch,
                votes,
                rows: all.rows.len(),
            },
            rows: all.rows,
            model: OnceLock::new(),
        }));
    }
}

impl Summary for SequenceSummary {
    fn merge(&mut self, other: &Self) {
        self.kept.merge(&other.kept);
    }
}

/// What is believed of a group's sequences.
#[derive(Clone, Debug, Default)]
pub struct SequencePrior {
    training: Option<Arc<SequenceTraining>>,
}

impl SequencePrior {
    /// What follows from votes.
    pub fn taught(&self, votes: &SequenceSummary) -> SequencePrior {
        SequencePrior {
            training: votes.training.clone(),
        }
    }

    /// The epoch that the model was learned in.
    pub fn epoch(&self) -> Option<i64> {
        self.training.as_ref().map(|training| training.taught.epoch)
    }

    /// How surprising a sequence is, `-log10 p` as far as the votes tell; nothing while there is too little to learn from.
    pub fn surprise(&self, tokens: &str) -> Option<f64> {
        let training = self.training.as_ref()?;
        let surprise = training.model()?.surprise_of_sequence(tokens);
        Some(vouched(surprise, training.rows.len()))
    }

    /// What of a sequence is strange.
    pub fn explain(&self, tokens: &str) -> Option<SequenceWords> {
        Some(self.training.as_ref()?.model()?.words_of_sequence(tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_no_blanks_and_no_more_than_their_bytes() {
        let mut text = String::new();
        for value in ["open", "", "a b\tc", &"é".repeat(100)] {
            push_token(value, &mut text);
        }
        let tokens: Vec<&str> = text.split(' ').collect();
        assert_eq!(tokens[..3], ["open", "-", "a_b_c"]);
        assert!(
            tokens[3].len() <= TOKEN_BYTES_MAX + 5 && tokens[3].contains('~'),
            "{}",
            tokens[3]
        );
    }

    #[test]
    fn a_sequence_in_another_order_is_surprising_and_its_step_is_named() {
        let mut summary = SequenceSummary::default();
        for number in 0..300i32 {
            let tokens = ["open read read close", "open read close", "open stat close"][number as usize % 3];
            let drawn = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes());
            summary.vote(SequenceVote::new(drawn, false, number, tokens.into()));
        }
        summary.settle(&SequenceSummary::default(), 5);
        summary.settle(&SequenceSummary::default(), 29);
        let prior = SequencePrior::default().taught(&summary);
        assert_eq!(prior.epoch(), Some(29));
        let usual = prior.surprise("open read close").expect("there is a model");
        let odd = prior.surprise("close execve connect execve").expect("there is a model");
        assert!(usual < 1.0 && odd > 1.5, "{usual} {odd}");
        let words = prior.explain("close execve connect execve").expect("there is a model");
        assert!(
            words.seen.contains("execve") || words.seen.contains("connect"),
            "{words:?}"
        );
    }
}
