//! Topics of Kafka: each partition is an input with an order of its own, whose position is kept by the store with what
//! came of it. All partitions are assigned to this process: what was learned is in its store, so a second member of
//! the group would judge by half of it. The group is told positions after they are durable, for those who watch lag.
//!
//! Partitions are read side by side by the time that their topics give to records, so that none runs ahead of the
//! others. What librdkafka fetches ahead is bounded; while the queue to the core is full nothing more is fetched.
//! At the start, and until its end was seen once, a partition is *behind*: the others' time waits for it.

mod partition;
mod record;
mod session;

use self::partition::Partition;
use self::record::Position;
pub use self::record::add_lines;
use super::{Delivery, Gone, Origin, Places, Queue};
use crate::edge::bus::{Connection, DeadLetters, Voice};
use crate::edge::telemetry::{CollectorMetrics, KafkaMetrics};
use rdkafka::error::KafkaError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the wish to stop is looked at while brokers are left alone.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The shortest and the longest time between two tries to reach the brokers.
const AGAIN_MIN: Duration = Duration::from_millis(500);
const AGAIN_MAX: Duration = Duration::from_secs(15);
/// How long the others wait for a partition of which more is known to be there.
const BEHIND_MAX: Duration = Duration::from_secs(30);

/// What is read, and how.
#[derive(Clone, Debug)]
pub struct KafkaSource {
    /// What positions are kept under.
    pub name: String,
    /// How brokers are reached.
    pub connection: Connection,
    /// The topics.
    pub topics: Vec<String>,
    /// The group that is told positions.
    pub group: String,
    /// What a record that can't be read does.
    pub tolerance: Tolerance,
    /// The topic that such records go to.
    pub dead_letters: Option<String>,
}

/// What a record that can't be read does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// Its partition goes on.
    All,
    /// Its partition stops in front of it.
    None,
}

/// Says whether a record can be read.
pub trait RecordCheck: Send {
    /// Reads a line, given without its end. The error is a word of a closed set.
    fn check(&mut self, line: &[u8]) -> Result<(), &'static str>;
}

/// Reads topics.
pub struct KafkaCollector<P, C> {
    source: KafkaSource,
    places: P,
    check: C,
    queue: Queue,
    metrics: KafkaMetrics,
    collector_metrics: CollectorMetrics,
    stop: Arc<AtomicBool>,
    partitions: BTreeMap<(String, i32), Partition>,
    letters: Option<DeadLetters>,
    /// Why records of a topic were left out, told once each.
    refused: BTreeSet<(String, &'static str)>,
    /// For how many partitions what is fetched ahead is bounded.
    sized_for: usize,
}

/// Why a session with the brokers is over.
enum Over {
    /// There is nothing left to collect for, or it was told to stop.
    Stopped,
    /// Something is to be begun anew at once.
    Anew,
    /// Something is wrong.
    Wrong(KafkaError),
}

impl From<Gone> for Over {
    fn from(Gone: Gone) -> Over {
        Over::Stopped
    }
}

impl From<KafkaError> for Over {
    fn from(error: KafkaError) -> Over {
        Over::Wrong(error)
    }
}

impl<P: Places, C: RecordCheck> KafkaCollector<P, C> {
    /// A collector that hands records to `queue` until `stop` is set.
    pub fn new(
        source: KafkaSource,
        places: P,
        check: C,
        queue: Queue,
        metrics: (KafkaMetrics, CollectorMetrics),
        stop: Arc<AtomicBool>,
    ) -> Self {
        KafkaCollector {
            source,
            places,
            check,
            queue,
            metrics: metrics.0,
            collector_metrics: metrics.1,
            stop,
            partitions: BTreeMap::new(),
            letters: None,
            refused: BTreeSet::new(),
            sized_for: 1,
        }
    }

    /// Reads until it is told to stop, or nobody takes what it reads.
    pub fn run(mut self) {
        if self.take_up().is_err() {
            return;
        }
        let what = format!("the input `{}`", self.source.name);
        let voice = Voice::new(what, &self.source.group, self.metrics.clone());
        let mut again = AGAIN_MIN;
        while !self.is_stopping() {
            let begun = Instant::now();
            match self.session(&voice) {
                Over::Stopped => return,
                Over::Anew => continue,
                Over::Wrong(_) if begun.elapsed() > AGAIN_MAX => again = AGAIN_MIN,
                Over::Wrong(_) => again = (again * 2).min(AGAIN_MAX),
            }
            let asleep = Instant::now();
            while asleep.elapsed() < again && !self.is_stopping() {
                std::thread::sleep(LOOK_EVERY);
                if self.give_up_waiting().is_err() {
                    return;
                }
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn prefix(&self, topic: &str) -> String {
        format!("{}:{topic}/", self.source.name)
    }

    /// Takes up the partitions that are known from an earlier process. Until their ends were seen they are behind.
    fn take_up(&mut self) -> Result<(), Gone> {
        for topic in self.source.topics.clone() {
            let prefix = self.prefix(&topic);
            for (name, input) in self.places.known(&prefix) {
                let Some(number) = name.strip_prefix(&prefix).and_then(|rest| rest.parse().ok()) else {
                    continue;
                };
                let position = self.places.position(input).and_then(|bytes| Position::read(&bytes));
                let partition = Partition::new(&topic, number, input, position);
                self.partitions.insert((topic.clone(), number), partition);
            }
        }
        self.sized_for = self.partitions.len();
        let keys: Vec<_> = self.partitions.keys().cloned().collect();
        for key in keys {
            self.set_behind(&key, true)?;
        }
        Ok(())
    }

    /// Tells the core whether more of a partition is known to be there.
    fn set_behind(&mut self, key: &(String, i32), is_behind: bool) -> Result<(), Gone> {
        let Some(partition) = self.partitions.get_mut(key) else {
            return Ok(());
        };
        if partition.behind.is_some() == is_behind {
            return Ok(());
        }
        partition.behind = is_behind.then(Instant::now);
        let delivery = Delivery::of_behind(partition.input, Origin::Kafka, is_behind);
        self.queue.deliver(delivery)
    }

    /// Lets the others go on without partitions that are behind and give nothing.
    fn give_up_waiting(&mut self) -> Result<(), Gone> {
        let due: Vec<_> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.is_awaited())
            .filter(|(_, partition)| partition.behind.is_some_and(|since| since.elapsed() >= BEHIND_MAX))
            .map(|(key, partition)| (key.clone(), partition.name()))
            .collect();
        for (key, name) in due {
            tracing::warn!("{name} gives nothing though more should be there; the others go on without it");
            self.set_behind(&key, false)?;
        }
        Ok(())
    }
}
