//! Helpers of the tests of line decoders: a line with the fields that it must give, and broken lines.

use super::{Format, LineContext};
use crate::domain::{Event, Field, Value};
use crate::engine::decoder::Output;

/// What tests tell a decoder about its input.
pub(crate) const CONTEXT: LineContext = LineContext {
    year: 2026,
    offset_minutes: 0,
};

/// Reads whole lines as one input of a format and gives every event.
pub(crate) fn decode(format: Format, lines: &str) -> Vec<Event> {
    let output = decode_bytes(format, lines.as_bytes());
    assert_eq!(
        output.tally.refused.values().sum::<u64>(),
        0,
        "{:?} of {lines}",
        output.tally
    );
    output.events
}

/// Reads whole lines as one input of a format.
pub(crate) fn decode_bytes(format: Format, lines: &[u8]) -> Output {
    let mut decoder = format.decoder(CONTEXT);
    let mut output = Output::default();
    let mut count = 0;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        decoder.line(line, &mut output);
        count += 1;
    }
    decoder.finish(&mut output);
    let tally = &output.tally;
    let accounted = tally.decoded + tally.ignored.values().sum::<u64>() + tally.refused.values().sum::<u64>();
    assert_eq!((tally.records, accounted), (count, count), "{tally:?}");
    output
}

/// Checks the one event of a text. `expected` has words `field=value` for the fields that it must have (`%20` is a
/// blank, a repeated field must have all of its values) and `!field` for those that it must not have.
pub(crate) fn check(format: Format, lines: &str, expected: &str) {
    let events = decode(format, lines);
    let [event] = events.as_slice() else {
        panic!("{} events of {lines}", events.len());
    };
    check_event(event, expected);
}

/// Checks one event as [`check`] does.
pub(crate) fn check_event(event: &Event, expected: &str) {
    for word in expected.split_ascii_whitespace() {
        let field = |name: &str| Field::from_name(name).unwrap_or_else(|| panic!("no field {name}"));
        match word.split_once('=') {
            Some((name, value)) => {
                let value = value.replace("%20", " ");
                let values: Vec<String> = event.values(field(name)).map(text).collect();
                assert!(values.contains(&value), "{word}, but {values:?} in {}", show(event));
            }
            None => {
                let name = word.strip_prefix('!').expect("field=value or !field");
                assert!(!event.has(field(name)), "{word} in {}", show(event));
            }
        }
    }
}

/// How many authentication events succeeded and how many failed.
pub(crate) fn tries(events: &[Event]) -> (usize, usize) {
    let count = |outcome: &str| {
        let is = |event: &&Event| {
            event
                .values(Field::EventCategory)
                .any(|category| category == Value::Str("authentication"))
                && event.str(Field::EventOutcome) == Some(outcome)
        };
        events.iter().filter(is).count()
    };
    (count("success"), count("failure"))
}

/// An event as `field=value` words.
pub(crate) fn show(event: &Event) -> String {
    let words: Vec<String> = event
        .fields()
        .map(|(field, value)| format!("{}={}", field.name(), text(value)))
        .collect();
    format!("{} {}", event.time(), words.join(" "))
}

fn text(value: Value<'_>) -> String {
    match value {
        Value::Str(text) => text.to_owned(),
        Value::U64(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::Ip(address) => address.to_string(),
        Value::Bool(yes) => yes.to_string(),
    }
}

/// Reads a text broken at random, over and over: nothing may panic, every line must be accounted for.
pub(crate) fn mutate(format: Format, lines: &str, rounds: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..rounds {
        let mut bytes = lines.as_bytes().to_vec();
        for _ in 0..1 + random(8) {
            let at = random(bytes.len());
            match random(6) {
                0 => bytes.truncate(at),
                1 => {
                    let end = (at + random(32)).min(bytes.len());
                    bytes.drain(at..end);
                }
                2 => {
                    let end = (at + random(32)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    let to = random(bytes.len());
                    bytes.splice(to..to, copy);
                }
                3 if !bytes.is_empty() => bytes[at] = b" :=[]()\"'\\\n\x00\xff09<>%-/,;?"[random(23)],
                _ if !bytes.is_empty() => bytes[at] = random(256) as u8,
                _ => {}
            }
        }
        decode_bytes(format, &bytes);
        super::detect(&bytes);
    }
}
