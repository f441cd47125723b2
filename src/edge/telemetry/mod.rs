//! What the service tells of itself to Prometheus. Prefix `stakeout_`, base units, `_total` on counters, and labels only
//! from closed sets: never an address, a user or a message. What the process uses stands beside it under `process_`, as
//! Prometheus' own clients name it. `docs/operating.md` describes every metric, and a test holds it to that.

mod collectors;
mod counted;
mod kafka;
mod process;

pub use collectors::CollectorMetrics;
pub use counted::CountedHistogram;
pub use kafka::KafkaMetrics;

use process::ProcessCollector;
use prometheus::{
    CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Bounds of times that the store and the listener take, in seconds.
const SECONDS_BOUNDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Every metric of the service.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// What collectors count.
    pub collectors: CollectorMetrics,
    /// What is counted about Kafka.
    pub kafka: KafkaMetrics,
    process: Registry,
    /// 1 while state was taken up and the store can be written, else 0.
    pub ready: IntGauge,
    /// Bytes collected, by kind of collector.
    pub collected_bytes: IntCounterVec,
    /// When a kind of collector gave something last; the start before it has.
    pub source_last: GaugeVec,
    /// Packets at live capture by what became of them: received, lost_by_kernel, lost_by_interface.
    pub capture_packets: IntCounterVec,
    /// Flows that were open when a process before this one was killed.
    pub capture_flows_lost: IntCounter,
    /// Records by what became of them: decoded, ignored, refused.
    pub records: IntCounterVec,
    /// Records that were refused, by reason.
    pub refused: IntCounterVec,
    /// Events that the engine took.
    pub events: IntCounter,
    /// Judgements made.
    pub judgements: IntCounter,
    /// Findings handed to triage, by detector.
    pub findings: IntCounterVec,
    /// Windows by their calibrated p, by detector.
    pub window_p: CountedHistogram,
    /// The surprise from which alerts are told, by detector.
    pub bar: GaugeVec,
    /// Alerts told, by detector, its first tactic, its entity's fields and its severity.
    pub alerts: IntCounterVec,
    /// The sum of the risk of alerts when they were first told, by entity's fields and tactic.
    pub alert_risk: CounterVec,
    /// Alerts told on the present day of event time.
    pub alerts_today: IntGauge,
    /// Alerts a day that the budget allows.
    pub budget_per_day: Gauge,
    /// Incidents that the budget withheld.
    pub withheld: IntCounter,
    /// Entities with state.
    pub entities: IntGauge,
    /// Events of entities that share a baseline because a bound was reached.
    pub shared: IntCounter,
    /// Log files that are followed.
    pub files: IntGauge,
    /// Bytes of followed files that were not collected yet.
    pub file_bytes_behind: IntGauge,
    /// Whether an interface is captured from, by interface.
    pub capture_up: IntGaugeVec,
    /// Deliveries that wait for the core.
    pub queue: IntGauge,
    /// Events that wait for other inputs.
    pub waiting: IntGauge,
    /// Seconds that judged event time lies behind the clock.
    pub lag_seconds: Gauge,
    /// Commits to the store, by the seconds that they took.
    pub commit_seconds: Histogram,
    /// Failures of the store, by operation.
    pub store_failures: IntCounterVec,
    /// Records in the journal.
    pub journal_records: IntGauge,
    /// Bytes of these records.
    pub journal_bytes: IntGauge,
    /// Bytes of the newest snapshot.
    pub snapshot_bytes: IntGauge,
    /// Seconds for which judging waited while a snapshot was written, in all.
    pub snapshot_seconds: Histogram,
    /// Seconds for which judging waited at once while a part of one was written.
    pub snapshot_wait_seconds: Histogram,
    /// Alerts that a sink has not delivered yet, by sink.
    pub sink_backlog: IntGaugeVec,
    /// Alerts delivered, by sink.
    pub sink_delivered: IntCounterVec,
    /// Alerts given up because the sink's other end refused them, by sink.
    pub sink_refused: IntCounterVec,
    /// Alerts without the document that a sink delivers, by sink.
    pub sink_without_document: IntCounterVec,
    /// Failed deliveries, by sink.
    pub sink_failures: IntCounterVec,
    /// Seconds that HTTP requests took, by path and status class.
    pub http_seconds: HistogramVec,
    /// Whether the last reload of the configuration worked.
    pub reload_successful: IntGauge,
    /// When the configuration was last taken up.
    pub reload_success: Gauge,
}

