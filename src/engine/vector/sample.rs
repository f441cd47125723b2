//! What a group's entities say together about vectors: a sample of them, from which every partition learns the same model.
//!
//! A model that is trained event by event depends on the order in which events come, and no partition sees all of them. A
//! sample does not: each entity votes once an epoch with one closed window, and which votes are kept depends on hashes
//! alone (`kept.rs`).
//!
//! From time to time the sample is set apart as what models learn from: when there are votes enough for the first
//! time and they span a day, when a quarter more has come while it is small, and once a day. A model is learned when it is first asked.
//!
//! Two models answer two questions. An entity with a history is judged by how its window deviates from its own past, among
//! the deviations of all; one without by how its window stands among those of the others.
//!
//! Size: 512 votes of 8 bytes a component, 64 kB for 16 components, for each group that has any; a model 32 to 100 kB.

use super::super::baseline::Summary;
use super::super::model::{Kind, Model};
use super::kept::{Kept, ROWS_MIN, Taught, Vote, priority_of, vouched};
use crate::domain::VectorModel;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

/// Sums of components are kept in units of 2^-20.
const UNIT: f64 = (1u64 << 20) as f64;
/// Windows that what is usual for others is worth beside an entity's own.
const PRIOR_WINDOWS: f32 = 2.0;
/// Windows from which an entity is judged by its own past.
pub(in crate::engine) const KNOWN_WINDOWS: f32 = 4.0;
/// The least scale of a component: what means little.
const SCALE_MIN: f32 = 1.0;
/// Where the randomness of learning begins.
const SEED: u64 = 0x7665_6374;

/// One window of one entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VectorVote {
    priority: u64,
    /// What was seen, by component.
    components: Box<[f32]>,
    /// How it deviated from the entity's own past; empty where there was none.
    deviations: Box<[f32]>,
}

impl VectorVote {
    /// A vote with a priority drawn evenly from all numbers.
    pub fn new(drawn: u64, incident: bool, components: Box<[f32]>, deviations: Box<[f32]>) -> VectorVote {
        VectorVote {
            priority: priority_of(drawn, incident),
            components,
            deviations,
        }
    }
}

impl Vote for VectorVote {
    fn priority(&self) -> u64 {
        self.priority
    }

    fn compare(&self, other: &Self) -> Ordering {
        let bits = |vote: &VectorVote| -> Vec<u32> {
            let components = vote.components.iter().chain(&vote.deviations);
            components.map(|number| number.to_bits()).collect()
        };
        bits(self).cmp(&bits(other))
    }
}

/// The votes of a group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VectorSummary {
    kept: Kept<VectorVote>,
    /// How many had each component, and its sum.
    sums: Vec<(u64, i64)>,
    /// What models learn from; the population's alone has it.
    training: Option<Arc<Training>>,
}

impl VectorSummary {
    /// Adds an entity's vote.
    pub fn vote(&mut self, vote: VectorVote) {
        if self.sums.len() < vote.components.len() {
            self.sums.resize(vote.components.len(), (0, 0));
        }
        for ((count, sum), component) in self.sums.iter_mut().zip(&vote.components) {
            if component.is_finite() {
                *count += 1;
                *sum += (f64::from(*component) * UNIT) as i64;
            }
        }
        self.kept.vote(vote);
    }

    /// Sets apart what models learn from, when it is time. `earlier` holds the votes of the span before.
    pub fn settle(&mut self, earlier: &VectorSummary, epoch: i64) {
        if self.training.is_none() {
            self.training.clone_from(&earlier.training);
        }
        let before = self.training.as_ref().map(|training| training.taught);
        if !self.kept.is_due(&earlier.kept, before, epoch) {
            return;
        }
        let mut all = self.clone();
        all.merge(earlier);
        self.training = Some(Arc::new(Training::of(&all, epoch)));
    }
}

impl Summary for VectorSummary {
    fn merge(&mut self, other: &Self) {
        self.kept.merge(&other.kept);
        if self.sums.len() < other.sums.len() {
            self.sums.resize(other.sums.len(), (0, 0));
        }
        for ((count, sum), (more, further)) in self.sums.iter_mut().zip(&other.sums) {
            *count += more;
            *sum += further;
        }
    }
}

/// What models learn from, and what they have learned.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Training {
    taught: Taught,
    rows: Arc<Vec<VectorVote>>,
    /// By component: the mean over all votes.
    means: Box<[f32]>,
    /// By component: half of what lies between the 16th and the 84th percentile of deviations.
    scales: Box<[f32]>,
    /// Learned when it is first asked.
    #[serde(skip)]
    of_deviations: OnceLock<Option<Model>>,
    #[serde(skip)]
    of_components: OnceLock<Option<Model>>,
}

