//! A member of a consumer group that shares a topic with others. Partitions are given to it and taken away again while
//! others go on (cooperative-sticky), and it is known again by its name when it comes back soon (static membership).
//!
//! Where a partition begins is asked of the group when it is given, and how far it was done is told before it goes. What
//! is done with records is its caller's business: nothing is told to the group by itself.

use super::voice::about_topic;
use super::{Connection, Record, Trouble, Voice};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a question to a broker may take while partitions are given.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What is joined, and as whom.
#[derive(Clone, Debug)]
pub struct Membership {
    /// How brokers are reached.
    pub connection: Connection,
    /// The group.
    pub group: String,
    /// The member's name in it.
    pub instance: String,
    /// The topic.
    pub topic: String,
    /// How many records before its beginning a partition is read from.
    pub history: u32,
}

/// Who holds the partitions that are given. Called while [`Member::next`] is.
pub trait Holder: Send + Sync {
    /// A partition is given. Its records begin here; what comes before is history. Where nobody could say, it begins with
    /// what comes first.
    fn given(&self, partition: i32, begin: Option<i64>);
    /// A partition is taken away: nothing of it is done from now on. Gives the offset before which everything is done.
    fn taken(&self, partition: i32) -> Option<i64>;
    /// What was told to the group may not have arrived.
    fn not_told(&self);
}

/// A member of a group.
pub struct Member {
    consumer: BaseConsumer<Context>,
    topic: String,
}

/// What came.
pub enum Came<'a> {
    /// Nothing in time.
    Nothing,
    /// A record.
    Record(Record<'a>),
    /// The end of a partition.
    End(i32),
}

/// Why a member can't go on.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Expelled {
    problem: String,
}

struct Context {
    membership: Membership,
    voice: Voice,
    holder: Arc<dyn Holder>,
    /// What the brokers do not let this user do, until something comes.
    denied: Mutex<Option<String>>,
}

impl Member {
    /// Joins a group.
    pub fn join(membership: Membership, voice: Voice, holder: Arc<dyn Holder>) -> KafkaResult<Member> {
        let usual = [
            ("session.timeout.ms", "10000"),
            ("queued.max.messages.kbytes", "16384"),
            ("fetch.max.bytes", "16777216"),
            ("fetch.queue.backoff.ms", "10"),
            ("receive.message.max.bytes", "1000000000"),
            ("statistics.interval.ms", "5000"),
            // A topic that is not there yet, and new partitions, are found within this time.
            ("topic.metadata.refresh.interval.ms", "10000"),
        ];
        let must = [
            ("group.id", membership.group.as_str()),
            ("group.instance.id", membership.instance.as_str()),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
            ("allow.auto.create.topics", "false"),
        ];
        let config = membership.connection.client(&usual, &must);
        let topic = membership.topic.clone();
        let consumer: BaseConsumer<Context> = config.create_with_context(Context {
            membership,
            voice,
            holder,
            denied: Mutex::default(),
        })?;
        consumer.subscribe(&[&topic])?;
        Ok(Member { consumer, topic })
    }

    /// Waits for what comes next. Has to be called every few minutes at least, also when nothing is wanted: partitions
    /// are given and taken meanwhile.
    pub fn next(&self, within: Duration) -> Result<Came<'_>, Expelled> {
        let context = self.consumer.context();
        match self.consumer.poll(within) {
            None => Ok(Came::Nothing),
            Some(Ok(message)) => {
                context.denied().take();
                Ok(Came::Record(Record::new(message)))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                context.denied().take();
                Ok(Came::End(partition))
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => Err(context.expelled(code, self.consumer.client())),
            Some(Err(error)) => {
                context.tell(&error);
                Ok(Came::Nothing)
            }
        }
    }

    /// Tells the group how far partitions are done: the offset before which everything is.
    pub fn tell(&self, done: &[(i32, i64)], mode: CommitMode) {
        let context = self.consumer.context();
        if let Err(error) = context.commit(&self.consumer, done, mode) {
            context.not_told(&error);
        }
    }

    /// Nothing more is taken of a partition until it is resumed.
    pub fn pause(&self, partition: i32) {
        // One that was just taken away can't be paused, and need not be.
        let _ = self.of(partition).and_then(|list| self.consumer.pause(&list));
    }

    /// What a partition holds is taken again.
    pub fn resume(&self, partition: i32) {
        let _ = self.of(partition).and_then(|list| self.consumer.resume(&list));
    }

