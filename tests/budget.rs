//! A budget decides what is told, never what exists: the alerts of a budgeted run are a subset of those of a run
//! without one, with the same ids.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The ids that a replay of these inputs tells.
fn ids(inputs: &[PathBuf], budget: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .arg("replay")
        .args(["--format", "ecs", "--quiet", "--year", "2026"])
        .args(budget)
        .args(inputs)
        .output()
        .expect("running stakeout");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| {
            let document: serde_json::Value = serde_json::from_str(line).expect("a document");
            document["event"]["id"].as_str().expect("an id").to_owned()
        })
        .collect()
}

/// The inputs of every scenario whose name begins like one of these.
fn scenarios(beginnings: &[&str]) -> Vec<(String, Vec<PathBuf>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("the folder of fixtures").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(truth) = fs::read_to_string(entry.path().join("truth.yml")) else {
            continue;
        };
        if !beginnings.iter().any(|beginning| name.starts_with(beginning)) {
            continue;
        }
        let truth: yaml_serde::Value = yaml_serde::from_str(&truth).expect("a truth");
        let inputs = truth["inputs"].as_sequence().expect("inputs");
        let inputs = inputs
            .iter()
            .map(|input| entry.path().join(input.as_str().expect("a path")))
            .collect();
        found.push((name, inputs));
    }
    found.sort();
    assert!(found.len() >= beginnings.len(), "{beginnings:?} name no scenarios");
    found
}

#[test]
fn a_budgeted_runs_alerts_are_a_subset_of_all_alerts_with_the_same_ids() {
    let mut told = 0;
    for (name, inputs) in scenarios(&[
        "benign_logins_a",
        "benign_network_e",
        "ssh_guessing_medusa",
        "ssh_spraying",
        "ssh_fan_out_openssh",
    ]) {
        let all = ids(&inputs, &["--no-budget"]);
        for budget in ["0.5", "5", "20", "1000"] {
            let some = ids(&inputs, &["--budget", budget]);
            let strangers: Vec<_> = some.difference(&all).collect();
            assert!(
                strangers.is_empty(),
                "{name}: a budget of {budget} tells {strangers:?}, which no run without a budget tells"
            );
            told += some.len();
        }
    }
    assert!(told > 0, "no budgeted run told anything, so nothing was compared");
}
