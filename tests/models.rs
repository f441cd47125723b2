//! The life of a model with the real program: trained from tables, kept, compared, put in force, judged by.

mod program;

use program::{Folder, Ran, run, stakeout};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Rows of traffic a minute apart from the minute `first` on: bytes follow packets. Some are attacks where asked for.
fn traffic(first: usize, rows: usize, attacks: bool) -> String {
    let mut text = "at,packets,bytes,protocol,class\n".to_owned();
    for row in first..first + rows {
        let packets = 1 + row * 7919 % 200;
        let (mut bytes, mut class) = (packets * (600 + row * 31 % 200), "normal");
        if attacks && row % 20 == 7 {
            (bytes, class) = (packets + 40, "flood");
        }
        let protocol = ["tcp", "tcp", "udp"][row % 3];
        text.push_str(&format!(
            "{},{packets},{bytes},{protocol},{class}\n",
            1_767_225_600 + 60 * row
        ));
    }
    text
}

/// A folder of models and of tables.
struct Lab {
    folder: Folder,
    models: PathBuf,
}

impl Lab {
    fn new(name: &str) -> Lab {
        let folder = Folder::new(name);
        let models = folder.0.join("models");
        Lab { folder, models }
    }

    fn run(&self, arguments: &[&str], files: &[&Path]) -> Ran {
        let mut command = stakeout(arguments);
        command.args(files).arg("--models").arg(&self.models);
        run(command)
    }

    #[track_caller]
    fn train(&self, table: &Path, options: &[&str]) -> Ran {
        let arguments = ["train", "--name", "flows", "--trials", "2"];
        let ran = self.run(&[&arguments[..], options].concat(), &[table]);
        ran.check(0, &[]);
        ran
    }

    fn score(&self, table: &Path, model: &str) -> Ran {
        self.run(&["score", "--model", model], &[table])
    }

    fn in_force(&self) -> Option<u64> {
        let listed = self.run(&["models", "list", "--json"], &[]);
        listed.check(0, &[]);
        let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
        let versions = listed.as_array().expect("a list");
        let version = versions.iter().find(|version| version["in_force"] == true)?;
        version["version"].as_u64()
    }

    fn file(&self, version: u32) -> PathBuf {
        self.models.join(format!("flows/{version}.model"))
    }
}

const LABELS: [&str; 4] = ["--time", "at", "--label", "class"];

#[test]
fn a_trained_model_judges_as_one_that_is_learned_now_and_by_every_name_it_has() {
    let lab = Lab::new("judges");
    let table = lab.folder.file("january.csv", traffic(0, 400, false));
    let fresh = lab.folder.file("february.csv", traffic(400, 100, true));
    // Nothing held out and nothing tried: what `score --train` learns.
    let ran = lab.train(&table, &["--hold-out", "0", "--value", "packets", "--value", "bytes"]);
    assert!(ran.stdout.contains("too few to judge by"), "{}", ran.stdout);
    let mut now = stakeout(["score", "--value", "packets", "--value", "bytes", "--train"]);
    now.arg(&table).arg(&fresh);
    let now = run(now);
    now.check(0, &[]);
    assert!(now.stdout.contains("anomaly_score"), "{}", now.stdout);
    let version = lab.score(&fresh, "flows@1");
    version.check(0, &[]);
    assert_eq!(version.stdout, now.stdout);
    assert_eq!(
        lab.score(&fresh, lab.file(1).to_str().expect("text")).stdout,
        now.stdout
    );

    lab.score(&fresh, "flows")
        .check(1, &["no version of flows is in force", "models promote flows@1"]);
    lab.run(&["models", "promote", "flows@1"], &[]).check(0, &[]);
    assert_eq!(lab.score(&fresh, "flows").stdout, now.stdout);
    lab.score(&fresh, "floes")
        .check(1, &["neighbours", "there is no model floes", "there are: flows"]);
    lab.score(&fresh, "flows@9")
        .check(1, &["there is no version 9 of flows; there are: 1"]);
    // A model knows its columns.
    let mut learned = stakeout(["score", "--model", "flows@1", "--value", "bytes", "--models"]);
    learned.arg(&lab.models).arg(&fresh);
    run(learned).check(1, &["flows@1 has learned", "--value"]);
}

