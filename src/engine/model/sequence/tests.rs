use super::super::random::Random;
use super::super::{Cell, Column, Kind, Model, Parameters, Settings, Table, Training, Unfit, Values};
use super::*;

/// A session opens, reads some blocks, each of which it asks for first, and closes.
fn session(random: &mut Random) -> String {
    let mut tokens = vec!["open", "stat"];
    for _ in 0..2 + random.below(6) {
        tokens.extend(["seek", "read"]);
        if random.below(5) == 0 {
            tokens.push("wait");
        }
    }
    tokens.push("close");
    tokens.join(" ")
}

fn sessions(count: usize, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    (0..count).map(|_| session(&mut random)).collect()
}

fn table(texts: &[String]) -> Table {
    Table::new(vec![column("calls", texts)])
}

fn column(name: &str, texts: &[String]) -> Column {
    let mut names: Vec<String> = texts.to_vec();
    names.sort();
    names.dedup();
    let places = texts
        .iter()
        .map(|text| names.binary_search(text).expect("it is one of them") as u32);
    Column {
        name: name.to_owned(),
        values: Values::Texts {
            places: places.collect(),
            names,
        },
    }
}

fn settings(rows: Training) -> Settings {
    Settings {
        kind: Kind::Sequence,
        seed: 1,
        rows,
        parameters: Parameters::default(),
    }
}

fn learned(texts: &[String]) -> Model {
    Model::learn(&table(texts), &settings(Training::Apart)).expect("there is enough")
}

fn surprise(model: &Model, text: &str) -> f64 {
    let mut surprises = Vec::new();
    model.surprises(&[Cell::Text(text)], &mut surprises);
    surprises[0]
}

#[test]
fn what_is_out_of_order_or_missing_or_never_seen_or_too_often_is_surprising() {
    let model = learned(&sessions(3000, 1));
    let usual = surprise(&model, "open stat seek read seek read seek read close");
    assert!(usual < 1.0, "{usual}");
    for (what, text) in [
        ("order", "open stat read seek read seek seek read close"),
        ("missing", "open stat close"),
        ("never seen", "open stat seek read seek read exec seek read close"),
        ("too often", &format!("open stat {} close", ["wait"; 40].join(" "))),
        ("one token", "read"),
        ("no token", ""),
    ] {
        let told = surprise(&model, text);
        assert!(told > 2.5 && told.is_finite(), "{what}: {told}");
    }
}

#[test]
fn what_is_to_blame_is_named_with_what_was_expected() {
    let model = learned(&sessions(3000, 1));
    let sequence = model.sequence().expect("it is one of sequences");
    let text = "open stat seek read seek exec seek read close";
    let why = sequence.explain(text);
    let step = &why.steps[0];
    assert_eq!((step.place, step.token.as_str()), (6, "exec"));
    assert_eq!(step.usual.as_deref(), Some("read"));
    assert_eq!(step.behind.last().map(String::as_str), Some("seek"));
    assert!((0.0..=1.0).contains(&why.order), "{why:?}");
    let shares: f64 = why.steps.iter().map(|step| step.share).sum();
    assert!(shares > 0.5 && shares <= 1.0 + 1e-9, "{why:?}");

    let why = sequence.explain(&format!("open stat {} close", ["wait"; 40].join(" ")));
    let waits = why.counts.iter().find(|count| count.token.as_deref() == Some("wait"));
    let waits = waits.expect("it is what differs most");
    assert!(waits.times == 40 && waits.usual < 8, "{why:?}");

    let blame = model.explain(&[Cell::Text(text)]);
    assert_eq!((blame.len(), blame[0].column, blame[0].share), (1, 0, 1.0));
    assert!(blame[0].typical.starts_with("read behind "), "{}", blame[0].typical);
    assert_eq!(sequence.explain("").steps, []);
}

#[test]
fn token_by_token_is_the_same_as_the_whole_and_survives_being_saved() {
    let model = learned(&sessions(300, 1));
    let saved = postcard::to_allocvec(&model).expect("a model has only plain parts");
    let again: Model = postcard::from_bytes(&saved).expect("what was just written");
    let text = "open stat read seek read wait wait exec close";
    let (first, second) = text.split_at(20);
    let sequence = model.sequence().expect("it is one of sequences");
    let mut state = sequence.begin();
    for token in first.split_whitespace() {
        sequence.step(&mut state, token);
    }
    let bytes = postcard::to_allocvec(&state).expect("a state has only plain parts");
    assert!(bytes.len() < 320, "{}", bytes.len());
    let mut state: State = postcard::from_bytes(&bytes).expect("what was just written");
    let sequence = again.sequence().expect("it was one of sequences");
    for token in second.split_whitespace() {
        assert!(sequence.step(&mut state, token) > 0.0);
    }
    assert_eq!(again.surprise_of(sequence.strangeness(&state)), surprise(&model, text));
}

