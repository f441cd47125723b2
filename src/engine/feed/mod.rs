//! A feed: the records of many live inputs in, alerts out. A pure function of its records, in their order: whatever
//! can change an alert is a record, so that reading a journal again gives the same alerts.
//!
//! Each input decodes, guards and sorts its own records. Events of all inputs are merged by engine time up to the
//! *horizon*: the time that every active input has passed. An input that has been quiet for [`QUIET`] holds nobody up,
//! unless more of it is known to be there ([`Record::Behind`]); when all are quiet and their time is the clock's, time goes on with the clock's ticks, which are records too.

mod record;
mod save;

pub use record::{Opening, Record, RecordProblem};
pub use save::FeedProblem;

use super::decoder::export::ExportDecoder;
use super::decoder::log::{Format, LineDecoder};
use super::decoder::{Output, Tally};
use super::order::{IMPLAUSIBLE_TIME, OrderBuffer, Stamped, TimeGuard};
use super::pipeline::{Departure, Engine};
use crate::domain::{Alert, Datagram, Duration, Event, Mark, Timestamp};
use std::collections::{BTreeMap, BinaryHeap};

/// An input that has given nothing for so long holds nobody up.
pub const QUIET: Duration = Duration::from_seconds(2);
/// Event time that lies this far behind the clock is of the past, and does not go on with the clock.
const PRESENT: Duration = Duration::from_seconds(600);
/// When an input gave something last, while more of it is known to be there: it is never quiet.
const BEHIND: Timestamp = Timestamp::MAX;
/// Events that wait for other inputs. Beyond it the earliest go on without them.
pub const WAITING_MAX: usize = 1 << 17;

/// Live inputs and the engine behind them.
pub struct Feed {
    inputs: BTreeMap<u16, Input>,
    disorder_max: Duration,
    waiting: BinaryHeap<Waiting>,
    /// The latest moment, by the clock, at which a record was received.
    received: Timestamp,
    /// Every event before it has been handed to the engine.
    horizon: Timestamp,
    engine: Engine,
    scratch: Vec<Stamped>,
}

/// One input.
struct Input {
    lines: Option<Lines>,
    exports: Option<ExportDecoder>,
    guard: TimeGuard<Event>,
    order: OrderBuffer,
    tally: Tally,
    received: Timestamp,
    /// The greatest event time that it has reached.
    reached: Timestamp,
}

/// The decoder of an input of lines.
struct Lines {
    opening: Opening,
    decoder: Box<dyn LineDecoder>,
    output: Output,
}

/// An event that waits for other inputs; the earliest is the greatest.
struct Waiting {
    content: u64,
    stamped: Stamped,
}

impl Waiting {
    fn new(mut stamped: Stamped) -> Waiting {
        Waiting {
            content: stamped.content(),
            stamped,
        }
    }

    fn key(&self) -> (Timestamp, u64, u16, u64) {
        let stamped = &self.stamped;
        (stamped.engine_time, self.content, stamped.input, stamped.sequence)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key().cmp(&self.key())
    }
}

impl Lines {
    fn new(opening: Opening) -> Lines {
        Lines {
            opening,
            decoder: opening.format.decoder(opening.context),
            output: Output::default(),
        }
    }
}

