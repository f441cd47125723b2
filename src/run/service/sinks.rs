//! Sinks: each has a thread and a cursor in the outbox of its own, so that a slow one holds nobody up. An alert is
//! delivered after it is durable, again and again until that works, in order.

use super::status::Status;
use crate::config::{CredentialSettings, DocumentFormat, HttpTarget, Secret, SinkKind, SinkSettings, Transport};
use crate::edge::sink::{
    AlertmanagerSink, Batch, Credentials, DocumentForm, ElasticsearchSink, Endpoint, FileSink, Outbox, Rotation, Sink,
    SinkFailure, StdoutSink, SyslogSink, SyslogTransport, Told, WebhookSink,
};
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
/// Delivered alerts that a sink is reminded of when it starts.
const RECALLED_MAX: u64 = 1000;

/// The sinks at work.
pub(super) struct Sinks {
    running: Vec<Running>,
    /// Those that were taken out of the configuration and deliver what they still can.
    leaving: Vec<Running>,
    store: Arc<Store>,
    status: Arc<Status>,
}

/// One sink's thread.
struct Running {
    settings: SinkSettings,
    end: Arc<End>,
    thread: JoinHandle<()>,
}

/// How a sink ends.
#[derive(Debug, Default)]
struct End {
    /// It is to end.
    stop: AtomicBool,
    /// It does not come back: its cursor goes with it.
    forget: AtomicBool,
}

/// Starts a thread for each sink.
pub(super) fn start(sinks: &[SinkSettings], store: &Arc<Store>, status: &Arc<Status>) -> anyhow::Result<Sinks> {
    let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
    store.keep_cursors(&names)?;
    let mut started = Sinks {
        running: Vec::new(),
        leaving: Vec::new(),
        store: store.clone(),
        status: status.clone(),
    };
    for sink in sinks {
        let place = build(sink, status).with_context(|| format!("the sink `{}`", sink.name))?;
        started.spawn(sink, Some(place), None)?;
    }
    Ok(started)
}

/// Whether a sink could be built, without touching what another one of the same name is at work on.
fn prove(sink: &SinkSettings, status: &Status) -> anyhow::Result<()> {
    match &sink.kind {
        SinkKind::File { path, .. } => {
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
            opened.with_context(|| {
                format!(
                    "opening {}; a folder that no sink wrote to may need a restart of the service",
                    path.display()
                )
            })?;
            Ok(())
        }
        _ => build(sink, status).map(drop),
    }
}

fn build(sink: &SinkSettings, status: &Status) -> anyhow::Result<Box<dyn Sink>> {
    Ok(match &sink.kind {
        SinkKind::Stdout { format } => Box::new(StdoutSink::new(form(*format))),
        SinkKind::File {
            path,
            format,
            rotate_bytes,
            keep,
        } => {
            let rotation = Rotation {
                bytes: *rotate_bytes,
                keep: *keep,
            };
            let sink = FileSink::open(path, form(*format), rotation);
            Box::new(sink.with_context(|| format!("opening {}", path.display()))?)
        }
        SinkKind::Webhook {
            target,
            signing_secret,
            format,
        } => {
            let secret = signing_secret.as_ref().map(Secret::read).transpose()?;
            Box::new(WebhookSink::new(endpoint(target)?, secret.as_deref(), form(*format)))
        }
        SinkKind::Alertmanager { replicas, hold } => {
            let replicas: anyhow::Result<Vec<Endpoint>> = replicas.iter().map(endpoint).collect();
            let hold = Duration::from_nanos(u64::try_from(hold.nanos()).unwrap_or(0));
            Box::new(AlertmanagerSink::new(replicas?, hold))
        }
        SinkKind::Elasticsearch { target, index, format } => {
            Box::new(ElasticsearchSink::new(endpoint(target)?, index, form(*format)))
        }
        #[cfg(feature = "kafka")]
        SinkKind::Kafka {
            connection,
            topic,
            format,
        } => Box::new(super::kafka::sink(
            &sink.name,
            connection,
            &topic.name,
            *format,
            status,
        )?),
        #[cfg(not(feature = "kafka"))]
        SinkKind::Kafka { .. } => {
            let _ = status;
            anyhow::bail!("this program was built without Kafka")
        }
        SinkKind::Syslog {
            transport,
            address,
            ca_file,
        } => {
            let transport = match transport {
                Transport::Udp => SyslogTransport::Udp,
                Transport::Tcp => SyslogTransport::Tcp,
                Transport::Tls => SyslogTransport::Tls,
            };
            Box::new(SyslogSink::new(transport, address, ca_file.as_deref())?)
        }
    })
}

