//! What collectors count, by kind of collector.

use super::counters;
use crate::edge::collector::Origin;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// What collectors count.
#[derive(Clone, Debug)]
pub struct CollectorMetrics {
    messages: IntCounterVec,
    refused: IntCounterVec,
    connections: IntGaugeVec,
    kernel_drops: IntCounterVec,
}

impl CollectorMetrics {
    pub(super) fn new(registry: &Registry) -> Result<CollectorMetrics, prometheus::Error> {
        let metrics = CollectorMetrics {
            messages: counters("collector_messages_total", "Messages taken in", &["source"])?,
            refused: counters(
                "collector_refused_total",
                "Messages, requests and connections that were not taken in, or not whole",
                &["source", "reason"],
            )?,
            connections: IntGaugeVec::new(
                Opts::new("collector_connections", "Connections that are open"),
                &["source"],
            )?,
            kernel_drops: counters(
                "collector_kernel_drops_total",
                "Datagrams that the system dropped because they were not fetched in time",
                &["source"],
            )?,
        };
        registry.register(Box::new(metrics.messages.clone()))?;
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.kernel_drops.clone()))?;
        Ok(metrics)
    }

    /// Messages taken in.
    pub fn messages(&self, origin: Origin) -> IntCounter {
        self.messages.with_label_values(&[origin.name()])
    }

    /// What was not taken in, or not whole; `reason` is of a closed set.
    pub fn refused(&self, origin: Origin, reason: &'static str) -> IntCounter {
        self.refused.with_label_values(&[origin.name(), reason])
    }

    /// Connections that are open.
    pub fn connections(&self, origin: Origin) -> IntGauge {
        self.connections.with_label_values(&[origin.name()])
    }

    /// Datagrams that the system dropped.
    pub fn kernel_drops(&self, origin: Origin) -> IntCounter {
        self.kernel_drops.with_label_values(&[origin.name()])
    }
}
