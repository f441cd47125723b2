//! What goes between processes that share the work, beside events and findings: how far a stream, or a partition, has come.

use super::Timestamp;
use serde::{Deserialize, Serialize};

/// What a stream says to all partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Every event of the stream before it has been published.
    pub watermark: Timestamp,
    /// From when to when there were events, for whomever, since the mark before: pauses of over 15 minutes stand between.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active: Vec<(Timestamp, Timestamp)>,
    /// Nothing comes at present, and nobody shall wait for it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quiet: bool,
    /// Nothing will ever come again.
    #[serde(default, skip_serializing_if = "is_false")]
    pub retired: bool,
    /// The stream will begin, and is waited for until then. Who knows it already learns nothing from this.
    #[serde(default, skip_serializing_if = "is_false")]
    pub announced: bool,
}

impl Mark {
    /// Takes a later mark of the same stream up into this one.
    pub fn go_on(&mut self, later: Mark) {
        self.watermark = self.watermark.max(later.watermark);
        for (begin, end) in later.active {
            match self.active.last_mut() {
                // A run goes on from its last event.
                Some((_, last)) if begin <= *last => *last = end.max(*last),
                _ => self.active.push((begin, end)),
            }
        }
        self.quiet = later.quiet;
        self.retired = later.retired;
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

/// How far a partition has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Every finding from before it has been given.
    pub watermark: Timestamp,
    /// Epochs that ended with events in them since this was asked last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<i64>,
}
