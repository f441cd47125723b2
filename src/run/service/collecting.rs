//! The collectors at work: started together, ended together, and changed one by one when the configuration is reloaded.

use super::capture;
use super::listeners::{self, Listeners};
use super::status::Status;
use crate::config::{Files, Inputs};
use crate::edge::collector::{Delivery, FileCollector, FilePattern, Origin, Places, Queue};
use crate::edge::store::{Store, StoreFailure};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// The store's view for collectors.
pub(super) struct StorePlaces(pub(super) Arc<Store>);

impl Places for StorePlaces {
    fn number(&self, name: &str) -> Option<u16> {
        self.0
            .input_number(name)
            .inspect_err(|failure| tracing::error!(%failure, input = name, "an input is left out"))
            .ok()
    }

    fn known(&self, prefix: &str) -> Vec<(String, u16)> {
        let known = self.0.inputs_named(prefix);
        known
            .inspect_err(|failure| tracing::error!(%failure, "positions can't be read"))
            .unwrap_or_default()
    }

    fn position(&self, input: u16) -> Option<Vec<u8>> {
        self.0.position(input).ok().flatten()
    }
}

/// What tells collectors to end: all of them, or one.
#[derive(Debug, Default)]
pub(super) struct Ends {
    all: Arc<AtomicBool>,
    files: Mutex<Arc<AtomicBool>>,
    /// By the name of the input.
    sockets: Mutex<BTreeMap<String, watch::Sender<bool>>>,
    /// Why a collector can't go on, and so nothing can.
    failure: Mutex<Option<anyhow::Error>>,
    failed: Notify,
}

impl Ends {
    /// Set once everything ends.
    pub(super) fn flag(&self) -> &Arc<AtomicBool> {
        &self.all
    }

    /// A collector can't go on: everything ends.
    pub(super) fn fail(&self, failure: anyhow::Error) {
        let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(failure);
        self.failed.notify_one();
    }

    /// Comes back when a collector can't go on.
    pub(super) async fn wait_for_failure(&self) {
        self.failed.notified().await;
    }

    /// Why a collector could not go on.
    pub(super) fn failure(&self) -> anyhow::Result<()> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    /// Tells all of them.
    pub(super) fn tell_all(&self) {
        self.all.store(true, Ordering::Relaxed);
        self.tell_files();
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in sockets.values() {
            // Nobody listens where nothing is listened for.
            let _ = socket.send(true);
        }
    }

    fn tell_files(&self) {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.store(true, Ordering::Relaxed);
    }

    /// The flag of a collector of files that starts.
    fn new_files(&self) -> Arc<AtomicBool> {
        let flag = Arc::new(AtomicBool::new(false));
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = flag.clone();
        // Everything may have ended since this was begun.
        if self.all.load(Ordering::Relaxed) {
            flag.store(true, Ordering::Relaxed);
        }
        flag
    }

    /// What tells a socket of this name that it ends.
    pub(super) fn new_socket(&self, name: &str) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(false);
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if self.all.load(Ordering::Relaxed) {
            sender.send_replace(true);
        }
        sockets.insert(name.to_owned(), sender);
        receiver
    }

    /// Tells the sockets that are not among these names.
    fn tell_others(&self, names: &[String]) {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|name, socket| {
            let stays = names.contains(name);
            if !stays {
                tracing::info!("no longer collecting {name}");
                let _ = socket.send(true);
            }
            stays
        });
    }

    fn socket_names(&self) -> Vec<String> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.keys().cloned().collect()
    }
}

/// The collector of files.
struct Following {
    files: Vec<Files>,
    thread: JoinHandle<()>,
    /// The inputs of which there was more when it ended.
    behind: Arc<Mutex<Vec<u16>>>,
}

/// What collectors need, and the threads that they became.
pub(super) struct Collecting {
    pub(super) store: Arc<Store>,
    pub(super) status: Arc<Status>,
    pub(super) queue: Queue,
    pub(super) ends: Arc<Ends>,
    pub(super) runtime: Handle,
    pub(super) flows_max: usize,
    /// Whom topics are shared with, where they are.
    #[cfg(feature = "kafka")]
    pub(super) sharing: Option<super::rekey::Sharing>,
    threads: Vec<JoinHandle<()>>,
    files: Option<Following>,
}

