//! Same records, same alerts, when the work is shared: events depart in several streams to partitions elsewhere, each of
//! which learns, sums up and finds by itself, is saved and taken up at any moment and waits for nobody but the population;
//! and the alerts, and what was learned, are byte for byte those of one engine.

mod sample;

use sample::{Numbers, assert_same, inputs, saved};
use stakeout::domain::{Alert, Duration, Event, Field, Finding, Mark, Networks, Passed, Timestamp};
use stakeout::engine::catalog::embedded;
use stakeout::engine::order::{OrderBuffer, Stamped, TimeGuard};
use stakeout::engine::partition::Learned;
use stakeout::engine::pipeline::{Docket, Engine, Shard, Share};
use stakeout::engine::population::{Summaries, write_summary};
use stakeout::engine::program::{EngineBounds, Program};
use stakeout::engine::snapshot::SnapshotProblem;
use stakeout::engine::triage::Budget;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const SEEDS: [u64; 2] = [20_261_122, 7];

/// The sample, and names that are asked for and often do not exist: what waits for the end of its window to be judged.
fn all_inputs(seed: u64) -> Vec<(usize, Vec<Event>)> {
    let mut inputs = inputs(seed);
    let mut numbers = Numbers(seed);
    let begin = inputs[0][0].time();
    let answers = (0..6 * 720).map(|number| {
        let mut event = Event::new(begin.plus(Duration::from_seconds(5 * number)));
        let source = format!("10.0.0.{}", numbers.below(20));
        event.add_ip(Field::SourceIp, source.parse().expect("an address"));
        event.add_str(Field::NetworkProtocol, "dns");
        event.add_str(Field::DnsQuestionName, &format!("{}.example.org", numbers.below(500)));
        let code = ["NOERROR", "NXDOMAIN"][numbers.below(2) as usize];
        event.add_str(Field::DnsResponseCode, code);
        event
    });
    inputs.push(answers.collect());
    inputs.into_iter().enumerate().collect()
}

/// The events of some inputs in their one order.
fn merged(inputs: &[(usize, Vec<Event>)]) -> Vec<Stamped> {
    let mut all = Vec::new();
    for (number, events) in inputs {
        let mut guard = TimeGuard::default();
        let mut order = OrderBuffer::new(*number as u16, Duration::from_millis(500));
        let mut believed = Vec::new();
        for event in events {
            guard.push(event.time(), event.clone(), |_, event| believed.push(event));
        }
        guard.finish(|_, event| believed.push(event));
        for event in believed {
            order.push(event.time(), event, &mut all);
        }
        order.finish(&mut all);
    }
    all.sort_by_cached_key(|stamped| (stamped.engine_time, stamped.event.content_hash(), stamped.input));
    all
}

fn program() -> Program {
    let catalog = embedded::catalog().expect("the detectors that are built in have no mistakes");
    Program::new(&catalog, Networks::default(), EngineBounds::default()).expect("not too many detectors")
}

/// What is known when every event has been judged, but for the end of input.
fn alone(events: &[Stamped], budget: Budget, end: Timestamp) -> (Vec<Alert>, Learned) {
    let mut engine = Engine::new(program(), budget, 1, jiff::tz::TimeZone::UTC);
    let mut alerts = Vec::new();
    for stamped in events {
        engine.push(stamped.clone(), &mut alerts);
    }
    engine.advance(end, &mut alerts);
    let pieces = saved(&mut engine, &mut alerts);
    let mut learned = Learned::default();
    learn(&pieces[1..], &mut learned);
    (alerts, learned)
}

/// Adds what these pieces behind the heads of a state say.
fn learn(pieces: &[Vec<u8>], learned: &mut Learned) {
    let pieces = pieces.iter().map(Vec::as_slice);
    learned.add(pieces).expect("a whole state, and nothing twice");
}

/// A record of a partition's topic.
enum Letter {
    Event(Stamped),
    Mark(Mark),
}

/// What a stream publishes, for each partition in order; what stands in one place was published together.
type Published = Vec<Vec<Vec<Letter>>>;

