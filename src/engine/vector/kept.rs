//! Votes of which a fixed number is kept, the same whoever sees them in which order.
//!
//! Each vote has a priority from a hash, and those of the lowest priorities are kept: any two samples merge to the same one
//! in any order (bottom-k sampling, Cohen and Kaplan 2007). A vote of weight w has its priority divided by w (after
//! Duffield, Lund and Thorup 2007): an incident weighs a 24th, so that an attack hardly teaches that attacks are normal.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::sync::Arc;

/// Votes kept.
pub(super) const ROWS_MAX: usize = 512;
/// Votes from which a model can be learned.
pub(super) const ROWS_MIN: usize = 48;
/// So much of what was learned from before has to be new while the sample is not full.
const GROWTH: f64 = 1.25;
/// Epochs that votes have to span, and after which models are learned anew in any case.
const EPOCHS_BETWEEN: i64 = 24;
/// What an incident's vote weighs: 1 in so many.
const INCIDENT_VOTES: u64 = 24;

/// What a vote is kept by.
pub(super) trait Vote: Clone {
    /// Its priority; the lowest are kept.
    fn priority(&self) -> u64;
    /// The order of votes of one priority.
    fn compare(&self, other: &Self) -> Ordering;
}

/// A priority from a number drawn evenly from all.
pub(super) fn priority_of(drawn: u64, incident: bool) -> u64 {
    drawn / INCIDENT_VOTES * if incident { INCIDENT_VOTES } else { 1 }
}

/// Votes, as many as are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept<V> {
    /// How many there were, kept or not.
    pub(super) votes: u64,
    /// The epoch of the first; the population's alone knows it.
    since: Option<i64>,
    /// In their order.
    pub(super) rows: Arc<Vec<V>>,
}

impl<V> Default for Kept<V> {
    fn default() -> Self {
        Kept {
            votes: 0,
            since: None,
            rows: Arc::new(Vec::new()),
        }
    }
}

impl<V: Vote> Kept<V> {
    fn precedes(one: &V, other: &V) -> bool {
        one.priority()
            .cmp(&other.priority())
            .then_with(|| one.compare(other))
            .is_lt()
    }

    /// Adds a vote.
    pub(super) fn vote(&mut self, vote: V) {
        self.votes += 1;
        let place = self.rows.partition_point(|held| Self::precedes(held, &vote));
        if place < ROWS_MAX {
            let rows = Arc::make_mut(&mut self.rows);
            rows.insert(place, vote);
            rows.truncate(ROWS_MAX);
        }
    }

    /// Whether it is time to learn from these votes and those of the span before.
    pub(super) fn is_due(&mut self, earlier: &Self, before: Option<Taught>, epoch: i64) -> bool {
        let votes = self.votes + earlier.votes;
        if self.since.is_none() {
            self.since = earlier.since.or((votes > 0).then_some(epoch));
        }
        match before {
            None => {
                // What an evening is like is not known before the first evening.
                let lasts = self
                    .since
                    .is_some_and(|since| epoch >= since.saturating_add(EPOCHS_BETWEEN));
                votes as usize >= ROWS_MIN && lasts
            }
            Some(before) => {
                let has_grown = before.rows < ROWS_MAX && votes as f64 >= before.votes as f64 * GROWTH;
                has_grown || votes != before.votes && epoch >= before.epoch.saturating_add(EPOCHS_BETWEEN)
            }
        }
    }

    /// Adds the votes of others.
    pub(super) fn merge(&mut self, other: &Self) {
        self.votes += other.votes;
        if self.rows.is_empty() {
            self.rows = Arc::clone(&other.rows);
        } else if !other.rows.is_empty() {
            let (mut mine, mut its) = (self.rows.iter().peekable(), other.rows.iter().peekable());
            let mut rows = Vec::with_capacity((self.rows.len() + other.rows.len()).min(ROWS_MAX));
            while rows.len() < ROWS_MAX {
                let next = match (mine.peek(), its.peek()) {
                    (Some(one), Some(other)) if Self::precedes(other, one) => its.next(),
                    (Some(_), _) => mine.next(),
                    (None, _) => its.next(),
                };
                let Some(next) = next else { break };
                rows.push(next.clone());
            }
            self.rows = Arc::new(rows);
        }
    }
}

/// When something was learned, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taught {
    /// The epoch.
    pub(super) epoch: i64,
    /// The votes that there were.
    pub(super) votes: u64,
    /// Those that were kept.
    pub(super) rows: usize,
}

/// What so many rows say of a surprise, `-log10 p`: they vouch for a p of one among them; what a law of the tail says
/// beyond is believed less and less.
pub(super) fn vouched(surprise: f64, rows: usize) -> f64 {
    let vouched = (rows as f64).log10();
    surprise.min(vouched) + (surprise - vouched).max(0.0).ln_1p()
}
