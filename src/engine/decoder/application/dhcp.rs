//! DHCP for IPv4 (RFC 2131, 2132): who asked for an address, and which was given to whom for how long.

use super::bytes::{Bytes, push_hex};
use crate::domain::{Event, Field};
use std::fmt::Write;
use std::net::Ipv4Addr;

/// Why bytes are no DHCP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Shorter than the fixed part.
    #[error("the message is shorter than 240 bytes")]
    TooShort,
    /// BOOTP without the cookie that announces options, or something else.
    #[error("the message has no magic cookie of DHCP")]
    NotDhcp,
}

impl Refusal {
    /// A word of a closed set, fit for a tally.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::TooShort => "dhcp_too_short",
            Refusal::NotDhcp => "dhcp_not_dhcp",
        }
    }
}

/// A message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// What the message is for (option 53); see [`type_name`]. 0 when it does not say.
    pub kind: u8,
    /// Sent by a server (BOOTREPLY).
    pub is_reply: bool,
    /// Matches replies to requests.
    pub transaction: u32,
    /// The client's hardware address, six bytes, where it is one of Ethernet.
    pub client_mac: Option<[u8; 6]>,
    /// The client's identifier with its type byte (option 61).
    pub client_id: Option<&'a [u8]>,
    /// The client's name (option 12, or the first label of option 81).
    pub host_name: Option<&'a [u8]>,
    /// The domain that a server gives (option 15).
    pub domain: Option<&'a [u8]>,
    /// What the client says that it is (option 60).
    pub vendor_class: Option<&'a [u8]>,
    /// The address that the client has already (`ciaddr`).
    pub client_ip: Option<Ipv4Addr>,
    /// The address that the client wishes (option 50).
    pub requested_ip: Option<Ipv4Addr>,
    /// The address that the server gives (`yiaddr`).
    pub assigned_ip: Option<Ipv4Addr>,
    /// The server (option 54).
    pub server_ip: Option<Ipv4Addr>,
    /// The relay through which the message went (`giaddr`).
    pub relay_ip: Option<Ipv4Addr>,
    /// For how long the address is given (option 51).
    pub lease_seconds: Option<u32>,
    /// The options end before their end mark, or inside one of them.
    pub cut: bool,
}

