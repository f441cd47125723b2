//! How few random cuts set a row apart (Liu, Ting and Zhou, "Isolation forest", ICDM 2008): trees that cut a sample at
//! random until every row stands alone; what is strange stands alone early.
//!
//! Cuts are drawn on normal scores, so a column with a long tail is not cut in its tail alone; kept are the same cuts on
//! the values, as distances from an origin of their column, so that no score is looked up for a row that is judged. A category is cut off
//! from all others; in each tree one row has a category never seen, so that one can be cut off too. A missing value stands in the middle of its column, and where rows that were learned from miss it,
//! missing it is a feature of its own.
//!
//! Size: 100 trees of 512 nodes, 8 bytes each, and the length of the way to each node: 600 kB. A row costs 100 ways of
//! at most 8 steps, taken for many rows side by side: 0.6 microseconds.

use super::coder::{Coder, Origin};
use super::random::Random;
use super::{Cell, Codes, Settings, Table, Training};
use serde::{Deserialize, Serialize};

/// Trees.
const TREES: usize = 100;
/// Rows of a tree when what is learned from is normal.
const APART_ROWS: usize = 256;
/// Rows of a tree when what is strange is among the rows: of clusters of them only a few members are drawn.
const JUDGED_ROWS: usize = 64;
/// Nodes of a tree at most: each of its rows alone, and the cuts between.
const NODES_MAX: usize = 2 * APART_ROWS;
/// Cuts on the way to a row at most: log2 of the rows, below which only their number is counted.
const HEIGHT_MAX: usize = 8;
/// Categories of a column that can be cut off at most; the others are one.
const CATEGORIES_MAX: usize = 32;
/// Rows whose ways are followed side by side.
const LANES: usize = 16;
/// Features that a row is filled up to at least.
const WIDTH_MIN: usize = 16;

/// The trees, and what they cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct IsolationForest {
    /// From where each column's values are measured.
    origins: Vec<Origin>,
    features: Vec<Feature>,
    trees: Vec<Tree>,
    /// The expected length of a way among as many rows as a tree has.
    usual: f64,
}

/// What a cut looks at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Feature {
    column: u16,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum What {
    /// The score of a number.
    Score,
    /// Whether the column has this category.
    Category(u16),
    /// Whether the column has none of the categories before this one: a rare one, or one never seen.
    Rest(u16),
    /// Whether the value is missing.
    Missing,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Tree {
    /// As many as [`NODES_MAX`]; the first is the root.
    nodes: Vec<Node>,
    /// For each node the length of the way of a row that ends there, cuts that were not made included.
    ways: Vec<f32>,
    /// For each node how many rows of the sample came by.
    rows: Vec<u16>,
    height: usize,
}

/// A cut: rows whose feature is at most the threshold go left, the others to the next node after. A row that has come to
/// its end stays: the threshold of an end is infinite, and left is the end itself.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Node {
    threshold: f32,
    feature: u16,
    left: u16,
}

/// A sample of rows as their features: by the scores that cuts are drawn on, and by the distances that they are kept as.
#[derive(Default)]
struct Sample {
    scores: Vec<f32>,
    distances: Vec<f32>,
}

impl IsolationForest {
    /// Learns from a table and its codes, which become what [`IsolationForest::strangeness`] judges by.
    pub(super) fn learn(coder: &Coder, table: &Table, codes: &mut Codes, settings: &Settings) -> IsolationForest {
        let origins = coder.origins();
        let mut measured = codes.clone();
        coder.measure_table(table, &origins, &mut measured.codes);
        let scores = std::mem::replace(codes, measured);
        IsolationForest::grow(coder, (&scores, codes), origins, settings)
    }

