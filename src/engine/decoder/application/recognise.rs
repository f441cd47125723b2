//! Which protocol a flow speaks, told from the first bytes of both sides; ports only decide where content says too little.
//!
//! The table is looked through once or twice a flow, top to bottom, and the first row that fits wins: rows with a
//! magic number stand above rows that are guesses. A row costs a few comparisons.

use super::bytes::Bytes;
use super::{Protocol, Transport, dns};

/// What is known of a flow when its protocol is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// What carries the bytes.
    pub transport: Transport,
    /// The port of who began.
    pub originator_port: u16,
    /// The port of who answers.
    pub responder_port: u16,
    /// The first payload of who began; empty as long as there is none. A TCP segment or a datagram.
    pub originator: &'a [u8],
    /// The first payload of who answers; empty as long as there is none.
    pub responder: &'a [u8],
}

/// The protocol, as far as it can be told. Ask when the first payload arrives, and once more when the other side first
/// speaks if nothing was told then.
pub fn recognise(opening: &Opening<'_>) -> Option<Protocol> {
    let table = match opening.transport {
        Transport::Tcp => STREAMS,
        Transport::Udp => DATAGRAMS,
    };
    table
        .iter()
        .find(|(_, fits)| fits(opening))
        .map(|(protocol, _)| *protocol)
}

