//! Both sides of a handshake, as a stream and as datagrams.
//!
//! Input: for each piece one byte of side and length, and its bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::domain::{Event, Timestamp};
use stakeout::engine::decoder::application::tls::Handshake;
use stakeout::engine::decoder::application::{Piece, Side};

fuzz_target!(|data: &[u8]| {
    let mut stream = Handshake::new();
    let mut datagrams = Handshake::new();
    let mut rest = data;
    while let [head, behind @ ..] = rest {
        let side = if head & 1 == 0 {
            Side::Originator
        } else {
            Side::Responder
        };
        let length = (usize::from(head >> 1) * 4).min(behind.len());
        let (piece, behind) = behind.split_at(length);
        rest = behind;
        let lost = *head > 250;
        let _ = stream.piece(
            side,
            if lost {
                Piece::Lost(length as u64)
            } else {
                Piece::Data(piece)
            },
        );
        let _ = datagrams.datagram(side, piece);
    }
    for handshake in [stream, datagrams] {
        handshake.describe(&mut Event::new(Timestamp::from_seconds(0)));
    }
});
