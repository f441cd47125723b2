//! What a table looks like: of each column the kind of its values, their range or words, and how often one is missing.
//!
//! A schema is learned from rows and holds its own tolerances, so what is checked is what it says: far outside the range
//! is a mistake at once (a unit that changed, a broken counter); a little outside, words never seen, and missing values
//! are when there are more of them than rows like these would have by chance.

use super::table::{Column, Table, Values};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Words that are kept for a column; one that has more is not checked for new ones.
const WORDS_MAX: usize = 1024;
/// How many breadths of the range a number may lie outside of it.
const BREADTHS_OUTSIDE: f64 = 10.0;
/// Share of rows that may lie outside the range, and what is added to other shares: what a part of a table may differ by.
const SHARE_MARGIN: f64 = 0.05;
/// Violations that are told at most.
pub const VIOLATIONS_MAX: usize = 20;

/// What the columns of a table look like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The columns.
    pub columns: Vec<ColumnSchema>,
}

/// What a column looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSchema {
    /// Its name.
    pub name: String,
    /// Share of rows without a value.
    pub missing_share: f64,
    /// The share that is tolerated.
    pub missing_share_max: f64,
    /// What the values are.
    pub holds: Holds,
}

/// What the values of a column are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Holds {
    /// Numbers.
    Numbers {
        /// The lowest and highest that were seen.
        range: (f64, f64),
        /// Share of rows outside that is tolerated.
        outside_share_max: f64,
        /// Beyond these a single row is a violation.
        limits: (f64, f64),
    },
    /// Words of a set.
    Words {
        /// Those that were seen, sorted.
        words: Vec<String>,
        /// Share of rows with another that is tolerated.
        unseen_share_max: f64,
    },
    /// Texts of which new ones keep coming.
    Texts,
    /// Nothing: every value was missing.
    Nothing,
}

/// Where rows differ from a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// The column's name.
    pub column: String,
    /// The first row that differs; nothing when it is the column itself.
    pub row: Option<usize>,
    /// What differs.
    pub problem: String,
}

impl Schema {
    /// Learns what a table looks like.
    pub fn of(table: &Table) -> Schema {
        let columns = table.columns().iter().map(|column| {
            let missing = (0..table.rows()).filter(|row| is_missing(&column.values, *row)).count();
            let missing_share = share(missing, table.rows());
            ColumnSchema {
                name: column.name.clone(),
                missing_share,
                missing_share_max: (missing_share * 1.5 + SHARE_MARGIN).min(1.0),
                holds: match missing == table.rows() {
                    true => Holds::Nothing,
                    false => holds(column),
                },
            }
        });
        Schema {
            columns: columns.collect(),
        }
    }

    /// Columns that hold one value only, or none.
    pub fn constant(&self) -> impl Iterator<Item = &ColumnSchema> {
        self.columns.iter().filter(|column| match &column.holds {
            Holds::Numbers { range, .. } => range.0 == range.1 && column.missing_share == 0.0,
            Holds::Words { words, .. } => words.len() == 1 && column.missing_share == 0.0,
            Holds::Texts => false,
            Holds::Nothing => true,
        })
    }

    /// Where a table differs, [`VIOLATIONS_MAX`] at most. Rows are counted from 0.
    pub fn check(&self, table: &Table) -> Vec<Violation> {
        let mut found = Vec::new();
        for known in &self.columns {
            match table.columns().iter().find(|column| column.name == known.name) {
                Some(column) => known.check(&column.values, table.rows(), &mut found),
                None => found.push(known.violation(None, "is not there")),
            }
        }
        for column in table.columns() {
            if !self.columns.iter().any(|known| known.name == column.name) {
                found.push(Violation {
                    column: column.name.clone(),
                    row: None,
                    problem: "is not in the schema".to_owned(),
                });
            }
        }
        found.truncate(VIOLATIONS_MAX);
        found
    }
}

impl ColumnSchema {
    fn violation(&self, row: Option<usize>, problem: impl Into<String>) -> Violation {
        Violation {
            column: self.name.clone(),
            row,
            problem: problem.into(),
        }
    }

