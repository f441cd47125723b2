//! CSV tables as files hold them: opening, records, cells, and the rows that a model learns from or judges.
//!
//! Quoted cells, CRLF, a byte order mark, gzip, and tabs or semicolons as separators are understood. A cell that is
//! empty, `NA`, `NaN` or `null` is a missing value. A mistake is an error that names its line and column.

mod csv;
pub(super) mod judge;
pub(super) mod labels;
pub(super) mod rows;

use anyhow::bail;
pub(super) use csv::{Reader, Record};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The name of the column that `score` adds.
pub(super) const SCORE_COLUMN: &str = "anomaly_score";
/// Names that tell a time column when nobody else does.
const TIME_NAMES: [&str; 7] = ["timestamp", "@timestamp", "time", "ts", "date", "datetime", "ds"];

/// Opens a file, plain or gzip; `-` is standard input.
pub(super) fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    let plain: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let mut plain = BufReader::with_capacity(1 << 16, plain);
    let packed = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if packed {
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(plain)))
    } else {
        Box::new(plain)
    })
}

/// The names of the columns in a header.
pub(super) fn names_of(header: &Record) -> Vec<String> {
    let texts = header.cells().map(String::from_utf8_lossy);
    texts.map(|text| text.trim().to_owned()).collect()
}

/// The named columns are there, once, and the name of the column that is added is free.
pub(super) fn check_names<'a>(names: impl Iterator<Item = &'a String>, header: &[String]) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for name in names {
        match header.iter().filter(|column| *column == name).count() {
            0 => wrong.push(format!("no column {name:?}")),
            1 => {}
            several => wrong.push(format!("{several} columns are called {name:?}")),
        }
    }
    if header.iter().any(|column| column == SCORE_COLUMN) {
        wrong.push(format!("a column {SCORE_COLUMN:?} is there already"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("line 1: {}; the columns are {}", wrong.join("; "), header.join(", "))
}

/// Every row has as many cells as the header.
pub(super) fn check_width(record: &Record, header: &[String]) -> anyhow::Result<()> {
    if record.len() == header.len() {
        return Ok(());
    }
    bail!(
        "line {}: {} cells where the header has {}",
        record.line(),
        record.len(),
        header.len()
    )
}

/// Whether a column of this name is one of time.
pub(super) fn is_time_name(name: &str) -> bool {
    TIME_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The error of a cell that is not what it should be.
pub(super) fn bad_cell(record: &Record, header: &[String], place: usize, wanted: &str) -> anyhow::Error {
    let cell = String::from_utf8_lossy(record.cell(place).unwrap_or_default());
    let shown: String = cell.chars().take(40).collect();
    anyhow::anyhow!(
        "line {}, column {}: {shown:?} is not {wanted}",
        record.line(),
        header[place]
    )
}

/// A number, or nothing for a missing value.
pub(super) fn parse_value(cell: &[u8]) -> Result<Option<f64>, ()> {
    let text = std::str::from_utf8(cell).map_err(|_| ())?.trim();
    if ["", "na", "nan", "null"]
        .iter()
        .any(|missing| missing.eq_ignore_ascii_case(text))
    {
        return Ok(None);
    }
    let value: f64 = text.parse().map_err(|_| ())?;
    if value.is_finite() { Ok(Some(value)) } else { Err(()) }
}

/// A time in a common form, in seconds since 1970: RFC 3339, the same with a blank or without a zone (then UTC), a date,
/// or the seconds themselves.
pub(super) fn parse_time(cell: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(cell).ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(seconds).filter(|seconds| seconds.is_finite());
    }
    let civil = || {
        let day = || text.parse::<jiff::civil::Date>().map(Into::into);
        let civil = text.parse::<jiff::civil::DateTime>().or_else(|_| day()).ok()?;
        civil
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    };
    let time: jiff::Timestamp = text.parse().ok().or_else(civil)?;
    Some(time.as_nanosecond() as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (text, expected) in [
            ("86400.5", Some(86400.5)),
            ("1970-01-02", Some(86400.0)),
            ("1970-01-02 00:00:01", Some(86401.0)),
            ("1970-01-02T00:00:00+01:00", Some(82800.0)),
            ("1970-01-01T00:00:00.25Z", Some(0.25)),
            ("soon", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text.as_bytes()), expected, "{text}");
        }
    }
}
