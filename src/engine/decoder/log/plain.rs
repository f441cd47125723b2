//! Lines of any program that begin with a date and a time. What stands behind them is the message, whose template tells what
//! happened; of the rest only the level is looked for, because no two programs agree on more.
//!
//! A line without a time in front (a stack trace) goes on with the message before it, and is ignored.

use super::syslog_time::LineTime;
use super::{LineContext, LineDecoder};
use crate::domain::{Duration, Event, Field, Timestamp, parse_civil};
use crate::engine::decoder::Output;

/// Among so many words at the beginning of a message its level is looked for.
const LEVEL_WORDS_MAX: usize = 6;

const LEVELS: [&str; 17] = [
    "alert",
    "crit",
    "critical",
    "debug",
    "emerg",
    "err",
    "error",
    "fatal",
    "finest",
    "info",
    "information",
    "notice",
    "severe",
    "trace",
    "verbose",
    "warn",
    "warning",
];

/// Whether a line is one of these: a date, a time and a message.
pub(super) fn is_line(line: &[u8]) -> bool {
    read(line).is_some_and(|(_, message)| !message.is_empty())
}

/// Reads the time at the beginning of a line, also in square brackets, and gives what stands behind it.
fn read(line: &[u8]) -> Option<(LineTime, &[u8])> {
    let (time, rest) = match line.strip_prefix(b"[") {
        Some(inner) => {
            let (time, rest) = read_time(inner)?;
            (time, rest.strip_prefix(b"]")?)
        }
        None => read_time(line)?,
    };
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'/');
    if rest.first().is_some_and(goes_on) {
        return None;
    }
    let marks = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b',' | b':' | b'|' | b';'))
        .count();
    Some((time, rest.get(marks..)?.trim_ascii()))
}

/// `2026-03-02 09:12:41`, with `T` between, with slashes, or with two digits of the year as log4j writes it
/// (`26/03/02`); with a fraction behind `.` or `,`, and a zone if there is one.
fn read_time(text: &[u8]) -> Option<(LineTime, &[u8])> {
    let mut civil = *b"2000-01-01 00:00:00";
    let rest = match text {
        [_, _, _, _, first, _, _, second, ..] if first == second && matches!(first, b'-' | b'/') => {
            let (stamp, rest) = text.split_at_checked(civil.len())?;
            civil.copy_from_slice(stamp);
            rest
        }
        [_, _, b'/', _, _, b'/', ..] => {
            let (stamp, rest) = text.split_at_checked(civil.len() - 2)?;
            civil.get_mut(2..)?.copy_from_slice(stamp);
            rest
        }
        _ => return None,
    };
    (civil[4], civil[7]) = (b'-', b'-');
    let (local, _) = parse_civil(&civil)?;
    let (local, rest) = match rest {
        [b'.' | b',', digit, ..] if digit.is_ascii_digit() => {
            let digits = rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, rest) = rest.split_at(1 + digits);
            (local.plus(nanoseconds(fraction.get(1..)?)), rest)
        }
        _ => (local, rest),
    };
    Some(match zone(rest) {
        Some((offset, rest)) => (LineTime::Absolute(local.minus(offset)), rest),
        None => (LineTime::Local(local), rest),
    })
}

/// The digits behind a second's point.
fn nanoseconds(digits: &[u8]) -> Duration {
    let digits = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
    Duration::from_nanos(digits.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0')))
}

/// How far a zone is ahead of UTC (`Z`, `+01:00`, ` +0100`, ` UTC`), and what stands behind it.
fn zone(text: &[u8]) -> Option<(Duration, &[u8])> {
    let after_blank = text.strip_prefix(b" ").unwrap_or(text);
    for name in [b"Z".as_slice(), b"UTC", b"GMT"] {
        if let Some(rest) = after_blank.strip_prefix(name)
            && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
        {
            return Some((Duration::ZERO, rest));
        }
    }
    let (sign, rest) = after_blank.split_first()?;
    let (h1, h2, m1, m2, rest) = match rest {
        [h1, h2, b':', m1, m2, rest @ ..] | [h1, h2, m1, m2, rest @ ..] => (h1, h2, m1, m2, rest),
        _ => return None,
    };
    if ![h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()) || rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let two = |tens: &u8, ones: &u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let offset = two(h1, h2) * 3600 + two(m1, m2) * 60;
    match sign {
        b'+' => Some((Duration::from_seconds(offset), rest)),
        b'-' => Some((Duration::from_seconds(-offset), rest)),
        _ => None,
    }
}

/// The level that a message tells among its first words, in small letters.
fn level(message: &[u8]) -> Option<&'static str> {
    let is_mark = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(
                byte,
                b'[' | b']' | b'(' | b')' | b'<' | b'>' | b'|' | b':' | b',' | b'=' | b'"'
            )
    };
    let words = message.split(is_mark).filter(|word| !word.is_empty());
    words.take(LEVEL_WORDS_MAX).find_map(|word| {
        let found = LEVELS.iter().find(|level| word.eq_ignore_ascii_case(level.as_bytes()));
        found.copied()
    })
}

