//! A bounded scanner over one JSON text: walks an object's pairs or an array's items without building a tree.
//!
//! Text stays borrowed from the line; a nested object or array is handed out as the text that it spans, to be walked
//! by a scanner of its own when somebody wants it. Depth and the number of pairs have a maximum. It is lenient inside
//! what nobody looks at (a skipped container is only checked for its brackets and strings).

use std::borrow::Cow;

/// How deep objects and arrays may be nested.
pub(super) const DEPTH_MAX: usize = 32;
/// How many pairs of one object, or items of one array, are walked.
pub(super) const ITEMS_MAX: usize = 4096;

/// Why a text is not JSON that is worth reading. Each is a word for the tally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Syntax,
    TooDeep,
    TooManyItems,
}

impl Broken {
    /// The reason as it stands in the tally.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Broken::Syntax => "bad_json",
            Broken::TooDeep => "json_too_deep",
            Broken::TooManyItems => "json_too_many_items",
        }
    }
}

/// One JSON value. Text without escapes is as it stands; text with escapes is unescaped by [`Json::text`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    Escaped(&'a str),
    Object(&'a str),
    Array(&'a str),
}

impl<'a> Json<'a> {
    /// A scalar as text: the text itself, a number's digits, `true` or `false`. Nothing for the rest.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Json::Text(text) | Json::Number(text) => Some(Cow::Borrowed(text)),
            Json::Escaped(text) => Some(Cow::Owned(unescape(text))),
            Json::Bool(yes) => Some(Cow::Borrowed(if yes { "true" } else { "false" })),
            Json::Null | Json::Object(_) | Json::Array(_) => None,
        }
    }
}

/// A key as JSON writes it before its value: in quotes, with a colon. Compared as two words of eight bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuotedKey {
    text: &'static str,
    first: u64,
    first_mask: u64,
    last: u64,
}

impl QuotedKey {
    /// From the key with its quotes and its colon.
    pub(super) const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let (mut first, mut first_mask, mut last) = (0u64, 0u64, 0u64);
        let mut at = 0;
        while at < bytes.len() {
            if at < 8 {
                first |= (bytes[at] as u64) << (8 * at);
                first_mask |= 0xff << (8 * at);
            }
            if bytes.len() >= 8 && at >= bytes.len() - 8 {
                last |= (bytes[at] as u64) << (8 * (at + 8 - bytes.len()));
            }
            at += 1;
        }
        QuotedKey {
            text,
            first,
            first_mask,
            last,
        }
    }

    #[inline(always)]
    fn begins(&self, rest: &[u8]) -> bool {
        let Some(word) = rest.first_chunk::<8>() else {
            return rest.starts_with(self.text.as_bytes());
        };
        if u64::from_le_bytes(*word) & self.first_mask != self.first {
            return false;
        }
        let length = self.text.len();
        if length <= 8 {
            return true;
        }
        if length > 16 {
            return rest.starts_with(self.text.as_bytes());
        }
        let last = rest.get(length - 8..).and_then(|tail| tail.first_chunk::<8>());
        last.is_some_and(|word| u64::from_le_bytes(*word) == self.last)
    }
}

/// Walks the pairs of an object.
#[derive(Clone, Debug)]
pub(super) struct Pairs<'a> {
    cursor: Cursor<'a>,
    pairs: usize,
}

/// Walks the items of an array.
#[derive(Clone, Debug)]
pub(super) struct Items<'a> {
    cursor: Cursor<'a>,
    items: usize,
}

impl<'a> Pairs<'a> {
    /// Begins at the object that `text` holds.
    pub(super) fn of(text: &'a str) -> Result<Self, Broken> {
        let mut cursor = Cursor { text, at: 0 };
        cursor.expect(b'{')?;
        Ok(Pairs { cursor, pairs: 0 })
    }

    /// The next key (as it stands, escapes and all) and its value; nothing at the end of the object, which must be
    /// the end of the text too.
    pub(super) fn next(&mut self) -> Result<Option<(&'a str, Json<'a>)>, Broken> {
        match self.key()? {
            Some(key) => Ok(Some((key, self.value()?))),
            None => Ok(None),
        }
    }

    /// Takes the next key if it is written exactly as in `quoted`: the quick way for who knows what comes next. Its
    /// value must be taken then.
    #[inline(always)]
    pub(super) fn take_key(&mut self, quoted: &QuotedKey) -> bool {
        let cursor = &mut self.cursor;
        let bytes = cursor.text.as_bytes();
        let start = if self.pairs > 0 { cursor.at + 1 } else { cursor.at };
        let Some(rest) = bytes.get(start..) else { return false };
        let found =
            quoted.begins(rest) && (self.pairs == 0 || bytes.get(cursor.at) == Some(&b',')) && self.pairs < ITEMS_MAX;
        if found {
            cursor.at = start + quoted.text.len();
            self.pairs += 1;
        }
        found
    }