impl Training {
    fn of(summary: &VectorSummary, epoch: i64) -> Training {
        let mean = |(count, sum): &(u64, i64)| (*sum as f64 / UNIT / (*count).max(1) as f64) as f32;
        let width = summary.sums.len();
        let scale = |component: usize| {
            let known = summary.kept.rows.iter().filter_map(|row| row.deviations.get(component));
            quantiles(known.copied(), [0.16, 0.84])
                .map_or(f32::INFINITY, |[low, high]| ((high - low) / 2.0).max(SCALE_MIN))
        };
        Training {
            taught: Taught {
                epoch,
                votes: summary.kept.votes,
                rows: summary.kept.rows.len(),
            },
            rows: Arc::clone(&summary.kept.rows),
            means: summary.sums.iter().map(mean).collect(),
            scales: (0..width).map(scale).collect(),
            of_deviations: OnceLock::new(),
            of_components: OnceLock::new(),
        }
    }

    fn model(&self, kind: VectorModel, of: Of) -> Option<&Model> {
        let (held, rows) = (
            &self.rows,
            match of {
                Of::Deviations => &self.of_deviations,
                Of::Components => &self.of_components,
            },
        );
        let learn = || {
            let known = held.iter().map(|row| of.row(row)).filter(|row| !row.is_empty());
            let known: Vec<&[f32]> = known.collect();
            let kind = Kind::from_name(kind.word())?;
            (known.len() >= ROWS_MIN)
                .then(|| Model::of_vectors(&known, kind, SEED).ok())
                .flatten()
        };
        rows.get_or_init(learn).as_ref()
    }
}

/// What a model is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// How windows deviate from their entities' own past.
    Deviations,
    /// What windows come to.
    Components,
}

impl Of {
    fn row(self, vote: &VectorVote) -> &[f32] {
        match self {
            Of::Deviations => &vote.deviations,
            Of::Components => &vote.components,
        }
    }
}

/// What is believed of a group's vectors.
#[derive(Clone, Debug)]
pub struct VectorPrior {
    kind: VectorModel,
    training: Option<Arc<Training>>,
}

/// What the votes show of a component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub middle: f32,
    /// The 5th percentile.
    pub low: f32,
    /// The 95th percentile.
    pub high: f32,
}

impl VectorPrior {
    /// Before anything was seen.
    pub fn new(kind: VectorModel) -> VectorPrior {
        VectorPrior { kind, training: None }
    }

    /// What follows from votes.
    pub fn taught(&self, votes: &VectorSummary) -> VectorPrior {
        VectorPrior {
            kind: self.kind,
            training: votes.training.clone(),
        }
    }

    /// The epoch that models were learned in.
    pub fn epoch(&self) -> Option<i64> {
        self.training.as_ref().map(|training| training.taught.epoch)
    }

    /// What an entity is expected to show, by component: its own past, shrunk to what is usual. `own` is empty where it has
    /// none, and NaN where it never had the component.
    pub fn expected<'a>(&'a self, own: &'a [f32], windows: f32, width: usize) -> impl Iterator<Item = f32> + 'a {
        let usual = self.training.as_ref().map_or(&[][..], |training| &training.means);
        (0..width).map(move |place| {
            let own = own.get(place).copied().filter(|own| own.is_finite());
            match (own, usual.get(place)) {
                (Some(own), Some(usual)) => (own * windows + usual * PRIOR_WINDOWS) / (windows + PRIOR_WINDOWS),
                (Some(own), None) => own,
                (None, Some(usual)) => *usual,
                (None, None) => 0.0,
            }
        })
    }

    /// How far an update may reach, by component.
    pub fn scale(&self, component: usize) -> f32 {
        let scales = self.training.as_ref().map_or(&[][..], |training| &training.scales);
        scales.get(component).copied().unwrap_or(f32::INFINITY)
    }

    /// How surprising a row is, `-log10 p` as far as the votes tell; nothing while there is too little to learn from.
    pub fn surprise(&self, of: Of, row: &[f32]) -> Option<f64> {
        let training = self.training.as_ref()?;
        let surprise = training.model(self.kind, of)?.surprise_of_vector(row);
        Some(vouched(surprise, training.rows.len()))
    }

    /// By component, its share of a row's strangeness; the shares add up to 1.
    pub fn blame(&self, of: Of, row: &[f32]) -> Vec<f64> {
        let mut shares = vec![0.0; row.len()];
        if let Some(model) = self
            .training
            .as_ref()
            .and_then(|training| training.model(self.kind, of))
        {
            for (component, share) in model.blame_of_vector(row) {
                shares[component] = share;
            }
        }
        shares
    }

