//! The core of the service: one thread that takes what collectors deliver, makes it durable together with the alerts
//! that it leads to, and hands nothing on before that.
//!
//! A commit happens at once when there is something to tell, and otherwise when enough has gathered or time is up. When
//! the store can't be written, nothing is lost: what was taken stays in memory, nothing more is taken, and the commit is
//! tried again.

mod keeping;

use self::keeping::{SNAPSHOT_WAIT_MAX, SNAPSHOT_WAIT_MIN};
use super::api::Questions;
use super::forward::{Forwarding, kinds};
use super::keeper::Keeper;
use super::kept;
use super::status::Status;
use crate::config::StoreSettings;
use crate::domain::{Alert, Definition, Duration, Timestamp};
use crate::edge::collector::{Content, Deliveries, Delivery, Origin, Receipt, Waited, now};
use crate::edge::sink::{Letterhead, Told};
use crate::edge::store::{Commit, SnapshotReader, Store, StoreFailure};
use crate::engine::decoder::log::{Ends, Format, LineContext, detect_live, year_of_first_line};
use crate::engine::feed::{Feed, FeedProblem, Opening, Record, RecordProblem};
use crate::engine::pipeline::Engine;
use crate::engine::program::Program;
use crate::engine::snapshot::SnapshotProblem;
use crate::engine::succession::Restored;
use crate::engine::triage::Budget;
use crate::run::check::{Site, Texts};
use crate::run::state::changes;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
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
}

/// What judges: what a site has written, and what it says.
#[derive(Clone)]
pub(super) struct Judging {
    pub(super) texts: Texts,
    pub(super) site: Site,
    /// Partitions, and threads that run them.
    pub(super) threads: usize,
    /// How many partitions there are elsewhere, where events are judged there.
    pub(super) elsewhere: Option<u16>,
}

impl Judging {
    /// A feed that has learned nothing yet.
    pub(super) fn feed(&self) -> anyhow::Result<Feed> {
        let config = &self.site.config;
        let program = Program::new(&self.site.catalog, config.networks.clone(), self.site.engine_bounds())?;
        let budget = Budget::AlertsPerDay(config.alerts_per_day);
        let engine = match self.elsewhere {
            Some(partitions) => Engine::with_partitions_elsewhere(program, partitions),
            None => Engine::new(program, budget, self.threads, config.timezone.clone()),
        };
        Ok(Feed::new(engine, config.bounds.disorder_max.max(Duration::ZERO)))
    }

    fn settings(&self) -> StoreSettings {
        self.site.config.service.store
    }
}

/// What shall judge from the next record on.
pub(super) struct Change {
    pub(super) judging: Judging,
    /// Whether the collector of files has ended and another one begins, from the positions that are durable.
    pub(super) files_change: bool,
    /// Told when it is done, or why it is not and everything is as it was.
    pub(super) reply: SyncSender<anyhow::Result<Changed>>,
}

/// What a change came to.
pub(super) struct Changed {
    pub(super) restored: Restored,
    /// What is watched now.
    pub(super) definitions: Vec<Definition>,
}

/// What an input without a known format has given.
struct Unknown {
    origin: Origin,
    bytes: Vec<u8>,
}

/// The core.
pub(super) struct Core {
    store: Arc<Store>,
    feed: Feed,
    judging: Judging,
    status: Arc<Status>,
    /// Records, alerts and positions that are not durable yet.
    gathered: Commit,
    gathered_bytes: usize,
    positions: BTreeMap<u16, Vec<u8>>,
    /// Who waits until what has gathered is durable.
    receipts: Vec<Receipt>,
    /// Inputs whose format is not known yet.
    unknown: BTreeMap<u16, Unknown>,
    /// The number of the next alert.
    next_told: u64,
    /// Alerts before this number are in the outbox.
    durable_told: u64,
    /// The number of the next record.
    next_record: u64,
    committed: Instant,
    keeper: Keeper,
    alerts: Vec<Alert>,
    /// Where events go that are judged elsewhere. Alerts that are numbered and told are then events that depart.
    forwarding: Option<Forwarding>,
}

