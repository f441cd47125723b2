//! What is refused in definitions, and how it is told.

use super::*;
use crate::domain::{
    BaselineKind, CountPrior, Duration, Event, Level, Measure, Prior, Season, SentencePart, Tail, Timestamp,
};

const GOOD: &str = "\
title: Login failures
id: login_failures
description: Somebody guesses.
entity: source.ip
target: [destination.ip]
detection:
  selection:
    event.category: authentication
    event.outcome: failure
  condition: selection
measure: count
at_least: 5
windows: [5m, 1h, 24h]
baseline:
  kind: count
  half_life: 7d
  season: hour_of_week
  prior: { mean: 0.5, dispersion: [2, 1, 0.5], weight: 4 }
level: high
tags: [attack.credential-access, attack.t1110.003]
falsepositives: [A password was changed]
";

fn read(text: &str) -> Result<Catalog, Vec<String>> {
    Catalog::read(&[("detectors/login_failures.yml", text)])
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

fn one(text: &str) -> Definition {
    read(text).expect("without mistakes").detectors()[0].definition.clone()
}

#[test]
fn a_sentence_names_what_was_measured_and_the_entity() {
    let parts = one(&format!(
        "{GOOD}sentence: '{{source.ip}} failed {{seen}} logins in {{window}}'\n"
    ))
    .sentence;
    let text = |text: &str| SentencePart::Text(text.to_owned());
    assert_eq!(
        parts,
        [
            SentencePart::Entity(0),
            text(" failed "),
            SentencePart::Seen,
            text(" logins in "),
            SentencePart::Window
        ]
    );
    for (sentence, expected) in [
        (
            "{sen} logins",
            "`{sen}` is nothing that this detector knows; did you mean `seen`?",
        ),
        ("{value} is new", "`{value}` is nothing that this detector knows"),
        (
            "{user.name} failed",
            "`{user.name}` is nothing that this detector knows",
        ),
        ("{seen logins", "a `{` is never closed"),
        ("", "must be text"),
    ] {
        let told = read(&format!("{GOOD}sentence: '{sentence}'\n")).expect_err(sentence);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(expected), "{told:?}");
        assert!(
            told[0].starts_with("detectors/login_failures.yml:22:1: sentence: "),
            "{told:?}"
        );
    }
}

#[test]
fn a_definition_is_read_with_its_defaults() {
    let definition = one(GOOD);
    assert_eq!(definition.id, "login_failures");
    assert_eq!(definition.version.len(), 12);
    assert_eq!(definition.entity, [Field::SourceIp]);
    assert_eq!(definition.target, [Field::DestinationIp]);
    assert_eq!(definition.measure, Measure::Count);
    assert_eq!(definition.tail, Tail::Upper);
    assert_eq!(definition.level, Level::High);
    assert_eq!(definition.lateness, Duration::from_seconds(30));
    assert_eq!(definition.baseline.season, Season::HourOfWeek);
    assert_eq!(definition.baseline.kind(), BaselineKind::Count);
    let prior = |mean, dispersion| {
        Prior::Count(CountPrior {
            mean,
            dispersion,
            weight: 4.0,
        })
    };
    assert_eq!(
        definition.baseline.priors,
        [prior(0.5, 2.0), prior(6.0, 1.0), prior(144.0, 0.5)]
    );
    assert_eq!(definition.techniques().collect::<Vec<_>>(), ["T1110.003"]);
    assert_eq!(definition.tactics().collect::<Vec<_>>(), ["credential-access"]);
}

#[test]
fn a_version_is_written_or_follows_the_text() {
    assert_eq!(one(&format!("version: 3\n{GOOD}")).version, "3");
    let other = GOOD.replace("at_least: 5", "at_least: 6");
    assert_ne!(one(GOOD).version, one(&other).version);
}

