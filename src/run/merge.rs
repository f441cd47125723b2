//! Streams of stamped events, merged by time. A log whose time has not come is closed again when there are many, so that
//! a folder of thousands needs neither as many open files nor their buffers.

use super::input::{Complaint, Reading};
use super::log::{Log, LogFile};
use super::wire::Wire;
use crate::domain::{Duration, Timestamp};
use crate::edge::source::{Extent, Opened, Stop, open};
use crate::engine::decoder::Tally;
use crate::engine::decoder::packet::PacketCounters;
use crate::engine::order::{OrderBuffer, Stamped};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Logs that stay open while their time has not come.
const OPEN_MAX: usize = 64;

/// A stream of stamped events.
struct Stream {
    source: Source,
    order: OrderBuffer,
    ready: VecDeque<Stamped>,
    sorted: Vec<Stamped>,
    ended: bool,
    tally: Tally,
}

enum Source {
    Wire(Box<Wire>),
    Log(Box<Log>),
}

/// An event's place among the streams: engine time, content, and the stream for what is equal.
type Key = (Timestamp, u64, usize);

enum Slot {
    Open(Box<Stream>),
    Waiting(LogFile),
    Ended,
}

/// All streams.
pub(super) struct Merge {
    reading: Reading,
    slots: Vec<Slot>,
    /// The streams that are open or waiting, but for the current one, by their next event.
    next: BinaryHeap<Reverse<Key>>,
    /// The stream that gave the last event.
    current: Option<usize>,
    begun: bool,
    stopped: bool,
    /// How far each stream's log has been read.
    extents: Vec<Extent>,
    tally: Tally,
    packets: PacketCounters,
}

impl Merge {
    /// No streams yet.
    pub(super) fn new(reading: Reading) -> Merge {
        Merge {
            reading,
            slots: Vec::new(),
            next: BinaryHeap::new(),
            current: None,
            begun: false,
            stopped: false,
            extents: Vec::new(),
            tally: Tally::default(),
            packets: PacketCounters::default(),
        }
    }

    /// Adds the stream of all captures.
    pub(super) fn add_wire(&mut self, wire: Wire, number: u16) {
        // The captures count for themselves.
        let mut nothing = Extent::default();
        nothing.length = Some(0);
        self.extents.push(nothing);
        let stream = Stream::new(Source::Wire(Box::new(wire)), OrderBuffer::new(number, Duration::ZERO));
        self.slots.push(Slot::Open(Box::new(stream)));
    }

    /// Adds the stream of a log.
    pub(super) fn add_log(&mut self, file: LogFile, opened: Opened) {
        self.extents.push(opened.extent.clone());
        if self.slots.len() >= OPEN_MAX && file.is_file {
            self.slots.push(Slot::Waiting(file));
        } else {
            let stream = self.stream(&file, opened);
            self.slots.push(Slot::Open(Box::new(stream)));
        }
    }