impl Core {
    /// Takes up what the store holds: its snapshot, and the records after it, judged by what judged them. Then `present`
    /// judges.
    pub(super) fn take_up(
        store: Arc<Store>,
        present: Judging,
        status: Arc<Status>,
        forwarding: Option<Forwarding>,
    ) -> anyhow::Result<Core> {
        let Some(snapshot) = store.snapshot()? else {
            let mut core = Core::new(store, present, status, forwarding)?;
            core.read_journal(0)?;
            core.keep_now(&[]).context("keeping what judges from here on")?;
            core.record(Record::Resumed { received: now() });
            return Ok(core);
        };
        let path = || snapshot.path.display().to_string();
        let mut reader = store.read_snapshot(&snapshot)?;
        let mut first = Vec::new();
        reader.read(&mut first)?;
        let (head, state) = kept::read_head(&first).with_context(path)?;
        let is_same = head.texts.as_ref() == Some(&present.texts);
        let past = match head.texts {
            Some(texts) if !is_same => past(texts, &present, store.journal_records()? > 0),
            _ => present.clone(),
        };
        let judges_already = past.texts == present.texts;
        let mut core = Core::new(store, past, status, forwarding)?;
        let restored = restore(reader, state, &mut core.feed).with_context(path)?;
        tell_changes(&restored);
        core.next_told = head.next_told;
        core.read_journal(snapshot.next_record)?;
        if !judges_already {
            let changed = core.change(present)?.context("taking up the configuration")?;
            tell_changes(&changed.restored);
        } else if !is_same {
            core.keep_now(&[]).context("keeping what judges from here on")?;
        }
        core.record(Record::Resumed { received: now() });
        Ok(core)
    }

    fn new(
        store: Arc<Store>,
        judging: Judging,
        status: Arc<Status>,
        mut forwarding: Option<Forwarding>,
    ) -> anyhow::Result<Core> {
        let feed = judging.feed()?;
        let durable_told = match &mut forwarding {
            Some(forwarding) => {
                forwarding.kinds = kinds(feed.engine().program());
                forwarding.to.handed_on()?
            }
            None => store.next_told()?,
        };
        Ok(Core {
            feed,
            durable_told,
            forwarding,
            store,
            judging,
            status,
            gathered: Commit::default(),
            gathered_bytes: 0,
            positions: BTreeMap::new(),
            receipts: Vec::new(),
            unknown: BTreeMap::new(),
            next_told: 0,
            next_record: 0,
            committed: Instant::now(),
            keeper: Keeper::new(),
            alerts: Vec::new(),
        })
    }

    /// Judges the records of the journal from this one on.
    fn read_journal(&mut self, from: u64) -> anyhow::Result<()> {
        let store = self.store.clone();
        let mut read = 0;
        self.next_record = store.read_journal(from, |bytes| {
            self.keeper.journalled(bytes);
            self.judge(Record::read(bytes)?);
            read += 1;
            if read % JOURNAL_TOGETHER == 0 {
                self.flush();
            }
            Ok::<_, TakeUpFailure>(())
        })?;
        self.flush();
        // Judged by something else than what judged them, they may have led to fewer alerts. What comes now is new.
        self.next_told = self.next_told.max(self.durable_told);
        Ok(())
    }

    /// What is watched.
    pub(super) fn definitions(&self) -> Vec<Definition> {
        self.feed.engine().program().definitions.clone()
    }