#[test]
fn training_splits_by_time_and_says_where_a_model_comes_from() {
    let lab = Lab::new("split");
    // The later rows come first: time counts, not the order of files or rows.
    let late = lab.folder.file("late.csv", traffic(700, 300, true));
    let early = lab.folder.file("early.csv", traffic(0, 700, true));
    let arguments = ["train", "--name", "flows", "--trials", "3", "--hold-out", "0.25"];
    lab.run(&[&arguments[..], &LABELS].concat(), &[&late, &early])
        .check(0, &[]);
    let shown = lab.run(&["models", "show", "flows@1", "--json"], &[]);
    shown.check(0, &[]);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(shown["training"]["rows"], 712, "{shown}");
    assert_eq!(shown["training"]["bad_rows"], 38);
    assert_eq!(
        shown["held_out"]["rows"]
            .as_u64()
            .zip(shown["held_out"]["bad_rows"].as_u64()),
        Some((238, 12))
    );
    assert_eq!(shown["training"]["times"][1], "2026-01-01T12:29:00Z");
    assert_eq!(shown["held_out"]["times"][0], "2026-01-01T12:30:00Z");
    assert_eq!(shown["trials"].as_array().map(Vec::len), Some(3));
    assert_eq!(shown["quality"]["criterion"], "recall");
    assert_eq!(shown["quality"]["value"], 1.0, "{}", shown["quality"]);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(traffic(700, 300, true));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown["data"][0]["sha256"], digest);
    let columns = shown["schema"]["columns"].as_array().expect("columns");
    let columns: Vec<&str> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
    assert_eq!(columns, ["packets", "bytes", "protocol"]);
}

