//! What was learned survives a change of detectors: those that are unchanged tell what they would have told had the
//! others never come or gone, and only those that mean something else begin anew.

mod sample;

use sample::{assert_same, inputs, restore, saved};
use stakeout::domain::{Alert, Duration, Networks};
use stakeout::engine::catalog::{Catalog, embedded};
use stakeout::engine::order::{OrderBuffer, Stamped};
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::succession::{Anew, Restored};
use stakeout::engine::triage::Budget;

/// Detectors that share no tactic with the others below: causes join alerts of different detectors, and those are another
/// matter.
const KEPT: [&str; 3] = ["host_port_fan_out", "source_login_failures", "user_login_failures"];
/// Before, between and behind them by name; the last is of a kind of entity of its own.
const OTHERS: [&str; 4] = ["domain_dns_tunnel", "host_bytes_out", "host_silence", "pair_beaconing"];

/// The program of these detectors, with this replaced in their texts.
fn program(ids: &[&str], replaced: &[(&str, &str)]) -> Program {
    let wanted = |(file, _): &&(&str, &str)| ids.iter().any(|id| file.ends_with(&format!("/{id}.yml")));
    let files: Vec<(String, String)> = embedded::FILES
        .iter()
        .filter(wanted)
        .map(|(file, text)| {
            let text = replaced
                .iter()
                .fold((*text).to_owned(), |text, (from, to)| text.replace(from, to));
            ((*file).to_owned(), text)
        })
        .collect();
    let catalog = Catalog::read(&files).expect("no mistakes");
    assert_eq!(catalog.detectors().len(), ids.len());
    Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("not too many")
}

fn engine(program: Program) -> Engine {
    Engine::new(program, Budget::Unlimited, 2, jiff::tz::TimeZone::UTC)
}

fn events() -> Vec<Stamped> {
    let mut events: Vec<_> = inputs(20_261_126).into_iter().flatten().collect();
    // The one of 2099 is for a guard that is not here.
    events.retain(|event| event.time().seconds() < 4_000_000_000);
    events.sort_by_cached_key(|event| (event.time(), event.content_hash()));
    let mut order = OrderBuffer::new(0, Duration::ZERO);
    let mut stamped = Vec::new();
    for event in events {
        order.push(event.time(), event, &mut stamped);
    }
    order.finish(&mut stamped);
    stamped
}

/// What the kept detectors tell when the catalog changes after shares of the way, in thousandths.
fn told(catalogs: &[(usize, Vec<&str>)]) -> (String, Vec<Restored>) {
    let events = events();
    let length = events.len();
    let mut catalogs = catalogs.iter().peekable();
    let (_, first) = catalogs.next().expect("a first catalog");
    let mut engine = engine(program(first, &[]));
    let (mut alerts, mut text, mut restored) = (Vec::new(), String::new(), Vec::new());
    for (place, stamped) in events.into_iter().enumerate() {
        while let Some((_, ids)) = catalogs.next_if(|(share, _)| length * share / 1000 <= place) {
            let pieces = saved(&mut engine, &mut alerts);
            take_down(&engine, &mut alerts, &mut text);
            engine = self::engine(program(ids, &[]));
            restored.push(restore(&mut engine, &pieces).expect("state is read"));
        }
        engine.push(stamped, &mut alerts);
    }
    engine.finish(&mut alerts);
    take_down(&engine, &mut alerts, &mut text);
    (text, restored)
}

/// Writes down what the kept detectors have told, without their numbers in the catalog.
fn take_down(engine: &Engine, alerts: &mut Vec<Alert>, text: &mut String) {
    for mut alert in alerts.drain(..) {
        let id = &engine.program().definitions[usize::from(alert.first.detector)].id;
        if KEPT.contains(&id.as_str()) {
            assert_eq!(alert.first.detector, alert.peak.detector);
            alert.first.detector = 0;
            alert.peak.detector = 0;
            let supporting = alert.findings.iter_mut();
            supporting.for_each(|finding| finding.detector = 0);
            text.push_str(&format!("{id} {alert:?}\n"));
        }
    }
}

