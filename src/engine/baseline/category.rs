//! Which one: ports, processes, paths, agents, networks.
//!
//! p is the summed probability of all values no likelier than the one seen. With forgotten weights `w` of the values
//! that are kept, `n` their sum, strength `s` and discount `d` (Pitman and Yor 1997), a kept value has mass
//! (w - d min(w, 1)) / (n + s), and everything unseen together the rest. What is unseen is spread as the group's values
//! are: a value that many of the group's entities have is less strange than one that nobody has. The discount is
//! learned, the share of an entity's values that were seen about once, shrunk to the group's share: who churns
//! expects newness.
//!
//! Up to [`Category::VALUES_MAX`] values are kept exactly, 8 bytes each (a 32-bit print of the hash: two values of an
//! entity are mistaken for each other once in 10^8), allocated as they come. Past that the lightest goes, its weight is
//! remembered as lost, and the answer is coarser: lost values and new ones are no longer told apart.

use super::decay::power;
use super::judgement::Judgement;
use super::{Baseline, Decay, Expected, Learned, Memory, NormalIf, Summary, Tail};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The predictive distribution of a category.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Category {
    values: Vec<Kept>,
    /// Forgotten weight of all values, lost ones included.
    weight: f32,
    /// Forgotten weight of the values that had to go.
    lost: f32,
    /// Whether any value ever had to go.
    evicted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    print: u32,
    weight: f32,
}

/// Whether an entity is known to have had a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// It had it within its memory.
    Known,
    /// It did not have it within its memory.
    New,
    /// Values had to go from its memory, so this can't be told.
    Unsure,
}

/// What is believed of a category before the entity has a history.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryPrior {
    discount: f64,
    strength: f64,
    prevalence: Option<Arc<Prevalence>>,
}

/// What a group's entities say together about their values: how many have each, counted in hashed cells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategorySummary {
    entities: u64,
    values: u64,
    values_seen_once: u64,
    /// Empty, or [`ROWS`] rows of [`CELLS`] counts (a count-min sketch of entities).
    cells: Vec<u32>,
}

/// How many of a group's entities have a value, and what share of all that are had is no more common.
#[derive(Debug, PartialEq)]
struct Prevalence {
    entities: u64,
    cells: Vec<u32>,
    /// Counts that occur, ascending, with the share of all (entity, value) pairs at or below them.
    shares: Vec<(u32, f64)>,
    /// The share that a value nobody has can claim.
    unseen: f64,
}

const ROWS: usize = 2;
const CELLS: usize = 2048;
/// A value lighter than this is forgotten.
const WEIGHT_MIN: f32 = 0.02;
/// How many values of its own an entity's discount needs against the group's.
const DISCOUNT_WEIGHT: f64 = 10.0;
const GROUP_ENTITIES_MIN: u64 = 8;
/// How many values the definition's discount is worth against the group's.
const DEFINITION_VALUES: f64 = 20.0;

impl CategoryPrior {
    /// A prior as definitions write it: the share of values that are never seen again, 0 to 0.95, and how many
    /// observations the expectation of something new is worth at the beginning.
    pub fn new(discount: f64, strength: f64) -> Self {
        CategoryPrior {
            discount: discount.clamp(0.0, 0.95),
            strength: strength.clamp(0.05, 1e4),
            prevalence: None,
        }
    }

    /// The share of the group's entities that have the value; `None` while the group is small.
    pub fn prevalence(&self, hash: u64) -> Option<f64> {
        let prevalence = self.prevalence.as_ref()?;
        Some(f64::from(prevalence.count(hash)) / prevalence.entities as f64)
    }

    /// The probability of a value at most as common in the group as this one; `None` while the group is small.
    pub fn at_most_as_common(&self, hash: u64) -> Option<f64> {
        self.prevalence
            .as_ref()
            .map(|prevalence| prevalence.mass(prevalence.count(hash)).0)
    }

    /// The mass, among what is new to an entity, of values no more common in the group, and of less common ones.
    fn newness(&self, hash: u64) -> (f64, f64) {
        match &self.prevalence {
            None => (1.0, 0.0),
            Some(prevalence) => prevalence.mass(prevalence.count(hash)),
        }
    }
}