    /// Appends what a row is judged by.
    pub(super) fn code(&self, coder: &Coder, row: &[Cell<'_>], codes: &mut Vec<f32>) {
        coder.measure(row, &self.origins, codes);
    }

    fn grow(
        coder: &Coder,
        (codes, measured): (&Codes, &Codes),
        origins: Vec<Origin>,
        settings: &Settings,
    ) -> IsolationForest {
        let features = features_of(coder, codes);
        let rows = settings.parameters.part_rows.map_or(
            match settings.rows {
                Training::Apart => APART_ROWS,
                Training::Judged => JUDGED_ROWS,
            },
            usize::from,
        );
        let rows = rows.min(APART_ROWS).min(codes.len());
        let trees = settings.parameters.parts.map_or(TREES, usize::from).max(1);
        let mut forest = IsolationForest {
            origins,
            features,
            trees: Vec::with_capacity(trees),
            usual: usual_way(rows),
        };
        let categories: Vec<(usize, usize)> = coder
            .categories()
            .enumerate()
            .filter_map(|(column, known)| Some((column, known?)))
            .collect();
        let (mut sample, mut row) = (Sample::default(), Vec::new());
        let (zeros, middles) = (vec![0.0; forest.origins.len()], forest.middles());
        for number in 0..trees {
            let mut random = Random::part(settings.seed, number);
            let places = random.places(rows, codes.len());
            let strangers: Vec<usize> = match settings.rows {
                Training::Apart => categories.iter().map(|_| random.below(rows)).collect(),
                Training::Judged => Vec::new(),
            };
            sample.scores.clear();
            sample.distances.clear();
            for (turn, place) in places.iter().enumerate() {
                for (codes, values, middle) in [
                    (codes, &mut sample.scores, &zeros),
                    (measured, &mut sample.distances, &middles),
                ] {
                    row.clear();
                    row.extend_from_slice(codes.row(*place as usize));
                    for ((column, known), _) in categories
                        .iter()
                        .zip(&strangers)
                        .filter(|(_, stranger)| **stranger == turn)
                    {
                        row[*column] = *known as f32;
                    }
                    forest.look_at(&row, middle, values);
                }
            }
            let tree = Tree::grow(&sample, (coder, &forest), &mut random);
            forest.trees.push(tree);
        }
        forest
    }

    /// 2 to the power of minus the mean way over the usual one: towards 1 the stranger, below 0.5 for the most usual.
    pub(super) fn strangeness(&self, codes: &Codes, raws: &mut [f64]) {
        // Rows are filled up to a power of two of features, and the rows to a whole number of lanes.
        let width = self.features.len().next_power_of_two().max(WIDTH_MIN);
        let rows = codes.len().next_multiple_of(LANES);
        let mut values = Vec::with_capacity(rows * width);
        let middles = self.middles();
        for (place, row) in codes.rows().enumerate() {
            self.look_at(row, &middles, &mut values);
            values.resize((place + 1) * width, 0.0);
        }
        values.resize(rows * width, 0.0);
        let mut ways = vec![0.0f32; rows];
        for tree in &self.trees {
            match width {
                WIDTH_MIN => tree.add_ways::<WIDTH_MIN>(&values, &mut ways),
                32 => tree.add_ways::<32>(&values, &mut ways),
                64 => tree.add_ways::<64>(&values, &mut ways),
                128 => tree.add_ways::<128>(&values, &mut ways),
                256 => tree.add_ways::<256>(&values, &mut ways),
                _ => tree.add_ways_of_wide_rows(&values, width, &mut ways),
            }
        }
        for (raw, way) in raws.iter_mut().zip(ways) {
            *raw = (-f64::from(way) / (self.trees.len() as f64 * self.usual)).exp2();
        }
    }

    /// A cut is to blame by how much more than half of its rows it took away from the row, in bits.
    pub(super) fn blame(&self, row: &[f32], shares: &mut [f64], typical: &mut [f32]) {
        let mut values = Vec::new();
        self.look_at(row, &self.middles(), &mut values);
        for tree in &self.trees {
            let mut place = 0;
            loop {
                let node = tree.nodes[place];
                let feature = usize::from(node.feature);
                let next = usize::from(node.left) + usize::from(values[feature] > node.threshold);
                if next == place {
                    break;
                }
                let kept = f64::from(tree.rows[next]) / f64::from(tree.rows[place]);
                shares[usize::from(self.features[feature].column)] += (-kept.log2() - 1.0).max(0.0);
                place = next;
            }
        }
        // The middle of the law is what is usual for a number; what is usual for a category is not known here.
        for feature in self.features.iter().filter(|feature| feature.what == What::Score) {
            typical[usize::from(feature.column)] = 0.0;
        }
    }

    /// Where missing values are taken to stand.
    fn middles(&self) -> Vec<f32> {
        self.origins.iter().map(Origin::of_middle).collect()
    }

    /// Appends the features of a row; `middles` stand for missing values.
    fn look_at(&self, row: &[f32], middles: &[f32], values: &mut Vec<f32>) {
        values.extend(self.features.iter().map(|feature| {
            let code = row[usize::from(feature.column)];
            match feature.what {
                What::Score if code.is_nan() => middles[usize::from(feature.column)],
                What::Score => code,
                What::Category(place) => f32::from(u8::from(code == f32::from(place))),
                What::Rest(first) => f32::from(u8::from(code >= f32::from(first))),
                What::Missing => f32::from(u8::from(code.is_nan())),
            }
        }));
    }
}

fn features_of(coder: &Coder, codes: &Codes) -> Vec<Feature> {
    let mut features = Vec::new();
    for (column, categories) in coder.categories().enumerate() {
        let mut add = |what| {
            features.push(Feature {
                column: column as u16,
                what,
            });
        };
        match categories {
            None => add(What::Score),
            Some(known) => {
                let cut_off = known.min(CATEGORIES_MAX) as u16;
                (0..cut_off).for_each(|place| add(What::Category(place)));
                add(What::Rest(cut_off));
            }
        }
        if codes.rows().any(|row| row[column].is_nan()) {
            add(What::Missing);
        }
    }
    features
}

/// The mean length of an unsuccessful search in a binary tree of `rows`, which is how long ways are usually (the paper's
/// c(n)): 2 (H(n - 1) - (n - 1) / n).
fn usual_way(rows: usize) -> f64 {
    if rows <= 1 {
        return 0.0;
    }
    let harmonic: f64 = (1..rows).map(|number| 1.0 / number as f64).sum();
    2.0 * harmonic - 2.0 * (rows as f64 - 1.0) / rows as f64
}

impl Tree {
    fn grow(sample: &Sample, (coder, forest): (&Coder, &IsolationForest), random: &mut Random) -> Tree {
        let width = forest.features.len();
        let mut places: Vec<u32> = (0..(sample.scores.len() / width.max(1)) as u32).collect();
        let mut tree = Tree::default();
        tree.add_node();
        tree.cut(sample, (coder, forest), &mut places, (0, 0), random);
        tree.nodes.resize(NODES_MAX, Node::default());
        tree.ways.resize(NODES_MAX, 0.0);
        tree.rows.resize(NODES_MAX, 0);
        tree
    }

