//! Trees that were grown to tell rows that are strange from normal ones by their labels (Breiman, "Random forests",
//! 2001). The trees are grown by the crate `smartcore` (`learn.rs`); judging, calibration and blame are here, for it
//! tells neither how sure a forest is nor why.
//!
//! A node knows the share of strange rows among those of its tree that came by. A row's strangeness is the logarithm of
//! the odds of the mean share where it ends. A row that was learned from is judged by the trees that did not see it.
//!
//! Size: 100 trees of 20 bytes a node, at most twice as many nodes as rows were learned from, which are
//! `learn::ROWS_MAX` at most; a few hundred nodes where the labels are easy to tell. A row costs 100 ways of at most
//! `DEPTH_MAX` steps.

#[cfg(feature = "learning")]
mod learn;

use super::Codes;
use serde::{Deserialize, Serialize};

/// What a missing value is to a cut: less than every score.
const MISSING: f32 = -100.0;

/// The trees, and what they cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RandomForest {
    features: Vec<Feature>,
    trees: Vec<Tree>,
    /// For each column the code that is typical of normal rows.
    typical: Vec<f32>,
}

/// What a cut looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Feature {
    column: u16,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum What {
    /// The code itself: the score of a number, the place of a category.
    Code,
    /// How common the category is among normal rows, by its place; one never seen comes after all.
    Commonness(Vec<f32>),
}

type Tree = Vec<Node>;

/// A cut: rows whose feature is at most the threshold go to `below`, the others to `above`. An end leads to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Node {
    feature: u16,
    threshold: f32,
    below: u32,
    above: u32,
    /// The share of strange rows among those that came by, each kind with half a row more.
    share: f32,
}

impl RandomForest {
    /// The logarithm of the odds that each row is strange.
    pub(super) fn strangeness(&self, codes: &Codes, raws: &mut [f64]) {
        let mut values = Vec::new();
        for (row, raw) in codes.rows().zip(raws) {
            self.look_at(row, &mut values);
            *raw = log_odds(self.trees.iter().map(|tree| share_at_end(tree, &values)));
        }
    }

    /// A column is to blame for what its cuts on the way of a row added to the share of strange rows.
    pub(super) fn blame(&self, row: &[f32], shares: &mut [f64], typical: &mut [f32]) {
        let mut values = Vec::new();
        self.look_at(row, &mut values);
        for tree in &self.trees {
            let mut at = 0;
            while let Some(next) = next(tree, at, &values) {
                let column = usize::from(self.features[usize::from(tree[at].feature)].column);
                shares[column] += f64::from(tree[next].share - tree[at].share);
                at = next;
            }
        }
        shares.iter_mut().for_each(|share| *share = share.max(0.0));
        typical.copy_from_slice(&self.typical);
    }

    fn look_at(&self, row: &[f32], values: &mut Vec<f32>) {
        values.clear();
        values.extend(self.features.iter().map(|feature| {
            let code = row[usize::from(feature.column)];
            match &feature.what {
                _ if code.is_nan() => MISSING,
                What::Code => code,
                What::Commonness(common) => common.get(code as usize).copied().unwrap_or(0.0),
            }
        }));
    }
}

/// Where a row goes from a node; nothing at an end. Nodes lead onwards only, so that a way ends whatever was loaded.
fn next(tree: &[Node], at: usize, values: &[f32]) -> Option<usize> {
    let node = tree.get(at)?;
    let value = values.get(usize::from(node.feature))?;
    let next = if *value <= node.threshold {
        node.below
    } else {
        node.above
    } as usize;
    (next > at && next < tree.len()).then_some(next)
}

fn share_at_end(tree: &[Node], values: &[f32]) -> f64 {
    let mut at = 0;
    while let Some(next) = next(tree, at, values) {
        at = next;
    }
    tree.get(at).map_or(0.5, |node| f64::from(node.share))
}

/// The logarithm of the odds of the mean share.
fn log_odds(shares: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for share in shares {
        sum += share;
        count += 1.0;
    }
    let mean: f64 = if count > 0.0 { sum / count } else { 0.5 };
    (mean / (1.0 - mean)).ln()
}
