//! Bad input, one kind a test, with the real program: a message that names the place and the next step, the right exit
//! status, what was read is still judged, and what was refused stands in the summary.

mod program;

use program::{Folder, failed_login, fixture, guessing, gzip, replay, run, stakeout};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// No input of these tests needs more memory than this.
const MEMORY_KIB_MAX: u64 = 400 * 1024;

/// The uncompressed capture of a fixture.
fn capture() -> Vec<u8> {
    let packed = fs::read(fixture("benign_network_d/capture.pcap.gz")).expect("a fixture");
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&packed[..]), &mut bytes).expect("gzip");
    bytes
}

#[test]
fn a_truncated_capture_is_judged_up_to_the_cut() {
    let folder = Folder::new("truncated");
    let bytes = capture();
    let cut = bytes.len() / 2 + 7;
    let plain = folder.file("cut.pcap", &bytes[..cut]);
    let packed = folder.file("cut.pcap.gz", gzip(&bytes[..cut]));
    let cut_in_gzip = gzip(&bytes);
    let damaged = folder.file("damaged.pcap.gz", &cut_in_gzip[..cut_in_gzip.len() / 2]);
    let head_only = folder.file("head.pcap", &bytes[..11]);
    for path in [&plain, &packed, &damaged] {
        let ran = replay(&[path]);
        ran.check(1, &[path.to_str().expect("text"), "truncated"]);
        assert_eq!(ran.problems().len(), 1, "{}", ran.stderr);
        assert!(ran.number("records read") > 1000, "{}", ran.stderr);
        assert!(ran.number("events") > 100, "{}", ran.stderr);
    }
    replay(&[&head_only]).check(1, &["head.pcap", "truncated"]);
}

#[test]
fn what_is_no_known_format_is_named_and_the_others_are_judged() {
    let folder = Folder::new("unknown");
    let prose = folder.file(
        "prose.txt",
        "It was the best of times, it was the worst of times.\n".repeat(50),
    );
    let noise: Vec<u8> = (0..70_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let noise = folder.file("noise.bin", noise);
    let good = folder.file("auth.log", guessing());
    let ran = replay(&[&prose, &good, &noise]);
    ran.check(
        1,
        &[
            "prose.txt: not a format that is known",
            "noise.bin: not a format",
            "pcapng",
            "syslog",
        ],
    );
    assert_eq!(ran.problems().len(), 2);
    assert_eq!(ran.number("records read"), 200);
    assert!(ran.stdout.contains("source_login_failures"), "{}", ran.stdout);
}

#[test]
fn a_line_of_ten_megabytes_is_refused_and_the_lines_around_it_are_read() {
    let folder = Folder::new("line");
    let mut text = guessing();
    text.push_str(&"x".repeat(10 << 20));
    text.push('\n');
    text.push_str(&failed_login(37_000, "root"));
    for (name, text) in [
        ("auth.log", text.clone().into_bytes()),
        ("auth.log.gz", gzip(text.as_bytes())),
    ] {
        let ran = replay(&[&folder.file(name, text)]);
        ran.check(0, &["1 line_too_long"]);
        assert_eq!(ran.number("records read"), 202);
        assert_eq!(ran.number("decoded"), 201);
        assert!(ran.peak_kib < MEMORY_KIB_MAX, "{} KiB", ran.peak_kib);
    }
    // A file that is one such line is of no known kind.
    let only = folder.file("only.json", format!("{{\"a\":\"{}\"}}", "x".repeat(10 << 20)));
    replay(&[&only]).check(1, &["only.json: not a format that is known"]);
}

#[test]
fn broken_utf8_neither_stops_nor_spoils_anything() {
    let folder = Folder::new("utf8");
    let mut bytes = guessing().into_bytes();
    bytes.extend_from_slice(
        b"<38>1 2026-03-02T10:20:00Z web sshd 77 - - Failed password for \xff\xfe\xc3 from 203.0.113.7 port 4 ssh2\n",
    );
    bytes.extend_from_slice(b"<38>1 2026-03-02T10:20:01Z \xf0\x28 sshd 77 - - \xa0\xa1 Accepted\n");
    bytes.extend_from_slice(failed_login(37_300, "root").as_bytes());
    let ran = replay(&[&folder.file("auth.log", bytes)]);
    ran.check(0, &[]);
    assert_eq!(ran.number("records read"), 203);
    for line in ran.stdout.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("a document");
    }
    let json = b"{\"@timestamp\":\"2026-03-02T10:00:00Z\",\"user\":{\"name\":\"\xff\"}}\n{\"@timestamp\":\"2026-03-02T10:00:01Z\",\"event\":{\"category\":\"authentication\"}}\n";
    let ran = replay(&[&folder.file("ecs.json", json)]);
    assert_eq!(ran.number("records read"), 2, "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"));
}

