//! Where normal rows are dense: around centres (k-means), under a mixture of normal laws, or near the rows of clusters
//! (DBSCAN). Learned by the crate `linfa-clustering` (`learn.rs`); judging and blame are here.
//!
//! A row is a point (`features.rs`): two that differ in one category are as far apart as two numbers two standard
//! deviations apart.
//!
//! Size: at most 16 centres, 8 components of as many numbers as the square of the features, or 2,000 rows. A row costs as
//! many multiplications.

mod features;
#[cfg(feature = "learning")]
mod learn;

use super::Codes;
use features::{Feature, What, look_at};
use serde::{Deserialize, Serialize};

/// What a feature that holds or does not is multiplied by: the root of 2, for two of them change with a category.
const HOLDS: f32 = std::f32::consts::SQRT_2;

/// The features, and where they are dense.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Density {
    features: Vec<Feature>,
    law: Law,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Law {
    /// Strangeness is the distance to the nearest centre in that one's own spread.
    Centres(Vec<Centre>),
    /// Strangeness is the negative logarithm of the density.
    Mixture(Vec<Component>),
    /// Strangeness is the distance to the nearest of these points, one after the other, in what was near while learning.
    Clusters { points: Vec<f32>, near: f32 },
}

/// A centre of rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Centre {
    place: Vec<f32>,
    /// The root of the mean square of the distances of its rows.
    spread: f32,
}

/// A normal law among others.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Component {
    mean: Vec<f64>,
    /// The inverse of the covariance, row by row.
    precision: Vec<f64>,
    /// The logarithm of its weight and of its density at the mean.
    height: f64,
}

impl Density {
    pub(super) fn strangeness(&self, codes: &Codes, raws: &mut [f64]) {
        let mut point = Vec::new();
        for (row, raw) in codes.rows().zip(raws) {
            point_of(&self.features, row, &mut point);
            *raw = self.law.strangeness(&point);
        }
    }

    /// A column is to blame for what its features add to the squared distance from what is nearest.
    pub(super) fn blame(&self, row: &[f32], shares: &mut [f64], typical: &mut [f32]) {
        let mut point = Vec::new();
        point_of(&self.features, row, &mut point);
        let (nearest, added) = self.law.nearest(&point);
        for (feature, added) in self.features.iter().zip(&added) {
            shares[usize::from(feature.column)] += added.max(0.0);
        }
        // A column's typical value is the score at the nearest, or the category that is most there.
        let mut most = vec![f32::NEG_INFINITY; typical.len()];
        for (feature, value) in self.features.iter().zip(nearest) {
            let column = usize::from(feature.column);
            if value <= most[column] && feature.what != What::Score {
                continue;
            }
            typical[column] = match feature.what {
                What::Score => value,
                What::Category(place) | What::Rest(place) => f32::from(place),
                What::Missing => f32::NAN,
            };
            most[column] = if feature.what == What::Score {
                HOLDS / 2.0
            } else {
                value
            };
        }
    }
}

impl Law {
    fn strangeness(&self, point: &[f32]) -> f64 {
        match self {
            Law::Centres(centres) => {
                let distances = centres.iter().map(|centre| centre.distance(point));
                f64::from(distances.fold(f32::INFINITY, f32::min).min(f32::MAX))
            }
            Law::Mixture(components) => {
                let logarithms: Vec<f64> = components
                    .iter()
                    .map(|component| component.log_density(point))
                    .collect();
                let largest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = logarithms.iter().map(|logarithm| (logarithm - largest).exp()).sum();
                let strangeness = -(largest + sum.ln());
                if strangeness.is_finite() { strangeness } else { f64::MAX }
            }
            Law::Clusters { points, near } => {
                let distances = points
                    .chunks_exact(point.len().max(1))
                    .map(|other| squared(point, other));
                f64::from(distances.fold(f32::MAX, f32::min).sqrt() / near)
            }
        }
    }

    /// What is nearest to a point, and what each feature adds to the squared distance from it.
    fn nearest(&self, point: &[f32]) -> (Vec<f32>, Vec<f64>) {
        let apart = |place: &[f32]| {
            let added = point
                .iter()
                .zip(place)
                .map(|(value, other)| f64::from(value - other).powi(2));
            (place.to_vec(), added.collect())
        };
        match self {
            Law::Centres(centres) => {
                let nearest = centres
                    .iter()
                    .min_by(|one, other| one.distance(point).total_cmp(&other.distance(point)));
                nearest.map_or_else(Default::default, |centre| apart(&centre.place))
            }
            Law::Mixture(components) => {
                let nearest = components
                    .iter()
                    .max_by(|one, other| one.log_density(point).total_cmp(&other.log_density(point)));
                nearest.map_or_else(Default::default, |component| {
                    (
                        component.mean.iter().map(|value| *value as f32).collect(),
                        component.parts(point),
                    )
                })
            }
            Law::Clusters { points, .. } => {
                let nearest = points
                    .chunks_exact(point.len().max(1))
                    .min_by(|one, other| squared(point, one).total_cmp(&squared(point, other)));
                nearest.map_or_else(Default::default, apart)
            }
        }
    }
}

impl Centre {
    fn distance(&self, point: &[f32]) -> f32 {
        squared(point, &self.place).sqrt() / self.spread
    }
}

impl Component {
    /// What each feature adds to the squared distance in the law's own spread; together they are it.
    fn parts(&self, point: &[f32]) -> Vec<f64> {
        let apart: Vec<f64> = point
            .iter()
            .zip(&self.mean)
            .map(|(value, mean)| f64::from(*value) - mean)
            .collect();
        let rows = self.precision.chunks_exact(apart.len().max(1));
        let part = |(row, own): (&[f64], &f64)| {
            own * row
                .iter()
                .zip(&apart)
                .map(|(weight, other)| weight * other)
                .sum::<f64>()
        };
        rows.zip(&apart).map(part).collect()
    }

    fn log_density(&self, point: &[f32]) -> f64 {
        self.height - self.parts(point).iter().sum::<f64>() / 2.0
    }
}

fn squared(one: &[f32], other: &[f32]) -> f32 {
    one.iter()
        .zip(other)
        .map(|(one, other)| (one - other) * (one - other))
        .sum()
}

/// The point of a row of codes.
fn point_of(features: &[Feature], row: &[f32], point: &mut Vec<f32>) {
    point.clear();
    look_at(features, row, point);
    for (feature, value) in features.iter().zip(point) {
        if feature.what != What::Score {
            *value *= HOLDS;
        }
    }
}
