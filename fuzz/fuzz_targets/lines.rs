//! Bytes in pieces of any size give the same lines as in one piece, and no line over the bound.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::lines::{Line, LineSplitter};

const LINE_BYTES_MAX: usize = 64;

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    let split = |size: usize| {
        let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
        let mut lines = Vec::new();
        let mut give = |line: Line<'_>| {
            lines.push(match line {
                Line::Whole(line) => {
                    assert!(!line.is_empty() && line.len() <= LINE_BYTES_MAX && !line.contains(&b'\n'));
                    Some(line.to_vec())
                }
                Line::TooLong => None,
            });
        };
        for piece in bytes.chunks(size) {
            splitter.feed(piece, &mut give);
        }
        splitter.finish(&mut give);
        lines
    };
    assert_eq!(split(usize::from(*size) + 1), split(bytes.len().max(1)));
});
