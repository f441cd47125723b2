//! Event time: nanoseconds since the Unix epoch, and lengths of time in nanoseconds.
//! Nothing here reads a clock.

use serde::{Deserialize, Serialize};
use std::fmt;

const NANOS: i64 = 1_000_000_000;

/// A moment of event time: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

/// A length of time in nanoseconds; may be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Duration(i64);

impl Timestamp {
    /// The earliest moment that can be told.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest moment that can be told.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Timestamp(nanos)
    }

    /// From whole seconds since the Unix epoch, held to what fits.
    pub const fn from_seconds(seconds: i64) -> Self {
        Timestamp(seconds.saturating_mul(NANOS))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS)
    }

    /// The length from `earlier` to this moment; negative when `earlier` is later.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved forward by `length`, held to what fits.
    pub const fn plus(self, length: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(length.0))
    }

    /// This moment moved back by `length`, held to what fits.
    pub const fn minus(self, length: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(length.0))
    }

    /// The number of the slot of `length` that holds this moment; slots begin at the Unix epoch. `length` is positive.
    pub const fn slot(self, length: Duration) -> i64 {
        self.0.div_euclid(length.0)
    }

    /// Reads RFC 3339 with any offset (`Z`, `+01:00`, and the colonless `+0100` that Suricata writes), a space or `T`
    /// between date and time, and up to nine digits of a second. `None` when it is not such a text.
    pub fn parse_rfc3339(text: &[u8]) -> Option<Timestamp> {
        let (civil, rest) = parse_civil(text)?;
        let offset_seconds = match rest {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), rest @ ..] => {
                let (hours, minutes) = match rest {
                    [a, b, b':', c, d] | [a, b, c, d] => (two(*a, *b)?, two(*c, *d)?),
                    [a, b] => (two(*a, *b)?, 0),
                    _ => return None,
                };
                let seconds = hours * 3600 + minutes * 60;
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return None,
        };
        Some(Timestamp(civil.0.checked_sub(offset_seconds * NANOS)?))
    }
}

/// Reads `YYYY-MM-DD[T ]hh:mm:ss[.fffffffff]` as if it were UTC and gives what stands behind it.
pub(crate) fn parse_civil(text: &[u8]) -> Option<(Timestamp, &[u8])> {
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T' | b't' | b' ',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        rest @ ..,
    ] = text
    else {
        return None;
    };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let (month, day) = (two(*m1, *m2)?, two(*d1, *d2)?);
    let (hour, minute, second) = (two(*h1, *h2)?, two(*n1, *n2)?, two(*s1, *s2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let mut nanos = 0i64;
    let mut rest = rest;
    if let [b'.' | b',', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        for i in 0..9 {
            let digit = if i < digits { fraction.get(i)? - b'0' } else { 0 };
            nanos = nanos * 10 + i64::from(digit);
        }
        rest = fraction.get(digits..)?;
    }
    Some((Timestamp(seconds.checked_mul(NANOS)?.checked_add(nanos)?), rest))
}

fn two(a: u8, b: u8) -> Option<i64> {
    (a.is_ascii_digit() && b.is_ascii_digit()).then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms").
pub(crate) const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: (year, month, day).
pub(crate) const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// RFC 3339 in UTC with milliseconds, as ECS documents carry it: `2026-03-02T09:12:41.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let second_of_day = seconds.rem_euclid(86_400);
        let milliseconds = self.0.rem_euclid(NANOS) / 1_000_000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{milliseconds:03}Z",
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60
        )
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Duration(nanos)
    }

    /// From whole seconds, held to what fits.
    pub const fn from_seconds(seconds: i64) -> Self {
        Duration(seconds.saturating_mul(NANOS))
    }

    /// From milliseconds, held to what fits.
    pub const fn from_millis(millis: i64) -> Self {
        Duration(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds with their fraction.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }

    /// Reads the form of Sigma and Prometheus: a whole number and one unit of `ms`, `s`, `m`, `h`, `d`, `w`.
    pub fn parse(text: &str) -> Option<Duration> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let unit_nanos = match unit {
            "ms" => 1_000_000,
            "s" => NANOS,
            "m" => 60 * NANOS,
            "h" => 3600 * NANOS,
            "d" => 86_400 * NANOS,
            "w" => 7 * 86_400 * NANOS,
            _ => return None,
        };
        Some(Duration(number.parse::<i64>().ok()?.checked_mul(unit_nanos)?))
    }
}

/// The largest unit of `w`-less Sigma form that divides the length: `5m`, `24h` is `1d`, `1500ms`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit_nanos, unit) in [
            (86_400 * NANOS, "d"),
            (3600 * NANOS, "h"),
            (60 * NANOS, "m"),
            (NANOS, "s"),
        ] {
            if self.0 != 0 && self.0 % unit_nanos == 0 {
                return write!(f, "{}{unit}", self.0 / unit_nanos);
            }
        }
        write!(f, "{}ms", self.0 / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_read_with_every_offset_form_and_printed_in_utc() {
        for (text, printed) in [
            ("2026-03-02T09:12:41Z", "2026-03-02T09:12:41.000Z"),
            ("2026-03-02 09:12:41.5Z", "2026-03-02T09:12:41.500Z"),
            ("2017-04-07T22:24:37.251547+0100", "2017-04-07T21:24:37.251Z"),
            ("2017-04-07T22:24:37.251547-01:30", "2017-04-07T23:54:37.251Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(
                Timestamp::parse_rfc3339(text.as_bytes()).expect(text).to_string(),
                printed
            );
        }
        for text in [
            "",
            "2026-13-02T09:12:41Z",
            "2026-03-02T09:12:41",
            "2026-03-02T09:12:41.Z",
            "x026-03-02T09:12:41Z",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_duration_reads_and_prints_the_sigma_form() {
        for (text, printed) in [
            ("5m", "5m"),
            ("24h", "1d"),
            ("90s", "90s"),
            ("500ms", "500ms"),
            ("1w", "7d"),
        ] {
            assert_eq!(Duration::parse(text).expect(text).to_string(), printed);
        }
        for text in ["", "5", "m", "5 m", "-5m", "5y", "99999999999999999999s"] {
            assert_eq!(Duration::parse(text), None, "{text}");
        }
    }
}
