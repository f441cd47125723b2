//! The one pass that makes a template of a message.
//!
//! A message is read in *chunks*: what stands between blanks, brackets, quotes, commas, semicolons, bars and equals signs.
//! What a chunk holds (letters, digits, slashes ...) is known when its end is found, so that plain words, which most chunks
//! are, cost no more than copying them.

use super::words::{self, Announces};
use super::{PLACEHOLDER, WORDS_MAX};

/// What a byte is, a bit each, so that a chunk is the sum of its bytes.
const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const BLANK: u8 = 4;
const DELIMITER: u8 = 8;
const SLASH: u8 = 16;
const COLON: u8 = 32;
const DOT: u8 = 64;
const LETTER_AND_DIGIT: u8 = LETTER | DIGIT;
/// Any other mark that stands in the middle of chunks.
const MARK: u8 = 128;

const CLASS: [u8; 256] = {
    let mut class = [MARK; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => LETTER,
            b'0'..=b'9' => DIGIT,
            0..=b' ' | 0x7f => BLANK,
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b',' | b';' | b'|' | b'=' | b'"' | b'\'' | b'`' => {
                DELIMITER
            }
            b'/' => SLASH,
            b':' => COLON,
            b'.' => DOT,
            _ => MARK,
        };
        byte += 1;
    }
    class
};

/// Bytes of quoted text at most; a quote that does not end by then is no quote.
const QUOTED_BYTES_MAX: usize = 512;
/// Words of a group that repeats.
const GROUP_WORDS_MAX: usize = 4;

fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// The sum of a text's classes.
fn sum(text: &[u8]) -> u8 {
    text.iter().fold(0, |sum, byte| sum | class(*byte))
}

fn is_word(byte: u8) -> bool {
    class(byte) & (LETTER | DIGIT) != 0
}

/// Makes templates; holds the last one.
#[derive(Debug, Default)]
pub(super) struct Mask {
    text: Vec<u8>,
    /// Where the words of the text begin.
    starts: Vec<usize>,
    /// Where the text ended behind the last placeholder; 0 before there is one.
    placeholder_end: usize,
    /// What the word that was just written says of what follows.
    announced: Announces,
}

impl Mask {
    /// The template of a message.
    pub(super) fn apply(&mut self, message: &[u8]) -> &[u8] {
        self.text.clear();
        self.starts.clear();
        self.starts.push(0);
        self.placeholder_end = 0;
        self.announced = Announces::Nothing;
        self.read(message.trim_ascii());
        self.end_word();
        let end = self.text.trim_ascii_end().len();
        self.text.truncate(end);
        &self.text
    }

    /// Reads a message, or a part of one that is a message of its own.
    fn read(&mut self, message: &[u8]) {
        let mut rest = message;
        while let Some(&first) = rest.first() {
            rest = match class(first) {
                BLANK => {
                    self.end_word();
                    if self.starts.len() > WORDS_MAX {
                        break;
                    }
                    rest.get(blanks(rest)..).unwrap_or(&[])
                }
                DELIMITER => self.delimiter(message, rest),
                _ => self.chunk(rest),
            };
        }
    }

