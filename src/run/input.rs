//! Inputs of a replay: files become streams of stamped events, and streams are merged by time.
//!
//! All captures make one stream, frame by frame, so that a flow cut in two by a rotation stays one flow. Each log is a
//! stream of its own.

use crate::domain::{Duration, Event, Timestamp};
use crate::edge::source::{Capture, Opened, SourceFailure, is_capture, modified_seconds, open, tail};
use crate::engine::decoder::log::lines::{LINE_BYTES_MAX, LINE_TOO_LONG, Line, LineSplitter};
use crate::engine::decoder::log::{Ends, Format, LineContext, LineDecoder, detect, year_of_first_line};
use crate::engine::decoder::packet::{LinkType, PacketCounters, PacketDecoder, PacketOptions};
use crate::engine::decoder::{Output, Tally};
use crate::engine::order::{IMPLAUSIBLE_TIME, OrderBuffer, Stamped, TimeGuard};
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are read from a log at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Frames that are decoded at once.
const FRAMES: usize = 4096;
/// The end of a log that is looked at for its last line.
const TAIL_BYTES: usize = 64 * 1024;

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
}

/// Something that is wrong with an input, for a person.
#[derive(Clone, Debug)]
pub(super) struct Complaint(pub(super) String);

/// An input as the summary names it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) path: String,
    pub(super) format: String,
    pub(super) number: u16,
}

/// A stream of stamped events.
pub(super) struct Stream {
    source: Source,
    order: OrderBuffer,
    ready: VecDeque<Stamped>,
    sorted: Vec<Stamped>,
    ended: bool,
    pub(super) tally: Tally,
}

enum Source {
    Wire(Box<Wire>),
    Log(Box<Log>),
}

struct Wire {
    captures: Vec<OpenCapture>,
    decoder: PacketDecoder,
    output: Output,
}

struct OpenCapture {
    capture: Capture,
    link: Option<LinkType>,
    /// The next frame, taken out to compare its time.
    next: Option<(Timestamp, u32, Vec<u8>)>,
}

struct Log {
    path: String,
    bytes: Box<dyn Read + Send>,
    piece: Vec<u8>,
    splitter: LineSplitter,
    decoder: Box<dyn LineDecoder>,
    output: Output,
    guard: TimeGuard<Event>,
    believed: Vec<Event>,
    reached: Timestamp,
}