    fn add_node(&mut self) -> usize {
        let place = self.nodes.len();
        self.nodes.push(Node {
            threshold: f32::INFINITY,
            feature: 0,
            left: place as u16,
        });
        self.ways.push(0.0);
        self.rows.push(0);
        place
    }

    /// Cuts the rows at `places` of the sample apart, below the node, which is so deep.
    fn cut(
        &mut self,
        sample: &Sample,
        (coder, forest): (&Coder, &IsolationForest),
        places: &mut [u32],
        (node, depth): (usize, usize),
        random: &mut Random,
    ) {
        self.height = self.height.max(depth);
        self.rows[node] = places.len() as u16;
        self.ways[node] = (depth as f64 + usual_way(places.len())) as f32;
        if places.len() <= 1 || depth >= HEIGHT_MAX {
            return;
        }
        let width = forest.features.len();
        let value = |place: u32, feature: usize| sample.scores[place as usize * width + feature];
        let Some((feature, threshold)) = draw_cut(&forest.features, places, &value, random) else {
            return;
        };
        let mut left = 0;
        for place in 0..places.len() {
            if value(places[place], feature) <= threshold {
                places.swap(place, left);
                left += 1;
            }
        }
        let (lefts, rights) = places.split_at_mut(left);
        let threshold = match forest.features[feature].what {
            What::Score => {
                let column = usize::from(forest.features[feature].column);
                let distance = |place: &u32| sample.distances[*place as usize * width + feature];
                let low = lefts.iter().map(distance).fold(f32::NEG_INFINITY, f32::max);
                let high = rights.iter().map(distance).fold(f32::INFINITY, f32::min);
                let wanted = coder.value(column, threshold).unwrap_or(0.0);
                between(low, forest.origins[column].distance(wanted), high)
            }
            _ => threshold,
        };
        let child = self.add_node();
        self.add_node();
        self.nodes[node] = Node {
            threshold,
            feature: feature as u16,
            left: child as u16,
        };
        self.cut(sample, (coder, forest), lefts, (child, depth + 1), random);
        self.cut(sample, (coder, forest), rights, (child + 1, depth + 1), random);
    }

