//! Runs the real program on files of a test's own, for at most a minute, and keeps what it said.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Nothing here may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that is taken away at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stakeout-test-{}-{number}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder for the test's files");
        Folder(path)
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file of the test");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) elapsed: Duration,
    /// The most memory that was seen in use, in KiB.
    pub(crate) peak_kib: u64,
}

impl Ran {
    /// Checks the exit status and that each text was told on standard error, and that it did not panic.
    #[track_caller]
    pub(crate) fn check(&self, status: i32, told: &[&str]) -> &Ran {
        assert_eq!(self.status, Some(status), "exit status\n{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for text in told {
            assert!(self.stderr.contains(text), "{text:?} in\n{}", self.stderr);
        }
        self
    }

    /// The problems that were told.
    pub(crate) fn problems(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter_map(|line| line.strip_prefix("problem: "))
            .collect()
    }

    /// A number of the summary's table.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let value = |line: &str| line.trim().strip_prefix(name)?.split_whitespace().next()?.parse().ok();
        self.stderr.lines().find_map(value).unwrap_or(0)
    }
}

/// The program with these arguments.
pub(crate) fn stakeout<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stakeout"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(mut command: Command) -> Ran {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    finish(child.expect("the program is built"))
}

/// `replay` of these paths, with documents on standard output.
#[track_caller]
pub(crate) fn replay(paths: &[&Path]) -> Ran {
    let mut command = stakeout(["replay", "--format", "ecs"]);
    command.args(paths);
    run(command)
}

/// Waits for the end and collects what was said.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Ran {
    let begun = Instant::now();
    let reader = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = reader(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = reader(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let mut peak_kib = 0;
    let status = loop {
        peak_kib = peak_kib.max(resident_kib(child.id()));
        match child.try_wait().expect("a child of ours") {
            Some(status) => break status.code(),
            None if begun.elapsed() > PATIENCE => {
                let _ = child.kill();
                panic!("still running after {PATIENCE:?}");
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    Ran {
        status,
        stdout: stdout.join().expect("a reader"),
        stderr: stderr.join().expect("a reader"),
        elapsed: begun.elapsed(),
        peak_kib,
    }
}

fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// Sends a signal by its name.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", child.id())])
        .status()
        .expect("a shell");
    assert!(sent.success());
}

/// A failed login in Zeek's and everybody's simplest form: an RFC 5424 line of sshd.
pub(crate) fn failed_login(second: u32, user: &str) -> String {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "<38>1 2026-03-02T{hour:02}:{minute:02}:{second:02}Z web sshd 77 - - \
         Failed password for {user} from 203.0.113.7 port 40000 ssh2\n"
    )
}

/// Two hundred failed logins of one source within ten minutes: enough for an alert.
pub(crate) fn guessing() -> String {
    (0..200)
        .map(|number| failed_login(36_000 + 3 * number, "root"))
        .collect()
}

/// Bytes under gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A folder of `fixtures/`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}
