//! From a frame to its innermost IP datagram: link headers, tags, labels and tunnels are taken off one by one.
//!
//! Every read is checked and every step consumes bytes or a level of a small depth limit, so hostile nesting ends.
//! Fragments are told, not joined; a tunnel inside of fragments is entered by [`enter`] once they are joined.

mod plain;

use plain::plain;

/// How many headers (link, tag, label, tunnel, IP) one frame may nest.
const LAYERS_MAX: u32 = 24;
/// How many IPv6 extension headers one datagram may have.
const EXTENSIONS_MAX: u32 = 8;

const ETHERNET: u16 = 0x6558;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// What the first byte of a frame belongs to, as the capture file declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet, with or without tags.
    Ethernet,
    /// BSD loopback: four bytes of address family, in either byte order.
    Loopback,
    /// An IPv4 or IPv6 datagram without anything before it.
    RawIp,
    /// Linux "any" device, first version.
    LinuxCooked,
    /// Linux "any" device, second version.
    LinuxCooked2,
    /// PPP, with or without HDLC framing.
    Ppp,
    /// PPPoE session without Ethernet before it.
    PppoeSession,
    /// Cisco HDLC.
    CiscoHdlc,
}

impl LinkType {
    /// The link type of a number in a pcap or pcapng file (tcpdump.org, "Link-layer header types"); `None` for one that
    /// is not read.
    pub fn from_number(number: u32) -> Option<LinkType> {
        // The upper bits of the field hold the length of a frame check sequence.
        Some(match number & 0xffff {
            0 | 108 => LinkType::Loopback,
            1 => LinkType::Ethernet,
            9 | 50 => LinkType::Ppp,
            51 => LinkType::PppoeSession,
            12 | 14 | 101 | 228 | 229 => LinkType::RawIp,
            104 => LinkType::CiscoHdlc,
            113 => LinkType::LinuxCooked,
            276 => LinkType::LinuxCooked2,
            _ => return None,
        })
    }
}

/// Why a frame gives no datagram; the words are fit for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Well formed, and of a kind that is not watched.
    Ignored(&'static str),
    /// Could not be read.
    Refused(&'static str),
}

/// What carried the innermost datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tunnel {
    #[default]
    None,
    Gre,
    IpInIp,
    Ip6In4,
    Vxlan,
    Geneve,
}

impl Tunnel {
    /// The tunnel's name as `tunnel.type` has it; `None` where there is no tunnel.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Tunnel::None => None,
            Tunnel::Gre => Some("gre"),
            Tunnel::IpInIp => Some("ipip"),
            Tunnel::Ip6In4 => Some("6in4"),
            Tunnel::Vxlan => Some("vxlan"),
            Tunnel::Geneve => Some("geneve"),
        }
    }
}

/// What was met on the way to the innermost datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layers {
    /// Destination and source of the innermost Ethernet header.
    pub(crate) macs: Option<[u8; 12]>,
    /// The outer and the inner VLAN of the innermost Ethernet header.
    pub(crate) vlans: [Option<u16>; 2],
    /// The innermost tunnel.
    pub(crate) tunnel: Tunnel,
    /// How many headers were taken off so far.
    depth: u32,
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// The identification that all fragments of a datagram share.
    pub(crate) identification: u32,
    /// Where this fragment's first byte stands in the datagram's payload.
    pub(crate) offset_bytes: u32,
    /// Whether more fragments follow.
    pub(crate) more: bool,
}

/// One IP datagram. IPv4 addresses are mapped (`::ffff:a.b.c.d`), so that both versions compare alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) source: u128,
    pub(crate) destination: u128,
    pub(crate) is_v6: bool,
    /// IANA number of what `payload` is, behind all extension headers.
    pub(crate) protocol: u8,
    /// IP-layer bytes with headers, as the header declares them.
    pub(crate) length: u32,
    /// IPv4 identification; 0 where the sender gave none and for IPv6.
    pub(crate) identification: u16,
    pub(crate) fragment: Option<Fragment>,
    /// What was captured of the payload, without link padding.
    pub(crate) payload: &'a [u8],
    /// How long the payload is by the header; more than `payload.len()` where the capture cut it.
    pub(crate) payload_length: u32,
    pub(crate) layers: Layers,
}

