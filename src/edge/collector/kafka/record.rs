//! One record of a topic as lines, and the place behind it.

use super::super::LINE_BYTES_MAX;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Where a partition goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The offset behind the last record that was taken.
    pub(super) next: i64,
    /// That record, by which its log is known again.
    pub(super) anchor: Option<Anchor>,
}

/// A record, by what another log would not have in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    pub(super) offset: i64,
    timestamp: i64,
    content: u64,
}

impl Position {
    pub(super) fn behind(offset: i64, timestamp: i64, value: Option<&[u8]>) -> Position {
        Position {
            next: offset.saturating_add(1),
            anchor: Some(Anchor {
                offset,
                timestamp,
                content: xxh3_64(value.unwrap_or_default()),
            }),
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Position> {
        postcard::from_bytes(bytes).ok()
    }

    pub(super) fn write(&self) -> Option<Vec<u8>> {
        postcard::to_allocvec(self).ok()
    }
}

/// Adds a record's value to `lines`: a JSON document, a line of text, or several JSON documents, one a line. A line break
/// inside a document is a blank to JSON; inside a line of text it is written `#012`, as syslog's receivers write it.
/// Gives why a value can't be read.
pub fn add_lines(value: Option<&[u8]>, lines: &mut Vec<u8>) -> Result<(), &'static str> {
    let value = value.unwrap_or_default().trim_ascii();
    if value.is_empty() {
        return Err("no_value");
    }
    if value.len() > LINE_BYTES_MAX {
        return Err("too_large");
    }
    if value.contains(&b'\n') {
        let documents = || value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        if value.first() != Some(&b'{') {
            for (number, part) in documents().enumerate() {
                if number > 0 {
                    lines.extend_from_slice(b"#012");
                }
                lines.extend_from_slice(part);
            }
        } else if documents().all(|line| line.is_empty() || (line.first() == Some(&b'{') && line.last() == Some(&b'}')))
        {
            lines.extend_from_slice(value);
        } else {
            lines.extend(
                value
                    .iter()
                    .map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }),
            );
        }
    } else {
        lines.extend_from_slice(value);
    }
    lines.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &[u8], expected: Result<&str, &str>) {
        let mut lines = Vec::new();
        let added = add_lines(Some(value), &mut lines);
        let text = String::from_utf8_lossy(&lines);
        assert_eq!(
            added.map(|()| text.as_ref()),
            expected,
            "{}",
            String::from_utf8_lossy(value)
        );
    }

    #[test]
    fn a_record_is_a_line_whatever_it_holds() {
        check(b"{\"a\":1}", Ok("{\"a\":1}\n"));
        check(b"{\"a\":1}\r\n", Ok("{\"a\":1}\n"));
        check(b"{\n  \"a\": 1\n}", Ok("{   \"a\": 1 }\n"));
        check(b"{\"a\":1}\n{\"a\":2}\n", Ok("{\"a\":1}\n{\"a\":2}\n"));
        check(b"<34>1 one\n two", Ok("<34>1 one#012two\n"));
        check(b" \n", Err("no_value"));
        check(&vec![b'a'; LINE_BYTES_MAX + 1], Err("too_large"));
        assert_eq!(add_lines(None, &mut Vec::new()), Err("no_value"));
    }

    #[test]
    fn another_record_at_the_same_place_is_known() {
        let position = Position::behind(7, 1000, Some(b"a"));
        assert_eq!(position.next, 8);
        let bytes = position.write().expect("bytes");
        assert_eq!(Position::read(&bytes), Some(position));
        for other in [
            Position::behind(7, 1000, Some(b"b")),
            Position::behind(7, 1001, Some(b"a")),
        ] {
            assert_ne!(other.anchor, position.anchor);
        }
        for length in 0..bytes.len() {
            assert_eq!(Position::read(&bytes[..length]), None);
        }
    }
}
