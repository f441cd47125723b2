//! How common values are in a group of entities: a count-min sketch of who has which (Cormode and Muthukrishnan 2005).

use super::values::print;

/// Rows of the sketch.
pub(super) const ROWS: usize = 2;
/// Cells of a row.
pub(super) const CELLS: usize = 2048;

/// How many of a group's entities have a value, and what share of all that are had is no more common.
#[derive(Debug, PartialEq)]
pub(super) struct Prevalence {
    entities: u64,
    cells: Vec<u32>,
    /// Counts that occur, ascending, with the share of all (entity, value) pairs at or below them.
    shares: Vec<(u32, f64)>,
    /// The share that a value nobody has can claim.
    unseen: f64,
}

impl Prevalence {
    /// From how many entities told their values, and the cells that these were counted in.
    pub(super) fn of(entities: u64, cells: &[u32]) -> Self {
        let row = cells.get(..CELLS).unwrap_or(&[]);
        let mut counts: Vec<u32> = row.iter().copied().filter(|count| *count > 0).collect();
        counts.sort_unstable();
        let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
        let once = counts.iter().filter(|count| **count == 1).count() as f64;
        // Good and Turing: as much is still unseen as was seen once.
        let unseen = (once + 1.0) / (total + 2.0);
        let mut shares: Vec<(u32, f64)> = Vec::new();
        let mut sum = 0.0;
        for count in counts {
            sum += f64::from(count);
            let share = unseen + (1.0 - unseen) * sum / total;
            match shares.last_mut() {
                Some((last, held)) if *last == count => *held = share,
                _ => shares.push((count, share)),
            }
        }
        Prevalence {
            entities: entities.max(1),
            cells: cells.to_vec(),
            shares,
            unseen: unseen.min(1.0),
        }
    }

    /// How many entities told values.
    pub(super) fn entities(&self) -> u64 {
        self.entities
    }

    /// How many of them have the value, or a few more.
    pub(super) fn count(&self, hash: u64) -> u32 {
        (0..ROWS)
            .map(|row| self.cells.get(cell(row, print(hash))).copied().unwrap_or(0))
            .min()
            .unwrap_or(0)
    }

    /// The mass, among what is new to an entity, of values that so many have or fewer, and of those that fewer have.
    pub(super) fn mass(&self, count: u32) -> (f64, f64) {
        let upto = self.shares.partition_point(|(held, _)| *held <= count);
        let below = self.shares.partition_point(|(held, _)| *held < count);
        let at = |index: usize| match index.checked_sub(1).and_then(|i| self.shares.get(i)) {
            Some((_, share)) => *share,
            None => self.unseen,
        };
        if count == 0 {
            (self.unseen, 0.0)
        } else {
            (at(upto), at(below))
        }
    }
}

/// Where a print is counted: a row takes its low bits, the next its high ones.
pub(super) fn cell(row: usize, print: u32) -> usize {
    row * CELLS + ((print >> (16 * row)) as usize) % CELLS
}
