//! HTTP/1.x between two sides: requests paired with their responses (RFC 9112). Requests may be sent ahead of responses;
//! bodies are counted and not kept. After an upgrade or a successful CONNECT nothing more is read.
//!
//! A part that was not captured inside a body is counted as if it had been seen, where the body's length is known. A head
//! whose end was not captured is told as far as its whole lines say, without sizes. Elsewhere, and after what is not HTTP,
//! a direction goes on where a segment begins with the next head.

mod head;
mod transaction;

pub use transaction::{Request, Response, Transaction};

use super::recognise::is_http_request;
use super::{Piece, Side};
use crate::domain::Timestamp;
use head::{Framing, Head};
use std::collections::VecDeque;

/// Why bytes are no HTTP. The direction goes on at the next head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No request or status line where one must be.
    #[error("there is no request or status line where one must be")]
    NotHttp,
    /// The lines before the body are longer than [`Conversation::HEAD_BYTES_MAX`].
    #[error("the head is longer than 65536 bytes")]
    HeadTooLong,
    /// Lengths of a body that are no numbers or contradict each other, or a transfer coding of an unknown kind.
    #[error("where the body ends can't be told")]
    BadLength,
    /// A chunk without a size.
    #[error("a chunk has no size")]
    BadChunk,
}

impl Refusal {
    /// A word of a closed set, fit for a tally.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::NotHttp => "http_not_http",
            Refusal::HeadTooLong => "http_head_too_long",
            Refusal::BadLength => "http_bad_length",
            Refusal::BadChunk => "http_bad_chunk",
        }
    }
}

/// What the connection goes on to speak instead of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Another protocol by its name in `Upgrade`, lower case: `websocket`, `h2c`.
    Upgrade(String),
    /// Anything, to where CONNECT has asked.
    Tunnel,
}

/// The HTTP of one connection.
#[derive(Debug, Default)]
pub struct Conversation {
    requests: Reader,
    responses: Reader,
    /// Requests without a response, in their order.
    pending: VecDeque<Numbered>,
    /// The response that is being read, with its request.
    responding: Option<Numbered>,
    requests_count: u64,
    switch: Option<Switch>,
}

/// A transaction, with the number of its request so that the request's body finds it.
#[derive(Debug)]
struct Numbered {
    number: u64,
    transaction: Transaction,
}

/// One direction.
#[derive(Debug, Default)]
struct Reader {
    state: State,
    /// A head, or the line of a chunk, as far as it has come.
    partial: Vec<u8>,
    /// How much of `partial` holds no end of a head.
    searched: usize,
    begun: Timestamp,
    trailer_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// Looking for a segment that begins with a head.
    Seek,
    Body(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
}

impl Conversation {
    /// The most bytes of a request or status line and its header lines.
    pub const HEAD_BYTES_MAX: usize = 64 * 1024;
    /// The most requests that wait for responses; beyond, the oldest is told without.
    pub const PENDING_MAX: usize = 64;
    const CHUNK_LINE_BYTES_MAX: usize = 4096;

    /// A connection in which nothing was said yet.
    pub fn new() -> Self {
        Conversation::default()
    }

    /// What the connection has gone on to speak; nothing more comes out then.
    pub fn switch(&self) -> Option<&Switch> {
        self.switch.as_ref()
    }

