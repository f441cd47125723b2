//! `stakeout check --schema`: editors are told of the keys that the reader knows. What is shipped is valid by it, and what
//! the reader refuses for an unknown key is not.

mod program;

use program::{Folder, run, stakeout};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn schema(arguments: &[&str]) -> Value {
    let ran = run(stakeout(["check", "--schema"].iter().chain(arguments)));
    ran.check(0, &[]);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

/// Whether documents are valid by a schema, as Python's `jsonschema` has it; nothing where that is not installed.
fn valid(folder: &Folder, schema: &Value, documents: &[Value]) -> Option<Vec<bool>> {
    let schema = folder.file("schema.json", schema.to_string());
    let documents = folder.file("documents.json", json!(documents).to_string());
    let script = "import json, sys\n\
        try:\n import jsonschema\n\
        except ImportError:\n sys.exit(77)\n\
        schema = json.load(open(sys.argv[1]))\n\
        jsonschema.Draft202012Validator.check_schema(schema)\n\
        by = jsonschema.Draft202012Validator(schema)\n\
        print(json.dumps([by.is_valid(document) for document in json.load(open(sys.argv[2]))]))\n";
    let ran = Command::new("python3")
        .args(["-c", script])
        .arg(schema)
        .arg(documents)
        .output();
    let ran = ran.ok().filter(|ran| ran.status.code() != Some(77))?;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Some(serde_json::from_slice(&ran.stdout).expect("a list"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn yaml(text: &str) -> Value {
    yaml_serde::from_str(text).expect("YAML")
}

/// The shipped configurations, and the first with every line that is commented out.
fn configurations() -> Vec<String> {
    let shipped = [
        "deploy/stakeout.yaml",
        "deploy/stakeout-compose.yaml",
        "deploy/stakeout-kafka.yaml",
    ];
    let mut texts: Vec<String> = shipped
        .iter()
        .map(|path| fs::read_to_string(root().join(path)).expect("it is shipped"))
        .collect();
    let is_option = |line: &str| line.starts_with("  # ");
    let lines = texts[0].lines().map(|line| match is_option(line) {
        true => line.replacen("# ", "", 1),
        false => line.to_owned(),
    });
    let whole: Vec<String> = lines.collect();
    texts.push(whole.join("\n"));
    texts
}

#[test]
fn what_is_shipped_is_valid_and_an_unknown_key_anywhere_is_not() {
    let folder = Folder::new("schema");
    let (config, detector) = (schema(&[]), schema(&["detector"]));
    assert_eq!(config, schema(&["config"]));
    let good: Vec<Value> = configurations()
        .iter()
        .map(|text| yaml(text))
        .chain([Value::Null])
        .collect();
    let mut definitions = Vec::new();
    for entry in fs::read_dir(root().join("detectors")).expect("a folder") {
        let text = fs::read_to_string(entry.expect("readable").path()).expect("a definition");
        definitions.push(yaml(&text));
    }
    assert!(definitions.len() > 20);
    let (Some(configs), Some(detectors)) = (valid(&folder, &config, &good), valid(&folder, &detector, &definitions))
    else {
        left_out();
        return;
    };
    assert_eq!(configs, vec![true; good.len()]);
    assert_eq!(detectors, vec![true; definitions.len()]);
    let strange = |documents: &[Value]| -> Vec<Value> { documents.iter().flat_map(with_strange_keys).collect() };
    let bad = strange(&good);
    assert!(bad.len() > 15, "{}", bad.len());
    assert_eq!(valid(&folder, &config, &bad), Some(vec![false; bad.len()]));
    // Selections may have any key.
    definitions
        .iter_mut()
        .for_each(|definition| definition["detection"] = json!({ "condition": "a" }));
    let bad: Vec<Value> = strange(&definitions)
        .into_iter()
        .filter(|definition| definition["detection"].get("strange").is_none())
        .collect();
    assert_eq!(valid(&folder, &detector, &bad), Some(vec![false; bad.len()]));
}

fn left_out() {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "left out: Python's jsonschema is not installed");
}

/// The document with a key that nobody knows in each of its mappings, one at a time. Where names are free it is a name.
fn with_strange_keys(document: &Value) -> Vec<Value> {
    let mut places = Vec::new();
    pointers(document, String::new(), &mut places);
    let free = ["/networks/named"];
    let strange = places
        .iter()
        .filter(|place| !free.contains(&place.as_str()))
        .map(|place| {
            let mut document = document.clone();
            document.pointer_mut(place).expect("it was there")["strange"] = json!({ "never": "heard of" });
            document
        });
    strange.collect()
}

fn pointers(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(pairs) => {
            for (key, value) in pairs {
                pointers(
                    value,
                    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                    places,
                );
            }
            places.push(at);
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                pointers(item, format!("{at}/{number}"), places);
            }
        }
        _ => {}
    }
}

#[test]
fn the_reader_takes_what_the_schema_was_tested_with() {
    let folder = Folder::new("schema-reader");
    for text in configurations() {
        let config = folder.file("stakeout.yaml", &text);
        let mut command = stakeout(["check", "--config"]);
        command.arg(config);
        let ran = run(command);
        let unknown = ran.stdout.contains("unknown key");
        assert!(!unknown && ran.status == Some(0), "{}\n{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn a_detectors_fields_are_those_that_the_reader_knows() {
    let detector = schema(&["detector"]);
    let told = detector["$defs"]["field"]["enum"].as_array().expect("words");
    let told: BTreeSet<&str> = told.iter().filter_map(Value::as_str).collect();
    let known: BTreeSet<&str> = stakeout::domain::Field::ALL.iter().map(|field| field.name()).collect();
    assert_eq!(told, known);
}
