//! Topics that a site has already, read in a group by any number of `stakeout collect` instances and published to the topic
//! of events: each partition of them is a stream of its own, with an order of its own, whoever reads it.
//!
//! What records led to, and how far they were read, commit in one transaction. What an input has open (halves of events,
//! what is still to be sorted) goes to the topic of state in turn, as a partition's learned state does in `detect`: who
//! takes a partition over loads it, reads the records since again, and publishes nothing of them that was published. Events
//! are numbered for that, all of them, so that the numbers do not hang on detectors.
//!
//! Records bring their time with them, so the same records give the same events wherever they are read. The one thing that
//! the clock decides, that a partition is at rest and what was held back goes out, commits together with the state behind
//! it: it is never decided twice.
//!
//! Topics on other brokers than the section `kafka` names can't be part of its transactions. They are read as `stakeout
//! run` reads them, by this instance alone.

mod raw;
mod restore;

use self::raw::{Parked, Raw};
use self::restore::Restorer;
use super::core::Judging;
use super::kafka::DecoderCheck;
use super::status::Status;
use crate::config::{KafkaCluster, KafkaInput, Tolerance};
use crate::domain::{Mark, Timestamp};
use crate::edge::bus::wire::write_mark;
use crate::edge::bus::{
    Change, CommitFailure, DeadLetters, Group, Letter, Record, Seat, Shelf, Standing, Transactions, Voice,
};
use crate::edge::collector::{Origin, RecordCheck, add_lines, now};
use crate::run::bus::{self, Expulsions};
use crate::run::taking_up::TakingUp;
use anyhow::Context as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Records that are taken until it is looked what else there is to do.
const TOGETHER_MAX: usize = 2000;
/// Records of one partition that are taken in a run.
const RUN_MAX: usize = 64;
/// How long to wait for a record.
const IDLE: Duration = Duration::from_millis(20);
/// Judging goes on for so many times as long as a commit took before the next.
const BETWEEN_COMMITS: u32 = 2;
/// How long a commit that failed is not tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often a commit is tried before what was taken away is given up without it.
const LAST_TRIES: usize = 3;
/// Records for the topic of events that are gathered before a commit at most.
const OUTPUTS_MAX: usize = 20_000;
/// How long an end of the topic of state may be taken for its present one: a state that is looked for from too early a
/// place is found as well.
const END_FOR: Duration = Duration::from_secs(10);

/// What shall judge from now on, for whoever looks next.
type Next = Arc<Mutex<Option<Arc<Judging>>>>;

/// What every input shares its topics as.
pub(super) struct Sharing {
    judging: Arc<Judging>,
    instance: String,
    nexts: Vec<Next>,
}

impl Sharing {
    /// As the instance of this name, or of the one that is configured.
    pub(super) fn new(judging: &Judging, instance: Option<&str>) -> anyhow::Result<Sharing> {
        Ok(Sharing {
            instance: bus::instance(super::cluster(&judging.site.config)?, instance)?,
            judging: Arc::new(judging.clone()),
            nexts: Vec::new(),
        })
    }

    /// What reads this input's topics, where they can be shared: where they stand on the brokers of the cluster.
    pub(super) fn work_of(
        &mut self,
        input: &KafkaInput,
        status: &Arc<Status>,
        ends: &Arc<super::Ends>,
    ) -> anyhow::Result<Option<impl FnOnce() + Send + use<>>> {
        if input.connection.brokers != super::cluster(&self.judging.site.config)?.connection.brokers {
            return Ok(None);
        }
        let next = Next::default();
        self.nexts.push(next.clone());
        let (judging, input, instance) = (self.judging.clone(), input.clone(), self.instance.clone());
        let (status, ends) = (status.clone(), ends.clone());
        Ok(Some(move || {
            let begun = Rekeying::begin(judging, next, input, &instance, &status, ends.flag().clone());
            let ended = begun.and_then(|rekeying| rekeying.map_or(Ok(()), Rekeying::run));
            if let Err(failure) = ended {
                tracing::error!("topics can't be read any more: {failure:#}");
                ends.fail(failure);
            }
        }))
    }

