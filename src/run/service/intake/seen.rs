//! Requests that were taken, so that one that comes again because its answer got lost is not taken twice. Kept with what
//! it brought in, as the input's position.
//!
//! Only requests count in which each document has an id: sent twice, they would leave one document in Elasticsearch too.

use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_128;

/// Requests that are remembered.
const REQUESTS_MAX: usize = 512;

/// What a request is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u128);

impl Mark {
    /// The mark of a body.
    pub(super) fn of(body: &[u8]) -> Mark {
        Mark(xxh3_128(body))
    }
}

/// The last requests that were taken.
#[derive(Debug, Default)]
pub(super) struct Seen(VecDeque<Mark>);

impl Seen {
    /// Takes up what was kept.
    pub(super) fn read(position: &[u8]) -> Seen {
        let (marks, _) = position.as_chunks::<16>();
        let marks = marks.iter().map(|bytes| Mark(u128::from_le_bytes(*bytes)));
        Seen(marks.take(REQUESTS_MAX).collect())
    }

    /// Whether it was taken.
    pub(super) fn has(&self, mark: Mark) -> bool {
        self.0.contains(&mark)
    }

    /// Remembers a request, and gives what is to be kept with it.
    pub(super) fn add(&mut self, mark: Mark) -> Vec<u8> {
        if self.0.len() == REQUESTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(mark);
        self.0.iter().flat_map(|mark| mark.0.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_requests_are_known_again() {
        let mut seen = Seen::default();
        let mut kept = Vec::new();
        for number in 0..REQUESTS_MAX as u32 + 1 {
            kept = seen.add(Mark::of(&number.to_le_bytes()));
        }
        let again = Seen::read(&kept);
        assert!(!again.has(Mark::of(&0u32.to_le_bytes())), "the eldest is forgotten");
        assert!((1..=REQUESTS_MAX as u32).all(|number| again.has(Mark::of(&number.to_le_bytes()))));
        assert!(Seen::read(b"").0.is_empty());
    }
}
