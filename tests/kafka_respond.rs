//! `stakeout respond`: alerts from a topic to sinks, by one instance or several, against a real broker.
#![cfg(feature = "kafka")]

mod broker;
mod receiver;
mod serving;

use broker::{Broker, Written, broker};
use receiver::{Received, receiver};
use serving::{Folder, Service, key};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An alert of a host, as `detect` tells it.
struct Alert {
    partition: i32,
    host: String,
    ecs: String,
    ocsf: String,
}

fn alert(host: usize, count: u64, partitions: usize) -> Alert {
    let name = format!("10.0.0.{host}");
    let ecs = format!(
        r#"{{"@timestamp":"2026-03-02T09:12:41Z","event":{{"id":"a{host}"}},"rule":{{"id":"host_port_scan"}},"stakeout":{{"count":{count},"entity":{{"source.ip":"{name}"}}}}}}"#
    );
    Alert {
        partition: (host % partitions) as i32,
        host: name,
        ecs,
        ocsf: format!(r#"{{"finding_info":{{"uid":"a{host}"}},"count":{count}}}"#),
    }
}

/// The forms `counts` of the alerts of some hosts, in the order of their counts.
fn alerts(hosts: usize, counts: std::ops::Range<u64>, partitions: usize) -> Vec<Alert> {
    counts
        .flat_map(|count| (1..=hosts).map(move |host| alert(host, count, partitions)))
        .collect()
}

fn write(broker: &Broker, topic: &str, alerts: &[Alert]) {
    let headers: Vec<[(&str, &str); 1]> = alerts
        .iter()
        .map(|alert| [("stakeout.ocsf", alert.ocsf.as_str())])
        .collect();
    broker.write(
        topic,
        alerts.iter().zip(&headers).map(|(alert, headers)| Written {
            partition: alert.partition,
            key: Some(&alert.host),
            value: Some(alert.ecs.as_bytes()),
            headers,
            ..Written::default()
        }),
    );
}

/// A cluster whose topics and groups begin with `name`, and sinks.
fn configure(folder: &Path, broker: &Broker, name: &str, sinks: &str) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         kafka:\n  brokers: '{}'\n  group.id: {name}\n  commit.interval.ms: 100\n  \
         topics: {{ alerts: {name}.alerts, dead.letters: {name}.dead }}\n  \
         properties: {{ session.timeout.ms: 6000, heartbeat.interval.ms: 500 }}\n\
         sinks:\n{sinks}",
        broker.address
    );
    fs::write(folder.join("stakeout.yaml"), text).expect("a configuration");
}

fn respond(folder: &Path, instance: &str) -> Service {
    Service::start_role(folder, "respond", &["--instance", instance])
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a document"))
        .collect()
}

/// Waits until the group knows that this many records are done.
fn wait_until_told(service: &Service, broker: &Broker, name: &str, done: &[i64]) {
    service.wait_until("the group knows what is done", |_| {
        done.iter().enumerate().all(|(partition, done)| {
            let group = format!("{name}.respond");
            broker.group_position(&group, &format!("{name}.alerts"), partition as i32) == Some(*done)
        })
    });
}

