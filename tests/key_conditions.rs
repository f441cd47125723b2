//! Every detector rests on its conditions: without one of its selections, or one of its filters, its fixtures come out
//! otherwise. Every detector has a fixture in which it must speak.

mod support;

use stakeout::domain::Alert;
use stakeout::engine::order::Stamped;
use std::collections::{BTreeMap, BTreeSet};
use support::{Expectation, Scenario, alone, scenarios, text, told};

/// Detectors without a fixture yet in which they must speak.
const AWAITED: &[&str] = &[
    "client_rare_user_agent",
    "domain_generated_name",
    "host_rare_process",
    "host_silence",
    "host_syscall_sequence",
    "host_traffic_outlier",
    "log_sequence",
    "request_payload_outlier",
    "source_persistent_login_failures",
    "user_login_failures",
    "user_login_session_outlier",
    "user_rare_directory",
];

/// Parts of detectors that no fixture needs yet, because nothing that they leave out was recorded.
const NOT_SHOWN: &[(&str, &str)] = &[
    ("host_nxdomain_ratio", "answered"),
    ("host_peer_fan_out", "selection"),
    ("host_peer_fan_out", "outside"),
    ("host_peer_fan_out", "unanswered_counted"),
    ("host_peer_fan_out", "unanswered_state"),
    ("host_peer_fan_out", "group"),
    ("host_port_fan_out", "selection"),
    ("host_rare_service_port", "selection"),
    ("host_rare_service_port", "unanswered_counted"),
    ("host_rare_service_port", "unanswered_state"),
    ("host_system_file_changed", "changed"),
    ("host_system_file_changed", "places_windows"),
    ("pair_beaconing", "selection"),
    ("pair_beaconing", "regular_by_nature"),
    ("pair_beaconing", "group"),
    ("parent_rare_child", "selection"),
    ("server_error_ratio", "answered"),
    ("source_password_spray", "selection"),
    ("user_file_access_outlier", "failed"),
    ("user_file_access_outlier", "reads"),
    ("user_file_access_outlier", "deletes"),
    ("user_file_access_outlier", "changes"),
    ("user_host_fan_out", "selection"),
    ("user_new_source", "selection"),
    ("user_new_source", "local"),
    ("user_unusual_hour", "selection"),
];

fn detectors() -> impl Iterator<Item = &'static str> {
    let files = stakeout::engine::catalog::embedded::FILES.iter();
    files.map(|(name, _)| name.trim_start_matches("detectors/").trim_end_matches(".yml"))
}

/// The detector's text with one named selection changed into one that says nothing: true where it selects, false where
/// it filters. Nothing for what is not a selection.
fn without(text: &str, name: &str) -> String {
    let mut document: yaml_serde::Value = yaml_serde::from_str(text).expect("a detector is YAML");
    let detection = document.get_mut("detection").and_then(|value| value.as_mapping_mut());
    let detection = detection.expect("a detector has a detection");
    let condition = detection
        .get("condition")
        .and_then(|value| value.as_str())
        .expect("a condition");
    let family = name.rsplit_once('_').map_or(name, |(family, _)| family);
    let filters = [format!("not {name}"), format!("not 1 of {family}_*")]
        .iter()
        .any(|negated| condition.contains(negated));
    let says_nothing = if filters || condition.contains(&format!("1 of {family}_*")) {
        "{ event.category: there is no such category }"
    } else {
        "[ { event.category|exists: true }, { event.category|exists: false } ]"
    };
    let says_nothing: yaml_serde::Value = yaml_serde::from_str(says_nothing).expect("a selection");
    detection.insert(name.into(), says_nothing);
    yaml_serde::to_string(&document).expect("a document")
}

fn selections(text: &str) -> Vec<String> {
    let document: yaml_serde::Value = yaml_serde::from_str(text).expect("a detector is YAML");
    let detection = document
        .get("detection")
        .and_then(|value| value.as_mapping())
        .expect("a detection");
    let names = detection.keys().filter_map(|name| name.as_str());
    names.filter(|name| *name != "condition").map(str::to_owned).collect()
}

/// What a run says about what has to be told: whether it is, and what else is.
fn verdict(alerts: &[Alert], expected: Option<&Expectation>) -> (bool, BTreeSet<String>) {
    let is_expected = |alert: &&Alert| expected.is_some_and(|expected| expected.is_met_by(alert));
    let found = alerts.iter().any(|alert| is_expected(&alert));
    let other = alerts.iter().filter(|alert| !is_expected(alert));
    (
        found,
        other
            .map(|alert| format!("{} {:?}", alert.first.entity.text(), alert.first.at))
            .collect(),
    )
}

/// A scenario's events, decoded once.
struct Recording {
    scenario: Scenario,
    events: Vec<Stamped>,
}

#[test]
fn without_a_key_condition_a_detectors_fixtures_come_out_otherwise() {
    let mut problems = Vec::new();
    let mut recordings: BTreeMap<String, Recording> = BTreeMap::new();
    let all = scenarios();
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    for id in detectors() {
        // First where it must speak, the strongest first; then where it must be silent.
        let mut chosen: Vec<&str> = Vec::new();
        for strength in ["_high", "_medium", ""] {
            let fits = |scenario: &&Scenario| scenario.required().any(|expected| expected.detector == id);
            let found = all.iter().filter(fits).map(|scenario| scenario.name.as_str());
            chosen.extend(found.filter(|name| name.ends_with(strength)).take(2));
        }
        if chosen.is_empty() {
            continue;
        }
        chosen.extend(names.iter().filter(|name| name.starts_with("benign_")));
        for selection in selections(text(id)) {
            let (whole, changed) = (alone(id, text(id)), alone(id, &without(text(id), &selection)));
            let breaks = chosen.iter().any(|name| {
                let recording = recordings.entry((*name).to_owned()).or_insert_with(|| {
                    let scenario = scenarios().into_iter().find(|scenario| scenario.name == **name);
                    let scenario = scenario.expect("a scenario that was listed");
                    let events = scenario.events();
                    Recording { scenario, events }
                });
                let expected = recording.scenario.required().find(|expected| expected.detector == id);
                verdict(&told(&whole, &recording.events), expected)
                    != verdict(&told(&changed, &recording.events), expected)
            });
            let excused = NOT_SHOWN.contains(&(id, selection.as_str()));
            if breaks == excused {
                problems.push(format!(
                    "{id}: {} `{selection}` changes {} fixture",
                    if breaks {
                        "(listed as not shown)"
                    } else {
                        "nothing shows it:"
                    },
                    if breaks { "a" } else { "no" },
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_detector_speaks_in_a_fixture_that_asks_for_it() {
    let all = scenarios();
    let required: BTreeSet<&str> = all
        .iter()
        .flat_map(|scenario| scenario.required())
        .map(|expected| expected.detector.as_str())
        .collect();
    let matrix = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/matrix.snap"));
    let matrix = matrix.expect("fixtures/matrix.snap");
    for id in detectors() {
        let speaks = required.contains(id) && matrix.contains(&format!(" {id}="));
        let awaited = AWAITED.contains(&id);
        assert!(speaks || awaited, "{id} has no fixture in which it must speak");
        assert!(
            !speaks || !awaited,
            "{id} has a fixture now: take it from the list of those that are awaited"
        );
    }
}
