//! The first bytes of both sides, on any port.
//!
//! Input: one byte of transport and port, one of the length of the first side's bytes, then both sides' bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::decoder::application::{Opening, Transport, recognise};

const PORTS: [u16; 16] = [
    9, 21, 25, 53, 69, 88, 110, 123, 137, 502, 514, 1080, 1812, 3389, 5355, 6379,
];

fuzz_target!(|data: &[u8]| {
    let [choice, length, bytes @ ..] = data else {
        return;
    };
    let (originator, responder) = bytes.split_at(usize::from(*length).min(bytes.len()));
    let _ = recognise(&Opening {
        transport: if choice & 1 == 0 {
            Transport::Tcp
        } else {
            Transport::Udp
        },
        originator_port: 40_000,
        responder_port: PORTS[usize::from(choice >> 4)],
        originator,
        responder,
    });
});
