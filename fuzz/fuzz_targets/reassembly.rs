//! Segments in any order with any overlap: what comes out is bounded, in order, and no byte comes twice.
//!
//! Input: for each segment two bytes of distance and one of length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::application::{Piece, Stream};

fuzz_target!(|data: &[u8]| {
    let mut stream = Stream::new();
    // Close to where sequence numbers wrap.
    let begin = u32::MAX - 20_000;
    stream.begin(begin);
    let mut position = 0u64;
    let mut consume = |piece: Piece<'_>| match piece {
        Piece::Data(bytes) => {
            for byte in bytes {
                assert_eq!(u64::from(*byte), position % 251);
                position += 1;
            }
        }
        Piece::Skipped(bytes) | Piece::Lost(bytes) => position += bytes,
    };
    for chunk in data.chunks_exact(3) {
        let distance = u16::from_be_bytes([chunk[0], chunk[1]]);
        let length = u64::from(chunk[2]) * 8;
        let sequence = begin.wrapping_add(u32::from(distance));
        match chunk[2] {
            0 => stream.acknowledged(sequence, &mut consume),
            255 => stream.skip(u64::from(distance)),
            _ => {
                let payload: Vec<u8> = (0..length).map(|at| ((u64::from(distance) + at) % 251) as u8).collect();
                stream.segment(sequence, &payload, &mut consume);
            }
        }
        assert!(stream.held_bytes() <= Stream::HELD_BYTES_MAX);
    }
    stream.finish(&mut consume);
    assert_eq!(stream.held_bytes(), 0);
    assert_eq!(stream.passed_bytes(), position);
});
