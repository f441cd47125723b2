//! The open part of a TLS or DTLS handshake: what the client offers, what the server chooses, and whether both went on
//! to speak in secret. Certificates are not read.
//!
//! Records and messages are followed across segments (RFC 8446, 5.1). Until both hellos are complete their bytes are
//! gathered, at most [`Handshake::HELLO_BYTES_MAX`] a side; of later records only the headers are looked at.

mod hello;
mod names;

pub use hello::{ClientHello, Ja4Transport, ServerHello};
pub use names::{cipher_name, version_name};

use super::bytes::Bytes;
use super::{Piece, Side};
use crate::domain::{Event, Field};

/// Why bytes are no handshake that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No record header where one must be.
    #[error("there is no TLS record where one must begin")]
    NotTls,
    /// A hello in the form of SSL 2.
    #[error("the client says hello in the form of SSL 2")]
    Ssl2,
    /// The first message is not a hello.
    #[error("the first handshake message is not a hello")]
    NotHello,
    /// A hello whose lengths contradict each other.
    #[error("the lengths inside the hello contradict each other")]
    BadHello,
    /// A hello longer than [`Handshake::HELLO_BYTES_MAX`].
    #[error("the hello is longer than 65536 bytes")]
    TooLong,
    /// Part of the handshake was not captured.
    #[error("bytes of the handshake were lost")]
    Gap,
}

impl Refusal {
    /// A word of a closed set, fit for a tally.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NotTls => "tls_not_tls",
            Refusal::Ssl2 => "tls_ssl2",
            Refusal::NotHello => "tls_not_hello",
            Refusal::BadHello => "tls_bad_hello",
            Refusal::TooLong => "tls_too_long",
            Refusal::Gap => "tls_gap",
        }
    }
}

/// One handshake.
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    /// What the client offered: its first hello, where a retry makes it send two.
    pub client: Option<ClientHello>,
    /// What the server chose: its last hello.
    pub server: Option<ServerHello>,
    datagrams: bool,
    failed: bool,
    /// Part of the handshake was not captured, so that what is missing says nothing.
    is_cut: bool,
    originator: Direction,
    responder: Direction,
}

/// What of one side's records has come so far.
#[derive(Clone, Debug, Default)]
struct Direction {
    header: Vec<u8>,
    /// Bytes of the current record that are passed over.
    skip_bytes: usize,
    /// Bytes of the current record that are gathered, and its type.
    gather: Option<(u8, usize)>,
    /// Bytes of the hello so far.
    hello: Vec<u8>,
    alert: Vec<u8>,
    hello_done: bool,
    changed_cipher: bool,
    sent_data: bool,
    over: bool,
}

const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

impl Handshake {
    /// The longest hello that is read.
    pub const HELLO_BYTES_MAX: usize = 64 * 1024;

    /// A connection in which nothing was said yet.
    pub fn new() -> Self {
        Handshake::default()
    }

    /// Whether nothing more can come out: both sides speak in secret, or an alert or a refusal has ended it.
    pub fn is_over(&self) -> bool {
        self.failed || self.is_established() || self.originator.over && self.responder.over
    }

    /// Whether both sides have said hello and then something in secret.
    pub fn is_established(&self) -> bool {
        let (Some(_), Some(server)) = (&self.client, &self.server) else {
            return false;
        };
        let secret = |direction: &Direction| match server.version() {
            // TLS 1.3 changes ciphers for show only (RFC 8446, appendix D.4).
            0x0304 | 0xfefc => direction.sent_data,
            _ => direction.changed_cipher,
        };
        !self.failed && secret(&self.originator) && secret(&self.responder)
    }

    /// The next piece of a stream. A refusal ends this direction.
    pub fn piece(&mut self, side: Side, piece: Piece<'_>) -> Result<(), Refusal> {
        if self.direction(side).over || self.is_over() {
            return Ok(());
        }
        let result = match piece {
            Piece::Data(data) => self.read(side, data),
            Piece::Skipped(bytes) | Piece::Lost(bytes) => self.pass(side, bytes),
        };
        if result.is_err() {
            self.end(side);
        }
        result
    }