#[test]
fn only_events_with_the_fields_of_entity_and_measure_are_selected() {
    let text = GOOD
        .replace("measure: count", "measure: { distinct: user.name }")
        .replace("kind: count", "kind: distinct");
    let catalog = read(&text).expect("without mistakes");
    let compiled = catalog.get("login_failures").expect("it is there");
    let mut event = Event::new(Timestamp::from_seconds(1));
    event.add_str(Field::EventCategory, "authentication");
    event.add_str(Field::EventOutcome, "failure");
    event.add_str(Field::UserName, "a");
    assert!(!compiled.selects.matches(&event));
    event.add_ip(Field::SourceIp, "10.0.0.1".parse().expect("an address"));
    assert!(compiled.selects.matches(&event));
    assert_eq!(
        compiled.fields(),
        [
            Field::EventCategory,
            Field::EventOutcome,
            Field::SourceIp,
            Field::UserName
        ]
    );
}

#[test]
fn a_ratio_has_its_hits() {
    let text = GOOD
        .replace("measure: count", "measure: { ratio: failed }")
        .replace(
            "    event.outcome: failure\n",
            "  failed:\n    event.outcome: failure\n",
        )
        .replace("kind: count", "kind: ratio")
        .replace("  season: hour_of_week\n", "")
        .replace("dispersion: [2, 1, 0.5]", "dispersion: 0.1");
    let catalog = read(&text).expect("without mistakes");
    let hits = catalog.detectors()[0].hits.as_ref().expect("a ratio has hits");
    let mut event = Event::new(Timestamp::from_seconds(1));
    event.add_str(Field::EventOutcome, "failure");
    assert!(hits.matches(&event));
}

#[test]
fn an_amount_may_have_the_unit_of_its_measure() {
    let sum = |at_least: &str| {
        GOOD.replace("measure: count", "measure: { sum: source.bytes }")
            .replace("kind: count", "kind: magnitude")
            .replace(
                "prior: { mean: 0.5, dispersion: [2, 1, 0.5], weight: 4 }",
                "prior: { active: 0.5, typical: 1000, spread: 2, weight: 4 }",
            )
            .replace("at_least: 5", &format!("at_least: {at_least}"))
    };
    assert_eq!(one(&sum("50MB")).at_least, 5e7);
    assert_eq!(one(&sum("1.5 KiB")).at_least, 1536.0);
    assert_eq!(one(&sum("7")).at_least, 7.0);
    assert!(read(&sum("5m")).expect_err("a length of time")[0].contains("number of bytes"));
}

