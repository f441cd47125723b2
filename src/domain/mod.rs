//! The words that every part of Stakeout shares: time, fields, events, entities, scores, findings and alerts.
//! Plain data, without behaviour that waits, reads a clock or fails on the network.

mod alert;
mod asset;
mod datagram;
mod definition;
mod document;
pub(crate) mod earlier;
mod entity;
mod event;
mod feature;
mod field;
mod finding;
mod loss;
mod network;
mod stream;
mod time;

pub use alert::{Actor, Alert, Supporting, Together, risk};
pub use asset::{Asset, Assets, Criticality};
pub use datagram::Datagram;
pub use definition::{
    BaselineKind, CountPrior, Definition, Expectation, Level, MagnitudePrior, Measure, Prior, Season, SentencePart,
    Setting, Tail,
};
pub use document::{Document, Mistake, Place, nearest};
pub use entity::{Entity, EntityHash, EntityValue, KEY_GROUPS, hash_value, write_entity, write_value};
pub use event::{Event, Value};
pub use feature::{Feature, FeatureOf, VectorModel};
pub use field::{Field, FieldKind};
pub use finding::{ByModel, Context, Expected, FeatureSeen, Finding, MemoryName, NormalIf};
pub use loss::CaptureLoss;
pub use network::{AutonomousSystem, Direction, Neighbourhood, Networks, Prefix, PrefixMap, SystemLookup};
pub use stream::{Mark, Passed};
pub use time::{Duration, Timestamp};
pub(crate) use time::{civil_from_days, days_from_civil, parse_civil};
