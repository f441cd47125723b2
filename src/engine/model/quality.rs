//! How good a model is on rows that it did not learn from, by one number that candidates and versions are compared by.
//!
//! With labels, the number is the recall at one false alarm in a hundred. Without, it is how well the model tells rows
//! from *mixed* ones, in which every column keeps its values and their order is drawn anew: what such a row breaks is the
//! company that values keep, which is what models are for. It says nothing of columns whose values come independently,
//! or of a single column; calibration then decides, as it does between equals. For models of sequences the mixed ones
//! are spliced: the first half of one, the second half of another.

use super::measures::{Calibrated, Separation, calibration, roc_area_error};
use super::random::Random;
use super::table::{Column, Table, Values};
use super::{Cell, Model};
use serde::{Deserialize, Serialize};

/// Rows that are judged at most, of each kind: enough for an error of half a hundredth.
pub const JUDGED_ROWS_MAX: usize = 20_000;
/// Normal rows that a comparison needs at least.
pub const NORMAL_ROWS_MIN: usize = 100;
/// Bad rows that recall needs at least.
const BAD_ROWS_MIN: usize = 10;
/// The false-alarm rate of the recall.
const FALSE_ALARM_RATE: f64 = 0.01;
/// Rows that p makes expected from which on calibration says something of a candidate.
const EXPECTED_MIN: f64 = 10.0;
/// How far, in powers of ten, told and expected may be apart: a factor of 2.
const OFF_MAX: f64 = std::f64::consts::LOG10_2;

/// What the number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Recall of bad rows at a false-alarm rate of 1 %.
    Recall,
    /// The area under recall over false-alarm rate for mixed rows.
    MixedArea,
}

/// How good a model is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// What `value` is.
    pub criterion: Criterion,
    /// In 0..=1; more is better.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
    /// How true p is on the normal rows.
    pub calibration: Vec<Calibrated>,
    /// Normal rows that were judged.
    pub normal_rows: u64,
    /// Bad rows that were judged: labelled or mixed.
    pub bad_rows: u64,
}

/// Why a model can't judge a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A column is not there.
    #[error("column {0} is not there")]
    Absent(String),
    /// A column holds something else.
    #[error("column {0} does not hold what the model has learned it to hold")]
    Kind(String),
}

impl Model {
    /// Judges all rows of a table, whose columns are found by name.
    ///
    /// # Errors
    /// When a column is not there, or holds words in place of numbers or the other way round.
    pub fn judge(&self, table: &Table) -> Result<Vec<f64>, Mismatch> {
        let mut values = Vec::with_capacity(self.columns().names().len());
        for (place, name) in self.columns().names().iter().enumerate() {
            let column = table.columns().iter().find(|column| column.name == *name);
            let column = column.ok_or_else(|| Mismatch::Absent(name.clone()))?;
            let is_number = matches!(column.values, Values::Numbers(_));
            let is_empty = (0..table.rows()).all(|row| column.values.cell(row) == Cell::Missing);
            if is_number != self.columns().is_number(place) && !is_empty {
                return Err(Mismatch::Kind(name.clone()));
            }
            values.push(&column.values);
        }
        let mut surprises = Vec::with_capacity(table.rows());
        let mut cells = Vec::new();
        for row in 0..table.rows() {
            cells.extend(values.iter().map(|values| values.cell(row)));
            if cells.len() >= 4096 || row + 1 == table.rows() {
                self.surprises(&cells, &mut surprises);
                cells.clear();
            }
        }
        Ok(surprises)
    }
}

/// Rows that models are compared on.
#[derive(Clone, Debug)]
pub struct Yardstick {
    normal: Table,
    bad: Table,
    criterion: Criterion,
    seed: u64,
}

impl Yardstick {
    /// Of normal rows and, where there are labels, bad ones; nothing when the normal rows are too few.
    pub fn new(normal: &Table, bad: &Table, seed: u64) -> Option<Yardstick> {
        if normal.rows() < NORMAL_ROWS_MIN {
            return None;
        }
        let normal = thinned(normal);
        let (bad, criterion) = if bad.rows() < BAD_ROWS_MIN {
            (mixed(&normal, seed), Criterion::MixedArea)
        } else {
            (thinned(bad), Criterion::Recall)
        };
        Some(Yardstick {
            normal,
            bad,
            criterion,
            seed,
        })
    }