/// Each pair of a replacement in the good definition and what is told of it.
#[test]
fn every_mistake_is_refused_with_line_key_and_the_nearest_word() {
    for (wrong, replacement, expected) in [
        ("title: Login failures\n", "", ":1:1: the definition has no `title`"),
        (
            "entity: source.ip",
            "entity: source.pi",
            ":4:1: entity: no decoder gives a field `source.pi`; did you mean `source.ip`?",
        ),
        (
            "entity: source.ip",
            "entity: [source.ip, source.ip]",
            ":4:21: entity/2: `source.ip` stands here twice",
        ),
        (
            "entity: source.ip",
            "entitty: source.ip",
            ":4:1: entitty: unknown key `entitty`; did you mean `entity`?",
        ),
        (
            "id: login_failures",
            "id: login_failure",
            ":2:1: id: `login_failure` differs from the file's name, `login_failures`",
        ),
        (
            "id: login_failures",
            "id: Login-Failures",
            ":2:1: id: `Login-Failures` has other signs than a to z, 0 to 9 and _",
        ),
        (
            "    event.outcome: failure",
            "    event.outcom: failure",
            ":9:5: detection/selection/event.outcom: no decoder gives a field `event.outcom`; did you mean `event.outcome`?",
        ),
        (
            "condition: selection",
            "condition: selections",
            ":10:3: detection/condition: there is no selection `selections`; did you mean `selection`?",
        ),
        (
            "  condition: selection",
            "  other:\n    user.name: a\n  condition: selection",
            ":10:3: detection/other: the condition does not use this selection",
        ),
        (
            "measure: count",
            "measure: cuont",
            ":11:1: measure: unknown measure `cuont`; did you mean `count`?",
        ),
        (
            "measure: count",
            "measure: sum",
            ":11:1: measure: `sum` needs a field: `{ sum: ... }`",
        ),
        (
            "measure: count",
            "measure: { count: user.name }",
            ":11:12: measure/count: `count` takes no field: `measure: count`",
        ),
        (
            "measure: count",
            "measure: { sum: user.name }",
            ":11:12: measure/sum: user.name holds text, which does not fit this measure",
        ),
        (
            "measure: count",
            "measure: { ratio: failures }",
            ":11:12: measure/ratio: there is no selection `failures` under `detection`",
        ),
        (
            "measure: count",
            "measure: { distinct: user.name }",
            ":15:3: baseline/kind: a baseline of kind `count` does not fit the measure `distinct`, which takes `distinct`",
        ),
        (
            "at_least: 5",
            "at_least: 5m",
            ":12:1: at_least: `5m` does not fit, it must be a plain number: here it counts events",
        ),
        (
            "at_least: 5",
            "at_least: -5",
            ":12:1: at_least: -5 is not between 0 and 1000000000000000000",
        ),
        (
            "at_least: 5",
            "tail: uper",
            ":12:1: tail: unknown tail `uper`; did you mean `upper`?",
        ),
        (
            "at_least: 5",
            "absence: true",
            ":12:1: absence: absence needs `tail: lower` or `tail: both`",
        ),
        (
            "at_least: 5",
            "sessions: 5",
            ":12:1: sessions: must be a length of time, such as `30s`, `5m`, `24h` or `7d`",
        ),
        (
            "[5m, 1h, 24h]",
            "[5m, 24h, 1h]",
            ":13:20: windows/3: windows must ascend: 1h stands behind 1d",
        ),
        (
            "[5m, 1h, 24h]",
            "[5 minutes, 1h, 24h]",
            ":13:11: windows/1: must be a length of time, such as `30s`, `5m`, `24h` or `7d`",
        ),
        (
            "[5m, 1h, 24h]",
            "[]",
            ":13:1: windows: must name a window, such as `5m`",
        ),
        (
            "[5m, 1h, 24h]",
            "[5m, 1h]",
            ":18:23: baseline/prior/dispersion: 3 numbers for 2 windows",
        ),
        (
            "kind: count",
            "kind: counts",
            ":15:3: baseline/kind: unknown kind `counts`; did you mean `count`?",
        ),
        (
            "half_life: 7d",
            "half_life: 7h",
            ":16:3: baseline/half_life: 7h is shorter than the longest window (1d)",
        ),
        (
            "half_life: 7d",
            "half_life: soon",
            ":16:3: baseline/half_life: must be a length of time, such as `30s`, `5m`, `24h` or `7d`",
        ),
        (
            "season: hour_of_week",
            "season: hour_of_day",
            ":17:3: baseline/season: unknown season `hour_of_day`; did you mean `hour_of_week`?",
        ),
        (
            "mean: 0.5, ",
            "",
            ":18:3: baseline/prior: has no `mean`, which a baseline of kind `count` needs",
        ),
        (
            "mean: 0.5, ",
            "maen: 0.5, mean: 1, ",
            ":18:12: baseline/prior/maen: unknown key `maen`; did you mean `mean`?",
        ),
        (
            "mean: 0.5, ",
            "mean: none, ",
            ":18:12: baseline/prior/mean: must be a number",
        ),
        (
            "weight: 4",
            "weight: 0",
            ":18:48: baseline/prior/weight: 0 is not between 0.1 and 1000000",
        ),
        (
            "level: high",
            "level: hihg",
            ":19:1: level: unknown level `hihg`; did you mean `high`?",
        ),
        (
            "attack.t1110.003",
            "attack.t11",
            ":20:34: tags/2: `t11` is neither a tactic nor a technique such as `t1110.003`",
        ),
        (
            "attack.credential-access",
            "attack.credential-acess",
            ":20:8: tags/1: `credential-acess` is neither a tactic nor a technique such as `t1110.003`; did you mean `credential-access`?",
        ),
    ] {
        assert!(GOOD.contains(wrong), "{wrong}");
        let told = read(&GOOD.replace(wrong, replacement)).expect_err(replacement);
        let expected = format!("detectors/login_failures.yml{expected}");
        assert!(
            told.contains(&expected),
            "{replacement}:\n{}\nwanted\n{expected}",
            told.join("\n")
        );
    }
}

