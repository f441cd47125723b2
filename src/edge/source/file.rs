//! Opens files and standard input, looks at their beginning, and takes gzip and zstd off transparently.

use std::fs::File;
use std::io::{self, Chain, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// Bytes of the beginning that are looked at to tell what an input is.
const HEAD_BYTES: usize = 64 * 1024;
/// Output that any compressed input may grow to before its ratio is looked at.
const RATIO_FREE_BYTES: u64 = 256 << 20;
/// More output bytes than this for each input byte is a decompression bomb: text compresses by 5 to 100.
const RATIO_MAX: u64 = 700;
/// Files that a folder may bring in.
const FOLDER_FILES_MAX: usize = 100_000;
/// Folders within folders.
const FOLDER_DEPTH_MAX: usize = 32;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceFailure {
    /// The operating system refused.
    #[error("{path}: {error}; check that the file exists and that this user may read it")]
    Io {
        /// The input.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// There is nothing in it.
    #[error("{path}: the input is empty")]
    Empty {
        /// The input.
        path: String,
    },
    /// A folder holds more files, or folders in folders, than are taken.
    #[error("{path}: the folder holds over {files_max} files or is over {depth_max} deep; name the files instead")]
    TooMany {
        /// The folder.
        path: String,
        /// The largest number of files.
        files_max: usize,
        /// The largest depth.
        depth_max: usize,
    },
    /// It begins as a capture and cannot be read as one.
    #[error("{path}: {problem}; libpcap reads pcap files, and pcapng files whose interfaces are of one link type")]
    Capture {
        /// The input.
        path: String,
        /// What libpcap said.
        problem: String,
    },
}

/// An input that is open: its uncompressed beginning and everything, the beginning included.
pub struct Opened {
    /// Up to 64 KiB from the beginning, uncompressed.
    pub head: Vec<u8>,
    /// All bytes, uncompressed, from the beginning.
    pub bytes: Box<dyn Read + Send>,
    /// The plain file itself, where it is one and not compressed.
    pub plain: Option<PathBuf>,
}

/// Opens a path, or standard input for `-`.
pub fn open(path: &Path) -> Result<Opened, SourceFailure> {
    let name = path.display().to_string();
    let failed = |error| SourceFailure::Io {
        path: name.clone(),
        error,
    };
    let standard_input = path == Path::new("-");
    let mut raw: Box<dyn Read + Send> = if standard_input {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut magic = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut magic).map_err(failed)?;
    let compressed = is_gzip(&magic) || is_zstd(&magic);
    let mut bytes = unpack(Cursor::new(magic.clone()).chain(raw), &magic).map_err(failed)?;
    let mut head = Vec::new();
    bytes
        .by_ref()
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)
        .map_err(failed)?;
    if head.is_empty() {
        return Err(SourceFailure::Empty { path: name });
    }
    let plain = (!compressed && !standard_input).then(|| path.to_path_buf());
    Ok(Opened {
        bytes: Box::new(Cursor::new(head.clone()).chain(bytes)),
        head,
        plain,
    })
}

fn is_gzip(magic: &[u8]) -> bool {
    magic.starts_with(&[0x1f, 0x8b])
}

fn is_zstd(magic: &[u8]) -> bool {
    magic == [0x28, 0xb5, 0x2f, 0xfd]
}

fn unpack(raw: Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>, magic: &[u8]) -> io::Result<Box<dyn Read + Send>> {
    let input = Arc::new(AtomicU64::new(0));
    let counted = Counted {
        inner: raw,
        read: input.clone(),
    };
    if is_gzip(magic) {
        let inner = flate2::read::MultiGzDecoder::new(counted);
        Ok(Box::new(Bounded {
            inner,
            input,
            output: 0,
        }))
    } else if is_zstd(magic) {
        let inner = ruzstd::decoding::StreamingDecoder::new(counted)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        Ok(Box::new(Bounded {
            inner,
            input,
            output: 0,
        }))
    } else {
        Ok(Box::new(counted.inner))
    }
}

/// Counts the compressed bytes that were read.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Ends a stream that grows out of all proportion.
struct Bounded<R> {
    inner: R,
    input: Arc<AtomicU64>,
    output: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.output += count as u64;
        let input = self.input.load(Ordering::Relaxed);
        if self.output > RATIO_FREE_BYTES && self.output / input.max(1) > RATIO_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "decompression bomb: {} bytes came out of {input}, over {RATIO_MAX} for each; unpack it first if it is genuine",
                    self.output
                ),
            ));
        }
        Ok(count)
    }
}

/// The files that an argument names: folders are walked, in the order of their names; hidden files are left out.
pub fn expand(path: &Path) -> Result<Vec<PathBuf>, SourceFailure> {
    let mut files = Vec::new();
    walk(path, 0, &mut files)?;
    Ok(files)
}

fn walk(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), SourceFailure> {
    let name = path.display().to_string();
    if path == Path::new("-") || !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    if depth >= FOLDER_DEPTH_MAX || files.len() >= FOLDER_FILES_MAX {
        return Err(SourceFailure::TooMany {
            path: name,
            files_max: FOLDER_FILES_MAX,
            depth_max: FOLDER_DEPTH_MAX,
        });
    }
    let failed = |error| SourceFailure::Io {
        path: name.clone(),
        error,
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    for entry in entries {
        if entry
            .file_name()
            .is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
        {
            walk(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

/// When the file was last changed, in seconds since the Unix epoch. Nothing for standard input.
pub fn modified_seconds(path: &Path) -> Option<i64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    modified
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|length| i64::try_from(length.as_secs()).ok())
}

/// The last `bytes_max` bytes of an input, uncompressed. Reads the whole of a compressed one.
pub fn tail(path: &Path, bytes_max: usize) -> Result<Vec<u8>, SourceFailure> {
    let name = path.display().to_string();
    let failed = |error| SourceFailure::Io {
        path: name.clone(),
        error,
    };
    let mut opened = open(path)?;
    if let Some(plain) = &opened.plain {
        let mut file = File::open(plain).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes_max as u64)))
            .map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(bytes_max as u64).read_to_end(&mut bytes).map_err(failed)?;
        return Ok(bytes);
    }
    let mut kept: Vec<u8> = Vec::new();
    let mut buffer = vec![0u8; HEAD_BYTES];
    loop {
        let count = opened.bytes.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            let from = kept.len().saturating_sub(bytes_max);
            return Ok(kept.split_off(from));
        }
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 4 * bytes_max {
            kept.drain(..kept.len() - bytes_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read_all(path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open(path)
            .map_err(|error| io::Error::other(error.to_string()))?
            .bytes
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn compression_is_taken_off_and_a_second_member_is_read_too() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("stakeout-source-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("two-members.gz");
        let mut file = File::create(&path)?;
        for text in ["one\n", "two\n"] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text.as_bytes())?;
            file.write_all(&encoder.finish()?)?;
        }
        drop(file);
        assert_eq!(read_all(&path)?, b"one\ntwo\n");
        assert_eq!(tail(&path, 4).map_err(|e| io::Error::other(e.to_string()))?, b"two\n");

        let bomb = folder.join("bomb.gz");
        let mut encoder = flate2::write::GzEncoder::new(File::create(&bomb)?, flate2::Compression::best());
        let lines = vec![b'\n'; 1 << 20];
        for _ in 0..300 {
            encoder.write_all(&lines)?;
        }
        encoder.finish()?;
        let error = read_all(&bomb).expect_err("a bomb is refused");
        assert!(error.to_string().contains("decompression bomb"), "{error}");
        std::fs::remove_dir_all(&folder)
    }
}
