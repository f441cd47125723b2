//! Models of vectors: rows of numbers that have no names, as detectors keep them, whose differences of less than 1 mean
//! little.

use super::table::{Cell, Column, Table, Values};
use super::{Kind, Model, Parameters, Settings, Training, Unfit};

/// What of a sequence is strange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceWords {
    /// The token that is least probable where it stands.
    pub seen: String,
    /// What stands before it, as far as that matters.
    pub behind: String,
    /// What usually stands there.
    pub usual: String,
    /// A token that comes more or less often than is usual: how often, and how often it usually does.
    pub count: Option<(String, u8, u8)>,
}

impl SequenceWords {
    /// The same as a person reads it.
    pub fn said(&self) -> String {
        let behind = if self.behind.is_empty() {
            "the beginning"
        } else {
            &self.behind
        };
        let usual = if self.usual.is_empty() || self.usual == self.seen {
            String::new()
        } else {
            format!(" (usually {})", self.usual)
        };
        let mut said = format!("{} behind {behind}{usual}", self.seen);
        if let Some((token, times, usual)) = &self.count
            && times != usual
        {
            said.push_str(&format!(", {token} {times} times (usually {usual})"));
        }
        said
    }
}

impl Model {
    /// Learns from rows of one width, in which NaN is missing.
    ///
    /// # Errors
    /// When the rows are too few, too wide, or all the same.
    pub fn of_vectors(rows: &[&[f32]], kind: Kind, seed: u64) -> Result<Model, Unfit> {
        let width = rows.first().map_or(0, |row| row.len());
        let number = |row: &[f32], place: usize| row.get(place).copied().map_or(f64::NAN, f64::from);
        let columns = (0..width).map(|place| Column {
            name: String::new(),
            values: Values::Numbers(rows.iter().map(|row| number(row, place)).collect()),
        });
        let settings = Settings {
            kind,
            seed,
            rows: Training::Apart,
            parameters: Parameters::default(),
        };
        let table = Table::new(columns.collect());
        if width == 0 || rows.len() < super::ROWS_MIN {
            return Err(Unfit::TooFew { rows: rows.len() });
        }
        let coder = super::Coder::of_levels(&table);
        let mut codes = super::Codes::new(coder.width());
        coder.code_table(&table, &mut codes.codes);
        let (model, _) = Model::learn_by(coder, codes, &table, &settings)?;
        Ok(model)
    }

    /// Learns from sequences of tokens with blanks between them, in the order in which they came.
    ///
    /// # Errors
    /// When they are too few.
    pub fn of_sequences<'t>(texts: impl Iterator<Item = &'t str>, seed: u64) -> Result<Model, Unfit> {
        let names: Vec<String> = texts.map(str::to_owned).collect();
        let places = (0..names.len() as u32).collect();
        let column = Column {
            name: String::new(),
            values: Values::Texts { names, places },
        };
        let settings = Settings {
            kind: Kind::Sequence,
            seed,
            rows: Training::Apart,
            parameters: Parameters::default(),
        };
        Model::learn(&Table::new(vec![column]), &settings)
    }

    /// The surprise of a sequence, `-log10` of how often sequences like those learned from are at least as strange.
    pub fn surprise_of_sequence(&self, text: &str) -> f64 {
        let mut surprises = Vec::with_capacity(1);
        self.surprises(&[Cell::Text(text)], &mut surprises);
        surprises.first().copied().unwrap_or(0.0)
    }

    /// What of a sequence is strange, for people.
    pub fn words_of_sequence(&self, text: &str) -> SequenceWords {
        let Some(why) = self.sequence().map(|sequence| sequence.explain(text)) else {
            return SequenceWords::default();
        };
        let step = why.steps.into_iter().next();
        let count = why.counts.into_iter().next();
        SequenceWords {
            seen: step.as_ref().map(|step| step.token.clone()).unwrap_or_default(),
            behind: step.as_ref().map(|step| step.behind.join(" ")).unwrap_or_default(),
            usual: step.and_then(|step| step.usual).unwrap_or_default(),
            count: count.and_then(|count| Some((count.token?, count.times, count.usual))),
        }
    }

    /// The surprise of a row, `-log10` of how often rows like those learned from are at least as strange.
    pub fn surprise_of_vector(&self, row: &[f32]) -> f64 {
        let mut surprises = Vec::with_capacity(1);
        self.surprises(&cells(row), &mut surprises);
        surprises.first().copied().unwrap_or(0.0)
    }

    /// Which numbers make a row strange, the strongest first: their places and their shares, which add up to 1.
    pub fn blame_of_vector(&self, row: &[f32]) -> Vec<(usize, f64)> {
        let blame = self.explain(&cells(row)).into_iter();
        blame.map(|blame| (blame.column, blame.share)).collect()
    }
}

fn cells(row: &[f32]) -> Vec<Cell<'static>> {
    let cell = |number: &f32| {
        if number.is_finite() {
            Cell::Number(f64::from(*number))
        } else {
            Cell::Missing
        }
    };
    row.iter().map(cell).collect()
}