    /// Reads a delimiter and what belongs to it. Gives what stands behind.
    fn delimiter<'a>(&mut self, message: &[u8], rest: &'a [u8]) -> &'a [u8] {
        let (first, behind) = match rest.split_first() {
            Some((first, behind)) => (*first, behind),
            None => return &[],
        };
        let next = behind.first().copied().unwrap_or(b' ');
        let before = message
            .len()
            .checked_sub(rest.len() + 1)
            .and_then(|at| message.get(at))
            .copied()
            .unwrap_or(b' ');
        match first {
            b'"' | b'\'' | b'`' if !is_word(before) => {
                if let Some(behind) = self.quoted(first, behind) {
                    return behind;
                }
            }
            b'=' => return self.value(before, behind),
            b'(' if self.announced == Announces::Command && behind.ends_with(b")") => {
                self.push(b"(");
                self.placeholder();
                self.push(b")");
                return &[];
            }
            b'(' | b'[' | b'{' if is_closed(first, next) => {
                self.push(&[first]);
                self.placeholder();
                self.push(&[next]);
                return behind.get(1..).unwrap_or(&[]);
            }
            // A bound in front of a number, and no bracket: it belongs to the number.
            b'<' | b'>' if class(next) == DIGIT && class(before) == BLANK => {
                let digits = behind.iter().take_while(|byte| is_word(**byte)).count();
                if behind.get(digits) != Some(&b'>') {
                    return behind;
                }
            }
            _ => {}
        }
        self.push(&[first]);
        behind
    }

    /// Reads quoted text, behind its opening. `None` where this is no quote.
    fn quoted<'a>(&mut self, quote: u8, rest: &'a [u8]) -> Option<&'a [u8]> {
        let length = memchr::memchr(quote, rest.get(..QUOTED_BYTES_MAX).unwrap_or(rest))?;
        let (inside, behind) = (rest.get(..length)?, rest.get(length + 1..)?);
        if behind.first().is_some_and(|next| is_word(*next)) {
            return None;
        }
        let written = self.text.trim_ascii_end();
        let is_key = behind.first() == Some(&b':') && matches!(written.last(), Some(b'{' | b','));
        let is_statement = key_of_value(written).is_some_and(words::tells);
        self.push(&[quote]);
        let word = inside.split(|byte| *byte == b' ').next().unwrap_or(inside);
        if is_key {
            self.part(inside);
        } else if is_statement {
            self.read(inside);
        } else if words::is_method(word) {
            self.push(word);
            self.push(b" ");
            self.placeholder();
        } else {
            self.placeholder();
        }
        self.push(&[quote]);
        Some(behind)
    }

    /// Reads what stands behind an equals sign. `before` stands in front of it.
    fn value<'a>(&mut self, before: u8, rest: &'a [u8]) -> &'a [u8] {
        let text = self.text.trim_ascii_end();
        let key_start = text.iter().rposition(|byte| !is_word(*byte)).map_or(0, |at| at + 1);
        let key = text.get(key_start..).unwrap_or(&[]);
        let closes = text
            .last()
            .is_some_and(|last| matches!(last, b')' | b']' | b'>' | b'.' | b'-'));
        let is_sign = matches!(rest.first(), Some(b'=' | b'>' | b'~'));
        let is_operator = matches!(before, b'=' | b'!' | b'<' | b'>' | b'+') && self.placeholder_end != self.text.len();
        if is_sign || is_operator || (key.is_empty() && !closes) {
            self.push(b"=");
            return rest;
        }
        if words::is_command(key) {
            self.push(b"=");
            self.placeholder();
            return &[];
        }
        if words::tells(key) {
            self.push(b"=");
            // A quoted statement is read as what it is: a message.
            return self.statement(rest);
        }
        self.push(b"=");
        let gap = blanks(rest);
        let value = rest.get(gap..).unwrap_or(&[]);
        if gap > 0 && begins_pair(value) {
            // The next pair follows: this one has no value.
            self.placeholder();
            return rest;
        }
        let (value, behind) = value.split_at(value_length(value));
        if words::is_yes_or_no(value) {
            self.push(value);
        } else {
            self.placeholder();
        }
        behind
    }

    /// Reads the value of a key that says what happened: in quotes it is a message of its own.
    fn statement<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let Some((quote @ (b'"' | b'\''), inside)) = rest.split_first() else {
            return rest;
        };
        let Some(length) = memchr::memchr(*quote, inside) else {
            return rest;
        };
        let (message, behind) = inside.split_at(length);
        self.push(&[*quote]);
        self.read(message);
        self.push(&[*quote]);
        behind.get(1..).unwrap_or(&[])
    }

    /// Reads a chunk. Gives what stands behind it.
    fn chunk<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (mut length, mut holds) = (0, 0);
        for byte in rest {
            let class = class(*byte);
            if class & (BLANK | DELIMITER) != 0 {
                break;
            }
            holds |= class;
            length += 1;
        }
        if holds & SLASH != 0 && is_path(rest.get(..length).unwrap_or(rest)) {
            // A query stands behind a path, and may hold what ends other chunks.
            let goes_on = |byte: &u8| class(*byte) & BLANK == 0 && (class(*byte) & DELIMITER == 0 || *byte == b'=');
            length += rest.iter().skip(length).take_while(|byte| goes_on(byte)).count();
        }
        let (chunk, behind) = rest.split_at(length);
        let announced = std::mem::take(&mut self.announced);
        if is_named(announced, chunk, behind) {
            let (_, marks) = chunk.split_at(name_length(chunk));
            self.placeholder();
            self.push(marks);
            return behind;
        }
        match holds {
            LETTER => self.word(chunk, behind),
            DIGIT | LETTER_AND_DIGIT => self.placeholder(),
            _ => self.mixed(chunk, holds, behind),
        }
        behind
    }

    /// A chunk of letters.
    fn word(&mut self, word: &[u8], behind: &[u8]) {
        if self.varies(word, behind) {
            self.placeholder();
        } else {
            self.push(word);
            self.announced = words::announces(word);
        }
    }

    /// Whether a word is a part of a number or of a time, or hexadecimal.
    fn varies(&self, word: &[u8], behind: &[u8]) -> bool {
        let follows_number =
            self.placeholder_end > 0 && matches!(self.text.get(self.placeholder_end..), Some([] | [b' ']));
        let is_of_calendar = words::is_of_calendar(word);
        (follows_number && (words::is_unit(word) || words::is_zone(word) || is_of_calendar))
            || (is_of_calendar && begins_date(behind))
            || (word.len() >= 8 && word.iter().all(u8::is_ascii_hexdigit))
    }

    /// A chunk with marks in it; `holds` is the sum of its bytes' classes.
    fn mixed(&mut self, chunk: &[u8], holds: u8, behind: &[u8]) {
        // Dots that lead the eye to a value are no part of either.
        let leader = (holds & DOT != 0).then(|| chunk.windows(3).position(|dots| dots == b"..."));
        let Some(at) = leader.flatten() else {
            return self.marked(chunk, holds, behind);
        };
        let (before, rest) = chunk.split_at(at);
        let dots = rest.iter().take_while(|byte| **byte == b'.').count();
        let (_, after) = rest.split_at(dots);
        self.marked(before, sum(before), behind);
        self.push(b"...");
        self.marked(after, sum(after), behind);
    }

    /// A chunk with marks around it, which stay.
    fn marked(&mut self, chunk: &[u8], holds: u8, behind: &[u8]) {
        if chunk.starts_with(b"::") && is_groups_of_hex(chunk) {
            return self.placeholder();
        }
        let opens =
            |byte: &u8| is_word(*byte) || matches!(byte, b'/' | b'-' | b'+' | b'.' | b'\\' | b'~' | b'$' | b'%');
        let Some(start) = chunk.iter().position(opens) else {
            return self.push(chunk);
        };
        let closes = |byte: &u8| is_word(*byte) || matches!(byte, b'/' | b'%');
        let Some(last) = chunk.iter().rposition(closes).filter(|last| *last >= start) else {
            return self.push(chunk);
        };
        let (front, rest) = chunk.split_at(start);
        let (middle, marks) = rest.split_at(last + 1 - start);
        if !front.is_empty() {
            self.push(front);
        }
        let mut announced = Announces::Nothing;
        if holds & DIGIT == 0 && sum(middle) == LETTER {
            self.word(middle, if marks.is_empty() { behind } else { marks });
            if matches!(marks, b"" | b":") {
                announced = self.announced;
            }
        } else if (holds & MARK != 0 && middle.contains(&b'\\'))
            || (holds & COLON != 0 && (is_groups_of_hex(middle) || contains(middle, b"://")))
        {
            self.placeholder();
        } else {
            self.parts(middle);
        }
        self.push(marks);
        self.announced = announced;
    }

    /// Parts with colons between them.
    fn parts(&mut self, chunk: &[u8]) {
        let mut parts = chunk.split(|byte| *byte == b':').peekable();
        let mut is_first = true;
        while let Some(part) = parts.next() {
            if !is_first {
                self.push(b":");
            }
            is_first = false;
            // A host with its port, a file with its line; these are in small letters.
            let is_number = |part: &&[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
            let is_place =
                part.contains(&b'.') && !part.iter().any(u8::is_ascii_uppercase) && parts.peek().is_some_and(is_number);
            if is_place {
                self.placeholder();
            } else {
                self.part(part);
            }
        }
    }

    /// What stands between colons.
    fn part(&mut self, part: &[u8]) {
        let holds = sum(part);
        let inner = part.get(1..part.len().saturating_sub(1)).unwrap_or(&[]);
        if holds & DIGIT != 0
            || (holds & MARK != 0 && inner.contains(&b'@'))
            || (holds & SLASH != 0 && is_path(part))
            || (holds & DOT != 0 && is_dotted_name(part))
        {
            self.placeholder();
        } else {
            self.push(part);
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.announced = Announces::Nothing;
    }

    /// Writes a placeholder, once for a whole list of them.
    fn placeholder(&mut self) {
        self.announced = Announces::Nothing;
        if self.placeholder_end > 0 {
            let between = self.text.get(self.placeholder_end..).unwrap_or(&[]);
            let joins = match between {
                [] | b", " => true,
                [mark] => matches!(
                    mark,
                    b' ' | b'.' | b':' | b',' | b'-' | b'/' | b'#' | b'_' | b'|' | b'+' | b'*' | b'@'
                ),
                _ => false,
            };
            if joins {
                self.text.truncate(self.placeholder_end);
                if self.starts.last().is_some_and(|start| *start > self.text.len()) {
                    self.starts.pop();
                }
                return;
            }
        }
        self.text.extend_from_slice(PLACEHOLDER);
        self.placeholder_end = self.text.len();
    }

    /// Ends a word of the text; where it ends a group that stands there already, the group is taken off again.
    fn end_word(&mut self) {
        let announced = self.announced;
        let Some(&start) = self.starts.last() else { return };
        if self.text.len() == start {
            return;
        }
        for words in 1..=GROUP_WORDS_MAX {
            let Some(first) = self.starts.len().checked_sub(2 * words) else {
                break;
            };
            let (Some(&first), Some(&second)) = (self.starts.get(first), self.starts.get(self.starts.len() - words))
            else {
                break;
            };
            if self.placeholder_end <= second {
                // No placeholder in it: a phrase that is said twice.
                continue;
            }
            let earlier = unpunctuated(self.text.get(first..second).unwrap_or(&[]));
            let group = self.text.get(second..).unwrap_or(&[]);
            if earlier == unpunctuated(group) {
                let (end, marks) = (first + earlier.len(), second + unpunctuated(group).len());
                let marks = self.text.split_off(marks);
                self.text.truncate(end);
                self.text.extend_from_slice(&marks);
                self.starts.truncate(self.starts.len() - words);
                self.placeholder_end = self.last_placeholder(first);
                break;
            }
        }
        self.text.push(b' ');
        self.starts.push(self.text.len());
        self.announced = announced;
    }

    /// Where the last placeholder ends, which stands behind `from`.
    fn last_placeholder(&self, from: usize) -> usize {
        let text = self.text.get(from..).unwrap_or(&[]);
        let found = text.windows(PLACEHOLDER.len()).rposition(|text| text == PLACEHOLDER);
        found.map_or(0, |at| from + at + PLACEHOLDER.len())
    }
}

/// The key of an object whose value follows this text: `{"level":`.
fn key_of_value(text: &[u8]) -> Option<&[u8]> {
    let (quote, front) = text.strip_suffix(b":")?.split_last()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let start = memchr::memrchr(*quote, front)?;
    front.get(start + 1..)
}

/// How many blanks a text begins with.
fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| class(**byte) == BLANK).count()
}

