//! All captures as one stream of events: frames in the order of their time, so that a flow that a rotation has cut in
//! two stays one flow.

use super::input::Complaint;
use crate::domain::Timestamp;
use crate::edge::source::{self, Capture, Extent, Opened, Stop, open};
use crate::engine::decoder::packet::{LinkType, PacketCounters, PacketDecoder, PacketOptions};
use crate::engine::decoder::{Output, Tally};
use crate::engine::order::{OrderBuffer, Stamped};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Frames that are decoded at once.
const FRAMES: usize = 4096;
/// Captures that stay open while their time has not come.
const OPEN_MAX: usize = 64;
/// Open flows that are told at once when all captures have ended.
const FLOWS: usize = 1024;
/// A frame further ahead of its capture than this is believed if the next one agrees, as the decoder has it.
const JUMP_NANOS: i64 = 24 * 3_600 * 1_000_000_000;
/// The refusal of frames of a link type that no decoder reads.
const UNREAD_LINK_TYPE: &str = "unread_link_type";

/// A capture, with its next frames taken out to compare their times.
pub(super) struct CaptureFile {
    path: PathBuf,
    is_file: bool,
    /// Its place among the arguments.
    place: usize,
    extent: Extent,
    capture: Option<Capture>,
    /// When its first frame is due.
    begins: Timestamp,
    /// When its next frame is due, which is the greatest time that was believed.
    due: Option<Timestamp>,
    /// At most two.
    next: VecDeque<Frame>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    /// Why it could not be read to its end.
    failure: Option<Complaint>,
    /// The link types that were complained about.
    unread: Vec<u32>,
}

/// A frame that waits for its turn.
struct Frame {
    time: Timestamp,
    original_length: u32,
    link_number: u32,
    bytes: Vec<u8>,
}

impl CaptureFile {
    /// Takes what was opened as a capture.
    pub(super) fn open(path: &Path, opened: Opened) -> Result<CaptureFile, Complaint> {
        let (is_file, extent) = (opened.is_file, opened.extent.clone());
        let capture = Capture::open(path, opened)?;
        Ok(CaptureFile {
            path: path.to_path_buf(),
            is_file,
            place: 0,
            extent,
            capture: Some(capture),
            begins: Timestamp::MIN,
            due: None,
            next: VecDeque::new(),
            spare: Vec::new(),
            failure: None,
            unread: Vec::new(),
        })
    }

    /// Finds when the next frame is due. Gives whether there is one. A frame whose time jumps and is not confirmed by the
    /// next is due at once, so that it holds back neither the frames behind it nor the decoder's own judgement.
    fn look(&mut self, complaints: &mut Vec<Complaint>) -> bool {
        if self.next.is_empty() {
            self.fill();
        }
        let Some(time) = self.next.front().map(|frame| frame.time) else {
            complaints.extend(self.failure.take());
            return false;
        };
        self.due = Some(match self.due {
            Some(reached) if !is_jump(reached, time) => time.max(reached),
            reached => self.judge_jump(reached, time),
        });
        true
    }

    fn judge_jump(&mut self, reached: Option<Timestamp>, time: Timestamp) -> Timestamp {
        if self.next.len() < 2 {
            self.fill();
        }
        let second = self.next.get(1).map(|frame| frame.time);
        let is_confirmed = second.is_some_and(|second| !is_jump(time, second) && !is_jump(second, time));
        match reached {
            _ if is_confirmed => time.max(reached.unwrap_or(time)),
            Some(reached) => reached,
            None => second.map_or(time, |second| time.min(second)),
        }
    }

    /// Takes one more frame out.
    fn fill(&mut self) {
        let Some(capture) = &mut self.capture else {
            return;
        };
        match capture.next_frame() {
            Ok(Some(frame)) => {
                let mut bytes = self.spare.pop().unwrap_or_default();
                bytes.clear();
                bytes.extend_from_slice(frame.bytes);
                self.next.push_back(Frame {
                    time: frame.time,
                    original_length: frame.original_length,
                    link_number: frame.link_number,
                    bytes,
                });
            }
            Ok(None) => self.capture = None,
            Err(failure) => {
                self.failure = Some(failure.into());
                self.capture = None;
            }
        }
    }

    /// Closes a capture whose time has not come.
    fn close(&mut self) {
        self.capture = None;
        self.due = None;
        self.next.clear();
        self.spare.clear();
    }

