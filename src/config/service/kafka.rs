//! Apache Kafka: how its brokers are reached, which topics are read, and which are written. Keys with dots are Kafka's
//! own, or Kafka Connect's.

use super::{Secret, keys, text, whole};
use crate::config::{bounded, expect_mapping};
use crate::domain::{Mistake, Place};
use std::path::PathBuf;
use yaml_serde::Value;

/// How brokers are reached.
#[derive(Clone, Debug)]
pub struct KafkaConnection {
    /// `host:port` each.
    pub brokers: Vec<String>,
    /// Properties of librdkafka, in the order of the file.
    pub properties: Vec<(String, Property)>,
    /// Where it stands, for telling what is found wrong with it later.
    pub place: Mistake,
}

/// Where it stands makes it no other connection.
impl PartialEq for KafkaConnection {
    fn eq(&self, other: &Self) -> bool {
        (&self.brokers, &self.properties) == (&other.brokers, &other.properties)
    }
}

impl Eq for KafkaConnection {}

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// As it stands in the configuration.
    Plain(String),
    /// A secret, by where it is.
    Secret(Secret),
}

impl Property {
    /// The secret that it is.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Property::Plain(_) => None,
            Property::Secret(secret) => Some(secret),
        }
    }
}

/// Topics that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaInput {
    /// What its partitions' positions are kept under.
    pub name: String,
    /// How brokers are reached.
    pub connection: KafkaConnection,
    /// The topics.
    pub topics: Vec<String>,
    /// The group under which positions are told to those who watch lag.
    pub group: String,
    /// What a record that can't be read does.
    pub tolerance: Tolerance,
    /// Where such records go.
    pub dead_letters: Option<TopicSettings>,
}

/// What a record that can't be read does (`errors.tolerance`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tolerance {
    /// It is counted, goes to the dead letters, and its partition goes on.
    #[default]
    All,
    /// Its partition stops in front of it.
    None,
}

/// A topic that is written, and how `stakeout topics` makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: u32,
    /// Copies of each partition; the brokers' own number without it.
    pub replication: Option<u32>,
}

/// The group, unless the input names one.
const GROUP: &str = "stakeout";
/// Partitions of a topic that is written, unless it says so itself.
pub(super) const PARTITIONS_USUAL: u32 = 3;
/// Copies of a partition at most.
pub(super) const COPIES_MAX: u64 = 32;
/// Partitions of a topic that is made at most.
pub(super) const TOPIC_PARTITIONS_MAX: u64 = 10_000;
/// Properties whose values are secrets.
const SECRETS: [&str; 6] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
];
/// Properties on which exactly-once rests: what they are is not the site's to say.
const OURS: [&str; 8] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "enable.idempotence",
    "plugin.library.paths",
];

