//! What is counted about Kafka: as an input, as a sink, and as what can't be reached. Topics and partitions are
//! configured, so they may be labels.

use super::{SECONDS_BOUNDS, counters};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use std::time::Duration;

/// What is counted about Kafka.
#[derive(Clone, Debug)]
pub struct KafkaMetrics {
    lag: IntGaugeVec,
    up: IntGaugeVec,
    refused: IntCounterVec,
    dead_letters: IntCounterVec,
    gaps: IntCounterVec,
    lost: IntCounterVec,
    errors: IntCounterVec,
    rebalances: IntCounterVec,
    aborted: IntCounter,
    transaction_seconds: Histogram,
    stream_watermark: GaugeVec,
    /// Partitions that wait for what others have to sum up.
    pub waiting_for_population: IntGauge,
    /// Partitions that are being taken up.
    pub restoring: IntGauge,
}

impl KafkaMetrics {
    pub(super) fn new(registry: &Registry) -> Result<KafkaMetrics, prometheus::Error> {
        let gauges = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["topic", "partition"]);
        let metrics = KafkaMetrics {
            lag: gauges("kafka_lag_records", "Records of a partition that were not taken in yet")?,
            up: gauges("kafka_partition_up", "Whether a partition is read")?,
            refused: counters(
                "kafka_records_refused_total",
                "Records that could not be read",
                &["topic", "reason"],
            )?,
            dead_letters: counters(
                "kafka_dead_letters_total",
                "Refused records by whether the dead-letter topic took them",
                &["topic", "outcome"],
            )?,
            gaps: counters(
                "kafka_gaps_total",
                "Times that a partition could not go on at its position",
                &["topic", "reason"],
            )?,
            lost: counters(
                "kafka_records_lost_total",
                "Records that retention took before they were read",
                &["topic"],
            )?,
            errors: counters(
                "kafka_errors_total",
                "Errors of brokers and on the way to them",
                &["reason"],
            )?,
            rebalances: counters(
                "kafka_rebalances_total",
                "Times that a partition came to this instance or went",
                &["topic", "event"],
            )?,
            aborted: IntCounter::with_opts(Opts::new(
                "kafka_transactions_aborted_total",
                "Transactions that were aborted and tried again",
            ))?,
            stream_watermark: GaugeVec::new(
                Opts::new(
                    "kafka_stream_watermark_seconds",
                    "Event time that a stream has come to, of those that others wait for",
                ),
                &["stream"],
            )?,
            waiting_for_population: IntGauge::with_opts(Opts::new(
                "kafka_partitions_waiting",
                "Partitions that wait for what others have to sum up",
            ))?,
            restoring: IntGauge::with_opts(Opts::new(
                "kafka_partitions_restoring",
                "Partitions whose state is being taken up",
            ))?,
            transaction_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "kafka_transaction_seconds",
                    "Seconds that transactions with alerts took to commit",
                )
                .buckets(SECONDS_BOUNDS.to_vec()),
            )?,
        };
        for vector in [
            &metrics.refused,
            &metrics.dead_letters,
            &metrics.gaps,
            &metrics.lost,
            &metrics.errors,
            &metrics.rebalances,
        ] {
            registry.register(Box::new(vector.clone()))?;
        }
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.transaction_seconds.clone()))?;
        registry.register(Box::new(metrics.aborted.clone()))?;
        registry.register(Box::new(metrics.stream_watermark.clone()))?;
        registry.register(Box::new(metrics.waiting_for_population.clone()))?;
        registry.register(Box::new(metrics.restoring.clone()))?;
        Ok(metrics)
    }

    /// Records of a partition that were not taken in yet.
    pub fn lag(&self, topic: &str, partition: i32) -> IntGauge {
        self.lag.with_label_values(&[topic, &partition.to_string()])
    }

    /// Whether a partition is read.
    pub fn up(&self, topic: &str, partition: i32) -> IntGauge {
        self.up.with_label_values(&[topic, &partition.to_string()])
    }

    /// Records that could not be read; `reason` is of a closed set.
    pub fn refused(&self, topic: &str, reason: &'static str) -> IntCounter {
        self.refused.with_label_values(&[topic, reason])
    }

    /// Refused records by what became of them: `delivered` or `failed`.
    pub fn dead_letters(&self, topic: &str, outcome: &'static str) -> IntCounter {
        self.dead_letters.with_label_values(&[topic, outcome])
    }

    /// Times that a partition could not go on at its position.
    pub fn gaps(&self, topic: &str, reason: &'static str) -> IntCounter {
        self.gaps.with_label_values(&[topic, reason])
    }

    /// Records that retention took before they were read.
    pub fn lost(&self, topic: &str) -> IntCounter {
        self.lost.with_label_values(&[topic])
    }

    /// Times that a partition came to this instance or went: `given`, `taken` or `lost`.
    pub fn rebalances(&self, topic: &str, event: &'static str) -> IntCounter {
        self.rebalances.with_label_values(&[topic, event])
    }

    /// A partition is somebody else's now: nothing more is told of it here.
    pub fn leave(&self, topic: &str, partition: i32) {
        let labels = [topic, &partition.to_string()];
        for gauges in [&self.lag, &self.up] {
            // There is nothing to remove where nothing was told.
            let _ = gauges.remove_label_values(&labels);
        }
    }

    /// Errors of brokers and on the way to them.
    pub fn errors(&self, reason: &'static str) -> IntCounter {
        self.errors.with_label_values(&[reason])
    }

    /// How far the streams have come that others wait for, in seconds of event time. Streams are named by instances.
    pub fn streams<'a>(&self, streams: impl Iterator<Item = (&'a str, f64)>) {
        self.stream_watermark.reset();
        for (name, seconds) in streams {
            self.stream_watermark.with_label_values(&[name]).set(seconds);
        }
    }

    /// A transaction was aborted, and is tried again.
    pub fn aborted(&self) {
        self.aborted.inc();
    }

    /// A transaction has committed and took so long.
    pub fn committed(&self, took: Duration) {
        self.transaction_seconds.observe(took.as_secs_f64());
    }
}
