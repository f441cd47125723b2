//! A member of a consumer group whose partitions carry state: what is given is held back until somebody says from where
//! it goes on, and what is taken away is let go only when its work is committed. Other partitions go on meanwhile
//! (cooperative-sticky), and a member is known again by its name when it comes back soon (static membership).

use super::{Connection, Record, Trouble, Voice};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a member may be silent until its partitions are given to others, and how long a transaction that it left open
/// holds readers up.
pub(super) const SESSION_MAX_MS: &str = "10000";

/// A partition of a topic that a member may hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

/// What the group has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These are ours from now on.
    Given(Vec<Seat>),
    /// These are not ours any more, once that was accepted.
    Taken {
        /// Which.
        seats: Vec<Seat>,
        /// Whether others may hold them already, so that nothing of them can be committed.
        lost: bool,
    },
}

/// Why a member can't go on.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct GroupFailure {
    problem: String,
    is_fenced: bool,
}

impl GroupFailure {
    /// Whether somebody has joined under the same name: another process, or this one again after brokers were away.
    pub fn is_fenced(&self) -> bool {
        self.is_fenced
    }
}

/// A member of a group.
pub struct Group {
    consumer: BaseConsumer<Context>,
    /// What was begun: librdkafka hears of a partition only then, because one that it was told to begin somewhere else
    /// before may go on there.
    begun: RefCell<BTreeSet<Seat>>,
}

struct Context {
    voice: Voice,
    group: String,
    instance: String,
    changes: Mutex<VecDeque<Change>>,
    /// The topics, for messages.
    topics: String,
    /// A partition was asked for records that are not there.
    is_out_of_range: AtomicBool,
    /// The member leaves: nothing waits for anybody any more.
    is_leaving: AtomicBool,
}

impl Group {
    /// Joins a group under a name, for the partitions of these topics.
    pub fn join(
        connection: &Connection,
        group: &str,
        instance: &str,
        topics: &[&str],
        voice: Voice,
    ) -> KafkaResult<Group> {
        let usual = [
            ("session.timeout.ms", SESSION_MAX_MS),
            ("heartbeat.interval.ms", "1000"),
            ("queued.max.messages.kbytes", "65536"),
            ("fetch.max.bytes", "16777216"),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.wait.max.ms", "100"),
            ("receive.message.max.bytes", "1000000000"),
            ("statistics.interval.ms", "1000"),
            ("topic.metadata.refresh.interval.ms", "10000"),
        ];
        let must = [
            ("group.id", group),
            ("group.instance.id", instance),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            // Where a partition begins is said each time; a place that is not there any more is an error.
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
        ];
        let mut config = connection.client(&usual, &must);
        config.remove("transactional.id");
        let consumer: BaseConsumer<Context> = config.create_with_context(Context {
            voice,
            group: group.to_owned(),
            instance: instance.to_owned(),
            changes: Mutex::default(),
            topics: topics.join("`, `"),
            is_out_of_range: AtomicBool::new(false),
            is_leaving: AtomicBool::new(false),
        })?;
        consumer.subscribe(topics)?;
        Ok(Group {
            consumer,
            begun: RefCell::default(),
        })
    }

