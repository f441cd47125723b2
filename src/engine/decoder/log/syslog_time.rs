//! The times of syslog lines: RFC 3164's without a year or a zone, and RFC 3339's. The year is told once and kept up
//! with from line to line.

use super::LineContext;
use super::text::{leading_number, split_once};
use crate::domain::{Duration, Timestamp, civil_from_days, days_from_civil, parse_civil};
use serde::{Deserialize, Serialize};

/// Further back than this within a year is the next year.
const BACK_MAX: Duration = Duration::from_seconds(183 * 86_400);
/// A line of the old year may come this much after a line of the new one.
const DISORDER_MAX: Duration = Duration::from_seconds(7 * 86_400);

/// A time as a line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineTime {
    /// Fully told.
    Absolute(Timestamp),
    /// Date and time as a clock on the wall showed them.
    Local(Timestamp),
    /// The same without a year.
    Yearless {
        /// 1 to 12.
        month: u8,
        /// 1 to 31.
        day: u8,
        /// Nanoseconds since that day's midnight.
        nanos_of_day: i64,
    },
}

/// Tells lines' moments, keeping up with the year.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct YearClock {
    year: i64,
    offset: Duration,
    /// The greatest moment so far, on the wall's clock.
    latest: Option<Timestamp>,
}

impl YearClock {
    pub(super) fn new(context: LineContext) -> Self {
        YearClock {
            year: i64::from(context.year),
            offset: Duration::from_seconds(i64::from(context.offset_minutes) * 60),
            latest: None,
        }
    }

    /// The moment of a line. A time without a year is put into the year of the latest line so far; more than half a
    /// year before that line means the next year, a week or less before it across New Year means the year before.
    pub(super) fn moment(&mut self, time: LineTime) -> Timestamp {
        match time {
            LineTime::Absolute(time) => time,
            LineTime::Local(local) => local.minus(self.offset),
            LineTime::Yearless {
                month,
                day,
                nanos_of_day,
            } => {
                let local = self.with_year(i64::from(month), i64::from(day), nanos_of_day);
                if self.latest.is_none_or(|latest| local > latest) {
                    self.latest = Some(local);
                }
                local.minus(self.offset)
            }
        }
    }

    fn with_year(&mut self, month: i64, day: i64, nanos_of_day: i64) -> Timestamp {
        let this_year = at(self.year, month, day, nanos_of_day);
        let Some(latest) = self.latest else {
            return this_year;
        };
        let year_before = at(self.year - 1, month, day, nanos_of_day);
        if latest.since(year_before) <= DISORDER_MAX {
            return year_before;
        }
        // The last year that nanoseconds can tell is 2262.
        if latest.since(this_year) > BACK_MAX && self.year < 2261 {
            self.year += 1;
            return at(self.year, month, day, nanos_of_day);
        }
        this_year
    }
}

fn at(year: i64, month: i64, day: i64, nanos_of_day: i64) -> Timestamp {
    Timestamp::from_seconds(days_from_civil(year, month, day).saturating_mul(86_400))
        .plus(Duration::from_nanos(nanos_of_day))
}

/// The ends of an input without years.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The first line.
    pub first: &'a [u8],
    /// The last whole line.
    pub last: &'a [u8],
}

/// The year of an input's first line, such that its last line is at or before `known_by` (the moment at which the
/// input was last written). `None` when the lines have their year, or no time at all.
pub fn year_of_first_line(ends: Ends<'_>, known_by: Timestamp, offset_minutes: i16) -> Option<i16> {
    let local = known_by.plus(Duration::from_seconds(i64::from(offset_minutes) * 60));
    let (mut year, _, _) = civil_from_days(local.seconds().div_euclid(86_400));
    // A clock that runs a little ahead of the file's does not mean a whole year back.
    if in_year(ends.last, year)?.since(local) > Duration::from_seconds(86_400) {
        year -= 1;
    }
    // Both in one year, the first line would be later than the last: New Year lies between them.
    if in_year(ends.first, year)?.since(in_year(ends.last, year)?) > DISORDER_MAX {
        year -= 1;
    }
    i16::try_from(year).ok()
}

fn in_year(line: &[u8], year: i64) -> Option<Timestamp> {
    let (_, line) = super::syslog::priority(line);
    match read(line)? {
        (
            LineTime::Yearless {
                month,
                day,
                nanos_of_day,
            },
            _,
        ) => Some(at(year, i64::from(month), i64::from(day), nanos_of_day)),
        _ => None,
    }
}

/// Reads the time at the beginning of a line and gives what stands behind it and its blanks.
pub(super) fn read(line: &[u8]) -> Option<(LineTime, &[u8])> {
    match line.first()? {
        b'0'..=b'9' => read_iso(line),
        _ => read_month_name(line),
    }
}

/// `2026-03-02T09:12:41.123456+01:00 ` or the same without a zone.
fn read_iso(line: &[u8]) -> Option<(LineTime, &[u8])> {
    if line.get(10)? != &b'T' {
        return None;
    }
    let (stamp, rest) = split_once(line, b" ")?;
    let time = match Timestamp::parse_rfc3339(stamp) {
        Some(time) => LineTime::Absolute(time),
        None => match parse_civil(stamp)? {
            (local, []) => LineTime::Local(local),
            _ => return None,
        },
    };
    Some((time, rest.trim_ascii_start()))
}

