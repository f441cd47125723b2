//! A small net: one hidden layer of rectified units over standardised features, and one output, the logarithm of the
//! odds that a row is strange. Learned by Adam (Kingma and Ba 2015) with weights that decay.
//!
//! Size: `HIDDEN` rows of one weight of 4 bytes for each feature: 7 kB for 64 features. A row costs as many
//! multiplications.

use crate::engine::model::random::Random;
use serde::{Deserialize, Serialize};

const HIDDEN: usize = 24;
/// Rows of a step.
const BATCH: usize = 200;
/// How large a step is.
const RATE: f32 = 0.003;
/// How weights decay.
const DECAY: f32 = 0.005;
/// Rows seen in all, however often each.
const VISITS: usize = 450_000;
/// Times that each row is seen at most.
const ROUNDS_MAX: usize = 60;
/// Times that each row is seen at least.
const ROUNDS_MIN: usize = 4;
/// Standard deviations beyond which a feature counts as no farther.
const FAR: f32 = 5.0;

/// Brings features to mean 0 and deviation 1.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Standard {
    means: Vec<f32>,
    /// 1 over the deviation; 0 for a feature that is constant, which then says nothing.
    scales: Vec<f32>,
}

impl Standard {
    pub(super) fn of(rows: &[Vec<f32>]) -> Standard {
        let width = rows.first().map_or(0, Vec::len);
        let count = rows.len().max(1) as f64;
        let moment = |feature: usize, from: f64, power: i32| {
            let sum: f64 = rows
                .iter()
                .map(|row| (f64::from(row[feature]) - from).powi(power))
                .sum();
            sum / count
        };
        let means: Vec<f64> = (0..width).map(|feature| moment(feature, 0.0, 1)).collect();
        let scale = |feature: usize| {
            let deviation = moment(feature, means[feature], 2).sqrt();
            if deviation > 1e-9 { 1.0 / deviation as f32 } else { 0.0 }
        };
        Standard {
            scales: (0..width).map(scale).collect(),
            means: means.iter().map(|mean| *mean as f32).collect(),
        }
    }

    pub(super) fn apply(&self, row: &mut [f32]) {
        for ((value, mean), scale) in row.iter_mut().zip(&self.means).zip(&self.scales) {
            *value = ((*value - mean) * scale).clamp(-FAR, FAR);
        }
    }
}

impl Standard {
    /// The value of a feature before it was standardised.
    pub(super) fn undo(&self, feature: usize, value: f32) -> f32 {
        match (self.means.get(feature), self.scales.get(feature)) {
            (Some(mean), Some(scale)) if *scale > 0.0 => mean + value / scale,
            (mean, _) => mean.copied().unwrap_or(0.0),
        }
    }
}

/// A learned net.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Net {
    width: usize,
    /// For each hidden unit its weights and its threshold; then the output's.
    weights: Vec<f32>,
}

impl Net {
    /// Learns from the rows of which `wanted` is true.
    pub(super) fn learn(rows: &[Vec<f32>], strange: &[bool], wanted: &[bool], mut random: Random) -> Net {
        let width = rows.first().map_or(0, Vec::len);
        let mut net = Net {
            width,
            weights: vec![0.0; HIDDEN * (width + 1) + HIDDEN + 1],
        };
        net.begin(&mut random);
        let mut places: Vec<u32> = (0..rows.len() as u32).filter(|row| wanted[*row as usize]).collect();
        let rounds = (VISITS / places.len().max(1)).clamp(ROUNDS_MIN, ROUNDS_MAX);
        let mut adam = Adam::new(net.weights.len());
        let mut slopes = vec![0.0; net.weights.len()];
        for _ in 0..rounds {
            random.shuffle(&mut places);
            for batch in places.chunks(BATCH) {
                slopes.fill(0.0);
                for row in batch {
                    net.add_slopes(&rows[*row as usize], strange[*row as usize], &mut slopes);
                }
                for (place, slope) in slopes.iter_mut().enumerate() {
                    let decay = if net.is_threshold(place) {
                        0.0
                    } else {
                        DECAY * net.weights[place]
                    };
                    *slope = *slope / batch.len() as f32 + decay;
                }
                adam.step(&mut net.weights, &slopes);
            }
        }
        net
    }

    /// The logarithm of the odds that a row, standardised, is strange.
    pub(super) fn log_odds(&self, row: &[f32]) -> f32 {
        let (hidden, output) = self.weights.split_at(HIDDEN * (self.width + 1));
        let mut sum = output.get(HIDDEN).copied().unwrap_or(0.0);
        for (unit, weight) in hidden.chunks_exact(self.width + 1).zip(output) {
            sum += weight * activity(unit, row).max(0.0);
        }
        sum
    }

