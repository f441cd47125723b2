//! Silence: a machine that is off at night and at weekends is expected to be, and is told when it stays away; one that
//! is always heard is missed within hours, from its first days on.

use stakeout::domain::{Alert, Duration, Entity, Event, Field, Networks, Timestamp};
use stakeout::engine::catalog::embedded;
use stakeout::engine::order::Stamped;
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::triage::Budget;
use std::collections::BTreeSet;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
/// A Monday, 00:00 UTC.
const BEGIN: i64 = 1_772_409_600;

/// Whether a machine writes a line at a second after [`BEGIN`].
type Habit = fn(i64) -> bool;

/// The first forms of the alerts about silence, while these machines write.
fn told(machines: &[(&str, Habit)], end: i64) -> Vec<Alert> {
    let catalog = embedded::catalog().expect("the detectors that are built in have no mistakes");
    let program = Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("not too many");
    let detector = catalog
        .detectors()
        .iter()
        .position(|held| held.definition.id == "host_silence");
    let detector = detector.expect("the detector") as u16;
    let mut engine = Engine::new(program, Budget::AlertsPerDay(20.0), 1, jiff::tz::TimeZone::UTC);
    let (mut alerts, mut sequence) = (Vec::new(), 0);
    for second in (0..end).step_by(MINUTE as usize) {
        let time = Timestamp::from_seconds(BEGIN + second);
        for (name, writes) in machines {
            if writes(second) {
                let mut event = Event::new(time);
                event.add_str(Field::HostName, name);
                sequence += 1;
                engine.push(Stamped::new(event, time, 0, sequence), &mut alerts);
            }
        }
    }
    engine.finish(&mut alerts);
    let mut ids = BTreeSet::new();
    alerts.retain(|alert| alert.first.detector == detector && ids.insert(alert.id.clone()));
    alerts
}

fn always(second: i64) -> bool {
    second % (2 * MINUTE) == 0
}

/// Every ten minutes from about eight to about five; how exactly differs from day to day. Some days are long.
fn at_work(second: i64) -> bool {
    let (day, minute) = (second / DAY, second % DAY / MINUTE);
    let (come, go) = (
        480 + day * 37 % 41 - 20,
        1020 + day * 53 % 61 + if day % 11 == 3 { 120 } else { 0 },
    );
    day % 7 < 5 && (come..go).contains(&minute) && minute % 10 == 0
}

/// The same, until Wednesday noon of the fourth week.
fn at_work_until_wednesday(second: i64) -> bool {
    at_work(second) && second < 3 * WEEK + 2 * DAY + 12 * HOUR
}

fn always_for_four_days_and_half(second: i64) -> bool {
    always(second) && second < 4 * DAY + 13 * HOUR
}

/// Hourly, like a machine that only runs its jobs.
fn hourly_for_four_days_and_half(second: i64) -> bool {
    second % HOUR == 17 * MINUTE && second < 4 * DAY + 13 * HOUR
}

#[test]
fn a_machine_that_is_off_at_night_and_at_weekends_is_told_once_when_it_stays_away() {
    let alerts = told(&[("gate", always), ("desk", at_work_until_wednesday)], 5 * WEEK);
    assert_eq!(
        alerts.len(),
        1,
        "{:?}",
        alerts
            .iter()
            .map(|alert| (alert.at, alert.first.entity.text()))
            .collect::<Vec<_>>()
    );
    let alert = &alerts[0];
    assert_eq!(alert.first.entity.text(), "desk");
    let noon = 3 * WEEK + 2 * DAY + 12 * HOUR;
    let after = alert.at.seconds() - BEGIN - noon;
    assert!(
        (HOUR..30 * HOUR).contains(&after),
        "told {} h after noon",
        after as f64 / 3600.0
    );
    let last = alert.start.since(Timestamp::from_seconds(BEGIN + noon));
    assert!(
        last >= Duration::from_seconds(-10 * MINUTE) && last <= Duration::ZERO,
        "{last:?}"
    );
}

#[test]
fn weeks_of_nights_weekends_and_long_days_are_no_silence() {
    let alerts = told(&[("gate", always), ("desk", at_work)], 5 * WEEK);
    assert!(
        alerts.is_empty(),
        "{:?}",
        alerts.iter().map(|alert| alert.at).collect::<Vec<_>>()
    );
}

#[test]
fn who_is_always_heard_is_missed_within_hours() {
    for (name, writes, hours_max) in [
        ("web", always_for_four_days_and_half as Habit, 4),
        ("jobs", hourly_for_four_days_and_half, 24),
    ] {
        let alerts = told(&[("gate", always), (name, writes)], 6 * DAY);
        let about: Vec<String> = alerts.iter().map(|alert| Entity::text(&alert.first.entity)).collect();
        assert_eq!(about, [name]);
        let after = alerts[0].at.seconds() - BEGIN - 4 * DAY - 13 * HOUR;
        assert!(
            (0..hours_max * HOUR).contains(&after),
            "{name}: told after {} min",
            after / MINUTE
        );
    }
}
