//! Makes codes of rows: numbers without a unit, so that columns compare.
//!
//! A number becomes its normal score, the place in the standard normal law of its rank among the values learned from
//! (van der Waerden 1952): bytes, seconds and counts are then alike, whatever their law, and a value that half the rows
//! share is one point. Beyond what was seen the score hardly grows: being out of range counts, by how far counts little.
//! A text becomes the number of its category; one never seen is a category of its own. Where texts are hardly ever the
//! same, it becomes the normal score of the strangeness of its shape (`shape.rs`), the usual half of which is as good as
//! the rest. Missing is NaN.

use super::shape::Shape;
use super::table::{Cell, Column, Table, Values};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, Normal};

/// Columns at most.
pub const COLUMNS_MAX: usize = 1024;
/// Categories of a column at most, the commonest; rarer ones are like one never seen.
const CATEGORIES_MAX: usize = 4096;
/// Knots of a scale are this share of the nearer tail apart: its score is right to 1 % far out too, and there are
/// some 1,500 knots for a million values.
const KNOT_STEP: usize = 64;
/// Different texts from which on a column's texts may be of the kind that hardly ever repeats, which they are when most
/// rows have one of their own.
const TEXTS_MIN: usize = 64;
/// What a value ten times as far beyond the range adds to its score.
const BEYOND: f64 = 0.05;

/// The columns of a model and how their values become codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Coder {
    names: Vec<String>,
    codes: Vec<Code>,
}

/// How the values of a column become codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Code {
    /// A number becomes its normal score.
    Score(Scale),
    /// A text becomes its place among these, which are sorted; one that is not there comes after all.
    Category(Vec<String>),
    /// A text becomes the normal score of how strange its shape is.
    Shape {
        /// What shapes there are.
        shape: Shape,
        /// How strange they are.
        scale: Scale,
    },
    /// A text is a sequence of tokens, which no code stands for.
    Sequence,
    /// A number becomes its distance from the median in units of the breadth, but of 1 at least; far out by its logarithm.
    Level {
        /// The median.
        middle: f64,
        /// Half of what lies between the 16th and the 84th percentile, or 1 where that is less.
        breadth: f64,
    },
}

/// The normal scores of numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Scale {
    /// Values, rising, each with its score.
    knots: Vec<(f64, f32)>,
    /// The scores below and above everything seen.
    ends: (f32, f32),
    /// The breadth that distances beyond the range are counted in.
    breadth: f64,
}

/// From where the values of a column are measured, so that numbers of 32 bits tell them apart: from their middle when they
/// are close to each other and far from 0, as times are, or from 0 when they are of many sizes. Values over 3e38 are one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Origin {
    at: f64,
    middle: f64,
}

impl Origin {
    /// How far a value is from the origin; it grows with the value.
    pub(super) fn distance(&self, value: f64) -> f32 {
        (value - self.at) as f32
    }

    /// How far the value in the middle of the column is.
    pub(super) fn of_middle(&self) -> f32 {
        self.distance(self.middle)
    }

    /// The same of what is strange only when it is high.
    fn upper_distance(&self, value: f64) -> f32 {
        self.distance(value.max(self.middle))
    }
}

impl Coder {
    /// Learns the scales and categories of a table.
    pub(super) fn of(table: &Table) -> Coder {
        Coder {
            names: table.columns().iter().map(|column| column.name.clone()).collect(),
            codes: table.columns().iter().map(code_of).collect(),
        }
    }

    /// The columns of a model of sequences: one, of this name.
    pub(super) fn of_sequences(name: &str) -> Coder {
        Coder {
            names: vec![name.to_owned()],
            codes: vec![Code::Sequence],
        }
    }

