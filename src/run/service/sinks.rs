//! Sinks: each has a thread and a cursor in the outbox of its own, so that a slow one holds nobody up. An alert is
//! delivered after it is durable, again and again until that works, in order.

use super::status::Status;
use super::worker::{End, Tenures, Worker};
use crate::config::{CredentialSettings, DocumentFormat, HttpTarget, Secret, SinkKind, SinkSettings, Transport};
use crate::edge::sink::{
    AlertmanagerSink, Credentials, DocumentForm, ElasticsearchSink, Endpoint, FileSink, Rotation, Sink, StdoutSink,
    SyslogSink, SyslogTransport, WebhookSink,
};
use crate::edge::store::Store;
use anyhow::Context as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// The sinks at work.
pub(in crate::run) struct Sinks {
    running: Vec<Running>,
    /// Those that were taken out of the configuration and deliver what they still can.
    leaving: Vec<Running>,
    store: Arc<Store>,
    status: Arc<Status>,
    /// What of the outbox is to be delivered here, where others share the work.
    tenures: Option<Arc<dyn Tenures>>,
}

/// One sink's thread.
struct Running {
    settings: SinkSettings,
    read: Contents,
    end: Arc<End>,
    thread: JoinHandle<()>,
}

/// Hashes of what the files of a sink hold.
type Contents = Vec<Option<u64>>;

fn contents(sink: &SinkSettings) -> Contents {
    let hash = |path| Some(xxhash_rust::xxh3::xxh3_64(&std::fs::read(path).ok()?));
    sink.files().into_iter().map(hash).collect()
}

/// Starts a thread for each sink. With `tenures` only that of the outbox is delivered which is held.
pub(in crate::run) fn start(
    sinks: &[SinkSettings],
    store: &Arc<Store>,
    status: &Arc<Status>,
    tenures: Option<Arc<dyn Tenures>>,
) -> anyhow::Result<Sinks> {
    let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
    store.keep_cursors(&names)?;
    let mut started = Sinks {
        running: Vec::new(),
        leaving: Vec::new(),
        store: store.clone(),
        status: status.clone(),
        tenures,
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

    /// From now on alerts go to these sinks. One that is unchanged goes on; one that is changed, or whose secrets are, goes
    /// on from where it was; one that is gone tries once more to deliver what is there.
    pub(super) fn change(&mut self, sinks: &[SinkSettings]) -> anyhow::Result<()> {
        let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| sinks.iter().any(|sink| running.is(sink)));
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
        self.running.iter().any(|running| running.is(sink))
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
        let (store, status, tenures) = (self.store.clone(), self.status.clone(), self.tenures.clone());
        let (own, own_end) = (settings.clone(), end.clone());
        let read = contents(settings);
        let work = move || {
            if let Some(before) = before {
                // One that panicked keeps its cursor.
                let _ = before.join();
            }
            let place = place.map_or_else(|| build(&own, &status), Ok);
            let worker = place.and_then(|place| Worker::new(&own, place, &store, &status, &own_end, tenures));
            match worker {
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
            read,
            end,
            thread: thread.spawn(work).context("starting a sink")?,
        });
        Ok(())
    }

    /// No more alerts come: what is in the outbox is tried once more, and the sinks end.
    pub(in crate::run) fn finish(self) {
        for running in &self.running {
            running.end.stop.store(true, Ordering::Relaxed);
        }
        for running in self.running.into_iter().chain(self.leaving) {
            // A sink that panicked keeps its cursor: what it did not deliver is delivered after the next start.
            let _ = running.thread.join();
        }
    }
}

impl Running {
    /// Whether it would be the same if it were built anew.
    fn is(&self, sink: &SinkSettings) -> bool {
        self.settings == *sink && self.read == contents(sink)
    }
}
