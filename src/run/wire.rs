//! All captures as one stream of events: frames in the order of their time, so that a flow that a rotation has cut in
//! two stays one flow.

use super::input::Complaint;
use crate::domain::Timestamp;
use crate::edge::source::{Capture, Extent, Opened, Stop, open};
use crate::engine::decoder::packet::{LinkType, PacketCounters, PacketDecoder, PacketOptions};
use crate::engine::decoder::{Output, Tally};
use crate::engine::order::{OrderBuffer, Stamped};
use std::path::{Path, PathBuf};

/// Frames that are decoded at once.
const FRAMES: usize = 4096;
/// Captures that stay open while their time has not come.
const OPEN_MAX: usize = 64;
/// What a capture file says before each frame, in bytes.
const FRAME_HEAD_BYTES: u64 = 16;

/// A capture, with its next frame taken out to compare its time.
pub(super) struct CaptureFile {
    path: PathBuf,
    is_file: bool,
    link: LinkType,
    /// Its place among the arguments.
    place: usize,
    extent: Extent,
    /// Whether the bytes are counted by whoever unpacks them.
    is_counted: bool,
    capture: Option<Capture>,
    /// When its first frame was captured.
    begins: Timestamp,
    next: Frame,
}

/// A frame that waits for its turn.
#[derive(Default)]
struct Frame {
    time: Timestamp,
    original_length: u32,
    bytes: Vec<u8>,
}

impl CaptureFile {
    /// Takes what was opened as a capture.
    pub(super) fn open(path: &Path, opened: Opened) -> Result<CaptureFile, Complaint> {
        let (is_file, extent, is_counted) = (opened.is_file, opened.extent.clone(), opened.plain.is_none());
        let capture = Capture::open(path, opened)?;
        let number = capture.link_type();
        let link = u32::try_from(number).ok().and_then(LinkType::from_number);
        let Some(link) = link else {
            return Err(Complaint(format!(
                "{}: link type {number} is not read; capture on an Ethernet, Linux cooked, raw IP or loopback interface",
                path.display()
            )));
        };
        Ok(CaptureFile {
            path: path.to_path_buf(),
            is_file,
            link,
            place: 0,
            extent,
            is_counted,
            capture: Some(capture),
            begins: Timestamp::MIN,
            next: Frame::default(),
        })
    }

    /// Takes the next frame out. Gives whether there is one.
    fn fill(&mut self, complaints: &mut Vec<Complaint>) -> bool {
        let Some(capture) = &mut self.capture else { return false };
        match capture.next_frame() {
            Ok(Some(frame)) => {
                self.next.time = frame.time;
                self.next.original_length = frame.original_length;
                self.next.bytes.clear();
                self.next.bytes.extend_from_slice(frame.bytes);
                if !self.is_counted {
                    self.extent.add(FRAME_HEAD_BYTES + frame.bytes.len() as u64);
                }
                true
            }
            Ok(None) => false,
            Err(failure) => {
                complaints.push(failure.into());
                false
            }
        }
    }

    /// Opens what was closed until its time came. Gives whether it still has a frame.
    fn open_again(&mut self, stop: &Stop, complaints: &mut Vec<Complaint>) -> bool {
        if self.capture.is_some() {
            return true;
        }
        let opened = open(&self.path, stop).and_then(|opened| {
            self.extent = opened.extent.clone();
            Capture::open(&self.path, opened)
        });
        match opened {
            Ok(capture) => self.capture = Some(capture),
            Err(failure) => complaints.push(failure.into()),
        }
        self.fill(complaints)
    }

    /// What decides whose frame is next: time, then the capture that begins first, as a rotation's parts do, then content.
    fn key(&self) -> (Timestamp, Timestamp, &[u8]) {
        (self.next.time, self.begins, &self.next.bytes)
    }
}

/// The captures that are being read, and those whose time has not come, and what decodes their frames.
pub(super) struct Wire {
    /// Not looked at yet.
    new: Vec<CaptureFile>,
    /// In the order of their beginnings, latest first.
    waiting: Vec<CaptureFile>,
    active: Vec<CaptureFile>,
    decoder: PacketDecoder,
    output: Output,
    extents: Vec<Extent>,
}