    /// The connection has ended: takes up the beginning of a hello whose rest did not come.
    pub fn finish(&mut self) {
        self.end_hello(Side::Originator);
        self.end_hello(Side::Responder);
    }

    /// Bytes that nobody saw: harmless inside a record that is passed over; inside a hello they end it.
    fn pass(&mut self, side: Side, bytes: u64) -> Result<(), Refusal> {
        let bytes = usize::try_from(bytes).map_err(|_| Refusal::Gap)?;
        self.end_hello(side);
        let direction = self.direction(side);
        let gathered = direction.gather.take();
        let known = gathered.map_or(direction.skip_bytes, |(_, left)| left);
        let left = known.checked_sub(bytes);
        direction.skip_bytes = left.unwrap_or(0);
        self.is_cut |= gathered.is_some() || left.is_none();
        left.map(|_| ()).ok_or(Refusal::Gap)
    }

    /// The rest of a hello will not come: takes up what the client's has said in whole.
    fn end_hello(&mut self, side: Side) {
        let datagrams = self.datagrams;
        let direction = self.direction(side);
        if direction.hello_done || direction.hello.is_empty() {
            return;
        }
        let hello = std::mem::take(&mut direction.hello);
        direction.hello_done = true;
        self.is_cut = true;
        // Behind the kind and the length; a DTLS hello is gathered without them, and not in order if it is cut.
        let [1, _, _, _, body @ ..] = hello.as_slice() else {
            return;
        };
        if !datagrams && self.client.is_none() {
            self.client = ClientHello::parse_cut(body);
        }
    }

    /// A datagram of DTLS (RFC 6347). A refusal ends this direction.
    pub fn datagram(&mut self, side: Side, bytes: &[u8]) -> Result<(), Refusal> {
        self.datagrams = true;
        if self.direction(side).over || self.is_over() {
            return Ok(());
        }
        let result = self.read_datagram(side, bytes);
        if result.is_err() {
            self.end(side);
        }
        result
    }

    /// Writes what the handshake says into an event; not addresses, times, transport.
    pub fn describe(&self, event: &mut Event) {
        event.add_str(Field::EventKind, "event");
        event.add_str(Field::EventCategory, "network");
        event.add_str(Field::EventType, "connection");
        event.add_str(Field::EventType, "protocol");
        event.add_str(Field::EventDataset, "tls");
        event.add_str(Field::NetworkProtocol, if self.datagrams { "dtls" } else { "tls" });
        let established = self.is_established();
        if self.is_cut && !established && !self.failed {
            event.add_str(Field::EventOutcome, "unknown");
        } else {
            event.add_str(Field::EventOutcome, if established { "success" } else { "failure" });
            event.add_bool(Field::TlsEstablished, established);
        }
        if let Some(client) = &self.client {
            if let Some(name) = &client.server_name {
                event.add_str(Field::TlsClientServerName, name);
            }
            let transport = if self.datagrams {
                Ja4Transport::Dtls
            } else {
                Ja4Transport::Tcp
            };
            if !client.is_cut {
                event.add_str(Field::TlsClientJa4, &client.ja4(transport));
            }
        }
        let Some(server) = &self.server else {
            return;
        };
        let (protocol, number) = version_name(server.version());
        event.add_str(Field::TlsVersionProtocol, protocol);
        event.add_str(Field::TlsVersion, number);
        names::add_cipher(event, server.cipher_suite);
        if let Some(protocol) = &server.protocol {
            event.add_bytes(Field::TlsNextProtocol, protocol);
        }
        if let Some(client) = self.client.as_ref().filter(|client| !client.is_cut) {
            event.add_bool(Field::TlsResumed, server.resumes(client));
        }
    }

