//! Records as a journal keeps them: two bytes of format, then postcard.

use super::format_named;
use crate::domain::{Datagram, Event, Timestamp};
use crate::engine::decoder::log::{Format, LineContext};
use serde::{Deserialize, Serialize};

/// The newest form of a record.
const FORMAT: u16 = 1;

/// What an input of lines is, from its first lines on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The format of its lines.
    pub format: Format,
    /// What the lines leave out.
    pub context: LineContext,
}

/// Whatever can change an alert. `received` is the moment, by the clock, at which it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// What an input's lines are, from here on.
    Opened {
        /// The input.
        input: u16,
        /// When it was received.
        received: Timestamp,
        /// What its lines are.
        opening: Opening,
    },
    /// Whole lines, each with its line end.
    Lines {
        /// The input.
        input: u16,
        /// When they were received.
        received: Timestamp,
        /// The lines.
        bytes: Vec<u8>,
    },
    /// Decoded events.
    Events {
        /// The input.
        input: u16,
        /// When they were received.
        received: Timestamp,
        /// The input's own time behind them.
        known_at: Timestamp,
        /// The events, each with the input's own time when it came out of its decoder.
        events: Vec<(Timestamp, Event)>,
    },
    /// Nothing came.
    Tick {
        /// When nothing came.
        received: Timestamp,
    },
    /// A process has taken up what another left. That nobody collected meanwhile makes no input quiet.
    Resumed {
        /// When it did.
        received: Timestamp,
    },
    /// Whether more of an input is known to be there. While it is the others' time waits for it, however long it gives
    /// nothing.
    Behind {
        /// The input.
        input: u16,
        /// When that became known.
        received: Timestamp,
        /// Whether it is.
        is_behind: bool,
    },
    /// Datagrams that tell of flows.
    Datagrams {
        /// The input.
        input: u16,
        /// When the last of them was received.
        received: Timestamp,
        /// The datagrams, in order.
        datagrams: Vec<Datagram>,
    },
}

/// Why a record can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordProblem {
    /// Another version of the program has written it.
    #[error("a record of the journal has format {found}, this program reads {FORMAT}; use the version that wrote it")]
    UnknownFormat {
        /// The format that was found.
        found: u16,
    },
    /// Its bytes do not follow the format.
    #[error("a record of the journal is damaged ({reason}); restore the store from a backup, or move it away")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
}

impl Record {
    /// When it was received, by the clock.
    pub fn received(&self) -> Timestamp {
        match self {
            Record::Opened { received, .. }
            | Record::Lines { received, .. }
            | Record::Events { received, .. }
            | Record::Tick { received }
            | Record::Resumed { received }
            | Record::Behind { received, .. }
            | Record::Datagrams { received, .. } => *received,
        }
    }

    /// The record as bytes.
    pub fn write(&self) -> Result<Vec<u8>, RecordProblem> {
        postcard::to_extend(self, FORMAT.to_le_bytes().to_vec()).map_err(|error| RecordProblem::Damaged {
            reason: error.to_string(),
        })
    }

    /// Reads a record.
    pub fn read(bytes: &[u8]) -> Result<Record, RecordProblem> {
        let damaged = |reason: String| RecordProblem::Damaged { reason };
        let Some((format, body)) = bytes.split_first_chunk::<2>() else {
            return Err(damaged(format!("{} bytes", bytes.len())));
        };
        let found = u16::from_le_bytes(*format);
        if found != FORMAT {
            return Err(RecordProblem::UnknownFormat { found });
        }
        postcard::from_bytes(body).map_err(|error| damaged(error.to_string()))
    }
}

impl Serialize for Opening {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.format.name(), self.context).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Opening {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (name, context) = <(&str, LineContext)>::deserialize(deserializer)?;
        let format =
            format_named(name).ok_or_else(|| serde::de::Error::custom(format!("there is no format `{name}`")))?;
        Ok(Opening { format, context })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Field;

    #[test]
    fn records_come_back_as_they_were() {
        let received = Timestamp::from_seconds(9);
        let mut event = Event::new(Timestamp::from_seconds(5));
        event.add_str(Field::UserName, "root");
        let context = LineContext {
            year: 2026,
            offset_minutes: -90,
        };
        let records = [
            Record::Opened {
                input: 3,
                received,
                opening: Opening {
                    format: Format::Audit,
                    context,
                },
            },
            Record::Lines {
                input: 3,
                received,
                bytes: b"a\nb\n".to_vec(),
            },
            Record::Events {
                input: 4,
                received,
                known_at: Timestamp::from_seconds(8),
                events: vec![(Timestamp::from_seconds(6), event)],
            },
            Record::Tick { received },
            Record::Resumed { received },
            Record::Behind {
                input: 3,
                received,
                is_behind: true,
            },
            Record::Datagrams {
                input: 5,
                received,
                datagrams: vec![Datagram {
                    from: [192, 0, 2, 1].into(),
                    received,
                    bytes: vec![0, 9, 0, 1],
                }],
            },
        ];
        for record in records {
            let bytes = record.write().expect("bytes");
            assert_eq!(Record::read(&bytes), Ok(record.clone()));
            assert_eq!(record.received(), received);
            for length in 0..bytes.len() {
                assert!(Record::read(&bytes[..length]).is_err(), "{length} bytes of {record:?}");
            }
        }
        assert_eq!(Record::read(&[9, 0, 1]), Err(RecordProblem::UnknownFormat { found: 9 }));
    }
}
