//! Reads the alerts of the partitions that are given to this instance into the outbox, and tells the group how far they
//! are done. When a sink falls behind nothing more is taken, while partitions still come and go.

use super::custody::{Custody, Stand, Taken};
use crate::config::Tolerance;
use crate::edge::bus::{Came, CommitMode, DeadLetters, Expelled, Letter, Member, Record, read_alert};
use crate::edge::store::{Store, StoreFailure};
use crate::edge::telemetry::KafkaMetrics;
use crate::run::service::status::Status;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long to wait for the next record.
const IDLE: Duration = Duration::from_millis(50);
/// Records that are taken together at most.
const TOGETHER_MAX: usize = 256;
/// Alerts that wait for the slowest sink: no more are taken while there are so many.
const WAITING_MAX: u64 = 10_000;
/// Reading goes on when no more than this wait.
const WAITING_LOW: u64 = WAITING_MAX / 2;
/// How often lag is told to who watches.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether the brokers answer and have the topic, and how often while they do not.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long such a question may take.
const GLANCE_MAX: Duration = Duration::from_millis(800);
/// How long a store that can't be written is left alone.
const AGAIN: Duration = Duration::from_secs(1);
/// How often the outbox is freed of what is long delivered.
const TRIM_EVERY: Duration = Duration::from_secs(60);

/// Reads alerts.
pub(super) struct Reader {
    pub(super) member: Member,
    pub(super) custody: Arc<Custody>,
    pub(super) store: Arc<Store>,
    pub(super) status: Arc<Status>,
    pub(super) topic: String,
    pub(super) tolerance: Tolerance,
    pub(super) letters: DeadLetters,
    pub(super) commit_every: Duration,
    pub(super) stop: Arc<AtomicBool>,
}

/// What a reader remembers.
struct Reading {
    /// Alerts that are not in the outbox yet.
    taken: Vec<Taken>,
    refused: Vec<Letter>,
    /// Partitions by their tenure, and whether they are paused.
    paused: BTreeMap<i32, (u64, bool)>,
    /// A sink is behind.
    is_full: bool,
    /// The store could not be written then.
    failed: Option<Instant>,
    committed: Instant,
    told: Instant,
    trimmed: Instant,
    looked: Option<Instant>,
    is_well: bool,
}

impl Reader {
    /// Reads until it is told to stop; then the sinks have `drain` for what they were given.
    pub(super) fn run(mut self, drain: Duration) -> Result<(), Expelled> {
        let mut reading = Reading {
            taken: Vec::new(),
            refused: Vec::new(),
            paused: BTreeMap::new(),
            is_full: false,
            failed: None,
            committed: Instant::now(),
            told: Instant::now(),
            trimmed: Instant::now(),
            looked: None,
            is_well: false,
        };
        while !self.stop.load(Ordering::Relaxed) {
            self.take(&mut reading)?;
            self.letters.deliver(&std::mem::take(&mut reading.refused));
            self.put(&mut reading);
            self.pace(&mut reading);
            self.besides(&mut reading);
        }
        self.put(&mut reading);
        self.drain(drain);
        Ok(())
    }

    /// Takes what is there.
    fn take(&self, reading: &mut Reading) -> Result<(), Expelled> {
        let mut within = IDLE;
        for _ in 0..TOGETHER_MAX {
            match self.member.next(within)? {
                Came::Nothing => break,
                Came::End(partition) => self.custody.ended(partition),
                Came::Record(record) => {
                    // Where nothing is to be taken of its partition, it comes again.
                    if let Some(stand) = self.custody.take(record.partition(), record.offset()) {
                        self.read(&record, stand, reading);
                    }
                }
            }
            within = Duration::ZERO;
        }
        Ok(())
    }

    fn read(&self, record: &Record<'_>, stand: Stand, reading: &mut Reading) {
        if stand.is_back() {
            let (partition, offset) = (record.partition(), record.offset());
            self.metrics().gaps(&self.topic, "other_log").inc();
            tracing::error!(
                topic = self.topic,
                partition,
                offset,
                "an earlier record comes again: the topic was made anew, and is delivered from its beginning"
            );
        }
        let reason = match read_alert(record.value(), record.headers()) {
            Ok(told) => {
                self.custody.gathered(&stand);
                let told = told.write();
                reading.taken.push(Taken { stand, told });
                return;
            }
            // It was dealt with when it was new.
            Err(_) if stand.is_history() => return,
            Err(reason) => reason,
        };
        self.metrics().refused(&self.topic, reason).inc();
        let (partition, offset) = (record.partition(), record.offset());
        if self.tolerance == Tolerance::None {
            self.custody.stop(&stand);
            self.metrics().up(&self.topic, partition).set(0);
            tracing::error!(
                topic = self.topic,
                partition,
                offset,
                reason,
                "a record is no alert, and errors.tolerance is none: this partition stops in front of it"
            );
            return;
        }
        self.custody.pass(&stand);
        reading.refused.push(record.letter(reason));
    }

