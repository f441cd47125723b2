//! Tail probabilities as logarithms: right where they are small, and below the range of `f64`.
//!
//! The incomplete beta function serves the negative binomial, the binomial and Student's t. Its prefactor is Loader's
//! saddle-point form ("Fast and accurate computation of binomial probabilities", 2000), which does not cancel; the
//! rest is the continued fraction of DLMF 8.17.22. Every function gives a number at most 0 for every input, never NaN.

use serde::{Deserialize, Serialize};
use std::f64::consts::{LN_2, PI};

const LN_2PI: f64 = 1.837_877_066_409_345_3;
const STEPS_MAX: u32 = 20_000;

/// ln(1 - exp(x)) for x <= 0.
pub fn ln_one_minus_exp(x: f64) -> f64 {
    if x >= 0.0 {
        f64::NEG_INFINITY
    } else if x > -LN_2 {
        (-x.exp_m1()).ln()
    } else {
        (-x.exp()).ln_1p()
    }
}

/// ln(exp(a) + exp(b)).
pub fn ln_sum(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if high == f64::NEG_INFINITY {
        high
    } else {
        high + (low - high).exp().ln_1p()
    }
}

/// ln Γ(n + 1) minus Stirling's formula, n > 0 (Loader's `stirlerr`).
fn stirling_error(n: f64) -> f64 {
    if n > 15.0 {
        let square = n * n;
        (1.0 / 12.0
            - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
            / n
    } else {
        statrs::function::gamma::ln_gamma(n + 1.0) - (n + 0.5) * n.ln() + n - 0.5 * LN_2PI
    }
}

/// x ln(x / mean) + mean - x without cancellation (Loader's `bd0`), both positive.
fn deviance_part(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() < 0.1 * (x + mean) {
        let v = difference / (x + mean);
        let mut sum = difference * v;
        let mut term = 2.0 * x * v;
        let square = v * v;
        for j in 1..200 {
            term *= square;
            let next = sum + term / f64::from(2 * j + 1);
            if next == sum {
                break;
            }
            sum = next;
        }
        sum
    } else {
        x * (x / mean).ln() + mean - x
    }
}

/// The incomplete beta function: (ln I_x(a, b), ln I_y(b, a)) where y = 1 - x is given for its precision.
/// The two add up to 1.
pub fn ln_beta_inc(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    if a.is_nan() || a <= 0.0 || x >= 1.0 || y <= 0.0 {
        return (0.0, f64::NEG_INFINITY);
    }
    if b.is_nan() || b <= 0.0 || x <= 0.0 || !x.is_finite() || !y.is_finite() {
        return (f64::NEG_INFINITY, 0.0);
    }
    // The smaller part is computed, the other is what is left.
    if x * (a + b + 2.0) <= a + 1.0 {
        let part = ln_beta_part(a, b, x, y).min(0.0);
        (part, ln_one_minus_exp(part))
    } else {
        let part = ln_beta_part(b, a, y, x).min(0.0);
        (ln_one_minus_exp(part), part)
    }
}

fn ln_beta_part(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    // x^a y^b / (a B(a, b)) as a binomial probability of real arguments.
    let ln_pmf =
        stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance_part(a, n * x) - deviance_part(b, n * y)
            + 0.5 * (n.ln() - LN_2PI - a.ln() - b.ln());
    ln_pmf + (b / n).ln() + beta_fraction(a, b, x).ln()
}

/// The continued fraction of the incomplete beta function by Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..STEPS_MAX {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h.max(TINY)
}

/// A negative binomial law by its mean and its over-dispersion: variance = mean + dispersion * mean^2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NegativeBinomial {
    /// Mean; positive and finite.
    pub mean: f64,
    /// Over-dispersion; 0 is the Poisson law, computed as 1e-9.
    pub dispersion: f64,
}

impl NegativeBinomial {
    fn size(&self) -> f64 {
        1.0 / self.dispersion.max(1e-9)
    }

    /// ln P(X = 0).
    pub fn ln_zero(&self) -> f64 {
        let size = self.size();
        -size * (self.mean / size).ln_1p()
    }

    /// (ln P(X >= x), ln P(X < x)).
    pub fn ln_tails(&self, x: f64) -> (f64, f64) {
        if x <= 0.0 {
            return (0.0, f64::NEG_INFINITY);
        }
        let size = self.size();
        let success = self.mean / (self.mean + size);
        let failure = size / (self.mean + size);
        ln_beta_inc(x, size, success, failure)
    }
}

