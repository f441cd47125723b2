//! Captures: pcap and pcapng files through libpcap, frame by frame with nanoseconds.
//!
//! libpcap wants a file. What is compressed or comes from standard input is fed to it through a pipe by a thread that
//! ends with the input or with the capture.

use super::file::{Opened, SourceFailure};
use crate::domain::Timestamp;
use pcap::{Offline, Precision};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When it was captured.
    pub time: Timestamp,
    /// Its length on the wire in bytes, which may be more than what was kept.
    pub original_length: u32,
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

/// An open capture.
pub struct Capture {
    path: String,
    inner: pcap::Capture<Offline>,
    /// Keeps the pipe's end open until libpcap has its own.
    _pipe: Option<std::io::PipeReader>,
}

impl Capture {
    /// Opens what [`super::open`] has opened and [`is_capture`] has recognised.
    pub fn open(path: &Path, opened: Opened) -> Result<Capture, SourceFailure> {
        let name = path.display().to_string();
        let refused = |error: pcap::Error| SourceFailure::Capture {
            path: name.clone(),
            problem: error.to_string(),
        };
        if let Some(plain) = &opened.plain {
            let inner = pcap::Capture::from_file_with_precision(plain, Precision::Nano).map_err(refused)?;
            return Ok(Capture {
                path: name,
                inner,
                _pipe: None,
            });
        }
        let failed = |error| SourceFailure::Io {
            path: name.clone(),
            error,
        };
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let mut bytes = opened.bytes;
        std::thread::Builder::new()
            .name("unpack".to_owned())
            .spawn(move || feed(&mut bytes, writer))
            .map_err(failed)?;
        let end = format!("/dev/fd/{}", reader.as_raw_fd());
        let inner = pcap::Capture::from_file_with_precision(end, Precision::Nano).map_err(refused)?;
        Ok(Capture {
            path: name,
            inner,
            _pipe: Some(reader),
        })
    }

    /// The number of the link type (`LINKTYPE_` of the tcpdump group's registry).
    pub fn link_type(&self) -> i32 {
        self.inner.get_datalink().0
    }

    /// The next frame, or nothing at the end. A capture that is cut in the middle of a frame is an error, told once.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceFailure> {
        match self.inner.next_packet() {
            Ok(packet) => {
                let header = packet.header;
                // With nanosecond precision libpcap keeps nanoseconds in tv_usec.
                let nanos = header
                    .ts
                    .tv_sec
                    .saturating_mul(1_000_000_000)
                    .saturating_add(header.ts.tv_usec);
                Ok(Some(Frame {
                    time: Timestamp::from_nanos(nanos),
                    original_length: header.len,
                    bytes: packet.data,
                }))
            }
            Err(pcap::Error::NoMorePackets) => Ok(None),
            Err(error) => Err(SourceFailure::Capture {
                path: self.path.clone(),
                problem: error.to_string(),
            }),
        }
    }
}

/// Copies until the input ends or the other end of the pipe is closed. A broken input ends early, which libpcap then
/// tells as a cut capture.
fn feed(bytes: &mut dyn std::io::Read, mut writer: std::io::PipeWriter) {
    let mut buffer = vec![0u8; 256 * 1024];
    while let Ok(count @ 1..) = bytes.read(&mut buffer) {
        if writer.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
