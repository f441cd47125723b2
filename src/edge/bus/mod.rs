//! Apache Kafka through librdkafka: how a client is configured, how what goes wrong is told, alerts as records, dead
//! letters, members of consumer groups, and the topics that are written. The collector and the sink stand with their kind, in `collector/kafka` and `sink/kafka.rs`.

mod alerts;
mod broadcast;
mod cursored;
mod group;
mod letters;
mod member;
mod publisher;
mod record;
mod shelf;
mod topics;
mod transactions;
mod voice;
pub mod wire;

pub use alerts::{AlertRecord, read_alert};
pub use broadcast::Broadcast;
pub(in crate::edge) use cursored::Cursored;
pub use group::{Change, Group, GroupFailure, Seat};
pub use letters::{DeadLetters, Letter};
pub use member::{Came, Expelled, Holder, Member, Membership};
pub use publisher::{Parcel, PublishFailure, Publisher};
pub use rdkafka::consumer::CommitMode;
pub use record::Record;
pub use shelf::{Kept, Label, Note, Shelf, ShelfFailure};
pub use topics::{Partitions, TopicForm, TopicProblem, Topics};
pub use transactions::{CommitFailure, Output, Standing, Transactions};
pub(in crate::edge) use voice::about_topic;
pub use voice::{Trouble, Voice};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use std::fmt;

/// How brokers are reached: their addresses, and properties of librdkafka with secrets among them.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Properties by name, stronger than those that the program sets where it leaves a choice.
    pub properties: Vec<(String, String)>,
}

/// Secrets do not reach a log.
impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        write!(formatter, "Connection({}, {names:?})", self.brokers)
    }
}

impl Connection {
    /// A client's configuration: `usual` properties, then the site's own, then those that `must` be so.
    pub(in crate::edge) fn client(&self, usual: &[(&str, &str)], must: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "stakeout");
        // Brokers close connections that are idle; that is no trouble.
        config.set("log.connection.close", "false");
        for (name, value) in usual {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for (name, value) in must {
            config.set(*name, *value);
        }
        config
    }

    /// The configuration of a client that reads committed records of partitions that it is told, under a group's name but
    /// as no member of it.
    pub(in crate::edge) fn reader(&self, group: &str, usual: &[(&str, &str)]) -> ClientConfig {
        let must = [
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("auto.offset.reset", "earliest"),
            ("allow.auto.create.topics", "false"),
        ];
        let mut config = self.client(usual, &must);
        config.remove("transactional.id");
        config
    }

    /// A property as the site has set it.
    pub fn property(&self, name: &str) -> Option<&str> {
        let mut found = self.properties.iter().filter(|(known, _)| known == name);
        found.next_back().map(|(_, value)| value.as_str())
    }

    /// Whether librdkafka knows every property and takes its value. Gives what it says of the first that it does not.
    pub fn check(&self) -> Result<(), String> {
        match self.client(&[], &[]).create_native_config() {
            Ok(_) => Ok(()),
            Err(KafkaError::ClientConfig(_, problem, name, _)) => Err(format!("`{name}`: {}", problem.trim())),
            Err(problem) => Err(problem.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(name: &str, value: &str) -> Connection {
        Connection {
            brokers: "127.0.0.1:1".to_owned(),
            properties: vec![(name.to_owned(), value.to_owned())],
        }
    }

    #[test]
    fn a_property_that_nobody_knows_is_named_and_a_secret_is_not() {
        assert_eq!(connection("fetch.wait.max.ms", "50").check(), Ok(()));
        let problem = connection("fetch.weight", "50").check().expect_err("unknown");
        assert!(problem.contains("fetch.weight"), "{problem}");
        let problem = connection("fetch.wait.max.ms", "soon").check().expect_err("no number");
        assert!(problem.contains("fetch.wait.max.ms"), "{problem}");
        assert!(!format!("{:?}", connection("sasl.password", "abc")).contains("abc"));
    }
}