/// (ln P(X >= k), ln P(X < k)) of the beta-binomial law: k successes of n, success probability Beta(alpha, beta).
pub fn beta_binomial(k: u64, n: u64, alpha: f64, beta: f64) -> (f64, f64) {
    if k == 0 {
        return (0.0, f64::NEG_INFINITY);
    }
    if k > n {
        return (f64::NEG_INFINITY, 0.0);
    }
    let mean = n as f64 * alpha / (alpha + beta);
    if k as f64 > mean {
        let upper = beta_binomial_upper(k, n, alpha, beta).min(0.0);
        (upper, ln_one_minus_exp(upper))
    } else {
        // Fewer than k successes are more than n - k failures.
        let lower = beta_binomial_upper(n - k + 1, n, beta, alpha).min(0.0);
        (ln_one_minus_exp(lower), lower)
    }
}

fn beta_binomial_upper(k: u64, n: u64, alpha: f64, beta: f64) -> f64 {
    let (kf, nf) = (k as f64, n as f64);
    let ln_first = ln_choose(nf, kf) + ln_beta(kf + alpha, nf - kf + beta) - ln_beta(alpha, beta);
    let (mut sum, mut term) = (1.0, 1.0);
    let mut j = kf;
    while j < nf {
        term *= (nf - j) * (j + alpha) / ((j + 1.0) * (nf - j - 1.0 + beta));
        sum += term;
        j += 1.0;
        if term < sum * 1e-17 {
            break;
        }
        if j - kf > f64::from(STEPS_MAX) {
            // The rest of a very long sum is an integral of the beta law.
            let x = (j + 0.5) / nf;
            let (_, rest) = ln_beta_inc(alpha, beta, x.min(1.0), (1.0 - x).max(0.0));
            return ln_sum(ln_first + sum.ln(), rest);
        }
    }
    ln_first + sum.ln()
}

/// ln B(a, b), without cancellation where a or b is large.
pub fn ln_beta(a: f64, b: f64) -> f64 {
    let n = a + b;
    // B(a, b) = (a + b) / (a b) * Γ(a+1) Γ(b+1) / Γ(a+b+1)
    stirling_error(a) + stirling_error(b) - stirling_error(n)
        + 0.5 * (LN_2PI + a.ln() + b.ln() - n.ln())
        + a * (a / n).ln()
        + b * (b / n).ln()
        + (n / a / b).ln()
}

fn ln_choose(n: f64, k: f64) -> f64 {
    if k <= 0.0 || k >= n {
        0.0
    } else {
        -ln_beta(k + 1.0, n - k + 1.0) - n.ln_1p()
    }
}

/// ln P(T >= t) of Student's t with so many degrees of freedom.
pub fn student_upper(t: f64, degrees: f64) -> f64 {
    if t.is_nan() {
        return 0.0;
    }
    let square = t * t;
    if !square.is_finite() {
        // The incomplete beta at (nearly) zero: its first term.
        let ln_x = degrees.ln() - 2.0 * t.abs().ln();
        let half = 0.5 * degrees;
        let ln_both = half * ln_x - half.ln() - ln_beta(half, 0.5);
        return if t > 0.0 { (ln_both - LN_2).min(0.0) } else { 0.0 };
    }
    let total = degrees + square;
    let (both, _) = ln_beta_inc(0.5 * degrees, 0.5, degrees / total, square / total);
    let half = both - LN_2;
    if t >= 0.0 { half } else { ln_one_minus_exp(half) }
}

/// ln P(Z >= z) of the normal law.
pub fn normal_upper(z: f64) -> f64 {
    if z.is_nan() {
        0.0
    } else if z < 25.0 {
        (0.5 * statrs::function::erf::erfc(z / std::f64::consts::SQRT_2))
            .ln()
            .min(0.0)
    } else {
        let square = z * z;
        -0.5 * square - z.ln() - 0.5 * (2.0 * PI).ln() + (-1.0 / square + 2.5 / (square * square)).ln_1p().max(-0.01)
    }
}

/// A generalised Pareto law of what is beyond a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneralisedPareto {
    /// Shape: positive is a power law, 0 exponential, negative has an end.
    pub shape: f64,
    /// Scale; positive.
    pub scale: f64,
}

impl GeneralisedPareto {
    /// The law with this mean and mean square; its shape is held to what moments can tell, from `shape_min` on.
    pub fn of_moments(shape_min: f64, mean: f64, square: f64) -> Self {
        let variance = (square - mean * mean).max(1e-3 * mean * mean);
        let shape = (0.5 * (1.0 - mean * mean / variance)).clamp(shape_min, 0.45);
        GeneralisedPareto {
            shape,
            scale: mean * (1.0 - shape),
        }
    }

