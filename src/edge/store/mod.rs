//! The embedded store: what has been accepted, what has been told, and how far each sink has delivered, in one file
//! and one transaction (redb: copy-on-write, crash-safe), with snapshots of learned state beside it.
//!
//! A commit makes records durable together with the alerts that they led to. Learned state is not written with every
//! commit: a snapshot is written from time to time with the number of the first record that it has not seen, and what
//! came after it is read from the journal again. Same records, same alerts: so state is never behind and never twice.
//! The store knows bytes and numbers; what they mean is its caller's.

mod compaction;
mod known;
mod snapshot;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use snapshot::{SnapshotReader, SnapshotWriter};

/// The file of the database in its folder.
const DATABASE: &str = "stakeout.redb";

/// Accepted records by number, from 0.
const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
/// Alerts that were told, by number, from 0.
const OUTBOX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outbox");
/// How far each sink has delivered: the number of the next alert for it.
const CURSORS: TableDefinition<'_, &str, u64> = TableDefinition::new("cursors");
/// Inputs and their numbers.
const INPUTS: TableDefinition<'_, &str, u64> = TableDefinition::new("inputs");
/// Where each input goes on, in its collector's own form.
const POSITIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("positions");
/// `format`, and of the newest snapshot its number and the first record that it has not seen.
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");

/// The form of the store. One that is not known is refused.
const FORMAT: u64 = 1;
/// Memory that the database may use for pages. What is written is not read again before the next start, so more would only
/// fill with the journal between two snapshots and be empty after each.
const CACHE_BYTES: usize = 4 << 20;
/// Alerts that are kept after every sink has delivered them.
pub const OUTBOX_ENTRIES_MAX: u64 = 100_000;
/// Inputs that are remembered by name.
const INPUTS_MAX: u64 = 60_000;

/// Why the store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// The folder can't be made or written to.
    #[error("{path}: {error}; name a folder that this user may write to (`data_dir`, or STAKEOUT_DATA_DIR)")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("{path}: another process has this store open; stop it, or name another data_dir")]
    InUse {
        /// The file.
        path: String,
    },
    /// It is damaged.
    #[error("{path}: the store is damaged ({problem}); restore it from a backup, or move it away to begin anew")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Another version has written it.
    #[error("{path}: the store has format {found}, this program reads format {FORMAT}; use the version that wrote it")]
    Format {
        /// The file.
        path: String,
        /// The format that was found.
        found: u64,
    },
    /// Writing failed; what was to be written is still the caller's.
    #[error("writing to the store in {path}: {problem}; is the disk full?")]
    Write {
        /// The folder.
        path: String,
        /// What the database said.
        problem: String,
    },
    /// There are more inputs than are numbered.
    #[error("over inputs_max ({INPUTS_MAX}) inputs; use fewer, or begin with a new data_dir")]
    TooManyInputs,
}

/// What one transaction makes durable.
#[derive(Debug, Default)]
pub struct Commit {
    /// Records in order.
    pub records: Vec<Vec<u8>>,
    /// Alerts that these records led to, in order.
    pub told: Vec<Vec<u8>>,
    /// Inputs whose place has moved.
    pub positions: Vec<(u16, Vec<u8>)>,
}

impl Commit {
    /// Whether there is nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.told.is_empty() && self.positions.is_empty()
    }
}

/// The newest snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// The first record that it has not seen.
    pub next_record: u64,
}

/// The store of one data folder.
pub struct Store {
    folder: PathBuf,
    /// Nothing while it can't be opened again.
    database: Mutex<Option<Arc<Database>>>,
    /// The system could not read or write: the database refuses everything until it is opened again.
    failed: AtomicBool,
    /// Where the records and alerts of a commit go that may be durable although it failed.
    doubtful: Mutex<Option<Numbers>>,
    /// How large the database's file was when room was last given back; 0 before.
    compacted_bytes: AtomicU64,
    /// The next commit is said to have failed once it is durable.
    #[cfg(test)]
    fails_wrongly: AtomicBool,
}

/// The numbers that a commit begins with.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    record: u64,
    told: u64,
}