#[test]
fn alerts_reach_every_sink_in_its_own_form_and_none_comes_again_after_a_restart() {
    let Some(broker) = broker() else { return };
    broker.make_topic("one.alerts", 2);
    let folder = Folder::new("respond-one");
    let (port, received) = receiver(|_, _| 204);
    let sinks = format!(
        "  - {{ type: file, name: ecs, path: '{0}/ecs.json' }}\n  \
         - {{ type: file, name: ocsf, format: ocsf, path: '{0}/ocsf.json' }}\n  \
         - {{ type: webhook, name: hook, url: 'http://127.0.0.1:{port}/in' }}\n",
        folder.0.display()
    );
    configure(&folder.0, broker, "one", &sinks);
    write(broker, "one.alerts", &alerts(6, 1..11, 2));
    let service = respond(&folder.0, "first");
    wait_until_told(&service, broker, "one", &[30, 30]);
    // What comes without the header has no document in OCSF.
    let plain = alert(2, 11, 2);
    broker.write(
        "one.alerts",
        [Written {
            partition: plain.partition,
            value: Some(plain.ecs.as_bytes()),
            ..Written::default()
        }],
    );
    wait_until_told(&service, broker, "one", &[31, 30]);
    let number = |name: &str| service.metric(name);
    assert_eq!(number("stakeout_sink_without_document_total{sink=\"ocsf\"}"), Some(1.0));
    assert_eq!(number("stakeout_sink_without_document_total{sink=\"ecs\"}"), Some(0.0));
    assert_eq!(number("stakeout_ready"), Some(1.0));
    service.wait_until("nothing lags", |service| {
        (0..2).all(|partition| {
            let name = format!("stakeout_kafka_lag_records{{partition=\"{partition}\",topic=\"one.alerts\"}}");
            service.metric(&name) == Some(0.0)
        })
    });
    let listed: serde_json::Value =
        serde_json::from_str(&service.get("/api/v1/alerts?limit=100").expect("an answer")).expect("JSON");
    let newest = |document: &serde_json::Value| document["event"]["id"] == "a2" && document["stakeout"]["count"] == 11;
    assert_eq!(
        listed["alerts"].as_array().map(Vec::len),
        Some(6),
        "each in its last form: {listed}"
    );
    assert!(
        listed["alerts"].as_array().expect("a list").iter().any(newest),
        "{listed}"
    );
    service.terminate();

    write(broker, "one.alerts", &[alert(3, 11, 2)]);
    let service = respond(&folder.0, "first");
    wait_until_told(&service, broker, "one", &[31, 31]);
    service.terminate();
    let mut expected: Vec<(String, u64)> = (1..=6)
        .flat_map(|host| (1..=10).map(move |count| (format!("a{host}"), count)))
        .chain([("a2".to_owned(), 11), ("a3".to_owned(), 11)])
        .collect();
    expected.sort();
    let mut written: Vec<_> = lines(&folder.0.join("ecs.json")).iter().map(key).collect();
    written.sort();
    assert_eq!(written, expected);
    let ocsf = lines(&folder.0.join("ocsf.json"));
    assert_eq!(ocsf.len(), 61, "all but the one without");
    assert!(ocsf.iter().all(|document| document["finding_info"]["uid"].is_string()));
    let received = received.lock().expect("a list");
    let mut ids: Vec<&str> = received
        .iter()
        .map(|(head, ..)| {
            head.split("webhook-id: ")
                .nth(1)
                .and_then(|rest| rest.lines().next())
                .expect("an id")
        })
        .collect();
    ids.sort_unstable();
    let mut keys: Vec<String> = expected.iter().map(|(id, count)| format!("{id}:{count}")).collect();
    keys.sort();
    assert_eq!(ids, keys);
}

/// The counts of each alert in the order in which they arrived first.
fn in_order(received: &[Received]) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (_, body, _) in received.iter().filter(|(.., status)| *status == 204) {
        let (id, count) = key(&serde_json::from_str(body).expect("a document"));
        let counts = found.entry(id).or_default();
        if !counts.contains(&count) {
            counts.push(count);
        }
    }
    found
}