#[test]
fn times_of_1970_and_2099_are_refused_and_change_nothing() {
    let folder = Folder::new("times");
    let good = guessing();
    let middle = good.len() / 2;
    let middle = middle + good[middle..].find('\n').expect("lines") + 1;
    let wrong = |year: &str| failed_login(36_000, "root").replace("2026-03-02", &format!("{year}-01-01"));
    for year in ["1970", "2099"] {
        let text = [&good[..middle], &wrong(year), &good[middle..]].concat();
        let ran = replay(&[&folder.file("auth.log", text)]);
        ran.check(0, &["1 implausible_time"]);
        let expected = replay(&[&folder.file("good.log", &good)]);
        assert_eq!(messages(&ran.stdout), messages(&expected.stdout), "{year}");
        assert!(!messages(&ran.stdout).is_empty());
    }
}

fn messages(stdout: &str) -> Vec<String> {
    let message = |line: &str| {
        let document: serde_json::Value = serde_json::from_str(line).expect("a document");
        format!("{} {}", document["@timestamp"], document["message"])
    };
    stdout.lines().map(message).collect()
}

#[test]
fn bombs_end_soon_and_in_little_memory() {
    let folder = Folder::new("bomb");
    // 300 MB out of as many members of a thousandth of that.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &vec![b'\n'; 1 << 20]).expect("memory");
    let member = encoder.finish().expect("memory");
    let login = gzip(guessing().as_bytes());
    let gzip_bomb = folder.file("bomb.log.gz", [login, member.repeat(300)].concat());
    let ran = replay(&[&gzip_bomb]);
    ran.check(
        1,
        &[
            "bomb.log.gz: ",
            "decompression bomb",
            "unpack it first if it is genuine",
        ],
    );
    assert!(ran.peak_kib < MEMORY_KIB_MAX, "{} KiB", ran.peak_kib);
    assert_eq!(ran.number("records read"), 200);
    // A zstd frame of blocks that repeat one byte 128 Ki times: 32,768 to one.
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    for number in 0..4096u32 {
        let block = (0x2_0000 << 3 | 1 << 1 | u32::from(number == 4095)).to_le_bytes();
        zstd.extend_from_slice(&[block[0], block[1], block[2], b'x']);
    }
    let frame = |text: &[u8]| {
        let block = ((text.len() as u32) << 3 | 1).to_le_bytes();
        [
            &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38, block[0], block[1], block[2]][..],
            text,
        ]
        .concat()
    };
    let zstd_bomb = folder.file("bomb.log.zst", [frame(guessing().as_bytes()), zstd].concat());
    let ran = replay(&[&zstd_bomb]);
    ran.check(1, &["bomb.log.zst: ", "decompression bomb"]);
    assert!(ran.peak_kib < MEMORY_KIB_MAX, "{} KiB", ran.peak_kib);
    assert_eq!(ran.number("decoded"), 200);
    // A bomb of one line, and one behind a capture's beginning.
    let zeros = gzip(&vec![b'x'; 1 << 20]);
    let ran = replay(&[&folder.file("one-line.gz", zeros.repeat(300))]);
    ran.check(1, &["one-line.gz: not a format that is known"]);
    let behind = [gzip(&capture()[..4096]), zeros.repeat(300)].concat();
    let ran = replay(&[&folder.file("bomb.pcap.gz", behind)]);
    ran.check(1, &["bomb.pcap.gz"]);
    assert!(ran.peak_kib < MEMORY_KIB_MAX, "{} KiB", ran.peak_kib);
}