#[test]
fn a_worse_version_is_not_put_in_force_unless_somebody_says_why() {
    let lab = Lab::new("gate");
    let table = lab.folder.file("table.csv", traffic(0, 1500, true));
    lab.train(&table, &LABELS);
    let promoted = lab.run(&["models", "promote", "flows", "--json"], &[]);
    promoted.check(0, &[]);
    assert!(promoted.stdout.contains("\"in_force\": 1"), "{}", promoted.stdout);
    // A model of the protocol alone finds nothing of what is strange here.
    let poor = lab.folder.file("poor.csv", traffic(0, 1500, true));
    let arguments = [&LABELS[..], &["--value", "protocol"]].concat();
    let refused = lab.run(&[&["train", "--name", "flows"][..], &arguments].concat(), &[&poor]);
    refused.check(
        1,
        &[
            "not as version 1 has them",
            "column packets: is not there",
            "--schema FILE",
        ],
    );
    let schema = lab.folder.file("schema.json", r#"{"columns":[{"name":"protocol","missing_share":0.0,"missing_share_max":0.1,"holds":{"words":{"words":["tcp","udp"],"unseen_share_max":0.1}}}]}"#);
    lab.train(
        &poor,
        &[&arguments[..], &["--schema", schema.to_str().expect("text")]].concat(),
    );

    let refused = lab.run(&["models", "promote", "flows@2"], &[]);
    refused.check(
        1,
        &[
            "flows@2 is not put in force in place of flows@1",
            "can't judge the rows held out (column packets",
        ],
    );
    let mut on = stakeout(["models", "promote", "flows@2", "--label", "class", "--models"]);
    on.arg(&lab.models).arg("--on").arg(&table);
    run(on).check(1, &["recall", "is under 1.000"]);
    assert_eq!(lab.in_force(), Some(1));

    lab.run(&["models", "promote", "flows@2", "--force", "a rehearsal"], &[])
        .check(0, &[]);
    assert_eq!(lab.in_force(), Some(2));
    let shown = lab.run(&["models", "show", "flows"], &[]);
    assert!(
        shown.stdout.contains("put in force version 2: a rehearsal"),
        "{}",
        shown.stdout
    );
    lab.run(&["models", "rollback", "flows", "--reason", "it was one"], &[])
        .check(0, &[]);
    assert_eq!(lab.in_force(), Some(1));
    lab.run(&["models", "rollback", "flows"], &[])
        .check(1, &["none to go back to"]);
    let differing = lab.run(&["models", "diff", "flows@1", "flows@2"], &[]);
    assert!(differing.stdout.contains("version: 1 -> 2"), "{}", differing.stdout);
    assert!(
        differing
            .stdout
            .contains("schema.columns.bytes.name: \"bytes\" -> nothing"),
        "{}",
        differing.stdout
    );

    // One that is as good may take the place at once.
    lab.train(&table, &LABELS);
    lab.run(&["models", "promote", "flows@3"], &[]).check(0, &[]);
    assert_eq!(lab.in_force(), Some(3));
}

#[test]
fn a_file_that_is_cut_changed_foreign_or_of_another_version_is_refused() {
    let lab = Lab::new("files");
    let table = lab.folder.file("table.csv", traffic(0, 200, false));
    lab.train(&table, &["--time", "at"]);
    let whole = fs::read(lab.file(1)).expect("the model");
    let mut tampered = whole.clone();
    *tampered.last_mut().expect("a body") ^= 1;
    let mut other = whole.clone();
    other[8] = 99;
    for (bytes, told) in [
        (whole[..whole.len() - 1].to_vec(), "the file is cut"),
        (whole[..30].to_vec(), "the file is cut"),
        (tampered, "its checksum does not match"),
        (other, "the model has format 99, this program reads format"),
        (b"at,packets\n".to_vec(), "this is no model"),
        (Vec::new(), "this is no model"),
        ([&whole[..], b"x"].concat(), "goes on for 1 bytes after the model's end"),
    ] {
        fs::write(lab.file(1), &bytes).expect("written");
        let judged = lab.score(&table, "flows@1");
        judged.check(1, &["1.model", told]);
        assert_eq!(judged.stdout, "", "nothing may be judged");
        let listed = lab.run(&["models", "list"], &[]);
        listed.check(1, &[]);
        assert!(
            listed.stdout.contains("refused") && listed.stdout.contains(told),
            "{}",
            listed.stdout
        );
        lab.run(&["models", "promote", "flows@1"], &[]).check(1, &[told]);
    }
    fs::write(lab.file(1), &whole).expect("written");
    lab.score(&table, "flows@1").check(0, &[]);
    let narrow = lab.folder.file("narrow.csv", "packets,class\n1,x\n");
    lab.score(&narrow, "flows@1")
        .check(1, &["columns that are not here: bytes, protocol"]);
    let swapped = lab
        .folder
        .file("swapped.csv", "class,packets,bytes,protocol\nnormal,many,1,tcp\n");
    lab.score(&swapped, "flows@1")
        .check(1, &["line 2, column packets: \"many\" is not a number"]);
}

#[test]
fn a_model_that_an_earlier_program_wrote_judges_as_it_did() {
    // `tests/earlier/model-1.model` is of format 1, of kind neighbours, from 96 rows. What has to change when this fails is
    // the format's number, and this file then has to be refused.
    let folder = Folder::new("earlier");
    let table = folder.file(
        "rows.csv",
        "packets,bytes,protocol\n20,13000,tcp\n150,9,udp\n,5000,icmp\n",
    );
    let mut command = stakeout(["score", "--model", "tests/earlier/model-1.model"]);
    let ran = run({
        command.arg(&table);
        command
    });
    ran.check(0, &[]);
    let scores = ran
        .stdout
        .lines()
        .skip(1)
        .filter_map(|line| line.rsplit(',').next()?.parse::<f64>().ok());
    let expected = [0.000745634, 0.590296966, 0.656271220];
    let all = scores
        .clone()
        .zip(expected)
        .all(|(score, expected)| (score - expected).abs() < 1e-6);
    assert!(all && scores.count() == 3, "{}", ran.stdout);
}

#[test]
fn tables_that_teach_nothing_or_differ_from_before_are_refused_with_the_place() {
    let lab = Lab::new("tables");
    let good = traffic(0, 400, false);
    let changed = |row: usize, cell: usize, with: &str| {
        let mut lines: Vec<Vec<&str>> = good.lines().map(|line| line.split(',').collect()).collect();
        lines[row][cell] = with;
        let lines: Vec<String> = lines.iter().map(|cells| cells.join(",")).collect();
        lines.join("\n") + "\n"
    };
    let check = |name: &str, text: &str, told: &[&str]| {
        let table = lab.folder.file(name, text);
        let ran = lab.run(
            &[&["train", "--name", "flows", "--trials", "1"][..], &LABELS].concat(),
            &[&table],
        );
        ran.check(1, told);
    };
    let rows: Vec<&str> = good.lines().collect();
    check(
        "one.csv",
        &rows[..2].join("\n"),
        &["1 normal rows are too few to learn from"],
    );
    check("none.csv", rows[0], &["0 normal rows are too few"]);
    check("empty.csv", "", &["the file is empty"]);
    check(
        "infinite.csv",
        &changed(30, 2, "inf"),
        &["line 31, column bytes: \"inf\" is not a finite number"],
    );
    check(
        "text.csv",
        &changed(30, 2, "many"),
        &["line 31, column bytes: \"many\" is not a number"],
    );
    check(
        "time.csv",
        &changed(30, 0, "soon"),
        &["line 31, column at: \"soon\" is not a time"],
    );
    check(
        "label.csv",
        &changed(30, 4, ""),
        &["line 31, column class: the row has no label"],
    );
    let constant: String = rows[0].to_owned() + "\n" + &"1,1,1,tcp,normal\n".repeat(50);
    check("constant.csv", &constant, &["every column is constant"]);
    assert!(!lab.models.join("flows/1.model").exists());

    // What is missing or constant is said, and the rest is learned from.
    let odd: String = good
        .lines()
        .enumerate()
        .map(|(row, line)| line.to_owned() + if row == 0 { ",nothing,same\n" } else { ",NaN,7\n" })
        .collect();
    let ran = lab.train(&lab.folder.file("odd.csv", odd), &LABELS);
    assert!(
        ran.stdout.contains("note: column nothing has no value"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("note: column same is constant"), "{}", ran.stdout);
    fs::remove_dir_all(&lab.models).expect("the models");

    lab.train(&lab.folder.file("good.csv", &good), &LABELS);
    let before = &["not as version 1 has them"][..];
    check(
        "far.csv",
        &changed(30, 2, "1e12"),
        &[before, &["line 31, column bytes: 1000000000000 is far outside"]].concat(),
    );
    check(
        "below.csv",
        &changed(30, 2, "-5"),
        &[before, &["line 31, column bytes: -5 is far outside"]].concat(),
    );
    let renamed = good.replacen("bytes", "octets", 1);
    check(
        "renamed.csv",
        &renamed,
        &[
            before,
            &["column bytes: is not there", "column octets: is not in the schema"],
        ]
        .concat(),
    );
    let words = good.replace(",udp,", ",sctp,");
    check(
        "words.csv",
        &words,
        &[before, &["line 4, column protocol: \"sctp\"", "words never seen"]].concat(),
    );
}

#[test]
fn an_evaluation_tells_what_the_scores_say() {
    let lab = Lab::new("evaluated");
    let table = lab.folder.file("table.csv", traffic(0, 1000, true));
    lab.train(&table, &LABELS);
    // Attacks of which some hide, and an entity for every ten rows.
    let fresh: String = traffic(1000, 3000, true)
        .lines()
        .enumerate()
        .map(|(row, line)| match row {
            0 => line.to_owned() + ",host\n",
            row if row % 40 == 20 => line.replace("normal", "hidden") + &format!(",h{}\n", row / 10),
            row => line.to_owned() + &format!(",h{}\n", row / 10),
        })
        .collect();
    let fresh = lab.folder.file("fresh.csv", fresh);
    let (json, html) = (lab.folder.0.join("report.json"), lab.folder.0.join("report.html"));
    let written = [
        "--json",
        json.to_str().expect("text"),
        "--html",
        html.to_str().expect("text"),
    ];
    let arguments = ["evaluate", "--model", "flows@1", "--label", "class", "--entity", "host"];
    let ran = lab.run(&[&arguments[..], &written].concat(), &[&fresh]);
    ran.check(0, &[]);
    let report: Value = serde_json::from_slice(&fs::read(&json).expect("a report")).expect("JSON");

    // The same from the scores, by counting pairs of rows.
    let scored = lab.score(&fresh, "flows@1");
    let rows: Vec<(bool, f64)> = scored
        .stdout
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            (cells[4] == "normal", cells[6].parse().expect("a score"))
        })
        .collect();
    let of = |wanted: bool| {
        rows.iter()
            .filter(|row| row.0 == wanted)
            .map(|row| row.1)
            .collect::<Vec<f64>>()
    };
    let (mut normal, bad) = (of(true), of(false));
    let pairs: f64 = bad
        .iter()
        .map(|bad| {
            normal
                .iter()
                .map(|normal| {
                    if bad > normal {
                        1.0
                    } else if bad == normal {
                        0.5
                    } else {
                        0.0
                    }
                })
                .sum::<f64>()
        })
        .sum();
    let area = pairs / normal.len() as f64 / bad.len() as f64;
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).expect("a number");
    assert!(
        (number("/roc_area") - area).abs() < 1e-6 && area > 0.6 && area < 0.99,
        "{area}: {}",
        report["roc_area"]
    );
    assert_eq!(number("/rows/normal") as usize, normal.len());
    normal.sort_by(f64::total_cmp);
    let allowed = normal.len() / 100;
    let hits = bad
        .iter()
        .filter(|score| **score > normal[normal.len() - 1 - allowed])
        .count();
    assert!(
        (number("/recall/0/recall") - hits as f64 / bad.len() as f64).abs() < 1e-9,
        "{hits}: {}",
        report["recall"]
    );
    // Of 2,775 normal rows 2 may be told at 0.1 %, and none at 0.01 %.
    assert_eq!(
        report["recall"].as_array().map(Vec::len),
        Some(2),
        "{}",
        report["recall"]
    );
    let days = 2999.0 / 1440.0;
    assert!((number("/rows/days") - days).abs() < 1e-9);
    let told = number("/recall/0/hits") + number("/recall/0/false_alarms");
    assert!((number("/recall/0/alerts_a_day") - told / days).abs() < 1e-6);
    // A score of s / (s + 3) tells the surprise again.
    let told = normal
        .iter()
        .filter(|score| 3.0 * **score / (1.0 - **score) >= 1.0)
        .count();
    assert_eq!(number("/calibration/0/told") as usize, told);
    assert_eq!(report["calibration"][0]["is_enough"], true);
    assert_eq!(report["calibration"][1]["is_enough"], false);
    assert_eq!(
        number("/cost/bytes") as u64,
        fs::metadata(lab.file(1)).expect("the model").len()
    );

    let page = fs::read_to_string(&html).expect("a page");
    assert_eq!(page.matches("<svg").count(), 4);
    for outside in ["<script", "src=", "href=", "url(", "http:", "https:", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for text in ["flows@1 on ", "hidden", "ROC area"] {
        assert!(page.contains(text), "{text}");
    }

    let one_kind = lab.folder.file("one.csv", traffic(0, 50, false));
    let arguments = ["evaluate", "--model", "flows@1", "--label"];
    lab.run(&[&arguments[..], &["class"]].concat(), &[&one_kind])
        .check(1, &["50 rows, all of one kind"]);
    lab.run(&[&arguments[..], &["kind"]].concat(), &[&fresh])
        .check(1, &["line 1: no column \"kind\""]);
    let strange = ["class", "--normal", "calm"];
    lab.run(&[&arguments[..], &strange].concat(), &[&fresh])
        .check(1, &["no row is labelled calm", "flood, hidden, normal"]);
}

