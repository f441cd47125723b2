//! Templates of messages: what `stakeout templates` lists, and detectors that ask for `log.template.id`.

mod program;

use program::{Folder, Ran, run, stakeout};
use serde_json::Value;
use std::path::Path;

/// A category of templates for each host.
const DETECTOR: &str = "
title: A message that this machine does not usually write
id: host_rare_message
description: A program says something that it has not said here before.
entity: host.name
detection:
  selection:
    event.dataset: syslog
  condition: selection
measure: { category: FIELD }
windows: [1h]
baseline:
  kind: category
  half_life: 30d
  prior: { discount: 0.4, strength: 30 }
level: medium
";

/// Three weeks of three machines that write the same three messages with ever new names and numbers, and one line of
/// something else at their end.
fn log() -> String {
    let mut log = String::new();
    for minute in (0..21 * 1440).step_by(10) {
        let (day, hour) = (1 + minute / 1440, minute / 60 % 24);
        let host = ["web", "mail", "files"][minute / 10 % 3];
        let message = match minute / 30 % 3 {
            0 => format!("app: request {minute} of user u{minute} took {} ms", minute % 97),
            1 => format!("app: cache holds {} KB at 0x{minute:x}", minute % 89),
            _ => format!("job: wrote /var/spool/{minute}.dat, took {}.5 s", minute % 7),
        };
        log.push_str(&format!(
            "2026-03-{day:02}T{hour:02}:{:02}:00Z {host} {message}\n",
            minute % 60
        ));
    }
    log.push_str("2026-03-22T00:00:00Z web app: cannot verify the signature of module 5\n");
    log
}

fn told(folder: &Folder, logs: &[&Path], more: &[&str]) -> String {
    let mut command = stakeout(["replay", "--format", "ecs", "--quiet", "--no-budget", "--detectors"]);
    command.arg(folder.0.join("detectors")).args(more).args(logs);
    let ran: Ran = run(command);
    ran.check(0, &[]);
    ran.stdout
}

#[test]
fn a_detector_tells_a_message_of_a_shape_that_a_host_has_not_written() {
    let folder = Folder::new("templates");
    std::fs::create_dir(folder.0.join("detectors")).expect("a folder");
    let whole = folder.file("whole.log", log());
    let listed = run(stakeout(["templates".as_ref(), whole.as_os_str()])).stdout;
    let row = listed.lines().find(|row| row.contains("cannot verify")).expect("a row");
    let text = "cannot verify the signature of module <*>";
    assert!(row.ends_with(text), "{row}");

    for (field, value) in [("log.template.id", &row[..16]), ("log.template.text", text)] {
        folder.file("detectors/host_rare_message.yml", DETECTOR.replace("FIELD", field));
        let alone = told(&folder, &[&whole], &[]);
        let alerts: Vec<Value> = alone
            .lines()
            .map(|line| serde_json::from_str(line).expect("a document"))
            .collect();
        assert!(!alerts.is_empty());
        for alert in &alerts {
            assert_eq!(alert["rule"]["id"], "host_rare_message");
            assert_eq!(alert["host"]["name"], "web");
            assert_eq!(alert["stakeout"]["seen_value"], value);
        }
        assert_eq!(alone, told(&folder, &[&whole], &["--threads", "4"]));
    }
}

#[test]
fn templates_are_listed_by_how_often_they_come_or_line_by_line() {
    let folder = Folder::new("list");
    let text = folder.file("app.log", "got 5 of 7\nended\n\ngot 6 of 7\nended\ngot 1 of 1\n");
    let listed = run(stakeout(["templates".as_ref(), text.as_os_str()]));
    listed.check(0, &[]);
    let rows: Vec<(&str, &str)> = listed.stdout.lines().map(|row| row.split_at(16)).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].1, "         3  got <*> of <*>");
    assert_eq!(rows[1].1, "         2  ended");
    let lines = run(stakeout(["templates".as_ref(), "--lines".as_ref(), text.as_os_str()]));
    let (got, ended) = (rows[0].0, rows[1].0);
    assert_eq!(lines.stdout.lines().collect::<Vec<_>>(), [got, ended, got, ended, got]);

    // Of a format that is known the message counts, as detectors see it.
    let syslog = folder.file(
        "auth.log",
        "Mar  2 09:12:41 web app[7]: got 5 of 7\nMar  2 09:12:42 web app[7]: ended\n",
    );
    let lines = run(stakeout(["templates".as_ref(), "--lines".as_ref(), syslog.as_os_str()]));
    assert_eq!(lines.stdout.lines().collect::<Vec<_>>(), [got, ended]);

    // Of a text the time in front is no part of the message.
    let text = folder.file(
        "app2.log",
        "2026-03-02 09:12:41,5 got 5 of 7\n\tat a.b\n[2026/03/02 09:12:42] ended\n",
    );
    let lines = run(stakeout(["templates".as_ref(), "--lines".as_ref(), text.as_os_str()]));
    let lines: Vec<_> = lines.stdout.lines().collect();
    assert_eq!([lines[0], lines[2]], [got, ended]);

    let missing = run(stakeout(["templates", "/nonexistent.log"]));
    missing.check(1, &["/nonexistent.log"]);
}
