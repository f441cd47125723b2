//! `stakeout topics`: makes the topics that this version writes, or says how they differ from what they should be.

use super::bus;
use crate::config::{Config, KafkaConnection, SinkKind, TopicSettings};
use crate::edge::bus::{TopicForm, Topics, Voice};
use crate::edge::telemetry::Metrics;
use std::io::Write;

/// What to do about topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Make those that are not there.
    Create,
    /// Only compare.
    Check,
}

/// Makes topics, or compares them. Gives whether all are as they should be.
pub fn run(config: &Config, wish: Wish, out: &mut dyn Write) -> anyhow::Result<bool> {
    let written = written(config);
    anyhow::ensure!(
        !written.is_empty(),
        "the configuration writes no topic: neither a sink `kafka` nor `errors.deadletterqueue.topic.name` is there"
    );
    let mut is_good = true;
    for (settings, connection) in written {
        let form = TopicForm {
            name: settings.name.clone(),
            partitions: settings.partitions,
            replication: settings.replication,
            // Every form of an alert, and every dead letter, is a record of its own: none stands for another.
            cleanup: "delete",
        };
        let forms = [form];
        let voice = Voice::new("topics", "", Metrics::new()?.kafka);
        let topics = Topics::open(&bus::connection(connection)?, voice)?;
        if wish == Wish::Create {
            for name in topics.create(&forms)? {
                writeln!(out, "`{name}` was made")?;
            }
        }
        let differences = topics.differences(&forms)?;
        if differences.is_empty() {
            writeln!(out, "`{}` is as it should be", settings.name)?;
        }
        for difference in differences {
            is_good = false;
            writeln!(out, "{difference}")?;
        }
    }
    Ok(is_good)
}

/// The topics that are written, each once.
fn written(config: &Config) -> Vec<(&TopicSettings, &KafkaConnection)> {
    let sinks = config.service.sinks.iter().filter_map(|sink| match &sink.kind {
        SinkKind::Kafka { connection, topic, .. } => Some((topic, connection)),
        _ => None,
    });
    let inputs = config.service.inputs.kafka.iter();
    let letters = inputs.filter_map(|input| Some((input.dead_letters.as_ref()?, &input.connection)));
    let mut found: Vec<(&TopicSettings, &KafkaConnection)> = Vec::new();
    for (topic, connection) in sinks.chain(letters) {
        let is_same = |other: &(&TopicSettings, &KafkaConnection)| {
            other.0.name == topic.name && other.1.brokers == connection.brokers
        };
        if !found.iter().any(is_same) {
            found.push((topic, connection));
        }
    }
    found
}