type Row = (Protocol, fn(&Opening<'_>) -> bool);

const STREAMS: &[Row] = &[
    (Protocol::Tls, |o| o.either(is_tls)),
    (Protocol::Ssh, |o| o.either(|b| b.starts_with(b"SSH-"))),
    (Protocol::Http2, |o| o.originator.starts_with(b"PRI * HTTP/2")),
    (Protocol::Rtsp, |o| o.either(|b| first_line_has(b, b"RTSP/1.0"))),
    (Protocol::Sip, |o| o.either(|b| first_line_has(b, b"SIP/2.0"))),
    (Protocol::Http, |o| {
        is_http_request(o.originator) || o.responder.starts_with(b"HTTP/1.")
    }),
    (Protocol::Smb, |o| o.either(is_smb)),
    (Protocol::DceRpc, |o| o.either(is_dce_rpc)),
    (Protocol::BitTorrent, |o| {
        o.either(|b| b.starts_with(b"\x13BitTorrent protocol"))
    }),
    (Protocol::Amqp, |o| o.originator.starts_with(b"AMQP")),
    (Protocol::Rsync, |o| o.either(|b| b.starts_with(b"@RSYNCD:"))),
    (Protocol::Vnc, |o| o.responder.starts_with(b"RFB 00")),
    (Protocol::Mqtt, |o| is_mqtt(o.originator)),
    (Protocol::Postgresql, |o| is_postgresql(o.originator)),
    (Protocol::Mysql, |o| is_mysql(o.responder)),
    (Protocol::Rdp, |o| is_rdp(o.originator, o.has_port(3389))),
    (Protocol::Dnp3, |o| o.either(is_dnp3)),
    (Protocol::Ldap, |o| o.either(is_ldap)),
    (Protocol::Kerberos, |o| {
        o.either(|b| is_kerberos_stream(b, o.has_port(88)))
    }),
    (Protocol::Redis, |o| o.either(|b| is_redis(b, o.has_port(6379)))),
    (Protocol::Smtp, is_smtp),
    (Protocol::Ftp, is_ftp),
    (Protocol::Imap, |o| {
        o.responder.starts_with(b"* OK") || o.responder.starts_with(b"* PREAUTH")
    }),
    (Protocol::Pop3, |o| {
        o.responder.starts_with(b"+OK") && (o.has_port(110) || begins_with_word(o.originator, POP3_WORDS))
    }),
    (Protocol::Irc, |o| begins_with_word(o.originator, &[b"NICK", b"CAP LS"])),
    (Protocol::Dns, |o| o.either(|b| is_dns_stream(b, o.has_port(53)))),
    (Protocol::Modbus, is_modbus),
    (Protocol::Socks, |o| is_socks(o.originator, o.has_port(1080))),
    (Protocol::Telnet, |o| o.either(is_telnet)),
];

const DATAGRAMS: &[Row] = &[
    (Protocol::Dhcp, |o| o.either(is_dhcp)),
    (Protocol::Dns, |o| o.has_port(53) && o.either(|b| is_dns(b, true))),
    (Protocol::Mdns, |o| o.has_port(5353) && o.either(|b| is_dns(b, true))),
    (Protocol::Llmnr, |o| {
        o.responder_port == 5355 && o.either(|b| is_dns(b, true))
    }),
    (Protocol::NetbiosName, |o| {
        o.has_port(137) && o.either(|b| b.len() >= 12)
    }),
    (Protocol::NetbiosDatagram, |o| {
        o.has_port(138) && o.either(|b| matches!(b.first(), Some(0x10..=0x16)))
    }),
    (Protocol::Dtls, |o| o.either(is_dtls)),
    (Protocol::Quic, |o| o.either(is_quic)),
    (Protocol::Stun, |o| o.either(is_stun)),
    (Protocol::Ntp, |o| o.has_port(123) && o.either(is_ntp)),
    (Protocol::Snmp, |o| o.either(is_snmp)),
    (Protocol::Kerberos, |o| o.either(|b| is_kerberos(b, o.has_port(88)))),
    (Protocol::Ldap, |o| o.either(is_ldap)),
    (Protocol::Dnp3, |o| o.either(is_dnp3)),
    (Protocol::Ssdp, |o| {
        o.originator.starts_with(b"M-SEARCH * HTTP/1.") || o.originator.starts_with(b"NOTIFY * HTTP/1.")
    }),
    (Protocol::Sip, |o| o.either(|b| first_line_has(b, b"SIP/2.0"))),
    (Protocol::Syslog, |o| {
        o.responder_port == 514 && o.originator.starts_with(b"<")
    }),
    (Protocol::Tftp, |o| {
        o.responder_port == 69 && matches!(o.originator, [0, 1 | 2, ..])
    }),
    (Protocol::Radius, |o| {
        (o.has_port(1812) || o.has_port(1813)) && o.either(is_radius)
    }),
    (Protocol::Dhcpv6, |o| {
        (o.has_port(546) || o.has_port(547)) && o.either(|b| matches!(b, [1..=13, _, _, _, ..]))
    }),
    (Protocol::Wireguard, |o| {
        o.originator.len() == 148 && o.originator.starts_with(&[1, 0, 0, 0])
    }),
    (Protocol::Rdp, |o| o.has_port(3389) && o.either(is_rdp_udp)),
    (Protocol::Dns, |o| o.either(|b| is_dns(b, false))),
];

impl Opening<'_> {
    fn either(&self, fits: impl Fn(&[u8]) -> bool) -> bool {
        (!self.originator.is_empty() && fits(self.originator)) || (!self.responder.is_empty() && fits(self.responder))
    }

    fn has_port(&self, port: u16) -> bool {
        self.originator_port == port || self.responder_port == port
    }
}

/// A handshake record with a hello, or the two forms of a hello that SSL 2 clients send (RFC 5246, appendix E.2).
fn is_tls(bytes: &[u8]) -> bool {
    match bytes {
        [22, 3, 0..=4, high, _, 1 | 2, ..] => *high <= 0x48,
        // An alert instead of a hello.
        [21, 3, 0..=4, 0, 2, 1 | 2, _] => true,
        [high, _, 1, 3, 0..=3, ..] => *high & 0x80 != 0 && bytes.len() > 11,
        _ => false,
    }
}

fn is_dtls(bytes: &[u8]) -> bool {
    bytes.len() > 13 && matches!(bytes, [20..=23, 0xfe, 0xff | 0xfd, ..])
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let bounded = bytes.get(..512).unwrap_or(bytes);
    match memchr::memchr(b'\n', bounded) {
        Some(end) => bounded.get(..end).unwrap_or(bounded),
        None => bounded,
    }
}

fn first_line_has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_uppercase) && memchr::memmem::find(first_line(bytes), word).is_some()
}

const HTTP_METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"PATCH",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"SEARCH",
    b"REPORT",
    b"CCM_POST",
    b"BITS_POST",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
];

