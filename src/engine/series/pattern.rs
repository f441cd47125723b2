//! How new a stretch of a series is: its distance to the nearest stretch that was seen before (a discord, when great).
//!
//! A stretch is `points` numbers, each the mean of `step` rows. It is compared with earlier stretches that do not
//! overlap it, by the mean absolute difference, which neither overflows nor underflows. This is the left matrix profile
//! (Lu et al., "DAMP: Accurate Time Series Anomaly Detection on Trillions of Datapoints", KDD 2022; Burnaev and
//! Ishimtsev, "Conformalized density- and distance-based anomaly detection in time-series data", 2016).
//!
//! At most `STRETCHES_MAX` stretches are kept; past that every second one is dropped, oldest and newest alike, so that
//! what is left still covers the whole past. They are looked up in the order of their means: the difference of two
//! means is never greater than the mean difference, so a search outward from the nearest mean can stop early, and its
//! answer is exact.

use std::collections::VecDeque;

/// Stretches kept at most.
const STRETCHES_MAX: usize = 4096;

/// The stretches that a series has shown.
#[derive(Clone, Debug)]
pub(super) struct Patterns {
    points: usize,
    step: u32,
    sum: f64,
    rows: u32,
    recent: VecDeque<f64>,
    /// The points of the stretches that the next one will overlap: not yet comparable, oldest first.
    waiting: VecDeque<f64>,
    known: Vec<f64>,
    by_mean: Vec<Place>,
}

/// Where the stretch with this mean begins in `known`, counted in stretches.
#[derive(Clone, Copy, Debug)]
struct Place {
    mean: f64,
    stretch: u32,
}

/// What a stretch is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Numbers in a stretch.
    pub(super) points: usize,
    /// Rows whose mean is one number.
    pub(super) step: u32,
}

impl Patterns {
    pub(super) fn new(shape: Shape) -> Patterns {
        Patterns {
            points: shape.points.max(1),
            step: shape.step.max(1),
            sum: 0.0,
            rows: 0,
            recent: VecDeque::new(),
            waiting: VecDeque::new(),
            known: Vec::new(),
            by_mean: Vec::new(),
        }
    }

    /// Takes the next value of the series, finite and at most half the greatest number. Gives the distance of the
    /// stretch that it completes, if it completes one and there is an earlier one; and learns that stretch.
    pub(super) fn observe(&mut self, value: f64) -> Option<f64> {
        self.sum += value / f64::from(self.step);
        self.rows += 1;
        if self.rows < self.step {
            return None;
        }
        self.recent.push_back(self.sum);
        (self.sum, self.rows) = (0.0, 0);
        if self.recent.len() > self.points {
            self.recent.pop_front();
        }
        if self.recent.len() < self.points {
            return None;
        }
        let distance = self.nearest();
        self.learn();
        distance
    }

    /// The distance of the newest stretch to the nearest known one.
    fn nearest(&mut self) -> Option<f64> {
        let stretch = self.recent.make_contiguous();
        let mean = mean(stretch);
        let (below, above) = self
            .by_mean
            .split_at(self.by_mean.partition_point(|place| place.mean < mean));
        let (mut below, mut above) = (below.iter().rev().peekable(), above.iter().peekable());
        let mut best = f64::INFINITY;
        loop {
            let gap_below = below.peek().map_or(f64::INFINITY, |place| mean - place.mean);
            let gap_above = above.peek().map_or(f64::INFINITY, |place| place.mean - mean);
            let side = if gap_below <= gap_above {
                below.next()
            } else {
                above.next()
            };
            // A hair of slack: means are rounded, distances are too.
            let Some(place) = side.filter(|_| gap_below.min(gap_above) * (1.0 - 1e-9) < best) else {
                break;
            };
            let start = place.stretch as usize * self.points;
            let known = self.known.get(start..start + self.points).unwrap_or_default();
            best = best.min(distance_below(stretch, known, best));
        }
        best.is_finite().then_some(best)
    }

