//! A feed's state between two records, in pieces: what inputs have open and what waits, then the engine's.

use super::{Feed, Input, Lines, Opening, Waiting};
use crate::domain::{Alert, Event, Timestamp};
use crate::engine::decoder::Tally;
use crate::engine::decoder::export::ExportDecoder;
use crate::engine::order::{OrderBuffer, Stamped, TimeGuard};
use crate::engine::snapshot::{self, SnapshotProblem};
use crate::engine::succession::Restored;
use serde::{Deserialize, Serialize};

/// The newest form.
const FORMAT: u16 = 3;
/// The form before it: without what is known of exporters of flows.
// TODO: drop once states of formats 1 and 2 are gone (0.3).
const FORMAT_WITHOUT_EXPORTS: u16 = 2;
/// The form before that: one piece that ends with the engine's state.
const FORMAT_EARLIER: u16 = 1;

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
}

/// A feed's first piece to write: the form of [`SavedFeed`], borrowed.
#[derive(Serialize)]
struct FeedView<'a> {
    fields: Vec<&'static str>,
    received: Timestamp,
    horizon: Timestamp,
    inputs: Vec<(u16, InputView<'a>)>,
    waiting: Vec<&'a Stamped>,
}

#[derive(Serialize)]
struct InputView<'a> {
    opening: Option<Opening>,
    decoder: Vec<u8>,
    guard: &'a TimeGuard<Event>,
    order: &'a OrderBuffer,
    received: Timestamp,
    reached: Timestamp,
    exports: Option<&'a ExportDecoder>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "I: Deserialize<'de>"))]
struct SavedFeed<'a, I> {
    /// The names of all fields by number, because events are kept by number.
    #[serde(borrow)]
    fields: Vec<&'a str>,
    received: Timestamp,
    horizon: Timestamp,
    inputs: Vec<(u16, I)>,
    /// In order.
    waiting: Vec<Stamped>,
}

#[derive(Deserialize)]
struct SavedInput {
    earlier: SavedEarlierInput,
    exports: Option<ExportDecoder>,
}

/// What there was of an input before [`SavedInput`].
#[derive(Deserialize)]
struct SavedEarlierInput {
    opening: Option<Opening>,
    decoder: Vec<u8>,
    guard: TimeGuard<Event>,
    order: OrderBuffer,
    received: Timestamp,
    reached: Timestamp,
}

impl Feed {
    /// Judges what was pushed, so that the state can be saved.
    pub fn settle(&mut self, alerts: &mut Vec<Alert>) {
        self.engine.settle(alerts);
    }

    /// Gives the state after the records so far piece by piece, without the account of records. [`Feed::settle`] comes
    /// first.
    pub fn save<E: From<FeedProblem> + From<SnapshotProblem>>(
        &mut self,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        put(&self.save_inputs()?)?;
        self.engine.save_settled(put)
    }

    /// Begins to save the state after the records so far, as [`Feed::save`] gives it. More records may be taken before
    /// [`Feed::go_on_saving`] has given the rest of it.
    pub fn begin_saving<E: From<FeedProblem> + From<SnapshotProblem>>(
        &mut self,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        put(&self.save_inputs()?)?;
        self.engine.begin_saving(put)
    }

    /// Goes on with what [`Feed::begin_saving`] has begun: gives entities that have changed since, and up to so many
    /// others. Gives whether that is all. After an error nothing of what was given is of use.
    pub fn go_on_saving<E: From<SnapshotProblem>>(
        &mut self,
        entities: usize,
        put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        self.engine.go_on_saving(entities, put)
    }

    /// What was begun to be saved is of no use any more.
    pub fn stop_saving(&mut self) {
        self.engine.stop_saving();
    }

    /// The state of the inputs alone: what they have open, and what waits. An engine whose partitions are elsewhere has no
    /// other that matters.
    pub fn save_inputs(&self) -> Result<Vec<u8>, FeedProblem> {
        let mut waiting: Vec<&Waiting> = self.waiting.iter().collect();
        waiting.sort_by(|one, other| other.cmp(one));
        let view = FeedView {
            fields: snapshot::fields(),
            received: self.received,
            horizon: self.horizon,
            inputs: self
                .inputs
                .iter()
                .map(|(number, input)| (*number, InputView::of(input)))
                .collect(),
            waiting: waiting.iter().map(|waiting| &waiting.stamped).collect(),
        };
        let first = postcard::to_extend(&view, FORMAT.to_le_bytes().to_vec());
        first.map_err(|error| damaged(error.to_string()))
    }

