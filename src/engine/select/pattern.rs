//! Patterns over text: whole, beginning, end, part, or with wildcards; without regard to case unless told otherwise.
//!
//! Case is folded a character at a time (Unicode's simple folding: `ẞ` is `ß`, the Kelvin sign is `k`, `ß` is not `ss`).
//! Text and pattern that are ASCII, which is nearly all of them, are compared as bytes. Nothing allocates after
//! compilation.

use memchr::memmem::Finder;

/// One place of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// This character.
    Char(char),
    /// Any one character: `?`.
    One,
    /// Any characters, or none: `*`.
    Many,
    /// Any of the signs that Windows programs take for the beginning of an option.
    Dash,
}

/// The signs that stand for each other under Sigma's `windash`.
pub(super) const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    shape: Shape,
    cased: bool,
}

#[derive(Clone, Debug)]
enum Shape {
    Whole(Literal),
    Beginning(Literal),
    End(Literal),
    Part(Literal, Search),
    Wild(Box<[Unit]>),
    Anything,
}

#[derive(Clone, Debug)]
struct Literal {
    /// Folded unless the pattern is cased.
    text: Box<str>,
    ascii: bool,
}

#[derive(Clone, Debug)]
enum Search {
    Cased(Box<Finder<'static>>),
    /// Where in the literal its least usual byte stands; this byte is looked for in both cases.
    Folded {
        rare: usize,
    },
}

impl Pattern {
    /// Compiles `units`, which hold no text in folded form yet.
    pub(super) fn new(units: &[Unit], cased: bool) -> Pattern {
        let mut places: Vec<Unit> = Vec::with_capacity(units.len());
        for unit in units {
            match unit {
                Unit::Many if places.last() == Some(&Unit::Many) => {}
                Unit::Char(character) if !cased => places.push(Unit::Char(fold(*character))),
                unit => places.push(*unit),
            }
        }
        let inner = match places.as_slice() {
            [Unit::Many, inner @ .., Unit::Many] => (true, inner, true),
            [Unit::Many, inner @ ..] => (true, inner, false),
            [inner @ .., Unit::Many] => (false, inner, true),
            inner => (false, inner, false),
        };
        let shape = match (inner, literal(inner.1)) {
            ((true, [], _), _) => Shape::Anything,
            ((false, _, false), Some(literal)) => Shape::Whole(literal),
            ((false, _, true), Some(literal)) => Shape::Beginning(literal),
            ((true, _, false), Some(literal)) => Shape::End(literal),
            ((true, _, true), Some(literal)) => {
                let search = if cased {
                    Search::Cased(Box::new(Finder::new(literal.text.as_bytes()).into_owned()))
                } else {
                    Search::Folded {
                        rare: least_usual(literal.text.as_bytes()),
                    }
                };
                Shape::Part(literal, search)
            }
            (_, None) => Shape::Wild(places.into_boxed_slice()),
        };
        Pattern { shape, cased }
    }

    /// Whether every text, empty or not, matches.
    pub(super) fn matches_anything(&self) -> bool {
        matches!(self.shape, Shape::Anything)
    }

    /// About how much a comparison costs, for trying the cheapest first.
    pub(super) fn cost(&self) -> u32 {
        match self.shape {
            Shape::Anything => 1,
            Shape::Whole(_) => 3,
            Shape::Beginning(_) | Shape::End(_) => 4,
            Shape::Part(..) => 10,
            Shape::Wild(_) => 20,
        }
    }

    /// Whether `text` matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Anything => true,
            Shape::Wild(units) => matches_wild(units, text, self.cased),
            Shape::Whole(literal) if self.cased => text == &*literal.text,
            Shape::Beginning(literal) if self.cased => text.starts_with(&*literal.text),
            Shape::End(literal) if self.cased => text.ends_with(&*literal.text),
            Shape::Whole(literal) => literal.is_whole(text),
            Shape::Beginning(literal) => literal.begins(text),
            Shape::End(literal) => literal.ends(text),
            Shape::Part(_, Search::Cased(finder)) => finder.find(text.as_bytes()).is_some(),
            Shape::Part(literal, Search::Folded { rare }) => literal.is_in(text, *rare),
        }
    }
}

