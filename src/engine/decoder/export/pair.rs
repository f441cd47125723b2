//! The two directions of a flow, which exporters tell apart: the first waits for the other one. Samples of packets add
//! up meanwhile.
//!
//! Who began it is told by what is told: the side that alone sent a SYN, else the one that was first, else the one with
//! the higher port.

use super::event::of_flow;
use super::{Counts, Part};
use crate::domain::{Duration, Event, Timestamp};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// How long a direction waits for the other one, by the clock.
const WAIT: Duration = Duration::from_seconds(10);
/// Directions that wait at once. Beyond it the eldest goes alone.
const WAITING_MAX: usize = 65_536;
/// Two directions of one flow lie no further apart than this.
const APART_MAX: Duration = Duration::from_seconds(60);
const SYN: u8 = 2;

/// Directions that wait.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pairs {
    waiting: HashMap<Key, Waiting>,
    /// In the order in which they came; some have gone.
    order: VecDeque<(u64, Key)>,
    number: u64,
}

/// One exporter's flow, whatever the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Key {
    exporter: IpAddr,
    low: (IpAddr, u16),
    high: (IpAddr, u16),
    protocol: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    number: u64,
    since: Timestamp,
    part: Part,
}

impl Key {
    fn of(exporter: IpAddr, part: &Part) -> Key {
        // Type and code of ICMP are no ports; a request and its answer differ in them.
        let ports = if is_icmp(part.protocol) { (0, 0) } else { part.ports };
        let (from, to) = ((part.source, ports.0), (part.destination, ports.1));
        Key {
            exporter,
            low: from.min(to),
            high: from.max(to),
            protocol: part.protocol,
        }
    }
}

fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, 1 | 58)
}

impl Pairs {
    /// Takes a direction. Gives the flow when both are there.
    pub(super) fn add(&mut self, exporter: IpAddr, received: Timestamp, part: Part, events: &mut Vec<Event>) {
        if part.answered.is_some() {
            events.push(of_flow(&part));
            return;
        }
        let key = Key::of(exporter, &part);
        if part.is_sample
            && let Some(held) = self.waiting.get_mut(&key)
        {
            held.part.add_sample(&part);
            return;
        }
        if let Some(held) = self.waiting.remove(&key) {
            if held.part.is_answered_by(&part) {
                events.push(of_flow(&held.part.answered_by(part)));
                return;
            }
            // The same direction again: the next part of a long flow.
            events.push(of_flow(&held.part));
        }
        self.number += 1;
        let number = self.number;
        self.order.push_back((number, key));
        self.waiting.insert(
            key,
            Waiting {
                number,
                since: received,
                part,
            },
        );
        while self.waiting.len() > WAITING_MAX || self.order.len() > 4 * WAITING_MAX {
            self.give_first(events);
        }
    }

    /// Gives those that have waited long enough.
    pub(super) fn advance(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        while let Some((number, key)) = self.order.front() {
            match self.waiting.get(key) {
                Some(held) if held.number == *number && now.since(held.since) < WAIT => return,
                _ => self.give_first(events),
            }
        }
    }

    pub(super) fn finish(&mut self, events: &mut Vec<Event>) {
        while !self.order.is_empty() {
            self.give_first(events);
        }
    }

    fn give_first(&mut self, events: &mut Vec<Event>) {
        let Some((number, key)) = self.order.pop_front() else {
            return;
        };
        if self.waiting.get(&key).is_some_and(|held| held.number == number)
            && let Some(held) = self.waiting.remove(&key)
        {
            events.push(of_flow(&held.part));
        }
    }
}

impl Part {
    /// Adds another sample of the same flow, whichever its direction.
    fn add_sample(&mut self, other: &Part) {
        let add = |counts: Counts| Counts {
            bytes: counts.bytes.saturating_add(other.sent.bytes),
            packets: counts.packets.saturating_add(other.sent.packets),
        };
        let is_same = self.source == other.source && (is_icmp(self.protocol) || self.ports == other.ports);
        if is_same {
            self.sent = add(self.sent);
            self.flags |= other.flags;
        } else {
            let (counts, flags) = self.answered.unwrap_or_default();
            let (counts, flags) = (add(counts), flags | other.flags);
            self.answered = Some((counts, flags));
            // Which packet was sampled first tells nothing.
            if self.was_begun_by(flags, Ordering::Equal) {
                self.flip(counts, flags);
            }
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    fn is_answered_by(&self, other: &Part) -> bool {
        let is_other_way = self.source == other.destination
            && self.destination == other.source
            && (is_icmp(self.protocol) || (self.ports.1, self.ports.0) == other.ports);
        // An address that speaks to itself has one direction only.
        is_other_way
            && self.source != self.destination
            && other.first.since(self.last) <= APART_MAX
            && self.first.since(other.last) <= APART_MAX
    }

    /// Both directions in one, from the side that began it.
    fn answered_by(mut self, other: Part) -> Part {
        self.answered = Some((other.sent, other.flags));
        let is_reply = is_icmp(self.protocol) && matches!(self.ports.0, 0 | 129);
        if is_reply || self.was_begun_by(other.flags, other.first.cmp(&self.first)) {
            if is_icmp(self.protocol) {
                self.ports = other.ports;
            }
            self.flip(other.sent, other.flags);
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self
    }

    /// Whether the other side began it; `order` is whether its first packet came before ours.
    fn was_begun_by(&self, other_flags: u8, order: Ordering) -> bool {
        let (own, other) = (self.flags & SYN != 0, other_flags & SYN != 0);
        if self.protocol == 6 && own != other {
            return other;
        }
        match order {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => !is_icmp(self.protocol) && self.ports.0 < self.ports.1,
        }
    }

    /// A flow of which only the side that answered has sent anything, as that side's.
    pub(super) fn other_way(mut self) -> Part {
        if let Some((sent, flags)) = self.answered {
            self.flip(sent, flags);
            self.answered = None;
        }
        self
    }

    /// Makes the side that answered the one that began.
    fn flip(&mut self, sent: Counts, flags: u8) {
        std::mem::swap(&mut self.source, &mut self.destination);
        if !is_icmp(self.protocol) {
            self.ports = (self.ports.1, self.ports.0);
        }
        self.answered = Some((self.sent, self.flags));
        (self.sent, self.flags) = (sent, flags);
    }
}
