//! All that an alert document says, in words, for `stakeout explain`.

use super::sentence::whole;
use super::text::printable;
use serde_json::Value;
use std::fmt::Write as _;

/// Things of one kind that are listed; the rest is counted.
const LISTED_MAX: usize = 10;

/// Everything that an ECS alert document says, in words with the numbers.
pub fn explanation(document: &Value) -> String {
    let read = Read(document);
    let mut text = String::new();
    let _ = writeln!(text, "{}\n", read.text("/message"));
    for (name, said) in [
        ("what it means", read.text("/rule/description").replace('\n', " ")),
        ("when", when(read)),
        ("who", pairs(document.pointer("/stakeout/entity"))),
        ("detector", detector(read)),
        ("seen", seen(read)),
        ("expected", expected(read)),
        ("to blame", blamed(read)),
        ("how unlikely", unlikely(read, "/stakeout")),
        ("at its peak", peak(read)),
        ("together", together(read)),
        ("normal if", read.text("/stakeout/normal_if")),
        ("what stands behind", behind(read)),
        ("risk", risk(read)),
        ("same cause", same_cause(read)),
        ("related", related(read)),
        ("attack", attack(read)),
        ("told", told(read)),
        ("data quality", quality(read)),
        ("first events", evidence(read)),
        ("versions", pairs(document.pointer("/stakeout/versions"))),
    ] {
        if !said.is_empty() {
            let _ = writeln!(text, "{name:>18}  {}", said.trim());
        }
    }
    printable(&text)
}

/// Looks things up in a document.
#[derive(Clone, Copy)]
struct Read<'a>(&'a Value);

impl<'a> Read<'a> {
    fn text(self, path: &str) -> String {
        self.0.pointer(path).map(plain).unwrap_or_default()
    }

    fn number(self, path: &str) -> f64 {
        self.0.pointer(path).and_then(Value::as_f64).unwrap_or(0.0)
    }

    fn is(self, path: &str) -> bool {
        self.0.pointer(path).and_then(Value::as_bool).unwrap_or(false)
    }

    fn list(self, path: &str) -> &'a [Value] {
        self.0
            .pointer(path)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }
}

fn when(read: Read<'_>) -> String {
    format!(
        "known at {}; its events are from {} to {}",
        read.text("/@timestamp"),
        read.text("/event/start"),
        read.text("/event/end")
    )
}

fn detector(read: Read<'_>) -> String {
    format!("{}: {}", read.text("/rule/id"), read.text("/rule/name"))
}

fn seen(read: Read<'_>) -> String {
    let value = read.text("/stakeout/seen_value");
    let value = if value.is_empty() {
        value
    } else {
        format!(", the value {value}")
    };
    format!(
        "{} in a window of {}{value}",
        whole(read.number("/stakeout/seen")),
        read.text("/stakeout/window")
    )
}

fn expected(read: Read<'_>) -> String {
    let at = |key: &str| read.number(&format!("/stakeout/expected/{key}"));
    format!(
        "typically {}; {} to {} in 90 of 100 cases; on average {} with variance {}, so that what was seen lies {} standard \
         deviations away",
        figure(at("typical")),
        figure(at("low")),
        figure(at("high")),
        figure(at("mean")),
        figure(at("variance")),
        figure(at("z"))
    )
}

/// The features that a model blames.
fn blamed(read: Read<'_>) -> String {
    let features = read.list("/stakeout/features").iter().map(|feature| {
        let feature = Read(feature);
        let figure = |key: &str| match feature.text(key).as_str() {
            "" => "nothing".to_owned(),
            _ => figure(feature.number(key)),
        };
        format!(
            "{} {} where {} is typical ({} % of the strangeness)",
            feature.text("/name").replace('_', " "),
            figure("/seen"),
            figure("/typical"),
            whole(100.0 * feature.number("/share"))
        )
    });
    listed(features, read.list("/stakeout/features").len())
}

fn unlikely(read: Read<'_>, place: &str) -> String {
    let p = read.number(&format!("{place}/p"));
    let surprise = read.number(&format!("{place}/surprise"));
    let times = if p > 0.0 { 1.0 / p } else { f64::INFINITY };
    let once = match times {
        times if times < 1e6 => format!("once in {times:.0} such cases"),
        times if times.is_finite() => format!("once in {times:.0e} such cases"),
        _ => "practically never".to_owned(),
    };
    format!("p = {p:.3e}, {once} if nothing has changed; surprise {surprise}, which is -log10 p")
}

