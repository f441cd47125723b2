//! Scores one time series as it streams by: how surprising is each value, given all values before it.
//!
//! Two questions are asked of every row. Is the *value* far from any value seen before (`novelty.rs`)? Is the last
//! *stretch* of rows far from any stretch seen before (`pattern.rs`): the last 8 rows one by one, and more coarsely the
//! last 256 and 4,096? Each distance is judged by the tail of all earlier distances of its kind (`tail.rs`), so the
//! answers are probabilities and need no unit or scale. Value and last rows look at the same moment, so their p-values
//! are joined by Fisher's method; the coarse stretches end only once in 16 rows or less, so the strongest is taken.
//!
//! The more was seen, the more often something odd happens by chance, so the surprise is lowered by the square root of
//! the rows seen. And a series that was told about k times already shows that its odd rows are commoner than the
//! model thinks: the surprise is lowered by log10(1 + k), where what was told counts less the longer ago it was.
//! An incident is told once: after a telling score the following ones are held below `TELLING` until the series was
//! quiet for a share of the rows seen so far.
//!
//! Row i depends on rows 0..i only; times and gaps between rows are not looked at. State changes by comparison, + - x
//! and / alone. Memory is bounded by the limits in the three files: at most 2 MB a column, about 1 MB of it after
//! 100,000 rows. A row costs a few microseconds, most of them the search for the nearest stretch.

mod novelty;
mod pattern;
mod tail;

use novelty::Known;
use pattern::{Patterns, Shape};
use tail::Tail;

/// A score that is worth telling: the threshold to use with `anomaly_score`.
pub const TELLING: f64 = 0.4;
/// Quiet rows, as a share of all rows seen, after which an incident is over.
const REST_SHARE: f64 = 0.04;
/// Rows at which the surprise is neither raised nor lowered for the length of the past.
const ROWS_REFERENCE: f64 = 1000.0;
/// Scores are `s / (s + HALF_SURPRISE)`.
const HALF_SURPRISE: f64 = 3.0;
/// Rows whose distances are not learned: they are great because hardly anything was known to be near to.
const START_ROWS: u64 = 100;
/// The stretches whose p-value is joined with the value's.
const LAST_ROWS: Shape = Shape { points: 8, step: 1 };
/// The stretches that stand for themselves.
const COARSE: [Shape; 2] = [Shape { points: 16, step: 16 }, Shape { points: 16, step: 256 }];

/// The learned past of one series, or of several that are judged together.
#[derive(Clone, Debug)]
pub struct SeriesScorer {
    rows: u64,
    /// The last row whose surprise was telling, told or not.
    hot_row: Option<u64>,
    /// The sum of the numbers, counted from 1, of the rows that were told.
    told_rows: f64,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    known: Known,
    distances: Tail,
    last_rows: Watched,
    coarse: [Watched; 2],
}

/// Stretches of one shape, and the tail of their distances.
#[derive(Clone, Debug)]
struct Watched {
    patterns: Patterns,
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
            told_rows: 0.0,
            columns: vec![Column::new(); columns],
        }
    }

    /// Judges a row, one value for each column, then learns it. The score is in `[0, 1)`, rounded to 9 digits. A
    /// value that is missing or not finite is neither judged nor learned; a row without any scores 0.
    pub fn observe(&mut self, values: &[Option<f64>]) -> f64 {
        let learn = self.rows >= START_ROWS;
        self.rows += 1;
        let mut strongest = 0.0_f64;
        for (column, value) in self.columns.iter_mut().zip(values) {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                // Half the range keeps the distance of any two finite numbers finite.
                strongest = strongest.max(column.surprise(value / 2.0, learn));
            }
        }
        let surprise = if strongest > 0.0 {
            (strongest - self.allowance()).max(0.0)
        } else {
            0.0
        };
        let surprise = (surprise * 1e6).round() / 1e6;
        (self.tell(surprise) * 1e9).round() / 1e9
    }

    /// What a surprise is lowered by: the smallest p of several columns counts times their number; the longer the
    /// past, the rarer "rare" must be; and what was told before was less rare than it seemed.
    fn allowance(&self) -> f64 {
        let rows = self.rows as f64;
        let columns = self.columns.len().max(1) as f64;
        columns.log10() + 0.5 * (rows / ROWS_REFERENCE).log10() + (1.0 + self.told_rows / rows).log10()
    }

    /// The score of a surprise, held below `TELLING` while an incident that was told goes on.
    fn tell(&mut self, surprise: f64) -> f64 {
        let score = surprise / (surprise + HALF_SURPRISE);
        if score < TELLING {
            return score;
        }
        let rest = REST_SHARE * self.rows as f64;
        let again = self.hot_row.is_some_and(|hot| (self.rows - hot) as f64 <= rest);
        self.hot_row = Some(self.rows);
        if again {
            return score * TELLING;
        }
        self.told_rows += self.rows as f64;
        score
    }
}

impl Column {
    fn new() -> Column {
        Column {
            known: Known::default(),
            distances: Tail::default(),
            last_rows: Watched::new(LAST_ROWS),
            coarse: COARSE.map(Watched::new),
        }
    }

