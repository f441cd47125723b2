//! Files of pieces: bytes that are written and read a piece at a time, so that nobody has to hold them whole. Each piece
//! has its length and a checksum, and the end is written too, so that a file that was cut or changed is never half read.
//!
//! What the pieces mean is their writer's. A file that does not begin as one of pieces is one piece.

use std::io::{self, Read, Write};
use xxhash_rust::xxh3::xxh3_64;

/// How a file of pieces begins.
const BEGIN: [u8; 8] = *b"\x89pieces\n";
/// Bytes of a piece.
const PIECE_BYTES_MAX: u32 = 1 << 30;

/// Why a piece can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PieceProblem {
    /// The file ends inside a piece, or before its end was written.
    #[error("it was not written completely")]
    Cut,
    /// A piece is not what was written.
    #[error("a piece of it has been changed")]
    BadChecksum,
    /// A length that nobody has written.
    #[error("a piece of {bytes} bytes is over piece_bytes_max ({PIECE_BYTES_MAX})")]
    TooLong {
        /// The length.
        bytes: u32,
    },
    /// The system could not read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes pieces.
#[derive(Debug)]
pub struct PieceWriter<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> PieceWriter<W> {
    /// Begins a file.
    pub fn begin(mut inner: W) -> io::Result<PieceWriter<W>> {
        inner.write_all(&BEGIN)?;
        let bytes = BEGIN.len() as u64;
        Ok(PieceWriter { inner, bytes })
    }

    /// Writes a piece.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let length = u32::try_from(piece.len())
            .ok()
            .filter(|length| *length <= PIECE_BYTES_MAX);
        let length = length.ok_or_else(|| {
            let problem = format!(
                "a piece of {} bytes is over piece_bytes_max ({PIECE_BYTES_MAX})",
                piece.len()
            );
            io::Error::other(problem)
        })?;
        self.inner.write_all(&length.to_le_bytes())?;
        self.inner.write_all(&xxh3_64(piece).to_le_bytes())?;
        self.inner.write_all(piece)?;
        self.bytes += 12 + u64::from(length);
        Ok(())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the end: an empty piece.
    pub fn finish(mut self) -> io::Result<W> {
        self.write(&[])?;
        self.inner.flush()?;
        Ok(self.inner)
    }
}

/// Reads pieces.
#[derive(Debug)]
pub struct PieceReader<R> {
    inner: R,
    /// What was read of a file that is one piece.
    begun: Option<Vec<u8>>,
    ended: bool,
}

impl<R: Read> PieceReader<R> {
    /// Begins to read a file.
    pub fn begin(mut inner: R) -> io::Result<PieceReader<R>> {
        let mut begin = Vec::with_capacity(BEGIN.len());
        inner.by_ref().take(BEGIN.len() as u64).read_to_end(&mut begin)?;
        Ok(PieceReader {
            inner,
            begun: (begin != BEGIN).then_some(begin),
            ended: false,
        })
    }

    /// Reads the next piece in place of what `piece` holds. Gives whether there was one.
    pub fn read(&mut self, piece: &mut Vec<u8>) -> Result<bool, PieceProblem> {
        piece.clear();
        if self.ended {
            return Ok(false);
        }
        if let Some(begun) = self.begun.take() {
            self.ended = true;
            *piece = begun;
            self.inner.read_to_end(piece)?;
            return Ok(true);
        }
        let bytes = u32::from_le_bytes(self.number()?);
        let checksum = u64::from_le_bytes(self.number()?);
        if bytes > PIECE_BYTES_MAX {
            return Err(PieceProblem::TooLong { bytes });
        }
        let read = self.inner.by_ref().take(bytes.into()).read_to_end(piece)?;
        if read < bytes as usize {
            return Err(PieceProblem::Cut);
        }
        if xxh3_64(piece) != checksum {
            return Err(PieceProblem::BadChecksum);
        }
        self.ended = piece.is_empty();
        Ok(!self.ended)
    }

    fn number<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], PieceProblem> {
        let mut number = [0; BYTES];
        self.inner.read_exact(&mut number).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => PieceProblem::Cut,
            _ => PieceProblem::Io(error),
        })?;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pieces: &[&[u8]]) -> Vec<u8> {
        let mut writer = PieceWriter::begin(Vec::new()).expect("memory");
        for piece in pieces {
            writer.write(piece).expect("memory");
        }
        writer.finish().expect("memory")
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, PieceProblem> {
        let mut reader = PieceReader::begin(bytes)?;
        let (mut piece, mut pieces) = (Vec::new(), Vec::new());
        while reader.read(&mut piece)? {
            pieces.push(piece.clone());
        }
        Ok(pieces)
    }

    #[test]
    fn pieces_come_back_as_they_were_written() {
        let long = vec![7; 100_000];
        assert_eq!(read(&written(&[b"a", &long])).expect("pieces"), [b"a".to_vec(), long]);
        assert_eq!(read(&written(&[])).expect("pieces"), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_file_that_was_cut_or_changed_anywhere_is_refused() {
        let whole = written(&[b"first", b"second"]);
        for length in BEGIN.len()..whole.len() {
            let problem = read(&whole[..length]).expect_err("cut");
            assert!(matches!(problem, PieceProblem::Cut), "{length}: {problem}");
        }
        for place in BEGIN.len()..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert!(read(&changed).is_err(), "{place}");
        }
    }

    #[test]
    fn a_file_of_another_kind_is_one_piece() {
        for bytes in [b"of another kind".as_slice(), b"short", b""] {
            assert_eq!(read(bytes).expect("a piece"), [bytes.to_vec()]);
        }
    }
}
