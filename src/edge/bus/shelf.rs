//! What was learned, on the topic of state: the state of a partition as a run of chunks under keys of its own, behind them
//! a label that says what they are. All of it commits in one transaction, together with the position that it stands for,
//! so a reader of committed records finds a state whole or not at all.

use super::group::Seat;
use super::{Connection, Output, Voice};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a chunk: well below what a broker takes as one record.
const CHUNK_BYTES: usize = 256 * 1024;
/// How long a question to a broker may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long to wait for a record.
const WAIT: Duration = Duration::from_millis(200);
/// How long nothing may come while something must still come.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// What stands beside a position of the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The version of this form.
    pub v: u64,
    /// How many findings, or alerts, the records up to the position led to.
    pub found: u64,
    /// The position that the newest state stands for; without one, where the partition was begun with an empty state.
    pub snapshot: i64,
    /// Where on the topic of state its chunks begin; none without a state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks: Option<i64>,
}

/// What the chunks in front of it are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The version of this form.
    pub v: u64,
    /// The position that the state stands for.
    pub snapshot: i64,
    /// How many findings, or alerts, the records before it led to.
    pub found: u64,
    /// How many chunks there are.
    pub chunks: u32,
    /// How many bytes they have together.
    pub bytes: u64,
    /// What they hash to (XXH3, 64 bits).
    pub hash: u64,
}

/// A state with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The label.
    pub label: Label,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why a state could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ShelfFailure {
    /// Brokers.
    #[error("{0}")]
    Kafka(#[from] KafkaError),
    /// It is not there, or not whole.
    #[error(
        "the state of `{name}` is not whole on `{topic}`: {problem}; restore the topic, or reset the group's offset of this partition to begin anew"
    )]
    Broken {
        /// The name under which it is kept.
        name: String,
        /// The topic.
        topic: String,
        /// What is wrong.
        problem: String,
    },
    /// The partition is not wanted any more.
    #[error("not wanted any more")]
    Cancelled,
}

impl Kept {
    /// A state that stands for a position.
    pub fn new(bytes: Vec<u8>, snapshot: i64, found: u64) -> Kept {
        let label = Label {
            v: super::wire::VERSION,
            snapshot,
            found,
            chunks: bytes.len().div_ceil(CHUNK_BYTES) as u32,
            bytes: bytes.len() as u64,
            hash: xxh3_64(&bytes),
        };
        Kept { label, bytes }
    }

    /// The records that keep it under a name; `before` is how many chunks the state before it had.
    pub fn outputs(&self, name: &str, topic: &str, partition: i32, before: u32) -> Vec<Output> {
        let record = |key: String, value: Option<Vec<u8>>| Output::Record {
            topic: topic.to_owned(),
            partition,
            key: Some(key.into_bytes()),
            value,
        };
        let chunks = self.bytes.chunks(CHUNK_BYTES).enumerate();
        let mut outputs: Vec<Output> = chunks
            .map(|(number, chunk)| record(format!("{name}/{number}"), Some(chunk.to_vec())))
            .collect();
        // What the state before had more is gone.
        outputs.extend((self.label.chunks..before).map(|number| record(format!("{name}/{number}"), None)));
        let label = serde_json::to_vec(&self.label).unwrap_or_default();
        outputs.push(record(format!("{name}/label"), Some(label)));
        outputs
    }
}

/// Reads what a group has committed and what stands on the topic of state.
pub struct Shelf {
    reader: BaseConsumer<Voice>,
}

impl Shelf {
    /// For a group.
    pub fn open(connection: &Connection, group: &str, voice: Voice) -> Result<Shelf, KafkaError> {
        let usual = [
            ("receive.message.max.bytes", "1000000000"),
            ("fetch.wait.max.ms", "100"),
        ];
        let config = connection.reader(group, &usual);
        let reader = config.create_with_context(voice)?;
        Ok(Shelf { reader })
    }

