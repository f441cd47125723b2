//! Lines of logs to events: one file a format, told apart from their content.
//!
//! To add a format: a variant of [`Format`], its name, its way to know a line, its decoder.

mod accounts;
mod audit;
mod audit_event;
mod audit_facts;
mod audit_fields;
mod audit_folders;
mod audit_syscall;
#[cfg(test)]
mod audit_tests;
#[cfg(test)]
pub(crate) mod check;
mod document;
mod ecs;
mod eve;
mod eve_details;
pub mod json;
pub mod lines;
mod pam;
mod plain;
mod programs;
#[cfg(test)]
mod saved_tests;
mod scanner;
mod sshd;
mod sudo;
mod syslog;
mod syslog_time;
mod sysmon;
mod text;
mod values;
mod web_access;
mod web_error;
mod windows;
mod windows_security;
mod wrapped;
mod zeek;
mod zeek_domain;
mod zeek_json;
mod zeek_kinds;
mod zeek_services;
pub mod zeek_tsv;

pub use syslog_time::{Ends, year_of_first_line};

use super::Output;
use crate::domain::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a line decoder may be told about its input, fixed for the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineContext {
    /// The year of the first line, for formats that leave the year out (RFC 3164).
    pub year: i16,
    /// Minutes that local time is ahead of UTC, for formats that leave the zone out.
    pub offset_minutes: i16,
}

/// Reads one format line by line.
pub trait LineDecoder: Send {
    /// Reads one line, given without its line end; at most `line_bytes_max` bytes, never empty.
    /// Counts it in `output.tally.records`, adds its events to `output.events` and the line to exactly one of decoded,
    /// ignored, refused of `output.tally`.
    /// A line that is part of an event to come (a Linux audit record) counts as decoded.
    fn line(&mut self, line: &[u8], output: &mut Output);

    /// Input time has reached `time` without a line: gives out what waited for more lines long enough.
    fn advance(&mut self, time: Timestamp, output: &mut Output);

    /// The input has ended: gives out what waited for more lines.
    fn finish(&mut self, output: &mut Output);

    /// What outlives a process of what the lines so far have left behind. Empty where a line means the same whatever
    /// stood before it.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes up what [`LineDecoder::save`] gave. Gives whether it could be read.
    fn restore(&mut self, saved: &[u8]) -> bool {
        saved.is_empty()
    }
}

/// A decoder's state as bytes.
fn saved<T: Serialize>(state: &T) -> Vec<u8> {
    // Writing plain data into memory does not fail; nothing means a decoder that has seen no line.
    postcard::to_allocvec(state).unwrap_or_default()
}

/// Puts back what [`saved`] gave. Versions without it saved nothing; the decoder then stays as it begins.
fn restored<T: DeserializeOwned>(state: &mut T, saved: &[u8]) -> bool {
    if saved.is_empty() {
        return true;
    }
    match postcard::from_bytes(saved) {
        Ok(held) => {
            *state = held;
            true
        }
        Err(_) => false,
    }
}

/// The formats of lines that are known, in the order in which they are asked whether a line is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Zeek's own log files, with their `#fields` header.
    ZeekTsv,
    /// JSON objects, one a line or printed over several: Zeek, Suricata EVE, Windows events, ECS; and lines that Docker,
    /// journald or a shipper wrapped in JSON.
    Json,
    /// Linux audit records, raw or enriched.
    Audit,
    /// Access logs of nginx, Apache and their like: common and combined format.
    WebAccess,
    /// Error logs of nginx and Apache.
    WebError,
    /// Lines of syslog: RFC 3164 and RFC 5424 framing, and what rsyslog and journald write to files.
    Syslog,
    /// Lines of any program that begin with a date and a time. Only where no other format is known.
    Text,
}

impl Format {
    /// Every format, the one with the surest mark first.
    pub const ALL: &'static [Format] = &[
        Format::ZeekTsv,
        Format::Json,
        Format::Audit,
        Format::WebAccess,
        Format::WebError,
        Format::Syslog,
        Format::Text,
    ];

    /// The format's name, as summaries print it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::ZeekTsv => "zeek-tsv",
            Format::Json => "json",
            Format::Audit => "auditd",
            Format::WebAccess => "web-access",
            Format::WebError => "web-error",
            Format::Syslog => "syslog",
            Format::Text => "text",
        }
    }

    /// Whether a line looks like this format's. Cheap, and strict enough that prose is nobody's.
    fn knows(self, line: &[u8]) -> bool {
        match self {
            Format::ZeekTsv => line.starts_with(b"#fields") || line.starts_with(b"#separator"),
            Format::Json => (line.starts_with(b"{") || line.starts_with(b"@cee:")) && line.ends_with(b"}"),
            Format::Audit => audit::is_line(line),
            Format::WebAccess => web_access::is_line(line),
            Format::WebError => web_error::is_line(line),
            Format::Syslog => syslog::is_line(line),
            Format::Text => plain::is_line(line),
        }
    }

    /// A decoder for one input of this format.
    pub fn decoder(self, context: LineContext) -> Box<dyn LineDecoder> {
        match self {
            Format::ZeekTsv => Box::new(zeek_tsv::ZeekTsv::new()),
            Format::Json => Box::new(json::JsonLines::new(context)),
            Format::Audit => Box::new(audit::AuditDecoder::new(context)),
            Format::WebAccess => Box::new(web_access::WebAccessDecoder::new(context)),
            Format::WebError => Box::new(web_error::WebErrorDecoder::new(context)),
            Format::Syslog => Box::new(syslog::SyslogDecoder::new(context)),
            Format::Text => Box::new(plain::PlainDecoder::new(context)),
        }
    }
}

