//! Syslog: RFC 3164 and RFC 5424 framing and the files that rsyslog, syslog-ng and journald write. The header fills
//! `log.syslog.*`, `host.name`, `process.*` and `message`; the program named in it decides who reads the message.
//!
//! A message that is said to be repeated (`message repeated 3 times: [ ... ]`, `last message repeated 3 times`) becomes
//! as many events, up to [`REPEATS_MAX`].

use super::audit::{self, Audit};
use super::programs::{self, Programs};
use super::syslog_time::{LineTime, YearClock, read};
use super::text::{add_host, leading_number, number, split_once, word};
use super::{LineContext, LineDecoder, restored, saved};
use crate::domain::{Event, Field, Timestamp};
use crate::engine::decoder::Output;
use serde::{Deserialize, Serialize};

/// How many events a line that says it stands for several may become.
const REPEATS_MAX: u64 = 100;
/// How long a message may be to be remembered for `last message repeated`.
const REMEMBERED_BYTES_MAX: usize = 1024;

/// A line's parts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header<'a> {
    /// Facility times eight plus severity.
    pub(super) priority: Option<u8>,
    pub(super) host: &'a [u8],
    /// The program, as the line has it.
    pub(super) program: &'a [u8],
    /// The PAM module that old programs put behind their name: `sshd(pam_unix)[7]:`.
    pub(super) module: &'a [u8],
    pub(super) process_id: &'a [u8],
    pub(super) message_id: &'a [u8],
    pub(super) message: &'a [u8],
}

/// Whether a line is syslog's: a priority or a time, and where only an ISO time stands in front, a tag behind it.
pub(super) fn is_line(line: &[u8]) -> bool {
    let (priority, rest) = priority(line);
    if priority.is_some() {
        return rest.starts_with(b"1 ") || read(rest).is_some();
    }
    match read(rest) {
        Some((LineTime::Yearless { .. }, rest)) => !rest.is_empty(),
        Some((_, rest)) => {
            let header = split_header(rest);
            !header.program.is_empty() && !header.host.is_empty()
        }
        None => false,
    }
}

/// The `<PRI>` in front of a line and what stands behind it; a length in front of it (octet counting, RFC 6587) is
/// left out.
pub(super) fn priority(line: &[u8]) -> (Option<u8>, &[u8]) {
    let unframed = match leading_number(line) {
        Some((_, [b' ', rest @ ..])) if rest.first() == Some(&b'<') => rest,
        _ => line,
    };
    let Some([b'<', rest @ ..]) = Some(unframed) else {
        return (None, line);
    };
    match leading_number(rest) {
        Some((priority, [b'>', rest @ ..])) if priority <= 191 => (u8::try_from(priority).ok(), rest),
        _ => (None, line),
    }
}

/// The parts of an RFC 3164 line behind its time.
fn split_header(rest: &[u8]) -> Header<'_> {
    let (first, behind) = word(rest);
    if let Some(header) = tag(first) {
        return Header {
            message: behind,
            ..header
        };
    }
    let (second, message) = word(behind);
    match tag(second) {
        Some(header) => Header {
            host: first,
            message,
            ..header
        },
        None => Header {
            host: first,
            message: behind,
            ..Header::default()
        },
    }
}

/// Reads `program[pid]:`, `program:`, `program(module)[pid]:` and `program[pid]`.
fn tag(word: &[u8]) -> Option<Header<'_>> {
    let (name, process_id) = match word.strip_suffix(b":") {
        Some(tag) => match tag.strip_suffix(b"]").and_then(|tag| split_once(tag, b"[")) {
            Some((name, process_id)) => (name, process_id),
            None => (tag, &b""[..]),
        },
        None => split_once(word.strip_suffix(b"]")?, b"[")?,
    };
    if name.is_empty() || name.len() > 128 || matches!(name.first(), Some(b':' | b'[' | b'{' | b'"')) {
        return None;
    }
    let (program, module) = match name.strip_suffix(b")").and_then(|name| split_once(name, b"(")) {
        Some((program, module)) if !program.is_empty() => (program, module),
        _ => (name, &b""[..]),
    };
    Some(Header {
        program,
        module,
        process_id,
        ..Header::default()
    })
}

