//! Instances of the roles at work over a real broker, and how far they have come.

#![allow(dead_code, reason = "each test file uses its own part")]

use super::broker::Broker;
use super::serving::PATIENCE;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const PARTITIONS: usize = 6;

/// An instance of a role; ended by its own id when it is dropped.
pub(crate) struct Instance {
    child: Child,
    log: PathBuf,
}

impl Instance {
    pub(crate) fn start(folder: &Path, role: &str, name: &str) -> Instance {
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

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn wait_until_said(&mut self, text: &str) {
        wait_until(text, || {
            assert!(
                self.child.try_wait().expect("its state").is_none(),
                "it ended: {}",
                self.said()
            );
            self.said().contains(text)
        });
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it has ended");
    }

    pub(crate) fn terminate(mut self) {
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

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The configuration of all roles, on topics of this name. `inputs` is what stands under that key.
pub(crate) fn configure(folder: &Path, broker: &Broker, name: &str, inputs: &str) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs:\n{inputs}\n\
         kafka:\n  brokers: ['{}']\n  group.id: {name}\n  partitions: {PARTITIONS}\n  snapshot.interval.ms: 2000\n  \
         topics: {{ events: {name}.events, findings: {name}.findings, population: {name}.population, state: {name}.state, \
         alerts: {name}.alerts, dead.letters: {name}.dead }}\n",
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

pub(crate) fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

pub(crate) fn told(broker: &Broker, topic: &str) -> Vec<String> {
    let read = broker.read_committed(topic);
    sorted(
        read.into_iter()
            .map(|read| String::from_utf8(read.value).expect("text")),
    )
}

/// How far each partition has come, in nanoseconds of event time.
pub(crate) fn passed(broker: &Broker, topic: &str) -> BTreeMap<u64, i64> {
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
pub(crate) fn published(broker: &Broker, topic: &str) -> i64 {
    let marks = broker.read_committed(topic).into_iter().filter_map(|read| {
        let record: serde_json::Value = serde_json::from_slice(&read.value).ok()?;
        record["mark"]["watermark"].as_i64()
    });
    marks.max().unwrap_or(i64::MIN)
}

/// Waits until everything that stands in the log was published and judged.
pub(crate) fn wait_until_judged(broker: &Broker, name: &str, last: i64) {
    wait_until("everything was judged", || {
        // Whole topics are read to know that.
        std::thread::sleep(Duration::from_secs(1));
        let passed = passed(broker, &format!("{name}.findings"));
        published(broker, &format!("{name}.events")) >= last
            && passed.len() == PARTITIONS
            && passed.values().all(|watermark| *watermark >= last)
    });
    // Triage is a transaction behind.
    std::thread::sleep(Duration::from_secs(2));
}

/// The time of a log's last line, in nanoseconds.
pub(crate) fn last_time(log: &[u8]) -> i64 {
    let lines = String::from_utf8_lossy(log);
    let stamp = lines
        .lines()
        .next_back()
        .and_then(|line| line.split_whitespace().next());
    let stamp: jiff::Timestamp = stamp.expect("a line").parse().expect("a time");
    i64::try_from(stamp.as_nanosecond()).expect("this century")
}