    /// Keeps the newest stretch, and makes the one comparable that the next stretch will not overlap.
    fn learn(&mut self) {
        self.waiting.extend(self.recent.iter());
        if self.waiting.len() < self.points * self.points {
            return;
        }
        if self.by_mean.len() >= STRETCHES_MAX {
            self.thin();
        }
        let stretch: Vec<f64> = self.waiting.drain(..self.points).collect();
        let mean = mean(&stretch);
        let place = self.by_mean.partition_point(|place| place.mean < mean);
        let number = self.by_mean.len() as u32;
        self.by_mean.insert(place, Place { mean, stretch: number });
        self.known.extend(stretch);
    }

    fn thin(&mut self) {
        let kept = |(number, stretch): (usize, &[f64])| (number % 2 == 0).then(|| stretch.to_vec());
        self.known = self
            .known
            .chunks(self.points)
            .enumerate()
            .filter_map(kept)
            .flatten()
            .collect();
        self.by_mean.retain_mut(|place| {
            let keep = place.stretch % 2 == 0;
            place.stretch /= 2;
            keep
        });
    }
}

fn mean(stretch: &[f64]) -> f64 {
    let share = 1.0 / stretch.len().max(1) as f64;
    stretch.iter().map(|point| point * share).sum()
}

/// The mean absolute difference of two stretches of equal length; something not below `limit` when it is not below it.
fn distance_below(stretch: &[f64], known: &[f64], limit: f64) -> f64 {
    let share = 1.0 / stretch.len().max(1) as f64;
    let mut distance = 0.0;
    for (points, knowns) in stretch.chunks(4).zip(known.chunks(4)) {
        for (point, known) in points.iter().zip(knowns) {
            distance += (point - known).abs() * share;
        }
        if distance >= limit {
            break;
        }
    }
    distance
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in -1..1, the same every time.
    fn noise(rows: usize) -> Vec<f64> {
        let mut state = 7_u64;
        let next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f64 / (1_u64 << 23) as f64 - 1.0
        };
        std::iter::repeat_with(next).take(rows).collect()
    }

    #[test]
    fn the_distance_is_that_of_the_nearest_earlier_stretch_that_does_not_overlap() {
        let values = noise(600);
        let mut patterns = Patterns::new(Shape { points: 6, step: 1 });
        for end in 1..=values.len() {
            let found = patterns.observe(values[end - 1]);
            let newest = &values[end.saturating_sub(6)..end];
            let earlier =
                (6..=end.saturating_sub(6)).map(|end| distance_below(newest, &values[end - 6..end], f64::MAX));
            let wanted = earlier.min_by(f64::total_cmp);
            assert_eq!(found, wanted, "after {end} rows");
        }
    }

    #[test]
    fn steps_are_means_of_rows() {
        let mut patterns = Patterns::new(Shape { points: 2, step: 3 });
        let mut found = Vec::new();
        for value in [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0, 2.0, 3.0, 5.0, 6.0, 7.0] {
            found.extend(patterns.observe(value));
        }
        // (2, 5) is followed by (5, 2), which overlaps it, and by (2, 6).
        assert_eq!(found.len(), 1);
        assert!((found[0] - 0.5).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn the_past_is_bounded_and_thinning_keeps_all_of_it_in_view() {
        let mut patterns = Patterns::new(Shape { points: 4, step: 1 });
        for (row, value) in noise(30_000).into_iter().enumerate() {
            patterns.observe(row as f64 * 10.0 + value);
            assert!(patterns.by_mean.len() <= STRETCHES_MAX);
            assert_eq!(patterns.known.len(), patterns.by_mean.len() * 4);
        }
        let means: Vec<f64> = patterns.by_mean.iter().map(|place| place.mean).collect();
        assert!(means.is_sorted() && means[0] < 1000.0 && means[means.len() - 1] > 290_000.0);
        for place in &patterns.by_mean {
            let start = place.stretch as usize * 4;
            assert_eq!(place.mean, mean(&patterns.known[start..start + 4]));
        }
    }
}