/// The parts of an RFC 5424 line behind its version, and its time (none where it is `-`).
fn split_header_5424(rest: &[u8]) -> Option<(Option<Timestamp>, Header<'_>)> {
    let (stamp, rest) = split_once(rest, b" ")?;
    let time = match stamp {
        b"-" => None,
        stamp => Some(Timestamp::parse_rfc3339(stamp)?),
    };
    let (host, rest) = split_once(rest, b" ")?;
    let (program, rest) = split_once(rest, b" ")?;
    let (process_id, rest) = split_once(rest, b" ")?;
    let (message_id, rest) = split_once(rest, b" ")?;
    let message = skip_structured_data(rest)?.trim_ascii_start();
    let message = message.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(message);
    let nil = |text: &'_ [u8]| text == b"-";
    Some((
        time,
        Header {
            priority: None,
            host: if nil(host) { b"" } else { host },
            program: if nil(program) { b"" } else { program },
            module: b"",
            process_id: if nil(process_id) { b"" } else { process_id },
            message_id: if nil(message_id) { b"" } else { message_id },
            message,
        },
    ))
}

/// What stands behind `-` or `[id name="value" ...][...]`.
fn skip_structured_data(text: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = text.strip_prefix(b"-") {
        return Some(rest);
    }
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix(b"[") {
        let (mut quoted, mut escaped, mut end) = (false, false, None);
        for (at, byte) in inner.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b']' if !quoted => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        rest = inner.get(end? + 1..)?;
    }
    (rest.len() < text.len()).then_some(rest)
}

/// Reads the lines of one syslog input.
#[derive(Serialize, Deserialize)]
pub(super) struct SyslogDecoder {
    clock: YearClock,
    programs: Programs,
    audit: Audit,
    /// The latest time of a line, for lines that have none.
    latest: Option<Timestamp>,
    /// The message that `last message repeated` would mean, with its parts in front.
    last: Option<Remembered>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    host: Vec<u8>,
    program: Vec<u8>,
    module: Vec<u8>,
    process_id: Vec<u8>,
    message: Vec<u8>,
    priority: Option<u8>,
}

impl SyslogDecoder {
    pub(super) fn new(context: LineContext) -> Self {
        SyslogDecoder {
            clock: YearClock::new(context),
            programs: Programs::default(),
            audit: Audit::default(),
            latest: None,
            last: None,
        }
    }

    fn read<'a>(&mut self, line: &'a [u8]) -> Result<(Timestamp, Header<'a>), &'static str> {
        let (priority, rest) = priority(line);
        let (time, header) = match rest.strip_prefix(b"1 ") {
            Some(rest) if priority.is_some() => {
                let (time, header) = split_header_5424(rest).ok_or("bad_syslog_header")?;
                (time.or(self.latest).ok_or("no_timestamp")?, header)
            }
            _ => {
                let (time, rest) = read(rest).ok_or("no_timestamp")?;
                (self.clock.moment(time), split_header(rest))
            }
        };
        self.latest = Some(time);
        Ok((time, Header { priority, ..header }))
    }

    /// A message that stands for several, as how many and which. `None` when it stands for itself, or when what it
    /// speaks of is not known.
    fn repeated<'a>(&'a self, header: &Header<'a>) -> Option<(u64, Header<'a>)> {
        if let Some(rest) = header.message.strip_prefix(b"message repeated ") {
            let (count, rest) = leading_number(rest)?;
            let message = rest.strip_prefix(b" times: [")?.strip_suffix(b"]")?.trim_ascii();
            return Some((count, Header { message, ..*header }));
        }
        if !header.program.is_empty() {
            return None;
        }
        let (count, rest) = leading_number(header.message.strip_prefix(b"last message repeated ")?)?;
        let last = self
            .last
            .as_ref()
            .filter(|last| rest.starts_with(b" time") && last.host == header.host)?;
        let header = Header {
            priority: last.priority,
            host: header.host,
            program: &last.program,
            module: &last.module,
            process_id: &last.process_id,
            message_id: b"",
            message: &last.message,
        };
        Some((count, header))
    }

    fn remember(&mut self, header: &Header<'_>) {
        if header.host.len() + header.program.len() + header.message.len() > REMEMBERED_BYTES_MAX {
            self.last = None;
            return;
        }
        let last = self.last.get_or_insert_with(|| Remembered {
            host: Vec::new(),
            program: Vec::new(),
            module: Vec::new(),
            process_id: Vec::new(),
            message: Vec::new(),
            priority: None,
        });
        for (held, now) in [
            (&mut last.host, header.host),
            (&mut last.program, header.program),
            (&mut last.module, header.module),
            (&mut last.process_id, header.process_id),
            (&mut last.message, header.message),
        ] {
            held.clear();
            held.extend_from_slice(now);
        }
        last.priority = header.priority;
    }
}