impl Store {
    /// Opens the store of a folder, making both if they are not there.
    pub fn open(folder: &Path) -> Result<Store, StoreFailure> {
        fs::create_dir_all(folder).map_err(|error| StoreFailure::Folder {
            path: folder.display().to_string(),
            error,
        })?;
        let path = folder.join(DATABASE);
        let name = path.display().to_string();
        let database = open_database(folder).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StoreFailure::InUse { path: name.clone() },
            redb::DatabaseError::Storage(redb::StorageError::Io(error))
                if error.kind() != io::ErrorKind::InvalidData =>
            {
                StoreFailure::Folder {
                    path: folder.display().to_string(),
                    error,
                }
            }
            error => StoreFailure::Damaged {
                path: name.clone(),
                problem: error.to_string(),
            },
        })?;
        let store = Store {
            folder: folder.to_owned(),
            database: Mutex::new(Some(Arc::new(database))),
            failed: AtomicBool::new(false),
            doubtful: Mutex::new(None),
            compacted_bytes: AtomicU64::new(0),
            #[cfg(test)]
            fails_wrongly: AtomicBool::new(false),
        };
        let found = store.prepare().map_err(|error| StoreFailure::Damaged {
            path: name.clone(),
            problem: error.to_string(),
        })?;
        if found != FORMAT {
            return Err(StoreFailure::Format { path: name, found });
        }
        Ok(store)
    }

    /// The database; opened again if the system could not read or write before.
    fn database(&self) -> Result<Arc<Database>, redb::Error> {
        let mut held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if self.failed.swap(false, Ordering::AcqRel) {
            // Others that are still at work with it fail; only when they are done can it be opened.
            *held = None;
        }
        if let Some(database) = &*held {
            return Ok(database.clone());
        }
        let database = Arc::new(open_database(&self.folder)?);
        *held = Some(database.clone());
        Ok(database)
    }

    /// Makes the tables and gives the store's format.
    fn prepare(&self) -> Result<u64, redb::Error> {
        let transaction = self.database()?.begin_write()?;
        let format = {
            transaction.open_table(JOURNAL)?;
            transaction.open_table(OUTBOX)?;
            transaction.open_table(CURSORS)?;
            transaction.open_table(INPUTS)?;
            transaction.open_table(POSITIONS)?;
            let mut facts = transaction.open_table(FACTS)?;
            let held = facts.get("format")?.map(|held| held.value());
            if held.is_none() {
                facts.insert("format", FORMAT)?;
            }
            held.unwrap_or(FORMAT)
        };
        transaction.commit()?;
        Ok(format)
    }

    /// Makes a commit durable. When it fails the same commit is to be tried again, before any other: the system may have
    /// written it although it said that it could not.
    pub fn commit(&self, commit: &Commit) -> Result<(), StoreFailure> {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        let mut write = || -> Result<(), redb::Error> {
            let transaction = self.database()?.begin_write()?;
            {
                let mut journal = transaction.open_table(JOURNAL)?;
                let next = next_key(&journal)?;
                let facts = transaction.open_table(FACTS)?;
                // A journal that was emptied by a snapshot goes on where the snapshot ends.
                let seen = facts.get("snapshot_next_record")?.map_or(0, |held| held.value());
                let told = next_key(&transaction.open_table(OUTBOX)?)?;
                let record = next.max(seen);
                // One that comes again goes where it went before, so that it is never there twice.
                let numbers = *doubtful.get_or_insert(Numbers { record, told });
                for (number, record) in (numbers.record..).zip(&commit.records) {
                    journal.insert(number, record.as_slice())?;
                }
                put_told(&transaction, numbers.told, &commit.told)?;
                let mut positions = transaction.open_table(POSITIONS)?;
                for (input, position) in &commit.positions {
                    positions.insert(u64::from(*input), position.as_slice())?;
                }
            }
            transaction.commit()?;
            #[cfg(test)]
            if self.fails_wrongly.swap(false, Ordering::AcqRel) {
                return Err(redb::Error::PreviousIo);
            }
            Ok(())
        };
        write().map_err(|error| self.write_failure(&error))?;
        *doubtful = None;
        Ok(())
    }

    /// From now on the next commit becomes durable and is said to have failed, as the system may say wrongly.
    #[cfg(test)]
    pub(crate) fn fail_after_next_commit(&self) {
        self.fails_wrongly.store(true, Ordering::Release);
    }

    /// Reads the journal from a record on, in order, until `take` gives an error.
    pub fn read_journal<E: From<StoreFailure>>(
        &self,
        from: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let damaged = |error: redb::Error| E::from(self.damage(&error));
        let database = self.database().map_err(damaged)?;
        let transaction = database.begin_read().map_err(|error| damaged(error.into()))?;
        let journal = transaction.open_table(JOURNAL).map_err(|error| damaged(error.into()))?;
        let mut next = from;
        for entry in journal.range(from..).map_err(|error| damaged(error.into()))? {
            let (number, record) = entry.map_err(|error| damaged(error.into()))?;
            if number.value() != next {
                let problem = format!("record {next} of the journal is missing");
                return Err(E::from(StoreFailure::Damaged {
                    path: self.folder.display().to_string(),
                    problem,
                }));
            }
            take(record.value())?;
            next += 1;
        }
        Ok(next)
    }

    /// Up to `most` told alerts from a number on, in order.
    pub fn told(&self, from: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreFailure> {
        let read = || -> Result<Vec<(u64, Vec<u8>)>, redb::Error> {
            let transaction = self.database()?.begin_read()?;
            let outbox = transaction.open_table(OUTBOX)?;
            let mut found = Vec::new();
            for entry in outbox.range(from..)?.take(most) {
                let (number, alert) = entry?;
                found.push((number.value(), alert.value().to_vec()));
            }
            Ok(found)
        };
        read().map_err(|error| self.damage(&error))
    }

    /// The number that the next told alert gets.
    pub fn next_told(&self) -> Result<u64, StoreFailure> {
        let read = || -> Result<u64, redb::Error> {
            let transaction = self.database()?.begin_read()?;
            next_key(&transaction.open_table(OUTBOX)?)
        };
        read().map_err(|error| self.damage(&error))
    }

    /// How many records the journal holds.
    pub fn journal_records(&self) -> Result<u64, StoreFailure> {
        let read = || -> Result<u64, redb::Error> {
            let transaction = self.database()?.begin_read()?;
            Ok(transaction.open_table(JOURNAL)?.len()?)
        };
        read().map_err(|error| self.damage(&error))
    }

    /// The next alert for a sink. A sink that is new begins with the next alert, not with what was told before it.
    pub fn cursor(&self, sink: &str) -> Result<u64, StoreFailure> {
        let read = || -> Result<(Option<u64>, u64), redb::Error> {
            let transaction = self.database()?.begin_read()?;
            let held = transaction.open_table(CURSORS)?.get(sink)?.map(|held| held.value());
            Ok((held, next_key(&transaction.open_table(OUTBOX)?)?))
        };
        let (held, next) = read().map_err(|error| self.damage(&error))?;
        match held {
            Some(held) => Ok(held),
            None => {
                self.set_cursor(sink, next)?;
                Ok(next)
            }
        }
    }

    /// A sink has delivered every alert before this one.
    pub fn set_cursor(&self, sink: &str, next: u64) -> Result<(), StoreFailure> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database()?.begin_write()?;
            transaction.open_table(CURSORS)?.insert(sink, next)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| self.write_failure(&error))
    }

    /// Forgets the cursors of sinks that are no longer configured, so that they hold nothing in the outbox.
    pub fn keep_cursors(&self, sinks: &[&str]) -> Result<(), StoreFailure> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database()?.begin_write()?;
            transaction
                .open_table(CURSORS)?
                .retain(|sink, _| sinks.contains(&sink))?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| self.write_failure(&error))
    }

    /// Forgets the cursor of one sink.
    pub fn forget_cursor(&self, sink: &str) -> Result<(), StoreFailure> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database()?.begin_write()?;
            transaction.open_table(CURSORS)?.remove(sink)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| self.write_failure(&error))
    }

    /// The number of an input, the same for its name for ever.
    pub fn input_number(&self, name: &str) -> Result<u16, StoreFailure> {
        let write = || -> Result<Option<u64>, redb::Error> {
            let transaction = self.database()?.begin_write()?;
            let number = {
                let mut inputs = transaction.open_table(INPUTS)?;
                let held = inputs.get(name)?.map(|held| held.value());
                let number = held.unwrap_or(inputs.len()?);
                if held.is_none() && number < INPUTS_MAX {
                    inputs.insert(name, number)?;
                }
                (number < INPUTS_MAX).then_some(number)
            };
            transaction.commit()?;
            Ok(number)
        };
        let number = write().map_err(|error| self.write_failure(&error))?;
        number
            .and_then(|number| u16::try_from(number).ok())
            .ok_or(StoreFailure::TooManyInputs)
    }

    /// Where an input goes on.
    pub fn position(&self, input: u16) -> Result<Option<Vec<u8>>, StoreFailure> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let transaction = self.database()?.begin_read()?;
            let held = transaction.open_table(POSITIONS)?.get(u64::from(input))?;
            Ok(held.map(|held| held.value().to_vec()))
        };
        read().map_err(|error| self.damage(&error))
    }

    /// Frees the outbox of what every sink has delivered, beyond [`OUTBOX_ENTRIES_MAX`]. A snapshot does so too.
    pub fn trim(&self) -> Result<(), StoreFailure> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database()?.begin_write()?;
            Self::trim_outbox(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| self.write_failure(&error))
    }

    /// Frees the outbox of what every sink has delivered, beyond [`OUTBOX_ENTRIES_MAX`].
    fn trim_outbox(transaction: &redb::WriteTransaction) -> Result<(), redb::Error> {
        let mut outbox = transaction.open_table(OUTBOX)?;
        let cursors = transaction.open_table(CURSORS)?;
        let mut delivered = next_key(&outbox)?.saturating_sub(OUTBOX_ENTRIES_MAX);
        for entry in cursors.iter()? {
            delivered = delivered.min(entry?.1.value());
        }
        outbox.retain_in(..delivered, |_, _| false)?;
        Ok(())
    }

    /// After what the system could not do the database is opened again.
    fn note(&self, error: &redb::Error) {
        if matches!(
            error,
            redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed
        ) {
            self.failed.store(true, Ordering::Release);
        }
    }

    fn write_failure(&self, error: &redb::Error) -> StoreFailure {
        self.note(error);
        StoreFailure::Write {
            path: self.folder.display().to_string(),
            problem: error.to_string(),
        }
    }

    fn damage(&self, error: &redb::Error) -> StoreFailure {
        self.note(error);
        StoreFailure::Damaged {
            path: self.folder.display().to_string(),
            problem: error.to_string(),
        }
    }
}

