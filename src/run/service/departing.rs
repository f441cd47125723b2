//! `stakeout collect`: events depart to the topic of events.

use super::forward::{Forward, Forwarding};
use super::status::Status;
use crate::config::{Config, KafkaCluster};
use crate::domain::{Mark, Timestamp};
use crate::edge::bus::{Parcel, PublishFailure, Publisher, Voice};
use crate::edge::store::Store;
use crate::edge::telemetry::Metrics;
use crate::engine::pipeline::Departure;
use crate::run::bus;
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The topic of events.
struct Departing {
    publisher: Publisher,
}

impl Forward for Departing {
    fn handed_on(&mut self) -> anyhow::Result<u64> {
        Ok(self.publisher.published()?)
    }

    fn hand_on(
        &mut self,
        departures: Vec<Departure>,
        mark: &Mark,
        next: u64,
        kinds: &[String],
    ) -> anyhow::Result<bool> {
        let parcel = |departure: Departure| {
            let Departure { mut stamped, to, .. } = departure;
            Parcel {
                at: stamped.engine_time,
                order: stamped.content(),
                input: stamped.input,
                sequence: stamped.sequence,
                event: stamped.event,
                to,
            }
        };
        let parcels: Vec<Parcel> = departures.into_iter().map(parcel).collect();
        match self.publisher.publish(&parcels, mark, next, kinds) {
            Ok(()) => Ok(true),
            Err(PublishFailure::Stopped) => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// The section `kafka` of the configuration, which every role needs.
pub(in crate::run) fn cluster(config: &Config) -> anyhow::Result<&KafkaCluster> {
    let cluster = config.service.kafka.as_ref();
    cluster.context("the configuration has no section `kafka`: it names the brokers that the roles share the work over")
}

/// Says of an instance that is gone for good that nobody shall wait for it.
pub fn retire(config: &Config, name: &str) -> anyhow::Result<()> {
    let cluster = cluster(config)?;
    let id = format!("{}.retire", cluster.group);
    let metrics = Metrics::new()?.kafka;
    let voice = Voice::new(format!("the topic `{}`", cluster.topics.events), &id, metrics);
    let stop = Arc::new(AtomicBool::new(false));
    let (connection, partitions) = (bus::connection(&cluster.connection)?, partitions(cluster));
    let mut publisher = Publisher::new(connection, &cluster.topics.events, partitions, id, name, 0, voice, stop);
    let mark = Mark {
        watermark: Timestamp::MIN,
        quiet: true,
        retired: true,
        ..Mark::default()
    };
    let next = publisher.published()?;
    Ok(publisher.publish(&[], &mark, next, &[])?)
}

fn partitions(cluster: &KafkaCluster) -> u16 {
    u16::try_from(cluster.partitions).unwrap_or(u16::MAX)
}

/// Events go to the topic of events, as the stream of this instance.
pub(super) fn to_topic(
    config: &Config,
    instance: Option<&str>,
    store: &Store,
    status: &Status,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Forwarding> {
    let cluster = cluster(config)?;
    let instance = bus::instance(cluster, instance)?;
    let group = format!("{}.collect", cluster.group);
    let voice = Voice::new(
        format!("the topic `{}`", cluster.topics.events),
        &group,
        status.metrics.kafka.clone(),
    );
    let publisher = Publisher::new(
        bus::connection(&cluster.connection)?,
        &cluster.topics.events,
        partitions(cluster),
        format!("{group}.{instance}"),
        &instance,
        store.identity()?,
        voice,
        stop.clone(),
    );
    Ok(Forwarding::new(Box::new(Departing { publisher })))
}