impl Collecting {
    pub(super) fn new(
        store: Arc<Store>,
        status: Arc<Status>,
        queue: Queue,
        ends: Arc<Ends>,
        runtime: Handle,
        flows_max: usize,
    ) -> Collecting {
        Collecting {
            store,
            status,
            queue,
            ends,
            runtime,
            flows_max,
            #[cfg(feature = "kafka")]
            sharing: None,
            threads: Vec::new(),
            files: None,
        }
    }

    /// Starts every collector.
    pub(super) fn start(
        &mut self,
        inputs: &Inputs,
        sockets: Listeners,
        captures: Vec<capture::Capturing>,
    ) -> anyhow::Result<()> {
        self.listen(sockets)?;
        for capturing in captures {
            let names = capturing.input_names();
            let numbers = names.iter().map(|name| {
                let number = self.store.input_number(name)?;
                Ok((number, self.store.position(number)?))
            });
            let numbers: Result<Vec<_>, StoreFailure> = numbers.collect();
            let work = capturing.into_work(&numbers?, self.flows_max, &self.queue, &self.status, self.ends.flag());
            for (name, work) in work {
                self.thread(&name, work)?;
            }
        }
        self.streams(inputs)?;
        #[cfg(feature = "kafka")]
        self.topics(inputs)?;
        self.files(inputs)
    }

    /// Starts to follow files.
    pub(super) fn files(&mut self, inputs: &Inputs) -> anyhow::Result<()> {
        let places = StorePlaces(self.store.clone());
        let stop = self.ends.new_files();
        let collector = FileCollector::new(patterns(&inputs.files)?, places, self.queue.clone(), stop);
        self.status.watch_files(collector.progress());
        let behind = Arc::new(Mutex::new(Vec::new()));
        let left = behind.clone();
        let thread = spawn("files", move || {
            *left.lock().unwrap_or_else(PoisonError::into_inner) = collector.run();
        })?;
        self.files = Some(Following {
            files: inputs.files.clone(),
            thread,
            behind,
        });
        Ok(())
    }

    /// Ends the collector of files, when other ones shall be followed, and waits until it has handed on what it had.
    /// Gives whether it did.
    pub(super) fn end_files_unless(&mut self, inputs: &Inputs) -> anyhow::Result<bool> {
        patterns(&inputs.files)?;
        let Some(ended) = self.files.take_if(|following| following.files != inputs.files) else {
            return Ok(false);
        };
        self.ends.tell_files();
        // One that panicked has said so.
        let _ = ended.thread.join();
        for input in ended.behind.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Who follows it next says anew whether there is more of it. Where the core has gone nobody waits.
            let _ = self.queue.deliver(Delivery::of_behind(input, Origin::File, false));
        }
        Ok(true)
    }

    /// Opens the sockets that are not there yet.
    pub(super) fn open_new(&self, inputs: &Inputs) -> anyhow::Result<Listeners> {
        let held = self.ends.socket_names();
        listeners::open(inputs, |name| !held.iter().any(|held| held == name))
    }

    /// Starts to read new sockets, and ends those that are no longer wanted.
    pub(super) fn change_sockets(&mut self, inputs: &Inputs, new: Listeners) -> anyhow::Result<()> {
        self.ends.tell_others(&listeners::names(inputs));
        self.listen(new)
    }

    pub(super) fn thread(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        self.threads.push(spawn(name, work)?);
        Ok(())
    }

    /// Nothing is started any more. Gives what has still to end.
    pub(super) fn finish(self) -> Vec<JoinHandle<()>> {
        let mut threads = self.threads;
        threads.extend(self.files.map(|following| following.thread));
        threads
    }
}

fn patterns(files: &[Files]) -> anyhow::Result<Vec<FilePattern>> {
    let patterns: Result<Vec<_>, _> = files.iter().map(|files| FilePattern::parse(&files.path)).collect();
    Ok(patterns?)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.with_context(|| format!("starting the collector `{name}`"))
}
