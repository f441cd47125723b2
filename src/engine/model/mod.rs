//! Models: what sees combinations. A model learns from the rows of a table and gives any row a strangeness, which its
//! calibration turns into a tail probability, so that models compare with each other and with the baselines.
//!
//! `table.rs` holds rows, `coder.rs` makes numbers of them that have no unit, `tail.rs` calibrates. Each other file is a
//! kind of model, and `sequence/` the one whose rows are sequences of tokens. Everything random comes from the seed, so the same rows and settings give the same model, bit for bit.
//!
//! Not here: files and their formats (`run`), per-entity state (`baseline`), series in which the order of the rows
//! matters (`series`).

mod autoencoders;
mod characters;
mod coder;
mod density;
mod isolation_forest;
pub mod measures;
mod neighbours;
mod parameters;
pub mod quality;
mod random;
mod random_forest;
pub mod schema;
mod sequence;
mod shape;
pub mod table;
mod tail;
mod vector;

pub use coder::{COLUMNS_MAX, Coder};
pub use parameters::{Parameters, Ranges};
pub use sequence::{Count, Sequence, State, Step, Why};
pub use table::{Cell, Column, Labels, Table, Values};
pub use vector::SequenceWords;

use autoencoders::Autoencoders;
use characters::Characters;
use density::Density;
use isolation_forest::IsolationForest;
use neighbours::Neighbours;
use random_forest::RandomForest;
use serde::{Deserialize, Serialize};
use tail::Tail;

/// Rows that a model can be learned from at least: fewer say nothing of what is rare.
pub const ROWS_MIN: usize = 8;
/// Rows that calibrate a model at most, drawn evenly; ranks beyond 1 in this many come from the tail's law.
const CALIBRATION_ROWS_MAX: usize = 50_000;
/// Rows judged in one go: they stay in the processor's nearest cache beside one tree.
const BATCH_ROWS: usize = 256;

/// A kind of model, by the name used in definitions and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Distance to the nearest of a few rows, over many small samples.
    Neighbours,
    /// How few random cuts set a row apart.
    IsolationForest,
    /// How badly small nets make a row again from fewer numbers.
    Autoencoder,
    /// Which token follows which, and how often each comes.
    Sequence,
    /// What characters texts are made of, and how they follow each other; learns from labelled rows.
    Characters,
    /// Trees grown to tell labelled rows apart.
    RandomForest,
    /// Distance to the nearest of a few centres, in its spread.
    KMeans,
    /// How unlikely a row is under a mixture of normal laws.
    GaussianMixture,
    /// Distance to the nearest row that has others near.
    Dbscan,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 9] = [
        Kind::Neighbours,
        Kind::IsolationForest,
        Kind::Autoencoder,
        Kind::Sequence,
        Kind::Characters,
        Kind::RandomForest,
        Kind::KMeans,
        Kind::GaussianMixture,
        Kind::Dbscan,
    ];
    /// The kinds that look at all columns of a row, and learn what is normal.
    #[cfg(feature = "learning")]
    pub const OF_ROWS: [Kind; 6] = [
        Kind::Neighbours,
        Kind::IsolationForest,
        Kind::Autoencoder,
        Kind::KMeans,
        Kind::GaussianMixture,
        Kind::Dbscan,
    ];
    /// The kinds that look at all columns of a row, and learn what is normal.
    #[cfg(not(feature = "learning"))]
    pub const OF_ROWS: [Kind; 3] = [Kind::Neighbours, Kind::IsolationForest, Kind::Autoencoder];

    /// The name, such as `isolation_forest`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Neighbours => "neighbours",
            Kind::IsolationForest => "isolation_forest",
            Kind::Autoencoder => "autoencoder",
            Kind::Sequence => "sequence",
            Kind::Characters => "characters",
            Kind::RandomForest => "random_forest",
            Kind::KMeans => "k_means",
            Kind::GaussianMixture => "gaussian_mixture",
            Kind::Dbscan => "dbscan",
        }
    }

    /// Whether models of this kind learn what is strange from labels; the others learn what is normal.
    pub const fn needs_labels(self) -> bool {
        matches!(self, Kind::Characters | Kind::RandomForest)
    }

    /// Whether models of this kind are of where rows are dense.
    const fn is_density(self) -> bool {
        matches!(self, Kind::KMeans | Kind::GaussianMixture | Kind::Dbscan)
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How to learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The kind of model.
    pub kind: Kind,
    /// Where randomness begins.
    pub seed: u64,
    /// What the rows to learn from are.
    pub rows: Training,
    /// How large the model is.
    pub parameters: Parameters,
}

