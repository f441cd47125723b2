//! The reader against libpcap, on recordings and on files that are damaged at random; and what libpcap can't read.

use super::*;
use crate::edge::source::{Stop, open};
use std::io::Cursor;
use std::path::PathBuf;

type Frames = Vec<(i64, u32, u32, Vec<u8>)>;

/// All frames, and what stopped the reading if that is not the end.
fn read_all(mut format: impl FnMut() -> Result<Option<(i64, u32, u32, Vec<u8>)>, Halt>) -> (Frames, Option<String>) {
    let mut frames = Vec::new();
    loop {
        match format() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(Halt::Problem(problem)) => return (frames, Some(problem)),
            Err(Halt::Io(error)) => return (frames, Some(error.to_string())),
        }
    }
}

fn owned(frame: Frame<'_>) -> (i64, u32, u32, Vec<u8>) {
    (
        frame.time.nanos(),
        frame.original_length,
        frame.link_number,
        frame.bytes.to_vec(),
    )
}

/// What is read of a file, whose bytes come in pieces of `piece_bytes`.
fn here(bytes: &[u8], piece_bytes: usize) -> (Frames, Option<String>) {
    let stream = Box::new(Pieces {
        bytes: Cursor::new(bytes.to_vec()),
        piece_bytes,
    });
    if bytes.starts_with(&pcapng::MAGIC) {
        let mut capture = Pcapng::new(stream);
        return read_all(|| Ok(capture.next_frame()?.map(owned)));
    }
    let Some(header) = classic::Header::read(bytes) else {
        return (Vec::new(), Some("not a capture".to_owned()));
    };
    let mut capture = Classic::new(stream, header);
    read_all(|| Ok(capture.next_frame()?.map(owned)))
}

struct Pieces {
    bytes: Cursor<Vec<u8>>,
    piece_bytes: usize,
}

impl std::io::Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.piece_bytes);
        std::io::Read::read(&mut self.bytes, &mut buffer[..count])
    }
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("stakeout-capture-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).expect("a file for the test");
    path
}

fn of_libpcap(name: &str, bytes: &[u8]) -> (Frames, Option<String>) {
    let path = file(name, bytes);
    let opened = open(&path, &Stop::default()).expect("the file was just written");
    let read = match Libpcap::open("it", opened) {
        Ok(mut capture) => read_all(|| Ok(capture.next_frame()?.map(owned))),
        Err(failure) => (Vec::new(), Some(failure.to_string())),
    };
    std::fs::remove_file(path).expect("the file is still there");
    read
}

fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Bytes of one byte order.
struct Writer {
    bytes: Vec<u8>,
    is_big_endian: bool,
}

impl Writer {
    fn new(is_big_endian: bool) -> Writer {
        Writer {
            bytes: Vec::new(),
            is_big_endian,
        }
    }

    fn put(&mut self, mut bytes: Vec<u8>) {
        if self.is_big_endian {
            bytes.reverse();
        }
        self.bytes.extend(bytes);
    }

    fn u16(&mut self, number: u16) -> &mut Self {
        self.put(number.to_le_bytes().to_vec());
        self
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.put(number.to_le_bytes().to_vec());
        self
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.put(number.to_le_bytes().to_vec());
        self
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn padded(&mut self, bytes: &[u8]) -> &mut Self {
        self.raw(bytes)
            .raw(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Writer)) -> &mut Self {
        let mut inner = Writer::new(self.is_big_endian);
        body(&mut inner);
        let length = inner.bytes.len() as u32 + 12;
        self.u32(kind).u32(length).raw(&inner.bytes).u32(length)
    }

    fn section(&mut self) -> &mut Self {
        self.block(0x0a0d_0d0a, |body| {
            body.u32(0x1a2b_3c4d).u16(1).u16(0).u64(u64::MAX);
        })
    }

    /// An interface; `options` are (code, value).
    fn interface(&mut self, link: u16, options: &[(u16, &[u8])]) -> &mut Self {
        self.block(1, |body| {
            body.u16(link).u16(0).u32(65_535);
            for (code, value) in options {
                body.u16(*code).u16(value.len() as u16).padded(value);
            }
            if !options.is_empty() {
                body.u32(0);
            }
        })
    }

    fn enhanced(&mut self, interface: u32, ticks: u64, original_length: u32, frame: &[u8]) -> &mut Self {
        self.block(6, |body| {
            body.u32(interface).u32((ticks >> 32) as u32).u32(ticks as u32);
            body.u32(frame.len() as u32).u32(original_length).padded(frame);
        })
    }
}

fn classic_file(is_big_endian: bool, is_nano: bool, frames: usize, seed: &mut u64) -> Vec<u8> {
    let mut writer = Writer::new(is_big_endian);
    writer.u32(if is_nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 });
    writer.u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(1);
    for number in 0..frames {
        let length = (random(seed) % 200) as usize;
        writer
            .u32(1_700_000_000 + number as u32)
            .u32((random(seed) % 1_000_000) as u32);
        writer
            .u32(length as u32)
            .u32(length as u32 + 5)
            .raw(&vec![number as u8; length]);
    }
    writer.bytes
}

