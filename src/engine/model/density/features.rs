//! Rows as points: numbers for all columns, so that what can only add and compare sees categories and missing values too.

#[cfg(feature = "learning")]
use crate::engine::model::{Coder, Codes};
use serde::{Deserialize, Serialize};

/// Categories of a column that have a feature of their own at most; the others share one.
#[cfg(feature = "learning")]
const CATEGORIES_MAX: usize = 32;

/// What a feature looks at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Feature {
    pub(super) column: u16,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum What {
    /// The score of a number.
    Score,
    /// Whether the column has this category.
    Category(u16),
    /// Whether the column has none of the categories before this one: a rare one, or one never seen.
    Rest(u16),
    /// Whether the value is missing.
    Missing,
}

/// The features of the columns of rows like these.
#[cfg(feature = "learning")]
pub(super) fn features_of(coder: &Coder, codes: &Codes) -> Vec<Feature> {
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

/// Appends the features of a row of codes: a score as it is, and 1 or 0 for what holds or does not.
pub(super) fn look_at(features: &[Feature], row: &[f32], values: &mut Vec<f32>) {
    values.extend(features.iter().map(|feature| {
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