/// Reads `inputs: kafka`: one mapping, or a list of them.
pub(super) fn inputs(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Vec<KafkaInput> {
    let items = if place.value().is_mapping() {
        vec![place.clone()]
    } else {
        bounded(place, mistakes)
    };
    let mut found: Vec<KafkaInput> = Vec::new();
    for item in items {
        let Some(input) = input(&item, mistakes) else { continue };
        if found.iter().any(|other| other.name == input.name) {
            mistakes.push(item.mistake(format!(
                "there are two inputs `{}`; give one of them a `name`",
                input.name
            )));
        }
        found.push(input);
    }
    found
}

fn input(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<KafkaInput> {
    const DEAD_LETTERS: &str = "errors.deadletterqueue.topic.name";
    const REPLICATION: &str = "errors.deadletterqueue.topic.replication.factor";
    expect_mapping(item, &keys::KAFKA, mistakes);
    let mut word = |key: &str| item.get(key).and_then(|place| text(&place, mistakes));
    let (name, group, dead_letters) = (word("name"), word("group.id"), word(DEAD_LETTERS));
    let replication = whole(item, REPLICATION, 1, COPIES_MAX, mistakes);
    let tolerance = tolerance(item, mistakes);
    let topics = texts(item, "topics", mistakes);
    if topics.is_empty() {
        mistakes.push(item.mistake("the input has no `topics`"));
    }
    if dead_letters.as_ref().is_some_and(|letters| topics.contains(letters)) {
        mistakes.push(item.mistake("reads the topic that its dead letters go to"));
    }
    if dead_letters.is_none() && replication.is_some() {
        mistakes.push(item.mistake(format!("`{REPLICATION}` needs `{DEAD_LETTERS}`")));
    }
    Some(KafkaInput {
        name: name.unwrap_or_else(|| "kafka".to_owned()),
        connection: connection(item, mistakes)?,
        topics,
        group: group.unwrap_or_else(|| GROUP.to_owned()),
        tolerance,
        dead_letters: dead_letters.map(|name| TopicSettings {
            name,
            // Dead letters are few, and one partition keeps them in one order.
            partitions: 1,
            replication: replication.map(|copies| copies as u32),
        }),
    })
}

/// Reads `errors.tolerance`.
pub(super) fn tolerance(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Tolerance {
    let Some(place) = item.get("errors.tolerance") else {
        return Tolerance::default();
    };
    match place.value().as_str() {
        Some("all") => Tolerance::All,
        Some("none") => Tolerance::None,
        word => {
            let word = word.unwrap_or_default();
            mistakes.push(place.wrong_word("must be `all` or `none`", word, ["all", "none"]));
            Tolerance::default()
        }
    }
}

/// Reads how brokers are reached out of the mapping of an input or a sink.
pub(super) fn connection(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<KafkaConnection> {
    connection_without(item, &[], mistakes)
}

/// Reads how brokers are reached where more properties than usual are not the site's to say.
pub(super) fn connection_without(
    item: &Place<'_>,
    ours: &[&str],
    mistakes: &mut Vec<Mistake>,
) -> Option<KafkaConnection> {
    let brokers = texts(item, "brokers", mistakes);
    for broker in &brokers {
        let is_good = broker
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
        if !is_good {
            let place = item.get("brokers").unwrap_or_else(|| item.clone());
            mistakes.push(place.mistake(format!("`{broker}` is not like `broker1.example:9092`")));
        }
    }
    if brokers.is_empty() {
        mistakes.push(item.mistake("has no `brokers`"));
        return None;
    }
    Some(KafkaConnection {
        brokers,
        properties: item
            .get("properties")
            .map_or_else(Vec::new, |place| properties(&place, ours, mistakes)),
        place: item.mistake(""),
    })
}

fn properties(place: &Place<'_>, ours: &[&str], mistakes: &mut Vec<Mistake>) -> Vec<(String, Property)> {
    if !place.value().is_mapping() {
        mistakes.push(place.mistake("must be a mapping of librdkafka's properties: `security.protocol: SASL_SSL`"));
    }
    let mut found = Vec::new();
    for (name, place) in place.entries() {
        if OURS.iter().chain(ours).any(|ours| *ours == name) {
            mistakes.push(place.mistake(format!("`{name}` is set by the program and can't be set here")));
            continue;
        }
        if let Some(property) = property(&name, &place, mistakes) {
            found.push((name, property));
        }
    }
    found
}

fn property(name: &str, place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<Property> {
    let plain = match place.value() {
        Value::Mapping(_) => {
            expect_mapping(place, &keys::KAFKA_SECRET, mistakes);
            let mut word = |key: &str| place.get(key).and_then(|place| text(&place, mistakes));
            return match (word("file"), word("env")) {
                (Some(file), None) => Some(Property::Secret(Secret::File(PathBuf::from(file)))),
                (None, Some(variable)) => Some(Property::Secret(Secret::Variable(variable))),
                _ => {
                    mistakes.push(place.mistake("a secret is `{ file: .. }` or `{ env: .. }`"));
                    None
                }
            };
        }
        Value::String(text) => text.clone(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        _ => {
            mistakes.push(place.mistake("must be text, a number, true, false, or a secret"));
            return None;
        }
    };
    if SECRETS.contains(&name) {
        mistakes.push(place.mistake("holds a secret; name where it is: `{ file: .. }` or `{ env: .. }`"));
        return None;
    }
    Some(Property::Plain(plain))
}

/// Reads the topic of a sink.
pub(super) fn topic(item: &Place<'_>, usual: &str, mistakes: &mut Vec<Mistake>) -> TopicSettings {
    let name = item.get("topic").and_then(|place| text(&place, mistakes));
    let partitions = whole(item, "partitions", 1, TOPIC_PARTITIONS_MAX, mistakes);
    let replication = whole(item, "replication", 1, COPIES_MAX, mistakes);
    TopicSettings {
        name: name.unwrap_or_else(|| usual.to_owned()),
        partitions: partitions.map_or(PARTITIONS_USUAL, |partitions| partitions as u32),
        replication: replication.map(|copies| copies as u32),
    }
}

/// A list of texts, or one.
fn texts(item: &Place<'_>, key: &str, mistakes: &mut Vec<Mistake>) -> Vec<String> {
    let Some(place) = item.get(key) else { return Vec::new() };
    let items = bounded(&place, mistakes);
    items.iter().filter_map(|item| text(item, mistakes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, SinkKind};

    #[test]
    fn topics_are_read_and_written_with_any_property() {
        let text = "\
inputs:
  kafka:
    brokers: ['a:9092', 'b:9092']
    topics: [zeek, windows]
    group.id: soc
    errors.tolerance: none
    errors.deadletterqueue.topic.name: dead
    properties:
      security.protocol: SASL_SSL
      sasl.password: { file: /etc/secret }
      fetch.wait.max.ms: 50
sinks:
  - { type: kafka, brokers: 'a:9092', replication: 2 }
";
        let service = Config::read("s.yml", text).expect("no mistakes").service;
        let input = &service.inputs.kafka[0];
        assert_eq!((input.name.as_str(), input.group.as_str()), ("kafka", "soc"));
        assert_eq!(input.topics, ["zeek", "windows"]);
        assert_eq!(input.tolerance, Tolerance::None);
        let properties = [
            ("security.protocol", Property::Plain("SASL_SSL".to_owned())),
            (
                "sasl.password",
                Property::Secret(Secret::File(PathBuf::from("/etc/secret"))),
            ),
            ("fetch.wait.max.ms", Property::Plain("50".to_owned())),
        ];
        let properties = properties.map(|(name, property)| (name.to_owned(), property));
        assert_eq!(input.connection.properties, properties);
        assert_eq!(
            input.dead_letters.as_ref().map(|topic| topic.name.as_str()),
            Some("dead")
        );
        let SinkKind::Kafka { connection, topic, .. } = &service.sinks[0].kind else {
            panic!("{:?}", service.sinks)
        };
        assert_eq!(service.sinks[0].name, "kafka stakeout.alerts");
        assert_eq!(connection.brokers, ["a:9092"]);
        assert_eq!(
            (topic.name.as_str(), topic.partitions, topic.replication),
            ("stakeout.alerts", 3, Some(2))
        );
    }

    #[test]
    fn mistakes_about_topics_are_told_with_their_place() {
        let text = "\
inputs:
  kafka:
    - { brokers: ['a'], topics: [] }
    - { topics: [a], name: b }
    - { brokers: 'a:1', topics: [dead], name: c, errors.tolerance: al, errors.deadletterqueue.topic.name: dead }
    - brokers: 'a:1'
      topics: [a]
      properties:
        sasl.password: abc
        group.id: x
        ssl.key.password: { path: y }
sinks:
  - { type: kafka, partitions: 0 }
";
        let found = Config::read("s.yml", text).expect_err("mistakes");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "s.yml:3:7: inputs/kafka/1: the input has no `topics`",
                "s.yml:3:9: inputs/kafka/1/brokers: `a` is not like `broker1.example:9092`",
                "s.yml:4:7: inputs/kafka/2: has no `brokers`",
                "s.yml:5:7: inputs/kafka/3: reads the topic that its dead letters go to",
                "s.yml:5:50: inputs/kafka/3/errors.tolerance: must be `all` or `none`; did you mean `all`?",
                "s.yml:6:7: inputs/kafka/4: there are two inputs `kafka`; give one of them a `name`",
                "s.yml:9:9: inputs/kafka/4/properties/sasl.password: holds a secret; name where it is: `{ file: .. }` or `{ env: .. }`",
                "s.yml:10:9: inputs/kafka/4/properties/group.id: `group.id` is set by the program and can't be set here",
                "s.yml:11:9: inputs/kafka/4/properties/ssl.key.password: a secret is `{ file: .. }` or `{ env: .. }`",
                "s.yml:11:29: inputs/kafka/4/properties/ssl.key.password/path: unknown key `path`",
                "s.yml:13:5: sinks/1: has no `brokers`",
                "s.yml:13:20: sinks/1/partitions: must be a whole number from 1 to 10000",
            ]
        );
    }
}