    /// The normal sequences of a column, each with the second half of another.
    fn spliced(&self, name: &str) -> Table {
        let mut columns = self.normal.columns().to_vec();
        columns.retain(|column| column.name == name);
        for column in &mut columns {
            let Values::Texts { names, places } = &mut column.values else {
                continue;
            };
            let mut others = places.clone();
            Random::part(self.seed, 0).shuffle(&mut others);
            let halves: Vec<(Vec<&str>, Vec<&str>)> = names
                .iter()
                .map(|name| {
                    let tokens: Vec<&str> = name.split_whitespace().collect();
                    let (first, second) = tokens.split_at(tokens.len() / 2);
                    (first.to_vec(), second.to_vec())
                })
                .collect();
            let both = places.iter().zip(&others);
            let spliced = both.map(|(one, other)| {
                let (one, other) = (halves.get(*one as usize)?, halves.get(*other as usize)?);
                Some([one.0.as_slice(), &other.1].concat().join(" "))
            });
            let spliced: Vec<Option<String>> = spliced.collect();
            *places = (0..)
                .zip(&spliced)
                .map(|(place, text)| text.as_ref().map_or(Values::MISSING, |_| place))
                .collect();
            *names = spliced.into_iter().map(Option::unwrap_or_default).collect();
        }
        Table::new(columns)
    }

    /// How good a model is.
    ///
    /// # Errors
    /// When it can't judge these rows.
    pub fn measure(&self, model: &Model) -> Result<Quality, Mismatch> {
        let normal = model.judge(&self.normal)?;
        let bad = match (model.sequence(), self.criterion) {
            (Some(_), Criterion::MixedArea) => model.judge(&self.spliced(&model.columns().names()[0])),
            _ => model.judge(&self.bad),
        }?;
        let (rows, strange) = (normal.len(), bad.len());
        let told = |surprises: &[f64], is_bad: bool| {
            surprises
                .iter()
                .map(move |surprise| (*surprise, is_bad))
                .collect::<Vec<_>>()
        };
        let separation = Separation::of(told(&normal, false).into_iter().chain(told(&bad, true)));
        let (value, error) = match (separation, self.criterion) {
            (None, _) => (0.0, 0.0),
            (Some(separation), Criterion::MixedArea) => {
                let area = separation.roc_area();
                (area, roc_area_error(area, rows, strange))
            }
            (Some(separation), Criterion::Recall) => {
                let point = separation.at_false_alarm_rate(FALSE_ALARM_RATE);
                let recall = point.map_or(0.0, |point| separation.recall(&point));
                // One row more or less is possible too where all or none are found.
                let share = (recall * strange as f64 + 1.0) / (strange as f64 + 2.0);
                (recall, (share * (1.0 - share) / strange as f64).sqrt())
            }
        };
        Ok(Quality {
            criterion: self.criterion,
            value,
            error,
            calibration: calibration(&normal, None, self.seed),
            normal_rows: rows as u64,
            bad_rows: strange as u64,
        })
    }
}

impl Quality {
    /// How far, in powers of ten, told and expected are apart at most.
    pub fn off(&self) -> f64 {
        let usable = self.calibration.iter().filter(|told| told.expected >= EXPECTED_MIN);
        usable
            .map(|told| ((told.told as f64 + 0.5) / (told.expected + 0.5)).log10().abs())
            .fold(0.0, f64::max)
    }

    /// In what this one is worse than one that is to be replaced, measured on the same rows; nothing when it may.
    pub fn worse_than(&self, other: &Quality) -> Option<String> {
        if self.value < other.value - self.error.max(other.error) {
            return Some(format!(
                "{} {:.3} is under {:.3}, by more than the error of {:.3}",
                self.criterion.name(),
                self.value,
                other.value,
                self.error.max(other.error)
            ));
        }
        (self.off() > OFF_MAX && self.off() > other.off()).then(|| {
            format!(
                "normal rows reach a p up to {:.1} times as often, or as seldom, as they should; those of the other version up to {:.1} times",
                10f64.powf(self.off()),
                10f64.powf(other.off())
            )
        })
    }
}

impl Criterion {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Criterion::Recall => "recall",
            Criterion::MixedArea => "mixed_area",
        }
    }
}

/// The place of the best: of all that are not worse than the best value by more than its error, the one whose p is
/// truest (Breiman et al., "Classification and regression trees", 1984, section 3.4.3, chooses so the simplest).
pub fn best(qualities: &[Quality]) -> Option<usize> {
    let top = qualities
        .iter()
        .max_by(|left, right| left.value.total_cmp(&right.value))?;
    let enough = top.value - top.error;
    let good = qualities
        .iter()
        .enumerate()
        .filter(|(_, quality)| quality.value >= enough);
    good.min_by(|left, right| left.1.off().total_cmp(&right.1.off()))
        .map(|(place, _)| place)
}

/// Rows drawn evenly.
fn thinned(table: &Table) -> Table {
    let step = table.rows().div_ceil(JUDGED_ROWS_MAX).max(1);
    let rows: Vec<u32> = (0..table.rows() as u32).step_by(step).collect();
    table.select(&rows)
}