/// What several detectors say together that each would not have been told for.
fn together(read: Read<'_>) -> String {
    if read.0.pointer("/stakeout/together").is_none() {
        return String::new();
    }
    let detectors = whole(read.number("/stakeout/together/detectors"));
    format!(
        "{detectors} detectors in one hour: {}",
        unlikely(read, "/stakeout/together")
    )
}

fn peak(read: Read<'_>) -> String {
    if read.0.pointer("/stakeout/peak").is_none() {
        return String::new();
    }
    format!(
        "{} in a window of {}; {}",
        whole(read.number("/stakeout/peak/seen")),
        read.text("/stakeout/peak/window"),
        unlikely(read, "/stakeout/peak")
    )
}

fn behind(read: Read<'_>) -> String {
    let prior = 100.0 * read.number("/stakeout/expected/prior_weight");
    let memory = match read.text("/stakeout/memory").as_str() {
        "fast" => "; unlike its last days",
        "slow" => "; unlike all of its past",
        "prior" => "; judged by what is usual for others like it",
        _ => "",
    };
    let history = match read.text("/stakeout/expected/history").as_str() {
        "" | "0s" => "no history of its own".to_owned(),
        history => format!("{history} of its own history"),
    };
    let mut text = format!(
        "{history}; {} % of the expectation rests on others like it{memory}",
        whole(prior)
    );
    if read.is("/stakeout/shared_baseline") {
        text.push_str("; it shares its baseline with others, because a bound was reached");
    }
    if read.is("/stakeout/regime_change") {
        text.push_str("; its new level is told once and then learned");
    }
    text
}

fn risk(read: Read<'_>) -> String {
    format!(
        "{} of 100 at its peak; severity {} of 100 if true",
        figure(read.number("/event/risk_score")),
        read.text("/event/severity")
    )
}

fn same_cause(read: Read<'_>) -> String {
    let findings = read.list("/stakeout/findings").iter().map(|finding| {
        let finding = Read(finding);
        format!(
            "{} about {} ({} in {}, surprise {})",
            finding.text("/rule"),
            finding.text("/entity"),
            whole(finding.number("/seen")),
            finding.text("/window"),
            finding.text("/surprise")
        )
    });
    let total = read.number("/stakeout/findings_total") as usize;
    listed(findings, total)
}

fn related(read: Read<'_>) -> String {
    let mut parts = Vec::new();
    for (key, name) in [("ip", "addresses"), ("user", "accounts"), ("hosts", "hosts")] {
        let list = read.list(&format!("/related/{key}"));
        if !list.is_empty() {
            parts.push(format!("{name} {}", listed(list.iter().map(plain), list.len())));
        }
    }
    let total = read.number("/stakeout/related_total");
    if total > 0.0 {
        parts.push(format!("{} actors in all", whole(total)));
    }
    parts.join("; ")
}

fn attack(read: Read<'_>) -> String {
    let name = |path: &str, key: &str| -> Vec<String> {
        read.list(path)
            .iter()
            .filter_map(|held| held.get(key).map(plain))
            .collect()
    };
    // A sub-technique says more than the technique that it is one of.
    let mut techniques = Vec::new();
    for held in read.list("/threat/technique") {
        let parts = held.get("subtechnique").and_then(Value::as_array);
        match parts.filter(|parts| !parts.is_empty()) {
            Some(parts) => techniques.extend(parts.iter().filter_map(|part| part.get("id").map(plain))),
            None => techniques.extend(held.get("id").map(plain)),
        }
    }
    if techniques.is_empty() {
        return String::new();
    }
    let tactics = name("/threat/tactic", "name");
    format!("MITRE ATT&CK {} ({})", techniques.join(", "), tactics.join(", "))
}

fn told(read: Read<'_>) -> String {
    let mut text = format!(
        "as form {} of alert {}",
        read.text("/stakeout/count"),
        read.text("/event/id")
    );
    let into = read.text("/stakeout/merged_into");
    if !into.is_empty() {
        let _ = write!(text, "; closed into alert {into} about the common target");
    }
    if read.text("/stakeout/ended") == "true" {
        text.push_str("; over, because its detector was removed or changed");
    }
    text
}

