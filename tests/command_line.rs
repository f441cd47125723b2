//! What the command line promises, with the real program.

mod program;

use program::{Folder, Ran, failed_login, fixture, guessing, run, stakeout};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

fn replay<S: AsRef<OsStr>>(options: &[&str], paths: &[S]) -> Ran {
    let mut command = stakeout(["replay"]);
    command.args(options).args(paths);
    let ran = run(command);
    ran.check(0, &[]);
    ran
}

/// The documents, without the positions that depend on how the input was cut.
fn documents(ran: &Ran) -> Vec<Value> {
    let read = |line: &str| {
        let mut document: Value = serde_json::from_str(line).expect("a document");
        document["stakeout"]["evidence"] = Value::Null;
        document
    };
    ran.stdout.lines().map(read).collect()
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        "replay",
        "check",
        "detectors",
        "score",
        "train",
        "evaluate",
        "models",
        "templates",
        "explain",
    ] {
        let ran = run(stakeout([command, "--help"]));
        ran.check(0, &[]);
        let example = ran.stdout.split("Example:\n").nth(1).unwrap_or_default();
        assert!(example.contains(&format!("stakeout {command} ")), "{}", ran.stdout);
    }
}

#[test]
fn json_is_another_name_for_ecs_and_the_default_elsewhere_than_on_a_terminal() {
    let folder = Folder::new("json");
    let log = folder.file("auth.log", guessing());
    let ecs = replay(&["--format", "ecs"], &[&log]).stdout;
    assert!(ecs.starts_with("{\"@timestamp\""), "{ecs}");
    assert_eq!(ecs, replay(&["--format", "json"], &[&log]).stdout);
    assert_eq!(ecs, replay(&[], &[&log]).stdout);
}

#[test]
fn neither_the_order_of_arguments_nor_a_cut_between_files_nor_threads_change_an_alert() {
    let folder = Folder::new("order");
    let (logins, attack) = (
        fixture("benign_logins_a/auth.log.gz"),
        fixture("ssh_guessing_hydra_high/auth.log.gz"),
    );
    let options = ["--year", "2026", "--format", "ecs"];
    let whole = documents(&replay(&options, &[&logins, &attack]));
    assert!(!whole.is_empty());
    assert_eq!(whole, documents(&replay(&options, &[&attack, &logins])));
    assert_eq!(
        whole,
        documents(&replay(
            &[&options[..], &["--threads", "8"]].concat(),
            &[&attack, &logins]
        ))
    );
    let mut text = String::new();
    let packed = std::fs::read(&attack).expect("a fixture");
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&packed[..]), &mut text).expect("text");
    let middle = text.len() / 2;
    let cut = middle + text[middle..].find('\n').expect("lines") + 1;
    let (first, second) = (folder.file("b.log", &text[..cut]), folder.file("a.log", &text[cut..]));
    assert_eq!(whole, documents(&replay(&options, &[&logins, &first, &second])));
}

#[test]
fn a_folder_of_more_logs_than_may_be_open_is_read_whole() {
    let folder = Folder::new("many");
    let lines: Vec<String> = (0..300)
        .map(|number| failed_login(36_000 + 2 * number, "root"))
        .collect();
    for (number, line) in lines.iter().enumerate() {
        folder.file(&format!("{:03}.log", 299 - number), line);
    }
    let mut command = Command::new("sh");
    let script = "ulimit -n 128; exec \"$0\" replay --format ecs \"$1\"";
    command
        .args(["-c", script, env!("CARGO_BIN_EXE_stakeout")])
        .arg(&folder.0);
    let many = run(command);
    many.check(0, &[]);
    assert_eq!(many.number("records read"), 300);
    let one = Folder::new("many-as-one");
    let one = replay(&["--format", "ecs"], &[one.file("auth.log", lines.concat())]);
    assert_eq!(documents(&many), documents(&one));
}

/// Failed logins as RFC 3164 has them, without a year and without a zone.
fn yearless(day: &str, hour: u32) -> String {
    let line = |number: u32| {
        let (minute, second) = (number * 2 / 60, number * 2 % 60);
        format!(
            "{day} {hour:02}:{minute:02}:{second:02} web sshd[7]: Failed password for root from 203.0.113.7 port 4000 ssh2\n"
        )
    };
    (0..200).map(line).collect()
}

/// The hour in which the first alert's events begin.
fn begins(ran: &Ran) -> String {
    let document = documents(ran).into_iter().next().expect("an alert");
    let start = document["event"]["start"].as_str().expect("a time");
    start.get(..13).expect("a date and an hour").to_owned()
}

fn changed(path: &Path, when: &str) {
    let touched = Command::new("touch")
        .arg("-d")
        .arg(when)
        .arg(path)
        .status()
        .expect("touch");
    assert!(touched.success());
}