    /// Takes up what [`Feed::save_inputs`] gave, before the first record.
    pub fn restore_inputs(&mut self, bytes: &[u8]) -> Result<(), FeedProblem> {
        match bytes.split_first_chunk::<2>() {
            Some((format, body)) if u16::from_le_bytes(*format) == FORMAT => self.take_up::<SavedInput>(whole(body)?),
            Some((format, _)) => Err(FeedProblem::UnknownFormat {
                found: u16::from_le_bytes(*format),
            }),
            None => Err(damaged(format!("{} bytes", bytes.len()))),
        }
    }

    /// Takes up what was saved as [`Engine::restore`] does: its first piece, then those that `next` gives in place of what
    /// its argument holds, until it gives none. To be called before the first record; a feed that could not take up a state
    /// is of no use.
    ///
    /// [`Engine::restore`]: crate::engine::pipeline::Engine::restore
    pub fn restore<E: From<FeedProblem> + From<SnapshotProblem>>(
        &mut self,
        first: &[u8],
        mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<Restored, E> {
        let Some((format, body)) = first.split_first_chunk::<2>() else {
            return Err(damaged(format!("{} bytes", first.len())).into());
        };
        match u16::from_le_bytes(*format) {
            format @ (FORMAT | FORMAT_WITHOUT_EXPORTS) => {
                let taken_up = match format {
                    FORMAT => self.take_up::<SavedInput>(whole(body)?),
                    _ => self.take_up::<SavedEarlierInput>(whole(body)?),
                };
                taken_up?;
                let mut piece = Vec::new();
                if !next(&mut piece)? {
                    return Err(damaged("it ends before the engine".to_owned()).into());
                }
                self.engine.restore(&piece, next)
            }
            FORMAT_EARLIER => {
                let (saved, rest): (_, &[u8]) =
                    postcard::take_from_bytes(body).map_err(|error| damaged(error.to_string()))?;
                self.take_up::<SavedEarlierInput>(saved)?;
                let engine: &[u8] = postcard::from_bytes(rest).map_err(|error| damaged(error.to_string()))?;
                self.engine.restore(engine, next)
            }
            found => Err(FeedProblem::UnknownFormat { found }.into()),
        }
    }

    fn take_up<I: Into<SavedInput>>(&mut self, saved: SavedFeed<'_, I>) -> Result<(), FeedProblem> {
        if !snapshot::fields_fit(&saved.fields) {
            return Err(damaged("it knows other fields than this version".to_owned()));
        }
        for (number, saved) in saved.inputs {
            let saved: SavedInput = saved.into();
            let mut input = saved
                .input()
                .ok_or_else(|| damaged(format!("the decoder of input {number}")))?;
            input.order.set_disorder_max(self.disorder_max);
            self.inputs.insert(number, input);
        }
        self.received = saved.received;
        self.horizon = saved.horizon;
        self.waiting = saved.waiting.into_iter().map(Waiting::new).collect();
        Ok(())
    }
}

fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, FeedProblem> {
    postcard::from_bytes(body).map_err(|error| damaged(error.to_string()))
}

impl From<SavedEarlierInput> for SavedInput {
    fn from(earlier: SavedEarlierInput) -> SavedInput {
        SavedInput { earlier, exports: None }
    }
}

fn damaged(reason: String) -> FeedProblem {
    FeedProblem::Damaged { reason }
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
            exports: input.exports.as_ref(),
        }
    }
}

impl SavedInput {
    fn input(self) -> Option<Input> {
        let saved = self.earlier;
        let lines = match saved.opening {
            None => None,
            Some(opening) => {
                let mut lines = Lines::new(opening);
                if !lines.decoder.restore(&saved.decoder) {
                    return None;
                }
                Some(lines)
            }
        };
        Some(Input {
            lines,
            exports: self.exports,
            guard: saved.guard,
            order: saved.order,
            tally: Tally::default(),
            received: saved.received,
            reached: saved.reached,
        })
    }
}
