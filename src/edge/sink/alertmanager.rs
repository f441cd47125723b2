//! Prometheus Alertmanager, API v2. Labels are identity: what the alert is about and which detector told it. Score,
//! counts and sentences are annotations, so that a risen alert stays the same alert.
//!
//! An alert is held active for a while after its last form, sent again before it would expire, and resolved then, or at
//! once when it was closed into another or nothing judges it any more.

use super::endpoint::Endpoint;
use super::{Sink, SinkFailure, Told};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

/// How often active alerts are sent again.
const AGAIN_EVERY: Duration = Duration::from_secs(60);
/// For how long Alertmanager holds an alert that is not sent again.
const EXPIRES_AFTER: Duration = Duration::from_secs(300);
/// Alerts that are held active. Beyond it the one that was told longest ago is left to expire.
const ACTIVE_MAX: usize = 10_000;

/// Replicas of one Alertmanager.
#[derive(Debug)]
pub struct AlertmanagerSink {
    replicas: Vec<Endpoint>,
    hold: Duration,
    /// By identity.
    active: BTreeMap<String, Active>,
    sent: Option<Instant>,
}

/// An alert that Alertmanager should show.
#[derive(Debug)]
struct Active {
    alert: Value,
    told: SystemTime,
}

impl AlertmanagerSink {
    /// Replicas of one Alertmanager; each gets every alert. An alert is resolved `hold` after its last form.
    pub fn new(replicas: Vec<Endpoint>, hold: Duration) -> AlertmanagerSink {
        AlertmanagerSink {
            replicas,
            hold,
            active: BTreeMap::new(),
            sent: None,
        }
    }

    /// Sends alerts to every replica. It has worked when one of them took them: the others get them again.
    fn send(&self, alerts: &[Value]) -> Result<(), SinkFailure> {
        let body = json!(alerts).to_string();
        let mut failure = None;
        let mut taken = false;
        for replica in &self.replicas {
            match replica.post("/api/v2/alerts", "application/json", &[], body.as_bytes()) {
                Ok(_) => taken = true,
                Err(failed) => failure = Some(failed),
            }
        }
        match failure {
            Some(failure) if !taken => Err(failure),
            _ => Ok(()),
        }
    }

    /// Takes the forms of alerts into what is active. Gives what has to be sent.
    fn take(&mut self, told: &[Told], now: SystemTime) -> Vec<Value> {
        let mut changed = BTreeMap::new();
        for told in told {
            let Ok(document) = serde_json::from_str::<Value>(&told.ecs) else {
                continue;
            };
            let mut alert = alert(&document);
            let key = alert["labels"].to_string();
            if document["stakeout"]["merged_into"].is_string() || document["stakeout"]["ended"] == true {
                self.active.remove(&key);
                alert["endsAt"] = json!(rfc3339(now));
            } else {
                alert["endsAt"] = json!(rfc3339(now + EXPIRES_AFTER));
                if let Some(held) = self.active.get(&key) {
                    alert["startsAt"] = held.alert["startsAt"].clone();
                }
                let held = Active {
                    alert: alert.clone(),
                    told: now,
                };
                self.active.insert(key.clone(), held);
            }
            changed.insert(key, alert);
        }
        while self.active.len() > ACTIVE_MAX {
            let oldest = self.active.iter().min_by_key(|(_, active)| active.told);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.active.remove(&key);
        }
        changed.into_values().collect()
    }

    /// What is active with a new end, and what has not been told again for long with its end.
    fn renew(&mut self, now: SystemTime) -> Vec<Value> {
        let hold = self.hold;
        let is_over = |active: &Active| now.duration_since(active.told).is_ok_and(|age| age >= hold);
        let renewed = self
            .active
            .values()
            .map(|active| {
                let end = if is_over(active) { now } else { now + EXPIRES_AFTER };
                let mut alert = active.alert.clone();
                alert["endsAt"] = json!(rfc3339(end));
                alert
            })
            .collect();
        self.active.retain(|_, active| !is_over(active));
        renewed
    }
}

impl Sink for AlertmanagerSink {
    fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure> {
        let changed = self.take(told, SystemTime::now());
        self.send(&changed)
    }

    fn idle(&mut self) -> Result<(), SinkFailure> {
        if self.active.is_empty() || self.sent.is_some_and(|at| at.elapsed() < AGAIN_EVERY) {
            return Ok(());
        }
        self.sent = Some(Instant::now());
        let renewed = self.renew(SystemTime::now());
        self.send(&renewed)
    }

    fn recall(&mut self, told: &[Told]) {
        let now = SystemTime::now();
        for told in told {
            let at = serde_json::from_str::<Value>(&told.ecs)
                .ok()
                .and_then(|document| document["@timestamp"].as_str()?.parse::<jiff::Timestamp>().ok())
                .map(SystemTime::from);
            // Recorded times of the past end at once, as they would have by now.
            if let Some(at) = at.filter(|at| now.duration_since(*at).is_ok_and(|age| age < self.hold)) {
                self.take(std::slice::from_ref(told), at);
            }
        }
    }

    fn let_go(&mut self, told: &[Told]) {
        for told in told {
            if let Ok(document) = serde_json::from_str::<Value>(&told.ecs) {
                self.active.remove(&alert(&document)["labels"].to_string());
            }
        }
    }
}

