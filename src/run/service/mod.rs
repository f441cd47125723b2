//! `stakeout run`: collect, detect and deliver in one process, with one store and no other server.
//!
//! Collectors (threads) hand records to the core (one thread), which judges them and makes them durable together with
//! the alerts that they lead to. Each sink (a thread) delivers from the outbox behind its own cursor. HTTP answers beside
//! them. Shutdown flows with the data: collectors stop, the core drains and keeps what it learned, sinks deliver what is
//! there, and the process leaves.

mod core;
mod http;
mod sinks;
mod status;
mod told;

use self::core::Core;
use self::status::Status;
use super::check::Site;
use crate::config::Service;
use crate::domain::Duration;
use crate::edge::collector::{FileCollector, FilePattern, Places, Queue, queue};
use crate::edge::store::Store;
use crate::engine::feed::Feed;
use crate::engine::pipeline::Engine;
use crate::engine::program::{EngineBounds, Program};
use crate::engine::triage::Budget;
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs the service until SIGTERM or SIGINT.
pub fn run(site: Site, threads: usize) -> anyhow::Result<()> {
    let service = data_dir(site.config.service.clone());
    let store = Arc::new(Store::open(&service.data_dir)?);
    let status = Arc::new(Status::new()?);
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let feed = feed(site, threads)?;
    let core = Core::take_up(store.clone(), feed, service.store, status.clone())
        .with_context(|| format!("taking up the state in {}", service.data_dir.display()))?;
    let names: Vec<&str> = service.sinks.iter().map(|sink| sink.name.as_str()).collect();
    store.keep_cursors(&names)?;
    let sinks = sinks::start(&service.sinks, &store, &status)?;
    let (queue, deliveries) = queue();
    let collectors = collect(&service, &store, &status, &queue, &stop)?;
    drop(queue);
    let listener = runtime.block_on(http::start(&service.http, store.clone(), status.clone()))?;
    tracing::info!(
        listen = %listener.address,
        data_dir = %service.data_dir.display(),
        "ready"
    );
    status.set_ready();
    let flag = stop.clone();
    runtime.spawn(async move {
        wait_for_signal().await;
        flag.store(true, Ordering::Relaxed);
    });
    let ended = core.run(&deliveries);
    for collector in collectors {
        // A collector that panicked has said so; the others have stopped.
        let _ = collector.join();
    }
    sinks.finish();
    listener.task.abort();
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended
}

/// `STAKEOUT_DATA_DIR` overrides the configuration.
fn data_dir(mut service: Service) -> Service {
    if let Some(folder) = std::env::var_os("STAKEOUT_DATA_DIR").filter(|folder| !folder.is_empty()) {
        service.data_dir = folder.into();
    }
    service
}

fn feed(site: Site, threads: usize) -> anyhow::Result<Feed> {
    let config = site.config;
    let bounds = EngineBounds {
        entities_per_key_group_max: config.bounds.entities_per_key_group_max.min(u32::MAX as usize) as u32,
    };
    let program = Program::new(&site.catalog, config.networks, bounds)?;
    let budget = Budget::AlertsPerDay(config.alerts_per_day);
    let engine = Engine::new(program, budget, threads, config.timezone);
    Ok(Feed::new(engine, config.bounds.disorder_max.max(Duration::ZERO)))
}

/// The store's view for collectors.
struct StorePlaces(Arc<Store>);

impl Places for StorePlaces {
    fn number(&self, name: &str) -> Option<u16> {
        self.0
            .input_number(name)
            .inspect_err(|failure| tracing::error!(%failure, input = name, "an input is left out"))
            .ok()
    }

    fn position(&self, input: u16) -> Option<Vec<u8>> {
        self.0.position(input).ok().flatten()
    }
}

/// Starts every collector.
fn collect(
    service: &Service,
    store: &Arc<Store>,
    status: &Status,
    queue: &Queue,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<Vec<std::thread::JoinHandle<()>>> {
    let mut collectors = Vec::new();
    let patterns: Result<Vec<_>, _> = service
        .inputs
        .files
        .iter()
        .map(|files| FilePattern::parse(&files.path))
        .collect();
    let places = StorePlaces(store.clone());
    let files = FileCollector::new(patterns?, places, queue.clone(), stop.clone());
    status.watch_files(files.progress());
    let thread = std::thread::Builder::new().name("files".to_owned());
    collectors.push(
        thread
            .spawn(move || files.run())
            .context("starting the collector of files")?,
    );
    Ok(collectors)
}

async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
