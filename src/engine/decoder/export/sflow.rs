//! sFlow version 5: sampled packets. Each stands for as many as its sampling rate says, all of its size.

use super::{Bytes, Counts, Part, Sender};
use crate::engine::decoder::Tally;
use crate::engine::decoder::packet::event::address;
use crate::engine::decoder::packet::link::{LinkType, Unread, unwrap};
use crate::engine::decoder::packet::transport;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Samples of one datagram, and records of one sample.
const SAMPLES_MAX: u32 = 256;

pub(super) fn read(bytes: &[u8], sender: &Sender, parts: &mut Vec<Part>, tally: &mut Tally) {
    let mut bytes = Bytes::new(bytes);
    let Some(count) = header(&mut bytes) else {
        tally.records += 1;
        tally.refuse("short_export");
        return;
    };
    for _ in 0..count.min(SAMPLES_MAX) {
        tally.records += 1;
        let Some((kind, sample)) = block(&mut bytes) else {
            tally.refuse("bad_export_length");
            return;
        };
        match kind {
            1 | 3 => match sampled(sample, kind == 3, sender) {
                Ok(Some(part)) => {
                    tally.decoded += 1;
                    parts.push(part);
                }
                Ok(None) => tally.ignore("no_flow"),
                Err(Unread::Ignored(kind)) => tally.ignore(kind),
                Err(Unread::Refused(reason)) => tally.refuse(reason),
            },
            2 | 4 => tally.ignore("sflow_counters"),
            _ => tally.ignore("sflow_other"),
        }
    }
}

/// Reads up to the samples, and gives how many there are.
fn header(bytes: &mut Bytes<'_>) -> Option<u32> {
    bytes.u32()?;
    let address = match bytes.u32()? {
        1 => 4,
        2 => 16,
        _ => return None,
    };
    bytes.take(address)?;
    // The part of the agent, the datagram's number, how long it is up.
    bytes.take(12)?;
    bytes.u32()
}

/// A kind and what it is of.
fn block<'a>(bytes: &mut Bytes<'a>) -> Option<(u32, Bytes<'a>)> {
    let (kind, length) = (bytes.u32()?, bytes.u32()?);
    let content = bytes.take(usize::try_from(length).ok()?)?;
    Some((kind, Bytes::new(content)))
}

/// Reads a sample of a packet.
fn sampled(mut sample: Bytes<'_>, is_expanded: bool, sender: &Sender) -> Result<Option<Part>, Unread> {
    let short = Unread::Refused("bad_export_length");
    let head = |sample: &mut Bytes<'_>| {
        // Its number, and what was sampled.
        sample.take(if is_expanded { 12 } else { 8 })?;
        let rate = sample.u32()?;
        // Packets seen and left out, and the interfaces.
        sample.take(if is_expanded { 24 } else { 16 })?;
        Some((rate, sample.u32()?))
    };
    let Some((rate, count)) = head(&mut sample) else {
        return Err(short);
    };
    for _ in 0..count.min(SAMPLES_MAX) {
        let Some((kind, record)) = block(&mut sample) else {
            return Err(short);
        };
        let part = match kind {
            1 => raw(record)?,
            3 => addresses(record, false),
            4 => addresses(record, true),
            _ => continue,
        };
        return Ok(part.map(|part| Part {
            sent: Counts {
                bytes: part.sent.bytes.saturating_mul(u64::from(rate.max(1))),
                packets: u64::from(rate.max(1)),
            },
            first: sender.received,
            last: sender.received,
            ..part
        }));
    }
    Ok(None)
}

fn part(source: IpAddr, destination: IpAddr, ports: (u16, u16), protocol: u8, flags: u8, bytes: u64) -> Part {
    Part {
        source,
        destination,
        ports,
        protocol,
        flags,
        sent: Counts { bytes, packets: 1 },
        answered: None,
        first: Default::default(),
        last: Default::default(),
        vlan: None,
        is_sample: true,
    }
}

/// The beginning of the packet itself.
fn raw(mut record: Bytes<'_>) -> Result<Option<Part>, Unread> {
    let mut head = || {
        let (link, frame_bytes, stripped, length) = (record.u32()?, record.u32()?, record.u32()?, record.u32()?);
        let header = record.take(usize::try_from(length).ok()?)?;
        Some((link, frame_bytes.saturating_sub(stripped), header))
    };
    let Some((link, frame_bytes, header)) = head() else {
        return Err(Unread::Refused("bad_export_length"));
    };
    let link = match link {
        1 => LinkType::Ethernet,
        7 => LinkType::Ppp,
        11 | 12 => LinkType::RawIp,
        _ => return Ok(None),
    };
    let datagram = unwrap(link, frame_bytes, header)?;
    // Headers that were cut off tell no ports.
    let read = transport::read(&datagram).ok();
    let ports = match &read {
        Some(read) => match read.icmp {
            Some((kind, code)) => (u16::from(kind), u16::from(code)),
            None => (read.source_port, read.destination_port),
        },
        None => (0, 0),
    };
    let flags = read.as_ref().and_then(|read| read.tcp).map_or(0, |header| header.flags);
    let mut part = part(
        address(datagram.source, datagram.is_v6),
        address(datagram.destination, datagram.is_v6),
        ports,
        datagram.protocol,
        flags,
        u64::from(datagram.length),
    );
    part.vlan = datagram.layers.vlans.first().copied().flatten();
    Ok(Some(part))
}

/// The packet's header as the agent has read it.
fn addresses(mut record: Bytes<'_>, is_v6: bool) -> Option<Part> {
    let (bytes, protocol) = (record.u32()?, record.u32()?);
    let mut address = || -> Option<IpAddr> {
        Some(match is_v6 {
            false => Ipv4Addr::from_bits(record.u32()?).into(),
            true => Ipv6Addr::from(<[u8; 16]>::try_from(record.take(16)?).ok()?).into(),
        })
    };
    let (source, destination) = (address()?, address()?);
    let ports = (record.u32()? as u16, record.u32()? as u16);
    let flags = record.u32()? as u8;
    Some(part(
        source,
        destination,
        ports,
        protocol as u8,
        flags,
        u64::from(bytes),
    ))
}
