//! A model's file: what it is, how long, and a checksum before the body, so that a file that was cut, changed or written
//! by another version is refused before anything of it is believed.
//!
//! The checksum tells damage and carelessness. It does not keep out who may write to the folder: they can make it anew.

use sha2::{Digest as _, Sha256};

/// What a model's file begins with.
const MAGIC: &[u8; 8] = b"STKMODEL";
/// The form of the body. It changes with every change of what is in it; others are refused.
pub const FORMAT: u32 = 1;
/// Bytes before the body: the magic, the format, the body's length, its checksum.
const HEAD_BYTES: usize = 8 + 4 + 8 + 32;
/// Bytes of a model at most.
pub const MODEL_BYTES_MAX: u64 = 1 << 30;

/// Why a file is no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is something else.
    #[error("this is no model of Stakeout's")]
    Foreign,
    /// Another version has written it.
    #[error(
        "the model has format {found}, this program reads format {FORMAT}; train it anew, or use the version that wrote it"
    )]
    Format {
        /// The format that was found.
        found: u32,
    },
    /// It ends too early.
    #[error("the file is cut: it has {found} bytes of {expected}; copy it again")]
    Cut {
        /// Bytes there are.
        found: u64,
        /// Bytes there should be.
        expected: u64,
    },
    /// It goes on after its end.
    #[error("the file goes on for {extra} bytes after the model's end; copy it again")]
    Extra {
        /// Bytes too many.
        extra: u64,
    },
    /// Its bytes are not those that were written.
    #[error("the file is damaged or was changed: its checksum does not match; copy it again, or train it anew")]
    Checksum,
    /// It is larger than any model.
    #[error("the file is over model_bytes_max ({MODEL_BYTES_MAX})")]
    TooLarge,
}

/// The bytes of a file with this body.
pub fn seal(body: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEAD_BYTES + body.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&FORMAT.to_le_bytes());
    file.extend_from_slice(&(body.len() as u64).to_le_bytes());
    file.extend_from_slice(&checksum(body));
    file.extend_from_slice(body);
    file
}

/// The body of a file.
pub fn unseal(file: &[u8]) -> Result<&[u8], Refusal> {
    let cut = |expected: u64| Refusal::Cut {
        found: file.len() as u64,
        expected,
    };
    if !file.starts_with(MAGIC) {
        let begun = !file.is_empty() && MAGIC.starts_with(file);
        return Err(if begun {
            cut(HEAD_BYTES as u64)
        } else {
            Refusal::Foreign
        });
    }
    let format: Option<&[u8; 4]> = file.get(8..).and_then(|rest| rest.first_chunk());
    let format = u32::from_le_bytes(*format.ok_or_else(|| cut(HEAD_BYTES as u64))?);
    // What another format has after its number is not known.
    if format != FORMAT {
        return Err(Refusal::Format { found: format });
    }
    let length: Option<&[u8; 8]> = file.get(12..).and_then(|rest| rest.first_chunk());
    let length = u64::from_le_bytes(*length.ok_or_else(|| cut(HEAD_BYTES as u64))?);
    if length > MODEL_BYTES_MAX {
        return Err(Refusal::Checksum);
    }
    let Some((head, body)) = file.split_at_checked(HEAD_BYTES) else {
        return Err(cut(HEAD_BYTES as u64 + length));
    };
    let found = body.len() as u64;
    if found < length {
        return Err(cut(HEAD_BYTES as u64 + length));
    }
    if found > length {
        return Err(Refusal::Extra { extra: found - length });
    }
    if head.get(20..) != Some(&checksum(body)) {
        return Err(Refusal::Checksum);
    }
    Ok(body)
}

fn checksum(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_and_every_changed_byte_is_refused() {
        let file = seal(b"what was learned");
        assert_eq!(unseal(&file), Ok(&b"what was learned"[..]));
        for length in 1..file.len() {
            let refused = unseal(&file[..length]);
            assert!(matches!(refused, Err(Refusal::Cut { .. })), "{length}: {refused:?}");
        }
        for place in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[place] ^= 1 << bit;
                assert!(unseal(&changed).is_err(), "byte {place}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        let file = seal(b"body");
        assert_eq!(unseal(b""), Err(Refusal::Foreign));
        assert_eq!(unseal(b"time,value\n"), Err(Refusal::Foreign));
        assert_eq!(unseal(&[&file[..], b"x"].concat()), Err(Refusal::Extra { extra: 1 }));
        let mut other = file.clone();
        other[8] = 9;
        assert_eq!(unseal(&other), Err(Refusal::Format { found: 9 }));
        let mut changed = file;
        *changed.last_mut().expect("a body") ^= 1;
        assert_eq!(unseal(&changed), Err(Refusal::Checksum));
    }
}
