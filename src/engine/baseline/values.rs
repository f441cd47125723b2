//! The values that an entity keeps exactly, packed: five bytes each, 22 bits of print and 18 of weight.
//!
//! The print has the bits of the hash that the group's sketch counts by (see `prevalence.rs`), so that values which are
//! mistaken for each other are those that the group can't tell apart either: a new one of an entity with 32 values once
//! in 130,000.
//!
//! Weights do not fade where they lie. All of an entity fade alike, so that one number beside them says what they are
//! worth now ([`Fade`]; forward decay, Cormode et al. 2009), and a sighting adds as much as is worth 1 now. What lies
//! there doubles within a half-life; then all are halved and are worth twice as much, both exactly. So a weight is rounded
//! only when its value is seen, however slowly it fades.
//!
//! What lies there is a float of 5 bits of exponent and 13 of mantissa, from 1/64 to 2^26, and rounding is less than one
//! part in 8,192. A new value is rounded down, so that what was seen once weighs 1 at most. Afterwards it is rounded up or
//! down by a draw (a hash of what lies there and of what it is worth) with the chances that leave its mean as it was, or a
//! weight of 16,384 would never grow: counting goes on as that of Morris (1978) does. Values that were seen in the same
//! windows have the same weight. As errors fade too, a weight that is seen in every one of `w` windows of memory has a
//! standard error of sqrt(w / 8) parts in 8,192 at most: one part in 1,000 with a half-life of 14 days and windows of an
//! hour, one in 140 with 60 days and five minutes. Without a value that is seen nothing changes but what all are worth,
//! so neither a cut nor a partition shows in it.
//!
//! Three in place, more allocated as they come: 160 bytes for 32 values.

use crate::domain::earlier;
use serde::{Deserialize, Deserializer, Serialize};
use smallvec::SmallVec;

/// A value, by its print, and how often it was seen, forgotten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) print: u32,
    pub(super) weight: f32,
}

/// The bits of a hash that make a print: the low half for the first row of the sketch, the high half for the second.
const PRINT_BITS: u32 = 0x07ff_07ff;

/// The print of a value's hash. A print is its own print.
pub fn print(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32 & PRINT_BITS
}

/// What the weights of an entity's values are worth now, each: more than a half, 1 at most. The bits of an `f32` less those
/// of a half, in three bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fade([u8; 3]);

const HALF_BITS: u32 = 0.5f32.to_bits();

impl Default for Fade {
    fn default() -> Self {
        Fade::of(1.0)
    }
}

impl Fade {
    fn of(worth: f32) -> Fade {
        let [a, b, c, _] = (worth.clamp(0.5, 1.0).to_bits() - HALF_BITS).to_le_bytes();
        Fade([a, b, c])
    }

    fn bits(self) -> u32 {
        let [a, b, c] = self.0;
        u32::from_le_bytes([a, b, c, 0])
    }

    #[inline]
    fn worth(self) -> f32 {
        f32::from_bits(HALF_BITS + self.bits())
    }
}

/// Bits of a weight's mantissa that are kept of the 52 that an `f64` has.
const MANTISSA_BITS: u32 = 13;
const CUT_BITS: u32 = 52 - MANTISSA_BITS;
/// The exponent of the smallest weight, 2^-6, as an `f64` and an `f32` have it.
const EXPONENT_MIN: u64 = 1023 - 6;
const EXPONENT_MIN_SHORT: u32 = 127 - 6;
const WEIGHT_BITS: u32 = 5 + MANTISSA_BITS;
const WEIGHT_MASK: u32 = (1 << WEIGHT_BITS) - 1;

/// A value in five bytes: its print, and its weight in what that was worth at the last halving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Packed([u8; 5]);

impl Packed {
    /// A value with a weight as [`cut`] gives it.
    #[inline]
    fn new(print: u32, cut: u32) -> Packed {
        let [a, b, c, d, e, ..] = (u64::from(packed_print(print)) << WEIGHT_BITS | u64::from(cut)).to_le_bytes();
        Packed([a, b, c, d, e])
    }

    #[inline]
    fn bits(self) -> u64 {
        let [a, b, c, d, e] = self.0;
        u64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
    }

    #[inline]
    fn is_of(self, packed_print: u32) -> bool {
        (self.bits() >> WEIGHT_BITS) as u32 == packed_print
    }

