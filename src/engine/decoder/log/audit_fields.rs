//! The inside of Linux audit records: `key=value` pairs with plain, quoted, nested and hexadecimal values.

use super::text::find;
use std::borrow::Cow;

/// The pairs of a record, those of a nested `msg='...'` and of the enriched part behind 0x1D among them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Pairs { rest: text }
    }
}

/// A value as it stands in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    /// Between quotation marks: the text itself.
    Quoted(&'a [u8]),
    /// Bare: a number, a word, or a text in hexadecimal.
    Bare(&'a [u8]),
}

const fn is_gap(byte: u8) -> bool {
    matches!(byte, b' ' | 0x1d | b'\'' | b'\t')
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let begin = self.rest.iter().position(|byte| !is_gap(*byte))?;
            let text = self.rest.get(begin..)?;
            let stop = text.iter().position(|byte| *byte == b'=' || is_gap(*byte));
            let Some(stop) = stop else {
                self.rest = &[];
                return None;
            };
            let (key, behind) = text.split_at(stop);
            // A word without a value, such as `avc: denied`.
            let Some(value) = behind.strip_prefix(b"=") else {
                self.rest = behind;
                continue;
            };
            // The pairs within `msg='...'` are read as if they stood outside.
            if value.first() == Some(&b'\'') {
                self.rest = value;
                continue;
            }
            let (open, close): (&[u8], &[u8]) = match value.first() {
                Some(b'"') => (b"\"", b"\""),
                Some(b'{') => (b"{", b"}"),
                _ => (b"", b""),
            };
            if !close.is_empty()
                && let Some(inner) = value.strip_prefix(open)
                && let Some(end) = find(inner, close)
            {
                self.rest = inner.get(end + 1..).unwrap_or_default();
                return Some((key, Raw::Quoted(inner.get(..end)?)));
            }
            let end = value.iter().position(|byte| is_gap(*byte)).unwrap_or(value.len());
            let (value, rest) = value.split_at(end);
            self.rest = rest;
            return Some((key, Raw::Bare(value)));
        }
    }
}

impl<'a> Raw<'a> {
    /// The value as it stands; nothing for the words that stand for nothing.
    pub(super) fn plain(self) -> Option<&'a [u8]> {
        match self {
            Raw::Quoted(text) | Raw::Bare(text) if matches!(text, b"" | b"?" | b"(null)" | b"(none)") => None,
            Raw::Quoted(text) | Raw::Bare(text) => Some(text),
        }
    }

    /// The value of a key that holds any text: the kernel writes it in hexadecimal where it has blanks, quotation
    /// marks or bytes that don't print.
    pub(super) fn text(self) -> Option<Cow<'a, [u8]>> {
        let plain = self.plain()?;
        match self {
            Raw::Bare(text) => Some(unhex(text).map_or(Cow::Borrowed(text), Cow::Owned)),
            Raw::Quoted(_) => Some(Cow::Borrowed(plain)),
        }
    }
}

/// The bytes of a text in hexadecimal; `None` when it is none.
pub(super) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        })
        .collect()
}

/// A number in hexadecimal, without a prefix, as `arch` and `a0` to `a3` are written.
pub(super) fn hex_number(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_every_form_are_read() {
        let pairs: Vec<_> = Pairs::new(
            b"pid=7 comm=\"a b\" key=(null) avc: denied msg='op=PAM:x acct=\"root\" res=success'\x1dUID=\"root\" SADDR={ saddr_fam=inet }",
        )
        .collect();
        assert_eq!(
            pairs,
            [
                (&b"pid"[..], Raw::Bare(b"7")),
                (b"comm", Raw::Quoted(b"a b")),
                (b"key", Raw::Bare(b"(null)")),
                (b"op", Raw::Bare(b"PAM:x")),
                (b"acct", Raw::Quoted(b"root")),
                (b"res", Raw::Bare(b"success")),
                (b"UID", Raw::Quoted(b"root")),
                (b"SADDR", Raw::Quoted(b" saddr_fam=inet ")),
            ]
        );
        for broken in [&b"="[..], b"a", b"a=", b"a=\"b", b"a='", b"'''", b"a={"] {
            assert!(Pairs::new(broken).count() <= 1);
        }
    }

    #[test]
    fn texts_in_hexadecimal_are_told_from_words() {
        assert_eq!(Raw::Bare(b"2F746D702F6120").text().as_deref(), Some(&b"/tmp/a "[..]));
        assert_eq!(Raw::Bare(b"ssh").text().as_deref(), Some(&b"ssh"[..]));
        assert_eq!(Raw::Quoted(b"AB").text().as_deref(), Some(&b"AB"[..]));
        assert_eq!(Raw::Bare(b"(null)").text(), None);
        assert_eq!(hex_number(b"ffffffffffffff9c"), Some(0xffff_ffff_ffff_ff9c));
        assert_eq!(hex_number(b"+1x"), None);
    }
}
