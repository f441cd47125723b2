//! Topics as inputs, alerts to a topic, and what can go wrong with both, against a real broker.
#![cfg(feature = "kafka")]

mod broker;
mod serving;

use broker::{Broker, Read, Written, broker};
use serving::{Folder, Service, key, recorded, without_places};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Zeek's connection log of some hosts over a day and a half, one of which looks for open ports from its 30th hour on:
/// (partition, source, second, line), by time.
fn connections() -> Vec<(i32, String, f64, String)> {
    let begin = 1_772_409_600.0;
    let mut numbers = 0x5eed_u64;
    let mut below = move |bound: u64| {
        numbers = numbers
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (numbers >> 33) % bound
    };
    let mut found = Vec::new();
    let mut add = |host: u64, second: f64, peer: String, port: u64, state: &str, bytes: u64| {
        let source = format!("10.0.0.{host}");
        let line = format!(
            r#"{{"_path":"conn","ts":{:.6},"uid":"C{host}x{}","id.orig_h":"{source}","id.orig_p":{},"id.resp_h":"{peer}","id.resp_p":{port},"proto":"tcp","duration":0.5,"orig_bytes":{bytes},"resp_bytes":{},"conn_state":"{state}","orig_pkts":9,"resp_pkts":8}}"#,
            second - 0.5,
            (second * 1000.0) as u64,
            40_000 + host,
            bytes * 9,
        );
        found.push(((host % 3) as i32, source, second, line));
    };
    for host in 1..=12 {
        let mut second = begin + below(300_000) as f64 / 1000.0;
        while second < begin + 36.0 * 3600.0 {
            let peer = format!("10.0.1.{}", 1 + (host + below(3)) % 6);
            add(host, second, peer, 443, "SF", 300 + below(900));
            second += 20.0 + below(200_000) as f64 / 1000.0;
        }
    }
    for number in 0..600 {
        let second = begin + 30.0 * 3600.0 + number as f64 * 1.5 + below(1000) as f64 / 1000.0;
        let peer = format!("10.0.{}.{}", 2 + number / 250, 1 + number % 250);
        add(7, second, peer, 445, "REJ", 0);
    }
    found.sort_by(|one, other| one.2.total_cmp(&other.2));
    found
}

fn write_connections(broker: &Broker, topic: &str, lines: &[(i32, String, f64, String)]) {
    broker.write(
        topic,
        lines.iter().map(|(partition, source, second, line)| Written {
            partition: *partition,
            key: Some(source),
            value: Some(line.as_bytes()),
            millis: Some((second * 1000.0) as i64),
            ..Written::default()
        }),
    );
}

fn configure(folder: &Path, input: &str, sinks: &str) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs:\n  kafka: {{ {input} }}\n\
         store: {{ commit_every: 100ms, snapshot_every: 500ms }}\n\
         sinks:\n  - {{ type: file, path: '{}/alerts.json' }}\n{sinks}",
        folder.display()
    );
    fs::write(folder.join("stakeout.yaml"), text).expect("a configuration");
}

type Documents = BTreeMap<(String, u64), serde_json::Value>;

/// Documents by id and count, each once; where their evidence stands depends on the input's number.
fn documents<'a>(lines: impl Iterator<Item = &'a str>) -> Documents {
    let mut found = Documents::new();
    for line in lines {
        let document = without_places(line);
        let (id, count) = key(&document);
        let before = found.insert((id.clone(), count), document);
        assert!(before.is_none(), "{id}:{count} was told twice");
    }
    found
}

fn documents_of(path: &Path) -> Documents {
    documents(fs::read_to_string(path).unwrap_or_default().lines())
}

fn documents_read(read: &[Read]) -> Documents {
    let texts: Vec<_> = read.iter().map(|read| String::from_utf8_lossy(&read.value)).collect();
    documents(texts.iter().map(AsRef::as_ref))
}

/// Everything was read, and what inputs at rest hold back was judged.
fn wait_until_judged(service: &Service, topic: &str, partitions: i32) {
    let last = std::cell::Cell::new((0.0, std::time::Instant::now()));
    service.wait_until("the topic was read and judged", |service| {
        let lag = |partition| {
            let name = format!("stakeout_kafka_lag_records{{partition=\"{partition}\",topic=\"{topic}\"}}");
            service.metric(&name)
        };
        let is_read = (0..partitions).all(|partition| lag(partition) == Some(0.0));
        let events = service.metric("stakeout_events_total").unwrap_or(0.0);
        if !is_read || last.get().0 != events {
            last.set((events, std::time::Instant::now()));
        }
        last.get().1.elapsed() > Duration::from_secs(4)
    });
}

