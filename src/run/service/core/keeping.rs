//! How the core keeps what was learned: when a snapshot is due, and how its pieces are written between records.

use super::{AGAIN, Core, wait};
use crate::engine::snapshot::SnapshotProblem;
use crate::run::service::keeper::Writing;
use crate::run::service::kept;
use std::time::{Duration as Wait, Instant};

/// A journal of more bytes than this brings its snapshot forward, so that a start has no more to judge again than takes
/// some seconds.
const JOURNAL_BYTES_MAX: u64 = 64 << 20;
/// So does one of more records: each has a cost of its own, also when it is small.
const JOURNAL_RECORDS_MAX: u64 = 200_000;
/// Judging goes on for so many times as long as it has waited for a snapshot before the journal brings the next forward.
const BETWEEN_SNAPSHOTS: u32 = 3;
/// For a snapshot judging waits half as long as it has judged since it last waited, and so long at least,
pub(super) const SNAPSHOT_WAIT_MIN: Wait = Wait::from_millis(10);
/// and so long at most.
pub(super) const SNAPSHOT_WAIT_MAX: Wait = Wait::from_millis(50);
/// Entities that are saved between two looks at the clock.
const SAVED_TOGETHER: usize = 1024;
/// After so many snapshots in turn that were given up because too much changed at once, judging waits for a whole one.
const OVERRUNS_MAX: u32 = 2;

impl Core {
    /// Whether the next snapshot is to be begun.
    pub(super) fn is_snapshot_due(&self) -> bool {
        let age = self.keeper.begun.elapsed();
        let is_long = || {
            self.keeper.journal_bytes > JOURNAL_BYTES_MAX
                || self
                    .store
                    .journal_records()
                    .is_ok_and(|held| held > JOURNAL_RECORDS_MAX)
        };
        !self.keeper.is_busy()
            && (age >= wait(self.judging.settings().snapshot_every)
                || (age >= AGAIN.max(self.keeper.took * BETWEEN_SNAPSHOTS) && is_long()))
    }

    /// Begins a snapshot, which is written between records and then made durable by a thread. When that fails the journal
    /// goes on growing, and it is tried again at its next time.
    pub(super) fn keep(&mut self) {
        match self.begin_snapshot(0) {
            Ok(writing) => self.keeper.write(writing),
            Err(failure) => self.not_kept(&failure),
        }
        if self.keeper.overruns >= OVERRUNS_MAX {
            self.keep_on(Wait::MAX);
        }
    }

    /// Goes on for so long with a snapshot that was begun.
    pub(super) fn keep_on(&mut self, most: Wait) {
        let Some(mut writing) = self.keeper.take() else { return };
        match self.go_on_with(&mut writing, most) {
            Ok(true) => {
                self.keeper.overruns = 0;
                self.keeper.finish(self.store.clone(), writing);
            }
            Ok(false) => self.keeper.write(writing),
            Err(failure) => self.not_kept(&failure),
        }
    }

    fn not_kept(&mut self, failure: &anyhow::Error) {
        if let Some(SnapshotProblem::Overrun) = failure.downcast_ref() {
            self.keeper.overruns += 1;
            tracing::debug!("a snapshot is begun again: {failure:#}");
            return;
        }
        tracing::error!("what was learned could not be kept: {failure:#}");
        self.status.snapshot_failed();
    }

    /// Writes a snapshot and waits until it is durable. In the same moment these alerts are told.
    pub(super) fn keep_now(&mut self, told: &[Vec<u8>]) -> anyhow::Result<()> {
        let mut writing = self.begin_snapshot(told.len() as u64)?;
        self.go_on_with(&mut writing, Wait::MAX)?;
        self.store.finish_snapshot(writing.writer, writing.next_record, told)?;
        self.keeper.journal_bytes = 0;
        self.next_told += told.len() as u64;
        self.durable_told = self.next_told;
        Ok(())
    }

    /// Begins a snapshot of everything up to the next record, with what judges from there on. One that was begun before is
    /// left. How many alerts were told, or events handed on, is that of this moment too; so many more alerts will be told in
    /// the moment at which it is durable.
    fn begin_snapshot(&mut self, will_tell: u64) -> anyhow::Result<Writing> {
        anyhow::ensure!(self.settle()?, "not everything could be handed on");
        self.keeper.take();
        self.keeper.begun = Instant::now();
        self.keeper.took = Wait::ZERO;
        let mut writer = self.store.begin_snapshot()?;
        writer.write(&kept::head(self.next_told + will_tell, &self.judging.texts)?)?;
        let begun = self
            .feed
            .begin_saving(|piece| Ok::<_, anyhow::Error>(writer.write(piece)?));
        self.waited_for_snapshot(self.keeper.begun);
        if begun.is_err() {
            self.feed.stop_saving();
        }
        begun?;
        Ok(Writing {
            writer,
            next_record: self.next_record,
            journal_bytes: self.keeper.journal_bytes,
        })
    }

    /// Goes on for so long with a snapshot. Gives whether it is whole.
    fn go_on_with(&mut self, writing: &mut Writing, most: Wait) -> anyhow::Result<bool> {
        let begun = Instant::now();
        let mut put = |piece: &[u8]| Ok::<_, anyhow::Error>(writing.writer.write(piece)?);
        let mut is_whole = false;
        while !is_whole && begun.elapsed() < most {
            is_whole = self.feed.go_on_saving(SAVED_TOGETHER, &mut put)?;
        }
        self.waited_for_snapshot(begun);
        if is_whole {
            self.status.kept(writing.writer.bytes(), self.keeper.took);
        }
        Ok(is_whole)
    }

    fn waited_for_snapshot(&mut self, since: Instant) {
        let length = since.elapsed();
        self.keeper.took += length;
        self.status.waited_for_snapshot(length);
    }
}