    /// ln P(excess >= x).
    pub fn ln_upper(&self, x: f64) -> f64 {
        if x.is_nan() || x <= 0.0 {
            return 0.0;
        }
        let u = x / self.scale;
        if self.shape.abs() < 1e-9 {
            return -u;
        }
        let inner = self.shape * u;
        if inner <= -1.0 {
            f64::NEG_INFINITY
        } else {
            -inner.ln_1p() / self.shape
        }
    }

    /// From the first two probability-weighted moments of the excesses, `a0 = E[X]` and `a1 = E[X (1 - F(X))]`
    /// (Hosking and Wallis 1987): shape = 2 - a0 / (a0 - 2 a1), scale = 2 a0 a1 / (a0 - 2 a1).
    /// The shape is held to [-0.5, 0.9].
    pub fn from_weighted_moments(a0: f64, a1: f64) -> Option<Self> {
        if a0.is_nan() || a0 <= 0.0 || a1.is_nan() || a1 <= 0.0 || a0.is_infinite() {
            return None;
        }
        let shape = (2.0 - a0 / (a0 - 2.0 * a1)).clamp(-0.5, 0.9);
        let shape = if shape.is_nan() { 0.9 } else { shape };
        Some(GeneralisedPareto {
            shape,
            scale: a0 * (1.0 - shape),
        })
    }
}

#[cfg(test)]
#[allow(
    clippy::excessive_precision,
    clippy::approx_constant,
    reason = "references are given with all digits that were computed"
)]
mod tests {
    use super::super::proof::Random;
    use super::*;

    // References: mpmath 1.3 with 60 digits (sums of the mass function, incomplete beta, erfc).