/// What a replay of each partition's records tells.
fn replayed(folder: &Path, lines: &[(i32, String, f64, String)]) -> Documents {
    let mut files = Vec::new();
    for number in 0..3 {
        let path = folder.join(format!("partition-{number}.log"));
        let of_it = lines.iter().filter(|(partition, ..)| *partition == number);
        let text: String = of_it.map(|(.., line)| format!("{line}\n")).collect();
        fs::write(&path, text).expect("a file");
        files.push(path);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["replay", "--format", "ecs", "--quiet"])
        .args(&files)
        .output()
        .expect("a replay");
    documents(String::from_utf8_lossy(&output.stdout).lines())
}

#[test]
fn a_topic_of_three_partitions_gives_the_alerts_of_a_replay_over_kills_and_each_once() {
    let Some(broker) = broker() else { return };
    let lines = connections();
    let folder = Folder::new("kafka-kills");
    let expected = replayed(&folder.0, &lines);
    assert!(expected.len() > 3, "the records lead to alerts");
    broker.make_topic("zeek", 3);
    broker.make_topic("alerts-kills", 2);
    let input = format!("brokers: '{}', topics: [zeek], group.id: kills", broker.address);
    let sink = format!(
        "  - {{ type: kafka, brokers: '{}', topic: alerts-kills }}\n",
        broker.address
    );
    configure(&folder.0, &input, &sink);
    let pieces = 10;
    for piece in 0..pieces {
        let service = Service::start(&folder.0);
        let (from, to) = (lines.len() * piece / pieces, lines.len() * (piece + 1) / pieces);
        write_connections(broker, "zeek", &lines[from..to]);
        std::thread::sleep(Duration::from_millis(150 + 97 * (piece as u64 * 7 % 10)));
        service.kill();
    }
    let service = Service::start(&folder.0);
    wait_until_judged(&service, "zeek", 3);
    service.wait_until("every alert is in its topic", |service| {
        service.metric("stakeout_sink_backlog_alerts{sink=\"kafka alerts-kills\"}") == Some(0.0)
    });
    service.wait_until("the group knows", |_| {
        (0..3).all(|number| {
            let of_it = lines.iter().filter(|(partition, ..)| *partition == number).count();
            broker.group_position("kills", "zeek", number) == Some(of_it as i64)
        })
    });
    service.terminate();
    let told = documents_of(&folder.0.join("alerts.json"));
    let read = broker.read_committed("alerts-kills");
    let committed = documents_read(&read);
    assert_eq!(committed, told, "the topic holds what was told, each once");
    assert_eq!(seen_by_kcat(broker, "alerts-kills").unwrap_or(told.len()), told.len());
    for read in &read {
        let document: serde_json::Value = serde_json::from_slice(&read.value).expect("a document");
        let key = format!(
            "{}:{}",
            document["event"]["id"].as_str().expect("an id"),
            document["stakeout"]["count"]
        );
        assert_eq!(read.header("idempotency-key"), key);
        let ocsf: serde_json::Value = serde_json::from_str(read.header("stakeout.ocsf")).expect("the other form");
        assert_eq!(ocsf["finding_info"]["uid"], document["event"]["id"]);
        assert!(read.key.as_ref().is_some_and(|key| !key.is_empty()), "{read:?}");
    }
    // A replay ends what goes on at the end of its input.
    let last: BTreeMap<&str, u64> = told.keys().map(|(id, count)| (id.as_str(), *count)).collect();
    for (key, document) in &expected {
        match told.get(key) {
            Some(found) => assert_eq!(found, document),
            None => assert!(
                last.get(key.0.as_str()).is_some_and(|last| key.1 > *last),
                "{key:?} is missing"
            ),
        }
    }
    let known = |key: &&(String, u64)| expected.contains_key(*key);
    assert_eq!(
        told.keys().filter(known).count(),
        told.len(),
        "told what a replay does not tell"
    );
}