impl LineDecoder for SyslogDecoder {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        output.tally.records += 1;
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            output.tally.ignore("comment");
            return;
        }
        let (time, header) = match self.read(line) {
            Ok(read) => read,
            Err(reason) => {
                output.tally.refuse(reason);
                return;
            }
        };
        output.tally.decoded += 1;
        if let Some(record) = audit_record(&header) {
            self.audit.take(&record, header.host, output);
            return;
        }
        let mut programs = std::mem::take(&mut self.programs);
        match self.repeated(&header) {
            Some((count, header)) => {
                for _ in 0..count.min(REPEATS_MAX) {
                    output.events.push(event(time, &header, &mut programs));
                }
            }
            None => {
                output.events.push(event(time, &header, &mut programs));
                self.remember(&header);
            }
        }
        self.programs = programs;
    }

    fn advance(&mut self, time: Timestamp, output: &mut Output) {
        self.audit.give(time, output);
    }

    fn finish(&mut self, output: &mut Output) {
        self.audit.finish(output);
    }

    fn save(&self) -> Vec<u8> {
        saved(self)
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        restored(self, saved)
    }
}

/// An audit record that a daemon or the kernel (`[12.5] audit: type=1300 audit(...`) handed to syslog.
fn audit_record<'a>(header: &Header<'a>) -> Option<audit::Line<'a>> {
    match programs::name(header.program) {
        b"audispd" | b"auditd" | b"audisp-syslog" | b"audit" => audit::parse(header.message),
        b"kernel" => {
            let (_, record) = split_once(header.message, b"audit: ")?;
            audit::parse(record)
        }
        _ => None,
    }
}

