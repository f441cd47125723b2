//! What goes over the topics between processes that share the work: JSON, one object a record, so that `kcat` shows what
//! passes. `docs/wire.md` describes it. Each record names its version; one that is not known is refused, never guessed.
//!
//! What must come back bit for bit and is nobody's to read, a finding's numbers or a summary, stands as base64 beside the
//! words for a person.

mod event;
mod finding;

pub use event::{EventRecord, read_event, write_event, write_mark};
pub use finding::{FindingRecord, FindingWords, read_finding, write_finding, write_passed};

/// The newest version.
pub const VERSION: u64 = 1;

/// Why a record can't be read; a word of a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It has no value.
    NoValue,
    /// Its value is no JSON, or none of this form.
    BadJson,
    /// A newer program has written it.
    UnknownVersion,
    /// What it says can't be.
    Impossible,
}

impl Unreadable {
    /// The word.
    pub const fn word(self) -> &'static str {
        match self {
            Unreadable::NoValue => "no_value",
            Unreadable::BadJson => "bad_json",
            Unreadable::UnknownVersion => "unknown_version",
            Unreadable::Impossible => "impossible",
        }
    }
}

/// Appends text as JSON writes it, in quotes.
fn put_text(text: &str, line: &mut Vec<u8>) {
    line.push(b'"');
    let mut from = 0;
    for (place, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => {
                line.extend_from_slice(&text.as_bytes()[from..place]);
                line.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                from = place + 1;
                continue;
            }
            _ => continue,
        };
        line.extend_from_slice(&text.as_bytes()[from..place]);
        line.extend_from_slice(escape);
        from = place + 1;
    }
    line.extend_from_slice(&text.as_bytes()[from..]);
    line.push(b'"');
}