enum Step<'a> {
    Ethernet(&'a [u8]),
    Ethertype(u16, &'a [u8]),
    Ip(&'a [u8]),
    Mpls(&'a [u8]),
    Ppp(&'a [u8]),
    Pppoe(&'a [u8]),
    Gre(&'a [u8]),
}

/// The innermost datagram of a frame. `original_length` is what the frame had on the wire.
#[inline]
pub(crate) fn unwrap(link: LinkType, original_length: u32, bytes: &[u8]) -> Result<Datagram<'_>, Unread> {
    if link == LinkType::Ethernet
        && let Some(datagram) = plain(bytes)
    {
        return Ok(datagram);
    }
    unwrap_any(link, original_length, bytes)
}

fn unwrap_any(link: LinkType, original_length: u32, bytes: &[u8]) -> Result<Datagram<'_>, Unread> {
    let cut_bytes = original_length.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let mut layers = Layers::default();
    let first = match link {
        LinkType::Ethernet => Step::Ethernet(bytes),
        LinkType::RawIp => Step::Ip(bytes),
        LinkType::Ppp => Step::Ppp(bytes),
        LinkType::PppoeSession => Step::Pppoe(bytes),
        LinkType::Loopback => Step::Ip(bytes.get(4..).ok_or(Unread::Refused("short_link_header"))?),
        LinkType::LinuxCooked => linux_cooked(bytes, &mut layers)?,
        LinkType::LinuxCooked2 => linux_cooked_2(bytes, &mut layers)?,
        LinkType::CiscoHdlc => match bytes.split_first_chunk::<4>() {
            Some(([_, _, a, b], rest)) => Step::Ethertype(u16::from_be_bytes([*a, *b]), rest),
            None => return Err(Unread::Refused("short_link_header")),
        },
    };
    descend(first, layers, cut_bytes)
}

/// The innermost datagram that a joined datagram carries: itself, where it is no tunnel.
pub(crate) fn enter(mut datagram: Datagram<'_>) -> Result<Datagram<'_>, Unread> {
    if datagram.is_v6 {
        skip_extensions(&mut datagram)?;
    }
    let mut inner = datagram;
    let cut_bytes = cut_bytes_of(&datagram);
    match inside(&mut inner) {
        Some(step) => match descend(step, inner.layers, cut_bytes) {
            Err(Unread::Refused(_)) => Ok(datagram),
            found => found,
        },
        None => Ok(datagram),
    }
}

fn cut_bytes_of(datagram: &Datagram<'_>) -> u32 {
    datagram
        .payload_length
        .saturating_sub(u32::try_from(datagram.payload.len()).unwrap_or(u32::MAX))
}

fn descend<'a>(mut step: Step<'a>, mut layers: Layers, cut_bytes: u32) -> Result<Datagram<'a>, Unread> {
    // What is told when a tunnel turns out to hold nothing that can be read: the tunnel itself is a flow then.
    let mut outer: Option<Datagram<'a>> = None;
    loop {
        layers.depth += 1;
        if layers.depth > LAYERS_MAX {
            return outer.ok_or(Unread::Refused("too_many_layers"));
        }
        let next = match step {
            Step::Ethernet(bytes) => ethernet(bytes, &mut layers),
            Step::Ethertype(IPV4, bytes) => Ok(Step::Ip(bytes)),
            Step::Ethertype(IPV6, bytes) => Ok(Step::Ip(bytes)),
            Step::Ethertype(kind, bytes) => ethertype(kind, bytes, &mut layers),
            Step::Mpls(bytes) => mpls(bytes),
            Step::Ppp(bytes) => ppp(bytes),
            Step::Pppoe(bytes) => pppoe(bytes),
            Step::Gre(bytes) => gre(bytes),
            Step::Ip(bytes) => {
                let found = match bytes.first().map(|byte| byte >> 4) {
                    Some(4) => ipv4(bytes, layers, cut_bytes),
                    Some(6) => ipv6(bytes, layers, cut_bytes),
                    Some(_) => Err(Unread::Refused("bad_ip_version")),
                    None => Err(Unread::Refused("short_ip_header")),
                };
                match found {
                    Ok(mut datagram) => {
                        let seen_from_outside = datagram;
                        match inside(&mut datagram) {
                            None => return Ok(datagram),
                            Some(inner) => {
                                layers = datagram.layers;
                                outer = Some(seen_from_outside);
                                Ok(inner)
                            }
                        }
                    }
                    Err(unread) => Err(unread),
                }
            }
        };
        step = match next {
            Ok(step) => step,
            Err(Unread::Refused(reason)) => return outer.ok_or(Unread::Refused(reason)),
            Err(ignored) => return Err(ignored),
        };
    }
}

#[inline]
fn ethernet<'a>(bytes: &'a [u8], layers: &mut Layers) -> Result<Step<'a>, Unread> {
    let Some((header, rest)) = bytes.split_first_chunk::<14>() else {
        return Err(Unread::Refused("short_link_header"));
    };
    let [macs @ .., a, b] = header;
    layers.macs = Some(*macs);
    layers.vlans = [None; 2];
    Ok(Step::Ethertype(u16::from_be_bytes([*a, *b]), rest))
}

fn ethertype<'a>(kind: u16, bytes: &'a [u8], layers: &mut Layers) -> Result<Step<'a>, Unread> {
    match kind {
        0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
            let Some(([a, b, c, d], rest)) = bytes.split_first_chunk::<4>() else {
                return Err(Unread::Refused("short_vlan_tag"));
            };
            let vlan = Some(u16::from_be_bytes([*a, *b]) & 0x0fff);
            match &mut layers.vlans {
                [outer @ None, _] => *outer = vlan,
                [_, inner] => *inner = vlan,
            }
            Ok(Step::Ethertype(u16::from_be_bytes([*c, *d]), rest))
        }
        0x8847 | 0x8848 => Ok(Step::Mpls(bytes)),
        0x8864 => Ok(Step::Pppoe(bytes)),
        ETHERNET => Ok(Step::Ethernet(bytes)),
        0x0806 | 0x8035 => Err(Unread::Ignored("arp")),
        0x88cc => Err(Unread::Ignored("lldp")),
        0x8809 => Err(Unread::Ignored("lacp")),
        0x888e => Err(Unread::Ignored("eapol")),
        0x88e5 => Err(Unread::Ignored("macsec")),
        0x8863 => Err(Unread::Ignored("pppoe_discovery")),
        0..=0x05dc => logical_link(bytes),
        _ => Err(Unread::Ignored("other_ethertype")),
    }
}

