//! Log files that grow: by path or pattern, over rotation by renaming and by copying and truncating, from where an
//! earlier process stopped.
//!
//! A file is known by device and inode. Its position is the offset behind the last whole line that was handed on. When
//! another file takes the name, the old one is read to its end first; when a file is shorter than its position it was
//! truncated, and is read from its beginning. Half lines wait for their end.
//! What was rotated while nobody followed it is read first: the rest of the file, from wherever it is now, and those
//! that came after it.
//! Of a file that is not read to its end when it is first looked at more is known to be there: event time waits for it, so
//! that several files are judged as if they were read together.
//! Files are looked at every quarter of a second, and folders every two seconds.

use super::rotated::{Head, Rotated, is_rotated, rotated};
use super::{Content, Delivery, Gone, LINE_BYTES_MAX, Origin, PIECE_BYTES, Queue, now};
use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
    head: Head,
}

/// A position as it was kept before it had a head.
#[derive(Deserialize)]
struct HeadlessPosition {
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
            head: Head::default(),
        }
    }

    fn read(bytes: &[u8]) -> Option<Position> {
        let headless = || {
            let held: HeadlessPosition = postcard::from_bytes(bytes).ok()?;
            Some(Position {
                device: held.device,
                inode: held.inode,
                offset: held.offset,
                head: Head::default(),
            })
        };
        postcard::from_bytes(bytes).ok().or_else(headless)
    }

    /// Whether the file of this name is the one that was read up to here.
    fn is_in(&self, file: &File, metadata: &Metadata) -> bool {
        let has_head = || self.head == Head::default() || self.head.is_of(&mut &*file);
        self.is_of(metadata) && metadata.len() >= self.offset && has_head()
    }

    fn is_of(&self, metadata: &Metadata) -> bool {
        self.device == metadata.dev() && self.inode == metadata.ino()
    }
}

/// What a collector of files asks of the store.
pub trait Places {
    /// The number of an input, the same for its name for ever.
    fn number(&self, name: &str) -> Option<u16>;
    /// The inputs whose names begin like this, with their numbers.
    fn known(&self, prefix: &str) -> Vec<(String, u16)>;
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
    /// Lines that were over their bound and let go of.
    pub lines_too_long: AtomicU64,
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
    open: Option<Open>,
    position: Position,
    /// Until the file of this name is reached, what was rotated away before it is read.
    resuming: Option<Resuming>,
    /// What was read behind the position: the beginning of a line.
    half: Vec<u8>,
    /// The line under way is over its bound; the rest of it is let go.
    skipping: bool,
    /// Lines over their bound that were not counted yet.
    too_long: u64,
    /// It was told that there is more of it, and its end was not reached since.
    behind: bool,
}

/// What is being read.
enum Open {
    /// The file of the name, for ever.
    Followed(File),
    /// What was rotated away, to its end.
    Rotated(Box<dyn Read + Send>),
}