fn is_closed(open: u8, close: u8) -> bool {
    matches!((open, close), (b'(', b')') | (b'[', b']') | (b'{', b'}'))
}

/// Whether a chunk is the name of somebody.
fn is_named(announced: Announces, chunk: &[u8], behind: &[u8]) -> bool {
    if !chunk.first().is_some_and(|first| is_word(*first)) {
        return false;
    }
    let name = chunk.get(..name_length(chunk)).unwrap_or(chunk);
    match announced {
        Announces::Account if words::may_be_name(name) => true,
        Announces::Whom if behind.trim_ascii_start().starts_with(b"from ") => true,
        _ => behind.starts_with(b"(uid=") || behind.starts_with(b" : TTY="),
    }
}

/// How long the name of an account is that a chunk begins with.
fn name_length(chunk: &[u8]) -> usize {
    let is_of_name = |byte: &u8| is_word(*byte) || matches!(byte, b'.' | b'-' | b'@' | b'$' | b'\\');
    let end = chunk.iter().position(|byte| !is_of_name(byte)).unwrap_or(chunk.len());
    let name = chunk.get(..end).unwrap_or(chunk);
    name.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1)
}

/// A text without the blanks, commas and semicolons at its end.
fn unpunctuated(text: &[u8]) -> &[u8] {
    let end = text
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b',' | b';'))
        .map_or(0, |at| at + 1);
    text.get(..end).unwrap_or(text)
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// Whether a text with a slash in it names a place: not `read/write`.
fn is_path(text: &[u8]) -> bool {
    let slashes = text.iter().filter(|byte| **byte == b'/').count();
    slashes > 1 || (slashes == 1 && matches!(text.first(), Some(b'/' | b'.' | b'~')))
}

