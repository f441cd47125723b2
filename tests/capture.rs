//! Live capture on a real interface: two ends of a virtual cable in a network namespace that the test makes, recorded
//! frames sent into one end by tcpreplay, and what is told compared with a replay of what tcpdump recorded meanwhile.

mod serving;

use serving::namespace::{Namespace, Recording, ip, is_there, unpacked};
use serving::{Folder, Service, key, left_out, without_places};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the test needs, or nothing where it can't be had.
fn prepared(name: &str) -> Option<Namespace> {
    for program in ["ip", "tcpreplay", "tcpdump"] {
        if program != "ip" && !is_there(program) {
            left_out(&format!("{program} is not installed (script/bootstrap installs it)"));
            return None;
        }
    }
    let namespace = Namespace::new(name);
    if namespace.is_none() {
        left_out("a network namespace can't be made here; that needs root");
    }
    namespace
}

fn configure(folder: &Path, workers: usize) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs: {{ interfaces: [{{ name: far, workers: {workers} }}] }}\n\
         store: {{ commit_every: 100ms, snapshot_every: 60s }}\n\
         sinks: [{{ type: file, path: '{}/alerts.json' }}]\n",
        folder.display()
    );
    fs::write(folder.join("stakeout.yaml"), text).expect("a configuration");
}

/// Alerts without the places of their evidence, which count the records of inputs.
fn alerts(text: &str) -> BTreeSet<String> {
    text.lines().map(|line| without_places(line).to_string()).collect()
}

fn key_of(document: &str) -> (String, u64) {
    key(&serde_json::from_str(document).expect("a document"))
}

fn live_equals_replay(name: &str, workers: usize) {
    let Some(namespace) = prepared(name) else { return };
    let folder = Folder::new(name);
    configure(&folder.0, workers);
    let sent = folder.0.join("sent.pcap");
    unpacked("dns_tunnel_iodine_high/capture.pcap.gz", &sent);
    let recorded = folder.0.join("recorded.pcap");
    let recording = Recording::start(&namespace, "far", "", &recorded);
    let service = Service::start_in(
        &folder.0,
        namespace.command(env!("CARGO_BIN_EXE_stakeout")),
        Some(&namespace.0),
    );
    let ready = service.get("/readyz").expect("an answer");
    assert!(
        ready.contains("\"landlock\":\"full\"") || ready.contains("partial"),
        "{ready}"
    );
    assert!(
        ready.contains("\"seccomp\":\"on\"") && ready.contains("\"capabilities\":[]"),
        "{ready}"
    );
    let said = namespace.send(&sent, "near", "--pps=5000");
    let frames: f64 = said
        .split("Actual: ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .expect("how many frames were sent");
    service.wait_until("every frame was decoded", |service| {
        let decoded = service
            .metric("stakeout_records_total{outcome=\"decoded\"}")
            .unwrap_or(0.0);
        let ignored = service
            .metric("stakeout_records_total{outcome=\"ignored\"}")
            .unwrap_or(0.0);
        let refused = service
            .metric("stakeout_records_total{outcome=\"refused\"}")
            .unwrap_or(0.0);
        decoded + ignored + refused == frames
    });
    service.wait_until("the frames were counted", |service| {
        service.metric("stakeout_capture_packets_total{outcome=\"received\"}") == Some(frames)
    });
    for outcome in ["lost_by_interface", "lost_by_kernel"] {
        let name = format!("stakeout_capture_packets_total{{outcome=\"{outcome}\"}}");
        assert_eq!(service.metric(&name), Some(0.0), "{outcome}");
    }
    let begun = std::time::Instant::now();
    service.terminate();
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(5),
        "it took {:?} to end",
        begun.elapsed()
    );
    recording.end();
    let replay = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["replay", "--quiet", "--format", "ecs", "--config"])
        .arg(folder.0.join("stakeout.yaml"))
        .arg("--state")
        .arg(folder.0.join("learned"))
        .arg(&recorded)
        .output()
        .expect("a replay");
    assert!(replay.status.success(), "{replay:?}");
    let expected = alerts(&String::from_utf8_lossy(&replay.stdout));
    let live = alerts(&fs::read_to_string(folder.0.join("alerts.json")).expect("alerts"));
    assert!(!expected.is_empty(), "the tunnel is told");
    let only_live: Vec<_> = live.difference(&expected).collect();
    let only_replay: Vec<_> = expected.difference(&live).collect();
    assert!(only_live.is_empty(), "told live only: {only_live:#?}");
    // The end of its input ends what goes on for a replay; a service takes it up again.
    for document in only_replay {
        let (id, count) = key_of(document);
        let before = live
            .iter()
            .map(|document| key_of(document))
            .filter(|(held, _)| *held == id);
        let last = before.map(|(_, count)| count).max();
        assert_eq!(last, Some(count - 1), "told by replay only: {document}");
    }
}

