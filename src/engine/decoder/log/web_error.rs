//! Error logs of nginx and Apache. They say why; the access log counts. So their events have no `http.response` and are
//! not of type `access`. A refused password is an authentication event.

use super::syslog_time::month;
use super::text::{
    Kind, add_kind, add_source, add_user, between, leading_number, number, rsplit_once, split_once, word,
};
use super::values::add_url_host;
use super::web_access::{self, add_request};
use super::{LineContext, LineDecoder};
use crate::domain::{Duration, Event, Field, Timestamp, days_from_civil, parse_civil};
use crate::engine::decoder::Output;

const ERROR: Kind = Kind {
    category: &["web"],
    type_: &["error"],
    action: "http_error",
    outcome: "",
};
const LOGIN_FAILED: Kind = Kind {
    category: &["authentication"],
    type_: &["start"],
    action: "http_login",
    outcome: "failure",
};

/// One message as a line has it.
#[derive(Clone, Copy, Debug)]
struct Complaint<'a> {
    server: &'static str,
    /// On the server's wall clock.
    time: Timestamp,
    level: &'a [u8],
    process_id: Option<u64>,
    client: &'a [u8],
    message: &'a [u8],
}

/// Whether a line is an error log's.
pub(super) fn is_line(line: &[u8]) -> bool {
    parse(line).is_some()
}

fn parse(line: &[u8]) -> Option<Complaint<'_>> {
    if line.starts_with(b"[") {
        parse_apache(line)
    } else {
        parse_nginx(line)
    }
}

/// `2021/12/01 13:53:33 [error] 31#31: *46 message, client: 10.0.0.7, server: a, request: "GET / HTTP/1.1", host: "a"`.
fn parse_nginx(line: &[u8]) -> Option<Complaint<'_>> {
    let (stamp, rest) = line.split_at_checked(19)?;
    let mut stamp: [u8; 19] = stamp.try_into().ok()?;
    let [_, _, _, _, first @ b'/', _, _, second @ b'/', ..] = &mut stamp else {
        return None;
    };
    (*first, *second) = (b'-', b'-');
    let (time, _) = parse_civil(&stamp)?;
    let (level, rest) = split_once(rest.strip_prefix(b" [")?, b"] ")?;
    let (process_id, rest) = leading_number(rest)?;
    let (_, message) = split_once(rest.strip_prefix(b"#")?, b": ")?;
    let client =
        between(message, b", client: ", b",").or(rsplit_once(message, b", client: ").map(|(_, client)| client));
    let client = client.unwrap_or_default();
    Some(Complaint {
        server: "nginx.error",
        time,
        level,
        process_id: Some(process_id),
        client,
        message,
    })
}

/// `[Sun Dec 04 04:47:44.123456 2005] [core:error] [pid 7:tid 8] [client 10.0.0.7:80] message`.
fn parse_apache(line: &[u8]) -> Option<Complaint<'_>> {
    let (stamp, mut rest) = split_once(line.strip_prefix(b"[")?, b"] ")?;
    let (_, stamp) = word(stamp);
    let (name, stamp) = word(stamp);
    let (day, stamp) = word(stamp);
    let (time_of_day, year) = word(stamp);
    let (month, day, year) = (month(name)?, number(day)?, number(year)?);
    if !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let day = i64::try_from(day).ok()?;
    let midnight = days_from_civil(i64::try_from(year).ok()?, i64::from(month), day) * 86_400;
    // The time of day alone is read as one of the Unix epoch's first day.
    let mut text = *b"1970-01-01T00:00:00.000000";
    let kept = time_of_day.len().min(15);
    text.get_mut(11..11 + kept)?.copy_from_slice(time_of_day.get(..kept)?);
    let (time_of_day, _) = parse_civil(text.get(..11 + kept)?)?;
    let time = Timestamp::from_seconds(midnight).plus(Duration::from_nanos(time_of_day.nanos()));
    let mut complaint = Complaint {
        server: "apache.error",
        time,
        level: b"",
        process_id: None,
        client: b"",
        message: b"",
    };
    while let Some((inner, behind)) = rest.strip_prefix(b"[").and_then(|rest| split_once(rest, b"] ")) {
        if let Some(client) = inner.strip_prefix(b"client ").or(inner.strip_prefix(b"remote ")) {
            complaint.client = client;
        } else if let Some(process_id) = inner.strip_prefix(b"pid ") {
            complaint.process_id = leading_number(process_id).map(|(number, _)| number);
        } else if complaint.level.is_empty() {
            complaint.level = rsplit_once(inner, b":").map_or(inner, |(_, level)| level);
        } else {
            break;
        }
        rest = behind;
    }
    complaint.message = rest;
    (!complaint.level.is_empty()).then_some(complaint)
}

