//! `stakeout topics`: makes the topics that this version writes, or says how they differ from what they should be.

use super::bus;
use crate::config::{Config, KafkaCluster, KafkaConnection, SinkKind, TopicSettings};
use crate::edge::bus::{Partitions, TopicForm, Topics, Voice};
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

/// Every record of such a topic is one of its own: none stands for another.
const DELETE: &str = "delete";
/// The last record of a key stands for those before it.
const COMPACT: &str = "compact";

/// Makes topics, or compares them. Gives whether all are as they should be.
pub fn run(config: &Config, wish: Wish, out: &mut dyn Write) -> anyhow::Result<bool> {
    let written = written(config);
    anyhow::ensure!(
        !written.is_empty(),
        "the configuration writes no topic: neither a section `kafka`, nor a sink `kafka`, nor \
         `errors.deadletterqueue.topic.name` is there"
    );
    let mut is_good = true;
    for (form, connection) in written {
        let name = form.name.clone();
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
            writeln!(out, "`{name}` is as it should be")?;
        }
        for difference in differences {
            is_good = false;
            writeln!(out, "{difference}")?;
        }
    }
    Ok(is_good)
}

/// The topics that are written, each once: where the cluster's forms and others are about one topic, the cluster's.
fn written(config: &Config) -> Vec<(TopicForm, &KafkaConnection)> {
    let cluster = config.service.kafka.iter().flat_map(|cluster| {
        let forms = cluster_forms(cluster).into_iter();
        forms.map(|form| (form, &cluster.connection))
    });
    let sinks = config.service.sinks.iter().filter_map(|sink| match &sink.kind {
        SinkKind::Kafka { connection, topic, .. } => Some((form(topic), connection)),
        _ => None,
    });
    let inputs = config.service.inputs.kafka.iter();
    let letters = inputs.filter_map(|input| Some((form(input.dead_letters.as_ref()?), &input.connection)));
    let mut found: Vec<(TopicForm, &KafkaConnection)> = Vec::new();
    for (form, connection) in cluster.chain(sinks).chain(letters) {
        let is_same =
            |other: &(TopicForm, &KafkaConnection)| other.0.name == form.name && other.1.brokers == connection.brokers;
        if !found.iter().any(is_same) {
            found.push((form, connection));
        }
    }
    found
}

fn form(topic: &TopicSettings) -> TopicForm {
    TopicForm {
        name: topic.name.clone(),
        partitions: Partitions::AtLeast(topic.partitions),
        replication: topic.replication,
        cleanup: DELETE,
    }
}

/// The topics that roles share.
fn cluster_forms(cluster: &KafkaCluster) -> Vec<TopicForm> {
    let topics = &cluster.topics;
    // What an entity's events and its state have in common is the number of their partition.
    let dealt_out = || Partitions::Exactly {
        count: cluster.partitions,
        remedy: format!(
            "`{}` and `{}` must have as many as the section `kafka` says, since key groups are dealt out over them: write \
             their number as `partitions` where both have the same, or delete both topics and make them anew, which begins \
             learning anew",
            topics.events, topics.state
        ),
    };
    let single = |what: &str| Partitions::Exactly {
        count: 1,
        remedy: format!("{what}: delete the topic and make it anew while no instance runs"),
    };
    let findings = single("one instance has to see all findings in one order");
    let population = single("every instance has to see all of it in one order");
    let alerts = Partitions::AtLeast(cluster.alerts_partitions);
    [
        (&topics.events, dealt_out(), DELETE),
        (&topics.state, dealt_out(), COMPACT),
        (&topics.findings, findings, DELETE),
        (&topics.population, population, COMPACT),
        (&topics.alerts, alerts, DELETE),
        // Dead letters are few, and one partition keeps them in one order.
        (&topics.dead_letters, Partitions::AtLeast(1), DELETE),
    ]
    .map(|(name, partitions, cleanup)| TopicForm {
        name: name.clone(),
        partitions,
        replication: cluster.replication,
        cleanup,
    })
    .to_vec()
}
