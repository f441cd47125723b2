//! From what an exporter told of a flow to the event that its packets would have given.

use super::{Counts, Part};
use crate::domain::{Event, Field};
use crate::engine::decoder::packet::community_id::{Tuple, community_id, icmp_ports};
use crate::engine::decoder::packet::conn_state::datagram_state;
use crate::engine::decoder::packet::event::decimal;
use crate::engine::decoder::packet::transport::{self, protocol};
use std::net::IpAddr;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;

/// The event of a flow, from the side that began it.
pub(super) fn of_flow(part: &Part) -> Event {
    let mut event = Event::new(part.last);
    event.set_start(part.first);
    event.add_str(Field::EventKind, "event");
    event.add_str(Field::EventCategory, "network");
    event.add_str(Field::EventType, "connection");
    event.add_str(Field::EventType, "end");
    event.add_str(Field::EventDataset, "flow");
    describe_ends(part, &mut event);
    let (answered, flags) = part.answered.unwrap_or_default();
    event.add_u64(Field::SourceBytes, part.sent.bytes);
    event.add_u64(Field::SourcePackets, part.sent.packets);
    event.add_u64(Field::DestinationBytes, answered.bytes);
    event.add_u64(Field::DestinationPackets, answered.packets);
    event.add_u64(Field::NetworkBytes, part.sent.bytes.saturating_add(answered.bytes));
    event.add_u64(
        Field::NetworkPackets,
        part.sent.packets.saturating_add(answered.packets),
    );
    let length = part.last.since(part.first).nanos().max(0).unsigned_abs();
    event.add_u64(Field::EventDuration, length);
    if let Some(state) = state(part, answered, flags) {
        event.add_str(Field::ZeekConnectionState, state);
    }
    if let Some(vlan) = part.vlan {
        event.add_str(Field::NetworkVlanId, decimal(vlan, &mut [0; 5]));
    }
    event
}

fn describe_ends(part: &Part, event: &mut Event) {
    event.add_ip(Field::SourceIp, part.source);
    event.add_ip(Field::DestinationIp, part.destination);
    let has_ports = matches!(part.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
    if has_ports {
        event.add_u64(Field::SourcePort, u64::from(part.ports.0));
        event.add_u64(Field::DestinationPort, u64::from(part.ports.1));
    }
    let is_v6 = part.source.is_ipv6();
    event.add_str(Field::NetworkType, if is_v6 { "ipv6" } else { "ipv4" });
    if let Some(name) = transport::name(part.protocol) {
        event.add_str(Field::NetworkTransport, name);
    }
    event.add_str(Field::NetworkIanaNumber, decimal(u16::from(part.protocol), &mut [0; 5]));
    let is_icmp = matches!(part.protocol, protocol::ICMP | protocol::ICMP_V6);
    let (kind, code) = (part.ports.0 as u8, part.ports.1 as u8);
    let (ports, one_way) = if is_icmp {
        let (one, other, one_way) = icmp_ports(is_v6, kind, code);
        (Some((one, other)), one_way)
    } else {
        (has_ports.then_some(part.ports), false)
    };
    let id = community_id(&Tuple {
        source: number(part.source),
        destination: number(part.destination),
        is_v6,
        protocol: part.protocol,
        ports,
        one_way,
    });
    event.add_str(Field::NetworkCommunityId, std::str::from_utf8(&id).unwrap_or_default());
    if is_icmp {
        event.add_u64(Field::IcmpType, u64::from(kind));
        event.add_u64(Field::IcmpCode, u64::from(code));
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Zeek's name for how it went, as far as the flags that were seen on each side tell. Samples tell nothing.
fn state(part: &Part, answered: Counts, answer: u8) -> Option<&'static str> {
    match part.protocol {
        _ if part.is_sample => None,
        protocol::UDP | protocol::SCTP => Some(datagram_state(part.sent.packets, answered.packets)),
        protocol::TCP if part.flags | answer == 0 => None,
        protocol::TCP => Some(tcp_state(part.flags, answer, answered.packets > 0)),
        _ => Some("OTH"),
    }
}

fn tcp_state(sent: u8, answer: u8, is_answered: bool) -> &'static str {
    let has = |flags: u8, flag: u8| flags & flag != 0;
    if !is_answered {
        return match (has(sent, SYN), has(sent, FIN), has(sent, RST)) {
            (true, _, true) => "RSTOS0",
            (true, true, _) => "SH",
            (true, ..) => "S0",
            _ => "OTH",
        };
    }
    if !has(answer, SYN) {
        return if has(sent, SYN) && has(answer, RST) {
            "REJ"
        } else {
            "OTH"
        };
    }
    match (has(sent, RST), has(answer, RST), has(sent, FIN), has(answer, FIN)) {
        (true, ..) => "RSTO",
        (_, true, ..) => "RSTR",
        (_, _, true, true) => "SF",
        (_, _, true, false) => "S2",
        (_, _, false, true) => "S3",
        _ => "S1",
    }
}
