//! The bodies of ClientHello and ServerHello (RFC 8446, 4.1), and JA4.

use crate::engine::decoder::application::bytes::{Bytes, push_hex};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The most numbers of one list that are kept: cipher suites, extensions, signature algorithms, versions.
const NUMBERS_MAX: usize = 512;
/// The longest name of a server that is kept: that of the longest domain name.
const SERVER_NAME_BYTES_MAX: usize = 255;

/// What a client offers. Lists are in the client's order, with the values that stand for nothing (GREASE, RFC 8701).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The version of the hello itself, which TLS 1.3 keeps at 0x0303.
    pub legacy_version: u16,
    /// The session that the client wants to go on with, or a random number.
    pub session_id: Vec<u8>,
    /// Cipher suites.
    pub cipher_suites: Vec<u16>,
    /// The kinds of all extensions.
    pub extensions: Vec<u16>,
    /// Versions (extension 43); empty where it is absent.
    pub supported_versions: Vec<u16>,
    /// Signature algorithms (extension 13).
    pub signature_algorithms: Vec<u16>,
    /// The server that is meant (extension 0), lower case.
    pub server_name: Option<String>,
    /// The first application protocol (extension 16), which is the one that the client likes best.
    pub first_protocol: Option<Vec<u8>>,
    /// The end of the hello was not captured: extensions are missing, and there is no JA4.
    pub is_cut: bool,
}

/// What a server chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// The version of the hello itself.
    pub legacy_version: u16,
    /// The version that TLS 1.3 chooses in an extension.
    pub selected_version: Option<u16>,
    /// The session.
    pub session_id: Vec<u8>,
    /// The cipher suite.
    pub cipher_suite: u16,
    /// The application protocol. TLS 1.3 tells it in secret.
    pub protocol: Option<Vec<u8>>,
    /// The server goes on with a key that both know from before (extension 41).
    pub has_shared_key: bool,
    /// The server asks for another hello (RFC 8446, 4.1.3).
    pub is_retry: bool,
}

/// What carries the hello, as JA4 writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ja4Transport {
    /// TLS over TCP: `t`.
    Tcp,
    /// QUIC: `q`.
    Quic,
    /// DTLS: `d`.
    Dtls,
}

/// SHA-256 of "HelloRetryRequest" (RFC 8446, 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

impl ClientHello {
    /// Reads the body of the message. DTLS has a cookie in it. Extensions that contradict themselves count as present
    /// and say nothing.
    pub fn parse(body: &[u8], has_cookie: bool) -> Option<ClientHello> {
        let mut hello = ClientHello::default();
        let mut body = hello.read_front(body, has_cookie)?;
        if body.is_empty() {
            return Some(hello);
        }
        hello.read_extensions(body.block16()?)?;
        Some(hello)
    }

    /// Reads the beginning of a body whose end was not captured: what is there in whole, down to the cipher suites at
    /// least.
    pub fn parse_cut(body: &[u8]) -> Option<ClientHello> {
        let mut hello = ClientHello {
            is_cut: true,
            ..ClientHello::default()
        };
        let mut body = hello.read_front(body, false)?;
        if body.u16().is_some() {
            // The last extension is the one that is cut.
            let _: Option<()> = hello.read_extensions(body);
        }
        Some(hello)
    }

