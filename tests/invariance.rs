//! Same records, same alerts: byte for byte, however many partitions there are, wherever watermarks stand, and in
//! whatever order records come within `disorder_max`.

use stakeout::domain::{Alert, Duration, Event, Field, Networks, Timestamp};
use stakeout::engine::catalog::embedded;
use stakeout::engine::order::{OrderBuffer, Stamped, TimeGuard};
use stakeout::engine::pipeline::Engine;
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::triage::Budget;

const DISORDER_MAX: Duration = Duration::from_millis(500);
const SEED: u64 = 20_261_122;

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
fn inputs() -> Vec<Vec<Event>> {
    let mut numbers = Numbers(SEED);
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
#[derive(Clone, Copy, Default)]
struct Manner {
    partitions: usize,
    watermark_seed: Option<u64>,
    entities_max: Option<u32>,
    /// Saved and restored into a new engine at these shares of the way, in percent.
    restarts: &'static [usize],
}

fn alerts(events: Vec<Stamped>, manner: Manner) -> String {
    let catalog = embedded::catalog().expect("the detectors that are built in have no mistakes");
    let bounds = manner
        .entities_max
        .map_or_else(EngineBounds::default, |entities_per_key_group_max| EngineBounds {
            entities_per_key_group_max,
        });
    let program = Program::new(&catalog, Networks::default(), bounds).expect("not too many detectors");
    let begin = || {
        let partitions = manner.partitions.max(1);
        Engine::new(
            program.clone(),
            Budget::AlertsPerDay(20.0),
            partitions,
            jiff::tz::TimeZone::UTC,
        )
    };
    let mut engine = begin();
    let mut numbers = manner.watermark_seed.map(Numbers);
    let mut alerts = Vec::new();
    let restarts: Vec<_> = manner
        .restarts
        .iter()
        .map(|percent| events.len() * percent / 100)
        .collect();
    for (place, stamped) in events.into_iter().enumerate() {
        if restarts.contains(&place) {
            let bytes = engine.save(&mut alerts).expect("state is written");
            engine = begin();
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
    alerts
        .iter()
        .map(without_positions)
        .map(|alert| format!("{alert:?}\n"))
        .collect()
}

/// Positions of evidence may differ when the records of an input are in another order.
fn without_positions(alert: &Alert) -> Alert {
    let mut alert = alert.clone();
    alert.first.context.evidence.clear();
    alert.peak.context.evidence.clear();
    alert
}

#[test]
fn partitions_watermarks_and_shuffles_change_nothing() {
    let plain = alerts(
        merged(inputs(), None),
        Manner {
            partitions: 1,
            ..Manner::default()
        },
    );
    let told = plain.lines().count();
    assert!(
        told >= 3,
        "the attacks of the sample are told, {told} forms were:\n{plain}"
    );
    for partitions in [2, 8, 1024] {
        let other = alerts(
            merged(inputs(), None),
            Manner {
                partitions,
                ..Manner::default()
            },
        );
        assert_eq!(plain, other, "{partitions} partitions");
    }
    for seed in [1, 2] {
        let manner = Manner {
            partitions: 3,
            watermark_seed: Some(seed),
            ..Manner::default()
        };
        assert_eq!(
            plain,
            alerts(merged(inputs(), None), manner),
            "watermarks of seed {seed}"
        );
        let manner = Manner {
            partitions: 2,
            ..Manner::default()
        };
        assert_eq!(
            plain,
            alerts(merged(inputs(), Some(seed)), manner),
            "shuffle of seed {seed}"
        );
    }
}

#[test]
fn saving_and_restoring_anywhere_changes_nothing() {
    let manner = Manner {
        partitions: 4,
        ..Manner::default()
    };
    let plain = alerts(merged(inputs(), None), manner);
    for restarts in [&[1, 50][..], &[17, 34, 66, 67], &[68, 69, 99]] {
        let other = alerts(merged(inputs(), None), Manner { restarts, ..manner });
        assert_eq!(plain, other, "restarted at {restarts:?} %");
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
    assert!(begin(3).restore(&bytes).is_err());
    assert!(begin(2).restore(&bytes[..1]).is_err());
    assert!(begin(2).restore(&bytes[..bytes.len() / 2]).is_err());
    assert!(begin(2).restore(&[9, 9, 9]).is_err());
}

#[test]
fn reaching_the_bound_of_entities_is_the_same_for_any_number_of_partitions() {
    let manner = |partitions| Manner {
        partitions,
        entities_max: Some(1),
        ..Manner::default()
    };
    let plain = alerts(merged(inputs(), None), manner(1));
    assert_eq!(plain, alerts(merged(inputs(), None), manner(8)));
    assert_eq!(plain, alerts(merged(inputs(), None), manner(1024)));
}

#[test]
fn a_record_of_2099_is_refused_and_moves_nothing() {
    let mut without = inputs();
    without[2].retain(|event| event.time() < Timestamp::from_seconds(4_000_000_000));
    let manner = Manner {
        partitions: 1,
        ..Manner::default()
    };
    assert_eq!(
        alerts(merged(inputs(), None), manner),
        alerts(merged(without, None), manner)
    );
}