/// IEEE 802.2: SNAP carries an Ethertype, the rest is spanning tree and its kin.
fn logical_link(bytes: &[u8]) -> Result<Step<'_>, Unread> {
    match bytes {
        [0xaa, 0xaa, 0x03, 0, 0, 0, a, b, rest @ ..] => Ok(Step::Ethertype(u16::from_be_bytes([*a, *b]), rest)),
        [0x42, 0x42, ..] | [0xaa, 0xaa, 0x03, 0x00, 0x00, 0x0c, 0x01, 0x0b, ..] => Err(Unread::Ignored("stp")),
        [0xaa, 0xaa, 0x03, 0x00, 0x00, 0x0c, 0x20, 0x00, ..] => Err(Unread::Ignored("cdp")),
        [0x06, 0x06, 0x03, rest @ ..] => Ok(Step::Ip(rest)),
        [0xfe, 0xfe, 0x03, ..] => Err(Unread::Ignored("isis")),
        [_, _, _, ..] => Err(Unread::Ignored("llc")),
        _ => Err(Unread::Refused("short_llc_header")),
    }
}

fn mpls(bytes: &[u8]) -> Result<Step<'_>, Unread> {
    let Some(([_, _, bottom, _], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(Unread::Refused("short_mpls_label"));
    };
    if bottom & 1 == 0 {
        return Ok(Step::Mpls(rest));
    }
    // RFC 4928: what stands behind the last label is guessed from its first nibble. 0 is a pseudowire's control word.
    match rest.first().map(|byte| byte >> 4) {
        Some(4 | 6) => Ok(Step::Ip(rest)),
        Some(0) => rest
            .get(4..)
            .map(Step::Ethernet)
            .ok_or(Unread::Refused("short_mpls_label")),
        Some(_) => Ok(Step::Ethernet(rest)),
        None => Err(Unread::Refused("short_mpls_label")),
    }
}

