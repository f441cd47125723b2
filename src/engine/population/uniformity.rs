//! How evenly p is spread: were the baselines and their calibration right, a share p of all windows would have a p of at
//! most p. Each epoch's votes are looked at through the maps that judged in that epoch, which it had no part in.

use crate::engine::calibration::{CalibrationSummary, Calibrations};

/// The bounds of p below which windows are counted.
pub const P_BOUNDS: [f64; 12] = [0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// How many of one detector's windows had which calibrated p: the windows that vote on calibration, which have something
/// in them and are one an entity and epoch at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Uniformity {
    /// Windows with a p of at most each of [`P_BOUNDS`]. A window that ranks as an incident counts as a 24th.
    pub within: [f64; P_BOUNDS.len()],
}

impl Uniformity {
    pub(super) fn add(&mut self, votes: &CalibrationSummary, maps: &Calibrations) {
        for (held, more) in self.within.iter_mut().zip(votes.windows_within(maps, &P_BOUNDS)) {
            *held += more;
        }
    }
}
