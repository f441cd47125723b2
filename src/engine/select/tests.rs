//! What selections match, and how mistakes in them are told.

use super::*;
use crate::domain::{Document, Mistake, Timestamp};

fn compile(detection: &str) -> Result<Selections, Vec<Mistake>> {
    let document = Document::parse("x.yml", detection).expect("valid YAML");
    let mut mistakes = Vec::new();
    Selections::compile(&document.root(), &mut mistakes).ok_or(mistakes)
}

fn logon() -> Event {
    let mut event = Event::new(Timestamp::from_seconds(1));
    event.add_str(Field::EventCategory, "authentication");
    event.add_str(Field::EventCategory, "session");
    event.add_str(Field::EventOutcome, "failure");
    event.add_str(Field::EventCode, "4625");
    event.add_str(Field::UserName, "Administrator");
    event.add_str(Field::UserTargetName, "ADMINISTRATOR");
    event.add_ip(Field::SourceIp, "10.1.2.3".parse().expect("an address"));
    event.add_ip(Field::DestinationIp, "2001:db8::5".parse().expect("an address"));
    event.add_u64(Field::SourcePort, 50_123);
    event.add_f64(Field::StakeoutLoss, 0.25);
    event.add_bool(Field::TlsEstablished, true);
    event.add_str(
        Field::ProcessCommandLine,
        r"C:\Windows\System32\cmd.exe /c powershell -enc SQBFAFgA what*is?this [x]",
    );
    event
}

fn check(detection: &str, expected: bool) {
    let selections = compile(detection).unwrap_or_else(|mistakes| panic!("{detection}: {mistakes:?}"));
    assert_eq!(selections.condition.matches(&logon()), expected, "{detection}");
}

fn check_selection(selection: &str, expected: bool) {
    check(&format!("selection:\n  {selection}\ncondition: selection"), expected);
}

#[test]
fn a_field_matches_by_value_list_number_address_and_absence() {
    for (selection, expected) in [
        ("event.outcome: failure", true),
        ("event.outcome: FAILURE", true),
        ("event.outcome|cased: FAILURE", false),
        ("event.outcome: success", false),
        ("event.outcome: [success, failure]", true),
        ("event.category: session", true),
        ("event.category|all: [session, authentication]", true),
        ("event.category|all: [session, network]", false),
        ("event.code: 4625", true),
        ("event.code: '4625'", true),
        ("event.code: 462", false),
        ("event.code|startswith: 46", true),
        ("source.port: 50123", true),
        ("source.port: '50123'", true),
        ("source.port|startswith: 50", true),
        ("source.port: '501*'", true),
        ("source.port: [1, 2, 50123]", true),
        ("stakeout.loss: 0.25", true),
        ("tls.established: true", true),
        ("tls.established: 'false'", false),
        ("source.ip: 10.1.2.3", true),
        ("source.ip: '::ffff:10.1.2.3'", true),
        ("source.ip: 10.1.2.30", false),
        ("source.ip|startswith: '10.1.'", true),
        ("destination.ip: 2001:DB8:0::5", true),
        ("user.domain: null", true),
        ("user.domain: ''", true),
        ("user.name: null", false),
        ("user.name: [null, administrator]", true),
        ("user.domain: [null, administrator]", true),
        ("user.name: '*'", true),
        ("user.domain: '*'", false),
        ("user.name: '?*'", true),
    ] {
        check_selection(selection, expected);
    }
}

#[test]
fn every_modifier_does_what_sigma_says() {
    for (selection, expected) in [
        ("process.command_line|contains: POWERSHELL", true),
        ("process.command_line|contains|cased: POWERSHELL", false),
        ("process.command_line|contains|all: [powershell, '-enc']", true),
        ("process.command_line|contains|all: [powershell, '-file']", false),
        (r"process.command_line|startswith: 'c:\windows\'", true),
        (r"process.command_line|contains: '\\System32\\cmd'", true),
        ("process.command_line|endswith: '[x]'", true),
        ("process.command_line|contains: 'what*this'", true),
        (r"process.command_line|contains: 'what\*is\?this'", true),
        (r"process.command_line|contains: 'what\*isXthis'", false),
        (r"process.command_line|contains: 'power\*'", false),
        ("process.command_line|windash|contains: ' /enc '", true),
        ("process.command_line|contains: ' /enc '", false),
        ("process.command_line|windash|contains: ' -c '", true),
        (r"process.command_line|re: 'cmd\.exe\s+/c'", true),
        (r"process.command_line|re: 'CMD\.exe'", false),
        (r"process.command_line|re|i: '^c:.*CMD\.exe'", true),
        ("source.ip|re: '^10\\.'", true),
        ("source.ip|cidr: 10.0.0.0/8", true),
        ("source.ip|cidr: [192.168.0.0/16, 172.16.0.0/12]", false),
        ("destination.ip|cidr: 2001:db8::/32", true),
        ("destination.ip|cidr: 0.0.0.0/0", false),
        ("user.name|exists: true", true),
        ("user.name|exists: false", false),
        ("user.domain|exists: false", true),
        ("source.port|gt: 50122", true),
        ("source.port|gt: 50123", false),
        ("source.port|gte: 50123", true),
        ("source.port|lt: 50123.5", true),
        ("source.port|lte: 50122", false),
        ("event.code|gte: 4000", true),
        ("source.port|neq: 22", true),
        ("source.port|neq: [22, 50123]", false),
        ("destination.port|neq: 22", false),
        ("user.name|fieldref: user.target.name", true),
        ("user.name|fieldref|cased: user.target.name", false),
        ("user.name|fieldref: user.domain", false),
        ("process.command_line|fieldref|contains: user.name", false),
        ("process.command_line|wide|base64offset|contains: IEX", true),
        ("process.command_line|utf16le|base64|contains: IEX", true),
        ("process.command_line|base64offset|contains: IEX", false),
    ] {
        check_selection(selection, expected);
    }
}

