//! One partition of an engine whose others are elsewhere: records of many streams in, findings and summaries out.
//!
//! A *stream* is what one collecting process publishes: events in the order of engine time, each only to the partitions
//! that need it, and *marks* to all of them. A mark says up to where everything was published, and when there was
//! anything at all, so that a partition knows of the events that are not for it what its own silence means. Streams are
//! merged by engine time up to the time that every active one has passed, as a feed merges its inputs.
//!
//! What an epoch taught comes from all partitions. A shard that needs the summary of an epoch that is not there yet stops
//! in front of that epoch's second successor, and goes on when it has got it.

use super::partitions::{Judged, PAUSE, Partitions, Share};
use crate::domain::{Finding, Mark, Passed, Timestamp};
use crate::engine::order::Stamped;
use crate::engine::partition::Partition;
use crate::engine::population::{EPOCH_SECONDS, EpochSummary, epoch_of};
use crate::engine::program::Program;
use crate::engine::triage::Budget;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Events that wait for other streams. Beyond it the earliest go on without them.
const WAITING_MAX: usize = 1 << 17;
/// Streams that are known at once. What a further one publishes counts as the last one's.
const STREAMS_MAX: usize = 4096;

/// One partition.
pub struct Shard {
    pub(super) partitions: Partitions,
    pub(super) streams: BTreeMap<String, Stream>,
    /// When there were events, as far as time has not passed it.
    pub(super) active: BTreeSet<(Timestamp, Timestamp)>,
    /// Every event before it has been judged.
    pub(super) horizon: Timestamp,
    waiting: usize,
    /// Epochs that ended with events in them and were not told yet.
    ended: Vec<i64>,
}

/// What is known of a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stream {
    watermark: Timestamp,
    is_quiet: bool,
    /// In order.
    pub(super) waiting: VecDeque<Stamped>,
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            watermark: Timestamp::MIN,
            is_quiet: false,
            waiting: VecDeque::new(),
        }
    }
}

impl Shard {
    /// The partition of a share of the key groups, without entities.
    pub fn new(program: Program, budget: Budget, share: Share, zone: jiff::tz::TimeZone) -> Shard {
        Shard {
            partitions: Partitions::of_share(program, budget, share, zone),
            streams: BTreeMap::new(),
            active: BTreeSet::new(),
            horizon: Timestamp::MIN,
            waiting: 0,
            ended: Vec::new(),
        }
    }

    /// What is run.
    pub fn program(&self) -> &Program {
        &self.partitions.program
    }

    /// Which share of the key groups it has.
    pub fn share(&self) -> Share {
        let awaited = self.partitions.awaited.as_ref();
        awaited.map_or(Share { place: 0, of: 1 }, |awaited| awaited.share)
    }

    pub(super) fn take_up_streams(&mut self, streams: BTreeMap<String, Stream>) {
        self.waiting = streams.values().map(|stream| stream.waiting.len()).sum();
        self.streams = streams;
    }

    /// Entities with state.
    pub fn entities(&self) -> usize {
        self.partitions.partitions.iter().map(Partition::entities).sum()
    }

    /// Events that wait for other streams.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Every event before this time has been judged.
    pub fn horizon(&self) -> Timestamp {
        self.horizon
    }

    /// The streams, and how far each has come.
    pub fn streams(&self) -> impl Iterator<Item = (&str, Timestamp, bool)> {
        let streams = self.streams.iter();
        streams.map(|(name, stream)| (name.as_str(), stream.watermark, stream.is_quiet))
    }

    /// Takes the next event of a stream. Gives whether [`Shard::work`] has something to do.
    pub fn event(&mut self, stream: &str, stamped: Stamped) -> bool {
        let stream = self.stream(stream);
        stream.is_quiet = false;
        stream.waiting.push_back(stamped);
        self.waiting += 1;
        self.waiting > WAITING_MAX
    }

