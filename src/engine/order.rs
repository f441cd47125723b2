//! Order and time: one ordered sequence of stamped events out of an input whose records may be slightly disordered or
//! carry times that nobody should believe.
//!
//! [`TimeGuard`] holds back records whose time jumps until others agree; [`OrderBuffer`] sorts what passes within
//! `disorder_max` and stamps it. Records of equal time are ordered by their content, so that neither a shuffle within
//! `disorder_max` nor a cut between files changes what follows.

use crate::domain::{Duration, Event, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

/// A record that jumps further ahead of its input than this waits until others agree.
pub const JUMP_MAX: Duration = Duration::from_seconds(3600);
/// A record that lies further behind its input than this is refused.
pub const BEHIND_MAX: Duration = Duration::from_seconds(24 * 3600);
/// How many records must follow a jump, none of them contradicting it, before it is believed.
pub const WITNESSES: usize = 2;
/// An unwitnessed jump at the end of an input is believed up to this length.
const LAST_JUMP_MAX: Duration = Duration::from_seconds(24 * 3600);
/// The first record of an input is refused when the records after it agree on a time further away than this.
const FIRST_GAP_MAX: Duration = Duration::from_seconds(366 * 24 * 3600);
/// Records held back at once. Beyond it the oldest jump is refused.
const HELD_MAX: usize = 64;

/// The verdict on held-back records: those refused are counted by the caller under this word.
pub const IMPLAUSIBLE_TIME: &str = "implausible_time";

/// Holds back records whose time jumps until [`WITNESSES`] others agree.
///
/// A jump is contradicted by a following record that lies more than [`JUMP_MAX`] behind it, and refused when as many
/// records contradict it as could have confirmed it.
#[derive(Debug, Serialize, Deserialize)]
pub struct TimeGuard<T> {
    reached: Option<Timestamp>,
    /// True until the first record of the input has been believed or refused.
    opening: bool,
    held: VecDeque<(Timestamp, T)>,
    refused: u64,
}

/// Whether more records can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Quiet,
    Ended,
}

impl<T> Default for TimeGuard<T> {
    fn default() -> Self {
        TimeGuard {
            reached: None,
            opening: true,
            held: VecDeque::new(),
            refused: 0,
        }
    }
}

impl<T> TimeGuard<T> {
    /// Takes a record that says it is of `time` and gives on what can be believed, in the order in which it came.
    pub fn push(&mut self, time: Timestamp, record: T, mut pass: impl FnMut(Timestamp, T)) {
        if self.held.is_empty()
            && let Some(reached) = self.reached
            && time <= reached.plus(JUMP_MAX)
        {
            if time < reached.minus(BEHIND_MAX) {
                self.refused += 1;
            } else {
                self.reached = Some(reached.max(time));
                pass(time, record);
            }
            return;
        }
        self.held.push_back((time, record));
        self.decide(End::Open, &mut pass);
    }

    /// The input has ended: decides on what is still held.
    pub fn finish(&mut self, mut pass: impl FnMut(Timestamp, T)) {
        self.decide(End::Ended, &mut pass);
    }

    /// The input is quiet: passes what would be believed if it had ended, and goes on holding the rest.
    pub fn rest(&mut self, mut pass: impl FnMut(Timestamp, T)) {
        self.decide(End::Quiet, &mut pass);
    }

    /// How many records were refused as implausible.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn decide(&mut self, end: End, pass: &mut impl FnMut(Timestamp, T)) {
        while let Some(&(time, _)) = self.held.front() {
            let jumps = self.reached.is_none_or(|reached| time > reached.plus(JUMP_MAX));
            if !jumps {
                let believed = self.reached.is_none_or(|reached| time >= reached.minus(BEHIND_MAX));
                self.release(believed, pass);
                continue;
            }
            // The first record is also judged by the distance of those after it.
            let contradicts =
                |other: Timestamp| other < time.minus(JUMP_MAX) || (self.opening && other > time.plus(FIRST_GAP_MAX));
            let against = self
                .held
                .iter()
                .skip(1)
                .filter(|(other, _)| contradicts(*other))
                .count();
            let followers = self.held.len() - 1;
            if against >= WITNESSES {
                self.release(false, pass);
            } else if followers - against >= WITNESSES {
                self.release(true, pass);
            } else if end != End::Open {
                let short = self.reached.is_none_or(|reached| time <= reached.plus(LAST_JUMP_MAX));
                let believed = against == 0 && (short || followers > 0);
                if !believed && end == End::Quiet {
                    return;
                }
                self.release(believed, pass);
            } else if self.held.len() > HELD_MAX {
                self.release(false, pass);
            } else {
                return;
            }
        }
    }

    fn release(&mut self, believed: bool, pass: &mut impl FnMut(Timestamp, T)) {
        let Some((time, record)) = self.held.pop_front() else {
            return;
        };
        if believed {
            self.opening = false;
            self.reached = Some(self.reached.map_or(time, |reached| reached.max(time)));
            pass(time, record);
        } else {
            self.refused += 1;
        }
    }
}

