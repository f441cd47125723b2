//! An alert as an OCSF Detection Finding (class 2004) with `anomaly_analyses`, which came with OCSF 1.5.0.

use super::Letterhead;
use super::ecs::rounded;
use super::sentence::{entity_text, normal_if, sentence};
use crate::domain::{Alert, Level, risk};
use serde_json::{Value, json};

/// The OCSF version whose names are used.
const OCSF_VERSION: &str = "1.5.0";
const CLASS: u64 = 2004;

/// The document of one form of an alert.
pub fn document(alert: &Alert, head: &Letterhead<'_>) -> Value {
    let Some(definition) = head.definitions.get(usize::from(alert.first.detector)) else {
        return Value::Null;
    };
    let first = &alert.first;
    let milliseconds = |time: crate::domain::Timestamp| time.nanos().div_euclid(1_000_000);
    // 1 create, 2 update, 3 close.
    let activity = match (&alert.merged_into, alert.count) {
        (Some(_), _) => 3,
        (None, 1) => 1,
        _ => 2,
    };
    let severity = match definition.level {
        Level::Informational => 1,
        Level::Low => 2,
        Level::Medium => 3,
        Level::High => 4,
        Level::Critical => 5,
    };
    let attacks: Vec<_> = definition
        .techniques()
        .map(|technique| {
            json!({
                "technique": { "uid": technique },
                "tactics": definition.tactics().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let target = entity_text(&first.entity, definition);
    let window = definition
        .windows
        .get(usize::from(first.window))
        .map(ToString::to_string)
        .unwrap_or_default();
    let span = json!({
        "start_time": milliseconds(first.window_start),
        "end_time": milliseconds(alert.at),
    });
    json!({
        "class_uid": CLASS, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
        "activity_id": activity, "type_uid": CLASS * 100 + activity,
        "time": milliseconds(alert.at), "start_time": milliseconds(alert.start), "end_time": milliseconds(alert.end),
        "severity_id": severity, "is_alert": true,
        "status_id": if alert.merged_into.is_some() { 4 } else { 1 },
        "message": sentence(alert, head), "count": alert.count,
        "risk_score": rounded(risk(alert.peak.surprise), 0) as i64,
        "metadata": {
            "version": OCSF_VERSION, "uid": format!("{}:{}", alert.id, alert.count),
            "product": { "name": "Stakeout", "vendor_name": "Stakeout", "version": head.program },
        },
        "finding_info": {
            "uid": alert.id, "title": definition.title, "desc": definition.description,
            "created_time": milliseconds(first.at), "modified_time": milliseconds(alert.at),
            "first_seen_time": milliseconds(alert.start), "last_seen_time": milliseconds(alert.end),
            "analytic": {
                "uid": definition.id, "name": definition.title, "version": definition.version,
                // 3 is statistical.
                "type_id": 3, "algorithm": definition.baseline.kind().word(),
            },
            "attacks": attacks,
            "related_events_count": first.context.events,
        },
        "anomaly_analyses": [{
            "analysis_targets": [{ "name": target, "type": definition.entity.iter().map(|field| field.name()).collect::<Vec<_>>().join(",") }],
            "anomalies": [{
                "observation_parameter": definition.measure.word(),
                "observations": [{ "value": first.seen_text.clone().unwrap_or_else(|| first.seen.to_string()), "count": first.context.events.max(1), "timespan": span }],
                "observed_pattern": format!("surprise {} (p {:e}) in a window of {window}", first.surprise, first.p),
            }],
            "baselines": [{
                "observation_parameter": definition.measure.word(),
                "observations": [{ "value": first.expected.typical.to_string(), "count": first.expected.history_windows.round().max(0.0) as u64 }],
                "observed_pattern": format!(
                    "{} to {} in 90 % of windows; normal if {}",
                    rounded(first.expected.low, 3), rounded(first.expected.high, 3), normal_if(first.normal_if)
                ),
            }],
        }],
    })
}
