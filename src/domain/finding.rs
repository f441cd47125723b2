//! Findings: what a detector says about one entity and window, before triage decides what a person is told.

use super::{Entity, Timestamp, earlier};
use serde::{Deserialize, Serialize};

/// A detector, an entity, a window, and how unlikely what was seen there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The engine time at which it became known: the deciding event's, or the window's end.
    pub at: Timestamp,
    /// The detector's place in the catalog.
    pub detector: u16,
    /// Whom it is about.
    pub entity: Entity,
    /// The window's place among the detector's windows.
    pub window: u16,
    /// The beginning of the window.
    pub window_start: Timestamp,
    /// The rung of the ladder of surprise that was reached.
    pub rung: u16,
    /// The calibrated tail probability, over all memories and windows of the measure; above 0, up to 1.
    pub p: f64,
    /// `-log10 p`, rounded to 1e-6; goes on where `p` is too small to be told from 0.
    pub surprise: f64,
    /// What was seen, in the measure's unit.
    pub seen: f64,
    /// The seen value as text, where it is one: a process, a port, a network.
    pub seen_text: Option<String>,
    /// What was expected.
    pub expected: Expected,
    /// The smallest change that would have been normal.
    pub normal_if: NormalIf,
    /// Which memory was broken.
    pub memory: MemoryName,
    /// Whom the actors of one cause may share: the number of its field, and the value.
    pub target: Option<(u16, Entity)>,
    /// What is known of the contributing events.
    pub context: Context,
    /// Set when an entity beyond its key group's bound shares this baseline with others.
    pub shared: bool,
    /// Whether the history that was used agrees on a new level that is told once.
    pub regime_change: bool,
    /// The version of the population that judged.
    pub population: u64,
    /// What a model says of a vector.
    #[serde(deserialize_with = "earlier::vectors")]
    pub by_model: Option<ByModel>,
}

/// What a model says of a vector or sequence that it found strange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByModel {
    /// The epoch that the model was learned in.
    pub epoch: i64,
    /// The features that make the vector strange, the strongest first; at most [`FeatureSeen::COUNT_MAX`].
    pub features: Vec<FeatureSeen>,
    /// Of a sequence, what is strange of it and what is usual, in words; empty for a vector.
    pub text: String,
}

/// A feature of a vector that a model found strange.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureSeen {
    /// Its place among the detector's features.
    pub feature: u16,
    /// What was seen, in the feature's unit; NaN where it was missing.
    pub seen: f64,
    /// What is typical of the entity, given the rest of the vector; NaN where missing is.
    pub typical: f64,
    /// Its share of the strangeness, 0 to 1.
    pub share: f64,
}

impl FeatureSeen {
    /// Features that a finding names at most.
    pub const COUNT_MAX: usize = 5;
}

/// What was expected of a measure, on how much history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The median of the predictive distribution.
    pub typical: f64,
    /// The lower end of the 90 % predictive interval.
    pub low: f64,
    /// The upper end of the 90 % predictive interval.
    pub high: f64,
    /// The predictive mean.
    pub mean: f64,
    /// The predictive variance.
    pub variance: f64,
    /// How many standard deviations what was seen lies from the mean.
    pub z: f64,
    /// The windows of history behind it, after forgetting.
    pub history_windows: f64,
    /// The share of the expectation that rests on the prior, 0 to 1.
    pub prior_weight: f64,
}

/// The smallest change of what was seen that would have been normal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum NormalIf {
    /// Up to so much.
    AtMost(f64),
    /// From so much on.
    AtLeast(f64),
    /// A value seen before.
    SeenBefore,
    /// At another hour of the week.
    UsualHour,
    /// With gaps as irregular as this, in the regularity's unit.
    LessRegular(f64),
    /// With so many values in the window that were never seen before.
    NewAtMost(f64),
    /// With so many of the features that it names, the first ones, as they typically are.
    Typical(u16),
}

/// The memory of a baseline that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryName {
    /// The short one.
    Fast,
    /// The long one.
    Slow,
    /// There was no history: the group's, or the definition's own belief.
    Prior,
}

impl MemoryName {
    /// Its word in alerts.
    pub const fn word(self) -> &'static str {
        match self {
            MemoryName::Fast => "fast",
            MemoryName::Slow => "slow",
            MemoryName::Prior => "prior",
        }
    }
}

/// What is known of the events that contribute to a finding: bounded, first come first kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// How many events contributed.
    pub events: u64,
    /// How many of them came after their own window had closed.
    pub late: u64,
    /// The greatest share of packets that their sensors lost around them, 0 to 1 (see [`super::CaptureLoss`]).
    pub loss: f64,
    /// The earliest of their beginnings.
    pub start: Timestamp,
    /// The latest of their times.
    pub end: Timestamp,
    /// The first of them in order, as (input, sequence); at most [`Context::EVIDENCE_MAX`].
    pub evidence: Vec<(u16, u64)>,
    /// The first different addresses, users and hosts among them, as entities of one value with the field's number; at
    /// most [`Context::RELATED_MAX`].
    pub related: Vec<(u16, Entity)>,
    /// The data set that the first of them came from.
    pub dataset: String,
}

impl Context {
    /// Events that are named as evidence.
    pub const EVIDENCE_MAX: usize = 4;
    /// Things that are named as related.
    pub const RELATED_MAX: usize = 16;
}
