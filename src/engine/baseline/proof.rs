//! Holds the baselines to their mathematics: uniform p-values under the law that is assumed and under laws that are not,
//! the power of that test, forgetting, bounded influence, ramps and migrations. Seeded; no test depends on luck.

use super::*;
use crate::domain::Duration;

/// A small seeded generator (xorshift64*), good enough for Kolmogorov and Smirnov.
pub(in crate::engine) struct Random(u64);

impl Random {
    pub(in crate::engine) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// In [0, 1).
    pub(in crate::engine) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    fn normal(&mut self) -> f64 {
        (2.0 * self.exponential()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Marsaglia and Tsang 2000.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * self.uniform().max(1e-300).powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let z = self.normal();
            let v = (1.0 + c * z).powi(3);
            if v > 0.0 && self.exponential() > -0.5 * z * z - d + d * v - d * v.ln() {
                return d * v;
            }
        }
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 500.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (mut time, mut count) = (self.exponential(), 0);
        while time < mean {
            time += self.exponential();
            count += 1;
        }
        count
    }

    fn negative_binomial(&mut self, mean: f64, dispersion: f64) -> u64 {
        let rate = self.gamma(1.0 / dispersion) * dispersion * mean;
        self.poisson(rate)
    }
}

/// The greatest distance between the empirical law and the uniform one.
fn distance(ps: &mut [f64]) -> f64 {
    ps.sort_unstable_by(f64::total_cmp);
    let n = ps.len() as f64;
    ps.iter()
        .enumerate()
        .map(|(i, p)| (p - i as f64 / n).abs().max(((i + 1) as f64 / n - p).abs()))
        .fold(0.0, f64::max)
}

/// What the distance of so many truly uniform numbers exceeds once in ten thousand.
fn distance_max(n: usize) -> f64 {
    2.225 / (n as f64).sqrt()
}

fn decay(half_life_windows: i64) -> Decay {
    Decay::new(
        Duration::from_seconds(300 * half_life_windows),
        Duration::from_seconds(300),
    )
}

fn count_prior() -> CountPrior {
    CountPrior::new(2.0, 1.0, 4.0)
}

/// Randomised p-values of the slow memory (both memories would be tested twice) after a burn-in.
fn count_ps(seed: u64, windows: usize, mut draw: impl FnMut(&mut Random) -> u64) -> Vec<f64> {
    let (prior, decay) = (count_prior(), decay(4000));
    let (mut random, mut count, mut ps) = (Random::new(seed), Count::default(), Vec::new());
    for window in 0..windows + 2000 {
        let seen = draw(&mut random);
        if window >= 2000 {
            ps.push(
                count
                    .judge_slow(&prior, Scale::ONE, seen, Tail::Upper)
                    .randomised(random.uniform()),
            );
        }
        count.learn(&prior, Scale::ONE, seen, &decay);
    }
    ps
}

#[test]
fn p_values_of_counts_are_uniform_under_the_assumed_law() {
    for (seed, mean, dispersion) in [
        (1, 4.0, 0.5),
        (2, 0.3, 1.0),
        (3, 60.0, 0.2),
        (4, 5.0, 1e-3),
        (5, 1.0, 3.0),
    ] {
        let mut ps = count_ps(seed, 4000, |random| random.negative_binomial(mean, dispersion));
        let d = distance(&mut ps);
        assert!(
            d < 0.02 + distance_max(4000),
            "mean {mean} dispersion {dispersion}: {d}"
        );
    }
}
