//! Lines inside other lines: what Docker's `json-file` driver and journald's JSON put around a program's line, and a
//! log shipper around the line of a file that it read. What is inside is read as its own format would be.

use super::json::Read;
use super::scanner::{Broken, Json, Pairs};
use super::values::whole;
use super::{Format, LineContext, LineDecoder};
use crate::domain::{Event, Field, Timestamp};
use crate::engine::decoder::Output;

/// How many bytes of a name (host, program) in journald's JSON are taken.
const NAME_BYTES_MAX: usize = 255;

/// The decoders of the lines that stood in envelopes, one a format.
pub(super) struct Inside {
    context: LineContext,
    decoders: Vec<(Format, Box<dyn LineDecoder>)>,
}

impl Inside {
    pub(super) fn new(context: LineContext) -> Self {
        let decoders = Vec::new();
        Inside { context, decoders }
    }

    /// Reads a line that stood in an envelope, and accounts for it as one record. False, with nothing done, when it is
    /// of no known format.
    pub(super) fn line(&mut self, line: &[u8], output: &mut Output) -> bool {
        let line = line.trim_ascii_end();
        let known = |format: &&Format| **format != Format::ZeekTsv && format.knows(line);
        let Some(format) = Format::ALL.iter().find(known).copied() else {
            return false;
        };
        if let Some((_, decoder)) = self.decoders.iter_mut().find(|(known, _)| *known == format) {
            decoder.line(line, output);
            return true;
        }
        let mut decoder = self.decoder(format);
        decoder.line(line, output);
        self.decoders.push((format, decoder));
        true
    }

    /// The formats of its decoders by name, with what each saves.
    pub(super) fn save(&self) -> Vec<(String, Vec<u8>)> {
        let decoders = self.decoders.iter();
        decoders
            .map(|(format, decoder)| (format.name().to_owned(), decoder.save()))
            .collect()
    }

    /// Takes up what was saved. Gives whether it could be read.
    pub(super) fn restore(&mut self, saved: Vec<(String, Vec<u8>)>) -> bool {
        saved.into_iter().all(|(name, state)| {
            let Some(format) = Format::ALL.iter().copied().find(|format| format.name() == name) else {
                return false;
            };
            let mut decoder = self.decoder(format);
            let read = decoder.restore(&state);
            self.decoders.push((format, decoder));
            read
        })
    }

    /// JSON inside is not opened again, so envelopes can't be nested without end.
    fn decoder(&self, format: Format) -> Box<dyn LineDecoder> {
        match format {
            Format::Json => Box::new(super::json::JsonLines::without_envelopes()),
            format => format.decoder(self.context),
        }
    }

    pub(super) fn advance(&mut self, time: Timestamp, output: &mut Output) {
        for (_, decoder) in &mut self.decoders {
            decoder.advance(time, output);
        }
    }

    pub(super) fn finish(&mut self, output: &mut Output) {
        for (_, decoder) in &mut self.decoders {
            decoder.finish(output);
        }
    }

    /// Reads the message of a document that says nothing else, as a shipper makes one of each line of a file. The
    /// document's host is that of events that name none. False when the message is of no known format.
    pub(super) fn message(&mut self, document: &Event, output: &mut Output) -> bool {
        if document.has(Field::EventCategory) {
            return false;
        }
        let before = output.events.len();
        let read = document
            .str(Field::Message)
            .is_some_and(|message| self.line(message.as_bytes(), output));
        if let Some(host) = document.str(Field::HostName) {
            for event in output.events.iter_mut().skip(before) {
                if !event.has(Field::HostName) {
                    event.add_str(Field::HostName, host);
                }
            }
        }
        read
    }
}

/// The line in Docker's envelope: `{"log":"...\n","stream":"stdout","time":"..."}`.
pub(super) fn docker(text: &str) -> Result<Read, Broken> {
    let log = Pairs::of(text)?.find("log")?.and_then(Json::text);
    Ok(log.map_or(Read::Other, |line| Read::Envelope(Some(line.into_owned()))))
}

