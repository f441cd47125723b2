//! NetFlow version 5: a header of 24 bytes, and records of 48.

use super::{Bytes, Counts, Part, Sender};
use crate::domain::{Duration, Timestamp};
use crate::engine::decoder::Tally;
use std::net::Ipv4Addr;

/// Records of one datagram.
const RECORDS_MAX: u16 = 30;
const RECORD_BYTES: usize = 48;

/// An exporter's clock and how long it has been up, from which its other times are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uptime {
    pub(super) now: Timestamp,
    pub(super) millis: u32,
}

impl Uptime {
    /// The moment at which the exporter had been up for so long. The count begins anew after 49 days.
    pub(super) fn moment(&self, millis: u32) -> Timestamp {
        let ago = self.millis.wrapping_sub(millis);
        // A flow may end a little after the header's moment.
        if ago > u32::MAX - 60_000 {
            return self.now.plus(Duration::from_millis(i64::from(u32::MAX - ago) + 1));
        }
        self.now.minus(Duration::from_millis(i64::from(ago)))
    }
}

pub(super) fn read(bytes: &[u8], sender: &Sender, parts: &mut Vec<Part>, tally: &mut Tally) {
    let mut bytes = Bytes::new(bytes);
    let Some((count, uptime, sampling)) = header(&mut bytes) else {
        tally.records += 1;
        tally.refuse("short_export");
        return;
    };
    for _ in 0..count.min(RECORDS_MAX) {
        tally.records += 1;
        let record = bytes.take(RECORD_BYTES).map(Bytes::new);
        match record.and_then(|record| part(record, sender, uptime, sampling)) {
            Some(part) => {
                tally.decoded += 1;
                parts.push(part);
            }
            None => tally.refuse("short_export"),
        }
    }
    if count > RECORDS_MAX || !bytes.is_empty() {
        tally.records += 1;
        tally.refuse("bad_export_length");
    }
}

fn header(bytes: &mut Bytes<'_>) -> Option<(u16, Uptime, u64)> {
    bytes.u16()?;
    let count = bytes.u16()?;
    let millis = bytes.u32()?;
    let (seconds, nanos) = (bytes.u32()?, bytes.u32()?);
    // The number of the first flow, the engine's kind and number.
    bytes.take(6)?;
    // Two bits of mode, then one of how many packets was looked at.
    let sampling = u64::from(bytes.u16()? & 0x3fff).max(1);
    let now = Timestamp::from_seconds(i64::from(seconds)).plus(Duration::from_nanos(i64::from(nanos)));
    Some((count, Uptime { now, millis }, sampling))
}

fn part(mut record: Bytes<'_>, sender: &Sender, uptime: Uptime, sampling: u64) -> Option<Part> {
    let source = Ipv4Addr::from_bits(record.u32()?);
    let destination = Ipv4Addr::from_bits(record.u32()?);
    // The next hop, and the interfaces.
    record.take(8)?;
    let (packets, bytes) = (u64::from(record.u32()?), u64::from(record.u32()?));
    let (first, last) = (record.u32()?, record.u32()?);
    let mut ports = (record.u16()?, record.u16()?);
    record.u8()?;
    let (flags, protocol) = (record.u8()?, record.u8()?);
    if protocol == 1 {
        let [kind, code] = ports.1.to_be_bytes();
        ports = (u16::from(kind), u16::from(code));
    }
    let (first, last) = sender.believed(uptime.moment(first), uptime.moment(last));
    Some(Part {
        source: source.into(),
        destination: destination.into(),
        ports,
        protocol,
        flags,
        sent: Counts {
            bytes: bytes.saturating_mul(sampling),
            packets: packets.saturating_mul(sampling),
        },
        answered: None,
        first,
        last,
        vlan: None,
        is_sample: false,
    })
}