/// A well-known method and a blank, or any method with the version behind the target.
pub(crate) fn is_http_request(bytes: &[u8]) -> bool {
    if begins_with_word(bytes, HTTP_METHODS) {
        return true;
    }
    let method_bytes = bytes
        .iter()
        .take_while(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_'))
        .count();
    (1..=32).contains(&method_bytes)
        && bytes.get(method_bytes) == Some(&b' ')
        && memchr::memmem::find(first_line(bytes), b" HTTP/1.").is_some()
}

/// Whether one of the words stands at the beginning, with a blank or the line's end behind it, in upper or lower case.
fn begins_with_word(bytes: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| {
        bytes
            .split_at_checked(word.len())
            .is_some_and(|(front, rest)| front.eq_ignore_ascii_case(word) && matches!(rest, [b' ' | b'\r' | b'\n', ..]))
    })
}

/// A NetBIOS session message with SMB 1, 2 or its encrypted form in it, or a NetBIOS session request.
fn is_smb(bytes: &[u8]) -> bool {
    matches!(bytes, [0, _, _, _, 0xfc..=0xff, b'S', b'M', b'B', ..]) || matches!(bytes, [0x81, 0, 0, 0x44, 0x20, ..])
}

/// Version 5.0 or 5.1, a known kind of packet, and ASCII in either byte order (C706, 12.6.3.1).
fn is_dce_rpc(bytes: &[u8]) -> bool {
    bytes.len() >= 16 && matches!(bytes, [5, 0..=1, 0 | 2..=3 | 11..=19, _, 0x10 | 0, 0, 0, 0, ..])
}

fn is_mqtt(bytes: &[u8]) -> bool {
    let Some((0x10, rest)) = bytes.split_first() else {
        return false;
    };
    (1..=4).any(|length_bytes| {
        rest.get(length_bytes..)
            .is_some_and(|header| header.starts_with(b"\0\x04MQTT") || header.starts_with(b"\0\x06MQIsdp"))
    })
}

fn is_postgresql(bytes: &[u8]) -> bool {
    let mut words = Bytes::new(bytes);
    let (Some(length), Some(code)) = (words.u32(), words.u32()) else {
        return false;
    };
    match code {
        // Protocol 3.x with its parameters; SSL request, GSS request; cancel.
        0x0003_0000..=0x0003_00ff => (9..=10_000).contains(&length),
        80_877_103 | 80_877_104 => length == 8,
        80_877_102 => length == 16,
        _ => false,
    }
}

fn is_mysql(bytes: &[u8]) -> bool {
    match bytes {
        [_, _, 0, 0, 10, version @ ..] => {
            let version_bytes = version.iter().take(64).take_while(|b| b.is_ascii_graphic()).count();
            version.first().is_some_and(u8::is_ascii_digit) && version.get(version_bytes) == Some(&0)
        }
        // An error before the greeting: too many connections, host not allowed.
        [_, _, 0, 0, 0xff, _, 4, rest @ ..] => rest.first().is_some_and(u8::is_ascii_graphic),
        _ => false,
    }
}

/// A connection request of X.224 in a TPKT, with RDP's cookie or negotiation, or on its port.
fn is_rdp(bytes: &[u8], on_port: bool) -> bool {
    let [3, 0, _, _, _, 0xe0, _, _, _, _, _, rest @ ..] = bytes else {
        return false;
    };
    on_port || rest.starts_with(b"Cookie: mstshash=") || rest.starts_with(&[1, 0, 8, 0])
}

/// A SYN or SYN+ACK of RDP over UDP (MS-RDPEUDP 2.2.2.1): no acknowledged packet yet, or the flags of a SYN.
fn is_rdp_udp(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && (bytes.starts_with(&[0xff; 4]) || matches!(bytes, [_, _, _, _, _, _, _, 1 | 5, ..]))
}

fn is_dnp3(bytes: &[u8]) -> bool {
    bytes.len() >= 10 && matches!(bytes, [5, 0x64, 5..=255, ..])
}