#[test]
fn what_an_instance_that_is_killed_leaves_undone_is_delivered_by_another() {
    let Some(broker) = broker() else { return };
    broker.make_topic("two.alerts", 4);
    // Slow, so that much is under way at any time.
    let (port, received) = receiver(|_, _| {
        std::thread::sleep(Duration::from_millis(4));
        204
    });
    let folders = ["left", "right"].map(|name| Folder::new(&format!("respond-{name}")));
    for folder in &folders {
        let sink = format!("  - {{ type: webhook, name: hook, url: 'http://127.0.0.1:{port}/in' }}\n");
        configure(&folder.0, broker, "two", &sink);
    }
    write(broker, "two.alerts", &alerts(8, 1..31, 4));
    let left = respond(&folders[0].0, "left");
    left.wait_until("it has begun", |_| received.lock().expect("a list").len() > 20);
    let right = respond(&folders[1].0, "right");
    let held = |service: &Service| {
        let text = service.get("/metrics").unwrap_or_default();
        let up = text
            .lines()
            .filter(|line| line.starts_with("stakeout_kafka_partition_up{"));
        up.filter(|line| line.ends_with(" 1")).count()
    };
    right.wait_until("they share", |right| held(right) == 2 && held(&left) == 2);
    write(broker, "two.alerts", &alerts(8, 31..61, 4));
    let before = received.lock().expect("a list").len();
    right.wait_until("both are at work", |_| {
        received.lock().expect("a list").len() > before + 40
    });
    left.kill();
    write(broker, "two.alerts", &alerts(8, 61..71, 4));
    wait_until_told(&right, broker, "two", &[140; 4]);
    assert_eq!(held(&right), 4);
    right.terminate();
    let expected: Vec<u64> = (1..71).collect();
    let arrived = in_order(&received.lock().expect("a list"));
    assert_eq!(arrived.len(), 8);
    for (id, counts) in arrived {
        assert_eq!(counts, expected, "{id}: all of them, in order");
    }
}

#[test]
fn a_record_that_is_no_alert_goes_to_the_dead_letters_or_stops_its_partition() {
    let Some(broker) = broker() else { return };
    for topic in ["bad.alerts", "strict.alerts"] {
        broker.make_topic(topic, 2);
    }
    for topic in ["bad.dead", "strict.dead"] {
        broker.make_topic(topic, 1);
    }
    for name in ["bad", "strict"] {
        let topic = format!("{name}.alerts");
        write(broker, &topic, &alerts(2, 1..3, 2));
        let bad = |value| Written {
            partition: 0,
            key: Some("k"),
            value,
            headers: &[("traceparent", "00-1")],
            ..Written::default()
        };
        broker.write(&topic, [bad(Some(&b"garbage"[..])), bad(None), bad(Some(&b"{}"[..]))]);
        write(broker, &topic, &alerts(2, 3..5, 2));
    }
    let folder = Folder::new("respond-bad");
    let sink = format!("  - {{ type: file, path: '{}/alerts.json' }}\n", folder.0.display());
    configure(&folder.0, broker, "bad", &sink);
    let service = respond(&folder.0, "bad");
    wait_until_told(&service, broker, "bad", &[7, 4]);
    for reason in ["no_json", "no_value", "no_alert"] {
        let name = format!("stakeout_kafka_records_refused_total{{reason=\"{reason}\",topic=\"bad.alerts\"}}");
        assert_eq!(service.metric(&name), Some(1.0), "{reason}");
    }
    service.terminate();
    assert_eq!(lines(&folder.0.join("alerts.json")).len(), 8);
    let letters = broker.read_committed("bad.dead");
    let offsets: Vec<&str> = letters.iter().map(|letter| letter.header("stakeout.offset")).collect();
    let reasons: Vec<&str> = letters.iter().map(|letter| letter.header("stakeout.reason")).collect();
    assert_eq!(
        (offsets, reasons),
        (vec!["2", "3", "4"], vec!["no_json", "no_value", "no_alert"])
    );
    for letter in &letters {
        assert_eq!(letter.header("stakeout.topic"), "bad.alerts");
        assert_eq!(
            (letter.header("traceparent"), letter.key.as_deref()),
            ("00-1", Some("k"))
        );
    }

    let folder = Folder::new("respond-strict");
    let sink = format!("  - {{ type: file, path: '{}/alerts.json' }}\n", folder.0.display());
    configure(&folder.0, broker, "strict", &sink);
    let text = fs::read_to_string(folder.0.join("stakeout.yaml")).expect("it was written");
    let text = text.replace("  group.id", "  errors.tolerance: none\n  group.id");
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    let service = respond(&folder.0, "strict");
    wait_until_told(&service, broker, "strict", &[2, 4]);
    service.wait_until_said("this partition stops in front of it", 0);
    let up = |partition: i32| {
        service.metric(&format!(
            "stakeout_kafka_partition_up{{partition=\"{partition}\",topic=\"strict.alerts\"}}"
        ))
    };
    assert_eq!((up(0), up(1)), (Some(0.0), Some(1.0)));
    service.terminate();
    let told: BTreeSet<_> = lines(&folder.0.join("alerts.json")).iter().map(key).collect();
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(broker.read_committed("strict.dead").is_empty());
}