#[test]
fn the_year_of_lines_without_one_is_found_given_and_counted_on() {
    let folder = Folder::new("year");
    let log = folder.file("auth.log", yearless("Dec 31", 10));
    changed(&log, "2025-01-02T00:00:00Z");
    assert_eq!(
        begins(&replay(&[], &[&log])),
        "2024-12-31T10",
        "at or before the file's change"
    );
    changed(&log, "2024-12-31T12:00:00Z");
    assert_eq!(begins(&replay(&[], &[&log])), "2024-12-31T10");
    assert_eq!(begins(&replay(&["--year", "2019"], &[&log])), "2019-12-31T10");
    let text = format!(
        "Dec 31 23:00:00 web sshd[7]: Failed password for bob from 198.51.100.9 port 4000 ssh2\n{}",
        yearless("Jan  1", 8)
    );
    let over = folder.file("over.log", text);
    assert_eq!(
        begins(&replay(&["--year", "2025"], &[&over])),
        "2026-01-01T08",
        "December to January adds one"
    );
}

#[test]
fn lines_without_a_zone_are_of_the_one_that_is_given() {
    let folder = Folder::new("zone");
    let log = folder.file("auth.log", yearless("Jan 15", 10));
    changed(&log, "2026-01-16T00:00:00Z");
    assert_eq!(begins(&replay(&[], &[&log])), "2026-01-15T10");
    assert_eq!(
        begins(&replay(&["--timezone", "Europe/Berlin"], &[&log])),
        "2026-01-15T09"
    );
    assert_eq!(begins(&replay(&["--timezone", "Asia/Tokyo"], &[&log])), "2026-01-15T01");
}

#[test]
fn the_summary_accounts_for_every_record() {
    let folder = Folder::new("summary");
    let text = guessing() + "<38>1 2026-03-02T10:20:00Z web cron 5 - - (root) CMD (true)\n" + "not a line of any log\n";
    let (log, summary) = (folder.file("auth.log", text), folder.0.join("summary.json"));
    let ran = replay(&["--quiet", "--summary", summary.to_str().expect("text")], &[&log]);
    assert_eq!(ran.stderr, "", "--quiet says nothing when nothing is wrong");
    let read = std::fs::read_to_string(&summary).expect("it was written");
    let summary: Value = serde_json::from_str(&read).expect("JSON");
    let sum = |key: &str| -> u64 {
        let counts = summary[key].as_object().expect("counts");
        counts.values().filter_map(Value::as_u64).sum()
    };
    let number = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("{key} in {summary}"));
    assert_eq!(number("records"), 202);
    assert_eq!(
        number("records"),
        number("decoded") + sum("ignored") + sum("refused"),
        "{summary}"
    );
    for key in ["entities", "judgements", "findings", "withheld", "alerts", "events"] {
        assert!(number(key) < 100_000);
    }
    assert_eq!(summary["inputs"][0]["format"], "syslog");
    assert_eq!(summary["interrupted"], false);
}

#[test]
fn the_table_fits_the_terminal() {
    let logins: Vec<PathBuf> = ["benign_logins_a/auth.log.gz", "ssh_spraying_hydra_high/auth.log.gz"]
        .iter()
        .map(|name| fixture(name))
        .collect();
    for columns in [40usize, 80, 120, 200] {
        let mut command = stakeout(["replay", "--format", "text", "--quiet", "--year", "2026", "--no-budget"]);
        command.args(&logins).env("COLUMNS", columns.to_string());
        let ran = run(command);
        ran.check(0, &[]);
        let widest = ran.stdout.lines().map(|line| line.chars().count()).max();
        assert!(
            widest.is_some_and(|widest| widest > columns / 2 && widest <= columns),
            "{widest:?} of {columns}"
        );
        assert!(!ran.stdout.contains('\u{1b}'), "no colours where nobody sees them");
    }
}

#[test]
fn an_alert_is_explained_by_the_beginning_of_its_id() {
    let folder = Folder::new("explain");
    let ran = replay(&["--format", "ecs"], &[folder.file("auth.log", guessing())]);
    let alerts = folder.file("alerts.json", &ran.stdout);
    let document = documents(&ran).pop().expect("an alert");
    let id = document["event"]["id"].as_str().expect("an id");
    let explain = |id: &str| {
        run({
            let mut command = stakeout(["explain", id, "--alerts"]);
            command.arg(&alerts);
            command
        })
    };
    let told = explain(&id[..8]);
    told.check(0, &[]);
    let message = document["message"].as_str().expect("a sentence");
    for expected in [
        message,
        "how unlikely  p = ",
        "normal if  ",
        "standard deviations away",
        id,
    ] {
        assert!(told.stdout.contains(expected), "{expected} in\n{}", told.stdout);
    }
    explain("zzzz").check(1, &["zzzz: no such alert in ", "stakeout replay --format ecs"]);
}
