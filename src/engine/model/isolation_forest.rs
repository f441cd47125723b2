//! How few random cuts set a row apart (Liu, Ting and Zhou, "Isolation forest", ICDM 2008): trees that cut a sample at
//! random until every row stands alone; what is strange stands alone early.
//!
//! Cuts are drawn on normal scores, so a column with a long tail is not cut in its tail alone. A category is cut off
//! from all others; in each tree one row has a category never seen, so that one can be cut off too. A missing value stands in the middle of its column, and where rows that were learned from miss it,
//! missing it is a feature of its own.
//!
//! Size: 100 trees of 512 nodes, 8 bytes each, and the length of the way to each node: 600 kB. A row costs 100 ways of
//! at most 8 steps, taken for many rows side by side: about a microsecond.

use super::coder::Coder;
use super::random::Random;
use super::{Codes, Settings, Training};
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

/// The trees, and what they cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct IsolationForest {
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

impl IsolationForest {
    pub(super) fn learn(coder: &Coder, codes: &Codes, settings: &Settings) -> IsolationForest {
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
            features,
            trees: Vec::with_capacity(trees),
            usual: usual_way(rows),
        };
        let categories: Vec<(usize, usize)> = coder
            .categories()
            .enumerate()
            .filter_map(|(column, known)| Some((column, known?)))
            .collect();
        let (mut sample, mut row) = (Vec::new(), Vec::new());
        for number in 0..trees {
            let mut random = Random::part(settings.seed, number);
            let places = random.places(rows, codes.len());
            let strangers: Vec<usize> = match settings.rows {
                Training::Apart => categories.iter().map(|_| random.below(rows)).collect(),
                Training::Judged => Vec::new(),
            };
            sample.clear();
            for (turn, place) in places.iter().enumerate() {
                row.clear();
                row.extend_from_slice(codes.row(*place as usize));
                for ((column, known), _) in categories
                    .iter()
                    .zip(&strangers)
                    .filter(|(_, stranger)| **stranger == turn)
                {
                    row[*column] = *known as f32;
                }
                forest.look_at(&row, &mut sample);
            }
            forest.trees.push(Tree::grow(&sample, &forest.features, &mut random));
        }
        forest
    }

    /// 2 to the power of minus the mean way over the usual one: towards 1 the stranger, below 0.5 for the most usual.
    pub(super) fn strangeness(&self, codes: &Codes, raws: &mut [f64]) {
        let width = self.features.len();
        let mut values = Vec::with_capacity(codes.len() * width);
        for row in codes.rows() {
            self.look_at(row, &mut values);
        }
        let mut ways = vec![0.0f32; codes.len()];
        for tree in &self.trees {
            tree.add_ways(&values, width, &mut ways);
        }
        for (raw, way) in raws.iter_mut().zip(ways) {
            *raw = (-f64::from(way) / (self.trees.len() as f64 * self.usual)).exp2();
        }
    }

    /// A cut is to blame by how much more than half of its rows it took away from the row, in bits.
    pub(super) fn blame(&self, row: &[f32], shares: &mut [f64], typical: &mut [f32]) {
        let mut values = Vec::new();
        self.look_at(row, &mut values);
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

    /// Appends the features of a row.
    fn look_at(&self, row: &[f32], values: &mut Vec<f32>) {
        values.extend(self.features.iter().map(|feature| {
            let code = row[usize::from(feature.column)];
            match feature.what {
                What::Score if code.is_nan() => 0.0,
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
    fn grow(sample: &[f32], features: &[Feature], random: &mut Random) -> Tree {
        let width = features.len();
        let mut places: Vec<u32> = (0..(sample.len() / width.max(1)) as u32).collect();
        let mut tree = Tree::default();
        tree.add_node();
        tree.cut(sample, features, &mut places, (0, 0), random);
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
        sample: &[f32],
        features: &[Feature],
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
        let width = features.len();
        let value = |place: u32, feature: usize| sample[place as usize * width + feature];
        let Some((feature, threshold)) = draw_cut(features, places, &value, random) else {
            return;
        };
        let mut left = 0;
        for place in 0..places.len() {
            if value(places[place], feature) <= threshold {
                places.swap(place, left);
                left += 1;
            }
        }
        let child = self.add_node();
        self.add_node();
        self.nodes[node] = Node {
            threshold,
            feature: feature as u16,
            left: child as u16,
        };
        let (lefts, rights) = places.split_at_mut(left);
        self.cut(sample, features, lefts, (child, depth + 1), random);
        self.cut(sample, features, rights, (child + 1, depth + 1), random);
    }

    /// Adds the length of each row's way; `values` has `width` features a row.
    fn add_ways(&self, values: &[f32], width: usize, ways: &mut [f32]) {
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
        for (rows, ways) in values.chunks(LANES * width).zip(ways.chunks_mut(LANES)) {
            let mut at = [0usize; LANES];
            for _ in 0..self.height {
                for (row, at) in rows.chunks_exact(width).zip(&mut at) {
                    let node = nodes[*at % NODES_MAX];
                    *at = usize::from(node.left) + usize::from(row[usize::from(node.feature)] > node.threshold);
                }
            }
            for (way, at) in ways.iter_mut().zip(at) {
                *way += lengths[at % NODES_MAX];
            }
        }
    }
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
    use super::*;

    #[test]
    fn the_usual_way_is_the_papers() {
        // Liu et al. 2008, section 2: c(2) = 1, c(256) = 2 H(255) - 2 * 255 / 256.
        assert_eq!(usual_way(1), 0.0);
        assert!((usual_way(2) - 1.0).abs() < 1e-12);
        assert!((usual_way(256) - 10.248689926).abs() < 1e-6, "{}", usual_way(256));
    }
}