    /// Adds the length of each row's way; `values` has `WIDTH` features a row, a power of two so that none is looked for
    /// outside.
    fn add_ways<const WIDTH: usize>(&self, values: &[f32], ways: &mut [f32]) {
        let nodes: &[Node; NODES_MAX] = self
            .nodes
            .as_slice()
            .try_into()
            .expect("a tree is filled up to its size");
        let lengths: &[f32; NODES_MAX] = self
            .ways
            .as_slice()
            .try_into()
            .expect("a tree is filled up to its size");
        let (rows, _) = values.as_chunks::<WIDTH>();
        let (rows, _) = rows.as_chunks::<LANES>();
        let (ways, _) = ways.as_chunks_mut::<LANES>();
        for (rows, ways) in rows.iter().zip(ways) {
            let mut at = [0usize; LANES];
            for _ in 0..self.height {
                for lane in 0..LANES {
                    let node = nodes[at[lane] % NODES_MAX];
                    let value = rows[lane][usize::from(node.feature) % WIDTH];
                    at[lane] = usize::from(node.left) + usize::from(value > node.threshold);
                }
            }
            for lane in 0..LANES {
                ways[lane] += lengths[at[lane] % NODES_MAX];
            }
        }
    }

    /// The same for any number of features.
    fn add_ways_of_wide_rows(&self, values: &[f32], width: usize, ways: &mut [f32]) {
        for (row, way) in values.chunks_exact(width).zip(ways) {
            let mut at = 0;
            for _ in 0..self.height {
                let node = self.nodes[at];
                at = usize::from(node.left) + usize::from(row[usize::from(node.feature)] > node.threshold);
            }
            *way += self.ways[at];
        }
    }
}

/// The threshold that is wanted, if it has `low` below or at it and `high` above it; else `low`.
fn between(low: f32, wanted: f32, high: f32) -> f32 {
    if low <= wanted && wanted < high { wanted } else { low }
}

/// A column is drawn among those in which the rows differ, then a cut between the lowest and the highest, or a category
/// of one of the rows.
fn draw_cut(
    features: &[Feature],
    places: &[u32],
    value: &impl Fn(u32, usize) -> f32,
    random: &mut Random,
) -> Option<(usize, f32)> {
    let columns = usize::from(features.last()?.column) + 1;
    let first = random.below(columns);
    // From a drawn column on, the first in which the rows differ; the step is prime to their number.
    let step = (1 + random.below(columns)..).find(|step| greatest_common_divisor(*step, columns) == 1)?;
    for turn in 0..columns {
        let column = (first + turn * step) % columns;
        let begin = features.partition_point(|feature| usize::from(feature.column) < column);
        let end = features.partition_point(|feature| usize::from(feature.column) <= column);
        let differing: smallvec::SmallVec<[(usize, f32, f32); 8]> = (begin..end)
            .filter_map(|feature| {
                let bounds = places.iter().fold((f32::MAX, f32::MIN), |(low, high), place| {
                    let value = value(*place, feature);
                    (low.min(value), high.max(value))
                });
                (bounds.0 < bounds.1).then_some((feature, bounds.0, bounds.1))
            })
            .collect();
        if !differing.is_empty() {
            let (feature, low, high) = differing[random.below(differing.len())];
            let threshold = low + (high - low) * random.uniform() as f32;
            return Some((feature, if threshold < high { threshold } else { low }));
        }
    }
    None
}

fn greatest_common_divisor(mut one: usize, mut other: usize) -> usize {
    while other > 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Kind, Parameters, Values};
    use super::*;

