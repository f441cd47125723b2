//! What is measured in a window: counts, sums, distinct values, ratios and values of one entity.
//!
//! Sketch: a count or sum costs 8 bytes; distinct values cost 64 bytes up to four of them, 8 each up to
//! [`Distinct::EXACT_MAX`], then a fixed 512. An open window is the only place where they are kept.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A set of hashed values that knows how many it holds: exactly up to [`Distinct::EXACT_MAX`], then as a HyperLogLog of
/// 512 registers whose count is kept by the historic inverse probability estimator (Cohen, "All-distances sketches,
/// revisited", 2014; Ting, "Streamed approximate counting of distinct elements", 2014), standard error 3.7 %.
///
/// The estimator adds the inverse of the probability that a new value changes the sketch, a sum of powers of two, so
/// the same values in the same order give the same bits on every machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Distinct {
    values: Held,
    /// The count, exact or estimated.
    count: f64,
    /// The summed weight of distinct values, exact or estimated.
    weight: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Held {
    Exact(SmallVec<[u64; 4]>),
    /// `changing` is the probability that a new value changes a register, times the number of registers.
    Sketch {
        registers: Vec<u8>,
        changing: f64,
    },
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct {
            values: Held::Exact(SmallVec::new()),
            count: 0.0,
            weight: 0.0,
        }
    }
}

impl Distinct {
    /// Up to so many values are told apart exactly.
    pub const EXACT_MAX: usize = 32;
    const REGISTERS: usize = 512;

    /// Adds a value by its hash, with a weight (its length, or 1). Gives whether it is, as far as can be told, new.
    pub fn insert(&mut self, hash: u64, weight: f64) -> bool {
        match &mut self.values {
            Held::Exact(values) => {
                if values.contains(&hash) {
                    return false;
                }
                self.count += 1.0;
                self.weight += weight;
                if values.len() < Self::EXACT_MAX {
                    values.push(hash);
                    return true;
                }
                let mut registers = vec![0u8; Self::REGISTERS];
                for value in values.iter().chain([&hash]) {
                    let (index, rank) = place(*value);
                    registers[index] = registers[index].max(rank);
                }
                let changing = registers.iter().map(|rank| power(*rank)).sum();
                self.values = Held::Sketch { registers, changing };
                true
            }
            Held::Sketch { registers, changing } => {
                let (index, rank) = place(hash);
                let held = registers[index];
                if rank <= held {
                    return false;
                }
                let inverse = Self::REGISTERS as f64 / *changing;
                self.count += inverse;
                self.weight += weight * inverse;
                *changing -= power(held) - power(rank);
                registers[index] = rank;
                true
            }
        }
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        *self = Distinct::default();
    }

    /// How many different values there are, rounded to a whole number.
    pub fn count(&self) -> f64 {
        match self.values {
            Held::Exact(_) => self.count,
            Held::Sketch { .. } => self.count.round(),
        }
    }

    /// The summed weight of the different values, rounded to a whole number.
    pub fn weight(&self) -> f64 {
        self.weight.round()
    }
}

fn place(hash: u64) -> (usize, u8) {
    // Entity hashes are well mixed, yet their top bits also choose the key group: mix once more.
    let mixed = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = mixed ^ (mixed >> 32);
    let index = (mixed as usize) & (Distinct::REGISTERS - 1);
    (index, ((mixed >> 9).trailing_zeros().min(54) + 1) as u8)
}

/// Two to the power of `-rank`, exactly.
fn power(rank: u8) -> f64 {
    1.0 / (1u64 << rank.min(63)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_is_exact_at_first_and_close_later() {
        for truth in [1usize, 32, 33, 100, 1000, 65_535] {
            let mut distinct = Distinct::default();
            for round in 0..2 {
                for value in 0..truth {
                    let hash = xxhash_rust::xxh3::xxh3_64(&value.to_le_bytes());
                    let new = distinct.insert(hash, 10.0);
                    assert!(!(round == 1 && new), "a repeated value counts once");
                }
            }
            let error = (distinct.count() - truth as f64).abs() / truth as f64;
            let bound = if truth <= 33 { 0.0 } else { 0.12 };
            assert!(error <= bound, "{truth}: {} is off by {error}", distinct.count());
            assert!((distinct.weight() / distinct.count() - 10.0).abs() < 0.1);
        }
    }
}
