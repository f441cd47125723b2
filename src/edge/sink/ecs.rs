//! An alert as an Elastic Common Schema document, the default form.

use super::Letterhead;
use super::sentence::{features, normal_if, sentence};
use crate::domain::{Alert, Definition, Entity, EntityValue, Field, Finding, Level, Prior};
use serde_json::{Map, Value, json};

/// The ECS version whose names are used.
const ECS_VERSION: &str = "9.5.0";

/// The document of one form of an alert.
pub fn document(alert: &Alert, head: &Letterhead<'_>) -> Value {
    let Some(definition) = head.definitions.get(usize::from(alert.first.detector)) else {
        return Value::Null;
    };
    let mut document = Map::new();
    document.insert("@timestamp".into(), json!(alert.at.to_string()));
    document.insert("ecs".into(), json!({ "version": ECS_VERSION }));
    document.insert("message".into(), json!(sentence(alert, head)));
    document.insert("event".into(), event(alert, definition, head));
    document.insert(
        "rule".into(),
        json!({
            "id": definition.id, "version": definition.version, "name": definition.title, "category": "anomaly",
            "description": definition.description, "ruleset": "stakeout",
        }),
    );
    document.insert("threat".into(), threat(definition));
    document.insert("tags".into(), json!(definition.tags));
    let folded = alert.actors_total > 0;
    let entity = match &alert.peak.target {
        Some((field, target)) if folded => named(&[*field], target),
        _ => named(
            &definition.entity.iter().map(|field| *field as u16).collect::<Vec<_>>(),
            &alert.first.entity,
        ),
    };
    for (name, value) in &entity {
        place(&mut document, name, value.clone());
    }
    if let Some(name) = head.network(alert) {
        place(&mut document, "network.name", json!(name));
    }
    document.insert("related".into(), related(alert, definition));
    document.insert("stakeout".into(), stakeout(alert, definition, head, entity));
    Value::Object(document)
}

fn event(alert: &Alert, definition: &Definition, head: &Letterhead<'_>) -> Value {
    let category =
        if definition.id.contains("login") || definition.tags.iter().any(|tag| tag == "attack.credential-access") {
            "authentication"
        } else if definition.id.contains("file") || definition.id.contains("directory") {
            "file"
        } else if definition.id.contains("process") || definition.id.contains("child") {
            "process"
        } else {
            "network"
        };
    json!({
        "kind": "alert", "id": alert.id, "category": [category], "type": ["info"], "module": "stakeout",
        "start": alert.start.to_string(), "end": alert.end.to_string(),
        "risk_score": rounded(head.risk(alert), 1), "severity": severity(definition.level),
        "dataset": alert.first.context.dataset,
    })
}

/// Severity on ECS's scale of 1 to 99 as Elastic's rules use it.
fn severity(level: Level) -> u64 {
    match level {
        Level::Informational => 10,
        Level::Low => 21,
        Level::Medium => 47,
        Level::High => 73,
        Level::Critical => 99,
    }
}

fn threat(definition: &Definition) -> Value {
    // `T1110.003` is a sub-technique of `T1110`, which is named once.
    let mut ids: Vec<(String, Vec<Value>)> = Vec::new();
    for id in definition.techniques() {
        let (whole, part) = match id.split_once('.') {
            Some((whole, _)) => (whole, Some(json!({ "id": id }))),
            None => (id.as_str(), None),
        };
        match ids.iter_mut().find(|(held, _)| held == whole) {
            Some((_, parts)) => parts.extend(part),
            None => ids.push((whole.to_owned(), part.into_iter().collect())),
        }
    }
    let technique = |(id, parts): (String, Vec<Value>)| {
        if parts.is_empty() {
            json!({ "id": id })
        } else {
            json!({ "id": id, "subtechnique": parts })
        }
    };
    let techniques: Vec<_> = ids.into_iter().map(technique).collect();
    let tactics: Vec<_> = definition.tactics().map(|name| json!({ "name": name })).collect();
    json!({ "framework": "MITRE ATT&CK", "technique": techniques, "tactic": tactics })
}

/// The fields of an entity under their ECS names.
fn named(fields: &[u16], entity: &Entity) -> Map<String, Value> {
    let mut named = Map::new();
    for (number, value) in fields.iter().zip(entity.values()) {
        if let Some(field) = Field::ALL.get(usize::from(*number)) {
            named.insert(field.name().to_owned(), plain(&value));
        }
    }
    named
}

fn plain(value: &EntityValue) -> Value {
    match value {
        EntityValue::Ip(address) => json!(address.to_string()),
        EntityValue::Text(text) => json!(text),
        EntityValue::Number(number) => json!(number),
    }
}

/// Puts a value at its place in nested objects: `source.ip` goes into `{"source": {"ip": ..}}`.
fn place(document: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            document.insert(name.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = document
                .entry(first.to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                place(inner, rest, value);
            }
        }
    }
}

