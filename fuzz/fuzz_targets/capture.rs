//! Files that begin like a pcap or pcapng file: reading ends, whatever they hold, and gives no more frames than fit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::edge::source::{Capture, Extent, Opened, is_capture};
use std::io::Cursor;
use std::path::Path;

/// Magic numbers of formats that libpcap would read are left out: it is not what is tested here.
const MAGICS: [&[u8]; 5] = [
    &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0],
    &[0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4],
    &[0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0],
    &[0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4],
    &[0x0a, 0x0d, 0x0d, 0x0a],
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let mut bytes = MAGICS[usize::from(*choice) % MAGICS.len()].to_vec();
    bytes.extend_from_slice(rest);
    bytes.resize(bytes.len().max(24), 0);
    assert!(is_capture(&bytes));
    let file_bytes = bytes.len();
    let opened = Opened {
        head: bytes.clone(),
        bytes: Box::new(Cursor::new(bytes)),
        plain: None,
        is_file: false,
        extent: Extent::default(),
    };
    let mut capture = Capture::open(Path::new("fuzz"), opened).expect("these formats need nothing but their magic");
    let (mut frames, mut frame_bytes) = (0, 0);
    while let Ok(Some(frame)) = capture.next_frame() {
        frames += 1;
        frame_bytes += frame.bytes.len();
    }
    assert!(frame_bytes + 12 * frames <= file_bytes);
});