fn open_database(folder: &Path) -> Result<Database, redb::DatabaseError> {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_BYTES).create(folder.join(DATABASE))
}

/// Puts alerts into the outbox from this number on.
fn put_told(transaction: &redb::WriteTransaction, from: u64, told: &[Vec<u8>]) -> Result<(), redb::Error> {
    let mut outbox = transaction.open_table(OUTBOX)?;
    for (number, alert) in (from..).zip(told) {
        outbox.insert(number, alert.as_slice())?;
    }
    Ok(())
}

/// The key behind the last one.
fn next_key(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<u64, redb::Error> {
    Ok(table.last()?.map_or(0, |(key, _)| key.value() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::folder::Folder;

    fn commit(store: &Store, records: &[&str], told: &[&str]) {
        let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        store
            .commit(&Commit {
                records: bytes(records),
                told: bytes(told),
                positions: vec![(7, records.concat().into_bytes())],
            })
            .expect("a commit");
    }

    fn journal(store: &Store, from: u64) -> Vec<String> {
        let mut found = Vec::new();
        store
            .read_journal(from, |record| {
                found.push(String::from_utf8_lossy(record).into_owned());
                Ok::<_, StoreFailure>(())
            })
            .expect("a journal");
        found
    }

    #[test]
    fn what_was_committed_is_there_after_opening_again() {
        let folder = Folder::new("store-again");
        {
            let store = Store::open(&folder.0).expect("a store");
            commit(&store, &["a", "b"], &["x"]);
            commit(&store, &["c"], &[]);
            assert_eq!(store.input_number("one").expect("a number"), 0);
            assert_eq!(store.input_number("two").expect("a number"), 1);
        }
        let store = Store::open(&folder.0).expect("a store");
        assert_eq!(journal(&store, 0), ["a", "b", "c"]);
        assert_eq!(journal(&store, 2), ["c"]);
        assert_eq!(store.told(0, 9).expect("alerts"), [(0, b"x".to_vec())]);
        assert_eq!(store.position(7).expect("a position"), Some(b"c".to_vec()));
        assert_eq!(store.position(8).expect("a position"), None);
        assert_eq!(store.input_number("one").expect("a number"), 0);
        assert_eq!(store.input_number("three").expect("a number"), 2);
    }

    #[test]
    fn a_commit_that_comes_again_is_there_once() {
        let folder = Folder::new("store-twice");
        let store = Store::open(&folder.0).expect("a store");
        commit(&store, &["a"], &["x"]);
        let second = Commit {
            records: vec![b"b".to_vec(), b"c".to_vec()],
            told: vec![b"y".to_vec()],
            positions: Vec::new(),
        };
        store.fail_after_next_commit();
        store.commit(&second).expect_err("a failure");
        store.commit(&second).expect("a commit");
        commit(&store, &["d"], &[]);
        assert_eq!(journal(&store, 0), ["a", "b", "c", "d"]);
        assert_eq!(store.next_told().expect("a number"), 2);
    }

    #[test]
    fn a_snapshot_takes_the_place_of_the_records_before_it() {
        let folder = Folder::new("store-snapshot");
        let store = Store::open(&folder.0).expect("a store");
        assert_eq!(store.snapshot().expect("none"), None);
        commit(&store, &["a", "b"], &[]);
        for (state, next) in [("first", 2), ("second", 2)] {
            let mut writer = store.begin_snapshot().expect("a writer");
            writer.write(state.as_bytes()).expect("written");
            store.finish_snapshot(writer, next, &[]).expect("a snapshot");
        }
        assert_eq!(journal(&store, 2), Vec::<String>::new());
        commit(&store, &["c"], &[]);
        assert_eq!(journal(&store, 2), ["c"]);
        let snapshot = store.snapshot().expect("readable").expect("a snapshot");
        assert_eq!(snapshot.next_record, 2);
        let mut reader = store.read_snapshot(&snapshot).expect("readable");
        let mut piece = Vec::new();
        assert!(reader.read(&mut piece).expect("a piece"));
        assert_eq!(piece, b"second");
        assert!(!reader.read(&mut piece).expect("the end"));
        let files = fs::read_dir(&folder.0).expect("a folder").count();
        assert_eq!(files, 2, "the store and the newest snapshot");
    }

    #[test]
    fn a_new_sink_begins_with_the_next_alert_and_a_slow_one_keeps_what_it_needs() {
        let folder = Folder::new("store-sinks");
        let store = Store::open(&folder.0).expect("a store");
        commit(&store, &["a"], &["x"]);
        assert_eq!(store.cursor("file").expect("a cursor"), 1);
        commit(&store, &["b"], &["y", "z"]);
        assert_eq!(store.cursor("file").expect("a cursor"), 1);
        store.set_cursor("file", 2).expect("a cursor");
        assert_eq!(store.cursor("file").expect("a cursor"), 2);
        assert_eq!(store.told(2, 5).expect("alerts"), [(2, b"z".to_vec())]);
        store.keep_cursors(&["other"]).expect("kept");
        assert_eq!(store.cursor("file").expect("a cursor"), 3);
    }

    #[test]
    fn a_store_that_is_damaged_or_in_use_is_refused_with_what_to_do() {
        let folder = Folder::new("store-damaged");
        {
            let store = Store::open(&folder.0).expect("a store");
            commit(&store, &["a"], &[]);
            let failure = Store::open(&folder.0).err().expect("in use").to_string();
            assert!(failure.contains("another process has this store open"), "{failure}");
        }
        fs::write(folder.0.join("stakeout.redb"), b"no database at all, but text").expect("written");
        let failure = Store::open(&folder.0).err().expect("damaged").to_string();
        assert!(failure.contains("move it away to begin anew"), "{failure}");
    }
}