    fn metrics(&self) -> &KafkaMetrics {
        &self.status.metrics.kafka
    }

    /// Puts what was taken into the outbox. What can't be put is kept, and nothing more is taken.
    fn put(&self, reading: &mut Reading) {
        if reading.taken.is_empty() || reading.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        let begun = Instant::now();
        match self.custody.put(&mut reading.taken) {
            Ok(()) => {
                reading.failed = None;
                self.status.committed(begun.elapsed());
            }
            Err(failure) => {
                tracing::error!(%failure, "nothing more is read until the store can be written again");
                self.status.store_failed(&failure);
                reading.failed = Some(Instant::now());
            }
        }
    }

    /// Pauses partitions of which nothing more is to be taken now, and resumes the others.
    fn pace(&self, reading: &mut Reading) {
        match self.custody.waiting() {
            Ok(waiting) if waiting >= WAITING_MAX => reading.is_full = true,
            Ok(waiting) if waiting <= WAITING_LOW => reading.is_full = false,
            Ok(_) => {}
            // The sinks have said so too.
            Err(failure) => tracing::debug!(%failure, "how much waits is not known"),
        }
        let is_full = reading.is_full || reading.failed.is_some();
        let mut paused = BTreeMap::new();
        for about in self.custody.about() {
            let wanted = (about.tenure, is_full || about.stopped);
            // librdkafka may remember a pause from an earlier tenure.
            if reading.paused.get(&about.partition) != Some(&wanted) {
                match wanted {
                    (_, true) => self.member.pause(about.partition),
                    (_, false) => self.member.resume(about.partition),
                }
            }
            paused.insert(about.partition, wanted);
        }
        reading.paused = paused;
    }

    fn besides(&self, reading: &mut Reading) {
        if reading.committed.elapsed() >= self.commit_every {
            reading.committed = Instant::now();
            self.tell(CommitMode::Async);
        }
        if reading.told.elapsed() >= TELL_EVERY {
            reading.told = Instant::now();
            self.tell_lag();
        }
        if reading.trimmed.elapsed() >= TRIM_EVERY {
            reading.trimmed = Instant::now();
            if let Err(failure) = self.store.trim() {
                tracing::warn!(%failure, "the outbox could not be freed of what is delivered");
            }
        }
        let every = if reading.is_well { LOOK_EVERY } else { LOOK_AGAIN };
        if reading.looked.is_none_or(|at| at.elapsed() >= every) {
            reading.looked = Some(Instant::now());
            let found = self.member.look(GLANCE_MAX);
            reading.is_well = found.is_ok();
            self.status.brokers(found.err());
        }
    }

    /// Tells the group what is done.
    fn tell(&self, mode: CommitMode) {
        match self.custody.to_tell() {
            Ok(done) => self.member.tell(&done, mode),
            Err(failure) => tracing::warn!(%failure, "what is delivered could not be told to the group"),
        }
    }

    fn tell_lag(&self) {
        for about in self.custody.about() {
            let lag = match (about.is_done, self.member.end(about.partition), about.done) {
                (true, ..) => Some(0),
                (false, Some(end), Some(done)) => Some((end - done).max(0)),
                _ => None,
            };
            if let Some(lag) = lag {
                self.metrics().lag(&self.topic, about.partition).set(lag);
            }
        }
    }

    /// Gives the sinks some time, and tells the group what they have delivered then. The rest is somebody else's.
    fn drain(&self, within: Duration) {
        let begun = Instant::now();
        let waits = |waiting: Result<u64, StoreFailure>| waiting.is_ok_and(|waiting| waiting > 0);
        while begun.elapsed() < within && waits(self.custody.waiting()) {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.tell(CommitMode::Sync);
        self.custody.close();
    }
}