/// The content of a BER element with this tag; the element may be longer than the bytes.
fn ber(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> Option<(u64, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    if !wanted(*tag) {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    if *length < 0x80 {
        return Some((u64::from(*length), rest));
    }
    let length_bytes = usize::from(*length & 0x7f);
    if !(1..=4).contains(&length_bytes) {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(length_bytes)?;
    Some((digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit)), rest))
}

/// `LDAPMessage ::= SEQUENCE { messageID INTEGER, protocolOp CHOICE { [APPLICATION n] ...` (RFC 4511, 4.1.1).
fn is_ldap(bytes: &[u8]) -> bool {
    (|| {
        let (_, message) = ber(bytes, |tag| tag == 0x30)?;
        let (id_bytes, rest) = ber(message, |tag| tag == 2)?;
        let operation = rest.get(usize::try_from(id_bytes).ok().filter(|bytes| (1..=4).contains(bytes))?..)?;
        let tag = *operation.first()?;
        Some(matches!(tag, 0x60..=0x79 | 0x42 | 0x4a | 0x50))
    })()
    .unwrap_or(false)
}

/// `SNMP: SEQUENCE { version INTEGER (0, 1, 3), community OCTET STRING` or, in version 3, a header (RFC 3412, 6).
fn is_snmp(bytes: &[u8]) -> bool {
    ber(bytes, |tag| tag == 0x30)
        .is_some_and(|(_, message)| matches!(message, [2, 1, 0 | 1, 4, ..] | [2, 1, 3, 0x30, ..]))
}

/// `[APPLICATION 10..15, 30] SEQUENCE` with protocol version 5 in it (RFC 4120, 5.4), which may be missing on its port.
fn is_kerberos(bytes: &[u8], on_port: bool) -> bool {
    (|| {
        let (_, message) = ber(bytes, |tag| matches!(tag, 0x6a..=0x6f | 0x74..=0x76 | 0x7e))?;
        let (_, fields) = ber(message, |tag| tag == 0x30)?;
        Some(on_port || matches!(fields, [0xa0 | 0xa1, 3, 2, 1, 5, ..]))
    })()
    .unwrap_or(false)
}

fn is_kerberos_stream(bytes: &[u8], on_port: bool) -> bool {
    bytes
        .split_at_checked(4)
        .is_some_and(|(length, message)| matches!(length, [0, ..]) && is_kerberos(message, on_port))
}

fn is_redis(bytes: &[u8], on_port: bool) -> bool {
    match bytes {
        [b'*', b'1'..=b'9', ..] => memchr::memmem::find(first_line(bytes), b"\r").is_some_and(|end| {
            bytes
                .get(1..end)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
                && matches!(bytes.get(end..), Some([b'\r', b'\n', b'$', ..] | [b'\r', b'\n']))
        }),
        _ => on_port && (begins_with_word(bytes, REDIS_WORDS) || matches!(bytes, [b'+' | b'-' | b'$' | b':', ..])),
    }
}

const REDIS_WORDS: &[&[u8]] = &[
    b"PING",
    b"AUTH",
    b"GET",
    b"SET",
    b"INFO",
    b"SELECT",
    b"HELLO",
    b"COMMAND",
    b"SUBSCRIBE",
];
const POP3_WORDS: &[&[u8]] = &[b"USER", b"CAPA", b"APOP", b"AUTH", b"STLS", b"QUIT"];
const SMTP_WORDS: &[&[u8]] = &[b"EHLO", b"HELO", b"LHLO", b"STARTTLS", b"MAIL"];
const FTP_WORDS: &[&[u8]] = &[
    b"USER", b"AUTH", b"FEAT", b"SYST", b"OPTS", b"PASS", b"HOST", b"QUIT", b"PASV", b"EPSV",
];

/// A reply code with a blank or a hyphen behind it.
fn is_reply(bytes: &[u8], codes: &[&[u8]]) -> bool {
    codes.iter().any(|code| {
        bytes
            .strip_prefix(*code)
            .is_some_and(|rest| matches!(rest, [b' ' | b'-' | b'\r' | b'\n', ..]))
    })
}

fn names(bytes: &[u8], word: &[u8]) -> bool {
    first_line(bytes)
        .windows(word.len())
        .any(|window| window.eq_ignore_ascii_case(word))
}

fn is_smtp(o: &Opening<'_>) -> bool {
    let greets = is_reply(o.responder, &[b"220", b"421", b"554"]);
    begins_with_word(o.originator, &[b"EHLO", b"HELO", b"LHLO"])
        || greets
            && (names(o.responder, b"smtp")
                || begins_with_word(o.originator, SMTP_WORDS)
                || (o.has_port(25) || o.has_port(587)) && !names(o.responder, b"ftp"))
}

fn is_ftp(o: &Opening<'_>) -> bool {
    let greets = is_reply(o.responder, &[b"220", b"120", b"421"]);
    greets && (names(o.responder, b"ftp") || begins_with_word(o.originator, FTP_WORDS) || o.has_port(21))
        || o.responder_port == 21 && begins_with_word(o.originator, FTP_WORDS)
}

/// A message with exactly one question of a known class that ends where its records end. On DNS's own ports any message
/// with a readable question, or an answer without one, will do.
fn is_dns(bytes: &[u8], on_port: bool) -> bool {
    if bytes.len() < 12 {
        return false;
    }
    let Ok(message) = dns::Message::parse(bytes) else {
        return false;
    };
    if dns::opcode_name(message.opcode()).is_none() || message.flags & 0x40 != 0 && !on_port {
        return false;
    }
    on_port
        || message.exact
            && bytes.get(4..6) == Some(&[0, 1])
            && message.question.as_ref().is_some_and(|question| {
                question.name != "." && matches!(question.class, 1 | 3 | 255) && dns::type_name(question.kind).is_some()
            })
            && (message.is_response() || message.answers_count == 0)
}

fn is_dns_stream(bytes: &[u8], on_port: bool) -> bool {
    let Some((length, message)) = bytes.split_first_chunk::<2>() else {
        return false;
    };
    let length = usize::from(u16::from_be_bytes(*length));
    // The length may stand in a segment of its own.
    if on_port && length >= 12 && message.is_empty() {
        return true;
    }
    length >= 12 && (on_port || message.len() == length) && is_dns(message.get(..length).unwrap_or(message), on_port)
}

/// The header of Modbus over TCP: protocol 0, a length that fits the first message.
fn is_modbus(o: &Opening<'_>) -> bool {
    let fits = |bytes: &[u8]| match bytes {
        [_, _, 0, 0, 0, length @ 2..=254, rest @ ..] => rest.len() >= usize::from(*length) && rest.get(1) != Some(&0),
        _ => false,
    };
    if o.has_port(502) {
        return o.either(fits);
    }
    fits(o.originator) && fits(o.responder) && o.originator.get(..2) == o.responder.get(..2)
}

/// A greeting of SOCKS 5 with as many methods as it says, or a request of SOCKS 4.
fn is_socks(bytes: &[u8], on_port: bool) -> bool {
    match bytes {
        [5, count @ 1..=8, methods @ ..] => {
            methods.len() == usize::from(*count) && methods.iter().all(|method| *method <= 9)
        }
        [4, 1 | 2, ..] => on_port && bytes.len() >= 9 && bytes.last() == Some(&0),
        _ => false,
    }
}

fn is_telnet(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xff, 0xfb..=0xfe, 0..=50, 0xff, ..] | [0xff, 0xfb..=0xfe, 0..=50]
    )
}