    /// How far the group has come in a partition, and what stands beside it. Waits while a transaction of somebody who is
    /// gone is open.
    pub fn committed(&self, seat: &Seat, stop: &AtomicBool) -> Result<Option<(i64, Option<Note>)>, ShelfFailure> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&seat.topic, seat.partition);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(ShelfFailure::Cancelled);
            }
            match self.reader.committed_offsets(asked.clone(), ANSWER_MAX) {
                Ok(answer) => {
                    let Some(held) = answer.find_partition(&seat.topic, seat.partition) else {
                        return Ok(None);
                    };
                    let Some(next) = held.offset().to_raw().filter(|next| *next >= 0) else {
                        return Ok(None);
                    };
                    return Ok(Some((next, serde_json::from_str(held.metadata()).ok())));
                }
                Err(error) => {
                    self.reader.client().context().tell_passing(&error);
                    std::thread::sleep(WAIT);
                }
            }
        }
    }

    /// How many partitions a topic has; none where it is not there.
    pub fn partitions(&self, topic: &str) -> Result<usize, ShelfFailure> {
        let metadata = self.reader.fetch_metadata(Some(topic), ANSWER_MAX)?;
        let about = metadata.topics().iter().find(|about| about.name() == topic);
        Ok(about.map_or(0, |about| about.partitions().len()))
    }

    /// The first and the next offset of a partition.
    pub fn bounds(&self, seat: &Seat) -> Result<(i64, i64), ShelfFailure> {
        Ok(self.reader.fetch_watermarks(&seat.topic, seat.partition, ANSWER_MAX)?)
    }

    /// The state that a note names, kept under a name: the last one whole before the end of the partition. With no place
    /// to begin at, all of the partition is looked through.
    pub fn state(
        &self,
        name: &str,
        seat: &Seat,
        from: Option<i64>,
        wanted: Option<i64>,
        stop: &AtomicBool,
    ) -> Result<Option<Kept>, ShelfFailure> {
        let broken = |problem: String| ShelfFailure::Broken {
            name: name.to_owned(),
            topic: seat.topic.clone(),
            problem,
        };
        let mut list = TopicPartitionList::new();
        let begin = from.map_or(Offset::Beginning, Offset::Offset);
        list.add_partition_offset(&seat.topic, seat.partition, begin)?;
        self.reader.assign(&list)?;
        let mut chunks: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut found = None;
        let mut last = Instant::now();
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(ShelfFailure::Cancelled);
            }
            let message = match self.reader.poll(WAIT) {
                None if last.elapsed() < STALLED_AFTER => continue,
                None => return Err(broken(format!("nothing came for {} s", STALLED_AFTER.as_secs()))),
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(message)) => message,
            };
            last = Instant::now();
            let Some(part) = message.key().and_then(|key| part(key, name)) else {
                continue;
            };
            let value = message.payload().unwrap_or_default();
            match part {
                Part::Chunk(number) if value.is_empty() => {
                    chunks.remove(&number);
                }
                Part::Chunk(number) => {
                    chunks.insert(number, value.to_vec());
                }
                Part::Label => {
                    let label: Label = serde_json::from_slice(value).map_err(|error| broken(error.to_string()))?;
                    if label.v != super::wire::VERSION {
                        return Err(broken(format!(
                            "its form has version {}; run the version that wrote it",
                            label.v
                        )));
                    }
                    if wanted.is_none_or(|wanted| wanted == label.snapshot) {
                        found = Some(gather(&chunks, label).map_err(broken)?);
                        if wanted.is_some() {
                            break;
                        }
                    }
                }
            }
        }
        self.reader.unassign()?;
        match (found, wanted) {
            (None, Some(wanted)) => Err(broken(format!("there is none that stands for position {wanted}"))),
            (found, _) => Ok(found),
        }
    }
}

enum Part {
    Chunk(u32),
    Label,
}

/// What a key of this name is.
fn part(key: &[u8], name: &str) -> Option<Part> {
    let key = std::str::from_utf8(key).ok()?;
    let rest = key.strip_prefix(name)?.strip_prefix('/')?;
    match rest {
        "label" => Some(Part::Label),
        number => number.parse().ok().map(Part::Chunk),
    }
}

fn gather(chunks: &BTreeMap<u32, Vec<u8>>, label: Label) -> Result<Kept, String> {
    let mut bytes = Vec::with_capacity(label.bytes.min(1 << 32) as usize);
    for number in 0..label.chunks {
        let chunk = chunks
            .get(&number)
            .ok_or_else(|| format!("chunk {number} is missing"))?;
        bytes.extend_from_slice(chunk);
    }
    if (bytes.len() as u64, xxh3_64(&bytes)) != (label.bytes, label.hash) {
        return Err("its bytes are not those that were written".to_owned());
    }
    Ok(Kept { label, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(outputs: &[Output], chunks: &mut BTreeMap<u32, Vec<u8>>) -> Result<Kept, String> {
        for output in outputs {
            let Output::Record { key, value, .. } = output else {
                panic!("{output:?}")
            };
            match (part(key.as_deref().unwrap_or_default(), "events-3"), value) {
                (Some(Part::Chunk(number)), Some(value)) => {
                    chunks.insert(number, value.clone());
                }
                (Some(Part::Chunk(number)), None) => {
                    chunks.remove(&number);
                }
                (Some(Part::Label), Some(value)) => {
                    return gather(chunks, serde_json::from_slice(value).expect("a label"));
                }
                (part, value) => panic!("{} {value:?}", part.is_some()),
            }
        }
        Err("there is no label".to_owned())
    }

    #[test]
    fn a_state_comes_back_whole_or_not_at_all() {
        let bytes = |length: usize| -> Vec<u8> { (0..length).map(|place| (place / 7) as u8).collect() };
        let mut chunks = BTreeMap::new();
        let large = Kept::new(bytes(3 * CHUNK_BYTES + 1), 77, 5);
        assert_eq!(large.label.chunks, 4);
        assert_eq!(
            read(&large.outputs("events-3", "state", 3, 0), &mut chunks),
            Ok(large.clone())
        );
        let small = Kept::new(bytes(10), 78, 6);
        assert_eq!(read(&small.outputs("events-3", "state", 3, 4), &mut chunks), Ok(small));
        assert_eq!(chunks.len(), 1, "what the larger one had more is gone");
        let mut outputs = large.outputs("events-3", "state", 3, 1);
        outputs.remove(2);
        assert_eq!(
            read(&outputs, &mut BTreeMap::new()),
            Err("chunk 2 is missing".to_owned())
        );
        assert!(part(b"events-31/0", "events-3").is_none());
        assert!(part(b"events-3/x", "events-3").is_none());
    }
}