/// Whether a text is the dotted name of a host or a class: three labels or more.
fn is_dotted_name(text: &[u8]) -> bool {
    let mut labels = 0;
    for label in text.split(|byte| *byte == b'.') {
        labels += 1;
        if label.is_empty() || !label.iter().all(|byte| is_word(*byte) || matches!(byte, b'$' | b'-')) {
            return false;
        }
    }
    labels >= 3
}

/// Whether a text is hexadecimal in groups between colons: an address of hardware, a fingerprint.
fn is_groups_of_hex(text: &[u8]) -> bool {
    let mut groups = 0;
    for group in text.split(|byte| *byte == b':') {
        groups += 1;
        if group.len() > 4 || !group.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
    }
    groups >= 3
}

/// Whether a date goes on behind a month or weekday: with a number, or with another such word.
fn begins_date(behind: &[u8]) -> bool {
    let next = behind.iter().position(|byte| !matches!(byte, b' ' | b',' | b'.'));
    let next = next.and_then(|at| behind.get(at..)).unwrap_or(&[]);
    let end = next.iter().position(|byte| !is_word(*byte)).unwrap_or(next.len());
    let word = next.get(..end).unwrap_or(next);
    word.first().is_some_and(u8::is_ascii_digit) || words::is_of_calendar(word)
}

/// Whether a text begins with a key and its equals sign.
fn begins_pair(text: &[u8]) -> bool {
    let key = text
        .iter()
        .take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'-'))
        .count();
    key > 0 && text.get(key) == Some(&b'=')
}

/// How long a value is: up to a blank or to what separates pairs; brackets and quotes hold together what is in them.
fn value_length(value: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0usize);
    while let Some(&byte) = value.get(at) {
        match byte {
            b',' | b';' | b'|' | b'>' if depth == 0 => break,
            byte if depth == 0 && class(byte) == BLANK => break,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => break,
            b')' | b']' | b'}' => depth -= 1,
            b'"' | b'\'' if depth == 0 => {
                let inside = value.get(at + 1..).unwrap_or(&[]);
                if let Some(length) = memchr::memchr(byte, inside) {
                    at += length + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    at.min(value.len())
}
