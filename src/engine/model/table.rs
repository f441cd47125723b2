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

    /// The rows that are wanted, in their order.
    pub(super) fn only(&self, wanted: &[bool]) -> Table {
        fn kept<T: Copy>(values: &[T], wanted: &[bool]) -> Vec<T> {
            let both = values.iter().zip(wanted);
            both.filter(|(_, wanted)| **wanted).map(|(value, _)| *value).collect()
        }
        let column = |column: &Column| Column {
            name: column.name.clone(),
            values: match &column.values {
                Values::Numbers(numbers) => Values::Numbers(kept(numbers, wanted)),
                Values::Texts { names, places } => Values::Texts {
                    names: names.clone(),
                    places: kept(places, wanted),
                },
            },
        };
        Table::new(self.columns.iter().map(column).collect())
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }
}
