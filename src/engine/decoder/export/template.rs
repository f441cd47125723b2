//! NetFlow version 9 (RFC 3954) and IPFIX (RFC 7011): sets of templates, and of records that only their templates
//! describe. Both number the same elements the same way as far as they are read here.

use super::netflow5::Uptime;
use super::{Bytes, Counts, Part, Sender};
use crate::domain::{Duration, Timestamp};
use crate::engine::decoder::Tally;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Exporters, each with its observation domains, whose templates are kept.
const EXPORTERS_MAX: usize = 1024;
/// Templates of one exporter.
const TEMPLATES_MAX: usize = 256;
/// Fields of one template.
const FIELDS_MAX: usize = 256;
/// A length that stands in front of the value.
const VARIABLE: u16 = u16::MAX;
/// The enterprise whose elements are those of the other direction (RFC 5103).
const REVERSE: u32 = 29305;
/// Seconds from 1900 to 1970.
const NTP_SECONDS: i64 = 2_208_988_800;

/// What is known of exporters.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Exporters {
    known: HashMap<(IpAddr, u32, bool), Exporter>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Exporter {
    templates: HashMap<u16, Template>,
    /// One of how many packets it looks at; 0 while it has not said.
    sampling: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Template {
    fields: Vec<Field>,
    /// Bytes of a record, those of variable length counted as one.
    bytes_min: usize,
    /// It describes the exporter and not flows.
    is_options: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Field {
    element: u16,
    length: u16,
    enterprise: u32,
}

/// The header of a datagram, and how its sets are numbered.
#[derive(Clone, Copy)]
struct Head {
    now: Timestamp,
    uptime_millis: Option<u32>,
    template_set: u16,
    options_set: u16,
    has_enterprises: bool,
}

impl Exporters {
    pub(super) fn read_netflow9(&mut self, bytes: &[u8], sender: &Sender, parts: &mut Vec<Part>, tally: &mut Tally) {
        let mut rest = Bytes::new(bytes);
        let header = || {
            let mut bytes = Bytes::new(bytes);
            bytes.take(4)?;
            let (uptime, seconds) = (bytes.u32()?, bytes.u32()?);
            bytes.u32()?;
            Some((uptime, seconds, bytes.u32()?))
        };
        let (Some((uptime, seconds, domain)), Some(_)) = (header(), rest.take(20)) else {
            return refuse(tally, "short_export");
        };
        let head = Head {
            now: Timestamp::from_seconds(i64::from(seconds)),
            uptime_millis: Some(uptime),
            template_set: 0,
            options_set: 1,
            has_enterprises: false,
        };
        self.sets(rest, (sender.exporter, domain, false), &head, sender, parts, tally);
    }

    pub(super) fn read_ipfix(&mut self, bytes: &[u8], sender: &Sender, parts: &mut Vec<Part>, tally: &mut Tally) {
        let header = || {
            let mut bytes = Bytes::new(bytes);
            bytes.u16()?;
            let (length, seconds) = (usize::from(bytes.u16()?), bytes.u32()?);
            bytes.u32()?;
            Some((length, seconds, bytes.u32()?))
        };
        let Some((length, seconds, domain)) = header() else {
            return refuse(tally, "short_export");
        };
        let Some(sets) = bytes.get(16..length) else {
            return refuse(tally, "bad_export_length");
        };
        let head = Head {
            now: Timestamp::from_seconds(i64::from(seconds)),
            uptime_millis: None,
            template_set: 2,
            options_set: 3,
            has_enterprises: true,
        };
        let key = (sender.exporter, domain, true);
        self.sets(Bytes::new(sets), key, &head, sender, parts, tally);
    }

    fn sets(
        &mut self,
        mut bytes: Bytes<'_>,
        key: (IpAddr, u32, bool),
        head: &Head,
        sender: &Sender,
        parts: &mut Vec<Part>,
        tally: &mut Tally,
    ) {
        if self.known.len() >= EXPORTERS_MAX && !self.known.contains_key(&key) {
            return refuse(tally, "too_many_exporters");
        }
        let exporter = self.known.entry(key).or_default();
        while !bytes.is_empty() {
            let set = || {
                let mut bytes = bytes;
                let (number, length) = (bytes.u16()?, usize::from(bytes.u16()?));
                let content = bytes.take(length.checked_sub(4)?)?;
                Some((number, content, bytes))
            };
            let Some((number, content, rest)) = set() else {
                // Version 9 may be padded with zeros to a whole word.
                if bytes.rest().iter().any(|byte| *byte != 0) {
                    refuse(tally, "bad_export_length");
                }
                return;
            };
            bytes = rest;
            let content = Bytes::new(content);
            match number {
                _ if number == head.template_set => exporter.templates(content, head, false, tally),
                _ if number == head.options_set => exporter.templates(content, head, true, tally),
                256.. => exporter.records(number, content, head, sender, parts, tally),
                _ => {
                    tally.records += 1;
                    tally.ignore("reserved_set");
                }
            }
        }
    }
}

fn refuse(tally: &mut Tally, reason: &'static str) {
    tally.records += 1;
    tally.refuse(reason);
}

impl Exporter {
    fn templates(&mut self, mut bytes: Bytes<'_>, head: &Head, is_options: bool, tally: &mut Tally) {
        // Four bytes are a header; less is padding.
        while bytes.rest().len() >= 4 {
            tally.records += 1;
            match template(&mut bytes, head, is_options) {
                Some((number, None)) => {
                    self.templates.remove(&number);
                    tally.ignore("template");
                }
                Some((number, Some(template))) => {
                    if self.templates.len() >= TEMPLATES_MAX && !self.templates.contains_key(&number) {
                        tally.refuse("too_many_templates");
                        continue;
                    }
                    self.templates.insert(number, template);
                    tally.ignore("template");
                }
                None => {
                    // Where the next one begins is not known.
                    tally.refuse("bad_template");
                    return;
                }
            }
        }
    }

    fn records(
        &mut self,
        number: u16,
        mut bytes: Bytes<'_>,
        head: &Head,
        sender: &Sender,
        parts: &mut Vec<Part>,
        tally: &mut Tally,
    ) {
        let Some(template) = self.templates.get(&number) else {
            return refuse(tally, "no_template");
        };
        let mut sampling = self.sampling;
        if bytes.rest().len() < template.bytes_min {
            return refuse(tally, "bad_template_length");
        }
        // What is left is padding when no record fits in.
        while bytes.rest().len() >= template.bytes_min {
            tally.records += 1;
            let mut record = Record::default();
            if !record.fill(&mut bytes, template) {
                tally.refuse("bad_template_length");
                break;
            }
            if record.sampling > 0 {
                sampling = record.sampling;
            }
            if template.is_options {
                tally.ignore("options");
                continue;
            }
            match record.part(head, sender, sampling.max(1)) {
                Some(part) => {
                    tally.decoded += 1;
                    parts.push(part);
                }
                None => tally.ignore("no_flow"),
            }
        }
        self.sampling = sampling;
    }
}

/// Reads a template; one without fields takes it back.
fn template(bytes: &mut Bytes<'_>, head: &Head, is_options: bool) -> Option<(u16, Option<Template>)> {
    let number = bytes.u16()?;
    let count = match (is_options, head.has_enterprises) {
        (false, _) => usize::from(bytes.u16()?),
        // Lengths in bytes of scopes and of the others.
        (true, false) => usize::from(bytes.u16()?.checked_add(bytes.u16()?)? / 4),
        (true, true) => {
            let count = usize::from(bytes.u16()?);
            if count > 0 {
                // How many of them are scopes.
                bytes.u16()?;
            }
            count
        }
    };
    if count == 0 {
        return Some((number, None));
    }
    if number < 256 || count > FIELDS_MAX {
        return None;
    }
    let mut fields = Vec::with_capacity(count);
    let mut bytes_min = 0;
    for _ in 0..count {
        let (element, length) = (bytes.u16()?, bytes.u16()?);
        let has_enterprise = head.has_enterprises && element & 0x8000 != 0;
        let enterprise = if has_enterprise { bytes.u32()? } else { 0 };
        let element = if has_enterprise { element & 0x7fff } else { element };
        bytes_min += if length == VARIABLE && head.has_enterprises {
            1
        } else {
            usize::from(length)
        };
        fields.push(Field {
            element,
            length,
            enterprise,
        });
    }
    // Without a byte a record, a set would hold any number of them.
    let template = Template {
        fields,
        bytes_min,
        is_options,
    };
    (bytes_min > 0).then_some((number, Some(template)))
}

/// What a record says.
#[derive(Default)]
struct Record {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    ports: (u16, u16),
    icmp: Option<(u8, u8)>,
    protocol: u8,
    flags: u8,
    answered_flags: u8,
    sent: Counts,
    /// What the exporter has counted since it began to, which may be more than this flow.
    totals: Counts,
    /// Whether the record counts since the one before it; then totals are not this record's.
    has_deltas: bool,
    answered: Counts,
    first: Moment,
    last: Moment,
    duration_millis: Option<i64>,
    boot: Option<Timestamp>,
    vlan: Option<u16>,
    sampling: u64,
}

/// A moment as a record tells it.
#[derive(Clone, Copy, Default)]
enum Moment {
    #[default]
    Untold,
    /// Since the exporter began.
    Uptime(u32),
    /// Since 1970.
    Absolute(Timestamp),
    /// So long before the datagram was sent.
    Before(Duration),
}

impl Record {
    /// Reads a record; false when it does not fit its template.
    fn fill(&mut self, bytes: &mut Bytes<'_>, template: &Template) -> bool {
        for field in &template.fields {
            let length = match field.length {
                VARIABLE => match bytes.u8() {
                    Some(255) => bytes.u16().map(usize::from),
                    length => length.map(usize::from),
                },
                length => Some(usize::from(length)),
            };
            let Some(value) = length.and_then(|length| bytes.take(length)) else {
                return false;
            };
            match field.enterprise {
                0 => self.set(field.element, value),
                REVERSE => self.set_reverse(field.element, value),
                _ => {}
            }
        }
        true
    }

    fn set(&mut self, element: u16, value: &[u8]) {
        let Some(number) = number(value) else {
            match (element, <[u8; 16]>::try_from(value)) {
                (27, Ok(address)) => set_address(&mut self.source, Ipv6Addr::from(address).into()),
                (28, Ok(address)) => set_address(&mut self.destination, Ipv6Addr::from(address).into()),
                _ => {}
            }
            return;
        };
        match element {
            1 | 23 | 231 => {
                self.has_deltas = true;
                self.sent.bytes = self.sent.bytes.max(number);
            }
            2 | 24 | 298 => {
                self.has_deltas = true;
                self.sent.packets = self.sent.packets.max(number);
            }
            85 => self.totals.bytes = number,
            86 => self.totals.packets = number,
            232 => self.answered.bytes = number,
            299 => self.answered.packets = number,
            4 => self.protocol = number as u8,
            6 => self.flags |= number as u8,
            7 => self.ports.0 = number as u16,
            11 => self.ports.1 = number as u16,
            8 if value.len() == 4 => set_address(&mut self.source, Ipv4Addr::from_bits(number as u32).into()),
            12 if value.len() == 4 => set_address(&mut self.destination, Ipv4Addr::from_bits(number as u32).into()),
            21 => self.last = Moment::Uptime(number as u32),
            22 => self.first = Moment::Uptime(number as u32),
            32 | 139 => self.icmp = Some(((number >> 8) as u8, number as u8)),
            34 | 50 | 305 => self.sampling = number,
            58 | 243 => self.vlan = Some(number as u16 & 0xfff).filter(|vlan| *vlan != 0),
            150 => self.first = absolute(number, 1_000_000_000),
            151 => self.last = absolute(number, 1_000_000_000),
            152 => self.first = absolute(number, 1_000_000),
            153 => self.last = absolute(number, 1_000_000),
            154 | 156 => self.first = ntp(number),
            155 | 157 => self.last = ntp(number),
            158 => self.first = Moment::Before(micros(number)),
            159 => self.last = Moment::Before(micros(number)),
            160 => {
                if let Moment::Absolute(boot) = absolute(number, 1_000_000) {
                    self.boot = Some(boot);
                }
            }
            161 => self.duration_millis = i64::try_from(number).ok(),
            176 | 178 => self.icmp = Some((number as u8, self.icmp.map_or(0, |(_, code)| code))),
            177 | 179 => self.icmp = Some((self.icmp.map_or(0, |(kind, _)| kind), number as u8)),
            _ => {}
        }
    }

    fn set_reverse(&mut self, element: u16, value: &[u8]) {
        match (element, number(value)) {
            (1 | 85, Some(number)) => self.answered.bytes = number,
            (2 | 86, Some(number)) => self.answered.packets = number,
            (6, Some(number)) => self.answered_flags |= number as u8,
            _ => {}
        }
    }

    /// The flow; nothing when it has no ends or no packets.
    fn part(&self, head: &Head, sender: &Sender, sampling: u64) -> Option<Part> {
        let (source, destination) = (self.source?, self.destination?);
        let sent = if self.has_deltas { self.sent } else { self.totals };
        if source.is_ipv4() != destination.is_ipv4() || (sent, self.answered) == Default::default() {
            return None;
        }
        let last = self.moment(self.last, head).unwrap_or(head.now);
        let first = self.moment(self.first, head).unwrap_or_else(|| {
            let length = Duration::from_millis(self.duration_millis.unwrap_or(0).clamp(0, 86_400_000));
            last.minus(length)
        });
        let (first, last) = sender.believed(first, last);
        let scaled = |counts: Counts| Counts {
            bytes: counts.bytes.saturating_mul(sampling),
            packets: counts.packets.max(1).saturating_mul(sampling),
        };
        let has_answer = self.answered != Counts::default();
        let part = Part {
            source,
            destination,
            ports: self.ports(),
            protocol: self.protocol,
            flags: self.flags,
            sent: scaled(sent),
            answered: has_answer.then(|| (scaled(self.answered), self.answered_flags)),
            first,
            last,
            vlan: self.vlan,
            is_sample: false,
        };
        // Where an exporter orders the ends by their addresses, the other side may be the only one that sent.
        Some(if sent == Counts::default() {
            part.other_way()
        } else {
            part
        })
    }

    /// Ports, or type and code of ICMP, which some tell in the place of the destination's port.
    fn ports(&self) -> (u16, u16) {
        match (self.protocol, self.icmp) {
            (1 | 58, Some((kind, code))) => (u16::from(kind), u16::from(code)),
            (1 | 58, None) => {
                let [kind, code] = self.ports.1.to_be_bytes();
                (u16::from(kind), u16::from(code))
            }
            _ => self.ports,
        }
    }

    fn moment(&self, moment: Moment, head: &Head) -> Option<Timestamp> {
        match (moment, head.uptime_millis, self.boot) {
            (Moment::Untold, ..) => None,
            (Moment::Absolute(time), ..) => Some(time),
            (Moment::Before(length), ..) => Some(head.now.minus(length)),
            (Moment::Uptime(millis), _, Some(boot)) => Some(boot.plus(Duration::from_millis(i64::from(millis)))),
            (Moment::Uptime(millis), Some(uptime), None) => {
                let uptime = Uptime {
                    now: head.now,
                    millis: uptime,
                };
                Some(uptime.moment(millis))
            }
            (Moment::Uptime(_), None, None) => None,
        }
    }
}

/// A number of up to eight bytes.
fn number(value: &[u8]) -> Option<u64> {
    (1..=8)
        .contains(&value.len())
        .then(|| value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Where a template has places for both kinds of addresses, the one that is not used is zero.
fn set_address(held: &mut Option<IpAddr>, address: IpAddr) {
    if held.is_none_or(|held| held.is_unspecified()) {
        *held = Some(address);
    }
}

fn absolute(number: u64, nanos: i64) -> Moment {
    let time = i64::try_from(number).ok().and_then(|number| number.checked_mul(nanos));
    time.map_or(Moment::Untold, |time| Moment::Absolute(Timestamp::from_nanos(time)))
}

/// Seconds since 1900 in the upper half, their fraction in the lower one.
fn ntp(number: u64) -> Moment {
    let seconds = (number >> 32) as i64 - NTP_SECONDS;
    let nanos = ((number & 0xffff_ffff) * 1_000_000_000) >> 32;
    Moment::Absolute(Timestamp::from_seconds(seconds).plus(Duration::from_nanos(nanos as i64)))
}

fn micros(number: u64) -> Duration {
    let nanos = number.min(86_400_000_000 * 2) * 1000;
    Duration::from_nanos(i64::try_from(nanos).unwrap_or(0))
}
