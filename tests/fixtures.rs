//! Every scenario of `fixtures/`: attacks are found, benign recordings stay quiet, and what is told does not change
//! unnoticed. `UPDATE_SNAPSHOTS=1 cargo test --test fixtures` writes the snapshots anew; read their difference as code.

mod support;

use serde_json::Value;
use stakeout::run::replay::run;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use support::{Expectation, replay, scenarios};

/// The last form of every alert of a replay, in the order in which they were first told, with `first_told` added.
fn alerts(inputs: &[PathBuf], threads: usize) -> (Vec<Value>, String) {
    let mut output = Vec::new();
    let mut errors = Vec::new();
    let request = replay(inputs.to_vec(), threads);
    run(&request, Box::new(&mut output), &mut errors).expect("a replay");
    assert!(errors.is_empty(), "{}", String::from_utf8_lossy(&errors));
    let text = String::from_utf8(output).expect("documents are UTF-8");
    let mut order = Vec::new();
    let mut last = BTreeMap::new();
    for line in text.lines() {
        let mut document: Value = serde_json::from_str(line).expect("a document");
        let id = document["event"]["id"].as_str().expect("an id").to_owned();
        let before: Option<&Value> = last.get(&id);
        document["first_told"] = before
            .map_or(&document["@timestamp"], |before| &before["first_told"])
            .clone();
        if last.insert(id.clone(), document).is_none() {
            order.push(id);
        }
    }
    let documents = order.into_iter().filter_map(|id| last.remove(&id)).collect();
    (documents, text)
}

/// Whether an alert is what a scenario expects: the detector itself or in support, about the entity, at the time.
fn meets(alert: &Value, expectation: &Expectation) -> bool {
    let rules = std::iter::once(&alert["rule"]["id"]).chain(
        alert["stakeout"]["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|finding| &finding["rule"]),
    );
    let mut rules = rules.filter_map(Value::as_str);
    let entity = &alert["stakeout"]["entity"];
    let related = alert["related"].to_string();
    let about = expectation.entity.iter().all(|(field, value)| {
        let held = &entity[field.as_str()];
        held == value
            || held.as_str().is_some_and(|held| value.as_str() == Some(held))
            || value
                .as_str()
                .is_some_and(|value| related.contains(&format!("\"{value}\"")))
    });
    // Without the final letter, times with and without fractions of a second compare as text.
    let time = |value: &Value| value.as_str().map(|time| time.trim_end_matches('Z').to_owned());
    let overlaps = time(&alert["event"]["start"])
        .is_some_and(|start| start.as_str() <= expectation.to.trim_end_matches('Z'))
        && time(&alert["@timestamp"]).is_some_and(|end| end.as_str() >= expectation.from.trim_end_matches('Z'));
    rules.any(|rule| rule == expectation.detector) && about && overlaps
}

/// One line an alert, when it was first told and its last contributing event, without what changes with the program's version.
fn snapshot(alerts: &[Value]) -> String {
    let mut text = String::new();
    for alert in alerts {
        let support: Vec<_> = alert["stakeout"]["findings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|finding| finding["rule"].as_str())
            .collect();
        let _ = writeln!(
            text,
            "{} to {} {} surprise {} | {}{}",
            alert["first_told"].as_str().unwrap_or(""),
            alert["event"]["end"]
                .as_str()
                .and_then(|end| end.get(11..))
                .unwrap_or(""),
            alert["rule"]["id"].as_str().unwrap_or(""),
            alert["stakeout"]["peak"]["surprise"],
            alert["message"].as_str().unwrap_or(""),
            if support.is_empty() {
                String::new()
            } else {
                format!(" | with {}", support.join(", "))
            },
        );
    }
    text
}

fn compare(path: &Path, text: &str, stale: &mut Vec<String>) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(path, text).expect("writing a snapshot");
    } else if fs::read_to_string(path).unwrap_or_default() != text {
        stale.push(format!("{}:\n{text}", path.display()));
    }
}

#[test]
fn attacks_are_found_benign_recordings_are_quiet_and_nothing_changes_unnoticed() {
    let (mut problems, mut stale) = (Vec::new(), Vec::new());
    let mut matrix = BTreeMap::new();
    let mut detectors = BTreeSet::new();
    for scenario in scenarios() {
        let (alerts, _) = alerts(&scenario.inputs(), 1);
        for expectation in scenario.truth.expect.iter().filter(|expectation| expectation.required) {
            if !alerts.iter().any(|alert| meets(alert, expectation)) {
                problems.push(format!(
                    "{}: {} was not told: {expectation:?}",
                    scenario.name, expectation.detector
                ));
            }
        }
        if let Some(most) = scenario.truth.alerts_per_day_max {
            let mut days = BTreeMap::new();
            for alert in &alerts {
                let day = alert["@timestamp"]
                    .as_str()
                    .and_then(|time| time.get(..10))
                    .unwrap_or("")
                    .to_owned();
                *days.entry(day).or_insert(0.0) += 1.0;
            }
            for (day, count) in days {
                if count > most && !scenario.truth.attack {
                    problems.push(format!(
                        "{}: {count} alerts on {day}, at most {most} are accepted",
                        scenario.name
                    ));
                }
            }
        }
        let mut row: BTreeMap<String, usize> = BTreeMap::new();
        for alert in &alerts {
            let rule = alert["rule"]["id"].as_str().unwrap_or("").to_owned();
            detectors.insert(rule.clone());
            *row.entry(rule).or_default() += 1;
        }
        matrix.insert(scenario.name.clone(), row);
        compare(&scenario.folder.join("alerts.snap"), &snapshot(&alerts), &mut stale);
    }
    let mut text = String::from("# Alerts by scenario and detector. A detector that is not named told nothing.\n");
    for (scenario, row) in &matrix {
        let cells: Vec<_> = row
            .iter()
            .map(|(detector, count)| format!("{detector}={count}"))
            .collect();
        let _ = writeln!(
            text,
            "{scenario}: {}",
            if cells.is_empty() {
                "-".to_owned()
            } else {
                cells.join(" ")
            }
        );
    }
    compare(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/matrix.snap"),
        &text,
        &mut stale,
    );
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(
        stale.is_empty(),
        "snapshots are stale (UPDATE_SNAPSHOTS=1 writes them):\n{}",
        stale.join("\n")
    );
}

#[test]
fn the_number_of_partitions_changes_nothing() {
    let scenarios = scenarios();
    let Some(scenario) = scenarios.iter().find(|scenario| scenario.truth.attack) else {
        return;
    };
    let inputs = scenario.inputs();
    let (_, one) = alerts(&inputs, 1);
    for partitions in [2, 8, 1024] {
        assert!(
            alerts(&inputs, partitions).1 == one,
            "{} partitions differ in {}",
            partitions,
            scenario.name
        );
    }
}
