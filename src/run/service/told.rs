//! An alert as the outbox keeps it: the documents that sinks deliver, written once when it was told.

use crate::domain::Alert;
use crate::edge::sink::{Letterhead, ecs_document, ocsf_document};
use serde::{Deserialize, Serialize};

/// One form of an alert. ECS and OCSF documents as JSON, without line ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) ecs: String,
    pub(super) ocsf: String,
}

impl Told {
    pub(super) fn of(alert: &Alert, head: &Letterhead<'_>) -> Told {
        Told {
            ecs: ecs_document(alert, head).to_string(),
            ocsf: ocsf_document(alert, head).to_string(),
        }
    }

    pub(super) fn write(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("two texts always serialise")
    }

    /// Reads what [`Told::write`] wrote; nothing when it is damaged.
    pub(super) fn read(bytes: &[u8]) -> Option<Told> {
        postcard::from_bytes(bytes).ok()
    }
}
