//! Networks: which addresses are the site's own, what they are called, and which way traffic goes.
//!
//! Sketch: prefixes are cut into ranges once, so that looking up an address is one binary search (some 10 ns for a dozen
//! prefixes), however they nest.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Addresses with a common beginning: `10.0.0.0/8`, `2001:db8::/32`. Bits behind the beginning are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// The first `bits` of `address`; `None` when an address of its kind has fewer.
    pub fn new(address: IpAddr, bits: u8) -> Option<Prefix> {
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask_v4(bits)?)),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask_v6(bits)?)),
        };
        Some(Prefix { address, bits })
    }

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    pub fn parse(text: &str) -> Option<Prefix> {
        match text.split_once('/') {
            Some((address, bits)) => Prefix::new(address.parse().ok()?, bits.parse().ok()?),
            None => {
                let address: IpAddr = text.parse().ok()?;
                Prefix::new(address, if address.is_ipv4() { 32 } else { 128 })
            }
        }
    }

    /// Whether the address begins with the prefix.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                mask_v4(self.bits).is_some_and(|mask| (own.to_bits() ^ other.to_bits()) & mask == 0)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                mask_v6(self.bits).is_some_and(|mask| (own.to_bits() ^ other.to_bits()) & mask == 0)
            }
            _ => false,
        }
    }

    /// The network that an address lies in, as one judges newness of networks: /24 for IPv4, /48 for IPv6.
    pub fn network_of(address: IpAddr) -> Prefix {
        let (address, bits) = match address.to_canonical() {
            IpAddr::V4(v4) => (IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xff)), 24),
            IpAddr::V6(v6) => (IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !0u128 << 80)), 48),
        };
        Prefix { address, bits }
    }

    /// Its first address.
    pub fn first(self) -> IpAddr {
        self.address
    }

    /// The first and the last address as a number.
    fn range(self) -> (u128, u128) {
        match self.address {
            IpAddr::V4(v4) => {
                let first = u128::from(v4.to_bits());
                (first, first | u128::from(!mask_v4(self.bits).unwrap_or(u32::MAX)))
            }
            IpAddr::V6(v6) => {
                let first = v6.to_bits();
                (first, first | !mask_v6(self.bits).unwrap_or(u128::MAX))
            }
        }
    }
}

fn mask_v4(bits: u8) -> Option<u32> {
    match bits {
        0 => Some(0),
        1..=32 => Some(u32::MAX << (32 - u32::from(bits))),
        _ => None,
    }
}

fn mask_v6(bits: u8) -> Option<u128> {
    match bits {
        0 => Some(0),
        1..=128 => Some(u128::MAX << (128 - u32::from(bits))),
        _ => None,
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// Values by prefix; an address has the value of its longest prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixMap<T> {
    v4: Ranges<T>,
    v6: Ranges<T>,
}

#[derive(Clone, Debug, PartialEq)]
struct Ranges<T> {
    /// The first address of each range, ascending; each range ends where the next begins.
    starts: Vec<u128>,
    values: Vec<Option<T>>,
}

impl<T: Clone> PrefixMap<T> {
    /// A map of these prefixes. Of two values for one prefix the later counts.
    pub fn new(entries: &[(Prefix, T)]) -> Self {
        let of_kind = |is_v4: bool| {
            let mut chosen: Vec<&(Prefix, T)> = entries
                .iter()
                .filter(|(prefix, _)| prefix.address.is_ipv4() == is_v4)
                .collect();
            chosen.sort_by_key(|(prefix, _)| (prefix.range().0, prefix.bits));
            Ranges::new(&chosen)
        };
        PrefixMap {
            v4: of_kind(true),
            v6: of_kind(false),
        }
    }

    /// The value of the longest prefix that the address begins with.
    #[inline]
    pub fn get(&self, address: IpAddr) -> Option<&T> {
        match address {
            IpAddr::V4(v4) => self.v4.get(u128::from(v4.to_bits())),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => self.v4.get(u128::from(v4.to_bits())),
                None => self.v6.get(v6.to_bits()),
            },
        }
    }
}

impl<T: Clone> Ranges<T> {
    /// Cuts prefixes, sorted so that an outer one stands before what it holds, into ranges.
    fn new(sorted: &[&(Prefix, T)]) -> Self {
        let mut ranges = Ranges {
            starts: Vec::new(),
            values: Vec::new(),
        };
        // The prefixes that hold the current place, the innermost last, by their last address.
        let mut open: Vec<(u128, &T)> = Vec::new();
        for (prefix, value) in sorted.iter().copied() {
            let (first, last) = prefix.range();
            ranges.close(&mut open, Some(first));
            ranges.begin(first, Some(value));
            open.push((last, value));
        }
        ranges.close(&mut open, None);
        ranges
    }