    /// Opens what was closed until its time came. Gives whether it still has a frame.
    fn open_again(&mut self, stop: &Stop, complaints: &mut Vec<Complaint>) -> bool {
        if self.due.is_some() {
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
        self.look(complaints)
    }

    /// Decodes the next of the frames that were taken out. Gives whether there was one.
    fn decode_next(&mut self, decoding: &mut Decoding, complaints: &mut Vec<Complaint>) -> bool {
        let Some(frame) = self.next.pop_front() else {
            return false;
        };
        let is_read = decoding.frame(source::Frame {
            time: frame.time,
            original_length: frame.original_length,
            link_number: frame.link_number,
            bytes: &frame.bytes,
        });
        if !is_read {
            self.complain(frame.link_number, complaints);
        }
        self.spare.push(frame.bytes);
        true
    }

    /// Names a link type that is not read, once.
    #[cold]
    fn complain(&mut self, link_number: u32, complaints: &mut Vec<Complaint>) {
        const NAMED_MAX: usize = 8;
        if self.unread.len() < NAMED_MAX && !self.unread.contains(&link_number) {
            self.unread.push(link_number);
            complaints.push(Complaint(format!(
                "{}: link type {link_number} is not read; capture on an Ethernet, Linux cooked, raw IP or loopback interface",
                self.path.display()
            )));
        }
    }

    /// What decides whose frame is next: time, then the capture that begins first, as a rotation's parts do, then content.
    fn key(&self) -> (Option<Timestamp>, Timestamp, Option<&[u8]>) {
        let bytes = self.next.front().map(|frame| frame.bytes.as_slice());
        (self.due, self.begins, bytes)
    }
}

fn is_jump(before: Timestamp, after: Timestamp) -> bool {
    after.nanos().saturating_sub(before.nanos()) > JUMP_NANOS
}

/// The decoder of all frames, and what came out of it.
struct Decoding {
    decoder: PacketDecoder,
    output: Output,
}

impl Decoding {
    /// Decodes a frame. Gives whether its link type is one that is read.
    #[inline]
    fn frame(&mut self, frame: source::Frame<'_>) -> bool {
        if let Some(link) = LinkType::from_number(frame.link_number) {
            self.decoder
                .frame(link, frame.time, frame.original_length, frame.bytes, &mut self.output);
            return true;
        }
        self.output.tally.records += 1;
        self.output.tally.refuse(UNREAD_LINK_TYPE);
        false
    }

