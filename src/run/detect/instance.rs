//! One instance at work: one thread that takes records, judges, commits, and gives up what it is told to.

mod places;

use super::Judging;
use super::holding::{Holding, Work};
use super::restore::Restorer;
use crate::config::{ClusterTopics, KafkaCluster, Tolerance};
use crate::domain::Timestamp;
use crate::edge::bus::{
    Broadcast, Change, CommitFailure, DeadLetters, Group, Kept, Letter, Output, Seat, Shelf, Standing, Transactions,
    Voice,
};
use crate::engine::population::Summaries;
use crate::run::bus::{self, Expulsions};
use crate::run::service::status::Status;
use crate::run::taking_up::TakingUp;
use anyhow::Context as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Records that are taken until it is looked what else there is to do.
const TOGETHER_MAX: usize = 2000;
/// How long to wait for a record.
const IDLE: Duration = Duration::from_millis(20);
/// What is to be told waits so long for company.
const URGENT_AFTER: Duration = Duration::from_millis(20);
/// Judging goes on for so many times as long as a commit took before the next.
const BETWEEN_COMMITS: u32 = 2;
/// How long a commit that failed is not tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often a commit is tried before what was taken away is given up without it.
const LAST_TRIES: usize = 3;
/// Outputs that are held until they commit. Beyond it nothing more is taken.
const OUTPUTS_MAX: usize = 100_000;

/// A state that is part of the next commit.
struct Keeping {
    seat: Seat,
    kept: Kept,
    /// Where on the topic of state its chunks begin, or earlier.
    chunks_at: i64,
}

/// The instance.
pub(super) struct Instance {
    judging: Arc<Judging>,
    cluster: KafkaCluster,
    group: Group,
    transactions: Transactions,
    population: Broadcast,
    summaries: Summaries,
    /// What each partition's newest state does not need any more: summaries of epochs before this one, by name.
    needed_from: BTreeMap<String, i64>,
    /// The epochs of which there are summaries, by partition.
    published: BTreeMap<u16, BTreeSet<i64>>,
    letters: DeadLetters,
    voice: Voice,
    status: Arc<Status>,
    restorer: Restorer,
    taking_up: TakingUp<Holding>,
    held: BTreeMap<Seat, Holding>,
    outputs: Vec<(Seat, Output)>,
    keeping: Vec<Keeping>,
    refused: Vec<Letter>,
    committed: Instant,
    /// How long the last commit took.
    took: Duration,
    failed: Option<Instant>,
    expulsions: Expulsions,
    name: String,
    stop: Arc<AtomicBool>,
}

