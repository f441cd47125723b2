//! JSON lines: Zeek, Suricata EVE, Windows events, ECS: every line is accounted for, whatever it holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

fuzz_target!(|data: &[u8]| stakeout_fuzz::lines(Format::Json, data));
