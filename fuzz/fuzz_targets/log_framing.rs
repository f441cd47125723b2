//! Framing of syslog: RFC 3164, RFC 5424 with structured data, what rsyslog and journald write, with beginnings of each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::log::Format;

const PREFIXES: &[&str] = &[
    "<34>1 ",
    "<34>1 2026-03-02T09:12:41.5Z web su 12 ID [a@1 b=\"",
    "<34>1 2026-03-02T09:12:41Z web ",
    "<34>Mar  2 09:12:41 ",
    "<",
    "Mar  2 09:12:41 web ",
    "Feb 29 ",
    "2026-03-02T09:12:41.123456+01:00 web ",
    "2026-03-02T",
    "",
];

fuzz_target!(|data: &[u8]| {
    stakeout_fuzz::lines(Format::Syslog, &stakeout_fuzz::prefixed(data, PREFIXES));
});
