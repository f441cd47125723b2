//! Community ID version 1: the same short text for a flow in every product that saw it.
//!
//! Specification: corelight/community-id-spec. SHA-1 over seed, ordered endpoints and protocol, in base 64. ICMP has
//! its type and code in the place of ports.

use sha1::{Digest, Sha1};

/// What a flow is known by: who sent, in the packet's own direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuple {
    /// IPv4 is mapped into IPv6 (`::ffff:a.b.c.d`) here.
    pub(crate) source: u128,
    pub(crate) destination: u128,
    pub(crate) is_v6: bool,
    pub(crate) protocol: u8,
    /// Ports of TCP, UDP and SCTP, [`icmp_ports`] of ICMP; `None` for protocols without ports.
    pub(crate) ports: Option<(u16, u16)>,
    /// Whether an answer to it would not be known as one (most kinds of ICMP), so that its ends are not ordered.
    pub(crate) one_way: bool,
}

/// ICMP type and code in the place of ports: a kind that is answered has its answer's type as its counterpart and is
/// the same flow in both directions; others have their code, and the last value tells that they are one-way.
pub(crate) fn icmp_ports(is_v6: bool, kind: u8, code: u8) -> (u16, u16, bool) {
    let counterpart = if is_v6 {
        match kind {
            128 => 129,
            129 => 128,
            133 => 134,
            134 => 133,
            135 => 136,
            136 => 135,
            130 => 131,
            131 => 130,
            139 => 140,
            140 => 139,
            144 => 145,
            145 => 144,
            _ => return (u16::from(kind), u16::from(code), true),
        }
    } else {
        match kind {
            8 => 0,
            0 => 8,
            13 => 14,
            14 => 13,
            15 => 16,
            16 => 15,
            10 => 9,
            9 => 10,
            17 => 18,
            18 => 17,
            _ => return (u16::from(kind), u16::from(code), true),
        }
    };
    (u16::from(kind), counterpart, false)
}

/// The identifier, 30 characters of ASCII: `1:` and the digest.
pub(crate) fn community_id(tuple: &Tuple) -> [u8; 30] {
    let (source_port, destination_port) = tuple.ports.unwrap_or((0, 0));
    let from = (tuple.source, source_port);
    let to = (tuple.destination, destination_port);
    let (low, high) = if tuple.one_way || from <= to {
        (from, to)
    } else {
        (to, from)
    };
    // Seed (0), two addresses, protocol, padding, two ports.
    let mut text = [0u8; 40];
    let mut length = 2;
    let mut put = |bytes: &[u8]| {
        if let Some(place) = text.get_mut(length..length + bytes.len()) {
            place.copy_from_slice(bytes);
            length += bytes.len();
        }
    };
    for address in [low.0, high.0] {
        if tuple.is_v6 {
            put(&address.to_be_bytes());
        } else {
            put(&(address as u32).to_be_bytes());
        }
    }
    put(&[tuple.protocol, 0]);
    if tuple.ports.is_some() {
        put(&low.1.to_be_bytes());
        put(&high.1.to_be_bytes());
    }
    let digest: [u8; 20] = Sha1::digest(text.get(..length).unwrap_or_default()).into();
    encode(&digest)
}