/// What an alert names, by kind: addresses, users, hosts.
pub(super) fn related(alert: &Alert, definition: &Definition) -> Value {
    let (mut addresses, mut users, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |field: Field, value: &EntityValue| {
        let list = match field {
            Field::UserName | Field::UserTargetName | Field::UserEffectiveName => &mut users,
            Field::HostName => &mut hosts,
            field if field.kind() == crate::domain::FieldKind::Ip => &mut addresses,
            _ => return,
        };
        let value = plain(value);
        if list.len() < Alert::RELATED_MAX && !list.contains(&value) {
            list.push(value);
        }
    };
    for actor in alert
        .actors
        .iter()
        .map(|actor| &actor.entity)
        .chain([&alert.first.entity])
    {
        for (field, value) in definition.entity.iter().zip(actor.values()) {
            add(*field, &value);
        }
    }
    for (number, entity) in &alert.related {
        if let (Some(field), Some(value)) = (Field::ALL.get(usize::from(*number)), entity.values().first()) {
            add(*field, value);
        }
    }
    let mut related = Map::new();
    for (name, list) in [("ip", addresses), ("user", users), ("hosts", hosts)] {
        if !list.is_empty() {
            related.insert(name.to_owned(), Value::Array(list));
        }
    }
    Value::Object(related)
}

fn stakeout(alert: &Alert, definition: &Definition, head: &Letterhead<'_>, entity: Map<String, Value>) -> Value {
    let first = &alert.first;
    let findings: Vec<_> = alert
        .findings
        .iter()
        .map(|held| {
            let other = head.definitions.get(usize::from(held.detector));
            json!({
                "rule": other.map(|other| other.id.as_str()), "entity": held.entity.text(),
                "window": other.and_then(|other| other.windows.get(usize::from(held.window))).map(ToString::to_string),
                "at": held.at.to_string(), "p": held.p, "surprise": held.surprise, "seen": held.seen,
            })
        })
        .collect();
    let evidence: Vec<_> = first
        .context
        .evidence
        .iter()
        .map(|(input, sequence)| json!({ "input": input, "sequence": sequence }))
        .collect();
    let events = first.context.events.max(1) as f64;
    let mut body = json!({
        "entity": entity,
        "window": definition.windows.get(usize::from(first.window)).map(ToString::to_string),
        "p": first.p, "surprise": first.surprise, "count": alert.count,
        "peak": {
            "p": alert.peak.p, "surprise": alert.peak.surprise, "seen": alert.peak.seen,
            "risk": rounded(head.risk(alert), 1),
            "window": definition.windows.get(usize::from(alert.peak.window)).map(ToString::to_string),
        },
        "seen": first.seen,
        "expected": expected(first, definition),
        "normal_if": normal_if(first, definition), "memory": first.memory.word(),
        "quality": { "loss": rounded(first.context.loss, 4), "late": rounded(first.context.late as f64 / events, 4) },
        "versions": {
            "program": head.program, "detector": definition.version, "population": first.population,
            "model": model(first, definition),
        },
        "findings": findings, "findings_total": alert.findings_total, "evidence": evidence,
    });
    if let Value::Object(body) = &mut body {
        if first
            .by_model
            .as_ref()
            .is_some_and(|by_model| !by_model.features.is_empty())
        {
            body.insert("features".into(), blamed(first, definition));
        }
        if let Some(by_model) = first.by_model.as_ref().filter(|by_model| !by_model.text.is_empty()) {
            body.insert("seen_value".into(), json!(by_model.text));
        }
        if let Some(text) = &first.seen_text {
            body.insert("seen_value".into(), json!(text));
        }
        if alert.actors_total > 0 {
            body.insert("related_total".into(), json!(alert.actors_total));
        }
        if let Some(together) = &alert.together {
            let (p, surprise) = (10f64.powf(-together.surprise), together.surprise);
            let detectors = together.others + 1;
            body.insert(
                "together".into(),
                json!({ "p": p, "surprise": surprise, "detectors": detectors }),
            );
        }
        if let Some(into) = &alert.merged_into {
            body.insert("merged_into".into(), json!(into));
        }
        let assets = head.assets(alert);
        if !assets.is_empty() {
            let assets = assets.iter().map(|named| {
                json!({
                    "field": named.field.name(), "value": plain(&named.value), "name": named.asset.name,
                    "criticality": named.asset.criticality.word(),
                })
            });
            body.insert("assets".into(), assets.collect());
        }
        if first.shared || alert.peak.shared {
            body.insert("shared_baseline".into(), json!(true));
        }
        if alert.peak.regime_change {
            body.insert("regime_change".into(), json!(true));
        }
    }
    body
}

/// Which model judged: its kind and the epoch that it was learned in.
fn model(finding: &Finding, definition: &Definition) -> Option<String> {
    let by_model = finding.by_model.as_ref()?;
    match definition.baseline.priors.first() {
        Some(Prior::Model(kind)) => Some(format!("{}@{}", kind.word(), by_model.epoch)),
        _ => None,
    }
}

/// The features that a model blames.
fn blamed(finding: &Finding, definition: &Definition) -> Value {
    let blamed = features(finding, definition).map(|(feature, held)| {
        json!({ "name": feature.name, "seen": held.seen, "typical": held.typical, "share": held.share })
    });
    blamed.collect()
}

fn expected(finding: &Finding, definition: &Definition) -> Value {
    let held = &finding.expected;
    let window = definition
        .windows
        .get(usize::from(finding.window))
        .map_or(0.0, |window| window.as_seconds());
    json!({
        "typical": rounded(held.typical, 3), "low": rounded(held.low, 3), "high": rounded(held.high, 3),
        "mean": rounded(held.mean, 4), "variance": rounded(held.variance, 4), "z": rounded(held.z, 2),
        "history": history(held.history_windows * window), "prior_weight": rounded(held.prior_weight, 3),
    })
}

/// A length of history in the largest unit that it fills: `6d`, `3h`, `20m`.
fn history(seconds: f64) -> String {
    for (unit_seconds, unit) in [(86_400.0, "d"), (3600.0, "h"), (60.0, "m")] {
        if seconds >= unit_seconds {
            return format!("{:.0}{unit}", seconds / unit_seconds);
        }
    }
    format!("{seconds:.0}s")
}

pub(super) fn rounded(number: f64, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    (number * unit).round() / unit
}