impl Instance {
    /// Joins the group.
    pub(super) fn join(
        judging: Arc<Judging>,
        cluster: KafkaCluster,
        name: &str,
        folder: PathBuf,
        status: &Arc<Status>,
        voice: Voice,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Instance> {
        let connection = bus::connection(&cluster.connection)?;
        let topics = cluster.topics.clone();
        let group = format!("{}.detect", cluster.group);
        let restorer = Restorer {
            judging: judging.clone(),
            connection: connection.clone(),
            group: group.clone(),
            topics: topics.clone(),
            snapshot_every: wait(cluster.snapshot_every),
            folder,
            shelf: Arc::new(Shelf::open(&connection, &group, voice.clone())?),
            voice: voice.clone(),
        };
        let blank = crate::engine::population::Population::new(&judging.program.definitions, judging.budget).blank();
        let summaries = Summaries::new(&judging.program, judging.partitions, blank);
        let population = Broadcast::open(&connection, &topics.population, voice.clone()).context("the population")?;
        let letters = DeadLetters::open(&connection, &topics.dead_letters, voice.clone()).context("dead letters")?;
        let mut transactions = Transactions::new(connection.clone(), format!("{group}.{name}"), voice.clone());
        begin(&mut transactions, status, &stop)?;
        look_at_topics(&restorer.shelf, &cluster)?;
        let wanted = [topics.events.as_str(), topics.findings.as_str()];
        let member = Group::join(&connection, &group, name, &wanted, voice.clone()).context("joining the group")?;
        status.brokers(None);
        Ok(Instance {
            judging,
            cluster,
            group: member,
            transactions,
            population,
            summaries,
            needed_from: BTreeMap::new(),
            published: BTreeMap::new(),
            letters,
            voice,
            status: status.clone(),
            restorer,
            taking_up: TakingUp::new(),
            held: BTreeMap::new(),
            outputs: Vec::new(),
            keeping: Vec::new(),
            refused: Vec::new(),
            committed: Instant::now(),
            took: Duration::ZERO,
            failed: None,
            expulsions: Expulsions::default(),
            name: name.to_owned(),
            stop,
        })
    }

    /// Works until everything ends.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(failure) = self.step() {
                self.expulsions.may_join_again(failure)?;
                self.join_again()?;
            }
        }
        self.end()
    }

    fn step(&mut self) -> anyhow::Result<()> {
        self.change()?;
        self.begin_restored()?;
        self.learn();
        if self.outputs.len() < OUTPUTS_MAX {
            self.take()?;
        } else {
            std::thread::sleep(IDLE);
        }
        if self.group.take_out_of_range() {
            self.look_for_places()?;
        }
        self.keep_one();
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
        let topics = self.topics();
        let wanted = [topics.events.as_str(), topics.findings.as_str()];
        begin(&mut self.transactions, &self.status, &self.stop)?;
        let (connection, group) = (&self.restorer.connection, &self.restorer.group);
        self.group =
            Group::join(connection, group, &self.name, &wanted, self.voice.clone()).context("joining the group")?;
        Ok(())
    }

    fn topics(&self) -> ClusterTopics {
        self.cluster.topics.clone()
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

    /// Nothing more is done for a partition: who holds it next does it again.
    fn give_up(&mut self, seat: &Seat) {
        self.taking_up.forget(seat);
        self.held.remove(seat);
        self.outputs.retain(|(of, _)| of != seat);
        self.keeping.retain(|keeping| keeping.seat != *seat);
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
        while let Some((seat, mut holding)) = self.taking_up.next() {
            if let Err(error) = self.group.begin(&seat, holding.next) {
                tracing::error!(%error, "{}/{} can't begin at {}", seat.topic, seat.partition, holding.next);
                self.take_up(seat)?;
                continue;
            }
            self.voice.metrics().up(&seat.topic, seat.partition).set(1);
            let topics = self.topics();
            holding.go_on(&self.summaries, &self.judging, &topics, &mut self.outputs);
            self.held.insert(seat, holding);
        }
        Ok(())
    }

    /// Takes what other partitions have summed up.
    fn learn(&mut self) {
        let mut learned = false;
        while let Some((key, value)) = self.population.take_next() {
            learned |= self.learn_record(&key, value.as_deref());
        }
        if !learned {
            return;
        }
        let topics = self.topics();
        for (seat, holding) in &mut self.held {
            if holding.is_waiting {
                holding.go_on(&self.summaries, &self.judging, &topics, &mut self.outputs);
            }
            if holding.is_paused && !holding.is_full() {
                holding.is_paused = false;
                self.group.resume(seat);
            }
        }
    }

    fn learn_record(&mut self, key: &[u8], value: Option<&[u8]>) -> bool {
        let Some((first, second)) = std::str::from_utf8(key).ok().and_then(|key| key.split_once('/')) else {
            return false;
        };
        if first == "needed" {
            let epoch = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
            if let Some(epoch) = epoch {
                self.needed_from.insert(second.to_owned(), epoch);
            }
            return false;
        }
        let (Ok(epoch), Ok(partition)) = (first.parse::<i64>(), second.parse::<u16>()) else {
            return false;
        };
        let published = self.published.entry(partition).or_default();
        let Some(value) = value else {
            published.remove(&epoch);
            return false;
        };
        published.insert(epoch);
        match self.summaries.take(epoch, partition, value) {
            Ok(()) => true,
            Err(problem) => {
                tracing::error!(%problem, epoch, partition, "what a partition has summed up can't be read");
                false
            }
        }
    }

    /// Takes records.
    fn take(&mut self) -> anyhow::Result<()> {
        let topics = self.topics();
        for taken in 0..TOGETHER_MAX {
            let within = if taken == 0 { IDLE } else { Duration::ZERO };
            let Some(record) = self.group.next(within)? else { break };
            let seat = Seat {
                topic: record.topic().to_owned(),
                partition: record.partition(),
            };
            let Some(holding) = self.held.get_mut(&seat) else {
                continue;
            };
            if record.offset() < holding.next {
                continue;
            }
            match holding.take(record.offset(), record.value(), &self.judging) {
                Ok(has_work) => {
                    if has_work && !holding.is_waiting {
                        holding.go_on(&self.summaries, &self.judging, &topics, &mut self.outputs);
                    }
                    if holding.is_full() && !holding.is_paused {
                        holding.is_paused = true;
                        self.group.pause(&seat);
                    }
                }
                Err(reason) => {
                    self.voice.metrics().refused(&seat.topic, reason.word()).inc();
                    let offset = record.offset();
                    if self.cluster.tolerance == Tolerance::None {
                        anyhow::bail!(
                            "record {offset} of {}/{} can't be read ({}); with `errors.tolerance: none` nothing goes past it",
                            seat.topic,
                            seat.partition,
                            reason.word()
                        );
                    }
                    self.refused.push(record.letter(reason.word()));
                }
            }
        }
        for holding in self.held.values_mut() {
            if holding.seat.topic == topics.findings {
                holding.go_on(&self.summaries, &self.judging, &topics, &mut self.outputs);
            }
        }
        Ok(())
    }

    fn is_commit_due(&self) -> bool {
        if self.failed.is_some_and(|failed| failed.elapsed() < AGAIN) {
            return false;
        }
        // However slow the brokers are, most of the time goes into judging.
        let since = self.committed.elapsed();
        let rests = self.took * BETWEEN_COMMITS;
        since >= wait(self.cluster.commit_every).max(rests)
            || (since >= URGENT_AFTER.max(rests) && !self.outputs.is_empty())
    }

    /// Commits what was done. Gives whether that is done; otherwise it is tried again.
    fn commit(&mut self) -> anyhow::Result<bool> {
        self.letters.deliver(&self.refused);
        self.refused.clear();
        let topics = self.topics();
        for (seat, holding) in &mut self.held {
            if let Some(output) = holding.tell_passed(&topics) {
                self.outputs.push((seat.clone(), output));
            }
        }
        let states: Vec<Output> = self
            .keeping
            .iter()
            .flat_map(|keeping| self.outputs_of(keeping))
            .collect();
        let standings: Vec<Standing> = self
            .held
            .values()
            .filter_map(|holding| self.standing(holding))
            .collect();
        self.count();
        let is_silent = self.outputs.is_empty() && states.is_empty();
        if is_silent && standings.iter().all(|standing| self.is_committed(standing)) {
            self.committed = Instant::now();
            return Ok(true);
        }
        let begun = Instant::now();
        let outputs = self.outputs.iter().map(|(_, output)| output).chain(&states);
        let done = self.transactions.commit(&self.group, outputs, &standings);
        self.committed = Instant::now();
        self.took = begun.elapsed();
        match done {
            Ok(()) => {
                self.failed = None;
                self.settle(&standings);
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

    /// What is watched.
    fn count(&self) {
        let metrics = self.voice.metrics();
        let waiting = self.held.values().filter(|holding| holding.is_waiting).count();
        metrics
            .waiting_for_population
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
        metrics
            .restoring
            .set(i64::try_from(self.taking_up.seats().len()).unwrap_or(i64::MAX));
        let (mut entities, mut streams) = (0, BTreeMap::<&str, Timestamp>::new());
        for holding in self.held.values() {
            let Work::Shard(shard) = &holding.work else { continue };
            entities += shard.entities();
            for (name, watermark, is_quiet) in shard.streams() {
                // Nobody waits for one that is quiet.
                if !is_quiet {
                    let least = streams.entry(name).or_insert(watermark);
                    *least = watermark.min(*least);
                }
            }
        }
        self.status
            .metrics
            .entities
            .set(i64::try_from(entities).unwrap_or(i64::MAX));
        metrics.streams(
            streams
                .into_iter()
                .map(|(name, watermark)| (name, watermark.nanos() as f64 / 1e9)),
        );
    }

    fn outputs_of(&self, keeping: &Keeping) -> Vec<Output> {
        let topics = &self.cluster.topics;
        let name = Holding::name(&keeping.seat, topics);
        let before = self.held.get(&keeping.seat).map_or(0, |holding| holding.chunks);
        keeping.kept.outputs(
            &name,
            &topics.state,
            self.restorer.shelf_of(&keeping.seat).partition,
            before,
        )
    }

    /// How far a partition has come, with the state that is kept beside it.
    fn standing(&self, holding: &Holding) -> Option<Standing> {
        let mut standing = holding.standing()?;
        if let Some(keeping) = self.keeping.iter().rfind(|keeping| keeping.seat == holding.seat) {
            let mut note: crate::edge::bus::Note = serde_json::from_str(&standing.note).unwrap_or_default();
            note.snapshot = keeping.kept.label.snapshot;
            note.chunks = Some(keeping.chunks_at);
            standing.note = serde_json::to_string(&note).unwrap_or_default();
        }
        Some(standing)
    }

    fn is_committed(&self, standing: &Standing) -> bool {
        let held = self.held.get(&standing.seat);
        held.is_some_and(|holding| holding.committed == standing.next && holding.committed_at_all)
    }

    /// A transaction has committed.
    fn settle(&mut self, standings: &[Standing]) {
        self.outputs.clear();
        for standing in standings {
            if let Some(holding) = self.held.get_mut(&standing.seat) {
                holding.committed = standing.next;
                holding.committed_found = holding.committed_found.max(holding.found);
                holding.committed_at_all = true;
                // Before it is known how far the partition goes, nothing is said.
                if let Some(end) = self.group.end(&standing.seat) {
                    let lag = self.voice.metrics().lag(&standing.seat.topic, standing.seat.partition);
                    lag.set((end - standing.next).max(0));
                }
            }
        }
        for keeping in std::mem::take(&mut self.keeping) {
            if let Some(holding) = self.held.get_mut(&keeping.seat) {
                holding.note.snapshot = keeping.kept.label.snapshot;
                holding.note.chunks = Some(keeping.chunks_at);
                holding.chunks = keeping.kept.label.chunks;
            }
            let name = Holding::name(&keeping.seat, &self.cluster.topics);
            self.restorer.write_copy(&name, &keeping.kept);
        }
    }

    /// Keeps the state of a partition whose turn it is, with the next commit.
    fn keep_one(&mut self) {
        if !self.keeping.is_empty() {
            return;
        }
        let now = Instant::now();
        let due = self.held.values().filter(|holding| {
            let has_moved = holding.next != holding.note.snapshot || holding.note.chunks.is_none();
            holding.keep_at <= now && has_moved && holding.next >= holding.committed
        });
        let Some(seat) = due
            .min_by_key(|holding| holding.keep_at)
            .map(|holding| holding.seat.clone())
        else {
            return;
        };
        self.keep(&seat);
    }

    fn keep(&mut self, seat: &Seat) {
        let every = wait(self.cluster.snapshot_every);
        let shelf = self.restorer.shelf_of(seat);
        let topics = self.topics();
        let Some(holding) = self.held.get_mut(seat) else { return };
        holding.keep_at = Instant::now() + every;
        // What was found goes with it, so that its number is right.
        holding.go_on(&self.summaries, &self.judging, &topics, &mut self.outputs);
        if let Some(output) = holding.tell_passed(&topics) {
            self.outputs.push((seat.clone(), output));
        }
        let kept = match holding.kept() {
            Ok(kept) => kept,
            Err(problem) => {
                tracing::error!(%problem, "the state of {}/{} could not be written", seat.topic, seat.partition);
                self.status.snapshot_failed();
                return;
            }
        };
        let epoch = holding.epoch();
        let chunks_at = match self.restorer.shelf_end(&shelf) {
            Ok(end) => end,
            Err(problem) => {
                tracing::warn!(
                    "the state of {}/{} is kept later: {problem:#}",
                    seat.topic,
                    seat.partition
                );
                return;
            }
        };
        if let Some(epoch) = epoch {
            self.let_go_of_summaries(seat, epoch);
        }
        self.keeping.push(Keeping {
            seat: seat.clone(),
            kept,
            chunks_at,
        });
    }

    /// A state that judges in this epoch needs the summaries from the one before it on. What no state needs any more is
    /// taken off the topic, by who holds the partition that it is of.
    fn let_go_of_summaries(&mut self, seat: &Seat, epoch: i64) {
        let topics = self.topics();
        let name = Holding::name(seat, &topics);
        let needed = epoch - 2;
        let record = |key: String, value: Option<Vec<u8>>| Output::Record {
            topic: topics.population.clone(),
            partition: 0,
            key: Some(key.into_bytes()),
            value,
        };
        let says = record(format!("needed/{name}"), Some(needed.to_string().into_bytes()));
        self.outputs.push((seat.clone(), says));
        let all = usize::from(self.judging.partitions) + 1;
        let Some(oldest) = self
            .needed_from
            .values()
            .min()
            .filter(|_| self.needed_from.len() >= all)
        else {
            return;
        };
        self.summaries.forget_before(*oldest);
        if seat.topic != topics.events {
            return;
        }
        let partition = u16::try_from(seat.partition).unwrap_or(u16::MAX);
        let old = self
            .published
            .get(&partition)
            .into_iter()
            .flat_map(|epochs| epochs.range(..*oldest));
        for epoch in old {
            self.outputs
                .push((seat.clone(), record(format!("{epoch}/{partition}"), None)));
        }
    }

    /// Commits and keeps everything a last time.
    fn end(mut self) -> anyhow::Result<()> {
        let seats: Vec<Seat> = self.held.keys().cloned().collect();
        for seat in seats {
            let is_old = |holding: &Holding| holding.next != holding.note.snapshot && holding.next >= holding.committed;
            if self.held.get(&seat).is_some_and(is_old) {
                self.keep(&seat);
                if !self.commit()? {
                    break;
                }
            }
        }
        self.commit()?;
        Ok(())
    }
}

/// Key groups are dealt out over the partitions by their number: with another one entities would be apart from what was
/// learned of them, and triage would wait for ever for partitions that are not there.
fn look_at_topics(shelf: &Shelf, cluster: &KafkaCluster) -> anyhow::Result<()> {
    let topics = &cluster.topics;
    let partitions = cluster.partitions as usize;
    for (topic, wanted) in [
        (&topics.events, partitions),
        (&topics.state, partitions),
        (&topics.findings, 1),
        (&topics.population, 1),
    ] {
        let found = shelf
            .partitions(topic)
            .with_context(|| format!("looking at the topic `{topic}`"))?;
        anyhow::ensure!(
            found == wanted,
            "the topic `{topic}` has {found} partitions in place of {wanted}; `stakeout topics --create` makes those that are \
             not there, and `stakeout topics --check` tells what to do about the others"
        );
    }
    Ok(())
}

/// Takes the transactional id over, as soon as brokers answer.
fn begin(transactions: &mut Transactions, status: &Status, stop: &AtomicBool) -> anyhow::Result<()> {
    loop {
        match transactions.begin() {
            Ok(()) => {
                status.brokers(None);
                return Ok(());
            }
            Err(CommitFailure::Aborted { problem }) => {
                tracing::error!("detect waits for the brokers: {problem}");
                status.brokers(Some(problem));
                anyhow::ensure!(
                    !stop.load(Ordering::Relaxed),
                    "everything ends before a broker was reached"
                );
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
}

fn wait(length: crate::domain::Duration) -> Duration {
    Duration::from_nanos(u64::try_from(length.nanos()).unwrap_or(0))
}
