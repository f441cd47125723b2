//! The encrypted listener, with a real client: whom it lets in, whom it turns away, and a certificate that is renewed.

mod serving;

use serving::{Folder, Service, certificates, left_out};
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What curl gets of a path, if it gets anything.
fn curl(service: &Service, scheme: &str, path: &str, more: &[&str]) -> Option<String> {
    let port = service.address.rsplit(':').next().expect("a port");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "30"])
        .args(more)
        .arg(format!("{scheme}://localhost:{port}{path}"))
        .output()
        .expect("curl was there a moment ago");
    let text = String::from_utf8(output.stdout).expect("text");
    output.status.success().then_some(text)
}

fn start(folder: &Folder, client_ca: bool) -> Service {
    let path = folder.0.display();
    let client_ca = if client_ca {
        format!(", client_ca: '{path}/ca.pem'")
    } else {
        String::new()
    };
    let text = format!(
        "http:\n  listen: '127.0.0.1:0'\n  \
         tls: {{ certificate: '{path}/service.pem', key: '{path}/service.key'{client_ca} }}\n"
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    Service::start(&folder.0)
}

fn can_be_tested() -> bool {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let has_all = is_there("curl") && Command::new("openssl").arg("version").output().is_ok();
    if !has_all {
        left_out("curl or openssl is not installed");
    }
    has_all
}

fn authority(folder: &Path) -> String {
    folder.join("ca.pem").display().to_string()
}

#[test]
fn clients_that_trust_its_authority_are_answered_and_no_others() {
    if !can_be_tested() {
        return;
    }
    let folder = Folder::new("https");
    certificates(&folder);
    let service = start(&folder, false);
    let trusted = authority(&folder.0);
    let trusting = ["--cacert", trusted.as_str()];
    let healthy = Some("ok\n".to_owned());
    assert_eq!(curl(&service, "https", "/healthz", &trusting), healthy);
    assert_eq!(curl(&service, "https", "/healthz", &[]), None, "an unknown authority");
    assert_eq!(curl(&service, "http", "/healthz", &[]), None, "without encryption");
    let refused = |reason: &str| {
        let metrics = curl(&service, "https", "/metrics", &trusting).expect("metrics");
        let name = format!("stakeout_collector_refused_total{{reason=\"{reason}\",source=\"http\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |number| number.parse::<u64>().expect("a number"))
    };
    assert_eq!(refused("bad_handshake"), 2);
    // Whoever says nothing is let go of, and others are answered meanwhile.
    let begun = Instant::now();
    let mut silent = TcpStream::connect(&service.address).expect("a connection");
    assert_eq!(curl(&service, "https", "/healthz", &trusting), healthy);
    silent.set_read_timeout(Some(Duration::from_secs(60))).expect("a bound");
    let read = silent.read(&mut [0; 64]);
    assert!(matches!(read, Ok(0)), "it is closed: {read:?}");
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(9)..Duration::from_secs(40)).contains(&took),
        "{took:?}"
    );
    assert_eq!(refused("too_slow"), 1);
    // A certificate that is renewed is shown to whom connects from then on.
    let old = folder.0.join("old.pem");
    fs::copy(folder.0.join("ca.pem"), &old).expect("ours");
    certificates(&folder);
    service.signal("HUP");
    service.wait_until_said("configuration reloaded", 0);
    assert_eq!(curl(&service, "https", "/healthz", &trusting), healthy);
    let stale = old.display().to_string();
    assert_eq!(curl(&service, "https", "/healthz", &["--cacert", &stale]), None);
    // One that is broken changes nothing.
    fs::write(folder.0.join("service.key"), "no key\n").expect("ours");
    service.signal("HUP");
    service.wait_until_said("configuration not reloaded, the old one stays", 0);
    service.wait_until_said("service.key: ", 0);
    assert_eq!(curl(&service, "https", "/healthz", &trusting), healthy);
    service.terminate();
}

#[test]
fn clients_show_a_certificate_where_one_is_asked_for() {
    if !can_be_tested() {
        return;
    }
    let folder = Folder::new("https-clients");
    certificates(&folder);
    let service = start(&folder, true);
    let trusted = authority(&folder.0);
    let own = |name: &str| folder.0.join(name).display().to_string();
    let (certificate, key) = (own("sender.pem"), own("sender.key"));
    assert_eq!(curl(&service, "https", "/healthz", &["--cacert", &trusted]), None);
    let showing = ["--cacert", &trusted, "--cert", &certificate, "--key", &key];
    assert_eq!(curl(&service, "https", "/healthz", &showing), Some("ok\n".to_owned()));
    service.terminate();
}
