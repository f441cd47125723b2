//! Grows the trees by the crate `smartcore`. It keeps them to itself, so they are read from what it writes of them.

use super::{Feature, MISSING, Node, RandomForest, Tree, What, log_odds, next, share_at_end};
use crate::engine::model::coder::Coder;
use crate::engine::model::random::Random;
use crate::engine::model::table::{Labels, Table};
use crate::engine::model::{Codes, ROWS_MIN, Unfit};
use serde::Deserialize;
use smartcore::ensemble::random_forest_classifier::{RandomForestClassifier, RandomForestClassifierParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;

/// Trees.
const TREES: u16 = 100;
/// Cuts on the way to a row at most.
const DEPTH_MAX: u16 = 24;
/// Rows that are learned from at most, drawn evenly.
pub(super) const ROWS_MAX: usize = 50_000;

/// What `smartcore` writes of a forest, as far as it is read here.
#[derive(Deserialize)]
struct WrittenForest {
    trees: Vec<WrittenTree>,
    /// For each tree whether it was grown from each row.
    samples: Vec<Vec<bool>>,
}

#[derive(Deserialize)]
struct WrittenTree {
    nodes: Vec<WrittenNode>,
}

#[derive(Deserialize)]
struct WrittenNode {
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

impl RandomForest {
    /// Learns from labelled rows, and tells how strange the normal ones are to the trees that did not see them.
    pub(in crate::engine::model) fn learn(
        table: &Table,
        labels: &Labels,
        coder: &Coder,
        seed: u64,
    ) -> Result<(RandomForest, Vec<f64>), Unfit> {
        let drawn = Random::part(seed, 0).places(ROWS_MAX, table.rows());
        let (normal, strange): (Vec<u32>, Vec<u32>) = drawn.iter().partition(|row| labels.normal[**row as usize]);
        if strange.len() < ROWS_MIN {
            return Err(Unfit::TooFewStrange { rows: strange.len() });
        }
        if normal.len() < ROWS_MIN {
            return Err(Unfit::TooFewNormal { rows: normal.len() });
        }
        // Normal rows come first. The coder learned from them, so each is coded as if it had not.
        let mut codes = Codes::new(coder.width());
        coder.code_table(&table.select(&normal), &mut codes.codes);
        let normal_codes = codes.clone();
        for row in &strange {
            let cells = table.columns().iter().map(|column| column.values.cell(*row as usize));
            coder.code(&cells.collect::<Vec<_>>(), &mut codes.codes);
        }
        let strange: Vec<bool> = (0..codes.len()).map(|row| row >= normal.len()).collect();
        let normal = normal_codes;
        let mut forest = RandomForest {
            features: features_of(coder, &normal),
            trees: Vec::new(),
            typical: (0..coder.width())
                .map(|column| typical_of(coder, &normal, column))
                .collect(),
        };
        let mut values = Vec::with_capacity(codes.len() * forest.features.len());
        let mut looked = Vec::new();
        for row in codes.rows() {
            forest.look_at(row, &mut looked);
            values.extend_from_slice(&looked);
        }
        let written = grow(&values, &strange, &forest.features, seed)?;
        let width = forest.features.len();
        for (tree, sample) in written.trees.iter().zip(&written.samples) {
            forest.trees.push(tree_of(tree, sample, &strange, &values, width));
        }
        let mut raws = Vec::new();
        for (row, values) in values.chunks_exact(width).enumerate().filter(|(row, _)| !strange[*row]) {
            let unseen = forest
                .trees
                .iter()
                .zip(&written.samples)
                .filter(|(_, sample)| !sample[row]);
            let mut shares = unseen.map(|(tree, _)| share_at_end(tree, values)).peekable();
            if shares.peek().is_some() {
                raws.push(log_odds(shares));
            }
        }
        Ok((forest, raws))
    }
}

/// The features of a row's columns; `normal` holds the codes of normal rows.
fn features_of(coder: &Coder, normal: &Codes) -> Vec<Feature> {
    let mut features = Vec::new();
    for (column, categories) in coder.categories().enumerate() {
        let feature = |what| Feature {
            column: column as u16,
            what,
        };
        features.push(feature(What::Code));
        if let Some(categories) = categories {
            let mut rows = vec![0u32; categories];
            for code in normal.rows().map(|row| row[column]).filter(|code| !code.is_nan()) {
                if let Some(count) = rows.get_mut(code as usize) {
                    *count += 1;
                }
            }
            let common = rows.iter().map(|rows| (*rows as f32).ln_1p()).collect();
            features.push(feature(What::Commonness(common)));
        }
    }
    features
}

/// Grows a forest and reads what is written of it.
fn grow(values: &[f32], strange: &[bool], features: &[Feature], seed: u64) -> Result<WrittenForest, Unfit> {
    let unfit = |error: String| Unfit::Failed { error };
    let matrix = DenseMatrix::new(strange.len(), features.len(), values.to_vec(), false);
    let matrix = matrix.map_err(|error| unfit(error.to_string()))?;
    let classes: Vec<u32> = strange.iter().map(|strange| u32::from(*strange)).collect();
    let parameters = RandomForestClassifierParameters::default()
        .with_n_trees(TREES)
        .with_max_depth(DEPTH_MAX)
        .with_keep_samples(true)
        .with_seed(seed);
    let forest = RandomForestClassifier::fit(&matrix, &classes, parameters);
    let forest = forest.map_err(|error| unfit(error.to_string()))?;
    let written = serde_json::to_vec(&forest).map_err(|error| unfit(error.to_string()))?;
    serde_json::from_slice(&written).map_err(|error| unfit(error.to_string()))
}

/// A tree as it is judged by, its shares from the rows that it was grown from.
fn tree_of(written: &WrittenTree, sample: &[bool], strange: &[bool], values: &[f32], width: usize) -> Tree {
    let mut tree: Tree = Vec::with_capacity(written.nodes.len());
    for node in &written.nodes {
        tree.push(match (node.split_value, node.true_child, node.false_child) {
            (Some(threshold), Some(below), Some(above)) => Node {
                feature: node.split_feature as u16,
                threshold: threshold as f32,
                below: below as u32,
                above: above as u32,
                share: 0.0,
            },
            _ => Node::default(),
        });
    }
    let mut came_by = vec![(0.5f32, 0.5f32); tree.len()];
    for (row, values) in values.chunks_exact(width).enumerate().filter(|(row, _)| sample[*row]) {
        let mut at = Some(0);
        while let Some(node) = at {
            let (normal, odd) = &mut came_by[node];
            *if strange[row] { odd } else { normal } += 1.0;
            at = next(&tree, node, values);
        }
    }
    for (node, (normal, odd)) in tree.iter_mut().zip(came_by) {
        node.share = odd / (normal + odd);
    }
    tree
}

/// The code in the middle of a column's, or its commonest category.
fn typical_of(coder: &Coder, normal: &Codes, column: usize) -> f32 {
    let mut codes: Vec<f32> = normal
        .rows()
        .map(|row| row[column])
        .filter(|code| !code.is_nan())
        .collect();
    codes.sort_by(f32::total_cmp);
    if codes.is_empty() {
        return f32::NAN;
    }
    match coder.categories().nth(column).flatten() {
        None => codes[codes.len() / 2],
        Some(_) => {
            let runs = codes.chunk_by(|one, other| one == other);
            runs.max_by_key(|run| run.len()).map_or(MISSING, |run| run[0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::{Cell, Column, Kind, Model, Parameters, Settings, Training, Values};

    const SETTINGS: Settings = Settings {
        kind: Kind::RandomForest,
        seed: 1,
        rows: Training::Apart,
        parameters: Parameters {
            parts: None,
            part_rows: None,
        },
    };

    /// Bytes by a port, and a service. What is strange has the bytes of one port on the other, or, in every fourth row, a
    /// service of its own.
    fn flows(rows: usize, seed: u64) -> (Table, Labels) {
        let mut random = Random::part(seed, 1);
        let (mut ports, mut bytes, mut services, mut normal) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            let strange = row % 4 == 3;
            let by_service = row % 16 == 3;
            let web = random.below(2) == 0;
            ports.push(if web { 443.0 } else { 53.0 });
            let large = web != (strange && !by_service);
            bytes.push(if large { 20_000.0 } else { 80.0 } * (0.5 + random.uniform()));
            services.push(if by_service { 2 } else { random.below(2) as u32 });
            normal.push(!strange);
        }
        let numbers = |name: &str, numbers| Column {
            name: name.to_owned(),
            values: Values::Numbers(numbers),
        };
        let services = Column {
            name: "service".to_owned(),
            values: Values::Texts {
                names: ["a", "b", "odd"].map(str::to_owned).to_vec(),
                places: services,
            },
        };
        let table = Table::new(vec![numbers("port", ports), numbers("bytes", bytes), services]);
        (table, Labels { normal })
    }

    fn surprise(model: &Model, row: &[Cell<'_>]) -> f64 {
        let mut surprises = Vec::new();
        model.surprises(row, &mut surprises);
        surprises[0]
    }

    #[test]
    fn what_labels_taught_is_told_and_blamed_and_normal_rows_as_rarely_as_they_should() {
        let (table, labels) = flows(1200, 5);
        let model = Model::learn_labelled(&table, &labels, &SETTINGS).expect("there is enough");
        let (fresh, truth) = flows(4000, 6);
        let (mut told, mut falsely) = (0, 0);
        for row in 0..fresh.rows() {
            let cells: Vec<Cell<'_>> = fresh.columns().iter().map(|column| column.values.cell(row)).collect();
            if surprise(&model, &cells) >= 1.5 {
                *if truth.normal[row] { &mut falsely } else { &mut told } += 1;
            }
        }
        // Of 1,000 strange rows and 3,000 normal ones, of which p 0.03 are 95.
        assert!(told > 950, "{told}");
        assert!(falsely < 200, "{falsely}");
        for (row, columns) in [
            ([Cell::Number(443.0), Cell::Number(90.0), Cell::Text("a")], &[0, 1][..]),
            ([Cell::Number(53.0), Cell::Number(90.0), Cell::Text("odd")], &[2]),
        ] {
            let blame = model.explain(&row);
            assert!(columns.contains(&blame[0].column), "{row:?}: {blame:?}");
            assert!((blame.iter().map(|blame| blame.share).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn wrong_labels_missing_values_and_categories_never_seen_are_lived_with() {
        let (table, mut labels) = flows(1200, 5);
        labels
            .normal
            .iter_mut()
            .step_by(23)
            .for_each(|normal| *normal = !*normal);
        let mut columns = table.columns().to_vec();
        if let Values::Numbers(ports) = &mut columns[0].values {
            ports.iter_mut().step_by(31).for_each(|port| *port = f64::NAN);
        }
        columns.push(Column {
            name: "site".to_owned(),
            values: Values::Numbers(vec![7.0; 1200]),
        });
        let model = Model::learn_labelled(&Table::new(columns), &labels, &SETTINGS).expect("there is enough");
        let row = |bytes, service| [Cell::Number(443.0), Cell::Number(bytes), service, Cell::Number(7.0)];
        let (strange, usual) = (
            surprise(&model, &row(90.0, Cell::Text("a"))),
            surprise(&model, &row(20_000.0, Cell::Text("a"))),
        );
        assert!(strange > usual + 0.5, "{strange} {usual}");
        for cell in [Cell::Missing, Cell::Text("\u{fffd}"), Cell::Number(1e300)] {
            assert!(surprise(&model, &row(-1e300, cell)).is_finite());
        }
    }

    #[test]
    fn one_seed_gives_one_forest_and_a_saved_one_judges_alike() {
        let (table, labels) = flows(200, 5);
        let learn = || Model::learn_labelled(&table, &labels, &SETTINGS).expect("there is enough");
        let bytes = postcard::to_allocvec(&learn()).expect("a model has only plain parts");
        assert!(
            bytes == postcard::to_allocvec(&learn()).expect("the same"),
            "two forests differ"
        );
        let again: Model = postcard::from_bytes(&bytes).expect("what was just written");
        let row = [Cell::Number(443.0), Cell::Number(90.0), Cell::Missing];
        assert_eq!(surprise(&learn(), &row), surprise(&again, &row));
    }

    #[test]
    fn labels_of_one_kind_are_refused() {
        let (table, _) = flows(40, 5);
        let refused = |normal: bool| {
            let labels = Labels {
                normal: vec![normal; 40],
            };
            Model::learn_labelled(&table, &labels, &SETTINGS).err()
        };
        assert_eq!(refused(true), Some(Unfit::TooFewStrange { rows: 0 }));
        assert_eq!(refused(false), Some(Unfit::TooFewNormal { rows: 0 }));
    }
}
