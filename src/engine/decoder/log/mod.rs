//! Lines of logs to events: one file a format, told apart from their content.

pub mod json;
mod scanner;
mod values;
mod zeek;
mod zeek_json;
mod zeek_kinds;
pub mod zeek_tsv;

use super::Output;
use crate::domain::Timestamp;

/// What a line decoder may be told about its input, fixed for the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineContext {
    /// The year of the first line, for formats that leave the year out (RFC 3164).
    pub year: i16,
    /// Minutes that local time is ahead of UTC, for formats that leave the zone out.
    pub offset_minutes: i16,
}

/// Reads one format line by line.
pub trait LineDecoder: Send {
    /// Reads one line, given without its line end; at most `line_bytes_max` bytes, never empty.
    /// Adds its events to `output.events` and the line to exactly one of decoded, ignored, refused of `output.tally`.
    /// A line that is part of an event to come (a Linux audit record) counts as decoded.
    fn line(&mut self, line: &[u8], output: &mut Output);

    /// Input time has reached `time` without a line: gives out what waited for more lines long enough.
    fn advance(&mut self, time: Timestamp, output: &mut Output);

    /// The input has ended: gives out what waited for more lines.
    fn finish(&mut self, output: &mut Output);
}
