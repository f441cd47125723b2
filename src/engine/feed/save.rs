//! A feed's state between two records: what inputs have open, what waits, and the engine.

use super::{Feed, Input, Lines, Opening, Waiting};
use crate::domain::{Alert, Event, Field, Timestamp};
use crate::engine::decoder::Tally;
use crate::engine::order::{OrderBuffer, Stamped, TimeGuard};
use crate::engine::snapshot::SnapshotProblem;
use crate::engine::succession::Restored;
use serde::{Deserialize, Serialize};

/// The newest form.
const FORMAT: u16 = 1;

/// Why a feed's state can't be taken up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FeedProblem {
    /// Another version of the program has written it.
    #[error("the saved state has format {found}, this program reads {FORMAT}; use the version that wrote it")]
    UnknownFormat {
        /// The format that was found.
        found: u16,
    },
    /// Its bytes do not follow the format.
    #[error("the saved state is damaged ({reason}); restore the store from a backup, or move it away to begin anew")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// The engine's part can't be taken up.
    #[error(transparent)]
    Engine(#[from] SnapshotProblem),
}

/// A feed's state to write: the form of [`SavedFeed`], borrowed.
#[derive(Serialize)]
struct FeedView<'a> {
    fields: Vec<&'static str>,
    received: Timestamp,
    horizon: Timestamp,
    inputs: Vec<(u16, InputView<'a>)>,
    waiting: Vec<&'a Stamped>,
    engine: &'a [u8],
}

#[derive(Serialize)]
struct InputView<'a> {
    opening: Option<Opening>,
    decoder: Vec<u8>,
    guard: &'a TimeGuard<Event>,
    order: &'a OrderBuffer,
    received: Timestamp,
    reached: Timestamp,
}

#[derive(Deserialize)]
struct SavedFeed<'a> {
    /// The names of all fields by number, because events are kept by number.
    #[serde(borrow)]
    fields: Vec<&'a str>,
    received: Timestamp,
    horizon: Timestamp,
    inputs: Vec<(u16, SavedInput)>,
    /// In order.
    waiting: Vec<Stamped>,
    engine: &'a [u8],
}

#[derive(Deserialize)]
struct SavedInput {
    opening: Option<Opening>,
    decoder: Vec<u8>,
    guard: TimeGuard<Event>,
    order: OrderBuffer,
    received: Timestamp,
    reached: Timestamp,
}

impl Feed {
    /// The state after the records so far, without the account of records. What was pushed is judged first.
    pub fn save(&mut self, alerts: &mut Vec<Alert>) -> Result<Vec<u8>, FeedProblem> {
        let engine = self.engine.save(alerts)?;
        let mut waiting: Vec<&Waiting> = self.waiting.iter().collect();
        waiting.sort_by(|one, other| other.cmp(one));
        let view = FeedView {
            fields: Field::ALL.iter().map(|field| field.name()).collect(),
            received: self.received,
            horizon: self.horizon,
            inputs: self
                .inputs
                .iter()
                .map(|(number, input)| (*number, InputView::of(input)))
                .collect(),
            waiting: waiting.iter().map(|waiting| &waiting.stamped).collect(),
            engine: &engine,
        };
        postcard::to_extend(&view, FORMAT.to_le_bytes().to_vec()).map_err(|error| FeedProblem::Damaged {
            reason: error.to_string(),
        })
    }

    /// Takes up what was saved, as [`Engine::restore`] does. To be called before the first record.
    ///
    /// [`Engine::restore`]: crate::engine::pipeline::Engine::restore
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Restored, FeedProblem> {
        let damaged = |reason: String| FeedProblem::Damaged { reason };
        let Some((format, body)) = bytes.split_first_chunk::<2>() else {
            return Err(damaged(format!("{} bytes", bytes.len())));
        };
        let found = u16::from_le_bytes(*format);
        if found != FORMAT {
            return Err(FeedProblem::UnknownFormat { found });
        }
        let saved: SavedFeed<'_> = postcard::from_bytes(body).map_err(|error| damaged(error.to_string()))?;
        // Later versions may add fields at the end, so that older numbers keep their meaning.
        let same = saved.fields.len() <= Field::ALL.len()
            && saved
                .fields
                .iter()
                .zip(Field::ALL)
                .all(|(name, field)| *name == field.name());
        if !same {
            return Err(damaged("it knows other fields than this version".to_owned()));
        }
        let restored = self.engine.restore(saved.engine)?;
        for (number, saved) in saved.inputs {
            let input = saved
                .input()
                .ok_or_else(|| damaged(format!("the decoder of input {number}")))?;
            self.inputs.insert(number, input);
        }
        self.received = saved.received;
        self.horizon = saved.horizon;
        self.waiting = saved.waiting.into_iter().map(Waiting::new).collect();
        Ok(restored)
    }
}

impl InputView<'_> {
    fn of(input: &Input) -> InputView<'_> {
        InputView {
            opening: input.lines.as_ref().map(|lines| lines.opening),
            decoder: input
                .lines
                .as_ref()
                .map(|lines| lines.decoder.save())
                .unwrap_or_default(),
            guard: &input.guard,
            order: &input.order,
            received: input.received,
            reached: input.reached,
        }
    }
}

impl SavedInput {
    fn input(self) -> Option<Input> {
        let lines = match self.opening {
            None => None,
            Some(opening) => {
                let mut lines = Lines::new(opening);
                if !lines.decoder.restore(&self.decoder) {
                    return None;
                }
                Some(lines)
            }
        };
        Some(Input {
            lines,
            guard: self.guard,
            order: self.order,
            tally: Tally::default(),
            received: self.received,
            reached: self.reached,
        })
    }
}
