//! One partition of a topic that a site has already, read here for now: its inputs' state, what it has published, and what
//! waits for its turn.

use super::super::core::Judging;
use crate::config::KafkaCluster;
use crate::domain::{Duration as Length, Mark, Timestamp};
use crate::edge::bus::wire::{VERSION, write_event, write_mark};
use crate::edge::bus::{Kept, Note, Output, Seat, Standing};
use crate::engine::decoder::Tally;
use crate::engine::decoder::log::{Ends, LineContext, detect, year_of_first_line};
use crate::engine::feed::{Feed, Opening, QUIET, Record};
use crate::engine::pipeline::Departure;
use crate::run::service::forward::kinds;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes and records that wait for their turn. Beyond either the partition is paused.
const PARKED_BYTES_MAX: usize = 8 << 20;
const PARKED_MAX: usize = 20_000;
/// How long others wait for one of which more is known to be there, so that none runs far ahead.
const AWAITED_FOR: Duration = Duration::from_millis(500);
/// How long nothing comes until a partition rests, and how often its time goes on with the clock then.
const REST_AFTER: Duration = Duration::from_secs(2);

/// A record that waits for its turn.
pub(super) struct Parked {
    pub(super) offset: i64,
    /// When it was written, as its topic has it.
    pub(super) at: Timestamp,
    /// Its lines; none where it can't be read.
    pub(super) lines: Vec<u8>,
}

/// A partition.
pub(super) struct Raw {
    pub(super) seat: Seat,
    stream: String,
    input: u16,
    feed: Feed,
    kinds: Vec<String>,
    /// How many events came before the first that the feed hands on.
    base: u64,
    /// The greatest time that a record had.
    received: Timestamp,
    /// The offset of the next record that is taken, and of the next that is parked.
    pub(super) next: i64,
    pub(super) read: i64,
    /// Where its log ends, as far as that is known.
    pub(super) end: Option<i64>,
    /// How far it was committed, and how many events there were until there: they were published.
    pub(super) committed: i64,
    committed_found: u64,
    committed_at_all: bool,
    /// What is noted beside its position, and what will be once it is committed.
    note: Note,
    next_note: Note,
    chunks: u32,
    next_chunks: u32,
    keep_at: Instant,
    /// What the clock has decided must not be published without the state behind it.
    must_keep: bool,
    parked: VecDeque<Parked>,
    parked_bytes: usize,
    pub(super) is_paused: bool,
    /// It stands in front of a record that it may not pass.
    pub(super) is_stopped: bool,
    /// When a record was taken last.
    came: Instant,
    rested: Option<Instant>,
    mark: Mark,
    /// What every partition was told last. What it was told by whoever read the partition before goes on.
    told: Mark,
    line: Vec<u8>,
    /// What was not committed yet.
    pub(super) outputs: Vec<Output>,
}

/// The name of a partition's stream.
pub(super) fn stream(group: &str, topic: &str, partition: i32) -> String {
    format!("{group}:{topic}/{partition}")
}

/// A record to every partition of the events.
pub(super) fn to_all(cluster: &KafkaCluster, value: &[u8]) -> impl Iterator<Item = Output> {
    let partitions = i32::try_from(cluster.partitions).unwrap_or(i32::MAX);
    (0..partitions).map(|partition| Output::Record {
        topic: cluster.topics.events.clone(),
        partition,
        key: None,
        value: Some(value.to_vec()),
    })
}

/// Where a partition begins.
pub(super) struct Place {
    /// The offset of its next record.
    pub(super) next: i64,
    /// How many events came before it.
    pub(super) found: u64,
    /// How far it was committed, and how many events there were until there.
    pub(super) committed: i64,
    pub(super) committed_found: u64,
    /// Where its state begins on the topic of state, and how many chunks it has.
    pub(super) chunks_at: Option<i64>,
    pub(super) chunks: u32,
}

impl Raw {
    /// A partition with the state of its inputs, where there is one.
    pub(super) fn new(
        seat: Seat,
        group: &str,
        judging: &Judging,
        place: &Place,
        state: Option<&[u8]>,
        keep_at: Instant,
    ) -> anyhow::Result<Raw> {
        let stream = stream(group, &seat.topic, seat.partition);
        // Evidence names it the same whoever reads it.
        let input = xxh3_64(stream.as_bytes()) as u16;
        let mut feed = judging.feed()?;
        if let Some(state) = state {
            feed.restore_inputs(state)?;
        }
        let note = Note {
            v: VERSION,
            found: place.found,
            snapshot: place.next,
            chunks: place.chunks_at,
        };
        let mark = Mark {
            watermark: Timestamp::MIN,
            ..Mark::default()
        };
        Ok(Raw {
            kinds: kinds(feed.engine().program()),
            received: feed.received(),
            seat,
            stream,
            input,
            feed,
            base: place.found,
            next: place.next,
            read: place.next,
            end: None,
            committed: place.committed,
            committed_found: place.committed_found,
            committed_at_all: false,
            note,
            next_note: note,
            chunks: place.chunks,
            next_chunks: place.chunks,
            keep_at,
            must_keep: false,
            parked: VecDeque::new(),
            parked_bytes: 0,
            is_paused: false,
            is_stopped: false,
            came: Instant::now(),
            rested: None,
            told: mark.clone(),
            mark,
            line: Vec::new(),
            outputs: Vec::new(),
        })
    }

