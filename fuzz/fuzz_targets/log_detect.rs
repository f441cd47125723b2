//! The beginning of an input, asked for its format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::detect;

fuzz_target!(|data: &[u8]| {
    if let Some(format) = detect(data) {
        stakeout_fuzz::lines(format, data);
    }
});
