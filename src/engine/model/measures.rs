//! How good judgements are: what they find at which price, and whether their probabilities are true.
//!
//! Rows of equal score are told together or not at all, so every measure is the same in whatever order rows come.

use super::random::Random;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, DiscreteCDF as _};

/// The p at which calibration is looked at.
pub const NOMINALS: [f64; 4] = [1e-1, 1e-2, 1e-3, 1e-4];
/// False-alarm rates at which recall is told.
pub const FALSE_ALARM_RATES: [f64; 3] = [1e-2, 1e-3, 1e-4];
/// Rows that p makes expected from which on a rate can be compared with it.
pub const EXPECTED_MIN: f64 = 100.0;
/// Times that entities are drawn anew for an interval, and draws in all that are worth it.
const RESAMPLES_MAX: usize = 1000;
const DRAWS_MAX: usize = 20_000_000;
/// The two ends of an interval that holds 95 %.
const ENDS: (f64, f64) = (0.025, 0.975);

/// What is told from a score on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The score.
    pub score: f64,
    /// Normal rows that reach it.
    pub false_alarms: u64,
    /// Bad rows that reach it.
    pub hits: u64,
}

/// How far scores set bad rows apart from normal ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Separation {
    /// Normal rows.
    pub normal: u64,
    /// Bad rows.
    pub bad: u64,
    /// For each score, falling, what is told from it on.
    pub points: Vec<Point>,
}

impl Separation {
    /// Of rows with their scores, and whether they are bad; nothing unless there are both kinds.
    pub fn of(rows: impl Iterator<Item = (f64, bool)>) -> Option<Separation> {
        let mut rows: Vec<(f64, bool)> = rows.collect();
        rows.sort_by(|left, right| right.0.total_cmp(&left.0));
        let mut points: Vec<Point> = Vec::new();
        let (mut false_alarms, mut hits) = (0, 0);
        for (place, (score, is_bad)) in rows.iter().enumerate() {
            false_alarms += u64::from(!is_bad);
            hits += u64::from(*is_bad);
            if rows.get(place + 1).is_none_or(|next| next.0 < *score) {
                points.push(Point {
                    score: *score,
                    false_alarms,
                    hits,
                });
            }
        }
        (false_alarms > 0 && hits > 0).then_some(Separation {
            normal: false_alarms,
            bad: hits,
            points,
        })
    }

    /// The area under recall over false-alarm rate: how often a bad row scores above a normal one.
    pub fn roc_area(&self) -> f64 {
        let mut last = (0, 0);
        let mut area = 0.0;
        for point in &self.points {
            area += (point.false_alarms - last.0) as f64 * (point.hits + last.1) as f64 / 2.0;
            last = (point.false_alarms, point.hits);
        }
        area / self.normal as f64 / self.bad as f64
    }

    /// The area under precision over recall, as the mean precision at each bad row (average precision).
    pub fn pr_area(&self) -> f64 {
        let mut last = 0;
        let mut area = 0.0;
        for point in &self.points {
            let precision = point.hits as f64 / (point.hits + point.false_alarms) as f64;
            area += (point.hits - last) as f64 * precision;
            last = point.hits;
        }
        area / self.bad as f64
    }

    /// The lowest score at which no more than this share of the normal rows is told; nothing where there are too few to
    /// allow a single one, or where the highest score of all is shared by more.
    pub fn at_false_alarm_rate(&self, rate: f64) -> Option<Point> {
        let allowed = (rate * self.normal as f64 + 1e-9) as u64;
        let within = self.points.partition_point(|point| point.false_alarms <= allowed);
        let none = Point {
            score: f64::INFINITY,
            false_alarms: 0,
            hits: 0,
        };
        (allowed > 0).then(|| within.checked_sub(1).map_or(none, |place| self.points[place]))
    }

    /// Share of the bad rows that a point tells.
    pub fn recall(&self, point: &Point) -> f64 {
        point.hits as f64 / self.bad as f64
    }
}

