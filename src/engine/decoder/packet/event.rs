//! From a flow to its event, and the fields that events of application protocols share with it.

use super::community_id::{Tuple, community_id, icmp_ports};
use super::conn_state::datagram_state;
use super::flow::Flow;
use super::transport::{self, protocol};
use crate::domain::{Event, Field, Timestamp};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The event of a flow, or of a part of one: one `connection` that was complete with its last packet.
pub(crate) fn of_flow(flow: &Flow, is_one_way: bool) -> Event {
    let mut event = Event::new(Timestamp::from_nanos(flow.last));
    event.set_start(Timestamp::from_nanos(flow.first));
    event.add_str(Field::EventKind, "event");
    event.add_str(Field::EventCategory, "network");
    event.add_str(Field::EventType, "connection");
    event.add_str(Field::EventType, "end");
    event.add_str(Field::EventDataset, "flow");
    describe_ends(flow, &mut event);
    if let Some(name) = flow.inspection.protocol() {
        event.add_str(Field::NetworkProtocol, name);
    }
    let (originator, responder) = (&flow.originator, &flow.responder);
    event.add_u64(Field::SourceBytes, originator.bytes);
    event.add_u64(Field::SourcePackets, originator.packets);
    event.add_u64(Field::DestinationBytes, responder.bytes);
    event.add_u64(Field::DestinationPackets, responder.packets);
    event.add_u64(Field::NetworkBytes, originator.bytes.saturating_add(responder.bytes));
    event.add_u64(
        Field::NetworkPackets,
        originator.packets.saturating_add(responder.packets),
    );
    event.add_u64(
        Field::EventDuration,
        flow.last.saturating_sub(flow.first).max(0).unsigned_abs(),
    );
    describe_state(flow, &mut event);
    let (size_mean, size_deviation) = flow.size_statistics();
    event.add_f64(Field::StakeoutFlowSizeMean, size_mean);
    event.add_f64(Field::StakeoutFlowSizeStddev, size_deviation);
    if let Some((gap_mean, gap_deviation)) = flow.gap_statistics() {
        event.add_f64(Field::StakeoutFlowInterarrivalMean, gap_mean);
        event.add_f64(Field::StakeoutFlowInterarrivalStddev, gap_deviation);
    }
    if flow.duplicates > 0 {
        event.add_u64(Field::StakeoutFlowDuplicates, flow.duplicates);
    }
    let retransmits = flow.connection.retransmits().saturating_sub(flow.retransmits_told);
    if retransmits > 0 {
        event.add_u64(Field::StakeoutFlowRetransmits, retransmits);
    }
    if is_one_way {
        event.add_bool(Field::StakeoutFlowOneWay, true);
    }
    describe_link(flow, &mut event);
    event
}

/// Who and whereby: addresses, ports, transport, Community ID. Every event from a flow has these.
pub(crate) fn describe_ends(flow: &Flow, event: &mut Event) {
    let key = &flow.key;
    let (low, high) = ((key.low, key.low_port), (key.high, key.high_port));
    let (from, to) = if flow.originator_is_low {
        (low, high)
    } else {
        (high, low)
    };
    event.add_ip(Field::SourceIp, address(from.0, key.is_v6));
    event.add_ip(Field::DestinationIp, address(to.0, key.is_v6));
    let has_ports = matches!(key.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
    if has_ports {
        event.add_u64(Field::SourcePort, u64::from(from.1));
        event.add_u64(Field::DestinationPort, u64::from(to.1));
    }
    event.add_str(Field::NetworkType, if key.is_v6 { "ipv6" } else { "ipv4" });
    if let Some(name) = transport::name(key.protocol) {
        event.add_str(Field::NetworkTransport, name);
    }
    let mut digits = [0; 5];
    event.add_str(Field::NetworkIanaNumber, decimal(u16::from(key.protocol), &mut digits));
    let one_way = flow
        .icmp
        .is_some_and(|(kind, code)| icmp_ports(key.is_v6, kind, code).2);
    let id = community_id(&Tuple {
        source: from.0,
        destination: to.0,
        is_v6: key.is_v6,
        protocol: key.protocol,
        ports: (has_ports || flow.icmp.is_some()).then_some((from.1, to.1)),
        one_way,
    });
    event.add_str(Field::NetworkCommunityId, std::str::from_utf8(&id).unwrap_or_default());
    if let Some((kind, code)) = flow.icmp {
        event.add_u64(Field::IcmpType, u64::from(kind));
        event.add_u64(Field::IcmpCode, u64::from(code));
    }
}

/// On what: MAC addresses, VLANs, tunnel.
pub(crate) fn describe_link(flow: &Flow, event: &mut Event) {
    if let Some(macs) = flow.layers.macs {
        let [to @ .., a, b, c, d, e, f] = macs;
        let from = [a, b, c, d, e, f];
        let (source, destination) = if flow.layers_from_originator {
            (from, to)
        } else {
            (to, from)
        };
        for (field, mac) in [(Field::SourceMac, source), (Field::DestinationMac, destination)] {
            if mac != [0; 6] {
                add_mac(event, field, mac);
            }
        }
    }
    let mut digits = [0; 5];
    for (field, vlan) in [
        (Field::NetworkVlanId, flow.layers.vlans.first()),
        (Field::NetworkInnerVlanId, flow.layers.vlans.last()),
    ] {
        if let Some(Some(vlan)) = vlan {
            event.add_str(field, decimal(*vlan, &mut digits));
        }
    }
    if let Some(name) = flow.layers.tunnel.name() {
        event.add_str(Field::TunnelType, name);
    }
}

fn describe_state(flow: &Flow, event: &mut Event) {
    match flow.key.protocol {
        protocol::TCP => {
            event.add_str(Field::ZeekConnectionState, flow.connection.name());
            event.add_str(Field::ZeekConnectionHistory, flow.connection.history());
        }
        protocol::UDP | protocol::SCTP => {
            let (sent, answered) = (flow.originator.packets, flow.responder.packets);
            event.add_str(Field::ZeekConnectionState, datagram_state(sent, answered));
            let history = match (sent > 0, answered > 0) {
                (true, true) => "Dd",
                (true, false) => "D",
                (false, true) => "d",
                (false, false) => "",
            };
            event.add_str(Field::ZeekConnectionHistory, history);
        }
        _ => event.add_str(Field::ZeekConnectionState, "OTH"),
    }
}

/// An address as the domain has it.
pub(crate) fn address(number: u128, is_v6: bool) -> IpAddr {
    if is_v6 {
        IpAddr::V6(Ipv6Addr::from_bits(number))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(number as u32))
    }
}

/// Adds a MAC address as ECS writes it (RFC 7042): `00-00-5E-00-53-23`.
fn add_mac(event: &mut Event, field: Field, mac: [u8; 6]) {
    let digit = |nibble: u8| nibble + if nibble > 9 { b'A' - 10 } else { b'0' };
    let [a, b, c, d, e, f] = mac.map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    let text = [
        a[0], a[1], b'-', b[0], b[1], b'-', c[0], c[1], b'-', d[0], d[1], b'-', e[0], e[1], b'-', f[0], f[1],
    ];
    event.add_str(field, std::str::from_utf8(&text).unwrap_or_default());
}

/// A small number as text, in place.
pub(crate) fn decimal(number: u16, digits: &mut [u8; 5]) -> &str {
    let mut rest = number;
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    let text = digits.get(digits.len() - used..).unwrap_or_default();
    std::str::from_utf8(text).unwrap_or_default()
}