/// `Mar  2 09:12:41 `, also with a fraction, and with a year before or behind the time of day (`Mar  2 2026 09:12:41`).
fn read_month_name(line: &[u8]) -> Option<(LineTime, &[u8])> {
    let (name, rest) = line.split_at_checked(3)?;
    let month = month(name)?;
    let rest = rest.strip_prefix(b" ")?.trim_ascii_start();
    let (day, rest) = leading_number(rest)?;
    let day = u8::try_from(day).ok().filter(|day| (1..=31).contains(day))?;
    let mut rest = rest.strip_prefix(b" ")?;
    let mut year = None;
    if let [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', ..] = rest {
        let (number, behind) = leading_number(rest)?;
        (year, rest) = (Some(number), behind.strip_prefix(b" ")?);
    }
    let (nanos_of_day, rest) = time_of_day(rest)?;
    let rest = match rest {
        [] => rest,
        [b' ', rest @ ..] => rest,
        [b':', b' ', rest @ ..] => rest,
        _ => return None,
    };
    let time = match year.and_then(|year| i64::try_from(year).ok()) {
        Some(year) => LineTime::Local(at(year, i64::from(month), i64::from(day), nanos_of_day)),
        None => LineTime::Yearless {
            month,
            day,
            nanos_of_day,
        },
    };
    Some((time, rest.trim_ascii_start()))
}

/// The number of a month's English name, cut to three letters.
pub(super) fn month(name: &[u8]) -> Option<u8> {
    Some(match name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

/// `09:12:41` or `09:12:41.123456`, as nanoseconds since midnight.
fn time_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = text else {
        return None;
    };
    let two = |a: u8, b: u8| {
        (a.is_ascii_digit() && b.is_ascii_digit()).then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
    };
    let (hour, minute, second) = (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut nanos = (hour * 3600 + minute * 60 + second) * 1_000_000_000;
    let mut rest = rest;
    if let [b'.' | b',', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut scale = 100_000_000i64;
        for digit in fraction.iter().take(digits.min(9)) {
            nanos += i64::from(digit - b'0') * scale;
            scale /= 10;
        }
        rest = fraction.get(digits..)?;
    }
    Some((nanos, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(year: i16, lines: &[&str]) -> Vec<String> {
        let mut clock = YearClock::new(LineContext {
            year,
            offset_minutes: 60,
        });
        let moment = |line: &&str| clock.moment(read(line.as_bytes()).expect(line).0).to_string();
        lines.iter().map(moment).collect()
    }

    #[test]
    fn the_year_turns_once_and_stays_turned_for_late_lines() {
        assert_eq!(
            moments(
                2023,
                &[
                    "Dec 31 23:59:58 h",
                    "Jan  1 00:00:01 h",
                    "Dec 31 23:59:59 h",
                    "Jan  1 00:00:02.5 h",
                    "Jun 1 00:00:00 h"
                ]
            ),
            [
                "2023-12-31T22:59:58.000Z",
                "2023-12-31T23:00:01.000Z",
                "2023-12-31T22:59:59.000Z",
                "2023-12-31T23:00:02.500Z",
                "2024-05-31T23:00:00.000Z"
            ]
        );
    }

    #[test]
    fn slight_disorder_and_long_silence_keep_the_year() {
        assert_eq!(
            moments(2023, &["Mar  2 00:00:00 h", "Feb 28 12:00:00 h", "Nov 30 00:00:00 h"]),
            [
                "2023-03-01T23:00:00.000Z",
                "2023-02-28T11:00:00.000Z",
                "2023-11-29T23:00:00.000Z"
            ]
        );
    }

    #[test]
    fn every_form_of_time_is_read() {
        assert_eq!(
            moments(
                2023,
                &[
                    "Mar 2 2026 09:12:41: x",
                    "2026-03-02T09:12:41.25+01:00 x",
                    "2026-03-02T09:12:41 x",
                    "2026-03-02T09:12:41Z x"
                ]
            ),
            [
                "2026-03-02T08:12:41.000Z",
                "2026-03-02T08:12:41.250Z",
                "2026-03-02T08:12:41.000Z",
                "2026-03-02T09:12:41.000Z"
            ]
        );
        for line in [
            "",
            "Mar",
            "Mar 32 09:12:41 x",
            "Mar 2 24:00:00 x",
            "Mars 2 04:00:00 x",
            "2026-03-02T x",
            "2026-03-02 09:12:41 x",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn the_first_year_follows_from_when_the_file_was_written() {
        let year = |first: &str, last: &str, known_by: &str| {
            let known_by = Timestamp::parse_rfc3339(known_by.as_bytes()).expect(known_by);
            year_of_first_line(
                Ends {
                    first: first.as_bytes(),
                    last: last.as_bytes(),
                },
                known_by,
                0,
            )
        };
        let (november, march) = ("<13>Nov  3 10:00:00 h x: y", "Mar  4 10:00:00 h x: y");
        assert_eq!(year(march, march, "2026-03-04T10:00:01Z"), Some(2026));
        assert_eq!(year(march, march, "2026-03-02T10:00:01Z"), Some(2025));
        assert_eq!(year(november, march, "2026-08-01T00:00:00Z"), Some(2025));
        assert_eq!(year(march, november, "2026-08-01T00:00:00Z"), Some(2025));
        assert_eq!(year("2026-03-02T09:12:41Z x", march, "2026-08-01T00:00:00Z"), None);
    }
}
