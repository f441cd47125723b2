//! Every document that is written about several recordings holds to the published schemas: ECS and OCSF by names, kinds
//! and required attributes, and to the contract of alerts by its keys.

mod program;

use program::{Folder, failed_login, fixture, guessing, run, stakeout};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// Recordings that together have single alerts, merged ones, folded ones and pairs.
fn inputs() -> Vec<Vec<PathBuf>> {
    let logins = fixture("benign_logins_a/auth.log.gz");
    let beside = |name: &str| vec![logins.clone(), fixture(name).join("auth.log.gz")];
    vec![
        beside("ssh_guessing_hydra_high"),
        beside("ssh_spraying_hydra_medium"),
        beside("ssh_fan_out_openssh_high"),
        vec![
            fixture("benign_network_e/capture.pcap.gz"),
            fixture("benign_network_j/capture.pcap.gz"),
        ],
    ]
}

/// Many sources against one server: an alert about the target closes those about its first actors.
fn many_actors() -> String {
    let mut text = String::new();
    for source in 0..12u32 {
        for number in 0..60 {
            let line = failed_login(36_000 + source * 20 + number, "root");
            text.push_str(&line.replace("203.0.113.7", &format!("203.0.113.{}", source + 20)));
        }
    }
    text
}

fn documents(format: &str, paths: &[PathBuf]) -> Vec<Value> {
    let mut command = stakeout(["replay", "--quiet", "--no-budget", "--year", "2026", "--format", format]);
    command.args(paths);
    let ran = run(command);
    ran.check(0, &[]);
    let read = |line: &str| serde_json::from_str(line).expect("a document");
    ran.stdout.lines().map(read).collect()
}

fn all_documents(format: &str) -> Vec<Value> {
    let folder = Folder::new(&format!("documents-{format}"));
    let mut all: Vec<Value> = inputs().iter().flat_map(|paths| documents(format, paths)).collect();
    all.extend(documents(format, &[folder.file("auth.log", many_actors())]));
    assert!(all.len() > 50, "{} documents", all.len());
    all
}

/// The lines of a table of `tests/schema/` that hold something.
fn table(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split(' ').collect())
}

/// Leaves of a document under their dotted names; an array's items stand under the array's name.
fn leaves<'a>(name: &str, value: &'a Value, found: &mut Vec<(String, &'a Value, bool)>, in_array: bool) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                leaves(&name, value, found, in_array);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(name, item, found, true)),
        leaf => found.push((name.to_owned(), leaf, in_array)),
    }
}

fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

/// The last document about the guesser, with this configuration.
fn guesser(folder: &Folder, configuration: &str) -> Value {
    let log = folder.file("auth.log", guessing());
    let configuration = folder.file("stakeout.yml", configuration);
    let mut command = stakeout(["replay", "--quiet", "--no-budget", "--format", "ecs", "--config"]);
    command.arg(configuration).arg(log);
    let ran = run(command);
    ran.check(0, &[]);
    let mut documents = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a document"));
    let about = |document: &Value| document["rule"]["id"] == "source_login_failures";
    documents.rfind(about).expect("an alert about the guesser")
}

#[test]
fn a_named_thing_stands_in_its_alerts_and_scales_their_risk() {
    let folder = Folder::new("documents-named");
    let plain = guesser(&folder, "budget: { alerts_per_day: 20 }\n");
    let risk = |document: &Value| document["event"]["risk_score"].as_f64().expect("a risk");
    assert!(plain["stakeout"]["assets"].is_null() && plain["network"]["name"].is_null());
    for (criticality, factor) in [("low", 0.5), ("normal", 1.0), ("critical", 1.5)] {
        let named = guesser(
            &folder,
            &format!(
                "networks:\n  named: {{ partners: 203.0.113.0/24 }}\n\
                 assets:\n  - {{ name: scanner, address: 203.0.113.7, criticality: {criticality} }}\n"
            ),
        );
        let wanted = (risk(&plain) * factor).min(100.0);
        assert!(
            (risk(&named) - wanted).abs() < 0.2,
            "{criticality}: {} of {}",
            risk(&named),
            risk(&plain)
        );
        assert_eq!(named["stakeout"]["peak"]["risk"], named["event"]["risk_score"]);
        assert_eq!(named["network"]["name"], "partners");
        assert_eq!(
            named["stakeout"]["assets"],
            serde_json::json!([
                { "field": "source.ip", "value": "203.0.113.7", "name": "scanner", "criticality": criticality }
            ])
        );
        for fixed in ["p", "surprise", "seen"] {
            assert_eq!(
                named["stakeout"][fixed], plain["stakeout"][fixed],
                "a name changes no judgement"
            );
        }
    }
}

