//! Learns by the crate `linfa-clustering`. Its generators have a seed of their own, so it is the order of the rows that is
//! drawn by ours.
//!
//! How many centres or components there are is chosen by the Bayesian information criterion (Schwarz 1978; for centres
//! as in Pelleg and Moore, "X-means", 2000): what the rows gain in likelihood has to be worth the numbers it takes. What
//! is near in DBSCAN is as far as the `NEAR_ROWS`th neighbour of nine rows in ten.

use super::features::features_of;
use super::{Centre, Component, Density, Law, point_of, squared};
use crate::engine::model::coder::Coder;
use crate::engine::model::random::Random;
use crate::engine::model::{Codes, Kind, Unfit};
use linfa::DatasetBase;
use linfa::traits::{Fit as _, Transformer as _};
use linfa_clustering::{Dbscan, GaussianMixtureModel, KMeans};
use ndarray::Array2;

/// Rows that are learned from at most, drawn evenly: never more than half, for the others calibrate.
const ROWS_MAX: usize = 4_000;
/// Rows that clusters are made of at most: each is compared with each.
const CLUSTER_ROWS_MAX: usize = 2_000;
/// Features at most.
pub(in crate::engine::model) const FEATURES_MAX: usize = 256;
/// Numbers of centres that are tried.
const CENTRES: [usize; 5] = [1, 2, 4, 8, 16];
/// Numbers of components that are tried.
const COMPONENTS: [usize; 4] = [1, 2, 4, 8];
/// Rows for each component or centre at least.
const ROWS_EACH_MIN: usize = 16;
/// Rounds of learning at most.
const ROUNDS_MAX: u64 = 100;
/// What is added to every variance, in normal scores: nothing is told more finely than a tenth.
const VARIANCE_ADDED: f64 = 0.01;
/// Neighbours that a row of a cluster has.
const NEAR_ROWS: usize = 5;
/// Share of the rows that have them near.
const NEAR_SHARE: f64 = 0.9;

impl Density {
    /// Learns from half of the rows or less, and tells which rows these are not: those calibrate.
    pub(in crate::engine::model) fn learn(
        coder: &Coder,
        codes: &Codes,
        kind: Kind,
        seed: u64,
    ) -> Result<(Density, Vec<u32>), Unfit> {
        let features = features_of(coder, codes);
        if features.len() > FEATURES_MAX {
            return Err(Unfit::TooManyFeatures {
                features: features.len(),
                features_max: FEATURES_MAX,
            });
        }
        let rows_max = if kind == Kind::Dbscan {
            CLUSTER_ROWS_MAX
        } else {
            ROWS_MAX
        };
        let order = Random::part(seed, 0).places(codes.len(), codes.len());
        let (taught, others) = order.split_at((order.len() / 2).min(rows_max));
        let mut points = Vec::with_capacity(taught.len() * features.len());
        let mut point = Vec::new();
        for row in taught {
            point_of(&features, codes.row(*row as usize), &mut point);
            points.extend_from_slice(&point);
        }
        let law = match kind {
            Kind::KMeans => centres_of(&points, features.len())?,
            Kind::GaussianMixture => mixture_of(&points, features.len())?,
            _ => clusters_of(&points, features.len())?,
        };
        Ok((Density { features, law }, others.to_vec()))
    }
}

/// The points as the crate wants them.
fn matrix(points: &[f32], width: usize) -> Result<DatasetBase<Array2<f64>, ndarray::Array1<()>>, Unfit> {
    let rows = points.len() / width.max(1);
    let points = points.iter().map(|value| f64::from(*value)).collect();
    let records = Array2::from_shape_vec((rows, width), points).map_err(failed)?;
    Ok(DatasetBase::from(records))
}

fn failed(error: impl std::fmt::Display) -> Unfit {
    Unfit::Failed {
        error: error.to_string(),
    }
}

/// The choice with the least criterion of those that could be learned; the last error when none could.
fn least<T>(tried: impl Iterator<Item = Result<(f64, T), Unfit>>) -> Result<T, Unfit> {
    let mut best: Option<(f64, T)> = None;
    let mut refused = Unfit::NoColumn;
    for tried in tried {
        match tried {
            Ok((criterion, law)) if best.as_ref().is_none_or(|best| criterion < best.0) => {
                best = Some((criterion, law))
            }
            Ok(_) => {}
            Err(error) => refused = error,
        }
    }
    best.map(|(_, law)| law).ok_or(refused)
}

fn enough(rows: usize) -> impl Fn(&usize) -> bool {
    move |parts| *parts == 1 || parts * ROWS_EACH_MIN <= rows
}

