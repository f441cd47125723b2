//! Room on the disk that a long journal has once needed and nothing needs any more. The database writes over free pages,
//! so that its file is as large as it ever had to be; behind a snapshot, when little is in it, it can be made small.

use super::{DATABASE, Store, StoreFailure};
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// A file of no more bytes than this is left as it is: a journal between two snapshots under load needs as much again and
/// again.
const LEFT_BYTES: u64 = 512 << 20;

impl Store {
    /// Makes the database's file small when it is over 512 MiB and twice as large as this left it the last time. Commits
    /// wait meanwhile, as long as it takes to move what is held; so this belongs behind a snapshot. While somebody reads
    /// nothing happens, and another time will do.
    pub fn give_back(&self) -> Result<(), StoreFailure> {
        self.give_back_over(LEFT_BYTES)
    }

    fn give_back_over(&self, left_bytes: u64) -> Result<(), StoreFailure> {
        let length = || fs::metadata(self.folder.join(DATABASE)).map_or(0, |file| file.len());
        let before = self.compacted_bytes.load(Ordering::Relaxed);
        if length() <= left_bytes.max(before.saturating_mul(2)) {
            return Ok(());
        }
        let mut held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = held.as_mut().and_then(Arc::get_mut) else {
            return Ok(());
        };
        match database.compact() {
            Ok(_) => {
                self.compacted_bytes.store(length(), Ordering::Relaxed);
                Ok(())
            }
            // A read that has just ended may still be counted.
            Err(redb::CompactionError::TransactionInProgress) => Ok(()),
            Err(error) => Err(self.write_failure(&error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Commit;
    use super::*;
    use crate::edge::folder::Folder;

    /// Commits so many records of 10 kB each, and an alert with every hundred.
    fn fill(store: &Store, records: usize) {
        for _ in 0..records / 100 {
            let commit = Commit {
                records: vec![vec![7; 10_000]; 100],
                told: vec![vec![8; 1000]],
                positions: vec![(1, vec![9; 8])],
            };
            store.commit(&commit).expect("a commit");
        }
    }

    fn snapshot(store: &Store, next_record: u64) {
        let writer = store.begin_snapshot().expect("a writer");
        store.finish_snapshot(writer, next_record, &[]).expect("a snapshot");
    }

    #[test]
    fn room_that_a_long_journal_needed_is_given_back_once_a_snapshot_stands_for_it() {
        let folder = Folder::new("store-compaction");
        let store = Store::open(&folder.0).expect("a store");
        let length = || fs::metadata(folder.0.join(DATABASE)).expect("it is there").len();
        fill(&store, 2000);
        snapshot(&store, 1990);
        let long = length();
        assert!(long > 20_000_000, "{long}");
        store.give_back_over(long).expect("nothing to do");
        assert_eq!(length(), long, "a file that is not too large stays as it is");
        let reader = store.database().expect("a database");
        store.give_back_over(1 << 20).expect("nobody is disturbed");
        assert_eq!(length(), long, "somebody reads");
        drop(reader);
        store.give_back_over(1 << 20).expect("room");
        let short = length();
        assert!(short < long / 10, "{short} of {long}");

        // Everything is there and goes on, also after it is opened again.
        fill(&store, 100);
        drop(store);
        let store = Store::open(&folder.0).expect("a store");
        let mut records = 0;
        let count = |_: &[u8]| {
            records += 1;
            Ok::<_, StoreFailure>(())
        };
        assert_eq!(store.read_journal(1990, count).expect("a journal"), 2100);
        assert_eq!(records, 110);
        assert_eq!(store.next_told().expect("a number"), 21);
        assert_eq!(store.position(1).expect("a position"), Some(vec![9; 8]));
    }
}
