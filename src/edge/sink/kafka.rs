//! A topic of Kafka. Alerts and how far the outbox was delivered commit in one transaction, so that a reader with
//! `isolation.level=read_committed` sees each document exactly once, whenever this process is killed. The cursor is an
//! offset that the transaction commits under a group of the sink's own; its metadata names the store whose outbox it
//! counts. Whoever begins with the same `transactional.id` fences off whoever used it before.

use super::{Batch, DocumentForm, Outbox, Sink, SinkFailure, Told};
use crate::edge::bus::{AlertRecord, Connection, Cursored, Trouble, Voice};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A topic that alerts are delivered to.
pub struct KafkaSink {
    connection: Connection,
    topic: String,
    form: DocumentForm,
    voice: Voice,
    /// The transactional id, once it is known.
    id: String,
    open: Option<Cursored>,
    /// Another process has taken over: this one delivers nothing more.
    fenced: Option<String>,
}

impl KafkaSink {
    /// Alerts go to `topic`.
    pub fn new(connection: Connection, topic: &str, form: DocumentForm, voice: Voice) -> KafkaSink {
        KafkaSink {
            connection,
            topic: topic.to_owned(),
            form,
            voice,
            id: String::new(),
            open: None,
            fenced: None,
        }
    }

    /// Takes the transactional id over, and gives the cursor that was committed with it.
    fn take_over(&mut self, outbox: &Outbox) -> Result<(Cursored, u64), KafkaError> {
        self.id = match self.connection.property("transactional.id") {
            Some(id) => id.to_owned(),
            None => format!("stakeout-{:016x}-{}", outbox.store, self.topic),
        };
        let voice = self.voice.under(&self.id);
        Cursored::take_over(&self.connection, &self.id, &self.topic, outbox.store, &voice)
    }

    /// One transaction: the documents, and the cursor behind them.
    fn transact(&self, open: &Cursored, batch: &Batch<'_>) -> Result<(), KafkaError> {
        open.transact(batch.next, |producer| {
            for told in batch.told {
                let alert = AlertRecord::new(told, self.form);
                producer.send(alert.to(&self.topic)).map_err(|(error, _)| error)?;
            }
            Ok(())
        })
    }

    /// What went wrong, as the sink's thread understands it. The producer is let go: what became of an open transaction
    /// is known only once the next one has taken over.
    fn failure(&mut self, error: &KafkaError) -> SinkFailure {
        use RDKafkaErrorCode::{GroupAuthorizationFailed, TransactionalIdAuthorizationFailed};
        // That a record was not delivered is why a transaction could not be committed.
        let undelivered = self.voice.take_undelivered();
        let is_cause = |error: &&KafkaError| !matches!(Trouble::of(error), Trouble::Other);
        let error = undelivered.iter().find(is_cause).unwrap_or(error);
        let (trouble, problem) = self.voice.reason(error);
        let mut problem = match trouble {
            Trouble::UnknownTopic => format!("there is no topic `{}`", self.topic),
            Trouble::Authorization => {
                let what = match error.rdkafka_error_code() {
                    Some(TransactionalIdAuthorizationFailed) => format!("use the transactional.id `{}`", self.id),
                    Some(GroupAuthorizationFailed) => format!("use the group `{}`", self.id),
                    _ => format!("write the topic `{}`", self.topic),
                };
                format!("the brokers do not let this user {what}")
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
        // The voice tells under the same name what it hears of the id.
        let about = match error.rdkafka_error_code() {
            Some(TransactionalIdAuthorizationFailed | GroupAuthorizationFailed) => &self.id,
            _ => &self.topic,
        };
        self.voice.tell(trouble, about, &problem);
        if let Some(open) = self.open.take() {
            open.let_go();
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
