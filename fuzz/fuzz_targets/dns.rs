//! One message, and the same bytes as datagrams and as a stream of a conversation.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::domain::{Event, Timestamp};
use stakeout::engine::decoder::application::dns::{Conversation, Exchange, Message};
use stakeout::engine::decoder::application::{Piece, Side};

fn describe(exchange: Exchange<'_>) {
    exchange.describe(&mut Event::new(Timestamp::from_seconds(0)));
}

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Message::parse(data) {
        message.describe(&mut Event::new(Timestamp::from_seconds(0)));
    }
    let mut datagrams = Conversation::new();
    let mut stream = Conversation::new();
    let size = usize::from(data.first().copied().unwrap_or(0)) + 1;
    for (number, segment) in data.chunks(size).enumerate() {
        let time = Timestamp::from_seconds(number as i64);
        let side = if number % 3 == 0 {
            Side::Responder
        } else {
            Side::Originator
        };
        let _ = datagrams.datagram(segment, time, describe);
        let _ = stream.piece(side, Piece::Data(segment), time, describe);
    }
    datagrams.finish(Timestamp::from_seconds(1_000_000), describe);
    stream.finish(Timestamp::from_seconds(1_000_000), describe);
});
