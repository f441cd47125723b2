//! The classic pcap format, version 2.4, of either byte order, with micro- or nanoseconds.
//!
//! Specification: draft-ietf-opsawg-pcap. A file of 24 bytes of header and records of 16 bytes of header each.

use super::reader::Reader;
use super::{FRAME_BYTES_MAX, Frame, Halt};
use crate::domain::Timestamp;
use std::io::Read;

const HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;

/// What the header of the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    is_big_endian: bool,
    /// Nanoseconds in a unit of the fraction of a second.
    unit_nanos: i64,
    link_number: u32,
}

impl Header {
    /// The header of a file that begins with `head`; `None` where it is of another version or kind.
    pub(super) fn read(head: &[u8]) -> Option<Header> {
        let (header, _) = head.split_first_chunk::<HEADER_BYTES>()?;
        let [m1, m2, m3, m4, v1, v2, v3, v4, .., l1, l2, l3, l4] = *header;
        let (is_big_endian, unit_nanos) = match [m1, m2, m3, m4] {
            [0xa1, 0xb2, 0xc3, 0xd4] => (true, 1000),
            [0xa1, 0xb2, 0x3c, 0x4d] => (true, 1),
            [0xd4, 0xc3, 0xb2, 0xa1] => (false, 1000),
            [0x4d, 0x3c, 0xb2, 0xa1] => (false, 1),
            _ => return None,
        };
        let version = if is_big_endian {
            [v1, v2, v3, v4]
        } else {
            [v2, v1, v4, v3]
        };
        (version == [0, 2, 0, 4]).then(|| Header {
            is_big_endian,
            unit_nanos,
            link_number: if is_big_endian {
                u32::from_be_bytes([l1, l2, l3, l4]) & 0xffff
            } else {
                u32::from_le_bytes([l1, l2, l3, l4]) & 0xffff
            },
        })
    }
}

/// A capture in the classic format.
pub(super) struct Classic {
    reader: Reader,
    header: Header,
    is_begun: bool,
}

impl Classic {
    /// The capture whose `bytes` begin with this header.
    pub(super) fn new(bytes: Box<dyn Read + Send>, header: Header) -> Self {
        Classic {
            reader: Reader::new(bytes),
            header,
            is_begun: false,
        }
    }

    #[inline]
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Halt> {
        let here = self.reader.here().first_chunk::<RECORD_HEADER_BYTES>();
        let record = match here.filter(|_| self.is_begun) {
            Some(record) => *record,
            None => match self.next_header()? {
                Some(record) => record,
                None => return Ok(None),
            },
        };
        let record = u128::from_le_bytes(record);
        let read = |at: u32| {
            let number = (record >> at) as u32;
            if self.header.is_big_endian {
                number.swap_bytes()
            } else {
                number
            }
        };
        let (seconds, fraction, captured, original_length) = (read(0), read(32), read(64), read(96));
        if captured > FRAME_BYTES_MAX {
            return Err(too_long(captured));
        }
        let whole = RECORD_HEADER_BYTES + captured as usize;
        if !self.reader.need(whole)? {
            return Err(cut(whole, self.reader.here().len()));
        }
        let bytes = self.reader.take(whole).get(RECORD_HEADER_BYTES..).unwrap_or_default();
        let nanos = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * self.header.unit_nanos;
        Ok(Some(Frame {
            time: Timestamp::from_nanos(nanos),
            original_length,
            link_number: self.header.link_number,
            bytes,
        }))
    }

    /// The header of the next record where it is not in memory in whole, and the file's own before the first.
    #[cold]
    fn next_header(&mut self) -> Result<Option<[u8; RECORD_HEADER_BYTES]>, Halt> {
        if !self.is_begun {
            self.is_begun = true;
            self.reader.need(HEADER_BYTES)?;
            self.reader.take(HEADER_BYTES);
        }
        self.reader.need(RECORD_HEADER_BYTES)?;
        let here = self.reader.here();
        match here.first_chunk() {
            Some(record) => Ok(Some(*record)),
            None if here.is_empty() => Ok(None),
            None => Err(cut(RECORD_HEADER_BYTES, here.len())),
        }
    }
}

#[cold]
fn too_long(captured: u32) -> Halt {
    Halt::Problem(format!(
        "a frame of {captured} bytes is over {FRAME_BYTES_MAX}; the capture is damaged there"
    ))
}

#[cold]
fn cut(wanted: usize, got: usize) -> Halt {
    Halt::Problem(format!(
        "the capture is cut in the middle of a frame: {got} of its {wanted} bytes are there"
    ))
}
