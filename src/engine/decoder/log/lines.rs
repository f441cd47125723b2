//! Bytes in pieces of any size to whole lines, without ever holding more than one line of `line_bytes_max`.

/// The usual bound of a line: 1 MiB.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What a splitter gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its line end, never empty.
    Whole(&'a [u8]),
    /// A line was over `line_bytes_max` and was skipped. Its owner counts it as refused, reason [`LINE_TOO_LONG`].
    TooLong,
}

/// The reason under which a line over the bound is refused.
pub const LINE_TOO_LONG: &str = "line_too_long";

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Cuts a stream of bytes into lines. Line ends are LF or CRLF; empty lines are left out, and so is a byte order mark
/// before the first. A line inside one piece is given without being copied.
#[derive(Debug)]
pub struct LineSplitter {
    line_bytes_max: usize,
    /// The beginning of a line whose end was not seen yet.
    held: Vec<u8>,
    /// The line under way is over the bound; its bytes are let go until its end.
    skipping: bool,
    first: bool,
}

impl LineSplitter {
    /// A splitter that holds back lines of more than `line_bytes_max` bytes.
    pub fn new(line_bytes_max: usize) -> Self {
        LineSplitter {
            line_bytes_max,
            held: Vec::new(),
            skipping: false,
            first: true,
        }
    }

    /// Takes the next piece and gives every line that ends in it.
    pub fn feed(&mut self, piece: &[u8], mut give: impl FnMut(Line<'_>)) {
        let mut rest = piece;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (head, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            if self.skipping {
                self.skipping = false;
                self.first = false;
                give(Line::TooLong);
            } else if self.held.is_empty() {
                give_line(head, self.line_bytes_max, &mut self.first, &mut give);
            } else if self.held.len().saturating_add(head.len()) > self.held_bytes_max() {
                self.held.clear();
                self.first = false;
                give(Line::TooLong);
            } else {
                self.held.extend_from_slice(head);
                give_line(&self.held, self.line_bytes_max, &mut self.first, &mut give);
                self.held.clear();
            }
        }
        if self.skipping || rest.is_empty() {
            return;
        }
        if self.held.len().saturating_add(rest.len()) > self.held_bytes_max() {
            self.held = Vec::new();
            self.skipping = true;
            return;
        }
        self.held.extend_from_slice(rest);
    }

    /// What a line that fits exactly may have beside it: its CR and, before the first, a byte order mark.
    fn held_bytes_max(&self) -> usize {
        let mark = if self.first { BYTE_ORDER_MARK.len() } else { 0 };
        self.line_bytes_max.saturating_add(1 + mark)
    }

    /// The stream has ended: gives the last line if it had no line end.
    pub fn finish(&mut self, mut give: impl FnMut(Line<'_>)) {
        if self.skipping {
            give(Line::TooLong);
        } else {
            give_line(&self.held, self.line_bytes_max, &mut self.first, &mut give);
        }
        self.skipping = false;
        self.held = Vec::new();
    }
}

fn give_line(line: &[u8], line_bytes_max: usize, first: &mut bool, give: &mut impl FnMut(Line<'_>)) {
    let line = if *first {
        line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
    } else {
        line
    };
    *first = false;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > line_bytes_max {
        give(Line::TooLong);
    } else if !line.is_empty() {
        give(Line::Whole(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8], piece_bytes: usize) -> Vec<String> {
        let mut splitter = LineSplitter::new(8);
        let mut lines = Vec::new();
        let mut give = |line: Line<'_>| {
            lines.push(match line {
                Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                Line::TooLong => "!".to_owned(),
            })
        };
        for piece in text.chunks(piece_bytes) {
            splitter.feed(piece, &mut give);
            assert!(splitter.held.len() <= 9 + BYTE_ORDER_MARK.len());
        }
        splitter.finish(&mut give);
        lines
    }

    #[test]
    fn lines_do_not_depend_on_how_the_stream_is_cut() {
        let text = b"\xEF\xBB\xBFone\r\n\r\n\n12345678\r\n123456789\n12345678901234567890\r\nfive\n\nlast";
        for piece_bytes in 1..text.len() + 1 {
            assert_eq!(
                split(text, piece_bytes),
                ["one", "12345678", "!", "!", "five", "last"],
                "{piece_bytes}"
            );
        }
        // A mark is not part of the line that has to fit, and only the first line may have one.
        let marked = b"\xEF\xBB\xBF12345678\r\n\xEF\xBB\xBF1234\n";
        let long = b"123456789012345\n\xEF\xBB\xBF1234\n";
        for piece_bytes in 1..marked.len() + 1 {
            assert_eq!(
                split(marked, piece_bytes),
                ["12345678", "\u{feff}1234"],
                "{piece_bytes}"
            );
            assert_eq!(split(long, piece_bytes), ["!", "\u{feff}1234"], "{piece_bytes}");
        }
        assert_eq!(split(b"", 1), [""; 0]);
        assert_eq!(split(b"1234567890", 3), ["!"]);
    }
}