#[test]
fn whatever_is_killed_the_version_in_force_is_the_old_or_the_new_one() {
    let lab = Lab::new("killed");
    let table = lab.folder.file("table.csv", traffic(0, 200, false));
    lab.train(&table, &["--time", "at"]);
    lab.train(&table, &["--time", "at"]);
    lab.run(&["models", "promote", "flows@1"], &[]).check(0, &[]);
    let mut now = 1;
    for turn in 0..60 {
        let next = 3 - now;
        let mut command = stakeout([
            "models",
            "promote",
            &format!("flows@{next}"),
            "--force",
            "a kill",
            "--models",
        ]);
        let child = command
            .arg(&lab.models)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.expect("the program is built");
        std::thread::sleep(Duration::from_micros(150 * turn));
        // SIGKILL; a process that has ended is as well.
        child.kill().expect("a child of ours");
        child.wait().expect("a child of ours");
        let pointer = fs::read(lab.models.join("flows/in-force.json")).expect("a pointer");
        let pointer: Value = serde_json::from_slice(&pointer).expect("the pointer is whole");
        let found = pointer["version"].as_u64().expect("a version");
        assert!(found == now || found == next, "turn {turn}: {found}");
        now = found;
    }
    assert_eq!(lab.in_force(), Some(now));
    lab.score(&table, "flows").check(0, &[]);
}