    /// Reads up to the extensions, and gives what follows.
    fn read_front<'a>(&mut self, body: &'a [u8], has_cookie: bool) -> Option<Bytes<'a>> {
        let hello = self;
        let mut body = Bytes::new(body);
        hello.legacy_version = body.u16()?;
        body.take(32)?;
        hello.session_id = body.block8()?.rest().get(..).filter(|id| id.len() <= 32)?.to_vec();
        if has_cookie {
            body.block8()?;
        }
        hello.cipher_suites = numbers(body.block16()?);
        body.block8()?;
        Some(body)
    }

    fn read_extensions(&mut self, mut extensions: Bytes<'_>) -> Option<()> {
        let hello = self;
        while !extensions.is_empty() {
            let (kind, content) = (extensions.u16()?, extensions.block16()?);
            if hello.extensions.len() < NUMBERS_MAX {
                hello.extensions.push(kind);
            }
            // What an extension says wrongly must not hide the others.
            let _ = hello.extension(kind, content);
        }
        Some(())
    }

    fn extension(&mut self, kind: u16, mut content: Bytes<'_>) -> Option<()> {
        match kind {
            0 => {
                let mut names = content.block16()?;
                let (name_kind, name) = (names.u8()?, names.block16()?.rest());
                if name_kind == 0 && !name.is_empty() && self.server_name.is_none() {
                    let bounded = name.get(..SERVER_NAME_BYTES_MAX).unwrap_or(name);
                    let name = String::from_utf8_lossy(bounded).to_ascii_lowercase();
                    self.server_name = Some(name.trim_end_matches('.').to_owned()).filter(|name| !name.is_empty());
                }
            }
            13 if self.signature_algorithms.is_empty() => self.signature_algorithms = numbers(content.block16()?),
            16 if self.first_protocol.is_none() => {
                let mut protocols = content.block16()?;
                while let Some(protocol) = protocols.block8() {
                    let protocol = protocol.rest();
                    let grease = matches!(protocol, [high, low] if is_grease(u16::from_be_bytes([*high, *low])));
                    if !grease {
                        self.first_protocol = Some(protocol.to_vec());
                        break;
                    }
                }
            }
            43 if self.supported_versions.is_empty() => self.supported_versions = numbers(content.block8()?),
            _ => {}
        }
        Some(())
    }

    /// The client's fingerprint after FoxIO's specification of JA4.
    pub fn ja4(&self, transport: Ja4Transport) -> String {
        let ciphers = sorted(&self.cipher_suites, |_| true);
        let extensions = sorted(&self.extensions, |_| true);
        let mut text = String::with_capacity(36);
        text.push(match transport {
            Ja4Transport::Tcp => 't',
            Ja4Transport::Quic => 'q',
            Ja4Transport::Dtls => 'd',
        });
        text.push_str(self.ja4_version());
        text.push(if self.extensions.contains(&0) { 'd' } else { 'i' });
        let _ = write!(text, "{:02}{:02}", ciphers.len().min(99), extensions.len().min(99));
        self.push_ja4_protocol(&mut text);

        text.push('_');
        let mut list = String::with_capacity(256);
        push_list(&mut list, &ciphers);
        push_hash(&mut text, &list);

        text.push('_');
        list.clear();
        push_list(&mut list, &sorted(&extensions, |kind| kind != 0 && kind != 16));
        if !list.is_empty() && !self.signature_algorithms.is_empty() {
            let algorithms: Vec<u16> = without_grease(&self.signature_algorithms).collect();
            if !algorithms.is_empty() {
                list.push('_');
                push_list(&mut list, &algorithms);
            }
        }
        push_hash(&mut text, &list);
        text
    }

    fn ja4_version(&self) -> &'static str {
        match without_grease(&self.supported_versions)
            .max()
            .unwrap_or(self.legacy_version)
        {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            0xfeff => "d1",
            0xfefd => "d2",
            0xfefc => "d3",
            _ => "00",
        }
    }

    fn push_ja4_protocol(&self, text: &mut String) {
        let Some(([first, ..], [.., last])) = self.first_protocol.as_deref().map(|protocol| (protocol, protocol))
        else {
            text.push_str("00");
            return;
        };
        if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
            text.push(char::from(*first));
            text.push(char::from(*last));
            return;
        }
        let mut digits = String::with_capacity(4);
        push_hex(&mut digits, &[*first, *last]);
        text.extend(digits.chars().next());
        text.extend(digits.chars().next_back());
    }
}

impl ServerHello {
    /// Reads the body of the message.
    pub fn parse(body: &[u8]) -> Option<ServerHello> {
        let mut body = Bytes::new(body);
        let legacy_version = body.u16()?;
        let is_retry = body.take(32)? == RETRY_RANDOM;
        let mut hello = ServerHello {
            legacy_version,
            is_retry,
            session_id: body.block8()?.rest().get(..).filter(|id| id.len() <= 32)?.to_vec(),
            cipher_suite: body.u16()?,
            ..ServerHello::default()
        };
        body.u8()?;
        if body.is_empty() {
            return Some(hello);
        }
        let mut extensions = body.block16()?;
        while !extensions.is_empty() {
            let (kind, mut content) = (extensions.u16()?, extensions.block16()?);
            match kind {
                16 => {
                    let protocol = content.block16().and_then(|mut protocols| protocols.block8());
                    hello.protocol = protocol.map(|protocol| protocol.rest().to_vec());
                }
                41 => hello.has_shared_key = true,
                43 => hello.selected_version = content.u16(),
                _ => {}
            }
        }
        Some(hello)
    }