impl<'a> Message<'a> {
    /// Reads the payload of a datagram.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, Refusal> {
        let mut fields = Bytes::new(bytes);
        let (operation, hardware, hardware_bytes) =
            (|| Some((fields.u8()?, fields.u8()?, fields.u8()?)))().ok_or(Refusal::TooShort)?;
        let (transaction, addresses, hardware_address, names, cookie) = (|| {
            fields.u8()?;
            let transaction = fields.u32()?;
            fields.take(4)?;
            let addresses = [fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?];
            Some((
                transaction,
                addresses,
                fields.take(16)?,
                fields.take(192)?,
                fields.u32()?,
            ))
        })()
        .ok_or(Refusal::TooShort)?;
        if cookie != 0x6382_5363 || !matches!(operation, 1 | 2) {
            return Err(Refusal::NotDhcp);
        }
        let [client_ip, assigned_ip, _, relay_ip] = addresses.map(address);
        let ethernet = hardware == 1 && hardware_bytes == 6;
        let mac = hardware_address.first_chunk::<6>().copied();
        let mut message = Message {
            is_reply: operation == 2,
            transaction,
            client_mac: mac.filter(|mac| ethernet && *mac != [0; 6]),
            client_ip,
            assigned_ip,
            relay_ip,
            ..Message::default()
        };
        let overload = message.options(fields);
        // RFC 2131, 4.1: options may go on in the fields for the boot file's and the server's name.
        let (server_name, file) = names.split_at_checked(64).unwrap_or((names, &[]));
        if overload & 1 != 0 {
            message.options(Bytes::new(file));
        }
        if overload & 2 != 0 {
            message.options(Bytes::new(server_name));
        }
        Ok(message)
    }

    /// Reads options up to their end; the first of a kind counts. Gives the option that overloads other fields, or 0.
    fn options(&mut self, mut options: Bytes<'a>) -> u8 {
        let mut overload = 0;
        loop {
            let code = match options.u8() {
                Some(255) => return overload,
                Some(0) => continue,
                Some(code) => code,
                None => break,
            };
            let Some(value) = options.block8() else {
                break;
            };
            let mut number = value;
            let value = value.rest();
            match code {
                12 => self.host_name = self.host_name.or(trimmed(value)),
                15 => self.domain = self.domain.or(trimmed(value)),
                50 => self.requested_ip = self.requested_ip.or(number.u32().and_then(address)),
                51 => self.lease_seconds = self.lease_seconds.or(number.u32()),
                52 => overload = number.u8().unwrap_or(0),
                53 if self.kind == 0 => self.kind = number.u8().unwrap_or(0),
                54 => self.server_ip = self.server_ip.or(number.u32().and_then(address)),
                60 => self.vendor_class = self.vendor_class.or(trimmed(value)),
                61 => self.client_id = self.client_id.or(Some(value).filter(|id| !id.is_empty())),
                81 => self.host_name = self.host_name.or(first_label(value)),
                _ => {}
            }
        }
        self.cut = true;
        overload
    }

    /// Writes what the message says into an event; not addresses of the datagram, times, transport.
    pub fn describe(&self, event: &mut Event) {
        event.add_str(Field::EventKind, "event");
        event.add_str(Field::EventCategory, "network");
        event.add_str(Field::EventType, "connection");
        event.add_str(Field::EventType, "protocol");
        event.add_str(Field::EventDataset, "dhcp");
        event.add_str(Field::NetworkProtocol, "dhcp");
        if let Some(name) = type_name(self.kind) {
            event.add_str(Field::DhcpMessageType, name);
        }
        if let Some(mac) = self.client_mac {
            event.add_str(Field::ClientMac, &mac_text(mac));
        }
        if let Some(address) = self.client_ip {
            event.add_ip(Field::ClientIp, address.into());
        }
        if let Some(id) = self.client_id {
            event.add_str(Field::DhcpClientId, &client_id_text(id));
        }
        if let Some(name) = self.host_name {
            event.add_bytes(Field::DhcpHostname, name);
        }
        if let Some(domain) = self.domain {
            event.add_bytes(Field::DhcpDomain, domain);
        }
        for (field, address) in [
            (Field::DhcpRequestedIp, self.requested_ip),
            (Field::DhcpAssignedIp, self.assigned_ip),
            (Field::DhcpServerIp, self.server_ip),
        ] {
            if let Some(address) = address {
                event.add_ip(field, address.into());
            }
        }
        if let Some(seconds) = self.lease_seconds {
            event.add_u64(Field::DhcpLeaseSeconds, seconds.into());
        }
    }
}

/// The name of a message type (RFC 2132, 9.6), as Zeek writes it.
pub fn type_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "DISCOVER",
        2 => "OFFER",
        3 => "REQUEST",
        4 => "DECLINE",
        5 => "ACK",
        6 => "NAK",
        7 => "RELEASE",
        8 => "INFORM",
        9 => "FORCERENEW",
        10 => "LEASEQUERY",
        11 => "LEASEUNASSIGNED",
        12 => "LEASEUNKNOWN",
        13 => "LEASEACTIVE",
        _ => return None,
    })
}

