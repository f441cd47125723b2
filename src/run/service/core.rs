//! The core of the service: one thread that takes what collectors deliver, makes it durable together with the alerts
//! that it leads to, and hands nothing on before that.
//!
//! A commit happens at once when there is something to tell, and otherwise when enough has gathered or time is up. When
//! the store can't be written, nothing is lost: what was taken stays in memory, nothing more is taken, and the commit is
//! tried again.

use super::api::Questions;
use super::keeper::Keeper;
use super::status::Status;
use crate::config::StoreSettings;
use crate::domain::{Alert, Assets, Duration, Timestamp};
use crate::edge::collector::{Content, Deliveries, Delivery, Origin, Receipt, Waited, now};
use crate::edge::sink::{Letterhead, Told};
use crate::edge::store::{Commit, Snapshot, SnapshotWriter, Store, StoreFailure};
use crate::engine::decoder::log::{Ends, Format, LineContext, detect, year_of_first_line};
use crate::engine::feed::{Feed, FeedProblem, Opening, Record, RecordProblem};
use crate::engine::snapshot::SnapshotProblem;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration as Wait, Instant};
use tokio::runtime::Handle;

/// Records that are gathered before a commit at most.
const GATHERED_RECORDS_MAX: usize = 4096;
/// Bytes of records that are gathered before a commit at most.
const GATHERED_BYTES_MAX: usize = 8 << 20;
/// Deliveries that are judged together.
const TOGETHER_MAX: usize = 64;
/// How long nothing comes until that is a record.
const TICK: Wait = Wait::from_millis(500);
/// How long a store that can't be written is left alone before it is tried again.
const AGAIN: Wait = Wait::from_secs(1);
/// Bytes of an input without a known format that are looked at before its lines are let go.
const UNKNOWN_BYTES_MAX: usize = 64 * 1024;
/// A journal of more bytes than this brings its snapshot forward, so that a start has no more to judge again than takes
/// some seconds.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// So does one of more records: each has a cost of its own, also when it is small.
const JOURNAL_RECORDS_MAX: u64 = 200_000;
/// Judging goes on for so many times as long as it has waited for a snapshot before the journal brings the next forward.
const BETWEEN_SNAPSHOTS: u32 = 3;
/// Records of the journal that are judged together.
const JOURNAL_TOGETHER: usize = 64;

