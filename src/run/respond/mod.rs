//! `stakeout respond`: one of any number of instances that deliver alerts from a topic of Kafka to the sinks.
//!
//! The reader (one thread) takes the alerts of the partitions that this instance holds into the outbox, from where each
//! sink (a thread) delivers them as in `stakeout run`. The group is told how far every sink has delivered, so what an
//! instance leaves undone is done by whoever gets its partitions.

mod custody;
mod reader;

use self::custody::Custody;
use self::reader::Reader;
use super::bus;
use super::check::{Sources, demand};
use super::service::api::Api;
use super::service::http::{self, Access};
use super::service::status::Status;
use super::service::worker::RECALLED_MAX;
use super::service::{confine, ending, reload, sinks, with_data_dir};
use super::shutdown::DRAIN;
use crate::config::{Config, Inputs, KafkaCluster, SinkKind};
use crate::domain::Mistake;
use crate::edge::bus::{DeadLetters, Member, Membership, Voice};
use crate::edge::store::Store;
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Delivers until SIGTERM or SIGINT. `instance` names this one, before what the configuration says.
pub fn run(sources: &Sources, instance: Option<&str>) -> anyhow::Result<()> {
    reload::survive_hangups()?;
    let mut config = with_data_dir(demand(&sources.gather()?)?).config;
    // What is collected is for other roles.
    config.service.inputs = Inputs::default();
    let cluster = config
        .service
        .kafka
        .clone()
        .context("the configuration has no section `kafka`, which names the brokers that alerts are read from")?;
    refuse_what_is_of_no_use(&config, &cluster)?;
    let instance = bus::instance(&cluster, instance)?;
    let service = &config.service;
    // Several roles, and several instances, may stand on one machine with one configuration.
    let folder = service.data_dir.join(format!("respond-{instance}"));
    let store = Arc::new(Store::open(&folder)?);
    let status = Arc::new(Status::new()?);
    status.configured(config.alerts_per_day, &service.sinks);
    let listener = http::bind(&service.http)?;
    let access = Access::new(&service.http)?;
    status.set_confinement(confine::confine(&config, &folder));
    // Threads start here: they inherit what the process has given up.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let names = service.sinks.iter().map(|sink| sink.name.clone()).collect();
    let custody = Arc::new(Custody::new(store.clone(), names)?);
    let sinks = sinks::start(&service.sinks, &store, &status, Some(custody.clone()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = reader(&cluster, &instance, (&custody, &store, &status), &stop)?;
    let (api, _) = Api::new(store, Vec::new());
    let listener = runtime.block_on(http::start(listener, access, status.clone(), api.alert_routes()))?;
    status.brokers(Some("no broker was reached yet".to_owned()));
    // Who is told that it is ready may end it.
    let ending = ending(&runtime)?;
    status.reloaded(true);
    status.set_ready();
    tracing::info!(
        listen = %listener.address,
        data_dir = %folder.display(),
        group = group(&cluster),
        instance,
        "ready to deliver the alerts in `{}`", cluster.topics.alerts
    );
    let told = stop.clone();
    runtime.spawn(async move {
        ending.await;
        told.store(true, Ordering::Relaxed);
    });
    let ended = reader.run(DRAIN);
    custody.close();
    sinks.finish();
    listener.task.abort();
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ended?)
}

/// The group whose members share the alerts.
fn group(cluster: &KafkaCluster) -> String {
    format!("{}.respond", cluster.group)
}

fn refuse_what_is_of_no_use(config: &Config, cluster: &KafkaCluster) -> anyhow::Result<()> {
    anyhow::ensure!(
        !config.service.sinks.is_empty(),
        "the configuration has no `sinks`: there is nowhere to deliver alerts to"
    );
    for sink in &config.service.sinks {
        let SinkKind::Kafka { connection, topic, .. } = &sink.kind else {
            continue;
        };
        let is_same_cluster = || {
            let mut brokers = connection.brokers.iter();
            brokers.any(|broker| cluster.connection.brokers.contains(broker))
        };
        if topic.name == cluster.topics.alerts && is_same_cluster() {
            let mistake = Mistake {
                message: format!("writes `{}`, the topic that alerts are read from", topic.name),
                ..connection.place.clone()
            };
            anyhow::bail!("{mistake}");
        }
    }
    Ok(())
}

fn reader(
    cluster: &KafkaCluster,
    instance: &str,
    (custody, store, status): (&Arc<Custody>, &Arc<Store>, &Arc<Status>),
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Reader> {
    let membership = Membership {
        connection: bus::connection(&cluster.connection)?,
        group: group(cluster),
        instance: instance.to_owned(),
        topic: cluster.topics.alerts.clone(),
        history: RECALLED_MAX as u32,
    };
    let metrics = &status.metrics.kafka;
    metrics.lost(&membership.topic);
    metrics.dead_letters(&membership.topic, "failed");
    let voice = Voice::new("respond", &membership.group, metrics.clone());
    let letters = DeadLetters::open(&membership.connection, &cluster.topics.dead_letters, voice.clone())
        .context("dead letters")?;
    let topic = membership.topic.clone();
    let member = Member::join(membership, voice, custody.clone()).context("joining the group")?;
    Ok(Reader {
        member,
        custody: custody.clone(),
        store: store.clone(),
        status: status.clone(),
        topic,
        tolerance: cluster.tolerance,
        letters,
        commit_every: Duration::from_nanos(u64::try_from(cluster.commit_every.nanos()).unwrap_or(0)),
        stop: stop.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sinks: &str) -> Option<String> {
        let text = format!("kafka: {{ brokers: ['a:9092', 'b:9092'] }}\nsinks: [{sinks}]\n");
        let config = Config::read("s.yml", &text).expect("no mistakes");
        let cluster = config.service.kafka.clone().expect("a cluster");
        let refused = refuse_what_is_of_no_use(&config, &cluster);
        refused.err().map(|error| error.to_string())
    }

    #[test]
    fn a_sink_that_writes_what_is_read_is_refused() {
        assert_eq!(
            refused("{ type: kafka, brokers: 'b:9092' }"),
            Some("s.yml:2:9: sinks/1: writes `stakeout.alerts`, the topic that alerts are read from".to_owned())
        );
        assert_eq!(refused("{ type: kafka, brokers: 'b:9092', topic: soc }"), None);
        assert_eq!(refused("{ type: kafka, brokers: 'c:9092' }"), None);
        assert!(refused("").is_some_and(|problem| problem.contains("no `sinks`")));
    }
}
