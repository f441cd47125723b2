//! One session with the brokers: finds the topics, begins each partition at its place, and reads until something has to
//! be begun anew.

use super::partition::{Halt, Partition};
use super::record::Position;
use super::{KafkaCollector, Over, Places, RecordCheck};
use crate::edge::bus::{DeadLetters, Letter, Trouble, Voice, about_topic};
use crate::edge::collector::{Content, Delivery, Gone, Origin, now};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a question to a broker may take at the beginning of a session.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long a question may take while records are read.
const GLANCE_MAX: Duration = Duration::from_millis(800);
/// How long to wait for the next record.
const IDLE: Duration = Duration::from_millis(20);
/// How long to wait for it where others wait for it too.
const AWAITING: Duration = Duration::from_millis(2);
/// How often positions are told to the group, and lag to who watches.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether the topics are as they were.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Bytes that librdkafka fetches ahead, of all partitions together.
const AHEAD_KBYTES_MAX: usize = 65_536;
/// An answer of a broker may be as large as the largest record that any topic takes: it has to be read to be refused.
const ANSWER_BYTES_MAX: &str = "1000000000";

/// What goes on besides reading.
struct Besides {
    told: Instant,
    looked: Instant,
    /// The topics and their partitions as the session found them.
    found: Vec<(String, usize)>,
}

impl<P: Places, C: RecordCheck> KafkaCollector<P, C> {
    /// Reads until something is over, and lets go of the brokers.
    pub(super) fn session(&mut self, voice: &Voice) -> Over {
        let over = match self.read(voice) {
            Err(over) => over,
            Ok(()) => Over::Stopped,
        };
        if let Over::Wrong(error) = &over {
            let (trouble, problem) = voice.reason(error);
            voice.tell(trouble, "", &problem);
        }
        for partition in self.partitions.values_mut() {
            partition.rewind();
        }
        over
    }

    fn read(&mut self, voice: &Voice) -> Result<(), Over> {
        let consumer = Arc::new(self.consumer(voice)?);
        let found = self.find(&consumer, voice, ANSWER_MAX)?;
        let count: usize = found.iter().map(|(_, count)| count).sum();
        if count > self.sized_for {
            self.sized_for = count;
            return Err(Over::Anew);
        }
        self.begin(&consumer, voice, &found)?;
        let mut besides = Besides {
            told: Instant::now(),
            looked: Instant::now(),
            found,
        };
        while !self.is_stopping() {
            self.serve(&consumer)?;
            let came = self.fill(voice)?;
            let handed = self.hand_on_next(voice)?;
            if !came && !handed {
                let is_awaited = self.partitions.values().any(Partition::is_awaited);
                self.take_one(&consumer, if is_awaited { AWAITING } else { IDLE })?;
                self.give_up_waiting()?;
            }
            self.besides(&consumer, voice, &mut besides)?;
        }
        Ok(())
    }

    fn consumer(&self, voice: &Voice) -> Result<BaseConsumer<Voice>, KafkaError> {
        let ahead = (AHEAD_KBYTES_MAX / self.sized_for.max(1)).clamp(512, 8192).to_string();
        let usual = [
            ("queued.max.messages.kbytes", ahead.as_str()),
            ("fetch.max.bytes", "16777216"),
            ("receive.message.max.bytes", ANSWER_BYTES_MAX),
            // A partition that was full is empty again long before librdkafka's own second is over.
            ("fetch.queue.backoff.ms", "10"),
            ("statistics.interval.ms", "5000"),
        ];
        let must = [
            ("group.id", self.source.group.as_str()),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("allow.auto.create.topics", "false"),
            // Where it goes on is decided here.
            ("auto.offset.reset", "error"),
        ];
        let config = self.source.connection.client(&usual, &must);
        config.create_with_context(voice.clone())
    }

