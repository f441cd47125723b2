//! `stakeout run` on real logs: what it tells does not depend on how often it is killed, and nothing is told twice.

mod serving;

use serving::{Folder, Service, append, documents, recorded, without_places};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The id and the count of a document.
type Key = (String, u64);

fn configure(folder: &Path) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs: {{ files: ['{0}/*.log'] }}\n\
         store: {{ commit_every: 100ms, snapshot_every: 300ms }}\n\
         sinks: [{{ type: file, path: '{0}/alerts.json' }}]\n",
        folder.display()
    );
    fs::write(folder.join("stakeout.yaml"), text).expect("a configuration");
}

/// Follows the whole log and ends well.
fn finish(folder: &Path, log_bytes: usize) -> BTreeMap<Key, String> {
    let service = Service::start(folder);
    service.wait_until_judged();
    service.terminate();
    assert!(log_bytes > 0);
    documents(&folder.join("alerts.json"))
}

/// The same documents were told.
fn assert_same<T: Debug + PartialEq>(expected: &BTreeMap<Key, T>, found: &BTreeMap<Key, T>, than: &str) {
    let differing: Vec<_> = expected
        .iter()
        .filter(|(key, document)| found.get(*key) != Some(*document))
        .collect();
    assert!(differing.is_empty(), "not told as {than}: {differing:?}");
    assert_eq!(found.len(), expected.len(), "more was told than {than}");
}

fn placeless(documents: BTreeMap<Key, String>) -> BTreeMap<Key, serde_json::Value> {
    let told = documents.into_iter();
    told.map(|(key, text)| (key, without_places(&text))).collect()
}

#[test]
fn kills_at_any_moment_change_no_alert_and_repeat_none() {
    let log = recorded();
    let calm = Folder::new("calm");
    configure(&calm.0);
    append(&calm.0, &log);
    let expected = finish(&calm.0, log.len());
    assert!(expected.len() > 5, "the recording leads to alerts: {expected:?}");

    let rough = Folder::new("rough");
    configure(&rough.0);
    let mut numbers = 0x5eed_u64;
    let mut below = |bound: u64| {
        numbers = numbers
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (numbers >> 33) % bound
    };
    let pieces = 12;
    for piece in 0..pieces {
        let service = Service::start(&rough.0);
        let (from, to) = (log.len() * piece / pieces, log.len() * (piece + 1) / pieces);
        // A piece ends anywhere in a line, as writes do.
        append(&rough.0, &log[from..to]);
        std::thread::sleep(Duration::from_millis(below(900)));
        service.kill();
    }
    let found = finish(&rough.0, log.len());
    assert_same(&expected, &found, "in the calm run");
}

#[test]
fn what_lies_in_several_files_is_judged_in_the_order_of_its_time() {
    let log = recorded();
    let whole = Folder::new("whole");
    configure(&whole.0);
    append(&whole.0, &log);
    let expected = placeless(finish(&whole.0, log.len()));

    let parts = Folder::new("parts");
    configure(&parts.0);
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    // Between two hours: what one connection says is read together.
    let hour = |line: &[u8]| line.get(..13).map(<[u8]>::to_vec);
    let from = lines.len() * 2 / 3;
    let cut = (from..lines.len()).find(|place| hour(lines[*place]) != hour(lines[*place - 1]));
    let (early, late) = lines.split_at(cut.expect("another hour begins"));
    // The file that is read first holds what came last.
    fs::write(parts.0.join("a.log"), late.concat()).expect("room on the disk");
    fs::write(parts.0.join("b.log"), early.concat()).expect("room on the disk");
    let found = placeless(finish(&parts.0, log.len()));
    assert_same(&expected, &found, "from one file");
}
