//! How new a value is: its distance to the nearest value ever seen.
//!
//! A sorted list of the values seen, at most `VALUES_MAX` (8 bytes each). Past that, the crowded places are thinned
//! and the lonely values stay, because only the width of a gap counts here. A look-up is a binary search.

/// Values kept at most.
const VALUES_MAX: usize = 8192;

/// The values that a series has shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    sorted: Vec<f64>,
}

impl Known {
    /// The distance of `value` to the nearest known one; nothing when there is none.
    pub(super) fn distance(&self, value: f64) -> Option<f64> {
        let place = self.sorted.partition_point(|known| *known < value);
        let above = self.sorted.get(place).map(|known| known - value);
        let below = place
            .checked_sub(1)
            .and_then(|place| self.sorted.get(place))
            .map(|known| value - known);
        match (below, above) {
            (Some(below), Some(above)) => Some(below.min(above)),
            (below, above) => below.or(above),
        }
    }

    /// Learns a finite `value`.
    pub(super) fn learn(&mut self, value: f64) {
        let place = self.sorted.partition_point(|known| *known < value);
        if self.sorted.get(place).is_some_and(|known| *known == value) {
            return;
        }
        self.sorted.insert(place, value);
        if self.sorted.len() > VALUES_MAX {
            self.thin();
        }
    }

    /// Drops a quarter of the values: of neighbours closer than the median gap, every second one.
    fn thin(&mut self) {
        let mut gaps: Vec<f64> = self.sorted.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_by(f64::total_cmp);
        let median = gaps[gaps.len() / 2];
        let mut kept: Vec<f64> = Vec::with_capacity(self.sorted.len());
        let mut dropped_last = true;
        for (place, value) in self.sorted.iter().enumerate() {
            let crowded = place > 0 && value - self.sorted[place - 1] <= median;
            dropped_last = crowded && !dropped_last;
            if !dropped_last {
                kept.push(*value);
            }
        }
        self.sorted = kept;
    }
}
