//! Made-up events of six hours, the same on every machine, for tests of what may change no alert.

#![allow(dead_code, reason = "each test uses a part of it")]

use stakeout::domain::{Alert, Duration, Event, Field, Timestamp};
use stakeout::engine::pipeline::Engine;
use stakeout::engine::snapshot::SnapshotProblem;
use stakeout::engine::succession::Restored;

/// A generator of numbers, the same on every machine (Steele et al., SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
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
pub(crate) fn inputs(seed: u64) -> Vec<Vec<Event>> {
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

/// Compares texts of many lines by the first line in which they differ.
pub(crate) fn assert_same(one: &str, other: &str, how: &dyn std::fmt::Debug) {
    if one != other {
        let differs = one.lines().zip(other.lines()).find(|(one, other)| one != other);
        panic!(
            "{how:?}: {} and {} forms of alerts, first difference {differs:#?}",
            one.lines().count(),
            other.lines().count()
        );
    }
}

/// The pieces of an engine's state.
pub(crate) fn saved(engine: &mut Engine, alerts: &mut Vec<Alert>) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let put = |piece: &[u8]| {
        pieces.push(piece.to_vec());
        Ok::<_, SnapshotProblem>(())
    };
    engine.save(alerts, put).expect("state is written");
    pieces
}

/// Takes up what [`saved`] gave.
pub(crate) fn restore(engine: &mut Engine, pieces: &[Vec<u8>]) -> Result<Restored, SnapshotProblem> {
    let (first, rest) = pieces.split_first().expect("a head");
    let mut rest = rest.iter();
    engine.restore(first, |piece| {
        let next = rest.next();
        piece.clone_from(next.unwrap_or(&Vec::new()));
        Ok(next.is_some())
    })
}
