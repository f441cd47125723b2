//! Access logs in the common and combined format, some lines with a whole beginning.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

const PREFIXES: &[&str] = &[
    "10.0.0.7 - bob [02/Mar/2026:10:00:00 +0100] \"GET /",
    "10.0.0.7 - - [02/Mar/2026:10:00:00 +0100] \"GET /a HTTP/1.1\" 200 ",
    "2001:db8::7 - - [02/Mar/2026:10:00:00 +0100] \"GET /a HTTP/1.1\" 404 12 \"-\" \"",
    "10.0.0.7 - - [",
    "web.example.org:443 10.0.0.7 - - [02/Mar/2026:10:00:00 +0100] ",
    "",
];

fuzz_target!(|data: &[u8]| {
    stakeout_fuzz::lines(Format::WebAccess, data);
    stakeout_fuzz::lines(Format::WebAccess, &stakeout_fuzz::prefixed(data, PREFIXES));
});