    /// The next key; its value must be taken then.
    pub(super) fn key(&mut self) -> Result<Option<&'a str>, Broken> {
        let cursor = &mut self.cursor;
        match cursor.peek() {
            Some(b'}') => {
                cursor.at += 1;
                return cursor.end().map(|()| None);
            }
            Some(b',') if self.pairs > 0 => {
                cursor.at += 1;
                if cursor.peek() != Some(b'"') {
                    return Err(Broken::Syntax);
                }
            }
            Some(b'"') if self.pairs == 0 => {}
            _ => return Err(Broken::Syntax),
        }
        self.pairs += 1;
        if self.pairs > ITEMS_MAX {
            return Err(Broken::TooManyItems);
        }
        cursor.at += 1;
        let (key, _) = cursor.string()?;
        cursor.expect(b':')?;
        Ok(Some(key))
    }

    /// The value of the key that was taken.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Result<Json<'a>, Broken> {
        self.cursor.value()
    }

    /// The value of a key, looked for from here on.
    pub(super) fn find(mut self, wanted: &str) -> Result<Option<Json<'a>>, Broken> {
        while let Some((key, value)) = self.next()? {
            if key == wanted {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

impl<'a> Items<'a> {
    /// Begins at the array that `text` holds.
    pub(super) fn of(text: &'a str) -> Result<Self, Broken> {
        let mut cursor = Cursor { text, at: 0 };
        cursor.expect(b'[')?;
        Ok(Items { cursor, items: 0 })
    }

    /// The next item; nothing at the end of the array.
    pub(super) fn next(&mut self) -> Result<Option<Json<'a>>, Broken> {
        let cursor = &mut self.cursor;
        match cursor.peek() {
            Some(b']') => {
                cursor.at += 1;
                return cursor.end().map(|()| None);
            }
            Some(b',') if self.items > 0 => cursor.at += 1,
            Some(_) if self.items == 0 => {}
            _ => return Err(Broken::Syntax),
        }
        self.items += 1;
        if self.items > ITEMS_MAX {
            return Err(Broken::TooManyItems);
        }
        cursor.value().map(Some)
    }
}

#[derive(Clone, Debug)]
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is not blank, without taking it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Broken> {
        if self.peek() != Some(byte) {
            return Err(Broken::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), Broken> {
        if self.peek().is_some() {
            Err(Broken::Syntax)
        } else {
            Ok(())
        }
    }

    fn since(&self, start: usize) -> Result<&'a str, Broken> {
        self.text.get(start..self.at).ok_or(Broken::Syntax)
    }

    /// The text of a string whose opening quote has been taken, and whether it holds escapes.
    #[inline(always)]
    fn string(&mut self) -> Result<(&'a str, bool), Broken> {
        let start = self.at;
        let mut escaped = false;
        loop {
            let stop = quote_or_backslash(self.text.as_bytes(), self.at).ok_or(Broken::Syntax)?;
            if self.text.as_bytes().get(stop) == Some(&b'"') {
                let text = self.text.get(start..stop).ok_or(Broken::Syntax)?;
                self.at = stop + 1;
                return Ok((text, escaped));
            }
            escaped = true;
            self.at = stop + 2;
        }
    }

    #[inline(always)]
    fn value(&mut self) -> Result<Json<'a>, Broken> {
        let start_byte = self.peek().ok_or(Broken::Syntax)?;
        let start = self.at;
        self.at += 1;
        match start_byte {
            b'"' => Ok(match self.string()? {
                (text, false) => Json::Text(text),
                (text, true) => Json::Escaped(text),
            }),
            b'-' | b'0'..=b'9' => {
                let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
                let length = rest.iter().position(|byte| !IN_NUMBER[usize::from(*byte)]);
                self.at += length.unwrap_or(rest.len());
                self.since(start).map(Json::Number)
            }
            b'{' => {
                self.skip_container()?;
                self.since(start).map(Json::Object)
            }
            b'[' => {
                self.skip_container()?;
                self.since(start).map(Json::Array)
            }
            b't' => self.word("rue", Json::Bool(true)),
            b'f' => self.word("alse", Json::Bool(false)),
            b'n' => self.word("ull", Json::Null),
            _ => Err(Broken::Syntax),
        }
    }

    fn word(&mut self, rest: &str, value: Json<'a>) -> Result<Json<'a>, Broken> {
        let found = self
            .text
            .as_bytes()
            .get(self.at..)
            .is_some_and(|text| text.starts_with(rest.as_bytes()));
        self.at += rest.len();
        if found { Ok(value) } else { Err(Broken::Syntax) }
    }

    /// Passes over an object or array whose opening bracket has been taken.
    fn skip_container(&mut self) -> Result<(), Broken> {
        let mut depth = 1usize;
        loop {
            let byte = *self.text.as_bytes().get(self.at).ok_or(Broken::Syntax)?;
            self.at += 1;
            match byte {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    if depth >= DEPTH_MAX {
                        return Err(Broken::TooDeep);
                    }
                }
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }
}

/// The bytes that a number is made of.
static IN_NUMBER: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = matches!(at as u8, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
        at += 1;
    }
    table
};

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Where the next `"` or `\` stands, eight bytes a step ("Hacker's Delight", section 6-1: the lowest bit found is
/// exact).
#[inline]
fn quote_or_backslash(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    let mut rest = bytes.get(from..)?;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quotes = word ^ (LOW_BITS * b'"' as u64);
        let slashes = word ^ (LOW_BITS * b'\\' as u64);
        let found = (quotes.wrapping_sub(LOW_BITS) & !quotes | slashes.wrapping_sub(LOW_BITS) & !slashes) & HIGH_BITS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
        rest = after;
    }
    rest.iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))
        .map(|offset| at + offset)
}

/// Resolves the escapes of a JSON string; what is no escape, or half of a surrogate pair, becomes U+FFFD.
pub(super) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut characters = after.chars();
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('b') => plain.push('\u{8}'),
            Some('f') => plain.push('\u{c}'),
            Some(same @ ('"' | '\\' | '/')) => plain.push(same),
            Some('u') => {
                rest = unicode_escape(characters.as_str(), &mut plain);
                continue;
            }
            _ => plain.push(char::REPLACEMENT_CHARACTER),
        }
        rest = characters.as_str();
    }
    plain.push_str(rest);
    plain
}

/// Reads what follows `\u`, and the second half of a surrogate pair, and gives the rest.
fn unicode_escape<'a>(text: &'a str, plain: &mut String) -> &'a str {
    let Some((first, rest)) = four_hex(text) else {
        plain.push(char::REPLACEMENT_CHARACTER);
        return text;
    };
    if (0xd800..0xdc00).contains(&first)
        && let Some((second, after)) = rest.strip_prefix("\\u").and_then(four_hex)
        && (0xdc00..0xe000).contains(&second)
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        plain.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        return after;
    }
    plain.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

fn four_hex(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(4)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(&str, Json<'_>)>, Broken> {
        let mut walk = Pairs::of(text)?;
        let mut found = Vec::new();
        while let Some(pair) = walk.next()? {
            found.push(pair);
        }
        Ok(found)
    }

    #[test]
    fn an_object_is_walked_pair_by_pair() {
        assert_eq!(
            pairs(r#" {"a":1, "b" : "two\n", "c":[1,{"d":"]"}],"e":{} ,"f":null,"g":true,"h":-1.5e3} "#),
            Ok(vec![
                ("a", Json::Number("1")),
                ("b", Json::Escaped("two\\n")),
                ("c", Json::Array(r#"[1,{"d":"]"}]"#)),
                ("e", Json::Object("{}")),
                ("f", Json::Null),
                ("g", Json::Bool(true)),
                ("h", Json::Number("-1.5e3")),
            ])
        );
        assert_eq!(pairs("{}"), Ok(vec![]));
    }

    #[test]
    fn a_key_that_is_expected_is_taken_the_quick_way() {
        let text = r#"{"ts":1,"resp_ip_bytes":2,"a_very_long_name_of_a_key":3,"uid":4}"#;
        let mut walk = Pairs::of(text).expect("an object");
        for (key, value) in [
            ("\"ts\":", Some("1")),
            ("\"resp_ip_bytez\":", None),
            ("\"resq_ip_bytes\":", None),
            ("\"resp_ip_bytes\":", Some("2")),
            ("\"a_very_long_name_of_a_kez\":", None),
            ("\"a_very_long_name_of_a_key\":", Some("3")),
            ("\"ui\":", None),
            ("\"uid\":", Some("4")),
            ("\"uid\":", None),
        ] {
            let found = walk.take_key(&QuotedKey::new(key));
            assert_eq!(found, value.is_some(), "{key}");
            if let Some(value) = value {
                assert_eq!(walk.value(), Ok(Json::Number(value)));
            }
        }
        assert_eq!(walk.next(), Ok(None));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "x",
            "[]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{,}",
            "{\"a\" 1}",
            "{\"a\":tru}",
            "{} {}",
            "{\"a\":\"\\",
            "{\"a\":\"\\\"}",
            "{\"a\":[}",
        ] {
            assert_eq!(pairs(text), Err(Broken::Syntax), "{text}");
        }
        assert_eq!(pairs(&format!("{{\"a\":{}", "[".repeat(1000))), Err(Broken::TooDeep));
        let many = format!("{{{}\"z\":1}}", "\"a\":1,".repeat(ITEMS_MAX));
        assert_eq!(pairs(&many), Err(Broken::TooManyItems));
    }

    #[test]
    fn escapes_are_resolved_and_broken_ones_replaced() {
        for (text, plain) in [
            (r"a\\b\/c\tnl\n", "a\\b/c\tnl\n"),
            (r"\u00e9\ud83d\ude00", "é😀"),
            (r"\ud83dx\u12", "\u{fffd}x\u{fffd}12"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\q", "\u{fffd}"),
        ] {
            assert_eq!(unescape(text), plain, "{text}");
        }
    }
}
