//! An alert as an OCSF Detection Finding (class 2004) with `anomaly_analyses`, which came with OCSF 1.5.0.

use super::Letterhead;
use super::ecs::{related, rounded};
use super::sentence::{entity_text, normal_if, sentence};
use crate::domain::{Alert, Definition, Level};
use serde_json::{Value, json};

/// The OCSF version whose names are used.
const OCSF_VERSION: &str = "1.5.0";
const CLASS: u64 = 2004;
const CLOSE: (u64, &str) = (3, "Close");
const RESOLVED: (u64, &str) = (4, "Resolved");

/// The same document of an alert that is over.
pub(super) fn closed(mut document: Value) -> Value {
    if let Some(body) = document.as_object_mut() {
        let ((activity, activity_name), (status_id, status)) = (CLOSE, RESOLVED);
        body.insert("activity_id".to_owned(), activity.into());
        body.insert("activity_name".to_owned(), activity_name.into());
        body.insert("type_uid".to_owned(), (CLASS * 100 + activity).into());
        body.insert(
            "type_name".to_owned(),
            format!("Detection Finding: {activity_name}").into(),
        );
        body.insert("status_id".to_owned(), status_id.into());
        body.insert("status".to_owned(), status.into());
    }
    document
}

/// The document of one form of an alert.
pub fn document(alert: &Alert, head: &Letterhead<'_>) -> Value {
    let Some(definition) = head.definitions.get(usize::from(alert.first.detector)) else {
        return Value::Null;
    };
    let first = &alert.first;
    let milliseconds = |time: crate::domain::Timestamp| time.nanos().div_euclid(1_000_000);
    let (activity, activity_name) = match (&alert.merged_into, alert.count) {
        (Some(_), _) => CLOSE,
        (None, 1) => (1, "Create"),
        _ => (2, "Update"),
    };
    let (severity_id, severity) = match definition.level {
        Level::Informational => (1, "Informational"),
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    };
    let (status_id, status) = if alert.merged_into.is_some() {
        RESOLVED
    } else {
        (1, "New")
    };
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
        "activity_id": activity, "activity_name": activity_name,
        "type_uid": CLASS * 100 + activity, "type_name": format!("Detection Finding: {activity_name}"),
        "time": milliseconds(alert.at), "start_time": milliseconds(alert.start), "end_time": milliseconds(alert.end),
        "severity_id": severity_id, "severity": severity, "is_alert": alert.merged_into.is_none(),
        "status_id": status_id, "status": status,
        "message": sentence(alert, head), "count": alert.count,
        "risk_score": rounded(head.risk(alert), 0) as i64,
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
                "type_id": 3, "type": "Statistical", "category": definition.baseline.kind().word(),
            },
            "attacks": attacks(definition),
            "related_events_count": first.context.events,
        },
        "observables": observables(alert, definition),
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
                    rounded(first.expected.low, 3), rounded(first.expected.high, 3), normal_if(first, definition)
                ),
            }],
        }],
    })
}

/// ATT&CK's techniques, with a sub-technique where one is meant: `T1110.003` is one of `T1110`.
fn attacks(definition: &Definition) -> Vec<Value> {
    let tactics: Vec<_> = definition.tactics().map(|name| json!({ "name": name })).collect();
    let attack = |technique: String| {
        let mut attack = json!({ "tactics": tactics, "technique": { "uid": technique } });
        if let (Some((whole, _)), Value::Object(members)) = (technique.split_once('.'), &mut attack) {
            members.insert("technique".to_owned(), json!({ "uid": whole }));
            members.insert("sub_technique".to_owned(), json!({ "uid": technique }));
        }
        attack
    };
    definition.techniques().map(attack).collect()
}

/// Addresses, accounts and hosts by which findings are looked up, with OCSF's numbers of their types.
fn observables(alert: &Alert, definition: &Definition) -> Vec<Value> {
    const KINDS: [(&str, u64, &str); 3] = [
        ("ip", 2, "IP Address"),
        ("user", 4, "User Name"),
        ("hosts", 1, "Hostname"),
    ];
    let related = related(alert, definition);
    let mut observables = Vec::new();
    for (key, type_id, kind) in KINDS {
        for value in related.get(key).and_then(Value::as_array).into_iter().flatten() {
            observables.push(json!({
                "name": format!("related.{key}"), "type_id": type_id, "type": kind, "value": value,
            }));
        }
    }
    observables
}