fn pppoe(bytes: &[u8]) -> Result<Step<'_>, Unread> {
    match bytes.split_first_chunk::<6>() {
        Some(([0x11, 0, ..], rest)) => Ok(Step::Ppp(rest)),
        Some(([0x11, ..], _)) => Err(Unread::Ignored("pppoe_discovery")),
        Some(_) => Err(Unread::Refused("bad_pppoe_header")),
        None => Err(Unread::Refused("short_pppoe_header")),
    }
}

fn ppp(bytes: &[u8]) -> Result<Step<'_>, Unread> {
    let unframed = match bytes {
        [0xff, 0x03, rest @ ..] | [0x0f, 0x00, rest @ ..] => rest,
        _ => bytes,
    };
    let (protocol, rest) = match unframed {
        // RFC 1661 section 2: an odd first byte is a compressed protocol number.
        [a, rest @ ..] if a & 1 == 1 => (u16::from(*a), rest),
        [a, b, rest @ ..] => (u16::from_be_bytes([*a, *b]), rest),
        _ => return Err(Unread::Refused("short_ppp_header")),
    };
    match protocol {
        0x0021 | 0x0057 => Ok(Step::Ip(rest)),
        IPV4 | IPV6 => Ok(Step::Ip(rest)),
        0x0281 | 0x0283 => Ok(Step::Mpls(rest)),
        _ => Err(Unread::Ignored("ppp_control")),
    }
}

/// RFC 2784, 2890 and 2637 (the enhanced header of PPTP).
fn gre(bytes: &[u8]) -> Result<Step<'_>, Unread> {
    let Some(([flags, version, a, b], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(Unread::Refused("short_gre_header"));
    };
    let protocol = u16::from_be_bytes([*a, *b]);
    let has = |bit: u8| usize::from(flags & bit != 0) * 4;
    let optional = match version & 7 {
        0 if flags & 0x40 == 0 => has(0x80) + has(0x20) + has(0x10),
        1 => has(0x20) + has(0x10) + usize::from(version & 0x80 != 0) * 4,
        // Source routes (RFC 1701) were never used.
        _ => return Err(Unread::Refused("bad_gre_header")),
    };
    let inner = rest.get(optional..).ok_or(Unread::Refused("short_gre_header"))?;
    match protocol {
        0x880b => Ok(Step::Ppp(inner)),
        // ERSPAN: type I has no header of its own (and no sequence number in GRE), type II has 8 bytes, type III 12.
        0x88be if flags & 0x10 == 0 => Ok(Step::Ethernet(inner)),
        0x88be => inner
            .get(8..)
            .map(Step::Ethernet)
            .ok_or(Unread::Refused("short_gre_header")),
        0x22eb => {
            let more = usize::from(inner.get(11).is_some_and(|byte| byte & 1 == 1)) * 8;
            let header_bytes = 12 + more;
            inner
                .get(header_bytes..)
                .map(Step::Ethernet)
                .ok_or(Unread::Refused("short_gre_header"))
        }
        _ => Ok(Step::Ethertype(protocol, inner)),
    }
}

/// "LINKTYPE_LINUX_SLL": packet type, ARPHRD, length of address, address, protocol.
fn linux_cooked<'a>(bytes: &'a [u8], layers: &mut Layers) -> Result<Step<'a>, Unread> {
    let Some((header, rest)) = bytes.split_first_chunk::<16>() else {
        return Err(Unread::Refused("short_link_header"));
    };
    let [_, _, hardware @ .., a, b] = header;
    let [hardware_1, hardware_2, _, address_length, address @ ..] = hardware;
    cooked_address(*address_length, address, layers);
    cooked_protocol(
        u16::from_be_bytes([*hardware_1, *hardware_2]),
        u16::from_be_bytes([*a, *b]),
        rest,
    )
}

/// "LINKTYPE_LINUX_SLL2": protocol, reserved, interface, ARPHRD, packet type, length of address, address.
fn linux_cooked_2<'a>(bytes: &'a [u8], layers: &mut Layers) -> Result<Step<'a>, Unread> {
    let Some((header, rest)) = bytes.split_first_chunk::<20>() else {
        return Err(Unread::Refused("short_link_header"));
    };
    let [
        a,
        b,
        _,
        _,
        _,
        _,
        _,
        _,
        hardware_1,
        hardware_2,
        _,
        address_length,
        address @ ..,
    ] = header;
    cooked_address(*address_length, address, layers);
    cooked_protocol(
        u16::from_be_bytes([*hardware_1, *hardware_2]),
        u16::from_be_bytes([*a, *b]),
        rest,
    )
}

