//! Sinks: alerts as documents for machines and lines for people, and the places that they are delivered to.
//!
//! To add a place: a file with a type that implements [`Sink`], a kind in `config/service/sinks.rs`, a line in
//! `run/service/sinks.rs`.

mod alertmanager;
mod ecs;
mod elasticsearch;
mod endpoint;
mod explain;
#[cfg(feature = "kafka")]
mod kafka;
mod lines;
mod ocsf;
mod sentence;
mod syslog;
mod text;
mod told;
mod webhook;

pub use alertmanager::AlertmanagerSink;
pub use ecs::document as ecs_document;
pub use elasticsearch::ElasticsearchSink;
pub use endpoint::{Credentials, Endpoint};

pub use explain::explanation;
#[cfg(feature = "kafka")]
pub use kafka::KafkaSink;
pub use lines::{FileSink, Rotation, StdoutSink};
pub use ocsf::document as ocsf_document;
pub use sentence::{amount, entity_text, sentence};
pub use syslog::{SyslogSink, SyslogTransport};
pub use text::{printable, table};
pub use told::Told;
pub use webhook::WebhookSink;

use crate::domain::{Alert, Asset, Assets, Definition, EntityValue, Field, Networks, Value, risk};
use std::time::Duration;

/// A place that alerts are delivered to. Works on a thread of its own and may block.
pub trait Sink: Send {
    /// Where delivery goes on. A place that keeps its own cursor together with what it was given knows that better than
    /// the outbox does. Asked before each delivery.
    fn resume(&mut self, outbox: &Outbox) -> Result<u64, SinkFailure> {
        Ok(outbox.next)
    }

    /// Delivers alerts with their numbers, for a place that keeps its own cursor.
    fn deliver_batch(&mut self, batch: &Batch<'_>) -> Result<(), SinkFailure> {
        self.deliver(batch.told)
    }

    /// Delivers alerts in their order. After an error none of them counts as delivered: the same alerts come again,
    /// after a while.
    fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure>;

    /// Called about every second while there is nothing to deliver: for what has to be repeated or ended by the clock.
    fn idle(&mut self) -> Result<(), SinkFailure> {
        Ok(())
    }

    /// The last alerts that were delivered before the process began, in order: for what has to go on.
    fn recall(&mut self, told: &[Told]) {
        let _ = told;
    }

    /// Alerts that somebody else delivers from now on: what has to go on with them goes on there.
    fn let_go(&mut self, told: &[Told]) {
        let _ = told;
    }

    /// What was delivered before the process began may come again, in another order: where the last delivery ended says
    /// nothing about what comes now.
    fn comes_in_any_order(&mut self) {}

    /// How many alerts may be delivered together.
    fn together_max(&self) -> usize {
        256
    }
}

/// The outbox, as a sink that keeps its own cursor has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbox {
    /// Which store it is of.
    pub store: u64,
    /// The next alert to deliver, as far as the outbox knows.
    pub next: u64,
    /// The number that the next alert which is told will have.
    pub end: u64,
}

/// Alerts that are delivered together.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The alerts.
    pub told: &'a [Told],
    /// The number behind the last of them.
    pub next: u64,
}

/// Why alerts could not be delivered.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct SinkFailure {
    /// What went wrong, and where.
    pub problem: String,
    /// How long the other end asks to be left alone, where it says so (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// The other end is well but can't take these alerts, and will not later. They are tried one by one, and what is
    /// refused alone is given up.
    pub refused: bool,
}

impl SinkFailure {
    /// A failure to be tried again in the usual rhythm.
    pub fn new(problem: impl Into<String>) -> SinkFailure {
        SinkFailure {
            problem: problem.into(),
            retry_after: None,
            refused: false,
        }
    }
}

impl From<std::io::Error> for SinkFailure {
    fn from(error: std::io::Error) -> Self {
        SinkFailure::new(error.to_string())
    }
}

/// The form of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DocumentForm {
    /// Elastic Common Schema.
    #[default]
    Ecs,
    /// OCSF Detection Finding.
    Ocsf,
}

/// What documents say beside the alert itself.
#[derive(Clone, Copy, Debug)]
pub struct Letterhead<'a> {
    /// The definitions, by detector number.
    pub definitions: &'a [Definition],
    /// The program's version.
    pub program: &'a str,
    /// What networks are called.
    pub networks: &'a Networks,
    /// What things are called, and how much they matter.
    pub assets: &'a Assets,
}

/// A thing that an alert is about and that has a name.
pub(crate) struct NamedAsset<'a> {
    pub(crate) field: Field,
    pub(crate) value: EntityValue,
    pub(crate) asset: &'a Asset,
}

impl Letterhead<'_> {
    /// The risk of an alert, 0 to 100: that of its surprise, times what the most critical thing that it is about makes of
    /// it. A thing that nobody has named is as critical as any other.
    pub fn risk(&self, alert: &Alert) -> f64 {
        let named = self.assets(alert);
        let most = named.iter().map(|named| named.asset.criticality).max();
        (risk(alert.peak.surprise) * most.unwrap_or_default().factor()).min(100.0)
    }

    /// The named things among the fields of an alert's entity, or of its actors, and its target.
    pub(crate) fn assets(&self, alert: &Alert) -> Vec<NamedAsset<'_>> {
        let mut named: Vec<NamedAsset<'_>> = Vec::new();
        for (field, value) in self.about(alert) {
            let found = match &value {
                EntityValue::Ip(address) => self.assets.find(field, Value::Ip(*address)),
                EntityValue::Text(text) => self.assets.find(field, Value::Str(text)),
                EntityValue::Number(_) => None,
            };
            if let Some(asset) = found
                && !named.iter().any(|held| held.field == field && held.value == value)
            {
                named.push(NamedAsset { field, value, asset });
            }
        }
        named
    }

    /// The name of the first named network among the addresses that an alert is about.
    pub(crate) fn network(&self, alert: &Alert) -> Option<&str> {
        self.about(alert).into_iter().find_map(|(_, value)| match value {
            EntityValue::Ip(address) => self.networks.name(address),
            _ => None,
        })
    }

    /// The fields that an alert is about, the entity's first.
    fn about(&self, alert: &Alert) -> Vec<(Field, EntityValue)> {
        let definition = self.definitions.get(usize::from(alert.first.detector));
        let fields = definition.map_or(&[][..], |definition| &definition.entity);
        let entities = std::iter::once(&alert.first.entity).chain(alert.actors.iter().map(|actor| &actor.entity));
        let mut about: Vec<(Field, EntityValue)> = entities
            .flat_map(|entity| fields.iter().copied().zip(entity.values()))
            .collect();
        if let Some((number, target)) = &alert.peak.target
            && let Some(field) = Field::ALL.get(usize::from(*number))
        {
            about.extend(target.values().into_iter().map(|value| (*field, value)));
        }
        about
    }
}
