//! Lines of syslog, with sshd, sudo, su and PAM in them: every line is accounted for, whatever it holds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

fuzz_target!(|data: &[u8]| stakeout_fuzz::lines(Format::Syslog, data));
