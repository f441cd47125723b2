//! Sequences of tokens: system calls of a process, templates of a session's log, programs that a user starts.
//!
//! A sequence is strange in two ways, and each is calibrated by itself before they are added up. One is its order: how
//! improbable each token is behind the five before it (`grams.rs`), as the root of the mean of the squares, so that a
//! few very improbable steps weigh more than many that are slightly so. The other is its counts: how far it is from the
//! sequences learned from that have most in common with it (`profiles.rs`).
//!
//! What is calibrated by was not learned from: the sequences are cut into five stretches in the order in which they
//! came, for those that follow each other are alike, and each stretch is judged by what the other four teach.
//!
//! A sequence is judged token by token: a [`State`] is what has to be kept of it, some 300 bytes whatever its length.
//! One that never ends has to be cut by whoever feeds it. Size of a model: at most 20 MB of runs, 1 MB of profiles and
//! the names of 60,000 tokens.

mod grams;
mod profiles;
mod words;

#[cfg(test)]
mod tests;

use super::tail::Tail;
use super::{Column, Unfit, Values};
use grams::{Behind, Grams};
use profiles::{Counts, Profiles};
use serde::{Deserialize, Serialize};
use words::Words;

/// Stretches that the sequences are cut into to calibrate.
const STRETCHES: usize = 5;
/// The number of a token that was never seen.
const UNSEEN: u16 = u16::MAX;
/// What stands before the first token.
const BEGIN: u16 = u16::MAX - 1;
/// What all teach and what four stretches teach judge equal sequences not quite alike, the less the more sequences there
/// are: strangeness that is more by less than this over their number is no more.
const SLACK_ROWS: f64 = 2.0;
/// The least that is left of a strangeness.
const SLACK_LEFT: f64 = 0.9;
/// Steps and counts that an explanation names.
const NAMED: usize = 3;

/// The numbers of a sequence's tokens.
type Text = Vec<u16>;

/// What was learned of sequences.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sequence {
    words: Words,
    grams: Grams,
    profiles: Profiles,
    /// How strange the order of sequences is.
    order: Tail,
    /// How strange their counts are.
    counts: Tail,
    /// What is left of a strangeness without its slack.
    left: f64,
}

/// A sequence as far as it went. It belongs to the model that began it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    behind: Behind,
    counts: Counts,
    steps: u32,
    squares: f64,
}

/// Why a sequence is strange.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Why {
    /// The share that its order has; the rest is that of its counts.
    pub order: f64,
    /// The steps to blame, the strangest first.
    pub steps: Vec<Step>,
    /// The tokens that come more or less often than usual, the strangest first.
    pub counts: Vec<Count>,
}

/// A step that is to blame.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its place, counted from 1.
    pub place: usize,
    /// The token.
    pub token: String,
    /// The tokens before it behind which something else was expected.
    pub behind: Vec<String>,
    /// What was.
    pub usual: Option<String>,
    /// Its share of the strangeness of the order.
    pub share: f64,
}

/// A token that comes more or less often than in the sequence that has most in common with this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// The token, or nothing for those never seen and for several that share a count.
    pub token: Option<String>,
    /// How often it came, 255 times at most.
    pub times: u8,
    /// How often it usually comes.
    pub usual: u8,
    /// Its share of the strangeness of the counts.
    pub share: f64,
}

/// How strange a sequence is, in its two ways.
#[derive(Clone, Copy, Debug, Default)]
struct Raw {
    order: f64,
    counts: f64,
}

/// The part of a model that is learned anew for each stretch.
struct Part {
    grams: Grams,
    profiles: Profiles,
}

impl Part {
    fn of(texts: &[Text], rows: &[u32], words: usize, seed: u64) -> Part {
        Part {
            grams: Grams::of(texts, rows, words),
            profiles: Profiles::of(texts, rows, seed),
        }
    }

    fn raw(&self, text: &[u16]) -> Raw {
        let mut state = State::new(&self.grams);
        for word in text {
            state.step(&self.grams, *word);
        }
        state.raw(&self.profiles)
    }
}

impl State {
    fn new(grams: &Grams) -> State {
        State {
            behind: grams.begin(),
            counts: Counts::new(),
            steps: 0,
            squares: 0.0,
        }
    }

