//! What the fuzz targets of all log formats share.

use stakeout::domain::Timestamp;
use stakeout::engine::decoder::Output;
use stakeout::engine::decoder::log::{Format, LineContext};

/// Reads the bytes line by line as this format; every line must be decoded, ignored or refused, and be so once.
pub fn lines(format: Format, data: &[u8]) {
    let mut decoder = format.decoder(LineContext {
        year: 2026,
        offset_minutes: 60,
    });
    let mut output = Output::default();
    for (number, line) in data.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            // An empty line stands for time that passes.
            decoder.advance(Timestamp::from_seconds(1_700_000_000 + 10 * number as i64), &mut output);
            continue;
        }
        decoder.line(line, &mut output);
    }
    decoder.finish(&mut output);
    let tally = &output.tally;
    let told = tally.decoded + tally.ignored.values().sum::<u64>() + tally.refused.values().sum::<u64>();
    assert_eq!(tally.records, told, "{tally:?}");
}

/// Reads bytes as JSON documents with keys that readers know, and gives their lines.
///
/// Each pair of a document is one byte that chooses its key, one for the form and length of its value, and the value's bytes;
/// a document ends after so many pairs as its first byte says. A key `a.b` is key `b` of the object at `a`.
pub fn documents(data: &[u8], always: &[(&str, &str)], keys: &[&str]) -> Vec<u8> {
    objects(data, always, keys, put)
}

/// As [`documents`], with dots in keys as they are.
pub fn flat_documents(data: &[u8], always: &[(&str, &str)], keys: &[&str]) -> Vec<u8> {
    objects(data, always, keys, |document, key, value| {
        document.insert(key.to_owned(), value);
    })
}

type Put = fn(&mut serde_json::Map<String, serde_json::Value>, &str, serde_json::Value);

fn objects(data: &[u8], always: &[(&str, &str)], keys: &[&str], put: Put) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut rest = data;
    while let [pairs, behind @ ..] = rest {
        rest = behind;
        let mut document = serde_json::Map::new();
        for (key, value) in always {
            let value = serde_json::from_str(value).expect("the target's own JSON");
            put(&mut document, key, value);
        }
        for _ in 0..usize::from(*pairs % 24) {
            let [key, form, behind @ ..] = rest else { break };
            let (bytes, behind) = behind.split_at(usize::from(*form >> 2).min(behind.len()));
            rest = behind;
            let text = String::from_utf8_lossy(bytes).into_owned();
            let value = match form & 3 {
                // Whatever parses: numbers, lists, objects, null.
                0 => serde_json::from_str(&text).unwrap_or_default(),
                1 => vec![text.as_str(), "second"].into(),
                _ => text.into(),
            };
            put(&mut document, keys[usize::from(*key) % keys.len()], value);
        }
        lines.extend_from_slice(serde_json::Value::from(document).to_string().as_bytes());
        lines.push(b'\n');
    }
    lines
}

fn put(document: &mut serde_json::Map<String, serde_json::Value>, key: &str, value: serde_json::Value) {
    let Some((head, tail)) = key.split_once('.') else {
        document.insert(key.to_owned(), value);
        return;
    };
    let inner = document.entry(head).or_insert_with(|| serde_json::Map::new().into());
    match inner.as_object_mut() {
        Some(inner) => put(inner, tail, value),
        None => *inner = value,
    }
}

/// Puts a beginning that the first byte of each line chooses before the rest of the line.
pub fn prefixed(data: &[u8], prefixes: &[&str]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Some((choice, rest)) = line.split_first() {
            text.extend_from_slice(prefixes[usize::from(*choice) % prefixes.len()].as_bytes());
            text.extend_from_slice(rest);
            text.push(b'\n');
        }
    }
    text
}
