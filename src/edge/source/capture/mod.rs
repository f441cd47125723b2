//! Captures: pcap and pcapng files, frame by frame with nanoseconds.
//!
//! The two formats are read here, in large pieces, from whatever gives bytes: a plain file, a compressed one, standard
//! input. That is half of what libpcap costs a frame, and a pcapng file may have interfaces of several link types, which
//! libpcap refuses. What else libpcap knows (the modified formats of old systems) is left to it; `tests` holds the two
//! against each other. `docs/decisions/0006-captures-are-read-here.md` has the figures.

mod classic;
mod libpcap;
mod pcapng;
mod reader;
#[cfg(test)]
mod tests;

use super::file::{Opened, SourceFailure};
use crate::domain::Timestamp;
use classic::Classic;
use libpcap::Libpcap;
use pcapng::Pcapng;
use std::path::Path;

/// The most bytes that one frame may have: what libpcap allows for all link types but those of USB.
const FRAME_BYTES_MAX: u32 = 262_144;

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was captured.
    pub time: Timestamp,
    /// Its length on the wire in bytes, which may be more than what was kept.
    pub original_length: u32,
    /// The number of the link type of its interface (`LINKTYPE_` of the tcpdump group's registry).
    pub link_number: u32,
    /// What was kept of it.
    pub bytes: &'a [u8],
}

/// Whether these are the first bytes of a pcap or pcapng file.
pub fn is_capture(head: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 7] = [
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xcd, 0x34],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    MAGICS.iter().any(|magic| head.starts_with(magic))
}

/// What stops a capture before its end.
#[derive(Debug)]
enum Halt {
    /// The bytes say something that no capture says, or end where they should not.
    Problem(String),
    /// The bytes can't be read.
    Io(std::io::Error),
}

impl From<std::io::Error> for Halt {
    fn from(error: std::io::Error) -> Self {
        Halt::Io(error)
    }
}

/// An open capture.
pub struct Capture {
    path: String,
    format: Format,
    frames: u64,
}

enum Format {
    Classic(Classic),
    Pcapng(Pcapng),
    Libpcap(Libpcap),
}

impl Capture {
    /// Opens what [`super::open`] has opened and [`is_capture`] has recognised.
    pub fn open(path: &Path, opened: Opened) -> Result<Capture, SourceFailure> {
        let name = path.display().to_string();
        let format = if opened.head.starts_with(&pcapng::MAGIC) {
            Format::Pcapng(Pcapng::new(opened.bytes))
        } else if let Some(header) = classic::Header::read(&opened.head) {
            Format::Classic(Classic::new(opened.bytes, header))
        } else {
            Format::Libpcap(Libpcap::open(&name, opened)?)
        };
        Ok(Capture {
            path: name,
            format,
            frames: 0,
        })
    }

    /// The next frame, or nothing at the end. What can't be read ends the capture, and is told once.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceFailure> {
        let frame = match &mut self.format {
            Format::Classic(classic) => classic.next_frame(),
            Format::Pcapng(pcapng) => pcapng.next_frame(),
            Format::Libpcap(libpcap) => libpcap.next_frame(),
        };
        match frame {
            Ok(frame) => {
                self.frames += u64::from(frame.is_some());
                Ok(frame)
            }
            Err(stop) => Err(failure(&self.path, self.frames, stop)),
        }
    }
}

#[cold]
fn failure(path: &str, frames: u64, stop: Halt) -> SourceFailure {
    SourceFailure::Capture {
        path: path.to_owned(),
        problem: match stop {
            Halt::Problem(problem) => problem,
            Halt::Io(error) => error.to_string(),
        },
        frames,
    }
}