fn centres_of(points: &[f32], width: usize) -> Result<Law, Unfit> {
    let dataset = matrix(points, width)?;
    let rows = points.len() / width.max(1);
    least(CENTRES.into_iter().filter(enough(rows)).map(|count| {
        let model = KMeans::params(count)
            .max_n_iterations(ROUNDS_MAX)
            .n_runs(1)
            .fit(&dataset)
            .map_err(failed)?;
        let places: Vec<Vec<f32>> = model
            .centroids()
            .outer_iter()
            .map(|place| place.iter().map(|value| *value as f32).collect())
            .collect();
        let mut sums = vec![(0.0f64, 0u32); places.len()];
        for point in points.chunks_exact(width) {
            let distances = places.iter().map(|place| squared(point, place)).enumerate();
            if let Some((nearest, distance)) = distances.min_by(|one, other| one.1.total_cmp(&other.1)) {
                sums[nearest].0 += f64::from(distance);
                sums[nearest].1 += 1;
            }
        }
        // Round laws of one variance each; its shares of rows cost a number too.
        let numbers = (count * (width + 2) - 1) as f64;
        let mut criterion = numbers * (rows as f64).ln();
        let mut centres = Vec::with_capacity(count);
        for (place, (sum, count)) in places.into_iter().zip(sums).filter(|(_, (_, count))| *count > 0) {
            let count = f64::from(count);
            let variance = sum / count / width as f64 + VARIANCE_ADDED;
            criterion += count * (width as f64 * variance.ln() - 2.0 * (count / rows as f64).ln());
            centres.push(Centre {
                place,
                spread: (variance * width as f64).sqrt() as f32,
            });
        }
        Ok((criterion, Law::Centres(centres)))
    }))
}

fn mixture_of(points: &[f32], width: usize) -> Result<Law, Unfit> {
    let dataset = matrix(points, width)?;
    let rows = points.len() / width.max(1);
    least(COMPONENTS.into_iter().filter(enough(rows)).map(|count| {
        let model = GaussianMixtureModel::params(count)
            .max_n_iterations(ROUNDS_MAX)
            .reg_covariance(VARIANCE_ADDED)
            .fit(&dataset)
            .map_err(failed)?;
        let mut components = Vec::with_capacity(count);
        for (place, weight) in model.weights().iter().enumerate() {
            let covariance = model.covariances().index_axis(ndarray::Axis(0), place);
            let ln_determinant = ln_determinant(covariance.iter().copied().collect(), width)
                .ok_or_else(|| failed("a covariance is not positive"))?;
            components.push(Component {
                mean: model.means().row(place).to_vec(),
                precision: model
                    .precisions()
                    .index_axis(ndarray::Axis(0), place)
                    .iter()
                    .copied()
                    .collect(),
                height: weight.ln() - 0.5 * (ln_determinant + width as f64 * std::f64::consts::TAU.ln()),
            });
        }
        let law = Law::Mixture(components);
        let surprise: f64 = points.chunks_exact(width).map(|point| law.strangeness(point)).sum();
        let numbers = (count * (width + width * (width + 1) / 2 + 1) - 1) as f64;
        Ok((2.0 * surprise + numbers * (rows as f64).ln(), law))
    }))
}

/// The logarithm of the determinant of a positive matrix, by Cholesky's decomposition.
fn ln_determinant(mut matrix: Vec<f64>, width: usize) -> Option<f64> {
    let mut sum = 0.0;
    for row in 0..width {
        for column in 0..=row {
            let inner: f64 = (0..column)
                .map(|k| matrix[row * width + k] * matrix[column * width + k])
                .sum();
            let left = matrix[row * width + column] - inner;
            if row == column {
                if left <= 0.0 {
                    return None;
                }
                matrix[row * width + column] = left.sqrt();
                sum += left.ln();
            } else {
                matrix[row * width + column] = left / matrix[column * width + column];
            }
        }
    }
    Some(sum)
}

fn clusters_of(points: &[f32], width: usize) -> Result<Law, Unfit> {
    let near = near_of(points, width);
    let dataset = matrix(points, width)?;
    let clusters = Dbscan::params(NEAR_ROWS)
        .tolerance(near)
        .transform(dataset.records())
        .map_err(failed)?;
    let rows = points.chunks_exact(width.max(1)).zip(&clusters);
    let mut dense: Vec<f32> = rows
        .filter(|(_, cluster)| cluster.is_some())
        .flat_map(|(row, _)| row.to_vec())
        .collect();
    if dense.is_empty() {
        // So few rows have no cluster; all count.
        dense = points.to_vec();
    }
    Ok(Law::Clusters {
        points: dense,
        near: near as f32,
    })
}

