//! Which values an entity has not had among its last few hundred: two Bloom filters (Bloom 1970), of which the older is
//! forgotten when the younger is full.

use serde::{Deserialize, Serialize};

/// Words of a filter.
const WORDS: usize = 8;
/// Values after which a filter is full: about one in six others is then taken for one of them.
const VALUES_MAX: u16 = 128;

/// The values that an entity has had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh {
    young: [u64; WORDS],
    old: [u64; WORDS],
    values: u16,
}

impl Fresh {
    /// Whether a value is new, as far as can be told. It no longer is from now on.
    pub fn is_new(&mut self, hash: u64) -> bool {
        // The top bits of hashes choose key groups.
        let bits = [(hash >> 8) as usize, (hash >> 24) as usize].map(|bit| bit % (64 * WORDS));
        let holds = |filter: &[u64; WORDS]| bits.iter().all(|bit| filter[bit / 64] & (1 << (bit % 64)) != 0);
        if holds(&self.young) {
            return false;
        }
        let is_new = !holds(&self.old);
        if self.values >= VALUES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.values = 0;
        }
        for bit in bits {
            self.young[bit / 64] |= 1 << (bit % 64);
        }
        self.values += 1;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_new_once_and_again_when_hundreds_have_come_since() {
        let hash = |value: u64| xxhash_rust::xxh3::xxh3_64(&value.to_le_bytes());
        let mut fresh = Fresh::default();
        let found = (0..100).filter(|value| fresh.is_new(hash(*value))).count();
        assert!(found >= 94, "{found} of 100 new values");
        assert!((0..100).all(|value| !fresh.is_new(hash(value))), "none is new twice");
        for value in 1000..2000 {
            fresh.is_new(hash(value));
        }
        let again = (0..100).filter(|value| fresh.is_new(hash(*value))).count();
        assert!(again > 50, "{again} of 100 are new again");
    }
}
