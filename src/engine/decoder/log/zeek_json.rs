//! Zeek's logs as JSON, one object a line. The log is told by `_path` where that is written, else by its keys.

use super::json::Read;
use super::scanner::{Broken, Json, Pairs};
use super::zeek::{Reader, Record};
use super::zeek_kinds::Kind;

/// Reads a line as one of the reader's log. Says `Other` when neither `_path` nor a key marks it as such.
pub(super) fn read(reader: &Reader, line: &str) -> Read {
    let mut record = Record::new(None);
    match fill(&mut record, reader, line) {
        Ok(true) => match reader.event(&record) {
            Ok(event) => Read::Event(event),
            Err(reason) => Read::Refused(reason),
        },
        Ok(false) => Read::Other,
        Err(broken) => Read::Refused(broken.reason()),
    }
}

/// Fills the record; false when the line is not of this log.
fn fill<'a>(record: &mut Record<'a>, reader: &Reader, line: &'a str) -> Result<bool, Broken> {
    let kind = reader.kind;
    let mut pairs = Pairs::of(line)?;
    let mut marked = false;
    // Zeek writes keys in the order of the table and leaves unset ones out, so the next key is nearly always that of
    // the next column.
    let mut next = 0;
    loop {
        let expected = kind
            .columns
            .get(next)
            .is_some_and(|column| pairs.take_key(&column.quoted));
        let place = if expected {
            Some(next)
        } else {
            let Some(key) = pairs.key()? else { break };
            let place = find(kind, key, next);
            if place.is_none() && key == "_path" {
                if pairs.value()? != Json::Text(kind.path) {
                    return Ok(false);
                }
                marked = true;
                continue;
            }
            place
        };
        let value = pairs.value()?;
        if let Some(place) = place {
            record.set(place, value.into());
            marked = marked || reader.marks(place);
            next = place + 1;
        }
    }
    Ok(marked)
}

fn find(kind: &Kind, key: &str, from: usize) -> Option<usize> {
    let (before, after) = kind.columns.split_at_checked(from)?;
    if let Some(place) = after.iter().position(|column| column.name == key) {
        return Some(from + place);
    }
    before.iter().position(|column| column.name == key)
}