    fn of(&self, partition: i32) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        Ok(list)
    }

    /// The end of a partition, as far as it is known.
    pub fn end(&self, partition: i32) -> Option<i64> {
        self.consumer.context().voice.end(&self.topic, partition)
    }

    /// Looks whether the brokers answer, have the topic, and let this user read it. Gives what is wrong.
    pub fn look(&self, within: Duration) -> Result<(), String> {
        let voice = &self.consumer.context().voice;
        let tell = |trouble: Trouble, topic: &str, problem: String| {
            voice.tell(trouble, topic, &problem);
            Err(problem)
        };
        match self.consumer.fetch_metadata(Some(&self.topic), within) {
            Err(error) => {
                let (trouble, problem) = voice.reason(&error);
                tell(trouble, "", problem)
            }
            Ok(metadata) => {
                voice.is_reached();
                let about = metadata.topics().iter().find(|about| about.name() == self.topic);
                match about.and_then(|about| about.error()).map(RDKafkaErrorCode::from) {
                    None => {
                        let denied = self.consumer.context().denied().clone();
                        if denied.is_none() {
                            voice.is_well(&self.topic);
                        }
                        denied.map_or(Ok(()), Err)
                    }
                    Some(code) => tell(Trouble::of_code(code), &self.topic, about_topic(code, &self.topic)),
                }
            }
        }
    }
}