    /// How many records wait to be committed.
    pub(super) fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// How far its events have come.
    pub(super) fn reached(&self) -> Timestamp {
        self.feed
            .reached(self.input)
            .map_or(Timestamp::MIN, |(reached, _)| reached)
    }

    pub(super) fn park(&mut self, parked: Parked) {
        self.read = parked.offset + 1;
        self.parked_bytes += parked.lines.len();
        self.parked.push_back(parked);
    }

    pub(super) fn is_full(&self) -> bool {
        self.parked_bytes >= PARKED_BYTES_MAX || self.parked.len() >= PARKED_MAX
    }

    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    pub(super) fn next_parked(&mut self) -> Option<Parked> {
        let parked = self.parked.pop_front()?;
        self.parked_bytes -= parked.lines.len();
        Some(parked)
    }

    /// Whether it has something, or will in a moment.
    pub(super) fn has_turn(&self) -> bool {
        let is_awaited = || !self.is_stopped && self.end.is_none_or(|end| self.next < end);
        !self.parked.is_empty() || (self.came.elapsed() < AWAITED_FOR && is_awaited())
    }

    /// It goes on to this record and no further.
    pub(super) fn stop_in_front_of(&mut self, offset: i64, reason: &str) {
        self.is_stopped = true;
        let (topic, partition) = (&self.seat.topic, self.seat.partition);
        tracing::error!(
            topic,
            partition,
            offset,
            reason,
            "a record can't be read, and errors.tolerance is none: this partition stops in front of it"
        );
    }

    /// Takes its next record.
    pub(super) fn take(&mut self, parked: Parked) {
        let Parked { offset, at, lines } = parked;
        self.next = offset + 1;
        self.received = self.received.max(at);
        self.came = Instant::now();
        self.rested = None;
        let (input, received) = (self.input, self.received);
        let mut nothing = Vec::new();
        if self.feed.format(input).is_none() {
            let first = lines.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let Some(format) = detect(first) else { return };
            let ends = Ends { first, last: first };
            let context = LineContext {
                year: year_of_first_line(ends, received, 0).unwrap_or(1970),
                offset_minutes: 0,
            };
            let opening = Opening { format, context };
            let opened = Record::Opened {
                input,
                received,
                opening,
            };
            self.feed.take(opened, &mut nothing);
        }
        let record = Record::Lines {
            input,
            received,
            bytes: lines,
        };
        self.feed.take(record, &mut nothing);
    }

    /// Writes the events that have departed. Those that were published already are not written again.
    pub(super) fn depart(&mut self, cluster: &KafkaCluster) {
        let Some((departures, mark)) = self.feed.departures() else {
            return;
        };
        for Departure {
            number,
            mut stamped,
            to,
        } in departures
        {
            if self.base + number < self.committed_found {
                continue;
            }
            let order = stamped.content();
            for (partition, entities) in &to {
                let names = entities.iter().filter_map(|kind| self.kinds.get(usize::from(*kind)));
                let (at, input, sequence) = (stamped.engine_time, stamped.input, stamped.sequence);
                let (names, line) = (names.map(String::as_str), &mut self.line);
                write_event(&self.stream, at, order, input, sequence, names, &stamped.event, line);
                self.outputs.push(Output::Record {
                    topic: cluster.topics.events.clone(),
                    partition: i32::from(*partition),
                    key: None,
                    value: Some(self.line.clone()),
                });
            }
        }
        self.mark.go_on(mark);
    }

    /// The clock decides that nothing more comes for now: what was held back goes out, and time goes on with the clock.
    pub(super) fn rest_if_quiet(&mut self, now: Timestamp, cluster: &KafkaCluster) {
        let is_at_end = self.is_stopped || self.end.is_some_and(|end| self.next >= end);
        let since = self.rested.unwrap_or(self.came);
        if !is_at_end || !self.parked.is_empty() || since.elapsed() < REST_AFTER || self.next < self.committed {
            return;
        }
        // A record's time may be ahead of this clock.
        let received = now.max(self.received.plus(QUIET).plus(Length::from_nanos(1)));
        let (horizon, is_first) = (self.feed.horizon(), self.rested.is_none());
        self.feed.take(Record::Tick { received }, &mut Vec::new());
        self.received = received;
        self.rested = Some(Instant::now());
        self.depart(cluster);
        self.must_keep |= is_first || self.feed.horizon() > horizon;
    }

