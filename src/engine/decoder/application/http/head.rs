//! The lines before a body: request line or status line, and the header lines that are wanted.

use super::{Request, Response};

/// The longest target that is kept; of host, user agent and referrer as much as their constants say.
const TARGET_BYTES_MAX: usize = 8192;
const HOST_BYTES_MAX: usize = 262;
const USER_AGENT_BYTES_MAX: usize = 1024;
const REFERRER_BYTES_MAX: usize = 2048;
const MIME_TYPE_BYTES_MAX: usize = 128;

/// How the end of a body is told (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Framing {
    /// No header line says anything.
    #[default]
    None,
    Length(u64),
    Chunked,
    /// A transfer coding other than chunked: the connection's end.
    Unknown,
    /// Lengths that are no numbers or contradict each other.
    Bad,
}

/// Header lines, as far as they are wanted.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    host: &'a [u8],
    user_agent: &'a [u8],
    referrer: &'a [u8],
    content_type: &'a [u8],
    upgrade: &'a [u8],
    framing: Framing,
}

/// The place behind the empty line that ends a head; the search begins at `from`.
pub(super) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr::memchr(b'\n', bytes.get(at..)?)? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// Whether a byte may stand in a method or a header's name (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The size at the front of a chunk's line.
pub(super) fn chunk_bytes(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if !matches!(line.get(digits), None | Some(b';' | b' ' | b'\t')) {
        return None;
    }
    let digits = std::str::from_utf8(line.get(..digits)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

impl<'a> Head<'a> {
    /// Reads a request's head.
    pub(super) fn request(bytes: &'a [u8]) -> Option<(Request, Framing)> {
        let (line, headers) = split_line(bytes);
        let (method, rest) = split_at_byte(line, b' ')?;
        let rest = rest.trim_ascii();
        // A target with a blank in it is wrong and seen.
        let blank = rest.iter().rposition(|byte| *byte == b' ')?;
        let (target, version) = rest.split_at_checked(blank)?;
        let version = version_number(version.trim_ascii_start())?;
        if method.is_empty() || method.len() > 32 || !method.iter().all(|byte| is_token(*byte)) {
            return None;
        }
        let head = Head::read(headers);
        let mut request = Request {
            method: text(method, 32),
            target: text(target.trim_ascii(), TARGET_BYTES_MAX),
            version,
            host: text(head.host, HOST_BYTES_MAX).to_ascii_lowercase(),
            user_agent: text(head.user_agent, USER_AGENT_BYTES_MAX),
            referrer: text(head.referrer, REFERRER_BYTES_MAX),
            mime_type: mime_type(head.content_type),
            head_bytes: bytes.len() as u64,
            body_bytes: 0,
            is_cut: false,
        };
        if let Some(authority) = request.target_authority() {
            request.host = text(authority.as_bytes(), HOST_BYTES_MAX).to_ascii_lowercase();
        }
        Some((request, head.framing))
    }

    /// Reads a response's head.
    pub(super) fn response(bytes: &'a [u8]) -> Option<(Response, Framing)> {
        let (line, headers) = split_line(bytes);
        let (version, rest) = split_at_byte(line, b' ').unwrap_or((line, b""));
        let version = version_number(version)?;
        let status = rest.trim_ascii_start().get(..3)?;
        if !status.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let status = std::str::from_utf8(status).ok()?.parse().ok()?;
        let head = Head::read(headers);
        let response = Response {
            status,
            version,
            mime_type: mime_type(head.content_type),
            upgrade: Some(text(head.upgrade, 64).to_ascii_lowercase()).filter(|upgrade| !upgrade.is_empty()),
            head_bytes: bytes.len() as u64,
            body_bytes: 0,
            is_cut: false,
        };
        Some((response, head.framing))
    }

    fn read(headers: &'a [u8]) -> Head<'a> {
        let mut head = Head::default();
        let mut rest = headers;
        while !rest.is_empty() {
            let line;
            (line, rest) = split_line(rest);
            let Some((name, value)) = split_at_byte(line, b':') else {
                continue;
            };
            head.header(name.trim_ascii_end(), value.trim_ascii());
        }
        head
    }

    fn header(&mut self, name: &[u8], value: &'a [u8]) {
        // Names of other lengths, which are most, are passed over with one comparison.
        let (wanted, place): (&[u8], &mut &'a [u8]) = match name.len() {
            4 => (b"host", &mut self.host),
            10 => (b"user-agent", &mut self.user_agent),
            12 => (b"content-type", &mut self.content_type),
            // "Upgrade" and "Referer", as HTTP spells it.
            7 if name.eq_ignore_ascii_case(b"upgrade") => (b"upgrade", &mut self.upgrade),
            7 => (b"referer", &mut self.referrer),
            14 if name.eq_ignore_ascii_case(b"content-length") => return self.length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => return self.coding(value),
            _ => return,
        };
        if place.is_empty() && name.eq_ignore_ascii_case(wanted) {
            *place = value;
        }
    }

    fn length(&mut self, value: &[u8]) {
        for number in value.split(|byte| *byte == b',') {
            let length = digits(number.trim_ascii());
            self.framing = match (self.framing, length) {
                // A transfer coding is stronger than a length.
                (Framing::Chunked | Framing::Unknown, _) => self.framing,
                (Framing::None, Some(length)) => Framing::Length(length),
                (Framing::Length(before), Some(length)) if before == length => Framing::Length(length),
                _ => Framing::Bad,
            };
        }
    }

    fn coding(&mut self, value: &[u8]) {
        let last = value.rsplit(|byte| *byte == b',').next().unwrap_or(value).trim_ascii();
        if last.eq_ignore_ascii_case(b"identity") {
            return;
        }
        self.framing = if last.eq_ignore_ascii_case(b"chunked") {
            Framing::Chunked
        } else {
            Framing::Unknown
        };
    }
}

/// The first line without its end, and what stands behind it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = split_at_byte(bytes, b'\n').unwrap_or((bytes, b""));
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

fn split_at_byte(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let place = memchr::memchr(byte, bytes)?;
    let (front, rest) = bytes.split_at_checked(place)?;
    Some((front, rest.get(1..)?))
}

/// `HTTP/1.1` as 11.
fn version_number(text: &[u8]) -> Option<u8> {
    match text {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] => Some(10 + (minor - b'0')),
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// At most so many bytes, as text; what is no UTF-8 is replaced.
fn text(bytes: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(bytes.get(..bytes_max).unwrap_or(bytes)).into_owned()
}

/// The media type without its parameters, lower case.
fn mime_type(value: &[u8]) -> String {
    let media = split_at_byte(value, b';').map_or(value, |(media, _)| media);
    text(media.trim_ascii(), MIME_TYPE_BYTES_MAX).to_ascii_lowercase()
}