/// Why the state of a store can't be taken up.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeUpFailure {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// A record of its journal.
    #[error(transparent)]
    Record(#[from] RecordProblem),
    /// What its snapshot says of inputs.
    #[error(transparent)]
    Feed(#[from] FeedProblem),
    /// What its snapshot says of everything else.
    #[error(transparent)]
    Engine(#[from] SnapshotProblem),
    /// Its snapshot has no beginning.
    #[error("the state is cut; restore the store from a backup")]
    Cut,
}

/// The core.
pub(super) struct Core {
    store: Arc<Store>,
    feed: Feed,
    /// What things are called in alerts, and how much they matter.
    assets: Assets,
    settings: StoreSettings,
    status: Arc<Status>,
    /// Records, alerts and positions that are not durable yet.
    gathered: Commit,
    gathered_bytes: usize,
    positions: BTreeMap<u16, Vec<u8>>,
    /// Who waits until what has gathered is durable.
    receipts: Vec<Receipt>,
    /// Inputs whose format is not known yet, with what they have given.
    unknown: BTreeMap<u16, Vec<u8>>,
    /// The number of the next alert.
    next_told: u64,
    /// Alerts before this number are in the outbox.
    durable_told: u64,
    /// The number of the next record.
    next_record: u64,
    committed: Instant,
    keeper: Keeper,
    alerts: Vec<Alert>,
}

impl Core {
    /// Takes up what the store holds: its snapshot, and the records after it.
    pub(super) fn take_up(
        store: Arc<Store>,
        mut feed: Feed,
        assets: Assets,
        settings: StoreSettings,
        status: Arc<Status>,
    ) -> anyhow::Result<Core> {
        let (mut next_record, mut next_told) = (0, 0);
        if let Some(snapshot) = store.snapshot()? {
            next_told = restore(&store, &snapshot, &mut feed).with_context(|| snapshot.path.display().to_string())?;
            next_record = snapshot.next_record;
        }
        let durable_told = store.next_told()?;
        let mut core = Core {
            store: store.clone(),
            feed,
            assets,
            settings,
            status,
            gathered: Commit::default(),
            gathered_bytes: 0,
            positions: BTreeMap::new(),
            receipts: Vec::new(),
            unknown: BTreeMap::new(),
            next_told,
            durable_told,
            next_record,
            committed: Instant::now(),
            keeper: Keeper::new(),
            alerts: Vec::new(),
        };
        let mut read = 0;
        core.next_record = store.read_journal(next_record, |bytes| {
            core.keeper.journalled(bytes);
            core.judge(Record::read(bytes)?);
            read += 1;
            if read % JOURNAL_TOGETHER == 0 {
                core.flush();
            }
            Ok::<_, TakeUpFailure>(())
        })?;
        core.flush();
        core.record(Record::Resumed { received: now() });
        Ok(core)
    }

    /// Works until every collector has gone, then keeps what was learned.
    pub(super) fn run(
        mut self,
        deliveries: &mut Deliveries,
        questions: &Questions,
        runtime: &Handle,
    ) -> anyhow::Result<()> {
        loop {
            questions.answer(&self.feed);
            match deliveries.wait(runtime, TICK) {
                Waited::Delivery(first) => {
                    self.take(first);
                    for _ in 0..TOGETHER_MAX {
                        let Some(next) = deliveries.take_waiting() else { break };
                        self.take(next);
                    }
                }
                Waited::Nothing => self.record(Record::Tick { received: now() }),
                Waited::Ended => break,
            }
            self.flush();
            if self.is_commit_due() {
                self.commit_until_done();
            }
            self.keeper.look(&self.status);
            if self.is_snapshot_due() {
                self.keep();
            }
            self.status.journal_bytes(self.keeper.journal_bytes);
            self.status.update(&self.feed, &self.store, deliveries.waiting());
        }
        self.commit_until_done();
        self.keeper.wait(&self.status);
        let writer = self.write_snapshot().context("keeping what was learned")?;
        let finished = self.store.finish_snapshot(writer, self.next_record);
        finished.context("keeping what was learned")
    }

    fn take(&mut self, delivery: Delivery) {
        let Delivery {
            input,
            origin,
            received,
            content,
            position,
            receipt,
        } = delivery;
        self.receipts.extend(receipt);
        self.status.came(origin);
        let record = match content {
            Content::Events { known_at, events } => Record::Events {
                input,
                received,
                known_at,
                events,
            },
            Content::Lines(lines) => {
                self.status.collected(origin, &lines);
                let Some(held) = self.format_of(input, origin, &lines, received) else {
                    // The position stays in front of what is only held in memory.
                    return;
                };
                let bytes = if held.is_empty() { lines } else { held };
                Record::Lines { input, received, bytes }
            }
        };
        if let Some(position) = position {
            self.positions.insert(input, position);
        }
        self.record(record);
    }

    /// Makes sure that the input's format is known. Gives what it held back until now, with the new lines behind it;
    /// nothing while the format is not known.
    fn format_of(&mut self, input: u16, origin: Origin, lines: &[u8], received: Timestamp) -> Option<Vec<u8>> {
        if self.feed.format(input).is_some() {
            return Some(Vec::new());
        }
        let held = self.unknown.entry(input).or_default();
        held.extend_from_slice(lines);
        let Some(format) = fixed_format(origin).or_else(|| detect(held)) else {
            if held.len() > UNKNOWN_BYTES_MAX {
                self.status.unknown_format(held);
                held.clear();
            }
            return None;
        };
        let held = self.unknown.remove(&input).unwrap_or_default();
        let first = held.split(|byte| *byte == b'\n').find(|line| !line.is_empty());
        let last = held.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
        let ends = Ends {
            first: first.unwrap_or_default(),
            last: last.unwrap_or_default(),
        };
        let context = LineContext {
            year: year_of_first_line(ends, received, 0).unwrap_or(1970),
            offset_minutes: 0,
        };
        self.record(Record::Opened {
            input,
            received,
            opening: Opening { format, context },
        });
        Some(held)
    }

    /// Takes a record: it will be durable, and it is judged.
    fn record(&mut self, record: Record) {
        match record.write() {
            Ok(bytes) => {
                self.gathered_bytes += bytes.len();
                self.gathered.records.push(bytes);
                self.judge(record);
            }
            Err(problem) => tracing::error!(%problem, "a record could not be written and was left out"),
        }
    }

    fn judge(&mut self, record: Record) {
        self.feed.take(record, &mut self.alerts);
    }

    /// Judges what was taken so far, and tells what that led to.
    fn flush(&mut self) {
        self.feed.flush(&mut self.alerts);
        self.tell();
    }

    /// Alerts are numbered in their order. Those that the outbox holds already were told before the process ended.
    fn tell(&mut self) {
        let program = self.feed.engine().program();
        let head = Letterhead {
            definitions: &program.definitions,
            program: env!("CARGO_PKG_VERSION"),
            networks: &program.networks,
            assets: &self.assets,
        };
        for alert in self.alerts.drain(..) {
            if self.next_told >= self.durable_told {
                self.gathered.told.push(Told::of(&alert, &head).write());
                self.status.told(&alert, &head);
            }
            self.next_told += 1;
        }
    }

    fn is_commit_due(&self) -> bool {
        !self.gathered.told.is_empty()
            || !self.receipts.is_empty()
            || self.gathered.records.len() >= GATHERED_RECORDS_MAX
            || self.gathered_bytes >= GATHERED_BYTES_MAX
            || (self.committed.elapsed() >= wait(self.settings.commit_every)
                && !(self.gathered.records.is_empty() && self.positions.is_empty()))
    }

    /// Makes what has gathered durable, however long that takes. While it can't be done nothing more is taken, and the
    /// collectors wait.
    fn commit_until_done(&mut self) {
        self.gathered.positions = std::mem::take(&mut self.positions).into_iter().collect();
        if self.gathered.is_empty() {
            self.receipts.drain(..).for_each(Receipt::give);
            return;
        }
        let mut begun = Instant::now();
        while let Err(failure) = self.store.commit(&self.gathered) {
            tracing::error!(%failure, "collection waits until the store can be written again");
            self.status.store_failed(&failure);
            std::thread::sleep(AGAIN);
            begun = Instant::now();
        }
        self.status.committed(begun.elapsed());
        self.receipts.drain(..).for_each(Receipt::give);
        self.next_record += self.gathered.records.len() as u64;
        self.gathered
            .records
            .iter()
            .for_each(|record| self.keeper.journalled(record));
        self.durable_told = self.next_told;
        self.gathered = Commit::default();
        self.gathered_bytes = 0;
        self.committed = Instant::now();
    }

    fn is_snapshot_due(&self) -> bool {
        let age = self.keeper.begun.elapsed();
        let is_long = || {
            self.keeper.journal_bytes > JOURNAL_BYTES_MAX
                || self
                    .store
                    .journal_records()
                    .is_ok_and(|held| held > JOURNAL_RECORDS_MAX)
        };
        !self.keeper.is_busy()
            && (age >= wait(self.settings.snapshot_every)
                || (age >= AGAIN.max(self.keeper.took * BETWEEN_SNAPSHOTS) && is_long()))
    }

    /// Writes a snapshot, and lets a thread make it durable. When that fails the journal goes on growing, and it is tried
    /// again at its next time.
    fn keep(&mut self) {
        match self.write_snapshot() {
            Ok(writer) => self.keeper.finish(self.store.clone(), writer, self.next_record),
            Err(failure) => {
                tracing::error!("what was learned could not be kept: {failure:#}");
                self.status.snapshot_failed();
            }
        }
    }

    /// Writes a snapshot of everything up to the next record.
    fn write_snapshot(&mut self) -> anyhow::Result<SnapshotWriter> {
        self.feed.settle(&mut self.alerts);
        // What this has brought to light belongs to the records before it.
        self.tell();
        self.commit_until_done();
        self.keeper.begun = Instant::now();
        let mut writer = self.store.begin_snapshot()?;
        writer.write(&self.next_told.to_le_bytes())?;
        self.feed.save(|piece| Ok::<_, anyhow::Error>(writer.write(piece)?))?;
        self.keeper.took = self.keeper.begun.elapsed();
        self.status.kept(writer.bytes(), self.keeper.took);
        Ok(writer)
    }
}

/// Takes up a snapshot, and gives the number of the next alert.
fn restore(store: &Store, snapshot: &Snapshot, feed: &mut Feed) -> Result<u64, TakeUpFailure> {
    let mut reader = store.read_snapshot(snapshot)?;
    let mut piece = Vec::new();
    reader.read(&mut piece)?;
    let (told, state) = piece.split_first_chunk::<8>().ok_or(TakeUpFailure::Cut)?;
    let told = u64::from_le_bytes(*told);
    if state.is_empty() {
        reader.read(&mut piece)?;
        feed.restore(&piece, |piece| Ok::<_, TakeUpFailure>(reader.read(piece)?))?;
    } else {
        // The form before this one is in one piece.
        feed.restore(state, |piece| Ok::<_, TakeUpFailure>(reader.read(piece)?))?;
    }
    Ok(told)
}

/// The format of what comes from such an origin, where nothing else can come from it.
fn fixed_format(origin: Origin) -> Option<Format> {
    match origin {
        Origin::Syslog => Some(Format::Syslog),
        Origin::Http | Origin::Journal => Some(Format::Json),
        Origin::File | Origin::Stdin | Origin::Netflow | Origin::Interface => None,
    }
}

fn wait(length: Duration) -> Wait {
    Wait::from_nanos(u64::try_from(length.nanos()).unwrap_or(0))
}