fn block_file(is_big_endian: bool, frames: usize, seed: &mut u64) -> Vec<u8> {
    let mut writer = Writer::new(is_big_endian);
    writer
        .section()
        .interface(1, &[])
        .interface(1, &[(9, &[9]), (2, b"eth1")]);
    for number in 0..frames {
        let frame = vec![number as u8; (random(seed) % 200) as usize];
        let nanos = 1_700_000_000_000_000_000 + random(seed) % 1_000_000_000;
        match number % 4 {
            0 => writer.enhanced(0, nanos / 1000, 300, &frame),
            1 => writer.enhanced(1, nanos, 300, &frame),
            // Statistics of an interface, and names.
            2 => writer.block(5, |body| {
                body.u32(0).u64(nanos);
            }),
            _ => writer.block(4, |body| {
                body.u32(0);
            }),
        };
    }
    writer.bytes
}

#[test]
fn frames_are_those_of_libpcap_in_every_byte_order_and_unit_and_at_any_cut() {
    let mut seed = 7;
    let mut files = vec![block_file(true, 12, &mut seed), block_file(false, 12, &mut seed)];
    for is_big_endian in [true, false] {
        for is_nano in [true, false] {
            files.push(classic_file(is_big_endian, is_nano, 9, &mut seed));
        }
    }
    for bytes in files {
        let whole = of_libpcap("whole", &bytes);
        assert!(whole.0.len() >= 5 && whole.1.is_none(), "{whole:?}");
        for piece_bytes in [1, 7, 1 << 20] {
            assert_eq!(here(&bytes, piece_bytes), whole);
        }
        for cut in (24..bytes.len()).step_by(3) {
            let cut_bytes = &bytes[..cut];
            let (frames, problem) = here(cut_bytes, 4096);
            let (expected, expected_problem) = of_libpcap("cut", cut_bytes);
            assert_eq!(frames, expected, "cut at {cut}");
            // libpcap takes a file that ends inside of a record's header for a whole one.
            assert!(problem.is_some() >= expected_problem.is_some(), "cut at {cut}");
        }
    }
}

#[test]
fn damaged_files_give_the_frames_that_libpcap_gives_and_end() {
    let mut seed = 11;
    for round in 0..600 {
        let mut bytes = if round % 2 == 0 {
            classic_file(round % 4 == 0, false, 6, &mut seed)
        } else {
            block_file(round % 4 == 1, 8, &mut seed)
        };
        for _ in 0..1 + round % 3 {
            let place = random(&mut seed) as usize % bytes.len();
            // Neither the magic number, nor the version, which choose the reader.
            if place >= 24 {
                bytes[place] = random(&mut seed) as u8;
            }
        }
        let (frames, _) = here(&bytes, 4096);
        let (expected, _) = of_libpcap("damaged", &bytes);
        // Both read the same up to the damage; beyond it one may go on where the other gives up.
        let agreed = frames.len().min(expected.len());
        for (ours, theirs) in frames[..agreed].iter().zip(&expected) {
            assert_eq!(ours.3, theirs.3, "round {round}");
        }
    }
}

#[test]
fn recordings_are_read_as_libpcap_reads_them() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut captures = 0;
    for entry in std::fs::read_dir(fixtures).expect("the folder of fixtures").flatten() {
        let path = entry.path().join("capture.pcap.gz");
        if captures == 3 || !path.exists() {
            continue;
        }
        captures += 1;
        let mut ours = Capture::open(&path, open(&path, &Stop::default()).expect("a recording")).expect("a capture");
        let mut theirs = Libpcap::open("it", open(&path, &Stop::default()).expect("a recording")).expect("a capture");
        loop {
            let (ours, theirs) = (
                ours.next_frame().expect("a whole recording"),
                theirs.next_frame().expect("a whole recording"),
            );
            assert_eq!(ours, theirs);
            if ours.is_none() {
                break;
            }
        }
    }
    assert_eq!(captures, 3);
}

