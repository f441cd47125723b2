//! Pieces of a stream to whole lines.

use super::LINE_BYTES_MAX;

/// A stream of lines.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// The beginning of a line.
    half: Vec<u8>,
    /// The line under way is over its bound, and was let go.
    skipping: bool,
    /// Lines that were let go because they are over their bound.
    over: u64,
}

impl Cutter {
    /// Takes a piece, and gives the whole lines that it ends, with their line ends.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        let piece = match memchr::memchr(b'\n', piece) {
            Some(end) if self.skipping => {
                self.skipping = false;
                piece.get(end + 1..).unwrap_or_default()
            }
            None if self.skipping => return Vec::new(),
            _ => piece,
        };
        let Some(end) = memchr::memrchr(b'\n', piece) else {
            self.half.extend_from_slice(piece);
            if self.half.len() > LINE_BYTES_MAX {
                self.half = Vec::new();
                self.skipping = true;
                self.over += 1;
            }
            return Vec::new();
        };
        let (whole, rest) = piece.split_at(end + 1);
        let mut lines = std::mem::replace(&mut self.half, rest.to_vec());
        lines.extend_from_slice(whole);
        lines
    }

    /// The stream has ended; gives its last line, if that had no end, with one.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.half);
        self.skipping = false;
        if !line.is_empty() {
            line.push(b'\n');
        }
        line
    }

    /// Lines that were over their bound since this was asked last.
    pub(super) fn take_over(&mut self) -> u64 {
        std::mem::take(&mut self.over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_the_stream_is_cut() {
        let stream = b"one\ntwo\n\nthree";
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            let mut cutter = Cutter::default();
            let given = [cutter.take(first), cutter.take(second), cutter.finish()].concat();
            assert_eq!(given, b"one\ntwo\n\nthree\n", "cut at {cut}");
        }
        assert!(Cutter::default().finish().is_empty());
    }

    #[test]
    fn a_line_over_its_bound_is_let_go_and_the_next_is_whole() {
        let mut cutter = Cutter::default();
        assert_eq!(cutter.take(b"one\nlong"), b"one\n");
        for _ in 0..40 {
            assert!(cutter.take(&vec![b'x'; LINE_BYTES_MAX / 16]).is_empty());
            assert!(cutter.half.len() <= LINE_BYTES_MAX);
        }
        assert_eq!(cutter.take(b"end\ntwo\nthr"), b"two\n");
        assert_eq!(cutter.take(b"ee\n"), b"three\n");
        assert_eq!((cutter.take_over(), cutter.take_over()), (1, 0));
    }
}
