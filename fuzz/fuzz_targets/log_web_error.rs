//! Error logs of nginx and Apache, some lines with a whole beginning.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

const PREFIXES: &[&str] = &[
    "2026/03/02 10:00:00 [error] 12#12: *3 ",
    "2026/03/02 10:00:00 [error] 12#12: *3 open() \"/srv/a\" failed (2: No such file or directory), client: ",
    "2026/03/02 10:00:00 [",
    "[Mon Mar 02 10:00:00.123456 2026] [core:error] [pid 12:tid 13] [client 10.0.0.7:4000] ",
    "[Mon Mar 02 10:00:00.123456 2026] [",
    "",
];

fuzz_target!(|data: &[u8]| {
    stakeout_fuzz::lines(Format::WebError, data);
    stakeout_fuzz::lines(Format::WebError, &stakeout_fuzz::prefixed(data, PREFIXES));
});
