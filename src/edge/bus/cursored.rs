//! A producer whose transactions carry a cursor: how much of a numbered sequence was delivered. The cursor is an offset
//! that the transaction commits under a group of its own; its metadata names the store whose sequence it counts. Whoever
//! begins with the same `transactional.id` fences off whoever used it before.

use super::publisher::wait_until_sent;
use super::{Connection, Voice};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How long a step of a transaction may take.
const STEP_MAX: Duration = Duration::from_secs(10);
/// How long reaching the brokers may take.
const REACH_MAX: Duration = Duration::from_secs(5);
/// How long aborting may take. If it can't be aborted, it is by whoever takes over.
const ABORT_MAX: Duration = Duration::from_secs(2);
/// How long an open transaction of a process that is gone holds readers up.
const TRANSACTION_MAX: &str = "30000";

/// A producer whose transactional id is ours.
pub(in crate::edge) struct Cursored {
    producer: ThreadedProducer<Voice>,
    group: ConsumerGroupMetadata,
    /// The topic under whose name the cursor stands.
    topic: String,
    /// The metadata of the cursor.
    store: String,
    voice: Voice,
}

impl Cursored {
    /// Takes a transactional id over, and gives the cursor that was committed with it: 0 where there is none of this
    /// store.
    pub(in crate::edge) fn take_over(
        connection: &Connection,
        id: &str,
        topic: &str,
        store: u64,
        voice: &Voice,
    ) -> Result<(Cursored, u64), KafkaError> {
        let usual = [
            ("linger.ms", "5"),
            ("compression.type", "zstd"),
            ("transaction.timeout.ms", TRANSACTION_MAX),
            ("message.timeout.ms", "10000"),
        ];
        let must = [("transactional.id", id), ("enable.idempotence", "true")];
        let config = connection.client(&usual, &must);
        let producer: ThreadedProducer<Voice> = config.create_with_context(voice.clone())?;
        producer.init_transactions(REACH_MAX)?;
        voice.is_reached();
        // Asked after whatever an earlier process had open was committed or aborted.
        let must = [
            ("group.id", id),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
        ];
        let mut config = connection.client(&[], &must);
        config.remove("transactional.id");
        let reader: BaseConsumer<Voice> = config.create_with_context(voice.clone())?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let answer = reader.committed_offsets(asked, REACH_MAX)?;
        let store = format!("{store:016x}");
        let held = answer.find_partition(topic, 0);
        let held = held.filter(|held| held.metadata() == store);
        let cursor = match held.map(|held| held.offset()) {
            Some(Offset::Offset(cursor)) => u64::try_from(cursor).unwrap_or(0),
            _ => 0,
        };
        let group = reader.group_metadata().ok_or(KafkaError::Canceled)?;
        let cursored = Cursored {
            producer,
            group,
            topic: topic.to_owned(),
            store,
            voice: voice.clone(),
        };
        Ok((cursored, cursor))
    }

    /// One transaction: what `send` hands to the producer, and the cursor behind it.
    pub(in crate::edge) fn transact(
        &self,
        next: u64,
        send: impl FnOnce(&ThreadedProducer<Voice>) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        let begun = Instant::now();
        self.voice.take_undelivered();
        self.producer.begin_transaction()?;
        send(&self.producer)?;
        let mut cursor = TopicPartitionList::new();
        let next = i64::try_from(next).unwrap_or(i64::MAX);
        cursor.add_partition_offset(&self.topic, 0, Offset::Offset(next))?;
        if let Some(mut held) = cursor.find_partition(&self.topic, 0) {
            held.set_metadata(&self.store);
        }
        self.producer
            .send_offsets_to_transaction(&cursor, &self.group, STEP_MAX)?;
        wait_until_sent(&self.producer, STEP_MAX);
        self.producer.commit_transaction(STEP_MAX)?;
        self.voice.metrics().committed(begun.elapsed());
        Ok(())
    }

    /// Lets the producer go. What became of an open transaction is known only once the next one has taken over.
    pub(in crate::edge) fn let_go(self) {
        let _ = self.producer.abort_transaction(ABORT_MAX);
    }
}