impl Prevalence {
    fn of(summary: &CategorySummary) -> Self {
        let row = summary.cells.get(..CELLS).unwrap_or(&[]);
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
            entities: summary.entities.max(1),
            cells: summary.cells.clone(),
            shares,
            unseen: unseen.min(1.0),
        }
    }

    fn count(&self, hash: u64) -> u32 {
        (0..ROWS)
            .map(|row| self.cells.get(cell(row, print(hash))).copied().unwrap_or(0))
            .min()
            .unwrap_or(0)
    }

    fn mass(&self, count: u32) -> (f64, f64) {
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
fn cell(row: usize, print: u32) -> usize {
    row * CELLS + ((print >> (16 * row)) as usize) % CELLS
}

fn print(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

impl Category {
    /// How many values an entity keeps exactly.
    pub const VALUES_MAX: usize = 32;

    /// Whether the value of this hash is in the entity's memory.
    pub fn novelty(&self, hash: u64) -> Novelty {
        if self.values.iter().any(|kept| kept.print == print(hash)) {
            Novelty::Known
        } else if self.evicted {
            Novelty::Unsure
        } else {
            Novelty::New
        }
    }

    /// How many values are kept.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Weighted number of values, and of those that were seen about once.
    fn variety(&self) -> (f64, f64) {
        let all = self.values.iter().map(|kept| f64::from(kept.weight.min(1.0))).sum();
        let once = self
            .values
            .iter()
            .filter(|kept| kept.weight <= 1.0)
            .map(|kept| f64::from(kept.weight))
            .sum();
        (all, once)
    }

    fn discount(&self, prior: &CategoryPrior) -> f64 {
        let (all, once) = self.variety();
        ((DISCOUNT_WEIGHT * prior.discount + once) / (DISCOUNT_WEIGHT + all)).min(0.95)
    }
}

impl Baseline for Category {
    type Seen = u64;
    type Prior = CategoryPrior;
    type Summary = CategorySummary;

    fn age(&mut self, windows: u64, decay: &Decay) {
        let kept = power(decay.slow(), windows) as f32;
        self.weight *= kept;
        self.lost *= kept;
        for value in &mut self.values {
            value.weight *= kept;
        }
        self.values.retain(|value| value.weight >= WEIGHT_MIN);
    }

    /// `seen` is the value's hash. There is one tail: the unlikely.
    fn judge(&self, prior: &CategoryPrior, _scale: f64, seen: u64, _tail: Tail) -> Judgement {
        let discount = self.discount(prior);
        let sum = f64::from(self.lost) + self.values.iter().map(|kept| f64::from(kept.weight)).sum::<f64>();
        let total = sum + prior.strength;
        let mass = |weight: f32| f64::from(weight) - discount * f64::from(weight.min(1.0));
        let unseen = total - self.values.iter().map(|kept| mass(kept.weight)).sum::<f64>();
        let (p, beyond) = match self.values.iter().find(|kept| kept.print == print(seen)) {
            Some(found) => {
                let (mut p, mut beyond) = (unseen, unseen);
                for kept in &self.values {
                    if kept.weight <= found.weight {
                        p += mass(kept.weight);
                    }
                    if kept.weight < found.weight {
                        beyond += mass(kept.weight);
                    }
                }
                (p / total, beyond / total)
            }
            None => {
                let (upto, below) = prior.newness(seen);
                (unseen / total * upto, unseen / total * below)
            }
        };
        Judgement {
            ln_p: p.min(1.0).ln(),
            ln_p_beyond: beyond.min(1.0).ln(),
            memory: if sum < prior.strength {
                Memory::Prior
            } else {
                Memory::Slow
            },
        }
    }

    /// Takes one value of a window into the memory; does not forget (see [`Baseline`]).
    fn learn(&mut self, _prior: &CategoryPrior, _scale: f64, seen: u64, _decay: &Decay) -> Learned {
        self.weight += 1.0;
        let print = print(seen);
        if let Some(kept) = self.values.iter_mut().find(|kept| kept.print == print) {
            kept.weight += 1.0;
            return Learned::Usual;
        }
        let new = Kept { print, weight: 1.0 };
        if self.values.len() < Self::VALUES_MAX {
            if self.values.len() == self.values.capacity() {
                let more = if self.values.len() < 4 { 2 } else { 4 };
                self.values.reserve_exact(more);
            }
            self.values.push(new);
            return Learned::Usual;
        }
        let lightest = self.values.iter_mut().min_by(|a, b| {
            (a.weight, a.print)
                .partial_cmp(&(b.weight, b.print))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        if let Some(lightest) = lightest {
            self.lost += lightest.weight;
            self.evicted = true;
            *lightest = new;
        }
        Learned::Bounded
    }

    /// A category has no order.
    fn surprising_from(&self, _prior: &CategoryPrior, _scale: f64) -> f64 {
        0.0
    }

    /// The number of values that the entity is expected to have, and how many observations stand behind it.
    fn expected(&self, prior: &CategoryPrior, _scale: f64) -> Expected {
        let values = self.values.len() as f64;
        let weight = f64::from(self.weight);
        Expected {
            typical: values,
            low: values,
            high: values,
            mean: values,
            variance: 0.0,
            history_windows: weight,
            prior_weight: prior.strength / (prior.strength + weight),
        }
    }

    /// No number would have been normal: another value would.
    fn normal_if(
        &self,
        _prior: &CategoryPrior,
        _scale: f64,
        _seen: u64,
        _tail: Tail,
        _surprise_max: f64,
    ) -> Option<NormalIf> {
        None
    }

    fn vote(&self, summary: &mut CategorySummary) {
        if self.values.is_empty() {
            return;
        }
        summary.entities += 1;
        if summary.cells.is_empty() {
            summary.cells = vec![0; ROWS * CELLS];
        }
        for kept in &self.values {
            summary.values += 1;
            summary.values_seen_once += u64::from(kept.weight <= 1.0);
            for row in 0..ROWS {
                if let Some(count) = summary.cells.get_mut(cell(row, kept.print)) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    fn prior(definition: &CategoryPrior, summary: &CategorySummary) -> CategoryPrior {
        if summary.entities < GROUP_ENTITIES_MIN {
            return definition.clone();
        }
        let values = summary.values as f64 + DEFINITION_VALUES;
        let once = summary.values_seen_once as f64 + DEFINITION_VALUES * definition.discount;
        CategoryPrior {
            discount: (once / values).min(0.95),
            strength: definition.strength,
            prevalence: Some(Arc::new(Prevalence::of(summary))),
        }
    }
}

impl Summary for CategorySummary {
    fn merge(&mut self, other: &Self) {
        self.entities += other.entities;
        self.values += other.values;
        self.values_seen_once += other.values_seen_once;
        if self.cells.is_empty() {
            self.cells.clone_from(&other.cells);
        } else {
            for (count, more) in self.cells.iter_mut().zip(&other.cells) {
                *count = count.saturating_add(*more);
            }
        }
    }
}