/// A table of the same columns, each in an order of its own.
fn mixed(table: &Table, seed: u64) -> Table {
    let mut places: Vec<u32> = (0..table.rows() as u32).collect();
    let columns = table.columns().iter().enumerate().map(|(number, column)| {
        Random::part(seed, number).shuffle(&mut places);
        let alone = Table::new(vec![column.clone()]).select(&places);
        let values = alone.columns()[0].values.clone();
        Column {
            name: column.name.clone(),
            values,
        }
    });
    Table::new(columns.collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Parameters, Settings, Training};
    use super::*;

    fn pairs(rows: usize, seed: u64) -> Table {
        let mut random = Random::part(seed, 0);
        let one: Vec<f64> = (0..rows).map(|_| random.uniform()).collect();
        let other = one.iter().map(|one| one + 0.05 * random.uniform()).collect();
        let column = |name: &str, numbers| Column {
            name: name.to_owned(),
            values: Values::Numbers(numbers),
        };
        Table::new(vec![column("one", one), column("other", other)])
    }

    fn model(table: &Table, parameters: Parameters) -> Model {
        let settings = Settings {
            kind: Kind::Neighbours,
            seed: 1,
            rows: Training::Apart,
            parameters,
        };
        Model::learn(table, &settings).expect("there is enough")
    }

    fn quality(value: f64, told: u64) -> Quality {
        Quality {
            criterion: Criterion::Recall,
            value,
            error: 0.02,
            calibration: vec![Calibrated {
                nominal: 0.01,
                expected: 100.0,
                told,
                ratio: told as f64 / 100.0,
                interval: (0.0, 10.0),
                is_enough: true,
            }],
            normal_rows: 10_000,
            bad_rows: 500,
        }
    }

    #[test]
    fn a_model_that_knows_which_values_go_together_tells_mixed_rows() {
        let yardstick = Yardstick::new(&pairs(2000, 7), &Table::default(), 1).expect("there are enough");
        let fine = yardstick
            .measure(&model(&pairs(2000, 6), Parameters::default()))
            .expect("the same columns");
        let coarse = Parameters {
            parts: Some(16),
            part_rows: Some(1),
        };
        let coarse = yardstick
            .measure(&model(&pairs(2000, 6), coarse))
            .expect("the same columns");
        assert_eq!(fine.criterion, Criterion::MixedArea);
        assert!(
            fine.value > 0.85 && coarse.value < fine.value - 0.2,
            "{fine:?}, {coarse:?}"
        );
        assert!(coarse.worse_than(&fine).expect("it is worse").contains("mixed_area"));
        assert_eq!(fine.worse_than(&coarse), None);
        assert_eq!(best(&[coarse, fine]), Some(1));
        assert!(Yardstick::new(&pairs(99, 7), &Table::default(), 1).is_none());
    }

    /// Sessions of two programs that go round in circles, as do half of the splices.
    fn sessions(rows: usize) -> Table {
        let circles = ["open stat read close ", "bind wait send sleep "];
        let session = |row: usize| circles[row % 2].repeat(2 + row % 5).trim_end().to_owned();
        let column = |name: &str, names: Vec<String>| Column {
            name: name.to_owned(),
            values: Values::Texts {
                places: (0..names.len() as u32).collect(),
                names,
            },
        };
        let users = (0..rows).map(|row| format!("user-{}", row % 3)).collect();
        Table::new(vec![
            column("user", users),
            column("calls", (0..rows).map(session).collect()),
        ])
    }

    #[test]
    fn a_model_of_sequences_is_measured_by_spliced_ones() {
        let settings = Settings {
            kind: Kind::Sequence,
            seed: 1,
            rows: Training::Apart,
            parameters: Parameters::default(),
        };
        let model = Model::learn(&sessions(300), &settings).expect("there is enough");
        let yardstick = Yardstick::new(&sessions(200), &Table::default(), 1).expect("there are enough");
        let quality = yardstick.measure(&model).expect("the same columns");
        assert_eq!((quality.criterion, quality.bad_rows), (Criterion::MixedArea, 200));
        assert!((0.65..0.95).contains(&quality.value), "{quality:?}");
    }

    #[test]
    fn among_equals_the_truest_is_best_and_what_tells_too_much_fails() {
        assert_eq!(
            best(&[quality(0.90, 400), quality(0.89, 110), quality(0.5, 100)]),
            Some(1)
        );
        assert_eq!(best(&[]), None);
        let told = quality(0.9, 400)
            .worse_than(&quality(0.9, 100))
            .expect("it tells too much");
        assert!(told.contains("4.0 times"), "{told}");
        assert_eq!(quality(0.9, 150).worse_than(&quality(0.9, 100)), None);
        assert_eq!(quality(0.9, 400).worse_than(&quality(0.9, 600)), None);
    }

    #[test]
    fn other_columns_are_no_table_to_judge() {
        let model = model(&pairs(200, 6), Parameters::default());
        let absent = pairs(200, 6).keep(|column| column.name == "one");
        assert_eq!(model.judge(&absent), Err(Mismatch::Absent("other".to_owned())));
        let words = Table::new(vec![Column {
            name: "one".to_owned(),
            values: Values::Texts {
                names: vec!["x".to_owned()],
                places: vec![0],
            },
        }]);
        assert_eq!(model.judge(&words), Err(Mismatch::Kind("one".to_owned())));
    }
}
