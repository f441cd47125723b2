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
}
