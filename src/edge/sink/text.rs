//! Alerts for people: a table fit for a terminal.

use super::Letterhead;
use super::sentence::sentence;
use crate::domain::Alert;
use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// The narrowest terminal that is written for.
const COLUMNS_MIN: usize = 40;
/// The widest: longer lines are hard to read.
const COLUMNS_MAX: usize = 200;
/// From so many columns on an alert is a row; below, its sentence stands under its head.
const COLUMNS_OF_ROWS_MIN: usize = 120;
/// Digits of an alert's id that are shown: enough to name it to `stakeout explain`.
const ID_DIGITS: usize = 8;

/// Text as it may be shown on a terminal: signs that would command it, or turn the direction of writing, are spelt out.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for sign in text.chars() {
        let turns = matches!(sign, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || (sign.is_control() && sign != '\n') {
            shown.extend(sign.escape_unicode());
        } else {
            shown.push(sign);
        }
    }
    shown
}

/// A table of alerts in the order of their first time, wrapped to the terminal's width.
pub fn table(alerts: &[Alert], head: &Letterhead<'_>, columns: usize) -> String {
    if alerts.is_empty() {
        return "No alerts.\n".to_owned();
    }
    let columns = columns.clamp(COLUMNS_MIN, COLUMNS_MAX);
    let rows: Vec<_> = alerts.iter().map(|alert| Row::of(alert, head)).collect();
    let mut text = String::new();
    if columns >= COLUMNS_OF_ROWS_MIN {
        let widest = rows.iter().map(|row| row.detector.width()).max().unwrap_or(0).max(8);
        let indent = 19 + 2 + 4 + 2 + ID_DIGITS + 2 + widest + 2;
        let _ = writeln!(
            text,
            "{:<19}  {:>4}  {:<ID_DIGITS$}  {:<widest$}  WHO AND WHAT",
            "TIME (UTC)", "RISK", "ALERT", "DETECTOR"
        );
        for row in &rows {
            let _ = write!(
                text,
                "{:<19}  {:>4.0}  {:<ID_DIGITS$}  {:<widest$}  ",
                row.time, row.risk, row.id, row.detector
            );
            wrap(&mut text, &row.sentence, indent, columns);
        }
    } else {
        for row in &rows {
            let line = format!("{}  risk {:.0}  {}  {}", row.time, row.risk, row.id, row.detector);
            wrap(&mut text, &line, 0, columns);
            text.push_str("  ");
            wrap(&mut text, &row.sentence, 2, columns);
        }
    }
    text
}

/// What the table says about one alert.
struct Row {
    time: String,
    risk: f64,
    id: String,
    detector: String,
    sentence: String,
}

impl Row {
    fn of(alert: &Alert, head: &Letterhead<'_>) -> Row {
        let definition = head.definitions.get(usize::from(alert.first.detector));
        let time = alert.first.at.to_string();
        Row {
            time: time.get(..19).unwrap_or(&time).replace('T', " "),
            risk: head.risk(alert),
            id: alert.id.chars().take(ID_DIGITS).collect(),
            detector: definition.map_or_else(String::new, |definition| definition.id.clone()),
            sentence: printable(&sentence(alert, head)).replace('\n', " "),
        }
    }
}

/// Writes a sentence that begins behind `indent` columns; its further lines begin there too. A word that is too long for
/// a line is broken.
fn wrap(text: &mut String, sentence: &str, indent: usize, columns: usize) {
    let room = columns.saturating_sub(indent).max(20);
    let mut used = 0;
    let new_line = |text: &mut String| {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', indent));
    };
    for word in sentence.split(' ').filter(|word| !word.is_empty()) {
        if used > 0 && used + 1 + word.width() > room {
            new_line(text);
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        let mut buffer = [0; 4];
        for sign in word.chars() {
            let width = sign.encode_utf8(&mut buffer).width();
            if used + width > room {
                new_line(text);
                used = 0;
            }
            text.push(sign);
            used += width;
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(sentence: &str, indent: usize, columns: usize) -> Vec<String> {
        let mut text = " ".repeat(indent);
        wrap(&mut text, sentence, indent, columns);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_fit_whatever_the_words() {
        let long = format!("10.0.0.7 ran {} today", "x".repeat(70));
        let wide = "账户 管理员登录失败 三十七次 在五分钟之内 而通常没有";
        for sentence in ["a b c d e f g h i j k l m n o p q r s t u v w x y z", &long, wide, ""] {
            for columns in [40, 80, 120] {
                for indent in [0, 2, 10] {
                    let lines = wrapped(sentence, indent, columns);
                    assert!(lines.iter().all(|line| line.width() <= columns), "{lines:#?}");
                    let words: String = lines.concat().split_whitespace().collect();
                    assert_eq!(words, sentence.split_whitespace().collect::<String>());
                }
            }
        }
        assert_eq!(
            wrapped("one two three four five", 2, 12),
            ["  one two three four", "  five"]
        );
    }

    #[test]
    fn signs_that_would_command_a_terminal_are_spelt_out() {
        assert_eq!(
            printable("root\u{1b}[2J\r\u{202e}x\ny ü"),
            "root\\u{1b}[2J\\u{d}\\u{202e}x\ny ü"
        );
    }
}