fn cooked_address(address_length: u8, address: &[u8; 8], layers: &mut Layers) {
    if address_length != 6 {
        return;
    }
    // Only the sender's address is in the header; the receiver's stays zero and is not told.
    let [a, b, c, d, e, f, _, _] = *address;
    layers.macs = Some([0, 0, 0, 0, 0, 0, a, b, c, d, e, f]);
}

fn cooked_protocol(hardware: u16, protocol: u16, rest: &[u8]) -> Result<Step<'_>, Unread> {
    match (hardware, protocol) {
        (824, _) => Err(Unread::Ignored("netlink")),
        (_, 0x0004) => logical_link(rest),
        (_, 0x0000..=0x05dc) => Err(Unread::Ignored("llc")),
        _ => Ok(Step::Ethertype(protocol, rest)),
    }
}

#[inline]
fn mapped(a: u8, b: u8, c: u8, d: u8) -> u128 {
    0xffff_0000_0000 | u128::from(u32::from_be_bytes([a, b, c, d]))
}

#[inline]
fn ipv4(bytes: &[u8], layers: Layers, cut_bytes: u32) -> Result<Datagram<'_>, Unread> {
    let Some((header, _)) = bytes.split_first_chunk::<20>() else {
        return Err(Unread::Refused("short_ip_header"));
    };
    let &[
        version,
        _,
        l1,
        l2,
        i1,
        i2,
        f1,
        f2,
        _ttl,
        protocol,
        _,
        _,
        s1,
        s2,
        s3,
        s4,
        d1,
        d2,
        d3,
        d4,
    ] = header;
    let header_bytes = usize::from(version & 0x0f) * 4;
    let declared = usize::from(u16::from_be_bytes([l1, l2]));
    if header_bytes < 20 {
        return Err(Unread::Refused("bad_ip_header_length"));
    }
    // A length of 0 is what a capture on a host with segmentation offload shows: the frame's own length holds then.
    let on_wire = bytes.len().saturating_add(cut_bytes as usize);
    let length = if declared == 0 { on_wire } else { declared };
    if length < header_bytes {
        return Err(Unread::Refused("bad_ip_length"));
    }
    let end = length.min(bytes.len());
    let payload = bytes
        .get(header_bytes..end.max(header_bytes))
        .ok_or(Unread::Refused("short_ip_header"))?;
    let offset_and_flags = u16::from_be_bytes([f1, f2]);
    let identification = u16::from_be_bytes([i1, i2]);
    let fragment = (offset_and_flags & 0x3fff != 0).then(|| Fragment {
        identification: u32::from(identification),
        offset_bytes: u32::from(offset_and_flags & 0x1fff) * 8,
        more: offset_and_flags & 0x2000 != 0,
    });
    Ok(Datagram {
        source: mapped(s1, s2, s3, s4),
        destination: mapped(d1, d2, d3, d4),
        is_v6: false,
        protocol,
        length: u32::try_from(length).unwrap_or(u32::MAX),
        identification,
        fragment,
        payload,
        payload_length: u32::try_from(length - header_bytes).unwrap_or(u32::MAX),
        layers,
    })
}

fn ipv6(bytes: &[u8], layers: Layers, cut_bytes: u32) -> Result<Datagram<'_>, Unread> {
    let Some((header, after)) = bytes.split_first_chunk::<40>() else {
        return Err(Unread::Refused("short_ip_header"));
    };
    let [_, _, _, _, l1, l2, next, _, addresses @ ..] = header;
    let (Some(source), Some(destination)) = (addresses.first_chunk::<16>(), addresses.last_chunk::<16>()) else {
        return Err(Unread::Refused("short_ip_header"));
    };
    let declared = usize::from(u16::from_be_bytes([*l1, *l2]));
    // 0 is a jumbogram (RFC 2675) or segmentation offload.
    let payload_length = if declared == 0 && *next != 59 {
        after.len().saturating_add(cut_bytes as usize)
    } else {
        declared
    };
    let mut datagram = Datagram {
        source: u128::from_be_bytes(*source),
        destination: u128::from_be_bytes(*destination),
        is_v6: true,
        protocol: *next,
        length: u32::try_from(payload_length.saturating_add(40)).unwrap_or(u32::MAX),
        identification: 0,
        fragment: None,
        payload: after.get(..payload_length.min(after.len())).unwrap_or(after),
        payload_length: u32::try_from(payload_length).unwrap_or(u32::MAX),
        layers,
    };
    skip_extensions(&mut datagram)?;
    Ok(datagram)
}

