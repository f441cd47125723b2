//! Numbers, times and addresses out of the text of a log, and names as they are compared (lower case, without a final
//! dot, without the domain).

use crate::domain::{Duration, Event, Field, Timestamp};
use crate::engine::decoder::application::describe_question;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

/// Seconds since the Unix epoch that would lie past the year 5138 are taken for milliseconds.
const SECONDS_MAX: i64 = 100_000_000_000;
const NANOS: i64 = 1_000_000_000;

/// A whole number that is not negative; a fraction of zero (`592.0`) is let pass.
#[inline]
pub(super) fn whole(text: &str) -> Option<u64> {
    let mut number = 0u64;
    for (place, byte) in text.bytes().enumerate() {
        if !byte.is_ascii_digit() {
            return if place == 0 { None } else { whole_of_float(text) };
        }
        number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    if text.is_empty() { None } else { Some(number) }
}

fn whole_of_float(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    ((0.0..9e15).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

/// Decimal seconds (`1676851329.767505`) as nanoseconds, exactly; digits past the ninth are dropped.
#[inline]
pub(super) fn decimal_nanos(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let mut nanos = 0i64;
    let mut places: Option<u32> = None;
    let mut any = false;
    for byte in digits.bytes() {
        match (byte, places) {
            (b'0'..=b'9', Some(9)) => {}
            (b'0'..=b'9', _) => {
                any = true;
                nanos = nanos.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
                places = places.map(|count| count + 1);
            }
            (b'.', None) => places = Some(0),
            (b'e' | b'E', _) if any => return exponent_nanos(text),
            _ => return None,
        }
    }
    if !any {
        return None;
    }
    let nanos = nanos.checked_mul(10i64.pow(9u32.saturating_sub(places.unwrap_or(0))))?;
    Some(if negative { -nanos } else { nanos })
}

fn exponent_nanos(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    let nanos = (seconds * NANOS as f64).round();
    (nanos.abs() < 9.2e18).then_some(nanos as i64)
}

/// A length of time in decimal seconds that is not negative.
#[inline]
pub(super) fn interval(text: &str) -> Option<Duration> {
    decimal_nanos(text)
        .filter(|nanos| *nanos >= 0)
        .map(Duration::from_nanos)
}

/// A moment: decimal seconds or whole milliseconds since the Unix epoch, or RFC 3339 (UTC where no offset is given).
#[inline]
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    if let Some(nanos) = decimal_nanos(text) {
        return Some(Timestamp::from_nanos(nanos));
    }
    if let Some(milliseconds) = whole(text) {
        let milliseconds = i64::try_from(milliseconds).ok()?;
        return (milliseconds >= SECONDS_MAX)
            .then_some(())
            .and_then(|()| milliseconds.checked_mul(1_000_000))
            .map(Timestamp::from_nanos);
    }
    civil(text)
}

/// RFC 3339, with or without an offset; without one it is UTC.
pub(super) fn civil(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text.as_bytes()).or_else(|| {
        if text.len() > 40 {
            return None;
        }
        Timestamp::parse_rfc3339(format!("{text}Z").as_bytes())
    })
}

/// An address; a zone (`fe80::1%eth0`) is dropped.
#[inline]
pub(super) fn address(text: &str) -> Option<IpAddr> {
    if let Some(address) = dotted(text.as_bytes()) {
        return Some(IpAddr::V4(address));
    }
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse().ok()
}

#[inline]
fn dotted(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut place = 0usize;
    let mut digits = 0u8;
    let mut octet = 0u16;
    for byte in text {
        if byte.is_ascii_digit() {
            if digits > 0 && octet == 0 {
                return None;
            }
            octet = octet * 10 + u16::from(byte - b'0');
            digits += 1;
            if octet > 255 {
                return None;
            }
        } else if *byte == b'.' && digits > 0 && place < 3 {
            *octets.get_mut(place)? = octet as u8;
            place += 1;
            digits = 0;
            octet = 0;
        } else {
            return None;
        }
    }
    if place != 3 || digits == 0 {
        return None;
    }
    octets[3] = octet as u8;
    Some(Ipv4Addr::from(octets))
}

/// The text in lower case; borrowed when it already is.
#[inline]
pub(super) fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        Cow::Owned(text.to_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// A host's name as it is compared: lower case, without its domain. An address stays whole.
pub(super) fn host_name(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if address(text).is_some() {
        return Cow::Borrowed(text);
    }
    lower(text.split_once('.').map_or(text, |(name, _)| name))
}

/// A hardware address as ECS writes it: `00-00-5E-00-53-23`. What is no hardware address stays as it is.
pub(super) fn hardware_address(text: &str) -> Cow<'_, str> {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let others = text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-' | b'.'));
    if digits != 12 || !others {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(17);
    for (place, digit) in text.chars().filter(char::is_ascii_hexdigit).enumerate() {
        if place > 0 && place % 2 == 0 {
            written.push('-');
        }
        written.push(digit.to_ascii_uppercase());
    }
    Cow::Owned(written)
}