#[test]
fn what_cannot_be_read_is_named_with_the_next_step() {
    let folder = Folder::new("unreadable");
    let good = folder.file("auth.log", guessing());
    let at = |name: &str| folder.0.join(name);
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).expect("a link");
    std::os::unix::fs::symlink(at("loop-b"), at("loop-a")).expect("a link");
    std::os::unix::fs::symlink(at("loop-a"), at("loop-b")).expect("a link");
    let locked = folder.file("locked.log", guessing());
    let mut mode = fs::metadata(&locked).expect("a file").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o000);
    fs::set_permissions(&locked, mode).expect("ours");
    let cases = [
        (
            "missing",
            "missing: No such file or directory (os error 2); check the name",
        ),
        (
            "dangling",
            "dangling: No such file or directory (os error 2); check the name, and where a link leads",
        ),
        (
            "loop-a",
            "loop-a: Too many levels of symbolic links (os error 40); the link leads back to itself",
        ),
    ];
    for (name, told) in cases {
        let ran = replay(&[&at(name), &good]);
        ran.check(1, &[told]);
        assert_eq!(ran.number("records read"), 200, "the good one is judged beside {name}");
    }
    // Permissions do not bind root.
    if fs::File::open(&locked).is_err() {
        replay(&[&locked]).check(
            1,
            &["locked.log: Permission denied (os error 13); let this user read it"],
        );
    }
    for device in ["/dev/null", "/dev/zero"] {
        let ran = replay(&[Path::new(device)]);
        ran.check(1, &[device]);
        assert!(ran.elapsed < Duration::from_secs(20));
    }
}

#[test]
fn folders_are_read_as_far_as_they_go() {
    let folder = Folder::new("folder");
    fs::create_dir_all(folder.0.join("logs/deep/empty")).expect("folders");
    folder.file("logs/auth.log", guessing());
    folder.file("logs/notes.txt", "Buy milk.\n");
    std::os::unix::fs::symlink(&folder.0, folder.0.join("logs/deep/back")).expect("a link");
    let ran = replay(&[&folder.0.join("logs")]);
    ran.check(
        1,
        &[
            "notes.txt: not a format",
            "the link leads back to a folder that it lies in",
        ],
    );
    assert_eq!(ran.number("records read"), 200, "once, whatever leads there");
    let ran = replay(&[&folder.0.join("logs/deep/empty")]);
    ran.check(1, &["empty: the folder holds no files"]);
    // The same file twice is one.
    let log = folder.0.join("logs/auth.log");
    let ran = replay(&[&log, &folder.0.join("logs/../logs/auth.log")]);
    ran.check(0, &[]);
    assert_eq!(ran.number("records read"), 200);
}

#[test]
fn an_empty_file_is_named() {
    let folder = Folder::new("empty");
    let empty = folder.file("empty.log", "");
    replay(&[&empty]).check(1, &["empty.log: the input is empty"]);
    let nothing = folder.file("nothing.log.gz", gzip(b""));
    replay(&[&nothing]).check(1, &["nothing.log.gz: the input is empty"]);
    // A closed or empty standard input.
    run(stakeout(["replay", "-"])).check(1, &["-: the input is empty"]);
    let mut closed = Command::new("sh");
    closed.args(["-c", "exec \"$0\" replay - <&-", env!("CARGO_BIN_EXE_stakeout")]);
    run(closed).check(1, &["-: "]);
}

#[test]
fn a_missing_column_is_counted_and_in_a_table_named() {
    let folder = Folder::new("column");
    let head = "#separator \\x09\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\n";
    let row = |time: u32, rest: &str| format!("{}.5\tC{time}\t10.0.0.1\t40000{rest}\n", 1_772_445_600 + time);
    let zeek = [
        head,
        &row(1, "\t10.0.0.2\t80\ttcp"),
        &row(2, ""),
        &row(3, "\t10.0.0.2\t80\ttcp\textra"),
        &row(4, "\t10.0.0.2\t80\ttcp"),
    ]
    .concat();
    let ran = replay(&[&folder.file("conn.log", &zeek)]);
    ran.check(0, &["3 comment"]);
    assert_eq!(ran.number("records read"), 7);
    ran.check(0, &["1 zeek_too_few_columns"]);
    assert_eq!(ran.number("decoded"), 3, "{}", ran.stderr);
    // Without the columns of an address there is nothing to judge.
    let lacking = zeek.replace("id.resp_h", "resp").replace("id.orig_h", "orig");
    let ran = replay(&[&folder.file("lacking.log", lacking)]);
    ran.check(0, &["3 zeek_no_address", "1 zeek_too_few_columns"]);
    let json = "{\"_path\":\"conn\",\"ts\":1772445600.5,\"uid\":\"C1\"}\n{\"_path\":\"conn\",\"uid\":\"C2\",\"id.orig_h\":\"10.0.0.1\"}\n";
    let ran = replay(&[&folder.file("lacking.json", json)]);
    ran.check(0, &["1 zeek_no_address", "1 zeek_no_time"]);
    let csv = folder.file("load.csv", "time,value\n2026-01-01T00:00:00Z,1\n2026-01-01T00:05:00Z\n");
    run(stakeout(["score", csv.to_str().expect("text")]))
        .check(1, &["load.csv", "line 3: 1 cells where the header has 2"]);
    run(stakeout(["score", csv.to_str().expect("text"), "--value", "laod"]))
        .check(1, &["no column \"laod\"; the columns are time, value"]);
}

