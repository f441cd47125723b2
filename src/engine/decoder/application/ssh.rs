//! SSH identification strings of both sides (RFC 4253, 4.2), with the lines that a server may send before its own.
//! What follows is not read.

use super::{Piece, Side};
use crate::domain::{Event, Field};

/// Why bytes are no SSH identification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A client must begin with its identification.
    #[error("the client does not begin with an identification")]
    NotSsh,
    /// A line, or all of the lines before a server's identification, is too long.
    #[error("the identification does not come within 8192 bytes")]
    TooLong,
    /// A part of the identification was not captured.
    #[error("bytes before the identification were lost")]
    Gap,
}

impl Refusal {
    /// A word of a closed set, fit for a tally.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NotSsh => "ssh_not_ssh",
            Refusal::TooLong => "ssh_too_long",
            Refusal::Gap => "ssh_gap",
        }
    }
}

/// What both sides say that they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Banners {
    /// The originator's identification, `SSH-2.0-OpenSSH_9.2p1 Debian-2`.
    pub client: Option<String>,
    /// The responder's.
    pub server: Option<String>,
    originator: Line,
    responder: Line,
}

/// What of a line has come so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    partial: Vec<u8>,
    read_bytes: usize,
    over: bool,
}

impl Banners {
    /// RFC 4253 allows 255 bytes; the rest of a longer identification is cut.
    pub const IDENTIFICATION_BYTES_MAX: usize = 255;
    /// How far a server's identification is looked for.
    pub const SEARCHED_BYTES_MAX: usize = 8192;

    /// A connection in which nothing was said yet.
    pub fn new() -> Self {
        Banners::default()
    }

    /// Whether nothing more can come out: both sides have said what they are, or will not.
    pub fn is_over(&self) -> bool {
        self.originator.over && self.responder.over
    }

    /// The next piece of a stream. A refusal ends this direction.
    pub fn piece(&mut self, side: Side, piece: Piece<'_>) -> Result<(), Refusal> {
        let (line, identification) = match side {
            Side::Originator => (&mut self.originator, &mut self.client),
            Side::Responder => (&mut self.responder, &mut self.server),
        };
        if line.over {
            return Ok(());
        }
        let result = match piece {
            Piece::Data(data) => line.read(data, side),
            Piece::Skipped(_) | Piece::Lost(_) => Err(Refusal::Gap),
        };
        if let Ok(None) = result {
            return Ok(());
        }
        line.over = true;
        line.partial = Vec::new();
        *identification = result?;
        Ok(())
    }

    /// Writes what was said into an event; nothing when nobody said anything. Not addresses, times, transport.
    pub fn describe(&self, event: &mut Event) {
        event.add_str(Field::EventKind, "event");
        event.add_str(Field::EventCategory, "network");
        event.add_str(Field::EventType, "connection");
        event.add_str(Field::EventType, "protocol");
        event.add_str(Field::EventDataset, "ssh");
        event.add_str(Field::NetworkProtocol, "ssh");
        if let Some(client) = &self.client {
            event.add_str(Field::SshClient, client);
        }
        if let Some(server) = &self.server {
            event.add_str(Field::SshServer, server);
        }
    }
}

impl Line {
    fn read(&mut self, data: &[u8], side: Side) -> Result<Option<String>, Refusal> {
        let mut rest = data;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = behind.get(1..).unwrap_or(&[]);
            self.extend(line)?;
            let line = std::mem::take(&mut self.partial);
            if line.starts_with(b"SSH-") {
                return Ok(Some(text(&line)));
            }
            if side == Side::Originator {
                return Err(Refusal::NotSsh);
            }
        }
        self.extend(rest)?;
        if side == Side::Originator && !b"SSH-".starts_with(self.partial.get(..4).unwrap_or(&self.partial)) {
            return Err(Refusal::NotSsh);
        }
        Ok(None)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.read_bytes = self.read_bytes.saturating_add(bytes.len()).saturating_add(1);
        if self.read_bytes > Banners::SEARCHED_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

fn text(line: &[u8]) -> String {
    let bounded = line.get(..Banners::IDENTIFICATION_BYTES_MAX).unwrap_or(line);
    String::from_utf8_lossy(bounded.trim_ascii_end()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decoder::application::tests::Random;

    fn read(side: Side, segments: &[&[u8]]) -> Result<Option<String>, Refusal> {
        let mut banners = Banners::new();
        for segment in segments {
            banners.piece(side, Piece::Data(segment))?;
        }
        Ok(match side {
            Side::Originator => banners.client,
            Side::Responder => banners.server,
        })
    }

    #[test]
    fn identifications_are_read_in_one_piece_or_many() {
        let openssh = Some("SSH-2.0-OpenSSH_9.2p1 Debian-2".to_owned());
        let bytes = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\0\0\x05\xdc";
        assert_eq!(read(Side::Originator, &[bytes]), Ok(openssh.clone()));
        let bytes: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(Side::Originator, &bytes), Ok(openssh.clone()));
        assert_eq!(
            read(
                Side::Responder,
                &[b"Welcome\r\nto my host\nSSH-2.0-Open", b"SSH_9.2p1 Debian-2\n"]
            ),
            Ok(openssh)
        );
        assert_eq!(read(Side::Responder, &[b"Welcome\r\n"]), Ok(None));
    }

    #[test]
    fn what_is_no_identification_is_refused_within_the_bound() {
        assert_eq!(read(Side::Originator, &[b"GET / HTTP/1.1\r\n"]), Err(Refusal::NotSsh));
        assert_eq!(read(Side::Originator, &[b"x"]), Err(Refusal::NotSsh));
        assert_eq!(read(Side::Responder, &[&[b'a'; 9000]]), Err(Refusal::TooLong));
        assert_eq!(read(Side::Responder, &[&[b'\n'; 9000]]), Err(Refusal::TooLong));
        let mut banners = Banners::new();
        assert_eq!(banners.piece(Side::Responder, Piece::Lost(3)), Err(Refusal::Gap));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = Random::new(3);
        for _ in 0..5000 {
            let bytes = random.mutate(b"Hello\r\nSSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
            for side in [Side::Originator, Side::Responder] {
                let _ = read(side, &[&bytes]);
            }
        }
    }
}
