//! Capture loss: it stands in the alert, and a capture that is whole again is no news.

use stakeout::domain::{Alert, CaptureLoss, Duration, Event, Field, Networks, Timestamp};
use stakeout::engine::catalog::Catalog;
use stakeout::engine::order::Stamped;
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::triage::Budget;

const HOUR: i64 = 3600;
const BEGIN: i64 = 1_772_409_600;
const DETECTOR: &str = "
title: More bytes than usual
id: much
description: For this test.
entity: source.ip
detection: { selection: { event.category: network }, condition: selection }
measure: { sum: source.bytes }
at_least: 1000
windows: [1h]
baseline: { kind: magnitude, half_life: 14d, prior: { active: 0.9, typical: 100000, spread: 1.0, weight: 2 } }
level: high
tags: [attack.exfiltration, attack.t1048]
";

/// What is told while ten machines send about as much in each hour: for twelve days a tenth of it is seen, then all; and
/// then one sends a hundred times as much. `report` says whether the sensor tells of its loss.
fn told(report: bool, hours: i64) -> Vec<Alert> {
    let catalog = Catalog::read(&[("detectors/much.yml", DETECTOR)]).expect("a detector");
    let program = Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("one detector");
    let mut engine = Engine::new(program, Budget::AlertsPerDay(1.0), 1, jiff::tz::TimeZone::UTC);
    let (mut alerts, mut sequence) = (Vec::new(), 0);
    let mut push = |engine: &mut Engine, event: Event, alerts: &mut Vec<Alert>| {
        sequence += 1;
        let time = event.time();
        engine.push(Stamped::new(event, time, 0, sequence), alerts);
    };
    let lossy_until = 12 * 24;
    for hour in 0..hours {
        let begin = Timestamp::from_seconds(BEGIN + hour * HOUR);
        if report {
            let report = CaptureLoss {
                sensor: "edge".into(),
                interface: String::new(),
                share: if hour < lossy_until { 0.9 } else { 0.0 },
                begin: begin.minus(Duration::from_seconds(HOUR)),
                end: begin,
            };
            push(&mut engine, report.event(), &mut alerts);
        }
        for machine in 0..10u8 {
            let mut event = Event::new(begin.plus(Duration::from_seconds(60 + i64::from(machine))));
            event.add_str(Field::EventCategory, "network");
            event.add_ip(Field::SourceIp, [10, 0, 0, machine].into());
            let usual = 1_000_000 + (hour * 7919 + i64::from(machine) * 104_729) % 400_000;
            let sent = if hour + 1 == hours && machine == 3 {
                100 * usual
            } else {
                usual
            };
            let seen = if hour < lossy_until { sent / 10 } else { sent };
            event.add_u64(Field::SourceBytes, seen as u64);
            push(&mut engine, event, &mut alerts);
        }
    }
    engine.finish(&mut alerts);
    alerts
}

#[test]
fn a_capture_that_is_whole_again_is_no_news_if_its_loss_was_reported() {
    let unreported = told(false, 12 * 24 + 24);
    let about_others = |alert: &&Alert| !alert.first.entity.text().ends_with(".3");
    assert!(
        unreported.iter().any(|alert| about_others(&alert)),
        "ten times as much is told"
    );
    let reported = told(true, 12 * 24 + 24);
    assert_eq!(reported.iter().filter(about_others).count(), 0);
    assert!(
        reported.iter().any(|alert| !about_others(&alert)),
        "a hundred times as much is told"
    );
    assert!(reported.iter().all(|alert| alert.first.context.loss == 0.0));
}

#[test]
fn an_alert_says_how_much_was_lost_around_its_events() {
    let alerts = told(true, 11 * 24);
    assert!(!alerts.is_empty(), "a hundred times as much is told");
    assert!(alerts.iter().all(|alert| alert.first.context.loss == 0.9));
}