/// A hardware address as ECS writes it: `00-00-5E-00-53-23`.
pub fn mac_text(mac: [u8; 6]) -> String {
    let mut text = String::with_capacity(17);
    for (place, byte) in mac.into_iter().enumerate() {
        if place > 0 {
            text.push('-');
        }
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// An identifier that is a hardware address as such, printable text as it is, anything else in hexadecimal.
fn client_id_text(id: &[u8]) -> String {
    match id {
        [1, a, b, c, d, e, f] => mac_text([*a, *b, *c, *d, *e, *f]),
        [0, text @ ..] if !text.is_empty() && text.iter().all(|b| matches!(b, 0x20..=0x7e)) => {
            String::from_utf8_lossy(text).into_owned()
        }
        _ => {
            let mut text = String::with_capacity(2 * id.len());
            push_hex(&mut text, id);
            text
        }
    }
}

fn address(number: u32) -> Option<Ipv4Addr> {
    (number != 0).then(|| Ipv4Addr::from(number))
}

/// Some clients end their texts with zeros.
fn trimmed(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().rposition(|byte| *byte != 0)?;
    value.get(..=end)
}

/// The first label of a client's full name (RFC 4702): in DNS's form, or as text.
fn first_label(value: &[u8]) -> Option<&[u8]> {
    let (flags, name) = value.split_first()?;
    let name = name.get(2..)?;
    if flags & 4 != 0 {
        return Bytes::new(name)
            .block8()
            .map(|label| label.rest())
            .filter(|label| !label.is_empty());
    }
    name.split(|byte| *byte == b'.').next().and_then(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::engine::decoder::application::tests::Random;

    fn message(operation: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![operation, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0];
        bytes.extend_from_slice(&[0, 0, 0, 0, 10, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 0, 0x5e, 0, 0x53, 0x23]);
        bytes.resize(236, 0);
        bytes.extend_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        bytes.extend_from_slice(options);
        bytes
    }

    const OPTIONS: &[u8] = b"\x35\x01\x05\0\x33\x04\0\0\x0e\x10\x36\x04\x0a\0\0\x01\x0c\x07laptop\0\
        \x3d\x07\x01\0\0\x5e\0\x53\x23\x32\x04\x0a\0\0\x08\x0f\x03lan\xff";

    #[test]
    fn a_lease_fills_the_event() {
        let bytes = message(2, OPTIONS);
        let message = Message::parse(&bytes).expect("a message");
        assert!(message.is_reply && !message.cut);
        let mut event = Event::new(Timestamp::from_seconds(0));
        message.describe(&mut event);
        assert_eq!(event.str(Field::DhcpMessageType), Some("ACK"));
        assert_eq!(event.str(Field::ClientMac), Some("00-00-5E-00-53-23"));
        assert_eq!(event.str(Field::DhcpClientId), Some("00-00-5E-00-53-23"));
        assert_eq!(event.str(Field::DhcpHostname), Some("laptop"));
        assert_eq!(event.str(Field::DhcpDomain), Some("lan"));
        assert_eq!(event.ip(Field::DhcpAssignedIp), "10.0.0.7".parse().ok());
        assert_eq!(event.ip(Field::DhcpRequestedIp), "10.0.0.8".parse().ok());
        assert_eq!(event.ip(Field::DhcpServerIp), "10.0.0.1".parse().ok());
        assert_eq!(event.u64(Field::DhcpLeaseSeconds), Some(3600));
    }

    #[test]
    fn options_may_go_on_in_the_fields_for_names() {
        let mut bytes = message(1, b"\x34\x01\x03\x35\x01\x03\xff");
        bytes.splice(44..44 + 5, *b"\x0c\x02ab\xff");
        bytes.splice(108..108 + 7, *b"\x3c\x04MSFT\xff");
        let message = Message::parse(&bytes).expect("a message");
        assert_eq!((message.kind, message.host_name), (3, Some(&b"ab"[..])));
        assert_eq!(message.vendor_class, Some(&b"MSFT"[..]));
    }

    #[test]
    fn the_name_comes_from_the_full_name_where_there_is_no_other() {
        for (option, expected) in [
            (&b"\x51\x0a\x04\0\0\x02pc\x03lan\xff"[..], Some(&b"pc"[..])),
            (b"\x51\x09\0\0\0pc.lan\xff", Some(b"pc")),
            (b"\x51\x02\0\0\xff", None),
        ] {
            let bytes = message(1, option);
            assert_eq!(Message::parse(&bytes).expect("a message").host_name, expected);
        }
    }

    #[test]
    fn what_is_cut_is_told_and_what_is_no_dhcp_is_refused() {
        assert!(Message::parse(&message(1, b"\x35\x01")).expect("a message").cut);
        assert!(Message::parse(&message(1, b"")).expect("a message").cut);
        assert_eq!(Message::parse(b"\x01\x01\x06"), Err(Refusal::TooShort));
        assert_eq!(Message::parse(&[1; 300]), Err(Refusal::NotDhcp));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let bytes = message(2, OPTIONS);
        let mut random = Random::new(4);
        for _ in 0..10_000 {
            if let Ok(message) = Message::parse(&random.mutate(&bytes)) {
                message.describe(&mut Event::new(Timestamp::from_seconds(0)));
            }
        }
    }
}
