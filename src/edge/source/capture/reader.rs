//! Bytes of a capture, read in large pieces and looked at in place.
//!
//! Sketch: one `read` for 256 KiB, and a copy of at most one frame where a piece ends; the buffer grows only for a frame
//! or block that is longer than it.

use std::io::{ErrorKind, Read, Result};

/// Bytes that are read at once: few calls, and still in the processor's cache when they are looked at.
const PIECE_BYTES: usize = 256 * 1024;

/// A stream of bytes and the part of it that is in memory.
pub(super) struct Reader {
    bytes: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Reader {
    pub(super) fn new(bytes: Box<dyn Read + Send>) -> Self {
        Reader {
            bytes,
            buffer: vec![0; PIECE_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// What is in memory and was not passed yet.
    #[inline]
    pub(super) fn here(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Has at least `count` bytes in memory, if the stream has them; tells whether.
    #[inline]
    pub(super) fn need(&mut self, count: usize) -> Result<bool> {
        if self.end - self.start >= count {
            return Ok(true);
        }
        self.fill(count)
    }

    /// Passes over `count` bytes that [`Reader::need`] has promised, and gives them.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start = (from + count).min(self.end);
        self.buffer.get(from..self.start).unwrap_or_default()
    }

    /// Passes over `count` bytes without holding them in memory; tells whether the stream had them.
    pub(super) fn skip(&mut self, mut count: u64) -> Result<bool> {
        loop {
            let here = (self.end - self.start).min(usize::try_from(count).unwrap_or(usize::MAX));
            self.start += here;
            count -= here as u64;
            if count == 0 {
                return Ok(true);
            }
            if !self.fill(1)? {
                return Ok(false);
            }
        }
    }

    #[cold]
    fn fill(&mut self, count: usize) -> Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < count {
            self.buffer.resize(count.next_multiple_of(PIECE_BYTES), 0);
        }
        while self.end < count {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.bytes.read(room) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read.min(room.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