    /// From its next record on, every input is judged by this.
    pub(super) fn judge_by(&self, judging: &Judging) {
        let judging = Arc::new(judging.clone());
        for next in &self.nexts {
            *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(judging.clone());
        }
    }
}

/// One input at work.
pub(super) struct Rekeying {
    next: Next,
    input: KafkaInput,
    cluster: KafkaCluster,
    /// The name of this instance in the group.
    member: String,
    group: Group,
    transactions: Transactions,
    restorer: Restorer,
    taking_up: TakingUp<Raw>,
    held: BTreeMap<Seat, Raw>,
    check: DecoderCheck,
    letters: Option<DeadLetters>,
    refused: Vec<Letter>,
    /// Why records of a topic were left out, told once each.
    told: BTreeSet<(String, &'static str)>,
    /// Where partitions of the topic of state ended, and when that was asked.
    ends: BTreeMap<i32, (i64, Instant)>,
    committed: Instant,
    took: Duration,
    failed: Option<Instant>,
    expulsions: Expulsions,
    voice: Voice,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
}

impl Rekeying {
    /// Prepares an input, as the instance of this name. Waits for brokers.
    pub(super) fn begin(
        judging: Arc<Judging>,
        next: Next,
        input: KafkaInput,
        instance: &str,
        status: &Arc<Status>,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Option<Rekeying>> {
        let cluster = super::cluster(&judging.site.config)?.clone();
        let voice = Voice::new(
            format!("the input `{}`", input.name),
            &input.group,
            status.metrics.kafka.clone(),
        );
        let connection = bus::connection(&input.connection)?;
        let publishing = bus::connection(&cluster.connection)?;
        let member = format!("{instance}.{}", input.name);
        let id = format!("{}.collect.{member}", cluster.group);
        let mut transactions = Transactions::new(publishing.clone(), id, voice.clone());
        let restorer = Restorer {
            judging,
            group: input.group.clone(),
            is_latest: connection.property("auto.offset.reset") == Some("latest"),
            topics: cluster.topics.clone(),
            partitions: cluster.partitions,
            snapshot_every: wait(cluster.snapshot_every),
            shelf: Arc::new(Shelf::open(&publishing, &input.group, voice.clone())?),
            connection: publishing,
            voice: voice.clone(),
        };
        if !begin(&mut transactions, &stop)? {
            return Ok(None);
        }
        let letters = match &input.dead_letters {
            Some(topic) => Some(DeadLetters::open(&connection, &topic.name, voice.clone()).context("dead letters")?),
            None => None,
        };
        let topics: Vec<&str> = input.topics.iter().map(String::as_str).collect();
        let group = Group::join(&connection, &input.group, &member, &topics, voice.clone());
        Ok(Some(Rekeying {
            next,
            cluster,
            member,
            group: group.context("joining the group")?,
            transactions,
            restorer,
            taking_up: TakingUp::new(),
            held: BTreeMap::new(),
            check: DecoderCheck::default(),
            letters,
            refused: Vec::new(),
            told: BTreeSet::new(),
            ends: BTreeMap::new(),
            committed: Instant::now(),
            took: Duration::ZERO,
            failed: None,
            expulsions: Expulsions::default(),
            input,
            voice,
            status: status.clone(),
            stop,
        }))
    }

    /// Works until everything ends.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) && !self.announce()? {
            std::thread::sleep(AGAIN);
        }
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(failure) = self.step() {
                self.expulsions.may_join_again(failure)?;
                self.join_again()?;
            }
        }
        self.end()
    }

    /// Tells every partition of the events which streams there will be: none goes on before the first of each has come,
    /// whichever instance reads it.
    fn announce(&mut self) -> anyhow::Result<bool> {
        let mark = Mark {
            watermark: Timestamp::MIN,
            announced: true,
            ..Mark::default()
        };
        let mut outputs = Vec::new();
        for topic in &self.input.topics {
            // A topic that is not there yet announces itself by its first event.
            let partitions = self.restorer.shelf.partitions(topic).unwrap_or(0);
            for partition in 0..partitions {
                let value = write_mark(&raw::stream(&self.input.group, topic, partition as i32), &mark);
                outputs.extend(raw::to_all(&self.cluster, &value));
            }
        }
        match self.transactions.commit(&self.group, outputs.iter(), &[]) {
            Ok(()) => Ok(true),
            Err(CommitFailure::Aborted { problem }) => {
                tracing::debug!("streams could not be announced, and are again: {problem}");
                Ok(false)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn step(&mut self) -> anyhow::Result<()> {
        self.change()?;
        self.begin_restored()?;
        self.judge_anew()?;
        let is_idle = !self.take_parked();
        self.gather(if is_idle { IDLE } else { Duration::ZERO })?;
        self.rest();
        if self.is_commit_due() {
            self.commit()?;
        }
        Ok(())
    }

    /// Joins again under the same name, with nothing in its hands.
    fn join_again(&mut self) -> anyhow::Result<()> {
        let seats: Vec<Seat> = self.held.keys().chain(self.taking_up.seats()).cloned().collect();
        for seat in seats {
            self.give_up(&seat);
        }
        if !begin(&mut self.transactions, &self.stop)? {
            return Ok(());
        }
        let connection = bus::connection(&self.input.connection)?;
        let topics: Vec<&str> = self.input.topics.iter().map(String::as_str).collect();
        let group = Group::join(
            &connection,
            &self.input.group,
            &self.member,
            &topics,
            self.voice.clone(),
        );
        self.group = group.context("joining the group")?;
        Ok(())
    }

    /// Does what the group has decided.
    fn change(&mut self) -> anyhow::Result<()> {
        while let Some(change) = self.group.change() {
            match change {
                Change::Given(seats) => {
                    for seat in seats {
                        self.voice.metrics().up(&seat.topic, seat.partition).set(0);
                        self.voice.metrics().rebalances(&seat.topic, "given").inc();
                        self.take_up(seat)?;
                    }
                }
                Change::Taken { seats, lost } => {
                    let is_held = seats.iter().any(|seat| self.held.contains_key(seat));
                    for _ in 0..LAST_TRIES {
                        if lost || !is_held || self.commit()? {
                            break;
                        }
                    }
                    for seat in &seats {
                        let how = if lost { "lost" } else { "taken" };
                        self.voice.metrics().rebalances(&seat.topic, how).inc();
                        self.give_up(seat);
                    }
                }
            }
            if let Err(error) = self.group.accept() {
                self.voice.metrics().errors("other").inc();
                tracing::error!(%error, "partitions could not be taken over from the group");
            }
        }
        Ok(())
    }

    fn give_up(&mut self, seat: &Seat) {
        self.taking_up.forget(seat);
        self.held.remove(seat);
        self.voice.metrics().leave(&seat.topic, seat.partition);
        tracing::info!("{}/{} given up", seat.topic, seat.partition);
    }

    /// Begins to take a partition up.
    fn take_up(&mut self, seat: Seat) -> anyhow::Result<()> {
        let restorer = self.restorer.clone();
        self.taking_up
            .start(seat, move |seat, stop| restorer.restore(seat, stop))
    }

    /// Lets partitions go on that were taken up.
    fn begin_restored(&mut self) -> anyhow::Result<()> {
        while let Some((seat, raw)) = self.taking_up.next() {
            if let Err(error) = self.group.begin(&seat, raw.next) {
                tracing::error!(%error, "{}/{} can't begin at {}", seat.topic, seat.partition, raw.next);
                self.take_up(seat)?;
                continue;
            }
            self.voice.metrics().up(&seat.topic, seat.partition).set(1);
            self.held.insert(seat, raw);
        }
        Ok(())
    }

    /// From the next record on, what the site has written anew decides who needs an event. Nothing that an input has open
    /// changes by that.
    fn judge_anew(&mut self) -> anyhow::Result<()> {
        let Some(next) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        for raw in self.held.values_mut() {
            raw.judge_by(&next)?;
        }
        self.restorer.judging = next;
        // Those that are being taken up know the old one.
        let seats: Vec<Seat> = self.taking_up.seats().cloned().collect();
        for seat in seats {
            self.take_up(seat)?;
        }
        Ok(())
    }

    /// Parks what has come until its turn, some of it at once.
    fn gather(&mut self, within: Duration) -> anyhow::Result<()> {
        for taken in 0..TOGETHER_MAX {
            let Some(record) = self.group.next(if taken == 0 { within } else { Duration::ZERO })? else {
                break;
            };
            let seat = Seat {
                topic: record.topic().to_owned(),
                partition: record.partition(),
            };
            let Some(raw) = self.held.get_mut(&seat) else { continue };
            if record.offset() < raw.read || raw.is_stopped {
                continue;
            }
            let (parked, problem) = read(&record, &mut self.check);
            let is_new = record.offset() >= raw.committed;
            if let Some(reason) = problem.filter(|_| is_new) {
                self.voice.metrics().refused(&seat.topic, reason).inc();
                if self.input.tolerance == Tolerance::None {
                    raw.stop_in_front_of(record.offset(), reason);
                    self.voice.metrics().up(&seat.topic, seat.partition).set(0);
                    self.group.pause(&seat);
                    continue;
                }
                self.refused.push(record.letter(reason));
            }
            raw.park(parked);
            if raw.is_full() && !raw.is_paused {
                raw.is_paused = true;
                self.group.pause(&seat);
            }
        }
        Ok(())
    }

    /// Takes what is parked, first of the partition whose events have come least far. Gives whether there was any.
    fn take_parked(&mut self) -> bool {
        let outputs: usize = self.held.values().map(Raw::outputs).sum();
        let mut left = TOGETHER_MAX.min(OUTPUTS_MAX.saturating_sub(outputs));
        let mut taken = 0u64;
        while left > 0 {
            let first = self.held.values_mut().filter(|raw| raw.has_turn());
            let Some(raw) = first.min_by_key(|raw| raw.reached()) else {
                break;
            };
            // Others may have more than it, and it may have some in a moment.
            if !raw.has_parked() {
                break;
            }
            let mut run = 0;
            while run < RUN_MAX.min(left)
                && let Some(parked) = raw.next_parked()
            {
                self.status.collected(Origin::Kafka, &parked.lines);
                raw.take(parked);
                run += 1;
            }
            raw.depart(&self.cluster);
            if raw.is_paused && !raw.is_full() && !raw.is_stopped {
                raw.is_paused = false;
                self.group.resume(&raw.seat);
            }
            left -= run;
            taken += run as u64;
        }
        if taken > 0 {
            self.status.metrics.collectors.messages(Origin::Kafka).inc_by(taken);
            self.status.came(Origin::Kafka);
        }
        taken > 0
    }

    /// Lets partitions rest that have given nothing for a while.
    fn rest(&mut self) {
        for raw in self.held.values_mut() {
            raw.end = self.group.end(&raw.seat);
            raw.rest_if_quiet(now(), &self.cluster);
        }
    }

    fn is_commit_due(&self) -> bool {
        if self.failed.is_some_and(|failed| failed.elapsed() < AGAIN) {
            return false;
        }
        let every = wait(self.cluster.commit_every).max(self.took * BETWEEN_COMMITS);
        let outputs: usize = self.held.values().map(Raw::outputs).sum();
        self.committed.elapsed() >= every || outputs >= OUTPUTS_MAX
    }

    /// Commits what was done. Gives whether that is done; otherwise it is tried again.
    fn commit(&mut self) -> anyhow::Result<bool> {
        self.deliver_letters();
        let mut states = Vec::new();
        let topics = &self.cluster.topics;
        for raw in self.held.values_mut() {
            raw.tell_mark(&self.cluster);
            self.status.decoded(&raw.take_tally());
            if !raw.is_keeping_due() {
                continue;
            }
            let shelf = self.restorer.shelf_of(&raw.seat);
            match end(&mut self.ends, &self.restorer, &shelf) {
                Ok(chunks_at) => {
                    states.extend(raw.keep(&self.restorer.name(&raw.seat), &topics.state, &shelf, chunks_at)?)
                }
                // What a rest has brought to light can't be told without it.
                Err(problem) => {
                    tracing::warn!(
                        "the state of {}/{} is kept later: {problem:#}",
                        raw.seat.topic,
                        raw.seat.partition
                    );
                    self.failed = Some(Instant::now());
                    return Ok(false);
                }
            }
        }
        let standings: Vec<Standing> = self.held.values().filter_map(Raw::standing).collect();
        let outputs = self.held.values().flat_map(|raw| &raw.outputs).chain(&states);
        if standings.is_empty() && self.held.values().all(|raw| raw.outputs.is_empty()) && states.is_empty() {
            self.committed = Instant::now();
            return Ok(true);
        }
        let begun = Instant::now();
        let done = self.transactions.commit(&self.group, outputs, &standings);
        self.committed = Instant::now();
        self.took = begun.elapsed();
        match done {
            Ok(()) => {
                self.failed = None;
                for raw in self.held.values_mut() {
                    raw.settle(self.restorer.snapshot_every);
                    if let Some(end) = raw.end {
                        let lag = self.voice.metrics().lag(&raw.seat.topic, raw.seat.partition);
                        lag.set((end - raw.next).max(0));
                    }
                }
                Ok(true)
            }
            Err(CommitFailure::Aborted { problem }) => {
                // Every rebalance causes some.
                self.voice.metrics().aborted();
                tracing::debug!("a transaction was aborted, and is tried again: {problem}");
                self.failed = Some(Instant::now());
                Ok(false)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn deliver_letters(&mut self) {
        let letters = std::mem::take(&mut self.refused);
        if let Some(open) = &mut self.letters {
            return open.deliver(&letters);
        }
        for letter in letters {
            if self.told.insert((letter.topic.clone(), letter.reason)) {
                let (topic, partition, offset, reason) = (letter.topic, letter.partition, letter.offset, letter.reason);
                tracing::warn!(
                    topic,
                    partition,
                    offset,
                    reason,
                    "a record can't be read; it and others like it are left out"
                );
            }
        }
    }

    /// Commits and keeps everything a last time. Who holds every partition is the last: nobody shall wait for its streams
    /// while no instance is there. Otherwise others go on with them.
    fn end(mut self) -> anyhow::Result<()> {
        let counts = self
            .input
            .topics
            .iter()
            .map(|topic| self.restorer.shelf.partitions(topic).unwrap_or(0));
        let is_last = self.held.len() == counts.sum::<usize>();
        for raw in self.held.values_mut() {
            raw.end(is_last);
        }
        for _ in 0..LAST_TRIES {
            if self.commit()? {
                break;
            }
            std::thread::sleep(AGAIN);
        }
        Ok(())
    }
}

/// A record as it is parked, and why it can't be read where that is so.
fn read(record: &Record<'_>, check: &mut DecoderCheck) -> (Parked, Option<&'static str>) {
    let mut lines = Vec::new();
    let problem = add_lines(record.value(), &mut lines).and_then(|()| {
        let mut lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.try_for_each(|line| check.check(line))
    });
    let parked = Parked {
        offset: record.offset(),
        at: Timestamp::from_nanos(record.millis().unwrap_or(0).saturating_mul(1_000_000)),
        lines,
    };
    (parked, problem.err())
}

/// The end of a partition of the topic of state, or a place before it.
fn end(ends: &mut BTreeMap<i32, (i64, Instant)>, restorer: &Restorer, shelf: &Seat) -> anyhow::Result<i64> {
    match ends.get(&shelf.partition) {
        Some((end, asked)) if asked.elapsed() < END_FOR => Ok(*end),
        _ => {
            let (_, end) = restorer.shelf.bounds(shelf)?;
            ends.insert(shelf.partition, (end, Instant::now()));
            Ok(end)
        }
    }
}

/// Takes the transactional id over as soon as brokers answer. Gives whether that is done before everything ends.
fn begin(transactions: &mut Transactions, stop: &AtomicBool) -> anyhow::Result<bool> {
    while !stop.load(Ordering::Relaxed) {
        match transactions.begin() {
            Ok(()) => return Ok(true),
            Err(CommitFailure::Aborted { problem }) => {
                tracing::error!("topics are not read yet: {problem}");
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(false)
}

fn wait(length: crate::domain::Duration) -> Duration {
    Duration::from_nanos(u64::try_from(length.nanos()).unwrap_or(0))
}