    /// How many of the next bytes of this side are a body that nobody looks at (for [`super::Stream::skip`]).
    pub fn skip_bytes(&self, side: Side) -> u64 {
        if self.switch.is_some() {
            return u64::MAX;
        }
        match self.reader(side).state {
            State::Body(bytes) | State::Chunk(bytes) => bytes,
            State::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// The next piece of a stream. `tell` gets the transactions that are complete. After a refusal this direction looks
    /// for the next head.
    pub fn piece(
        &mut self,
        side: Side,
        piece: Piece<'_>,
        time: Timestamp,
        mut tell: impl FnMut(Transaction),
    ) -> Result<(), Refusal> {
        if self.switch.is_some() {
            return Ok(());
        }
        let result = match piece {
            Piece::Data(data) => self.read(side, data, time, &mut tell),
            Piece::Skipped(bytes) | Piece::Lost(bytes) => {
                self.pass(side, bytes, time, &mut tell);
                Ok(())
            }
        };
        if result.is_err() {
            self.seek(side, time, &mut tell);
        }
        result
    }

    /// The connection has ended at `time`: tells the response that ends with it and the requests without responses.
    pub fn finish(&mut self, time: Timestamp, mut tell: impl FnMut(Transaction)) {
        self.end_head(Side::Originator, time, &mut tell);
        self.end_head(Side::Responder, time, &mut tell);
        self.respond_end(time, &mut tell);
        while let Some(first) = self.pending.pop_front() {
            tell(first.transaction.ended(time));
        }
    }

    fn reader(&self, side: Side) -> &Reader {
        match side {
            Side::Originator => &self.requests,
            Side::Responder => &self.responses,
        }
    }

    fn reader_mut(&mut self, side: Side) -> &mut Reader {
        match side {
            Side::Originator => &mut self.requests,
            Side::Responder => &mut self.responses,
        }
    }

    fn read(
        &mut self,
        side: Side,
        data: &[u8],
        time: Timestamp,
        tell: &mut impl FnMut(Transaction),
    ) -> Result<(), Refusal> {
        let mut rest = data;
        if self.reader(side).state == State::Seek {
            if !begins_head(side, rest) {
                return Ok(());
            }
            self.reader_mut(side).state = State::Head;
        }
        while !rest.is_empty() && self.switch.is_none() {
            rest = match self.reader(side).state {
                State::Seek => break,
                State::Head => self.read_head(side, rest, time, tell)?,
                State::Body(left) | State::Chunk(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.count(side, taken as u64, time, tell);
                    rest.get(taken..).unwrap_or(&[])
                }
                State::UntilClose => {
                    self.count_body(side, rest.len() as u64);
                    &[]
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => self.read_line(side, rest, time, tell)?,
            };
        }
        Ok(())
    }

    /// Bytes that were not seen, or that nobody wants.
    fn pass(&mut self, side: Side, bytes: u64, time: Timestamp, tell: &mut impl FnMut(Transaction)) {
        match self.reader(side).state {
            State::Body(left) | State::Chunk(left) if bytes <= left => self.count(side, bytes, time, tell),
            State::Body(left) | State::Chunk(left) => {
                self.count_body(side, left);
                self.seek(side, time, tell);
            }
            State::UntilClose => self.count_body(side, bytes),
            _ => {
                self.end_head(side, time, tell);
                self.seek(side, time, tell);
            }
        }
    }

    /// The rest of a head will not come: takes up what its whole lines say. Half a line says nothing.
    fn end_head(&mut self, side: Side, time: Timestamp, tell: &mut impl FnMut(Transaction)) {
        let reader = self.reader_mut(side);
        if reader.state != State::Head || reader.partial.is_empty() {
            return;
        }
        let mut lines = std::mem::take(&mut reader.partial);
        lines.truncate(memchr::memrchr(b'\n', &lines).map_or(0, |last| last + 1));
        match side {
            Side::Originator => {
                if let Some((mut request, _)) = Head::request(&lines) {
                    request.is_cut = true;
                    self.request(request, time, tell);
                }
            }
            Side::Responder => {
                if let Some((mut response, _)) = Head::response(&lines) {
                    response.is_cut = true;
                    // Where such a response ends is not known, which is no mistake of its own.
                    let _: Result<(), Refusal> = self.response(response, Framing::Unknown, time, tell);
                }
            }
        }
        self.seek(side, time, tell);
    }

    /// The place in this direction is lost.
    fn seek(&mut self, side: Side, time: Timestamp, tell: &mut impl FnMut(Transaction)) {
        let reader = self.reader_mut(side);
        reader.state = State::Seek;
        reader.partial = Vec::new();
        reader.searched = 0;
        if side == Side::Responder {
            self.respond_end(time, tell);
        }
    }

    /// Reads up to the end of a head; gives what stands behind it.
    fn read_head<'b>(
        &mut self,
        side: Side,
        data: &'b [u8],
        time: Timestamp,
        tell: &mut impl FnMut(Transaction),
    ) -> Result<&'b [u8], Refusal> {
        let reader = self.reader_mut(side);
        let mut data = data;
        if reader.partial.is_empty() {
            // Empty lines before a head are allowed (RFC 9112, 2.2).
            data = data.trim_ascii_start();
            reader.begun = time;
            reader.searched = 0;
            if data.is_empty() {
                return Ok(data);
            }
            if !may_begin_head(side, data) {
                return Err(Refusal::NotHttp);
            }
            if let Some(end) = head::end(data, 0) {
                let (head, rest) = data.split_at_checked(end).unwrap_or((data, &[]));
                self.head(side, head, time, tell)?;
                return Ok(rest);
            }
        }
        let reader = self.reader_mut(side);
        let before = reader.partial.len();
        let room = (Self::HEAD_BYTES_MAX + 1).saturating_sub(before);
        reader.partial.extend_from_slice(data.get(..room).unwrap_or(data));
        if !may_begin_head(side, &reader.partial) {
            return Err(Refusal::NotHttp);
        }
        let Some(end) = head::end(&reader.partial, reader.searched) else {
            if reader.partial.len() > Self::HEAD_BYTES_MAX {
                return Err(Refusal::HeadTooLong);
            }
            reader.searched = reader.partial.len().saturating_sub(3);
            return Ok(&[]);
        };
        let partial = std::mem::take(&mut reader.partial);
        reader.searched = 0;
        self.head(side, partial.get(..end).unwrap_or(&partial), time, tell)?;
        Ok(data.get(end.saturating_sub(before)..).unwrap_or(&[]))
    }

    fn head(
        &mut self,
        side: Side,
        head: &[u8],
        time: Timestamp,
        tell: &mut impl FnMut(Transaction),
    ) -> Result<(), Refusal> {
        match side {
            Side::Originator => {
                let (request, framing) = Head::request(head).ok_or(Refusal::NotHttp)?;
                self.request(request, time, tell);
                self.requests.state = match framing {
                    Framing::None | Framing::Length(0) => State::Head,
                    Framing::Length(bytes) => State::Body(bytes),
                    Framing::Chunked => State::ChunkSize,
                    Framing::Bad | Framing::Unknown => return Err(Refusal::BadLength),
                };
                Ok(())
            }
            Side::Responder => {
                let (response, framing) = Head::response(head).ok_or(Refusal::NotHttp)?;
                self.response(response, framing, time, tell)
            }
        }
    }

    fn request(&mut self, request: Request, time: Timestamp, tell: &mut impl FnMut(Transaction)) {
        if self.responses.state == State::Seek {
            // The responses to the requests before were not captured: a client that doesn't send ahead, which is nearly
            // every client, would not go on without them.
            while let Some(first) = self.pending.pop_front() {
                tell(first.transaction.ended(time));
            }
        }
        if self.pending.len() >= Self::PENDING_MAX
            && let Some(first) = self.pending.pop_front()
        {
            tell(first.transaction.ended(time));
        }
        self.requests_count += 1;
        self.pending.push_back(Numbered {
            number: self.requests_count,
            transaction: Transaction::of_request(self.requests.begun, time, request),
        });
    }

    fn response(
        &mut self,
        response: Response,
        framing: Framing,
        time: Timestamp,
        tell: &mut impl FnMut(Transaction),
    ) -> Result<(), Refusal> {
        let status = response.status;
        if matches!(status, 100..=199) && status != 101 {
            // The response itself is still to come.
            return Ok(());
        }
        if self.pending.is_empty() {
            // The server has answered, so no more of the request's head is needed to come, or was captured.
            self.end_head(Side::Originator, time, tell);
        }
        let begun = self.responses.begun;
        let mut answered = self.pending.pop_front().unwrap_or(Numbered {
            number: 0,
            transaction: Transaction::of_response(begun),
        });
        let method = answered
            .transaction
            .request
            .as_ref()
            .map_or("", |request| request.method.as_str());
        let (is_head, is_connect) = (method == "HEAD", method == "CONNECT");
        if status == 101 {
            let protocol = response.upgrade.clone().unwrap_or_default();
            self.switch = Some(Switch::Upgrade(protocol));
        } else if is_connect && matches!(status, 200..=299) {
            self.switch = Some(Switch::Tunnel);
        }
        answered.transaction.response = Some(response);
        self.responding = Some(answered);
        let state = match framing {
            _ if self.switch.is_some() || is_head || matches!(status, 204 | 304) => State::Head,
            Framing::Length(0) => State::Head,
            Framing::Length(bytes) => State::Body(bytes),
            Framing::Chunked => State::ChunkSize,
            Framing::None | Framing::Unknown => State::UntilClose,
            Framing::Bad => return Err(Refusal::BadLength),
        };
        self.responses.state = state;
        if state == State::Head {
            self.respond_end(time, tell);
        }
        Ok(())
    }

    /// Counts bytes of a body or chunk whose length is known; goes on behind its end.
    fn count(&mut self, side: Side, bytes: u64, time: Timestamp, tell: &mut impl FnMut(Transaction)) {
        self.count_body(side, bytes);
        let reader = self.reader_mut(side);
        match &mut reader.state {
            State::Body(left) if *left > bytes => *left -= bytes,
            State::Body(_) => self.end(side, time, tell),
            State::Chunk(left) if *left > bytes => *left -= bytes,
            State::Chunk(_) => reader.state = State::ChunkEnd,
            _ => {}
        }
    }

    fn count_body(&mut self, side: Side, bytes: u64) {
        if side == Side::Responder {
            let response = self
                .responding
                .as_mut()
                .and_then(|answered| answered.transaction.response.as_mut());
            if let Some(response) = response {
                response.body_bytes = response.body_bytes.saturating_add(bytes);
            }
            return;
        }
        // The request that is being read is the last; its response may have begun already.
        let last = self.pending.back_mut().or(self.responding.as_mut());
        if let Some(last) = last.filter(|last| last.number == self.requests_count)
            && let Some(request) = &mut last.transaction.request
        {
            request.body_bytes = request.body_bytes.saturating_add(bytes);
        }
    }

    /// A body has ended.
    fn end(&mut self, side: Side, time: Timestamp, tell: &mut impl FnMut(Transaction)) {
        self.reader_mut(side).state = State::Head;
        if side == Side::Responder {
            self.respond_end(time, tell);
        }
    }

    fn respond_end(&mut self, time: Timestamp, tell: &mut impl FnMut(Transaction)) {
        if let Some(answered) = self.responding.take() {
            tell(answered.transaction.ended(time));
        }
    }

    /// Reads to the end of a line of chunked coding (RFC 9112, 7.1); gives what stands behind it.
    fn read_line<'b>(
        &mut self,
        side: Side,
        data: &'b [u8],
        time: Timestamp,
        tell: &mut impl FnMut(Transaction),
    ) -> Result<&'b [u8], Refusal> {
        let reader = self.reader_mut(side);
        let end = memchr::memchr(b'\n', data);
        let (line, rest) = data
            .split_at_checked(end.map_or(data.len(), |end| end + 1))
            .unwrap_or((data, &[]));
        if reader.partial.len().saturating_add(line.len()) > Self::CHUNK_LINE_BYTES_MAX {
            return Err(Refusal::BadChunk);
        }
        reader.partial.extend_from_slice(line);
        if end.is_none() {
            return Ok(rest);
        }
        let line = std::mem::take(&mut reader.partial);
        let line = line.trim_ascii();
        match reader.state {
            State::ChunkSize => {
                reader.trailer_bytes = 0;
                reader.state = match head::chunk_bytes(line).ok_or(Refusal::BadChunk)? {
                    0 => State::Trailer,
                    bytes => State::Chunk(bytes),
                };
            }
            State::ChunkEnd if line.is_empty() => reader.state = State::ChunkSize,
            State::ChunkEnd => return Err(Refusal::BadChunk),
            _ if line.is_empty() => self.end(side, time, tell),
            _ => {
                reader.trailer_bytes = reader.trailer_bytes.saturating_add(line.len() + 1);
                if reader.trailer_bytes > Self::HEAD_BYTES_MAX {
                    return Err(Refusal::HeadTooLong);
                }
            }
        }
        Ok(rest)
    }
}

fn begins_head(side: Side, data: &[u8]) -> bool {
    match side {
        Side::Originator => is_http_request(data),
        Side::Responder => data.starts_with(b"HTTP/1."),
    }
}

/// Whether a head may begin so, as far as can be told from the bytes that are there.
fn may_begin_head(side: Side, data: &[u8]) -> bool {
    let front = data.get(..33).unwrap_or(data);
    match side {
        Side::Originator => {
            let method_bytes = front.iter().take_while(|byte| head::is_token(**byte)).count();
            method_bytes > 0 && front.get(method_bytes).is_none_or(|byte| *byte == b' ') && method_bytes <= 32
        }
        Side::Responder => front.iter().zip(b"HTTP/1.").all(|(byte, wanted)| byte == wanted),
    }
}

#[cfg(test)]
mod tests;