/// Opens inputs. Those that can't be read, or are of no known kind, are complained about; the others are streams.
pub(super) fn open_all(
    paths: &[PathBuf],
    reading: &Reading,
    complaints: &mut Vec<Complaint>,
) -> (Vec<Stream>, Vec<Named>) {
    let (mut streams, mut named, mut captures) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let number = named.len().min(usize::from(u16::MAX)) as u16;
        let name = path.display().to_string();
        let opened = match open(path) {
            Ok(opened) => opened,
            Err(failure) => {
                complaints.push(Complaint(failure.to_string()));
                continue;
            }
        };
        if is_capture(&opened.head) {
            match open_capture(path, opened) {
                Ok(capture) => {
                    captures.push(capture);
                    named.push(Named {
                        path: name,
                        format: "capture".to_owned(),
                        number,
                    });
                }
                Err(complaint) => complaints.push(complaint),
            }
        } else if let Some(format) = detect(&opened.head) {
            streams.push(open_log(path, opened, format, number, reading));
            named.push(Named {
                path: name,
                format: format.name().to_owned(),
                number,
            });
        } else {
            complaints.push(Complaint(format!(
                "{name}: not a format that is known; captures (pcap, pcapng) and logs ({}) are",
                Format::ALL
                    .iter()
                    .map(|format| format.name())
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
    }
    if !captures.is_empty() {
        streams.push(Stream::new(
            Source::Wire(Box::new(Wire {
                captures,
                decoder: PacketDecoder::new(PacketOptions {
                    flows_max: reading.flows_max,
                    ..PacketOptions::default()
                }),
                output: Output::default(),
            })),
            OrderBuffer::new(named.len().min(usize::from(u16::MAX)) as u16, Duration::ZERO),
        ));
    }
    (streams, named)
}

fn open_capture(path: &Path, opened: Opened) -> Result<OpenCapture, Complaint> {
    let capture = Capture::open(path, opened).map_err(|failure| Complaint(failure.to_string()))?;
    let number = capture.link_type();
    let link = u32::try_from(number).ok().and_then(LinkType::from_number);
    if link.is_none() {
        return Err(Complaint(format!(
            "{}: link type {number} is not read; capture on an Ethernet, Linux cooked, raw IP or loopback interface",
            path.display()
        )));
    }
    Ok(OpenCapture {
        capture,
        link,
        next: None,
    })
}

fn open_log(path: &Path, opened: Opened, format: Format, number: u16, reading: &Reading) -> Stream {
    let known_by = modified_seconds(path).unwrap_or_else(|| jiff::Timestamp::now().as_second());
    let known_by = Timestamp::from_seconds(known_by);
    let offset_minutes = reading.zone.as_ref().map_or(0, |zone| {
        let at = jiff::Timestamp::from_second(known_by.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        (zone.to_offset(at).seconds() / 60) as i16
    });
    let year = reading.year.unwrap_or_else(|| {
        let first = opened
            .head
            .split(|byte| *byte == b'\n')
            .find(|line| !line.is_empty())
            .unwrap_or_default();
        let end = if path == Path::new("-") {
            Vec::new()
        } else {
            tail(path, TAIL_BYTES).unwrap_or_default()
        };
        let last = end
            .split(|byte| *byte == b'\n')
            .rfind(|line| !line.is_empty())
            .unwrap_or(first);
        year_of_first_line(Ends { first, last }, known_by, offset_minutes).unwrap_or(1970)
    });
    let log = Log {
        path: path.display().to_string(),
        bytes: opened.bytes,
        piece: vec![0; PIECE_BYTES],
        splitter: LineSplitter::new(LINE_BYTES_MAX),
        decoder: format.decoder(LineContext { year, offset_minutes }),
        output: Output::default(),
        guard: TimeGuard::default(),
        believed: Vec::new(),
        reached: Timestamp::MIN,
    };
    Stream::new(
        Source::Log(Box::new(log)),
        OrderBuffer::new(number, reading.disorder_max),
    )
}

impl Stream {
    fn new(source: Source, order: OrderBuffer) -> Stream {
        Stream {
            source,
            order,
            ready: VecDeque::new(),
            sorted: Vec::new(),
            ended: false,
            tally: Tally::default(),
        }
    }

    /// What the packet decoder has met, where the stream is of packets.
    pub(super) fn packets(&self) -> Option<PacketCounters> {
        match &self.source {
            Source::Wire(wire) => Some(wire.decoder.counters()),
            Source::Log(_) => None,
        }
    }

    /// The next event without taking it; reads on until there is one, or none is left.
    pub(super) fn peek(&mut self, complaints: &mut Vec<Complaint>) -> Option<&Stamped> {
        while self.ready.is_empty() && !self.ended {
            self.read(complaints);
        }
        self.ready.front()
    }

    /// The event that [`Stream::peek`] has shown.
    pub(super) fn first(&mut self) -> Option<&mut Stamped> {
        self.ready.front_mut()
    }

    /// Takes the event that [`Stream::peek`] has shown.
    pub(super) fn take(&mut self) -> Option<Stamped> {
        self.ready.pop_front()
    }

    /// Stops reading; what is open is closed.
    pub(super) fn stop(&mut self, complaints: &mut Vec<Complaint>) {
        if !self.ended {
            self.end(complaints);
        }
    }

    fn read(&mut self, complaints: &mut Vec<Complaint>) {
        let more = match &mut self.source {
            Source::Wire(wire) => wire.read(&mut self.order, &mut self.sorted, complaints),
            Source::Log(log) => log.read(&mut self.order, &mut self.sorted, complaints),
        };
        if !more {
            self.end(complaints);
        }
        self.ready.extend(self.sorted.drain(..));
    }

    fn end(&mut self, _complaints: &mut Vec<Complaint>) {
        self.ended = true;
        let tally = match &mut self.source {
            Source::Wire(wire) => wire.end(&mut self.order, &mut self.sorted),
            Source::Log(log) => log.end(&mut self.order, &mut self.sorted),
        };
        self.tally.merge(&tally);
        self.order.finish(&mut self.sorted);
        self.ready.extend(self.sorted.drain(..));
    }
}

impl OpenCapture {
    fn fill(&mut self, complaints: &mut Vec<Complaint>) {
        match self.capture.next_frame() {
            Ok(Some(frame)) => {
                let mut bytes = self.next.take().map_or_else(Vec::new, |(_, _, bytes)| bytes);
                bytes.clear();
                bytes.extend_from_slice(frame.bytes);
                self.next = Some((frame.time, frame.original_length, bytes));
            }
            Ok(None) => self.next = None,
            Err(failure) => {
                complaints.push(Complaint(failure.to_string()));
                self.next = None;
            }
        }
    }
}

impl Wire {
    /// Decodes some frames. Gives whether there may be more.
    fn read(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>, complaints: &mut Vec<Complaint>) -> bool {
        if self.captures.len() == 1 {
            return self.read_only(order, sorted, complaints);
        }
        for _ in 0..FRAMES {
            for open in &mut self.captures {
                if open.next.is_none() && open.link.is_some() {
                    open.fill(complaints);
                    if open.next.is_none() {
                        open.link = None;
                    }
                }
            }
            let earliest = self
                .captures
                .iter_mut()
                .filter(|open| open.next.is_some())
                .min_by_key(|open| open.next.as_ref().map(|(time, _, _)| *time));
            let Some(open) = earliest else {
                return self.give(order, sorted, false);
            };
            if let (Some(link), Some((time, length, bytes))) = (open.link, open.next.take()) {
                self.decoder.frame(link, time, length, &bytes, &mut self.output);
            }
            if !self.output.events.is_empty() {
                self.give(order, sorted, true);
            }
        }
        true
    }

    /// The same for a single capture, whose frames need not be compared.
    fn read_only(
        &mut self,
        order: &mut OrderBuffer,
        sorted: &mut Vec<Stamped>,
        complaints: &mut Vec<Complaint>,
    ) -> bool {
        for _ in 0..FRAMES {
            let Some(only) = self.captures.first_mut() else {
                return false;
            };
            let Some(link) = only.link else { return false };
            match only.capture.next_frame() {
                Ok(Some(frame)) => {
                    self.decoder
                        .frame(link, frame.time, frame.original_length, frame.bytes, &mut self.output);
                }
                Ok(None) => return self.give(order, sorted, false),
                Err(failure) => {
                    complaints.push(Complaint::from(failure));
                    return self.give(order, sorted, false);
                }
            }
            if !self.output.events.is_empty() {
                self.give(order, sorted, true);
            }
        }
        true
    }

    fn give(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>, more: bool) -> bool {
        let known_at = self.decoder.reached();
        for event in self.output.events.drain(..) {
            order.push(known_at, event, sorted);
        }
        more
    }

    fn end(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>) -> Tally {
        self.decoder.finish(&mut self.output);
        self.give(order, sorted, false);
        std::mem::take(&mut self.output.tally)
    }
}

impl Log {
    fn read(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>, complaints: &mut Vec<Complaint>) -> bool {
        let count = match self.bytes.read(&mut self.piece) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return true,
            Err(error) => {
                complaints.push(Complaint(format!(
                    "{}: reading stopped after {} lines: {error}",
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

    fn end(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>) -> Tally {
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

/// A source that failed, as a complaint.
impl From<SourceFailure> for Complaint {
    fn from(failure: SourceFailure) -> Self {
        Complaint(failure.to_string())
    }
}
