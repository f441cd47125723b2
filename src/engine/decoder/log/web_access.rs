//! Access logs of web servers: the common and the combined format of nginx, Apache and those who follow them, also with
//! the virtual host in front, a list of proxies as the client, and more columns behind.

use super::syslog_time::month;
use super::text::{Kind, add_kind, add_source, add_user, ip, number, rsplit_once, split_once, word};
use super::values::{add_url, add_url_host};
use super::{LineContext, LineDecoder, web_error};
use crate::domain::{Event, Field, Timestamp, days_from_civil};
use crate::engine::decoder::Output;

const ANSWERED: Kind = Kind {
    category: &["web"],
    type_: &["access"],
    action: "http_request",
    outcome: "success",
};
const REFUSED: Kind = Kind {
    outcome: "failure",
    ..ANSWERED
};

/// One request as a line has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    time: Timestamp,
    virtual_host: &'a [u8],
    client: &'a [u8],
    user: &'a [u8],
    request: &'a [u8],
    status: Option<u64>,
    bytes: Option<u64>,
    referrer: &'a [u8],
    agent: &'a [u8],
}

/// Whether a line is an access log's.
pub(super) fn is_line(line: &[u8]) -> bool {
    parse(line).is_some()
}

/// Reads `[host ]client ident user [08/Jun/2020:08:04:43 +0000] "request" status bytes[ "referrer" "agent"...]`.
pub(super) fn parse(line: &[u8]) -> Option<Access<'_>> {
    let (before, time, rest) = around_time(line)?;
    let (request, rest) = quoted(rest.trim_ascii_start())?;
    let (status, rest) = word(rest.trim_ascii_start());
    let (bytes, rest) = word(rest);
    let status = match number(status) {
        Some(status @ 0..=999) => Some(status),
        None if status == b"-" => None,
        _ => return None,
    };
    let (referrer, rest) = quoted(rest).unwrap_or_default();
    let (agent, _) = quoted(rest.trim_ascii_start()).unwrap_or_default();
    let (virtual_host, client, user) = client(before)?;
    Some(Access {
        time,
        virtual_host,
        client,
        user,
        request,
        status,
        bytes: number(bytes),
        referrer,
        agent,
    })
}

/// The text in front of the time, the time, and the text behind it. A user's name may hold a bracket.
fn around_time(line: &[u8]) -> Option<(&[u8], Timestamp, &[u8])> {
    for place in memchr::memchr_iter(b'[', line).take(4) {
        let Some(([b'[', stamp @ ..], rest)) = line.get(place..)?.split_at_checked(27) else {
            return None;
        };
        if let (Some(time), Some(rest)) = (read_time(stamp), rest.strip_prefix(b"]")) {
            return Some((line.get(..place)?.trim_ascii_end(), time, rest));
        }
    }
    None
}

/// `08/Jun/2020:08:04:43 +0000`.
pub(super) fn read_time(text: &[u8]) -> Option<Timestamp> {
    let [
        d1,
        d2,
        b'/',
        m1,
        m2,
        m3,
        b'/',
        y1,
        y2,
        y3,
        y4,
        b':',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b' ',
        sign,
        z1,
        z2,
        z3,
        z4,
    ] = text
    else {
        return None;
    };
    let two = |a: &u8, b: &u8| number(&[*a, *b]).and_then(|number| i64::try_from(number).ok());
    let month = i64::from(month(&[*m1, *m2, *m3])?);
    let (day, year) = (two(d1, d2)?, two(y1, y2)? * 100 + two(y3, y4)?);
    let (hour, minute, second) = (two(h1, h2)?, two(n1, n2)?, two(s1, s2)?);
    let zone = two(z1, z2)? * 3600 + two(z3, z4)? * 60;
    let zone = match sign {
        b'+' => zone,
        b'-' => -zone,
        _ => return None,
    };
    if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(Timestamp::from_seconds(
        days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone,
    ))
}

/// A text between quotation marks, in which a backslash hides the next byte, and what stands behind it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"")?;
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', inner.get(from..)?)?;
        if inner.get(at) == Some(&b'"') {
            return Some((inner.get(..at)?, inner.get(at + 1..)?));
        }
        from = at + 2;
    }
}

/// Virtual host, client and user of the columns in front of the time.
fn client(before: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (first, rest) = word(before);
    if first.is_empty() {
        return None;
    }
    // `10.0.0.7, 192.0.2.1 - -`: what proxies added stands behind the client.
    if let Some(client) = first.strip_suffix(b",") {
        let mut rest = rest;
        loop {
            let (next, behind) = word(rest);
            rest = behind;
            if !next.ends_with(b",") {
                return Some((b"", client, word(rest).1));
            }
        }
    }
    let (second, behind) = word(rest);
    if ip(first).is_none() && ip(second).is_some() {
        return Some((first, second, word(behind).1));
    }
    Some((b"", first, behind))
}

impl Access<'_> {
    /// When the line says that the request was made.
    pub(super) fn time(&self) -> Timestamp {
        self.time
    }

    /// Adds everything that is told, but not the dataset.
    pub(super) fn add(&self, event: &mut Event) {
        let refused = self.status.is_some_and(|status| status >= 400);
        add_kind(event, if refused { REFUSED } else { ANSWERED });
        add_source(event, self.client);
        if !matches!(self.user, b"" | b"-" | b"\"\"") {
            add_user(event, self.user);
        }
        event.add_str(Field::NetworkProtocol, "http");
        add_request(event, self.request);
        if !matches!(self.virtual_host, b"" | b"-" | b"_") {
            add_url_host(event, &String::from_utf8_lossy(self.virtual_host));
        }
        if let Some(status) = self.status {
            event.add_u64(Field::HttpResponseStatusCode, status);
        }
        if let Some(bytes) = self.bytes {
            event.add_u64(Field::HttpResponseBodyBytes, bytes);
        }
        if self.referrer != b"-" {
            event.add_bytes(Field::HttpRequestReferrer, self.referrer);
        }
        if self.agent != b"-" {
            event.add_bytes(Field::UserAgentOriginal, self.agent);
        }
    }
}