fn event(time: Timestamp, header: &Header<'_>, programs: &mut Programs) -> Event {
    let mut event = Event::new(time);
    if let Some(priority) = header.priority {
        event.add_u64(Field::LogSyslogPriority, u64::from(priority));
        event.add_u64(Field::LogSyslogFacilityCode, u64::from(priority / 8));
        event.add_u64(Field::LogSyslogSeverityCode, u64::from(priority % 8));
    }
    event.add_bytes(Field::LogSyslogHostname, header.host);
    add_host(&mut event, header.host);
    let name = programs::name(header.program);
    event.add_bytes(Field::LogSyslogAppname, header.program);
    event.add_bytes(Field::ProcessName, name);
    event.add_bytes(Field::LogSyslogProcid, header.process_id);
    if let Some(process_id) = number(header.process_id) {
        event.add_u64(Field::ProcessPid, process_id);
    }
    event.add_bytes(Field::LogSyslogMsgid, header.message_id);
    event.add_bytes(Field::Message, header.message);
    let dataset = programs.read(header, &mut event);
    event.add_str(Field::EventDataset, dataset);
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::decoder::log::Format;
    use crate::engine::decoder::log::check::{check, decode, decode_bytes, mutate, show};

    #[test]
    fn every_framing_gives_the_same_fields() {
        let fields = "host.name=web log.syslog.hostname=Web.corp.example process.name=app process.pid=7 \
                      log.syslog.appname=app message=hello%20there event.dataset=syslog";
        let priority = "log.syslog.priority=34 log.syslog.facility.code=4 log.syslog.severity.code=2";
        for (line, pri) in [
            ("Mar  2 09:12:41 Web.corp.example app[7]: hello there", false),
            ("<34>Mar  2 09:12:41 Web.corp.example app[7]: hello there", true),
            ("74 <34>Mar  2 09:12:41 Web.corp.example app[7]: hello there", true),
            ("Mar  2 2026 09:12:41 Web.corp.example app[7]: hello there", false),
            (
                "2026-03-02T09:12:41.000000+00:00 Web.corp.example app[7]: hello there",
                false,
            ),
            (
                "2026-03-02T10:12:41+0100 Web.corp.example /usr/bin/app[7]: hello there",
                false,
            ),
            ("<34>2026-03-02T09:12:41Z Web.corp.example app[7]: hello there", true),
            (
                "<34>1 2026-03-02T09:12:41Z Web.corp.example app 7 - - \u{feff}hello there",
                true,
            ),
            (
                "99 <34>1 2026-03-02T09:12:41Z Web.corp.example app 7 ID1 [a@1 b=\"x\\\"]\"][c d=\"\"] hello there",
                true,
            ),
        ] {
            let fields = if line.contains("/usr/bin/") {
                fields.replace("log.syslog.appname=app", "log.syslog.appname=/usr/bin/app")
            } else {
                fields.to_owned()
            };
            check(Format::Syslog, line, &fields);
            check(
                Format::Syslog,
                line,
                if pri { priority } else { "!log.syslog.priority" },
            );
            assert_eq!(
                decode(Format::Syslog, line)[0].time().to_string(),
                "2026-03-02T09:12:41.000Z",
                "{line}"
            );
            assert!(is_line(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn headers_with_gaps_are_read_as_far_as_they_go() {
        for (line, expected) in [
            (
                "Mar  2 09:12:41 app[7]: hello",
                "process.name=app process.pid=7 !host.name message=hello",
            ),
            (
                "Mar  2 09:12:41 web kernel: [12.5] hello",
                "host.name=web process.name=kernel !process.pid",
            ),
            (
                "Mar  2 09:12:41 web -- MARK --",
                "host.name=web !process.name message=--%20MARK%20--",
            ),
            (
                "Mar  2 09:12:41 10.0.0.7 app: hello",
                "host.name=10.0.0.7 host.ip=10.0.0.7",
            ),
            ("<34>1 - - - - - -", "!host.name !process.name !message"),
            (
                "Mar  2 09:12:41 web cups(pam_unix)[7]: x",
                "process.name=cups process.pid=7",
            ),
        ] {
            let with_time_before = format!("Mar  2 09:12:40 a b: c\n{line}");
            let events = decode(Format::Syslog, &with_time_before);
            crate::engine::decoder::log::check::check_event(&events[1], expected);
        }
        for (line, reason) in [
            ("hello there", "no_timestamp"),
            ("<34>1 x y", "bad_syslog_header"),
            ("<34>1 - - - - - -", "no_timestamp"),
        ] {
            assert_eq!(
                decode_bytes(Format::Syslog, line.as_bytes()).tally.refused.get(reason),
                Some(&1),
                "{line}"
            );
        }
    }

    #[test]
    fn a_line_of_broken_text_is_still_an_event() {
        let output = decode_bytes(Format::Syslog, b"Mar  2 09:12:41 web app: caf\xe9 \xff");
        assert!(show(&output.events[0]).contains("message=caf\u{fffd} \u{fffd}"));
    }

    #[test]
    fn broken_lines_never_panic() {
        mutate(
            Format::Syslog,
            "<34>1 2026-03-02T09:12:41Z web app 7 ID1 [a b=\"c\"] hello\n\
             <13>Mar  2 09:12:41 web sshd[7]: message repeated 3 times: [ Failed password for a from 10.0.0.7 port 5 ssh2]\n\
             Dec 31 23:59:59 web sshd[7]: Disconnected from invalid user ftp 10.0.0.7 port 26138 [preauth]\n\
             Mar  2 09:12:41 web sshd[7]: refused connect from example.com (10.0.0.7)\n\
             Mar  2 09:12:41 web last message repeated 2 times",
            3000,
        );
    }
}
