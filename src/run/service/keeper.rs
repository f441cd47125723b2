//! The snapshot that is being written, when that began, how long the journal behind it has grown, and the thread that makes
//! a snapshot durable while judging goes on: its bytes are written by the core, since only the core knows the state.

use super::status::Status;
use crate::edge::store::{SnapshotWriter, Store, StoreFailure};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the core remembers of snapshots.
pub(super) struct Keeper {
    /// When the newest was begun; when the process was, before there is one.
    pub(super) begun: Instant,
    /// How long judging waited for it, in all.
    pub(super) took: Duration,
    /// Bytes of records that no durable snapshot has seen.
    pub(super) journal_bytes: u64,
    /// How many in turn were given up because too much changed at once.
    pub(super) overruns: u32,
    writing: Option<Writing>,
    finishing: Option<Finishing>,
}

/// A snapshot that is being written.
pub(super) struct Writing {
    pub(super) writer: SnapshotWriter,
    /// The first record that it does not see.
    pub(super) next_record: u64,
    /// What the journal held when it was begun.
    pub(super) journal_bytes: u64,
}

/// A snapshot that is being made durable.
struct Finishing {
    thread: JoinHandle<Result<(), StoreFailure>>,
    journal_bytes: u64,
}

impl Keeper {
    pub(super) fn new() -> Keeper {
        Keeper {
            begun: Instant::now(),
            took: Duration::ZERO,
            journal_bytes: 0,
            overruns: 0,
            writing: None,
            finishing: None,
        }
    }

    /// A record is in the journal.
    pub(super) fn journalled(&mut self, record: &[u8]) {
        self.journal_bytes += record.len() as u64;
    }

    /// Whether a snapshot is being written or made durable.
    pub(super) fn is_busy(&self) -> bool {
        self.is_writing() || self.finishing.is_some()
    }

    /// Whether a snapshot is being written.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// A snapshot was begun, or goes on.
    pub(super) fn write(&mut self, writing: Writing) {
        self.writing = Some(writing);
    }

    /// The snapshot that is being written, to go on with it or to leave it. What is left is overwritten by the next one.
    pub(super) fn take(&mut self) -> Option<Writing> {
        self.writing.take()
    }

    /// Makes a snapshot durable.
    pub(super) fn finish(&mut self, store: Arc<Store>, written: Writing) {
        let Writing {
            writer,
            next_record,
            journal_bytes,
        } = written;
        let thread = std::thread::Builder::new().name("snapshot".to_owned());
        let thread = thread.spawn(move || {
            store.finish_snapshot(writer, next_record, &[])?;
            if let Err(failure) = store.give_back() {
                tracing::warn!(%failure, "room on the disk could not be given back");
            }
            Ok(())
        });
        match thread {
            Ok(thread) => self.finishing = Some(Finishing { thread, journal_bytes }),
            // The snapshot before it still counts, and the journal goes on from there.
            Err(error) => tracing::error!(%error, "no thread could be started to make a snapshot durable"),
        }
    }

    /// Looks whether the snapshot is durable.
    pub(super) fn look(&mut self, status: &Status) {
        if self
            .finishing
            .as_ref()
            .is_some_and(|finishing| finishing.thread.is_finished())
        {
            self.wait(status);
        }
    }

    /// Waits until the snapshot is durable. When that fails the journal goes on growing, and a snapshot is tried again at
    /// its next time.
    pub(super) fn wait(&mut self, status: &Status) {
        let Some(Finishing { thread, journal_bytes }) = self.finishing.take() else {
            return;
        };
        match thread.join() {
            Ok(Ok(())) => self.journal_bytes -= journal_bytes,
            Ok(Err(failure)) => {
                tracing::error!(%failure, "what was learned could not be kept");
                status.snapshot_failed();
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