    /// Takes the next mark of a stream; [`Shard::work`] comes after it.
    pub fn mark(&mut self, name: &str, mark: Mark) {
        let stream = self.stream(name);
        if mark.announced {
            return;
        }
        stream.watermark = stream.watermark.max(mark.watermark);
        stream.is_quiet = mark.quiet || mark.retired;
        // The last of all stays, because how far time has come stands there.
        if mark.retired && stream.waiting.is_empty() && self.streams.len() > 1 {
            self.streams.remove(name);
        }
        let last = self.partitions.last_event.unwrap_or(Timestamp::MIN);
        let new = mark
            .active
            .into_iter()
            .filter(|(begin, end)| begin <= end && *end > last);
        self.active.extend(new);
    }

    fn stream(&mut self, name: &str) -> &mut Stream {
        let is_full = self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(name);
        let name = match self.streams.keys().next_back().filter(|_| is_full) {
            Some(last) => last.clone(),
            None => name.to_owned(),
        };
        self.streams.entry(name).or_default()
    }

    /// Judges everything whose time has come, as far as the summaries of all partitions are there. Gives the epoch whose
    /// summary is missing, where one is.
    pub fn work(&mut self) -> Result<(), i64> {
        let done = self.go_on();
        // Whatever stops it, what it has passed is judged.
        self.partitions.run_batch();
        done
    }

    fn go_on(&mut self) -> Result<(), i64> {
        loop {
            let horizon = self.merged_horizon();
            let next = self.next_before(horizon);
            let until = next.as_ref().map_or(horizon, |(time, _)| *time);
            self.pass_activity(until)?;
            let Some((time, name)) = next else {
                if horizon > self.horizon {
                    self.step_to(horizon)?;
                    self.horizon = horizon;
                    self.partitions.advance(horizon);
                }
                return Ok(());
            };
            self.step_to(time)?;
            let Some(mut stamped) = self
                .streams
                .get_mut(&name)
                .and_then(|stream| stream.waiting.pop_front())
            else {
                return Ok(());
            };
            self.waiting -= 1;
            // What comes behind the horizon counts at it, as a late event does.
            stamped.engine_time = time;
            self.horizon = self.horizon.max(time);
            self.partitions.push(stamped);
        }
    }

    /// What was found since this was asked last, in order.
    pub fn findings(&mut self) -> impl Iterator<Item = Finding> {
        self.partitions.ready.drain(..).map(|Judged { finding, .. }| finding)
    }

    /// The summaries of epochs that ended since this was asked last.
    pub fn summaries(&mut self) -> Vec<(i64, EpochSummary)> {
        let awaited = self.partitions.awaited.as_mut();
        let summaries = awaited.map_or_else(Vec::new, |awaited| std::mem::take(&mut awaited.summaries));
        self.ended.extend(summaries.iter().map(|(epoch, _)| *epoch));
        summaries
    }

    /// How far it has come. To be asked after [`Shard::findings`] and [`Shard::summaries`].
    pub fn passed(&mut self) -> Passed {
        Passed {
            watermark: self.partitions.now,
            ended: std::mem::take(&mut self.ended),
        }
    }

    /// The epochs that this shard has ended and whose whole summary it has not got yet, in order.
    pub fn awaited(&self) -> impl Iterator<Item = i64> {
        let awaited = self.partitions.awaited.iter();
        awaited.flat_map(|awaited| awaited.epochs.iter().copied())
    }

    /// The epoch in which it judges now.
    pub fn epoch(&self) -> Option<i64> {
        self.partitions.epoch
    }

    /// A summary without anything, for others' summaries to be merged into.
    pub fn blank(&self) -> EpochSummary {
        self.partitions.population.blank()
    }

    /// Takes the summary of all partitions about the first epoch of [`Shard::awaited`].
    pub fn absorb(&mut self, whole: &EpochSummary) {
        if let Some(epoch) = self
            .partitions
            .awaited
            .as_mut()
            .and_then(|awaited| awaited.epochs.pop_front())
        {
            self.partitions.population.absorb(epoch, whole);
        }
    }

