//! Reloads: on SIGHUP, and when what the site has written changes, it is read anew and checked whole. What is bad is told
//! and changes nothing; what is good takes effect between two records, and everything that it does not touch goes on.

use super::api::Api;
use super::collecting::Collecting;
use super::core::{Change, Judging};
use super::http::Access;
use super::sinks::Sinks;
use super::status::Status;
use super::with_data_dir;
use crate::config::{Config, SinkSettings};
use crate::domain::Mistake;
use crate::run::check::{Sources, is_definition};
use crate::run::state::changes;
use anyhow::Context as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// How often files are looked at. What has changed must look the same twice, so that no half-written file is read.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How soon the end of the service is noticed.
const WAKE: Duration = Duration::from_millis(100);

/// From now on SIGHUP does not end the process, whatever it is doing.
pub(in crate::run) fn survive_hangups() -> anyhow::Result<()> {
    // The handler stays when the runtime that installed it has gone. This one has no thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _in_it = runtime.enter();
    let _unheard = signal(SignalKind::hangup()).context("watching for SIGHUP")?;
    Ok(())
}

/// Gives each SIGHUP from now on; those that come while one waits are one.
pub(super) fn hangups(runtime: &tokio::runtime::Runtime) -> anyhow::Result<Receiver<()>> {
    let (sender, receiver) = sync_channel(1);
    let _in_it = runtime.enter();
    let mut hangups = signal(SignalKind::hangup()).context("watching for SIGHUP")?;
    runtime.spawn(async move {
        while hangups.recv().await.is_some() {
            if let Err(TrySendError::Disconnected(())) = sender.try_send(()) {
                return;
            }
        }
    });
    Ok(receiver)
}

/// What a file looks like from outside: another number is another content.
type Print = Option<[i64; 6]>;

/// The files that a site has written, each with its print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prints(Vec<(PathBuf, Print)>);

impl Prints {
    /// What the files look like now.
    pub(super) fn now(sources: &Sources, config: &Config) -> Prints {
        let mut paths: Vec<PathBuf> = sources.config.iter().cloned().collect();
        if let Some(folder) = &sources.detectors {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            paths.extend(entries.map(|entry| entry.path()).filter(|path| is_definition(path)));
        }
        paths.extend(config.asn_database.iter().map(|database| database.path.clone()));
        let sinks = config.service.sinks.iter().flat_map(SinkSettings::files);
        paths.extend(config.service.http.files().chain(sinks).map(Path::to_owned));
        paths.sort();
        Prints(paths.into_iter().map(|path| (path.clone(), print(&path))).collect())
    }
}

fn print(path: &Path) -> Print {
    let found = std::fs::metadata(path).ok()?;
    Some([
        found.ino() as i64,
        found.size() as i64,
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec(),
    ])
}

/// Why what a site has written does not take effect.
enum Refusal {
    /// It can't be read, or can't be put to work.
    Failed(anyhow::Error),
    /// It has mistakes.
    Mistakes(Vec<Mistake>),
    /// It changes what can't be changed while the process runs.
    NeedsRestart(Vec<&'static str>),
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Refusal {
        Refusal::Failed(error)
    }
}

/// Reads what the site has written anew.
pub(super) struct Reloader {
    /// Where it is written.
    pub(super) sources: Sources,
    /// What is in force.
    pub(super) judging: Judging,
    /// What the files looked like when they were read.
    pub(super) seen: Prints,
    /// SIGHUP.
    pub(super) hangups: Receiver<()>,
    /// The way to the core, which has the engine.
    pub(super) core: SyncSender<Change>,
    /// What is collected.
    pub(super) collecting: Collecting,
    /// Where alerts go.
    pub(super) sinks: Sinks,
    /// What tells of detectors.
    pub(super) api: Arc<Api>,
    /// Who may ask.
    pub(super) access: Arc<Access>,
    /// What is told of it.
    pub(super) status: Arc<Status>,
    /// The service ends.
    pub(super) stop: Arc<AtomicBool>,
}

impl Reloader {
    /// Reloads until the service ends. Gives what is still to be ended then.
    pub(super) fn run(mut self) -> (Vec<JoinHandle<()>>, Sinks) {
        let mut looked = Instant::now();
        let mut pending = None;
        while !self.stop.load(Ordering::Relaxed) {
            match self.hangups.recv_timeout(WAKE) {
                Ok(()) => self.reload(),
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(WAKE),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                let prints = Prints::now(&self.sources, &self.judging.site.config);
                if prints == self.seen {
                    pending = None;
                } else if pending.as_ref() == Some(&prints) {
                    pending = None;
                    self.reload();
                } else {
                    pending = Some(prints);
                }
            }
        }
        // The queue ends with the collectors, and the core with the queue.
        (self.collecting.finish(), self.sinks)
    }