impl Metrics {
    /// Every metric at zero.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new_custom(Some("stakeout".to_owned()), None)?;
        let process = Registry::new();
        process.register(Box::new(ProcessCollector::new()?))?;
        let metrics = Metrics {
            collectors: CollectorMetrics::new(&registry)?,
            kafka: KafkaMetrics::new(&registry)?,
            ready: IntGauge::new("ready", "Whether state was taken up and the store can be written")?,
            collected_bytes: counters("collected_bytes_total", "Bytes collected", &["source"])?,
            source_last: GaugeVec::new(
                Opts::new(
                    "source_last_received_timestamp_seconds",
                    "When a source gave something last; the start before it has",
                ),
                &["source"],
            )?,
            capture_packets: counters(
                "capture_packets_total",
                "Packets at live capture by what became of them",
                &["outcome"],
            )?,
            capture_flows_lost: IntCounter::new(
                "capture_flows_lost_total",
                "Flows that were open when a process before this one was killed",
            )?,
            records: counters("records_total", "Records by what became of them", &["outcome"])?,
            refused: counters("records_refused_total", "Records that could not be read", &["reason"])?,
            events: IntCounter::new("events_total", "Events that the engine took")?,
            judgements: IntCounter::new("judgements_total", "Windows and values judged")?,
            findings: counters("findings_total", "Findings handed to triage", &["detector"])?,
            window_p: CountedHistogram::new(
                "window_p_value",
                "Windows by their calibrated tail probability; a share p of them should have at most p",
            )?,
            bar: GaugeVec::new(
                Opts::new(
                    "detector_bar_surprise",
                    "Surprise (-log10 p) from which alerts are told",
                ),
                &["detector"],
            )?,
            alerts: counters(
                "alerts_total",
                "Alerts told; later forms of one are not counted again",
                &["detector", "tactic", "entity", "severity"],
            )?,
            alert_risk: CounterVec::new(
                Opts::new(
                    "alert_risk_total",
                    "Risk (0 to 100 each) of alerts when they were first told",
                ),
                &["tactic", "entity"],
            )?,
            alerts_today: IntGauge::new("alerts_today", "Alerts told on the present day of event time, UTC")?,
            budget_per_day: Gauge::new("budget_alerts_per_day", "Alerts a day that the budget allows")?,
            withheld: IntCounter::new("incidents_withheld_total", "Incidents that the budget withheld")?,
            entities: IntGauge::new("entities", "Entities with state")?,
            shared: IntCounter::new(
                "shared_baseline_events_total",
                "Events of entities that share a baseline",
            )?,
            files: IntGauge::new("files", "Log files that are followed")?,
            file_bytes_behind: IntGauge::new("file_bytes_behind", "Bytes of followed files not collected yet")?,
            capture_up: IntGaugeVec::new(
                Opts::new("capture_up", "Whether an interface is captured from"),
                &["interface"],
            )?,
            queue: IntGauge::new("queue_deliveries", "Deliveries that wait for the core, 256 at most")?,
            waiting: IntGauge::new("events_waiting", "Events that wait for other inputs")?,
            lag_seconds: Gauge::new("event_lag_seconds", "How far judged event time lies behind the clock")?,
            commit_seconds: Histogram::with_opts(
                HistogramOpts::new("store_commit_seconds", "Seconds that commits to the store took")
                    .buckets(SECONDS_BOUNDS.to_vec()),
            )?,
            store_failures: counters("store_failures_total", "Failures of the store", &["operation"])?,
            journal_records: IntGauge::new("store_journal_records", "Deliveries that no snapshot has seen")?,
            journal_bytes: IntGauge::new("store_journal_bytes", "Bytes of deliveries that no snapshot has seen")?,
            snapshot_bytes: IntGauge::new("store_snapshot_bytes", "Size of the newest snapshot")?,
            snapshot_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "store_snapshot_seconds",
                    "Seconds for which judging waited for a snapshot",
                )
                .buckets(SECONDS_BOUNDS.to_vec()),
            )?,
            snapshot_wait_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "store_snapshot_wait_seconds",
                    "Seconds for which judging waited at once for a part of a snapshot",
                )
                .buckets(SECONDS_BOUNDS.to_vec()),
            )?,
            sink_backlog: IntGaugeVec::new(
                Opts::new("sink_backlog_alerts", "Alerts that a sink has not delivered yet"),
                &["sink"],
            )?,
            sink_delivered: counters("sink_delivered_total", "Alerts delivered", &["sink"])?,
            sink_refused: counters(
                "sink_refused_total",
                "Alerts given up because they were refused",
                &["sink"],
            )?,
            sink_without_document: counters(
                "sink_without_document_total",
                "Alerts left out because they came without the document that the sink delivers",
                &["sink"],
            )?,
            sink_failures: counters("sink_failures_total", "Failed deliveries", &["sink"])?,
            http_seconds: HistogramVec::new(
                HistogramOpts::new("http_request_seconds", "Seconds that HTTP requests took")
                    .buckets(SECONDS_BOUNDS.to_vec()),
                &["path", "status"],
            )?,
            reload_successful: IntGauge::new(
                "config_last_reload_successful",
                "Whether the last reload of the configuration worked",
            )?,
            reload_success: Gauge::new(
                "config_last_reload_success_timestamp_seconds",
                "When the configuration was last taken up",
            )?,
            registry,
            process,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let all: Vec<Box<dyn prometheus::core::Collector>> = vec![
            Box::new(self.ready.clone()),
            Box::new(self.collected_bytes.clone()),
            Box::new(self.source_last.clone()),
            Box::new(self.capture_packets.clone()),
            Box::new(self.capture_flows_lost.clone()),
            Box::new(self.records.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.events.clone()),
            Box::new(self.judgements.clone()),
            Box::new(self.findings.clone()),
            Box::new(self.window_p.clone()),
            Box::new(self.bar.clone()),
            Box::new(self.alerts.clone()),
            Box::new(self.alert_risk.clone()),
            Box::new(self.alerts_today.clone()),
            Box::new(self.budget_per_day.clone()),
            Box::new(self.withheld.clone()),
            Box::new(self.entities.clone()),
            Box::new(self.shared.clone()),
            Box::new(self.files.clone()),
            Box::new(self.file_bytes_behind.clone()),
            Box::new(self.capture_up.clone()),
            Box::new(self.queue.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.lag_seconds.clone()),
            Box::new(self.commit_seconds.clone()),
            Box::new(self.store_failures.clone()),
            Box::new(self.journal_records.clone()),
            Box::new(self.journal_bytes.clone()),
            Box::new(self.snapshot_bytes.clone()),
            Box::new(self.snapshot_seconds.clone()),
            Box::new(self.snapshot_wait_seconds.clone()),
            Box::new(self.sink_backlog.clone()),
            Box::new(self.sink_delivered.clone()),
            Box::new(self.sink_refused.clone()),
            Box::new(self.sink_without_document.clone()),
            Box::new(self.sink_failures.clone()),
            Box::new(self.http_seconds.clone()),
            Box::new(self.reload_successful.clone()),
            Box::new(self.reload_success.clone()),
            Box::new(build_info()?),
        ];
        for collector in all {
            self.registry.register(collector)?;
        }
        Ok(())
    }

    /// The metrics in Prometheus' text format.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        for registry in [&self.registry, &self.process] {
            TextEncoder::new().encode(&registry.gather(), &mut text)?;
        }
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

/// A constant series that names the version.
fn build_info() -> Result<IntGaugeVec, prometheus::Error> {
    let info = IntGaugeVec::new(Opts::new("build_info", "The version of the program"), &["version"])?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(info)
}
