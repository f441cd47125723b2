//! Lines of other formats in the envelopes of Docker and journald.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use stakeout::engine::decoder::log::Format;

fuzz_target!(|data: &[u8]| {
    let mut text = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((choice, inside)) = line.split_first() else {
            continue;
        };
        let inside = String::from_utf8_lossy(inside);
        let document = match choice % 3 {
            0 => json!({ "log": inside, "stream": "stdout", "time": "2026-03-02T09:12:41.5Z" }),
            1 => {
                json!({ "__REALTIME_TIMESTAMP": "1772442761500000", "SYSLOG_IDENTIFIER": "sshd", "_HOSTNAME": "web", "MESSAGE": inside })
            }
            _ => json!({ "__REALTIME_TIMESTAMP": inside, "SYSLOG_IDENTIFIER": inside, "MESSAGE": inside.as_bytes() }),
        };
        text.extend_from_slice(document.to_string().as_bytes());
        text.push(b'\n');
    }
    stakeout_fuzz::lines(Format::Json, &text);
});
