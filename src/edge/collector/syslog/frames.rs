//! Messages out of a stream, as RFC 6587 frames them: counted octets or lines, told apart by the first byte of each
//! frame; and messages as lines, with what would break a line written as rsyslog writes it (`#012`).

/// Bytes of a message that are kept.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Digits of a count of octets. A longer number is the beginning of a line.
const COUNT_DIGITS_MAX: usize = 9;

/// Messages as lines, and what was seen of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// The messages, each with a line end.
    pub(super) bytes: Vec<u8>,
    /// Messages.
    pub(super) messages: u64,
    /// Messages of which only the beginning was kept.
    pub(super) cut: u64,
    /// Messages that ended before their count did.
    pub(super) halves: u64,
}

impl Lines {
    /// Adds a message. One without content is nothing.
    pub(super) fn add(&mut self, message: &[u8]) {
        let kept = message.get(..MESSAGE_BYTES_MAX).unwrap_or(message);
        let ends = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0);
        let end = kept.iter().rposition(|byte| !ends(byte)).map_or(0, |last| last + 1);
        let kept = kept.get(..end).unwrap_or_default();
        if kept.is_empty() {
            return;
        }
        for byte in kept {
            match byte {
                b'\n' => self.bytes.extend_from_slice(b"#012"),
                b'\r' => self.bytes.extend_from_slice(b"#015"),
                0 => self.bytes.extend_from_slice(b"#000"),
                byte => self.bytes.push(*byte),
            }
        }
        self.bytes.push(b'\n');
        self.messages += 1;
        self.cut += u64::from(message.len() > MESSAGE_BYTES_MAX);
    }
}

/// A stream of frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    state: State,
    /// What was read of the message under way, one byte more than its bound at most.
    message: Vec<u8>,
}

/// Where in a frame the stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In front of one.
    #[default]
    Between,
    /// In digits that may be a count.
    Count,
    /// In a message that has so many bytes to come.
    Counted(usize),
    /// In a line.
    Line,
}

impl Frames {
    /// Takes what was read next.
    pub(super) fn take(&mut self, mut bytes: &[u8], lines: &mut Lines) {
        while let Some(first) = bytes.first().copied() {
            let used = match self.state {
                State::Between => {
                    self.state = match first {
                        b'1'..=b'9' => State::Count,
                        _ => State::Line,
                    };
                    0
                }
                State::Count => self.count(first),
                State::Counted(left) => {
                    let piece = bytes.get(..left).unwrap_or(bytes);
                    self.keep(piece);
                    self.state = State::Counted(left - piece.len());
                    if left == piece.len() {
                        self.end(lines);
                    }
                    piece.len()
                }
                State::Line => {
                    let end = memchr::memchr(b'\n', bytes);
                    self.keep(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes));
                    if end.is_some() {
                        self.end(lines);
                    }
                    end.map_or(bytes.len(), |end| end + 1)
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Takes the next byte of a number, or finds that it is over, and gives how many bytes that used.
    fn count(&mut self, next: u8) -> usize {
        let is_short = self.message.len() < COUNT_DIGITS_MAX;
        match next {
            b'0'..=b'9' if is_short => {
                self.message.push(next);
                1
            }
            b' ' => {
                let digit = |byte: &u8| usize::from(byte.saturating_sub(b'0'));
                let count = self.message.iter().fold(0, |count, byte| count * 10 + digit(byte));
                self.message.clear();
                self.state = State::Counted(count);
                1
            }
            // A line that begins with digits.
            _ => {
                self.state = State::Line;
                0
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        // One more than its bound, so that it is known to be longer.
        let room = (MESSAGE_BYTES_MAX + 1).saturating_sub(self.message.len());
        self.message.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    fn end(&mut self, lines: &mut Lines) {
        lines.add(&self.message);
        self.message.clear();
        self.state = State::Between;
        if self.message.capacity() > MESSAGE_BYTES_MAX / 4 {
            // A connection that sent a long one holds no memory for it.
            self.message = Vec::new();
        }
    }

    /// Whether a frame has begun and not ended.
    pub(super) fn is_under_way(&self) -> bool {
        self.state != State::Between
    }

    /// The stream has ended. A line needs no end then, a count does.
    pub(super) fn finish(&mut self, lines: &mut Lines) {
        match self.state {
            State::Between => {}
            State::Counted(_) => lines.halves += 1,
            State::Count | State::Line => self.end(lines),
        }
        *self = Frames::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Lines {
        let (mut frames, mut lines) = (Frames::default(), Lines::default());
        for piece in pieces {
            frames.take(piece, &mut lines);
        }
        frames.finish(&mut lines);
        lines
    }

    #[test]
    fn frames_are_told_apart_by_their_first_byte() {
        let stream = b"<13>one\n8 <13>t\nwo<13>three\r\n\n5 <1>4\n2026-03-02T09:00:00Z host five\n0 six\n";
        let lines = read(&[stream]);
        let text = String::from_utf8(lines.bytes.clone()).expect("text");
        assert_eq!(
            text,
            "<13>one\n<13>t#012wo\n<13>three\n<1>4\n2026-03-02T09:00:00Z host five\n0 six\n"
        );
        assert_eq!((lines.messages, lines.cut, lines.halves), (6, 0, 0));
    }

    #[test]
    fn how_a_stream_is_cut_into_reads_changes_nothing() {
        let stream = b"<13>one\n8 <13>t\nwo<13>three\n12345678901 x\n10 <13>a\r\n\0b\n77 ";
        let whole = read(&[stream]);
        assert_eq!(whole.halves, 1);
        for cut in 0..stream.len() {
            let (one, other) = stream.split_at(cut);
            assert_eq!(read(&[one, other]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&bytes), whole);
    }

    #[test]
    fn a_long_message_is_cut_and_what_follows_it_is_whole() {
        let long = vec![b'x'; 3 * MESSAGE_BYTES_MAX];
        let line = [long.as_slice(), b"\n<13>next\n"].concat();
        let counted = [format!("{} ", long.len()).as_bytes(), &long, b"8 <13>next"].concat();
        for stream in [line, counted] {
            let lines = read(&stream.chunks(1000).collect::<Vec<_>>());
            assert_eq!((lines.messages, lines.cut), (2, 1));
            assert_eq!(lines.bytes.len(), MESSAGE_BYTES_MAX + 1 + 9);
            assert!(lines.bytes.ends_with(b"x\n<13>next\n"));
        }
        let exact = [vec![b'x'; MESSAGE_BYTES_MAX], b"\n".to_vec()].concat();
        assert_eq!(read(&[&exact]).cut, 0);
    }

    #[test]
    fn what_a_line_would_break_at_is_written_out() {
        let mut lines = Lines::default();
        lines.add(b"a\nb\r\n\0c\0\r\n");
        lines.add(b"\n");
        lines.add(b"");
        assert_eq!(lines.bytes, b"a#012b#015#012#000c\n");
        assert_eq!(lines.messages, 1);
    }

    #[test]
    fn a_last_line_needs_no_end() {
        assert_eq!(read(&[b"<13>one"]).bytes, b"<13>one\n");
        assert_eq!(read(&[b"12"]).bytes, b"12\n");
        assert_eq!(read(&[b"12 <13>half"]).halves, 1);
    }
}
