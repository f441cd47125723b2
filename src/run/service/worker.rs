//! What a sink's thread does: it delivers the outbox in order, again and again until that works, and moves its cursor.
//!
//! Where several instances share the work, an entry of the outbox says which partition it is of, and is delivered while
//! that partition is held here. What goes before the partition's beginning was delivered by others: it is told to the sink
//! for what has to go on.

use super::status::Status;
use crate::config::{DocumentFormat, SinkKind, SinkSettings};
use crate::edge::sink::{Batch, Outbox, Sink, SinkFailure, Told};
use crate::edge::store::{Store, StoreFailure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a sink looks for alerts.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a sink with nothing to deliver may do what the clock asks for.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// The longest time between two tries.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Delivered alerts that a sink is reminded of when it starts, and when a partition comes.
pub(in crate::run) const RECALLED_MAX: u64 = 1000;
/// Entries of the outbox that are looked at together where not all of them are delivered.
const LOOKED_AT: usize = 256;

/// How a sink ends.
#[derive(Debug, Default)]
pub(super) struct End {
    /// It is to end.
    pub(super) stop: AtomicBool,
    /// It does not come back: its cursor goes with it.
    pub(super) forget: AtomicBool,
}

/// Which partition an entry of the outbox is of. Stands behind the documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::run) struct Whence {
    pub(in crate::run) partition: i32,
    /// It was delivered before the partition came here.
    pub(in crate::run) is_history: bool,
}

impl Whence {
    /// An entry of the outbox, of its documents.
    #[cfg(feature = "kafka")]
    pub(in crate::run) fn behind(&self, told: Vec<u8>) -> Vec<u8> {
        postcard::to_extend(self, told).expect("two numbers always serialise")
    }

    fn read(rest: &[u8]) -> Option<Whence> {
        postcard::from_bytes(rest).ok()
    }
}

/// The partitions that are held here.
pub(in crate::run) trait Tenures: Send + Sync {
    /// Each partition that is held, with the first entry of the outbox that may be of its present tenure.
    fn tenures(&self) -> BTreeMap<i32, u64>;
}

/// What a sink's thread does.
pub(super) struct Worker {
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
    /// It delivers documents in OCSF.
    is_ocsf: bool,
    /// What of the outbox is to be delivered here; everything without it.
    tenures: Option<Arc<dyn Tenures>>,
    /// The partitions as they were held in the last round.
    held: BTreeMap<i32, u64>,
    /// That an alert has no document in OCSF was told.
    has_told_missing: bool,
}

/// What the next entries of the outbox are to a sink.
#[derive(Default)]
struct Share {
    /// Delivered by others before.
    recalled: Vec<Told>,
    /// To be delivered.
    told: Vec<Told>,
    /// Without the document that the sink delivers.
    missing: u64,
    /// The number behind the last of them; nothing where there are none.
    next: Option<u64>,
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
    /// A sink with what it needs to know of alerts before its cursor.
    pub(super) fn new(
        settings: &SinkSettings,
        mut sink: Box<dyn Sink>,
        store: &Arc<Store>,
        status: &Arc<Status>,
        end: &Arc<End>,
        tenures: Option<Arc<dyn Tenures>>,
    ) -> anyhow::Result<Worker> {
        let next = store.cursor(&settings.name)?;
        if tenures.is_some() {
            // What has to go on comes as the history of partitions.
            sink.comes_in_any_order();
        } else {
            sink.recall(&before(store, next, |_| true)?);
        }
        Ok(Worker {
            name: settings.name.clone(),
            next,
            identity: store.identity()?,
            together: sink.together_max(),
            sink,
            store: store.clone(),
            status: status.clone(),
            end: end.clone(),
            is_ocsf: is_ocsf(&settings.kind),
            tenures,
            held: BTreeMap::new(),
            has_told_missing: false,
        })
    }

    pub(super) fn run(mut self) {
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
        let entries = self.entries()?;
        // Asked after the entries were read: one of a tenure that is not known by then belongs to one that is over.
        self.look_at_tenures()?;
        let share = self.share(entries);
        let Some(next) = share.next else { return Ok(0) };
        if !share.recalled.is_empty() {
            self.sink.recall(&share.recalled);
        }
        self.deliver_batch(&share.told, next)?;
        self.count_missing(share.missing);
        self.store.set_cursor(&self.name, next)?;
        let passed = usize::try_from(next.saturating_sub(self.next)).unwrap_or(usize::MAX);
        self.next = next;
        self.together = (self.together * 2).min(self.sink.together_max());
        Ok(passed)
    }

