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
            link_number: number(is_big_endian, [l1, l2, l3, l4]) & 0xffff,
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
        if !self.is_begun {
            self.is_begun = true;
            self.reader.need(HEADER_BYTES)?;
            self.reader.take(HEADER_BYTES);
        }
        if !self.reader.need(RECORD_HEADER_BYTES)? {
            return match self.reader.here().len() {
                0 => Ok(None),
                rest => Err(cut(RECORD_HEADER_BYTES, rest)),
            };
        }
        let Some((record, _)) = self.reader.here().split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return Ok(None);
        };
        let [s1, s2, s3, s4, f1, f2, f3, f4, c1, c2, c3, c4, o1, o2, o3, o4] = *record;
        let read = |bytes| number(self.header.is_big_endian, bytes);
        let (seconds, fraction) = (read([s1, s2, s3, s4]), read([f1, f2, f3, f4]));
        let (captured, original_length) = (read([c1, c2, c3, c4]), read([o1, o2, o3, o4]));
        if captured > FRAME_BYTES_MAX {
            return Err(Halt::Problem(format!(
                "a frame of {captured} bytes is over {FRAME_BYTES_MAX}; the capture is damaged there"
            )));
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
}

#[cold]
fn cut(wanted: usize, got: usize) -> Halt {
    Halt::Problem(format!(
        "the capture is cut in the middle of a frame: {got} of its {wanted} bytes are there"
    ))
}

#[inline]
fn number(is_big_endian: bool, bytes: [u8; 4]) -> u32 {
    if is_big_endian {
        u32::from_be_bytes(bytes)
    } else {
        u32::from_le_bytes(bytes)
    }
}
