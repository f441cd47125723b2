//! Scores one time series as it streams by: how surprising is each value, given all values before it.
//!
//! The question asked of every row is "how far is this from anything seen before?". The distance is judged by the
//! tail of all earlier distances (`tail.rs`), so the answer is a probability and needs no unit or scale. The more
//! was seen, the more often something odd happens by chance, so the surprise is lowered by the square root of the
//! rows seen. An incident is told once: after a telling score the following ones are held below `TELLING` until
//! the series was quiet for a share of the rows seen so far.
//!
//! Row i depends on rows 0..i only. State changes by comparison, + - x and / alone. Memory is bounded by the limits
//! in `novelty.rs` and `tail.rs`: about 100 kB. A row costs two binary searches and a pass over the tail's bins.

mod novelty;
mod tail;

use novelty::Known;
use tail::Tail;

/// A score that is worth telling: the threshold to use with `anomaly_score`.
pub const TELLING: f64 = 0.4;
/// Quiet rows, as a share of all rows seen, after which an incident is over.
const REST_SHARE: f64 = 0.04;
/// Rows at which the surprise is neither raised nor lowered for the length of the past.
const ROWS_REFERENCE: f64 = 1000.0;
/// Scores are `s / (s + HALF_SURPRISE)`.
const HALF_SURPRISE: f64 = 3.0;

/// The learned past of one series, or of several that are judged together.
#[derive(Clone, Debug)]
pub struct SeriesScorer {
    rows: u64,
    hot_row: Option<u64>,
    columns: Vec<Column>,
}

#[derive(Clone, Debug, Default)]
struct Column {
    known: Known,
    distances: Tail,
}

impl Default for SeriesScorer {
    fn default() -> SeriesScorer {
        SeriesScorer::new(1)
    }
}

impl SeriesScorer {
    /// A scorer of `columns` series that share one score.
    pub fn new(columns: usize) -> SeriesScorer {
        SeriesScorer {
            rows: 0,
            hot_row: None,
            columns: vec![Column::default(); columns],
        }
    }

    /// Judges a row, one value for each column, then learns it. The score is in `[0, 1)`, rounded to 9 digits. A
    /// value that is missing or not finite is neither judged nor learned; a row without any scores 0.
    pub fn observe(&mut self, values: &[Option<f64>]) -> f64 {
        let row = self.rows;
        self.rows += 1;
        let mut strongest = 0.0_f64;
        for (column, value) in self.columns.iter_mut().zip(values) {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                // Half the range keeps the distance of any two finite numbers finite.
                strongest = strongest.max(column.surprise(value / 2.0));
            }
        }
        // The smallest p of several columns, times their number; and the longer the past, the rarer "rare" must be.
        let columns = self.columns.len().max(1) as f64;
        let allowance = columns.log10() + 0.5 * (self.rows as f64 / ROWS_REFERENCE).log10();
        let surprise = if strongest > 0.0 {
            (strongest - allowance).max(0.0)
        } else {
            0.0
        };
        (self.tell(row, surprise) * 1e9).round() / 1e9
    }

    /// The score of a surprise, held below `TELLING` while an incident that was told goes on.
    fn tell(&mut self, row: u64, surprise: f64) -> f64 {
        let score = surprise / (surprise + HALF_SURPRISE);
        if score < TELLING {
            return score;
        }
        let rest = REST_SHARE * row as f64;
        let again = self.hot_row.is_some_and(|hot| (row - hot) as f64 <= rest);
        self.hot_row = Some(row);
        if again { score * TELLING } else { score }
    }
}

impl Column {
    fn surprise(&mut self, value: f64) -> f64 {
        let distance = self.known.distance(value);
        self.known.learn(value);
        let Some(distance) = distance else { return 0.0 };
        let surprise = self.distances.surprise(distance);
        self.distances.learn(distance);
        surprise
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(values: &[f64]) -> Vec<f64> {
        let mut scorer = SeriesScorer::default();
        values.iter().map(|value| scorer.observe(&[Some(*value)])).collect()
    }

    /// A repeatable, noisy wave with a spike near its end.
    fn wave(rows: usize) -> Vec<f64> {
        let mut noise = 1_u64;
        (0..rows)
            .map(|row| {
                noise = noise
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let jitter = (noise >> 40) as f64 / (1_u64 << 24) as f64;
                let day = (row % 288) as f64 / 288.0;
                if row == 1800 {
                    90.0
                } else {
                    40.0 * day * (1.0 - day) + jitter
                }
            })
            .collect()
    }

    #[test]
    fn a_row_is_scored_the_same_when_the_rest_of_the_file_is_cut_off() {
        let values = wave(3000);
        let whole = scores(&values);
        for rows in [1, 2, 59, 61, 500, 1801, 2999] {
            assert_eq!(scores(&values[..rows]), whole[..rows]);
        }
    }

    #[test]
    fn a_spike_is_told_and_the_wave_is_not() {
        let scores = scores(&wave(3000));
        assert!(scores[1800] > TELLING, "{}", scores[1800]);
        let told = scores[600..].iter().filter(|score| **score >= TELLING).count();
        assert!(told <= 3, "{told}");
    }

    #[test]
    fn every_kind_of_series_gives_scores_between_0_and_1() {
        let constant = vec![3.0; 500];
        let step: Vec<f64> = (0..500).map(|row| if row < 300 { 0.0 } else { 1e6 }).collect();
        let huge: Vec<f64> = (0..500)
            .map(|row| if row % 2 == 0 { f64::MAX } else { f64::MIN })
            .collect();
        let tiny: Vec<f64> = (0..500).map(|row| f64::MIN_POSITIVE * f64::from(row % 7)).collect();
        let growing: Vec<f64> = (0..500).map(|row| 10_f64.powi(row - 190)).collect();
        let negative: Vec<f64> = wave(500).iter().map(|value| -1e12 * value).collect();
        for values in [constant, step, huge, tiny, growing, negative] {
            for score in scores(&values) {
                assert!((0.0..=1.0).contains(&score), "{score}");
            }
        }
    }

    #[test]
    fn a_missing_value_scores_0_and_teaches_nothing() {
        let values = wave(700);
        let mut scorer = SeriesScorer::default();
        let mut with_gaps = Vec::new();
        for value in &values {
            with_gaps.push(scorer.observe(&[Some(*value)]));
        }
        assert_eq!(scorer.observe(&[None]), 0.0);
        assert_eq!(scorer.observe(&[Some(f64::NAN)]), 0.0);
        assert_eq!(with_gaps, scores(&values));
    }
}
