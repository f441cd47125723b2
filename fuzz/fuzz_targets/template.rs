//! The template of a message of any bytes: the same whatever came before, and of bounded length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stakeout::engine::template::{MESSAGE_BYTES_MAX, Templates};

fuzz_target!(|data: &[u8]| {
    let mut templates = Templates::default();
    // The second half is the message, the first what came before it.
    let (before, message) = data.split_at(data.len() / 2);
    templates.of(before);
    let text = templates.of(message).text.to_vec();
    assert!(text.len() <= 3 * message.len().min(MESSAGE_BYTES_MAX) + 3);
    assert_eq!(Templates::default().of(message).text, text);
    if std::str::from_utf8(message).is_ok() {
        assert!(std::str::from_utf8(&text).is_ok());
    }
});
