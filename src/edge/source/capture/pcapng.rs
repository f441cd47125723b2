//! The pcapng format: sections of either byte order, interfaces of any link types and clocks.
//!
//! Specification: draft-ietf-opsawg-pcapng. Enhanced, simple and obsolete packet blocks give frames; blocks of any other
//! kind (names, statistics, secrets) are passed over. A simple packet block has no time and is given that of the frame
//! before it.

use super::reader::Reader;
use super::{FRAME_BYTES_MAX, Frame, Halt};
use crate::domain::Timestamp;
use std::io::Read;

/// The type of a section header block, which is the first of a file and reads the same in both byte orders.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The most bytes of a block that is read: a frame, its header and its options (as libpcap has it).
const BLOCK_BYTES_MAX: u32 = 16 << 20;
/// The most interfaces of one section.
const INTERFACES_MAX: usize = 65_536;
/// Type and length before a block's body; the length stands behind it once more.
const FRONT_BYTES: usize = 8;
const BACK_BYTES: usize = 4;

/// An interface, as its description block has it.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_number: u32,
    /// The most bytes that are kept of a frame.
    snap_bytes: u32,
    clock: Clock,
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    unit: Unit,
    /// Added to every time.
    offset_seconds: i64,
}

/// What one tick of a clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// So many nanoseconds.
    Nanos(u64),
    /// A nanosecond's so-manieth part; 0 where that is beyond all counting.
    Parts(u64),
    /// A second, halved so many times.
    Halvings(u8),
}

/// A capture in the pcapng format.
pub(super) struct Pcapng {
    reader: Reader,
    is_big_endian: bool,
    interfaces: Vec<Interface>,
    last_time: Timestamp,
}

/// A frame inside of the body of its block.
struct Found {
    interface: usize,
    ticks: Option<u64>,
    original_length: u32,
    from: usize,
    captured: usize,
}

impl Pcapng {
    /// The capture whose `bytes` begin with [`MAGIC`].
    pub(super) fn new(bytes: Box<dyn Read + Send>) -> Self {
        Pcapng {
            reader: Reader::new(bytes),
            is_big_endian: false,
            interfaces: Vec::new(),
            last_time: Timestamp::from_nanos(0),
        }
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Halt> {
        loop {
            let Some((kind, length)) = self.front()? else {
                return Ok(None);
            };
            let is_read = matches!(
                kind,
                SECTION_HEADER | INTERFACE_DESCRIPTION | PACKET | SIMPLE_PACKET | ENHANCED_PACKET
            );
            if !is_read {
                if !self.reader.skip(u64::from(length))? {
                    return Err(cut(kind));
                }
                continue;
            }
            if length > BLOCK_BYTES_MAX {
                return Err(Halt::Problem(format!(
                    "a block of {length} bytes is over {BLOCK_BYTES_MAX}; the capture is damaged there"
                )));
            }
            let length = length as usize;
            if !self.reader.need(length)? {
                return Err(cut(kind));
            }
            self.check_back(length)?;
            let found = match kind {
                SECTION_HEADER => {
                    self.interfaces.clear();
                    None
                }
                INTERFACE_DESCRIPTION => {
                    self.describe(length)?;
                    None
                }
                _ => Some(self.find(kind, length)?),
            };
            let Some(found) = found else {
                self.reader.take(length);
                continue;
            };
            let Some(interface) = self.interfaces.get(found.interface).copied() else {
                return Err(Halt::Problem(format!(
                    "a frame is of interface {}, which the capture does not describe",
                    found.interface
                )));
            };
            if let Some(ticks) = found.ticks {
                self.last_time = interface.clock.time(ticks);
            }
            let block = self.reader.take(length);
            return Ok(Some(Frame {
                time: self.last_time,
                original_length: found.original_length,
                link_number: interface.link_number,
                bytes: block.get(found.from..found.from + found.captured).unwrap_or_default(),
            }));
        }
    }

    /// Type and length of the next block, which is left where it is; takes on the byte order of a section's header.
    fn front(&mut self) -> Result<Option<(u32, u32)>, Halt> {
        if !self.reader.need(FRONT_BYTES)? {
            return match self.reader.here() {
                [] => Ok(None),
                _ => Err(cut(0)),
            };
        }
        let is_section = self.reader.here().starts_with(&MAGIC);
        if is_section {
            if !self.reader.need(FRONT_BYTES + 4)? {
                return Err(cut(SECTION_HEADER));
            }
            self.is_big_endian = match self.reader.here().get(FRONT_BYTES..FRONT_BYTES + 4) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
                _ => {
                    return Err(Halt::Problem(
                        "a section has no byte order; the capture is damaged there".to_owned(),
                    ));
                }
            };
        }
        let block = self.block(FRONT_BYTES);
        let (kind, length) = (block.u32_at(0), block.u32_at(4));
        if (length as usize) < FRONT_BYTES + BACK_BYTES || length % 4 != 0 {
            return Err(Halt::Problem(format!(
                "a block claims a length of {length} bytes; the capture is damaged there"
            )));
        }
        Ok(Some((kind, length)))
    }