    /// Works until every collector has gone, then keeps what was learned.
    pub(super) fn run(
        mut self,
        deliveries: &mut Deliveries,
        questions: &Questions,
        changes: &Receiver<Change>,
        runtime: &Handle,
    ) -> anyhow::Result<()> {
        let mut quiet = Instant::now();
        loop {
            questions.answer(&self.feed);
            if let Ok(change) = changes.try_recv() {
                self.take_waiting(deliveries);
                let changed = self.change(change.judging)?;
                if changed.is_ok() && change.files_change {
                    // They are read again from the durable position, which stands in front of what was held.
                    self.unknown.retain(|_, unknown| unknown.origin != Origin::File);
                }
                // Who asked waits for nothing any more when the service ends.
                let _ = change.reply.send(changed);
            }
            let most = if self.keeper.is_writing() { Wait::ZERO } else { TICK };
            let waited = deliveries.wait(runtime, most);
            let judged = Instant::now();
            match waited {
                Waited::Delivery(first) => {
                    quiet = judged;
                    self.take(first);
                    for _ in 0..TOGETHER_MAX {
                        let Some(next) = deliveries.take_waiting() else { break };
                        self.take(next);
                    }
                }
                Waited::Nothing if quiet.elapsed() >= TICK => {
                    quiet = judged;
                    self.record(Record::Tick { received: now() });
                }
                Waited::Nothing => {}
                Waited::Ended => break,
            }
            self.flush();
            if self.is_commit_due() {
                self.commit_until_done();
            }
            if self.is_hand_on_due() && !self.hand_on()? {
                break;
            }
            self.keeper.look(&self.status);
            if self.is_snapshot_due() {
                self.keep();
            } else {
                self.keep_on((judged.elapsed() / 2).clamp(SNAPSHOT_WAIT_MIN, SNAPSHOT_WAIT_MAX));
            }
            self.status.journal_bytes(self.keeper.journal_bytes);
            self.status.update(&self.feed, &self.store, deliveries.waiting());
        }
        self.commit_until_done();
        self.keeper.wait(&self.status);
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.close();
        }
        if !self.hand_on()? {
            return Ok(());
        }
        self.keep_now(&[]).context("keeping what was learned")
    }

    /// Takes everything that waits now.
    fn take_waiting(&mut self, deliveries: &mut Deliveries) {
        for _ in 0..deliveries.waiting() {
            let Some(next) = deliveries.take_waiting() else { return };
            self.take(next);
        }
    }

    /// From the next record on, this judges. What was learned by detectors that stay the same goes on. A snapshot that
    /// names what judges is durable before anything is judged so, and then taken up as after a kill. When that can't be
    /// written, the inner error tells why, and everything is as it was.
    ///
    /// Where the same is found and only what is collected or said of it changes, the state goes on as it is: until the next
    /// snapshot names the new texts, a kill has the old ones judge the records since, to the same alerts, all of which were
    /// told.
    fn change(&mut self, next: Judging) -> anyhow::Result<anyhow::Result<Changed>> {
        if self.judging.texts.define_as(&next.texts) && self.judging.site.finds_as(&next.site) {
            self.judging = next;
            return Ok(Ok(Changed {
                restored: Restored {
                    kept: self.definitions().len(),
                    ..Restored::default()
                },
                definitions: self.definitions(),
            }));
        }
        let feed = match next.feed() {
            Ok(feed) => feed,
            Err(error) => return Ok(Err(error)),
        };
        self.keeper.wait(&self.status);
        // What this brings to light is told as it was judged.
        self.settle()?;
        let ended = self.ended(feed.engine().program());
        let before = std::mem::replace(&mut self.judging, next);
        if let Err(error) = self.keep_now(&ended) {
            self.judging = before;
            return Ok(Err(error));
        }
        self.status.changes_over(&self.feed);
        // The old one goes first: there is not room for both of a large state.
        self.feed = feed;
        if let Some(forwarding) = &mut self.forwarding {
            // Nothing waits to be handed on under the old names.
            forwarding.kinds = kinds(self.feed.engine().program());
        }
        let restored = self.take_up_newest().context("taking up what was just kept")?;
        self.status.changed_over(&self.feed);
        Ok(Ok(Changed {
            restored,
            definitions: self.definitions(),
        }))
    }

    /// What is told of open alerts when this program judges from now on: that those of detectors that do not go on are over.
    fn ended(&self, next: &Program) -> Vec<Vec<u8>> {
        let engine = self.feed.engine();
        let head = head(engine.program(), &self.judging);
        let ending = engine.ending(next);
        ending.iter().map(|alert| Told::last_of(alert, &head).write()).collect()
    }

    fn take_up_newest(&mut self) -> anyhow::Result<Restored> {
        let snapshot = self.store.snapshot()?.context("there is no snapshot")?;
        let mut reader = self.store.read_snapshot(&snapshot)?;
        let mut first = Vec::new();
        reader.read(&mut first)?;
        let (_, state) = kept::read_head(&first)?;
        Ok(restore(reader, state, &mut self.feed)?)
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
        if !matches!(content, Content::Behind(_)) {
            self.status.came(origin);
        }
        let record = match content {
            Content::Behind(is_behind) => Record::Behind {
                input,
                received,
                is_behind,
            },
            Content::Nothing => {
                // While the format is not known, what stands before it is only held in memory.
                if !self.unknown.contains_key(&input) {
                    self.positions.extend(position.map(|position| (input, position)));
                }
                return;
            }
            Content::Events { known_at, events } => Record::Events {
                input,
                received,
                known_at,
                events,
            },
            Content::Datagrams(datagrams) => Record::Datagrams {
                input,
                received,
                datagrams,
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
        let unknown = self.unknown.entry(input).or_insert(Unknown {
            origin,
            bytes: Vec::new(),
        });
        let held = &mut unknown.bytes;
        held.extend_from_slice(lines);
        let Some(format) = fixed_format(origin).or_else(|| detect_live(held)) else {
            if held.len() > UNKNOWN_BYTES_MAX {
                self.status.unknown_format(held);
                held.clear();
            }
            return None;
        };
        let held = self
            .unknown
            .remove(&input)
            .map_or_else(Vec::new, |unknown| unknown.bytes);
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
        if self.forwarding.is_some() {
            return self.depart();
        }
        let head = head(self.feed.engine().program(), &self.judging);
        for alert in self.alerts.drain(..) {
            if self.next_told >= self.durable_told {
                self.gathered.told.push(Told::of(&alert, &head).write());
                self.status.told(&alert, &head);
            }
            self.next_told += 1;
        }
    }

    /// Events that depart are numbered in their order. Those that were handed on already were so before the process
    /// ended.
    fn depart(&mut self) {
        let (Some(forwarding), Some((departures, mark))) = (&mut self.forwarding, self.feed.departures()) else {
            return;
        };
        for departure in departures {
            if self.next_told >= self.durable_told {
                forwarding.departures.push(departure);
            }
            self.next_told += 1;
        }
        forwarding.mark.go_on(mark);
        forwarding.mark.quiet |= forwarding.closing;
    }

    /// Makes what has departed durable and hands it on. Gives whether that is done: when everything ends while it can't
    /// be, it is done at the next start.
    fn hand_on(&mut self) -> anyhow::Result<bool> {
        self.commit_until_done();
        let Some(forwarding) = &mut self.forwarding else {
            return Ok(true);
        };
        let departures = std::mem::take(&mut forwarding.departures);
        let next = self.next_told.max(self.durable_told);
        if !forwarding
            .to
            .hand_on(departures, &forwarding.mark, next, &forwarding.kinds)?
        {
            return Ok(false);
        }
        forwarding.mark.active.clear();
        forwarding.last = Instant::now();
        self.durable_told = next;
        Ok(true)
    }

    fn is_hand_on_due(&self) -> bool {
        let cluster = self.judging.site.config.service.kafka.as_ref();
        let every = cluster.map_or(TICK, |cluster| wait(cluster.commit_every));
        let forwarding = self.forwarding.as_ref();
        forwarding.is_some_and(|forwarding| forwarding.is_due(every))
    }

    fn is_commit_due(&self) -> bool {
        !self.gathered.told.is_empty()
            || !self.receipts.is_empty()
            || self.gathered.records.len() >= GATHERED_RECORDS_MAX
            || self.gathered_bytes >= GATHERED_BYTES_MAX
            || (self.committed.elapsed() >= wait(self.judging.settings().commit_every)
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
        if self.forwarding.is_none() {
            self.durable_told = self.next_told;
        }
        self.gathered = Commit::default();
        self.gathered_bytes = 0;
        self.committed = Instant::now();
    }

    /// Judges, tells and commits everything that was taken.
    fn settle(&mut self) -> anyhow::Result<bool> {
        self.feed.settle(&mut self.alerts);
        // What this has brought to light belongs to the records before it.
        self.tell();
        self.commit_until_done();
        // A state that is behind what was handed on would be, if it were taken up, without what was not.
        self.hand_on()
    }
}

/// Takes up the state that begins so, or with the reader's next piece where this one has none of it.
fn restore(mut reader: SnapshotReader, state: &[u8], feed: &mut Feed) -> Result<Restored, TakeUpFailure> {
    let mut next = Vec::new();
    let first = match state.is_empty() {
        true => {
            reader.read(&mut next)?;
            &next
        }
        false => state,
    };
    feed.restore(first, |piece| Ok::<_, TakeUpFailure>(reader.read(piece)?))
}

fn head<'a>(program: &'a Program, judging: &'a Judging) -> Letterhead<'a> {
    Letterhead {
        definitions: &program.definitions,
        program: env!("CARGO_PKG_VERSION"),
        networks: &program.networks,
        assets: &judging.site.config.assets,
    }
}

/// What judged before, as far as that can still be had: records that a process before this one took, if there are any, are
/// judged by it, and it tells which open alerts are over.
fn past(texts: Texts, present: &Judging, has_records: bool) -> Judging {
    if texts.differ_in_systems_only(&present.texts) {
        if has_records {
            tracing::warn!("the database of autonomous systems is another one now; the last records are judged by it");
        }
        return present.clone();
    }
    match texts.site() {
        Ok(site) => Judging {
            site,
            texts,
            threads: present.threads,
            elsewhere: present.elsewhere,
        },
        Err(mistakes) => {
            let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
            if has_records {
                tracing::warn!(
                    "this version does not read the configuration that judged the last records; they are judged by the present one: {first}"
                );
            }
            present.clone()
        }
    }
}

fn tell_changes(restored: &Restored) {
    if let Some(changes) = changes(restored) {
        tracing::info!("learned state: {changes}");
    }
}

/// The format of what comes from such an origin, where nothing else can come from it.
fn fixed_format(origin: Origin) -> Option<Format> {
    match origin {
        Origin::Syslog => Some(Format::Syslog),
        Origin::Http | Origin::Journal => Some(Format::Json),
        Origin::File | Origin::Stdin | Origin::Netflow | Origin::Interface | Origin::Kafka => None,
    }
}

fn wait(length: Duration) -> Wait {
    Wait::from_nanos(u64::try_from(length.nanos()).unwrap_or(0))
}
