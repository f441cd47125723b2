//! JSON lines of every kind: tells each line's kind from its keys and hands it to that kind's reader. A file may mix
//! kinds; the last one is tried first.

use super::LineDecoder;
use super::zeek_json::{self, Read};
use super::zeek_kinds::Kind;
use crate::domain::Timestamp;
use crate::engine::decoder::Output;

/// Reads lines that hold one JSON object each.
#[derive(Debug, Default)]
pub struct JsonLines {
    last: Option<Family>,
}

#[derive(Clone, Copy, Debug)]
enum Family {
    Zeek(&'static Kind),
}

impl JsonLines {
    /// A decoder that has seen no line yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&mut self, text: &str) -> Read {
        if let Some(Family::Zeek(kind)) = self.last {
            match zeek_json::read(kind, text) {
                Read::Other => {}
                read => return read,
            }
        }
        match zeek_json::kind_of_line(text) {
            Ok(Some(kind)) => {
                self.last = Some(Family::Zeek(kind));
                zeek_json::read(kind, text)
            }
            Ok(None) => Read::Refused("unknown_json"),
            Err(broken) => Read::Refused(broken.reason()),
        }
    }
}

impl LineDecoder for JsonLines {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        output.tally.records += 1;
        let text = String::from_utf8_lossy(line);
        match self.read(&text) {
            Read::Event(event) => {
                output.tally.decoded += 1;
                output.events.push(event);
            }
            Read::Other => output.tally.refuse("unknown_json"),
            Read::Refused(reason) => output.tally.refuse(reason),
        }
    }

    fn advance(&mut self, _time: Timestamp, _output: &mut Output) {}

    fn finish(&mut self, _output: &mut Output) {}
}