    /// The time that every active stream has passed.
    fn merged_horizon(&self) -> Timestamp {
        let active = self.streams.values().filter(|stream| !stream.is_quiet);
        let slowest = active.map(|stream| stream.watermark).min();
        let latest = || self.streams.values().map(|stream| stream.watermark).max();
        slowest.or_else(latest).unwrap_or(Timestamp::MIN).max(self.horizon)
    }

    /// When the earliest event before the horizon counts, and whose it is; any event when too many wait.
    fn next_before(&mut self, horizon: Timestamp) -> Option<(Timestamp, String)> {
        let alone = self.streams.len() == 1;
        let heads = self.streams.iter_mut().filter_map(|(name, stream)| {
            let head = stream.waiting.front_mut()?;
            // What orders events of one time is worked out only where there are several.
            let content = if alone { 0 } else { head.content() };
            Some(((head.engine_time, content, head.input, head.sequence), name))
        });
        let (key, name) = heads.min()?;
        let is_due = key.0 < horizon || self.waiting > WAITING_MAX;
        is_due.then(|| (key.0.max(self.horizon), name.clone()))
    }

    /// Passes what there was of events up to this time, so that pauses and epochs are known as if all had been here.
    fn pass_activity(&mut self, until: Timestamp) -> Result<(), i64> {
        while let Some((begin, end)) = self.active.first().copied() {
            let from = begin.max(self.horizon);
            if from > until || (from == until && end > until) {
                break;
            }
            if self.partitions.last_event.is_some_and(|last| end <= last) {
                self.active.pop_first();
                continue;
            }
            let to = end.min(until).max(from);
            self.partitions.end_pause(from);
            self.step_to(from)?;
            if self.partitions.last_event.is_none_or(|last| last < from) {
                self.partitions.pass(from);
            }
            while let Some(epoch) = self.partitions.epoch.filter(|epoch| *epoch < epoch_of(to)) {
                let next = Timestamp::from_seconds((epoch + 1) * EPOCH_SECONDS);
                // There were events at most [`PAUSE`] before it.
                self.partitions.last_event = Some(next.max(from));
                self.step_to(next)?;
                self.partitions.reach(next);
                self.partitions.epoch_events = 1;
            }
            let last = self.partitions.last_event.map_or(to, |last| last.max(to));
            self.partitions.last_event = Some(last);
            self.active.pop_first();
            if end > to {
                self.active.insert((to, end));
                break;
            }
        }
        Ok(())
    }

    /// Goes over the ends of epochs that lie before `time`, as far as what judges after them is known.
    fn step_to(&mut self, time: Timestamp) -> Result<(), i64> {
        while let Some(epoch) = self.partitions.epoch.filter(|epoch| *epoch < epoch_of(time)) {
            let Some(awaited) = &self.partitions.awaited else { break };
            // What judges in the next epoch was taught up to the one before this one.
            if let Some(missing) = awaited.epochs.front().filter(|missing| **missing < epoch) {
                return Err(*missing);
            }
            let next = Timestamp::from_seconds((epoch + 1) * EPOCH_SECONDS);
            self.partitions.reach(next);
        }
        Ok(())
    }
}

/// The times of events as [`Mark::active`] tells them: runs without a pause.
#[derive(Debug, Default)]
pub(super) struct Activity {
    runs: Vec<(Timestamp, Timestamp)>,
}

impl Activity {
    /// There was an event at this time; times come in order.
    pub(super) fn add(&mut self, time: Timestamp) {
        match self.runs.last_mut() {
            Some((_, end)) if time <= end.plus(PAUSE) => *end = time.max(*end),
            _ => self.runs.push((time, time)),
        }
    }

    /// What there was. The next run goes on from the last event of this one, so that no gap is taken for a pause that
    /// was none.
    pub(super) fn take(&mut self) -> Vec<(Timestamp, Timestamp)> {
        let last = self.runs.last().map(|(_, end)| (*end, *end));
        let runs = std::mem::take(&mut self.runs);
        self.runs.extend(last);
        runs
    }
}