/// An alert in Alertmanager's form, without its end.
fn alert(document: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut labels = Map::new();
    let mut label = |name: &str, value: String| {
        if !value.is_empty() {
            labels.insert(name.to_owned(), Value::String(value));
        }
    };
    label("alertname", text(&document["rule"]["id"]));
    label("service", "stakeout".to_owned());
    label("severity", severity(document).to_owned());
    label("tactic", listed(&document["threat"]["tactic"], "name"));
    for (name, value) in document["stakeout"]["entity"].as_object().into_iter().flatten() {
        label(&name.replace(['.', '-'], "_"), text(value));
    }
    let mut annotations = Map::new();
    let mut annotation = |name: &str, value: &Value| {
        let value = text(value);
        if !value.is_empty() {
            annotations.insert(name.to_owned(), Value::String(value));
        }
    };
    let stakeout = &document["stakeout"];
    annotation("summary", &document["message"]);
    annotation("description", &document["rule"]["description"]);
    annotation("alert_id", &document["event"]["id"]);
    annotation("risk_score", &document["event"]["risk_score"]);
    annotation("surprise", &stakeout["peak"]["surprise"]);
    annotation("seen", &stakeout["peak"]["seen"]);
    annotation("usual_low", &stakeout["expected"]["low"]);
    annotation("usual_high", &stakeout["expected"]["high"]);
    annotation("normal_if", &stakeout["normal_if"]);
    annotation("count", &stakeout["count"]);
    annotation("techniques", &json!(listed(&document["threat"]["technique"], "id")));
    json!({ "labels": labels, "annotations": annotations, "startsAt": document["event"]["start"] })
}

/// Words that routes and inhibitions of Prometheus' users know.
fn severity(document: &Value) -> &'static str {
    match document["event"]["severity"].as_u64().unwrap_or(0) {
        90.. => "critical",
        60.. => "high",
        40.. => "medium",
        20.. => "low",
        _ => "info",
    }
}

/// The values of a key in a list of objects, joined.
fn listed(list: &Value, key: &str) -> String {
    let values: Vec<&str> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item[key].as_str())
        .collect();
    values.join(",")
}

fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(count: u64, merged: bool) -> Told {
        let mut document = json!({
            "@timestamp": "2026-03-02T09:12:41.000Z", "message": "10.0.0.7 failed 37 logins",
            "event": { "id": "a1", "start": "2026-03-02T09:10:00Z", "severity": 73, "risk_score": 92.7 },
            "rule": { "id": "source_login_failures" },
            "threat": { "tactic": [{ "name": "credential-access" }], "technique": [{ "id": "T1110" }] },
            "stakeout": { "entity": { "source.ip": "10.0.0.7" }, "count": count, "peak": { "surprise": 11.35 } },
        });
        if merged {
            document["stakeout"]["merged_into"] = json!("b2");
        }
        Told {
            ecs: document.to_string(),
            ocsf: String::new(),
        }
    }

    fn sink() -> AlertmanagerSink {
        AlertmanagerSink::new(Vec::new(), Duration::from_secs(3600))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn a_risen_alert_is_the_same_alert() {
        let mut sink = sink();
        let first = sink.take(&[told(1, false)], at(0));
        let second = sink.take(&[told(2, false)], at(60));
        assert_eq!(first[0]["labels"], second[0]["labels"]);
        assert_eq!(
            first[0]["labels"],
            json!({
                "alertname": "source_login_failures", "service": "stakeout", "severity": "high",
                "source_ip": "10.0.0.7", "tactic": "credential-access",
            })
        );
        assert_eq!(second[0]["annotations"]["count"], "2");
        assert_eq!(second[0]["endsAt"], rfc3339(at(360)));
        assert_eq!(sink.active.len(), 1);
    }

    #[test]
    fn an_alert_is_renewed_until_it_is_over_and_resolved_then() {
        let mut sink = sink();
        sink.take(&[told(1, false)], at(0));
        assert_eq!(sink.renew(at(3599))[0]["endsAt"], rfc3339(at(3899)));
        assert_eq!(sink.renew(at(3600))[0]["endsAt"], rfc3339(at(3600)));
        assert!(sink.renew(at(3660)).is_empty());
    }

    #[test]
    fn an_alert_that_was_closed_into_another_is_resolved_at_once() {
        let mut sink = sink();
        sink.take(&[told(1, false)], at(0));
        assert_eq!(sink.take(&[told(2, true)], at(9))[0]["endsAt"], rfc3339(at(9)));
        assert!(sink.active.is_empty());
    }

    #[test]
    fn an_alert_that_nothing_judges_any_more_is_resolved_at_once() {
        let mut sink = sink();
        sink.take(&[told(1, false)], at(0));
        let mut last = told(2, false);
        last.ecs = last.ecs.replace("\"count\":2", "\"count\":2,\"ended\":true");
        assert_eq!(sink.take(&[last], at(9))[0]["endsAt"], rfc3339(at(9)));
        assert!(sink.active.is_empty());
    }

    #[test]
    fn what_is_active_is_bounded() {
        let mut sink = sink();
        for number in 0..ACTIVE_MAX + 5 {
            let mut one = told(1, false);
            one.ecs = one.ecs.replace("10.0.0.7", &format!("host-{number}"));
            sink.take(&[one], at(number as u64));
        }
        assert_eq!(sink.active.len(), ACTIVE_MAX);
        assert!(!sink.active.keys().any(|key| key.contains("host-4\"")));
    }
}