/// A collector publishes its events in parcels of any size.
fn publish(events: Vec<Stamped>, partitions: u16, end: Timestamp, numbers: &mut Numbers) -> Published {
    let mut engine = Engine::with_partitions_elsewhere(program(), partitions);
    let mut published: Published = (0..partitions).map(|_| Vec::new()).collect();
    let parcel = |engine: &mut Engine, published: &mut Published| {
        let departures = engine.departures().expect("partitions are elsewhere");
        let mut letters: Vec<Vec<Letter>> = (0..partitions).map(|_| Vec::new()).collect();
        for departure in departures.take() {
            for (partition, _) in &departure.to {
                letters[usize::from(*partition)].push(Letter::Event(departure.stamped.clone()));
            }
        }
        let mark = departures.mark(false);
        for (letters, published) in letters.into_iter().zip(published) {
            let mark = Letter::Mark(mark.clone());
            published.push(letters.into_iter().chain([mark]).collect());
        }
    };
    let usual = 1 + numbers.below(3000);
    for stamped in events {
        if numbers.below(usual) == 0 {
            engine.advance(stamped.engine_time, &mut Vec::new());
            parcel(&mut engine, &mut published);
        }
        engine.push(stamped, &mut Vec::new());
    }
    engine.advance(end, &mut Vec::new());
    parcel(&mut engine, &mut published);
    published
}

/// What a partition tells triage.
enum Told {
    Finding(Box<Finding>),
    Passed(Passed),
}

struct Detecting {
    shard: Shard,
    letters: VecDeque<(usize, Letter)>,
    told: VecDeque<Told>,
}

fn shard(place: u16, of: u16, budget: Budget) -> Shard {
    Shard::new(program(), budget, Share { place, of }, jiff::tz::TimeZone::UTC)
}

impl Detecting {
    /// Takes some records and does what can be done with them.
    fn take(&mut self, most: u64, summaries: &mut Summaries) {
        for _ in 0..most {
            let ready = self.absorb(summaries);
            if !ready {
                return;
            }
            let Some((stream, letter)) = self.letters.pop_front() else {
                return;
            };
            let stream = format!("collector-{stream}");
            match letter {
                Letter::Event(stamped) => {
                    self.shard.event(&stream, stamped);
                }
                Letter::Mark(mark) => self.shard.mark(&stream, mark),
            }
        }
    }

    /// Works as far as it can. Gives whether it waits for nothing.
    fn absorb(&mut self, summaries: &mut Summaries) -> bool {
        loop {
            let done = self.shard.work().is_ok();
            self.told
                .extend(self.shard.findings().map(|finding| Told::Finding(Box::new(finding))));
            for (epoch, summary) in self.shard.summaries() {
                let bytes = write_summary(&summary, self.shard.program()).expect("memory");
                let place = self.shard.share().place;
                summaries.take(epoch, place, &bytes).expect("what was just written");
            }
            self.told.push_back(Told::Passed(self.shard.passed()));
            let next = self.shard.awaited().next();
            let Some(whole) = next.and_then(|epoch| summaries.whole(epoch)) else {
                return done;
            };
            self.shard.absorb(whole);
        }
    }

    fn saved(&mut self) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let put = |piece: &[u8]| {
            pieces.push(piece.to_vec());
            Ok::<_, SnapshotProblem>(())
        };
        self.shard.save(put).expect("a state");
        pieces
    }

    fn move_elsewhere(&mut self, budget: Budget) {
        let pieces = self.saved();
        let Share { place, of } = self.shard.share();
        self.shard = shard(place, of, budget);
        let mut rest = pieces[1..].iter();
        let next = |piece: &mut Vec<u8>| -> Result<bool, SnapshotProblem> {
            Ok(rest.next().map(|next| piece.clone_from(next)).is_some())
        };
        self.shard.restore(&pieces[0], next).expect("the same state");
    }
}

/// The same with the work shared.
fn shared(
    streams: Vec<Vec<Stamped>>,
    partitions: u16,
    budget: Budget,
    end: Timestamp,
    seed: u64,
) -> (Vec<Alert>, Learned) {
    let mut numbers = Numbers(seed);
    let mut topics: Vec<Vec<VecDeque<Vec<Letter>>>> = (0..partitions).map(|_| Vec::new()).collect();
    for events in streams {
        for (topic, parcels) in topics.iter_mut().zip(publish(events, partitions, end, &mut numbers)) {
            topic.push(parcels.into());
        }
    }
    let mut shards = Vec::new();
    for (place, mut streams) in (0..partitions).zip(topics) {
        // What several streams publish comes in any order.
        let mut letters = VecDeque::new();
        for stream in 0..streams.len() {
            // It is known from the beginning that there is more of each.
            let mark = Mark {
                watermark: Timestamp::MIN,
                active: Vec::new(),
                quiet: false,
                retired: false,
                announced: false,
            };
            letters.push_back((stream, Letter::Mark(mark)));
        }
        while streams.iter().any(|parcels| !parcels.is_empty()) {
            let stream = numbers.below(streams.len() as u64) as usize;
            let parcel = streams[stream].pop_front().unwrap_or_default();
            letters.extend(parcel.into_iter().map(|letter| (stream, letter)));
        }
        shards.push(Detecting {
            shard: shard(place, partitions, budget),
            letters,
            told: VecDeque::new(),
        });
    }
    let mut summaries = Summaries::new(&program(), partitions, shards[0].shard.blank());
    let mut docket = Docket::new(program(), budget, partitions);
    let mut alerts = Vec::new();
    let mut rounds = 0;
    while shards
        .iter()
        .any(|shard| !shard.letters.is_empty() || !shard.told.is_empty())
    {
        rounds += 1;
        assert!(rounds < 1_000_000, "nobody waits for ever");
        let place = numbers.below(u64::from(partitions));
        let detecting = &mut shards[place as usize];
        if numbers.below(100) == 0 {
            detecting.move_elsewhere(budget);
        }
        detecting.take(numbers.below(2000), &mut summaries);
        for _ in 0..numbers.below(50) {
            match detecting.told.pop_front() {
                Some(Told::Finding(finding)) => docket.finding(*finding),
                Some(Told::Passed(passed)) => docket.partition_passed(place as u16, passed),
                None => break,
            }
        }
        if numbers.below(200) == 0 {
            let bytes = docket.save().expect("memory");
            docket = Docket::new(program(), budget, partitions);
            docket.restore(&bytes).expect("the same state");
        }
        while docket.work(&mut alerts).is_err() {
            let epoch = docket.awaited().next().expect("what is missing is awaited");
            let Some(whole) = summaries.whole(epoch) else { break };
            docket.absorb(whole);
        }
    }
    assert_eq!(docket.waiting(), 0);
    let mut learned = Learned::default();
    for shard in &mut shards {
        learn(&shard.saved()[2..], &mut learned);
    }
    (alerts, learned)
}