impl Feed {
    /// A feed without inputs.
    pub fn new(engine: Engine, disorder_max: Duration) -> Feed {
        Feed {
            inputs: BTreeMap::new(),
            disorder_max,
            waiting: BinaryHeap::new(),
            received: Timestamp::MIN,
            horizon: Timestamp::MIN,
            engine,
            scratch: Vec::new(),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The account of an input's records so far.
    pub fn tally(&self, input: u16) -> Option<&Tally> {
        self.inputs.get(&input).map(|input| &input.tally)
    }

    /// The account of an input's records since this was asked last.
    pub fn take_tally(&mut self, input: u16) -> Tally {
        let input = self.inputs.get_mut(&input);
        input.map_or_else(Tally::default, |input| std::mem::take(&mut input.tally))
    }

    /// The format of an input's lines, once it was opened.
    pub fn format(&self, input: u16) -> Option<Format> {
        let lines = self.inputs.get(&input)?.lines.as_ref()?;
        Some(lines.opening.format)
    }

    /// The numbers of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = u16> {
        self.inputs.keys().copied()
    }

    /// Whether an input gives datagrams.
    pub fn has_datagrams(&self, input: u16) -> bool {
        self.inputs.get(&input).is_some_and(|input| input.exports.is_some())
    }

    /// How far an input's event time has come, and when it last gave something.
    pub fn reached(&self, input: u16) -> Option<(Timestamp, Timestamp)> {
        self.inputs.get(&input).map(|input| (input.reached, input.received))
    }

    /// Events that wait for other inputs.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Every event before this time has been judged.
    pub fn horizon(&self) -> Timestamp {
        self.horizon
    }

    /// Takes the next record.
    pub fn take(&mut self, record: Record, alerts: &mut Vec<Alert>) {
        self.received = self.received.max(record.received());
        match record {
            Record::Opened { input, opening, .. } => {
                let mut rest = std::mem::take(&mut self.scratch);
                let held = self.input(input);
                if held.lines.as_ref().is_none_or(|lines| lines.opening != opening) {
                    // Another format follows: what the decoder before it holds goes on.
                    held.rest(&mut rest);
                    held.lines = Some(Lines::new(opening));
                }
                self.scratch = rest;
            }
            Record::Lines { input, bytes, received } => {
                let held = self.input(input);
                held.came(received);
                held.take_lines(&bytes);
            }
            Record::Events {
                input,
                known_at,
                events,
                received,
            } => {
                let mut sorted = std::mem::take(&mut self.scratch);
                let held = self.input(input);
                held.came(received);
                held.take_events(known_at, events, &mut sorted);
                self.scratch = sorted;
            }
            Record::Behind {
                input,
                received,
                is_behind,
            } => self.input(input).received = if is_behind { BEHIND } else { received },
            Record::Datagrams {
                input,
                datagrams,
                received,
            } => {
                let mut sorted = std::mem::take(&mut self.scratch);
                let held = self.input(input);
                held.came(received);
                held.take_datagrams(received, &datagrams, &mut sorted);
                self.scratch = sorted;
            }
            Record::Tick { .. } => {}
            Record::Resumed { received } => {
                for input in self.inputs.values_mut() {
                    // Whether there is more of it is for the new process to say, which may not collect it any more.
                    input.received = match input.received {
                        BEHIND => received,
                        earlier => earlier.max(received),
                    };
                }
            }
        }
        self.sort();
        self.release(alerts);
    }

    /// What has departed to partitions elsewhere since this was asked last, and what they are told behind it. Nothing where
    /// the partitions are here.
    pub fn departures(&mut self) -> Option<(Vec<Departure>, Mark)> {
        let quiet = !self.is_active();
        let departures = self.engine.departures()?;
        Some((departures.take(), departures.mark(quiet)))
    }

    /// The latest moment, by the clock, at which a record was received.
    pub fn received(&self) -> Timestamp {
        self.received
    }

    /// Whether somebody should wait for an input.
    fn is_active(&self) -> bool {
        let mut inputs = self.inputs.values();
        inputs.any(|input| input.received.plus(QUIET) >= self.received)
    }

    /// Judges what has been handed to the engine so far. How often this is called changes no alert.
    pub fn flush(&mut self, alerts: &mut Vec<Alert>) {
        self.engine.flush(alerts);
    }

    fn input(&mut self, number: u16) -> &mut Input {
        let disorder_max = self.disorder_max;
        self.inputs
            .entry(number)
            .or_insert_with(|| Input::new(number, disorder_max))
    }

    /// Takes from the inputs what is in order, and lets those that are quiet give what they hold back.
    fn sort(&mut self) {
        for input in self.inputs.values_mut() {
            input.follow_clock(self.received, &mut self.scratch);
            if input.received.plus(QUIET) < self.received {
                input.rest(&mut self.scratch);
            }
            input.give(&mut self.scratch);
        }
        self.waiting.extend(self.scratch.drain(..).map(Waiting::new));
    }

    /// Hands to the engine what no active input can come before any more.
    fn release(&mut self, alerts: &mut Vec<Alert>) {
        let active = self
            .inputs
            .values()
            .filter(|input| input.received.plus(QUIET) >= self.received)
            .filter(|input| input.reached > Timestamp::MIN || input.received == BEHIND);
        let slowest = active.map(|input| input.order.watermark()).min();
        let horizon = match slowest {
            Some(slowest) => slowest,
            None => self.quiet_horizon(),
        };
        let is_due = |waiting: &Waiting| waiting.stamped.engine_time < horizon;
        while self.waiting.peek().is_some_and(is_due) || self.waiting.len() > WAITING_MAX {
            let Some(Waiting { mut stamped, .. }) = self.waiting.pop() else {
                break;
            };
            // What comes behind the horizon counts at it, as a late event does.
            stamped.engine_time = stamped.engine_time.max(self.horizon);
            self.horizon = self.horizon.max(stamped.engine_time);
            self.engine.push(stamped, alerts);
        }
        if horizon > self.horizon {
            self.horizon = horizon;
            self.engine.advance(horizon, alerts);
        }
    }

    /// How far time has come when no input is active: as far as the inputs have, or as the clock has, where their time
    /// was the clock's.
    fn quiet_horizon(&self) -> Timestamp {
        let latest = self.inputs.values().max_by_key(|input| input.reached);
        let Some(latest) = latest.filter(|latest| latest.reached > Timestamp::MIN) else {
            return self.horizon;
        };
        let behind = latest.reached.plus(Duration::from_nanos(1));
        if latest.received.since(latest.reached) <= PRESENT {
            behind.max(self.received.minus(QUIET))
        } else {
            behind
        }
    }
}

impl Input {
    fn new(number: u16, disorder_max: Duration) -> Input {
        Input {
            lines: None,
            exports: None,
            guard: TimeGuard::default(),
            order: OrderBuffer::new(number, disorder_max),
            tally: Tally::default(),
            received: Timestamp::MIN,
            reached: Timestamp::MIN,
        }
    }

