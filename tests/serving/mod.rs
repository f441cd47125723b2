//! A service that a test starts, asks and ends.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod namespace;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of its own that goes away with its test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
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
pub(crate) struct Service {
    child: Child,
    /// The network namespace that it runs in.
    namespace: Option<String>,
    /// What it has said.
    said: Arc<Mutex<String>>,
    /// Where it listens.
    pub(crate) address: String,
}

impl Service {
    pub(crate) fn start(folder: &Path) -> Service {
        Service::start_reading(folder, Stdio::null())
    }

    /// Starts the service on this standard input.
    pub(crate) fn start_reading(folder: &Path, input: impl Into<Stdio>) -> Service {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.stdin(input);
        Service::start_in(folder, command, None)
    }

    /// Starts the service by a command, which may lead into a network namespace.
    pub(crate) fn start_in(folder: &Path, command: Command, namespace: Option<&str>) -> Service {
        Service::begin(folder, command, &[], namespace)
    }

    /// Starts the service with more arguments.
    pub(crate) fn start_with(folder: &Path, arguments: &[&str]) -> Service {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.stdin(Stdio::null());
        Service::begin(folder, command, arguments, None)
    }

    /// Starts another role than the whole service.
    pub(crate) fn start_role(folder: &Path, role: &str, arguments: &[&str]) -> Service {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
        command.stdin(Stdio::null());
        Service::begin_role(folder, command, (role, arguments), None)
    }

    fn begin(folder: &Path, command: Command, arguments: &[&str], namespace: Option<&str>) -> Service {
        Service::begin_role(folder, command, ("run", arguments), namespace)
    }

    fn begin_role(
        folder: &Path,
        mut command: Command,
        (role, arguments): (&str, &[&str]),
        namespace: Option<&str>,
    ) -> Service {
        let mut child = command
            .args([role, "--config"])
            .arg(folder.join("stakeout.yaml"))
            .args(arguments)
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
        let later = Arc::new(Mutex::new(said));
        let heard = later.clone();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().expect("no panic").push_str(&format!("{line}\n"));
            }
        });
        Service {
            child,
            said: later,
            namespace: namespace.map(str::to_owned),
            address,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<String> {
        if let Some(namespace) = &self.namespace {
            let output = Command::new("ip")
                .args([
                    "netns",
                    "exec",
                    namespace,
                    "curl",
                    "-s",
                    &format!("http://{}{path}", self.address),
                ])
                .output()
                .ok()?;
            return String::from_utf8(output.stdout).ok();
        }
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

    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics")?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&Service) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Inputs at rest give what they hold back within some seconds; then nothing changes any more.
    pub(crate) fn wait_until_judged(&self) {
        let seen = std::cell::Cell::new((0.0, Instant::now()));
        self.wait_until("the log was read and judged", |service| {
            let files = service.metric("stakeout_files ").unwrap_or(0.0);
            let behind = service.metric("stakeout_file_bytes_behind");
            let events = service.metric("stakeout_events_total").unwrap_or(0.0);
            if files < 1.0 || behind != Some(0.0) || seen.get().0 != events {
                seen.set((events, Instant::now()));
            }
            seen.get().1.elapsed() > Duration::from_secs(6)
        });
    }

    /// Waits until it has said this since `from` bytes of what it said.
    #[track_caller]
    pub(crate) fn wait_until_said(&self, text: &str, from: usize) {
        let begun = Instant::now();
        while !self.said().get(from..).is_some_and(|said| said.contains(text)) {
            assert!(
                begun.elapsed() < PATIENCE,
                "waited in vain for {text:?} in\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has said since it was ready.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(status.success());
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it has ended");
    }

    pub(crate) fn terminate(mut self) {
        self.signal("TERM");
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
pub(crate) fn recorded() -> Vec<u8> {
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

/// Says that a part of a test was left out, and why.
pub(crate) fn left_out(why: &str) {
    let _ = writeln!(std::io::stderr(), "left out: {why}");
}

/// The documents that a sink's file holds, by id and count; each once.
pub(crate) fn documents(path: &Path) -> BTreeMap<(String, u64), String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let (id, count) = key(&serde_json::from_str(line).expect("a document"));
        let before = found.insert((id.clone(), count), line.to_owned());
        assert_eq!(before, None, "{id}:{count} was told twice");
    }
    found
}

/// The id and the count of a document.
pub(crate) fn key(document: &serde_json::Value) -> (String, u64) {
    let id = document["event"]["id"].as_str().expect("an id").to_owned();
    (id, document["stakeout"]["count"].as_u64().expect("a count"))
}

/// A document without the places of its evidence, which count the records of inputs and name these.
pub(crate) fn without_places(text: &str) -> serde_json::Value {
    let mut document: serde_json::Value = serde_json::from_str(text).expect("a document");
    document["stakeout"]["evidence"].take();
    document
}

/// Appends to the folder's log.
pub(crate) fn append(folder: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("auth.log"))
        .expect("a log");
    file.write_all(bytes).expect("room on the disk");
}

fn openssl(folder: &Folder, arguments: &[&str]) {
    let ran = Command::new("openssl")
        .args(arguments)
        .current_dir(&folder.0)
        .stderr(Stdio::null())
        .status()
        .expect("openssl was there a moment ago");
    assert!(ran.success(), "{arguments:?}");
}

/// A new authority, and certificates of it for the service and a sender.
pub(crate) fn certificates(folder: &Folder) {
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = [
        "req",
        "-x509",
        "-subj",
        "/CN=authority",
        "-days",
        "2",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    ];
    openssl(folder, &[&authority[..], &curve[..]].concat());
    fs::write(folder.0.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("a file");
    for name in ["service", "sender"] {
        let (subject, key) = (format!("/CN={name}"), format!("{name}.key"));
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        let asking = ["req", "-subj", &subject, "-keyout", &key, "-out", &request];
        openssl(folder, &[&asking[..], &curve[..]].concat());
        openssl(
            folder,
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "names",
                "-out",
                &certificate,
            ],
        );
    }
}