    /// From now on this decides who needs an event.
    pub(super) fn judge_by(&mut self, judging: &Judging) -> anyhow::Result<()> {
        let state = self.feed.save_inputs()?;
        let mut feed = judging.feed()?;
        feed.restore_inputs(&state)?;
        self.base = self.found();
        self.kinds = kinds(feed.engine().program());
        self.feed = feed;
        // How records are put in order may have changed.
        self.must_keep = self.next >= self.committed;
        Ok(())
    }

    /// Tells every partition how far it has come, if that is news.
    pub(super) fn tell_mark(&mut self, cluster: &KafkaCluster) {
        if self.told == self.mark {
            return;
        }
        let value = write_mark(&self.stream, &self.mark);
        self.outputs.extend(to_all(cluster, &value));
        // The next run goes on from the last event of this one.
        let last = self.mark.active.last().map(|(_, end)| (*end, *end));
        self.mark.active = last.into_iter().collect();
        self.told = self.mark.clone();
    }

    pub(super) fn take_tally(&mut self) -> Tally {
        self.feed.take_tally(self.input)
    }

    /// Whether its state is part of the next commit.
    pub(super) fn is_keeping_due(&self) -> bool {
        let has_moved = self.next > self.note.snapshot || self.note.chunks.is_none();
        self.next >= self.committed && (self.must_keep || (has_moved && self.keep_at <= Instant::now()))
    }

    /// Its state as records, to be committed with its position.
    pub(super) fn keep(
        &mut self,
        name: &str,
        topic: &str,
        shelf: &Seat,
        chunks_at: i64,
    ) -> anyhow::Result<Vec<Output>> {
        let kept = Kept::new(self.feed.save_inputs()?, self.next, self.found());
        self.next_note = Note {
            v: VERSION,
            found: kept.label.found,
            snapshot: self.next,
            chunks: Some(chunks_at),
        };
        self.next_chunks = kept.label.chunks;
        Ok(kept.outputs(name, topic, shelf.partition, self.chunks))
    }

    fn found(&self) -> u64 {
        self.base + self.feed.engine().handed_on()
    }

    /// How far it has come, where that is news.
    pub(super) fn standing(&self) -> Option<Standing> {
        if self.next < self.committed {
            return None;
        }
        let is_old = self.committed_at_all && self.next == self.committed && self.next_note == self.note;
        if is_old && self.outputs.is_empty() {
            return None;
        }
        let note = Note {
            found: self.found().max(self.committed_found),
            ..self.next_note
        };
        Some(Standing {
            seat: self.seat.clone(),
            next: self.next,
            note: serde_json::to_string(&note).unwrap_or_default(),
        })
    }

    /// Everything was committed.
    pub(super) fn settle(&mut self, snapshot_every: Duration) {
        self.outputs.clear();
        if self.next < self.committed {
            return;
        }
        self.committed = self.next;
        self.committed_found = self.found().max(self.committed_found);
        self.committed_at_all = true;
        if self.next_note.snapshot > self.note.snapshot || self.next_note.chunks != self.note.chunks || self.must_keep {
            self.must_keep = false;
            self.keep_at = Instant::now() + snapshot_every;
        }
        self.chunks = self.next_chunks;
        self.next_note.found = self.committed_found;
        self.note = self.next_note;
    }

