//! An alert as the outbox keeps it: the documents that sinks deliver, written once when it was told.

use super::ocsf::closed;
use super::{DocumentForm, Letterhead, ecs_document, ocsf_document};
use crate::domain::Alert;
use serde::{Deserialize, Serialize};

/// One form of an alert. ECS and OCSF documents as JSON, without line ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The ECS document.
    pub ecs: String,
    /// The OCSF document.
    pub ocsf: String,
}

impl Told {
    /// The documents of an alert.
    pub fn of(alert: &Alert, head: &Letterhead<'_>) -> Told {
        Told {
            ecs: ecs_document(alert, head).to_string(),
            ocsf: ocsf_document(alert, head).to_string(),
        }
    }

    /// The documents of an alert's last form, where nothing judges it any more: it is over.
    pub fn last_of(alert: &Alert, head: &Letterhead<'_>) -> Told {
        let mut ecs = ecs_document(alert, head);
        if let Some(stakeout) = ecs["stakeout"].as_object_mut() {
            stakeout.insert("ended".to_owned(), true.into());
        }
        Told {
            ecs: ecs.to_string(),
            ocsf: closed(ocsf_document(alert, head)).to_string(),
        }
    }

    /// The document of a form.
    pub fn document(&self, form: DocumentForm) -> &str {
        match form {
            DocumentForm::Ecs => &self.ecs,
            DocumentForm::Ocsf => &self.ocsf,
        }
    }

    /// The alert's id and the count of this form: the key by which a document that arrives again is known.
    pub fn key(&self) -> (String, u64) {
        let document: serde_json::Value = serde_json::from_str(&self.ecs).unwrap_or_default();
        let id = document["event"]["id"].as_str().unwrap_or_default();
        (
            id.to_owned(),
            document["stakeout"]["count"].as_u64().unwrap_or_default(),
        )
    }

    /// As bytes of the outbox.
    pub fn write(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("two texts always serialise")
    }

    /// Reads what [`Told::write`] wrote, and gives what stands behind it; nothing when it is damaged.
    pub fn read_before(bytes: &[u8]) -> Option<(Told, &[u8])> {
        postcard::take_from_bytes(bytes).ok()
    }

    /// Reads what [`Told::write`] wrote, whatever stands behind it; nothing when it is damaged.
    pub fn read(bytes: &[u8]) -> Option<Told> {
        postcard::from_bytes(bytes).ok()
    }
}