/// The literal that the units spell, if no wildcard is among them.
fn literal(units: &[Unit]) -> Option<Literal> {
    let text: String = units
        .iter()
        .map(|unit| match unit {
            Unit::Char(character) => Some(*character),
            _ => None,
        })
        .collect::<Option<_>>()?;
    Some(Literal {
        ascii: text.is_ascii(),
        text: text.into_boxed_str(),
    })
}

/// Where the byte stands that is least usual in log texts.
fn least_usual(text: &[u8]) -> usize {
    let usual = b"eaotinsrlcdmpu./\\ -:";
    text.iter().position(|byte| !usual.contains(byte)).unwrap_or(0)
}

impl Literal {
    fn is_whole(&self, text: &str) -> bool {
        if self.ascii {
            if self.text.eq_ignore_ascii_case(text) {
                return true;
            }
            // A character that folds to ASCII takes at most three bytes, and only longer text can hold one.
            if text.len() <= self.text.len() || text.len() > 3 * self.text.len() {
                return false;
            }
        }
        !text.is_ascii() && text.chars().map(fold).eq(self.text.chars())
    }

    fn begins(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let head = bytes.get(..self.text.len()).unwrap_or(bytes);
        if self.ascii && self.text.as_bytes().eq_ignore_ascii_case(head) {
            return true;
        }
        !head.is_ascii() && begins_folded(&self.text, text)
    }

    fn ends(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let tail = bytes
            .get(bytes.len().saturating_sub(self.text.len())..)
            .unwrap_or(bytes);
        if self.ascii && self.text.as_bytes().eq_ignore_ascii_case(tail) {
            return true;
        }
        if tail.is_ascii() {
            return false;
        }
        let mut characters = text.chars().rev().map(fold);
        self.text
            .chars()
            .rev()
            .all(|expected| characters.next() == Some(expected))
    }

    fn is_in(&self, text: &str, rare: usize) -> bool {
        let wanted = self.text.as_bytes();
        if self.ascii && is_in_ascii(wanted, text.as_bytes(), rare) {
            return true;
        }
        !text.is_ascii()
            && text
                .char_indices()
                .any(|(at, _)| text.get(at..).is_some_and(|rest| begins_folded(&self.text, rest)))
    }
}

fn is_in_ascii(wanted: &[u8], bytes: &[u8], rare: usize) -> bool {
    let Some(byte) = wanted.get(rare) else {
        return true;
    };
    let here = |at: usize| {
        at.checked_sub(rare)
            .and_then(|start| bytes.get(start..start + wanted.len()))
            .is_some_and(|part| part.eq_ignore_ascii_case(wanted))
    };
    if byte.is_ascii_lowercase() {
        memchr::memchr2_iter(*byte, byte.to_ascii_uppercase(), bytes).any(here)
    } else {
        memchr::memchr_iter(*byte, bytes).any(here)
    }
}

fn begins_folded(beginning: &str, text: &str) -> bool {
    let mut characters = text.chars().map(fold);
    beginning.chars().all(|expected| characters.next() == Some(expected))
}

/// Matching with wildcards: on a mismatch the last `*` takes one character more. At most characters times units steps.
fn matches_wild(units: &[Unit], text: &str, cased: bool) -> bool {
    let mut unit_at = 0;
    let mut rest = text.chars();
    let mut last_many: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let matched = match units.get(unit_at) {
            Some(Unit::Many) => {
                last_many = Some((unit_at + 1, rest.clone()));
                true
            }
            Some(unit) => rest.next().is_some_and(|character| match unit {
                Unit::Char(expected) if cased => character == *expected,
                Unit::Char(expected) => fold(character) == *expected,
                Unit::Dash => DASHES.contains(&character),
                Unit::One | Unit::Many => true,
            }),
            None if rest.as_str().is_empty() => return true,
            None => false,
        };
        if matched {
            unit_at += 1;
            continue;
        }
        let Some((after, from)) = &mut last_many else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        unit_at = *after;
        rest = from.clone();
    }
}