    fn check(&self, values: &Values, rows: usize, found: &mut Vec<Violation>) {
        let mut first_missing = None;
        let mut missing = 0;
        for row in (0..rows).filter(|row| is_missing(values, *row)) {
            missing += 1;
            first_missing.get_or_insert(row);
        }
        if share(missing, rows) > self.missing_share_max {
            found.push(self.violation(
                first_missing,
                over("have no value", missing, rows, self.missing_share_max),
            ));
        }
        if missing == rows {
            return;
        }
        match (&self.holds, values) {
            (Holds::Numbers { .. }, Values::Numbers(numbers)) => self.check_numbers(numbers, found),
            (
                Holds::Words {
                    words,
                    unseen_share_max,
                },
                Values::Texts { names, places },
            ) if words.len() < WORDS_MAX => {
                let unseen: Vec<bool> = names.iter().map(|name| words.binary_search(name).is_err()).collect();
                let is_unseen = |place: &u32| unseen.get(*place as usize).copied().unwrap_or(false);
                let count = places.iter().filter(|place| is_unseen(place)).count();
                if share(count, rows) > *unseen_share_max {
                    let row = places.iter().position(is_unseen);
                    let shown = row.and_then(|row| names.get(places[row] as usize));
                    let problem = over("have words never seen", count, rows, *unseen_share_max);
                    found.push(self.violation(row, format!("{:?}: {problem}", shown.map_or("", String::as_str))));
                }
            }
            (Holds::Words { .. } | Holds::Texts, Values::Texts { .. }) | (Holds::Nothing, _) => {}
            (Holds::Numbers { .. }, Values::Texts { .. }) => {
                let row = (0..rows).find(|row| !is_missing(values, *row));
                found.push(self.violation(row, "holds words where the schema has numbers"));
            }
            (Holds::Words { .. } | Holds::Texts, Values::Numbers(_)) => {
                let row = (0..rows).find(|row| !is_missing(values, *row));
                found.push(self.violation(row, "holds numbers only where the schema has words"));
            }
        }
    }

    fn check_numbers(&self, numbers: &[f64], found: &mut Vec<Violation>) {
        let Holds::Numbers {
            range,
            outside_share_max,
            limits,
        } = &self.holds
        else {
            return;
        };
        // Comparisons with what is missing are false, so it lies nowhere.
        let is_outside = |number: &f64, (low, high): (f64, f64)| *number < low || *number > high;
        if let Some(row) = numbers.iter().position(|number| is_outside(number, *limits)) {
            let (low, high) = limits;
            let problem = format!(
                "{} is far outside of what was seen (limits {low} to {high})",
                numbers[row]
            );
            found.push(self.violation(Some(row), problem));
        }
        let outside = numbers.iter().filter(|number| is_outside(number, *range)).count();
        if share(outside, numbers.len()) > *outside_share_max {
            let row = numbers.iter().position(|number| is_outside(number, *range));
            let what = format!("are outside of {} to {}", range.0, range.1);
            found.push(self.violation(row, over(&what, outside, numbers.len(), *outside_share_max)));
        }
    }
}

fn over(what: &str, count: usize, rows: usize, share_max: f64) -> String {
    format!("{count} of {rows} rows {what} (at most {:.1} % may)", 100.0 * share_max)
}

fn share(count: usize, rows: usize) -> f64 {
    count as f64 / rows.max(1) as f64
}

fn is_missing(values: &Values, row: usize) -> bool {
    match values {
        Values::Numbers(numbers) => !numbers[row].is_finite(),
        Values::Texts { places, .. } => places[row] == Values::MISSING,
    }
}