#[test]
fn the_mistakes_of_all_files_are_told_at_once() {
    let broken = GOOD
        .replace("level: high", "level: hgh")
        .replace("windows: [5m", "windows: [5");
    let files = [
        ("detectors/login_failures.yml", broken.as_str()),
        ("detectors/other.yml", "a: [b"),
        ("detectors/third.yml", "- a list"),
        ("more/login_failures.yml", GOOD),
        ("again/login_failures.yml", GOOD),
    ];
    let mistakes = Catalog::read(&files).expect_err("mistakes");
    let told: Vec<(&str, usize)> = mistakes
        .iter()
        .map(|mistake| (mistake.file.as_str(), mistake.line))
        .collect();
    assert_eq!(
        told,
        [
            ("again/login_failures.yml", 0),
            ("detectors/login_failures.yml", 13),
            ("detectors/login_failures.yml", 19),
            ("detectors/other.yml", 2),
            ("detectors/third.yml", 1),
        ]
    );
}

#[test]
fn a_site_changes_detectors_and_their_versions_with_them() {
    let mut catalog = embedded::catalog().expect("without mistakes");
    let before = catalog.detectors().len();
    let document = Document::parse("s.yml", "detectors:\n  host_silense: off\n").expect("valid");
    let (_, place) = document
        .root()
        .get("detectors")
        .expect("it is there")
        .entries()
        .remove(0);
    let setting = |id: &str| Setting {
        id: id.to_owned(),
        is_off: false,
        at_least: None,
        level: None,
        unknown: place.mistake(format!("there is no detector `{id}`")),
    };
    let version = catalog
        .get("host_bytes_out")
        .expect("it is there")
        .definition
        .version
        .clone();
    let off = Setting {
        is_off: true,
        ..setting("host_silence")
    };
    let quieter = Setting {
        at_least: Some(5.0),
        level: Some(Level::Low),
        ..setting("host_bytes_out")
    };
    catalog.apply(&[off, quieter]).expect("both are there");
    assert_eq!(catalog.detectors().len(), before - 1);
    let changed = &catalog.get("host_bytes_out").expect("it is there").definition;
    assert_eq!((changed.at_least, changed.level), (5.0, Level::Low));
    assert!(changed.version.starts_with(&format!("{version}+")));
    let mut catalog = embedded::catalog().expect("without mistakes");
    let mistakes = catalog.apply(&[setting("host_silense")]).expect_err("a typo");
    assert_eq!(
        mistakes[0].to_string(),
        "s.yml:2:3: detectors/host_silense: there is no detector `host_silense`; did you mean `host_silence`?"
    );
}

#[test]
fn any_text_is_read_without_a_panic() {
    let mut seed = 11u64;
    let mut next = |bound: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    for _ in 0..300 {
        let mut text = GOOD.as_bytes().to_vec();
        for _ in 0..=next(4) {
            let at = next(text.len());
            match next(3) {
                0 => text[at] = b" \n:[]{}-'\"#&*!|>%@`a1"[next(21)],
                1 => drop(text.remove(at)),
                _ => text.insert(at, b"\n :-[]{}"[next(8)]),
            }
        }
        let _ = read(&String::from_utf8_lossy(&text));
    }
}
