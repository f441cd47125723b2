//! `stakeout detect`: one of any number of instances that judge events from Kafka.
//!
//! Each partition of the topic of events that this instance holds is a [`Shard`](crate::engine::pipeline::Shard) with
//! the baselines of its key groups; who holds the one partition of findings does triage for all. What records led to, and
//! how far they were read, commit in one transaction; learned state goes to the topic of state, and to a copy here, in
//! turn. A partition that is given is taken up from there, its records since are judged again without telling anything
//! twice, and then it goes on. `docs/decisions/0019` tells why.

mod holding;
mod instance;
mod restore;

use self::instance::Instance;
use super::bus;
use super::check::{Site, Sources, demand};
use super::service::cluster;
use super::service::status::Status;
use crate::edge::bus::Voice;
use crate::engine::program::Program;
use crate::engine::triage::Budget;
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    let site = super::service::with_data_dir(demand(&sources.gather()?)?);
    let cluster = cluster(&site.config)?.clone();
    let name = bus::instance(&cluster, instance)?;
    let program = Program::new(&site.catalog, site.config.networks.clone(), site.engine_bounds())?;
    let judging = Arc::new(Judging {
        budget: Budget::AlertsPerDay(site.config.alerts_per_day),
        program,
        partitions: u16::try_from(cluster.partitions).unwrap_or(u16::MAX),
        site,
    });
    let status = Arc::new(Status::new()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    runtime.spawn(async move {
        super::service::wait_for_signal().await;
        told.store(true, Ordering::Relaxed);
    });
    let group = format!("{}.detect", cluster.group);
    let voice = Voice::new("detect", &group, status.metrics.kafka.clone());
    let instance = Instance::join(judging, cluster, &name, &status, voice, stop)?;
    instance.run()
}