fn holds(column: &Column) -> Holds {
    match &column.values {
        Values::Numbers(numbers) => {
            let finite = numbers.iter().copied().filter(|number| number.is_finite());
            let (low, high) = finite.fold((f64::MAX, f64::MIN), |(low, high), number| {
                (low.min(number), high.max(number))
            });
            let breadth = (high - low).max(low.abs().max(high.abs())) * BREADTHS_OUTSIDE;
            // What was never below 0 is an amount; below 0 it is broken.
            let lowest = if low >= 0.0 { 0.0 } else { low - breadth };
            Holds::Numbers {
                range: (low, high),
                outside_share_max: SHARE_MARGIN,
                limits: (lowest.max(f64::MIN), (high + breadth).min(f64::MAX)),
            }
        }
        Values::Texts { names, places } => {
            let mut rows = vec![0usize; names.len()];
            for place in places.iter().filter(|place| **place != Values::MISSING) {
                rows[*place as usize] += 1;
            }
            let seen = rows.iter().filter(|rows| **rows > 0).count();
            if seen > WORDS_MAX || (seen > 64 && seen * 2 > rows.iter().sum()) {
                return Holds::Texts;
            }
            let words: BTreeSet<&String> = names
                .iter()
                .zip(&rows)
                .filter(|(_, rows)| **rows > 0)
                .map(|(name, _)| name)
                .collect();
            // As many rows have a word never seen as had one that was seen once (Good, "The population frequencies of
            // species and the estimation of population parameters", 1953).
            let once = rows.iter().filter(|rows| **rows == 1).count();
            Holds::Words {
                words: words.into_iter().cloned().collect(),
                unseen_share_max: (2.0 * share(once, places.len()) + SHARE_MARGIN).min(1.0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bytes: Vec<f64>, users: &[&str]) -> Table {
        let mut names: Vec<String> = Vec::new();
        let places = users.iter().map(|user| {
            let place = names.iter().position(|name| name == user);
            place.unwrap_or_else(|| {
                names.push((*user).to_owned());
                names.len() - 1
            }) as u32
        });
        let places = places.collect();
        Table::new(vec![
            Column {
                name: "bytes".to_owned(),
                values: Values::Numbers(bytes),
            },
            Column {
                name: "user".to_owned(),
                values: Values::Texts { names, places },
            },
        ])
    }

    fn usual(rows: usize) -> Table {
        let users: Vec<&str> = (0..rows).map(|row| ["ann", "bob", "eve"][row % 3]).collect();
        table((0..rows).map(|row| (row % 40) as f64).collect(), &users)
    }

    fn check(changed: &Table, expected: &[(&str, Option<usize>, &str)]) {
        let found = Schema::of(&usual(200)).check(changed);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (violation, (column, row, problem)) in found.iter().zip(expected) {
            assert_eq!((violation.column.as_str(), violation.row), (*column, *row), "{found:?}");
            assert!(violation.problem.contains(problem), "{found:?}");
        }
    }

    #[test]
    fn what_differs_is_told_with_its_column_and_first_row() {
        check(&usual(200), &[]);
        check(&usual(120), &[]);
        let users = |count: usize| vec!["ann"; count];
        let with = |row: usize, number: f64| {
            let mut bytes: Vec<f64> = (0..100).map(|row| f64::from(row % 40)).collect();
            bytes[row] = number;
            table(bytes, &users(100))
        };
        check(&with(7, 1e9), &[("bytes", Some(7), "1000000000 is far outside")]);
        check(&with(7, -1.0), &[("bytes", Some(7), "-1 is far outside")]);
        check(&with(7, 60.0), &[]);
        let shifted = table((0..100).map(|row| f64::from(row % 40 + 20)).collect(), &users(100));
        check(&shifted, &[("bytes", Some(20), "of 100 rows are outside of 0 to 39")]);
        let missing = table(
            (0..100).map(|row| if row < 90 { 1.0 } else { f64::NAN }).collect(),
            &users(100),
        );
        check(
            &missing,
            &[("bytes", Some(90), "10 of 100 rows have no value (at most 5.0 % may)")],
        );
        let mut strangers = users(100);
        strangers[80..].fill("trudy");
        check(
            &table(vec![1.0; 100], &strangers),
            &[("user", Some(80), "\"trudy\": 20 of 100 rows have words never seen")],
        );
        let swapped = Table::new(vec![Column {
            name: "user".to_owned(),
            values: Values::Numbers(vec![1.0; 10]),
        }]);
        check(
            &swapped,
            &[("bytes", None, "is not there"), ("user", Some(0), "numbers only")],
        );
        let more = Schema::of(&swapped).check(&usual(10));
        assert!(
            more.iter().any(|violation| violation.problem == "is not in the schema"),
            "{more:?}"
        );
    }

    #[test]
    fn constant_and_empty_columns_are_known() {
        let schema = Schema::of(&table(vec![f64::NAN; 3], &["ann", "ann", "ann"]));
        let names: Vec<&str> = schema.constant().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["bytes", "user"]);
        assert_eq!(schema.columns[0].holds, Holds::Nothing);
    }
}