    /// Everything ends. `is_last` where nobody will go on with it.
    pub(super) fn end(&mut self, is_last: bool) {
        self.must_keep = self.next >= self.committed;
        self.mark.quiet |= is_last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::run::check::Sources;

    const GROUP: &str = "soc";

    fn judging() -> Judging {
        let texts = Sources::default().gather().expect("what is built in");
        let site = texts.site().expect("no mistakes");
        Judging {
            texts,
            site,
            threads: 1,
            elsewhere: Some(4),
        }
    }

    fn cluster() -> KafkaCluster {
        let config = Config::read("s.yml", "kafka: { brokers: 'a:1', partitions: 4 }").expect("no mistakes");
        config.service.kafka.expect("a cluster")
    }

    fn begin(place: &Place, state: Option<&[u8]>) -> Raw {
        let seat = Seat {
            topic: "logins".to_owned(),
            partition: 3,
        };
        Raw::new(seat, GROUP, &judging(), place, state, Instant::now()).expect("a partition")
    }

    fn beginning() -> Place {
        Place {
            next: 0,
            found: 0,
            committed: 0,
            committed_found: 0,
            chunks_at: None,
            chunks: 0,
        }
    }

    /// Logins, out of order within a second, some of which no detector cares for.
    fn record(offset: i64) -> Parked {
        let late = if offset % 3 == 0 { 400 } else { 0 };
        let at = jiff::Timestamp::from_millisecond(1_780_000_000_000 + offset * 250 - late).expect("a time");
        let outcome = if offset % 4 == 0 { "failure" } else { "unknown" };
        let line = format!(
            "{{\"@timestamp\":\"{at}\",\"event\":{{\"category\":\"authentication\",\"outcome\":\"{outcome}\"}},\
             \"user\":{{\"name\":\"user{}\"}},\"source\":{{\"ip\":\"10.0.0.{}\"}}}}\n",
            offset % 5,
            offset % 7
        );
        Parked {
            offset,
            at: Timestamp::from_seconds(1_790_000_000 + offset / 10),
            lines: if offset % 11 == 0 {
                Vec::new()
            } else {
                line.into_bytes()
            },
        }
    }

    fn values(outputs: &[Output]) -> Vec<String> {
        let values = outputs.iter().map(|output| match output {
            Output::Record {
                partition,
                value: Some(value),
                ..
            } => format!("{partition} {}", String::from_utf8_lossy(value)),
            other => panic!("{other:?}"),
        });
        values.collect()
    }

    /// Takes records up to an offset, and gives what they led to.
    fn take(raw: &mut Raw, until: i64) -> Vec<String> {
        while raw.next < until {
            raw.take(record(raw.next));
            raw.depart(&cluster());
        }
        values(&std::mem::take(&mut raw.outputs))
    }

    #[test]
    fn whoever_takes_over_publishes_what_is_left_and_nothing_again() {
        let mut alone = begin(&beginning(), None);
        let expected = take(&mut alone, 120);
        assert!(expected.len() > 40, "{}", expected.len());
        for (kept_at, committed_at) in [(0, 0), (0, 40), (17, 40), (40, 40), (41, 97), (119, 120)] {
            let mut first = begin(&beginning(), None);
            let mut found = take(&mut first, kept_at);
            let (state, count) = (first.feed.save_inputs().expect("bytes"), first.found());
            found.extend(take(&mut first, committed_at));
            let place = Place {
                next: kept_at,
                found: count,
                committed: committed_at,
                committed_found: first.found(),
                chunks_at: Some(0),
                chunks: 1,
            };
            // What it took and did not commit is gone with it.
            take(&mut first, committed_at + 5);
            let mut second = begin(&place, Some(&state));
            found.extend(take(&mut second, 120));
            assert!(found == expected, "kept at {kept_at}, committed at {committed_at}");
            assert_eq!(second.found(), alone.found());
        }
    }

    #[test]
    fn what_a_rest_brings_to_light_goes_with_the_state_behind_it() {
        let now = Timestamp::from_seconds(1_790_000_100);
        let mut raw = begin(&beginning(), None);
        let before = take(&mut raw, 30);
        raw.keep_at = Instant::now() + Duration::from_secs(60);
        raw.note.chunks = Some(0);
        raw.note.snapshot = 30;
        raw.end = Some(30);
        raw.rest_if_quiet(now, &cluster());
        assert!(
            raw.outputs.is_empty() && !raw.is_keeping_due(),
            "it gave something just now"
        );
        raw.came = Instant::now().checked_sub(REST_AFTER).expect("some uptime");
        raw.end = Some(31);
        raw.rest_if_quiet(now, &cluster());
        assert!(raw.outputs.is_empty(), "there is more of it");
        raw.end = Some(30);
        raw.rest_if_quiet(now, &cluster());
        assert!(raw.is_keeping_due() && raw.mark.quiet);
        let rested = values(&std::mem::take(&mut raw.outputs));
        assert!(!rested.is_empty(), "what was held back");
        // Who takes over from the state behind it does not hold it back a second time.
        let place = Place {
            next: 30,
            found: raw.found(),
            committed: 30,
            committed_found: raw.found(),
            chunks_at: Some(0),
            chunks: 1,
        };
        let state = raw.feed.save_inputs().expect("bytes");
        let (one, other) = (take(&mut raw, 60), take(&mut begin(&place, Some(&state)), 60));
        assert!(one == other && !one.is_empty());
        assert!(before.iter().chain(&rested).all(|value| !one.contains(value)));
    }

    #[test]
    fn other_detectors_do_not_change_how_events_are_counted() {
        let mut raw = begin(&beginning(), None);
        take(&mut raw, 30);
        let count = raw.found();
        raw.judge_by(&judging()).expect("the same");
        assert_eq!(raw.found(), count);
        assert!(raw.is_keeping_due(), "its order may be another one now");
        let mut alone = begin(&beginning(), None);
        take(&mut alone, 30);
        assert!(take(&mut raw, 60) == take(&mut alone, 60));
        assert_eq!(raw.found(), alone.found());
    }
}
