//! `stakeout run`: collect, detect and deliver in one process, with one store and no other server.
//!
//! Collectors (threads) hand records to the core (one thread), which judges them and makes them durable together with
//! the alerts that they lead to. Each sink (a thread) delivers from the outbox behind its own cursor. HTTP answers beside
//! them. Shutdown flows with the data: collectors stop, the core drains and keeps what it learned, sinks deliver what is
//! there, and the process leaves.

pub(super) mod api;
mod capture;
mod collecting;
pub(super) mod confine;
mod core;
mod credentials;
#[cfg(feature = "kafka")]
mod departing;
mod forward;
pub(super) mod http;
mod intake;
#[cfg(feature = "kafka")]
mod kafka;
mod keeper;
mod kept;
mod listeners;
#[cfg(feature = "kafka")]
mod rekey;
pub(super) mod reload;
mod serve;
pub(super) mod sinks;
pub(super) mod status;
pub(super) mod worker;

use self::api::Api;
use self::collecting::{Collecting, Ends};
use self::core::{Core, Judging};
#[cfg(feature = "kafka")]
pub(super) use self::departing::cluster;
#[cfg(feature = "kafka")]
pub use self::departing::retire;
use self::forward::Forwarding;
use self::http::Access;
use self::intake::Intake;
use self::reload::{Prints, Reloader};
use self::status::Status;
use super::check::{Site, Sources, demand};
use crate::config::Config;
use crate::edge::collector::queue;
use crate::edge::store::Store;
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// How long the last requests may take to be answered.
const ANSWER_LAST: std::time::Duration = std::time::Duration::from_secs(1);

/// Who judges what is collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// This process, on so many threads; it delivers alerts too.
    All {
        /// Partitions, and threads that run them.
        threads: usize,
    },
    /// Other processes: events are published to them.
    Collect {
        /// The name of this instance, where the command line gives one.
        instance: Option<String>,
    },
}

/// Runs the service until SIGTERM or SIGINT.
pub fn run(sources: Sources, role: &Role) -> anyhow::Result<()> {
    reload::survive_hangups()?;
    let (judging, seen) = read(&sources, role)?;
    let config = judging.site.config.clone();
    let service = &config.service;
    let store = Arc::new(Store::open(&service.data_dir)?);
    let status = Arc::new(Status::new()?);
    let ends = Arc::new(Ends::default());
    status.configured(config.alerts_per_day, &service.sinks);
    let listener = http::bind(&service.http)?;
    let access = Access::new(&service.http)?;
    let captures = capture::open(&service.inputs.interfaces)?;
    let listeners = listeners::open(&service.inputs, |_| true)?;
    status.set_confinement(confine::confine(&config, &service.data_dir));
    // Threads start here: they inherit what the process has given up.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let hangups = reload::hangups(&runtime)?;
    let forwarding = match role {
        Role::All { .. } => None,
        Role::Collect { instance } => Some(forwarding(&config, instance.as_deref(), &store, &status, &ends)?),
    };
    let core = Core::take_up(store.clone(), judging.clone(), status.clone(), forwarding)
        .with_context(|| format!("taking up the state in {}", service.data_dir.display()))?;
    let sinks = sinks::start(&service.sinks, &store, &status, None)?;
    // Before collectors ask for the numbers of theirs: what is evidence should not depend on who comes first.
    let pushed_input = store.input_number("http")?;
    let (queue, mut deliveries) = queue();
    let mut collecting = Collecting::new(
        store.clone(),
        status.clone(),
        queue.clone(),
        ends.clone(),
        runtime.handle().clone(),
        config.bounds.flows_max,
    );
    #[cfg(feature = "kafka")]
    if let Role::Collect { instance } = role {
        collecting.sharing = Some(rekey::Sharing::new(&judging, instance.as_deref())?);
    }
    collecting.start(&service.inputs, listeners, captures)?;
    let (api, questions) = Api::new(store.clone(), core.definitions());
    let intake = Intake::new(
        pushed_input,
        store.position(pushed_input)?,
        queue,
        status.metrics.collectors.clone(),
    );
    let listener = runtime.block_on(http::start(
        listener,
        access.clone(),
        status.clone(),
        api.routes().merge(intake.routes()),
    ))?;
    // Who is told that it is ready may end it.
    let ending = ending(&runtime)?;
    status.reloaded(true);
    status.set_ready();
    tracing::info!(
        listen = %listener.address,
        data_dir = %service.data_dir.display(),
        "ready"
    );
    let (change, changes) = sync_channel(1);
    let reloader = Reloader {
        sources,
        judging,
        seen,
        hangups,
        core: change,
        collecting,
        sinks,
        api,
        access,
        status,
        stop: ends.flag().clone(),
    };
    let reloader = std::thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || reloader.run())
        .context("starting to watch the configuration")?;
    let (told, pushed) = (ends.clone(), intake.clone());
    runtime.spawn(async move {
        tokio::select! {
            () = ending => {}
            () = told.wait_for_failure() => {}
        }
        told.tell_all();
        pushed.close();
    });
    let ended = core.run(&mut deliveries, &questions, &changes, runtime.handle());
    drop(changes);
    if let Ok((collectors, sinks)) = reloader.join() {
        for collector in collectors {
            // A collector that panicked has said so; the others have stopped.
            let _ = collector.join();
        }
        sinks.finish();
    }
    answer_last(&intake);
    listener.task.abort();
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended.and(ends.failure())
}