/// How many lines with content are looked at.
const DETECT_LINES_MAX: usize = 200;

/// The format of an input that begins with `head` (about the first 64 KiB); `None` when it is none that is known.
///
/// The format that knows the most lines wins, the earlier of [`Format::ALL`] where two know as many; [`Format::Text`], which
/// knows many lines of others too, only where it is alone. A tenth of the lines must be known, so that messages of several lines don't hide their format. A byte order mark, CRLF, empty
/// lines and leading `#` comments do no harm. The last line counts only if its end was seen, or if there is no other.
pub fn detect(head: &[u8]) -> Option<Format> {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let whole = match memchr::memrchr(b'\n', head) {
        Some(end) => head.get(..end).unwrap_or(head),
        None => head,
    };
    if document::begin(whole) {
        return Some(Format::Json);
    }
    let mut known = vec![0usize; Format::ALL.len()];
    let mut lines = 0usize;
    for line in whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if lines == DETECT_LINES_MAX {
            break;
        }
        if line.is_empty() {
            continue;
        }
        // Zeek's header stands once, in front of any number of lines that could be anything.
        if Format::ZeekTsv.knows(line) {
            return Some(Format::ZeekTsv);
        }
        let mut anyone = false;
        for (format, known) in Format::ALL.iter().zip(&mut known) {
            if format.knows(line) {
                *known += 1;
                anyone = true;
            }
        }
        if anyone || line.first() != Some(&b'#') {
            lines += 1;
        }
    }
    let mut best: Option<(Format, usize)> = None;
    for (format, count) in Format::ALL.iter().zip(known) {
        let wins = best.is_none_or(|(_, most)| count > most && *format != Format::Text);
        if count > 0 && count * 10 >= lines && wins {
            best = Some((*format, count));
        }
    }
    best.map(|(format, _)| format)
}

/// Lines after which an input that goes on may be taken for [`Format::Text`].
const TEXT_LINES_SURE: usize = 10;

/// The format of an input that has given these whole lines so far and goes on. As [`detect`], but that more lines are waited
/// for where it could only be [`Format::Text`]: a first line of another format may look like it.
pub fn detect_live(head: &[u8]) -> Option<Format> {
    let is_sure =
        |format: &Format| *format != Format::Text || memchr::memchr_iter(b'\n', head).count() >= TEXT_LINES_SURE;
    detect(head).filter(is_sure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_goes_on_is_text_when_nothing_else_has_come_for_a_while() {
        let line = "2026-03-02T09:12:41Z hello there\n";
        assert_eq!(detect(line.as_bytes()), Some(Format::Text));
        assert_eq!(detect_live(line.as_bytes()), None);
        assert_eq!(detect_live(line.repeat(10).as_bytes()), Some(Format::Text));
        let syslog = format!("{line}2026-03-02T09:12:42Z web app[7]: hello\n");
        assert_eq!(detect_live(syslog.as_bytes()), Some(Format::Syslog));
    }

    #[test]
    fn a_format_is_told_from_content() {
        for (head, format) in [
            ("", None),
            ("\n\n", None),
            ("It was the best of times, it was the worst of times.\n", None),
            (
                "\u{feff}\r\n# copied by hand\r\nMar 27 13:06:56 web sshd[1291]: Server listening on :: port 22.\r\nMar 27 13",
                Some(Format::Syslog),
            ),
            ("<34>1 2026-03-02T09:12:41Z web su - - - hello", Some(Format::Syslog)),
            (
                "#separator \\x09\n#set_separator\t,\n#fields\tts\tuid\n1\t2\n",
                Some(Format::ZeekTsv),
            ),
            ("{\"a\":1}\n{\"b\":2}\n{\"c\"", Some(Format::Json)),
            ("{\"a\":1}", Some(Format::Json)),
        ] {
            assert_eq!(detect(head.as_bytes()), format, "{head:?}");
        }
        assert_eq!(detect(&[0xff; 4096]), None);
    }
}