/// What a model is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Training {
    /// Rows that are normal, or nearly all: what is judged comes from elsewhere.
    Apart,
    /// The very rows that are judged: what is strange is among them, perhaps in clusters, so samples are kept so small
    /// that a cluster seldom has a member in one.
    Judged,
}

/// Why no model was learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is too little.
    #[error("{rows} rows are too few to learn from (rows_min {ROWS_MIN})")]
    TooFew {
        /// How many there were.
        rows: usize,
    },
    /// Nothing to tell rows by.
    #[error("there is no column to learn from")]
    NoColumn,
    /// There is too much.
    #[error("{columns} columns are over columns_max ({COLUMNS_MAX})")]
    TooWide {
        /// How many there were.
        columns: usize,
    },
    /// None of the rows is labelled normal, or too few are.
    #[error("{rows} normal rows are too few to learn from (rows_min {ROWS_MIN})")]
    TooFewNormal {
        /// How many there were.
        rows: usize,
    },
    /// The kind learns from labels, and no row has one.
    #[error("a model of kind {} learns from labels, and there are none", .kind.name())]
    NoLabels {
        /// The kind.
        kind: Kind,
    },
    /// All rows are normal by their labels, or nearly all.
    #[error("{rows} rows that are not normal are too few to learn from (rows_min {ROWS_MIN})")]
    TooFewStrange {
        /// How many there were.
        rows: usize,
    },
    /// The kind reads texts, and there is none.
    #[error("there is no column of texts to learn from")]
    NoText,
    /// The kind reads texts, and there are too many.
    #[error("{columns} columns of texts are over columns_max ({columns_max})")]
    TooManyTexts {
        /// How many there were.
        columns: usize,
        /// How many there may be.
        columns_max: usize,
    },
    /// The kind compares every number with every other, and there are too many.
    #[error("the columns make {features} numbers, which is over features_max ({features_max})")]
    TooManyFeatures {
        /// How many there were.
        features: usize,
        /// How many there may be.
        features_max: usize,
    },
    /// Learning by a crate failed.
    #[error("learning failed: {error}")]
    Failed {
        /// What it said.
        error: String,
    },
    /// What learns the kind is not in this program.
    #[error("models of kind {} can be judged by but not learned: this program was built without the feature `learning`", .kind.name())]
    NotBuilt {
        /// The kind.
        kind: Kind,
    },
    /// Every column has one value only, so no row can be told from another.
    #[error("every column is constant: nothing can be learned")]
    Constant,
    /// No column is what a model of sequences looks at.
    #[error("no column holds sequences, most cells of which are tokens with blanks between them: there is {columns}")]
    NoSequences {
        /// The columns there are.
        columns: String,
    },
    /// A model of sequences looks at one column.
    #[error("several columns hold sequences: choose one of {columns}")]
    SeveralSequences {
        /// Those that do.
        columns: String,
    },
}

/// A learned model: its columns, what was learned, and how strange the rows it learned from were.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Model {
    coder: Coder,
    learned: Learned,
    tail: Tail,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Learned {
    Neighbours(Neighbours),
    IsolationForest(IsolationForest),
    Sequence(Box<Sequence>),
    Characters(Box<Characters>),
    RandomForest(RandomForest),
    Density(Density),
    Autoencoders(Autoencoders),
}

