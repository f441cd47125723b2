//! Values that an entity had and that had to go from its exact memory: their weight together, and a Bloom filter (Bloom
//! 1970) that knows them again, so that what is new can still be told from what was lost.
//!
//! Two filters take turns: after a half-life the older one is emptied. Of 2,048 bits, 4 for each value: with 150 lost
//! values a new one is mistaken for a lost one once in 230, and then judged more mildly than it deserves. About 540 bytes,
//! for entities of more than [`Category::VALUES_MAX`](super::Category::VALUES_MAX) values alone.

use serde::{Deserialize, Serialize};

const WORDS: usize = 32;
const BITS: u32 = WORDS as u32 * 64;
const BITS_OF_VALUE: u32 = 4;

/// What is remembered of lost values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Lost {
    /// Forgotten weight of the lost values.
    weight: f32,
    /// What a weight of 1 from when the filters last took turns is worth now.
    left: f32,
    recent: [u64; WORDS],
    earlier: [u64; WORDS],
}

impl Default for Lost {
    fn default() -> Self {
        Lost {
            weight: 0.0,
            left: 1.0,
            recent: [0; WORDS],
            earlier: [0; WORDS],
        }
    }
}

/// The word and the bit in it for each of a value's bits (Kirsch and Mitzenmacher 2006: two hashes make them all).
fn places(print: u32) -> impl Iterator<Item = (usize, u64)> {
    let mixed = u64::from(print).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (first, step) = ((mixed >> 32) as u32, (mixed as u32) | 1);
    (0..BITS_OF_VALUE).map(move |number| {
        let bit = first.wrapping_add(number.wrapping_mul(step)) % BITS;
        ((bit / 64) as usize, 1u64 << (bit % 64))
    })
}

impl Lost {
    pub(super) fn weight(&self) -> f32 {
        self.weight
    }

    /// About how many values are in the filters, and no more than their weight (Swamidass and Baldi 2007).
    pub(super) fn values(&self) -> f64 {
        let both = self.recent.iter().zip(&self.earlier);
        let set: u32 = both.map(|(recent, earlier)| (recent | earlier).count_ones()).sum();
        let clear = 1.0 - f64::from(set.min(BITS - 1)) / f64::from(BITS);
        let count = -f64::from(BITS) / f64::from(BITS_OF_VALUE) * clear.ln();
        count.min(f64::from(self.weight))
    }

    pub(super) fn take_in(&mut self, print: u32, weight: f32) {
        self.weight += weight;
        for (word, bit) in places(print) {
            if let Some(held) = self.recent.get_mut(word) {
                *held |= bit;
            }
        }
    }

    /// The filters know other prints than those of now: until they take turns, any value may be a lost one.
    // TODO: drop once states of formats 8 to 10 are gone (0.3).
    pub(super) fn take_any_for_lost(&mut self) {
        self.earlier = [u64::MAX; WORDS];
    }

    /// Whether the value was lost; sometimes true of one that was not, never false of one that was within a half-life.
    pub(super) fn may_hold(&self, print: u32) -> bool {
        let in_filter = |filter: &[u64; WORDS]| {
            places(print).all(|(word, bit)| filter.get(word).is_some_and(|held| held & bit != 0))
        };
        in_filter(&self.recent) || in_filter(&self.earlier)
    }

    /// Forgets; `kept` is the share of its weight that a memory keeps over the time that has passed.
    pub(super) fn age(&mut self, kept: f32) {
        self.weight *= kept;
        self.left *= kept;
        if self.left <= 0.25 {
            self.recent = [0; WORDS];
            self.earlier = [0; WORDS];
            self.left = 1.0;
        } else if self.left <= 0.5 {
            self.earlier = std::mem::replace(&mut self.recent, [0; WORDS]);
            self.left = 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_values_are_known_again_and_new_ones_seldom_mistaken() {
        let mut lost = Lost::default();
        let print = |number: u32| number.wrapping_mul(0x85eb_ca6b) ^ (number << 7);
        (0..150).for_each(|number| lost.take_in(print(number), 1.0));
        assert!((135.0..=150.0).contains(&lost.values()), "{}", lost.values());
        assert!((0..150).all(|number| lost.may_hold(print(number))));
        let mistaken = (1000..11_000).filter(|number| lost.may_hold(print(*number))).count();
        assert!(mistaken < 150, "{mistaken} of 10000");
        lost.age(0.5);
        assert!(lost.may_hold(print(7)), "one half-life later");
        lost.age(0.4);
        assert!(!lost.may_hold(print(7)), "after two half-lives");
        assert!((lost.weight() - 30.0).abs() < 1e-3);
    }
}