    /// The topics that are there, each with its number of partitions. Those that can't be read are told.
    fn find(
        &mut self,
        consumer: &BaseConsumer<Voice>,
        voice: &Voice,
        within: Duration,
    ) -> Result<Vec<(String, usize)>, Over> {
        let mut found = Vec::new();
        for topic in &self.source.topics {
            let answer = consumer.fetch_metadata(Some(topic), within);
            if answer.is_err() {
                // The reason waits among the events.
                while consumer.poll(Duration::from_millis(10)).is_some() {}
            }
            let metadata = answer?;
            voice.is_reached();
            let Some(about) = metadata.topics().iter().find(|about| about.name() == topic) else {
                continue;
            };
            match about.error().map(RDKafkaErrorCode::from) {
                None => {
                    voice.is_well(topic);
                    found.push((topic.clone(), about.partitions().len()));
                }
                Some(code) => {
                    let problem = about_topic(code, topic);
                    voice.tell(Trouble::of_code(code), topic, &problem);
                }
            }
        }
        Ok(found)
    }

    /// Begins each partition at its place.
    fn begin(
        &mut self,
        consumer: &Arc<BaseConsumer<Voice>>,
        voice: &Voice,
        found: &[(String, usize)],
    ) -> Result<(), Over> {
        for (topic, count) in found {
            self.know(topic, *count);
        }
        let keys: Vec<_> = self.partitions.keys().cloned().collect();
        let mut assigned = TopicPartitionList::new();
        for key in &keys {
            let (topic, number) = key;
            let count = found.iter().find(|(name, _)| name == topic).map(|(_, count)| *count);
            let is_there = usize::try_from(*number).is_ok_and(|number| count.is_some_and(|count| number < count));
            self.metrics.up(topic, *number).set(i64::from(is_there));
            if !is_there {
                self.miss(key, count, voice)?;
                continue;
            }
            let (low, high) = consumer.fetch_watermarks(topic, *number, ANSWER_MAX)?;
            let is_latest = self.source.connection.property("auto.offset.reset") == Some("latest");
            let Some(partition) = self.partitions.get_mut(key) else {
                continue;
            };
            let offset = start(partition, low, high, is_latest, voice);
            assigned.add_partition_offset(topic, *number, Offset::Offset(offset))?;
            if offset >= high {
                partition.at_end = true;
            }
            self.set_behind(key, offset < high)?;
        }
        consumer.assign(&assigned)?;
        for partition in self.partitions.values_mut() {
            let is_assigned = assigned.find_partition(&partition.topic, partition.number).is_some();
            if is_assigned && !partition.stopped {
                partition.queue = consumer.split_partition_queue(&partition.topic, partition.number);
            }
        }
        Ok(())
    }

    /// Makes partitions that were not known before.
    fn know(&mut self, topic: &str, count: usize) {
        for number in 0..i32::try_from(count).unwrap_or(i32::MAX) {
            let key = (topic.to_owned(), number);
            if self.partitions.contains_key(&key) {
                continue;
            }
            let name = format!("{}{number}", self.prefix(topic));
            if let Some(input) = self.places.number(&name) {
                self.partitions.insert(key, Partition::new(topic, number, input, None));
            }
        }
    }

    /// A partition of which something was read is not there.
    fn miss(&mut self, key: &(String, i32), count: Option<usize>, voice: &Voice) -> Result<(), Gone> {
        if let (Some(count), Some(partition)) = (count, self.partitions.get_mut(key))
            && !partition.is_missed
        {
            partition.is_missed = true;
            self.metrics.gaps(&key.0, "fewer_partitions").inc();
            let problem = format!(
                "`{}` has {count} partitions, and of partition {} a position is known: the topic was made anew with \
                 fewer, and what was not read of the old one is lost",
                key.0, key.1
            );
            voice.tell(Trouble::Other, &key.0, &problem);
        }
        self.set_behind(key, false)
    }

    /// Takes what came by the queue of all.
    fn serve(&mut self, consumer: &BaseConsumer<Voice>) -> Result<(), Over> {
        while self.take_one(consumer, Duration::ZERO)? {}
        Ok(())
    }

