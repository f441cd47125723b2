//! Same records, same alerts: byte for byte, however many partitions there are, however many events are handed to them
//! at once, wherever watermarks stand, wherever the engine is saved and restored, into whatever number of partitions, and
//! in whatever order records come within `disorder_max`.

mod sample;

use sample::{Numbers, assert_same, inputs, restore, saved};
use stakeout::domain::{Alert, Duration, Event, Networks, Timestamp};
use stakeout::engine::catalog::embedded;
use stakeout::engine::order::{OrderBuffer, Stamped, TimeGuard};
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::snapshot::SnapshotProblem;
use stakeout::engine::triage::Budget;

const DISORDER_MAX: Duration = Duration::from_millis(500);
const SEEDS: [u64; 3] = [20_261_122, 7, 4_000_000_007];

/// Shuffles records whose times lie within `DISORDER_MAX` of each other.
fn shuffle(events: &mut [Event], numbers: &mut Numbers) {
    let mut from = 0;
    while from < events.len() {
        let first = events[from].time();
        let near = |event: &&Event| event.time() >= first && event.time() < first.plus(DISORDER_MAX);
        let length = events[from..].iter().take_while(near).count();
        for place in (1..length).rev() {
            events.swap(from + place, from + numbers.below(place as u64 + 1) as usize);
        }
        from += length.max(1);
    }
}

/// Every event in its one order, as `run` merges inputs.
fn merged(mut inputs: Vec<Vec<Event>>, shuffle_seed: Option<u64>) -> Vec<Stamped> {
    let mut all = Vec::new();
    for (number, events) in inputs.iter_mut().enumerate() {
        if let Some(seed) = shuffle_seed {
            shuffle(events, &mut Numbers(seed + number as u64));
        }
        let mut guard = TimeGuard::default();
        let mut believed = Vec::new();
        for event in events.drain(..) {
            guard.push(event.time(), event, |_, event| believed.push(event));
        }
        guard.finish(|_, event| believed.push(event));
        let mut order = OrderBuffer::new(number as u16, DISORDER_MAX);
        for event in believed {
            order.push(event.time(), event, &mut all);
        }
        order.finish(&mut all);
    }
    all.sort_by_cached_key(|stamped| (stamped.engine_time, stamped.event.content_hash(), stamped.input));
    all
}

/// How one run differs from another without being allowed to differ in its result.
#[derive(Clone, Debug)]
struct Manner {
    partitions: usize,
    batch_events: usize,
    watermark_seed: Option<u64>,
    /// Saved after this share of the way, in thousandths, and restored into an engine of so many partitions.
    restarts: Vec<(usize, usize)>,
    entities_max: Option<u32>,
    budget: Budget,
}

impl Default for Manner {
    fn default() -> Self {
        Manner {
            partitions: 1,
            batch_events: 256,
            watermark_seed: None,
            restarts: Vec::new(),
            entities_max: None,
            budget: Budget::Unlimited,
        }
    }
}

impl Manner {
    /// A manner of which everything is left to chance.
    fn drawn(numbers: &mut Numbers) -> Manner {
        let mut count = |of: &[usize]| of[numbers.below(of.len() as u64) as usize];
        let partitions = count(&[1, 2, 3, 8, 1024]);
        let batch_events = count(&[1, 2, 37, 256, 4096]);
        let restarts = count(&[0, 1, 2, 4]);
        let restarts = (0..restarts).map(|_| (numbers.below(1000) as usize, 1 + numbers.below(12) as usize));
        Manner {
            partitions,
            batch_events,
            restarts: restarts.collect(),
            watermark_seed: Some(numbers.below(1 << 32)),
            ..Manner::default()
        }
    }
}

fn alerts(events: Vec<Stamped>, manner: &Manner) -> Vec<Alert> {
    let catalog = embedded::catalog().expect("the detectors that are built in have no mistakes");
    let bounds = manner
        .entities_max
        .map_or_else(EngineBounds::default, |entities_per_key_group_max| EngineBounds {
            entities_per_key_group_max,
        });
    let program = Program::new(&catalog, Networks::default(), bounds).expect("not too many detectors");
    let begin = |partitions| {
        Engine::new(program.clone(), manner.budget, partitions, jiff::tz::TimeZone::UTC)
            .with_batches_of(manner.batch_events)
    };
    let mut engine = begin(manner.partitions);
    let mut numbers = manner.watermark_seed.map(Numbers);
    let mut alerts = Vec::new();
    let length = events.len();
    for (place, stamped) in events.into_iter().enumerate() {
        for (_, partitions) in manner
            .restarts
            .iter()
            .filter(|(share, _)| length * share / 1000 == place)
        {
            let pieces = saved(&mut engine, &mut alerts);
            engine = begin(*partitions);
            restore(&mut engine, &pieces).expect("state is read");
        }
        if let Some(numbers) = &mut numbers
            && numbers.below(50) == 0
        {
            engine.advance(stamped.engine_time, &mut alerts);
        }
        engine.push(stamped, &mut alerts);
    }
    engine.finish(&mut alerts);
    let is_bounded = manner.entities_max.is_some();
    assert_eq!(
        engine.totals().shared > 0,
        is_bounded,
        "the bound is reached where there is one"
    );
    alerts
}