    /// Between what bounds nine of ten votes lie; nothing where there are none.
    pub fn spread(&self, of: Of, component: usize) -> Option<Spread> {
        let rows = &self.training.as_ref()?.rows;
        let numbers = rows.iter().filter_map(|row| of.row(row).get(component));
        let [low, middle, high] = quantiles(numbers.copied(), [0.05, 0.5, 0.95])?;
        Some(Spread { middle, low, high })
    }
}

/// Quantiles of the finite ones among numbers; nothing where there are none.
fn quantiles<const N: usize>(numbers: impl Iterator<Item = f32>, shares: [f64; N]) -> Option<[f32; N]> {
    let mut sorted: Vec<f32> = numbers.filter(|number| number.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some(shares.map(|share| sorted[(share * last as f64).round() as usize]))
}

#[cfg(test)]
mod tests {
    use super::super::kept::ROWS_MAX;
    use super::*;

    fn vote(number: u64) -> VectorVote {
        let drawn = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes());
        let components = [(number % 7) as f32, (number % 5) as f32, f32::NAN];
        let deviations = [(number % 3) as f32, 0.0, f32::NAN];
        VectorVote::new(drawn, number.is_multiple_of(50), components.into(), deviations.into())
    }

    fn bytes(summary: &VectorSummary) -> Vec<u8> {
        postcard::to_allocvec(summary).expect("plain data")
    }

    #[test]
    fn votes_give_the_same_sample_however_they_are_split_and_merged() {
        let mut whole = VectorSummary::default();
        (0..3000).for_each(|number| whole.vote(vote(number)));
        for parts in [2usize, 5, 13] {
            let mut summaries = vec![VectorSummary::default(); parts];
            (0..3000u64)
                .rev()
                .for_each(|number| summaries[number as usize * 7 % parts].vote(vote(number)));
            let mut merged = VectorSummary::default();
            summaries.iter().rev().for_each(|summary| merged.merge(summary));
            assert_eq!(bytes(&merged), bytes(&whole), "{parts} parts");
        }
        assert_eq!(whole.kept.rows.len(), ROWS_MAX);
        // 60 of 3,000 votes are incidents, and weigh a 24th.
        let incidents = whole
            .kept
            .rows
            .iter()
            .filter(|row| row.components == vote(50).components);
        assert!(incidents.count() < 110, "those of the same numbers make a 35th");
    }

    #[test]
    fn models_wait_for_votes_and_are_learned_anew_when_many_have_come_or_a_day_has_passed() {
        let (mut summary, earlier) = (VectorSummary::default(), VectorSummary::default());
        let epoch = |summary: &VectorSummary| summary.training.as_ref().map(|training| training.taught.epoch);
        (0..40).for_each(|number| summary.vote(vote(number)));
        summary.settle(&earlier, 1);
        assert_eq!(epoch(&summary), None);
        let prior = |summary: &VectorSummary| VectorPrior::new(VectorModel::Neighbours).taught(summary);
        assert_eq!(prior(&summary).surprise(Of::Components, &[1.0, 1.0, 0.0]), None);
        (40..60).for_each(|number| summary.vote(vote(number)));
        summary.settle(&earlier, 24);
        assert_eq!(epoch(&summary), None, "a day has not passed");
        summary.settle(&earlier, 25);
        assert_eq!(epoch(&summary), Some(25));
        summary.vote(vote(60));
        summary.settle(&earlier, 26);
        assert_eq!(epoch(&summary), Some(25), "one more is not worth it");
        (61..90).for_each(|number| summary.vote(vote(number)));
        summary.settle(&earlier, 27);
        assert_eq!(epoch(&summary), Some(27));
        summary.vote(vote(90));
        summary.settle(&earlier, 50);
        assert_eq!(epoch(&summary), Some(27));
        summary.settle(&earlier, 51);
        assert_eq!(epoch(&summary), Some(51));
        let prior = prior(&summary);
        let usual = prior.surprise(Of::Components, &[3.0, 2.0, f32::NAN]);
        let odd = prior.surprise(Of::Components, &[40.0, 2.0, f32::NAN]);
        assert!(usual < Some(1.0) && odd > Some(1.5), "{usual:?} {odd:?}");
        let blame = prior.blame(Of::Components, &[40.0, 2.0, f32::NAN]);
        assert!(
            blame[0] > 0.8 && (blame.iter().sum::<f64>() - 1.0).abs() < 1e-9,
            "{blame:?}"
        );
        // A saved one learns the same model again.
        let again: VectorSummary = postcard::from_bytes(&bytes(&summary)).expect("what was just written");
        let again = VectorPrior::new(VectorModel::Neighbours).taught(&again);
        assert_eq!(again.surprise(Of::Components, &[40.0, 2.0, f32::NAN]), odd);
    }
}
