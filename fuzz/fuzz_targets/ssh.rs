//! Both sides of a connection in pieces of one length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::domain::{Event, Timestamp};
use stakeout::engine::decoder::application::ssh::Banners;
use stakeout::engine::decoder::application::{Piece, Side};

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else {
        return;
    };
    let mut banners = Banners::new();
    for segment in bytes.chunks(usize::from(*size) + 1) {
        for side in [Side::Originator, Side::Responder] {
            let _ = banners.piece(side, Piece::Data(segment));
        }
    }
    banners.describe(&mut Event::new(Timestamp::from_seconds(0)));
});
