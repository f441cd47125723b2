//! Kafka as the configuration names it: connections with their secrets, and what is found wrong with them before
//! anything is begun.

use crate::config::{Config, KafkaConnection, SinkKind};
use crate::domain::Mistake;
#[cfg(feature = "kafka")]
use crate::{
    config::{KafkaCluster, Property, is_name},
    edge::bus::{CommitFailure, Connection, GroupFailure},
};
#[cfg(feature = "kafka")]
use std::time::{Duration, Instant};

/// How often somebody may come under an instance's name within some time: more often it is another process.
#[cfg(feature = "kafka")]
const EXPELLED_MAX: usize = 5;
#[cfg(feature = "kafka")]
const EXPELLED_WITHIN: Duration = Duration::from_secs(300);

/// The connections of inputs and sinks, and the cluster's.
pub(super) fn connections(config: &Config) -> impl Iterator<Item = &KafkaConnection> {
    let inputs = config.service.inputs.kafka.iter().map(|input| &input.connection);
    let sinks = config.service.sinks.iter().filter_map(|sink| match &sink.kind {
        SinkKind::Kafka { connection, .. } => Some(connection),
        _ => None,
    });
    let cluster = config.service.kafka.iter().map(|cluster| &cluster.connection);
    inputs.chain(sinks).chain(cluster)
}

/// What is wrong with the connections, as far as that can be known without their secrets.
#[cfg(feature = "kafka")]
pub(super) fn mistakes(config: &Config) -> Vec<Mistake> {
    let wrong = connections(config).filter_map(|written| {
        let plain = |(name, property): &(String, Property)| match property {
            Property::Plain(value) => Some((name.clone(), value.clone())),
            Property::Secret(_) => None,
        };
        let connection = Connection {
            brokers: written.brokers.join(","),
            properties: written.properties.iter().filter_map(plain).collect(),
        };
        Some(Mistake {
            message: connection.check().err()?,
            ..written.place.clone()
        })
    });
    wrong.collect()
}

/// That this program does not know Kafka.
#[cfg(not(feature = "kafka"))]
pub(super) fn mistakes(config: &Config) -> Vec<Mistake> {
    let unknown = |written: &KafkaConnection| Mistake {
        message: "this program was built without Kafka (the cargo feature `kafka`)".to_owned(),
        ..written.place.clone()
    };
    connections(config).map(unknown).collect()
}

/// A connection with its secrets.
#[cfg(feature = "kafka")]
pub(super) fn connection(written: &KafkaConnection) -> anyhow::Result<Connection> {
    let mut properties = Vec::new();
    for (name, property) in &written.properties {
        let value = match property {
            Property::Plain(value) => value.clone(),
            Property::Secret(secret) => secret.read()?,
        };
        properties.push((name.clone(), value));
    }
    Ok(Connection {
        brokers: written.brokers.join(","),
        properties,
    })
}

/// What one of several instances is called: `named` on the command line, in the configuration, or like its host.
#[cfg(feature = "kafka")]
pub(super) fn instance(cluster: &KafkaCluster, named: Option<&str>) -> anyhow::Result<String> {
    let name = match named.or(cluster.instance.as_deref()) {
        Some(name) => name.to_owned(),
        None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
    anyhow::ensure!(
        is_name(&name),
        "`{name}` is not a name of letters, digits, `.`, `_` and `-`; name this instance (`kafka: instance`, --instance)"
    );
    Ok(name)
}

/// When somebody came under this instance's name, lately.
#[cfg(feature = "kafka")]
#[derive(Debug, Default)]
pub(super) struct Expulsions(Vec<Instant>);

#[cfg(feature = "kafka")]
impl Expulsions {
    /// Whether an instance that failed so may join its group again. After brokers were away it may have been this process
    /// itself that came under its name. When that happens again and again there is another one.
    pub(super) fn may_join_again(&mut self, failure: anyhow::Error) -> anyhow::Result<()> {
        let is_fenced = failure
            .downcast_ref::<GroupFailure>()
            .is_some_and(GroupFailure::is_fenced)
            || matches!(failure.downcast_ref(), Some(CommitFailure::Fenced { .. }));
        self.0.retain(|at| at.elapsed() < EXPELLED_WITHIN);
        if !is_fenced || self.0.len() >= EXPELLED_MAX {
            return Err(failure);
        }
        self.0.push(Instant::now());
        tracing::warn!("joining the group again: {failure:#}");
        Ok(())
    }
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use super::*;

    #[test]
    fn properties_that_nobody_knows_are_mistakes_with_their_place() {
        let text = "\
inputs:
  kafka: { brokers: 'a:1', topics: [a], properties: { fetch.weight: 1, sasl.password: { env: NOBODY } } }
sinks:
  - { type: kafka, brokers: 'a:1', properties: { linger.ms: soon } }
kafka: { brokers: 'a:1', properties: { transaction.timeout.ms: never } }
";
        let config = Config::read("s.yml", text).expect("nothing that the reader can see");
        let told: Vec<String> = mistakes(&config).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told[0].starts_with("s.yml:2:3: inputs/kafka: `fetch.weight`: "),
            "{told:?}"
        );
        assert!(told[1].starts_with("s.yml:4:5: sinks/1: `linger.ms`: "), "{told:?}");
        assert!(
            told[2].starts_with("s.yml:5:1: kafka: `transaction.timeout.ms`: "),
            "{told:?}"
        );
    }
}
