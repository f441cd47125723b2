//! Seeded randomness for learning: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators", 2014). Whole numbers, additions and one square root, so every machine draws the same.

/// A generator. Parts of a model that are learned apart each get one of their own, by [`Random::part`].
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    #[cfg(test)]
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The generator of the part with this number.
    pub(super) fn part(seed: u64, number: usize) -> Random {
        let mut random = Random(seed ^ (number as u64 + 1).wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In 0..`below`, which is not 0.
    pub(super) fn below(&mut self, below: usize) -> usize {
        ((u128::from(self.next()) * below as u128) >> 64) as usize
    }

    /// `wanted` different places out of `0..of`, or all when there are no more, in the order drawn.
    pub(super) fn places(&mut self, wanted: usize, of: usize) -> Vec<u32> {
        // Floyd's algorithm keeps to the memory of what is wanted; its bias of order is taken out by the shuffle.
        let wanted = wanted.min(of);
        let mut drawn: Vec<u32> = Vec::with_capacity(wanted);
        let mut known = std::collections::BTreeSet::new();
        for last in of - wanted..of {
            let place = self.below(last + 1) as u32;
            let place = if known.insert(place) {
                place
            } else {
                known.insert(last as u32);
                last as u32
            };
            drawn.push(place);
        }
        self.shuffle(&mut drawn);
        drawn
    }

    pub(super) fn shuffle(&mut self, places: &mut [u32]) {
        for last in (1..places.len()).rev() {
            places.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_different_and_each_is_drawn_as_often_as_the_others() {
        let mut random = Random::new(3);
        let mut drawn = [0u32; 10];
        for _ in 0..10_000 {
            let places = random.places(3, 10);
            let different: std::collections::BTreeSet<_> = places.iter().collect();
            assert_eq!(different.len(), 3);
            for place in places {
                drawn[place as usize] += 1;
            }
        }
        // 3,000 are expected, with a standard deviation of 46.
        assert!(drawn.iter().all(|times| (2770..3230).contains(times)), "{drawn:?}");
        assert_eq!(random.places(5, 3).len(), 3);
    }
}