#[test]
fn base64offset_finds_a_text_at_every_place_of_its_groups() {
    for (line, expected) in [
        // base64 of "xfoobar", "xyfoobar", "xyzfoobar!" and "xyzfooba!".
        ("eGZvb2Jhcg==", true),
        ("eHlmb29iYXI=", true),
        ("eHl6Zm9vYmFyIQ==", true),
        ("eHl6Zm9vYmEh", false),
    ] {
        let mut event = Event::new(Timestamp::from_seconds(1));
        event.add_str(Field::ProcessCommandLine, line);
        let detection = "s:\n  process.command_line|base64offset|contains: foobar\ncondition: s";
        let matcher = compile(detection).expect("compiles").condition;
        assert_eq!(matcher.matches(&event), expected, "{line}");
    }
}

#[test]
fn conditions_combine_selections_and_keywords() {
    let selections = "a:\n  event.outcome: failure\nb_1:\n  source.port: 1\nb_2:\n  user.name: administrator\n\
                      _hidden:\n  source.port: 2\nwords: [cmd.exe, nothing]\nboth:\n  '|all': [cmd.exe, nothing]\n\
                      either:\n  - source.port: 3\n  - event.category: session\n    source.port|gt: 1\n";
    for (condition, expected) in [
        ("a and b_2", true),
        ("a and b_1", false),
        ("a and not b_1", true),
        ("not a or b_2", true),
        ("not (a or b_2)", false),
        ("1 of b_*", true),
        ("all of b_*", false),
        ("2 of b_*", false),
        ("any of them", true),
        ("all of them", false),
        ("words", true),
        ("both", false),
        ("either", true),
        ("not 1 of b_* or a", true),
    ] {
        check(&format!("{selections}condition: {condition}"), expected);
    }
    check(&format!("{selections}condition: [b_1, a]"), true);
}

#[test]
fn keywords_are_looked_for_in_all_text_and_numbers() {
    for (word, expected) in [
        ("10.1.2", true),
        ("50123", true),
        ("administrator", true),
        ("mallory", false),
    ] {
        check(&format!("words: ['{word}']\ncondition: words"), expected);
        check(&format!("words: '{word}'\ncondition: words"), expected);
    }
}