/// The standard error of an area under recall over false-alarm rate (Hanley and McNeil, "The meaning and use of the area
/// under a receiver operating characteristic curve", 1982).
pub fn roc_area_error(area: f64, normal: usize, bad: usize) -> f64 {
    let (one, two) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area));
    let (normal, bad) = (normal as f64, bad as f64);
    let square = area * (1.0 - area) + (bad - 1.0) * (one - area * area) + (normal - 1.0) * (two - area * area);
    (square / (normal * bad)).max(0.0).sqrt()
}

/// How often normal rows reach a p, beside how often they should.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// The p.
    pub nominal: f64,
    /// How many rows should reach it.
    pub expected: f64,
    /// How many do.
    pub told: u64,
    /// `told` over `expected`.
    pub ratio: f64,
    /// Where the ratio lies with 95 % confidence.
    pub interval: (f64, f64),
    /// Whether there are enough rows to judge by ([`EXPECTED_MIN`]).
    pub is_enough: bool,
}

/// How true the surprises (`-log10 p`) of normal rows are. `entities` says of each row whom it is about: rows of one
/// entity come together, so intervals are over entities drawn anew; without, every row is one.
pub fn calibration(surprises: &[f64], entities: Option<&[u32]>, seed: u64) -> Vec<Calibrated> {
    let rows = surprises.len();
    if rows == 0 {
        return Vec::new();
    }
    let reaches = |surprise: f64, nominal: f64| surprise >= -nominal.log10() - 1e-9;
    let told = NOMINALS.map(|nominal| surprises.iter().filter(|surprise| reaches(**surprise, nominal)).count());
    let intervals = match entities {
        None => told.map(|told| drawn_rows(rows, told)),
        Some(entities) => {
            let count = entities.iter().max().map_or(0, |last| *last as usize + 1);
            let mut groups = vec![[0u32; NOMINALS.len() + 1]; count];
            for (entity, surprise) in entities.iter().zip(surprises) {
                let group = &mut groups[*entity as usize];
                for (told, nominal) in group.iter_mut().zip(NOMINALS) {
                    *told += u32::from(reaches(*surprise, nominal));
                }
                group[NOMINALS.len()] += 1;
            }
            drawn_entities(&groups, seed)
        }
    };
    let places = NOMINALS.iter().zip(told).zip(intervals);
    places
        .map(|((nominal, told), (low, high))| {
            let expected = nominal * rows as f64;
            Calibrated {
                nominal: *nominal,
                expected,
                told: told as u64,
                ratio: told as f64 / expected,
                interval: (low / nominal, high / nominal),
                is_enough: expected >= EXPECTED_MIN,
            }
        })
        .collect()
}

/// Between which shares rows drawn anew are told: their number then has the binomial law, which needs no drawing. Where
/// none is told, drawing anew would tell none for sure; the share may still be what makes none as likely as an end is.
fn drawn_rows(rows: usize, told: usize) -> (f64, f64) {
    let share = told as f64 / rows as f64;
    if told == 0 {
        return (0.0, 1.0 - ENDS.0.powf(1.0 / rows as f64));
    }
    match Binomial::new(share, rows as u64) {
        Ok(law) if told < rows => {
            let end = |p: f64| law.inverse_cdf(p) as f64 / rows as f64;
            (end(ENDS.0), end(ENDS.1))
        }
        _ => (share, share),
    }
}

