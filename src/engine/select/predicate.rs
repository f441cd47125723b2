//! Tests of one value: text, number, address, network, regular expression, another field.

use super::pattern::{Pattern, fold};
use crate::domain::{Event, Field, Prefix, Value};
use regex::Regex;
use std::cmp::Ordering;
use std::fmt::Write;
use std::net::IpAddr;

/// A test of one value.
#[derive(Clone, Debug)]
pub(super) enum Predicate {
    Text(Pattern),
    Regex(Regex),
    Number(Comparison, Number),
    /// One of these whole numbers, ascending.
    Wholes(Box<[u64]>),
    Address(IpAddr),
    Network(Prefix),
    Bool(bool),
    /// Some value of another field stands to this one as the reference says; with regard to case if `true`.
    Reference(Field, Reference, bool),
}

/// How a number must stand to the value that the definition names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A number as definitions write it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i128),
    Fraction(f64),
}

/// How a value must stand to the other field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Equal,
    Contains,
    Begins,
    Ends,
}

impl Predicate {
    /// Whether `value`, one of `event`'s, meets the predicate.
    pub(super) fn meets(&self, value: Value<'_>, event: &Event) -> bool {
        match self {
            Predicate::Text(pattern) => match value {
                Value::Str(text) => pattern.matches(text),
                value => with_text(value, |text| pattern.matches(text)),
            },
            Predicate::Regex(regex) => with_text(value, |text| regex.is_match(text)),
            Predicate::Number(comparison, expected) => number(value)
                .and_then(|number| order(number, *expected))
                .is_some_and(|order| comparison.allows(order)),
            Predicate::Wholes(wholes) => match value {
                Value::U64(number) => wholes.contains(&number),
                value => number(value).is_some_and(|number| {
                    wholes
                        .iter()
                        .any(|whole| order(number, Number::Whole(i128::from(*whole))) == Some(Ordering::Equal))
                }),
            },
            Predicate::Address(expected) => address(value) == Some(*expected),
            Predicate::Network(network) => address(value).is_some_and(|address| network.contains(address)),
            Predicate::Bool(expected) => match value {
                Value::Bool(yes) => yes == *expected,
                Value::Str(text) => text.eq_ignore_ascii_case(if *expected { "true" } else { "false" }),
                _ => false,
            },
            Predicate::Reference(field, reference, cased) => event.values(*field).any(|other| {
                with_text(value, |text| {
                    with_text(other, |other| reference.holds(text, other, *cased))
                })
            }),
        }
    }

    /// About how much a test costs, for trying the cheapest first.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Predicate::Bool(_) | Predicate::Number(..) | Predicate::Address(_) | Predicate::Network(_) => 2,
            Predicate::Wholes(wholes) => 2 + wholes.len() as u32 / 8,
            Predicate::Text(pattern) => pattern.cost(),
            Predicate::Reference(..) => 40,
            Predicate::Regex(_) => 60,
        }
    }
}

/// The same tests, with those for one whole number each joined into one.
pub(super) fn joined(predicates: Vec<Predicate>) -> Vec<Predicate> {
    let mut wholes = Vec::new();
    let mut others = Vec::with_capacity(predicates.len());
    for predicate in predicates {
        match predicate {
            Predicate::Number(Comparison::Equal, Number::Whole(whole)) if u64::try_from(whole).is_ok() => {
                wholes.push(whole as u64);
            }
            Predicate::Wholes(more) => wholes.extend(more),
            other => others.push(other),
        }
    }
    if !wholes.is_empty() {
        wholes.sort_unstable();
        wholes.dedup();
        others.push(Predicate::Wholes(wholes.into_boxed_slice()));
    }
    others
}

impl Comparison {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
        }
    }
}

impl Reference {
    fn holds(self, text: &str, other: &str, cased: bool) -> bool {
        if cased {
            return match self {
                Reference::Equal => text == other,
                Reference::Contains => text.contains(other),
                Reference::Begins => text.starts_with(other),
                Reference::Ends => text.ends_with(other),
            };
        }
        let begins = |text: &str| {
            let mut characters = text.chars().map(fold);
            other
                .chars()
                .map(fold)
                .all(|expected| characters.next() == Some(expected))
        };
        match self {
            Reference::Equal => text.chars().map(fold).eq(other.chars().map(fold)),
            Reference::Begins => begins(text),
            Reference::Contains => {
                other.is_empty() || text.char_indices().any(|(at, _)| text.get(at..).is_some_and(begins))
            }
            Reference::Ends => {
                let mut characters = text.chars().rev().map(fold);
                other
                    .chars()
                    .rev()
                    .map(fold)
                    .all(|expected| characters.next() == Some(expected))
            }
        }
    }
}

fn address(value: Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Ip(address) => Some(address),
        Value::Str(text) => text.parse::<IpAddr>().ok().map(|address| address.to_canonical()),
        _ => None,
    }
}

fn number(value: Value<'_>) -> Option<Number> {
    match value {
        Value::U64(number) => Some(Number::Whole(i128::from(number))),
        Value::I64(number) => Some(Number::Whole(i128::from(number))),
        Value::F64(number) => Some(Number::Fraction(number)),
        Value::Str(text) => parse_number(text),
        Value::Ip(_) | Value::Bool(_) => None,
    }
}

fn parse_number(text: &str) -> Option<Number> {
    // The standard library also reads `inf`, `nan` and `infinity`, which are words here.
    if !text.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    match text.parse::<i64>() {
        Ok(whole) => Some(Number::Whole(i128::from(whole))),
        Err(_) => text
            .parse::<f64>()
            .ok()
            .filter(|fraction| fraction.is_finite())
            .map(Number::Fraction),
    }
}

fn order(left: Number, right: Number) -> Option<Ordering> {
    match (left, right) {
        (Number::Whole(left), Number::Whole(right)) => Some(left.cmp(&right)),
        (left, right) => left.fraction().partial_cmp(&right.fraction()),
    }
}

impl Number {
    fn fraction(self) -> f64 {
        match self {
            Number::Whole(whole) => whole as f64,
            Number::Fraction(fraction) => fraction,
        }
    }
}

/// The longest text that a number or an address takes: 1e308 written out with sign and fraction.
const TEXT_BYTES_MAX: usize = 352;

/// Hands the value's text to `use_text`: what it is, or how a number, an address or yes and no are written.
#[inline]
pub(super) fn with_text(value: Value<'_>, use_text: impl FnOnce(&str) -> bool) -> bool {
    match value {
        Value::Str(text) => use_text(text),
        Value::Bool(yes) => use_text(if yes { "true" } else { "false" }),
        value => with_written(value, use_text),
    }
}

fn with_written(value: Value<'_>, use_text: impl FnOnce(&str) -> bool) -> bool {
    let mut written = Written {
        bytes: [0; TEXT_BYTES_MAX],
        len: 0,
    };
    let outcome = match value {
        Value::Str(text) => write!(written, "{text}"),
        Value::Bool(yes) => write!(written, "{yes}"),
        Value::U64(number) => write!(written, "{number}"),
        Value::I64(number) => write!(written, "{number}"),
        Value::F64(number) => write!(written, "{number}"),
        Value::Ip(address) => write!(written, "{address}"),
    };
    let text = written.bytes.get(..written.len).map(std::str::from_utf8);
    match (outcome, text) {
        (Ok(()), Some(Ok(text))) => use_text(text),
        _ => false,
    }
}

struct Written {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Write for Written {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