/// Adds the name of a DNS question, in lower case and without its final dot, and its parts by the public suffix list.
pub(super) fn add_question_name(event: &mut Event, name: &str) {
    let name = name.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(name);
    describe_question(&lower(name), event);
}

/// Adds a file's path with its name, directory and extension. The separator is `\` or `/`, whichever comes last.
pub(super) fn add_file_path(event: &mut Event, path: &str) {
    event.add_str(Field::FilePath, path);
    let name = match path.rfind(['\\', '/']) {
        Some(place) => {
            let (directory, name) = path.split_at_checked(place).unwrap_or(("", path));
            event.add_str(Field::FileDirectory, directory);
            name.get(1..).unwrap_or("")
        }
        None => path,
    };
    add_file_name(event, name);
}

/// Adds a file's name and its extension, which is in lower case.
pub(super) fn add_file_name(event: &mut Event, name: &str) {
    event.add_str(Field::FileName, name);
    if let Some((stem, extension)) = name.rsplit_once('.')
        && !stem.is_empty()
    {
        event.add_str(Field::FileExtension, &lower(extension));
    }
}

/// The last part of a path with either separator.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path)
}

/// Adds the request target of an HTTP request: whole, its path and its query.
pub(super) fn add_url(event: &mut Event, target: &str) {
    event.add_str(Field::UrlOriginal, target);
    let target = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/")
        }
        _ => target,
    };
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    event.add_str(Field::UrlPath, path);
    event.add_str(Field::UrlQuery, query);
}

/// Adds the host of a URL, lower case and without its port.
pub(super) fn add_url_host(event: &mut Event, host: &str) {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, whole(port)),
        _ => (host, None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    event.add_str(Field::UrlDomain, &lower(name));
    if let Some(port) = port {
        event.add_u64(Field::UrlPort, port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_seconds_are_exact_to_the_nanosecond() {
        for (text, nanos) in [
            ("1676851329.767505", Some(1_676_851_329_767_505_000)),
            ("1676851329.123456789", Some(1_676_851_329_123_456_789)),
            ("1676851329.1234567899", Some(1_676_851_329_123_456_789)),
            ("0.000001", Some(1_000)),
            ("16", Some(16_000_000_000)),
            ("-1.5", Some(-1_500_000_000)),
            ("1.5e3", Some(1_500_000_000_000)),
            (".5", Some(500_000_000)),
            ("", None),
            (".", None),
            ("-", None),
            ("e5", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(decimal_nanos(text), nanos, "{text}");
        }
    }

    #[test]
    fn a_moment_is_read_in_every_form() {
        let expected = Timestamp::parse_rfc3339(b"2023-02-20T00:02:09.767505Z");
        for text in [
            "1676851329.767505",
            "2023-02-20T00:02:09.767505Z",
            "2023-02-20T00:02:09.767505",
            "2023-02-20 01:02:09.767505+0100",
        ] {
            assert_eq!(moment(text), expected, "{text}");
        }
        assert_eq!(
            moment("1676851329767"),
            Timestamp::parse_rfc3339(b"2023-02-20T00:02:09.767Z")
        );
        assert_eq!(moment("yesterday"), None);
    }

    #[test]
    fn addresses_and_names_are_brought_into_one_form() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("10.0.0", None),
            ("10.0.0.256", None),
            ("10.0.0.1.2", None),
            ("10.0..1", None),
            ("-", None),
        ] {
            assert_eq!(
                address(text).map(|address| address.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
        assert_eq!(host_name("WORKSTATION5.mordor.local"), "workstation5");
        assert_eq!(host_name("10.1.2.3"), "10.1.2.3");
        assert_eq!(hardware_address("08:00:27:a3:8b:2e"), "08-00-27-A3-8B-2E");
        assert_eq!(hardware_address("none"), "none");
        assert_eq!(whole("592.0"), Some(592));
        assert_eq!(whole("592.5"), None);
        assert_eq!(whole("-1"), None);
    }
}