/// How far the neighbours of a row of a cluster are.
fn near_of(points: &[f32], width: usize) -> f64 {
    let rows: Vec<&[f32]> = points.chunks_exact(width.max(1)).collect();
    let mut reaches: Vec<f32> = Vec::with_capacity(rows.len());
    let mut distances = Vec::with_capacity(rows.len());
    for row in &rows {
        distances.clear();
        distances.extend(rows.iter().map(|other| squared(row, other)));
        // The row itself is among them, at no distance.
        let place = NEAR_ROWS.min(distances.len() - 1);
        let (_, reach, _) = distances.select_nth_unstable_by(place, f32::total_cmp);
        reaches.push(reach.sqrt());
    }
    reaches.sort_by(f32::total_cmp);
    let wanted = ((reaches.len() as f64 * NEAR_SHARE) as usize).min(reaches.len().saturating_sub(1));
    // Where nine rows in ten have others just like them, the first that has not is the measure.
    let reach = reaches.iter().skip(wanted).copied().find(|reach| *reach > 0.0);
    f64::from(reach.unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::model::{Cell, Column, Model, Parameters, Settings, Table, Training, Values};

    const KINDS: [Kind; 3] = [Kind::KMeans, Kind::GaussianMixture, Kind::Dbscan];

    fn settings(kind: Kind) -> Settings {
        Settings {
            kind,
            seed: 1,
            rows: Training::Apart,
            parameters: Parameters::default(),
        }
    }

    fn numbers(name: &str, numbers: Vec<f64>) -> Column {
        Column {
            name: name.to_owned(),
            values: Values::Numbers(numbers),
        }
    }

    /// Two kinds of hosts: those that send and receive little, and those that do much of both.
    fn hosts(rows: usize) -> Table {
        let mut random = Random::part(5, 1);
        let mut columns = [Vec::new(), Vec::new()];
        for row in 0..rows {
            let level = if row % 2 == 0 { 10.0 } else { 1000.0 };
            columns
                .iter_mut()
                .for_each(|column| column.push(level * (1.0 + 0.2 * random.uniform())));
        }
        let [sent, received] = columns;
        Table::new(vec![numbers("sent", sent), numbers("received", received)])
    }

    fn surprise(model: &Model, row: &[Cell<'_>]) -> f64 {
        let mut surprises = Vec::new();
        model.surprises(row, &mut surprises);
        surprises[0]
    }

    #[test]
    fn what_is_between_two_groups_is_stranger_than_what_is_in_one() {
        let table = hosts(600);
        for kind in KINDS {
            let model = Model::learn(&table, &settings(kind)).expect("there is enough");
            let usual = surprise(&model, &[Cell::Number(11.0), Cell::Number(11.0)]);
            let odd = [Cell::Number(11.0), Cell::Number(1100.0)];
            let told = surprise(&model, &odd);
            // Normal scores close the gap between groups, so what stands in it is stranger than most, not than all.
            assert!(told > usual + 0.5, "{}: {told}, usual is {usual}", kind.name());
            let blame = model.explain(&odd);
            assert!((blame.iter().map(|blame| blame.share).sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn as_many_groups_are_found_as_there_are() {
        let coder = Coder::of(&hosts(600));
        let mut codes = Codes::new(coder.width());
        coder.code_table(&hosts(600), &mut codes.codes);
        for (kind, least, most) in [(Kind::KMeans, 2, 8), (Kind::GaussianMixture, 2, 4)] {
            let (density, _) = Density::learn(&coder, &codes, kind, 1).expect("there is enough");
            let found = match &density.law {
                Law::Centres(centres) => centres.len(),
                Law::Mixture(components) => components.len(),
                Law::Clusters { .. } => 0,
            };
            assert!((least..=most).contains(&found), "{}: {found}", kind.name());
        }
    }

    #[test]
    fn few_rows_and_rows_that_are_nearly_all_the_same_are_lived_with_and_too_many_features_refused() {
        let mut same = vec![1.0; 40];
        same[7] = 2.0;
        for kind in KINDS {
            for values in [(0..8).map(f64::from).collect::<Vec<_>>(), same.clone()] {
                let table = Table::new(vec![numbers("a", values.clone()), numbers("b", values)]);
                let model = Model::learn(&table, &settings(kind)).expect("there is enough");
                for row in [
                    [Cell::Number(1e300), Cell::Missing],
                    [Cell::Number(1.0), Cell::Number(1.0)],
                ] {
                    assert!(surprise(&model, &row).is_finite(), "{}", kind.name());
                }
            }
            let wide = (0..=FEATURES_MAX).map(|column| numbers(&column.to_string(), (0..9).map(f64::from).collect()));
            let refused = Model::learn(&Table::new(wide.collect()), &settings(kind)).err();
            let expected = Unfit::TooManyFeatures {
                features: FEATURES_MAX + 1,
                features_max: FEATURES_MAX,
            };
            assert_eq!(refused, Some(expected));
        }
    }

    #[test]
    fn the_determinant_is_that_of_the_matrix() {
        let told = ln_determinant(vec![4.0, 2.0, 2.0, 3.0], 2).expect("it is positive");
        assert!((told - 8.0f64.ln()).abs() < 1e-12);
        assert_eq!(ln_determinant(vec![1.0, 2.0, 2.0, 1.0], 2), None);
    }
}