    /// It has given something.
    fn came(&mut self, received: Timestamp) {
        if self.received != BEHIND {
            self.received = received;
        }
    }

    /// Decodes whole lines.
    fn take_lines(&mut self, bytes: &[u8]) {
        let Some(lines) = &mut self.lines else {
            return;
        };
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                lines.decoder.line(line, &mut lines.output);
            }
        }
    }

    /// Passes decoded events through the guard and the order.
    fn give(&mut self, sorted: &mut Vec<Stamped>) {
        let Some(lines) = &mut self.lines else { return };
        if self.reached > Timestamp::MIN {
            lines.decoder.advance(self.reached, &mut lines.output);
        }
        self.tally.merge(&std::mem::take(&mut lines.output.tally));
        let refused = self.guard.refused();
        let (order, reached) = (&mut self.order, &mut self.reached);
        for event in lines.output.events.drain(..) {
            self.guard.push(event.time(), event, |time, event| {
                *reached = (*reached).max(time);
                order.push(time, event, sorted);
            });
        }
        let refused = self.guard.refused() - refused;
        if refused > 0 {
            *self.tally.refused.entry(IMPLAUSIBLE_TIME).or_default() += refused;
        }
    }

    /// Takes events that are decoded. The input's own time has come to `known_at`.
    fn take_events(&mut self, known_at: Timestamp, events: Vec<(Timestamp, Event)>, sorted: &mut Vec<Stamped>) {
        for (known_at, event) in events {
            self.reached = self.reached.max(event.time());
            self.order.push(known_at, event, sorted);
        }
        self.reached = self.reached.max(known_at);
        self.order.advance(known_at, sorted);
    }

    /// Reads datagrams. Events count as known when the last of them was received.
    fn take_datagrams(&mut self, received: Timestamp, datagrams: &[Datagram], sorted: &mut Vec<Stamped>) {
        let mut output = Output::default();
        let decoder = self.exports.get_or_insert_default();
        for datagram in datagrams {
            decoder.datagram(datagram.from, datagram.received, &datagram.bytes, &mut output);
        }
        self.take_output(received, output, sorted);
    }

    /// The clock has come to `now`: directions of flows that have waited long enough for the other one are known.
    fn follow_clock(&mut self, now: Timestamp, sorted: &mut Vec<Stamped>) {
        let Some(decoder) = &mut self.exports else { return };
        let mut output = Output::default();
        decoder.advance(now, &mut output);
        if !output.events.is_empty() {
            self.came(now);
            self.take_output(now, output, sorted);
        }
    }

    fn take_output(&mut self, known_at: Timestamp, output: Output, sorted: &mut Vec<Stamped>) {
        self.tally.merge(&output.tally);
        let events = output.events.into_iter().map(|event| (known_at, event));
        self.take_events(known_at, events.collect(), sorted);
    }

    /// The input is quiet: what waited for more lines, or for order, goes on.
    fn rest(&mut self, sorted: &mut Vec<Stamped>) {
        if let Some(lines) = &mut self.lines {
            lines.decoder.finish(&mut lines.output);
        }
        self.give(sorted);
        let (order, reached) = (&mut self.order, &mut self.reached);
        self.guard.rest(|time, event| {
            *reached = (*reached).max(time);
            order.push(time, event, sorted);
        });
        if self.reached > Timestamp::MIN {
            let sure = self
                .reached
                .plus(self.order.disorder_max())
                .plus(Duration::from_nanos(1));
            self.order.advance(sure, sorted);
        }
    }
}