fn is_dhcp(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(1 | 2)) && bytes.get(236..240) == Some(&[0x63, 0x82, 0x53, 0x63])
}

/// A long header (RFC 9000, 17.2) of a known version, or a version negotiation.
fn is_quic(bytes: &[u8]) -> bool {
    let mut fields = Bytes::new(bytes);
    let (Some(first), Some(version), Some(connection)) = (fields.u8(), fields.u32(), fields.u8()) else {
        return false;
    };
    let known = match version {
        1 | 0x6b33_43cf | 0xff00_0001..=0xff00_00ff => first & 0x40 != 0,
        0 => {
            fields.take(connection.into()).is_some()
                && fields.block8().is_some()
                && fields.rest().len().is_multiple_of(4)
        }
        // Google's own versions, Q043 to Q050 and T050, and versions that force a negotiation.
        0x5130_3433..=0x5130_3530 | 0x5430_3530..=0x5430_3531 => true,
        _ => version & 0x0f0f_0f0f == 0x0a0a_0a0a && bytes.len() >= 1200,
    };
    first & 0x80 != 0 && known && connection <= 20
}

fn is_stun(bytes: &[u8]) -> bool {
    matches!(bytes, [0..=0x3f, _, _, low, 0x21, 0x12, 0xa4, 0x42, ..] if low & 3 == 0)
}

