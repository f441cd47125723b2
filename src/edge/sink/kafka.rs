//! A topic of Kafka. Alerts and how far the outbox was delivered commit in one transaction, so that a reader with
//! `isolation.level=read_committed` sees each document exactly once, whenever this process is killed. The cursor is an
//! offset that the transaction commits under a group of the sink's own; its metadata names the store whose outbox it
//! counts. Whoever begins with the same `transactional.id` fences off whoever used it before.

use super::{Batch, DocumentForm, Outbox, Sink, SinkFailure, Told};
use crate::edge::bus::{AlertRecord, Connection, Trouble, Voice};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// How long a step of a transaction may take.
const STEP_MAX: Duration = Duration::from_secs(10);
/// How long reaching the brokers may take.
const REACH_MAX: Duration = Duration::from_secs(5);
/// How long an open transaction of a process that is gone holds readers up.
const TRANSACTION_MAX: &str = "30000";

/// A topic that alerts are delivered to.
pub struct KafkaSink {
    connection: Connection,
    topic: String,
    form: DocumentForm,
    voice: Voice,
    open: Option<Open>,
    /// Another process has taken over: this one delivers nothing more.
    fenced: Option<String>,
}

/// A producer whose transactional id is ours.
struct Open {
    producer: ThreadedProducer<Voice>,
    group: ConsumerGroupMetadata,
    /// The metadata of the cursor.
    store: String,
}

impl KafkaSink {
    /// Alerts go to `topic`.
    pub fn new(connection: Connection, topic: &str, form: DocumentForm, voice: Voice) -> KafkaSink {
        KafkaSink {
            connection,
            topic: topic.to_owned(),
            form,
            voice,
            open: None,
            fenced: None,
        }
    }

    /// Takes the transactional id over, and gives the cursor that was committed with it.
    fn take_over(&self, outbox: &Outbox) -> Result<(Open, u64), KafkaError> {
        let id = match self.connection.property("transactional.id") {
            Some(id) => id.to_owned(),
            None => format!("stakeout-{:016x}-{}", outbox.store, self.topic),
        };
        let usual = [
            ("linger.ms", "5"),
            ("compression.type", "zstd"),
            ("transaction.timeout.ms", TRANSACTION_MAX),
            ("message.timeout.ms", "10000"),
        ];
        let must = [("transactional.id", id.as_str()), ("enable.idempotence", "true")];
        let config = self.connection.client(&usual, &must);
        let producer: ThreadedProducer<Voice> = config.create_with_context(self.voice.clone())?;
        producer.init_transactions(REACH_MAX)?;
        self.voice.is_reached();
        // Asked after whatever an earlier process had open was committed or aborted.
        let must = [
            ("group.id", id.as_str()),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
        ];
        let mut config = self.connection.client(&[], &must);
        config.remove("transactional.id");
        let reader: BaseConsumer<Voice> = config.create_with_context(self.voice.clone())?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, 0);
        let answer = reader.committed_offsets(asked, REACH_MAX)?;
        let store = format!("{:016x}", outbox.store);
        let held = answer.find_partition(&self.topic, 0);
        let held = held.filter(|held| held.metadata() == store);
        let cursor = match held.map(|held| held.offset()) {
            Some(Offset::Offset(cursor)) => u64::try_from(cursor).unwrap_or(0),
            _ => 0,
        };
        let group = reader.group_metadata().ok_or(KafkaError::Canceled)?;
        let open = Open { producer, group, store };
        Ok((open, cursor))
    }

    /// One transaction: the documents, and the cursor behind them.
    fn transact(&self, open: &Open, batch: &Batch<'_>) -> Result<(), KafkaError> {
        let begun = Instant::now();
        self.voice.take_undelivered();
        open.producer.begin_transaction()?;
        for told in batch.told {
            let alert = AlertRecord::new(told, self.form);
            let record = alert.to(&self.topic);
            open.producer.send(record).map_err(|(error, _)| error)?;
        }
        let mut cursor = TopicPartitionList::new();
        let next = i64::try_from(batch.next).unwrap_or(i64::MAX);
        cursor.add_partition_offset(&self.topic, 0, Offset::Offset(next))?;
        if let Some(mut held) = cursor.find_partition(&self.topic, 0) {
            held.set_metadata(&open.store);
        }
        open.producer
            .send_offsets_to_transaction(&cursor, &open.group, STEP_MAX)?;
        open.producer.commit_transaction(STEP_MAX)?;
        self.voice.metrics().committed(begun.elapsed());
        Ok(())
    }

    /// What went wrong, as the sink's thread understands it. The producer is let go: what became of an open transaction
    /// is known only once the next one has taken over.
    fn failure(&mut self, error: &KafkaError) -> SinkFailure {
        // That a record was not delivered is why a transaction could not be committed.
        let undelivered = self.voice.take_undelivered();
        let is_cause = |error: &&KafkaError| !matches!(Trouble::of(error), Trouble::Other);
        let error = undelivered.iter().find(is_cause).unwrap_or(error);
        let (trouble, problem) = self.voice.reason(error);
        let mut problem = match trouble {
            Trouble::UnknownTopic => format!("there is no topic `{}`", self.topic),
            Trouble::Authorization => {
                format!("the brokers do not allow it: {problem}")
            }
            _ => problem,
        };
        if trouble == Trouble::Fenced {
            problem = format!(
                "another process has taken over the transactional.id; this one delivers nothing more to `{}`",
                self.topic
            );
            self.fenced = Some(problem.clone());
        }
        self.voice.tell(trouble, &self.topic, &problem);
        if let Some(open) = self.open.take() {
            // If it can't be aborted, it is by whoever takes over.
            let _ = open.producer.abort_transaction(Duration::from_secs(2));
        }
        let mut failure = SinkFailure::new(problem);
        failure.refused = !trouble.may_pass();
        failure
    }
}

impl Sink for KafkaSink {
    fn resume(&mut self, outbox: &Outbox) -> Result<u64, SinkFailure> {
        if let Some(problem) = &self.fenced {
            return Err(SinkFailure::new(problem.clone()));
        }
        if self.open.is_some() {
            return Ok(outbox.next);
        }
        let (open, cursor) = self.take_over(outbox).map_err(|error| self.failure(&error))?;
        self.open = Some(open);
        if cursor > outbox.end {
            // The store was put back to an earlier day: its next alerts have other numbers.
            tracing::warn!(
                topic = self.topic,
                cursor,
                outbox = outbox.end,
                "more was delivered than the store knows of, as after restoring a backup; what is told anew is delivered"
            );
            return Ok(outbox.next);
        }
        Ok(cursor.max(outbox.next))
    }

    fn deliver_batch(&mut self, batch: &Batch<'_>) -> Result<(), SinkFailure> {
        let Some(open) = &self.open else {
            return Err(SinkFailure::new("there is no transaction to deliver in"));
        };
        match self.transact(open, batch) {
            Ok(()) => {
                self.voice.is_well(&self.topic);
                Ok(())
            }
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn deliver(&mut self, _: &[Told]) -> Result<(), SinkFailure> {
        Err(SinkFailure::new("alerts are delivered with their numbers"))
    }
}
