//! Inputs of a replay: what each argument holds, and which streams of events they make.
//!
//! All captures make one stream, frame by frame, so that a flow cut in two by a rotation stays one flow. Each log is a
//! stream of its own.

use super::log::LogFile;
use super::merge::Merge;
use super::wire::{self, CaptureFile};
use crate::domain::Duration;
use crate::edge::source::{SourceFailure, Stop, expand, is_capture, open};
use crate::engine::decoder::log::{Format, detect};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// So many open files every system allows, with room for the rest of the program.
const OPEN_FILES_SURE: usize = 200;

/// How inputs are read.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// The year of the first line; worked out from the file's time of change when it is not given.
    pub(super) year: Option<i16>,
    /// The zone of lines without one.
    pub(super) zone: Option<jiff::tz::TimeZone>,
    /// Flows that are open at once in a capture.
    pub(super) flows_max: usize,
    /// How far the records of one log may be out of order.
    pub(super) disorder_max: Duration,
    /// Asks everybody who reads to end early.
    pub(super) stop: Stop,
}

/// Something that is wrong with an input, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint(pub(super) String);

/// A source that failed, as a complaint.
impl From<SourceFailure> for Complaint {
    fn from(failure: SourceFailure) -> Self {
        Complaint(failure.to_string())
    }
}

/// An input as the summary names it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) format: String,
    pub(super) number: u16,
}

/// Finds and opens what the arguments name. What can't be read, or is of no known kind, is complained about; the others
/// are merged by time.
pub(super) fn open_all(
    arguments: &[PathBuf],
    reading: &Reading,
    complaints: &mut Vec<Complaint>,
) -> (Merge, Vec<Named>) {
    let mut failures = Vec::new();
    let mut paths = Vec::new();
    for argument in arguments {
        paths.extend(expand(argument, &mut failures));
    }
    complaints.extend(failures.into_iter().map(Complaint::from));
    let (mut merge, mut named, mut captures) = (Merge::new(reading.clone()), Vec::new(), Vec::new());
    if paths.len() > OPEN_FILES_SURE {
        allow_open_files();
    }
    let mut known = BTreeSet::new();
    for path in paths {
        if reading.stop.is_asked() {
            break;
        }
        // A file that is named twice is read once.
        let same = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file);
        if same.is_some_and(|file| !known.insert((file.dev(), file.ino()))) {
            continue;
        }
        let number = u16::try_from(named.len()).unwrap_or(u16::MAX);
        match open_one(&path, number, reading, &mut merge, &mut captures) {
            Ok(format) => named.push(Named {
                path: path.display().to_string(),
                format,
                number,
            }),
            // What ends because it was asked to is not at fault.
            Err(_) if reading.stop.is_asked() => {}
            Err(complaint) => complaints.push(complaint),
        }
    }
    if !captures.is_empty() {
        let number = u16::try_from(named.len()).unwrap_or(u16::MAX);
        merge.add_wire(wire::Wire::new(captures, reading.flows_max), number);
    }
    (merge, named)
}

/// Opens one input and gives the name of its format.
fn open_one(
    path: &Path,
    number: u16,
    reading: &Reading,
    merge: &mut Merge,
    captures: &mut Vec<CaptureFile>,
) -> Result<String, Complaint> {
    let opened = open(path, &reading.stop)?;
    if is_capture(&opened.head) {
        captures.push(CaptureFile::open(path, opened)?);
        return Ok("capture".to_owned());
    }
    let Some(format) = detect(&opened.head) else {
        return Err(unknown_format(path));
    };
    let file = LogFile::new(path, format, number, &opened, reading);
    merge.add_log(file, opened);
    Ok(format.name().to_owned())
}

/// Logs of one time are open together: as many files as the system lets this process have.
fn allow_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, a file too many is complained about by name.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn unknown_format(path: &Path) -> Complaint {
    let logs: Vec<_> = Format::ALL.iter().map(|format| format.name()).collect();
    Complaint(format!(
        "{}: not a format that is known; captures (pcap, pcapng) and logs ({}) are, also compressed by gzip or zstd",
        path.display(),
        logs.join(", ")
    ))
}
