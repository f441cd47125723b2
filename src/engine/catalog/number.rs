//! Numbers, lengths of time and amounts as definitions write them.

use crate::domain::{Duration, Field, Measure, Mistake, Place};

/// A number between two bounds, or a mistake.
pub(super) fn read(place: &Place<'_>, least: f64, most: f64, mistakes: &mut Vec<Mistake>) -> Option<f64> {
    match place.value().as_f64() {
        Some(number) if number >= least && number <= most => Some(number),
        Some(number) => {
            mistakes.push(place.mistake(format!("{number} is not between {least} and {most}")));
            None
        }
        None => {
            mistakes.push(place.mistake("must be a number"));
            None
        }
    }
}

/// A length of time between two bounds, or a mistake.
pub(super) fn duration(
    place: &Place<'_>,
    least: Duration,
    most: Duration,
    mistakes: &mut Vec<Mistake>,
) -> Option<Duration> {
    let read = place.value().as_str().and_then(Duration::parse);
    match read {
        Some(length) if length >= least && length <= most => Some(length),
        Some(length) => {
            mistakes.push(place.mistake(format!("{length} is not between {least} and {most}")));
            None
        }
        None => {
            mistakes.push(place.mistake("must be a length of time, such as `30s`, `5m`, `24h` or `7d`"));
            None
        }
    }
}

/// `at_least`: a number, with a unit where the measure has one (`50MB` for a sum of bytes, `5m` for a duration).
pub(super) fn amount(place: &Place<'_>, measure: &Measure, mistakes: &mut Vec<Mistake>) -> Option<f64> {
    if place.value().as_f64().is_some() {
        return read(place, 0.0, 1e18, mistakes);
    }
    let Some(text) = place.value().as_str() else {
        mistakes.push(place.mistake("must be a number"));
        return None;
    };
    let unit = amount_unit(measure);
    let amount = match unit {
        Unit::Bytes => bytes(text),
        Unit::Nanoseconds => Duration::parse(text).map(|length| length.nanos() as f64),
        Unit::None => None,
    };
    if amount.is_none() {
        let expected = match unit {
            Unit::Bytes => "a number of bytes, such as `500kB`, `50MB` or `1GiB`".to_owned(),
            Unit::Nanoseconds => "a length of time, such as `90s`".to_owned(),
            Unit::None => format!("a plain number: here it counts {}", measure.unit()),
        };
        mistakes.push(place.mistake(format!("`{text}` does not fit, it must be {expected}")));
    }
    amount
}

enum Unit {
    None,
    Bytes,
    Nanoseconds,
}

fn amount_unit(measure: &Measure) -> Unit {
    match measure {
        Measure::DistinctBytes(_) => Unit::Bytes,
        Measure::Sum(field) | Measure::Value(field) => match field {
            Field::EventDuration => Unit::Nanoseconds,
            field if field.name().ends_with("bytes") || *field == Field::FileSize => Unit::Bytes,
            _ => Unit::None,
        },
        _ => Unit::None,
    }
}

fn bytes(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(at)?;
    let scale = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * scale)
}
