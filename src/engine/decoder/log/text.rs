//! Scanning of bytes that log decoders share: words, pairs, numbers, addresses, names. Nothing here allocates unless
//! its result must differ from its input.

use crate::domain::{Event, Field};
use std::borrow::Cow;
use std::net::IpAddr;

/// Where `needle` first stands.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    memchr::memchr_iter(*first, text).find(|at| text.get(at + 1..).is_some_and(|after| after.starts_with(rest)))
}

/// Where `needle` last stands.
pub(super) fn rfind(text: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    memchr::memrchr_iter(*first, text).find(|at| text.get(at + 1..).is_some_and(|after| after.starts_with(rest)))
}

/// What stands before and behind the first `separator`.
pub(super) fn split_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(text, separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

/// What stands before and behind the last `separator`.
pub(super) fn rsplit_once<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = rfind(text, separator)?;
    Some((text.get(..at)?, text.get(at + separator.len()..)?))
}

/// What stands between the first `open` and the next `close` behind it.
pub(super) fn between<'a>(text: &'a [u8], open: &[u8], close: &[u8]) -> Option<&'a [u8]> {
    let (_, rest) = split_once(text, open)?;
    split_once(rest, close).map(|(inner, _)| inner)
}

/// The first word and what stands behind its blanks. Without a blank the whole text is the word.
pub(super) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b' ', text) {
        Some(at) => {
            let (word, rest) = text.split_at(at);
            (word, rest.trim_ascii_start())
        }
        None => (text, &[]),
    }
}

/// The leading decimal number, of at most 19 digits, and what stands behind it.
pub(super) fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 19 {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    Some((
        number.iter().fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0')),
        rest,
    ))
}

/// The whole text as a decimal number of at most 19 digits.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    match leading_number(text)? {
        (number, []) => Some(number),
        _ => None,
    }
}

/// The text as an address. A zone (`%eth0`) and square brackets are left out.
pub(super) fn ip(text: &[u8]) -> Option<IpAddr> {
    if text.len() > 64 || !text.iter().any(|byte| matches!(byte, b'.' | b':')) {
        return None;
    }
    let text = text
        .strip_prefix(b"[")
        .and_then(|text| text.strip_suffix(b"]"))
        .unwrap_or(text);
    let text = split_once(text, b"%").map_or(text, |(address, _)| address);
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Adds the source of something: `source.ip` when it is an address, else `source.domain`. Words that stand for "not
/// known" add nothing.
pub(super) fn add_source(event: &mut Event, text: &[u8]) {
    match ip(text) {
        Some(address) => event.add_ip(Field::SourceIp, address),
        None if matches!(text, b"" | b"?" | b"-" | b"UNKNOWN" | b"unknown" | b"(null)") => {}
        None => {
            event.add_bytes(Field::SourceDomain, &lower(text));
            event.add_bytes(Field::SourceAddress, text);
        }
    }
}

/// The text in lower case (ASCII).
pub(super) fn lower(text: &[u8]) -> Cow<'_, [u8]> {
    if text.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Adds `host.name`: lower case and without its domain; an address stays whole.
pub(super) fn add_host(event: &mut Event, host: &[u8]) {
    if matches!(host, b"" | b"-") {
        return;
    }
    if let Some(address) = ip(host) {
        event.add_bytes(Field::HostName, host);
        event.add_ip(Field::HostIp, address);
        return;
    }
    let short = split_once(host, b".").map_or(host, |(short, _)| short);
    event.add_bytes(Field::HostName, &lower(if short.is_empty() { host } else { short }));
}

/// A user's name and domain: `CORP\alice`, `alice@corp.example`.
pub(super) fn user_and_domain(user: &[u8]) -> (&[u8], Option<&[u8]>) {
    let split = match split_once(user, b"\\") {
        Some((domain, name)) => Some((name, domain)),
        None => rsplit_once(user, b"@"),
    };
    match split {
        Some((name, domain)) if !name.is_empty() && !domain.is_empty() => (name, Some(domain)),
        _ => (user, None),
    }
}

/// Adds `user.name`, and `user.domain` where the name has one.
pub(super) fn add_user(event: &mut Event, user: &[u8]) {
    let (name, domain) = user_and_domain(user);
    event.add_bytes(Field::UserName, name);
    if let Some(domain) = domain {
        event.add_bytes(Field::UserDomain, domain);
    }
}

/// Adds what kind of thing happened: `event.category` (none where it is empty), `event.type`, `event.action` and
/// `event.outcome` (none where it is empty).
pub(super) fn add_kind(event: &mut Event, kind: Kind) {
    for category in kind.category {
        event.add_str(Field::EventCategory, category);
    }
    for type_ in kind.type_ {
        event.add_str(Field::EventType, type_);
    }
    event.add_str(Field::EventAction, kind.action);
    event.add_str(Field::EventOutcome, kind.outcome);
}

/// What kind of thing happened, in ECS's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// `event.category`.
    pub(super) category: &'static [&'static str],
    /// `event.type`.
    pub(super) type_: &'static [&'static str],
    /// `event.action`.
    pub(super) action: &'static str,
    /// `event.outcome`.
    pub(super) outcome: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_from_both_ends() {
        assert_eq!(
            split_once(b"a from b from c", b" from "),
            Some((&b"a"[..], &b"b from c"[..]))
        );
        assert_eq!(
            rsplit_once(b"a from b from c", b" from "),
            Some((&b"a from b"[..], &b"c"[..]))
        );
        assert_eq!(rsplit_once(b" fro", b" from "), None);
        assert_eq!(find(b"aab", b"ab"), Some(1));
        assert_eq!(between(b"x [y] z", b"[", b"]"), Some(&b"y"[..]));
    }

    #[test]
    fn numbers_have_an_end() {
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!(number(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        assert_eq!(number(b"12a"), None);
        assert_eq!(leading_number(b"12a"), Some((12, &b"a"[..])));
    }

    #[test]
    fn users_and_addresses_lose_what_surrounds_them() {
        assert_eq!(user_and_domain(b"CORP\\alice"), (&b"alice"[..], Some(&b"CORP"[..])));
        assert_eq!(
            user_and_domain(b"alice@corp.example"),
            (&b"alice"[..], Some(&b"corp.example"[..]))
        );
        assert_eq!(user_and_domain(b"@x"), (&b"@x"[..], None));
        assert_eq!(ip(b"fe80::1%eth0"), "fe80::1".parse().ok());
        assert_eq!(ip(b"[::1]"), "::1".parse().ok());
        assert_eq!(ip(b"12"), None);
    }
}