#[test]
fn ecs_documents_have_the_schemas_names_and_kinds() {
    let known: BTreeMap<&str, &str> = table(include_str!("schema/ecs.txt"))
        .map(|row| (row[0], row[1]))
        .collect();
    let mut wrong = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for document in all_documents("ecs") {
        for technique in document["threat"]["technique"].as_array().into_iter().flatten() {
            let id = technique["id"].as_str().expect("an id");
            assert!(!id.contains('.'), "{id} is a sub-technique");
            for part in technique["subtechnique"].as_array().into_iter().flatten() {
                let part = part["id"].as_str().expect("an id");
                assert!(
                    part.strip_prefix(id).is_some_and(|rest| rest.starts_with('.')),
                    "{part} of {id}"
                );
            }
        }
        let mut found = Vec::new();
        leaves("", &document, &mut found, false);
        for (name, value, in_array) in found {
            if name.starts_with("stakeout.") {
                continue;
            }
            let Some(kind) = known.get(name.as_str()) else {
                wrong.insert(format!("{name} is not in ECS"));
                continue;
            };
            let text = value.as_str();
            let fits = match kind.trim_end_matches('+') {
                "text" => text.is_some_and(|text| !text.is_empty()),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                "date" => text.is_some_and(is_time),
                "ip" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
                kind => panic!("the table has an unknown kind {kind}"),
            };
            if !fits {
                wrong.insert(format!("{name} is {value}, not {kind}"));
            }
            if in_array && !kind.ends_with('+') {
                wrong.insert(format!("{name} has several values"));
            }
            seen.insert(name);
        }
        check_words(&document, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for name in ["source.ip", "user.name", "related.hosts", "host.name"] {
        assert!(seen.contains(name), "{name} was seen in some document");
    }
}

/// Words that ECS has a closed list of.
fn check_words(document: &Value, wrong: &mut BTreeSet<String>) {
    const CATEGORIES: [&str; 5] = ["authentication", "file", "process", "network", "web"];
    let event = &document["event"];
    if event["kind"] != "alert" {
        wrong.insert(format!("event.kind is {}", event["kind"]));
    }
    for category in event["category"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !CATEGORIES.contains(&category) {
            wrong.insert(format!("event.category {category}"));
        }
    }
}

#[test]
fn ecs_documents_keep_the_contract() {
    let mut wrong = BTreeSet::new();
    let mut forms: BTreeMap<String, (u64, Value)> = BTreeMap::new();
    let mut folded = 0;
    for document in all_documents("ecs") {
        let mut expect = |path: &str, fits: fn(&Value) -> bool| {
            let value = document.pointer(path).unwrap_or(&Value::Null);
            if !fits(value) {
                wrong.insert(format!("{path} is {value}"));
            }
        };
        let time: fn(&Value) -> bool = |value| value.as_str().is_some_and(is_time);
        let text: fn(&Value) -> bool = |value| value.as_str().is_some_and(|text| !text.is_empty());
        let number: fn(&Value) -> bool = Value::is_number;
        let list: fn(&Value) -> bool = Value::is_array;
        for path in ["/@timestamp", "/event/start", "/event/end"] {
            expect(path, time);
        }
        for path in [
            "/ecs/version",
            "/message",
            "/event/id",
            "/event/dataset",
            "/rule/id",
            "/rule/version",
            "/rule/name",
            "/stakeout/window",
            "/stakeout/normal_if",
            "/stakeout/expected/history",
            "/stakeout/versions/program",
            "/stakeout/versions/detector",
        ] {
            expect(path, text);
        }
        for path in [
            "/event/risk_score",
            "/event/severity",
            "/stakeout/p",
            "/stakeout/surprise",
            "/stakeout/count",
            "/stakeout/seen",
            "/stakeout/peak/p",
            "/stakeout/peak/surprise",
            "/stakeout/peak/seen",
            "/stakeout/peak/risk",
            "/stakeout/expected/typical",
            "/stakeout/expected/low",
            "/stakeout/expected/high",
            "/stakeout/expected/mean",
            "/stakeout/expected/variance",
            "/stakeout/expected/z",
            "/stakeout/expected/prior_weight",
            "/stakeout/quality/loss",
            "/stakeout/quality/late",
            "/stakeout/versions/population",
        ] {
            expect(path, number);
        }
        for path in [
            "/event/category",
            "/threat/technique",
            "/threat/tactic",
            "/stakeout/findings",
            "/stakeout/evidence",
        ] {
            expect(path, list);
        }
        expect("/rule/category", |value| value == "anomaly");
        expect("/threat/framework", |value| value == "MITRE ATT&CK");
        expect("/stakeout/memory", |value| {
            ["fast", "slow", "prior"].iter().any(|word| value == word)
        });
        expect("/stakeout/p", |value| {
            value.as_f64().is_some_and(|p| (0.0..=1.0).contains(&p))
        });
        expect("/event/risk_score", |value| {
            value.as_f64().is_some_and(|risk| (0.0..=100.0).contains(&risk))
        });
        expect("/stakeout/entity", |value| {
            value.as_object().is_some_and(|entity| !entity.is_empty())
        });
        check_entity(&document, &mut wrong);
        check_order(&document, &mut wrong);
        if document.pointer("/stakeout/related_total").is_some() {
            folded += 1;
        }
        check_forms(document, &mut forms, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(folded > 0, "no alert about a common target among them");
}

/// The entity's fields stand at their ECS place too, and hosts and users have their plain names.
fn check_entity(document: &Value, wrong: &mut BTreeSet<String>) {
    for (name, value) in document["stakeout"]["entity"].as_object().into_iter().flatten() {
        let path = format!("/{}", name.replace('.', "/"));
        if document.pointer(&path) != Some(value) {
            wrong.insert(format!("{name} stands nowhere but in the entity"));
        }
        let text = value.as_str().unwrap_or_default();
        if name == "host.name" && (text.contains('.') || text != text.to_lowercase()) {
            wrong.insert(format!("host.name is {text}"));
        }
        if name == "user.name" && (text.contains('\\') || text.contains('@')) {
            wrong.insert(format!("user.name is {text}"));
        }
    }
    for name in ["ip", "user", "hosts"] {
        let related = &document["related"][name];
        if related.as_array().is_some_and(|list| list.len() > 256) {
            wrong.insert(format!("related.{name} is too long"));
        }
    }
}

/// Events lie before the moment at which the alert became known, and evidence stands in order.
fn check_order(document: &Value, wrong: &mut BTreeSet<String>) {
    let text = |path: &str| document.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let when = |path: &str| text(path).parse::<jiff::Timestamp>().unwrap_or_default();
    if when("/event/start") > when("/event/end") {
        wrong.insert(format!(
            "it starts {} and ends {}",
            text("/event/start"),
            text("/event/end")
        ));
    }
    let low = document["stakeout"]["expected"]["low"].as_f64();
    if low > document["stakeout"]["expected"]["high"].as_f64() {
        wrong.insert("expected.low is above expected.high".to_owned());
    }
    for evidence in document["stakeout"]["evidence"].as_array().into_iter().flatten() {
        if !(evidence["input"].is_u64() && evidence["sequence"].is_u64()) {
            wrong.insert(format!("evidence {evidence}"));
        }
    }
}

/// A later form of an alert has the same id, p and surprise, a higher count, and no lower peak.
fn check_forms(document: Value, forms: &mut BTreeMap<String, (u64, Value)>, wrong: &mut BTreeSet<String>) {
    let id = format!("{}{}", document["event"]["id"], document["ecs"]["version"]);
    let count = document["stakeout"]["count"].as_u64().unwrap_or(0);
    if let Some((held_count, held)) = forms.get(&id)
        // Each recording begins anew.
        && count > 1
    {
        for key in ["p", "surprise", "seen", "window", "entity"] {
            let (now, before) = (&document["stakeout"][key], &held["stakeout"][key]);
            if key != "entity" && now != before {
                wrong.insert(format!("{key} changes from {before} to {now}"));
            }
        }
        if count <= *held_count {
            wrong.insert(format!("count goes from {held_count} to {count}"));
        }
        let peak = |form: &Value| form["stakeout"]["peak"]["surprise"].as_f64();
        if peak(&document) < peak(held) {
            wrong.insert("the peak falls".to_owned());
        }
    }
    forms.insert(id, (count, document));
}

/// An OCSF object's attributes: kind, and whether it is required.
type Attributes = BTreeMap<&'static str, (&'static str, bool)>;

#[test]
fn ocsf_documents_have_the_schemas_attributes() {
    let mut objects: BTreeMap<&str, Attributes> = BTreeMap::new();
    for row in table(include_str!("schema/ocsf.txt")) {
        let attributes = objects.entry(row[0]).or_default();
        attributes.insert(row[1], (row[2], row.get(3) == Some(&"!")));
    }
    let mut wrong = BTreeSet::new();
    let mut activities = BTreeSet::new();
    for document in all_documents("ocsf") {
        check_object("detection_finding", &document, &objects, &mut wrong);
        check_numbers(&document, &mut wrong);
        activities.insert(document["activity_id"].as_u64());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(
        activities,
        BTreeSet::from([Some(1), Some(2), Some(3)]),
        "created, updated and closed"
    );
}

fn check_object(name: &str, value: &Value, objects: &BTreeMap<&str, Attributes>, wrong: &mut BTreeSet<String>) {
    let (Some(attributes), Some(members)) = (objects.get(name), value.as_object()) else {
        wrong.insert(format!("{name} is {value}"));
        return;
    };
    for (key, (_, required)) in attributes {
        if *required && !members.contains_key(*key) {
            wrong.insert(format!("{name} has no {key}"));
        }
    }
    for (key, value) in members {
        let Some((kind, _)) = attributes.get(key.as_str()) else {
            wrong.insert(format!("{name} has {key}, which OCSF does not know"));
            continue;
        };
        let (one, many) = match kind.strip_suffix('+') {
            Some(one) => (one, true),
            None => (*kind, false),
        };
        let items = match (value, many) {
            (Value::Array(items), true) => items.iter().collect(),
            (Value::Array(_), false) | (_, true) => {
                wrong.insert(format!("{name}.{key} is {value}, not {kind}"));
                continue;
            }
            (value, false) => vec![value],
        };
        for item in items {
            let fits = match one {
                "text" => item.as_str().is_some_and(|text| !text.is_empty()),
                "integer" => item.is_i64() || item.is_u64(),
                "float" => item.is_number(),
                "boolean" => item.is_boolean(),
                object => {
                    check_object(object, item, objects, wrong);
                    true
                }
            };
            if !fits {
                wrong.insert(format!("{name}.{key} is {item}, not {kind}"));
            }
        }
    }
}

/// Identifiers of closed lists, and how they hang together.
fn check_numbers(document: &Value, wrong: &mut BTreeSet<String>) {
    let number = |path: &str| document.pointer(path).and_then(Value::as_u64);
    let mut must = |path: &str, among: &[u64]| {
        if !number(path).is_some_and(|number| among.contains(&number)) {
            wrong.insert(format!("{path} is {:?}", document.pointer(path)));
        }
    };
    must("/class_uid", &[2004]);
    must("/category_uid", &[2]);
    must("/activity_id", &[1, 2, 3]);
    must("/severity_id", &[1, 2, 3, 4, 5]);
    must("/status_id", &[1, 2, 3, 4, 5, 6]);
    must("/finding_info/analytic/type_id", &[1, 2, 3, 4]);
    for (place, observable) in document["observables"].as_array().into_iter().flatten().enumerate() {
        // Hostname, IP address, user name.
        must(&format!("/observables/{place}/type_id"), &[1, 2, 4]);
        if observable["value"].is_null() {
            must("/an observable without value", &[]);
        }
    }
    let activity = number("/activity_id").unwrap_or(0);
    must("/type_uid", &[200_400 + activity]);
    if number("/risk_score").is_none_or(|risk| risk > 100) {
        must("/risk_score", &[]);
    }
    // Milliseconds since 1970.
    for path in ["/time", "/start_time", "/end_time", "/finding_info/created_time"] {
        if !number(path).is_some_and(|time| (1_700_000_000_000..2_000_000_000_000).contains(&time)) {
            must(path, &[]);
        }
    }
    for path in [
        "/anomaly_analyses/0/anomalies/0/observations/0/value",
        "/anomaly_analyses/0/baselines/0/observations/0/value",
    ] {
        if document.pointer(path).is_none() {
            must(path, &[]);
        }
    }
}
