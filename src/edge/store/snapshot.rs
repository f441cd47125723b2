//! Snapshots: learned state in a file of its own, written beside the old one and taken up in one transaction.

use super::{FACTS, JOURNAL, OUTBOX, Snapshot, Store, StoreFailure, next_key, put_told};
use crate::edge::pieces::{PieceProblem, PieceReader, PieceWriter};
use redb::ReadableDatabase;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

/// Bytes that are written and read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// A snapshot that is being written.
pub struct SnapshotWriter {
    file: PieceWriter<BufWriter<File>>,
    path: PathBuf,
    number: u64,
}

impl SnapshotWriter {
    /// Writes the next piece.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), StoreFailure> {
        self.file
            .write(piece)
            .map_err(|error| snapshot_failure(&self.path, &error))
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.file.bytes()
    }
}

/// A snapshot that is being read.
pub struct SnapshotReader {
    file: PieceReader<BufReader<File>>,
    path: PathBuf,
}

impl SnapshotReader {
    /// Reads the next piece in place of what `piece` holds. Gives whether there was one.
    pub fn read(&mut self, piece: &mut Vec<u8>) -> Result<bool, StoreFailure> {
        self.file.read(piece).map_err(|problem| damaged(&self.path, &problem))
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
        let transaction = self.database()?.begin_read()?;
        let facts = transaction.open_table(FACTS)?;
        let number = facts.get("snapshot")?.map(|held| held.value());
        let next_record = facts.get("snapshot_next_record")?.map_or(0, |held| held.value());
        Ok((number, next_record))
    }

    /// Begins to read a snapshot.
    pub fn read_snapshot(&self, snapshot: &Snapshot) -> Result<SnapshotReader, StoreFailure> {
        let path = snapshot.path.clone();
        let file = File::open(&path).map(|file| BufReader::with_capacity(BUFFER_BYTES, file));
        let file = file.and_then(PieceReader::begin);
        let file = file.map_err(|error| damaged(&path, &error.into()))?;
        Ok(SnapshotReader { file, path })
    }

    /// Begins a snapshot. Nothing of it counts before [`Store::finish_snapshot`].
    pub fn begin_snapshot(&self) -> Result<SnapshotWriter, StoreFailure> {
        let (number, _) = self.snapshot_facts().map_err(|error| self.damage(&error))?;
        let number = number.map_or(0, |number| number + 1);
        let path = snapshot_path(&self.folder, number);
        let file = File::create(&path).map(|file| BufWriter::with_capacity(BUFFER_BYTES, file));
        let file = file.and_then(PieceWriter::begin);
        let file = file.map_err(|error| snapshot_failure(&path, &error))?;
        Ok(SnapshotWriter { file, path, number })
    }

    /// The snapshot is whole: it takes the place of every record before `next_record`, which are let go, and of the
    /// snapshot before it. In the same moment these alerts are told.
    pub fn finish_snapshot(
        &self,
        writer: SnapshotWriter,
        next_record: u64,
        told: &[Vec<u8>],
    ) -> Result<(), StoreFailure> {
        let SnapshotWriter { file, path, number } = writer;
        let durable = file
            .finish()
            .and_then(|file| file.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all())
            .and_then(|()| File::open(&self.folder)?.sync_all());
        durable.map_err(|error| snapshot_failure(&path, &error))?;
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database()?.begin_write()?;
            {
                let mut facts = transaction.open_table(FACTS)?;
                facts.insert("snapshot", number)?;
                facts.insert("snapshot_next_record", next_record)?;
                transaction
                    .open_table(JOURNAL)?
                    .retain_in(..next_record, |_, _| false)?;
                let next = next_key(&transaction.open_table(OUTBOX)?)?;
                put_told(&transaction, next, told)?;
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
}

fn snapshot_failure(path: &Path, error: &io::Error) -> StoreFailure {
    StoreFailure::Write {
        path: path.display().to_string(),
        problem: error.to_string(),
    }
}

fn damaged(path: &Path, problem: &PieceProblem) -> StoreFailure {
    StoreFailure::Damaged {
        path: path.display().to_string(),
        problem: problem.to_string(),
    }
}

fn snapshot_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("state-{number:016x}"))
}