/// Lets requests whose documents are durable have their answers.
fn answer_last(intake: &Intake) {
    let begun = std::time::Instant::now();
    while intake.open() > 0 && begun.elapsed() < ANSWER_LAST {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Where events go that other processes judge.
#[cfg(feature = "kafka")]
fn forwarding(
    config: &Config,
    instance: Option<&str>,
    store: &Store,
    status: &Status,
    ends: &Ends,
) -> anyhow::Result<Forwarding> {
    departing::to_topic(config, instance, store, status, ends.flag())
}

/// This program publishes nothing.
#[cfg(not(feature = "kafka"))]
fn forwarding(_: &Config, _: Option<&str>, _: &Store, _: &Status, _: &Ends) -> anyhow::Result<Forwarding> {
    anyhow::bail!("this program was built without Kafka (the cargo feature `kafka`)")
}

/// What the site has written, and what its files looked like when they were read.
fn read(sources: &Sources, role: &Role) -> anyhow::Result<(Judging, Prints)> {
    loop {
        let texts = sources.gather()?;
        let mut site = with_data_dir(demand(&texts)?);
        let (threads, elsewhere) = match role {
            Role::All { threads } => (*threads, None),
            Role::Collect { .. } => {
                // Delivering is for other roles.
                site.config.service.sinks.clear();
                (1, partitions_elsewhere(&site.config))
            }
        };
        let seen = Prints::now(sources, &site.config);
        // They may have changed in between.
        if sources.gather()? == texts {
            let judging = Judging {
                texts,
                site,
                threads,
                elsewhere,
            };
            return Ok((judging, seen));
        }
    }
}

/// Over how many partitions the cluster deals out the work.
fn partitions_elsewhere(config: &Config) -> Option<u16> {
    let cluster = config.service.kafka.as_ref();
    cluster.map(|cluster| u16::try_from(cluster.partitions).unwrap_or(u16::MAX))
}

/// `STAKEOUT_DATA_DIR` overrides the configuration.
pub(super) fn with_data_dir(mut site: Site) -> Site {
    if let Some(folder) = std::env::var_os("STAKEOUT_DATA_DIR").filter(|folder| !folder.is_empty()) {
        site.config.service.data_dir = folder.into();
    }
    site
}

/// Waits for SIGTERM or SIGINT. From now on neither ends the process by itself.
pub(super) fn ending(runtime: &tokio::runtime::Runtime) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    use tokio::signal::unix::{SignalKind, signal};
    let _in_it = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