/// Which of the files that were rotated away is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resuming {
    /// The rest of the one that was read last.
    Rest,
    /// The one behind it.
    Next,
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

    /// Follows the files until it is told to stop, or nobody takes what it reads. Gives the inputs of which there is more,
    /// for which event time waits.
    pub fn run(mut self) -> Vec<u16> {
        // Where nobody takes what it reads, nobody waits.
        let _ = self.follow();
        let behind = self.tails.values().filter(|tail| tail.behind);
        behind.map(|tail| tail.input).collect()
    }

    fn follow(&mut self) -> Result<(), Gone> {
        let mut listed: Option<Instant> = None;
        while !self.stop.load(Ordering::Relaxed) {
            if listed.is_none_or(|at| at.elapsed() >= LIST_EVERY) {
                self.list()?;
                listed = Some(Instant::now());
            }
            let mut more = false;
            for tail in self.tails.values_mut() {
                let read = tail.follow(&self.queue)?;
                if !read {
                    tail.set_behind(&self.queue, false)?;
                }
                more |= read;
            }
            let too_long = self.tails.values_mut().map(|tail| std::mem::take(&mut tail.too_long));
            self.progress
                .lines_too_long
                .fetch_add(too_long.sum(), Ordering::Relaxed);
            let behind = self.tails.values().map(Tail::bytes_behind).sum();
            self.progress.bytes_behind.store(behind, Ordering::Relaxed);
            self.progress.files.store(self.tails.len() as u64, Ordering::Relaxed);
            if !more {
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    /// Finds new files, and tells of which of them there is more before anything is read of any.
    fn list(&mut self) -> Result<(), Gone> {
        let mut found = Vec::new();
        for pattern in &self.patterns {
            pattern.list(&mut found);
        }
        let names: BTreeSet<PathBuf> = found.iter().cloned().collect();
        // Where a pattern takes in rotated files too, they are the followed file's past.
        found.retain(|path| !is_rotated_from_any(path, &names));
        for path in found {
            if self.tails.len() >= FILES_MAX || self.tails.contains_key(&path) {
                continue;
            }
            let name = format!("file:{}", path.display());
            let Some(input) = self.places.number(&name) else {
                continue;
            };
            let held = self.places.position(input);
            let held = held.and_then(|bytes| Position::read(&bytes));
            let mut tail = Tail::new(input, path.clone(), held);
            let has_more = tail.resuming.is_some() || tail.bytes_behind() > 0;
            tail.set_behind(&self.queue, has_more)?;
            self.tails.insert(path, tail);
        }
        Ok(())
    }
}

/// Whether a file is a rotated form of another one that was found.
fn is_rotated_from_any(path: &Path, names: &BTreeSet<PathBuf>) -> bool {
    let Some(form) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    // The name that it had is one of its beginnings.
    let ends = form.char_indices().filter(|(_, char)| matches!(char, '.' | '-'));
    ends.filter_map(|(end, _)| form.get(..end))
        .any(|name| is_rotated(form, name) && names.contains(&path.with_file_name(name)))
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
                head: Head::default(),
            }),
            resuming: held.map(|_| Resuming::Rest),
            half: Vec::new(),
            too_long: 0,
            skipping: false,
            behind: false,
        }
    }

    /// Tells whether more of it is known to be there, where that changes.
    fn set_behind(&mut self, queue: &Queue, behind: bool) -> Result<(), Gone> {
        if self.behind == behind {
            return Ok(());
        }
        self.behind = behind;
        queue.deliver(Delivery::of_behind(self.input, Origin::File, behind))
    }

    /// Bytes behind the position, a line under way left out.
    fn bytes_behind(&self) -> u64 {
        let length = match &self.open {
            Some(Open::Followed(file)) => file.metadata(),
            // The file of the name is still to come.
            Some(Open::Rotated(_)) => return fs::metadata(&self.path).map_or(1, |metadata| metadata.len().max(1)),
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
        self.half.clear();
        self.skipping = false;
        if let Some(resuming) = self.resuming {
            match self.resume(resuming) {
                Some(opened) => {
                    self.open = Some(opened);
                    return Ok(());
                }
                None => self.resuming = None,
            }
        }
        let mut file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if !self.position.is_in(&file, &metadata) {
            self.position = Position::begin(&metadata);
        }
        file.seek(SeekFrom::Start(self.position.offset))?;
        self.open = Some(Open::Followed(file));
        Ok(())
    }

    /// Opens what was rotated away and not read; nothing when the file of the name is next.
    fn resume(&mut self, resuming: Resuming) -> Option<Open> {
        let is_there = File::open(&self.path)
            .and_then(|file| Ok(self.position.is_in(&file, &file.metadata()?)))
            .unwrap_or(false);
        if is_there {
            return None;
        }
        let forms = rotated(&self.path);
        let (device, inode) = (self.position.device, self.position.inode);
        let head = self.position.head;
        let copied = |form: &&Rotated| form.begins_with(&head);
        // The number of a file that is gone may be another's now.
        let same = |form: &&Rotated| form.is_file(device, inode) && (head == Head::default() || copied(form));
        let Some(read) = forms.iter().find(same).or_else(|| forms.iter().find(copied)) else {
            tracing::warn!(path = %self.path.display(), "what was written behind the last position is gone");
            return None;
        };
        if resuming == Resuming::Rest
            && let Ok(Some(rest)) = read.open(self.position.offset)
        {
            return Some(Open::Rotated(rest));
        }
        let next = forms.iter().find(|form| form.is_newer_than(read))?;
        let reader = next.open(0).ok()??;
        self.position = Position::begin(&next.metadata);
        self.resuming = Some(Resuming::Rest);
        Some(Open::Rotated(reader))
    }

    /// At the end of the file: whether another one has its name now, or it was truncated.
    fn rotate(&mut self) -> io::Result<bool> {
        let file = match &mut self.open {
            Some(Open::Followed(file)) => file,
            Some(Open::Rotated(_)) => {
                self.open = None;
                self.resuming = Some(Resuming::Next);
                return Ok(true);
            }
            None => return Ok(false),
        };
        let read_to = self.position.offset + self.half.len() as u64;
        if file.metadata()?.len() < read_to {
            self.position.offset = 0;
            self.position.head = Head::default();
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
        let held = self.half.len();
        self.half.resize(held + PIECE_BYTES, 0);
        let piece = &mut self.half[held..];
        let read = match &mut self.open {
            Some(Open::Followed(file)) => file.read(piece),
            Some(Open::Rotated(reader)) => reader.read(piece),
            None => Ok(0),
        };
        let count = match read {
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
            return self.finish(queue);
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
            // The rest of the long line goes.
            self.skipping = false;
            let first = memchr::memchr(b'\n', &lines).map_or(lines.len(), |first| first + 1);
            lines.drain(..first);
        }
        self.hand_on(lines, queue)?;
        Ok(true)
    }

    /// Nothing more is there now. A file that was rotated away gets nothing more, so its last line needs no end.
    fn finish(&mut self, queue: &Queue) -> Result<bool, Gone> {
        let is_whole = matches!(self.open, Some(Open::Rotated(_)));
        if is_whole && !self.half.is_empty() && !self.skipping {
            let mut line = std::mem::take(&mut self.half);
            self.position.offset += line.len() as u64;
            line.push(b'\n');
            self.hand_on(line, queue)?;
        }
        Ok(false)
    }

    /// A line that is longer than its bound is let go of.
    fn bound(&mut self) {
        if self.half.len() > LINE_BYTES_MAX {
            self.position.offset += self.half.len() as u64;
            self.half = Vec::new();
            self.too_long += u64::from(!self.skipping);
            self.skipping = true;
        }
    }

    fn hand_on(&mut self, lines: Vec<u8>, queue: &Queue) -> Result<(), Gone> {
        if let Some(Open::Followed(file)) = &self.open
            && self.position.head.is_short_of(self.position.offset)
            && let Ok(head) = Head::of(file, self.position.offset)
        {
            self.position.head = head;
        }
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

#[cfg(test)]
mod tests {
    use super::super::{Deliveries, queue};
    use super::*;
    use crate::edge::folder::Folder;
    use std::io::Write as _;
    use std::time::SystemTime;

    impl Folder {
        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        fn append(&self, name: &str, text: &str) {
            let file = fs::OpenOptions::new().create(true).append(true).open(self.path(name));
            file.expect("a file").write_all(text.as_bytes()).expect("room");
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.path(from), self.path(to)).expect("both are ours");
        }

        /// Compresses as `gzip` does: another file with the time of the one that it replaces.
        fn pack(&self, name: &str) {
            let bytes = fs::read(self.path(name)).expect("a file");
            let modified = fs::metadata(self.path(name)).and_then(|metadata| metadata.modified());
            let packed = File::create(self.path(&format!("{name}.gz"))).expect("a file");
            let mut encoder = flate2::write::GzEncoder::new(&packed, flate2::Compression::fast());
            encoder.write_all(&bytes).expect("room");
            encoder.finish().expect("room");
            packed.set_modified(modified.expect("a time")).expect("it is ours");
            fs::remove_file(self.path(name)).expect("it is ours");
        }

        /// Sets when a file was last written to.
        fn written(&self, name: &str, seconds: u64) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let file = fs::OpenOptions::new()
                .append(true)
                .open(self.path(name))
                .expect("a file");
            file.set_modified(time).expect("it is ours");
        }
    }

    /// A process that follows `a.log` until there is nothing more to read. Gives what it read, and its last position.
    fn follow(folder: &Folder, held: Option<Vec<u8>>) -> (String, Option<Vec<u8>>) {
        let (queue, mut deliveries) = queue();
        let held = held.and_then(|bytes| Position::read(&bytes));
        let mut tail = Tail::new(0, folder.path("a.log"), held);
        let (mut idle, mut text, mut position) = (0, String::new(), None);
        while idle < 3 {
            let more = tail.follow(&queue).expect("somebody takes it");
            idle = if more { 0 } else { idle + 1 };
            take(&mut deliveries, &mut text, &mut position);
        }
        (text, position)
    }

    fn take(deliveries: &mut Deliveries, text: &mut String, position: &mut Option<Vec<u8>>) {
        while let Some(delivery) = deliveries.take_waiting() {
            let Content::Lines(lines) = delivery.content else {
                panic!("lines")
            };
            text.push_str(&String::from_utf8(lines).expect("text"));
            *position = delivery.position;
        }
    }

    #[test]
    fn what_was_rotated_while_nobody_followed_is_read_first() {
        for is_packed in [false, true] {
            let folder = Folder::new(if is_packed { "follow-packed" } else { "follow-renamed" });
            folder.append("a.log", "one\ntwo\nthr");
            let (text, position) = follow(&folder, None);
            assert_eq!(text, "one\ntwo\n");

            // Nobody follows: it goes on, and is rotated three times.
            folder.append("a.log", "ee\nfour");
            folder.written("a.log", 1000);
            folder.rename("a.log", "a.log.1");
            folder.append("a.log", "five\n");
            folder.written("a.log", 2000);
            folder.rename("a.log.1", "a.log.2");
            folder.rename("a.log", "a.log.1");
            folder.append("a.log", "six\n");
            // An older one, and one that is nobody's.
            folder.append("a.log.3", "zero\n");
            folder.written("a.log.3", 500);
            folder.append("b.log.1", "no\n");
            if is_packed {
                for name in ["a.log.3", "a.log.2", "a.log.1"] {
                    folder.pack(name);
                }
            }
            let (text, position) = follow(&folder, position);
            assert_eq!(text, "three\nfour\nfive\nsix\n", "packed: {is_packed}");
            let (text, position) = follow(&folder, position);
            assert_eq!((text.as_str(), position), ("", None), "nothing is read twice");
        }
    }

    #[test]
    fn a_stop_in_the_middle_of_what_was_rotated_loses_and_repeats_nothing() {
        for is_packed in [false, true] {
            let folder = Folder::new(if is_packed {
                "follow-middle-packed"
            } else {
                "follow-middle"
            });
            let lines = |from: u32, to: u32| (from..to).map(|number| format!("line {number}\n")).collect::<String>();
            folder.append("a.log", &lines(0, 100));
            let (mut all, mut position) = follow(&folder, None);
            folder.append("a.log", &lines(100, 60_000));
            folder.written("a.log", 1000);
            folder.rename("a.log", "a.log.1");
            folder.append("a.log", &lines(60_000, 70_000));
            if is_packed {
                folder.pack("a.log.1");
            }
            loop {
                // A process that reads one piece, and is gone.
                let (queue, mut deliveries) = queue();
                let held = position.as_ref().and_then(|bytes| Position::read(bytes));
                let mut tail = Tail::new(0, folder.path("a.log"), held);
                let before = all.len();
                while all.len() == before && tail.follow(&queue).expect("somebody takes it") {
                    take(&mut deliveries, &mut all, &mut position);
                }
                if all.len() == before {
                    break;
                }
            }
            assert!(all == lines(0, 70_000), "packed: {is_packed}, {} bytes", all.len());
        }
    }

    #[test]
    fn a_file_that_was_copied_and_truncated_meanwhile_is_known_by_its_beginning() {
        let folder = Folder::new("follow-copied");
        folder.append("a.log", "one\ntwo\n");
        let (_, position) = follow(&folder, None);
        folder.append("a.log", "three\n");
        fs::copy(folder.path("a.log"), folder.path("a.log.1")).expect("both are ours");
        folder.written("a.log.1", 1000);
        fs::write(folder.path("a.log"), "four, which is longer than what was there\n").expect("it is ours");
        let (text, _) = follow(&folder, position);
        assert_eq!(text, "three\nfour, which is longer than what was there\n");
    }

    #[test]
    fn what_is_gone_is_gone_and_the_file_of_the_name_is_read() {
        let folder = Folder::new("follow-gone");
        folder.append("a.log", "one\n");
        let (_, position) = follow(&folder, None);
        folder.append("c.log", "two\n");
        folder.rename("c.log", "a.log");
        assert_eq!(follow(&folder, position).0, "two\n");
    }

    #[test]
    fn positions_of_the_older_form_are_read() {
        let bytes = postcard::to_allocvec(&(1u64, 300u64, 70_000u64)).expect("bytes");
        let position = Position::read(&bytes).expect("a position");
        assert_eq!((position.device, position.inode, position.offset), (1, 300, 70_000));
        let bytes = postcard::to_allocvec(&position).expect("bytes");
        assert_eq!(Position::read(&bytes), Some(position));
    }

    #[test]
    fn rotated_files_that_a_pattern_takes_in_are_not_followed() {
        let names: BTreeSet<PathBuf> = ["/l/a.log", "/l/a.log.1", "/l/a-b.log.2", "/l/c.log.1"]
            .map(PathBuf::from)
            .into();
        let found: Vec<_> = names.iter().filter(|path| is_rotated_from_any(path, &names)).collect();
        assert_eq!(found, [Path::new("/l/a.log.1")]);
    }
}
