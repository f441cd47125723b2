//! Log files that grow: by path or pattern, over rotation by renaming and by copying and truncating, from where an
//! earlier process stopped.
//!
//! A file is known by device and inode. Its position is the offset behind the last whole line that was handed on. When
//! another file takes the name, the old one is read to its end first; when a file is shorter than its position it was
//! truncated, and is read from its beginning. Half lines wait for their end.
//! Files are looked at every quarter of a second, and folders every two seconds.

use super::{Content, Delivery, Gone, LINE_BYTES_MAX, Origin, PIECE_BYTES, Queue, now};
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often folders are looked at for new files.
const LIST_EVERY: Duration = Duration::from_secs(2);
/// Files that are followed at once.
const FILES_MAX: usize = 4096;
/// Folders within folders that a pattern with `**` looks into.
const DEPTH_MAX: usize = 16;

/// Files by path or pattern.
#[derive(Clone, Debug)]
pub struct FilePattern {
    /// The folder above the first part with a wildcard.
    base: PathBuf,
    /// Nothing for a plain path.
    matcher: Option<GlobMatcher>,
}

/// A pattern that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is not a pattern: {problem}; `*`, `?`, `[a-z]`, `{{a,b}}` and `**` are understood")]
pub struct PatternProblem {
    pattern: String,
    problem: String,
}

impl FilePattern {
    /// Reads a path or pattern.
    pub fn parse(pattern: &str) -> Result<FilePattern, PatternProblem> {
        if !pattern.contains(['*', '?', '[', '{']) {
            return Ok(FilePattern {
                base: PathBuf::from(pattern),
                matcher: None,
            });
        }
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        let glob = glob.map_err(|error| PatternProblem {
            pattern: pattern.to_owned(),
            problem: error.kind().to_string(),
        })?;
        let plain = Path::new(pattern).components();
        let base: PathBuf = plain
            .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']))
            .collect();
        Ok(FilePattern {
            base,
            matcher: Some(glob.compile_matcher()),
        })
    }

    /// The files that are there now. What is compressed was rotated away and is left out.
    fn list(&self, found: &mut Vec<PathBuf>) {
        match &self.matcher {
            None => found.push(self.base.clone()),
            Some(matcher) => walk(&self.base, matcher, DEPTH_MAX, found),
        }
    }
}

fn walk(folder: &Path, matcher: &GlobMatcher, depth: usize, found: &mut Vec<PathBuf>) {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(here) else { return };
    for entry in entries.flatten() {
        if found.len() >= FILES_MAX {
            return;
        }
        let path = folder.join(entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            if depth > 0 {
                walk(&path, matcher, depth - 1, found);
            }
        } else if matcher.is_match(&path) && !is_packed(&path) {
            found.push(path);
        }
    }
}

fn is_packed(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("gz" | "zst" | "xz" | "bz2"))
}

/// Where a file goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    device: u64,
    inode: u64,
    offset: u64,
}

impl Position {
    fn begin(metadata: &Metadata) -> Position {
        Position {
            device: metadata.dev(),
            inode: metadata.ino(),
            offset: 0,
        }
    }

    fn is_of(&self, metadata: &Metadata) -> bool {
        self.device == metadata.dev() && self.inode == metadata.ino()
    }
}

/// What a collector of files asks of the store.
pub trait Places {
    /// The number of an input, the same for its name for ever.
    fn number(&self, name: &str) -> Option<u16>;
    /// Where an input went on when the last process ended.
    fn position(&self, input: u16) -> Option<Vec<u8>>;
}

/// How far a collector of files has come.
#[derive(Debug, Default)]
pub struct FileProgress {
    /// Files that are followed.
    pub files: AtomicU64,
    /// Bytes that are in the files and were not handed on yet.
    pub bytes_behind: AtomicU64,
}

/// Follows files.
pub struct FileCollector<P> {
    patterns: Vec<FilePattern>,
    places: P,
    queue: Queue,
    stop: Arc<AtomicBool>,
    tails: BTreeMap<PathBuf, Tail>,
    progress: Arc<FileProgress>,
}

/// One file that is followed.
struct Tail {
    input: u16,
    path: PathBuf,
    open: Option<File>,
    position: Position,
    /// What was read behind the position: the beginning of a line.
    half: Vec<u8>,
    /// The line under way is over its bound; the rest of it is let go.
    skipping: bool,
}

impl<P: Places> FileCollector<P> {
    /// A collector that hands lines to `queue` until `stop` is set.
    pub fn new(patterns: Vec<FilePattern>, places: P, queue: Queue, stop: Arc<AtomicBool>) -> Self {
        FileCollector {
            patterns,
            places,
            queue,
            stop,
            tails: BTreeMap::new(),
            progress: Arc::default(),
        }
    }

    /// How far it has come, for whoever watches it.
    pub fn progress(&self) -> Arc<FileProgress> {
        self.progress.clone()
    }