    fn surprise(&mut self, value: f64, learn: bool) -> f64 {
        let distance = self.known.distance(value);
        self.known.learn(value);
        let value_surprise = judge(&mut self.distances, distance, learn);
        let moment = joined(value_surprise, self.last_rows.surprise(value, learn));
        let coarse = self.coarse.iter_mut().map(|watched| watched.surprise(value, learn));
        coarse.fold(moment, f64::max)
    }
}

impl Watched {
    fn new(shape: Shape) -> Watched {
        Watched {
            patterns: Patterns::new(shape),
            distances: Tail::default(),
        }
    }

    fn surprise(&mut self, value: f64, learn: bool) -> f64 {
        let distance = self.patterns.observe(value);
        judge(&mut self.distances, distance, learn)
    }
}

fn judge(tail: &mut Tail, distance: Option<f64>, learn: bool) -> f64 {
    let Some(distance) = distance else { return 0.0 };
    let surprise = tail.surprise(distance);
    if learn {
        tail.learn(distance);
    }
    surprise
}

/// Two surprises about one moment, joined by Fisher's method: p = p1 p2 (1 - ln(p1 p2)).
fn joined(value: f64, stretch: f64) -> f64 {
    let both = value + stretch;
    (both - (1.0 + both * std::f64::consts::LN_10).log10()).max(0.0)
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

    /// Series that have little in common, all of 1,500 rows.
    fn kinds() -> Vec<Vec<f64>> {
        let of = |value: &dyn Fn(i32) -> f64| (0..1500).map(value).collect::<Vec<f64>>();
        vec![
            of(&|_| 3.0),
            of(&|row| if row < 700 { 0.0 } else { 1e6 }),
            of(&|row| if row % 2 == 0 { f64::MAX } else { f64::MIN }),
            of(&|row| if row == 900 { f64::MAX } else { f64::from(row % 5) }),
            of(&|row| f64::MIN_POSITIVE * f64::from(row % 7)),
            of(&|row| 10_f64.powi(row / 2 - 440)),
            of(&|row| f64::from(row) * 17.0),
            of(&|row| f64::from(row % 600)),
            wave(1500).iter().map(|value| -1e12 * value).collect(),
        ]
    }

    #[test]
    fn every_kind_of_series_gives_scores_between_0_and_1() {
        for values in kinds() {
            for score in scores(&values) {
                assert!((0.0..1.0).contains(&score), "{score}");
            }
        }
    }

    #[test]
    fn a_prefix_of_every_kind_with_gaps_and_several_columns_scores_as_in_the_whole() {
        let kinds = kinds();
        let row_of = |row: usize| -> Vec<Option<f64>> {
            let present = |column: usize| row * 7 % (column + 3) != 1;
            let value = |(column, values): (usize, &Vec<f64>)| present(column).then(|| values[row]);
            kinds.iter().enumerate().map(value).collect()
        };
        let run = |rows: usize| -> Vec<f64> {
            let mut scorer = SeriesScorer::new(kinds.len());
            (0..rows).map(|row| scorer.observe(&row_of(row))).collect()
        };
        let whole = run(1500);
        for rows in [1, 101, 160, 700, 902, 1499] {
            assert_eq!(run(rows), whole[..rows]);
        }
    }

    #[test]
    fn another_unit_or_sign_changes_nothing() {
        let values = wave(2500);
        let wanted = scores(&values);
        for factor in [1024.0, -1.0, -1.0 / 4096.0] {
            let other: Vec<f64> = values.iter().map(|value| value * factor).collect();
            assert_eq!(scores(&other), wanted, "{factor}");
        }
    }

    #[test]
    fn a_day_without_its_shape_is_told_though_no_value_is_new() {
        let mut values = wave(4000);
        values[1800] = values[1799];
        let night = values[..20].to_vec();
        for row in 3000..3300 {
            values[row] = night[row % 20];
        }
        let scores = scores(&values);
        let told: Vec<usize> = (300..4000).filter(|row| scores[*row] >= TELLING).collect();
        assert!(told.iter().any(|row| (3000..3560).contains(row)), "{told:?}");
        assert!(told.len() <= 4, "{told:?}");
    }

    #[test]
    fn a_new_level_is_told_once_and_learned() {
        let mut values = wave(4000);
        values[1800] = values[1799];
        for value in &mut values[2500..] {
            *value += 100.0;
        }
        let scores = scores(&values);
        assert!(scores[2500] >= TELLING);
        let told = scores[2501..].iter().filter(|score| **score >= TELLING).count();
        assert_eq!(told, 0);
    }

    #[test]
    fn what_was_told_before_is_less_surprising_when_it_comes_again() {
        let told_after = |earlier: &[f64]| {
            let mut scorer = SeriesScorer::default();
            for row in 0..1000 {
                scorer.observe(&[Some(f64::from(row % 10))]);
            }
            scorer.told_rows = earlier.iter().sum();
            scorer.observe(&[Some(1e3)])
        };
        let (none, old, new) = (told_after(&[]), told_after(&[300.0]), told_after(&[300.0, 900.0]));
        assert!(none > old && old > new, "{none} {old} {new}");
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