#[test]
fn what_is_captured_is_told_as_a_replay_of_it_is() {
    live_equals_replay("one", 1);
}

#[test]
fn several_decoders_tell_what_one_does() {
    live_equals_replay("several", 3);
}

#[test]
fn an_interface_that_goes_down_comes_back_and_one_that_is_pulled_is_told() {
    let Some(namespace) = prepared("pulled") else { return };
    let folder = Folder::new("pulled");
    configure(&folder.0, 1);
    let sent = folder.0.join("sent.pcap");
    unpacked("port_scan_nmap_low/capture.pcap.gz", &sent);
    let service = Service::start_in(
        &folder.0,
        namespace.command(env!("CARGO_BIN_EXE_stakeout")),
        Some(&namespace.0),
    );
    let replay = || namespace.send(&sent, "near", "--topspeed");
    let frames = |service: &Service| {
        service
            .metric("stakeout_capture_packets_total{outcome=\"received\"}")
            .unwrap_or(0.0)
    };
    replay();
    service.wait_until("frames came", |service| frames(service) > 0.0);
    let before = frames(&service);
    assert!(ip(&["-n", &namespace.0, "link", "set", "far", "down"]));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(ip(&["-n", &namespace.0, "link", "set", "far", "up"]));
    std::thread::sleep(std::time::Duration::from_millis(500));
    replay();
    service.wait_until("frames came again", |service| frames(service) > before);
    assert!(ip(&["-n", &namespace.0, "link", "delete", "far"]));
    service.wait_until("the loss of the interface is told", |service| {
        service.metric("stakeout_capture_up{interface=\"far\"}") == Some(0.0)
    });
    service.terminate();
}

#[test]
fn flows_that_are_open_when_the_process_is_killed_are_counted_as_lost() {
    let Some(namespace) = prepared("killed") else { return };
    let folder = Folder::new("killed");
    configure(&folder.0, 2);
    let sent = folder.0.join("sent.pcap");
    unpacked("dns_tunnel_iodine_high/capture.pcap.gz", &sent);
    let start = || {
        Service::start_in(
            &folder.0,
            namespace.command(env!("CARGO_BIN_EXE_stakeout")),
            Some(&namespace.0),
        )
    };
    let lost = |service: &Service| service.metric("stakeout_capture_flows_lost_total");
    let service = start();
    assert_eq!(lost(&service), Some(0.0));
    namespace.send(&sent, "near", "--topspeed");
    service.wait_until("frames were decoded", |service| {
        service.metric("stakeout_records_total{outcome=\"decoded\"}") > Some(100.0)
    });
    // The input's time is handed on every second, and durable soon after.
    std::thread::sleep(std::time::Duration::from_secs(2));
    service.kill();
    let service = start();
    service.wait_until("lost flows are counted", |service| lost(service) >= Some(1.0));
    assert!(
        service
            .said()
            .contains("flows that were open when the process before this one ended are lost")
    );
    namespace.send(&sent, "near", "--topspeed");
    service.wait_until("frames were decoded", |service| {
        service.metric("stakeout_records_total{outcome=\"decoded\"}") > Some(100.0)
    });
    service.terminate();
    let service = start();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(lost(&service), Some(0.0), "who ends in order tells its open flows");
    service.terminate();
}

#[test]
fn an_interface_that_is_not_there_is_named_with_the_next_step() {
    let folder = Folder::new("absent");
    configure(&folder.0, 1);
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["run", "--config"])
        .arg(folder.0.join("stakeout.yaml"))
        .env("STAKEOUT_DATA_DIR", folder.0.join("data"))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("capturing on far: ") && (said.contains("ip link") || said.contains("CAP_NET_RAW")),
        "{said}"
    );
}
