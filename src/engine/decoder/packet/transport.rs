//! From a datagram to what its flow needs: ports, TCP header, payload.
//!
//! TCP, UDP, SCTP and ICMP have their headers read; any other protocol is a flow without ports.

use super::community_id::icmp_ports;
use super::conn_state::TcpHeader;
use super::link::{Datagram, Unread};

/// IANA numbers of the protocols that are told apart.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ICMP_V6: u8 = 58;
    pub(crate) const SCTP: u8 = 132;
}

/// What stands in a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport<'a> {
    /// Ports; for ICMP, type and counterpart as Community ID has them.
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// The header of TCP.
    pub(crate) tcp: Option<TcpHeader>,
    /// Type and code of ICMP.
    pub(crate) icmp: Option<(u8, u8)>,
    /// What was captured of the payload.
    pub(crate) payload: &'a [u8],
    /// How long the payload was on the wire.
    pub(crate) payload_length: u32,
}

/// Reads the header of what a datagram carries.
#[inline(always)]
pub(crate) fn read<'a>(datagram: &Datagram<'a>) -> Result<Transport<'a>, Unread> {
    let bytes = datagram.payload;
    match datagram.protocol {
        protocol::TCP => tcp(bytes, datagram.payload_length),
        protocol::UDP => udp(bytes, datagram.payload_length),
        protocol::ICMP if !datagram.is_v6 => icmp(datagram, "short_icmp_header"),
        protocol::ICMP_V6 if datagram.is_v6 => icmp(datagram, "short_icmp_header"),
        protocol::SCTP => sctp(bytes, datagram.payload_length),
        _ => Ok(Transport {
            source_port: 0,
            destination_port: 0,
            tcp: None,
            icmp: None,
            payload: bytes,
            payload_length: datagram.payload_length,
        }),
    }
}

#[inline(always)]
fn tcp(bytes: &[u8], length: u32) -> Result<Transport<'_>, Unread> {
    let Some((&header, _)) = bytes.split_first_chunk::<20>() else {
        return Err(Unread::Refused("short_tcp_header"));
    };
    let [
        s1,
        s2,
        d1,
        d2,
        q1,
        q2,
        q3,
        q4,
        a1,
        a2,
        a3,
        a4,
        offset,
        flags,
        w1,
        w2,
        _,
        _,
        _,
        _,
    ] = header;
    let header_bytes = u32::from(offset >> 4) * 4;
    if header_bytes < 20 || header_bytes > length {
        return Err(Unread::Refused("bad_tcp_header_length"));
    }
    Ok(Transport {
        source_port: u16::from_be_bytes([s1, s2]),
        destination_port: u16::from_be_bytes([d1, d2]),
        tcp: Some(TcpHeader {
            sequence: u32::from_be_bytes([q1, q2, q3, q4]),
            acknowledged: u32::from_be_bytes([a1, a2, a3, a4]),
            flags,
            window: u16::from_be_bytes([w1, w2]),
        }),
        icmp: None,
        // Options may have been cut off by the capture's length limit.
        payload: bytes.get(header_bytes as usize..).unwrap_or_default(),
        payload_length: length - header_bytes,
    })
}

#[inline(always)]
fn udp(bytes: &[u8], length: u32) -> Result<Transport<'_>, Unread> {
    let Some((&[s1, s2, d1, d2, l1, l2, _, _], payload)) = bytes.split_first_chunk::<8>() else {
        return Err(Unread::Refused("short_udp_header"));
    };
    let declared = u32::from(u16::from_be_bytes([l1, l2]));
    // RFC 2675 section 4: a length of 0 is a jumbogram's.
    let whole = if declared == 0 { length } else { declared.min(length) };
    if whole < 8 {
        return Err(Unread::Refused("bad_udp_length"));
    }
    let payload_length = whole - 8;
    Ok(Transport {
        source_port: u16::from_be_bytes([s1, s2]),
        destination_port: u16::from_be_bytes([d1, d2]),
        tcp: None,
        icmp: None,
        payload: payload.get(..payload_length as usize).unwrap_or(payload),
        payload_length,
    })
}

fn icmp<'a>(datagram: &Datagram<'a>, short: &'static str) -> Result<Transport<'a>, Unread> {
    let Some((&[kind, code, _, _], payload)) = datagram.payload.split_first_chunk::<4>() else {
        return Err(Unread::Refused(short));
    };
    let (source_port, destination_port, _) = icmp_ports(datagram.is_v6, kind, code);
    Ok(Transport {
        source_port,
        destination_port,
        tcp: None,
        icmp: Some((kind, code)),
        payload,
        payload_length: datagram.payload_length.saturating_sub(4),
    })
}

fn sctp(bytes: &[u8], length: u32) -> Result<Transport<'_>, Unread> {
    let Some((&[s1, s2, d1, d2, ..], payload)) = bytes.split_first_chunk::<12>() else {
        return Err(Unread::Refused("short_sctp_header"));
    };
    Ok(Transport {
        source_port: u16::from_be_bytes([s1, s2]),
        destination_port: u16::from_be_bytes([d1, d2]),
        tcp: None,
        icmp: None,
        payload,
        payload_length: length.saturating_sub(12),
    })
}

/// The name of a protocol as `network.transport` has it; `None` for one that has no name here.
pub(crate) fn name(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "icmp",
        2 => "igmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        41 => "ipv6",
        46 => "rsvp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        88 => "eigrp",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        115 => "l2tp",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}

/// Whether a port is one that servers listen on, for telling who asked when the beginning was not seen.
pub(crate) fn is_server_port(port: u16) -> bool {
    port < 1024
        || matches!(
            port,
            1080 | 1194
                | 1433
                | 1521
                | 1723
                | 1883
                | 2049
                | 2375
                | 3128
                | 3260
                | 3268
                | 3306
                | 3389
                | 4789
                | 5060
                | 5222
                | 5353
                | 5355
                | 5432
                | 5671
                | 5672
                | 5900
                | 5985
                | 6379
                | 6443
                | 6667
                | 8000
                | 8008
                | 8080
                | 8086
                | 8443
                | 8883
                | 8888
                | 9000
                | 9090
                | 9092
                | 9200
                | 11211
                | 27017
        )
}