    /// The version that both will speak.
    pub fn version(&self) -> u16 {
        self.selected_version.unwrap_or(self.legacy_version)
    }

    /// Whether the server goes on with a session of before instead of showing its certificate.
    pub fn resumes(&self, client: &ClientHello) -> bool {
        match self.selected_version {
            Some(_) => self.has_shared_key,
            None => !self.session_id.is_empty() && self.session_id == client.session_id,
        }
    }
}

/// Values that clients send so that servers get used to the unknown: 0x0a0a, 0x1a1a ... 0xfafa (RFC 8701).
fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

fn without_grease(numbers: &[u16]) -> impl Iterator<Item = u16> {
    numbers.iter().copied().filter(|number| !is_grease(*number))
}

fn sorted(numbers: &[u16], wanted: impl Fn(u16) -> bool) -> Vec<u16> {
    let mut sorted: Vec<u16> = without_grease(numbers).filter(|number| wanted(*number)).collect();
    sorted.sort_unstable();
    sorted
}

fn numbers(mut bytes: Bytes<'_>) -> Vec<u16> {
    let count = (bytes.rest().len() / 2).min(NUMBERS_MAX);
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count
        && let Some(number) = bytes.u16()
    {
        numbers.push(number);
    }
    numbers
}

fn push_list(text: &mut String, numbers: &[u16]) {
    for (place, number) in numbers.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        push_hex(text, &number.to_be_bytes());
    }
}

fn push_hash(text: &mut String, list: &str) {
    if list.is_empty() {
        text.push_str("000000000000");
        return;
    }
    let hash = Sha256::digest(list.as_bytes());
    push_hex(text, hash.get(..6).unwrap_or(&hash));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of the specification's example, GREASE put in.
    fn example() -> ClientHello {
        ClientHello {
            legacy_version: 0x0303,
            session_id: Vec::new(),
            cipher_suites: vec![
                0x6a6a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x1a1a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
                0xff01, 0x000b, 0x000a, 0x0015, 0xfafa,
            ],
            supported_versions: vec![0x0a0a, 0x0304, 0x0303],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            server_name: Some("example.org".into()),
            first_protocol: Some(b"h2".to_vec()),
            is_cut: false,
        }
    }

    #[test]
    fn the_examples_of_the_specification_come_out() {
        let hello = example();
        assert_eq!(hello.ja4(Ja4Transport::Tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(hello.ja4(Ja4Transport::Quic), "q13d1516h2_8daaf6152771_e5627efa2ab1");
        // Without signature algorithms the list ends without an underscore.
        let bare = ClientHello {
            signature_algorithms: Vec::new(),
            ..example()
        };
        assert_eq!(bare.ja4(Ja4Transport::Tcp), "t13d1516h2_8daaf6152771_6d807ffa2a79");
        let nothing = ClientHello {
            legacy_version: 0xfefd,
            ..ClientHello::default()
        };
        assert_eq!(nothing.ja4(Ja4Transport::Dtls), "dd2i000000_000000000000_000000000000");
    }

    #[test]
    fn the_protocol_gives_its_first_and_last_character() {
        for (protocol, expected) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"", "00"),
            (b"\xab", "ab"),
            (b"\xab\xcd", "ad"),
            (b"\x30\xab", "3b"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ] {
            let hello = ClientHello {
                first_protocol: Some(protocol.to_vec()),
                ..ClientHello::default()
            };
            let mut text = String::new();
            hello.push_ja4_protocol(&mut text);
            assert_eq!(text, expected, "{protocol:x?}");
        }
    }

    #[test]
    fn the_version_is_the_highest_that_is_not_grease() {
        for (versions, legacy_version, expected) in [
            (&[0xfafa, 0x0303, 0x0304][..], 0x0303, "13"),
            (&[], 0x0301, "10"),
            (&[0x0a0a], 0x0302, "11"),
            (&[], 0x0300, "s3"),
            (&[], 0x0002, "s2"),
            (&[], 0xfeff, "d1"),
            (&[], 0x0399, "00"),
        ] {
            let hello = ClientHello {
                legacy_version,
                supported_versions: versions.to_vec(),
                ..ClientHello::default()
            };
            assert_eq!(hello.ja4_version(), expected);
        }
    }
}