/// Reads the lines of one input.
pub(super) struct PlainDecoder {
    offset: Duration,
}

impl PlainDecoder {
    pub(super) fn new(context: LineContext) -> Self {
        PlainDecoder {
            offset: Duration::from_seconds(i64::from(context.offset_minutes) * 60),
        }
    }

    fn moment(&self, time: LineTime) -> Option<Timestamp> {
        match time {
            LineTime::Absolute(time) => Some(time),
            LineTime::Local(local) => Some(local.minus(self.offset)),
            LineTime::Yearless { .. } => None,
        }
    }
}

impl LineDecoder for PlainDecoder {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        output.tally.records += 1;
        let Some((time, message)) = read(line.trim_ascii_end()) else {
            output.tally.ignore("continuation");
            return;
        };
        let Some(time) = self.moment(time).filter(|_| !message.is_empty()) else {
            output.tally.ignore("empty");
            return;
        };
        let mut event = Event::new(time);
        if let Some(level) = level(message) {
            event.add_str(Field::LogLevel, level);
        }
        event.add_bytes(Field::Message, message);
        event.add_str(Field::EventDataset, "text");
        output.events.push(event);
        output.tally.decoded += 1;
    }

    fn advance(&mut self, _: Timestamp, _: &mut Output) {}

    fn finish(&mut self, _: &mut Output) {}
}

#[cfg(test)]
mod tests {
    use crate::engine::decoder::log::check::{check, decode, decode_bytes, mutate};
    use crate::engine::decoder::log::{Format, detect};

    #[test]
    fn times_are_read_in_the_forms_that_programs_write() {
        for (stamp, time) in [
            ("2026-03-02 09:12:41", "2026-03-02T09:12:41.000Z"),
            ("2026-03-02 09:12:41,123", "2026-03-02T09:12:41.123Z"),
            ("2026-03-02T09:12:41.5Z", "2026-03-02T09:12:41.500Z"),
            ("2026-03-02 10:12:41+01:00", "2026-03-02T09:12:41.000Z"),
            ("2026/03/02 08:12:41.123456 -0100", "2026-03-02T09:12:41.123Z"),
            ("26/03/02 09:12:41", "2026-03-02T09:12:41.000Z"),
            ("[2026-03-02 09:12:41 UTC]", "2026-03-02T09:12:41.000Z"),
        ] {
            for (line, level) in [
                (format!("{stamp} INFO [main] a.b.C: it began"), "info"),
                (format!("{stamp} [7] Warning - it began"), "warning"),
            ] {
                let events = decode(Format::Text, &line);
                assert_eq!(events[0].time().to_string(), time, "{line}");
                check(
                    Format::Text,
                    &line,
                    &format!("log.level={level} event.dataset=text !host.name"),
                );
                assert_eq!(detect(line.as_bytes()), Some(Format::Text), "{line}");
            }
        }
        check(
            Format::Text,
            "2026-03-02 09:12:41 | it began",
            "message=it%20began !log.level",
        );
    }

    #[test]
    fn what_is_no_time_is_nobodys_and_a_stack_trace_is_ignored() {
        for line in [
            "2026-03-02",
            "2026-13-02 09:12:41 x",
            "20/2026/01 09:12:41 x",
            "2026-03-02 09:12:41.x y",
            "1.2.3 x",
        ] {
            assert_eq!(detect(line.as_bytes()), None, "{line}");
        }
        let output = decode_bytes(
            Format::Text,
            b"2026-03-02 09:12:41 it broke\n\tat a.b(C:7)\n2026-03-02 09:12:41\n",
        );
        assert_eq!(output.events.len(), 1);
        assert_eq!(output.tally.ignored.get("continuation"), Some(&1));
        assert_eq!(output.tally.ignored.get("empty"), Some(&1));
    }

    #[test]
    fn other_formats_come_first() {
        let syslog = "2026-03-02T09:12:41Z web app[7]: hello\n2026-03-02T09:12:41Z hello\n2026-03-02T09:12:41Z hello\n";
        assert_eq!(detect(syslog.as_bytes()), Some(Format::Syslog));
    }

    #[test]
    fn broken_lines_never_panic() {
        mutate(
            Format::Text,
            "[2026-03-02 09:12:41,123] INFO [main] a.b.C: it began\n26/03/02 09:12:41 +0100 WARN x\n2026/03/02 09:12:41.5-01:00 y",
            3000,
        );
    }
}