fn endpoint(target: &HttpTarget) -> anyhow::Result<Endpoint> {
    let credentials = match &target.credentials {
        CredentialSettings::None => Credentials::None,
        CredentialSettings::Bearer(token) => Credentials::Bearer(token.read()?),
        CredentialSettings::ApiKey(key) => Credentials::ApiKey(key.read()?),
        CredentialSettings::Basic { user, password } => Credentials::Basic {
            user: user.clone(),
            password: password.read()?,
        },
    };
    Ok(Endpoint::new(&target.url, credentials, target.ca_file.as_deref())?)
}

pub(super) fn form(format: DocumentFormat) -> DocumentForm {
    match format {
        DocumentFormat::Ecs => DocumentForm::Ecs,
        DocumentFormat::Ocsf => DocumentForm::Ocsf,
    }
}

impl Sinks {
    /// Sees that those of these sinks can be built that are not at work already.
    pub(super) fn prove(&self, sinks: &[SinkSettings]) -> anyhow::Result<()> {
        for sink in sinks.iter().filter(|sink| !self.is_at_work(sink)) {
            prove(sink, &self.status).with_context(|| format!("the sink `{}`", sink.name))?;
        }
        Ok(())
    }

    /// From now on alerts go to these sinks. One that is unchanged goes on; one that is changed goes on from where it
    /// was; one that is gone tries once more to deliver what is there.
    pub(super) fn change(&mut self, sinks: &[SinkSettings]) -> anyhow::Result<()> {
        let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| sinks.contains(&running.settings));
        self.running = stay;
        for running in go {
            let comes_back = sinks.iter().any(|sink| sink.name == running.settings.name);
            running.end.forget.store(!comes_back, Ordering::Relaxed);
            running.end.stop.store(true, Ordering::Relaxed);
            self.leaving.push(running);
        }
        self.leaving.retain(|leaving| !leaving.thread.is_finished());
        for sink in sinks {
            if self.is_at_work(sink) {
                continue;
            }
            let before = self
                .leaving
                .iter()
                .position(|leaving| leaving.settings.name == sink.name);
            let before = before.map(|place| self.leaving.swap_remove(place));
            self.spawn(sink, None, before.map(|before| before.thread))?;
        }
        Ok(())
    }

    fn is_at_work(&self, sink: &SinkSettings) -> bool {
        self.running.iter().any(|running| running.settings == *sink)
    }

    /// Starts a sink's thread; it waits for the end of the one that had its cursor `before`.
    fn spawn(
        &mut self,
        settings: &SinkSettings,
        place: Option<Box<dyn Sink>>,
        before: Option<JoinHandle<()>>,
    ) -> anyhow::Result<()> {
        // A new sink begins with the next alert, not with the next one after its thread has begun.
        self.store.cursor(&settings.name)?;
        let end = Arc::new(End::default());
        let (store, status) = (self.store.clone(), self.status.clone());
        let (own, own_end) = (settings.clone(), end.clone());
        let work = move || {
            if let Some(before) = before {
                // One that panicked keeps its cursor.
                let _ = before.join();
            }
            match worker(&own, place, &store, &status, &own_end) {
                Ok(worker) => worker.run(),
                Err(error) => tracing::error!(sink = own.name, "not started: {error:#}; its alerts are kept for it"),
            }
            if own_end.forget.load(Ordering::Relaxed) {
                if let Err(failure) = store.forget_cursor(&own.name) {
                    tracing::warn!(sink = own.name, %failure, "its place in the outbox is kept until the next start");
                }
                status.sink_left(&own.name);
            }
        };
        let thread = std::thread::Builder::new().name(format!("sink {}", settings.name));
        self.running.push(Running {
            settings: settings.clone(),
            end,
            thread: thread.spawn(work).context("starting a sink")?,
        });
        Ok(())
    }

    /// No more alerts come: what is in the outbox is tried once more, and the sinks end.
    pub(super) fn finish(self) {
        for running in &self.running {
            running.end.stop.store(true, Ordering::Relaxed);
        }
        for running in self.running.into_iter().chain(self.leaving) {
            // A sink that panicked keeps its cursor: what it did not deliver is delivered after the next start.
            let _ = running.thread.join();
        }
    }
}

