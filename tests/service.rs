//! `stakeout run` on real logs: what it tells does not depend on how often it is killed, and nothing is told twice.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of its own that goes away with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("stakeout-service-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A service at work; ended by its own id when it is dropped.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(folder: &Path) -> Service {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stakeout"))
            .args(["run", "--config"])
            .arg(folder.join("stakeout.yaml"))
            .env("STAKEOUT_DATA_DIR", folder.join("data"))
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting stakeout");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        let address = loop {
            let before = said.len();
            let read = stderr.read_line(&mut said).expect("what it says");
            assert!(read > 0, "it ended: {said}");
            if let Some((_, rest)) = said[before..].split_once("listen=") {
                break rest.split_whitespace().next().expect("an address").to_owned();
            }
        };
        // What it says later must not block it.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Service { child, address }
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: stakeout\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics")?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Service) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it has ended");
    }

    fn terminate(mut self) {
        let status = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(status.success());
        let status = self.child.wait().expect("it has ended");
        assert_eq!(status.code(), Some(0), "SIGTERM drains and exits 0");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of recorded logins of a small company, with a guessed password among them.
fn recorded() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for file in [
        "benign_logins_a/auth.log.gz",
        "ssh_guessing_hydra_medium/auth.log.gz",
        "ssh_spraying_hydra_high/auth.log.gz",
    ] {
        let bytes = fs::read(root.join(file)).expect("a fixture");
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes.as_slice())
            .read_to_end(&mut text)
            .expect("gzip");
        lines.extend(text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec));
    }
    // RFC 3339 times sort as text.
    lines.sort();
    lines.concat()
}

/// The documents that a sink's file holds, by id and count; each once.
fn documents(path: &Path) -> BTreeMap<(String, u64), String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let document: serde_json::Value = serde_json::from_str(line).expect("a document");
        let id = document["event"]["id"].as_str().expect("an id").to_owned();
        let count = document["stakeout"]["count"].as_u64().expect("a count");
        let before = found.insert((id.clone(), count), line.to_owned());
        assert_eq!(before, None, "{id}:{count} was told twice");
    }
    found
}

fn configure(folder: &Path) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs: {{ files: ['{0}/*.log'] }}\n\
         store: {{ commit_every: 100ms, snapshot_every: 300ms }}\n\
         sinks: [{{ type: file, path: '{0}/alerts.json' }}]\n",
        folder.display()
    );
    fs::write(folder.join("stakeout.yaml"), text).expect("a configuration");
}

fn append(folder: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("auth.log"))
        .expect("a log");
    file.write_all(bytes).expect("room on the disk");
}

/// Follows the whole log and ends well.
fn finish(folder: &Path, log_bytes: usize) -> BTreeMap<(String, u64), String> {
    let service = Service::start(folder);
    // Inputs at rest give what they hold back within some seconds; then nothing changes any more.
    let seen = std::cell::Cell::new((0.0, Instant::now()));
    service.wait_until("the log was read and judged", |service| {
        let files = service.metric("stakeout_files ").unwrap_or(0.0);
        let behind = service.metric("stakeout_file_bytes_behind");
        let events = service.metric("stakeout_events_total").unwrap_or(0.0);
        if files < 1.0 || behind != Some(0.0) || seen.get().0 != events {
            seen.set((events, Instant::now()));
        }
        seen.get().1.elapsed() > Duration::from_secs(6)
    });
    service.terminate();
    assert!(log_bytes > 0);
    documents(&folder.join("alerts.json"))
}

#[test]
fn kills_at_any_moment_change_no_alert_and_repeat_none() {
    let log = recorded();
    let calm = Folder::new("calm");
    configure(&calm.0);
    append(&calm.0, &log);
    let expected = finish(&calm.0, log.len());
    assert!(expected.len() > 5, "the recording leads to alerts: {expected:?}");

    let rough = Folder::new("rough");
    configure(&rough.0);
    let mut numbers = 0x5eed_u64;
    let mut below = |bound: u64| {
        numbers = numbers
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (numbers >> 33) % bound
    };
    let pieces = 12;
    for piece in 0..pieces {
        let service = Service::start(&rough.0);
        let (from, to) = (log.len() * piece / pieces, log.len() * (piece + 1) / pieces);
        // A piece ends anywhere in a line, as writes do.
        append(&rough.0, &log[from..to]);
        std::thread::sleep(Duration::from_millis(below(900)));
        service.kill();
    }
    let found = finish(&rough.0, log.len());
    let differing: Vec<_> = expected
        .iter()
        .filter(|(key, text)| found.get(*key) != Some(*text))
        .collect();
    assert!(differing.is_empty(), "not told as in the calm run: {differing:?}");
    assert_eq!(found.len(), expected.len(), "more was told than in the calm run");
}