/// What is compared: everything that an alert says.
fn told(alerts: &[Alert]) -> String {
    alerts.iter().map(|alert| format!("{alert:?}\n")).collect()
}

/// Positions of evidence may differ when the records of an input are in another order.
fn without_positions(alert: &Alert) -> Alert {
    let mut alert = alert.clone();
    alert.first.context.evidence.clear();
    alert.peak.context.evidence.clear();
    alert
}

#[test]
fn the_manner_of_running_changes_nothing() {
    for seed in SEEDS {
        let plain = alerts(merged(inputs(seed), None), &Manner::default());
        let folded = plain.iter().filter(|alert| alert.merged_into.is_some()).count();
        assert!(
            plain.len() >= 10 && folded >= 1,
            "seed {seed}: {} alerts, {folded} folded",
            plain.len()
        );
        let plain = told(&plain);
        let mut numbers = Numbers(seed);
        for _ in 0..4 {
            let manner = Manner::drawn(&mut numbers);
            let other = alerts(merged(inputs(seed), None), &manner);
            assert_same(&plain, &told(&other), &(seed, manner));
        }
    }
}

#[test]
fn every_number_of_partitions_and_every_size_of_a_batch_gives_the_same() {
    let seed = SEEDS[0];
    let budget = Budget::AlertsPerDay(20.0);
    let plain = alerts(
        merged(inputs(seed), None),
        &Manner {
            budget,
            ..Manner::default()
        },
    );
    assert!(plain.len() >= 3, "the attacks of the sample are told: {}", told(&plain));
    for (partitions, batch_events) in [(1, 1), (8, 4096), (1024, 100)] {
        let manner = Manner {
            partitions,
            batch_events,
            budget,
            ..Manner::default()
        };
        let other = alerts(merged(inputs(seed), None), &manner);
        assert_same(&told(&plain), &told(&other), &manner);
    }
}

#[test]
fn records_shuffled_within_disorder_max_give_the_same() {
    for seed in SEEDS {
        let run = |shuffle_seed, manner| {
            let alerts = alerts(merged(inputs(seed), shuffle_seed), &manner);
            told(&alerts.iter().map(without_positions).collect::<Vec<_>>())
        };
        let plain = run(None, Manner::default());
        let manner = Manner::drawn(&mut Numbers(seed ^ 1));
        let how = (seed, manner.clone());
        assert_same(&plain, &run(Some(seed), manner), &how);
    }
}

#[test]
fn saving_and_restoring_in_the_middle_of_an_attack_changes_nothing() {
    let seed = SEEDS[0];
    let plain = told(&alerts(merged(inputs(seed), None), &Manner::default()));
    for restarts in [
        vec![(10, 4), (500, 1)],
        vec![(660, 8), (670, 8), (680, 2), (690, 1024)],
        vec![(0, 3), (999, 1)],
    ] {
        let manner = Manner {
            partitions: 4,
            restarts,
            ..Manner::default()
        };
        let other = alerts(merged(inputs(seed), None), &manner);
        assert_same(&plain, &told(&other), &manner);
    }
}

/// An engine of the detectors that are built in, which tells everything.
fn engine(partitions: usize, entities_max: u32) -> Engine {
    let catalog = embedded::catalog().expect("the detectors that are built in have no mistakes");
    let bounds = EngineBounds {
        entities_per_key_group_max: entities_max,
    };
    let program = Program::new(&catalog, Networks::default(), bounds).expect("not too many detectors");
    Engine::new(program, Budget::Unlimited, partitions, jiff::tz::TimeZone::UTC).with_batches_of(37)
}