/// Rows as the coder wrote them: `width` codes a row, one column after the other; missing is NaN.
#[derive(Clone, Debug, Default)]
struct Codes {
    width: usize,
    codes: Vec<f32>,
}

impl Codes {
    fn new(width: usize) -> Codes {
        Codes {
            width,
            codes: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.codes.len() / self.width.max(1)
    }

    fn row(&self, place: usize) -> &[f32] {
        &self.codes[place * self.width..][..self.width]
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.codes.chunks_exact(self.width.max(1))
    }
}

/// What a column has to do with a row's strangeness.
#[derive(Clone, Debug, PartialEq)]
pub struct Blame {
    /// The column's place.
    pub column: usize,
    /// Its share of the strangeness; the shares of a row add up to 1.
    pub share: f64,
    /// The value that is typical for rows that are otherwise like this one.
    pub typical: String,
}

impl Model {
    /// Learns from `table`.
    ///
    /// # Errors
    /// When the rows are too few, too wide, or all the same.
    pub fn learn(table: &Table, settings: &Settings) -> Result<Model, Unfit> {
        if settings.kind == Kind::Sequence {
            return Model::learn_sequences(table, settings).map(|(model, _)| model);
        }
        if settings.kind.is_density() {
            return Model::learn_density(table, settings).map(|(model, _)| model);
        }
        Model::learn_coded(table, settings).map(|(model, _)| model)
    }

    /// Learns from `table`, of which `labels` says what its rows are. A kind that can't use labels learns from the normal
    /// rows alone.
    ///
    /// # Errors
    /// When the rows are too few, too wide, or all the same.
    ///
    /// # Panics
    /// When there are not as many labels as rows.
    pub fn learn_labelled(table: &Table, labels: &Labels, settings: &Settings) -> Result<Model, Unfit> {
        assert_eq!(table.rows(), labels.normal.len());
        match labels.normal_rows() {
            rows if rows < ROWS_MIN => return Err(Unfit::TooFewNormal { rows }),
            _ if !settings.kind.needs_labels() => return Model::learn(&labels.normal_of(table), settings),
            _ => check_size(table)?,
        }
        if Coder::of(table).is_constant() {
            return Err(Unfit::Constant);
        }
        let coder = Coder::of(&labels.normal_of(table));
        let (learned, mut raws) = match settings.kind {
            Kind::RandomForest => learn_random_forest(table, labels, &coder, settings.seed)?,
            _ => {
                let (characters, raws) = Characters::learn(table, labels, &coder, settings.seed)?;
                (Learned::Characters(Box::new(characters)), raws)
            }
        };
        Ok(Model {
            coder,
            learned,
            tail: Tail::of(&mut raws),
        })
    }

    /// Learns from `table` and judges its rows, each without the part of the model that it made itself. Gives their
    /// surprises, `-log10 p`, in order.
    ///
    /// # Errors
    /// When the rows are too few, too wide, or all the same.
    pub fn judge_itself(table: &Table, settings: &Settings) -> Result<Vec<f64>, Unfit> {
        if settings.kind == Kind::Sequence {
            let (model, strangeness) = Model::learn_sequences(table, settings)?;
            let surprise = |raw: &Option<f64>| raw.map_or(0.0, |raw| model.tail.surprise(raw));
            return Ok(strangeness.iter().map(surprise).collect());
        }
        if settings.kind.is_density() {
            let (model, strangeness) = Model::learn_density(table, settings)?;
            return Ok(strangeness.iter().map(|raw| model.tail.surprise(*raw)).collect());
        }
        let (model, codes) = Model::learn_coded(table, settings)?;
        let mut strangeness = vec![0.0; codes.len()];
        model.strangeness_of_own(&codes, 0..codes.len(), &mut strangeness);
        let tail = Tail::of(&mut strangeness.clone());
        Ok(strangeness.iter().map(|raw| tail.surprise(*raw)).collect())
    }

