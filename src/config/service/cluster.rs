//! The cluster of Kafka through which several instances share the work: what `stakeout topics` makes, and what every role
//! reads and writes.

use super::kafka::{self, COPIES_MAX, KafkaConnection, PARTITIONS_USUAL, TOPIC_PARTITIONS_MAX, Tolerance};
use super::{keys, text, whole};
use crate::config::expect_mapping;
use crate::domain::{Duration, Mistake, Place};

/// The cluster that roles share, the section `kafka`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaCluster {
    /// How its brokers are reached.
    pub connection: KafkaConnection,
    /// What the groups' names and the transactional ids begin with.
    pub group: String,
    /// The name of this instance; the host's name without it.
    pub instance: Option<String>,
    /// Partitions of the events and of the state: key groups are dealt out over them.
    pub partitions: u32,
    /// Partitions of the alerts.
    pub alerts_partitions: u32,
    /// Copies of each partition; the brokers' own number without it.
    pub replication: Option<u32>,
    /// The longest time between two transactions.
    pub commit_every: Duration,
    /// How often each key group's state is written at least.
    pub snapshot_every: Duration,
    /// The names of the topics.
    pub topics: ClusterTopics,
    /// What a record that can't be read does.
    pub tolerance: Tolerance,
}

/// The names of the topics that roles share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterTopics {
    /// Decoded events, with the entities that they are there for.
    pub events: String,
    /// Findings, for triage.
    pub findings: String,
    /// What whole groups of entities have shown.
    pub population: String,
    /// What was learned.
    pub state: String,
    /// Alerts.
    pub alerts: String,
    /// Records that could not be read.
    pub dead_letters: String,
}

impl Default for ClusterTopics {
    fn default() -> Self {
        let name = |last: &str| format!("stakeout.{last}");
        ClusterTopics {
            events: name("events"),
            findings: name("findings"),
            population: name("population"),
            state: name("state"),
            alerts: name("alerts"),
            dead_letters: name("dead-letters"),
        }
    }
}

/// What groups and transactional ids begin with, unless it is named.
const GROUP: &str = "stakeout";
/// Partitions of the events and the state, unless it is said.
const PARTITIONS: u32 = 24;
/// There are no more key groups to be dealt out.
const PARTITIONS_MAX: u64 = 1024;
/// Properties that the roles rest on, beside those of every client.
const OURS: [&str; 6] = [
    "transactional.id",
    "group.instance.id",
    "partition.assignment.strategy",
    "isolation.level",
    "auto.offset.reset",
    "group.protocol",
];
/// Brokers refuse longer names.
const NAME_BYTES_MAX: usize = 249;

