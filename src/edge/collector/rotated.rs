//! What a followed file was rotated to while nobody followed it: `name.1`, `name.2.gz`, `name-20260302`. A file is known
//! again by device and inode, or, where it was copied or compressed, by its first bytes.

use crate::edge::source::unpacked;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes by which a file is known.
const HEAD_BYTES: usize = 1024;
/// Rotated forms of one file that are looked at.
const ROTATED_MAX: usize = 1000;

/// The first bytes of a file, as many as were read of it up to a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    bytes: u16,
    hash: u64,
}

impl Head {
    /// Whether a longer one could be had now that `offset` bytes were read.
    pub(super) fn is_short_of(&self, offset: u64) -> bool {
        usize::from(self.bytes) < HEAD_BYTES && u64::from(self.bytes) < offset
    }

    /// The head of a file of which `offset` bytes were read.
    pub(super) fn of(file: &File, offset: u64) -> io::Result<Head> {
        let mut bytes = vec![0; HEAD_BYTES.min(usize::try_from(offset).unwrap_or(HEAD_BYTES))];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Head::of_bytes(&bytes))
    }

    fn of_bytes(bytes: &[u8]) -> Head {
        Head {
            bytes: bytes.len() as u16,
            hash: xxh3_64(bytes),
        }
    }

    /// Whether a file begins with it. Without any byte it is every file's, which tells nothing.
    pub(super) fn is_of(&self, reader: &mut impl Read) -> bool {
        let mut bytes = vec![0; usize::from(self.bytes)];
        !bytes.is_empty() && reader.read_exact(&mut bytes).is_ok() && Head::of_bytes(&bytes) == *self
    }
}

/// A rotated form of a file.
#[derive(Debug)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    modified: SystemTime,
}

impl Rotated {
    /// Opens it without its compression, behind `offset` bytes; nothing when it has fewer.
    pub(super) fn open(&self, offset: u64) -> io::Result<Option<Box<dyn Read + Send>>> {
        let mut reader = unpacked(&self.path)?;
        let skipped = io::copy(&mut reader.by_ref().take(offset), &mut io::sink())?;
        Ok((skipped == offset).then_some(reader))
    }

    /// Whether it was last written to after another one.
    pub(super) fn is_newer_than(&self, other: &Rotated) -> bool {
        self.modified > other.modified
    }

    /// Whether it is the file of this device and inode.
    pub(super) fn is_file(&self, device: u64, inode: u64) -> bool {
        (self.metadata.dev(), self.metadata.ino()) == (device, inode)
    }

    /// Whether it begins with these bytes.
    pub(super) fn begins_with(&self, head: &Head) -> bool {
        unpacked(&self.path).is_ok_and(|mut reader| head.is_of(&mut reader))
    }
}

/// The rotated forms of a file that are there, in the order in which they were last written to.
pub(super) fn rotated(path: &Path) -> Vec<Rotated> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let (Some(name), Ok(entries)) = (path.file_name().and_then(|name| name.to_str()), fs::read_dir(folder)) else {
        return Vec::new();
    };
    let is_form = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|form| is_rotated(form, name));
    let found = entries.flatten().filter(is_form).take(ROTATED_MAX);
    let mut found: Vec<Rotated> = found
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
            Some(Rotated {
                path: entry.path(),
                modified: metadata.modified().ok()?,
                metadata,
            })
        })
        .collect();
    found.sort_by(|one, other| (one.modified, &one.path).cmp(&(other.modified, &other.path)));
    found
}

/// Whether `form` is how a file of this name is called once it was rotated.
pub(super) fn is_rotated(form: &str, name: &str) -> bool {
    let Some(rest) = form.strip_prefix(name) else {
        return false;
    };
    let rest = rest.strip_suffix(".gz").or(rest.strip_suffix(".zst")).unwrap_or(rest);
    let Some(mark) = rest.strip_prefix(['.', '-']) else {
        return false;
    };
    mark == "old"
        || mark.starts_with(|first: char| first.is_ascii_digit())
            && mark
                .chars()
                .all(|char| char.is_ascii_digit() || matches!(char, '-' | '.' | '_' | 'T'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_forms_are_known_by_their_names() {
        for form in [
            "a.log.1",
            "a.log.12.gz",
            "a.log-20260302",
            "a.log-20260302-1700.zst",
            "a.log.old",
            "a.log.1.zst",
        ] {
            assert!(is_rotated(form, "a.log"), "{form}");
        }
        for form in [
            "a.log",
            "a.log.",
            "a.log2",
            "b.log.1",
            "a.log.gz",
            "a.log.swp",
            "a.log.1.tmp",
            "a.log-x",
        ] {
            assert!(!is_rotated(form, "a.log"), "{form}");
        }
    }
}