#[test]
fn a_matcher_asks_for_the_fields_that_it_cannot_do_without() {
    for (detection, expected) in [
        (
            "s:\n  user.name: a\n  source.port: 1\ncondition: s",
            vec!["source.port", "user.name"],
        ),
        (
            "s:\n  - user.name: a\n    source.port: 1\n  - user.name: b\ncondition: s",
            vec!["user.name"],
        ),
        ("s:\n  user.name: null\ncondition: s", vec![]),
        (
            "s:\n  user.name: a\nt:\n  source.port: 1\ncondition: s and not t",
            vec!["user.name"],
        ),
        (
            "s:\n  user.name|fieldref: user.target.name\ncondition: s",
            vec!["user.name", "user.target.name"],
        ),
    ] {
        let matcher = compile(detection).expect("compiles").condition;
        let names: Vec<&str> = matcher.required().map(Field::name).collect();
        assert_eq!(names, expected, "{detection}");
        assert!(!matcher.requiring(&[Field::HostName]).matches(&logon()));
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_the_nearest_word() {
    let mistakes = compile(
        "selection:\n  event.categroy: a\n  user.name|contans: b\n  source.ip: localhost\n  source.ip|cidr: 10.0.0.0/33\n\
         \x20 user.name|re: '(['\n  source.port: ssh\nempty: {}\ncondition: selektion and 1 of x_*\n",
    )
    .expect_err("mistakes");
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let expected = [
        "x.yml:2:3: selection/event.categroy: no decoder gives a field `event.categroy`; did you mean `event.category`?",
        "x.yml:3:3: selection/user.name|contans: unknown modifier `contans`; did you mean `contains`?",
        "x.yml:4:3: selection/source.ip: source.ip holds addresses, never `localhost`",
        "x.yml:5:3: selection/source.ip|cidr: `10.0.0.0/33` is not a network such as `10.0.0.0/8`",
        "x.yml:6:3: selection/user.name|re: not a regular expression: error: unclosed character class",
        "x.yml:7:3: selection/source.port: source.port holds numbers, never `ssh`",
        "x.yml:8:1: empty: the selection is empty",
        "x.yml:9:1: condition: there is no selection `selektion`; did you mean `selection`?",
        "x.yml:9:1: condition: no selection's name matches `x_*`",
    ];
    assert_eq!(told, expected);
}

#[test]
fn conditions_and_modifiers_that_make_no_sense_are_refused() {
    for (detection, expected) in [
        ("s:\n  user.name: a", "has no `condition`"),
        ("s:\n  user.name: a\ncondition: s and", "not a condition"),
        (
            "s:\n  user.name|expand: '%x%'\ncondition: s",
            "`expand` is not supported",
        ),
        ("s:\n  user.name|re|contains: a\ncondition: s", "modifiers of text"),
        ("s:\n  user.name|cidr|re: a\ncondition: s", "exclude each other"),
        ("s:\n  user.name|exists: maybe\ncondition: s", "takes `true` or `false`"),
        ("s:\n  source.port|gt: many\ncondition: s", "not a number"),
        ("s:\n  source.ip|gt: 3\ncondition: s", "no numbers"),
        (
            "s:\n  user.name|fieldref: user.nam\ncondition: s",
            "no decoder gives a field",
        ),
        ("s:\n  user.name|not: a\ncondition: s", "not a value modifier"),
        ("s:\n  user.name|base64: 'a*b'\ncondition: s", "wildcards"),
        ("s:\n  user.name: []\ncondition: s", "the list is empty"),
        ("s:\n  user.name: { a: b }\ncondition: s", "a value is text"),
        ("s: []\ncondition: s", "the selection is empty"),
        ("s:\ncondition: s", "the selection is empty"),
        ("s:\n  user.name: a\ntimeframe: 5m\ncondition: s", "under `windows`"),
        ("s:\n  user.name: a\ncondition: 3 of s", "more than there are"),
        ("[]", "must be a mapping"),
    ] {
        let mistakes = compile(detection).expect_err(detection);
        assert!(mistakes[0].message.contains(expected), "{detection}: {mistakes:?}");
    }
}

/// An event with the same fields as [`logon`], and other values in some of them.
fn logon_of(outcome: &str, port: u64, user: &str) -> Event {
    let mut event = Event::new(Timestamp::from_seconds(2));
    event.add_str(Field::EventOutcome, outcome);
    event.add_str(Field::UserName, user);
    event.add_str(Field::UserTargetName, "ADMINISTRATOR");
    event.add_u64(Field::SourcePort, port);
    event
}

#[test]
fn what_is_left_of_a_condition_decides_as_the_whole_condition() {
    let detections = [
        "a:\n  event.outcome: failure\ncondition: a",
        "a:\n  event.outcome: failure\n  source.port: [22, 23, 3389]\ncondition: a",
        "a:\n  event.outcome: failure\nb:\n  source.port|lt: 1024\ncondition: not a or b",
        "a:\n  event.outcome: failure\nb:\n  source.port|lt: 1024\nc:\n  user.name: root\ncondition: a and not 1 of b or c",
        "a_1:\n  event.outcome: failure\na_2:\n  source.port: 22\na_3:\n  user.name: root\ncondition: 2 of a_*",
        "a_1:\n  event.outcome: failure\na_2:\n  source.port: 22\na_3:\n  user.name: root\ncondition: all of a_*",
        "a:\n  user.name|fieldref: user.target.name\ncondition: a",
        "a:\n  event.outcome|fieldref: user.name\ncondition: a",
        "a:\n  host.name: web\nb:\n  event.outcome: failure\ncondition: a or b",
        "a:\n  - '*root*'\ncondition: a",
        "a:\n  user.domain: null\n  source.port|exists: true\ncondition: a",
    ];
    let events: Vec<Event> = ["failure", "success"]
        .iter()
        .flat_map(|outcome| [22, 3389, 50_000].map(|port| (outcome, port)))
        .flat_map(|(outcome, port)| ["root", "administrator", "failure"].map(|user| logon_of(outcome, port, user)))
        .collect();
    let (mut decided, mut open) = (0, 0);
    for detection in detections {
        let matcher = compile(detection).expect("no mistakes").condition;
        for known in [&[][..], &[Field::EventOutcome], &[Field::EventOutcome, Field::UserName]] {
            let is_known: [bool; Field::ALL.len()] = std::array::from_fn(|field| known.contains(&Field::ALL[field]));
            for event in &events {
                let given = matcher.given(event, &is_known);
                let alike = |other: &&Event| known.iter().all(|field| event.get(*field) == other.get(*field));
                for other in events.iter().filter(alike) {
                    let met = match &given {
                        Given::Decided(met) => *met,
                        Given::Open(left) => left.matches(other),
                    };
                    assert_eq!(met, matcher.matches(other), "{detection} {known:?} {other:?}");
                }
                match given {
                    Given::Decided(_) => decided += 1,
                    Given::Open(_) => open += 1,
                }
            }
        }
    }
    assert!(decided > 100 && open > 100, "{decided} {open}");
}
