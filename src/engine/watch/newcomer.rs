//! Judgements of newcomers, remembered. An entity without a history is judged by what is believed alone, so the first
//! windows of a scan's or a day's new entities give the same few judgements again and again.
//!
//! Sketch: a judgement costs some 2 µs, finding it again a few ns; 256 entries of 72 bytes a partition, a newer one in the
//! place of an older. It is found by the exact numbers, so no result depends on what is remembered.

use crate::engine::baseline::{Judgement, Scale};

const ENTRIES: usize = 256;

/// The judgements of newcomers that were made last.
#[derive(Debug, Default)]
pub struct Newcomers {
    entries: Vec<Option<(Key, Judgement)>>,
}

/// All that a newcomer's judgement depends on. Numbers are compared by their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    version: u64,
    odds: u64,
    level: u64,
    total: u64,
    plan: u16,
    group: u8,
}

/// The newcomers of one plan and one group of entities.
#[derive(Debug)]
pub struct Newcomer<'a> {
    newcomers: &'a mut Newcomers,
    version: u64,
    plan: u16,
    group: u8,
}

impl Newcomers {
    /// Those that are judged by this plan and this group's beliefs, in this version of the population.
    pub fn of(&mut self, version: u64, plan: u16, group: usize) -> Newcomer<'_> {
        Newcomer {
            newcomers: self,
            version,
            plan,
            group: group as u8,
        }
    }
}

impl Newcomer<'_> {
    /// What `judge` says of a first window with this total, whose upper tail is strange.
    pub(super) fn judge(&mut self, total: f64, scale: Scale, judge: impl FnOnce() -> Judgement) -> Judgement {
        let key = Key {
            version: self.version,
            odds: scale.odds.to_bits(),
            level: scale.level.to_bits(),
            total: total.to_bits(),
            plan: self.plan,
            group: self.group,
        };
        let entries = &mut self.newcomers.entries;
        if entries.is_empty() {
            entries.resize(ENTRIES, None);
        }
        let entry = &mut entries[key.place()];
        if let Some((held, judgement)) = entry
            && *held == key
        {
            return *judgement;
        }
        let judgement = judge();
        *entry = Some((key, judgement));
        judgement
    }
}

impl Key {
    /// Where it is remembered, below [`ENTRIES`].
    fn place(&self) -> usize {
        let about = u64::from(self.plan) << 8 | u64::from(self.group);
        let mixed = (self.total ^ self.odds.rotate_left(21) ^ self.level.rotate_left(42) ^ about)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::baseline::Memory;

    #[test]
    fn what_is_found_again_is_what_was_judged_of_the_same_numbers() {
        let mut newcomers = Newcomers::default();
        // Few of them fit at a time.
        for round in 0..3 {
            for (version, plan, group) in [(1, 0, 0), (1, 0, 1), (1, 9, 0), (2, 0, 0)] {
                for total in 0..100 {
                    for level in [1.0, 1.5] {
                        let total = f64::from(total);
                        let expected =
                            -(total + level * 1e3 + version as f64 * 1e4 + f64::from(plan) * 1e6) - group as f64 * 1e5;
                        let found = newcomers
                            .of(version, plan, group)
                            .judge(total, Scale { odds: 1.0, level }, || Judgement {
                                ln_p: expected,
                                ln_p_beyond: expected - 1.0,
                                memory: Memory::Prior,
                            });
                        assert_eq!((found.ln_p, found.ln_p_beyond), (expected, expected - 1.0), "{round}");
                        let again = newcomers
                            .of(version, plan, group)
                            .judge(total, Scale { odds: 1.0, level }, || {
                                panic!("it was judged just before")
                            });
                        assert_eq!(again, found);
                    }
                }
            }
        }
    }
}
