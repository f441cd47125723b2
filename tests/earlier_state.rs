//! State that an earlier version has saved is taken up, and judges as if this version had learned it.
//!
//! `tests/earlier` holds the state that version 0.1 wrote after the first three days of the log made here, with its
//! detectors. `engine-8.state` is of format 8, all entities in one piece; `engine-9.state` of format 9, a piece for each key
//! group; `engine-10.state` of format 10, `engine-11.state` of format 11. The values of the categories of the first three
//! had weights that were not rounded, so that numbers may differ in their fourth digit.

mod program;

use program::{Folder, run, stakeout};
use stakeout::domain::{Duration, Event, Field, Networks, Timestamp};
use stakeout::engine::catalog::Catalog;
use stakeout::engine::feed::{Feed, FeedProblem};
use stakeout::engine::order::{OrderBuffer, TimeGuard};
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::snapshot::SnapshotProblem;
use stakeout::engine::triage::Budget;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: u64 = 1_772_409_600;

/// Connections of forty sources in these hours. One of them tries fifty ports in the seventy-fourth hour.
fn log(hours: std::ops::Range<u64>) -> String {
    let mut text = String::new();
    let mut line = |at: u64, source: u64, port: u64, bytes: u64| {
        let _ = writeln!(
            text,
            r#"{{"ts":{at},"uid":"C{at}x{source}","id.orig_h":"10.0.0.{source}","id.orig_p":40000,"id.resp_h":"198.51.100.9","id.resp_p":{port},"proto":"tcp","conn_state":"SF","duration":0.1,"orig_bytes":{bytes},"resp_bytes":100,"orig_pkts":5,"resp_pkts":5}}"#
        );
    };
    for hour in hours {
        for source in 0..40 {
            let at = BEGIN + hour * 3600 + source * 60;
            let port = if (source + hour) % 3 == 0 { 53 } else { 443 };
            line(at, source, port, 500 + (source * 97 + hour * 31) % 1000);
            if hour == 73 && source == 7 {
                (0..50).for_each(|number| line(at + number, source, 1000 + number, 1_000_000));
            }
        }
    }
    text
}

fn at_home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/earlier").join(path)
}

/// The alerts that a log leads to after a state.
fn told(log: &Path, state: &Path) -> String {
    let mut command = stakeout(["replay", "--format", "ecs", "--quiet", "--detectors"]);
    command.arg(at_home("detectors")).arg("--state").arg(state).arg(log);
    let ran = run(command);
    ran.check(0, &[]);
    ran.stdout
}

/// Whether two texts are the same but for numbers that differ by less than a thousandth.
fn are_alike(one: &str, other: &str) -> bool {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let words = |text: &str| text.split(is_of_number).collect::<String>();
    let numbers = |text: &str| -> Vec<String> {
        let numbers = text.split(|c| !is_of_number(c)).filter(|number| !number.is_empty());
        numbers.map(str::to_owned).collect()
    };
    let is_near = |(one, other): (&String, &String)| match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-3 * a.abs().max(b.abs()),
        _ => one == other,
    };
    let (ours, theirs) = (numbers(one), numbers(other));
    words(one) == words(other) && ours.len() == theirs.len() && ours.iter().zip(&theirs).all(is_near)
}

#[test]
fn state_of_earlier_formats_judges_as_if_this_version_had_learned_it() {
    let folder = Folder::new("earlier-state");
    let first = folder.file("first.log", log(0..72));
    let second = folder.file("second.log", log(72..76));
    let now = folder.0.join("now");
    assert_eq!(told(&first, &now), "");
    let expected = told(&second, &now);
    assert!(expected.lines().count() >= 3, "the ports are told: {expected}");

    for name in ["engine-8.state", "engine-9.state", "engine-10.state", "engine-11.state"] {
        let earlier = folder.0.join(name);
        fs::create_dir(&earlier).expect("a folder");
        fs::copy(at_home(name), earlier.join("engine.state")).expect("the state is there");
        let told = told(&second, &earlier);
        assert!(are_alike(&told, &expected), "{name}: {told} is not {expected}");
    }
}

#[derive(Debug)]
enum Problem {
    Feed,
    Engine,
}

impl From<FeedProblem> for Problem {
    fn from(_: FeedProblem) -> Problem {
        Problem::Feed
    }
}

impl From<SnapshotProblem> for Problem {
    fn from(_: SnapshotProblem) -> Problem {
        Problem::Engine
    }
}

fn feed() -> Feed {
    let files = ["source_bytes.yml", "source_connections.yml", "source_port.yml"];
    let read = |file| fs::read_to_string(at_home("detectors").join(file)).expect("a detector");
    let catalog = Catalog::read(&files.map(|file| (file, read(file)))).expect("no mistakes");
    let program = Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("not too many");
    let engine = Engine::new(program, Budget::AlertsPerDay(20.0), 2, jiff::tz::TimeZone::UTC);
    Feed::new(engine, Duration::ZERO)
}

#[test]
fn a_feed_of_format_1_which_ends_with_its_engine_is_taken_up() {
    let engine = fs::read(at_home("engine-8.state")).expect("the state is there");
    let fields: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
    let time = Timestamp::from_seconds(1_772_668_800);
    let inputs: [(u16, ()); 0] = [];
    let waiting: [(); 0] = [];
    let state = (fields, time, time, &inputs[..], &waiting[..], &engine[..]);
    let state = postcard::to_extend(&state, 1u16.to_le_bytes().to_vec()).expect("memory");

    let mut feed = feed();
    feed.restore::<Problem>(&state, |_| Ok(false)).expect("it is taken up");
    assert_eq!(feed.horizon(), time);
    assert_eq!(feed.engine().totals().entities, 40);
}

#[test]
fn a_feed_of_format_2_which_knows_no_exporters_is_taken_up() {
    let engine = fs::read(at_home("engine-8.state")).expect("the state is there");
    let fields: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
    let time = Timestamp::from_seconds(1_772_668_800);
    let (guard, order) = (TimeGuard::<Event>::default(), OrderBuffer::new(3, Duration::ZERO));
    let (opening, decoder): (Option<()>, Vec<u8>) = (None, Vec::new());
    let inputs = [(3u16, (opening, decoder, guard, order, time, time))];
    let waiting: [(); 0] = [];
    let state = (fields, time, time, &inputs[..], &waiting[..]);
    let state = postcard::to_extend(&state, 2u16.to_le_bytes().to_vec()).expect("memory");

    let mut feed = feed();
    let mut pieces = [engine].into_iter();
    let next = |piece: &mut Vec<u8>| Ok::<_, Problem>(pieces.next().map(|next| *piece = next).is_some());
    feed.restore(&state, next).expect("it is taken up");
    assert_eq!(feed.reached(3), Some((time, time)));
    assert_eq!(feed.engine().totals().entities, 40);
}
