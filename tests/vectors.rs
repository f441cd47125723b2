//! What no number shows alone, several show together: a vector of an account's logins is compared with its own past, the
//! features to blame are named, and neither threads nor a restart show in what is told.

use stakeout::domain::{Alert, Duration, Event, Field, Networks, NormalIf, Timestamp};
use stakeout::engine::catalog::Catalog;
use stakeout::engine::order::Stamped;
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::triage::Budget;

const DETECTOR: &str = "
title: Files in a way that is not its own
id: odd_files
description: A test.
entity: user.name
detection:
  selection:
    event.category: file
  read:
    event.type: access
  condition: selection
measure:
  vector:
    operations: count
    read: { share: read }
    folders: { distinct: file.directory }
    bytes: { sum: file.size }
    hour: hour
at_least: 5
windows: 1h
baseline: { kind: model, model: neighbours, half_life: 14d }
level: medium
";
const BEGIN: i64 = 1_780_272_000;
const USERS: u64 = 30;
const DAYS: i64 = 9;

struct Numbers(u64);

impl Numbers {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// Days of people, half of whom read much in few folders while the others write little in many. On the last day one of the
/// readers works as a writer does: nothing that nobody does, and no number that is far from what it is for itself.
fn events() -> Vec<Event> {
    let mut numbers = Numbers(7);
    let mut events = Vec::new();
    for hour in 0..DAYS * 24 {
        for user in 0..USERS {
            let is_odd = user == 6 && hour == DAYS * 24 - 13;
            let is_at_work = (8..18).contains(&(hour % 24)) && numbers.below(3) > 0;
            if !is_at_work && !is_odd {
                continue;
            }
            let reads = user.is_multiple_of(2) != is_odd;
            let (operations, folders) = if reads { (30, 4) } else { (12, 9) };
            for _ in 0..operations + numbers.below(10) {
                let within = Duration::from_millis(numbers.below(3_600_000) as i64);
                let mut event = Event::new(Timestamp::from_seconds(BEGIN + hour * 3600).plus(within));
                event.add_str(Field::EventCategory, "file");
                let is_read = numbers.below(10) < if reads { 9 } else { 2 };
                event.add_str(Field::EventType, if is_read { "access" } else { "change" });
                event.add_str(Field::UserName, &format!("user{user}"));
                event.add_str(Field::FileDirectory, &format!("/srv/{user}/{}", numbers.below(folders)));
                event.add_u64(Field::FileSize, 1000 + numbers.below(100_000));
                events.push(event);
            }
        }
    }
    events.sort_by_key(Event::time);
    events
}

fn engine(threads: usize) -> Engine {
    let files = [("detectors/odd_files.yml", DETECTOR)];
    let catalog = Catalog::read(&files).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let program = Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("one detector");
    Engine::new(program, Budget::AlertsPerDay(1.0), threads, jiff::tz::TimeZone::UTC)
}

/// What is told, with a restart after `restart` events where there is one.
fn told(threads: usize, restart: Option<usize>) -> Vec<Alert> {
    let mut engine_now = engine(threads);
    let mut forms = Vec::new();
    for (sequence, event) in events().into_iter().enumerate() {
        if Some(sequence) == restart {
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            engine_now
                .save(&mut forms, |piece: &[u8]| {
                    pieces.push(piece.to_vec());
                    Ok::<(), stakeout::engine::snapshot::SnapshotProblem>(())
                })
                .expect("it can be saved");
            engine_now = engine(threads);
            let mut pieces = pieces.into_iter();
            let first = pieces.next().expect("a head");
            engine_now
                .restore(&first, |piece| {
                    let next = pieces.next();
                    piece.clear();
                    piece.extend(next.iter().flatten());
                    Ok::<bool, stakeout::engine::snapshot::SnapshotProblem>(next.is_some())
                })
                .expect("it was just saved");
        }
        let time = event.time();
        engine_now.push(Stamped::new(event, time, 0, sequence as u64), &mut forms);
    }
    engine_now.finish(&mut forms);
    forms
}

#[test]
fn an_account_that_works_as_another_does_is_told_with_what_is_unlike_it() {
    let forms = told(1, None);
    let odd: Vec<&Alert> = forms
        .iter()
        .filter(|alert| alert.first.entity.text() == "user6")
        .collect();
    let [alert, ..] = odd.as_slice() else {
        panic!("user6 is not among {} alerts", forms.len());
    };
    let first = &alert.first;
    assert_eq!(
        first.window_start,
        Timestamp::from_seconds(BEGIN + (DAYS * 24 - 13) * 3600)
    );
    let by_model = first.by_model.as_ref().expect("a model judged");
    // In the order of the definition: operations, read, folders, bytes, hour.
    let strongest = by_model.features[0];
    assert!([1, 2].contains(&strongest.feature), "{by_model:?}");
    let read = by_model
        .features
        .iter()
        .find(|seen| seen.feature == 1)
        .expect("it no longer reads");
    assert!(read.seen < 0.5 && (0.8..=1.0).contains(&read.typical), "{read:?}");
    let whole: f64 = by_model.features.iter().map(|seen| seen.share).sum();
    assert!((0.5..=1.0001).contains(&whole), "{whole}");
    assert!(
        matches!(first.normal_if, NormalIf::Typical(1..=4)),
        "{:?}",
        first.normal_if
    );
    let others = forms
        .iter()
        .filter(|alert| alert.first.entity.text() != "user6" && alert.count == 1);
    let others = others.count();
    assert!(
        others <= 6,
        "{others} other alerts in {DAYS} days, at a budget of one a day"
    );
}

#[test]
fn neither_threads_nor_a_restart_show_in_what_is_told() {
    let expected = told(1, None);
    assert_eq!(told(4, None), expected);
    let events = events().len();
    assert_eq!(told(1, Some(events / 2)), expected);
    assert_eq!(told(2, Some(events - 900)), expected);
}
