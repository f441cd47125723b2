//! Lines of any program, as they are and behind times that are read: every line is accounted for, whatever it holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

const PREFIXES: &[&str] = &["2026-03-02 09:12:41,123 INFO ", "[2026/03/02T09:12:41.5 ", "26/03/02 09:12:41"];

fuzz_target!(|data: &[u8]| {
    stakeout_fuzz::lines(Format::Text, data);
    stakeout_fuzz::lines(Format::Text, &stakeout_fuzz::prefixed(data, PREFIXES));
});
