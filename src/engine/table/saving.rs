//! A table's rows as they are at one moment, saved while later events already change them: a row is saved when its turn
//! comes, or just before it first changes or goes, so that nobody waits until all are saved.
//!
//! Sketch: a bit for each row, and the bytes of what was saved since they were last taken.

use super::Row;
use crate::engine::snapshot::{self, SnapshotProblem};

/// Bytes of rows that may gather before they are taken: the end of an epoch sees to every new entity at once.
const GATHERED_BYTES_MAX: usize = 64 << 20;
/// Bytes of room that stay when they are taken.
const KEPT_BYTES: usize = 1 << 20;

/// What saving has come to.
#[derive(Debug)]
pub(super) struct Saving {
    /// A bit for each row that there was room for at the moment: whether it is saved, or has come since.
    done: Vec<u64>,
    /// How much room there was.
    end: usize,
    /// The next row whose turn comes.
    next: usize,
    /// How many rows were saved.
    saved: u64,
    /// Rows with their numbers, one behind the other.
    gathered: Vec<u8>,
    problem: Option<SnapshotProblem>,
}

impl Saving {
    /// Begins with a table that has room for so many rows.
    pub(super) fn begin(rows: usize) -> Saving {
        Saving {
            done: vec![0; rows.div_ceil(u64::BITS as usize)],
            end: rows,
            next: 0,
            saved: 0,
            gathered: Vec::new(),
            problem: None,
        }
    }

    /// Saves a row if it is not saved. `row` is what it was at the moment, if it was there then.
    pub(super) fn save(&mut self, number: u32, row: Option<&Row>) {
        let bit = 1 << (number % u64::BITS);
        // A row beyond the end has come since.
        if number as usize >= self.end || self.done[(number / u64::BITS) as usize] & bit != 0 {
            return;
        }
        self.done[(number / u64::BITS) as usize] |= bit;
        let Some(row) = row.filter(|_| self.problem.is_none()) else {
            return;
        };
        self.saved += 1;
        if self.gathered.len() > GATHERED_BYTES_MAX {
            self.problem = Some(SnapshotProblem::Overrun);
            self.gathered = Vec::new();
        } else if let Err(problem) = snapshot::append(&(number, row), &mut self.gathered) {
            self.problem = Some(problem);
        }
    }

    /// Saves up to so many rows whose turn it is. When all have had theirs, gives how many more there might have been.
    pub(super) fn go_on(&mut self, rows: &[Option<Row>], most: usize) -> Option<usize> {
        let begin = self.next;
        let until = self.end.min(self.next.saturating_add(most));
        for (row, number) in rows[begin..until].iter().zip(begin as u32..) {
            self.save(number, row.as_ref());
        }
        self.next = until;
        (until == self.end).then_some(most - (until - begin))
    }

    /// How many rows were saved so far.
    pub(super) fn saved(&self) -> u64 {
        self.saved
    }

    /// Puts what has gathered behind `piece`, unless something could not be saved. Gives whether there is any.
    pub(super) fn take(&mut self, piece: &mut Vec<u8>) -> Result<bool, SnapshotProblem> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let is_any = !self.gathered.is_empty();
        piece.extend_from_slice(&self.gathered);
        self.gathered.clear();
        // What came at once stays no longer than it must.
        self.gathered.shrink_to(KEPT_BYTES);
        Ok(is_any)
    }
}
