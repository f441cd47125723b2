//! Alerts for people: a table fit for a terminal, and all the numbers of one alert.

use super::Letterhead;
use super::sentence::sentence;
use crate::domain::{Alert, risk};
use serde_json::Value;
use std::fmt::Write as _;

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

/// A table of alerts in the order of their first time, each wrapped to the terminal's width.
pub fn table(alerts: &[Alert], head: &Letterhead<'_>, columns: usize) -> String {
    let mut text = String::new();
    if alerts.is_empty() {
        text.push_str("No alerts.\n");
        return text;
    }
    let columns = columns.clamp(60, 200);
    let _ = writeln!(
        text,
        "{:<19}  {:>4}  {:<32}  WHO AND WHAT",
        "TIME (UTC)", "RISK", "DETECTOR"
    );
    for alert in alerts {
        let name = head
            .definitions
            .get(usize::from(alert.first.detector))
            .map_or("", |definition| &definition.id);
        let time = alert.first.at.to_string();
        let _ = write!(
            text,
            "{:<19}  {:>4.0}  {name:<32}  ",
            time.get(..19).unwrap_or(&time).replace('T', " "),
            risk(alert.peak.surprise)
        );
        let indent = 19 + 2 + 4 + 2 + name.len().max(32) + 2;
        wrap(&mut text, &sentence(alert, head), indent, columns);
    }
    text
}

fn wrap(text: &mut String, sentence: &str, indent: usize, columns: usize) {
    let room = columns.saturating_sub(indent).max(30);
    let mut used = 0;
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text.push('\n');
}

/// All the numbers of an ECS alert document, for `stakeout explain`.
pub fn explanation(document: &Value) -> String {
    let mut text = String::new();
    let at = |path: &str| document.pointer(path).map(plain).unwrap_or_else(|| "-".to_owned());
    let _ = writeln!(text, "{}\n", at("/message"));
    for (name, path) in [
        ("alert", "/event/id"),
        ("told at", "/@timestamp"),
        ("events from", "/event/start"),
        ("events to", "/event/end"),
        ("detector", "/rule/id"),
        ("what it means", "/rule/description"),
        ("entity", "/stakeout/entity"),
        ("window", "/stakeout/window"),
        ("seen", "/stakeout/seen"),
        ("seen value", "/stakeout/seen_value"),
        ("usual (90 %)", "/stakeout/expected/low"),
        ("        up to", "/stakeout/expected/high"),
        ("typical", "/stakeout/expected/typical"),
        ("mean", "/stakeout/expected/mean"),
        ("variance", "/stakeout/expected/variance"),
        ("z", "/stakeout/expected/z"),
        ("history", "/stakeout/expected/history"),
        ("resting on prior", "/stakeout/expected/prior_weight"),
        ("p", "/stakeout/p"),
        ("surprise", "/stakeout/surprise"),
        ("at its peak", "/stakeout/peak/surprise"),
        ("risk", "/event/risk_score"),
        ("memory broken", "/stakeout/memory"),
        ("normal if", "/stakeout/normal_if"),
        ("related", "/related"),
        ("techniques", "/threat/technique"),
        ("same cause", "/stakeout/findings"),
        ("evidence", "/stakeout/evidence"),
        ("data quality", "/stakeout/quality"),
        ("versions", "/stakeout/versions"),
    ] {
        let value = at(path);
        if value != "-" && value != "[]" && value != "{}" {
            let _ = writeln!(text, "{name:>17}  {value}");
        }
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
