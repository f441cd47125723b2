//! The roles `collect` and `detect` against a real broker: any number of instances, started and ended at any time, give
//! the alerts of one process.
#![cfg(feature = "kafka")]

mod broker;
mod serving;

use broker::{Broker, Written, broker};
use serving::{Folder, PATIENCE, Service, append, recorded};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PARTITIONS: usize = 6;

/// An instance of a role; ended by its own id when it is dropped.
struct Instance {
    child: Child,
    log: PathBuf,
}

impl Instance {
    fn start(folder: &Path, role: &str, name: &str) -> Instance {
        let log = folder.join(format!("{name}.log"));
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_stakeout"))
            .args([role, "--instance", name, "--config"])
            .arg(folder.join("roles.yaml"))
            .env("STAKEOUT_DATA_DIR", folder.join(format!("data-{name}")))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("starting stakeout");
        Instance { child, log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_until_said(&mut self, text: &str) {
        wait_until(text, || {
            assert!(
                self.child.try_wait().expect("its state").is_none(),
                "it ended: {}",
                self.said()
            );
            self.said().contains(text)
        });
    }

    fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it has ended");
    }

    fn terminate(mut self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(status.expect("kill is there").success());
        let status = self.child.wait().expect("it has ended");
        assert_eq!(status.code(), Some(0), "{}", self.said());
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The configuration of all roles, on topics of this name.
fn configure(folder: &Path, broker: &Broker, name: &str) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs:\n  files: ['{}/auth.log']\n\
         kafka:\n  brokers: ['{}']\n  group.id: {name}\n  partitions: {PARTITIONS}\n  snapshot.interval.ms: 2000\n  \
         topics: {{ events: {name}.events, findings: {name}.findings, population: {name}.population, state: {name}.state, \
         alerts: {name}.alerts, dead.letters: {name}.dead }}\n",
        folder.display(),
        broker.address,
    );
    fs::write(folder.join("roles.yaml"), text).expect("a configuration");
    let made = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["topics", "--create", "--config"])
        .arg(folder.join("roles.yaml"))
        .output()
        .expect("stakeout");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
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

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

fn told(broker: &Broker, topic: &str) -> Vec<String> {
    let read = broker.read_committed(topic);
    sorted(
        read.into_iter()
            .map(|read| String::from_utf8(read.value).expect("text")),
    )
}

/// How far each partition has come, in nanoseconds of event time.
fn passed(broker: &Broker, topic: &str) -> BTreeMap<u64, i64> {
    let mut found = BTreeMap::new();
    for read in broker.read_committed(topic) {
        // Some tests write what can't be read.
        let record: serde_json::Value = serde_json::from_slice(&read.value).unwrap_or_default();
        if let Some(watermark) = record["passed"]["watermark"].as_i64() {
            found.insert(record["partition"].as_u64().expect("a number"), watermark);
        }
    }
    found
}

/// The greatest watermark that was published.
fn published(broker: &Broker, topic: &str) -> i64 {
    let marks = broker.read_committed(topic).into_iter().filter_map(|read| {
        let record: serde_json::Value = serde_json::from_slice(&read.value).ok()?;
        record["mark"]["watermark"].as_i64()
    });
    marks.max().unwrap_or(i64::MIN)
}

/// Waits until everything that stands in the log was published and judged.
fn wait_until_judged(broker: &Broker, name: &str, last: i64) {
    wait_until("everything was judged", || {
        let passed = passed(broker, &format!("{name}.findings"));
        published(broker, &format!("{name}.events")) >= last
            && passed.len() == PARTITIONS
            && passed.values().all(|watermark| *watermark >= last)
    });
    // Triage is a transaction behind.
    std::thread::sleep(Duration::from_secs(2));
}

/// The time of a log's last line, in nanoseconds.
fn last_time(log: &[u8]) -> i64 {
    let lines = String::from_utf8_lossy(log);
    let stamp = lines
        .lines()
        .next_back()
        .and_then(|line| line.split_whitespace().next());
    let stamp: jiff::Timestamp = stamp.expect("a line").parse().expect("a time");
    i64::try_from(stamp.as_nanosecond()).expect("this century")
}

#[test]
fn any_number_of_instances_give_the_alerts_of_one_process_over_kills() {
    let Some(broker) = broker() else { return };
    let log = recorded();
    let expected = alone(&log);
    assert!(expected.len() >= 3, "{expected:?}");
    let folder = Folder::new("kafka-roles");
    configure(&folder.0, broker, "roles");
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
    configure(&folder.0, broker, "garbage");
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
