//! Networks: which addresses are our own, what they are called, and which way a flow goes.

use std::net::{IpAddr, Ipv6Addr};

/// A network: an address and the length of its prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// First address, as 128 bits; IPv4 stands at `::ffff:0:0/96`.
    first: u128,
    /// Bits of the prefix, 0 to 128.
    length: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fc00::/7`, or a single address. Nothing when it is none, or has bits set past its prefix.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        let (bits_max, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length = length.unwrap_or(bits_max);
        if length > bits_max {
            return None;
        }
        let network = Network {
            first: bits(address),
            length: length + offset,
        };
        (network.first & !network.mask() == 0).then_some(network)
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & self.mask() == self.first
    }

    /// Bits of the prefix, counted in 128.
    pub fn length(&self) -> u8 {
        self.length
    }

    fn mask(&self) -> u128 {
        if self.length == 0 {
            0
        } else {
            u128::MAX << (128 - u32::from(self.length))
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Our own networks, and networks that have names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    internal: Vec<Network>,
    /// Longest prefix first.
    named: Vec<(Network, String)>,
}

impl Default for Networks {
    /// RFC 1918, unique local (RFC 4193), link local and loopback addresses are our own.
    fn default() -> Self {
        let internal = [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "127.0.0.0/8",
            "fc00::/7",
            "fe80::/10",
            "::1/128",
        ];
        Networks::new(
            internal.iter().filter_map(|text| Network::parse(text)).collect(),
            Vec::new(),
        )
    }
}

impl Networks {
    /// Our own networks, and those with names.
    pub fn new(internal: Vec<Network>, mut named: Vec<(Network, String)>) -> Self {
        named.sort_by(|(a, _), (b, _)| b.length.cmp(&a.length).then(a.first.cmp(&b.first)));
        Networks { internal, named }
    }

    /// Whether the address is one of ours. Broadcast, multicast and unspecified addresses are nobody's, and count as
    /// ours, because what is sent to them does not leave.
    pub fn is_internal(&self, address: IpAddr) -> bool {
        let local = match address {
            IpAddr::V4(address) => address.is_broadcast() || address.is_multicast() || address.is_unspecified(),
            IpAddr::V6(address) => address.is_multicast() || address == Ipv6Addr::UNSPECIFIED,
        };
        local || self.internal.iter().any(|network| network.contains(address))
    }

    /// The name of the smallest named network that holds the address.
    pub fn name(&self, address: IpAddr) -> Option<&str> {
        self.named
            .iter()
            .find(|(network, _)| network.contains(address))
            .map(|(_, name)| name.as_str())
    }

    /// ECS `network.direction` from the network's point of view.
    pub fn direction(&self, source: IpAddr, destination: IpAddr) -> &'static str {
        match (self.is_internal(source), self.is_internal(destination)) {
            (true, true) => "internal",
            (true, false) => "outbound",
            (false, true) => "inbound",
            (false, false) => "external",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_follow_from_our_own_networks() {
        let networks = Networks::default();
        for (source, destination, direction) in [
            ("10.0.0.1", "8.8.8.8", "outbound"),
            ("8.8.8.8", "192.168.1.1", "inbound"),
            ("172.31.255.255", "10.1.1.1", "internal"),
            ("172.32.0.0", "8.8.8.8", "external"),
            ("fe80::1", "ff02::1", "internal"),
            ("2001:db8::1", "fd00::1", "inbound"),
        ] {
            let (from, to) = (
                source.parse().expect("an address"),
                destination.parse().expect("an address"),
            );
            assert_eq!(networks.direction(from, to), direction, "{source} to {destination}");
        }
    }

    #[test]
    fn the_smallest_named_network_names_an_address() {
        let named = [("10.0.0.0/8", "site"), ("10.1.0.0/16", "lab")]
            .map(|(text, name)| (Network::parse(text).expect(text), name.to_owned()));
        let networks = Networks::new(Vec::new(), named.to_vec());
        assert_eq!(networks.name("10.1.2.3".parse().expect("an address")), Some("lab"));
        assert_eq!(networks.name("10.2.2.3".parse().expect("an address")), Some("site"));
        assert_eq!(networks.name("11.2.2.3".parse().expect("an address")), None);
        for text in ["10.0.0.1/8", "10.0.0.0/33", "x", "::/129"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
