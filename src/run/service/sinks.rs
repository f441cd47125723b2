//! Sinks: each has a thread and a cursor in the outbox of its own, so that a slow one holds nobody up. An alert is
//! delivered after it is durable, again and again until that works, in order.

use super::status::Status;
use super::told::Told;
use crate::config::{DocumentFormat, Sink, SinkKind};
use crate::edge::store::Store;
use anyhow::Context as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often a sink looks for alerts.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest time between two tries.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Alerts that are delivered together.
const TOGETHER_MAX: usize = 256;

/// Takes documents to where a sink delivers. An error means that nothing of the batch counts as delivered.
trait Deliver: Send {
    fn deliver(&mut self, told: &[Told]) -> io::Result<()>;
}

/// The sinks at work.
pub(super) struct Sinks {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

/// Starts a thread for each sink.
pub(super) fn start(sinks: &[Sink], store: &Arc<Store>, status: &Arc<Status>) -> anyhow::Result<Sinks> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for sink in sinks {
        let worker = Worker {
            name: sink.name.clone(),
            next: store.cursor(&sink.name)?,
            deliver: build(&sink.kind)?,
            store: store.clone(),
            status: status.clone(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("sink {}", sink.name));
        threads.push(thread.spawn(move || worker.run()).context("starting a sink")?);
    }
    Ok(Sinks { threads, stop })
}

fn build(kind: &SinkKind) -> anyhow::Result<Box<dyn Deliver>> {
    Ok(match kind {
        SinkKind::Stdout { format } => Box::new(Lines {
            writer: io::stdout(),
            format: *format,
        }),
        SinkKind::File { path, format } => Box::new(Lines {
            writer: open(path).with_context(|| format!("opening the sink's file {}", path.display()))?,
            format: *format,
        }),
    })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
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
    deliver: Box<dyn Deliver>,
    store: Arc<Store>,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self) {
        let mut again = LOOK_EVERY;
        loop {
            let is_last = self.stop.load(Ordering::Relaxed);
            match self.deliver_some() {
                Ok(0) if is_last => return,
                Ok(0) => {
                    again = LOOK_EVERY;
                    std::thread::sleep(LOOK_EVERY);
                }
                Ok(_) => again = LOOK_EVERY,
                Err(error) => {
                    tracing::warn!(sink = self.name, %error, "alerts could not be delivered; they are kept and tried again");
                    self.status.metrics.sink_failures.with_label_values(&[&self.name]).inc();
                    if is_last {
                        return;
                    }
                    self.rest(again);
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

    fn deliver_some(&mut self) -> anyhow::Result<usize> {
        let entries = self.store.told(self.next, TOGETHER_MAX)?;
        let backlog = self.store.next_told()?.saturating_sub(self.next);
        let gauge = self.status.metrics.sink_backlog.with_label_values(&[&self.name]);
        gauge.set(i64::try_from(backlog).unwrap_or(i64::MAX));
        let Some((last, _)) = entries.last() else { return Ok(0) };
        let next = last + 1;
        let told: Vec<Told> = entries.iter().filter_map(|(_, bytes)| Told::read(bytes)).collect();
        self.deliver.deliver(&told)?;
        self.store.set_cursor(&self.name, next)?;
        self.next = next;
        Ok(entries.len())
    }
}

/// A document a line.
struct Lines<W> {
    writer: W,
    format: DocumentFormat,
}

impl<W: Write + Send> Deliver for Lines<W> {
    fn deliver(&mut self, told: &[Told]) -> io::Result<()> {
        let mut text = String::new();
        for told in told {
            text.push_str(match self.format {
                DocumentFormat::Ecs => &told.ecs,
                DocumentFormat::Ocsf => &told.ocsf,
            });
            text.push('\n');
        }
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }
}
