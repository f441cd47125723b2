//! The role `detect` over a real broker that has lost what it needs: each loss is told by its name, and what was learned is
//! never silently wrong.
#![cfg(feature = "kafka")]

mod broker;
mod roles;
mod serving;

use broker::{Broker, Written, broker};
use roles::{Instance, PARTITIONS, configure, passed, wait_until};
use serving::Folder;
use std::fs;

/// A cluster of this name, with nothing to collect.
fn prepare(name: &str, broker: &Broker) -> Folder {
    let folder = Folder::new(&format!("kafka-losses-{name}"));
    configure(&folder.0, broker, name, "  files: ['/nowhere/*.log']");
    folder
}

/// Says to every partition that time has come to this second, so many times.
fn mark(broker: &Broker, name: &str, second: i64, times: usize) {
    let mark = format!(
        r#"{{"v":1,"stream":"one","mark":{{"watermark":{0},"active":[[{0},{0}]]}}}}"#,
        second * 1_000_000_000
    );
    let records = (0..PARTITIONS * times).map(|place| Written {
        partition: (place % PARTITIONS) as i32,
        value: Some(mark.as_bytes()),
        ..Written::default()
    });
    broker.write(&format!("{name}.events"), records);
}

/// Waits until every partition has passed this second.
fn wait_until_passed(broker: &Broker, name: &str, second: i64) {
    wait_until("every partition has passed it", || {
        let passed = passed(broker, &format!("{name}.findings"));
        passed.len() == PARTITIONS && passed.values().all(|watermark| *watermark >= second * 1_000_000_000)
    });
}

/// A second of the year 2026, in the middle of an hour.
const BEGIN: i64 = 1_780_001_000;

#[test]
fn records_that_are_gone_are_told_and_it_goes_on_behind_them() {
    let Some(broker) = broker() else { return };
    let folder = prepare("cut", broker);
    let detect = Instance::start(&folder.0, "detect", "detector");
    mark(broker, "cut", BEGIN, 1);
    wait_until_passed(broker, "cut", BEGIN);
    detect.kill();
    mark(broker, "cut", BEGIN + 1, 20);
    broker.delete_before("cut.events", 2, 15);
    let mut detect = Instance::start(&folder.0, "detect", "detector");
    detect.wait_until_said("cut.events/2 begins at 15, and its state stands at");
    assert!(
        !detect.said().contains("cut.events/1 begins at 15"),
        "{}",
        detect.said()
    );
    mark(broker, "cut", BEGIN + 2, 1);
    wait_until_passed(broker, "cut", BEGIN + 2);
    detect.terminate();
}

#[test]
fn a_partition_whose_state_is_gone_is_named_and_does_not_begin_with_nothing() {
    let Some(broker) = broker() else { return };
    let folder = prepare("bare", broker);
    let detect = Instance::start(&folder.0, "detect", "detector");
    mark(broker, "bare", BEGIN, 1);
    wait_until_passed(broker, "bare", BEGIN);
    detect.terminate();
    fs::remove_dir_all(folder.0.join("data-detector")).expect("its copies");
    broker.delete_topic("bare.state");
    broker.make_topic("bare.state", PARTITIONS as i32);
    mark(broker, "bare", BEGIN + 1, 1);
    let mut detect = Instance::start(&folder.0, "detect", "detector");
    detect.wait_until_said("the state of `events-0` is not whole on `bare.state`");
    detect.wait_until_said("the state of `events-5` is not whole on `bare.state`");
    let passed = passed(broker, "bare.findings");
    assert!(
        passed.values().all(|watermark| *watermark == BEGIN * 1_000_000_000),
        "{passed:?}"
    );
    detect.terminate();
}

#[test]
fn a_topic_that_is_deleted_under_it_is_named_and_the_new_one_is_judged_by_what_was_learned() {
    let Some(broker) = broker() else { return };
    let folder = prepare("anew", broker);
    let mut detect = Instance::start(&folder.0, "detect", "detector");
    mark(broker, "anew", BEGIN, 20);
    wait_until_passed(broker, "anew", BEGIN);
    broker.delete_topic("anew.events");
    detect.wait_until_said("one of the topics `anew.events`, `anew.findings` is not there");
    broker.make_topic("anew.events", PARTITIONS as i32);
    mark(broker, "anew", BEGIN + 1, 1);
    detect.wait_until_said("the topic was made anew, and is judged from its beginning by what was learned");
    mark(broker, "anew", BEGIN + 2, 1);
    wait_until_passed(broker, "anew", BEGIN + 2);
    detect.terminate();
}

#[test]
fn two_groups_with_one_transactional_id_do_not_both_go_on() {
    let Some(broker) = broker() else { return };
    // The group `two` with the instance `detect.one`, and the group `two.detect` with the instance `one`.
    let first_folder = prepare("two", broker);
    let second_folder = prepare("two.detect", broker);
    let mut instances = [
        (Instance::start(&first_folder.0, "detect", "detect.one"), "two"),
        (Instance::start(&second_folder.0, "detect", "one"), "two.detect"),
    ];
    let mut second = BEGIN;
    wait_until("one of them gives in", || {
        second += 1;
        for (_, name) in &instances {
            mark(broker, name, second, 1);
        }
        instances.iter_mut().any(|(instance, _)| instance.has_ended())
    });
    let said: Vec<String> = instances.iter().map(|(instance, _)| instance.said()).collect();
    let reason = "another process has taken over the transactional.id `two.detect.detect.one`";
    assert!(said.iter().any(|said| said.contains(reason)), "{said:?}");
}