/// An event with its place in the order of everything: (engine time, content, input, sequence).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stamped {
    /// The greatest event time that its input had reached.
    pub engine_time: Timestamp,
    /// The hash of what the event says, once somebody has asked for it; 0 before.
    content: u64,
    /// The number of its input, for evidence.
    pub input: u16,
    /// Its number within its input, for evidence.
    pub sequence: u64,
    /// The event.
    pub event: Event,
}

impl Stamped {
    /// An event at its place.
    pub fn new(event: Event, engine_time: Timestamp, input: u16, sequence: u64) -> Self {
        Stamped {
            engine_time,
            content: 0,
            input,
            sequence,
            event,
        }
    }

    /// An event at its place, of which it is known already what orders it among others of its time.
    pub fn known(event: Event, engine_time: Timestamp, content: u64, input: u16, sequence: u64) -> Self {
        Stamped {
            content,
            ..Stamped::new(event, engine_time, input, sequence)
        }
    }

    /// Orders events of equal engine time, whatever input they came by. Few events share their time with another, so
    /// this is worked out when it is asked for.
    pub fn content(&mut self) -> u64 {
        if self.content == 0 {
            self.content = self.event.content_hash().max(1);
        }
        self.content
    }

    /// Whether this event comes after another.
    fn is_after(&mut self, other: &mut Stamped) -> bool {
        if self.engine_time != other.engine_time {
            return self.engine_time > other.engine_time;
        }
        self.content();
        other.content();
        self.key() > other.key()
    }

    /// Orders events whose content is worked out.
    fn key(&self) -> (Timestamp, u64, u16, u64) {
        (self.engine_time, self.content, self.input, self.sequence)
    }
}

/// An event that came after one that it stands before. Its content is worked out; the earliest is the greatest.
#[derive(Debug, Serialize, Deserialize)]
struct Late(Stamped);

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.key().cmp(&self.0.key())
    }
}

/// Sorts the events of one input within `disorder_max` and stamps them.
///
/// An event that comes in order costs no more than a queue. One that comes late goes into a heap, so that many events of
/// one moment, as when all flows of a capture end with it, cost a logarithm each and not a walk over all that wait.
#[derive(Debug, Serialize, Deserialize)]
pub struct OrderBuffer {
    input: u16,
    disorder_max: Duration,
    sequence: u64,
    reached: Timestamp,
    given: Timestamp,
    /// What came in order; the next to be given on is at the front.
    waiting: VecDeque<Stamped>,
    /// What came after something that it stands before.
    late: BinaryHeap<Late>,
}

impl OrderBuffer {
    /// Events that wait to be sorted. Beyond it the earliest are given on, sorted as far as is known.
    pub const WAITING_MAX: usize = 1 << 16;

    /// A buffer for the input of this number.
    pub fn new(input: u16, disorder_max: Duration) -> Self {
        OrderBuffer {
            input,
            disorder_max,
            sequence: 0,
            reached: Timestamp::MIN,
            given: Timestamp::MIN,
            waiting: VecDeque::new(),
            late: BinaryHeap::new(),
        }
    }

    /// Takes an event. `known_at` is the input's own time when the event came out of its decoder, which is later than
    /// the event's time when it had to wait for a time-out.
    pub fn push(&mut self, known_at: Timestamp, event: Event, ready: &mut Vec<Stamped>) {
        self.sequence += 1;
        let engine_time = known_at.max(event.time()).max(self.given);
        let mut stamped = Stamped::new(event, engine_time, self.input, self.sequence);
        if self.waiting.back_mut().is_some_and(|last| last.is_after(&mut stamped)) {
            stamped.content();
            self.late.push(Late(stamped));
        } else {
            self.waiting.push_back(stamped);
        }
        self.advance(known_at, ready);
        while self.waiting.len() + self.late.len() > Self::WAITING_MAX {
            self.give(ready);
        }
    }

    /// The input has reached `time`: gives on what no record within `disorder_max` can come before.
    pub fn advance(&mut self, time: Timestamp, ready: &mut Vec<Stamped>) {
        self.reached = self.reached.max(time);
        let sure = self.watermark();
        let is_sure = |stamped: &Stamped| stamped.engine_time < sure;
        while self.waiting.front().is_some_and(is_sure) || self.late.peek().is_some_and(|late| is_sure(&late.0)) {
            self.give(ready);
        }
    }

    /// How far records may be out of order.
    pub fn disorder_max(&self) -> Duration {
        self.disorder_max
    }

    /// From now on records may be so far out of order.
    pub fn set_disorder_max(&mut self, disorder_max: Duration) {
        self.disorder_max = disorder_max;
    }

    /// Everything with an earlier engine time has been given on.
    pub fn watermark(&self) -> Timestamp {
        self.reached.minus(self.disorder_max)
    }

    /// The input has ended: gives on everything.
    pub fn finish(&mut self, ready: &mut Vec<Stamped>) {
        while !self.waiting.is_empty() || !self.late.is_empty() {
            self.give(ready);
        }
        self.reached = Timestamp::MAX;
    }