    /// The coder of a table of numbers whose differences of less than 1 mean little.
    pub(super) fn of_levels(table: &Table) -> Coder {
        let level = |column: &Column| match &column.values {
            Values::Numbers(numbers) => {
                let mut sorted: Vec<f64> = numbers.iter().copied().filter(|number| number.is_finite()).collect();
                sorted.sort_by(f64::total_cmp);
                let at = |share: f64| sorted[(share * (sorted.len() - 1) as f64).round() as usize];
                match sorted.is_empty() {
                    true => Code::Level {
                        middle: 0.0,
                        breadth: 1.0,
                    },
                    false => Code::Level {
                        middle: at(0.5),
                        breadth: ((at(0.84) - at(0.16)) / 2.0).max(1.0),
                    },
                }
            }
            Values::Texts { .. } => code_of(column),
        };
        Coder {
            names: table.columns().iter().map(|column| column.name.clone()).collect(),
            codes: table.columns().iter().map(level).collect(),
        }
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether a column holds numbers.
    pub fn is_number(&self, column: usize) -> bool {
        matches!(self.codes[column], Code::Score(_) | Code::Level { .. })
    }

    pub(super) fn columns(&self) -> usize {
        self.codes.len()
    }

    /// Codes of a row.
    pub(super) fn width(&self) -> usize {
        self.codes.len()
    }

    pub(super) fn is_constant(&self) -> bool {
        self.codes.iter().all(|code| match code {
            Code::Score(scale) => scale.knots.len() <= 1,
            Code::Category(names) => names.len() <= 1,
            Code::Level { .. } | Code::Shape { .. } | Code::Sequence => false,
        })
    }

    /// For each column the number of categories that were seen, or none where codes are scores.
    pub(super) fn categories(&self) -> impl Iterator<Item = Option<usize>> {
        self.codes.iter().map(|code| match code {
            Code::Score(_) | Code::Level { .. } | Code::Shape { .. } | Code::Sequence => None,
            Code::Category(names) => Some(names.len()),
        })
    }

    /// Appends the codes of a row, which has one cell for each column. A cell of the wrong kind is like one never seen.
    pub(super) fn code(&self, row: &[Cell<'_>], codes: &mut Vec<f32>) {
        codes.extend(self.codes.iter().zip(row).map(|(code, cell)| match (code, cell) {
            (_, Cell::Missing) | (Code::Sequence, _) => f32::NAN,
            (Code::Score(scale), Cell::Number(number)) => scale.score(*number),
            (Code::Score(scale), Cell::Text(_)) => scale.ends.1,
            (Code::Level { middle, breadth }, Cell::Number(number)) => level((number - middle) / breadth),
            (Code::Level { .. }, Cell::Text(_)) => level(f64::MAX),
            (Code::Category(names), Cell::Text(text)) => place_of(names, text),
            (Code::Category(names), Cell::Number(_)) => names.len() as f32,
            (Code::Shape { shape, scale }, Cell::Text(text)) => scale.upper_score(shape.strangeness(text, false)),
            (Code::Shape { scale, .. }, Cell::Number(_)) => scale.ends.1,
        }));
    }

    /// Appends the codes of all rows of the table that was learned from.
    pub(super) fn code_table(&self, table: &Table, codes: &mut Vec<f32>) {
        let width = self.width();
        codes.resize(table.rows() * width, f32::NAN);
        for (place, (code, column)) in self.codes.iter().zip(table.columns()).enumerate() {
            let written = codes[place..].iter_mut().step_by(width);
            match (code, &column.values) {
                (Code::Score(scale), Values::Numbers(numbers)) => {
                    written
                        .zip(numbers)
                        .filter(|(_, number)| number.is_finite())
                        .for_each(|(code, number)| *code = scale.score(*number));
                }
                (Code::Level { middle, breadth }, Values::Numbers(numbers)) => {
                    written
                        .zip(numbers)
                        .filter(|(_, number)| number.is_finite())
                        .for_each(|(code, number)| *code = level((number - middle) / breadth));
                }
                (Code::Category(known), Values::Texts { names, places }) => {
                    let coded: Vec<f32> = names.iter().map(|name| place_of(known, name)).collect();
                    written.zip(places).for_each(|(code, place)| {
                        *code = coded.get(*place as usize).copied().unwrap_or(f32::NAN);
                    });
                }
                (Code::Shape { shape, scale }, Values::Texts { names, places }) => {
                    let strangeness = strangeness_of_own(shape, names, places);
                    written.zip(strangeness).for_each(|(code, strangeness)| {
                        *code = strangeness.map_or(f32::NAN, |strangeness| scale.upper_score(strangeness));
                    });
                }
                _ => unreachable!("the codes were made from this table's columns"),
            }
        }
    }

    /// From where the values of each column are measured.
    pub(super) fn origins(&self) -> Vec<Origin> {
        let origins = self.codes.iter().map(|code| match code {
            Code::Score(scale) | Code::Shape { scale, .. } => scale.origin(),
            Code::Category(_) | Code::Level { .. } | Code::Sequence => Origin::default(),
        });
        origins.collect()
    }

    /// The value of a score, where the column's codes are scores.
    pub(super) fn value(&self, column: usize, score: f32) -> Option<f64> {
        match &self.codes[column] {
            Code::Score(scale) | Code::Shape { scale, .. } => Some(scale.value(score)),
            Code::Category(_) | Code::Level { .. } | Code::Sequence => None,
        }
    }

    /// Appends a row's distances from the origins where codes are scores, and its codes elsewhere: what takes no search to
    /// find, and what a cut in scores can be made a cut in.
    pub(super) fn measure(&self, row: &[Cell<'_>], origins: &[Origin], measured: &mut Vec<f32>) {
        let columns = self.codes.iter().zip(row).zip(origins);
        measured.extend(columns.map(|((code, cell), origin)| match (code, cell) {
            (_, Cell::Missing) | (Code::Sequence, _) => f32::NAN,
            (Code::Score(_), Cell::Number(number)) => origin.distance(*number),
            (Code::Level { middle, breadth }, Cell::Number(number)) => level((number - middle) / breadth),
            (Code::Level { .. }, Cell::Text(_)) => level(f64::MAX),
            (Code::Score(_), Cell::Text(_)) | (Code::Shape { .. }, Cell::Number(_)) => f32::INFINITY,
            (Code::Shape { shape, .. }, Cell::Text(text)) => origin.upper_distance(shape.strangeness(text, false)),
            (Code::Category(names), Cell::Text(text)) => place_of(names, text),
            (Code::Category(names), Cell::Number(_)) => names.len() as f32,
        }));
    }

    /// The same for all rows of the table that was learned from, whose codes are given: they are changed in place.
    pub(super) fn measure_table(&self, table: &Table, origins: &[Origin], codes: &mut [f32]) {
        let width = self.width();
        let columns = self.codes.iter().zip(table.columns()).zip(origins).enumerate();
        for (place, ((code, column), origin)) in columns {
            let written = codes[place..].iter_mut().step_by(width);
            match (code, &column.values) {
                (Code::Score(_), Values::Numbers(numbers)) => {
                    let known = written.zip(numbers).filter(|(_, number)| number.is_finite());
                    known.for_each(|(code, number)| *code = origin.distance(*number));
                }
                (Code::Shape { shape, .. }, Values::Texts { names, places }) => {
                    let strangeness = strangeness_of_own(shape, names, places);
                    written.zip(strangeness).for_each(|(code, strangeness)| {
                        *code = strangeness.map_or(f32::NAN, |strangeness| origin.upper_distance(strangeness));
                    });
                }
                _ => {}
            }
        }
    }

    /// The value that a code stands for, for people.
    pub(super) fn decode(&self, column: usize, code: f32) -> String {
        if code.is_nan() {
            return "nothing".to_owned();
        }
        match &self.codes[column] {
            Code::Score(scale) => format!("{}", scale.value(code)),
            Code::Level { middle, breadth } => format!("{}", middle + breadth * unlevel(code)),
            Code::Category(names) => names
                .get(code as usize)
                .map_or("something never seen", String::as_str)
                .to_owned(),
            Code::Shape { .. } => "a text of the usual characters".to_owned(),
            Code::Sequence => "a sequence".to_owned(),
        }
    }
}

/// Distances up to here count whole.
const LEVEL_NEAR: f64 = 2.0;

/// A distance, far out by its logarithm: a thousand times as far is not a thousand times as strange.
fn level(distance: f64) -> f32 {
    let far = (distance.abs() / LEVEL_NEAR).max(1.0);
    (distance.clamp(-LEVEL_NEAR, LEVEL_NEAR) * (1.0 + far.ln())) as f32
}

/// The distance that a level stands for.
fn unlevel(level: f32) -> f64 {
    let level = f64::from(level);
    let far = (level.abs() / LEVEL_NEAR - 1.0).max(0.0);
    level.clamp(-LEVEL_NEAR, LEVEL_NEAR) * far.exp()
}

fn place_of(names: &[String], text: &str) -> f32 {
    names
        .binary_search_by(|name| name.as_str().cmp(text))
        .unwrap_or(names.len()) as f32
}

fn code_of(column: &Column) -> Code {
    match &column.values {
        Values::Numbers(numbers) => Code::Score(Scale::of(numbers)),
        Values::Texts { names, places } => {
            let mut rows = vec![0u64; names.len()];
            for place in places.iter().filter(|place| **place != Values::MISSING) {
                rows[*place as usize] += 1;
            }
            let different = rows.iter().filter(|rows| **rows > 0).count();
            if different >= TEXTS_MIN && different as u64 * 2 > rows.iter().sum::<u64>() {
                let counted = names.iter().zip(&rows);
                let shape =
                    Shape::of(counted.map(|(name, rows)| (name.as_str(), u32::try_from(*rows).unwrap_or(u32::MAX))));
                let strangeness: Vec<f64> = strangeness_of_own(&shape, names, places).flatten().collect();
                let scale = Scale::of(&strangeness);
                return Code::Shape { shape, scale };
            }
            let mut seen: Vec<(u64, &String)> = rows.into_iter().zip(names).filter(|(rows, _)| *rows > 0).collect();
            seen.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(right.1)));
            let mut kept: Vec<String> = seen
                .into_iter()
                .take(CATEGORIES_MAX)
                .map(|(_, name)| name.clone())
                .collect();
            kept.sort();
            Code::Category(kept)
        }
    }
}

/// How strange the shape of each row's text is among the others, or nothing where it is missing.
fn strangeness_of_own(shape: &Shape, names: &[String], places: &[u32]) -> impl Iterator<Item = Option<f64>> {
    let strangeness: Vec<f64> = names.iter().map(|name| shape.strangeness(name, true)).collect();
    places
        .iter()
        .map(move |place| strangeness.get(*place as usize).copied())
}

impl Scale {
    fn of(numbers: &[f64]) -> Scale {
        let mut sorted: Vec<f64> = numbers.iter().copied().filter(|number| number.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len().max(1) as f64;
        let normal = Normal::standard();
        let score = |share: f64| normal.inverse_cdf(share.clamp(0.5 / count, 1.0 - 0.5 / count)) as f32;
        let mut knots: Vec<(f64, f32)> = Vec::new();
        let mut place = 0;
        let mut last_kept = 0;
        while place < sorted.len() {
            let value = sorted[place];
            let same = sorted[place..].partition_point(|other| *other <= value);
            let tail = place.min(sorted.len() - place - same);
            if same + place - last_kept > tail / KNOT_STEP || place + same == sorted.len() {
                knots.push((value, score((place as f64 + same as f64 / 2.0) / count)));
                last_kept = place + same;
            }
            place += same;
        }
        let quartile = |share: f64| sorted.get((share * (count - 1.0)) as usize).copied().unwrap_or(0.0);
        let range = knots.last().map_or(0.0, |last| last.0 / 2.0 - knots[0].0 / 2.0);
        let breadth = (quartile(0.75) / 2.0 - quartile(0.25) / 2.0) * 2.0;
        Scale {
            knots,
            ends: (score(0.0), score(1.0)),
            breadth: [breadth, range, 1.0]
                .into_iter()
                .find(|breadth| *breadth > 0.0 && breadth.is_finite())
                .unwrap_or(1.0),
        }
    }

    fn score(&self, number: f64) -> f32 {
        let above = self.knots.partition_point(|knot| knot.0 <= number);
        match (
            above.checked_sub(1).map(|place| self.knots[place]),
            self.knots.get(above),
        ) {
            (Some(below), Some(above)) if number > below.0 => {
                let share = (number / 2.0 - below.0 / 2.0) / (above.0 / 2.0 - below.0 / 2.0);
                below.1 + (above.1 - below.1) * share as f32
            }
            (Some(last), None) if number > last.0 => self.ends.1 + self.beyond(number / 2.0 - last.0 / 2.0),
            (Some(same), _) => same.1,
            (None, Some(first)) => self.ends.0 - self.beyond(first.0 / 2.0 - number / 2.0),
            (None, None) => 0.0,
        }
    }

    /// The origin from which the most of the knots are told apart.
    fn origin(&self) -> Origin {
        let middle = self.value(0.0);
        let origin = |at| Origin { at, middle };
        let apart = |origin: &Origin| {
            let pairs = self.knots.windows(2);
            pairs
                .filter(|pair| origin.distance(pair[0].0) < origin.distance(pair[1].0))
                .count()
        };
        let (of_middle, of_zero) = (origin(middle), origin(0.0));
        if apart(&of_middle) >= apart(&of_zero) {
            of_middle
        } else {
            of_zero
        }
    }

    /// The score of what is strange only when it is high.
    fn upper_score(&self, number: f64) -> f32 {
        self.score(number).max(0.0)
    }

    /// What being `half` twice as far beyond the range adds.
    fn beyond(&self, half: f64) -> f32 {
        (BEYOND * (2.0 * (half / self.breadth)).ln_1p()) as f32
    }

    fn value(&self, score: f32) -> f64 {
        let above = self.knots.partition_point(|knot| knot.1 < score);
        match (
            above.checked_sub(1).map(|place| self.knots[place]),
            self.knots.get(above),
        ) {
            (Some(below), Some(above)) if score < above.1 => {
                let share = f64::from((score - below.1) / (above.1 - below.1));
                below.0 + (above.0 - below.0) * share
            }
            (_, Some(above)) => above.0,
            (Some(last), None) => last.0,
            (None, None) => 0.0,
        }
    }
}