#[test]
fn one_seed_gives_one_model() {
    let texts = sessions(300, 1);
    let bytes = || postcard::to_allocvec(&learned(&texts)).expect("a model has only plain parts");
    assert_eq!(bytes(), bytes());
}

#[test]
fn normal_sequences_are_told_as_rarely_as_their_probability_says() {
    let model = learned(&sessions(4000, 1));
    let mut surprises: Vec<f64> = Vec::new();
    for text in sessions(20_000, 2) {
        model.surprises(&[Cell::Text(&text)], &mut surprises);
    }
    for (bound, low, high) in [(1.0, 1000, 2600), (2.0, 80, 320), (3.0, 0, 60)] {
        let told = surprises.iter().filter(|surprise| **surprise >= bound).count();
        assert!((low..=high).contains(&told), "p 1e-{bound}: {told} of 20,000");
    }
}

#[test]
fn sequences_judged_among_themselves_tell_the_one_that_is_like_no_other() {
    let mut texts = sessions(200, 1);
    texts[77] = "open read stat exec exec close".to_owned();
    texts[12] = String::new();
    let mut column = column("calls", &texts);
    if let Values::Texts { places, .. } = &mut column.values {
        places[12] = Values::MISSING;
    }
    let told = Model::judge_itself(&Table::new(vec![column]), &settings(Training::Judged)).expect("there is enough");
    assert_eq!((told.len(), told[12]), (200, 0.0));
    let strangest = (0..told.len()).max_by(|one, other| told[*one].total_cmp(&told[*other]));
    assert_eq!(strangest, Some(77));
}

#[test]
fn what_holds_no_sequences_is_refused_with_its_reason() {
    let refused = |columns: Vec<Column>| Model::learn(&Table::new(columns), &settings(Training::Apart)).err();
    let words: Vec<String> = (0..20).map(|row| format!("user-{}", row % 3)).collect();
    let numbers = Column {
        name: "bytes".to_owned(),
        values: Values::Numbers(vec![1.0; 20]),
    };
    assert_eq!(refused(vec![]), Some(Unfit::NoColumn));
    assert_eq!(
        refused(vec![column("user", &words), numbers.clone()]),
        Some(Unfit::NoSequences {
            columns: "user, bytes".to_owned()
        })
    );
    assert_eq!(
        refused(vec![
            column("calls", &sessions(20, 1)),
            numbers,
            column("more", &sessions(20, 2))
        ]),
        Some(Unfit::SeveralSequences {
            columns: "calls, more".to_owned()
        })
    );
    assert_eq!(
        refused(vec![column("calls", &sessions(7, 1))]),
        Some(Unfit::TooFew { rows: 7 })
    );
    let among = vec![column("user", &words), column("calls", &sessions(20, 1))];
    let model = Model::learn(&Table::new(among), &settings(Training::Apart)).expect("one column holds sequences");
    assert_eq!(model.columns().names(), ["calls"]);
}

#[test]
fn sequences_that_are_all_the_same_teach_that_others_are_not() {
    let model = learned(&vec!["a b c".to_owned(); 40]);
    assert!(surprise(&model, "a b c") < 0.1);
    assert!(surprise(&model, "a c b") > 1.0);
}

#[test]
fn a_million_different_tokens_and_one_very_long_sequence_stay_within_bounds() {
    let mut texts: Vec<String> = (0..100)
        .map(|row| {
            let tokens: Vec<String> = (0..10_000).map(|token| format!("t{row}-{token}")).collect();
            format!("begin {} end", tokens.join(" "))
        })
        .collect();
    texts.push("begin end ".repeat(20_000));
    let column = column("calls", &texts);
    let Values::Texts { names, places } = &column.values else {
        panic!("they are texts")
    };
    let (sequence, strangeness) = Sequence::learn(names, places, 1).expect("there is enough");
    assert!(sequence.grams.len() <= 1 << 20, "{}", sequence.grams.len());
    assert!(sequence.words.len() <= 60_000, "{}", sequence.words.len());
    assert!(strangeness.iter().flatten().all(|raw| raw.is_finite()));
    // What all have in common is still known, though runs of several tokens did not fit.
    let mut state = sequence.begin();
    let (begin, other) = (
        sequence.step(&mut state.clone(), "begin"),
        sequence.step(&mut state, "t3-7"),
    );
    assert!(begin < 0.1 && other > 5.0, "{begin} {other}");
}

#[test]
fn a_state_of_another_model_is_no_harm() {
    let small = learned(&sessions(20, 1));
    let large = learned(&sessions(3000, 2));
    let mut state = large.sequence().expect("it is one of sequences").begin();
    for token in ["open", "stat", "wait", "seek"] {
        large
            .sequence()
            .expect("it is one of sequences")
            .step(&mut state, token);
    }
    let sequence = small.sequence().expect("it is one of sequences");
    assert!(sequence.step(&mut state, "read").is_finite());
    assert!(sequence.strangeness(&state).is_finite());
}