impl Context {
    fn denied(&self) -> MutexGuard<'_, Option<String>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit(&self, consumer: &BaseConsumer<Context>, done: &[(i32, i64)], mode: CommitMode) -> KafkaResult<()> {
        if done.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in done {
            list.add_partition_offset(&self.membership.topic, *partition, Offset::Offset(*next))?;
        }
        consumer.commit(&list, mode)
    }

    fn not_told(&self, error: &KafkaError) {
        let group = &self.membership.group;
        let problem = format!("how far it has come could not be told to the group `{group}` ({error})");
        self.voice.tell(Trouble::of(error), group, &problem);
        self.holder.not_told();
    }

    fn tell(&self, error: &KafkaError) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        let Membership { topic, group, .. } = &self.membership;
        match Trouble::of_code(code) {
            trouble @ Trouble::Authorization if code == RDKafkaErrorCode::GroupAuthorizationFailed => {
                let problem = format!("the brokers do not let this user use the group `{group}`");
                *self.denied() = Some(problem.clone());
                self.voice.tell(trouble, group, &problem);
            }
            trouble @ Trouble::Authorization => {
                let problem = format!("the brokers do not let this user read the topic `{topic}`");
                *self.denied() = Some(problem.clone());
                self.voice.tell(trouble, topic, &problem);
            }
            trouble @ Trouble::UnknownTopic => self.voice.tell(trouble, topic, &about_topic(code, topic)),
            // The voice has told what else there is.
            _ => tracing::debug!("the group `{group}`: {error}"),
        }
    }

    fn expelled(&self, code: RDKafkaErrorCode, client: &Client<Context>) -> Expelled {
        let Membership { group, instance, .. } = &self.membership;
        let (code, reason) = client.fatal_error().unwrap_or_else(|| (code, code.to_string()));
        let problem = match Trouble::of_code(code) {
            Trouble::Fenced => format!(
                "another instance has joined the group `{group}` as `{instance}`; give each a name of its own \
                 (`kafka: instance`, --instance)"
            ),
            _ => format!("the group `{group}`: {reason}"),
        };
        Expelled { problem }
    }

    /// Lets partitions begin where the group has come to, or history before that.
    fn begin(&self, consumer: &BaseConsumer<Context>, given: &mut TopicPartitionList) {
        let topic = &self.membership.topic;
        let partitions: Vec<i32> = given.elements().iter().map(|element| element.partition()).collect();
        let mut asked = TopicPartitionList::new();
        for partition in &partitions {
            asked.add_partition(topic, *partition);
        }
        let mut committed = consumer.committed_offsets(asked, ANSWER_MAX);
        for partition in partitions {
            let answer = committed.and_then(|committed| {
                let known = committed.find_partition(topic, partition);
                let position = known
                    .and_then(|known| known.offset().to_raw())
                    .filter(|next| *next >= 0);
                let bounds = consumer.fetch_watermarks(topic, partition, ANSWER_MAX)?;
                let (first, begin) = self.place(partition, position, bounds);
                given.set_partition_offset(topic, partition, Offset::Offset(first))?;
                Ok((committed, begin))
            });
            self.voice.metrics().up(topic, partition).set(1);
            self.voice.metrics().rebalances(topic, "given").inc();
            committed = match answer {
                Ok((committed, begin)) => {
                    self.holder.given(partition, Some(begin));
                    Ok(committed)
                }
                // It begins where librdkafka finds the group to be, without history.
                Err(error) => {
                    self.holder.given(partition, None);
                    Err(error)
                }
            };
        }
        if let Err(error) = committed {
            let (trouble, problem) = self.voice.reason(&error);
            self.voice.tell(trouble, topic, &problem);
        }
    }

    /// Where a partition is read from, and where its records begin, by where the group has come to and by the bounds of
    /// its log.
    fn place(&self, partition: i32, position: Option<i64>, (low, high): (i64, i64)) -> (i64, i64) {
        let Membership { topic, history, .. } = &self.membership;
        let name = format!("{topic}/{partition}");
        let begin = match position {
            None => low,
            Some(position) if position < low => {
                let lost = low - position;
                self.voice.metrics().gaps(topic, "retention").inc();
                self.voice.metrics().lost(topic).inc_by(lost as u64);
                let problem = format!(
                    "`{name}` begins at {low}, and the group had come to {position}: {lost} records were deleted before \
                     they were read"
                );
                self.voice.tell(Trouble::Other, &name, &problem);
                low
            }
            Some(position) if position > high => {
                self.voice.metrics().gaps(topic, "other_log").inc();
                let problem = format!(
                    "`{name}` ends at {high}, and the group had come to {position}: the topic was made anew, and is read \
                     from its beginning"
                );
                self.voice.tell(Trouble::Other, &name, &problem);
                low
            }
            Some(position) => position,
        };
        ((begin - i64::from(*history)).max(low), begin)
    }

    /// Gives partitions back.
    fn give_back(&self, consumer: &BaseConsumer<Context>, taken: &TopicPartitionList) {
        let topic = &self.membership.topic;
        // What somebody else has already can't be told any more.
        let is_lost = consumer.assignment_lost();
        let mut done = Vec::new();
        for element in taken.elements() {
            let partition = element.partition();
            let come_to = self.holder.taken(partition);
            done.extend(come_to.map(|next| (partition, next)));
            let event = if is_lost { "lost" } else { "taken" };
            self.voice.metrics().rebalances(topic, event).inc();
            self.voice.metrics().leave(topic, partition);
        }
        if !is_lost && let Err(error) = self.commit(consumer, &done, CommitMode::Sync) {
            self.not_told(&error);
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
        let changed = if why == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.begin(consumer, partitions);
            consumer.incremental_assign(partitions)
        } else {
            self.give_back(consumer, partitions);
            consumer.incremental_unassign(partitions)
        };
        if let Err(error) = changed {
            let group = &self.membership.group;
            let problem = format!("partitions could not be taken over from the group `{group}`: {error}");
            self.voice.tell(Trouble::of(&error), group, &problem);
        }
    }

    fn commit_callback(&self, told: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = told
            && error.rdkafka_error_code() != Some(RDKafkaErrorCode::NoOffset)
        {
            self.not_told(&error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::telemetry::Metrics;

    struct Nobody;

    impl Holder for Nobody {
        fn given(&self, _: i32, _: Option<i64>) {}
        fn taken(&self, _: i32) -> Option<i64> {
            None
        }
        fn not_told(&self) {}
    }

    #[test]
    fn a_partition_begins_where_the_group_is_and_what_is_gone_is_counted() {
        let metrics = Metrics::new().expect("metrics").kafka;
        let context = Context {
            membership: Membership {
                connection: Connection {
                    brokers: "127.0.0.1:1".to_owned(),
                    properties: Vec::new(),
                },
                group: "soc.respond".to_owned(),
                instance: "one".to_owned(),
                topic: "alerts".to_owned(),
                history: 10,
            },
            voice: Voice::new("respond", "soc.respond", metrics.clone()),
            holder: Arc::new(Nobody),
            denied: Mutex::default(),
        };
        for (position, bounds, expected) in [
            (None, (5, 100), (5, 5)),
            (Some(100), (0, 100), (90, 100)),
            (Some(7), (5, 100), (5, 7)),
            (Some(2), (5, 100), (5, 5)),
            (Some(101), (5, 100), (5, 5)),
        ] {
            assert_eq!(
                context.place(0, position, bounds),
                expected,
                "{position:?} in {bounds:?}"
            );
        }
        assert_eq!(metrics.gaps("alerts", "retention").get(), 1);
        assert_eq!(metrics.gaps("alerts", "other_log").get(), 1);
        assert_eq!(metrics.lost("alerts").get(), 3);
    }
}
