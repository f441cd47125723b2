//! Zeek's logs as JSON, one object a line. The log is told by `_path` where that is written, else by its keys.

use super::json::Read;
use super::scanner::{Broken, Json, Pairs};
use super::zeek::{Record, event};
use super::zeek_kinds::Kind;

/// Reads a line as one of the log `kind`. Says `Other` when neither `_path` nor a key marks it as such.
pub(super) fn read(kind: &'static Kind, line: &str) -> Read {
    match record(kind, line) {
        Ok(Some(record)) => match event(kind, &record) {
            Ok(event) => Read::Event(event),
            Err(reason) => Read::Refused(reason),
        },
        Ok(None) => Read::Other,
        Err(broken) => Read::Refused(broken.reason()),
    }
}

fn record<'a>(kind: &'static Kind, line: &'a str) -> Result<Option<Record<'a>>, Broken> {
    let mut record = Record::new(None);
    let mut pairs = Pairs::of(line)?;
    let mut marked = false;
    // Zeek writes keys in the order of the table and leaves unset ones out, so the next key is nearly always found in
    // one or two steps from the last.
    let mut next = 0;
    while let Some((key, value)) = pairs.next()? {
        let found = find(kind, key, next);
        let Some(place) = found else {
            match (key, value) {
                ("_path", Json::Text(path)) if path != kind.path => return Ok(None),
                ("_path", _) => marked = true,
                _ => {}
            }
            continue;
        };
        next = place + 1;
        record.set(place, value.into());
        marked = marked || kind.marks.contains(&key);
    }
    Ok(marked.then_some(record))
}

#[inline]
fn find(kind: &Kind, key: &str, from: usize) -> Option<usize> {
    let (before, after) = kind.columns.split_at_checked(from)?;
    if let Some(place) = after.iter().position(|column| column.name == key) {
        return Some(from + place);
    }
    before.iter().position(|column| column.name == key)
}
