//! One partition: where it goes on, and what was taken from it and not handed on yet.

use super::super::PIECE_BYTES;
use super::record::{Anchor, Position, add_lines};
use super::{RecordCheck, Tolerance};
use crate::edge::bus::{Letter, Voice};
use crate::edge::telemetry::KafkaMetrics;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use std::time::{Duration, Instant};

/// Dead letters that are delivered together at most.
const LETTERS_MAX: usize = 100;

/// One partition of a topic.
pub(super) struct Partition {
    pub(super) topic: String,
    pub(super) number: i32,
    pub(super) input: u16,
    /// Where it goes on behind what was handed on.
    pub(super) position: Option<Position>,
    /// Behind what is in the piece.
    taken: Option<Position>,
    /// The record that has to come first, if its log is the one that was read before.
    pub(super) expected: Option<Anchor>,
    pub(super) queue: Option<PartitionQueue<Voice>>,
    piece: Piece,
    /// The time of the last record that was handed on, as its topic has it.
    pub(super) time: i64,
    /// Nothing more is there now.
    pub(super) at_end: bool,
    /// What the others are told: that more is there, and since when nothing came of it.
    pub(super) behind: Option<Instant>,
    /// It stands in front of a record that it may not pass.
    pub(super) stopped: bool,
    /// That it is not there any more was told.
    pub(super) is_missed: bool,
    /// Its log was made anew, and is read from its beginning whatever the configuration says of new ones.
    pub(super) from_start: bool,
    /// The position that was told to the group.
    pub(super) told: i64,
}

/// What was taken and not handed on.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) lines: Vec<u8>,
    pub(super) letters: Vec<Letter>,
    pub(super) records: u64,
    time: i64,
}

impl Piece {
    fn bytes(&self) -> usize {
        self.lines.len() + self.letters.iter().map(|letter| letter.value.len()).sum::<usize>()
    }
}

/// Why a partition can't go on as it is.
#[derive(Debug)]
pub(super) enum Halt {
    /// Its log is not the one that was read before.
    OtherLog,
    /// The place where it goes on is not in its log.
    OutOfRange,
    /// An error of the broker.
    Error(KafkaError),
}

impl Partition {
    pub(super) fn new(topic: &str, number: i32, input: u16, position: Option<Position>) -> Partition {
        Partition {
            topic: topic.to_owned(),
            number,
            input,
            position,
            taken: None,
            expected: None,
            queue: None,
            piece: Piece::default(),
            time: i64::MIN,
            at_end: false,
            behind: None,
            stopped: false,
            is_missed: false,
            from_start: false,
            told: -1,
        }
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.topic, self.number)
    }

    /// Whether something was taken that is not handed on.
    pub(super) fn has_piece(&self) -> bool {
        self.piece.records > 0
    }

    /// Whether others have to wait until it gives something.
    pub(super) fn is_awaited(&self) -> bool {
        self.behind.is_some() && !self.at_end && !self.stopped && !self.has_piece()
    }

    /// A new session: what was taken and not handed on comes again.
    pub(super) fn rewind(&mut self) {
        self.queue = None;
        self.piece = Piece::default();
        self.taken = self.position;
        self.expected = None;
        self.at_end = false;
    }

    /// Takes what is there, up to a piece. Gives whether anything came.
    pub(super) fn fill(
        &mut self,
        check: &mut dyn RecordCheck,
        tolerance: Tolerance,
        metrics: &KafkaMetrics,
    ) -> Result<bool, Halt> {
        let Some(queue) = self.queue.take() else {
            return Ok(false);
        };
        let filled = self.fill_from(&queue, check, tolerance, metrics);
        self.queue = Some(queue);
        filled
    }

    fn fill_from(
        &mut self,
        queue: &PartitionQueue<Voice>,
        check: &mut dyn RecordCheck,
        tolerance: Tolerance,
        metrics: &KafkaMetrics,
    ) -> Result<bool, Halt> {
        let mut came = false;
        while !self.stopped && self.piece.bytes() < PIECE_BYTES && self.piece.letters.len() < LETTERS_MAX {
            match queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    came = true;
                    self.at_end = false;
                    self.take(&message, check, tolerance, metrics)?;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.at_end = true,
                Some(Err(error)) => {
                    use rdkafka::error::RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
                    return Err(match error.rdkafka_error_code() {
                        Some(AutoOffsetReset | OffsetOutOfRange) => Halt::OutOfRange,
                        _ => Halt::Error(error),
                    });
                }
            }
        }
        Ok(came)
    }

    /// Whether a record of this offset stands behind all that was taken.
    pub(super) fn is_next(&self, offset: i64) -> bool {
        let expected = self.expected.map(|expected| expected.offset);
        expected
            .or(self.taken.map(|taken| taken.next))
            .is_none_or(|next| offset >= next)
    }

    /// Takes a record.
    pub(super) fn take(
        &mut self,
        message: &BorrowedMessage<'_>,
        check: &mut dyn RecordCheck,
        tolerance: Tolerance,
        metrics: &KafkaMetrics,
    ) -> Result<(), Halt> {
        let time = message.timestamp().to_millis().unwrap_or(0);
        let (offset, value) = (message.offset(), message.payload());
        let behind = Position::behind(offset, time, value);
        if let Some(expected) = self.expected.take()
            && offset <= expected.offset
        {
            return if behind.anchor == Some(expected) {
                Ok(())
            } else {
                Err(Halt::OtherLog)
            };
        }
        let begin = self.piece.lines.len();
        let read = add_lines(value, &mut self.piece.lines).and_then(|()| {
            let lines = self.piece.lines.get(begin..).unwrap_or_default();
            let mut lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.try_for_each(|line| check.check(line))
        });
        if let Err(reason) = read {
            self.piece.lines.truncate(begin);
            metrics.refused(&self.topic, reason).inc();
            if tolerance == Tolerance::None {
                self.stopped = true;
                metrics.up(&self.topic, self.number).set(0);
                tracing::error!(
                    topic = self.topic,
                    partition = self.number,
                    offset,
                    reason,
                    "a record can't be read, and errors.tolerance is none: this partition stops in front of it"
                );
                return Ok(());
            }
            self.piece.letters.push(Letter::about(message, reason));
        }
        self.piece.records += 1;
        self.piece.time = time;
        self.taken = Some(behind);
        Ok(())
    }

    /// Takes the piece out, to be handed on; the position is behind it then.
    pub(super) fn take_piece(&mut self) -> Piece {
        self.position = self.taken;
        let piece = std::mem::take(&mut self.piece);
        self.time = piece.time;
        if self.behind.is_some() {
            self.behind = Some(Instant::now());
        }
        piece
    }
}