    fn check_back(&self, length: usize) -> Result<(), Halt> {
        let block = self.block(length);
        let (front, back) = (block.u32_at(4), block.u32_at(length - BACK_BYTES));
        if front == back {
            return Ok(());
        }
        Err(Halt::Problem(format!(
            "a block is {front} bytes long at its beginning and {back} at its end; the capture is damaged there"
        )))
    }

    /// The first bytes of what is to be read next.
    fn block(&self, length: usize) -> Block<'_> {
        Block {
            bytes: self.reader.here().get(..length).unwrap_or_default(),
            is_big_endian: self.is_big_endian,
        }
    }

    fn describe(&mut self, length: usize) -> Result<(), Halt> {
        let block = self.block(length);
        if length < FRONT_BYTES + 8 + BACK_BYTES {
            return Err(cut(INTERFACE_DESCRIPTION));
        }
        let interface = Interface {
            link_number: u32::from(block.u16_at(8)),
            snap_bytes: match block.u32_at(12) {
                0 => u32::MAX,
                bytes => bytes,
            },
            clock: block.clock(),
        };
        if self.interfaces.len() >= INTERFACES_MAX {
            return Err(Halt::Problem(format!(
                "a section describes over {INTERFACES_MAX} interfaces; the capture is damaged there"
            )));
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// Where the frame of a packet block is.
    fn find(&self, kind: u32, length: usize) -> Result<Found, Halt> {
        let block = self.block(length);
        let ticks = |at| u64::from(block.u32_at(at)) << 32 | u64::from(block.u32_at(at + 4));
        let (found, captured) = match kind {
            ENHANCED_PACKET | PACKET => {
                let interface = if kind == PACKET {
                    usize::from(block.u16_at(8))
                } else {
                    block.u32_at(8) as usize
                };
                let found = Found {
                    interface,
                    ticks: Some(ticks(12)),
                    original_length: block.u32_at(24),
                    from: 28,
                    captured: 0,
                };
                (found, block.u32_at(20))
            }
            _ => {
                let original_length = block.u32_at(8);
                let snap_bytes = self.interfaces.first().map_or(0, |interface| interface.snap_bytes);
                let found = Found {
                    interface: 0,
                    ticks: None,
                    original_length,
                    from: 12,
                    captured: 0,
                };
                (found, original_length.min(snap_bytes))
            }
        };
        let room = length.saturating_sub(found.from + BACK_BYTES);
        if captured > FRAME_BYTES_MAX || captured as usize > room {
            return Err(Halt::Problem(format!(
                "a frame of {captured} bytes does not fit its block or is over {FRAME_BYTES_MAX}; the capture is damaged there"
            )));
        }
        Ok(Found {
            captured: captured as usize,
            ..found
        })
    }
}

/// A block, or its beginning. What lies outside reads as zero.
#[derive(Clone, Copy)]
struct Block<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
}

impl Block<'_> {
    fn at<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = self
            .bytes
            .get(at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .copied()
            .unwrap_or([0; N]);
        if self.is_big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.at(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.at(at))
    }

    /// The clock that the options of an interface's description tell; microseconds where they do not.
    fn clock(&self) -> Clock {
        const END: u16 = 0;
        const RESOLUTION: u16 = 9;
        const OFFSET: u16 = 14;
        let mut clock = Clock {
            unit: Unit::Nanos(1000),
            offset_seconds: 0,
        };
        let mut at = FRONT_BYTES + 8;
        let end = self.bytes.len().saturating_sub(BACK_BYTES);
        while at + 4 <= end {
            let (code, length) = (self.u16_at(at), usize::from(self.u16_at(at + 2)));
            at += 4;
            if code == END || at + length > end {
                break;
            }
            match (code, length) {
                (RESOLUTION, 1) => clock.unit = Unit::of(self.at::<1>(at)[0]),
                (OFFSET, 8) => clock.offset_seconds = i64::from_le_bytes(self.at(at)),
                _ => {}
            }
            at += length.next_multiple_of(4);
        }
        clock
    }
}

impl Unit {
    /// The unit of an `if_tsresol`: a negative power of 10, or of 2 where the highest bit is set.
    fn of(resolution: u8) -> Unit {
        let power = resolution & 0x7f;
        if resolution & 0x80 != 0 {
            return Unit::Halvings(power);
        }
        match power.checked_sub(9) {
            None => Unit::Nanos(10u64.pow(u32::from(9 - power))),
            Some(power) => Unit::Parts(10u64.checked_pow(u32::from(power)).unwrap_or(0)),
        }
    }
}

impl Clock {
    fn time(&self, ticks: u64) -> Timestamp {
        let ticks = u128::from(ticks);
        let nanos = match self.unit {
            Unit::Nanos(nanos) => ticks * u128::from(nanos),
            Unit::Parts(parts) => ticks.checked_div(u128::from(parts)).unwrap_or(0),
            Unit::Halvings(halvings) => (ticks * 1_000_000_000) >> halvings,
        };
        let offset = i128::from(self.offset_seconds) * 1_000_000_000;
        let time = i128::try_from(nanos).unwrap_or(i128::MAX).saturating_add(offset);
        Timestamp::from_nanos(time.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }
}

#[cold]
fn cut(kind: u32) -> Halt {
    let what = match kind {
        PACKET | SIMPLE_PACKET | ENHANCED_PACKET => "a frame",
        _ => "a block",
    };
    Halt::Problem(format!("the capture is cut in the middle of {what}"))
}