    #[test]
    fn the_usual_way_is_the_papers() {
        // Liu et al. 2008, section 2: c(2) = 1, c(256) = 2 H(255) - 2 * 255 / 256.
        assert_eq!(usual_way(1), 0.0);
        assert!((usual_way(2) - 1.0).abs() < 1e-12);
        assert!((usual_way(256) - 10.248689926).abs() < 1e-6, "{}", usual_way(256));
    }

    /// A forest of two columns: times close to each other and far from 0, and numbers of every size.
    fn forest() -> (Coder, IsolationForest) {
        let mut random = Random::part(3, 0);
        let times = (0..600).map(|_| 1.7e9 + (1000.0 * random.uniform()).floor()).collect();
        let sizes = (0..600).map(|row| 10f64.powi(row % 60 - 30)).collect();
        let column = |name: &str, numbers| Column {
            name: name.to_owned(),
            values: Values::Numbers(numbers),
        };
        let table = Table::new(vec![column("time", times), column("size", sizes)]);
        let coder = Coder::of(&table);
        let mut codes = Codes::new(coder.width());
        coder.code_table(&table, &mut codes.codes);
        let settings = Settings {
            kind: Kind::IsolationForest,
            seed: 1,
            rows: Training::Apart,
            parameters: Parameters::default(),
        };
        let forest = IsolationForest::learn(&coder, &table, &mut codes, &settings);
        (coder, forest)
    }

    #[test]
    fn values_of_every_size_are_cut_where_their_scores_are() {
        let (coder, forest) = forest();
        let strangeness = |time: f64, size: f64| {
            let mut codes = Codes::new(2);
            forest.code(&coder, &[Cell::Number(time), Cell::Number(size)], &mut codes.codes);
            let mut raws = [0.0];
            forest.strangeness(&codes, &mut raws);
            raws[0]
        };
        let usual = strangeness(1.7e9 + 500.0, 1.0);
        let ends = [
            (1.7e9 + 1200.0, 1.0),
            (1.7e9 - 100.0, 1.0),
            (1.7e9 + 500.0, 1e34),
            (1.7e9 + 500.0, 1e-34),
        ];
        for (time, size) in ends {
            let told = strangeness(time, size);
            assert!(told > usual + 0.03, "{time} {size}: {told}, usual is {usual}");
        }
    }

    #[test]
    fn ways_are_the_same_one_by_one_and_side_by_side() {
        let (_, forest) = forest();
        let mut random = Random::part(4, 0);
        let values: Vec<f32> = (0..64 * 16)
            .map(|_| (2000.0 * random.uniform() - 1000.0) as f32)
            .collect();
        let (mut together, mut alone) = (vec![0.0; 64], vec![0.0; 64]);
        for tree in &forest.trees {
            tree.add_ways::<16>(&values, &mut together);
            tree.add_ways_of_wide_rows(&values, 16, &mut alone);
        }
        assert_eq!(together, alone);
    }
}
