//! Snapshots: learned state in a file of its own, written beside the old one and taken up in one transaction.

use super::{FACTS, JOURNAL, Snapshot, Store, StoreFailure};
use redb::ReadableDatabase;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A snapshot that is being written.
pub struct SnapshotWriter {
    file: BufWriter<File>,
    path: PathBuf,
    number: u64,
}

impl Write for SnapshotWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Store {
    /// The newest snapshot, if there is one.
    pub fn snapshot(&self) -> Result<Option<Snapshot>, StoreFailure> {
        let (number, next_record) = self.snapshot_facts().map_err(|error| self.damage(&error))?;
        Ok(number.map(|number| Snapshot {
            path: snapshot_path(&self.folder, number),
            next_record,
        }))
    }

    fn snapshot_facts(&self) -> Result<(Option<u64>, u64), redb::Error> {
        let transaction = self.database.begin_read()?;
        let facts = transaction.open_table(FACTS)?;
        let number = facts.get("snapshot")?.map(|held| held.value());
        let next_record = facts.get("snapshot_next_record")?.map_or(0, |held| held.value());
        Ok((number, next_record))
    }

    /// Begins a snapshot. Nothing of it counts before [`Store::finish_snapshot`].
    pub fn begin_snapshot(&self) -> Result<SnapshotWriter, StoreFailure> {
        let (number, _) = self.snapshot_facts().map_err(|error| self.damage(&error))?;
        let number = number.map_or(0, |number| number + 1);
        let path = snapshot_path(&self.folder, number);
        let file = File::create(&path).map_err(|error| self.snapshot_failure(&path, &error))?;
        Ok(SnapshotWriter {
            file: BufWriter::with_capacity(1 << 20, file),
            path,
            number,
        })
    }

    /// The snapshot is whole: it takes the place of every record before `next_record`, which are let go, and of the
    /// snapshot before it.
    pub fn finish_snapshot(&self, writer: SnapshotWriter, next_record: u64) -> Result<(), StoreFailure> {
        let SnapshotWriter { file, path, number } = writer;
        let durable = file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .and_then(|()| File::open(&self.folder)?.sync_all());
        durable.map_err(|error| self.snapshot_failure(&path, &error))?;
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut facts = transaction.open_table(FACTS)?;
                facts.insert("snapshot", number)?;
                facts.insert("snapshot_next_record", next_record)?;
                transaction
                    .open_table(JOURNAL)?
                    .retain_in(..next_record, |_, _| false)?;
            }
            Store::trim_outbox(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|error| self.write_failure(&error))?;
        if let Some(before) = number.checked_sub(1) {
            // An old snapshot that stays behind takes room and is never read; the next one tries again to remove it.
            let _ = fs::remove_file(snapshot_path(&self.folder, before));
        }
        Ok(())
    }

    fn snapshot_failure(&self, path: &Path, error: &io::Error) -> StoreFailure {
        StoreFailure::Write {
            path: path.display().to_string(),
            problem: error.to_string(),
        }
    }
}

fn snapshot_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("state-{number:016x}"))
}
