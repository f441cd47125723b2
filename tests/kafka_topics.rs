//! Topics that a site has already, read by several collecting instances over a real broker: each record is published once,
//! whoever comes and goes, and the alerts are those of one instance.
#![cfg(feature = "kafka")]

mod broker;
mod roles;
mod serving;

use broker::{Broker, Written, broker};
use roles::{Instance, configure, last_time, published, sorted, told, wait_until, wait_until_judged};
use serving::{Folder, recorded};
use std::time::Duration;

/// Partitions of the topic that is there already.
const RAW: usize = 4;
/// In how many pieces it is written, and how often.
const PIECES: usize = 80;
const PIECE_EVERY: Duration = Duration::from_millis(400);

/// The configuration of a site of this name, and its topic.
fn prepare(folder: &Folder, broker: &Broker, name: &str) {
    broker.make_topic(&format!("{name}.raw"), RAW as i32);
    let inputs = format!(
        "  kafka: {{ brokers: ['{}'], topics: [{name}.raw], group.id: {name}, \
         errors.deadletterqueue.topic.name: {name}.dead }}",
        broker.address
    );
    configure(&folder.0, broker, name, &inputs);
}

/// Writes lines to the partitions in turn.
fn write(broker: &Broker, name: &str, lines: &[&[u8]]) {
    let records = lines.iter().enumerate().map(|(place, line)| Written {
        partition: (place % RAW) as i32,
        value: Some(line),
        ..Written::default()
    });
    broker.write(&format!("{name}.raw"), records);
}

fn lines(log: &[u8]) -> Vec<&[u8]> {
    log.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect()
}

/// The events that a committed reader finds, without where in time they were put among others of their input: that hangs
/// on how long it was at rest. The name of the site is left out.
fn routed(broker: &Broker, name: &str) -> Vec<String> {
    let records = broker.read_committed(&format!("{name}.events")).into_iter();
    let events = records.filter_map(|read| {
        let mut record: serde_json::Value = serde_json::from_slice(&read.value).expect("JSON");
        record.get("event")?;
        let event = record.as_object_mut().expect("an object");
        event.remove("at");
        event.remove("input");
        let stream = event["stream"].as_str().expect("text").replace(name, "");
        event.insert("stream".to_owned(), stream.into());
        Some(record.to_string())
    });
    sorted(events)
}

/// Alerts without the number of the input, which is that of the site's stream.
fn alerts(broker: &Broker, name: &str) -> Vec<String> {
    let documents = told(broker, &format!("{name}.alerts")).into_iter().map(|alert| {
        let mut document: serde_json::Value = serde_json::from_str(&alert).expect("JSON");
        if let Some(evidence) = document["stakeout"]["evidence"].as_array_mut() {
            for event in evidence {
                event.as_object_mut().expect("an object").remove("input");
            }
        }
        document.to_string()
    });
    sorted(documents)
}

/// Whether an instance has got a partition.
fn reads(instance: &Instance) -> bool {
    let said = instance.said();
    said.contains("begins at") || said.contains("taken up")
}

#[test]
fn instances_share_a_topic_and_take_over_from_each_other() {
    let Some(broker) = broker() else { return };
    let log = recorded();
    let all = lines(&log);
    let last = last_time(&log);
    // One instance.
    let folder = Folder::new("kafka-topics-one");
    prepare(&folder, broker, "one");
    write(broker, "one", &all);
    let collect = Instance::start(&folder.0, "collect", "collector");
    let detect = Instance::start(&folder.0, "detect", "detector");
    wait_until_judged(broker, "one", last);
    let (expected, expected_alerts) = (routed(broker, "one"), alerts(broker, "one"));
    assert!(
        expected.len() > all.len() && expected_alerts.len() >= 3,
        "{}",
        expected.len()
    );
    for instance in [collect, detect] {
        instance.terminate();
    }
    // Several, while lines come, so that no partition is at rest when who reads it is killed.
    let folder = Folder::new("kafka-topics-many");
    prepare(&folder, broker, "many");
    let parts: Vec<_> = all.chunks(all.len() / PIECES / RAW * RAW + RAW).collect();
    let (first, third) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for part in &parts {
                write(broker, "many", part);
                std::thread::sleep(PIECE_EVERY);
            }
        });
        let first = Instance::start(&folder.0, "collect", "collector-1");
        let second = Instance::start(&folder.0, "collect", "collector-2");
        wait_until("both read", || [&first, &second].into_iter().all(reads));
        wait_until("something was published", || published(broker, "many.events") > 0);
        assert!(!writing.is_finished(), "nothing is left for those who take over");
        // One is killed, and does not come back; one comes; one ends, and comes back.
        second.kill();
        let third = Instance::start(&folder.0, "collect", "collector-3");
        wait_until("it reads", || reads(&third));
        first.terminate();
        (Instance::start(&folder.0, "collect", "collector-1"), third)
    });
    let detect = Instance::start(&folder.0, "detect", "detector");
    wait_until_judged(broker, "many", last);
    let found = routed(broker, "many");
    let missing: Vec<_> = expected
        .iter()
        .filter(|event| found.binary_search(event).is_err())
        .take(3)
        .collect();
    assert_eq!((found.len(), missing), (expected.len(), Vec::new()));
    assert!(found == expected, "other events");
    assert_eq!(alerts(broker, "many"), expected_alerts);
    for instance in [first, third, detect] {
        instance.terminate();
    }
    let letters = broker.read_committed("many.dead");
    assert!(letters.is_empty(), "{letters:?}");
}