#[test]
fn a_typo_in_a_detector_or_the_configuration_is_told_with_the_right_word() {
    let folder = Folder::new("typo");
    let good = folder.file("auth.log", guessing());
    fs::create_dir(folder.0.join("detectors")).expect("a folder");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("detectors/source_login_failures.yml"))
        .expect("a definition");
    let text = text
        .replace("measure: count", "measure: cuont")
        .replace("source.ip", "source.iip");
    folder.file("detectors/source_login_failures.yml", text);
    let config = folder.file(
        "stakeout.yml",
        "netwroks:\n  internal: [10.0.0.0/8]\nbudget:\n  alerts_per_day: lots\n",
    );
    for command in ["replay", "check"] {
        let mut program = stakeout([command, "--config", config.to_str().expect("text")]);
        program.arg("--detectors").arg(folder.0.join("detectors"));
        if command == "replay" {
            program.arg(&good);
        }
        let ran = run(program);
        assert_eq!(ran.status, Some(1), "{}", ran.stderr);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        for told in [
            "stakeout.yml:1:1: netwroks: unknown key `netwroks`; did you mean `networks`?",
            "stakeout.yml:4:3: budget/alerts_per_day: must be a number",
            "source_login_failures.yml:",
            ": entity: no decoder gives a field `source.iip`",
            "did you mean `source.ip`?",
            "did you mean `count`?",
        ] {
            assert!(said.contains(told), "{told} in\n{said}");
        }
    }
    let mut nowhere = stakeout(["check", "--config"]);
    nowhere.arg(folder.0.join("none.yml"));
    run(nowhere).check(1, &["none.yml"]);
}

#[test]
fn wrong_usage_has_status_two() {
    for arguments in [
        &["replay"][..],
        &["replay", "--threads", "0", "x"],
        &["replay", "--threads", "many", "x"],
        &["replay", "--budget", "0", "x"],
        &["replay", "--budget", "3", "--no-budget", "x"],
        &["replay", "--format", "xml", "x"],
        &["replay", "--year", "26", "x"],
        &["replay", "--timezone", "Mars/Base", "x"],
        &["replay", "-", "-"],
        &["score"],
        &["score", "a.csv", "--all", "--value", "x"],
        &["score", "a.csv", "--label", "class"],
        &["score", "a.csv", "--train", "b.csv", "--normal", "x"],
        &["reply", "x"],
        &[],
    ] {
        let ran = run(stakeout(arguments.iter().copied()));
        assert_eq!(ran.status, Some(2), "{arguments:?}\n{}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{arguments:?}");
    }
    let ran = run(stakeout(["replay", "--threads", "0", "x"]));
    assert!(ran.stderr.contains("1..=1024"), "{}", ran.stderr);
}

#[test]
fn a_full_disk_is_told_and_what_was_read_is_reported() {
    let folder = Folder::new("full");
    let good = folder.file("auth.log", guessing());
    for format in ["ecs", "ocsf", "text"] {
        let mut command = stakeout(["replay", "--format", format]);
        command.arg(&good).stderr(Stdio::piped());
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let child = command.stdout(full).spawn().expect("the program is built");
        let ran = program::finish(child);
        ran.check(
            1,
            &[
                "standard output: No space left on device",
                "make room",
                "records read  200",
            ],
        );
        assert_eq!(ran.problems().len(), 1, "{}", ran.stderr);
    }
    let mut command = stakeout(["replay", "--summary", "/dev/full", "--format", "ecs"]);
    command.arg(&good);
    let ran = run(command);
    ran.check(
        1,
        &["--summary /dev/full: No space left on device", "records read  200"],
    );
    assert!(
        ran.stdout.contains("source_login_failures"),
        "alerts are written all the same"
    );
    let mut command = stakeout(["replay", "--summary"]);
    command.arg(folder.0.join("no/such/place.json")).arg(&good);
    run(command).check(
        1,
        &["--summary ", "place.json: it cannot be written there", "No such file"],
    );
    let mut command = stakeout(["replay", "--state"]);
    command.arg(good.join("inside-a-file")).arg(&good);
    run(command).check(1, &["--state ", "cannot be written there"]);
    let scored = folder.file("load.csv", "time,value\n2026-01-01T00:00:00Z,1\n");
    let mut command = stakeout(["score", "-o", "/dev/full"]);
    command.arg(&scored);
    run(command).check(1, &["writing the scores", "No space left"]);
}