/// The character without its case: Unicode's simple folding, as far as upper and lower case mappings give it.
pub(super) fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    // The dotless i is a letter of its own, although its capital is I.
    if character == '\u{131}' {
        return character;
    }
    let upper = only(character.to_uppercase()).unwrap_or(character);
    only(upper.to_lowercase()).unwrap_or(upper)
}

fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(pattern: &str) -> Vec<Unit> {
        pattern
            .chars()
            .map(|character| match character {
                '*' => Unit::Many,
                '?' => Unit::One,
                '%' => Unit::Dash,
                other => Unit::Char(other),
            })
            .collect()
    }

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(
            Pattern::new(&units(pattern), false).matches(text),
            expected,
            "{pattern} on {text}"
        );
    }

    #[test]
    fn every_shape_ignores_case_in_ascii_and_beyond() {
        for (pattern, text, expected) in [
            ("whoami", "WhoAmI", true),
            ("whoami", "whoami ", false),
            ("whoami", "who", false),
            ("kelvin", "\u{212a}elvin", true),
            ("\u{212a}elvin", "KELVIN", true),
            ("straße", "STRAẞE", true),
            ("straße", "STRASSE", false),
            ("σίσυφος", "ΣΊΣΥΦΟΣ", true),
            ("i", "\u{131}", false),
            ("", "", true),
            ("", "a", false),
            ("/etc/*", "/ETC/passwd", true),
            ("/etc/*", "/et", false),
            ("k*", "\u{212a}2", true),
            ("*.EXE", "cmd.exe", true),
            ("*.EXE", "exe", false),
            ("*k", "ab\u{212a}", true),
            ("*ö", "SCHÖ", true),
            ("*net.webclient*", "New-Object Net.WebClient).x", true),
            ("*net.webclient*", "net_webclient", false),
            ("*ök*", "BÄCKER ÖK", true),
            ("*ok*", "é o\u{212a}", true),
            ("*", "", true),
            ("a*b*c", "aXXbYYbc", true),
            ("a*b*c", "aXXbYYbcd", false),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*a?", "xxAb", true),
            ("*?", "", false),
            ("* %enc *", "powershell /ENC abc", true),
            ("* %enc *", "powershell \u{2014}enc abc", true),
            ("* %enc *", "powershell +enc abc", false),
        ] {
            check(pattern, text, expected);
        }
    }

    #[test]
    fn a_cased_pattern_keeps_case() {
        for (pattern, text, expected) in [
            ("AbC", "AbC", true),
            ("AbC", "abc", false),
            ("Ab*", "Abc", true),
            ("*bC", "abC", true),
            ("*b*", "aBc", false),
            ("A?*d", "Abcd", true),
            ("A?*d", "abcd", false),
        ] {
            assert_eq!(
                Pattern::new(&units(pattern), true).matches(text),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn wildcards_agree_with_a_plain_recursive_reading() {
        fn plain(units: &[Unit], text: &[char]) -> bool {
            match (units, text) {
                ([], _) => text.is_empty(),
                ([Unit::Many, rest @ ..], _) => plain(rest, text) || (!text.is_empty() && plain(units, &text[1..])),
                (_, []) => false,
                ([Unit::One, rest @ ..], [_, more @ ..]) => plain(rest, more),
                ([Unit::Dash, rest @ ..], [c, more @ ..]) => DASHES.contains(c) && plain(rest, more),
                ([Unit::Char(p), rest @ ..], [c, more @ ..]) => fold(*c) == fold(*p) && plain(rest, more),
            }
        }
        let mut seed = 7u64;
        let mut next = |bound: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        };
        for _ in 0..20_000 {
            let pattern: String = (0..next(7)).map(|_| ['a', 'B', '*', '?', 'é', '*'][next(6)]).collect();
            let text: String = (0..next(9)).map(|_| ['a', 'b', 'A', 'É', 'b'][next(5)]).collect();
            let characters: Vec<char> = text.chars().collect();
            check(&pattern, &text, plain(&units(&pattern), &characters));
        }
    }
}