    /// Waits for the next record. Has to be called every few minutes at least; [`Group::change`] may have something after
    /// it.
    pub fn next(&self, within: Duration) -> Result<Option<Record<'_>>, GroupFailure> {
        let context = self.consumer.context();
        match self.consumer.poll(within) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(Record::new(message))),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let (code, reason) = self.consumer.client().fatal_error().unwrap_or((code, code.to_string()));
                Err(context.expelled(code, &reason))
            }
            Some(Err(error)) => {
                context.tell(&error);
                Ok(None)
            }
        }
    }

    /// Whether a partition was asked for records that are not there any more, since this was asked last: retention has
    /// taken them, or its topic was made anew.
    pub fn take_out_of_range(&self) -> bool {
        self.consumer.context().is_out_of_range.swap(false, Ordering::Relaxed)
    }

    /// The next thing that the group has decided and that was not accepted yet.
    pub fn change(&self) -> Option<Change> {
        self.consumer.context().changes().front().cloned()
    }

    /// Accepts what [`Group::change`] gives: what was given is held back until [`Group::begin`].
    pub fn accept(&self) -> KafkaResult<()> {
        let change = self.consumer.context().changes().pop_front();
        match change {
            None => Ok(()),
            Some(change) => self.settle(&change),
        }
    }

    fn settle(&self, change: &Change) -> KafkaResult<()> {
        match change {
            Change::Given(_) => self.consumer.incremental_assign(&TopicPartitionList::new()),
            Change::Taken { seats, .. } => {
                let mut begun = self.begun.borrow_mut();
                let held: Vec<Seat> = seats.iter().filter(|seat| begun.remove(seat)).cloned().collect();
                self.consumer.incremental_unassign(&list(&held, None)?)
            }
        }
    }

    /// Lets a partition go on with the record at this offset.
    pub fn begin(&self, seat: &Seat, offset: i64) -> KafkaResult<()> {
        let place = list(std::slice::from_ref(seat), Some(Offset::Offset(offset)))?;
        self.consumer.incremental_assign(&place)?;
        self.begun.borrow_mut().insert(seat.clone());
        // It may have been paused when it was ours before.
        self.resume(seat);
        Ok(())
    }

    /// Nothing more comes of a partition that stays ours until it is begun again.
    pub fn hold_back(&self, seat: &Seat) -> KafkaResult<()> {
        if !self.begun.borrow_mut().remove(seat) {
            return Ok(());
        }
        self.consumer
            .incremental_unassign(&list(std::slice::from_ref(seat), None)?)
    }

    /// Nothing more comes of a partition until it is resumed.
    pub fn pause(&self, seat: &Seat) {
        // One that was just taken away can't be paused, and need not be.
        let _ = list(std::slice::from_ref(seat), None).and_then(|list| self.consumer.pause(&list));
    }

    /// A partition goes on where it was paused.
    pub fn resume(&self, seat: &Seat) {
        let _ = list(std::slice::from_ref(seat), None).and_then(|list| self.consumer.resume(&list));
    }

    /// The end of a partition, as far as it is known.
    pub fn end(&self, seat: &Seat) -> Option<i64> {
        self.consumer.context().voice.end(&seat.topic, seat.partition)
    }

    /// What a transaction proves itself a member's with.
    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is taken away while the consumer closes has to be let go at once, or it never closes.
        self.consumer.context().is_leaving.store(true, Ordering::Relaxed);
        let pending: Vec<Change> = self.consumer.context().changes().drain(..).collect();
        for change in pending {
            let settled = self.settle(&change);
            if let Err(error) = settled {
                tracing::debug!(%error, "leaving the group");
            }
        }
    }
}

fn list(seats: &[Seat], offset: Option<Offset>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for seat in seats {
        match offset {
            Some(offset) => list.add_partition_offset(&seat.topic, seat.partition, offset)?,
            None => {
                list.add_partition(&seat.topic, seat.partition);
            }
        }
    }
    Ok(list)
}

impl Context {
    fn changes(&self) -> std::sync::MutexGuard<'_, VecDeque<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
        if let Some(AutoOffsetReset | OffsetOutOfRange) = error.rdkafka_error_code() {
            self.is_out_of_range.store(true, Ordering::Relaxed);
        }
        let (trouble, problem) = self.voice.reason(error);
        let topics = &self.topics;
        let problem = match trouble {
            Trouble::UnknownTopic => format!("one of the topics `{topics}` is not there ({problem})"),
            Trouble::Authorization => format!("the brokers do not let this user read all of `{topics}` ({problem})"),
            _ => problem,
        };
        self.voice.tell(trouble, topics, &problem);
    }

    fn expelled(&self, code: RDKafkaErrorCode, reason: &str) -> GroupFailure {
        let (group, instance) = (&self.group, &self.instance);
        let problem = match Trouble::of_code(code) {
            Trouble::Fenced => format!(
                "another instance has joined the group `{group}` as `{instance}`; give each a name of its own \
                 (`kafka: instance`, --instance)"
            ),
            _ => format!("the group `{group}`: {reason}"),
        };
        GroupFailure {
            problem,
            is_fenced: Trouble::of_code(code) == Trouble::Fenced,
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.voice.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.voice.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.voice.stats(statistics);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Context>, why: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        if self.is_leaving.load(Ordering::Relaxed) {
            // An error means that there is nothing left to let go.
            let _ = match why {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => consumer.incremental_assign(partitions),
                _ => consumer.incremental_unassign(partitions),
            };
            return;
        }
        let elements = partitions.elements();
        let seats = elements.iter().map(|element| Seat {
            topic: element.topic().to_owned(),
            partition: element.partition(),
        });
        let seats = seats.collect();
        let change = if why == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Change::Given(seats)
        } else {
            Change::Taken {
                seats,
                lost: consumer.assignment_lost(),
            }
        };
        self.changes().push_back(change);
    }
}