fn with(others: &[&'static str]) -> Vec<&'static str> {
    KEPT.iter().chain(others).copied().collect()
}

#[test]
fn unchanged_detectors_tell_the_same_whatever_comes_and_goes_beside_them() {
    let (plain, _) = told(&[(0, with(&[]))]);
    assert!(plain.lines().count() > 20, "{plain}");
    for id in KEPT {
        assert!(plain.contains(id), "{id} tells something");
    }
    let (other, _) = told(&[(0, with(&OTHERS))]);
    assert_same(&plain, &other, &"others all along");
    let changes = [
        (0, with(&OTHERS[..2])),
        (300, with(&OTHERS[1..])),
        (660, with(&[])),
        (670, with(&OTHERS)),
        (680, with(&OTHERS[3..])),
        (990, with(&OTHERS[..1])),
    ];
    let (changing, restored) = told(&changes);
    assert_same(&plain, &changing, &"others that come and go");
    let first = Restored {
        kept: 4,
        anew: vec![
            ("host_silence".to_owned(), Anew::New),
            ("pair_beaconing".to_owned(), Anew::New),
        ],
        ended: vec!["domain_dns_tunnel".to_owned()],
    };
    assert_eq!(restored[0], first);
    assert_eq!(restored[1].kept, 3);
    assert_eq!(restored[1].ended, OTHERS[1..]);
}

#[test]
fn a_detector_that_comes_late_tells_what_it_would_on_events_from_then_on() {
    let ids = ["source_login_failures"];
    let forms = |catalogs: &[(usize, Vec<&str>)]| told(catalogs).0;
    // Taken away and put back, it has nothing of what it had learned and had open.
    let back = forms(&[(0, ids.to_vec()), (400, vec!["host_bytes_out"]), (500, ids.to_vec())]);
    let late = forms(&[(0, vec!["host_bytes_out"]), (500, ids.to_vec())]);
    assert!(late.lines().count() > 3, "{late}");
    let before = forms(&[(0, ids.to_vec()), (400, vec!["host_bytes_out"])]);
    assert_same(&format!("{before}{late}"), &back, &"taken away and put back");
}

#[test]
fn only_what_changes_the_meaning_of_learned_state_begins_anew() {
    let ids = ["host_port_fan_out", "source_login_failures"];
    let mut before = engine(program(&ids, &[]));
    let mut alerts = Vec::new();
    for stamped in events().into_iter().take(20_000) {
        before.push(stamped, &mut alerts);
    }
    let pieces = saved(&mut before, &mut alerts);
    let entities = before.totals().entities;
    let restore = |replaced: &[(&str, &str)]| {
        let mut after = engine(program(&ids, replaced));
        let restored = sample::restore(&mut after, &pieces).expect("state is read");
        (restored, after.totals().entities)
    };
    for replaced in [
        &[("at_least: ", "at_least: 1")][..],
        &[("level: high", "level: low"), ("title: ", "title: Now ")],
        &[("tags: [", "tags: [attack.impact, "), ("target: ", "target:  ")],
        // Comments and the order of keys are not the meaning.
        &[
            ("entity: source.ip\n", ""),
            ("level: ", "entity: source.ip # here\nlevel: "),
        ],
    ] {
        let (restored, held) = restore(replaced);
        assert_eq!(
            (restored.kept, restored.anew.len(), held),
            (2, 0, entities),
            "{replaced:?}"
        );
    }
    for replaced in [
        ("half_life: 7d", "half_life: 8d"),
        ("windows: [5m, 1h, 24h]", "windows: [6m, 1h, 24h]"),
        ("event.outcome: failure", "event.outcome: success"),
        ("measure: count", "measure: { distinct: user.name }\nlateness: 1s"),
    ] {
        let replaced = match replaced.0 {
            "measure: count" => vec![replaced, ("kind: count", "kind: distinct")],
            _ => vec![replaced],
        };
        let (restored, held) = restore(&replaced);
        let anew = ("source_login_failures".to_owned(), Anew::Changed);
        assert!(restored.anew.contains(&anew), "{replaced:?}: {restored:?}");
        assert!(held < entities, "{held} of {entities} entities are left");
    }
}
