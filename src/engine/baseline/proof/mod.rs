//! Holds the baselines to their mathematics: uniform p-values under the law that is assumed and under laws that are not,
//! the power of that test, forgetting, bounded influence, ramps and migrations. Seeded; no test depends on luck.

mod memory;
mod news;
mod uniform;

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