/// Takes IPv6 extension headers off, up to and with a fragment's header: what follows that is a piece of the datagram,
/// whose own extension headers are read once it is joined.
#[inline]
fn skip_extensions(datagram: &mut Datagram<'_>) -> Result<(), Unread> {
    for _ in 0..EXTENSIONS_MAX {
        let (following, header_bytes) = match (datagram.protocol, datagram.payload) {
            (0 | 43 | 60 | 135 | 139 | 140, [following, length, ..]) => (*following, (u32::from(*length) + 1) * 8),
            (51, [following, length, ..]) => (*following, (u32::from(*length) + 2) * 4),
            (44, [following, _, o1, o2, i1, i2, i3, i4, ..]) => {
                let offset_and_flags = u16::from_be_bytes([*o1, *o2]);
                // RFC 6946: an atomic fragment is a whole datagram.
                if offset_and_flags & 0xfff9 != 0 {
                    datagram.fragment = Some(Fragment {
                        identification: u32::from_be_bytes([*i1, *i2, *i3, *i4]),
                        offset_bytes: u32::from(offset_and_flags & 0xfff8),
                        more: offset_and_flags & 1 != 0,
                    });
                }
                (*following, 8)
            }
            (0 | 43 | 44 | 51 | 60 | 135 | 139 | 140, _) => return Err(Unread::Refused("short_ipv6_extension")),
            _ => return Ok(()),
        };
        datagram.payload = datagram
            .payload
            .get(header_bytes as usize..)
            .ok_or(Unread::Refused("short_ipv6_extension"))?;
        datagram.payload_length = datagram.payload_length.saturating_sub(header_bytes);
        datagram.protocol = following;
        if datagram.fragment.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// What a datagram carries, if that is another frame or datagram; marks the tunnel in `datagram.layers`.
#[inline]
fn inside<'a>(datagram: &mut Datagram<'a>) -> Option<Step<'a>> {
    if datagram.protocol == 6 || datagram.fragment.is_some() {
        return None;
    }
    let (tunnel, step) = match datagram.protocol {
        17 => udp_tunnel(datagram.payload)?,
        4 => (Tunnel::IpInIp, Step::Ip(datagram.payload)),
        41 => (
            if datagram.is_v6 { Tunnel::IpInIp } else { Tunnel::Ip6In4 },
            Step::Ip(datagram.payload),
        ),
        47 => (Tunnel::Gre, Step::Gre(datagram.payload)),
        // RFC 4023.
        137 => (Tunnel::IpInIp, Step::Mpls(datagram.payload)),
        _ => return None,
    };
    datagram.layers.tunnel = tunnel;
    Some(step)
}

/// The ports that [`udp_tunnel`] looks behind.
#[inline]
fn is_tunnel_port(port: u16) -> bool {
    matches!(port, 4789 | 8472 | 6081)
}

#[inline]
fn udp_tunnel(payload: &[u8]) -> Option<(Tunnel, Step<'_>)> {
    let ([_, _, p1, p2, _, _, _, _], inner) = payload.split_first_chunk::<8>()?;
    match u16::from_be_bytes([*p1, *p2]) {
        // RFC 7348; 8472 is the port that Linux used before. The reserved bits must be zero, which tells it from others.
        4789 | 8472 => match inner.split_first_chunk::<8>()? {
            ([0x08, 0, 0, 0, _, _, _, 0], frame) => Some((Tunnel::Vxlan, Step::Ethernet(frame))),
            _ => None,
        },
        // RFC 8926.
        6081 => {
            let ([version, _, k1, k2, _, _, _, _], rest) = inner.split_first_chunk::<8>()?;
            if version >> 6 != 0 {
                return None;
            }
            let options_bytes = usize::from(version & 0x3f) * 4;
            let frame = rest.get(options_bytes..)?;
            Some((Tunnel::Geneve, Step::Ethertype(u16::from_be_bytes([*k1, *k2]), frame)))
        }
        _ => None,
    }
}