    fn direction(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Originator => &mut self.originator,
            Side::Responder => &mut self.responder,
        }
    }

    fn end(&mut self, side: Side) {
        let direction = self.direction(side);
        direction.over = true;
        direction.hello = Vec::new();
        direction.header = Vec::new();
    }

    fn read(&mut self, side: Side, data: &[u8]) -> Result<(), Refusal> {
        let mut data = data;
        while !data.is_empty() {
            let direction = self.direction(side);
            if direction.skip_bytes > 0 {
                let passed = direction.skip_bytes.min(data.len());
                direction.skip_bytes -= passed;
                data = data.get(passed..).unwrap_or(&[]);
                continue;
            }
            if let Some((kind, left)) = direction.gather {
                let (now, rest) = data.split_at_checked(left).unwrap_or((data, &[]));
                data = rest;
                direction.gather = Some((kind, left - now.len())).filter(|(_, left)| *left > 0);
                self.gathered(side, kind, now)?;
                continue;
            }
            let header_left = 5usize.saturating_sub(direction.header.len());
            let (now, rest) = data.split_at_checked(header_left).unwrap_or((data, &[]));
            data = rest;
            direction.header.extend_from_slice(now);
            if let [kind, major, minor, high, low] = *direction.header.as_slice() {
                direction.header.clear();
                self.record(
                    side,
                    RecordHeader {
                        kind,
                        version: u16::from_be_bytes([major, minor]),
                        length: u16::from_be_bytes([high, low]),
                    },
                )?;
            }
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// A record begins.
    fn record(&mut self, side: Side, header: RecordHeader) -> Result<(), Refusal> {
        let direction = self.direction(side);
        let first = !direction.hello_done && direction.hello.is_empty();
        // 2^14 and what encryption may add (RFC 5246, 6.2.3).
        if !matches!(header.kind, 20..=24) || header.version >> 8 != 3 || header.length > (1 << 14) + 2048 {
            let ssl2 = first && header.kind & 0x80 != 0 && header.version & 0xff == 1;
            return Err(if ssl2 { Refusal::Ssl2 } else { Refusal::NotTls });
        }
        self.begin(side, header.kind, header.length.into());
        Ok(())
    }

    /// Decides what is done with the content of a record.
    fn begin(&mut self, side: Side, kind: u8, length: usize) {
        let answered = self.server.is_some();
        let direction = self.direction(side);
        match kind {
            // What comes before the server has chosen is early data or for show.
            CHANGE_CIPHER => direction.changed_cipher |= answered || side == Side::Responder,
            DATA => direction.sent_data |= answered,
            _ => {}
        }
        let gathers = match kind {
            HANDSHAKE => !direction.hello_done,
            ALERT => !direction.changed_cipher && !direction.sent_data,
            _ => false,
        };
        if gathers {
            direction.gather = Some((kind, length)).filter(|(_, length)| *length > 0);
        } else {
            direction.skip_bytes = length;
        }
    }

    fn gathered(&mut self, side: Side, kind: u8, bytes: &[u8]) -> Result<(), Refusal> {
        let direction = self.direction(side);
        if kind == ALERT {
            direction.alert.extend_from_slice(bytes.get(..2).unwrap_or(bytes));
            if let [level, _, ..] = *direction.alert.as_slice() {
                direction.alert.clear();
                self.failed |= level == 2;
            }
            return Ok(());
        }
        if direction.hello_done {
            return Ok(());
        }
        if direction.hello.is_empty() {
            let used = self.hellos(side, bytes)?;
            let direction = self.direction(side);
            if !direction.hello_done {
                direction.hello.extend_from_slice(bytes.get(used..).unwrap_or(&[]));
            }
            return Ok(());
        }
        direction.hello.extend_from_slice(bytes);
        let hello = std::mem::take(&mut direction.hello);
        let used = self.hellos(side, &hello)?;
        let direction = self.direction(side);
        if !direction.hello_done {
            direction.hello = hello;
            direction.hello.drain(..used.min(direction.hello.len()));
        }
        Ok(())
    }

    /// Reads whole messages up to the hello; gives how many bytes they took.
    fn hellos(&mut self, side: Side, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut rest = Bytes::new(bytes);
        while !self.direction(side).hello_done {
            let mut ahead = rest;
            let Some(kind) = ahead.u8() else {
                break;
            };
            if !matches!(kind, 0..=3) {
                return Err(Refusal::NotHello);
            }
            let Some(length) = ahead.u24() else {
                break;
            };
            if length as usize > Self::HELLO_BYTES_MAX {
                return Err(Refusal::TooLong);
            }
            let Some(body) = ahead.take(length as usize) else {
                break;
            };
            rest = ahead;
            self.message(side, kind, body)?;
        }
        Ok(bytes.len() - rest.rest().len())
    }

    fn message(&mut self, side: Side, kind: u8, body: &[u8]) -> Result<(), Refusal> {
        match kind {
            1 => {
                let hello = ClientHello::parse(body, self.datagrams).ok_or(Refusal::BadHello)?;
                if self.client.is_none() {
                    self.client = Some(hello);
                }
                // After a request for a cookie DTLS says hello again; the first has said all that is wanted.
                self.direction(side).hello_done = true;
            }
            2 => {
                let hello = ServerHello::parse(body).ok_or(Refusal::BadHello)?;
                self.direction(side).hello_done = !hello.is_retry;
                self.server = Some(hello);
            }
            // A request for a hello, or (DTLS) for a hello with a cookie.
            _ => {}
        }
        Ok(())
    }

    fn read_datagram(&mut self, side: Side, bytes: &[u8]) -> Result<(), Refusal> {
        let mut records = Bytes::new(bytes);
        while !records.is_empty() {
            // The unified header of DTLS 1.3 (RFC 9147, 4) stands before secret records only, and may leave its length out.
            if records.rest().first().is_some_and(|first| first >> 5 == 1) {
                self.begin(side, DATA, 0);
                return Ok(());
            }
            let (kind, version, epoch, fragment) = (|| {
                let (kind, version, epoch) = (records.u8()?, records.u16()?, records.u16()?);
                records.take(6)?;
                Some((kind, version, epoch, records.block16()?))
            })()
            .ok_or(Refusal::NotTls)?;
            if !matches!(kind, 20..=25) || version >> 8 != 0xfe {
                return Err(Refusal::NotTls);
            }
            if epoch > 0 {
                self.begin(side, DATA, 0);
                continue;
            }
            match kind {
                HANDSHAKE if !self.direction(side).hello_done => self.fragments(side, fragment)?,
                ALERT => self.failed |= fragment.rest().first() == Some(&2),
                _ => self.begin(side, kind, 0),
            }
        }
        Ok(())
    }

    /// The fragments of handshake messages in a record (RFC 6347, 4.2.2). They are put together when they come in order.
    fn fragments(&mut self, side: Side, mut fragments: Bytes<'_>) -> Result<(), Refusal> {
        while !fragments.is_empty() && !self.direction(side).hello_done {
            let (kind, length, offset, part) = (|| {
                let (kind, length) = (fragments.u8()?, fragments.u24()? as usize);
                fragments.u16()?;
                let offset = fragments.u24()? as usize;
                let part_bytes = fragments.u24()? as usize;
                Some((kind, length, offset, fragments.take(part_bytes)?))
            })()
            .ok_or(Refusal::BadHello)?;
            if !matches!(kind, 0..=3) {
                return Err(Refusal::NotHello);
            }
            if length > Self::HELLO_BYTES_MAX {
                return Err(Refusal::TooLong);
            }
            if offset == 0 && part.len() == length {
                self.message(side, kind, part)?;
                continue;
            }
            let direction = self.direction(side);
            if offset == 0 {
                direction.hello.clear();
            }
            if offset != direction.hello.len() || offset + part.len() > length {
                continue;
            }
            direction.hello.extend_from_slice(part);
            if direction.hello.len() == length {
                let hello = std::mem::take(&mut direction.hello);
                self.message(side, kind, &hello)?;
            }
        }
        Ok(())
    }
}

struct RecordHeader {
    kind: u8,
    version: u16,
    length: u16,
}

#[cfg(test)]
mod tests;