impl Wire {
    pub(super) fn new(mut captures: Vec<CaptureFile>, flows_max: usize) -> Wire {
        for (place, capture) in captures.iter_mut().enumerate() {
            capture.place = place;
        }
        Wire {
            extents: captures.iter().map(|capture| capture.extent.clone()).collect(),
            new: captures,
            waiting: Vec::new(),
            active: Vec::new(),
            decoder: PacketDecoder::new(PacketOptions {
                flows_max,
                ..PacketOptions::default()
            }),
            output: Output::default(),
        }
    }

    /// What the decoder has met.
    pub(super) fn counters(&self) -> PacketCounters {
        self.decoder.counters()
    }

    /// How far the captures have been read.
    pub(super) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Decodes some frames. Gives whether there may be more.
    pub(super) fn read(
        &mut self,
        order: &mut OrderBuffer,
        sorted: &mut Vec<Stamped>,
        stop: &Stop,
        complaints: &mut Vec<Complaint>,
    ) -> bool {
        self.look_at_new(complaints);
        for _ in 0..FRAMES {
            self.activate(stop, complaints);
            if self.active.len() == 1 && self.waiting.is_empty() {
                return self.read_only(order, sorted, complaints);
            }
            let earliest = (0..self.active.len()).min_by(|a, b| self.active[*a].key().cmp(&self.active[*b].key()));
            let Some(place) = earliest else {
                return false;
            };
            let file = &mut self.active[place];
            let Frame {
                time,
                original_length,
                bytes,
            } = &file.next;
            self.decoder
                .frame(file.link, *time, *original_length, bytes, &mut self.output);
            if !file.fill(complaints) {
                self.active.swap_remove(place);
            }
            if !self.output.events.is_empty() {
                self.give(order, sorted);
            }
        }
        true
    }

    /// Finds when each capture begins, and closes again what would stay open for long.
    fn look_at_new(&mut self, complaints: &mut Vec<Complaint>) {
        if self.new.is_empty() {
            return;
        }
        for (place, mut file) in std::mem::take(&mut self.new).into_iter().enumerate() {
            if !file.fill(complaints) {
                continue;
            }
            file.begins = file.next.time;
            if place >= OPEN_MAX && file.is_file {
                file.capture = None;
            }
            self.waiting.push(file);
        }
        self.waiting.sort_by(|a, b| b.key().cmp(&a.key()));
    }

    /// Takes in the captures whose time has come.
    fn activate(&mut self, stop: &Stop, complaints: &mut Vec<Complaint>) {
        while let Some(file) = self.waiting.last() {
            let earliest = self.active.iter().map(|active| active.next.time).min();
            if earliest.is_some_and(|earliest| file.begins > earliest) {
                return;
            }
            let Some(mut file) = self.waiting.pop() else { return };
            let more = file.open_again(stop, complaints);
            self.extents[file.place] = file.extent.clone();
            if more {
                self.active.push(file);
            }
        }
    }

    /// The same for a single capture, whose frames need not be compared.
    fn read_only(
        &mut self,
        order: &mut OrderBuffer,
        sorted: &mut Vec<Stamped>,
        complaints: &mut Vec<Complaint>,
    ) -> bool {
        let Some(CaptureFile {
            capture: Some(capture),
            link,
            next,
            extent,
            is_counted,
            ..
        }) = self.active.first_mut()
        else {
            return false;
        };
        if next.time > Timestamp::MIN {
            self.decoder
                .frame(*link, next.time, next.original_length, &next.bytes, &mut self.output);
            next.time = Timestamp::MIN;
        }
        let mut bytes = 0;
        let mut more = true;
        for _ in 0..FRAMES {
            match capture.next_frame() {
                Ok(Some(frame)) => {
                    bytes += FRAME_HEAD_BYTES + frame.bytes.len() as u64;
                    self.decoder
                        .frame(*link, frame.time, frame.original_length, frame.bytes, &mut self.output);
                }
                Ok(None) => more = false,
                Err(failure) => {
                    complaints.push(failure.into());
                    more = false;
                }
            }
            let known_at = self.decoder.reached();
            for event in self.output.events.drain(..) {
                order.push(known_at, event, sorted);
            }
            if !more {
                break;
            }
        }
        if !*is_counted {
            extent.add(bytes);
        }
        more
    }

    fn give(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>) {
        let known_at = self.decoder.reached();
        for event in self.output.events.drain(..) {
            order.push(known_at, event, sorted);
        }
    }

    /// The captures have ended: gives the flows that are open, and the account of all frames.
    pub(super) fn end(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>) -> Tally {
        self.decoder.finish(&mut self.output);
        self.give(order, sorted);
        std::mem::take(&mut self.output.tally)
    }
}