/// A sink with what it needs to know of alerts before its cursor.
fn worker(
    settings: &SinkSettings,
    place: Option<Box<dyn Sink>>,
    store: &Arc<Store>,
    status: &Arc<Status>,
    end: &Arc<End>,
) -> anyhow::Result<Worker> {
    let mut sink = match place {
        Some(place) => place,
        None => build(settings, status)?,
    };
    let next = store.cursor(&settings.name)?;
    let recalled = store.told(next.saturating_sub(RECALLED_MAX), next.min(RECALLED_MAX) as usize)?;
    let recalled: Vec<Told> = recalled.iter().filter_map(|(_, bytes)| Told::read(bytes)).collect();
    sink.recall(&recalled);
    Ok(Worker {
        name: settings.name.clone(),
        next,
        identity: store.identity()?,
        together: sink.together_max(),
        sink,
        store: store.clone(),
        status: status.clone(),
        end: end.clone(),
    })
}

/// What a sink's thread does.
struct Worker {
    name: String,
    next: u64,
    /// Which store the outbox is of.
    identity: u64,
    sink: Box<dyn Sink>,
    /// How many alerts are delivered together: fewer while some of them are refused.
    together: usize,
    store: Arc<Store>,
    status: Arc<Status>,
    end: Arc<End>,
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
            let is_last = self.end.stop.load(Ordering::Relaxed);
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
                Err(RoundFailure::Sink(failure)) if failure.refused && self.together > 1 => {
                    // One of them is refused: smaller and smaller batches find out which.
                    self.together /= 2;
                }
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
        while left > Duration::ZERO && !self.end.stop.load(Ordering::Relaxed) {
            let piece = left.min(LOOK_EVERY);
            std::thread::sleep(piece);
            left -= piece;
        }
    }

    fn deliver_some(&mut self) -> Result<usize, RoundFailure> {
        let end = self.store.next_told()?;
        let gauge = self.status.metrics.sink_backlog.with_label_values(&[&self.name]);
        let waits = |next: u64| i64::try_from(end.saturating_sub(next)).unwrap_or(i64::MAX);
        gauge.set(waits(self.next));
        self.next = self.sink.resume(&Outbox {
            store: self.identity,
            next: self.next,
            end,
        })?;
        gauge.set(waits(self.next));
        let entries = self.store.told(self.next, self.together)?;
        let Some((last, _)) = entries.last() else { return Ok(0) };
        let next = last + 1;
        let told: Vec<Told> = entries.iter().filter_map(|(_, bytes)| Told::read(bytes)).collect();
        match self.sink.deliver_batch(&Batch { told: &told, next }) {
            Err(failure) if failure.refused && entries.len() == 1 => {
                tracing::error!(sink = self.name, %failure, "an alert is refused and given up; the others go on");
                self.status.metrics.sink_refused.with_label_values(&[&self.name]).inc();
            }
            delivered => {
                delivered?;
                let delivered = self.status.metrics.sink_delivered.with_label_values(&[&self.name]);
                delivered.inc_by(entries.len() as u64);
            }
        }
        self.store.set_cursor(&self.name, next)?;
        self.next = next;
        self.together = (self.together * 2).min(self.sink.together_max());
        Ok(entries.len())
    }
}
