//! The distance to the nearest row of a small sample, on average over many samples.
//!
//! Sugiyama and Borgwardt ("Rapid distance-based outlier detection via sampling", NIPS 2013) found that the nearest of
//! a handful of rows ranks outliers as well as the nearest of all, for a sample is likely to hold some normal row and
//! unlikely to hold an outlier; averaging over samples (Ting et al., "Defying the gravity of learning curve", 2017)
//! takes the chance out. A distance is the sum of what the columns differ by, which is also why a row is strange: each
//! column's share of the sum.
//!
//! Size: 2,048 rows of one number of 4 bytes for each column, 164 kB for 20 columns, or 800 rows when a table is judged
//! against itself. A row costs as many subtractions.

use super::coder::Coder;
use super::random::Random;
use super::{Codes, Settings, Training};
use serde::{Deserialize, Serialize};

/// Samples and their rows when what is learned from is normal: fine enough to know the small habits too.
const APART: (usize, usize) = (32, 64);
/// Samples and their rows when what is strange is among the rows: coarse, so that a cluster of them finds no member.
const JUDGED: (usize, usize) = (400, 2);
/// What two categories differ by, and a value and none: the distance of two numbers a standard deviation above and below.
const DIFFERENT: f32 = 2.0;
/// How a missing category is written.
const MISSING: f32 = -1.0;

/// The samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Neighbours {
    /// The places of the columns of numbers, then those of the others.
    order: Vec<u16>,
    /// How many columns hold numbers.
    numbers: usize,
    /// Rows of a sample.
    sample_rows: usize,
    /// The samples' rows, in the order of `order`.
    rows: Vec<f32>,
    /// Which of the rows learned from each of them is.
    origins: Vec<u32>,
}

/// The nearest row of a sample.
#[derive(Clone, Copy)]
struct Nearest {
    row: usize,
    distance: f32,
}

impl Neighbours {
    pub(super) fn learn(coder: &Coder, codes: &Codes, settings: &Settings) -> Neighbours {
        let (samples, sample_rows) = match settings.rows {
            Training::Apart => APART,
            Training::Judged => JUDGED,
        };
        let samples = settings.parameters.parts.map_or(samples, usize::from).max(1);
        let sample_rows = settings.parameters.part_rows.map_or(sample_rows, usize::from);
        let sample_rows = sample_rows.min(codes.len() / 2).max(1);
        let is_category: Vec<bool> = coder.categories().map(|known| known.is_some()).collect();
        let columns = |wanted: bool| {
            let all = is_category.iter().enumerate();
            all.filter(move |(_, category)| **category == wanted)
                .map(|(place, _)| place as u16)
        };
        let mut model = Neighbours {
            order: columns(false).chain(columns(true)).collect(),
            numbers: columns(false).count(),
            sample_rows,
            rows: Vec::with_capacity(samples * sample_rows * codes.width),
            origins: Vec::with_capacity(samples * sample_rows),
        };
        let mut ordered = Vec::new();
        for sample in 0..samples {
            for place in Random::part(settings.seed, sample).places(sample_rows, codes.len()) {
                model.put_in_order(codes.row(place as usize), &mut ordered);
                model.rows.extend_from_slice(&ordered);
                model.origins.push(place);
            }
        }
        model
    }

    pub(super) fn strangeness(&self, codes: &Codes, raws: &mut [f64]) {
        let mut ordered = Vec::new();
        for (row, raw) in codes.rows().zip(raws) {
            self.put_in_order(row, &mut ordered);
            *raw = mean(self.nearest(&ordered, None));
        }
    }

    /// The strangeness of a row that was learned from: it is no neighbour of its own.
    pub(super) fn strangeness_of_own(&self, row: &[f32], origin: usize) -> f64 {
        let mut ordered = Vec::new();
        self.put_in_order(row, &mut ordered);
        mean(self.nearest(&ordered, Some(origin as u32)))
    }