impl Complaint<'_> {
    fn add(&self, event: &mut Event) {
        let user = refused_user(self.message);
        add_kind(event, if user.is_some() { LOGIN_FAILED } else { ERROR });
        add_user(event, user.unwrap_or_default());
        // Apache writes the port behind the address; an address of IPv6 has more than one colon, or brackets.
        let client = match rsplit_once(self.client, b":") {
            Some((address, port)) if !address.contains(&b':') || address.ends_with(b"]") => {
                if let Some(port) = number(port) {
                    event.add_u64(Field::SourcePort, port);
                }
                address
            }
            _ => self.client,
        };
        add_source(event, client);
        if let Some(request) = between(self.message, b", request: \"", b"\"") {
            add_request(event, request);
        }
        if let Some(host) = between(self.message, b", host: \"", b"\"") {
            add_url_host(event, &String::from_utf8_lossy(host));
        }
        event.add_bytes(Field::LogLevel, self.level);
        if let Some(process_id) = self.process_id {
            event.add_u64(Field::ProcessPid, process_id);
        }
        event.add_bytes(Field::Message, self.message);
        event.add_str(Field::EventDataset, self.server);
    }
}

/// The user whose password was refused, or who is not known.
fn refused_user(message: &[u8]) -> Option<&[u8]> {
    if let Some((_, rest)) = split_once(message, b" user \"") {
        let (user, rest) = split_once(rest, b"\"")?;
        return (rest.starts_with(b": password mismatch") || rest.starts_with(b" was not found in")).then_some(user);
    }
    let (_, rest) = match message.strip_prefix(b"user ") {
        Some(rest) => (message, rest),
        None => split_once(message, b": user ")?,
    };
    let end = split_once(rest, b": authentication failure for").or(split_once(rest, b" not found: "));
    end.map(|(user, _)| user)
}

/// The message that a line of an error log holds. Its time is a wall clock's.
pub(super) fn event(line: &[u8], context: LineContext) -> Option<Event> {
    let complaint = parse(line)?;
    let offset = Duration::from_seconds(i64::from(context.offset_minutes) * 60);
    let mut event = Event::new(complaint.time.minus(offset));
    complaint.add(&mut event);
    Some(event)
}

/// Reads the lines of one error log, and requests that stand between: a container's output has both.
#[derive(Debug)]
pub(super) struct WebErrorDecoder {
    context: LineContext,
}

impl WebErrorDecoder {
    pub(super) fn new(context: LineContext) -> Self {
        WebErrorDecoder { context }
    }
}

impl LineDecoder for WebErrorDecoder {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        output.tally.records += 1;
        let line = line.trim_ascii();
        match event(line, self.context).or_else(|| web_access::event(line)) {
            Some(event) => {
                output.tally.decoded += 1;
                output.events.push(event);
            }
            None => output.tally.refuse("bad_error_line"),
        }
    }

    fn advance(&mut self, _time: Timestamp, _output: &mut Output) {}

    fn finish(&mut self, _output: &mut Output) {}
}

#[cfg(test)]
mod tests {
    use crate::engine::decoder::log::Format;
    use crate::engine::decoder::log::check::{check, decode, mutate};

    const LINES: &[(&str, &str)] = &[
        (
            r#"2021/12/01 13:53:33 [error] 31#31: *46 "/srv/index.html" is not found (2: No such file), client: 10.0.0.7, server: localhost, request: "GET /market/ HTTP/1.1", host: "a.example""#,
            "event.category=web event.type=error event.dataset=nginx.error log.level=error process.pid=31 source.ip=10.0.0.7 \
             url.path=/market/ url.domain=a.example http.request.method=GET !event.outcome",
        ),
        (
            r#"2021/12/01 13:53:33 [error] 31#31: *46 user "bob": password mismatch, client: 10.0.0.7, server: localhost, request: "GET / HTTP/1.1""#,
            "event.category=authentication event.outcome=failure user.name=bob source.ip=10.0.0.7",
        ),
        (
            "[Wed Dec 01 13:53:33 2021] [error] [client 10.0.0.7] Directory index forbidden by rule: /srv/",
            "event.category=web event.dataset=apache.error source.ip=10.0.0.7 log.level=error",
        ),
        (
            "[Wed Dec 01 13:53:33.250000 2021] [auth_basic:error] [pid 7:tid 8] [client 10.0.0.7:1234] AH01617: user bob: authentication failure for \"/x\": Password Mismatch",
            "event.category=authentication event.outcome=failure user.name=bob source.ip=10.0.0.7 source.port=1234 process.pid=7",
        ),
        (
            "[Wed Dec 01 13:53:33 2021] [notice] workerEnv.init() ok /etc/httpd/conf/workers2.properties",
            "log.level=notice !source.ip",
        ),
    ];

    #[test]
    fn complaints_tell_who_and_what() {
        for (line, expected) in LINES {
            check(Format::WebError, line, expected);
            let time = decode(Format::WebError, line)[0].time().to_string();
            assert!(time.starts_with("2021-12-01T13:53:33."), "{time}");
        }
    }

    #[test]
    fn broken_lines_never_panic() {
        let lines: Vec<&str> = LINES.iter().map(|(line, _)| *line).collect();
        mutate(Format::WebError, &lines.join("\n"), 2000);
    }

    #[test]
    fn requests_and_messages_of_one_file_are_both_read() {
        let request = r#"10.0.0.7 - - [01/Dec/2021:13:53:34 +0000] "GET /a HTTP/1.1" 200 8"#;
        let message = "2021/12/01 13:53:33 [error] 31#31: *46 open() failed, client: 10.0.0.7, server: localhost";
        for (format, lines) in [
            (Format::WebError, [message, message, request].join("\n")),
            (Format::WebAccess, [request, request, message].join("\n")),
        ] {
            assert_eq!(decode(format, &lines).len(), 3);
        }
    }
}