#[test]
fn a_full_disk_leaves_the_old_state_whole() {
    let folder = Folder::new("state-full");
    let small = folder.0.join("small");
    fs::create_dir(&small).expect("a folder");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "stakeout-test"])
        .arg(&small)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"skipped: no small file system can be made here\n",
        );
        return;
    }
    let first: String = (0..20)
        .map(|number| failed_login(36_000 + 30 * number, "root"))
        .collect();
    let replay = |name: &str, text: &str| {
        let mut command = stakeout(["replay", "--format", "ecs", "--state"]);
        command.arg(&small).arg(folder.file(name, text));
        run(command)
    };
    let ran = replay("first.log", &first);
    let kept = fs::read(small.join("engine.state")).unwrap_or_default();
    let many: String = (0..20_000)
        .map(|number| {
            failed_login(40_000 + number, "root")
                .replace("203.0.113.7", &format!("10.9.{}.{}", number / 250, number % 250))
        })
        .collect();
    let second = replay("second.log", &many);
    let left = fs::read_dir(&small).expect("mounted").count();
    let still = fs::read(small.join("engine.state")).unwrap_or_default();
    let _ = Command::new("umount").arg(&small).status();
    ran.check(0, &[]);
    assert!(!kept.is_empty());
    second.check(
        1,
        &[
            "engine.state: learned state was not kept, make room",
            "what was learned before is still there",
        ],
    );
    assert_eq!(second.number("records read"), 20_000);
    assert_eq!(still, kept);
    assert_eq!(left, 1, "nothing half written is left");
}

#[test]
fn a_state_that_is_corrupt_or_foreign_is_refused() {
    let folder = Folder::new("state");
    let good = folder.file("auth.log", guessing());
    let state = folder.0.join("learned");
    let replay = |threads: &str| {
        let mut command = stakeout(["replay", "--format", "ecs", "--threads", threads, "--state"]);
        command.arg(&state).arg(&good);
        run(command)
    };
    replay("1").check(0, &[]);
    let file = state.join("engine.state");
    let whole = fs::read(&file).expect("state was kept");
    for (bytes, told) in [
        (&whole[..whole.len() / 2], "not written completely"),
        (&b"PK\x03\x04 something else altogether"[..], "engine.state: the state "),
        (&b""[..], "not written completely"),
    ] {
        fs::write(&file, bytes).expect("ours");
        replay("1").check(1, &["engine.state: ", told, "to begin anew"]);
        assert_eq!(fs::read(&file).expect("it is left as it was"), bytes);
    }
    fs::write(&file, &whole).expect("ours");
    replay("2").check(0, &[]);
    let config = folder.file("stakeout.yml", "detectors: { user_unusual_hour: off }\n");
    let mut other = stakeout(["replay", "--state"]);
    other.arg(&state).arg("--config").arg(config).arg(&good);
    let left = stakeout::engine::catalog::embedded::FILES.len() - 1;
    let told = &*format!("{left} detectors go on with what they learned; these have ended: user_unusual_hour");
    run(other).check(0, &[told]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = Folder::new("pipe");
    let good = folder.file("auth.log", guessing());
    let program = env!("CARGO_BIN_EXE_stakeout");
    // What every command writes is more than the shell's `true` ever reads.
    for command in [
        "replay --format ecs --quiet LOG",
        "replay --format text --quiet LOG",
        "detectors",
        "check",
        "--help",
    ] {
        let script = format!(
            "{{ sleep 0.2; \"$0\" {}; echo \"status $?\" >&2; }} | true",
            command.replace("LOG", "\"$1\"")
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, program]).arg(&good);
        let ran = run(shell);
        let wanted = if command == "--help" {
            "status 0\n"
        } else {
            "status 141\n"
        };
        assert_eq!(ran.stderr, wanted, "{command}");
    }
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "\"$0\" replay --format ecs \"$1\" | true", program])
        .arg(&good);
    let ran = run(shell);
    ran.check(0, &["the reader of standard output has closed it", "records read"]);
    assert!(ran.problems().is_empty(), "{}", ran.stderr);
}
