//! What was measured of a growing measure in one window: 16 bytes, and a set elsewhere where values are told apart.

use super::Sight;
use crate::engine::measure::Distinct;
use serde::{Deserialize, Serialize};

/// How a growing measure is kept in an open window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// As a number: counts and sums.
    Number,
    /// As the number of distinct values.
    Distinct,
    /// As the summed weight of distinct values.
    Weight,
    /// As the greatest value.
    Greatest,
}

/// What was measured in an open window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Total {
    Number(f64),
    Distinct(Box<Distinct>),
    Weight(Box<Distinct>),
    Greatest(f64),
}

impl Total {
    /// An empty total.
    pub(super) fn new(kept: Kept) -> Self {
        match kept {
            Kept::Number => Total::Number(0.0),
            Kept::Distinct => Total::Distinct(Box::default()),
            Kept::Weight => Total::Weight(Box::default()),
            Kept::Greatest => Total::Greatest(0.0),
        }
    }

    /// What it comes to.
    pub(super) fn value(&self) -> f64 {
        match self {
            Total::Number(number) | Total::Greatest(number) => *number,
            Total::Distinct(distinct) => distinct.count(),
            Total::Weight(distinct) => distinct.weight(),
        }
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        match self {
            Total::Number(number) | Total::Greatest(number) => *number = 0.0,
            Total::Distinct(distinct) | Total::Weight(distinct) => distinct.clear(),
        }
    }

    /// An empty total of the same kind.
    pub(super) fn fresh(&self) -> Total {
        match self {
            Total::Number(_) => Total::Number(0.0),
            Total::Greatest(_) => Total::Greatest(0.0),
            Total::Distinct(_) => Total::Distinct(Box::default()),
            Total::Weight(_) => Total::Weight(Box::default()),
        }
    }

    /// Takes an event in.
    pub(super) fn add(&mut self, sight: &Sight<'_>) {
        match self {
            Total::Number(number) => *number += sight.amount,
            Total::Greatest(number) => *number = number.max(sight.amount),
            Total::Distinct(distinct) | Total::Weight(distinct) => {
                distinct.insert(sight.value, sight.amount);
            }
        }
    }
}
