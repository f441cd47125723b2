//! TCP payload of one direction, in order.
//!
//! The usual segment, which begins where the last one ended, goes straight from the packet to the consumer: nothing is
//! copied and nothing allocated. What arrives early is held until the hole before it is filled, acknowledged by the
//! other side (then the capture lost it, and it will not come again), or pushed out by the bounds. Sketch: 40 bytes a
//! direction; at most [`Stream::HELD_BYTES_MAX`] of payload while there is a hole.
//!
//! Of bytes that arrive twice, the first to come are kept, as Zeek does. Sequence numbers are taken modulo 2^32, and what
//! lies less than 2^31 behind is old.

/// What a consumer is given, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The next bytes.
    Data(&'a [u8]),
    /// The next bytes were seen, but the consumer had said that it does not want them (see [`Stream::skip`]).
    Skipped(u64),
    /// The next bytes were never seen.
    Lost(u64),
}

/// One direction of a TCP connection.
#[derive(Debug, Default)]
pub struct Stream {
    /// The sequence number of the next byte; without meaning before `begun`.
    next: u32,
    begun: bool,
    stopped: bool,
    /// How many of the next bytes nobody wants.
    unwanted: u64,
    /// Bytes passed on or skipped.
    passed: u64,
    held: Option<Box<Held>>,
}

/// Segments behind a hole, by distance; they neither touch the hole nor overlap.
#[derive(Debug, Default)]
struct Held {
    segments: Vec<Segment>,
    bytes: usize,
}

#[derive(Debug)]
struct Segment {
    sequence: u32,
    length: u32,
    /// Empty when nobody wants it.
    data: Vec<u8>,
}

impl Stream {
    /// The most payload that is held behind a hole.
    pub const HELD_BYTES_MAX: usize = 64 * 1024;
    /// The most segments that are held behind a hole.
    pub const HELD_SEGMENTS_MAX: usize = 128;

    /// A direction of which nothing is known; it begins with the first segment, unless [`Stream::begin`] comes before.
    pub fn new() -> Self {
        Stream::default()
    }

    /// The SYN was seen: the first byte of payload has this sequence number (that of the SYN plus one).
    pub fn begin(&mut self, first_sequence: u32) {
        if !self.begun {
            self.begun = true;
            self.next = first_sequence;
        }
    }

