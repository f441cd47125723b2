//! Forgetting by whole windows.

use crate::domain::Duration;

/// What share of its weight a memory keeps over one window, for the slow and the fast memory.
///
/// The slow memory has the definition's half-life. The fast one has a sixteenth of it, but at least eight windows
/// (below that it would know nothing), and never more than the slow one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    slow: f64,
    fast: f64,
}

impl Decay {
    /// How many times sooner the fast memory forgets.
    pub const FAST: f64 = 16.0;
    /// The shortest half-life of the fast memory, in windows.
    pub const FAST_WINDOWS_MIN: f64 = 8.0;

    /// The retention of a half-life at a window length, rounded to 1e-9. For compiling definitions: it is not cheap.
    pub fn new(half_life: Duration, window: Duration) -> Self {
        let windows = (half_life.as_seconds() / window.as_seconds().max(1e-3)).max(1.0);
        let fast_windows = (windows / Self::FAST).max(Self::FAST_WINDOWS_MIN).min(windows);
        Decay {
            slow: retention(windows),
            fast: retention(fast_windows),
        }
    }

    /// The share that the slow memory keeps over one window.
    pub fn slow(&self) -> f64 {
        self.slow
    }

    /// The share that the fast memory keeps over one window.
    pub fn fast(&self) -> f64 {
        self.fast
    }
}

fn retention(half_life_windows: f64) -> f64 {
    round9((-std::f64::consts::LN_2 / half_life_windows).exp()).min(1.0 - 1e-9)
}

/// Rounds to 1e-9, so that a transcendental function's last bits do not enter state.
pub(super) fn round9(x: f64) -> f64 {
    (x * 1e9).round() / 1e9
}

/// `base` to a whole power by repeated squaring: multiplications alone, so the same on every CPU.
pub(in crate::engine) fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
        if result == 0.0 {
            break;
        }
    }
    result
}

/// The weight that `windows` leave in a memory: the sum of `retention` to the powers 0..windows.
pub(in crate::engine) fn weight_of(retention: f64, windows: u64) -> f64 {
    (1.0 - power(retention, windows)) / (1.0 - retention)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_weight_is_left_after_the_half_life() {
        let decay = Decay::new(Duration::from_seconds(7 * 86_400), Duration::from_seconds(300));
        assert!((power(decay.slow(), 2016) - 0.5).abs() < 2e-6);
        assert!((power(decay.fast(), 126) - 0.5).abs() < 1e-6);
        assert!((weight_of(0.5, 3) - 1.75).abs() < 1e-15);
        assert_eq!(power(0.5, u64::MAX), 0.0);
    }

    #[test]
    fn a_half_life_of_few_windows_has_one_memory() {
        let decay = Decay::new(Duration::from_seconds(7 * 86_400), Duration::from_seconds(86_400));
        assert_eq!(decay.slow(), decay.fast());
    }
}