fn told(alerts: &[Alert]) -> String {
    alerts.iter().map(|alert| format!("{alert:?}\n")).collect()
}

/// The keys under which the two do not hold the same.
fn different<K: Ord + Clone, V: PartialEq>(one: &BTreeMap<K, V>, other: &BTreeMap<K, V>) -> Vec<K> {
    let keys: BTreeSet<&K> = one.keys().chain(other.keys()).collect();
    let differ = keys.into_iter().filter(|key| one.get(key) != other.get(key));
    differ.cloned().collect()
}

#[test]
fn shared_work_gives_the_same_alerts_and_learns_the_same() {
    for seed in SEEDS {
        let inputs = all_inputs(seed);
        let all = merged(&inputs);
        let last = all.last().expect("events").engine_time;
        let early = all[all.len() * 9 / 10].engine_time;
        let budget = if seed == 7 {
            Budget::AlertsPerDay(20.0)
        } else {
            Budget::Unlimited
        };
        // While windows are open, and when every one is closed.
        for (end, wakes_min) in [(early, 5), (last.plus(Duration::from_seconds(3 * 3600)), 0)] {
            let before = |mut events: Vec<Stamped>| {
                events.retain(|stamped| stamped.engine_time < end);
                events
            };
            let (alerts, learned) = alone(&before(all.clone()), budget, end);
            assert!(alerts.len() >= 3, "{}", alerts.len());
            let [rows, contacts, wakes] = [learned.rows.len(), learned.contacts.len(), learned.wakes.len()];
            assert!(
                rows >= 100 && contacts >= 100 && wakes >= wakes_min,
                "{rows} rows, {contacts} sketches of contacts, {wakes} wakes"
            );
            for (streams, partitions) in [(1, 1), (1, 3), (2, 5), (3, 24)] {
                let of = |stream: usize| -> Vec<_> {
                    let own = inputs.iter().filter(|(number, _)| number % streams == stream);
                    own.cloned().collect()
                };
                let streams = (0..streams).map(|stream| before(merged(&of(stream)))).collect();
                let (other, learned_there) = shared(streams, partitions, budget, end, seed + u64::from(partitions));
                let how = (seed, partitions, end);
                assert_same(&told(&alerts), &told(&other), &how);
                assert_eq!(different(&learned.rows, &learned_there.rows), [], "rows: {how:?}");
                assert_eq!(
                    different(&learned.contacts, &learned_there.contacts),
                    [],
                    "contacts: {how:?}"
                );
                assert!(learned.wakes == learned_there.wakes, "wakes: {how:?}");
            }
        }
    }
}

#[test]
fn a_state_of_another_share_is_refused() {
    let mut detecting = Detecting {
        shard: shard(1, 3, Budget::Unlimited),
        letters: VecDeque::new(),
        told: VecDeque::new(),
    };
    let pieces = detecting.saved();
    for (place, of) in [(0, 3), (1, 4)] {
        let mut other = shard(place, of, Budget::Unlimited);
        let problem = other
            .restore::<SnapshotProblem>(&pieces[0], |_| Ok(false))
            .expect_err("another share");
        assert!(problem.to_string().contains("partition 1 of 3"), "{problem}");
    }
}
