//! With a database of autonomous systems a provider's networks are one network: a new /24 of a known provider is
//! nothing new, and an alert about another provider names it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Twelve days of one account's logins from `usual` networks, and a last one from `address`.
fn log(address: &str) -> String {
    let mut text = String::new();
    for login in 0..120 {
        let (day, hour) = (1 + login / 10, 8 + login % 10);
        let usual = format!("198.18.{}.7", login % 3);
        let _ = writeln!(
            text,
            "Mar {day:2} {hour:02}:17:05 gate sshd[{}]: Accepted publickey for alice from {usual} port 50122 ssh2",
            2000 + login
        );
    }
    let _ = writeln!(
        text,
        "Mar 12 18:40:00 gate sshd[9000]: Accepted publickey for alice from {address} port 50122 ssh2"
    );
    text
}

/// What a replay says about the account's networks.
fn told(folder: &Path, config: &str, address: &str) -> String {
    std::fs::write(folder.join("auth.log"), log(address)).expect("a log");
    std::fs::write(folder.join("stakeout.yaml"), config).expect("a configuration");
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args([
            "replay",
            "--format",
            "ecs",
            "--quiet",
            "--no-budget",
            "--year",
            "2026",
            "--config",
        ])
        .args([folder.join("stakeout.yaml"), folder.join("auth.log")])
        .output()
        .expect("running stakeout");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains("user_new_source"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_new_network_of_a_known_provider_is_nothing_new() {
    let folder = std::env::temp_dir().join(format!("stakeout-as-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let database = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/asn.mmdb");
    std::fs::copy(database, folder.join("asn.mmdb")).expect("the database");
    let with = "networks: { asn_database: asn.mmdb }\n";
    let same_provider = "198.18.99.7";
    let other_provider = "198.51.100.20";
    assert!(told(&folder, "", same_provider).contains("198.18.99.0/24"));
    assert_eq!(told(&folder, with, same_provider), "");
    assert!(told(&folder, with, other_provider).contains("AS64501 (Example Hosting)"));
    let wrong = "networks: { asn_database: auth.log }\n";
    std::fs::write(folder.join("stakeout.yaml"), wrong).expect("a configuration");
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["check", "--config"])
        .arg(folder.join("stakeout.yaml"))
        .output()
        .expect("running stakeout");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("stakeout.yaml:1:13: networks/asn_database: "), "{text}");
    std::fs::remove_dir_all(&folder).expect("it is there");
}