    /// Gives on what came out.
    #[inline]
    fn give(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>) {
        if self.output.events.is_empty() {
            return;
        }
        let known_at = self.decoder.reached();
        for event in self.output.events.drain(..) {
            order.push(known_at, event, sorted);
        }
    }
}

/// The captures that are being read, and those whose time has not come, and what decodes their frames.
pub(super) struct Wire {
    /// Not looked at yet.
    new: Vec<CaptureFile>,
    /// In the order of their beginnings, latest first.
    waiting: Vec<CaptureFile>,
    active: Vec<CaptureFile>,
    decoding: Decoding,
    extents: Vec<Extent>,
    have_ended: bool,
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
            decoding: Decoding {
                decoder: PacketDecoder::new(PacketOptions {
                    flows_max,
                    ..PacketOptions::default()
                }),
                output: Output::default(),
            },
            have_ended: false,
        }
    }

    /// What the decoder has met.
    pub(super) fn counters(&self) -> PacketCounters {
        self.decoding.decoder.counters()
    }

    /// How far the captures have been read.
    pub(super) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Decodes some frames, or tells some flows that are still open at the end. Gives whether there may be more.
    pub(super) fn read(
        &mut self,
        order: &mut OrderBuffer,
        sorted: &mut Vec<Stamped>,
        stop: &Stop,
        complaints: &mut Vec<Complaint>,
    ) -> bool {
        if self.have_ended {
            let Decoding { decoder, output } = &mut self.decoding;
            let more = decoder.finish_some(FLOWS, output);
            self.decoding.give(order, sorted);
            return more;
        }
        self.look_at_new(complaints);
        for _ in 0..FRAMES {
            self.activate(stop, complaints);
            if self.active.len() == 1 && self.waiting.is_empty() {
                self.have_ended = !self.read_only(order, sorted, complaints);
                return true;
            }
            let earliest = (0..self.active.len()).min_by(|a, b| self.active[*a].key().cmp(&self.active[*b].key()));
            let Some(place) = earliest else {
                self.have_ended = true;
                return true;
            };
            let file = &mut self.active[place];
            file.decode_next(&mut self.decoding, complaints);
            if !file.look(complaints) {
                self.active.swap_remove(place);
            }
            self.decoding.give(order, sorted);
        }
        true
    }

    /// Finds when each capture begins, and closes again what would stay open for long.
    fn look_at_new(&mut self, complaints: &mut Vec<Complaint>) {
        if self.new.is_empty() {
            return;
        }
        for (place, mut file) in std::mem::take(&mut self.new).into_iter().enumerate() {
            if !file.look(complaints) {
                continue;
            }
            file.begins = file.due.unwrap_or(Timestamp::MIN);
            if place >= OPEN_MAX && file.is_file {
                file.close();
            }
            self.waiting.push(file);
        }
        self.waiting
            .sort_by(|a, b| (b.begins, b.key()).cmp(&(a.begins, a.key())));
    }

    /// Takes in the captures whose time has come.
    fn activate(&mut self, stop: &Stop, complaints: &mut Vec<Complaint>) {
        while let Some(file) = self.waiting.last() {
            let earliest = self.active.iter().filter_map(|active| active.due).min();
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
        let Some(file) = self.active.first_mut() else {
            return false;
        };
        while file.decode_next(&mut self.decoding, complaints) {
            self.decoding.give(order, sorted);
        }
        let Some(capture) = &mut file.capture else {
            complaints.extend(file.failure.take());
            return false;
        };
        let mut unread = None;
        for _ in 0..FRAMES {
            match capture.next_frame() {
                Ok(Some(frame)) => {
                    if !self.decoding.frame(frame) {
                        unread = Some(frame.link_number);
                        break;
                    }
                }
                Ok(None) => return false,
                Err(failure) => {
                    complaints.push(failure.into());
                    return false;
                }
            }
            self.decoding.give(order, sorted);
        }
        if let Some(link_number) = unread {
            file.complain(link_number, complaints);
        }
        true
    }

    /// The captures have ended: gives the flows that are open, and the account of all frames.
    pub(super) fn end(&mut self, order: &mut OrderBuffer, sorted: &mut Vec<Stamped>) -> Tally {
        let Decoding { decoder, output } = &mut self.decoding;
        decoder.finish(output);
        self.decoding.give(order, sorted);
        std::mem::take(&mut self.decoding.output.tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Duration, Event, Field};

    const DAY: u32 = 86_400;

    /// A UDP datagram from `10.0.0.host` in Ethernet.
    fn frame(host: u8) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([
            8, 0, 0x45, 0, 0, 32, 0, host, 0, 0, 64, 17, 0, 0, 10, 0, 0, host, 10, 9, 9, 9,
        ]);
        frame.extend([0x20, 0, 0x30, 0, 0, 12, 0, 0, 1, 2, 3, 4]);
        frame
    }

    /// A classic capture of (second, host).
    fn capture(link: u32, frames: &[(u32, u8)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |number: u32| bytes.extend(number.to_le_bytes());
        [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link]
            .into_iter()
            .for_each(&mut put);
        for (second, host) in frames {
            let frame = frame(*host);
            for number in [*second, 0, frame.len() as u32, frame.len() as u32] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(frame);
        }
        bytes
    }

    /// What is told of captures: the flows' (first second, host), the account, the complaints.
    fn replay(name: &str, captures: &[Vec<u8>]) -> (Vec<(i64, String)>, Tally, Vec<String>) {
        let folder = std::env::temp_dir().join(format!("stakeout-wire-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let (mut files, mut complaints) = (Vec::new(), Vec::new());
        let stop = Stop::default();
        for (number, bytes) in captures.iter().enumerate() {
            let path = folder.join(format!("{number}.pcap"));
            std::fs::write(&path, bytes).expect("a file for the test");
            let opened = open(&path, &stop).expect("the file was just written");
            match CaptureFile::open(&path, opened) {
                Ok(file) => files.push(file),
                Err(complaint) => complaints.push(complaint),
            }
        }
        let mut wire = Wire::new(files, 1000);
        let mut order = OrderBuffer::new(0, Duration::ZERO);
        let mut sorted = Vec::new();
        while wire.read(&mut order, &mut sorted, &stop, &mut complaints) {}
        let tally = wire.end(&mut order, &mut sorted);
        order.finish(&mut sorted);
        std::fs::remove_dir_all(&folder).expect("the folder is still there");
        let told = |event: &Event| {
            let host = event.ip(Field::SourceIp).expect("a flow has a source").to_string();
            (event.start().expect("a flow has a beginning").seconds(), host)
        };
        let mut told: Vec<_> = sorted.iter().map(|stamped| told(&stamped.event)).collect();
        told.sort();
        (
            told,
            tally,
            complaints.into_iter().map(|complaint| complaint.0).collect(),
        )
    }

    fn hosts(told: &[(i64, String)]) -> Vec<(i64, &str)> {
        told.iter()
            .map(|(second, host)| (*second, host.trim_start_matches("10.0.0.")))
            .collect()
    }

    #[test]
    fn captures_are_merged_by_time_whatever_their_order_and_number() {
        let start = 1_700_000_000;
        // Each second one frame, dealt out to 200 captures that overlap or follow each other.
        for dealt in [1, 2, 67, 200] {
            let mut captures: Vec<Vec<(u32, u8)>> = vec![Vec::new(); dealt];
            for second in 0..200u32 {
                let capture = if dealt == 67 {
                    second as usize / 3
                } else {
                    second as usize % dealt
                };
                captures[capture].push((start + second, 1 + (second % 2) as u8));
            }
            captures.reverse();
            let captures: Vec<_> = captures.iter().map(|frames| capture(1, frames)).collect();
            let (told, tally, complaints) = replay(&format!("merge-{dealt}"), &captures);
            assert!(complaints.is_empty(), "{complaints:?}");
            assert_eq!((tally.records, tally.decoded), (200, 200));
            let start = i64::from(start);
            assert_eq!(hosts(&told), [(start, "1"), (start + 1, "2")], "{dealt} captures");
        }
    }

    #[test]
    fn a_frame_of_another_time_does_not_hold_back_its_capture() {
        let start = 1_700_000_000;
        for wrong in [start + 9_000 * DAY, 5] {
            for place in [0, 1, 2] {
                let mut first = vec![(start, 1), (start + 10, 1), (start + 20, 1)];
                first.insert(place, (wrong, 3));
                let second = [(start + 5, 2), (start + 15, 2), (start + 7200, 2)];
                let (told, tally, _) = replay(
                    &format!("jump-{place}-{wrong}"),
                    &[capture(1, &first), capture(1, &second)],
                );
                let start = i64::from(start);
                assert_eq!(
                    hosts(&told),
                    [(start, "1"), (start + 5, "2"), (start + 7200, "2")],
                    "{wrong} at {place}"
                );
                assert_eq!((tally.decoded, tally.refused["implausible_time"]), (6, 1));
            }
        }
    }

    #[test]
    fn a_gap_of_days_in_one_capture_waits_for_what_another_has_of_it() {
        let start = 1_700_000_000;
        let first = [(start, 1), (start + 10 * DAY, 1), (start + 10 * DAY + 5, 1)];
        let second: Vec<_> = (0..200).map(|hour| (start + 5 + hour * 3600, 2)).collect();
        let (told, tally, _) = replay("gap", &[capture(1, &first), capture(1, &second)]);
        assert_eq!((tally.records, tally.decoded), (203, 203));
        assert_eq!(told.iter().filter(|(_, host)| host == "10.0.0.1").count(), 2);
    }

    #[test]
    fn a_cut_capture_and_one_of_an_unread_link_type_are_named_and_the_rest_is_read() {
        let start = 1_700_000_000;
        let mut cut = capture(1, &[(start, 1), (start + 1, 1)]);
        cut.truncate(cut.len() - 3);
        let wireless = capture(105, &[(start, 4), (start, 4)]);
        let whole = capture(1, &[(start + 1, 2)]);
        for captures in [vec![cut.clone(), wireless.clone(), whole], vec![cut], vec![wireless]] {
            let count = captures.len();
            let (told, tally, complaints) = replay(&format!("cut-{count}-{}", captures[0].len()), &captures);
            assert_eq!(told.len() as u64, tally.decoded);
            let refused = tally.refused.get(UNREAD_LINK_TYPE).copied().unwrap_or_default();
            assert_eq!(tally.records, tally.decoded + refused);
            let has = |text: &str| complaints.iter().any(|complaint| complaint.contains(text));
            assert_eq!(
                has(
                    "reading stopped after 1 frames: the capture is cut in the middle of a frame: 59 of its 62 bytes are there"
                ),
                tally.decoded > 0,
                "{complaints:?}"
            );
            assert_eq!(has("link type 105 is not read"), refused == 2, "{complaints:?}");
            assert_eq!(complaints.len(), count.min(2));
        }
    }
}