    fn print(self) -> u32 {
        let print = (self.bits() >> WEIGHT_BITS) as u32;
        print & 0x7ff | print >> 11 << 16
    }

    /// The weight as [`cut`] gives it; heavier is greater.
    #[inline]
    fn cut(self) -> u32 {
        self.bits() as u32 & WEIGHT_MASK
    }

    /// The weight in what it was worth at the last halving.
    #[inline]
    fn weight(self) -> f32 {
        f32::from_bits((self.cut() + (EXPONENT_MIN_SHORT << MANTISSA_BITS)) << (23 - MANTISSA_BITS))
    }

    #[inline]
    fn kept(self, worth: f32) -> Kept {
        Kept {
            print: self.print(),
            weight: self.weight() * worth,
        }
    }
}

#[inline]
fn packed_print(print: u32) -> u32 {
    print & 0x7ff | (print >> 16 & 0x7ff) << 11
}

/// A positive weight in 18 bits, rounded up when what is cut off and `draw`, a part of a unit in 2^-64, are a unit together.
fn cut(weight: f64, draw: u64) -> u32 {
    let rounded = weight.to_bits().saturating_add(draw >> (64 - CUT_BITS)) >> CUT_BITS;
    let cut = rounded.saturating_sub(EXPONENT_MIN << MANTISSA_BITS);
    cut.min(WEIGHT_MASK.into()) as u32
}

/// Spreads what differs in any bit over all bits (the finaliser of MurmurHash3).
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

/// The values of one entity, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Values(SmallVec<[Packed; 3]>);

/// For how many values room is made: what allocators have sizes for, 32 to 160 bytes.
const ROOMS: [usize; 8] = [6, 9, 12, 16, 19, 22, 25, 32];
/// More room than this for what is not there is given back.
const ROOM_MAX: usize = 7;

impl Values {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(super) fn iter(&self, fade: Fade) -> impl Iterator<Item = Kept> + '_ {
        let worth = fade.worth();
        self.0.iter().map(move |packed| packed.kept(worth))
    }

    /// The weight of a value, if it is one of these.
    #[inline]
    pub(super) fn weight_of(&self, print: u32, fade: Fade) -> Option<f32> {
        let print = packed_print(print);
        let found = self.0.iter().find(|packed| packed.is_of(print));
        found.map(|packed| packed.weight() * fade.worth())
    }

    /// Counts a value once more. Gives whether it is one of these.
    pub(super) fn count(&mut self, print: u32, fade: Fade) -> bool {
        let own = packed_print(print);
        let Some(packed) = self.0.iter_mut().find(|packed| packed.is_of(own)) else {
            return false;
        };
        let draw = mixed(u64::from(fade.bits()) << WEIGHT_BITS | u64::from(packed.cut()));
        let weight = f64::from(packed.weight()) + 1.0 / f64::from(fade.worth());
        *packed = Packed::new(print, cut(weight, draw));
        true
    }

    /// Adds a value that is none of these, seen once.
    pub(super) fn push(&mut self, print: u32, fade: Fade) {
        if self.0.len() == self.0.capacity() {
            let room = ROOMS.into_iter().find(|room| *room > self.0.len());
            self.0.reserve_exact(room.map_or(1, |room| room - self.0.len()));
        }
        self.0.push(Packed::new(print, cut(1.0 / f64::from(fade.worth()), 0)));
    }

    /// Takes the lightest value out, of equally light ones the first, and gives its place.
    pub(super) fn take_lightest(&mut self, fade: Fade) -> Option<(usize, Kept)> {
        let (place, _) = self.0.iter().enumerate().min_by_key(|(_, packed)| packed.cut())?;
        Some((place, self.0.remove(place).kept(fade.worth())))
    }

    /// Has all weights fade by a factor and drops the values that are lighter than `weight_min` then. Gives how many of the
    /// first `told` were dropped.
    pub(super) fn age(&mut self, fade: &mut Fade, factor: f32, weight_min: f32, told: usize) -> usize {
        let mut worth = fade.worth() * factor;
        let (mut place, mut dropped) = (0, 0);
        self.0.retain(|packed| {
            let stays = packed.weight() * worth >= weight_min;
            dropped += usize::from(!stays && place < told);
            place += 1;
            stays
        });
        if self.0.len() + ROOM_MAX < self.0.capacity() {
            self.0.shrink_to_fit();
        }
        if self.0.is_empty() {
            *fade = Fade::default();
            return dropped;
        }
        // Who stays weighs at least `weight_min`, so that there is an end of halving.
        let mut halvings = 0;
        while worth <= 0.5 && halvings < 1 << 5 {
            worth *= 2.0;
            halvings += 1;
        }
        if halvings > 0 {
            for packed in &mut self.0 {
                *packed = Packed::new(packed.print(), packed.cut().saturating_sub(halvings << MANTISSA_BITS));
            }
        }
        *fade = Fade::of(worth);
        dropped
    }
}

