//! SIGTERM and SIGINT end a replay within 5 seconds with what it has, whatever it is waiting for.

mod program;

use program::{Folder, Ran, finish, guessing, gzip, signal, stakeout};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// From the signal to the end of the process.
const END_MAX: Duration = Duration::from_secs(5);

/// Starts the program, waits until it is at work, sends a signal and waits for its end.
#[track_caller]
fn ended_by(name: &str, status: i32, mut child: Child) -> Ran {
    std::thread::sleep(Duration::from_millis(700));
    assert!(child.try_wait().expect("ours").is_none(), "it is still at work");
    signal(&child, name);
    let sent = Instant::now();
    let ran = finish(child);
    assert!(sent.elapsed() < END_MAX, "{:?} after SIG{name}", sent.elapsed());
    ran.check(status, &[]);
    ran
}

fn start(mut command: Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built")
}

#[test]
fn while_standard_input_gives_nothing() {
    for (name, status) in [("TERM", 143), ("INT", 130)] {
        let mut command = stakeout(["replay", "-", "--format", "ecs", "--threads", "8"]);
        command.stdin(Stdio::piped());
        let mut child = start(command);
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(guessing().as_bytes()).expect("it reads");
        let ran = ended_by(name, status, child);
        ran.check(status, &["ended early by a signal; what had been read was judged"]);
        assert_eq!(ran.number("records read"), 200, "{}", ran.stderr);
        assert!(ran.stdout.contains("source_login_failures"), "{}", ran.stdout);
        assert!(ran.problems().is_empty(), "{}", ran.stderr);
        drop(input);
    }
}

#[test]
fn while_nobody_opens_a_named_pipe() {
    let folder = Folder::new("fifo");
    let fifo = folder.0.join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo");
    assert!(made.success());
    let good = folder.file("auth.log", guessing());
    let mut command = stakeout(["replay", "--format", "ecs"]);
    command.arg(&good).arg(&fifo);
    let ran = ended_by("TERM", 143, start(command));
    assert!(ran.problems().is_empty(), "it is not at fault: {}", ran.stderr);
    // With a writer it is read like any other input.
    let mut command = stakeout(["replay", "--format", "ecs"]);
    command.arg(&fifo);
    let child = start(command);
    let text = guessing();
    let written = std::thread::spawn(move || std::fs::write(&fifo, text));
    let ran = finish(child);
    written.join().expect("a writer").expect("written");
    ran.check(0, &[]);
    assert_eq!(ran.number("records read"), 200);
}

#[test]
fn while_a_capture_comes_slowly() {
    let packed = std::fs::read(program::fixture("benign_network_d/capture.pcap.gz")).expect("a fixture");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&packed[..]), &mut bytes).expect("gzip");
    let mut command = stakeout(["replay", "-", "--format", "ecs"]);
    command.stdin(Stdio::piped());
    let mut child = start(command);
    let mut input = child.stdin.take().expect("a pipe");
    let (give, hold) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let _ = input.write_all(&bytes[..bytes.len() / 2 + 3]);
        let _ = hold.recv();
    });
    let ran = ended_by("TERM", 143, child);
    assert!(ran.number("records read") > 1000, "{}", ran.stderr);
    assert!(ran.problems().is_empty(), "{}", ran.stderr);
    drop(give);
    writer.join().expect("a writer");
}

#[test]
fn while_a_huge_file_gives_no_events() {
    let folder = Folder::new("no-events");
    // Lines that are nobody's, behind a few that tell the format: 3 GB out of 30 MB.
    let rest = gzip(
        "no line of any format at all, and quite long at that, so that there is something to read\n"
            .repeat(200_000)
            .as_bytes(),
    );
    let huge = [gzip(guessing().as_bytes()), rest.repeat(170)].concat();
    let path = folder.file("huge.log.gz", huge);
    let mut command = stakeout(["replay", "--format", "ecs", "--threads", "8", "--year", "2026"]);
    command.arg(&path);
    let ran = ended_by("TERM", 143, start(command));
    assert!(ran.number("records read") > 200, "{}", ran.stderr);
    // The same while the end of the file is looked for, to find out the year.
    let mut command = stakeout(["replay", "--format", "ecs"]);
    command.arg(&path);
    ended_by("TERM", 143, start(command));
}

#[test]
fn while_nobody_reads_what_is_told() {
    let folder = Folder::new("unread");
    // Each pair of sources is an alert of its own, and together they are more than a pipe holds.
    let text: String = (0..80_000u32)
        .map(|number| program::failed_login(number, "root").replace("203.0.113.7", &format!("10.{}.0.7", number / 400)))
        .collect();
    let path = folder.file("auth.log", text);
    let mut command = stakeout(["replay", "--format", "ecs", "--no-budget"]);
    command.arg(&path);
    let mut child = start(command);
    let unread = child.stdout.take();
    std::thread::sleep(Duration::from_secs(5));
    assert!(child.try_wait().expect("ours").is_none(), "it waits for its reader");
    let ran = ended_by("TERM", 143, child);
    assert!(
        ran.stderr.contains("not done in time after the signal"),
        "{}",
        ran.stderr
    );
    drop(unread);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut command = stakeout(["replay", "-"]);
    command.stdin(Stdio::piped());
    let child = start(command);
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "INT");
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -TERM {} 2>/dev/null", child.id())])
        .status();
    let ran = finish(child);
    assert!(matches!(ran.status, Some(130 | 143)), "{:?}", ran.status);
}