    fn reload(&mut self) {
        let before = Prints::now(&self.sources, &self.judging.site.config);
        let reloaded = self.try_reload();
        self.status.reloaded(reloaded.is_ok());
        // What was named only now was read after `before`, and what it looked like then is not known: looked at again.
        self.seen = before;
        match reloaded {
            Ok(None) => tracing::info!("configuration reloaded; detectors go on as they were"),
            Ok(Some(changes)) => tracing::info!("configuration reloaded: {changes}"),
            Err(Refusal::Failed(error)) => tracing::error!("configuration not reloaded, the old one stays: {error:#}"),
            Err(Refusal::Mistakes(mistakes)) => {
                let count = mistakes.len();
                for mistake in &mistakes {
                    tracing::error!("{mistake}");
                }
                tracing::error!("configuration not reloaded, the old one stays: mistakes={count}");
            }
            Err(Refusal::NeedsRestart(keys)) => {
                let keys = keys.join("`, `");
                tracing::error!(
                    "configuration not reloaded, the old one stays: `{keys}` changes only with a restart of the service"
                );
            }
        }
    }

    /// Puts to work what the site has written, whole or not at all. Gives what became of detectors that changed.
    fn try_reload(&mut self) -> Result<Option<String>, Refusal> {
        let texts = self.sources.gather()?;
        let mut site = with_data_dir(texts.site().map_err(Refusal::Mistakes)?);
        if self.judging.elsewhere.is_some() {
            site.config.service.sinks.clear();
        }
        let next = Judging {
            site,
            texts,
            threads: self.judging.threads,
            elsewhere: self.judging.elsewhere,
        };
        let (old, new) = (&self.judging.site.config, &next.site.config);
        let keys = needs_restart(old, new);
        if !keys.is_empty() {
            return Err(Refusal::NeedsRestart(keys));
        }
        let opened = self.access.read(&new.service.http)?;
        let (inputs, sinks) = (new.service.inputs.clone(), new.service.sinks.clone());
        self.sinks.prove(&sinks)?;
        if next.texts == self.judging.texts {
            self.access.put(opened);
            self.sinks.change(&sinks)?;
            return Ok(None);
        }
        let sockets = self.collecting.open_new(&inputs)?;
        let files_change = self.collecting.end_files_unless(&inputs)?;
        let restored = self.core_changes(next.clone(), files_change);
        if restored.is_err() && files_change {
            self.collecting.files(&old.service.inputs.clone())?;
        }
        let restored = restored?;
        let definitions = restored.definitions;
        self.judging = next;
        #[cfg(feature = "kafka")]
        if let Some(sharing) = &self.collecting.sharing {
            sharing.judge_by(&self.judging);
        }
        self.access.put(opened);
        self.api.set_definitions(definitions);
        self.status.configured(self.judging.site.config.alerts_per_day, &sinks);
        // From here on nothing is refused: what fails is told by itself.
        if files_change {
            self.collecting.files(&inputs)?;
        }
        self.collecting.change_sockets(&inputs, sockets)?;
        self.sinks.change(&sinks)?;
        Ok(changes(&restored.restored))
    }

    /// Waits until the core has changed over.
    fn core_changes(&self, judging: Judging, files_change: bool) -> anyhow::Result<super::core::Changed> {
        let (reply, answer) = sync_channel(1);
        let change = Change {
            judging,
            files_change,
            reply,
        };
        self.core.send(change).context("the service ends")?;
        answer.recv().context("the service ends")?
    }
}

/// The keys in which two configurations differ that can't be changed while the process runs: what was opened with
/// privileges that are given up since, and what everything else stands on.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (was, is) = (&old.service, &new.service);
    let flows_max = old.bounds.flows_max != new.bounds.flows_max && !was.inputs.interfaces.is_empty();
    [
        ("data_dir", was.data_dir != is.data_dir),
        ("http: listen", was.http.listen != is.http.listen),
        ("confine", was.confine != is.confine),
        ("inputs: interfaces", was.inputs.interfaces != is.inputs.interfaces),
        ("inputs: stdin", was.inputs.stdin != is.inputs.stdin),
        ("kafka", was.kafka != is.kafka),
        ("inputs: kafka", was.inputs.kafka != is.inputs.kafka),
        ("inputs: journal", was.inputs.journal != is.inputs.journal),
        (
            "inputs: syslog",
            changes_in_place(&was.inputs.syslog, &is.inputs.syslog, |input| &input.listen),
        ),
        ("bounds: flows_max", flows_max),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// Whether something that stays by its name becomes something else.
fn changes_in_place<T: PartialEq>(old: &[T], new: &[T], name: impl Fn(&T) -> &String) -> bool {
    old.iter()
        .any(|was| new.iter().any(|is| name(was) == name(is) && was != is))
}
