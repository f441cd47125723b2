//! What goes on: an attack that lasts stays one alert up to its end, and a habit that has changed for good is learned.

use stakeout::domain::{Alert, Duration, Event, Field, Networks, Timestamp};
use stakeout::engine::catalog::embedded;
use stakeout::engine::order::Stamped;
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::triage::Budget;
use std::collections::BTreeSet;

const HOUR: i64 = 3600;

fn login(time: Timestamp, source: u8, good: bool) -> Event {
    let mut event = Event::new(time);
    event.add_str(Field::EventCategory, "authentication");
    event.add_str(Field::EventOutcome, if good { "success" } else { "failure" });
    event.add_ip(Field::SourceIp, [10, 0, 0, source].into());
    event.add_str(Field::UserName, &format!("user{source}"));
    event.add_str(Field::HostName, "server");
    event
}

/// The alerts about a source that fails 15 logins in 5 minutes from hour 12 until hour `until`, among ten that work, up to
/// hour `end`; every form of them.
fn told(until: i64, end: i64) -> Vec<Alert> {
    let catalog = embedded::catalog().expect("the detectors that are built in have no mistakes");
    let program = Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("not too many");
    let mut engine = Engine::new(program, Budget::AlertsPerDay(20.0), 1, jiff::tz::TimeZone::UTC);
    let begin = Timestamp::from_seconds(1_780_000_000 / HOUR * HOUR);
    let mut alerts = Vec::new();
    let mut sequence = 0;
    for second in (0..end * HOUR).step_by(20) {
        let time = begin.plus(Duration::from_seconds(second));
        let mut events = Vec::new();
        if second % 60 == 0 {
            events.push(login(time, (second / 60 % 10) as u8, true));
        }
        if (12 * HOUR..until * HOUR).contains(&second) {
            events.push(login(time, 66, false));
        }
        for event in events {
            sequence += 1;
            engine.push(Stamped::new(event, time, 0, sequence), &mut alerts);
        }
    }
    engine.finish(&mut alerts);
    alerts.retain(|alert| alert.merged_into.is_none());
    alerts
}

#[test]
fn an_attack_that_lasts_is_one_alert_up_to_its_end() {
    let forms = told(22, 26);
    let ids: BTreeSet<_> = forms.iter().map(|alert| &alert.id).collect();
    assert_eq!(ids.len(), 1);
    let last = forms.last().expect("an attack is told");
    let lasted = last.end.since(last.start).as_seconds() / HOUR as f64;
    assert!((9.0..=10.0).contains(&lasted), "{lasted} h of 10 h");
    assert!((3..=40).contains(&forms.len()), "{} forms", forms.len());
    assert!(
        forms
            .windows(2)
            .all(|pair| pair[0].count < pair[1].count && pair[0].first == pair[1].first)
    );
}

#[test]
fn a_habit_that_has_changed_for_good_is_learned_within_days() {
    let forms = told(12 + 14 * 24, 12 + 14 * 24);
    let mut days = BTreeSet::new();
    for alert in &forms {
        days.insert((alert.first.at.seconds() - forms[0].first.at.seconds()) / (24 * HOUR));
    }
    assert!(days.len() <= 7, "told on days {days:?}");
    assert!(days.iter().all(|day| *day < 7), "told on days {days:?}");
}
