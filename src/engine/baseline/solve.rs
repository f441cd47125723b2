//! The two equations that turn moments of active windows into a zero-truncated negative binomial law.
//!
//! With mean m and over-dispersion d before truncation, p0 = (1 + d m)^(-1/d), the moments after it are
//! M1 = m / (1 - p0) and M2 / M1 - 1 = m (1 + d) =: c.

use super::tail::NegativeBinomial;

/// The least and the greatest over-dispersion that is told apart from the Poisson and the logarithmic law.
const DISPERSION_MIN: f64 = 1e-9;
const DISPERSION_MAX: f64 = 1e6;

/// The mean after truncation of a law.
fn truncated_mean(mean: f64, dispersion: f64) -> f64 {
    let active = -NegativeBinomial { mean, dispersion }.ln_zero().exp_m1();
    if active > 0.0 { mean / active } else { 1.0 }
}

/// The law with this over-dispersion whose mean after truncation is `positive_mean`.
pub(super) fn with_dispersion(positive_mean: f64, dispersion: f64) -> NegativeBinomial {
    let dispersion = dispersion.clamp(DISPERSION_MIN, DISPERSION_MAX);
    let target = positive_mean.max(1.0 + 1e-9);
    let (mut low, mut high) = (0.0, target);
    let mut mean = target;
    for _ in 0..60 {
        let ln_zero = NegativeBinomial { mean, dispersion }.ln_zero();
        let active = -ln_zero.exp_m1();
        let value = if active > 0.0 { mean / active } else { 1.0 };
        let error = value - target;
        if error.abs() <= 1e-11 * target {
            break;
        }
        if error > 0.0 {
            high = mean
        } else {
            low = mean
        }
        // The slope of the truncated mean, from p0' = -(1 + d m)^(-1/d - 1).
        let slope = (1.0 - value * ln_zero.exp() / (1.0 + dispersion * mean)) / active;
        let next = mean - error / slope;
        mean = if next > low && next < high {
            next
        } else {
            0.5 * (low + high)
        };
        if high - low <= 1e-13 * high {
            break;
        }
    }
    NegativeBinomial {
        mean: mean.max(1e-12),
        dispersion,
    }
}

/// The law with these moments after truncation: the mean, and `spread` = M2 / M1 - 1. Where no negative binomial is so
/// narrow, the Poisson law of this mean; where none is so wide, the logarithmic law of this spread, whose tail falls
/// as slowly as the moments say.
pub(super) fn with_spread(positive_mean: f64, spread: f64) -> NegativeBinomial {
    let target = positive_mean.max(1.0 + 1e-9);
    let spread = spread.max(1e-9);
    let law = |dispersion: f64| NegativeBinomial {
        mean: spread / (1.0 + dispersion),
        dispersion,
    };
    // Far from zero there is nothing to truncate.
    let plain = spread / target - 1.0;
    if plain > 0.0 && plain < DISPERSION_MAX {
        let free = NegativeBinomial {
            mean: target,
            dispersion: plain.max(DISPERSION_MIN),
        };
        if free.ln_zero() < -25.0 {
            return free;
        }
    }
    let error = |dispersion: f64| truncated_mean(spread / (1.0 + dispersion), dispersion) - target;
    if error(DISPERSION_MIN) <= 0.0 {
        return with_dispersion(target, DISPERSION_MIN);
    }
    if error(DISPERSION_MAX) >= 0.0 {
        return law(DISPERSION_MAX);
    }
    // Illinois on the share d / (1 + d), in which the truncated mean is close to straight.
    let at = |share: f64| share / (1.0 - share);
    let (mut low, mut high) = (DISPERSION_MIN, DISPERSION_MAX / (1.0 + DISPERSION_MAX));
    let (mut error_low, mut error_high) = (error(at(low)), error(at(high)));
    let mut share = 0.5;
    let mut moved_low = None;
    for _ in 0..60 {
        share = (low * error_high - high * error_low) / (error_high - error_low);
        if !(share > low && share < high) {
            share = 0.5 * (low + high);
        }
        let value = error(at(share));
        if value.abs() <= 1e-9 * target || high - low <= 1e-12 {
            break;
        }
        if value > 0.0 {
            (low, error_low) = (share, value);
            if moved_low == Some(true) {
                error_high *= 0.5;
            }
        } else {
            (high, error_high) = (share, value);
            if moved_low == Some(false) {
                error_low *= 0.5;
            }
        }
        moved_low = Some(value > 0.0);
    }
    law(at(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_is_found_again_from_its_moments_after_truncation() {
        for mean in [0.01, 0.3, 1.0, 4.0, 50.0, 1e4] {
            for dispersion in [1e-6, 0.01, 0.5, 2.0, 20.0] {
                let positive_mean = truncated_mean(mean, dispersion);
                let found = with_dispersion(positive_mean, dispersion);
                assert!((found.mean / mean - 1.0).abs() < 1e-5, "{mean} {dispersion} {found:?}");
                let found = with_spread(positive_mean, mean * (1.0 + dispersion));
                assert!(
                    (truncated_mean(found.mean, found.dispersion) / positive_mean - 1.0).abs() < 1e-6,
                    "{mean} {dispersion} {found:?}"
                );
                assert!(
                    (found.mean * (1.0 + found.dispersion) / (mean * (1.0 + dispersion)) - 1.0).abs() < 1e-3,
                    "{mean} {dispersion} {found:?}"
                );
            }
        }
    }
}