    fn step(&mut self, grams: &Grams, word: u16) -> f64 {
        let surprise = grams.step(&mut self.behind, word);
        self.counts.add(word);
        self.steps = self.steps.saturating_add(1);
        self.squares += surprise * surprise;
        surprise
    }

    fn raw(&self, profiles: &Profiles) -> Raw {
        Raw {
            order: (self.squares / f64::from(self.steps.max(1))).sqrt(),
            counts: profiles.distance(&self.counts),
        }
    }
}

impl Sequence {
    /// Learns from the texts of a column, the tokens of which have blanks between them. Gives for each row, in order,
    /// how strange it is to what the others of other stretches teach; nothing for a row without a text.
    ///
    /// # Errors
    /// When there are too few texts.
    pub(super) fn learn(names: &[String], places: &[u32], seed: u64) -> Result<(Sequence, Vec<Option<f64>>), Unfit> {
        let present = places.iter().filter(|place| **place != Values::MISSING).count();
        if present < super::ROWS_MIN {
            return Err(Unfit::TooFew { rows: present });
        }
        let mut rows = vec![0u32; names.len()];
        let mut rows_in = vec![[0u32; STRETCHES]; names.len()];
        for (text, stretch) in stretches(places, present) {
            rows[text] = rows[text].saturating_add(1);
            rows_in[text][stretch] += 1;
        }
        let words = Words::of(names.iter().map(String::as_str).zip(rows.iter().copied()));
        let texts: Vec<Text> = names.iter().map(|name| words.numbers(name)).collect();

        let mut raws = vec![[Raw::default(); STRETCHES]; names.len()];
        for stretch in 0..STRETCHES {
            let others: Vec<u32> = rows
                .iter()
                .zip(&rows_in)
                .map(|(rows, own)| rows - own[stretch])
                .collect();
            let part = Part::of(&texts, &others, words.len(), seed);
            for ((raw, text), _) in raws
                .iter_mut()
                .zip(&texts)
                .zip(&rows_in)
                .filter(|(_, own)| own[stretch] > 0)
            {
                raw[stretch] = part.raw(text);
            }
        }
        let of_rows = || stretches(places, present).map(|(text, stretch)| raws[text][stretch]);
        let order = Tail::of(&mut of_rows().map(|raw| raw.order).collect::<Vec<f64>>());
        let counts = Tail::of(&mut of_rows().map(|raw| raw.counts).collect::<Vec<f64>>());
        let Part { grams, profiles } = Part::of(&texts, &rows, words.len(), seed);
        let sequence = Sequence {
            words,
            grams,
            profiles,
            order,
            counts,
            left: (1.0 - SLACK_ROWS / present as f64).max(SLACK_LEFT),
        };
        let mut strangeness = of_rows().map(|raw| sequence.sum(raw));
        let by_row = places.iter().map(|place| match *place {
            Values::MISSING => None,
            _ => strangeness.next(),
        });
        let by_row = by_row.collect();
        Ok((sequence, by_row))
    }

    /// The state of a sequence before its first token.
    pub fn begin(&self) -> State {
        State::new(&self.grams)
    }

    /// Goes one token on; how improbable it is here, `-ln p`.
    pub fn step(&self, state: &mut State, token: &str) -> f64 {
        state.step(&self.grams, self.words.number(token))
    }

    /// How strange a sequence is as far as it went; it may go up and down, and is no probability:
    /// [`super::Model::surprise_of`] makes one of it.
    pub fn strangeness(&self, state: &State) -> f64 {
        self.sum(self.raw(state))
    }

    /// How strange a whole sequence is.
    pub(super) fn strangeness_of(&self, text: &str) -> f64 {
        let mut state = self.begin();
        for token in text.split_whitespace() {
            self.step(&mut state, token);
        }
        self.strangeness(&state)
    }

