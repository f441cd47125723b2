//! `stakeout detect`: one of any number of instances that judge events from Kafka.
//!
//! Each partition of the topic of events that this instance holds is a [`Shard`](crate::engine::pipeline::Shard) with
//! the baselines of its key groups; who holds the one partition of findings does triage for all. What records led to, and
//! how far they were read, commit in one transaction; learned state goes to the topic of state, and to a copy here, in
//! turn. A partition that is given is taken up from there, its records since are judged again without telling anything
//! twice, and then it goes on. `docs/decisions/0020` tells why.

mod holding;
mod instance;
mod restore;

use self::instance::Instance;
use super::bus;
use super::check::{Site, Sources, demand};
use super::service::http::{self, Access};
use super::service::status::Status;
use super::service::{cluster, confine, ending, with_data_dir};
use crate::edge::bus::Voice;
use crate::engine::program::Program;
use crate::engine::triage::Budget;
use anyhow::Context as _;
use axum::Router;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What every partition is judged by.
pub(super) struct Judging {
    site: Site,
    program: Program,
    budget: Budget,
    /// Partitions of the topic of events.
    partitions: u16,
}

/// Judges until SIGTERM or SIGINT. `instance` names this one, before what the configuration says.
pub fn run(sources: &Sources, instance: Option<&str>) -> anyhow::Result<()> {
    let site = with_data_dir(demand(&sources.gather()?)?);
    let cluster = cluster(&site.config)?.clone();
    let name = bus::instance(&cluster, instance)?;
    let program = Program::new(&site.catalog, site.config.networks.clone(), site.engine_bounds())?;
    let judging = Arc::new(Judging {
        budget: Budget::AlertsPerDay(site.config.alerts_per_day),
        program,
        partitions: u16::try_from(cluster.partitions).unwrap_or(u16::MAX),
        site,
    });
    let service = &judging.site.config.service;
    // Several instances may stand on one machine with one configuration.
    let folder = service.data_dir.join(format!("detect-{name}"));
    std::fs::create_dir_all(&folder).with_context(|| {
        format!(
            "making {}; name a folder that this user may write to (`data_dir`, or STAKEOUT_DATA_DIR)",
            folder.display()
        )
    })?;
    let status = Arc::new(Status::new()?);
    status.configured(judging.site.config.alerts_per_day, &[]);
    let listener = http::bind(&service.http)?;
    let access = Access::new(&service.http)?;
    status.set_confinement(confine::confine(&judging.site.config, &folder));
    // Threads start here: they inherit what the process has given up.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let ending = ending(&runtime)?;
    runtime.spawn(async move {
        ending.await;
        told.store(true, Ordering::Relaxed);
    });
    let listener = runtime.block_on(http::start(listener, access, status.clone(), Router::new()))?;
    status.brokers(Some("no broker was reached yet".to_owned()));
    status.reloaded(true);
    status.set_ready();
    let group = format!("{}.detect", cluster.group);
    tracing::info!(
        listen = %listener.address,
        data_dir = %folder.display(),
        group,
        instance = name,
        "ready to judge the events in `{}`", cluster.topics.events
    );
    let voice = Voice::new("detect", &group, status.metrics.kafka.clone());
    let ended = Instance::join(judging, cluster, &name, folder, &status, voice, stop).and_then(Instance::run);
    listener.task.abort();
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