fn quality(read: Read<'_>) -> String {
    format!(
        "{} % of records were lost, {} % of its events came late",
        figure(100.0 * read.number("/stakeout/quality/loss")),
        figure(100.0 * read.number("/stakeout/quality/late"))
    )
}

fn evidence(read: Read<'_>) -> String {
    let list = read.list("/stakeout/evidence");
    let named = list.iter().map(|place| {
        let place = Read(place);
        format!("number {} of input {}", place.text("/sequence"), place.text("/input"))
    });
    listed(named, list.len())
}

/// The first of a list, and how many more there are.
fn listed(items: impl Iterator<Item = String>, total: usize) -> String {
    let shown: Vec<_> = items.take(LISTED_MAX).collect();
    let more = total.saturating_sub(shown.len());
    let text = shown.join(", ");
    match (text.is_empty(), more) {
        (_, 0) => text,
        (true, more) => format!("{more}"),
        (false, more) => format!("{text} and {more} more"),
    }
}

/// The members of an object: `source.ip 10.0.0.7, destination.port 22`.
fn pairs(object: Option<&Value>) -> String {
    let members = object.and_then(Value::as_object).into_iter().flatten();
    let said: Vec<_> = members
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| format!("{name} {}", plain(value)))
        .collect();
    said.join(", ")
}

/// A number with no more digits than say something.
fn figure(number: f64) -> String {
    match number.abs() {
        size if size >= 1e9 => format!("{number:.3e}"),
        size if size >= 100.0 || number.fract() == 0.0 => format!("{number:.0}"),
        size if size >= 1.0 => format!("{number:.1}"),
        _ => format!("{}", (number * 1e4).round() / 1e4),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_said_in_words() {
        let document = serde_json::json!({
            "@timestamp": "2026-03-02T09:12:41.000Z", "message": "10.0.0.7 failed 37 logins in 5 min",
            "event": {"id": "3f2a", "start": "a", "end": "b", "risk_score": 92.7, "severity": 73},
            "rule": {"id": "source_login_failures", "name": "Login failures", "description": "Somebody\nguesses."},
            "threat": {"technique": [{"id": "T1110", "subtechnique": [{"id": "T1110.003"}]}], "tactic": [{"name": "credential-access"}]},
            "related": {"ip": ["10.0.0.7"], "user": (0..14).map(|number| format!("user{number}")).collect::<Vec<_>>()},
            "stakeout": {"entity": {"source.ip": "10.0.0.7"}, "window": "5m", "p": 4.5e-12, "surprise": 11.35, "count": 2,
                "peak": {"p": 0.0, "surprise": 400.5, "seen": 90, "risk": 92.7, "window": "1h"}, "seen": 37,
                "expected": {"typical": 3.2, "low": 0, "high": 7, "mean": 3.2, "variance": 5.1, "z": 15.0,
                    "history": "6d", "prior_weight": 0.02},
                "normal_if": "at most 19", "memory": "slow", "quality": {"loss": 0.0, "late": 0.25},
                "versions": {"program": "0.1.0", "model": null}, "findings": [], "findings_total": 3,
                "evidence": [{"input": 0, "sequence": 14}], "merged_into": "77aa"},
        });
        let text = explanation(&document);
        for expected in [
            "10.0.0.7 failed 37 logins in 5 min\n\n",
            "what it means  Somebody guesses.\n",
            "who  source.ip 10.0.0.7\n",
            "seen  37 in a window of 5m\n",
            "typically 3.2; 0 to 7 in 90 of 100 cases; on average 3.2 with variance 5.1, so that what was seen lies 15 standard",
            "how unlikely  p = 4.500e-12, once in 2e11 such cases",
            "at its peak  90 in a window of 1h; p = 0.000e0, practically never",
            "normal if  at most 19\n",
            "6d of its own history; 2 % of the expectation rests on others like it; unlike all of its past\n",
            "same cause  3\n",
            "accounts user0, user1, user2, user3, user4, user5, user6, user7, user8, user9 and 4 more",
            "MITRE ATT&CK T1110.003 (credential-access)",
            "as form 2 of alert 3f2a; closed into alert 77aa",
            "0 % of records were lost, 25 % of its events came late",
            "number 14 of input 0",
            "versions  program 0.1.0\n",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
    }
}