    /// Learns from the column of sequences. Gives for each row how strange it is to a model that it is no part of.
    fn learn_sequences(table: &Table, settings: &Settings) -> Result<(Model, Vec<Option<f64>>), Unfit> {
        if table.columns().is_empty() {
            return Err(Unfit::NoColumn);
        }
        let column = &table.columns()[sequence::column_of(table.columns())?];
        let Values::Texts { names, places } = &column.values else {
            unreachable!("a column of sequences holds texts")
        };
        let (sequence, strangeness) = Sequence::learn(names, places, settings.seed)?;
        let model = Model {
            coder: Coder::of_sequences(&column.name),
            learned: Learned::Sequence(Box::new(sequence)),
            tail: Tail::of(&mut strangeness.iter().copied().flatten().collect::<Vec<f64>>()),
        };
        Ok((model, strangeness))
    }

    /// Learns where rows are dense, and how strange each is.
    fn learn_density(table: &Table, settings: &Settings) -> Result<(Model, Vec<f64>), Unfit> {
        let (coder, codes) = code(table)?;
        let (learned, others) = learn_density(&coder, &codes, settings)?;
        let mut model = Model {
            coder,
            learned,
            tail: Tail::default(),
        };
        let mut strangeness = vec![0.0; codes.len()];
        model.strangeness(&codes, &mut strangeness);
        let mut calibrating = match settings.rows {
            Training::Apart => others.iter().map(|row| strangeness[*row as usize]).collect(),
            Training::Judged => strangeness.clone(),
        };
        model.tail = Tail::of(&mut calibrating);
        Ok((model, strangeness))
    }

    fn learn_coded(table: &Table, settings: &Settings) -> Result<(Model, Codes), Unfit> {
        let (coder, codes) = code(table)?;
        Model::learn_by(coder, codes, table, settings)
    }

    fn learn_by(coder: Coder, mut codes: Codes, table: &Table, settings: &Settings) -> Result<(Model, Codes), Unfit> {
        let learned = match settings.kind {
            Kind::Neighbours => Learned::Neighbours(Neighbours::learn(&coder, &codes, settings)),
            Kind::IsolationForest => {
                Learned::IsolationForest(IsolationForest::learn(&coder, table, &mut codes, settings))
            }
            Kind::Autoencoder => Learned::Autoencoders(Autoencoders::learn(&coder, &codes, settings)),
            Kind::Sequence => unreachable!("sequences are learned from as they are"),
            Kind::KMeans | Kind::GaussianMixture | Kind::Dbscan => unreachable!("densities have a way of their own"),
            kind @ (Kind::Characters | Kind::RandomForest) => return Err(Unfit::NoLabels { kind }),
        };
        let mut model = Model {
            coder,
            learned,
            tail: Tail::default(),
        };
        if settings.rows == Training::Apart {
            model.calibrate(&codes);
        }
        Ok((model, codes))
    }

    fn calibrate(&mut self, codes: &Codes) {
        let step = codes.len().div_ceil(CALIBRATION_ROWS_MAX);
        // Nets know the rows that they learned from: those that they did not see tell how strange rows are.
        let of_unseen = matches!(self.learned, Learned::Autoencoders(_));
        let drawn = (0..codes.len()).filter(|place| !of_unseen || autoencoders::is_unseen(*place));
        let drawn: Vec<usize> = drawn.step_by(step).collect();
        let mut raws = vec![0.0; drawn.len()];
        if let Learned::Neighbours(_) = self.learned {
            for (place, raw) in drawn.into_iter().zip(raws.chunks_mut(1)) {
                self.strangeness_of_own(codes, place..place + 1, raw);
            }
        } else {
            let mut rows = Codes::new(codes.width);
            drawn
                .iter()
                .for_each(|place| rows.codes.extend_from_slice(codes.row(*place)));
            self.strangeness_of_own(&rows, 0..rows.len(), &mut raws);
        }
        self.tail = Tail::of(&mut raws);
    }

