//! A log as a stream of events: lines in order, each with a time that can be believed.

use super::input::{Complaint, Reading};
use crate::domain::{Event, Timestamp};
use crate::edge::source::{Opened, modified_seconds, tail};
use crate::engine::decoder::log::lines::{LINE_BYTES_MAX, LINE_TOO_LONG, Line, LineSplitter};
use crate::engine::decoder::log::{Ends, Format, LineContext, LineDecoder, year_of_first_line};
use crate::engine::decoder::{Output, Tally};
use crate::engine::order::{IMPLAUSIBLE_TIME, OrderBuffer, Stamped, TimeGuard};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read from a log at once.
const PIECE_BYTES: usize = 256 * 1024;
/// The end of a log that is looked at for its last line.
const TAIL_BYTES: usize = 64 * 1024;

/// What is known of a log before it is read, enough to open it again.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    pub(super) number: u16,
    format: Format,
    context: LineContext,
    /// Whether it can be closed and opened again.
    pub(super) is_file: bool,
}

impl LogFile {
    /// Finds out what has to be known of a log that was just opened.
    pub(super) fn new(path: &Path, format: Format, number: u16, opened: &Opened, reading: &Reading) -> LogFile {
        let changed = opened.is_file.then(|| modified_seconds(path)).flatten();
        let known_by = Timestamp::from_seconds(changed.unwrap_or_else(|| jiff::Timestamp::now().as_second()));
        let offset_minutes = reading.zone.as_ref().map_or(0, |zone| {
            let at = jiff::Timestamp::from_second(known_by.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            (zone.to_offset(at).seconds() / 60) as i16
        });
        let year = match reading.year {
            Some(year) => year,
            // Other formats always have the year.
            None if format != Format::Syslog => 1970,
            None => year_by(path, opened, reading, known_by, offset_minutes),
        };
        LogFile {
            path: path.to_path_buf(),
            number,
            format,
            context: LineContext { year, offset_minutes },
            is_file: opened.is_file,
        }
    }
}

/// The year that puts the last line at or before the moment at which the file is known to have been written.
fn year_by(path: &Path, opened: &Opened, reading: &Reading, known_by: Timestamp, offset_minutes: i16) -> i16 {
    let first = opened
        .head
        .split(|byte| *byte == b'\n')
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let end = if opened.is_file {
        tail(path, TAIL_BYTES, &reading.stop).unwrap_or_default()
    } else {
        Vec::new()
    };
    let last = end
        .split(|byte| *byte == b'\n')
        .rfind(|line| !line.is_empty())
        .unwrap_or(first);
    year_of_first_line(Ends { first, last }, known_by, offset_minutes).unwrap_or(1970)
}

/// A log that is being read.
pub(super) struct Log {
    path: String,
    /// Whether it can be closed and opened again.
    pub(super) is_file: bool,
    bytes: Box<dyn Read + Send>,
    piece: Vec<u8>,
    splitter: LineSplitter,
    decoder: Box<dyn LineDecoder>,
    output: Output,
    guard: TimeGuard<Event>,
    believed: Vec<Event>,
    reached: Timestamp,
}

impl Log {
    pub(super) fn new(file: &LogFile, opened: Opened) -> Log {
        Log {
            path: file.path.display().to_string(),
            is_file: file.is_file,
            bytes: opened.bytes,
            piece: vec![0; PIECE_BYTES],
            splitter: LineSplitter::new(LINE_BYTES_MAX),
            decoder: file.format.decoder(file.context),
            output: Output::default(),
            guard: TimeGuard::default(),
            believed: Vec::new(),
            reached: Timestamp::MIN,
        }
    }

    /// Reads and decodes a piece. Gives whether there may be more.
    pub(super) fn read(
        &mut self,
        order: &mut OrderBuffer,
        sorted: &mut Vec<Stamped>,
        complaints: &mut Vec<Complaint>,
    ) -> bool {
        let count = match self.bytes.read(&mut self.piece) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return true,
            Err(error) => {
                complaints.push(Complaint(format!(
                    "{}: reading stopped behind line {}: {error}; what stands before it was judged, fetch the file again",
                    self.path, self.output.tally.records
                )));
                return false;
            }
        };
        let (decoder, output) = (&mut self.decoder, &mut self.output);
        self.splitter
            .feed(&self.piece[..count], |line| decode(line, decoder.as_mut(), output));
        self.give(order, sorted);
        true
    }

    fn give(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>) {
        for event in self.output.events.drain(..) {
            let believed = &mut self.believed;
            self.guard.push(event.time(), event, |_, event| believed.push(event));
        }
        for event in self.believed.drain(..) {
            self.reached = self.reached.max(event.time());
            order.push(event.time(), event, sorted);
        }
        if self.reached > Timestamp::MIN {
            self.decoder.advance(self.reached, &mut self.output);
        }
    }

    /// The log has ended: gives what waited for more lines, and the account of them all.
    pub(super) fn end(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>) -> Tally {
        let (decoder, output) = (&mut self.decoder, &mut self.output);
        self.splitter.finish(|line| decode(line, decoder.as_mut(), output));
        self.decoder.finish(&mut self.output);
        self.give(order, sorted);
        let believed = &mut self.believed;
        self.guard.finish(|_, event| believed.push(event));
        for event in self.believed.drain(..) {
            order.push(event.time(), event, sorted);
        }
        let mut tally = std::mem::take(&mut self.output.tally);
        let implausible = self.guard.refused();
        if implausible > 0 {
            // Their lines were decoded; it is the event's time that nobody believes.
            tally.decoded = tally.decoded.saturating_sub(implausible);
            *tally.refused.entry(IMPLAUSIBLE_TIME).or_default() += implausible;
        }
        tally
    }
}

fn decode(line: Line<'_>, decoder: &mut dyn LineDecoder, output: &mut Output) {
    match line {
        Line::Whole(line) => decoder.line(line, output),
        Line::TooLong => {
            output.tally.records += 1;
            output.tally.refuse(LINE_TOO_LONG);
        }
    }
}