    /// Bytes read and the length of all inputs, where all of them have a length.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        let (mut read, mut length) = (0, 0);
        for (slot, extent) in self.slots.iter().zip(&self.extents) {
            let extents = match slot {
                Slot::Open(stream) => match &stream.source {
                    Source::Wire(wire) => wire.extents(),
                    Source::Log(_) => std::slice::from_ref(extent),
                },
                _ => std::slice::from_ref(extent),
            };
            for extent in extents {
                length += extent.length?;
                read += extent.read_bytes();
            }
        }
        (length > 0).then_some((read.min(length), length))
    }

    /// Nothing more is read: the account of everything, and what the packet decoder has met.
    pub(super) fn account(mut self) -> (Tally, PacketCounters) {
        for place in 0..self.slots.len() {
            if let Slot::Open(stream) = &mut self.slots[place] {
                stream.end();
            }
            self.close(place);
        }
        (self.tally, self.packets)
    }

    fn stream(&self, file: &LogFile, opened: Opened) -> Stream {
        Stream::new(
            Source::Log(Box::new(Log::new(file, opened))),
            OrderBuffer::new(file.number, self.reading.disorder_max),
        )
    }

    /// The next event of all; reads on until there is one. Asked to stop, it gives what was read and reads no more.
    pub(super) fn next(&mut self, complaints: &mut Vec<Complaint>) -> Option<Stamped> {
        if !self.begun {
            self.begun = true;
            self.begin(complaints);
        }
        loop {
            if self.reading.stop.is_asked() && !self.stopped {
                self.stopped = true;
                self.end_all(complaints);
            }
            let Some(place) = self.current else {
                let Reverse((_, _, place)) = self.next.pop()?;
                self.current = self.open_again(place, complaints).then_some(place);
                continue;
            };
            let stop = self.reading.stop.clone();
            let key = match &mut self.slots[place] {
                Slot::Open(stream) => stream.peek(&stop, complaints),
                _ => None,
            };
            match key {
                None if self.reading.stop.is_asked() && !self.stopped => {}
                None => {
                    self.close(place);
                    self.current = None;
                }
                Some(time) => {
                    let Slot::Open(stream) = &mut self.slots[place] else {
                        continue;
                    };
                    // What orders events of one time is worked out only where there are several.
                    let other = self.next.peek().map(|Reverse(other)| *other);
                    match other.filter(|other| other.0 <= time) {
                        Some(other) if other < stream.key(time, place) => {
                            self.next.push(Reverse(stream.key(time, place)));
                            self.current = None;
                        }
                        _ => return stream.ready.pop_front(),
                    }
                }
            }
        }
    }

    /// Finds the first event of every stream.
    fn begin(&mut self, complaints: &mut Vec<Complaint>) {
        for place in 0..self.slots.len() {
            let parked = match &self.slots[place] {
                Slot::Waiting(file) => Some(file.clone()),
                _ => None,
            };
            // What is complained about is complained about again when the log's time has come.
            let mut passing = Vec::new();
            let said = if parked.is_some() {
                &mut passing
            } else {
                &mut *complaints
            };
            if !self.open_again(place, said) {
                complaints.append(&mut passing);
                continue;
            }
            let stop = self.reading.stop.clone();
            let key = match &mut self.slots[place] {
                Slot::Open(stream) => stream.peek(&stop, said).map(|time| stream.key(time, place)),
                _ => None,
            };
            match (key, parked) {
                (Some(key), parked) => {
                    self.next.push(Reverse(key));
                    if let Some(file) = parked {
                        self.slots[place] = Slot::Waiting(file);
                    }
                }
                (None, _) if stop.is_asked() => return,
                (None, _) => {
                    complaints.append(&mut passing);
                    self.close(place);
                }
            }
        }
    }

    /// Opens a log whose time has come. Gives whether the stream is open.
    fn open_again(&mut self, place: usize, complaints: &mut Vec<Complaint>) -> bool {
        let file = match &self.slots[place] {
            Slot::Open(..) => return true,
            Slot::Ended => return false,
            Slot::Waiting(file) => file.clone(),
        };
        match open(&file.path, &self.reading.stop) {
            Ok(opened) => {
                self.extents[place] = opened.extent.clone();
                let stream = self.stream(&file, opened);
                self.slots[place] = Slot::Open(Box::new(stream));
                true
            }
            Err(failure) => {
                complaints.push(failure.into());
                self.slots[place] = Slot::Ended;
                false
            }
        }
    }

    /// A stream has given everything.
    fn close(&mut self, place: usize) {
        if let Slot::Open(stream) = std::mem::replace(&mut self.slots[place], Slot::Ended) {
            self.tally.merge(&stream.tally);
            if let Source::Wire(wire) = &stream.source {
                self.packets = wire.counters();
            }
        }
    }

    /// Ends every stream: what was read and still waits is given, the rest is left.
    fn end_all(&mut self, complaints: &mut Vec<Complaint>) {
        self.next.clear();
        self.current = None;
        for place in 0..self.slots.len() {
            let Slot::Open(stream) = &mut self.slots[place] else {
                self.slots[place] = Slot::Ended;
                continue;
            };
            stream.drain();
            stream.end();
            match stream.peek(&self.reading.stop, complaints) {
                Some(time) => self.next.push(Reverse(stream.key(time, place))),
                None => self.close(place),
            }
        }
    }
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

    /// When the next event is due; reads on until there is one, none is left, or it is asked to stop.
    fn peek(&mut self, stop: &Stop, complaints: &mut Vec<Complaint>) -> Option<Timestamp> {
        while self.ready.is_empty() && !self.ended && !stop.is_asked() {
            let told = complaints.len();
            let more = match &mut self.source {
                Source::Wire(wire) => wire.read(&mut self.order, &mut self.sorted, stop, complaints),
                Source::Log(log) => log.read(&mut self.order, &mut self.sorted, complaints),
            };
            if stop.is_asked() {
                // What ends because it was asked to is not at fault.
                complaints.truncate(told);
            }
            self.ready.extend(self.sorted.drain(..));
            if !more {
                self.end();
            }
        }
        self.ready.front().map(|stamped| stamped.engine_time)
    }

    /// The place of the event that [`Stream::peek`] has shown.
    fn key(&mut self, time: Timestamp, place: usize) -> Key {
        let content = self.ready.front_mut().map_or(0, Stamped::content);
        (time, content, place)
    }

    /// Takes what has come through a pipe already; the pipe itself gives no more.
    fn drain(&mut self) {
        if let Source::Log(log) = &mut self.source
            && !log.is_file
            && !self.ended
        {
            while log.read(&mut self.order, &mut self.sorted, &mut Vec::new()) {}
        }
    }

    /// Nothing more is read: what is open is closed.
    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.tally = match &mut self.source {
            Source::Wire(wire) => wire.end(&mut self.order, &mut self.sorted),
            Source::Log(log) => log.end(&mut self.order, &mut self.sorted),
        };
        self.order.finish(&mut self.sorted);
        self.ready.extend(self.sorted.drain(..));
    }
}
