//! One message. Behind the first byte stand the options, or the whole message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::domain::{Event, Timestamp};
use stakeout::engine::decoder::application::dhcp::Message;

fuzz_target!(|data: &[u8]| {
    let describe = |bytes: &[u8]| {
        if let Ok(message) = Message::parse(bytes) {
            message.describe(&mut Event::new(Timestamp::from_seconds(0)));
        }
    };
    describe(data);
    // The magic cookie is hard to guess.
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[1, 1, 6]);
    message[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    message.extend_from_slice(data);
    describe(&message);
});