    /// Waits for the next event. Gives whether there was one.
    fn take_one(&mut self, consumer: &BaseConsumer<Voice>, within: Duration) -> Result<bool, Over> {
        match consumer.poll(within) {
            None => Ok(false),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => Err(error.into()),
            // The voice has told it.
            Some(Err(_)) => Ok(true),
            // It was fetched before its partition had a queue of its own, and stands before what is there.
            Some(Ok(message)) => {
                let key = (message.topic().to_owned(), message.partition());
                let Some(partition) = self.partitions.get_mut(&key) else {
                    return Ok(true);
                };
                if !partition.is_next(message.offset()) {
                    return Err(Over::Anew);
                }
                let taken = partition.take(&message, &mut self.check, self.source.tolerance, &self.metrics);
                match taken {
                    Ok(()) => Ok(true),
                    Err(_) => Err(Over::Anew),
                }
            }
        }
    }

    /// Takes what is there of every partition. Gives whether anything came.
    fn fill(&mut self, voice: &Voice) -> Result<bool, Over> {
        let mut came = false;
        let mut blocked = Vec::new();
        for (key, partition) in &mut self.partitions {
            match partition.fill(&mut self.check, self.source.tolerance, &self.metrics) {
                Ok(any) => came |= any,
                Err(Halt::OtherLog) => {
                    other_log(partition, voice, "holds other records than before");
                    return Err(Over::Anew);
                }
                Err(Halt::OutOfRange) => {
                    return Err(Over::Wrong(KafkaError::MessageConsumption(
                        RDKafkaErrorCode::OffsetOutOfRange,
                    )));
                }
                Err(Halt::Error(error)) => {
                    let (trouble, problem) = voice.reason(&error);
                    voice.tell(trouble, &partition.topic, &format!("`{}`: {problem}", partition.name()));
                    self.metrics.up(&partition.topic, partition.number).set(0);
                    partition.queue = None;
                    blocked.push(key.clone());
                }
            }
        }
        for key in blocked {
            self.set_behind(&key, false)?;
        }
        Ok(came)
    }

