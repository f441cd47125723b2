//! Opens files and standard input, looks at their beginning, and takes gzip and zstd off transparently.

use super::Stop;
use super::piped::Piped;
use super::unpack::{ReadBytes, is_compressed, unpack};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;

/// Bytes of the beginning that are looked at to tell what an input is.
const HEAD_BYTES: usize = 64 * 1024;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceFailure {
    /// The operating system refused.
    #[error("{path}: {error}; {}", next_step(error))]
    Io {
        /// The input.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// There is nothing in it.
    #[error("{path}: the input is empty; leave it out, or look at what should have written it")]
    Empty {
        /// The input.
        path: String,
    },
    /// A folder holds more files than are taken.
    #[error("{path}: the folder holds over files_max ({files_max}) files, the rest is left out; name them instead")]
    TooMany {
        /// The folder.
        path: String,
        /// The largest number of files.
        files_max: usize,
    },
    /// Folders within folders that are too deep, or have no end.
    #[error("{path}: {problem}; name what is to be read in it")]
    Folder {
        /// The folder.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// It begins as a capture and cannot be read as one to its end.
    #[error("{path}: reading stopped after {frames} frames: {problem}")]
    Capture {
        /// The input.
        path: String,
        /// What is wrong there.
        problem: String,
        /// How many frames were read before.
        frames: u64,
    },
}

/// What a person can do about it.
fn next_step(error: &io::Error) -> &'static str {
    // Linux's numbers of what the standard library has no stable name for.
    const TOO_MANY_OPEN: [i32; 2] = [24, 23];
    const LOOP: i32 = 40;
    match error.kind() {
        io::ErrorKind::NotFound => "check the name, and where a link leads",
        io::ErrorKind::PermissionDenied => "let this user read it, or run as one that may",
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            "it was cut off or damaged; fetch it again, or unpack it with the program that packed it"
        }
        _ if error.raw_os_error() == Some(LOOP) => {
            "the link leads back to itself; name the file that it should lead to"
        }
        _ if error
            .raw_os_error()
            .is_some_and(|number| TOO_MANY_OPEN.contains(&number)) =>
        {
            "raise the limit with `ulimit -n`, or give fewer files at once"
        }
        _ => "check that it is a file that can be read",
    }
}

/// An input that is open: its uncompressed beginning and everything, the beginning included.
pub struct Opened {
    /// Up to 64 KiB from the beginning, uncompressed.
    pub head: Vec<u8>,
    /// All bytes, uncompressed, from the beginning.
    pub bytes: Box<dyn Read + Send>,
    /// The plain file itself, where it is one and not compressed.
    pub plain: Option<PathBuf>,
    /// Whether it is a file that can be opened again, unlike a pipe.
    pub is_file: bool,
    /// How far it has been read.
    pub extent: Extent,
}

/// How far an input has been read, in bytes of the input itself, compressed or not.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    read: ReadBytes,
    /// How long the input is, where that is known.
    pub length: Option<u64>,
}

impl Extent {
    /// Bytes read so far.
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes that somebody else has read.
    pub fn add(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Opens a path, or standard input for `-`. What makes its reader wait ends early when `stop` is asked.
pub fn open(path: &Path, stop: &Stop) -> Result<Opened, SourceFailure> {
    let name = path.display().to_string();
    let failed = |error| SourceFailure::Io {
        path: name.clone(),
        error,
    };
    let standard_input = path == Path::new("-");
    let metadata = (!standard_input)
        .then(|| std::fs::metadata(path))
        .transpose()
        .map_err(failed)?;
    let file = metadata.filter(std::fs::Metadata::is_file);
    let mut raw: Box<dyn Read + Send> = if file.is_some() {
        Box::new(File::open(path).map_err(failed)?)
    } else if standard_input {
        Box::new(Piped::start(|| Ok(Box::new(io::stdin())), stop.clone()).map_err(failed)?)
    } else {
        let path = path.to_path_buf();
        Box::new(Piped::start(move || Ok(Box::new(File::open(path)?)), stop.clone()).map_err(failed)?)
    };
    let mut magic = Vec::new();
    raw.by_ref().take(4).read_to_end(&mut magic).map_err(failed)?;
    let extent = Extent {
        read: ReadBytes::default(),
        length: file.as_ref().map(std::fs::Metadata::len),
    };
    extent.add(magic.len() as u64);
    let is_packed = is_compressed(&magic);
    let mut bytes = unpack(magic, raw, &extent.read);
    let mut head = Vec::new();
    let beginning = bytes.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head);
    if head.is_empty() {
        return Err(match beginning {
            Ok(_) => SourceFailure::Empty { path: name },
            Err(error) => failed(error),
        });
    }
    // What fails behind the first bytes is told when it is come to, so that what stands before is read.
    let rest: Box<dyn Read + Send> = match beginning {
        Ok(_) => bytes,
        Err(error) => Box::new(Broken(Some(error))),
    };
    let is_file = file.is_some();
    Ok(Opened {
        bytes: Box::new(Cursor::new(head.clone()).chain(rest)),
        head,
        plain: (is_file && !is_packed).then(|| path.to_path_buf()),
        is_file,
        extent,
    })
}

/// Fails once.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// When the file was last changed, in seconds since the Unix epoch. Nothing for standard input.
pub fn modified_seconds(path: &Path) -> Option<i64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    modified
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|length| i64::try_from(length.as_secs()).ok())
}

/// The last `bytes_max` bytes of a file, uncompressed. Reads the whole of a compressed one, unless it is asked to stop.
pub fn tail(path: &Path, bytes_max: usize, stop: &Stop) -> Result<Vec<u8>, SourceFailure> {
    let name = path.display().to_string();
    let failed = |error| SourceFailure::Io {
        path: name.clone(),
        error,
    };
    let mut opened = open(path, stop)?;
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
        if count == 0 || stop.is_asked() {
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

    #[test]
    fn what_stands_before_the_damage_is_read() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("stakeout-source-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("cut.gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        encoder.write_all("a line\n".repeat(1000).as_bytes())?;
        let packed = encoder.finish()?;
        std::fs::write(&path, &packed[..packed.len() / 2])?;
        let stop = Stop::default();
        let mut opened = open(&path, &stop).map_err(|error| io::Error::other(error.to_string()))?;
        assert!(opened.head.starts_with(b"a line\n"));
        assert!(opened.is_file && opened.plain.is_none());
        let mut bytes = Vec::new();
        let error = opened.bytes.read_to_end(&mut bytes).expect_err("it was cut");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(bytes, opened.head);
        std::fs::remove_dir_all(&folder)
    }

    #[test]
    fn the_end_of_a_file_is_found_whether_it_is_compressed_or_not() -> io::Result<()> {
        let folder = std::env::temp_dir().join(format!("stakeout-tail-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let text = "one\n".repeat(100_000) + "two\n";
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes())?;
        let (plain, packed) = (folder.join("plain"), folder.join("packed"));
        std::fs::write(&packed, encoder.finish()?)?;
        std::fs::write(&plain, text)?;
        for path in [&plain, &packed] {
            let end = tail(path, 4, &Stop::default()).map_err(|error| io::Error::other(error.to_string()))?;
            assert_eq!(end, b"two\n", "{}", path.display());
        }
        std::fs::remove_dir_all(&folder)
    }
}
