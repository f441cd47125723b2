//! Same records, same alerts: byte for byte, however many partitions there are, however many events are handed to them
//! at once, wherever watermarks stand, wherever the engine is saved and restored, into whatever number of partitions, and
//! in whatever order records come within `disorder_max`.

use stakeout::domain::{Alert, Duration, Event, Field, Networks, Timestamp};
use stakeout::engine::catalog::embedded;
use stakeout::engine::order::{OrderBuffer, Stamped, TimeGuard};
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::triage::Budget;

const DISORDER_MAX: Duration = Duration::from_millis(500);
const SEEDS: [u64; 3] = [20_261_122, 7, 4_000_000_007];

/// A generator of numbers, the same on every machine (Steele et al., SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn login(time: Timestamp, source: u64, user: u64, host: u64, good: bool) -> Event {
    let mut event = Event::new(time);
    event.add_str(Field::EventCategory, "authentication");
    event.add_str(Field::EventOutcome, if good { "success" } else { "failure" });
    event.add_ip(
        Field::SourceIp,
        format!("198.51.{}.{}", source / 250, source % 250)
            .parse()
            .expect("an address"),
    );
    event.add_str(Field::UserName, &format!("user{user}"));
    event.add_str(Field::HostName, &format!("host{host}"));
    event.add_str(Field::EventDataset, "sshd");
    event
}

fn flow(time: Timestamp, source: u64, destination: u64, port: u64, bytes: u64) -> Event {
    let mut event = Event::new(time);
    event.add_str(Field::EventCategory, "network");
    event.add_str(Field::EventType, "connection");
    event.add_str(Field::EventType, "end");
    event.add_ip(Field::SourceIp, format!("10.0.0.{source}").parse().expect("an address"));
    event.add_ip(
        Field::DestinationIp,
        format!("203.0.{}.{}", destination / 250, destination % 250)
            .parse()
            .expect("an address"),
    );
    event.add_u64(Field::DestinationPort, port);
    event.add_u64(Field::SourceBytes, bytes);
    event.add_u64(Field::DestinationPackets, 3);
    event.add_str(Field::NetworkTransport, "tcp");
    event.set_start(time.minus(Duration::from_millis(40)));
    event
}

/// Six hours of ordinary logins and flows with a scan, a guess and a crowd of guessers in them, for five inputs that
/// often share a time, with one record of 2099 in the middle.
fn inputs(seed: u64) -> Vec<Vec<Event>> {
    let mut numbers = Numbers(seed);
    let begin = Timestamp::from_seconds(1_780_000_000);
    let mut inputs = vec![Vec::new(); 5];
    for second in 0..6 * 3600u64 {
        let time = begin.plus(Duration::from_seconds(second as i64));
        let input = numbers.below(5) as usize;
        if second % 7 == 0 {
            let good = numbers.below(20) > 0;
            inputs[input].push(login(
                time,
                numbers.below(30),
                numbers.below(12),
                numbers.below(4),
                good,
            ));
        }
        if second % 3 == 0 {
            let bytes = 200 + numbers.below(5000);
            let port = [80, 443, 53][numbers.below(3) as usize];
            inputs[input].push(flow(time, numbers.below(20), numbers.below(40), port, bytes));
        }
        if (4 * 3600..4 * 3600 + 90).contains(&second) {
            for input in &mut inputs {
                input.push(flow(time, 13, numbers.below(40), 1000 + numbers.below(3000), 60));
            }
            inputs[1].push(login(time, 77, numbers.below(40), 2, false));
            for input in &mut inputs {
                input.push(login(time, 900 + numbers.below(60), 3, 1, false));
            }
        }
        if second == 3 * 3600 {
            inputs[2].push(login(Timestamp::from_seconds(4_090_000_000), 5, 5, 1, false));
        }
    }
    inputs
}

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
            let bytes = engine.save(&mut alerts).expect("state is written");
            engine = begin(*partitions);
            engine.restore(&bytes).expect("state is read");
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

/// Compares texts of many lines by the first line in which they differ.
fn assert_same(one: &str, other: &str, how: &dyn std::fmt::Debug) {
    if one != other {
        let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        panic!(
            "{how:?}: {} and {} forms of alerts, first difference {differs:#?}",
            one.lines().count(),
            other.lines().count()
        );
    }
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
    let bytes = begin(2).save(&mut Vec::new()).expect("state is written");
    assert!(begin(2).restore(&bytes).is_ok());
    assert!(begin(3).restore(&bytes).is_ok());
    assert!(begin(2).restore(&bytes[..1]).is_err());
    assert!(begin(2).restore(&bytes[..bytes.len() / 2]).is_err());
    assert!(begin(2).restore(&[9, 9, 9]).is_err());
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