/// Reads the section.
pub(super) fn read(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<KafkaCluster> {
    expect_mapping(place, &keys::CLUSTER, mistakes);
    if !place.value().is_mapping() {
        return None;
    }
    let mut number =
        |key: &str, usual: u64, least: u64, most: u64| whole(place, key, least, most, mistakes).unwrap_or(usual);
    let partitions = number("partitions", PARTITIONS.into(), 1, PARTITIONS_MAX) as u32;
    let alerts_partitions = number("alerts.partitions", PARTITIONS_USUAL.into(), 1, TOPIC_PARTITIONS_MAX) as u32;
    let commit_every = number("commit.interval.ms", 500, 10, 5000) as i64;
    let snapshot_every = number("snapshot.interval.ms", 30_000, 1000, 600_000) as i64;
    let replication = whole(place, "replication", 1, COPIES_MAX, mistakes);
    let group = place.get("group.id").and_then(|place| text(&place, mistakes));
    let instance = place.get("instance").and_then(|place| name(&place, mistakes));
    let topics = place.get("topics").map(|place| topics(&place, mistakes));
    Some(KafkaCluster {
        tolerance: kafka::tolerance(place, mistakes),
        connection: kafka::connection_without(place, &OURS, mistakes)?,
        group: group.unwrap_or_else(|| GROUP.to_owned()),
        instance,
        partitions,
        alerts_partitions,
        replication: replication.map(|copies| copies as u32),
        commit_every: Duration::from_millis(commit_every),
        snapshot_every: Duration::from_millis(snapshot_every),
        topics: topics.unwrap_or_default(),
    })
}

fn topics(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> ClusterTopics {
    expect_mapping(place, &keys::CLUSTER_TOPICS, mistakes);
    let mut topics = ClusterTopics::default();
    for (key, topic) in [
        ("events", &mut topics.events),
        ("findings", &mut topics.findings),
        ("population", &mut topics.population),
        ("state", &mut topics.state),
        ("alerts", &mut topics.alerts),
        ("dead.letters", &mut topics.dead_letters),
    ] {
        if let Some(name) = place.get(key).and_then(|place| name(&place, mistakes)) {
            *topic = name;
        }
    }
    let mut names = [
        &topics.events,
        &topics.findings,
        &topics.population,
        &topics.state,
        &topics.alerts,
        &topics.dead_letters,
    ];
    names.sort_unstable();
    for pair in names.windows(2) {
        if let [one, other] = pair
            && one == other
        {
            mistakes.push(place.mistake(format!("two of the topics are called `{one}`")));
        }
    }
    topics
}

/// A name that brokers take, of a topic or an instance.
fn name(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let name = text(place, mistakes)?;
    if !is_name(&name) {
        mistakes.push(place.mistake(format!("`{name}` is not a name of letters, digits, `.`, `_` and `-`")));
        return None;
    }
    Some(name)
}

/// Whether brokers take this as the name of a topic or an instance.
pub fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_part) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn brokers_are_all_that_a_cluster_needs() {
        let config = Config::read("s.yml", "kafka: { brokers: 'a:9092' }").expect("no mistakes");
        let cluster = config.service.kafka.expect("a cluster");
        assert_eq!((cluster.partitions, cluster.alerts_partitions), (24, 3));
        assert_eq!((cluster.group.as_str(), cluster.instance), ("stakeout", None));
        assert_eq!(cluster.commit_every, Duration::from_millis(500));
        assert_eq!(cluster.snapshot_every, Duration::from_seconds(30));
        assert_eq!(cluster.topics.dead_letters, "stakeout.dead-letters");
        assert_eq!((cluster.replication, cluster.tolerance), (None, Tolerance::All));
        assert!(Config::read("s.yml", "").expect("no mistakes").service.kafka.is_none());
    }

    #[test]
    fn everything_about_a_cluster_can_be_said() {
        let text = "\
kafka:
  brokers: ['a:9092', 'b:9092']
  properties: { security.protocol: SSL, transaction.timeout.ms: 20000 }
  group.id: soc
  instance: collector-1
  partitions: 1024
  alerts.partitions: 12
  replication: 3
  commit.interval.ms: 10
  snapshot.interval.ms: 600000
  topics: { alerts: soc.alerts, dead.letters: soc.dead }
  errors.tolerance: none
";
        let cluster = Config::read("s.yml", text).expect("no mistakes").service.kafka;
        let cluster = cluster.expect("a cluster");
        assert_eq!(cluster.connection.brokers, ["a:9092", "b:9092"]);
        assert_eq!(cluster.connection.properties.len(), 2);
        assert_eq!(
            (cluster.group.as_str(), cluster.instance.as_deref()),
            ("soc", Some("collector-1"))
        );
        assert_eq!((cluster.partitions, cluster.alerts_partitions), (1024, 12));
        assert_eq!((cluster.replication, cluster.tolerance), (Some(3), Tolerance::None));
        let (commit, snapshot) = (Duration::from_millis(10), Duration::from_seconds(600));
        assert_eq!((cluster.commit_every, cluster.snapshot_every), (commit, snapshot));
        let topics = ClusterTopics {
            alerts: "soc.alerts".to_owned(),
            dead_letters: "soc.dead".to_owned(),
            ..ClusterTopics::default()
        };
        assert_eq!(cluster.topics, topics);
    }

    #[test]
    fn mistakes_about_a_cluster_are_told_with_their_place() {
        let text = "\
kafka:
  brokers: a
  instance: 'collector 1'
  partitions: 1025
  commit.interval.ms: 5001
  snapshot.interval.ms: 30s
  errors.tolerance: some
  group: x
  properties: { isolation.level: read_uncommitted, sasl.password: abc }
  topics: { events: one, state: one, findings: .., letters: x }
";
        let found = Config::read("s.yml", text).expect_err("mistakes");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "s.yml:2:3: kafka/brokers: `a` is not like `broker1.example:9092`",
                "s.yml:3:3: kafka/instance: `collector 1` is not a name of letters, digits, `.`, `_` and `-`",
                "s.yml:4:3: kafka/partitions: must be a whole number from 1 to 1024",
                "s.yml:5:3: kafka/commit.interval.ms: must be a whole number from 10 to 5000",
                "s.yml:6:3: kafka/snapshot.interval.ms: must be a whole number from 1000 to 600000",
                "s.yml:7:3: kafka/errors.tolerance: must be `all` or `none`; did you mean `none`?",
                "s.yml:8:3: kafka/group: unknown key `group`",
                "s.yml:9:17: kafka/properties/isolation.level: `isolation.level` is set by the program and can't be set here",
                "s.yml:9:52: kafka/properties/sasl.password: holds a secret; name where it is: `{ file: .. }` or `{ env: .. }`",
                "s.yml:10:3: kafka/topics: two of the topics are called `one`",
                "s.yml:10:38: kafka/topics/findings: `..` is not a name of letters, digits, `.`, `_` and `-`",
                "s.yml:10:52: kafka/topics/letters: unknown key `letters`",
            ]
        );
        let found = Config::read("s.yml", "kafka: a:9092").expect_err("no mapping");
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
