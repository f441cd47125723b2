//! `stakeout run`: collect, detect and deliver in one process, with one store and no other server.
//!
//! Collectors (threads) hand records to the core (one thread), which judges them and makes them durable together with
//! the alerts that they lead to. Each sink (a thread) delivers from the outbox behind its own cursor. HTTP answers beside
//! them. Shutdown flows with the data: collectors stop, the core drains and keeps what it learned, sinks deliver what is
//! there, and the process leaves.

mod api;
mod capture;
mod confine;
mod core;
mod credentials;
mod http;
mod intake;
mod keeper;
mod listeners;
mod serve;
mod sinks;
mod status;

use self::api::Api;
use self::core::Core;
use self::intake::Intake;
use self::status::Status;
use super::check::Site;
use crate::config::Service;
use crate::domain::Duration;
use crate::edge::collector::{FileCollector, FilePattern, Places, Queue, queue};
use crate::edge::store::Store;
use crate::engine::feed::Feed;
use crate::engine::pipeline::Engine;
use crate::engine::program::Program;
use crate::engine::triage::Budget;
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long the last requests may take to be answered.
const ANSWER_LAST: std::time::Duration = std::time::Duration::from_secs(1);

/// Runs the service until SIGTERM or SIGINT.
pub fn run(site: Site, threads: usize) -> anyhow::Result<()> {
    let service = data_dir(site.config.service.clone());
    let store = Arc::new(Store::open(&service.data_dir)?);
    let status = Arc::new(Status::new()?);
    status.configured(site.config.alerts_per_day, &service.sinks);
    let stop = Arc::new(AtomicBool::new(false));
    let listener = http::bind(&service.http)?;
    let captures = capture::open(&service.inputs.interfaces)?;
    let listeners = listeners::open(&service.inputs)?;
    status.set_confinement(confine::confine(&site.config, &service.data_dir));
    // Threads start here: they inherit what the process has given up.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let flows_max = site.config.bounds.flows_max;
    let assets = site.config.assets.clone();
    let feed = feed(site, threads)?;
    let definitions = feed.engine().program().definitions.clone();
    let core = Core::take_up(store.clone(), feed, assets, service.store, status.clone())
        .with_context(|| format!("taking up the state in {}", service.data_dir.display()))?;
    let names: Vec<&str> = service.sinks.iter().map(|sink| sink.name.as_str()).collect();
    store.keep_cursors(&names)?;
    let sinks = sinks::start(&service.sinks, &store, &status)?;
    // Before collectors ask for the numbers of theirs: what is evidence should not depend on who comes first.
    let pushed_input = store.input_number("http")?;
    let (queue, mut deliveries) = queue();
    let mut collecting = Collecting {
        service: &service,
        store: &store,
        status: &status,
        queue: &queue,
        stop: &stop,
        flows_max,
        threads: Vec::new(),
    };
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    collecting.listen(listeners, runtime.handle(), &stopped)?;
    collecting.start(captures)?;
    let collectors = collecting.threads;
    let (api, questions) = Api::new(store.clone(), definitions);
    let intake = Intake::new(
        pushed_input,
        store.position(pushed_input)?,
        queue,
        status.metrics.collectors.clone(),
    );
    let listener = runtime.block_on(http::start(
        listener,
        &service.http,
        status.clone(),
        intake.clone(),
        api,
    ))?;
    tracing::info!(
        listen = %listener.address,
        data_dir = %service.data_dir.display(),
        "ready"
    );
    status.set_ready();
    let (flag, pushed) = (stop.clone(), intake.clone());
    runtime.spawn(async move {
        wait_for_signal().await;
        flag.store(true, Ordering::Relaxed);
        pushed.close();
        // Nobody listens where nothing is listened for.
        let _ = stopping.send(true);
    });
    let ended = core.run(&mut deliveries, &questions, runtime.handle());
    for collector in collectors {
        // A collector that panicked has said so; the others have stopped.
        let _ = collector.join();
    }
    sinks.finish();
    answer_last(&intake);
    listener.task.abort();
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended
}

/// Lets requests whose documents are durable have their answers.
fn answer_last(intake: &Intake) {
    let begun = std::time::Instant::now();
    while intake.open() > 0 && begun.elapsed() < ANSWER_LAST {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// `STAKEOUT_DATA_DIR` overrides the configuration.
fn data_dir(mut service: Service) -> Service {
    if let Some(folder) = std::env::var_os("STAKEOUT_DATA_DIR").filter(|folder| !folder.is_empty()) {
        service.data_dir = folder.into();
    }
    service
}

fn feed(site: Site, threads: usize) -> anyhow::Result<Feed> {
    let bounds = site.engine_bounds();
    let config = site.config;
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

/// What collectors need, and the threads and tasks that they became.
struct Collecting<'a> {
    service: &'a Service,
    store: &'a Arc<Store>,
    status: &'a Arc<Status>,
    queue: &'a Queue,
    stop: &'a Arc<AtomicBool>,
    flows_max: usize,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Collecting<'_> {
    /// Starts every collector.
    fn start(&mut self, captures: Vec<capture::Capturing>) -> anyhow::Result<()> {
        for capturing in captures {
            let names = capturing.input_names();
            let inputs: Result<Vec<u16>, _> = names.iter().map(|name| self.store.input_number(name)).collect();
            let work = capturing.into_work(&inputs?, self.flows_max, self.queue, self.status, self.stop);
            for (name, work) in work {
                self.thread(&name, work)?;
            }
        }
        self.streams()?;
        self.files()
    }

    fn files(&mut self) -> anyhow::Result<()> {
        let files = &self.service.inputs.files;
        let patterns: Result<Vec<_>, _> = files.iter().map(|files| FilePattern::parse(&files.path)).collect();
        let places = StorePlaces(self.store.clone());
        let collector = FileCollector::new(patterns?, places, self.queue.clone(), self.stop.clone());
        self.status.watch_files(collector.progress());
        self.thread("files", move || collector.run())
    }

    fn thread(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        self.threads
            .push(thread.with_context(|| format!("starting the collector `{name}`"))?);
        Ok(())
    }
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
