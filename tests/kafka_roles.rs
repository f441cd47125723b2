//! The roles `collect` and `detect` against a real broker: any number of instances, started and ended at any time, give
//! the alerts of one process.
#![cfg(feature = "kafka")]

mod broker;
mod roles;
mod serving;

use broker::{Written, broker};
use roles::{Instance, PARTITIONS, last_time, passed, sorted, told, wait_until, wait_until_judged};
use serving::{Folder, Service, append, recorded};
use std::fs;

/// What collecting instances read.
fn files(folder: &Folder) -> String {
    format!("  files: ['{}/auth.log']", folder.0.display())
}

/// What one process tells of the log.
fn alone(log: &[u8]) -> Vec<String> {
    let folder = Folder::new("kafka-alone");
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\ninputs:\n  files: ['{0}/auth.log']\nsinks:\n  - {{ type: file, path: '{0}/alerts' }}\n",
        folder.0.display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    append(&folder.0, log);
    let service = Service::start(&folder.0);
    service.wait_until_judged();
    service.terminate();
    let told = fs::read_to_string(folder.0.join("alerts")).expect("alerts");
    sorted(told.lines().map(str::to_owned))
}

#[test]
fn any_number_of_instances_give_the_alerts_of_one_process_over_kills() {
    let Some(broker) = broker() else { return };
    let log = recorded();
    let expected = alone(&log);
    assert!(expected.len() >= 3, "{expected:?}");
    let folder = Folder::new("kafka-roles");
    roles::configure(&folder.0, broker, "roles", &files(&folder));
    let collect = Instance::start(&folder.0, "collect", "collector");
    let first = Instance::start(&folder.0, "detect", "detector-1");
    // Cut anywhere, also within a line.
    let parts: Vec<&[u8]> = log.chunks(log.len() / 5 + 1).collect();
    append(&folder.0, parts[0]);
    wait_until("something was judged", || {
        passed(broker, "roles.findings")
            .values()
            .any(|watermark| *watermark > 0)
    });
    // From one to three.
    let second = Instance::start(&folder.0, "detect", "detector-2");
    let mut third = Instance::start(&folder.0, "detect", "detector-3");
    append(&folder.0, parts[1]);
    third.wait_until_said("taken up");
    // One is killed and does not come back; so is who collects, and does.
    first.kill();
    collect.kill();
    append(&folder.0, parts[2]);
    let collect = Instance::start(&folder.0, "collect", "collector");
    append(&folder.0, parts[3]);
    // From two to one and back, without haste.
    second.terminate();
    let second = Instance::start(&folder.0, "detect", "detector-2");
    append(&folder.0, parts[4]);
    wait_until_judged(broker, "roles", last_time(&log));
    assert_eq!(told(broker, "roles.alerts"), expected);
    for instance in [collect, second, third] {
        instance.terminate();
    }
    assert_eq!(told(broker, "roles.alerts"), expected, "the end tells nothing");
    let letters = broker.read_committed("roles.dead");
    assert!(letters.is_empty(), "{letters:?}");
}

#[test]
fn what_is_none_of_ours_goes_to_the_dead_letters_and_stops_nobody() {
    let Some(broker) = broker() else { return };
    let folder = Folder::new("kafka-roles-garbage");
    roles::configure(&folder.0, broker, "garbage", &files(&folder));
    let garbage = [
        (Some(&b"{"[..]), "bad_json"),
        (Some(b"\xff\xfe"), "bad_json"),
        (Some(br#"{"v":9,"stream":"x","mark":{}}"#), "unknown_version"),
        (None, "no_value"),
    ];
    let record = |partition, value| Written {
        partition,
        value,
        ..Written::default()
    };
    broker.write("garbage.events", garbage.iter().map(|(value, _)| record(2, *value)));
    broker.write("garbage.findings", [record(0, Some(b"nothing"))]);
    let log = recorded();
    append(&folder.0, &log[..log.len() / 8]);
    let collect = Instance::start(&folder.0, "collect", "collector");
    let detect = Instance::start(&folder.0, "detect", "detector-1");
    wait_until("it goes on behind them", || {
        let passed = passed(broker, "garbage.findings");
        passed.len() == PARTITIONS && passed.values().all(|watermark| *watermark > 0)
    });
    let mut letters: Vec<(String, String)> = broker
        .read_committed("garbage.dead")
        .iter()
        .map(|letter| {
            let place = format!(
                "{}/{}",
                letter.header("stakeout.topic"),
                letter.header("stakeout.partition")
            );
            (place, letter.header("stakeout.reason").to_owned())
        })
        .collect();
    letters.sort();
    let mut expected: Vec<(String, String)> = garbage
        .iter()
        .map(|(_, reason)| ("garbage.events/2".to_owned(), (*reason).to_owned()))
        .chain([("garbage.findings/0".to_owned(), "bad_json".to_owned())])
        .collect();
    expected.sort();
    assert_eq!(letters, expected);
    collect.terminate();
    detect.terminate();
}
