//! JSON of every kind, one document a line or printed over several: tells each document's kind from its keys and hands
//! it to that kind's reader. A file may mix kinds; the last one is tried first.

use super::document::{Documents, Piece};
use super::scanner::{Broken, Json, Pairs};
use super::wrapped::{self, Inside};
use super::zeek::{Reader, place_of_path};
use super::zeek_kinds::{KINDS, OTHER_MARKS};
use super::{LineContext, LineDecoder, ecs, eve, saved, windows, zeek_json};
use crate::domain::{Event, Timestamp};
use crate::engine::decoder::Output;
use serde::{Deserialize, Serialize};

/// Reads JSON objects: Zeek's logs, Suricata's EVE, Windows events, ECS, and lines in envelopes of JSON.
pub struct JsonLines {
    last: Option<Family>,
    /// The readers of Zeek's logs, as they stand in the table of kinds.
    zeek: Vec<Reader>,
    documents: Documents,
    /// Who reads the lines in envelopes; nobody where this decoder reads what was in one.
    inside: Option<Inside>,
}

/// Whose JSON a line is.
#[derive(Clone, Copy, Debug)]
enum Family {
    /// By the log's place in the table of kinds.
    Zeek(usize),
    Eve,
    Windows,
    Ecs,
    Docker,
    Journal,
}

impl Family {
    /// What it is saved as. Paths of Zeek's logs have no blank.
    fn name(self) -> &'static str {
        match self {
            Family::Zeek(place) => KINDS.get(place).map_or("", |kind| kind.path),
            Family::Eve => "the eve",
            Family::Windows => "the windows",
            Family::Ecs => "the ecs",
            Family::Docker => "the docker",
            Family::Journal => "the journal",
        }
    }

    fn named(name: &str) -> Option<Family> {
        Some(match name {
            "the eve" => Family::Eve,
            "the windows" => Family::Windows,
            "the ecs" => Family::Ecs,
            "the docker" => Family::Docker,
            "the journal" => Family::Journal,
            path => Family::Zeek(place_of_path(path)?),
        })
    }
}

/// What outlives a process.
#[derive(Serialize, Deserialize)]
struct Saved {
    last: Option<String>,
    documents: Documents,
    inside: Option<Vec<(String, Vec<u8>)>>,
}

/// What a reader has made of a line.
pub(super) enum Read {
    /// An event.
    Event(Event),
    /// An envelope, and the line that was in it, if it is text.
    Envelope(Option<String>),
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

impl JsonLines {
    /// A decoder that has seen no line yet.
    pub fn new(context: LineContext) -> Self {
        JsonLines {
            inside: Some(Inside::new(context)),
            ..JsonLines::without_envelopes()
        }
    }

    /// A decoder that opens no envelopes.
    pub(super) fn without_envelopes() -> Self {
        JsonLines {
            last: None,
            zeek: KINDS.iter().map(Reader::new).collect(),
            documents: Documents::default(),
            inside: None,
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
            Family::Docker => wrapped::docker(text).unwrap_or_else(Read::from),
            Family::Journal => wrapped::journal(text).unwrap_or_else(Read::from),
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
    let (mut log, mut stream, mut journal) = (false, false, false);
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
            "log" => log = !matches!(value, Json::Object(_)),
            "stream" => stream = true,
            "__REALTIME_TIMESTAMP" => journal = true,
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
        _ if journal => Told::Family(Family::Journal),
        _ if log && stream => Told::Family(Family::Docker),
        _ => Told::Unknown,
    })
}

impl JsonLines {
    /// Reads one document, which `lines` lines held, and accounts for them.
    fn document(&mut self, text: &str, lines: u64, output: &mut Output) {
        let read = self.read(text);
        // Those inside account for a line of their own.
        if lines == 1
            && let Some(inside) = &mut self.inside
        {
            let done = match &read {
                Read::Envelope(Some(line)) => inside.line(line.as_bytes(), output),
                Read::Event(event) if matches!(self.last, Some(Family::Ecs)) => inside.message(event, output),
                _ => false,
            };
            if done {
                return;
            }
        }
        output.tally.records += lines;
        match read {
            Read::Event(event) => {
                output.tally.decoded += lines;
                output.events.push(event);
            }
            Read::Envelope(_) => ignore(output, "wrapped_other", lines),
            Read::Ignored(kind) => ignore(output, kind, lines),
            Read::Other => refuse(output, "unknown_json", lines),
            Read::Refused(reason) => refuse(output, reason, lines),
        }
    }

    /// Accounts for the lines of a document that has no end.
    fn give_up(output: &mut Output, lines: u64) {
        output.tally.records += lines;
        refuse(output, "unfinished_json", lines);
    }
}

fn ignore(output: &mut Output, kind: &'static str, lines: u64) {
    (0..lines).for_each(|_| output.tally.ignore(kind));
}

fn refuse(output: &mut Output, reason: &'static str, lines: u64) {
    (0..lines).for_each(|_| output.tally.refuse(reason));
}

impl LineDecoder for JsonLines {
    fn line(&mut self, line: &[u8], output: &mut Output) {
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
        let (given_up, piece) = self.documents.take(text);
        JsonLines::give_up(output, given_up);
        match piece {
            Piece::Whole(text) => self.document(text, 1, output),
            Piece::Document(text, lines) => self.document(&text, lines, output),
            Piece::Part => {}
            Piece::Between => {
                output.tally.records += 1;
                output.tally.ignore("between_json");
            }
        }
    }

    fn advance(&mut self, time: Timestamp, output: &mut Output) {
        if let Some(inside) = &mut self.inside {
            inside.advance(time, output);
        }
    }

    fn finish(&mut self, output: &mut Output) {
        let lines = self.documents.give_up();
        JsonLines::give_up(output, lines);
        if let Some(inside) = &mut self.inside {
            inside.finish(output);
        }
    }

    fn save(&self) -> Vec<u8> {
        saved(&Saved {
            last: self.last.map(|family| family.name().to_owned()),
            documents: self.documents.clone(),
            inside: self.inside.as_ref().map(Inside::save),
        })
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        if saved.is_empty() {
            return true;
        }
        let Ok(saved) = postcard::from_bytes::<Saved>(saved) else {
            return false;
        };
        self.last = saved.last.and_then(|name| Family::named(&name));
        self.documents = saved.documents;
        match (&mut self.inside, saved.inside) {
            (Some(inside), Some(saved)) => inside.restore(saved),
            (_, saved) => saved.is_none(),
        }
    }
}
