//! Request bodies: bounded in size, in time, and in what all of them hold together.

use super::Refusal;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Bytes of one body, before and after unpacking.
pub(super) const BODY_BYTES_MAX: usize = 32 << 20;
/// Bytes of all bodies in memory.
const ROOM_BYTES: usize = 128 << 20;
/// Bytes of a body over its bound that are read and dropped, so that its sender gets to hear the answer.
const DROPPED_BYTES_MAX: usize = 256 << 20;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes that are unpacked at a time.
const STEP_BYTES: usize = 64 * 1024;

/// The memory that bodies may take together.
#[derive(Clone, Debug, Default)]
pub(super) struct Room(Arc<AtomicUsize>);

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Room,
    bytes: usize,
}

/// A body as it came.
pub(super) struct Received {
    bytes: Vec<u8>,
    is_packed: bool,
    taken: Taken,
}

impl Room {
    /// No room yet.
    pub(super) fn none(&self) -> Taken {
        Taken {
            room: self.clone(),
            bytes: 0,
        }
    }
}

impl Taken {
    fn more(&mut self, bytes: usize) -> Result<(), Refusal> {
        let taken = self.room.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        if taken > ROOM_BYTES {
            return Err(Refusal::Full);
        }
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads the body of a request.
pub(super) async fn read(request: Request, room: &Room) -> Result<Received, Refusal> {
    let is_packed = is_packed(request.headers())?;
    let announced = announced(request.headers());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX) && request.headers().contains_key(EXPECT) {
        // It asked before it sent.
        return Err(Refusal::TooLarge);
    }
    let mut taken = room.none();
    let reading = gather(request.into_body(), announced, &mut taken);
    let bytes = tokio::time::timeout(BODY_TIME, reading)
        .await
        .unwrap_or(Err(Refusal::Slow))?;
    Ok(Received {
        bytes,
        is_packed,
        taken,
    })
}

fn is_packed(headers: &HeaderMap) -> Result<bool, Refusal> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else {
        return Ok(false);
    };
    match encoding.as_bytes().to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => Ok(true),
        b"identity" | b"" => Ok(false),
        _ => Err(Refusal::Encoding),
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn gather(mut body: Body, announced: Option<usize>, taken: &mut Taken) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut refused = announced
        .filter(|bytes| *bytes > BODY_BYTES_MAX)
        .map(|_| Refusal::TooLarge);
    let mut seen = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Cut)?.into_data() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        if refused.is_none() {
            refused = match taken.more(data.len()) {
                Ok(()) if seen > BODY_BYTES_MAX => Some(Refusal::TooLarge),
                Ok(()) => None,
                Err(full) => Some(full),
            };
        }
        match &refused {
            None => bytes.extend_from_slice(&data),
            Some(_) if seen > DROPPED_BYTES_MAX => break,
            Some(_) => bytes = Vec::new(),
        }
    }
    refused.map_or(Ok(bytes), Err)
}

impl Received {
    /// The body unpacked, with the room that it takes.
    pub(super) fn unpack(self) -> Result<(Vec<u8>, Taken), Refusal> {
        let Received {
            bytes,
            is_packed,
            mut taken,
        } = self;
        if !is_packed {
            return Ok((bytes, taken));
        }
        let mut unpacked = Vec::new();
        let mut decoder = MultiGzDecoder::new(bytes.as_slice());
        loop {
            let before = unpacked.len();
            let mut step = decoder.by_ref().take(STEP_BYTES as u64);
            step.read_to_end(&mut unpacked)
                .map_err(|error| Refusal::Gzip(error.to_string()))?;
            let more = unpacked.len() - before;
            if more == 0 {
                return Ok((unpacked, taken));
            }
            if unpacked.len() > BODY_BYTES_MAX {
                return Err(Refusal::TooLarge);
            }
            taken.more(more)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, &'static str> {
        let room = Room::default();
        let received = Received {
            bytes,
            is_packed: true,
            taken: room.none(),
        };
        let unpacked = received.unpack().map(|(bytes, _)| bytes);
        assert_eq!(room.0.load(Ordering::Relaxed), 0, "the room is given back");
        unpacked.map_err(|refusal| refusal.kind().0)
    }

    #[test]
    fn packed_bodies_are_unpacked_up_to_their_bound() {
        assert_eq!(unpack(packed(b"{}\n")), Ok(b"{}\n".to_vec()));
        let two = [packed(b"a"), packed(b"b")].concat();
        assert_eq!(unpack(two), Ok(b"ab".to_vec()), "members follow each other");
        let most = vec![b' '; BODY_BYTES_MAX];
        assert_eq!(unpack(packed(&most)).map(|bytes| bytes.len()), Ok(BODY_BYTES_MAX));
        let bomb = packed(&vec![0; BODY_BYTES_MAX + 1]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpack(bomb), Err("too_large"));
    }

    #[test]
    fn broken_packing_is_refused() {
        let whole = packed(b"some text that is long enough to be cut");
        for length in 1..whole.len() {
            assert_eq!(unpack(whole[..length].to_vec()), Err("bad_gzip"), "{length} bytes");
        }
        assert_eq!(unpack(b"{}\n".to_vec()), Err("bad_gzip"));
    }

    #[test]
    fn bodies_share_one_room() {
        let room = Room::default();
        let mut first = room.none();
        assert!(first.more(ROOM_BYTES).is_ok());
        let mut second = room.none();
        assert!(matches!(second.more(1), Err(Refusal::Full)));
        drop((first, second));
        assert!(room.none().more(ROOM_BYTES).is_ok());
    }
}