fn drawn_entities(groups: &[[u32; NOMINALS.len() + 1]], seed: u64) -> [(f64, f64); NOMINALS.len()] {
    let resamples = (DRAWS_MAX / groups.len().max(1)).clamp(100, RESAMPLES_MAX);
    let mut random = Random::part(seed, 0);
    let mut shares: [Vec<f64>; NOMINALS.len()] = Default::default();
    for _ in 0..resamples {
        let mut sums = [0u64; NOMINALS.len() + 1];
        for _ in 0..groups.len() {
            let group = &groups[random.below(groups.len())];
            sums.iter_mut()
                .zip(group)
                .for_each(|(sum, count)| *sum += u64::from(*count));
        }
        let rows = sums[NOMINALS.len()].max(1) as f64;
        for (shares, sum) in shares.iter_mut().zip(sums) {
            shares.push(sum as f64 / rows);
        }
    }
    shares.map(|mut shares| {
        shares.sort_by(f64::total_cmp);
        let end = |p: f64| shares[((shares.len() - 1) as f64 * p).round() as usize];
        (end(ENDS.0), end(ENDS.1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 rows whose scores have few values, so that many are equal.
    fn rows() -> Vec<(f64, bool)> {
        (0..400u32)
            .map(|row| {
                let is_bad = row % 7 == 0;
                let score = f64::from(row * 37 % 101 / 4) / 4.0 + if is_bad { f64::from(row % 5) } else { 0.0 };
                (score, is_bad)
            })
            .collect()
    }

    #[test]
    fn areas_and_recalls_are_those_of_another_program() {
        // scikit-learn 1.9.1 on the same rows: roc_auc_score, average_precision_score, and the highest tpr of
        // roc_curve(drop_intermediate=False) with fpr <= rate.
        let separation = Separation::of(rows().into_iter()).expect("both kinds are there");
        assert_eq!((separation.normal, separation.bad), (342, 58));
        assert!(
            (separation.roc_area() - 0.730_464_811_453_922_2).abs() < 1e-12,
            "{}",
            separation.roc_area()
        );
        assert!(
            (separation.pr_area() - 0.488_590_600_101_851_7).abs() < 1e-12,
            "{}",
            separation.pr_area()
        );
        for (rate, recall) in [(0.1, 23.0 / 58.0), (0.05, 21.0 / 58.0), (0.01, 16.0 / 58.0)] {
            let point = separation.at_false_alarm_rate(rate).expect("there are enough");
            assert!((separation.recall(&point) - recall).abs() < 1e-12, "{rate}: {point:?}");
        }
        assert_eq!(
            separation.at_false_alarm_rate(1e-3),
            None,
            "of 342 rows not one may be told"
        );
        assert!(Separation::of([(1.0, false)].into_iter()).is_none());
    }

    #[test]
    fn the_error_of_an_area_is_the_papers() {
        // Hanley and McNeil 1982, table II: an area of .893 over 58 normal and 51 abnormal cases has an error of .032.
        assert!((roc_area_error(0.893, 58, 51) - 0.032).abs() < 1e-3);
    }

    #[test]
    fn uniform_p_are_calibrated_and_halved_ones_are_not() {
        let mut random = Random::part(5, 0);
        let uniform: Vec<f64> = (0..100_000).map(|_| -(1.0 - random.uniform()).log10()).collect();
        for entities in [None, Some((0..100_000).map(|row| row % 500).collect::<Vec<u32>>())] {
            for told in calibration(&uniform, entities.as_deref(), 1) {
                assert!(told.interval.0 <= 1.0 && 1.0 <= told.interval.1, "{told:?}");
                assert_eq!(told.is_enough, told.nominal > 5e-4);
            }
        }
        let halved: Vec<f64> = uniform.iter().map(|surprise| surprise + 2f64.log10()).collect();
        let told = calibration(&halved, None, 1);
        assert!(told[1].interval.0 > 1.8 && told[1].interval.1 < 2.2, "{:?}", told[1]);
    }

    #[test]
    fn rows_that_come_together_widen_the_interval() {
        let mut random = Random::part(6, 0);
        // Each of 200 entities has 50 rows of one p.
        let of_entities: Vec<f64> = (0..200).map(|_| -(1.0 - random.uniform()).log10()).collect();
        let surprises: Vec<f64> = (0..10_000).map(|row| of_entities[row / 50]).collect();
        let entities: Vec<u32> = (0..10_000).map(|row| row / 50).collect();
        let breadth = |entities| {
            let told = calibration(&surprises, entities, 1)[0];
            told.interval.1 - told.interval.0
        };
        assert!(breadth(Some(&entities)) > 4.0 * breadth(None));
    }
}