    fn deliver_batch(&mut self, told: &[Told], next: u64) -> Result<(), SinkFailure> {
        if told.is_empty() {
            return Ok(());
        }
        match self.sink.deliver_batch(&Batch { told, next }) {
            Err(failure) if failure.refused && told.len() == 1 => {
                tracing::error!(sink = self.name, %failure, "an alert is refused and given up; the others go on");
                self.status.metrics.sink_refused.with_label_values(&[&self.name]).inc();
            }
            delivered => {
                delivered?;
                let delivered = self.status.metrics.sink_delivered.with_label_values(&[&self.name]);
                delivered.inc_by(told.len() as u64);
            }
        }
        Ok(())
    }

    /// The next entries of the outbox.
    fn entries(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreFailure> {
        let most = match self.tenures {
            Some(_) => LOOKED_AT.max(self.together),
            None => self.together,
        };
        self.store.told(self.next, most)
    }

    /// What entries are to this sink: as many to be delivered as go together.
    fn share(&self, entries: Vec<(u64, Vec<u8>)>) -> Share {
        let mut share = Share::default();
        for (number, bytes) in entries {
            let told = Told::read_before(&bytes);
            let whence = told.as_ref().and_then(|(_, rest)| Whence::read(rest));
            let is_held = match whence {
                Some(whence) => self.held.get(&whence.partition).is_some_and(|first| number >= *first),
                None => self.tenures.is_none(),
            };
            if share.told.len() == self.together {
                break;
            }
            if let Some((told, _)) = told.filter(|_| is_held) {
                match whence {
                    Some(Whence { is_history: true, .. }) if share.told.is_empty() => share.recalled.push(told),
                    // After what is to be delivered before it.
                    Some(Whence { is_history: true, .. }) => break,
                    _ if self.is_ocsf && told.ocsf.is_empty() => share.missing += 1,
                    _ => share.told.push(told),
                }
            }
            share.next = Some(number + 1);
        }
        share
    }

    /// Looks what is held now. What somebody else holds goes on there.
    fn look_at_tenures(&mut self) -> Result<(), StoreFailure> {
        let Some(tenures) = &self.tenures else { return Ok(()) };
        let held = tenures.tenures();
        if held == self.held {
            return Ok(());
        }
        let is_over = |partition: i32| {
            let before = self.held.get(&partition);
            before.is_some() && before != held.get(&partition)
        };
        let gone = before(&self.store, self.next, |whence| {
            whence.is_some_and(|whence| is_over(whence.partition))
        })?;
        if !gone.is_empty() {
            self.sink.let_go(&gone);
        }
        self.held = held;
        Ok(())
    }

    fn count_missing(&mut self, missing: u64) {
        if missing == 0 {
            return;
        }
        let counter = self
            .status
            .metrics
            .sink_without_document
            .with_label_values(&[&self.name]);
        counter.inc_by(missing);
        if !self.has_told_missing {
            self.has_told_missing = true;
            tracing::error!(
                sink = self.name,
                "an alert came without its document in OCSF (the header `stakeout.ocsf`), which this sink delivers; it and \
                 others like it are left out"
            );
        }
    }
}

/// The last alerts before this one that are meant, in order.
fn before(store: &Store, next: u64, is_meant: impl Fn(Option<Whence>) -> bool) -> Result<Vec<Told>, StoreFailure> {
    let entries = store.told(next.saturating_sub(RECALLED_MAX), next.min(RECALLED_MAX) as usize)?;
    let read = entries.iter().filter_map(|(_, bytes)| Told::read_before(bytes));
    let meant = read.filter(|(_, rest)| is_meant(Whence::read(rest)));
    Ok(meant.map(|(told, _)| told).collect())
}

/// Whether a sink delivers documents in OCSF.
fn is_ocsf(kind: &SinkKind) -> bool {
    match kind {
        SinkKind::Stdout { format }
        | SinkKind::File { format, .. }
        | SinkKind::Webhook { format, .. }
        | SinkKind::Elasticsearch { format, .. }
        | SinkKind::Kafka { format, .. } => *format == DocumentFormat::Ocsf,
        SinkKind::Alertmanager { .. } | SinkKind::Syslog { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::folder::Folder;
    use crate::edge::store::Commit;
    use std::sync::Mutex;

    /// What a sink was told to do, in order.
    type Done = Arc<Mutex<Vec<String>>>;

    struct Noting(Done);

    impl Noting {
        fn note(&self, what: &str, told: &[Told]) {
            let texts: Vec<&str> = told.iter().map(|told| told.ecs.as_str()).collect();
            let mut done = self.0.lock().expect("no panic");
            done.push(format!("{what} {}", texts.join(" ")));
        }
    }

    impl Sink for Noting {
        fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure> {
            self.note("deliver", told);
            Ok(())
        }

        fn recall(&mut self, told: &[Told]) {
            self.note("recall", told);
        }

        fn let_go(&mut self, told: &[Told]) {
            self.note("let go", told);
        }

        fn together_max(&self) -> usize {
            2
        }
    }

    /// Holds partitions; what is to be put is put, with its partition, as soon as somebody has asked.
    struct Late {
        store: Arc<Store>,
        held: Mutex<BTreeMap<i32, u64>>,
        coming: Mutex<Option<(i32, &'static str)>>,
    }

    impl Tenures for Late {
        fn tenures(&self) -> BTreeMap<i32, u64> {
            let mut held = self.held.lock().expect("no panic");
            let before = held.clone();
            if let Some((partition, ecs)) = self.coming.lock().expect("no panic").take() {
                held.insert(partition, self.store.next_told().expect("a store"));
                put(&self.store, partition, false, ecs, "{}");
            }
            before
        }
    }

    fn put(store: &Store, partition: i32, is_history: bool, ecs: &str, ocsf: &str) {
        let told = Told {
            ecs: ecs.to_owned(),
            ocsf: ocsf.to_owned(),
        };
        let whence = Whence { partition, is_history };
        let entry = postcard::to_extend(&whence, told.write()).expect("memory");
        let commit = Commit {
            told: vec![entry],
            ..Commit::default()
        };
        store.commit(&commit).expect("a store");
    }

    fn worker(folder: &Folder, format: DocumentFormat) -> (Worker, Arc<Late>, Done) {
        let store = Arc::new(Store::open(&folder.0).expect("a store"));
        let tenures = Arc::new(Late {
            store: store.clone(),
            held: Mutex::default(),
            coming: Mutex::default(),
        });
        let done = Done::default();
        let settings = SinkSettings {
            name: "sink".to_owned(),
            kind: SinkKind::Stdout { format },
        };
        let status = Arc::new(Status::new().expect("metrics"));
        let sink = Box::new(Noting(done.clone()));
        let worker = Worker::new(&settings, sink, &store, &status, &Arc::default(), Some(tenures.clone()));
        (worker.expect("a worker"), tenures, done)
    }

    fn rounds(worker: &mut Worker, done: &Done) -> Vec<String> {
        while worker.deliver_some().expect("a round") > 0 {}
        std::mem::take(&mut done.lock().expect("no panic"))
    }

    #[test]
    fn only_what_is_held_is_delivered_and_what_moves_is_recalled_or_let_go() {
        let folder = Folder::new("worker-held");
        let (mut worker, tenures, done) = worker(&folder, DocumentFormat::Ecs);
        // Of an earlier process.
        put(&tenures.store, 0, false, "old", "");
        tenures.held.lock().expect("no panic").extend([(0, 1), (1, 1)]);
        for (partition, is_history, ecs) in [
            (0, true, "past"),
            (0, false, "a"),
            (2, false, "strange"),
            (1, false, "b"),
            (0, false, "c"),
            (1, true, "late past"),
            (1, false, "d"),
        ] {
            put(&tenures.store, partition, is_history, ecs, "");
        }
        let expected = [
            "recall past",
            "deliver a b",
            "deliver c",
            "recall late past",
            "deliver d",
        ];
        assert_eq!(rounds(&mut worker, &done), expected);
        assert_eq!(tenures.store.cursor("sink").expect("a cursor"), 8);
        // Partition 1 goes and comes back; what was taken of it in between is for whoever held it.
        put(&tenures.store, 1, false, "e", "");
        tenures.held.lock().expect("no panic").insert(1, 9);
        put(&tenures.store, 1, false, "f", "");
        assert_eq!(rounds(&mut worker, &done), ["let go b late past d", "deliver f"]);
    }

    #[test]
    fn a_partition_that_comes_while_a_round_goes_on_loses_nothing() {
        let folder = Folder::new("worker-late");
        let (mut worker, tenures, done) = worker(&folder, DocumentFormat::Ecs);
        *tenures.coming.lock().expect("no panic") = Some((3, "a"));
        let mut found = rounds(&mut worker, &done);
        found.extend(rounds(&mut worker, &done));
        found.retain(|what| what.starts_with("deliver"));
        assert_eq!(found, ["deliver a"]);
    }

    #[test]
    fn what_has_no_document_of_the_form_is_left_out_and_counted() {
        let folder = Folder::new("worker-form");
        let (mut worker, tenures, done) = worker(&folder, DocumentFormat::Ocsf);
        tenures.held.lock().expect("no panic").insert(0, 0);
        for (ecs, ocsf) in [("a", "{}"), ("b", ""), ("c", "{}")] {
            put(&tenures.store, 0, false, ecs, ocsf);
        }
        assert_eq!(rounds(&mut worker, &done), ["deliver a c"]);
        let counter = worker.status.metrics.sink_without_document.with_label_values(&["sink"]);
        assert_eq!(counter.get(), 1);
        assert_eq!(tenures.store.cursor("sink").expect("a cursor"), 3);
    }
}
