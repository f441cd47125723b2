//! What a collecting process publishes: events, each to the partitions that need it, and marks to all of them. Events and
//! how many were published commit in one transaction, so that a reader with `isolation.level=read_committed` sees each
//! event exactly once, whenever this process is killed.

use super::cursored::Cursored;
use super::wire::{write_event, write_mark};
use super::{Connection, Trouble, Voice};
use crate::domain::{Event, Mark, Timestamp};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long brokers that could not be reached are left alone.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked meanwhile whether everything ends.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// An event on its way.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Engine time.
    pub at: Timestamp,
    /// What orders it among others of its time.
    pub order: u64,
    /// The number of its input.
    pub input: u16,
    /// Its number within its input.
    pub sequence: u64,
    /// The event.
    pub event: Event,
    /// Each partition with the kinds of entities that the event is there for.
    pub to: Vec<(u16, Vec<u8>)>,
}

/// Why nothing more is published.
#[derive(Debug, thiserror::Error)]
pub enum PublishFailure {
    /// Another process has taken over.
    #[error(
        "another process has taken over the transactional.id `{id}`; give each instance a name of its own (`kafka: instance`)"
    )]
    Fenced {
        /// The transactional id.
        id: String,
    },
    /// Everything ends, and brokers were not reached before.
    #[error("everything ends; what was not published is published at the next start")]
    Stopped,
}

/// Publishes the stream of one collecting process.
pub struct Publisher {
    connection: Connection,
    topic: String,
    partitions: u16,
    /// The transactional id, and the group of the cursor.
    id: String,
    stream: String,
    store: u64,
    voice: Voice,
    stop: Arc<AtomicBool>,
    open: Option<Cursored>,
    line: Vec<u8>,
}

impl Publisher {
    /// Publishes to a topic of so many partitions. `id` is the transactional id, `store` names the store whose events are
    /// counted. Gives up waiting for brokers once `stop` is set.
    #[allow(
        clippy::too_many_arguments,
        reason = "each is of its own type or named at the one place that calls"
    )]
    pub fn new(
        connection: Connection,
        topic: &str,
        partitions: u16,
        id: String,
        stream: &str,
        store: u64,
        voice: Voice,
        stop: Arc<AtomicBool>,
    ) -> Publisher {
        Publisher {
            connection,
            topic: topic.to_owned(),
            partitions,
            id,
            stream: stream.to_owned(),
            store,
            voice,
            stop,
            open: None,
            line: Vec::new(),
        }
    }

    /// How many events were published before this process began.
    pub fn published(&mut self) -> Result<u64, PublishFailure> {
        loop {
            match self.take_over() {
                Ok(cursor) => return Ok(cursor),
                Err(error) => self.recover(&error)?,
            }
        }
    }

    fn take_over(&mut self) -> Result<u64, KafkaError> {
        let taken = Cursored::take_over(&self.connection, &self.id, &self.topic, self.store, &self.voice);
        let (open, cursor) = taken?;
        self.open = Some(open);
        Ok(cursor)
    }

    /// Publishes events, and a mark behind them to every partition; `next` is the number of the next event after them.
    /// Goes on trying until it is done. `kinds` are the names of the kinds of entities.
    pub fn publish(
        &mut self,
        parcels: &[Parcel],
        mark: &Mark,
        next: u64,
        kinds: &[String],
    ) -> Result<(), PublishFailure> {
        loop {
            let error = match self.open.take() {
                Some(open) => match self.transact(&open, parcels, mark, next, kinds) {
                    Ok(()) => {
                        self.open = Some(open);
                        self.voice.is_well(&self.topic);
                        return Ok(());
                    }
                    Err(error) => {
                        open.let_go();
                        error
                    }
                },
                None => match self.take_over() {
                    // What became of the transaction before is known now. A mark alone does no harm twice.
                    Ok(cursor) if cursor >= next && !parcels.is_empty() => return Ok(()),
                    Ok(_) => continue,
                    Err(error) => error,
                },
            };
            self.recover(&error)?;
        }
    }

    fn transact(
        &mut self,
        open: &Cursored,
        parcels: &[Parcel],
        mark: &Mark,
        next: u64,
        kinds: &[String],
    ) -> Result<(), KafkaError> {
        let (topic, stream, partitions, line) = (&self.topic, &self.stream, self.partitions, &mut self.line);
        open.transact(next, |producer| {
            for parcel in parcels {
                for (partition, entities) in &parcel.to {
                    let names = entities.iter().filter_map(|kind| kinds.get(usize::from(*kind)));
                    let names = names.map(String::as_str);
                    let (at, order, input, sequence) = (parcel.at, parcel.order, parcel.input, parcel.sequence);
                    write_event(stream, at, order, input, sequence, names, &parcel.event, line);
                    send(producer, topic, *partition, line)?;
                }
            }
            let mark = write_mark(stream, mark);
            (0..partitions).try_for_each(|partition| send(producer, topic, partition, &mark))
        })
    }

    /// Tells what is wrong, and waits for a while.
    fn recover(&mut self, error: &KafkaError) -> Result<(), PublishFailure> {
        let undelivered = self.voice.take_undelivered();
        let is_cause = |error: &&KafkaError| !matches!(Trouble::of(error), Trouble::Other);
        let error = undelivered.iter().find(is_cause).unwrap_or(error);
        let (trouble, problem) = self.voice.reason(error);
        let problem = match trouble {
            Trouble::Fenced => {
                return Err(PublishFailure::Fenced { id: self.id.clone() });
            }
            Trouble::UnknownTopic => format!("there is no topic `{}`, or it has fewer partitions", self.topic),
            Trouble::Authorization => format!("the brokers do not allow it: {problem}"),
            Trouble::TooLarge => format!(
                "an event is larger than `{}` takes: {problem}; raise max.message.bytes",
                self.topic
            ),
            _ => problem,
        };
        self.voice.tell(trouble, &self.topic, &problem);
        let begun = Instant::now();
        while begun.elapsed() < AGAIN {
            if self.stop.load(Ordering::Relaxed) {
                return Err(PublishFailure::Stopped);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

/// Waits until what a producer was handed is delivered or refused, so long at most. The binding's own `flush` looks only
/// every 100 ms whether it is, because the thread of the producer takes the reports that it waits for.
pub(super) fn wait_until_sent(producer: &ThreadedProducer<Voice>, within: Duration) {
    let begun = Instant::now();
    while producer.in_flight_count() > 0 && begun.elapsed() < within {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Hands a record to a producer; while its queue is full, waits for room.
pub(super) fn send(
    producer: &ThreadedProducer<Voice>,
    topic: &str,
    partition: u16,
    value: &[u8],
) -> Result<(), KafkaError> {
    loop {
        let record = BaseRecord::<(), [u8]>::to(topic)
            .partition(i32::from(partition))
            .payload(value);
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error),
        }
    }
}