    /// Ends every open prefix that ends before `until`.
    fn close(&mut self, open: &mut Vec<(u128, &T)>, until: Option<u128>) {
        while let Some((last, _)) = open.last().copied() {
            if until.is_some_and(|until| until <= last) {
                return;
            }
            open.pop();
            if let Some(next) = last.checked_add(1) {
                let outer = open.last().map(|(_, value)| *value);
                self.begin(next, outer);
            }
        }
    }

    fn begin(&mut self, start: u128, value: Option<&T>) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        self.starts.push(start);
        self.values.push(value.cloned());
    }

    #[inline]
    fn get(&self, address: u128) -> Option<&T> {
        let after = self.starts.partition_point(|start| *start <= address);
        self.values.get(after.checked_sub(1)?)?.as_ref()
    }
}

/// Which way traffic goes, seen from the site: ECS's `network.direction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From outside to inside.
    Inbound,
    /// From inside to outside.
    Outbound,
    /// From inside to inside.
    Internal,
    /// From outside to outside.
    External,
}

impl Direction {
    /// ECS's word.
    pub const fn word(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
            Direction::Internal => "internal",
            Direction::External => "external",
        }
    }
}

/// Who announces addresses on the Internet: a database of autonomous systems (RFC 1930).
pub trait SystemLookup: Send + Sync {
    /// The system that announces the address; nothing where the database does not know it.
    fn system_of(&self, address: IpAddr) -> Option<AutonomousSystem<'_>>;
}

/// One autonomous system, as ECS's `as` fields describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutonomousSystem<'a> {
    /// Its number.
    pub number: u32,
    /// Whom it belongs to; empty where that is not known.
    pub organization: &'a str,
}

/// A network that newness is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbourhood<'a> {
    /// All of a provider's networks together.
    System(AutonomousSystem<'a>),
    /// A /24 or /48, where no provider is known.
    Prefix(Prefix),
}

impl fmt::Display for Neighbourhood<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Neighbourhood::System(system) if system.organization.is_empty() => write!(f, "AS{}", system.number),
            Neighbourhood::System(system) => write!(f, "AS{} ({})", system.number, system.organization),
            Neighbourhood::Prefix(prefix) => write!(f, "{prefix}"),
        }
    }
}

/// The site's networks.
#[derive(Clone)]
pub struct Networks {
    internal: PrefixMap<()>,
    named: PrefixMap<String>,
    systems: Option<Arc<dyn SystemLookup>>,
}

impl Networks {
    /// What is internal when nothing else is said: private (RFC 1918), unique local (RFC 4193), link local and loopback.
    pub const INTERNAL_DEFAULT: [&'static str; 8] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
    ];

    /// Networks of which `internal` are the site's own and `named` have a name.
    pub fn new(internal: &[Prefix], named: &[(Prefix, String)]) -> Self {
        let internal: Vec<(Prefix, ())> = internal.iter().map(|prefix| (*prefix, ())).collect();
        Networks {
            internal: PrefixMap::new(&internal),
            named: PrefixMap::new(named),
            systems: None,
        }
    }

    /// The same networks with a database of autonomous systems.
    pub fn with_systems(self, systems: Arc<dyn SystemLookup>) -> Self {
        Networks {
            systems: Some(systems),
            ..self
        }
    }

    /// Whether these have the same prefixes and names, whatever their databases of autonomous systems say.
    pub fn has_prefixes_of(&self, other: &Networks) -> bool {
        (&self.internal, &self.named) == (&other.internal, &other.named)
    }

    /// The network that newness is judged by: the autonomous system of an outside address where a database knows it,
    /// else its /24 or /48.
    pub fn neighbourhood(&self, address: IpAddr) -> Neighbourhood<'_> {
        self.systems
            .as_ref()
            .filter(|_| !self.is_internal(address))
            .and_then(|systems| systems.system_of(address))
            .map_or_else(
                || Neighbourhood::Prefix(Prefix::network_of(address)),
                Neighbourhood::System,
            )
    }

    /// Whether the address is the site's own. Group, broadcast and unspecified addresses are nobody's, and count as the
    /// site's own, because what is sent to them does not leave.
    #[inline]
    pub fn is_internal(&self, address: IpAddr) -> bool {
        self.internal.get(address).is_some() || is_group(address)
    }

    /// Which way traffic between the two goes.
    #[inline]
    pub fn direction(&self, source: IpAddr, destination: IpAddr) -> Direction {
        match (self.is_internal(source), self.is_internal(destination)) {
            (true, true) => Direction::Internal,
            (true, false) => Direction::Outbound,
            (false, true) => Direction::Inbound,
            (false, false) => Direction::External,
        }
    }

    /// The name of the smallest named network that holds the address.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        self.named.get(address).map(String::as_str)
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Networks")
            .field("internal", &self.internal)
            .field("named", &self.named)
            .field("systems", &self.systems.is_some())
            .finish()
    }
}

