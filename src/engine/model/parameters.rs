//! How large a model is: what may be chosen for a kind beside its seed, and from which values.

use super::Kind;
use serde::{Deserialize, Serialize};

/// What was chosen for a model; nothing where the kind's own is to be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// How many parts it has: samples of neighbours, trees of a forest.
    pub parts: Option<u16>,
    /// Rows that each part is made of.
    pub part_rows: Option<u16>,
}

/// The values that a search may choose from; none where there is nothing to choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ranges {
    /// Of [`Parameters::parts`].
    pub parts: &'static [u16],
    /// Of [`Parameters::part_rows`].
    pub part_rows: &'static [u16],
}

impl Kind {
    /// What may be chosen for models of this kind.
    pub const fn ranges(self) -> Ranges {
        match self {
            Kind::Neighbours => Ranges {
                parts: &[16, 32, 64],
                part_rows: &[16, 32, 64, 128, 256],
            },
            Kind::IsolationForest => Ranges {
                parts: &[50, 100, 200, 400],
                part_rows: &[32, 64, 128, 256],
            },
            Kind::Autoencoder
            | Kind::Sequence
            | Kind::Characters
            | Kind::RandomForest
            | Kind::KMeans
            | Kind::GaussianMixture
            | Kind::Dbscan => Ranges {
                parts: &[],
                part_rows: &[],
            },
        }
    }
}

impl Ranges {
    /// Every choice, the kind's own first.
    pub fn choices(&self) -> Vec<Parameters> {
        let mut choices = vec![Parameters::default()];
        for parts in self.parts {
            choices.extend(self.part_rows.iter().map(|part_rows| Parameters {
                parts: Some(*parts),
                part_rows: Some(*part_rows),
            }));
        }
        choices
    }
}
