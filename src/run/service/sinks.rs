//! Sinks: each has a thread and a cursor in the outbox of its own, so that a slow one holds nobody up. An alert is
//! delivered after it is durable, again and again until that works, in order.

use super::status::Status;
use crate::config::{DocumentFormat, SinkKind, SinkSettings};
use crate::edge::sink::{DocumentForm, FileSink, Sink, SinkFailure, StdoutSink, Told};
use crate::edge::store::{Store, StoreFailure};
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a sink looks for alerts.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a sink with nothing to deliver may do what the clock asks for.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// The longest time between two tries.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Alerts that are delivered together.
const TOGETHER_MAX: usize = 256;

/// The sinks at work.
pub(super) struct Sinks {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// Starts a thread for each sink.
pub(super) fn start(sinks: &[SinkSettings], store: &Arc<Store>, status: &Arc<Status>) -> anyhow::Result<Sinks> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for sink in sinks {
        let worker = Worker {
            name: sink.name.clone(),
            next: store.cursor(&sink.name)?,
            sink: build(&sink.kind)?,
            store: store.clone(),
            status: status.clone(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("sink {}", sink.name));
        threads.push(thread.spawn(move || worker.run()).context("starting a sink")?);
    }
    Ok(Sinks { threads, stop })
}

fn build(kind: &SinkKind) -> anyhow::Result<Box<dyn Sink>> {
    Ok(match kind {
        SinkKind::Stdout { format } => Box::new(StdoutSink::new(form(*format))),
        SinkKind::File { path, format } => {
            let sink = FileSink::open(path, form(*format));
            Box::new(sink.with_context(|| format!("opening the sink's file {}", path.display()))?)
        }
    })
}

fn form(format: DocumentFormat) -> DocumentForm {
    match format {
        DocumentFormat::Ecs => DocumentForm::Ecs,
        DocumentFormat::Ocsf => DocumentForm::Ocsf,
    }
}

impl Sinks {
    /// No more alerts come: what is in the outbox is tried once more, and the sinks end.
    pub(super) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A sink that panicked keeps its cursor: what it did not deliver is delivered after the next start.
            let _ = thread.join();
        }
    }
}

/// One sink's thread.
struct Worker {
    name: String,
    next: u64,
    sink: Box<dyn Sink>,
    store: Arc<Store>,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
}

/// Why a round of a sink came to nothing.
#[derive(Debug, thiserror::Error)]
enum RoundFailure {
    #[error(transparent)]
    Store(#[from] StoreFailure),
    #[error(transparent)]
    Sink(#[from] SinkFailure),
}

impl Worker {
    fn run(mut self) {
        let mut again = LOOK_EVERY;
        let mut idled: Option<Instant> = None;
        loop {
            let is_last = self.stop.load(Ordering::Relaxed);
            let round = match self.deliver_some() {
                Ok(0) if idled.is_none_or(|at| at.elapsed() >= IDLE_EVERY) => {
                    idled = Some(Instant::now());
                    self.sink.idle().map(|()| 0).map_err(RoundFailure::from)
                }
                round => round,
            };
            match round {
                Ok(0) if is_last => return,
                Ok(0) => {
                    again = LOOK_EVERY;
                    std::thread::sleep(LOOK_EVERY);
                }
                Ok(_) => again = LOOK_EVERY,
                Err(failure) => {
                    tracing::warn!(sink = self.name, %failure, "alerts could not be delivered; they are kept and tried again");
                    self.status.metrics.sink_failures.with_label_values(&[&self.name]).inc();
                    if is_last {
                        return;
                    }
                    let asked = match failure {
                        RoundFailure::Sink(failure) => failure.retry_after,
                        RoundFailure::Store(_) => None,
                    };
                    self.rest(asked.unwrap_or(again).min(AGAIN_MAX));
                    again = (again * 2).min(AGAIN_MAX);
                }
            }
        }
    }

    /// Sleeps, but not past the end.
    fn rest(&self, length: Duration) {
        let mut left = length;
        while left > Duration::ZERO && !self.stop.load(Ordering::Relaxed) {
            let piece = left.min(LOOK_EVERY);
            std::thread::sleep(piece);
            left -= piece;
        }
    }

    fn deliver_some(&mut self) -> Result<usize, RoundFailure> {
        let entries = self.store.told(self.next, TOGETHER_MAX)?;
        let backlog = self.store.next_told()?.saturating_sub(self.next);
        let gauge = self.status.metrics.sink_backlog.with_label_values(&[&self.name]);
        gauge.set(i64::try_from(backlog).unwrap_or(i64::MAX));
        let Some((last, _)) = entries.last() else { return Ok(0) };
        let next = last + 1;
        let told: Vec<Told> = entries.iter().filter_map(|(_, bytes)| Told::read(bytes)).collect();
        self.sink.deliver(&told)?;
        self.store.set_cursor(&self.name, next)?;
        self.next = next;
        Ok(entries.len())
    }
}
