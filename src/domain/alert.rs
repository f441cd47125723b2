//! Alerts: what a person is told. A form of an alert is emitted when it is first told, whenever it has risen,
//! and when what goes on has lasted twice as long or is over.

use super::{Entity, Finding, Timestamp, earlier};
use serde::{Deserialize, Serialize};

/// One thing that a person is told, in the form that it had at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// From detector, entity and opening window; the same in every later form.
    pub id: String,
    /// 1 for the first form that is told, one more for each later form.
    pub count: u32,
    /// The engine time at which this form became known.
    pub at: Timestamp,
    /// The finding that decided that the alert is told. Its p and surprise never change.
    pub first: Finding,
    /// The strongest finding so far.
    pub peak: Finding,
    /// The earliest beginning of a contributing event.
    pub start: Timestamp,
    /// The latest time of a contributing event.
    pub end: Timestamp,
    /// The actors that a folded alert names, strongest first; at most [`Alert::ACTORS_MAX`]. Empty for a single actor.
    pub actors: Vec<Actor>,
    /// How many actors there are, also those not named; 0 for a single actor.
    pub actors_total: u64,
    /// Further findings with the same cause, first come first; at most [`Alert::FINDINGS_MAX`].
    pub findings: Vec<Supporting>,
    /// Addresses, users and hosts among the contributing events as (field number, value), first come first; at most
    /// [`Alert::RELATED_MAX`].
    pub related: Vec<(u16, Entity)>,
    /// How many findings joined.
    pub findings_total: u64,
    /// What the detectors say together that each would not have been told for.
    #[serde(deserialize_with = "earlier::later")]
    pub together: Option<Together>,
    /// The alert that this one was closed into.
    pub merged_into: Option<String>,
}

impl Alert {
    /// Actors that a folded alert names.
    pub const ACTORS_MAX: usize = 256;
    /// Findings with the same cause that an alert lists.
    pub const FINDINGS_MAX: usize = 16;
    /// Related things that an alert names.
    pub const RELATED_MAX: usize = 256;
}

/// Several detectors that were surprised by one entity within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Together {
    /// `-log10` of the probability of the strongest finding in such company.
    pub surprise: f64,
    /// How many other detectors there were.
    pub others: u32,
}

/// One of the actors of a folded alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub entity: Entity,
    /// The surprise of its strongest finding.
    pub surprise: f64,
}

/// A finding of another detector or window that has the same cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Supporting {
    /// The detector's place in the catalog.
    pub detector: u16,
    /// Whom it is about.
    pub entity: Entity,
    /// The window's place among the detector's windows.
    pub window: u16,
    /// When it became known.
    pub at: Timestamp,
    /// Its tail probability.
    pub p: f64,
    /// `-log10 p`.
    pub surprise: f64,
    /// What was seen.
    pub seen: f64,
}

/// Risk from 0 to 100 of a surprise: `100 * (1 - 2^(-surprise / 3))`.
pub fn risk(surprise: f64) -> f64 {
    100.0 * (1.0 - (-surprise / 3.0).exp2())
}
