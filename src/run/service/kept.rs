//! The first piece of a snapshot: the number of the next alert, and what the site had written.
//!
//! The last makes the same records give the same alerts after a kill: those behind a snapshot are judged again by what
//! had judged them, even if the site has written something else since.

use crate::run::check::Texts;

/// What stands before the texts. The states before there were any go on with another number, or with nothing.
const TEXTS: [u8; 2] = *b"st";

/// What the first piece says.
pub(super) struct Head {
    /// The number of the next alert.
    pub(super) next_told: u64,
    /// What judges the records behind the snapshot; nothing in states from before that was kept.
    pub(super) texts: Option<Texts>,
}

/// Why a first piece can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the state is cut or damaged; restore the store from a backup, or move it away to begin anew")]
pub(super) struct HeadProblem;

/// The first piece.
pub(super) fn head(next_told: u64, texts: &Texts) -> Result<Vec<u8>, postcard::Error> {
    let mut piece = next_told.to_le_bytes().to_vec();
    piece.extend(TEXTS);
    postcard::to_extend(texts, piece)
}

/// Reads a first piece. Gives what stands behind it too, which is the state where the form before pieces has it.
pub(super) fn read_head(piece: &[u8]) -> Result<(Head, &[u8]), HeadProblem> {
    let (next_told, rest) = piece.split_first_chunk::<8>().ok_or(HeadProblem)?;
    let next_told = u64::from_le_bytes(*next_told);
    let Some(texts) = rest.strip_prefix(&TEXTS) else {
        let texts = None;
        return Ok((Head { next_told, texts }, rest));
    };
    let (texts, rest) = postcard::take_from_bytes(texts).map_err(|_| HeadProblem)?;
    let texts = Some(texts);
    Ok((Head { next_told, texts }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::check::Sources;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        let texts = Sources::default().gather().expect("what is built in");
        let piece = head(7, &texts).expect("memory");
        let (read, rest) = read_head(&piece).expect("whole");
        assert_eq!((read.next_told, rest), (7, &b""[..]));
        assert!(read.texts == Some(texts));
        for end in (0..piece.len()).filter(|end| ![8, 9].contains(end)) {
            assert!(read_head(&piece[..end]).is_err(), "{end} bytes");
        }
        // Before texts were kept: a piece of its own, or the state at once.
        let (read, rest) = read_head(&[7, 0, 0, 0, 0, 0, 0, 0]).expect("whole");
        assert!((read.next_told, rest.is_empty(), read.texts.is_none()) == (7, true, true));
        let (_, rest) = read_head(&[7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 5]).expect("whole");
        assert_eq!(rest, [1, 0, 5]);
    }
}