    /// Why a sequence is strange.
    pub fn explain(&self, text: &str) -> Why {
        let tokens: Vec<&str> = text.split_whitespace().collect();
        let mut state = self.begin();
        let mut steps: Vec<(usize, Behind, f64)> = Vec::with_capacity(tokens.len());
        for (place, token) in tokens.iter().enumerate() {
            let behind = state.behind;
            let surprise = self.step(&mut state, token);
            steps.push((place, behind, surprise * surprise));
        }
        steps.sort_by(|left, right| right.2.total_cmp(&left.2).then(left.0.cmp(&right.0)));
        let raw = self.raw(&state);
        let (order, counts) = (self.order.surprise(raw.order), self.counts.surprise(raw.counts));
        let named = steps.iter().take(NAMED).map(|(place, behind, square)| Step {
            place: place + 1,
            token: tokens[*place].to_owned(),
            behind: tokens[place - self.grams.length(behind).min(*place)..*place]
                .iter()
                .map(|token| (*token).to_owned())
                .collect(),
            usual: self.usual(behind),
            share: if state.squares > 0.0 {
                square / state.squares
            } else {
                0.0
            },
        });
        let differences = self.profiles.differences(&state.counts);
        Why {
            order: if order + counts > 0.0 {
                order / (order + counts)
            } else {
                0.5
            },
            steps: named.collect(),
            counts: differences
                .iter()
                .take(NAMED)
                .map(|difference| self.named(difference))
                .collect(),
        }
    }

    fn raw(&self, state: &State) -> Raw {
        let raw = state.raw(&self.profiles);
        Raw {
            order: raw.order * self.left,
            counts: raw.counts * self.left,
        }
    }

    fn sum(&self, raw: Raw) -> f64 {
        self.order.surprise(raw.order) + self.counts.surprise(raw.counts)
    }

    /// The most probable token.
    fn usual(&self, behind: &Behind) -> Option<String> {
        let surprise = |number| self.grams.surprise(behind, number);
        let known = self.words.known().map(|(name, number)| (surprise(number), name));
        let usual = known.min_by(|left, right| left.0.total_cmp(&right.0));
        usual.map(|(_, name)| name.to_owned())
    }

    fn named(&self, difference: &profiles::Difference) -> Count {
        let mut known = self.words.known();
        let mut there = known
            .by_ref()
            .filter(|(_, number)| profiles::bucket_of(*number) == difference.bucket);
        let token = match (there.next(), there.next()) {
            (Some((name, _)), None) => Some(name.to_owned()),
            _ => None,
        };
        Count {
            token,
            times: difference.times,
            usual: difference.usual,
            share: difference.share,
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = false;
        if let Some(step) = self.steps.first() {
            let behind = step.behind.join(" ");
            let behind = if behind.is_empty() { "nothing" } else { &behind };
            write!(f, "{} behind {behind}", step.usual.as_deref().unwrap_or("nothing"))?;
            write!(f, " (step {}: {})", step.place, step.token)?;
            said = true;
        }
        if let Some(count) = self.counts.first() {
            let token = count.token.as_deref().unwrap_or("rare tokens");
            let comma = if said { "; " } else { "" };
            write!(f, "{comma}{token} {} times (seen {})", count.usual, count.times)?;
            said = true;
        }
        if said { Ok(()) } else { f.write_str("the same") }
    }
}

/// The text of each row that has one, and the stretch it is in.
fn stretches(places: &[u32], present: usize) -> impl Iterator<Item = (usize, usize)> {
    let texts = places.iter().filter(|place| **place != Values::MISSING);
    texts
        .enumerate()
        .map(move |(row, place)| (*place as usize, row * STRETCHES / present))
}

/// The place of the only column that holds sequences: texts of which most have several tokens.
pub(super) fn column_of(columns: &[Column]) -> Result<usize, Unfit> {
    let holds = |column: &Column| match &column.values {
        Values::Numbers(_) => false,
        Values::Texts { names, places } => {
            let several: Vec<bool> = names
                .iter()
                .map(|name| name.split_whitespace().nth(1).is_some())
                .collect();
            let present = places.iter().filter_map(|place| several.get(*place as usize));
            let (with, all) = present.fold((0usize, 0usize), |(with, all), several| {
                (with + usize::from(*several), all + 1)
            });
            with * 2 > all
        }
    };
    let found: Vec<usize> = (0..columns.len()).filter(|place| holds(&columns[*place])).collect();
    let names = |places: &mut dyn Iterator<Item = usize>| {
        let names: Vec<&str> = places.map(|place| columns[place].name.as_str()).collect();
        names.join(", ")
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => Err(Unfit::NoSequences {
            columns: names(&mut (0..columns.len())),
        }),
        several => Err(Unfit::SeveralSequences {
            columns: names(&mut several.iter().copied()),
        }),
    }
}