impl Default for Networks {
    fn default() -> Self {
        let internal: Vec<Prefix> = Self::INTERNAL_DEFAULT
            .iter()
            .filter_map(|text| Prefix::parse(text))
            .collect();
        Networks::new(&internal, &[])
    }
}

fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) || address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text).expect("a prefix")
    }

    #[test]
    fn the_longest_prefix_counts_however_they_nest() {
        let entries: Vec<(Prefix, u8)> = [
            ("10.0.0.0/8", 1),
            ("10.1.0.0/16", 2),
            ("10.1.2.0/24", 3),
            ("10.1.3.0/24", 4),
            ("0.0.0.0/0", 0),
            ("255.255.255.255", 9),
            ("2001:db8::/32", 5),
            ("2001:db8:1::/48", 6),
        ]
        .map(|(text, value)| (prefix(text), value))
        .to_vec();
        let map = PrefixMap::new(&entries);
        for (address, expected) in [
            ("9.255.255.255", Some(0)),
            ("10.0.0.0", Some(1)),
            ("10.1.1.255", Some(2)),
            ("10.1.2.0", Some(3)),
            ("10.1.2.255", Some(3)),
            ("10.1.3.1", Some(4)),
            ("10.1.4.0", Some(2)),
            ("10.2.0.0", Some(1)),
            ("11.0.0.0", Some(0)),
            ("255.255.255.255", Some(9)),
            ("::ffff:10.1.2.7", Some(3)),
            ("2001:db8:1::5", Some(6)),
            ("2001:db8:2::5", Some(5)),
            ("2001:db9::", None),
            ("::", None),
        ] {
            assert_eq!(map.get(ip(address)).copied(), expected, "{address}");
        }
    }

    #[test]
    fn a_map_agrees_with_trying_every_prefix() {
        let mut seed = 5u64;
        let mut next = move || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as u32
        };
        for _ in 0..200 {
            let entries: Vec<(Prefix, usize)> = (0..next() as usize % 12)
                .map(|value| {
                    let address = Ipv4Addr::from_bits((next() & 3) << 30 | (next() & 15) << 4 | next() & 3);
                    (
                        Prefix::new(address.into(), next() as u8 % 33).expect("at most 32"),
                        value,
                    )
                })
                .collect();
            let map = PrefixMap::new(&entries);
            for _ in 0..100 {
                let address =
                    ip(&Ipv4Addr::from_bits((next() & 3) << 30 | (next() & 31) << 3 | next() & 7).to_string());
                let expected = entries
                    .iter()
                    .filter(|(prefix, _)| prefix.contains(address))
                    .max_by_key(|(prefix, value)| (prefix.bits, *value))
                    .map(|(_, value)| *value);
                assert_eq!(map.get(address).copied(), expected, "{address} in {entries:?}");
            }
        }
    }

    #[test]
    fn direction_follows_what_is_internal() {
        let networks = Networks::default();
        for (source, destination, expected) in [
            ("10.0.0.1", "192.168.1.1", "internal"),
            ("10.0.0.1", "8.8.8.8", "outbound"),
            ("8.8.8.8", "172.31.255.255", "inbound"),
            ("8.8.8.8", "9.9.9.9", "external"),
            ("172.32.0.0", "8.8.8.8", "external"),
            ("fe80::1", "ff02::fb", "internal"),
            ("10.0.0.1", "255.255.255.255", "internal"),
            ("fd00::1", "2001:db8::1", "outbound"),
        ] {
            assert_eq!(
                networks.direction(ip(source), ip(destination)).word(),
                expected,
                "{source} {destination}"
            );
        }
    }

    #[test]
    fn prefixes_are_read_cut_and_printed() {
        assert_eq!(prefix("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(prefix("10.1.2.3").to_string(), "10.1.2.3/32");
        assert_eq!(Prefix::network_of(ip("203.0.113.77")).to_string(), "203.0.113.0/24");
        assert_eq!(Prefix::network_of(ip("2001:db8:1:2::3")).to_string(), "2001:db8:1::/48");
        for text in ["10.0.0.0/33", "::/129", "10.0.0/8", "a", "10.0.0.0/-1", ""] {
            assert_eq!(Prefix::parse(text), None, "{text}");
        }
    }
}