    /// What each column adds to the distances, and the values of the nearest row of all.
    pub(super) fn blame(&self, row: &[f32], shares: &mut [f64], typical: &mut [f32]) {
        let mut ordered = Vec::new();
        self.put_in_order(row, &mut ordered);
        let mut best: Option<Nearest> = None;
        for nearest in self.nearest(&ordered, None) {
            let other = self.row(nearest.row);
            for (place, (mine, other)) in ordered.iter().zip(other).enumerate() {
                shares[usize::from(self.order[place])] += f64::from(self.difference(place, *mine, *other));
            }
            if best.is_none_or(|best| nearest.distance < best.distance) {
                best = Some(nearest);
            }
        }
        for (place, code) in best.iter().flat_map(|best| self.row(best.row)).enumerate() {
            let missing = place >= self.numbers && *code == MISSING;
            typical[usize::from(self.order[place])] = if missing { f32::NAN } else { *code };
        }
    }

    fn row(&self, place: usize) -> &[f32] {
        &self.rows[place * self.order.len()..][..self.order.len()]
    }

    fn put_in_order(&self, row: &[f32], ordered: &mut Vec<f32>) {
        ordered.clear();
        ordered.extend(self.order.iter().map(|place| row[usize::from(*place)]));
        for code in &mut ordered[self.numbers..] {
            if code.is_nan() {
                *code = MISSING;
            }
        }
    }

    /// The nearest row of each sample that has one, not counting those that are `origin`.
    fn nearest(&self, ordered: &[f32], origin: Option<u32>) -> impl Iterator<Item = Nearest> {
        let samples = self.origins.len() / self.sample_rows;
        (0..samples).filter_map(move |sample| {
            let mut nearest: Option<Nearest> = None;
            for row in sample * self.sample_rows..(sample + 1) * self.sample_rows {
                if Some(self.origins[row]) == origin {
                    continue;
                }
                let distance = self.distance(ordered, self.row(row));
                if nearest.is_none_or(|nearest| distance < nearest.distance) {
                    nearest = Some(Nearest { row, distance });
                }
            }
            nearest
        })
    }

    fn distance(&self, mine: &[f32], other: &[f32]) -> f32 {
        let (my_numbers, my_categories) = mine.split_at(self.numbers);
        let (numbers, categories) = other.split_at(self.numbers);
        // Eight sums side by side, so that the processor adds them in one step.
        let mut sums = [0.0f32; 8];
        let (mine_by_8, mine_left) = my_numbers.as_chunks::<8>();
        let (by_8, left) = numbers.as_chunks::<8>();
        for (mine, other) in mine_by_8.iter().zip(by_8) {
            for lane in 0..8 {
                sums[lane] += (mine[lane] - other[lane]).abs();
            }
        }
        let mut sum: f32 = sums.iter().sum();
        sum += mine_left
            .iter()
            .zip(left)
            .map(|(mine, other)| (mine - other).abs())
            .sum::<f32>();
        if sum.is_nan() {
            let both = my_numbers.iter().zip(numbers).enumerate();
            sum = both
                .map(|(place, (mine, other))| self.difference(place, *mine, *other))
                .sum();
        }
        let different = my_categories
            .iter()
            .zip(categories)
            .filter(|(mine, other)| mine != other)
            .count();
        sum + DIFFERENT * different as f32
    }

    fn difference(&self, place: usize, mine: f32, other: f32) -> f32 {
        match (mine.is_nan(), other.is_nan()) {
            (true, true) => 0.0,
            (true, false) | (false, true) => DIFFERENT,
            (false, false) if place < self.numbers => (mine - other).abs(),
            (false, false) if mine == other => 0.0,
            (false, false) => DIFFERENT,
        }
    }
}

fn mean(nearest: impl Iterator<Item = Nearest>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for nearest in nearest {
        sum += f64::from(nearest.distance);
        count += 1.0;
    }
    if count > 0.0 { sum / count } else { 0.0 }
}
