//! Flows that routers, switches and probes tell of: NetFlow version 5 and 9, IPFIX, and sFlow version 5, a datagram at a
//! time, told apart by their first bytes. Gives the events that packets would have given, as far as is told.
//!
//! Exporters tell each direction of a flow apart; `pair` puts them together. Time is the exporter's where it lies
//! within a day of the clock, and the clock's otherwise, so that an exporter without a clock does no harm.
//! Templates are kept for each exporter and observation domain, within bounds; what they do not describe is refused.

mod event;
mod netflow5;
mod pair;
mod sflow;
mod template;

use super::Output;
use super::application::bytes::Bytes;
use crate::domain::{Duration, Timestamp};
use pair::Pairs;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use template::Exporters;

/// Further from the clock than this an exporter's time is not believed.
const CLOCK_MAX: Duration = Duration::from_seconds(86_400);
/// Further ahead of the clock than this an exporter's time is not believed.
const AHEAD_MAX: Duration = Duration::from_seconds(300);

/// One direction of a flow, or both where they are told together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Part {
    source: IpAddr,
    destination: IpAddr,
    /// For ICMP its type and code in their place.
    ports: (u16, u16),
    protocol: u8,
    /// Flags of TCP that were seen; none where they are not told.
    flags: u8,
    sent: Counts,
    /// What the other side sent, and its flags, where the record tells it.
    answered: Option<(Counts, u8)>,
    first: Timestamp,
    last: Timestamp,
    vlan: Option<u16>,
    /// It is one of many samples of its flow, which add up.
    is_sample: bool,
}

/// What one side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    /// Bytes of IP with headers.
    bytes: u64,
    packets: u64,
}

/// Where a datagram came from, and when by the clock.
#[derive(Clone, Copy, Debug)]
struct Sender {
    exporter: IpAddr,
    received: Timestamp,
}

impl Sender {
    /// The first and last moment of a flow, believed or the clock's.
    fn believed(&self, first: Timestamp, last: Timestamp) -> (Timestamp, Timestamp) {
        let length = last.since(first);
        let length = if length < Duration::ZERO || length > CLOCK_MAX {
            Duration::ZERO
        } else {
            length
        };
        let is_near = last <= self.received.plus(AHEAD_MAX) && self.received.since(last) <= CLOCK_MAX;
        let last = if is_near { last } else { self.received };
        (last.minus(length), last)
    }
}

/// Reads the datagrams of any number of exporters. What is saved of it is all that it knows: templates, and directions of
/// flows that wait for the other one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct ExportDecoder {
    exporters: Exporters,
    pairs: Pairs,
    #[serde(skip)]
    parts: Vec<Part>,
}

impl ExportDecoder {
    /// A decoder that knows no exporter yet.
    pub fn new() -> ExportDecoder {
        ExportDecoder::default()
    }

    /// Reads one datagram. Flows, templates, samples are the records of the account.
    pub fn datagram(&mut self, exporter: IpAddr, received: Timestamp, bytes: &[u8], output: &mut Output) {
        let sender = Sender { exporter, received };
        let mut parts = std::mem::take(&mut self.parts);
        let tally = &mut output.tally;
        match Bytes::new(bytes).u32() {
            Some(5) => sflow::read(bytes, &sender, &mut parts, tally),
            Some(word) => match word >> 16 {
                5 => netflow5::read(bytes, &sender, &mut parts, tally),
                9 => self.exporters.read_netflow9(bytes, &sender, &mut parts, tally),
                10 => self.exporters.read_ipfix(bytes, &sender, &mut parts, tally),
                _ => {
                    tally.records += 1;
                    tally.refuse("unknown_export");
                }
            },
            None => {
                tally.records += 1;
                tally.refuse("short_export");
            }
        }
        for part in parts.drain(..) {
            self.pairs.add(exporter, received, part, &mut output.events);
        }
        self.parts = parts;
        self.advance(received, output);
    }

    /// The clock has come to `now`: gives what waited for its other direction long enough.
    pub fn advance(&mut self, now: Timestamp, output: &mut Output) {
        self.pairs.advance(now, &mut output.events);
    }

    /// Nothing more comes: gives everything that waits.
    pub fn finish(&mut self, output: &mut Output) {
        self.pairs.finish(&mut output.events);
    }
}

#[cfg(test)]
mod tests;