    /// Hands on the piece whose partition has come least far. Gives whether there was one.
    fn hand_on_next(&mut self, voice: &Voice) -> Result<bool, Over> {
        let ended: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.behind.is_some() && !partition.has_piece())
            .filter(|(_, partition)| partition.at_end || partition.stopped)
            .map(|(key, _)| key.clone())
            .collect();
        for key in ended {
            self.set_behind(&key, false)?;
        }
        if self.partitions.values().any(Partition::is_awaited) {
            return Ok(false);
        }
        let with_piece = self.partitions.values_mut().filter(|partition| partition.has_piece());
        let Some(partition) = with_piece.min_by_key(|partition| partition.time) else {
            return Ok(false);
        };
        let piece = partition.take_piece();
        let (input, position) = (partition.input, partition.position);
        self.collector_metrics.messages(Origin::Kafka).inc_by(piece.records);
        self.deliver_letters(&piece.letters, voice);
        let content = if piece.lines.is_empty() {
            Content::Nothing
        } else {
            Content::Lines(piece.lines)
        };
        self.queue.deliver(Delivery {
            input,
            origin: Origin::Kafka,
            received: now(),
            content,
            position: position.and_then(|position| position.write()),
            receipt: None,
        })?;
        Ok(true)
    }

    fn deliver_letters(&mut self, letters: &[Letter], voice: &Voice) {
        let Some(first) = letters.first() else { return };
        let Some(topic) = &self.source.dead_letters else {
            if self.refused.insert((first.topic.clone(), first.reason)) {
                let (topic, partition, offset) = (&first.topic, first.partition, first.offset);
                let reason = first.reason;
                tracing::warn!(
                    topic,
                    partition,
                    offset,
                    reason,
                    "a record can't be read; it and others like it are left out"
                );
            }
            return;
        };
        if self.letters.is_none() {
            match DeadLetters::open(&self.source.connection, topic, voice.clone()) {
                Ok(opened) => self.letters = Some(opened),
                Err(error) => voice.tell(Trouble::Other, topic, &format!("dead letters: {error}")),
            }
        }
        if let Some(open) = &mut self.letters {
            open.deliver(letters);
        }
    }

    /// Tells positions and lag, and looks whether the topics are as they were.
    fn besides(&mut self, consumer: &BaseConsumer<Voice>, voice: &Voice, besides: &mut Besides) -> Result<(), Over> {
        if besides.told.elapsed() >= TELL_EVERY {
            besides.told = Instant::now();
            self.tell_positions(consumer, voice)?;
        }
        if besides.looked.elapsed() >= LOOK_EVERY {
            besides.looked = Instant::now();
            // Brokers that do not answer now are tried again by librdkafka itself.
            let Ok(found) = self.find(consumer, voice, GLANCE_MAX) else {
                return Ok(());
            };
            let is_blocked = |partition: &Partition| {
                partition.queue.is_none()
                    && !partition.stopped
                    && found.iter().any(|(topic, _)| *topic == partition.topic)
            };
            let is_blocked = self
                .partitions
                .values()
                .any(|partition| is_blocked(partition) && !partition.is_missed);
            if found != besides.found || is_blocked {
                return Err(Over::Anew);
            }
        }
        Ok(())
    }

    /// What is durable, to the group; how much is not taken in yet, to who watches.
    fn tell_positions(&mut self, consumer: &BaseConsumer<Voice>, voice: &Voice) -> Result<(), Over> {
        let mut moved = TopicPartitionList::new();
        for partition in self.partitions.values_mut() {
            let durable = self
                .places
                .position(partition.input)
                .and_then(|bytes| Position::read(&bytes));
            if let Some(durable) = durable
                && durable.next != partition.told
                && partition.queue.is_some()
            {
                partition.told = durable.next;
                moved.add_partition_offset(&partition.topic, partition.number, Offset::Offset(durable.next))?;
            }
            let lag = match (partition.at_end, voice.end(&partition.topic, partition.number)) {
                (true, _) if !partition.has_piece() => Some(0),
                (_, Some(end)) => Some((end - partition.position.map_or(0, |position| position.next)).max(0)),
                _ => None,
            };
            if let Some(lag) = lag {
                self.metrics.lag(&partition.topic, partition.number).set(lag);
            }
        }
        if moved.count() > 0
            && let Err(error) = consumer.commit(&moved, CommitMode::Async)
        {
            let problem = format!("positions could not be told to the group: {error}");
            voice.tell(Trouble::of(&error), "", &problem);
        }
        Ok(())
    }
}

/// Where a partition begins whose log holds `low..high`.
fn start(partition: &mut Partition, low: i64, high: i64, is_latest: bool, voice: &Voice) -> i64 {
    if partition.position.is_some_and(|position| position.next > high) {
        let problem = format!("ends at {high}, in front of the position");
        other_log(partition, voice, &problem);
    }
    let Some(position) = partition.position else {
        return if is_latest && !partition.from_start { high } else { low };
    };
    if position.next < low {
        let (name, lost) = (partition.name(), low - position.next);
        voice.metrics().gaps(&partition.topic, "retention").inc();
        voice.metrics().lost(&partition.topic).inc_by(lost as u64);
        let problem = format!(
            "`{name}` begins at {low}, and its position was {}: {lost} records were deleted before they were read",
            position.next
        );
        voice.tell(Trouble::Other, &name, &problem);
        partition.position = Some(Position {
            next: low,
            anchor: None,
        });
        return low;
    }
    partition.expected = position.anchor.filter(|anchor| anchor.offset >= low);
    partition.expected.map_or(position.next, |anchor| anchor.offset)
}

/// The log of a partition is not the one that was read before: it is read from its beginning.
fn other_log(partition: &mut Partition, voice: &Voice, how: &str) {
    voice.metrics().gaps(&partition.topic, "other_log").inc();
    let name = partition.name();
    let problem = format!("`{name}` {how}: the topic was made anew, and is read from its beginning");
    voice.tell(Trouble::Other, &name, &problem);
    partition.position = None;
    partition.from_start = true;
}