    /// Gives on the earliest.
    fn give(&mut self, ready: &mut Vec<Stamped>) {
        let is_late = match (self.waiting.front_mut(), self.late.peek()) {
            (Some(first), Some(late)) if first.engine_time == late.0.engine_time => {
                first.content();
                first.key() > late.0.key()
            }
            (Some(first), Some(late)) => first.engine_time > late.0.engine_time,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let earliest = if is_late {
            self.late.pop().map(|late| late.0)
        } else {
            self.waiting.pop_front()
        };
        if let Some(earliest) = earliest {
            self.given = self.given.max(earliest.engine_time);
            ready.push(earliest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Field;

    const HOUR: i64 = 3600;

    fn believed(seconds: &[i64]) -> (Vec<i64>, u64) {
        let mut guard = TimeGuard::default();
        let mut passed = Vec::new();
        for second in seconds {
            guard.push(Timestamp::from_seconds(*second), (), |time, ()| {
                passed.push(time.seconds())
            });
        }
        guard.finish(|time, ()| passed.push(time.seconds()));
        (passed, guard.refused())
    }

    #[test]
    fn a_record_of_another_time_is_refused_wherever_it_stands() {
        let far = 4_000_000_000;
        let now = 1_700_000_000;
        for (input, expected, refused) in [
            (
                vec![now, now + 1, far, now + 2, now + 3],
                vec![now, now + 1, now + 2, now + 3],
                1,
            ),
            (vec![far, now, now + 1, now + 2], vec![now, now + 1, now + 2], 1),
            (vec![0, now, now + 1, now + 2], vec![now, now + 1, now + 2], 1),
            (vec![now, now + 1, 0, now + 2], vec![now, now + 1, now + 2], 1),
            (vec![now, now + 1, now + 2, far], vec![now, now + 1, now + 2], 1),
            (vec![now], vec![now], 0),
        ] {
            assert_eq!(believed(&input), (expected, refused), "{input:?}");
        }
    }

    #[test]
    fn a_quiet_input_refuses_nothing_that_may_still_be_confirmed() {
        let monday = 1_700_000_000 + 60 * HOUR;
        let mut guard = TimeGuard::default();
        let mut passed = Vec::new();
        for second in [1_700_000_000, 1_700_000_001, 1_700_000_002, monday] {
            guard.push(Timestamp::from_seconds(second), (), |time, ()| {
                passed.push(time.seconds())
            });
            guard.rest(|time, ()| passed.push(time.seconds()));
        }
        assert_eq!(passed, [1_700_000_000, 1_700_000_001, 1_700_000_002]);
        for second in [monday + 1, monday + 2] {
            guard.push(Timestamp::from_seconds(second), (), |time, ()| {
                passed.push(time.seconds())
            });
        }
        assert_eq!(passed[3..], [monday, monday + 1, monday + 2]);
        assert_eq!(guard.refused(), 0);
    }

    #[test]
    fn a_sparse_log_and_a_confirmed_gap_are_believed() {
        let sparse: Vec<i64> = (0..6).map(|i| 1_700_000_000 + i * 5 * HOUR).collect();
        assert_eq!(believed(&sparse), (sparse.clone(), 0));
        let gap = vec![
            1_700_000_000,
            1_700_000_001,
            1_700_500_000,
            1_700_500_001,
            1_700_500_002,
        ];
        assert_eq!(believed(&gap), (gap.clone(), 0));
    }

    #[test]
    fn records_shuffled_within_disorder_max_come_out_the_same() {
        let order = |offsets: &[i64]| {
            let mut buffer = OrderBuffer::new(0, Duration::from_millis(500));
            let mut ready = Vec::new();
            for (millis, name) in offsets.iter().map(|o| (*o, format!("{}", o % 7))) {
                let time = Timestamp::from_nanos(millis * 1_000_000);
                let mut event = Event::new(time);
                event.add_str(Field::UserName, &name);
                buffer.push(time, event, &mut ready);
            }
            buffer.finish(&mut ready);
            ready
                .iter_mut()
                .map(|s| (s.engine_time, s.content()))
                .collect::<Vec<_>>()
        };
        let straight = order(&[0, 100, 100, 200, 300, 900, 1000, 1400]);
        assert_eq!(straight, order(&[100, 0, 200, 100, 300, 1000, 900, 1400]));
        assert!(straight.is_sorted());
    }
    #[test]
    fn events_of_one_moment_come_in_the_order_of_their_content_up_to_the_bound() {
        let mut buffer = OrderBuffer::new(0, Duration::ZERO);
        let mut ready = Vec::new();
        let time = Timestamp::from_seconds(5);
        let over = 100;
        for number in 0..(OrderBuffer::WAITING_MAX + over) as u64 {
            let mut event = Event::new(time);
            event.add_u64(Field::SourcePort, number);
            buffer.push(time, event, &mut ready);
        }
        assert_eq!(ready.len(), over);
        buffer.finish(&mut ready);
        assert_eq!(ready.len(), OrderBuffer::WAITING_MAX + over);
        let contents: Vec<_> = ready.iter_mut().skip(over).map(Stamped::content).collect();
        assert!(contents.is_sorted());
        assert!(!ready.iter().map(|stamped| stamped.sequence).is_sorted());
    }
}