    #[test]
    fn negative_binomial_tails_are_right_from_the_middle_to_1e_minus_315() {
        for (mean, dispersion, x, reference) in [
            (0.4, 2.0, 1.0, -1.3678887582273712),
            (0.4, 2.0, 40.0, -34.572779769612646),
            (3.0, 0.5, 10.0, -3.4988183252258065),
            (3.0, 1e-09, 10.0, -6.8101856949912289),
            (3.0, 1e-09, 30.0, -44.598438520628744),
            (100.0, 1e-09, 180.0, -28.521433414160645),
            (100.0, 0.01, 250.0, -36.325154806278117),
            (1000.0, 0.1, 9000.0, -61.837060269503682),
            (0.01, 1.0, 3.0, -13.845361550523778),
            (50.0, 3.0, 4000.0, -29.771984834414442),
            (10000.0, 0.0001, 11500.0, -55.624156920120897),
            (5.0, 0.2, 400.0, -259.20875011143956),
            (1000000.0, 0.001, 1300000.0, -40.783473524744914),
            (2.0, 1e-06, 200.0, -726.57304882999199),
        ] {
            let (upper, lower) = NegativeBinomial { mean, dispersion }.ln_tails(x);
            assert!(
                (upper - reference).abs() < 1e-10 * reference.abs(),
                "{mean} {dispersion} {x}: {upper} {reference}"
            );
            assert!((upper.exp() + lower.exp() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn beta_binomial_tails_are_right() {
        for (k, n, alpha, beta, reference) in [
            (5, 10, 2.0, 8.0, -2.3932620598768824),
            (10, 10, 0.5, 20.0, -18.753709933159547),
            (60, 60, 2.0, 200.0, -133.76700494442536),
            (3, 1000, 0.1, 9.9, -1.2831533058509818),
            (500, 1000, 5.0, 95.0, -49.622911502045676),
            (999, 1000, 1.0, 1.0, -6.2156075987552753),
            (40, 50, 200.0, 1800.0, -66.988139460804523),
            (1, 5, 0.01, 100.0, -7.6208069683175012),
        ] {
            let (upper, _) = beta_binomial(k, n, alpha, beta);
            assert!(
                (upper - reference).abs() < 1e-10 * reference.abs(),
                "{k} {n} {alpha} {beta}: {upper} {reference}"
            );
        }
    }

    #[test]
    fn student_and_normal_tails_are_right() {
        for (t, degrees, reference) in [
            (0.1, 3.0, -0.76932399257925842),
            (1.0, 8.0, -1.7527498155943415),
            (2.5, 8.0, -3.9915523234980274),
            (10.0, 8.0, -12.369982951057093),
            (100.0, 8.0, -30.516303571975972),
            (1000000.0, 8.0, -104.1961476800138),
            (6.0, 30.0, -14.176281825592312),
            (30.0, 1000.0, -324.92750790107118),
            (38.0, 100000.0, -721.38685513963296),
            (5.0, 1.5, -3.4207507954109206),
        ] {
            let upper = student_upper(t, degrees);
            assert!(
                (upper - reference).abs() < 1e-10 * reference.abs(),
                "{t} {degrees}: {upper} {reference}"
            );
        }
        for (z, reference) in [
            (0.0, -0.69314718055994531),
            (1.0, -1.8410216450092635),
            (7.0, -27.384307498811075),
            (20.0, -203.91715537109726),
            (24.9, -314.14041276161316),
            (25.1, -319.14838740588863),
            (37.0, -689.03058557689059),
            (100.0, -5005.5242086942051),
        ] {
            let upper = normal_upper(z);
            assert!(
                (upper - reference).abs() < 1e-7 * reference.abs(),
                "{z}: {upper} {reference}"
            );
        }
    }

    #[test]
    fn a_pareto_tail_falls_as_it_must() {
        let law = GeneralisedPareto {
            shape: 0.25,
            scale: 2.0,
        };
        assert!((law.ln_upper(8.0) + 4.0 * 2f64.ln()).abs() < 1e-12);
        assert_eq!(
            GeneralisedPareto {
                shape: -0.5,
                scale: 1.0
            }
            .ln_upper(3.0),
            f64::NEG_INFINITY
        );
        assert!((GeneralisedPareto { shape: 0.0, scale: 2.0 }.ln_upper(8.0) + 4.0).abs() < 1e-12);
        // Excesses of an exponential law: a0 = 1, a1 = 1/4.
        let fitted = GeneralisedPareto::from_weighted_moments(1.0, 0.25).expect("moments of a law");
        assert!(fitted.shape.abs() < 1e-12 && (fitted.scale - 1.0).abs() < 1e-12);
    }

    #[test]
    fn pareto_tails_are_right_at_1e_minus_12() {
        for (shape, scale, x, reference) in [
            (0.25, 2.0, 7992.0, -27.6310211159285482),
            (0.45, 1.0, 550_000.0, -27.5981553364150217),
            (-0.1, 1.0, 9.369, -27.6303450943496989),
            (1e-7, 1.0, 27.631, -27.6309618264622684),
        ] {
            let upper = GeneralisedPareto { shape, scale }.ln_upper(x);
            assert!(
                (upper - reference).abs() < 1e-9 * reference.abs(),
                "{shape} {x}: {upper} {reference}"
            );
        }
    }

    #[test]
    fn tails_are_monotone_and_never_nan_for_any_input() {
        let mut random = Random::new(7);
        let mut odd = |low: f64, high: f64| 10f64.powf(low + (high - low) * random.uniform());
        for _ in 0..400 {
            let law = NegativeBinomial {
                mean: odd(-9.0, 9.0),
                dispersion: odd(-10.0, 5.0),
            };
            let mut last = 0.0;
            let mut x = 1.0;
            while x < 1e9 {
                let (upper, lower) = law.ln_tails(x);
                assert!(
                    upper <= 0.0 && lower <= 0.0 && upper <= last + 1e-9,
                    "{law:?} {x} {upper} after {last}"
                );
                last = upper;
                x = (x * 7.3).ceil();
            }
        }
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e308, 1e-308] {
            for y in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e300, 1e-300, 1.0] {
                let (a, b) = ln_beta_inc(x, y, 0.5, 0.5);
                let (c, d) = ln_beta_inc(2.0, 3.0, x, y);
                let tails = [a, b, c, d, student_upper(x, 5.0), normal_upper(x), ln_sum(a, b)];
                assert!(tails.iter().all(|tail| !tail.is_nan()), "{x} {y} {tails:?}");
                let (e, f) = NegativeBinomial {
                    mean: 2.0,
                    dispersion: 1.0,
                }
                .ln_tails(x);
                assert!(!e.is_nan() && !f.is_nan(), "{x}");
            }
        }
        for (k, n) in [(0, 0), (1, 0), (0, u64::MAX), (1 << 40, 1 << 41), (u64::MAX, u64::MAX)] {
            let (upper, lower) = beta_binomial(k, n, 0.3, 2.0);
            assert!(
                !upper.is_nan() && !lower.is_nan() && upper <= 0.0,
                "{k} {n} {upper} {lower}"
            );
        }
    }
}