/// The formats by the names under which they are journalled.
fn format_named(name: &str) -> Option<Format> {
    Format::ALL.iter().copied().find(|format| format.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Field, Networks};
    use crate::engine::catalog::embedded;
    use crate::engine::program::{EngineBounds, Program};
    use crate::engine::triage::Budget;

    const BEGIN: i64 = 1_780_000_000;

    fn feed() -> Feed {
        let catalog = embedded::catalog().expect("the detectors that are built in have no mistakes");
        let program = Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("not too many");
        let engine = Engine::new(program, Budget::AlertsPerDay(20.0), 1, jiff::tz::TimeZone::UTC);
        Feed::new(engine, Duration::from_millis(500))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(BEGIN + seconds)
    }

    fn behind(input: u16, clock: i64, is_behind: bool) -> Record {
        Record::Behind {
            input,
            received: at(clock),
            is_behind,
        }
    }

    fn event(input: u16, clock: i64, second: i64) -> Record {
        let mut event = Event::new(at(second));
        event.add_str(Field::UserName, "root");
        Record::Events {
            input,
            received: at(clock),
            known_at: at(second),
            events: vec![(at(second), event)],
        }
    }

    /// Another feed that has taken up what this one saves.
    fn again(feed: &mut Feed) -> Feed {
        let mut pieces = Vec::new();
        feed.settle(&mut Vec::new());
        let saved: anyhow::Result<()> = feed.save(|piece| {
            pieces.push(piece.to_vec());
            Ok(())
        });
        saved.expect("a state");
        let mut pieces = pieces.into_iter();
        let first = pieces.next().expect("a first piece");
        let mut other = self::feed();
        let next =
            |piece: &mut Vec<u8>| -> anyhow::Result<bool> { Ok(pieces.next().map(|next| *piece = next).is_some()) };
        other.restore(&first, next).expect("the same state");
        other
    }

    #[test]
    fn time_waits_for_an_input_of_which_more_is_known_to_be_there() {
        let mut feed = feed();
        let mut alerts = Vec::new();
        let mut take = |feed: &mut Feed, record| feed.take(record, &mut alerts);
        take(&mut feed, behind(0, 0, true));
        take(&mut feed, behind(1, 0, true));
        take(&mut feed, event(1, 1, -9000));
        take(&mut feed, event(1, 1, -8990));
        take(&mut feed, Record::Tick { received: at(60) });
        assert_eq!(feed.horizon(), Timestamp::MIN, "input 0 has given nothing");
        take(&mut feed, event(0, 61, -9500));
        for mut feed in [again(&mut feed), feed] {
            take(&mut feed, Record::Tick { received: at(120) });
            assert!(feed.horizon() <= at(-9500), "input 0 may have more");
            assert_eq!(feed.waiting(), 1);
            take(&mut feed, behind(0, 121, false));
            take(&mut feed, Record::Tick { received: at(124) });
            assert!(
                feed.horizon() > at(-9000) && feed.horizon() < at(-8990),
                "input 1 may have more"
            );
            take(&mut feed, behind(1, 125, false));
            take(&mut feed, Record::Tick { received: at(130) });
            assert!(feed.horizon() > at(-8990), "both are at rest");
            assert_eq!(feed.waiting(), 0);
        }
    }

    #[test]
    fn nobody_waits_for_an_input_that_a_new_process_does_not_collect() {
        let mut feed = feed();
        let mut alerts = Vec::new();
        let mut take = |feed: &mut Feed, record| feed.take(record, &mut alerts);
        take(&mut feed, behind(0, 0, true));
        take(&mut feed, event(0, 0, -9500));
        take(&mut feed, event(1, 1, -9000));
        take(&mut feed, Record::Tick { received: at(60) });
        assert_eq!(feed.waiting(), 1);
        take(&mut feed, Record::Resumed { received: at(100) });
        take(&mut feed, Record::Tick { received: at(101) });
        assert_eq!(feed.waiting(), 1, "it may still say that there is more");
        take(&mut feed, Record::Tick { received: at(110) });
        assert_eq!(feed.waiting(), 0);
    }

    /// The two directions of a flow, by [`template`].
    const THERE: [u8; 24] = [
        10, 0, 0, 7, 10, 0, 0, 9, 200, 1, 1, 187, 6, 0, 0, 3, 232, 0, 0, 0, 5, 0, 0, 0,
    ];
    const BACK: [u8; 24] = [
        10, 0, 0, 9, 10, 0, 0, 7, 1, 187, 200, 1, 6, 0, 0, 7, 208, 0, 0, 0, 9, 0, 0, 0,
    ];

    /// Template 256: addresses, ports, protocol, bytes, packets.
    fn template() -> Vec<u8> {
        let shorts = [256u16, 7, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4];
        shorts.into_iter().flat_map(u16::to_be_bytes).collect()
    }

    /// A datagram of NetFlow version 9 with one set of this number.
    fn export(clock: i64, set: u16, content: &[u8]) -> Record {
        let length = content.len() as u16 + 4;
        let seconds = (BEGIN + clock) as u32;
        let head = [0, 9, 0, 1, 0, 0, 0, 9];
        let set = [set.to_be_bytes(), length.to_be_bytes()].concat();
        let rest = [0, 0, 0, 7, 0, 0, 0, 1];
        let bytes = [&head[..], &seconds.to_be_bytes(), &rest, &set, content].concat();
        Record::Datagrams {
            input: 0,
            received: at(clock),
            datagrams: vec![Datagram {
                from: [192, 0, 2, 1].into(),
                received: at(clock),
                bytes,
            }],
        }
    }

    #[test]
    fn templates_and_flows_of_which_one_direction_has_come_are_part_of_the_state() {
        let mut feed = feed();
        let mut alerts = Vec::new();
        feed.take(export(0, 0, &template()), &mut alerts);
        feed.take(export(1, 256, &THERE), &mut alerts);
        let again = again(&mut feed);
        for mut feed in [feed, again] {
            assert_eq!(feed.engine().totals().events, 0, "it waits for the other direction");
            feed.take(export(5, 256, &BACK), &mut alerts);
            feed.take(Record::Tick { received: at(30) }, &mut alerts);
            feed.flush(&mut alerts);
            assert_eq!(feed.engine().totals().events, 1, "both directions are one flow");
            let tally = feed.tally(0).expect("an input");
            assert!(tally.refused.is_empty(), "{tally:?}");
        }
    }

    #[test]
    fn a_direction_that_waits_in_vain_is_told_when_the_clock_goes_on() {
        let (mut feed, mut alerts) = (feed(), Vec::new());
        feed.take(export(0, 0, &template()), &mut alerts);
        feed.take(export(1, 256, &THERE), &mut alerts);
        for (clock, events) in [(10, 0), (12, 0), (20, 1)] {
            feed.take(Record::Tick { received: at(clock) }, &mut alerts);
            feed.flush(&mut alerts);
            assert_eq!(feed.engine().totals().events, events, "after {clock} s");
        }
    }
}