/// Values as they were saved.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) values: Values,
    /// Whether that was by a version before format 11, whose prints had all 32 bits of which those of now are some, and
    /// whose weights were not rounded.
    pub(super) had_long_prints: bool,
}

impl<'de> Deserialize<'de> for Saved {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let had_long_prints = earlier::is_before(earlier::PACKED_VALUES);
        let values = if had_long_prints {
            let long = Vec::<(u32, f32)>::deserialize(deserializer)?;
            let packed = long
                .into_iter()
                .map(|(print, weight)| Packed::new(print, cut(weight.into(), 1 << 63)));
            Values(SmallVec::from_vec(packed.collect()))
        } else {
            Values::deserialize(deserializer)?
        };
        Ok(Saved {
            values,
            had_long_prints,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::proof::Random;
    use super::*;

    fn hash(value: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&value.to_le_bytes())
    }

    #[test]
    fn what_was_packed_comes_back_nearly_as_it_was() {
        for print in [0, 1, 0x7ff, 0x10000, PRINT_BITS, 0x0123_0456] {
            for exponent in -5..26 {
                for part in 0..50 {
                    let weight = 2f64.powi(exponent) * (1.0 + f64::from(part) / 50.0);
                    for (draw, least, most) in [(0, -1.0, 0.0), (1 << 63, -0.5, 0.5), (u64::MAX, 0.0, 1.0)] {
                        let once = Packed::new(print, cut(weight, draw));
                        let kept = once.kept(1.0);
                        assert_eq!(kept.print, print);
                        let error = (f64::from(kept.weight) / weight - 1.0) * 8192.0;
                        assert!((least..=most).contains(&error), "{weight} {kept:?}");
                        assert_eq!(Packed::new(print, cut(kept.weight.into(), draw)), once);
                    }
                }
            }
        }
        let kept = |weight| Packed::new(7, cut(weight, 0)).weight();
        assert_eq!((kept(0.0), kept(1e-9)), (1.0 / 64.0, 1.0 / 64.0));
        assert!(kept(1e30) < 67_108_865.0 && kept(f64::NAN) > 67_000_000.0);
        assert_eq!((size_of::<Values>(), size_of::<Fade>()), (24, 3));
    }

    #[test]
    fn what_all_are_worth_is_kept_as_it_is() {
        for bits in (0.5f32.to_bits()..=1f32.to_bits())
            .step_by(1009)
            .chain([1f32.to_bits()])
        {
            let worth = f32::from_bits(bits);
            assert_eq!(Fade::of(worth).worth(), worth);
        }
    }

    #[test]
    fn a_weight_that_is_not_seen_fades_as_it_should_however_small_the_steps() {
        for step in [1e-5f32, 1e-3, 0.1, 0.4] {
            let (mut values, mut fade) = (Values::default(), Fade::default());
            let mut exact = Vec::new();
            for number in 0..32u64 {
                values.push(print(hash(number)), fade);
                (0..number * number).for_each(|_| assert!(values.count(print(hash(number)), fade)));
                exact.push(1.0 + (number * number) as f64);
            }
            let (factor, mut left) = (1.0 - step, 1.0);
            let steps = (2.0 / f64::from(step)) as usize;
            for _ in 0..steps {
                values.age(&mut fade, factor, 0.02, 0);
                left *= f64::from(factor);
            }
            let expected: Vec<f64> = exact
                .iter()
                .map(|weight| weight * left)
                .filter(|weight| *weight >= 0.02)
                .collect();
            assert_eq!(values.len(), expected.len());
            for (kept, expected) in values.iter(fade).zip(expected) {
                let error = f64::from(kept.weight) / expected - 1.0;
                assert!(error.abs() < 1e-3, "{step} {error}");
            }
        }
    }

    /// Values that are seen by chance, some in every window and some in one of a hundred, in windows of a memory of so many:
    /// their weights are those of exact counts, but for the standard error that is stated above.
    fn check_standard_error(memory: f64, seed: u64) {
        let (mut values, mut fade, mut random) = (Values::default(), Fade::default(), Random::new(seed));
        let factor = (-1.0 / memory).exp() as f32;
        let mut exact = [0f64; 24];
        let chance = |number: usize| [1.0, 0.5, 0.1, 0.01][number % 4];
        for _ in 0..(3.0 * memory) as usize {
            values.age(&mut fade, factor, 0.02, 0);
            for (number, exact) in exact.iter_mut().enumerate() {
                *exact *= f64::from(factor);
                *exact = if *exact < 0.02 { 0.0 } else { *exact };
                if random.uniform() < chance(number) {
                    *exact += 1.0;
                    let print = print(hash(number as u64));
                    if !values.count(print, fade) {
                        values.push(print, fade);
                    }
                }
            }
        }
        let mut sum = 0.0;
        for (number, exact) in exact.iter().enumerate() {
            let weight = values
                .weight_of(print(hash(number as u64)), fade)
                .map_or(0.0, f64::from);
            if *exact == 0.0 {
                assert_eq!(weight, 0.0);
                continue;
            }
            let seen = memory * chance(number);
            let deviations = (weight / exact - 1.0) / ((1.0 + seen / 8.0).sqrt() / 8192.0);
            assert!(
                deviations.abs() < 5.0,
                "{memory} {number}: {weight} {exact} {deviations}"
            );
            sum += deviations;
        }
        let mean = sum / (exact.len() as f64).sqrt();
        assert!(mean.abs() < 4.0, "{memory}: {mean} deviations to one side");
    }

    #[test]
    fn weights_have_the_stated_error() {
        for seed in 1..=4 {
            for memory in [48.0, 485.0, 5000.0, 25_000.0] {
                check_standard_error(memory, seed);
            }
        }
    }

    #[test]
    fn values_that_are_seen_together_have_the_same_weight() {
        let (mut values, mut fade, mut random) = (Values::default(), Fade::default(), Random::new(3));
        (0..8).for_each(|number| values.push(print(hash(number)), fade));
        for _ in 0..3000 {
            values.age(&mut fade, 0.997, 0.02, 0);
            if random.uniform() < 0.7 {
                (0..8).for_each(|number| assert!(values.count(print(hash(number)), fade)));
            }
        }
        let weights: Vec<f32> = values.iter(fade).map(|kept| kept.weight).collect();
        assert!(weights.iter().all(|weight| *weight == weights[0]), "{weights:?}");
    }

    #[test]
    fn what_was_seen_once_weighs_one_at_most() {
        let (mut values, mut fade) = (Values::default(), Fade::default());
        values.push(print(hash(0)), fade);
        for number in 1..3000u64 {
            values.age(&mut fade, 0.9987, 1e-3, 0);
            values.push(print(hash(number)), fade);
            let weight = values.iter(fade).last().map_or(0.0, |kept| kept.weight);
            assert!((1.0 - 1.0 / 8192.0..=1.0).contains(&weight), "{weight}");
        }
    }

    #[test]
    fn the_lightest_goes_and_long_absence_leaves_nothing() {
        let (mut values, mut fade) = (Values::default(), Fade::default());
        for number in 0..32u64 {
            values.push(print(hash(number)), fade);
            (0..number.abs_diff(9)).for_each(|_| assert!(values.count(print(hash(number)), fade)));
            assert!(5 * values.0.capacity() <= 160);
        }
        let gone = values
            .take_lightest(fade)
            .map(|(place, kept)| (place, kept.print, kept.weight));
        assert_eq!(gone, Some((9, print(hash(9)), 1.0)));
        assert_eq!(values.age(&mut fade, 0.003, 0.02, 20), 10);
        assert_eq!(values.len(), 21);
        values.age(&mut fade, 0.0, 0.02, 0);
        assert!(values.is_empty() && fade == Fade::default());
    }
}