    /// Uniform beginnings after Glorot and Bengio (2010).
    fn begin(&mut self, random: &mut Random) {
        let first = (6.0 / (self.width + HIDDEN) as f32).sqrt();
        let last = (6.0 / (HIDDEN + 1) as f32).sqrt();
        for place in 0..self.weights.len() {
            let bound = if place < HIDDEN * (self.width + 1) { first } else { last };
            self.weights[place] = (random.uniform() as f32 * 2.0 - 1.0) * bound;
        }
    }

    fn is_threshold(&self, place: usize) -> bool {
        match place.checked_sub(HIDDEN * (self.width + 1)) {
            None => place % (self.width + 1) == self.width,
            Some(place) => place == HIDDEN,
        }
    }

    /// Adds the slopes of a row's loss, the negative logarithm of the probability of what it is.
    fn add_slopes(&self, row: &[f32], strange: bool, slopes: &mut [f32]) {
        let wanted = if strange { 1.0 } else { 0.0 };
        let error = 1.0 / (1.0 + (-self.log_odds(row)).exp()) - wanted;
        let (hidden, output) = self.weights.split_at(HIDDEN * (self.width + 1));
        let (hidden_slopes, output_slopes) = slopes.split_at_mut(HIDDEN * (self.width + 1));
        output_slopes[HIDDEN] += error;
        let units = hidden
            .chunks_exact(self.width + 1)
            .zip(hidden_slopes.chunks_exact_mut(self.width + 1));
        for ((unit, unit_slopes), (weight, slope)) in units.zip(output.iter().zip(output_slopes)) {
            let active = activity(unit, row);
            if active <= 0.0 {
                continue;
            }
            *slope += error * active;
            let blame = error * weight;
            for (slope, value) in unit_slopes.iter_mut().zip(row.iter().chain([&1.0])) {
                *slope += blame * value;
            }
        }
    }
}

fn activity(unit: &[f32], row: &[f32]) -> f32 {
    // Eight sums side by side, so that the processor adds them in one step.
    let (values_by_8, values) = row.as_chunks::<8>();
    let (weights_by_8, weights) = unit[..row.len()].as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (values, weights) in values_by_8.iter().zip(weights_by_8) {
        for lane in 0..8 {
            sums[lane] += values[lane] * weights[lane];
        }
    }
    let rest: f32 = values.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    sums.iter().sum::<f32>() + rest + unit[row.len()]
}

struct Adam {
    means: Vec<f32>,
    squares: Vec<f32>,
    steps: i32,
}

impl Adam {
    fn new(width: usize) -> Adam {
        Adam {
            means: vec![0.0; width],
            squares: vec![0.0; width],
            steps: 0,
        }
    }

    fn step(&mut self, weights: &mut [f32], slopes: &[f32]) {
        const MEAN: f32 = 0.9;
        const SQUARE: f32 = 0.999;
        self.steps += 1;
        let rate = RATE * (1.0 - SQUARE.powi(self.steps)).sqrt() / (1.0 - MEAN.powi(self.steps));
        for (place, slope) in slopes.iter().enumerate() {
            self.means[place] = MEAN * self.means[place] + (1.0 - MEAN) * slope;
            self.squares[place] = SQUARE * self.squares[place] + (1.0 - SQUARE) * slope * slope;
            weights[place] -= rate * self.means[place] / (self.squares[place].sqrt() + 1e-8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_single_feature_tells_is_learned() {
        let mut random = Random::new(4);
        let mut rows: Vec<Vec<f32>> = (0..600)
            .map(|_| (0..3).map(|_| random.uniform() as f32 * 8.0 + 3.0).collect())
            .collect();
        // Strange is where one of two is high and not the other; the third feature is constant.
        let strange: Vec<bool> = rows.iter().map(|row| (row[0] > 7.0) != (row[1] > 7.0)).collect();
        rows.iter_mut().for_each(|row| row[2] = 5.0);
        let standard = Standard::of(&rows);
        rows.iter_mut().for_each(|row| standard.apply(row));
        assert!(rows.iter().all(|row| row[2] == 0.0));
        let all = vec![true; rows.len()];
        let net = Net::learn(&rows, &strange, &all, Random::new(1));
        let right = rows
            .iter()
            .zip(&strange)
            .filter(|(row, strange)| (net.log_odds(row) > 0.0) == **strange);
        assert!(right.count() > 540);
        let again = Net::learn(&rows, &strange, &all, Random::new(1));
        assert_eq!(net.weights, again.weights);
    }
}