#[test]
fn interfaces_have_link_types_and_clocks_of_their_own() {
    let seconds = 1_700_000_000u64;
    let mut writer = Writer::new(false);
    writer
        .section()
        .interface(1, &[])
        .interface(101, &[(9, &[9])])
        .interface(113, &[(9, &[0x80 | 10])])
        .interface(1, &[(9, &[12]), (14, &(-3600i64).to_le_bytes())])
        .interface(1, &[(9, &[0]), (14, &seconds.to_le_bytes())])
        .enhanced(0, seconds * 1_000_000 + 5, 60, b"micro")
        .enhanced(1, seconds * 1_000_000_000 + 5, 60, b"nano")
        .enhanced(2, seconds * 1024 + 512, 60, b"binary")
        .enhanced(3, 7_200_000_000_000_123, 60, b"pico")
        .enhanced(4, 7, 60, b"second")
        // The time of the frame before it; only as many bytes as it had.
        .block(3, |body| {
            body.u32(6).padded(b"simple");
        })
        // The obsolete packet block.
        .block(2, |body| {
            body.u16(1).u16(0).u32(0).u32(9).u32(3).u32(60).padded(b"old");
        });
    // A second section, of the other byte order, with interfaces of its own.
    let mut second = Writer::new(true);
    second
        .section()
        .interface(276, &[])
        .enhanced(0, seconds * 1_000_000, 60, b"other");
    writer.raw(&second.bytes);
    let nanos = |nanos: i64| seconds as i64 * 1_000_000_000 + nanos;
    let (frames, problem) = here(&writer.bytes, 64);
    assert_eq!(problem, None);
    let read: Vec<_> = frames
        .iter()
        .map(|(time, length, link, bytes)| (*time, *length, *link, std::str::from_utf8(bytes).expect("text")))
        .collect();
    assert_eq!(
        read,
        [
            (nanos(5000), 60, 1, "micro"),
            (nanos(5), 60, 101, "nano"),
            (nanos(500_000_000), 60, 113, "binary"),
            (3_600_000_000_000, 60, 1, "pico"),
            (nanos(7_000_000_000), 60, 1, "second"),
            (nanos(7_000_000_000), 6, 1, "simple"),
            (9, 60, 101, "old"),
            (nanos(0), 60, 276, "other"),
        ]
    );
}

#[test]
fn what_no_capture_says_is_named() {
    let good = |writer: &mut Writer| {
        writer.section().interface(1, &[]);
    };
    let check = |write: &dyn Fn(&mut Writer), expected: &str| {
        let mut writer = Writer::new(false);
        write(&mut writer);
        let (_, problem) = here(&writer.bytes, 4096);
        assert!(
            problem.as_deref().is_some_and(|problem| problem.contains(expected)),
            "{problem:?}"
        );
    };
    check(
        &|writer| {
            writer.block(0x0a0d_0d0a, |body| {
                body.u32(1);
            });
        },
        "no byte order",
    );
    check(
        &|writer| {
            good(writer);
            writer.u32(6).u32(7);
        },
        "a length of 7 bytes",
    );
    check(
        &|writer| {
            good(writer);
            writer.u32(6).u32(1 << 30);
        },
        "over 16777216",
    );
    check(
        &|writer| {
            good(writer);
            writer.u32(1).u32(20).u64(0).u32(24);
        },
        "20 bytes long at its beginning and 24",
    );
    check(
        &|writer| {
            good(writer);
            writer.enhanced(3, 0, 4, b"four");
        },
        "of interface 3",
    );
    check(
        &|writer| {
            good(writer);
            writer.block(6, |body| {
                body.u32(0).u64(0).u32(5).u32(5).raw(b"four");
            });
        },
        "does not fit its block",
    );
    let mut bytes = classic_file(false, false, 1, &mut 3);
    bytes[32..36].copy_from_slice(&300_000u32.to_le_bytes());
    assert_eq!(
        here(&bytes, 4096).1.as_deref(),
        Some("a frame of 300000 bytes is over 262144; the capture is damaged there")
    );
    // A block of an unknown kind may be longer than what is held in memory at once, and may be cut.
    let mut writer = Writer::new(false);
    good(&mut writer);
    writer.block(0x0bad, |body| {
        body.raw(&vec![7; 1 << 20]);
    });
    writer.enhanced(0, 0, 4, b"four");
    assert_eq!(here(&writer.bytes, 4096).0.len(), 1);
    assert_eq!(
        here(&writer.bytes[..1 << 19], 4096).1.as_deref(),
        Some("the capture is cut in the middle of a block")
    );
}
