//! Captures in the formats that only libpcap knows.
//!
//! libpcap wants a file. What is compressed or comes from standard input is fed to it through a pipe by a thread that
//! ends with the input or with the capture.

use super::super::file::{Opened, SourceFailure};
use super::{Frame, Halt};
use crate::domain::Timestamp;
use pcap::{Offline, Precision};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;

/// A capture that libpcap has opened.
pub(super) struct Libpcap {
    inner: pcap::Capture<Offline>,
    link_number: u32,
    /// Keeps the pipe's end open until libpcap has its own.
    _pipe: Option<std::io::PipeReader>,
}

impl Libpcap {
    /// Opens a capture; `name` is for messages.
    pub(super) fn open(name: &str, opened: Opened) -> Result<Libpcap, SourceFailure> {
        let refused = |error: pcap::Error| SourceFailure::Capture {
            path: name.to_owned(),
            problem: format!("libpcap can't read it: {error}"),
            frames: 0,
        };
        if let Some(plain) = &opened.plain {
            let inner = pcap::Capture::from_file_with_precision(plain, Precision::Nano).map_err(refused)?;
            return Ok(Libpcap::of(inner, None));
        }
        let failed = |error| SourceFailure::Io {
            path: name.to_owned(),
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
        Ok(Libpcap::of(inner, Some(reader)))
    }

    fn of(inner: pcap::Capture<Offline>, pipe: Option<std::io::PipeReader>) -> Libpcap {
        Libpcap {
            link_number: u32::try_from(inner.get_datalink().0).unwrap_or(u32::MAX),
            inner,
            _pipe: pipe,
        }
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Halt> {
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
                    link_number: self.link_number,
                    bytes: packet.data,
                }))
            }
            Err(pcap::Error::NoMorePackets) => Ok(None),
            Err(error) => Err(Halt::Problem(format!("libpcap can't read on: {error}"))),
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
