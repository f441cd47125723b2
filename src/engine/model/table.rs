//! Rows to learn from: named columns of numbers or of texts, in which a value may be missing.

/// What stands in one place of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Missing,
    /// A finite number.
    Number(f64),
    /// One of a set of words.
    Text(&'a str),
}

/// A table; every column has as many values as there are rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its values.
    pub values: Values,
}

/// The values of a column.
#[derive(Clone, Debug)]
pub enum Values {
    /// Finite numbers; NaN is missing.
    Numbers(Vec<f64>),
    /// Words, each once in `names`, by their places there; [`Values::MISSING`] is missing.
    Texts {
        /// The different words.
        names: Vec<String>,
        /// For each row the place of its word.
        places: Vec<u32>,
    },
}

impl Values {
    /// The place of a word that is not there.
    pub const MISSING: u32 = u32::MAX;

    fn len(&self) -> usize {
        match self {
            Values::Numbers(numbers) => numbers.len(),
            Values::Texts { places, .. } => places.len(),
        }
    }

    /// What stands in a row.
    pub fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Values::Numbers(numbers) => Some(numbers[row]).filter(|number| number.is_finite()).map(Cell::Number),
            Values::Texts { names, places } => names.get(places[row] as usize).map(|name| Cell::Text(name)),
        }
        .unwrap_or(Cell::Missing)
    }

    /// The values of these rows; words that are in none of them are left out.
    fn select(&self, rows: &[u32]) -> Values {
        match self {
            Values::Numbers(numbers) => Values::Numbers(rows.iter().map(|row| numbers[*row as usize]).collect()),
            Values::Texts { names, places } => {
                let mut new_places = vec![Values::MISSING; names.len()];
                let mut kept: Vec<String> = Vec::new();
                let selected = rows.iter().map(|row| {
                    let old = places[*row as usize] as usize;
                    let Some(new) = new_places.get_mut(old) else {
                        return Values::MISSING;
                    };
                    if *new == Values::MISSING {
                        *new = kept.len() as u32;
                        kept.push(names[old].clone());
                    }
                    *new
                });
                let places = selected.collect();
                Values::Texts { names: kept, places }
            }
        }
    }
}

/// What the rows of a table are known to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// For each row whether it is normal.
    pub normal: Vec<bool>,
}

impl Labels {
    /// How many rows are normal.
    pub fn normal_rows(&self) -> usize {
        self.normal.iter().filter(|normal| **normal).count()
    }

    /// The normal rows of a table.
    pub(super) fn normal_of(&self, table: &Table) -> Table {
        let rows = (0u32..).zip(&self.normal).filter(|(_, normal)| **normal);
        table.select(&rows.map(|(row, _)| row).collect::<Vec<_>>())
    }
}

impl Table {
    /// A table of these columns.
    ///
    /// # Panics
    /// When the columns are not of one length: whoever builds them counts rows once.
    pub fn new(columns: Vec<Column>) -> Table {
        let rows = columns.first().map_or(0, |column| column.values.len());
        assert!(columns.iter().all(|column| column.values.len() == rows));
        Table { columns }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// A column's place by its name.
    pub fn place_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// A table of the rows in these places, in this order.
    pub fn select(&self, rows: &[u32]) -> Table {
        let columns = self.columns.iter().map(|column| Column {
            name: column.name.clone(),
            values: column.values.select(rows),
        });
        Table::new(columns.collect())
    }

    /// The table without the columns for which `is_wanted` says so.
    pub fn keep(&self, mut is_wanted: impl FnMut(&Column) -> bool) -> Table {
        let columns = self.columns.iter().filter(|column| is_wanted(column));
        Table::new(columns.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selected_rows_hold_what_they_held_and_no_word_of_others() {
        let table = Table::new(vec![
            Column {
                name: "bytes".to_owned(),
                values: Values::Numbers(vec![1.0, f64::NAN, 3.0]),
            },
            Column {
                name: "user".to_owned(),
                values: Values::Texts {
                    names: vec!["ann".to_owned(), "bob".to_owned()],
                    places: vec![0, 1, Values::MISSING],
                },
            },
        ]);
        let part = table.select(&[2, 1, 1]);
        let rows = |column: usize| {
            (0..3)
                .map(|row| part.columns()[column].values.cell(row))
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(0), [Cell::Number(3.0), Cell::Missing, Cell::Missing]);
        assert_eq!(rows(1), [Cell::Missing, Cell::Text("bob"), Cell::Text("bob")]);
        assert!(matches!(&part.columns()[1].values, Values::Texts { names, .. } if names == &["bob"]));
        assert_eq!(table.keep(|column| column.name == "user").columns().len(), 1);
    }
}