fn encode(digest: &[u8; 20]) -> [u8; 30] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'=');
    let mut text = [b'='; 30];
    let (prefix, places) = text.split_at_mut(2);
    prefix.copy_from_slice(b"1:");
    for (group, place) in digest.chunks(3).zip(places.chunks_mut(4)) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for (number, letter_place) in place.iter_mut().enumerate().take(group.len() + 1) {
            *letter_place = letter(bits >> (18 - 6 * number));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn check(protocol: u8, source: &str, destination: &str, ports: Option<(u16, u16)>, expected: &str) {
        let address = |text: &str| match text.parse().expect("an address") {
            IpAddr::V4(address) => (u128::from(address.to_ipv6_mapped()), false),
            IpAddr::V6(address) => (u128::from(address), true),
        };
        let (source_number, is_v6) = address(source);
        let (ports, one_way) = match (protocol, ports) {
            (1 | 58, Some((kind, code))) => {
                let (source_port, destination_port, one_way) = icmp_ports(is_v6, kind as u8, code as u8);
                (Some((source_port, destination_port)), one_way)
            }
            _ => (ports, false),
        };
        let id = community_id(&Tuple {
            source: source_number,
            destination: address(destination).0,
            is_v6,
            protocol,
            ports,
            one_way,
        });
        assert_eq!(
            std::str::from_utf8(&id),
            Ok(expected),
            "{source} {destination} {ports:?}"
        );
    }

    #[test]
    fn identifiers_are_those_of_the_specification() {
        let (a6, b6) = ("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea");
        check(58, a6, b6, Some((135, 0)), "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=");
        check(58, b6, a6, Some((136, 0)), "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=");
        check(58, b6, a6, Some((135, 0)), "1:zavyT/cezQr1fmImYCwYnMXbgck=");
        check(58, a6, "ff02::2", Some((133, 0)), "1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0=");
        check(58, b6, "ff02::1", Some((134, 0)), "1:pkvHqCL88/tg1k4cPigmZXUtL00=");
        let far = "3ffe:507:0:1:200:86ff:fe05:80da";
        check(
            58,
            "3ffe:501:1800:2345::2",
            far,
            Some((3, 0)),
            "1:2ObVBgIn28oZvibYZhZMBgh7WdQ=",
        );
        check(
            58,
            "3ffe:501:410:0:2c0:dfff:fe47:33e",
            far,
            Some((1, 4)),
            "1:hLZd0XGWojozrvxqE0dWB1iM6R0=",
        );
        check(
            58,
            far,
            "3ffe:501:0:1001::2",
            Some((128, 0)),
            "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=",
        );
        check(
            58,
            "3ffe:501:0:1001::2",
            far,
            Some((129, 0)),
            "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=",
        );
        check(
            1,
            "192.168.0.89",
            "192.168.0.1",
            Some((8, 0)),
            "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
        );
        check(
            1,
            "192.168.0.1",
            "192.168.0.89",
            Some((0, 8)),
            "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
        );
        check(
            1,
            "10.0.0.1",
            "10.0.0.2",
            Some((11, 0)),
            "1:YHxtAirCG//0OzkcVAukqKQN9xM=",
        );
        let (mail, server) = ("2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a");
        check(6, mail, server, Some((63943, 25)), "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=");
        check(6, server, mail, Some((25, 63943)), "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=");
        check(
            132,
            "192.168.170.8",
            "192.168.170.56",
            Some((7, 7)),
            "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
        );
        check(
            132,
            "192.168.170.56",
            "192.168.170.8",
            Some((7, 7)),
            "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
        );
        check(
            6,
            "128.232.110.120",
            "66.35.250.204",
            Some((34855, 80)),
            "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        );
        check(
            6,
            "66.35.250.204",
            "128.232.110.120",
            Some((80, 34855)),
            "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        );
        check(
            17,
            "192.168.1.52",
            "8.8.8.8",
            Some((54585, 53)),
            "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
        );
        check(
            17,
            "8.8.8.8",
            "192.168.1.52",
            Some((53, 54585)),
            "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
        );
        check(46, "10.1.12.1", "10.1.12.2", None, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=");
        check(46, "10.1.12.2", "10.1.12.1", None, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=");
    }

    /// What pycommunityid 1.5.0 gives: messages without an answer keep their code, so their two directions differ.
    #[test]
    fn identifiers_are_those_of_the_reference_implementation() {
        let (a4, b4) = ("192.168.0.89", "192.168.0.1");
        check(1, a4, b4, Some((20, 0)), "1:3o2RFccXzUgjl7zDpqmY7yJi8rI=");
        check(1, a4, b4, Some((20, 1)), "1:tz/fHIDUHs19NkixVVoOZywde+I=");
        check(1, b4, a4, Some((0, 20)), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        check(1, a4, b4, Some((13, 0)), "1:oeo0XqAz7cn/+sOcFFOn55Omz0U=");
        check(1, b4, a4, Some((14, 0)), "1:oeo0XqAz7cn/+sOcFFOn55Omz0U=");
        check(1, a4, b4, Some((3, 3)), "1:dPRpNwuTNOTQEtM23HPAdlCnrwc=");
        let (a6, b6) = ("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea");
        check(58, a6, b6, Some((136, 0)), "1:zavyT/cezQr1fmImYCwYnMXbgck=");
        let far = "3ffe:507:0:1:200:86ff:fe05:80da";
        let (near, further) = ("3ffe:507:0:1:260:97ff:fe07:69ea", "3ffe:501:0:1802:260:97ff:feb6:7ff0");
        check(58, far, near, Some((3, 0)), "1:/OGBt9BN1ofenrmSPWYicpij2Vc=");
        check(58, further, far, Some((3, 0)), "1:bnQKq8A2r//dWnkRW2EYcMhShjc=");
        let (caller, called) = ("192.168.170.8", "192.168.170.56");
        check(132, caller, called, Some((7, 80)), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=");
        check(132, called, caller, Some((80, 7)), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=");
        check(
            6,
            "10.0.0.1",
            "10.0.0.2",
            Some((10, 11569)),
            "1:SXBGMX1lBOwhhoDrZynfROxnhnM=",
        );
        check(
            6,
            "10.0.0.2",
            "10.0.0.1",
            Some((11569, 10)),
            "1:SXBGMX1lBOwhhoDrZynfROxnhnM=",
        );
        check(46, "1.2.3.4", "5.6.7.8", None, "1:ikv3kmf89luf73WPz1jOs49S768=");
    }
}