    /// The columns, in the order that [`Model::surprises`] wants them in.
    pub fn columns(&self) -> &Coder {
        &self.coder
    }

    /// Judges rows: `cells` has one cell for each column of [`Model::columns`], row after row. Appends a surprise,
    /// `-log10` of how often rows like those learned from are at least as strange, for each.
    pub fn surprises(&self, cells: &[Cell<'_>], surprises: &mut Vec<f64>) {
        if let Learned::Sequence(sequence) = &self.learned {
            surprises.extend(cells.iter().map(|cell| match cell {
                Cell::Text(text) => self.tail.surprise(sequence.strangeness_of(text)),
                Cell::Number(number) => self.tail.surprise(sequence.strangeness_of(&number.to_string())),
                Cell::Missing => 0.0,
            }));
            return;
        }
        if let Learned::Characters(model) = &self.learned {
            let rows = cells.chunks_exact(self.coder.columns().max(1));
            surprises.extend(rows.map(|row| self.tail.surprise(model.strangeness(row, &self.coder))));
            return;
        }
        let mut codes = Codes::new(self.coder.width());
        let mut raws = [0.0; BATCH_ROWS];
        for rows in cells.chunks(BATCH_ROWS * self.coder.columns().max(1)) {
            codes.codes.clear();
            for row in rows.chunks_exact(self.coder.columns()) {
                self.code(row, &mut codes.codes);
            }
            let raws = &mut raws[..codes.len()];
            self.strangeness(&codes, raws);
            surprises.extend(raws.iter().map(|raw| self.tail.surprise(*raw)));
        }
    }

    /// What was learned of sequences, to judge them token by token, when this is a model of them.
    pub fn sequence(&self) -> Option<&Sequence> {
        match &self.learned {
            Learned::Sequence(sequence) => Some(sequence),
            _ => None,
        }
    }

    /// The surprise of a strangeness that [`Sequence::strangeness`] gave, `-log10 p`.
    pub fn surprise_of(&self, strangeness: f64) -> f64 {
        self.tail.surprise(strangeness)
    }

    /// Which columns make a row strange, the strongest first; the shares add up to 1.
    pub fn explain(&self, row: &[Cell<'_>]) -> Vec<Blame> {
        if let (Learned::Sequence(sequence), [cell]) = (&self.learned, row) {
            let typical = match cell {
                Cell::Text(text) => sequence.explain(text).to_string(),
                _ => "a sequence".to_owned(),
            };
            return vec![Blame {
                column: 0,
                share: 1.0,
                typical,
            }];
        }
        let mut codes = Vec::new();
        self.code(row, &mut codes);
        let mut shares = vec![0.0; self.coder.columns()];
        let mut typical = codes.clone();
        let mut told = vec![None; shares.len()];
        match &self.learned {
            Learned::Neighbours(model) => model.blame(&codes, &mut shares, &mut typical),
            Learned::IsolationForest(model) => model.blame(&codes, &mut shares, &mut typical),
            Learned::Autoencoders(model) => model.blame(&codes, &mut shares, &mut typical),
            Learned::Sequence(_) => {}
            Learned::Characters(model) => (shares, told) = model.blame(row, &self.coder),
            Learned::RandomForest(model) => model.blame(&codes, &mut shares, &mut typical),
            Learned::Density(model) => model.blame(&codes, &mut shares, &mut typical),
        }
        let total: f64 = shares.iter().sum();
        let even = 1.0 / shares.len() as f64;
        let mut blame: Vec<Blame> = shares
            .iter()
            .enumerate()
            .map(|(column, share)| Blame {
                column,
                share: if total > 0.0 { share / total } else { even },
                typical: told[column]
                    .take()
                    .unwrap_or_else(|| self.coder.decode(column, typical[column])),
            })
            .collect();
        blame.sort_by(|left, right| right.share.total_cmp(&left.share));
        blame
    }

    /// Appends what a row is judged by.
    fn code(&self, row: &[Cell<'_>], codes: &mut Vec<f32>) {
        match &self.learned {
            Learned::IsolationForest(forest) => forest.code(&self.coder, row, codes),
            _ => self.coder.code(row, codes),
        }
    }

    fn strangeness(&self, codes: &Codes, raws: &mut [f64]) {
        match &self.learned {
            Learned::Neighbours(model) => model.strangeness(codes, raws),
            Learned::IsolationForest(model) => model.strangeness(codes, raws),
            Learned::Autoencoders(model) => model.strangeness(codes, raws),
            Learned::Sequence(_) => {}
            Learned::RandomForest(model) => model.strangeness(codes, raws),
            Learned::Density(model) => model.strangeness(codes, raws),
            Learned::Characters(_) => {
                unreachable!("texts are judged as they are, and calibrated where they are learned")
            }
        }
    }

    /// The strangeness of rows that were learned from, of which `codes` holds all.
    fn strangeness_of_own(&self, codes: &Codes, rows: std::ops::Range<usize>, raws: &mut [f64]) {
        if let Learned::Neighbours(model) = &self.learned {
            for (place, raw) in rows.zip(raws) {
                *raw = model.strangeness_of_own(codes.row(place), place);
            }
            return;
        }
        let mut batch = Codes::new(codes.width);
        let mut done = 0;
        for chunk in codes.codes[rows.start * codes.width..rows.end * codes.width].chunks(BATCH_ROWS * codes.width) {
            batch.codes.clear();
            batch.codes.extend_from_slice(chunk);
            let count = batch.len();
            self.strangeness(&batch, &mut raws[done..done + count]);
            done += count;
        }
    }
}

#[cfg(feature = "learning")]
fn learn_random_forest(table: &Table, labels: &Labels, coder: &Coder, seed: u64) -> Result<(Learned, Vec<f64>), Unfit> {
    let (forest, raws) = RandomForest::learn(table, labels, coder, seed)?;
    Ok((Learned::RandomForest(forest), raws))
}

#[cfg(not(feature = "learning"))]
fn learn_random_forest(_: &Table, _: &Labels, _: &Coder, _: u64) -> Result<(Learned, Vec<f64>), Unfit> {
    Err(Unfit::NotBuilt {
        kind: Kind::RandomForest,
    })
}

#[cfg(feature = "learning")]
fn learn_density(coder: &Coder, codes: &Codes, settings: &Settings) -> Result<(Learned, Vec<u32>), Unfit> {
    let (density, others) = Density::learn(coder, codes, settings.kind, settings.seed)?;
    Ok((Learned::Density(density), others))
}

#[cfg(not(feature = "learning"))]
fn learn_density(_: &Coder, _: &Codes, settings: &Settings) -> Result<(Learned, Vec<u32>), Unfit> {
    Err(Unfit::NotBuilt { kind: settings.kind })
}

/// The codes of a table's rows.
fn code(table: &Table) -> Result<(Coder, Codes), Unfit> {
    check_size(table)?;
    let coder = Coder::of(table);
    if coder.is_constant() {
        return Err(Unfit::Constant);
    }
    let mut codes = Codes::new(coder.width());
    coder.code_table(table, &mut codes.codes);
    Ok((coder, codes))
}

/// There is enough to learn from, and not too much.
fn check_size(table: &Table) -> Result<(), Unfit> {
    match (table.rows(), table.columns().len()) {
        (_, 0) => Err(Unfit::NoColumn),
        (_, columns) if columns > COLUMNS_MAX => Err(Unfit::TooWide { columns }),
        (rows, _) if rows < ROWS_MIN => Err(Unfit::TooFew { rows }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::random::Random;
    use super::*;

    fn settings(kind: Kind, rows: Training) -> Settings {
        Settings {
            kind,
            seed: 1,
            rows,
            parameters: Parameters::default(),
        }
    }

    fn numbers(name: &str, numbers: Vec<f64>) -> Column {
        Column {
            name: name.to_owned(),
            values: Values::Numbers(numbers),
        }
    }

    /// Bytes that follow packets, and a protocol that goes with a port: every column alone is usual where two are not.
    fn traffic(rows: usize, seed: u64) -> Table {
        let mut random = Random::new(seed);
        let packets: Vec<f64> = (0..rows)
            .map(|_| 1.0 + (8.0 * random.uniform()).exp2().floor())
            .collect();
        let bytes = packets
            .iter()
            .map(|packets| packets * (600.0 + 200.0 * random.uniform()))
            .collect();
        let places: Vec<u32> = (0..rows).map(|_| random.below(2) as u32).collect();
        let ports = places.iter().map(|place| [53.0, 443.0][*place as usize]).collect();
        let protocols = Values::Texts {
            names: vec!["udp".to_owned(), "tcp".to_owned()],
            places,
        };
        Table::new(vec![
            numbers("packets", packets),
            numbers("bytes", bytes),
            numbers("port", ports),
            Column {
                name: "protocol".to_owned(),
                values: protocols,
            },
        ])
    }

    fn surprise(model: &Model, row: &[Cell<'_>]) -> f64 {
        let mut surprises = Vec::new();
        model.surprises(row, &mut surprises);
        surprises[0]
    }

    const USUAL: [Cell<'_>; 4] = [
        Cell::Number(20.0),
        Cell::Number(14_000.0),
        Cell::Number(443.0),
        Cell::Text("tcp"),
    ];

    /// The usual row with other cells in these places.
    fn unusual(cells: &[(usize, Cell<'static>)]) -> [Cell<'static>; 4] {
        let mut row = USUAL;
        for (place, cell) in cells {
            row[*place] = *cell;
        }
        row
    }

    #[test]
    fn what_is_out_of_range_or_never_seen_or_unlike_its_company_is_surprising_and_blamed() {
        let table = traffic(4000, 5);
        // Densities find the same strange, and may blame what goes with it.
        for kind in Kind::OF_ROWS.into_iter().filter(|kind| !kind.is_density()) {
            let model = Model::learn(&table, &settings(kind, Training::Apart)).expect("there is enough");
            let usual = surprise(&model, &USUAL);
            assert!(usual < 1.0, "{}: {usual}", kind.name());
            for (name, cells, blamed) in [
                ("range", &[(1, Cell::Number(1e9))][..], 1),
                ("category", &[(3, Cell::Text("icmp"))], 3),
            ] {
                let row = unusual(cells);
                let told = surprise(&model, &row);
                assert!(told > usual + 0.7, "{} {name}: {told}, usual is {usual}", kind.name());
                let blame = model.explain(&row);
                assert_eq!(blame[0].column, blamed, "{} {name}: {blame:?}", kind.name());
                let whole: f64 = blame.iter().map(|blame| blame.share).sum();
                assert!((whole - 1.0).abs() < 1e-9, "{} {name}: {whole}", kind.name());
            }
        }
        // Two columns, each usual alone: few packets with the bytes of many.
        let model = Model::learn(&table, &settings(Kind::Neighbours, Training::Apart)).expect("there is enough");
        let row = unusual(&[(0, Cell::Number(2.0)), (1, Cell::Number(150_000.0))]);
        assert!(surprise(&model, &row) > 2.0, "{}", surprise(&model, &row));
    }

    #[test]
    fn normal_rows_are_told_as_rarely_as_their_probability_says() {
        let fresh = traffic(20_000, 6);
        let mut cells = Vec::new();
        let (Values::Numbers(packets), Values::Numbers(bytes), Values::Numbers(ports), Values::Texts { names, places }) = (
            &fresh.columns()[0].values,
            &fresh.columns()[1].values,
            &fresh.columns()[2].values,
            &fresh.columns()[3].values,
        ) else {
            panic!("the table was made just above");
        };
        for row in 0..fresh.rows() {
            cells.extend([
                Cell::Number(packets[row]),
                Cell::Number(bytes[row]),
                Cell::Number(ports[row]),
                Cell::Text(&names[places[row] as usize]),
            ]);
        }
        for kind in Kind::OF_ROWS {
            let model = Model::learn(&traffic(20_000, 5), &settings(kind, Training::Apart)).expect("there is enough");
            let mut surprises = Vec::new();
            model.surprises(&cells, &mut surprises);
            for (bound, low, high) in [(1.0, 1600, 2400), (2.0, 130, 300), (3.0, 5, 45)] {
                let told = surprises.iter().filter(|surprise| **surprise >= bound).count();
                assert!(
                    (low..=high).contains(&told),
                    "{}, p 1e-{bound}: {told} of 20,000",
                    kind.name()
                );
            }
        }
    }

    #[test]
    fn one_seed_gives_one_model_and_a_saved_one_judges_alike() {
        for kind in Kind::OF_ROWS {
            let learn = || Model::learn(&traffic(500, 5), &settings(kind, Training::Apart)).expect("there is enough");
            let bytes = postcard::to_allocvec(&learn()).expect("a model has only plain parts");
            assert_eq!(bytes, postcard::to_allocvec(&learn()).expect("the same"));
            let again: Model = postcard::from_bytes(&bytes).expect("what was just written");
            let row = unusual(&[(1, Cell::Number(3.0))]);
            assert_eq!(surprise(&learn(), &row), surprise(&again, &row));
        }
    }

    #[test]
    fn a_missing_value_is_not_zero_and_constant_columns_say_nothing() {
        let mut with_gaps = traffic(1000, 5).columns().to_vec();
        if let Values::Numbers(packets) = &mut with_gaps[0].values {
            packets.iter_mut().step_by(3).for_each(|value| *value = f64::NAN);
        }
        with_gaps.push(numbers("site", vec![7.0; 1000]));
        let row = |first, site| {
            let rest = [USUAL[1], USUAL[2], USUAL[3], site];
            [&[first][..], &rest].concat()
        };
        for kind in Kind::OF_ROWS {
            let model = Model::learn(&Table::new(with_gaps.clone()), &settings(kind, Training::Apart))
                .expect("there is enough");
            let missing = surprise(&model, &row(Cell::Missing, Cell::Number(7.0)));
            let never = surprise(&model, &row(Cell::Number(-1e6), Cell::Number(7.0)));
            assert!(
                missing < 1.0 && never > missing + 0.5,
                "{}: {missing} {never}",
                kind.name()
            );
        }
    }

    #[test]
    fn too_little_is_refused_with_its_reason() {
        let settings = settings(Kind::Neighbours, Training::Judged);
        let refused = |columns: Vec<Column>| Model::judge_itself(&Table::new(columns), &settings).err();
        assert_eq!(refused(vec![]), Some(Unfit::NoColumn));
        assert_eq!(refused(vec![numbers("a", vec![1.0])]), Some(Unfit::TooFew { rows: 1 }));
        assert_eq!(refused(vec![numbers("a", vec![1.0; 50])]), Some(Unfit::Constant));
        let many = (0..COLUMNS_MAX + 1).map(|_| numbers("a", vec![1.0; 9])).collect();
        assert_eq!(
            refused(many),
            Some(Unfit::TooWide {
                columns: COLUMNS_MAX + 1
            })
        );
    }

    #[test]
    fn a_row_that_the_table_holds_once_is_the_strangest_of_it() {
        let mut columns = traffic(60, 5).columns().to_vec();
        for (column, strange) in columns.iter_mut().zip([500.0, 7.0, 8080.0]) {
            if let Values::Numbers(values) = &mut column.values {
                values[17] = strange;
            }
        }
        for kind in Kind::OF_ROWS {
            let told = Model::judge_itself(&Table::new(columns.clone()), &settings(kind, Training::Judged));
            let told = told.expect("there is enough");
            let strangest = (0..told.len()).max_by(|one, other| told[*one].total_cmp(&told[*other]));
            assert_eq!(strangest, Some(17), "{}", kind.name());
        }
    }
}