/// An entry of `journalctl -o json` as the line that rsyslog would have written of it: time, host, program, message.
/// Without a line when its message is not text (journald gives bytes as a list of numbers).
pub(super) fn journal(text: &str) -> Result<Read, Broken> {
    let (mut time, mut message, mut process) = (None, None, None);
    let (mut host, mut identifier, mut command) = (None, None, None);
    let mut pairs = Pairs::of(text)?;
    while let Some((key, value)) = pairs.next()? {
        let place = match key {
            "__REALTIME_TIMESTAMP" => &mut time,
            "MESSAGE" => &mut message,
            "_HOSTNAME" => &mut host,
            "SYSLOG_IDENTIFIER" => &mut identifier,
            "_COMM" => &mut command,
            "_PID" => &mut process,
            _ => continue,
        };
        *place = value.text();
    }
    let micros = time
        .and_then(|text| whole(&text))
        .and_then(|time| i64::try_from(time).ok());
    let nanos = micros.and_then(|micros| micros.checked_mul(1000));
    let Some(nanos) = nanos else { return Ok(Read::Other) };
    let Some(message) = message else {
        return Ok(Read::Envelope(None));
    };
    let message = message.split('\n').next().unwrap_or_default();
    // A time is shown in milliseconds; journald has microseconds.
    let shown = Timestamp::from_nanos(nanos).to_string();
    let mut line = format!("{}{:03}Z ", shown.trim_end_matches('Z'), nanos / 1000 % 1000);
    for (name, behind) in [(host, " "), (identifier.or(command), "")] {
        push_name(&mut line, name.as_deref().unwrap_or("unknown"));
        line.push_str(behind);
    }
    if let Some(process) = process.as_deref().and_then(whole) {
        line.push_str(&format!("[{process}]"));
    }
    line.push_str(": ");
    line.push_str(message);
    Ok(Read::Envelope(Some(line)))
}

/// A name as one word of a syslog header.
fn push_name(line: &mut String, name: &str) {
    let name = name.get(..name.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
    line.extend(name.chars().map(|char| match char {
        ' ' | '[' | ']' | ':' => '_',
        char if char.is_control() => '_',
        char => char,
    }));
}

#[cfg(test)]
mod tests {
    use crate::engine::decoder::log::Format;
    use crate::engine::decoder::log::check::{check, decode_bytes, mutate};

    const DOCKER: &str = r#"{"log":"10.0.0.7 - - [08/Jun/2026:08:04:43 +0000] \"GET /a HTTP/1.1\" 404 8 \"-\" \"curl\"\n","stream":"stdout","time":"2026-06-08T08:04:43.1Z"}"#;
    const JOURNAL: &str = r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1780905883123456","_HOSTNAME":"Web.example.org","SYSLOG_IDENTIFIER":"sshd-session","_PID":"77","_TRANSPORT":"syslog","MESSAGE":"Failed password for invalid user bob from ::ffff:10.0.0.7 port 4242 ssh2"}"#;
    const SHIPPED: &str = r#"{"@timestamp":"2026-06-08T08:04:50Z","host":{"name":"Web"},"log":{"file":{"path":"/var/log/nginx/access.log"}},"message":"10.0.0.7 - bob [08/Jun/2026:08:04:43 +0000] \"GET /a HTTP/1.1\" 200 8"}"#;

    #[test]
    fn a_line_in_an_envelope_is_read_as_its_own_format() {
        check(
            Format::Json,
            DOCKER,
            "event.category=web source.ip=10.0.0.7 url.path=/a http.response.status_code=404",
        );
        check(
            Format::Json,
            JOURNAL,
            "event.category=authentication event.outcome=failure user.name=bob source.ip=10.0.0.7 host.name=web \
             process.pid=77",
        );
        check(
            Format::Json,
            SHIPPED,
            "event.category=web source.ip=10.0.0.7 user.name=bob host.name=web url.path=/a",
        );
    }

    #[test]
    fn a_journal_entry_has_its_own_time() {
        let events = decode_bytes(Format::Json, JOURNAL.as_bytes()).events;
        assert_eq!(events[0].time().nanos(), 1_780_905_883_123_456_000);
    }

    #[test]
    fn what_is_inside_and_of_no_known_format_is_ignored_or_stays_a_message() {
        let docker = br#"{"log":"ready\n","stream":"stderr","time":"2026-06-08T08:04:43.1Z"}"#;
        assert_eq!(decode_bytes(Format::Json, docker).tally.ignored["wrapped_other"], 1);
        let bytes = br#"{"__REALTIME_TIMESTAMP":"1780905883123456","_HOSTNAME":"web","MESSAGE":[27,91]}"#;
        assert_eq!(decode_bytes(Format::Json, bytes).tally.ignored["wrapped_other"], 1);
        let prose = r#"{"@timestamp":"2026-06-08T08:04:50Z","host":{"name":"web"},"message":"ready"}"#;
        check(Format::Json, prose, "message=ready host.name=web !event.category");
    }

    #[test]
    fn an_envelope_in_an_envelope_is_not_opened() {
        let inner = DOCKER.replace('\\', "\\\\").replace('"', "\\\"");
        let nested = format!(r#"{{"log":"{inner}","stream":"stdout","time":"2026-06-08T08:04:43.1Z"}}"#);
        let output = decode_bytes(Format::Json, nested.as_bytes());
        assert!(output.events.is_empty());
        let (refused, ignored) = (&output.tally.refused, &output.tally.ignored);
        assert!(
            refused.is_empty() && ignored["wrapped_other"] == 1,
            "{:?}",
            output.tally
        );
    }

    #[test]
    fn broken_lines_are_accounted_for() {
        for line in [DOCKER, JOURNAL, SHIPPED] {
            mutate(Format::Json, line, 500);
        }
    }
}
