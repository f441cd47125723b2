//! Both sides of a connection in pieces, some of them lost or skipped.
//!
//! Input: for each piece one byte of side and length, and its bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::domain::{Event, Timestamp};
use stakeout::engine::decoder::application::http::{Conversation, Transaction};
use stakeout::engine::decoder::application::{Piece, Side};

fn describe(transaction: Transaction) {
    transaction.describe(&mut Event::new(Timestamp::from_seconds(0)));
}

fuzz_target!(|data: &[u8]| {
    let mut conversation = Conversation::new();
    let mut rest = data;
    let mut seconds = 0;
    while let [head, behind @ ..] = rest {
        let side = if head & 1 == 0 {
            Side::Originator
        } else {
            Side::Responder
        };
        let length = usize::from(head >> 1).min(behind.len());
        let (bytes, behind) = behind.split_at(length);
        rest = behind;
        seconds += 1;
        let piece = match head {
            252.. => Piece::Lost(length as u64),
            248..=251 => Piece::Skipped(conversation.skip_bytes(side).min(length as u64)),
            _ => Piece::Data(bytes),
        };
        let _ = conversation.piece(side, piece, Timestamp::from_seconds(seconds), describe);
    }
    conversation.finish(Timestamp::from_seconds(seconds), describe);
});