#[test]
fn while_a_sink_is_down_the_others_go_on_and_reading_waits_in_the_end() {
    let Some(broker) = broker() else { return };
    broker.make_topic("down.alerts", 2);
    let status = Arc::new(AtomicU16::new(503));
    let answer = status.clone();
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let active = seen.clone();
    let (port, received) = receiver(move |body, _| {
        let status = answer.load(Ordering::Relaxed);
        let alerts: serde_json::Value = serde_json::from_str(body).expect("JSON");
        if status == 200 {
            for alert in alerts.as_array().expect("a list") {
                let told = format!("{}:{}", alert["annotations"]["alert_id"], alert["annotations"]["count"]);
                active.lock().expect("a set").insert(told);
            }
        }
        status
    });
    let folder = Folder::new("respond-down");
    let sinks = format!(
        "  - {{ type: file, path: '{}/alerts.json' }}\n  \
         - {{ type: alertmanager, name: manager, url: 'http://127.0.0.1:{port}' }}\n",
        folder.0.display()
    );
    configure(&folder.0, broker, "down", &sinks);
    let all = alerts(50, 1..281, 2);
    write(broker, "down.alerts", &all);
    let service = respond(&folder.0, "down");
    let written = || lines(&folder.0.join("alerts.json")).len();
    service.wait_until("the file has what is read ahead", |_| written() >= 10_000);
    std::thread::sleep(Duration::from_secs(1));
    assert!(written() < 11_000, "{} of {} were read ahead", written(), all.len());
    let done = |partition| broker.group_position("down.respond", "down.alerts", partition);
    assert_eq!((done(0), done(1)), (Some(0), Some(0)), "nothing counts as done");
    service.wait_until("the lag is told", |service| {
        let lag = service.metric("stakeout_kafka_lag_records{partition=\"0\",topic=\"down.alerts\"}");
        lag == Some(7000.0)
    });
    status.store(200, Ordering::Relaxed);
    let begun = Instant::now();
    wait_until_told(&service, broker, "down", &[7000, 7000]);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    service.terminate();
    assert_eq!(written(), all.len());
    assert!(
        received
            .lock()
            .expect("a list")
            .iter()
            .any(|(.., status)| *status == 503)
    );
    // Forms that went together are one to Alertmanager: the last of each is there.
    let seen = seen.lock().expect("a set");
    for host in 1..=50 {
        assert!(seen.contains(&format!("\"a{host}\":\"280\"")), "{host}: {seen:?}");
    }
}

#[test]
fn two_instances_of_one_name_are_told_apart() {
    let Some(broker) = broker() else { return };
    broker.make_topic("same.alerts", 1);
    let folders = ["older", "newer"].map(|name| Folder::new(&format!("respond-{name}")));
    for folder in &folders {
        let sink = format!("  - {{ type: file, path: '{}/alerts.json' }}\n", folder.0.display());
        configure(&folder.0, broker, "same", &sink);
    }
    let older = respond(&folders[0].0, "same");
    older.wait_until("it holds the partition", |service| {
        service.metric("stakeout_kafka_partition_up{partition=\"0\",topic=\"same.alerts\"}") == Some(1.0)
    });
    let newer = respond(&folders[1].0, "same");
    older.wait_until_said("another instance has joined the group `same.respond` as `same`", 0);
    write(broker, "same.alerts", &[alert(1, 1, 1)]);
    wait_until_told(&newer, broker, "same", &[1]);
    newer.terminate();
    assert_eq!(lines(&folders[1].0.join("alerts.json")).len(), 1);
}