fn is_ntp(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_some_and(|first| (1..=4).contains(&(first >> 3 & 7)) && first & 7 != 0)
        && (bytes.len() >= 48 || bytes.len() >= 12 && bytes.first().is_some_and(|first| first & 7 >= 6))
}

fn is_radius(bytes: &[u8]) -> bool {
    matches!(bytes, [1..=5 | 11..=13 | 40..=45, _, high, low, ..]
        if usize::from(u16::from_be_bytes([*high, *low])) == bytes.len() && bytes.len() >= 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decoder::application::tests::Random;

    fn tcp<'a>(originator: &'a [u8], responder: &'a [u8]) -> Opening<'a> {
        Opening {
            transport: Transport::Tcp,
            originator_port: 40_000,
            responder_port: 40_001,
            originator,
            responder,
        }
    }

    #[test]
    fn streams_are_told_apart_by_their_content() {
        for (originator, responder, expected) in [
            (
                &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
                &b""[..],
                Some(Protocol::Tls),
            ),
            (b"GET / HTTP/1.1\r\n", b"", Some(Protocol::Http)),
            (b"FROBNICATE /x HTTP/1.1\r\n", b"", Some(Protocol::Http)),
            (b"", b"HTTP/1.0 200 OK\r\n", Some(Protocol::Http)),
            (b"", b"SSH-2.0-OpenSSH_9.2\r\n", Some(Protocol::Ssh)),
            (b"", b"220 mail.example.org ESMTP\r\n", Some(Protocol::Smtp)),
            (b"", b"220 (vsFTPd 3.0.3)\r\n", Some(Protocol::Ftp)),
            (b"", b"220 welcome\r\n", None),
            (b"EHLO me\r\n", b"220 welcome\r\n", Some(Protocol::Smtp)),
            (b"USER me\r\n", b"220 welcome\r\n", Some(Protocol::Ftp)),
            (b"\0\0\0\x45\xffSMB\x72", b"", Some(Protocol::Smb)),
            (
                b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0",
                b"",
                Some(Protocol::Ldap),
            ),
            (b"*1\r\n$4\r\nPING\r\n", b"", Some(Protocol::Redis)),
            (b"", b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0", Some(Protocol::Mysql)),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", b"", Some(Protocol::Postgresql)),
            (
                b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0",
                b"",
                Some(Protocol::Rdp),
            ),
            (b"\x05\x64\x05\xc9\x03\0\x04\0\xbd\x71", b"", Some(Protocol::Dnp3)),
            (b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04abcd", b"", Some(Protocol::Mqtt)),
            (b"hello", b"", None),
            (b"", b"", None),
        ] {
            assert_eq!(
                recognise(&tcp(originator, responder)),
                expected,
                "{originator:?} {responder:?}"
            );
        }
    }

    #[test]
    fn datagrams_are_told_apart_by_content_and_port() {
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02de\0\0\x01\0\x01";
        for (port, bytes, expected) in [
            (53, &query[..], Some(Protocol::Dns)),
            (9953, &query[..], Some(Protocol::Dns)),
            (5353, &query[..], Some(Protocol::Mdns)),
            (5355, &query[..], Some(Protocol::Llmnr)),
            (443, b"\xc3\0\0\0\x01\x08abcdefgh\0", Some(Protocol::Quic)),
            (3478, b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl", Some(Protocol::Stun)),
            (161, b"\x30\x26\x02\x01\x01\x04\x06public", Some(Protocol::Snmp)),
            (4433, b"\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x01\x01", Some(Protocol::Dtls)),
            (123, &[0x23; 48], Some(Protocol::Ntp)),
            (9999, &[0x23; 48], None),
        ] {
            let opening = Opening {
                transport: Transport::Udp,
                originator_port: 40_000,
                responder_port: port,
                originator: bytes,
                responder: b"",
            };
            assert_eq!(recognise(&opening), expected, "port {port}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = Random::new(2);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.below(64)).map(|_| random.next() as u8).collect();
            for transport in [Transport::Tcp, Transport::Udp] {
                for port in [53, 137, 3389, 502, 9] {
                    let _ = recognise(&Opening {
                        transport,
                        originator_port: 4000,
                        responder_port: port,
                        originator: &bytes,
                        responder: bytes.get(7..).unwrap_or(&[]),
                    });
                }
            }
        }
    }
}
