//! Transactions of a group's member: what its records led to, and how far it has come in them, become visible together
//! or not at all.

use super::group::{Group, SESSION_MAX_MS, Seat};
use super::publisher::wait_until_sent;
use super::{AlertRecord, Connection, Trouble, Voice};
use crate::edge::sink::{DocumentForm, Told};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How long a step of a transaction may take.
const STEP_MAX: Duration = Duration::from_secs(10);
/// How long reaching the brokers may take.
const REACH_MAX: Duration = Duration::from_secs(10);
/// Bytes of records that librdkafka holds until they are delivered.
const QUEUE_KBYTES_MAX: &str = "1048576";

/// What a record led to.
#[derive(Clone, Debug)]
pub enum Output {
    /// A record of one of the topics between instances.
    Record {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The key; none where each record stands for itself.
        key: Option<Vec<u8>>,
        /// The value; none where what stood under the key is gone.
        value: Option<Vec<u8>>,
    },
    /// A form of an alert.
    Alert {
        /// The topic.
        topic: String,
        /// The documents.
        told: Box<Told>,
    },
}

/// How far a member has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The partition.
    pub seat: Seat,
    /// The offset of its next record.
    pub next: i64,
    /// What stands beside it.
    pub note: String,
}

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitFailure {
    /// It may be tried again: the same outputs, once the group has settled.
    #[error("{problem}")]
    Aborted {
        /// What is wrong.
        problem: String,
    },
    /// Another process uses the transactional id.
    #[error(
        "another process has taken over the transactional.id `{id}`; give each instance a name of its own \
         (`kafka: instance`, --instance)"
    )]
    Fenced {
        /// The transactional id.
        id: String,
    },
}

/// Commits what a member does.
pub struct Transactions {
    connection: Connection,
    id: String,
    voice: Voice,
    producer: Option<ThreadedProducer<Voice>>,
}

impl Transactions {
    /// Under a transactional id.
    pub fn new(connection: Connection, id: String, voice: Voice) -> Transactions {
        Transactions {
            connection,
            id,
            voice,
            producer: None,
        }
    }

    /// Takes the transactional id over: whoever used it before commits nothing more.
    fn take_over(&self) -> Result<ThreadedProducer<Voice>, KafkaError> {
        let usual = [
            ("linger.ms", "5"),
            ("compression.type", "zstd"),
            ("transaction.timeout.ms", SESSION_MAX_MS),
            ("message.timeout.ms", SESSION_MAX_MS),
            ("queue.buffering.max.kbytes", QUEUE_KBYTES_MAX),
        ];
        let must = [("transactional.id", self.id.as_str()), ("enable.idempotence", "true")];
        let config = self.connection.client(&usual, &must);
        let producer: ThreadedProducer<Voice> = config.create_with_context(self.voice.clone())?;
        producer.init_transactions(REACH_MAX)?;
        self.voice.is_reached();
        Ok(producer)
    }

    /// Begins: takes the transactional id over.
    pub fn begin(&mut self) -> Result<(), CommitFailure> {
        match self.take_over() {
            Ok(producer) => {
                self.producer = Some(producer);
                Ok(())
            }
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// Commits outputs in their order, and how far their records have come. After a failure nothing of it is visible.
    pub fn commit<'a>(
        &mut self,
        group: &Group,
        outputs: impl Iterator<Item = &'a Output>,
        standings: &[Standing],
    ) -> Result<(), CommitFailure> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.take_over().map_err(|error| self.failure(&error))?,
        };
        let begun = Instant::now();
        let Err(error) = self.transact(&producer, group, outputs, standings) else {
            self.voice.metrics().committed(begun.elapsed());
            self.producer = Some(producer);
            return Ok(());
        };
        let failure = self.failure(&error);
        let is_fatal = matches!(&error, KafkaError::Transaction(error) if error.is_fatal());
        if !is_fatal && producer.abort_transaction(STEP_MAX).is_ok() {
            self.producer = Some(producer);
        }
        // One that can't be aborted is by whoever takes the id over, which is this process next.
        Err(failure)
    }

    fn transact<'a>(
        &self,
        producer: &ThreadedProducer<Voice>,
        group: &Group,
        outputs: impl Iterator<Item = &'a Output>,
        standings: &[Standing],
    ) -> Result<(), KafkaError> {
        self.voice.take_undelivered();
        producer.begin_transaction()?;
        for output in outputs {
            self.send(producer, output)?;
        }
        let mut offsets = TopicPartitionList::new();
        for standing in standings {
            let Seat { topic, partition } = &standing.seat;
            offsets.add_partition_offset(topic, *partition, Offset::Offset(standing.next))?;
            if let Some(mut offset) = offsets.find_partition(topic, *partition) {
                offset.set_metadata(&standing.note);
            }
        }
        let metadata = group.metadata().ok_or(KafkaError::Canceled)?;
        producer.send_offsets_to_transaction(&offsets, &metadata, STEP_MAX)?;
        wait_until_sent(producer, STEP_MAX);
        producer.commit_transaction(STEP_MAX)
    }

    fn send(&self, producer: &ThreadedProducer<Voice>, output: &Output) -> Result<(), KafkaError> {
        loop {
            let sent = match output {
                Output::Alert { topic, told } => {
                    let alert = AlertRecord::new(told, DocumentForm::Ecs);
                    producer.send(alert.to(topic)).map_err(|(error, _)| error)
                }
                Output::Record {
                    topic,
                    partition,
                    key,
                    value,
                } => {
                    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(*partition);
                    if let Some(key) = key {
                        record = record.key(key);
                    }
                    if let Some(value) = value {
                        record = record.payload(value);
                    }
                    producer.send(record).map_err(|(error, _)| error)
                }
            };
            match sent {
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                sent => return sent,
            }
        }
    }

    fn failure(&self, error: &KafkaError) -> CommitFailure {
        let undelivered = self.voice.take_undelivered();
        let is_cause = |error: &&KafkaError| !matches!(Trouble::of(error), Trouble::Other);
        let error = undelivered.iter().find(is_cause).unwrap_or(error);
        let (trouble, problem) = self.voice.reason(error);
        if trouble == Trouble::Fenced {
            return CommitFailure::Fenced { id: self.id.clone() };
        }
        self.voice.metrics().errors(trouble.word()).inc();
        CommitFailure::Aborted { problem }
    }
}