/// How many records kcat sees of a topic, where it is installed.
fn seen_by_kcat(broker: &Broker, topic: &str) -> Option<usize> {
    let output = Command::new("kcat")
        .args(["-C", "-e", "-q", "-b", &broker.address, "-t", topic])
        .args(["-X", "isolation.level=read_committed", "-f", "%k %h\n"])
        .output()
        .inspect_err(|error| serving::left_out(&format!("kcat: {error}")))
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().filter(|line| line.contains("idempotency-key=")).count())
}

/// Waits until a service says something, and gives all that it has said.
fn wait_until_said(service: &Service, what: &str) -> String {
    let begun = std::time::Instant::now();
    while !service.said().contains(what) {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "{what:?} in\n{}",
            service.said()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    service.said()
}

#[test]
fn what_keeps_it_from_a_topic_is_told_once_by_its_name() {
    let Some(broker) = broker() else { return };
    broker.make_topic("guarded", 1);
    let secrets = Folder::new("kafka-secrets");
    for (name, secret) in [("stakeout", "wrong"), ("stranger", "stranger-secret")] {
        fs::write(secrets.0.join(name), secret).expect("a secret");
    }
    let password = |name: &str| {
        format!(
            "properties: {{ security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: {name}, \
             sasl.password: {{ file: '{}/{name}' }} }}",
            secrets.0.display()
        )
    };
    let guarded = format!("127.0.0.1:{}", broker.port + 1);
    let cases = [
        (
            "authentication",
            guarded.clone(),
            password("stakeout"),
            "Authentication failed",
        ),
        (
            "authorization",
            guarded,
            password("stranger"),
            "describe the topic `guarded`",
        ),
        ("unreachable", "127.0.0.1:1".to_owned(), String::new(), "127.0.0.1:1"),
        (
            "unknown_topic",
            broker.address.clone(),
            String::new(),
            "there is no topic `nowhere`",
        ),
    ];
    let services: Vec<_> = cases
        .iter()
        .map(|(reason, address, properties, said)| {
            let folder = Folder::new(&format!("kafka-{reason}"));
            let topics = if *reason == "unknown_topic" {
                "nowhere"
            } else {
                "guarded"
            };
            let comma = if properties.is_empty() { "" } else { ", " };
            let input = format!("brokers: '{address}', topics: [{topics}]{comma}{properties}");
            configure(&folder.0, &input, "");
            (Service::start(&folder.0), folder, reason, said)
        })
        .collect();
    for (service, _, reason, said) in &services {
        wait_until_said(service, said);
        service.wait_until("it is counted", |service| {
            let name = format!("stakeout_kafka_errors_total{{reason=\"{reason}\"}}");
            service.metric(&name).is_some_and(|count| count >= 1.0)
        });
    }
    // They go on trying.
    std::thread::sleep(Duration::from_secs(3));
    // A topic that comes later is found.
    let waiting = &services[3].0;
    broker.make_topic("nowhere", 1);
    broker.write(
        "nowhere",
        [Written {
            value: Some(connections()[0].3.as_bytes()),
            ..Written::default()
        }],
    );
    waiting.wait_until("the topic is found", |service| {
        service.metric("stakeout_events_total") == Some(1.0)
    });
    for (service, _, reason, _) in services {
        let said = service.said();
        let errors: Vec<_> = said.lines().filter(|line| line.contains("ERROR")).collect();
        // Who may do nothing lacks two rights.
        let expected = if *reason == "authorization" { 2 } else { 1 };
        assert_eq!(errors.len(), expected, "{reason}: {said}");
        assert!(errors.iter().all(|line| line.contains("the input `kafka`")), "{said}");
        assert!(expected == 1 || said.contains("use the group `stakeout`"), "{said}");
        service.terminate();
    }
}

/// What `stakeout topics` says, and its status.
fn topics(folder: &Path, wish: &str) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stakeout"))
        .args(["topics", wish, "--config"])
        .arg(folder.join("stakeout.yaml"))
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_topics_that_roles_share_are_made_and_what_differs_is_told() {
    let Some(broker) = broker() else { return };
    let folder = Folder::new("kafka-topics");
    let text = format!(
        "kafka:\n  brokers: '{}'\n  partitions: 4\n  replication: 1\n  topics: {{ events: roles.events, \
         findings: roles.findings, population: roles.population, state: roles.state, alerts: roles.alerts, \
         dead.letters: roles.dead }}\n",
        broker.address
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    let names = ["events", "state", "findings", "population", "alerts", "dead"];
    let (status, said) = topics(&folder.0, "--check");
    assert_eq!(status, Some(1), "{said}");
    let missing: String = names
        .iter()
        .map(|name| format!("`roles.{name}` is not there\n"))
        .collect();
    assert_eq!(said, missing);
    let (status, said) = topics(&folder.0, "--create");
    assert_eq!((status, said.matches("was made").count()), (Some(0), 6), "{said}");
    let good: String = names
        .iter()
        .map(|name| format!("`roles.{name}` is as it should be\n"))
        .collect();
    assert_eq!(topics(&folder.0, "--check"), (Some(0), good));

    // What is in these was dealt out by their number; more partitions of the others only serve more readers.
    for (name, partitions) in [("state", 3), ("events", 5), ("findings", 2), ("alerts", 5)] {
        broker.delete_topic(&format!("roles.{name}"));
        broker.make_topic(&format!("roles.{name}"), partitions);
    }
    let (status, said) = topics(&folder.0, "--create");
    assert_eq!(status, Some(1), "{said}");
    for expected in [
        "`roles.state` has 3 partitions instead of 4; `roles.events` and `roles.state` must have as many",
        "`roles.state` has cleanup.policy delete instead of compact",
        "`roles.events` has 5 partitions instead of 4; `roles.events` and `roles.state` must have as many",
        "`roles.findings` has 2 partitions instead of 1; one instance has to see all findings in one order",
        "`roles.population` is as it should be",
        "`roles.alerts` is as it should be",
    ] {
        assert!(said.contains(expected), "{expected} in\n{said}");
    }
}

#[test]
fn a_record_that_can_not_be_read_goes_to_the_dead_letters_and_holds_nobody_up() {
    let Some(broker) = broker() else { return };
    broker.make_topic("mixed", 1);
    let folder = Folder::new("kafka-letters");
    let input = format!(
        "brokers: '{}', topics: [mixed], errors.deadletterqueue.topic.name: dead, \
         errors.deadletterqueue.topic.replication.factor: 1",
        broker.address
    );
    configure(&folder.0, &input, "");
    let topics = |wish: &str| topics(&folder.0, wish);
    assert_eq!(topics("--check"), (Some(1), "`dead` is not there\n".to_owned()));
    assert_eq!(
        topics("--create"),
        (Some(0), "`dead` was made\n`dead` is as it should be\n".to_owned())
    );
    assert_eq!(topics("--check"), (Some(0), "`dead` is as it should be\n".to_owned()));

    let lines = connections();
    let good = |number: usize| Written {
        value: Some(lines[number].3.as_bytes()),
        ..Written::default()
    };
    let huge = vec![b'a'; 100 << 20];
    let bad = |value| Written {
        key: Some("k"),
        value,
        ..Written::default()
    };
    let records = [
        good(0),
        bad(Some(&b"\x00\x00\x00\x00\x01binary"[..])),
        bad(None),
        good(1),
        bad(Some(&huge[..])),
        bad(Some(&b"{\"_path\":\"conn\",\"ts\":}"[..])),
        good(2),
    ];
    broker.write("mixed", records);
    let service = Service::start(&folder.0);
    wait_until_judged(&service, "mixed", 1);
    assert_eq!(service.metric("stakeout_events_total"), Some(3.0));
    let resident = service.metric("process_resident_memory_bytes").expect("a number");
    service.kill();
    // Nothing is read, or told, twice.
    let service = Service::start(&folder.0);
    wait_until_judged(&service, "mixed", 1);
    assert_eq!(service.metric("stakeout_kafka_records_refused_total"), None);
    service.terminate();
    let letters = broker.read_committed("dead");
    let found: Vec<_> = letters
        .iter()
        .map(|letter| {
            let header = |name| letter.header(name).to_owned();
            (
                header("stakeout.offset"),
                header("stakeout.reason"),
                header("stakeout.value_bytes"),
            )
        })
        .collect();
    let reasons: BTreeSet<&str> = found.iter().map(|(_, reason, _)| reason.as_str()).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[0], ("1".to_owned(), "unknown_format".to_owned(), "11".to_owned()));
    assert_eq!(found[1], ("2".to_owned(), "no_value".to_owned(), "0".to_owned()));
    assert_eq!(
        found[2],
        ("4".to_owned(), "too_large".to_owned(), (100 << 20).to_string())
    );
    assert_eq!(reasons.len(), 4, "{found:?}");
    assert!(letters.iter().all(|letter| letter.header("stakeout.topic") == "mixed"));
    assert!(letters.iter().all(|letter| letter.header("stakeout.partition") == "0"));
    assert!(letters.iter().all(|letter| letter.key.as_deref() == Some("k")));
    assert_eq!(letters[0].value, b"\x00\x00\x00\x00\x01binary");
    assert!(letters[2].value.len() <= 512 * 1024);
    assert!(resident < 900e6, "{resident} bytes");
}

#[test]
fn without_tolerance_a_partition_stops_in_front_of_what_can_not_be_read() {
    let Some(broker) = broker() else { return };
    broker.make_topic("strict", 2);
    let lines = connections();
    let record = |partition, value| Written {
        partition,
        value: Some(value),
        ..Written::default()
    };
    let good = |number: usize| lines[number].3.as_bytes();
    broker.write(
        "strict",
        [
            record(0, good(0)),
            record(0, b"garbage"),
            record(0, good(1)),
            record(1, good(2)),
            record(1, good(3)),
        ],
    );
    let folder = Folder::new("kafka-strict");
    let input = format!(
        "brokers: '{}', topics: [strict], errors.tolerance: none",
        broker.address
    );
    configure(&folder.0, &input, "");
    for _ in 0..2 {
        let service = Service::start(&folder.0);
        let said = wait_until_said(&service, "this partition stops in front of it");
        assert!(
            said.contains("offset=1") && said.contains("reason=\"unknown_format\""),
            "{said}"
        );
        service.wait_until("the other goes on", |service| {
            service.metric("stakeout_kafka_partition_up{partition=\"0\",topic=\"strict\"}") == Some(0.0)
                && service.metric("stakeout_kafka_partition_up{partition=\"1\",topic=\"strict\"}") == Some(1.0)
        });
        service.kill();
    }
}

#[test]
fn a_topic_that_was_cut_or_made_anew_is_never_silently_wrong() {
    let Some(broker) = broker() else { return };
    let lines = connections();
    let write = |topic: &str, from: usize, to: usize| {
        broker.write(
            topic,
            lines[from..to].iter().map(|(.., second, line)| Written {
                value: Some(line.as_bytes()),
                millis: Some((second * 1000.0) as i64),
                ..Written::default()
            }),
        );
    };
    for topic in ["cut", "anew", "longer"] {
        broker.make_topic(topic, 1);
        write(topic, 0, 100);
    }
    broker.make_topic("narrow", 2);
    broker.write(
        "narrow",
        [0, 1].map(|partition| Written {
            partition,
            value: Some(lines[0].3.as_bytes()),
            ..Written::default()
        }),
    );
    let folder = Folder::new("kafka-gaps");
    let input = format!("brokers: '{}', topics: [cut, anew, longer, narrow]", broker.address);
    configure(&folder.0, &input, "");
    let service = Service::start(&folder.0);
    wait_until_judged(&service, "longer", 1);
    service.kill();

    write("cut", 100, 200);
    broker.delete_before("cut", 0, 150);
    for topic in ["anew", "longer", "narrow"] {
        broker.delete_topic(topic);
        broker.make_topic(topic, 1);
    }
    write("anew", 200, 250);
    write("longer", 300, 500);
    let service = Service::start(&folder.0);
    for said in [
        "`cut/0` begins at 150, and its position was 100: 50 records were deleted before they were read",
        "`anew/0` ends at 50, in front of the position: the topic was made anew",
        "`longer/0` holds other records than before: the topic was made anew",
        "`narrow` has 1 partitions, and of partition 1 a position is known",
    ] {
        wait_until_said(&service, said);
    }
    wait_until_judged(&service, "longer", 1);
    let count = |name: &str| service.metric(name);
    assert_eq!(count("stakeout_kafka_records_lost_total{topic=\"cut\"}"), Some(50.0));
    for (topic, reason) in [
        ("cut", "retention"),
        ("anew", "other_log"),
        ("longer", "other_log"),
        ("narrow", "fewer_partitions"),
    ] {
        let name = format!("stakeout_kafka_gaps_total{{reason=\"{reason}\",topic=\"{topic}\"}}");
        assert_eq!(count(&name), Some(1.0), "{name}");
    }
    let read = count("stakeout_collector_messages_total{source=\"kafka\"}");
    assert_eq!(read, Some(50.0 + 50.0 + 200.0), "what is there is read");
    service.terminate();
}

#[test]
fn whoever_delivers_under_the_same_transactional_id_fences_the_one_before() {
    let Some(broker) = broker() else { return };
    broker.make_topic("alerts-fenced", 1);
    let start = |name: &str| {
        let folder = Folder::new(name);
        let sink = format!(
            "  - {{ type: kafka, name: out, brokers: '{}', topic: alerts-fenced, \
             properties: {{ transactional.id: the-one }} }}\n",
            broker.address
        );
        let text = format!(
            "http: {{ listen: '127.0.0.1:0' }}\ninputs: {{ files: ['{0}/*.log'] }}\n\
             store: {{ commit_every: 100ms }}\nsinks:\n{sink}",
            folder.0.display()
        );
        fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
        (Service::start(&folder.0), folder)
    };
    let (zombie, zombie_folder) = start("kafka-zombie");
    std::thread::sleep(Duration::from_secs(2));
    let (service, folder) = start("kafka-successor");
    std::thread::sleep(Duration::from_secs(2));
    fs::write(zombie_folder.0.join("auth.log"), recorded()).expect("a log");
    wait_until_said(&zombie, "another process has taken over the transactional.id");
    assert!(broker.read_committed("alerts-fenced").is_empty());
    fs::write(folder.0.join("auth.log"), recorded()).expect("a log");
    service.wait_until_judged();
    service.wait_until("everything is delivered", |service| {
        service.metric("stakeout_sink_backlog_alerts{sink=\"out\"}") == Some(0.0)
    });
    assert!(documents_read(&broker.read_committed("alerts-fenced")).len() > 3);
    zombie.terminate();
    service.terminate();
}

#[test]
fn topics_are_read_and_written_over_tls_with_a_password() {
    let Some(broker) = broker() else { return };
    broker.make_topic("secure", 1);
    broker.make_topic("alerts-secure", 1);
    let secrets = Folder::new("kafka-tls-secrets");
    fs::write(secrets.0.join("password"), "stakeout-secret\n").expect("a secret");
    let other_ca = secrets.0.join("other.pem");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=other",
            "-keyout",
        ])
        .arg(secrets.0.join("other.key"))
        .arg("-out")
        .arg(&other_ca)
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{made:?}");
    let connection = |ca_file: &str| {
        format!(
            "brokers: '127.0.0.1:{}', properties: {{ security.protocol: SASL_SSL, ssl.ca.location: '{ca_file}', \
             sasl.mechanism: SCRAM-SHA-256, sasl.username: stakeout, sasl.password: {{ file: '{}/password' }} }}",
            broker.port + 3,
            secrets.0.display()
        )
    };
    let folder = Folder::new("kafka-tls");
    let good = connection(&broker.ca_file);
    let input = format!("{good}, topics: [secure]");
    let sink = format!("  - {{ type: kafka, name: out, topic: alerts-secure, {good} }}\n");
    configure(&folder.0, &input, &sink);
    let log = recorded();
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    broker.write(
        "secure",
        lines.map(|line| Written {
            value: Some(line),
            ..Written::default()
        }),
    );
    let service = Service::start(&folder.0);
    wait_until_judged(&service, "secure", 1);
    service.wait_until("every alert is in its topic", |service| {
        service.metric("stakeout_sink_backlog_alerts{sink=\"out\"}") == Some(0.0)
    });
    service.terminate();
    let told = documents_of(&folder.0.join("alerts.json"));
    assert!(told.len() > 3, "{told:?}");
    assert_eq!(documents_read(&broker.read_committed("alerts-secure")), told);

    let folder = Folder::new("kafka-tls-other");
    let bad = connection(&other_ca.display().to_string());
    configure(&folder.0, &format!("{bad}, topics: [secure]"), "");
    let service = Service::start(&folder.0);
    let said = wait_until_said(&service, "certificate verify failed");
    assert!(said.contains("ssl.ca.location"), "{said}");
    service.wait_until("it is counted", |service| {
        let count = service.metric("stakeout_kafka_errors_total{reason=\"tls\"}");
        count.is_some_and(|count| count >= 1.0)
    });
    service.terminate();
}
