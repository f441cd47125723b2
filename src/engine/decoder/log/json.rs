//! JSON lines of every kind: tells each line's kind from its keys and hands it to that kind's reader. A file may mix
//! kinds; the last one is tried first.

use super::scanner::{Broken, Json, Pairs};
use super::zeek::{Reader, place_of_path};
use super::zeek_kinds::{KINDS, OTHER_MARKS};
use super::{LineDecoder, ecs, eve, windows, zeek_json};
use crate::domain::{Event, Timestamp};
use crate::engine::decoder::Output;

/// Reads lines that hold one JSON object each: Zeek's logs, Suricata's EVE, Windows events, and ECS.
#[derive(Debug)]
pub struct JsonLines {
    last: Option<Family>,
    /// The readers of Zeek's logs, as they stand in the table of kinds.
    zeek: Vec<Reader>,
}

/// Whose JSON a line is.
#[derive(Clone, Copy, Debug)]
enum Family {
    /// By the log's place in the table of kinds.
    Zeek(usize),
    Eve,
    Windows,
    Ecs,
}

/// What a reader has made of a line.
pub(super) enum Read {
    /// An event.
    Event(Event),
    /// The line is not of the kind that the reader reads.
    Other,
    /// The line is well formed and says nothing that is watched; the word for the tally.
    Ignored(&'static str),
    /// The line can't be read; the reason for the tally.
    Refused(&'static str),
}

impl From<Broken> for Read {
    fn from(broken: Broken) -> Self {
        Read::Refused(broken.reason())
    }
}

impl Default for JsonLines {
    fn default() -> Self {
        Self::new()
    }
}

impl JsonLines {
    /// A decoder that has seen no line yet.
    pub fn new() -> Self {
        JsonLines {
            last: None,
            zeek: KINDS.iter().map(Reader::new).collect(),
        }
    }

    fn read(&mut self, text: &str) -> Read {
        if let Some(family) = self.last {
            match self.read_as(family, text) {
                Read::Other => {}
                read => return read,
            }
        }
        match told_by_keys(text) {
            Ok(Told::Family(family)) => {
                self.last = Some(family);
                self.read_as(family, text)
            }
            Ok(Told::OtherZeek) => Read::Ignored("zeek_other"),
            Ok(Told::Unknown) => Read::Refused("unknown_json"),
            Err(broken) => broken.into(),
        }
    }

    fn read_as(&self, family: Family, text: &str) -> Read {
        match family {
            Family::Zeek(place) => match self.zeek.get(place) {
                Some(reader) => zeek_json::read(reader, text),
                None => Read::Other,
            },
            Family::Eve => eve::read(text),
            Family::Windows => windows::read(text),
            Family::Ecs => ecs::read(text),
        }
    }
}

enum Told {
    Family(Family),
    OtherZeek,
    Unknown,
}

/// Whose line this is, by the keys of its object. What is more particular wins over what is less.
fn told_by_keys(text: &str) -> Result<Told, Broken> {
    let mut pairs = Pairs::of(text)?;
    let (mut ts, mut connection, mut other_zeek, mut by_mark) = (false, false, false, None);
    let (mut timestamp, mut event_type, mut windows, mut ecs) = (false, false, false, false);
    while let Some((key, value)) = pairs.next()? {
        match key {
            "_path" => {
                if let Json::Text(path) = value {
                    return Ok(place_of_path(path).map_or(Told::OtherZeek, |place| Told::Family(Family::Zeek(place))));
                }
            }
            "ts" => ts = true,
            "uid" | "id.orig_h" => connection = true,
            "timestamp" => timestamp = true,
            "event_type" => event_type = true,
            "EventID" | "winlog" | "Event" => windows = true,
            "@timestamp" => ecs = true,
            _ => {
                other_zeek = other_zeek || OTHER_MARKS.contains(&key);
                if by_mark.is_none() {
                    by_mark = KINDS.iter().position(|kind| kind.marks.contains(&key));
                }
            }
        }
    }
    Ok(match by_mark {
        Some(place) if ts && !other_zeek => Told::Family(Family::Zeek(place)),
        _ if ts && (connection || other_zeek) => Told::OtherZeek,
        _ if timestamp && event_type => Told::Family(Family::Eve),
        _ if windows => Told::Family(Family::Windows),
        _ if ecs => Told::Family(Family::Ecs),
        _ => Told::Unknown,
    })
}

impl LineDecoder for JsonLines {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        output.tally.records += 1;
        let whole;
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(_) => {
                whole = String::from_utf8_lossy(line);
                &whole
            }
        };
        // rsyslog marks JSON that it passes on (Common Event Expression).
        let text = text.strip_prefix("@cee:").unwrap_or(text);
        match self.read(text) {
            Read::Event(event) => {
                output.tally.decoded += 1;
                output.events.push(event);
            }
            Read::Ignored(kind) => output.tally.ignore(kind),
            Read::Other => output.tally.refuse("unknown_json"),
            Read::Refused(reason) => output.tally.refuse(reason),
        }
    }

    fn advance(&mut self, _time: Timestamp, _output: &mut Output) {}

    fn finish(&mut self, _output: &mut Output) {}
}