/// What becomes of the alerts behind a moment in thousandths at which saving begins, where an entity or so is saved with
/// each event; and what becomes of them in an engine of so many other partitions that takes up what was saved.
fn alerts_behind(seed: u64, share: usize, partitions: [usize; 2], entities_max: u32) -> [Vec<Alert>; 2] {
    let mut events = merged(inputs(seed), None);
    let behind = events.split_off(events.len() * share / 1000);
    let mut one = engine(partitions[0], entities_max);
    let mut before = Vec::new();
    events.into_iter().for_each(|event| one.push(event, &mut before));
    one.settle(&mut before);
    let mut pieces = Vec::new();
    let mut put = |piece: &[u8]| {
        pieces.push(piece.to_vec());
        Ok::<_, SnapshotProblem>(())
    };
    let entities = one.totals().entities;
    one.begin_saving(&mut put).expect("memory");
    let mut numbers = Numbers(seed);
    let mut alerts = Vec::new();
    let mut saved_while = 0;
    let mut is_saved = false;
    for event in &behind {
        if !is_saved {
            is_saved = one.go_on_saving(numbers.below(3) as usize, &mut put).expect("memory");
            saved_while += 1;
        }
        one.push(event.clone(), &mut alerts);
    }
    assert!(is_saved && saved_while > 50, "{saved_while} events came meanwhile");
    one.finish(&mut alerts);
    let mut other = engine(partitions[1], entities_max);
    restore(&mut other, &pieces).expect("the state is whole");
    assert_eq!(other.totals().entities, entities);
    let mut again = Vec::new();
    behind.into_iter().for_each(|event| other.push(event, &mut again));
    other.finish(&mut again);
    [alerts, again]
}

#[test]
fn what_is_saved_while_judging_goes_on_is_of_the_moment_at_which_that_began() {
    for (share, partitions, entities_max) in [
        (300, [1, 1], 1000),
        (640, [4, 3], 1000),
        (670, [1024, 2], 1000),
        (670, [1, 8], 1),
        (690, [2, 1], 1000),
    ] {
        for seed in SEEDS {
            let [alerts, again] = alerts_behind(seed, share, partitions, entities_max);
            assert!(alerts.len() >= 5, "{share}: {} alerts", alerts.len());
            assert_same(&told(&alerts), &told(&again), &(seed, share, partitions));
        }
    }
}

#[test]
fn state_that_cannot_be_used_is_refused_whole() {
    let catalog = embedded::catalog().expect("the detectors that are built in have no mistakes");
    let program = Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("not too many detectors");
    let begin = |partitions| {
        Engine::new(
            program.clone(),
            Budget::AlertsPerDay(20.0),
            partitions,
            jiff::tz::TimeZone::UTC,
        )
    };
    let pieces = saved(&mut begin(2), &mut Vec::new());
    assert!(restore(&mut begin(2), &pieces).is_ok());
    assert!(restore(&mut begin(3), &pieces).is_ok());
    assert!(restore(&mut begin(2), &pieces[..1]).is_err(), "what follows is missing");
    assert!(
        restore(&mut begin(2), &pieces[..pieces.len() - 1]).is_err(),
        "one is missing"
    );
    assert!(
        restore(&mut begin(2), &[&pieces[..], &pieces[1..2]].concat()).is_err(),
        "one is there twice"
    );
    for cut in [1, pieces[0].len() / 2] {
        assert!(
            restore(
                &mut begin(2),
                &[vec![pieces[0][..cut].to_vec()], pieces[1..].to_vec()].concat()
            )
            .is_err()
        );
    }
    assert!(restore(&mut begin(2), &[vec![9, 9, 9]]).is_err());
}

#[test]
fn reaching_the_bound_of_entities_is_the_same_in_every_manner() {
    for seed in SEEDS {
        let entities_max = Some(1);
        let plain = alerts(
            merged(inputs(seed), None),
            &Manner {
                entities_max,
                ..Manner::default()
            },
        );
        assert!(plain.len() > 3, "seed {seed}: {} alerts", plain.len());
        let manner = Manner {
            entities_max,
            ..Manner::drawn(&mut Numbers(seed ^ 2))
        };
        let other = alerts(merged(inputs(seed), None), &manner);
        assert_same(&told(&plain), &told(&other), &(seed, manner));
    }
}

#[test]
fn a_record_of_2099_is_refused_and_moves_nothing() {
    let seed = SEEDS[0];
    let mut without = inputs(seed);
    let before: usize = without.iter().map(Vec::len).sum();
    without[2].retain(|event| event.time() < Timestamp::from_seconds(4_000_000_000));
    assert_eq!(without.iter().map(Vec::len).sum::<usize>() + 1, before);
    let run = |inputs| alerts(merged(inputs, None), &Manner::default());
    assert_same(&told(&run(inputs(seed))), &told(&run(without)), &seed);
}
