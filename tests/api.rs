//! What can be asked over HTTP: real answers to real questions, and the description held against the service by
//! schemathesis.

mod serving;

use serde_json::Value;
use serving::{Folder, Service, left_out, recorded};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn start(folder: &Folder) -> Service {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs: {{ files: ['{0}/auth.log'] }}\n\
         store: {{ commit_every: 100ms, snapshot_every: 1s }}\n\
         sinks: [{{ type: file, path: '{0}/alerts.json' }}]\n",
        folder.0.display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    fs::write(folder.0.join("auth.log"), recorded()).expect("a log");
    let service = Service::start(&folder.0);
    service.wait_until_judged();
    service
}

fn ask(service: &Service, path: &str) -> Value {
    let text = service.get(path).expect("an answer");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

fn ids(answer: &Value) -> Vec<String> {
    let alerts = answer["alerts"].as_array().expect("a list");
    let id = |alert: &Value| alert["event"]["id"].as_str().expect("an id").to_owned();
    alerts.iter().map(id).collect()
}

#[test]
fn alerts_detectors_and_entities_are_told() {
    let folder = Folder::new("api");
    let service = start(&folder);
    let all = ask(&service, "/api/v1/alerts");
    let all_ids = ids(&all);
    assert!(all_ids.len() >= 2 && all["next_offset"].is_null(), "{all}");

    // Pages follow each other without a gap.
    let first = ask(&service, "/api/v1/alerts?limit=1");
    assert_eq!(
        (ids(&first), &first["next_offset"]),
        (all_ids[..1].to_vec(), &Value::from(1))
    );
    let second = ask(&service, "/api/v1/alerts?limit=1&offset=1");
    assert_eq!(ids(&second), all_ids[1..2]);

    // Each filter keeps what it names and nothing else.
    let guesser = ask(&service, "/api/v1/alerts?entity=10.20.0.66");
    assert_eq!(guesser["alerts"][0]["source"]["ip"], "10.20.0.66", "{guesser}");
    assert!(ids(&guesser).len() < all_ids.len());
    let spraying = ask(&service, "/api/v1/alerts?detector=source_password_spray");
    for alert in spraying["alerts"].as_array().expect("a list") {
        assert_eq!(alert["rule"]["id"], "source_password_spray");
    }
    assert!(!ids(&spraying).is_empty());
    assert_eq!(ids(&ask(&service, "/api/v1/alerts?tactic=credential-access")), all_ids);
    assert!(ids(&ask(&service, "/api/v1/alerts?tactic=exfiltration")).is_empty());
    assert!(ids(&ask(&service, "/api/v1/alerts?min_risk=99.9")).is_empty());
    assert_eq!(
        ids(&ask(&service, "/api/v1/alerts?since=2026-01-01T00:00:00Z")),
        all_ids
    );
    assert!(ids(&ask(&service, "/api/v1/alerts?until=2026-01-01T00:00:00Z")).is_empty());
    for (path, said) in [
        ("/api/v1/alerts?limit=0", "`limit` must be from 1 to 1000"),
        ("/api/v1/alerts?since=yesterday", "`since` must be a time"),
        ("/api/v1/alerts?detektor=a", "unknown field `detektor`"),
        ("/api/v1/alerts/none", "there is no alert"),
        ("/api/v1/detectors/none", "there is no detector `none`"),
        ("/api/v1/entities/source.mac/a", "no detector is about `source.mac`"),
        ("/api/v1/entities/source.ip/a", "`a` is no source.ip"),
        (
            "/api/v1/entities/source.ip/192.0.2.1",
            "nothing is known about 192.0.2.1",
        ),
    ] {
        let error = ask(&service, path)["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(said), "{path}: {error}");
    }

    let one = ask(&service, &format!("/api/v1/alerts/{}", all_ids[0]));
    assert_eq!(one, all["alerts"][0]);
    let detectors = ask(&service, "/api/v1/detectors");
    let shipped = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/detectors"))
        .expect("detectors")
        .count();
    assert_eq!(detectors["detectors"].as_array().map(Vec::len), Some(shipped));

    let entity = ask(&service, "/api/v1/entities/source.ip/10.20.0.66");
    let usual = entity["usual"].as_array().expect("a list");
    let failures = usual.iter().find(|usual| usual["detector"] == "source_login_failures");
    let expected = &failures.expect("it is watched")["expected"];
    assert!(expected["low"].as_f64() <= expected["high"].as_f64(), "{entity}");
    assert!(
        expected["history_windows"].is_number() && entity["last_seen"].is_string(),
        "{entity}"
    );
    service.terminate();
}

/// schemathesis in a Python environment that outlives the test, made where it is not there yet.
fn schemathesis() -> Option<PathBuf> {
    let place = std::env::temp_dir().join("stakeout-schemathesis-4");
    let program = place.join("bin/schemathesis");
    if program.exists() {
        return Some(program);
    }
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    let (place_text, pip) = (place.display().to_string(), place.join("bin/pip").display().to_string());
    let is_made = run("python3", &["-m", "venv", &place_text]) && run(&pip, &["install", "-q", "schemathesis>=4,<5"]);
    is_made.then_some(program)
}

#[test]
fn the_service_keeps_to_its_description() {
    let Some(program) = schemathesis() else {
        left_out("schemathesis can't be installed: python3 with venv and a network are needed");
        return;
    };
    let folder = Folder::new("described");
    let service = start(&folder);
    let url = format!("http://{}", service.address);
    let output = Command::new(program)
        .args([
            "run",
            "--url",
            &url,
            "--seed",
            "1",
            "--max-examples",
            "40",
            "--no-color",
        ])
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .arg(format!("{url}/api/v1/openapi.json"))
        .current_dir(&folder.0)
        .output()
        .expect("schemathesis runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    service.terminate();
}