    /// Nobody wants any more of this direction: what is held is freed, and segments are no longer looked at.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.held = None;
    }

    /// Whether [`Stream::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Bytes passed on, skipped or lost so far.
    pub fn passed_bytes(&self) -> u64 {
        self.passed
    }

    /// Payload held behind a hole.
    pub fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.bytes)
    }

    /// The consumer does not want the next `bytes` (the rest of an HTTP body): where they arrive early they are counted
    /// instead of copied. A promise, not an order: they may still come as [`Piece::Data`].
    pub fn skip(&mut self, bytes: u64) {
        self.unwanted = bytes;
    }

    /// A segment with its payload. Calls `consume` with whatever is now in order, which may be nothing.
    pub fn segment(&mut self, sequence: u32, payload: &[u8], mut consume: impl FnMut(Piece<'_>)) {
        if self.stopped || payload.is_empty() {
            return;
        }
        self.begin(sequence);
        if sequence == self.next && self.held.is_none() {
            self.pass(Piece::Data(payload), &mut consume);
            return;
        }
        self.unusual(sequence, payload, &mut consume);
    }

    /// The capture has cut the segment that was just given: of what follows `captured_to` so many bytes will not come.
    /// Behind a hole, and where something follows already, the hole that it leaves is found like any other.
    pub fn cut(&mut self, captured_to: u32, bytes: u32, mut consume: impl FnMut(Piece<'_>)) {
        let is_next = self.begun && captured_to == self.next && self.held.is_none();
        if bytes > 0 && is_next && !self.stopped {
            self.pass(Piece::Lost(bytes.into()), &mut consume);
        }
    }

    /// The other side has acknowledged everything before `acknowledgement`: holes before it were lost by the capture.
    pub fn acknowledged(&mut self, acknowledgement: u32, mut consume: impl FnMut(Piece<'_>)) {
        while let Some(first) = self.held.as_ref().and_then(|held| held.segments.first()) {
            if is_before(acknowledgement, first.sequence) {
                break;
            }
            self.release_first(&mut consume);
        }
    }

    /// The connection has ended: what is held comes out with its holes.
    pub fn finish(&mut self, mut consume: impl FnMut(Piece<'_>)) {
        while self.held.as_ref().is_some_and(|held| !held.segments.is_empty()) {
            self.release_first(&mut consume);
        }
        self.held = None;
    }

    fn pass(&mut self, piece: Piece<'_>, consume: &mut impl FnMut(Piece<'_>)) {
        let bytes = match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Skipped(bytes) | Piece::Lost(bytes) => bytes,
        };
        // Payload is below 64 KiB and a hole below 2^31, so that the sequence number wraps as TCP wants it.
        self.next = self.next.wrapping_add(bytes as u32);
        self.passed = self.passed.saturating_add(bytes);
        self.unwanted = self.unwanted.saturating_sub(bytes);
        consume(piece);
    }

    fn unusual(&mut self, sequence: u32, payload: &[u8], consume: &mut impl FnMut(Piece<'_>)) {
        let Some((sequence, payload)) = without_old(sequence, payload, self.next) else {
            return;
        };
        if sequence == self.next {
            // What is held already was there first; only the part before it is new.
            let room = match self.held.as_ref().and_then(|held| held.segments.first()) {
                Some(first) => first.sequence.wrapping_sub(sequence) as usize,
                None => payload.len(),
            };
            let (new, later) = payload.split_at_checked(room).unwrap_or((payload, &[]));
            self.pass(Piece::Data(new), consume);
            self.release_ready(consume);
            if !later.is_empty() {
                let later_sequence = sequence.wrapping_add(new.len() as u32);
                if let Some((sequence, payload)) = without_old(later_sequence, later, self.next) {
                    self.unusual(sequence, payload, consume);
                }
            }
            return;
        }
        self.hold(sequence, payload);
        while self
            .held
            .as_ref()
            .is_some_and(|held| held.bytes > Self::HELD_BYTES_MAX || held.segments.len() > Self::HELD_SEGMENTS_MAX)
        {
            self.release_first(consume);
        }
    }

    fn hold(&mut self, sequence: u32, payload: &[u8]) {
        let next = self.next;
        let distance = u64::from(sequence.wrapping_sub(next));
        let wanted = distance.saturating_add(payload.len() as u64) > self.unwanted;
        self.held
            .get_or_insert_default()
            .insert(next, sequence, payload, wanted);
    }

    /// Passes on what no longer has a hole before it.
    fn release_ready(&mut self, consume: &mut impl FnMut(Piece<'_>)) {
        while self
            .held
            .as_ref()
            .and_then(|held| held.segments.first())
            .is_some_and(|first| first.sequence == self.next)
        {
            self.release_one(consume);
        }
    }

    /// Gives up the first hole and passes on what lies behind it.
    fn release_first(&mut self, consume: &mut impl FnMut(Piece<'_>)) {
        if let Some(first) = self.held.as_ref().and_then(|held| held.segments.first()) {
            let lost = first.sequence.wrapping_sub(self.next);
            self.pass(Piece::Lost(lost.into()), consume);
        }
        self.release_ready(consume);
    }

    fn release_one(&mut self, consume: &mut impl FnMut(Piece<'_>)) {
        let Some(held) = self.held.as_mut().filter(|held| !held.segments.is_empty()) else {
            self.held = None;
            return;
        };
        let segment = held.segments.remove(0);
        held.bytes = held.bytes.saturating_sub(segment.data.len());
        if held.segments.is_empty() {
            self.held = None;
        }
        if segment.data.is_empty() {
            self.pass(Piece::Skipped(segment.length.into()), consume);
        } else {
            self.pass(Piece::Data(&segment.data), consume);
        }
    }
}

impl Held {
    /// Keeps what of the payload is not held already.
    fn insert(&mut self, next: u32, sequence: u32, payload: &[u8], wanted: bool) {
        let (mut sequence, mut payload) = (sequence, payload);
        let mut place = 0;
        while !payload.is_empty() {
            let distance = sequence.wrapping_sub(next);
            let Some(held) = self.segments.get(place) else {
                self.put(place, sequence, payload, wanted);
                return;
            };
            let held_start = held.sequence.wrapping_sub(next);
            let held_end = held_start.saturating_add(held.length);
            if distance < held_start {
                let room = (held_start - distance) as usize;
                let (new, later) = payload.split_at_checked(room).unwrap_or((payload, &[]));
                self.put(place, sequence, new, wanted);
                place += 2;
                payload = later.get(held_end.saturating_sub(held_start) as usize..).unwrap_or(&[]);
                sequence = next.wrapping_add(held_end);
            } else {
                if distance < held_end {
                    payload = payload.get((held_end - distance) as usize..).unwrap_or(&[]);
                    sequence = next.wrapping_add(held_end);
                }
                place += 1;
            }
        }
    }

    fn put(&mut self, place: usize, sequence: u32, payload: &[u8], wanted: bool) {
        let data = if wanted { payload.to_vec() } else { Vec::new() };
        self.bytes += data.len();
        self.segments.insert(
            place.min(self.segments.len()),
            Segment {
                sequence,
                length: payload.len() as u32,
                data,
            },
        );
    }
}

/// The part of a segment that does not lie before `next`; nothing when all of it does.
fn without_old(sequence: u32, payload: &[u8], next: u32) -> Option<(u32, &[u8])> {
    if !is_before(sequence, next) {
        return Some((sequence, payload));
    }
    let old = next.wrapping_sub(sequence) as usize;
    let new = payload.get(old..).filter(|new| !new.is_empty())?;
    Some((next, new))
}

/// Whether `a` lies before `b` in TCP's arithmetic (RFC 9293, 3.4).
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came out: bytes as they are, `<3>` for three lost, `(3)` for three skipped.
    fn show(out: &mut String, piece: Piece<'_>) {
        match piece {
            Piece::Data(data) => out.push_str(&String::from_utf8_lossy(data)),
            Piece::Skipped(bytes) => out.push_str(&format!("({bytes})")),
            Piece::Lost(bytes) => out.push_str(&format!("<{bytes}>")),
        }
    }

    fn run(first: Option<u32>, segments: &[(u32, &str)]) -> String {
        let mut stream = Stream::new();
        if let Some(first) = first {
            stream.begin(first);
        }
        let mut out = String::new();
        for (sequence, payload) in segments {
            stream.segment(*sequence, payload.as_bytes(), |piece| show(&mut out, piece));
            out.push('|');
        }
        stream.finish(|piece| show(&mut out, piece));
        assert_eq!(stream.held_bytes(), 0);
        out
    }

    #[test]
    fn segments_come_out_in_order_whatever_order_they_came_in() {
        for (first, segments, expected) in [
            (None, &[(5, "ab"), (7, "cd")][..], "ab|cd|"),
            (Some(5), &[(7, "cd"), (5, "ab")], "|abcd|"),
            (Some(5), &[(9, "ef"), (7, "cd"), (5, "ab")], "||abcdef|"),
            (Some(5), &[(7, "cd")], "|<2>cd"),
            (Some(5), &[(5, "ab"), (5, "xy"), (6, "zc")], "ab||c|"),
            // The first data to come wins, before, inside and behind what is held.
            (Some(0), &[(2, "CD"), (0, "abcdef")], "|abCDef|"),
            (
                Some(0),
                &[(2, "CD"), (6, "GH"), (1, "bcdefghi"), (0, "a")],
                "|||abCDefGHi|",
            ),
            (Some(0), &[(4, "EF"), (2, "CDEFG"), (0, "ab")], "||abCDEFG|"),
            // Numbers wrap.
            (None, &[(u32::MAX - 1, "ab"), (2, "ef"), (0, "cd")], "ab||cdef|"),
            (None, &[(5, "ab"), (4, "x")], "ab||"),
        ] {
            assert_eq!(run(first, segments), expected, "{segments:?}");
        }
    }

    #[test]
    fn an_acknowledged_hole_is_lost_at_once() {
        let mut stream = Stream::new();
        stream.begin(0);
        let mut out = String::new();
        stream.segment(4, b"ef", |piece| show(&mut out, piece));
        stream.segment(8, b"ij", |piece| show(&mut out, piece));
        stream.acknowledged(3, |piece| show(&mut out, piece));
        assert_eq!(out, "");
        stream.acknowledged(6, |piece| show(&mut out, piece));
        assert_eq!(out, "<4>ef");
        stream.acknowledged(10, |piece| show(&mut out, piece));
        assert_eq!(out, "<4>ef<2>ij");
    }

    #[test]
    fn unwanted_bytes_are_counted_and_not_held() {
        let mut stream = Stream::new();
        stream.begin(0);
        stream.skip(6);
        let mut out = String::new();
        stream.segment(2, b"cdef", |piece| show(&mut out, piece));
        assert_eq!(stream.held_bytes(), 0);
        stream.segment(6, b"gh", |piece| show(&mut out, piece));
        assert_eq!(stream.held_bytes(), 2);
        stream.segment(0, b"ab", |piece| show(&mut out, piece));
        assert_eq!(out, "ab(4)gh");
        assert_eq!(stream.passed_bytes(), 8);
    }

    #[test]
    fn a_hole_that_is_never_filled_is_given_up_at_the_bound() {
        let mut stream = Stream::new();
        stream.begin(0);
        let mut lost = 0;
        let mut data = 0;
        for number in 0..1000u32 {
            stream.segment(1 + number * 1460, &[7; 1460], |piece| match piece {
                Piece::Data(bytes) => data += bytes.len(),
                Piece::Lost(bytes) => lost += bytes,
                Piece::Skipped(_) => {}
            });
            assert!(stream.held_bytes() <= Stream::HELD_BYTES_MAX);
        }
        assert_eq!((data, lost), (1_460_000, 1));
        // One byte in two missing.
        let mut stream = Stream::new();
        stream.begin(0);
        for number in 0..1000u32 {
            stream.segment(1 + number * 2, b"x", |_| {});
        }
        assert!(stream.held_bytes() <= Stream::HELD_SEGMENTS_MAX);
    }

    #[test]
    fn any_order_with_any_overlap_gives_the_stream_back() {
        let text: Vec<u8> = (0..2000u32).map(|i| b'a' + (i % 26) as u8).collect();
        let mut random = crate::engine::decoder::application::tests::Random::new(7);
        for _ in 0..200 {
            let base = random.next() as u32;
            let mut cuts: Vec<(usize, usize)> = (0..2000).step_by(100).map(|at| (at, at + 100)).collect();
            for _ in 0..10 {
                let at = random.below(1900);
                cuts.push((at, at + 1 + random.below(99)));
            }
            for place in (1..cuts.len()).rev() {
                cuts.swap(place, random.below(place + 1));
            }
            let mut stream = Stream::new();
            stream.begin(base);
            let mut out = Vec::new();
            for (from, to) in cuts {
                stream.segment(base.wrapping_add(from as u32), &text[from..to], |piece| match piece {
                    Piece::Data(data) => out.extend_from_slice(data),
                    other => panic!("{other:?} without a hole"),
                });
            }
            assert_eq!(out, text);
        }
    }
}
