//! Calibration of a model: how strange rows are usually, and so how rare a strangeness is.
//!
//! Within what was seen, the surprise is that of the rank, with straight lines between the knots kept; above it goes on
//! along a generalised Pareto law fitted to the strangest rows. It grows strictly with the strangeness, so calibration
//! never changes the order of two rows.

use crate::engine::baseline::tail::GeneralisedPareto;
use serde::{Deserialize, Serialize};

/// Knots kept at most.
const KNOTS_MAX: usize = 512;
/// Share of the rows that the law of the tail is fitted to.
const TAIL_SHARE: f64 = 0.02;
/// Rows that the law needs at least.
const TAIL_ROWS_MIN: usize = 10;
/// The steps of the ranks of knots: each is this share of the rows that are stranger.
const KNOT_STEP: f64 = 0.97;

/// How strange rows are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Strangeness, rising, and the surprise of reaching it.
    knots: Vec<(f64, f64)>,
    /// The surprise of passing the last knot: it is more than that of reaching it where several rows reach it.
    passing: f64,
    /// The law of the excess over the last knot.
    beyond: Option<GeneralisedPareto>,
}

impl Tail {
    /// Learns from the strangeness of rows; sorts them.
    pub(super) fn of(raws: &mut [f64]) -> Tail {
        raws.sort_by(f64::total_cmp);
        let rows = raws.len() as f64;
        let mut knots: Vec<(f64, f64)> = Vec::with_capacity(KNOTS_MAX);
        let mut stranger = raws.len();
        while stranger > 0 && knots.len() < KNOTS_MAX {
            let raw = raws[raws.len() - stranger];
            // Of equal rows the first stands for all: the probability is that of reaching, not of passing.
            let reaching = raws.len() - raws.partition_point(|other| *other < raw);
            let surprise = -((reaching as f64 + 0.5) / (rows + 1.0)).log10();
            if knots.last().is_none_or(|last| raw > last.0) {
                knots.push((raw, surprise.max(0.0)));
            }
            stranger = ((stranger as f64 * KNOT_STEP) as usize).min(stranger - 1);
        }
        Tail {
            beyond: law(raws),
            passing: -(1.5 / (rows + 1.0)).log10().min(0.0),
            knots,
        }
    }

    /// The surprise, `-log10` of the probability of at least this strangeness (finite).
    pub(super) fn surprise(&self, raw: f64) -> f64 {
        let above = self.knots.partition_point(|knot| knot.0 <= raw);
        match (
            above.checked_sub(1).map(|place| self.knots[place]),
            self.knots.get(above),
        ) {
            (Some(below), Some(above)) => {
                below.1 + (above.1 - below.1) * ((raw - below.0) / (above.0 - below.0)).clamp(0.0, 1.0)
            }
            (Some(last), None) if raw > last.0 => last.1.max(self.passing) + self.excess(raw - last.0),
            (Some(last), None) => last.1,
            // Less strange than anything seen: p is 1 for all that anybody asks, but the order is kept.
            (None, Some(first)) => first.1 / (1.0 + (first.0 - raw)),
            (None, None) => 0.0,
        }
    }

    fn excess(&self, excess: f64) -> f64 {
        match &self.beyond {
            Some(law) => -law.ln_upper(excess) * std::f64::consts::LOG10_E,
            None => excess / (1.0 + excess.abs()),
        }
    }
}

/// The law of the excess over the strangest row: a generalised Pareto law keeps its shape at a higher threshold, and
/// its scale grows by the shape for each unit (Coles, "An Introduction to Statistical Modeling of Extreme Values",
/// 2001, section 4.2).
fn law(sorted: &[f64]) -> Option<GeneralisedPareto> {
    let wanted = ((sorted.len() as f64 * TAIL_SHARE) as usize).max(TAIL_ROWS_MIN);
    let first = sorted.len().checked_sub(wanted + 1)?;
    let threshold = sorted[first];
    let excesses = sorted[first + 1..].iter().map(|raw| raw - threshold);
    let count = wanted as f64;
    let mean = excesses.clone().sum::<f64>() / count;
    let square = excesses.map(|excess| excess * excess).sum::<f64>() / count;
    if mean <= 0.0 || !square.is_finite() {
        return None;
    }
    let law = GeneralisedPareto::of_moments(0.0, mean, square);
    let highest = sorted[sorted.len() - 1] - threshold;
    Some(GeneralisedPareto {
        shape: law.shape,
        scale: law.scale + law.shape * highest,
    })
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn exponential_strangeness_gets_its_own_tail_probability() {
        let mut random = Random::new(7);
        let mut raws: Vec<f64> = (0..100_000).map(|_| -(1.0 - random.uniform()).ln()).collect();
        let tail = Tail::of(&mut raws);
        for surprise in [0.3, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0] {
            let raw = surprise * std::f64::consts::LN_10;
            let told = tail.surprise(raw);
            assert!((told - surprise).abs() < 0.12 * surprise + 0.01, "{surprise}: {told}");
        }
    }

    #[test]
    fn passing_what_many_rows_reach_is_as_rare_as_never_seen() {
        let tail = Tail::of(&mut vec![2.0; 999]);
        assert!(tail.surprise(2.0) < 0.01);
        let told = tail.surprise(2.01);
        assert!((2.8..3.0).contains(&told), "{told}");
    }

    #[test]
    fn more_strangeness_is_always_more_surprising() {
        let mut random = Random::new(1);
        for rows in [1, 2, 8, 12, 40, 3000] {
            let mut raws: Vec<f64> = (0..rows).map(|_| (random.uniform() * 20.0).floor()).collect();
            let tail = Tail::of(&mut raws);
            let mut last = -1.0;
            for step in 0..800 {
                let told = tail.surprise(f64::from(step) / 20.0 - 10.0);
                assert!(told > last || rows == 1 && told >= last, "{rows} rows, step {step}");
                last = told;
            }
        }
    }
}