    /// Follows the files until it is told to stop, or nobody takes what it reads.
    pub fn run(mut self) {
        let mut listed: Option<Instant> = None;
        while !self.stop.load(Ordering::Relaxed) {
            if listed.is_none_or(|at| at.elapsed() >= LIST_EVERY) {
                self.list();
                listed = Some(Instant::now());
            }
            let mut more = false;
            for tail in self.tails.values_mut() {
                match tail.follow(&self.queue) {
                    Ok(read) => more |= read,
                    Err(Gone) => return,
                }
            }
            let behind = self.tails.values().map(Tail::bytes_behind).sum();
            self.progress.bytes_behind.store(behind, Ordering::Relaxed);
            self.progress.files.store(self.tails.len() as u64, Ordering::Relaxed);
            if !more {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    fn list(&mut self) {
        let mut found = Vec::new();
        for pattern in &self.patterns {
            pattern.list(&mut found);
        }
        for path in found {
            if self.tails.len() >= FILES_MAX || self.tails.contains_key(&path) {
                continue;
            }
            let name = format!("file:{}", path.display());
            let Some(input) = self.places.number(&name) else {
                continue;
            };
            let held = self.places.position(input);
            let held = held.and_then(|bytes| postcard::from_bytes(&bytes).ok());
            self.tails.insert(path.clone(), Tail::new(input, path, held));
        }
    }
}

impl Tail {
    fn new(input: u16, path: PathBuf, held: Option<Position>) -> Tail {
        Tail {
            input,
            path,
            open: None,
            position: held.unwrap_or(Position {
                device: 0,
                inode: 0,
                offset: 0,
            }),
            half: Vec::new(),
            skipping: false,
        }
    }

    /// Bytes behind the position, a line under way left out.
    fn bytes_behind(&self) -> u64 {
        let length = match &self.open {
            Some(file) => file.metadata(),
            None => fs::metadata(&self.path),
        };
        let read_to = self.position.offset + self.half.len() as u64;
        length.map_or(0, |metadata| metadata.len().saturating_sub(read_to))
    }

    /// Reads one piece. Gives whether there may be more.
    fn follow(&mut self, queue: &Queue) -> Result<bool, Gone> {
        if self.open.is_none() && self.open_again().is_err() {
            return Ok(false);
        }
        match self.read(queue)? {
            true => Ok(true),
            false => Ok(self.rotate().unwrap_or(false)),
        }
    }

    fn open_again(&mut self) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !self.position.is_of(&metadata) || metadata.len() < self.position.offset {
            self.position = Position::begin(&metadata);
        }
        file.seek(SeekFrom::Start(self.position.offset))?;
        self.half.clear();
        self.skipping = false;
        self.open = Some(file);
        Ok(())
    }

    /// At the end of the file: whether another one has its name now, or it was truncated.
    fn rotate(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.open else { return Ok(false) };
        let read_to = self.position.offset + self.half.len() as u64;
        if file.metadata()?.len() < read_to {
            self.position.offset = 0;
            self.half.clear();
            self.skipping = false;
            file.seek(SeekFrom::Start(0))?;
            return Ok(true);
        }
        match fs::metadata(&self.path) {
            Ok(metadata) if !self.position.is_of(&metadata) => {
                self.open = None;
                Ok(true)
            }
            // The name is free: the next file of this name is a new one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.open = None;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Reads a piece and hands on its whole lines. Gives whether anything was read.
    fn read(&mut self, queue: &Queue) -> Result<bool, Gone> {
        let Some(file) = &mut self.open else { return Ok(false) };
        let held = self.half.len();
        self.half.resize(held + PIECE_BYTES, 0);
        let count = match file.read(&mut self.half[held..]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(_) => {
                // It is opened anew at the next look.
                self.open = None;
                0
            }
        };
        self.half.truncate(held + count);
        if count == 0 {
            return Ok(false);
        }
        let fresh = &self.half[held..];
        let Some(end) = memchr::memrchr(b'\n', fresh).map(|end| held + end + 1) else {
            self.bound();
            return Ok(true);
        };
        let rest = self.half.split_off(end);
        let mut lines = std::mem::replace(&mut self.half, rest);
        self.position.offset += lines.len() as u64;
        if self.skipping {
            // Its beginning was handed on; the rest of the long line goes.
            self.skipping = false;
            let first = memchr::memchr(b'\n', &lines).map_or(lines.len(), |first| first + 1);
            lines.drain(..first);
        }
        self.hand_on(lines, queue)?;
        Ok(true)
    }

    /// A line that is longer than its bound is let go of.
    fn bound(&mut self) {
        if self.half.len() > LINE_BYTES_MAX {
            self.position.offset += self.half.len() as u64;
            self.half = Vec::new();
            self.skipping = true;
        }
    }

    fn hand_on(&self, lines: Vec<u8>, queue: &Queue) -> Result<(), Gone> {
        queue.deliver(Delivery {
            input: self.input,
            received: now(),
            origin: Origin::File,
            content: Content::Lines(lines),
            position: postcard::to_allocvec(&self.position).ok(),
            receipt: None,
        })
    }
}