/// Adds `GET /a?b HTTP/1.1`. What is no request line (a TLS hello on a plain port) is only `url.original`.
pub(super) fn add_request(event: &mut Event, request: &[u8]) {
    if matches!(request, b"" | b"-") {
        return;
    }
    let (method, rest) = word(request);
    let is_method = !method.is_empty()
        && method.len() <= 32
        && method
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    if !is_method || rest.is_empty() {
        event.add_bytes(Field::UrlOriginal, request);
        return;
    }
    let (target, version) = rsplit_once(rest, b" HTTP/").unwrap_or((rest, b""));
    event.add_bytes(Field::HttpRequestMethod, method);
    event.add_bytes(Field::HttpVersion, version);
    let target = String::from_utf8_lossy(target);
    add_url(event, &target);
    if let Some((_, rest)) = split_once(target.as_bytes(), b"://").filter(|_| !target.starts_with('/')) {
        let host = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
        add_url_host(event, &String::from_utf8_lossy(host));
    }
}

/// The request that a line of an access log tells of.
pub(super) fn event(line: &[u8]) -> Option<Event> {
    let access = parse(line)?;
    let mut event = Event::new(access.time());
    access.add(&mut event);
    event.add_str(Field::EventDataset, "web.access");
    Some(event)
}

/// Reads the lines of one access log, and messages of an error log that stand between: a container's output has both.
#[derive(Debug)]
pub(super) struct WebAccessDecoder {
    context: LineContext,
}

impl WebAccessDecoder {
    pub(super) fn new(context: LineContext) -> Self {
        WebAccessDecoder { context }
    }
}

impl LineDecoder for WebAccessDecoder {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        output.tally.records += 1;
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            output.tally.ignore("comment");
            return;
        }
        match event(line).or_else(|| web_error::event(line, self.context)) {
            Some(event) => {
                output.tally.decoded += 1;
                output.events.push(event);
            }
            None => output.tally.refuse("bad_access_line"),
        }
    }

    fn advance(&mut self, _time: Timestamp, _output: &mut Output) {}

    fn finish(&mut self, _output: &mut Output) {}
}

#[cfg(test)]
mod tests {
    use crate::engine::decoder::log::Format;
    use crate::engine::decoder::log::check::{check, decode, mutate};

    const COMBINED: &str = r#"10.0.0.7 - - [08/Jun/2020:08:04:43 -0130] "GET /a/b.PHP?c=d HTTP/1.1" 404 803 "https://www.example.com/" "curl \"7\"""#;

    #[test]
    fn a_request_has_client_url_answer_and_agent() {
        check(
            Format::WebAccess,
            COMBINED,
            "event.category=web event.type=access event.outcome=failure source.ip=10.0.0.7 !user.name \
             http.request.method=GET http.version=1.1 url.original=/a/b.PHP?c=d url.path=/a/b.PHP url.query=c=d \
             http.response.status_code=404 http.response.body.bytes=803 http.request.referrer=https://www.example.com/ \
             user_agent.original=curl%20\\\"7\\\" event.dataset=web.access",
        );
        assert_eq!(
            decode(Format::WebAccess, COMBINED)[0].time().to_string(),
            "2020-06-08T09:34:43.000Z"
        );
    }

    #[test]
    fn columns_in_front_and_behind_do_no_harm() {
        for (line, expected) in [
            (
                r#"www.corp.example:8080 10.0.0.7 - alice [08/Jun/2020:08:04:43 +0000] "POST / HTTP/2.0" 200 5"#,
                "url.domain=www.corp.example url.port=8080 source.ip=10.0.0.7 user.name=alice event.outcome=success",
            ),
            (
                r#"10.0.0.7 - [08/Jun/2020:08:04:43 +0000] "GET / HTTP/1.1" 304 - "-" "-""#,
                "source.ip=10.0.0.7 !http.response.body.bytes !user_agent.original !http.request.referrer",
            ),
            (
                r#"10.0.0.7, 192.0.2.1, 192.0.2.2 - bob smith [08/Jun/2020:08:04:43 +0000] "GET / HTTP/1.1" 200 5 "-" "-" rt=0.1 "x""#,
                "source.ip=10.0.0.7 user.name=bob%20smith",
            ),
            (
                r#"pc.corp.example - - [08/Jun/2020:08:04:43 +0000] "CONNECT a.example:443 HTTP/1.1" 405 5"#,
                "source.domain=pc.corp.example http.request.method=CONNECT",
            ),
            (
                r#"10.0.0.7 - - [08/Jun/2020:08:04:43 +0000] "\x16\x03\x01\x01 \x02" 400 226 "-" "-""#,
                "!http.request.method url.original=\\x16\\x03\\x01\\x01%20\\x02 http.response.status_code=400",
            ),
            (
                r#"10.0.0.7 - - [08/Jun/2020:08:04:43 +0000] "-" 408 0 "-" "-""#,
                "!url.original http.response.status_code=408 event.outcome=failure",
            ),
            (
                r#"10.0.0.7 - - [08/Jun/2020:08:04:43 +0000] "GET http://A.example/x HTTP/1.1" 200 5"#,
                "url.domain=a.example url.path=/x",
            ),
        ] {
            check(Format::WebAccess, line, expected);
        }
    }

    #[test]
    fn broken_lines_never_panic() {
        mutate(Format::WebAccess, &format!("{COMBINED}\n{COMBINED}"), 2000);
    }
}
