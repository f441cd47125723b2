//! What the service tells of itself to Prometheus. Prefix `stakeout_`, base units, `_total` on counters, and labels only
//! from closed sets: never an address, a user or a message.

mod collectors;

pub use collectors::CollectorMetrics;

use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// Every metric of the service.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// What collectors count.
    pub collectors: CollectorMetrics,
    /// Bytes collected, by kind of collector.
    pub collected_bytes: IntCounterVec,
    /// Records by what became of them: decoded, ignored, refused.
    pub records: IntCounterVec,
    /// Records that were refused, by reason.
    pub refused: IntCounterVec,
    /// Events that the engine took.
    pub events: IntCounter,
    /// Judgements made.
    pub judgements: IntCounter,
    /// Findings handed to triage.
    pub findings: IntCounter,
    /// Alerts told, by detector.
    pub alerts: IntCounterVec,
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
    /// Events that wait for other inputs.
    pub waiting: IntGauge,
    /// Seconds that judged event time lies behind the clock.
    pub lag_seconds: Gauge,
    /// Commits to the store.
    pub commits: IntCounter,
    /// Failures of the store, by operation.
    pub store_failures: IntCounterVec,
    /// Records in the journal.
    pub journal_records: IntGauge,
    /// Bytes of the newest snapshot.
    pub snapshot_bytes: IntGauge,
    /// Alerts that a sink has not delivered yet, by sink.
    pub sink_backlog: IntGaugeVec,
    /// Alerts delivered, by sink.
    pub sink_delivered: IntCounterVec,
    /// Alerts given up because the sink's other end refused them, by sink.
    pub sink_refused: IntCounterVec,
    /// Failed deliveries, by sink.
    pub sink_failures: IntCounterVec,
    /// Seconds that HTTP requests took, by path and status class.
    pub http_seconds: HistogramVec,
}

impl Metrics {
    /// Every metric at zero.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new_custom(Some("stakeout".to_owned()), None)?;
        let metrics = Metrics {
            collectors: CollectorMetrics::new(&registry)?,
            collected_bytes: counters("collected_bytes_total", "Bytes collected", &["source"])?,
            records: counters("records_total", "Records by what became of them", &["outcome"])?,
            refused: counters("records_refused_total", "Records that could not be read", &["reason"])?,
            events: IntCounter::new("events_total", "Events that the engine took")?,
            judgements: IntCounter::new("judgements_total", "Windows and values judged")?,
            findings: IntCounter::new("findings_total", "Findings handed to triage")?,
            alerts: counters("alerts_total", "Alerts told, by detector", &["detector"])?,
            withheld: IntCounter::new("incidents_withheld_total", "Incidents that the budget withheld")?,
            entities: IntGauge::new("entities", "Entities with state")?,
            shared: IntCounter::new(
                "shared_baseline_events_total",
                "Events of entities that share a baseline",
            )?,
            files: IntGauge::new("files", "Log files that are followed")?,
            file_bytes_behind: IntGauge::new("file_bytes_behind", "Bytes of followed files not collected yet")?,
            waiting: IntGauge::new("events_waiting", "Events that wait for other inputs")?,
            lag_seconds: Gauge::new("event_lag_seconds", "How far judged event time lies behind the clock")?,
            commits: IntCounter::new("store_commits_total", "Commits to the store")?,
            store_failures: counters("store_failures_total", "Failures of the store", &["operation"])?,
            journal_records: IntGauge::new("store_journal_records", "Records that no snapshot has seen")?,
            snapshot_bytes: IntGauge::new("store_snapshot_bytes", "Size of the newest snapshot")?,
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
            sink_failures: counters("sink_failures_total", "Failed deliveries", &["sink"])?,
            http_seconds: HistogramVec::new(
                HistogramOpts::new("http_request_seconds", "Seconds that HTTP requests took"),
                &["path", "status"],
            )?,
            registry,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let all: [Box<dyn prometheus::core::Collector>; 24] = [
            Box::new(self.collected_bytes.clone()),
            Box::new(self.records.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.events.clone()),
            Box::new(self.judgements.clone()),
            Box::new(self.findings.clone()),
            Box::new(self.alerts.clone()),
            Box::new(self.withheld.clone()),
            Box::new(self.entities.clone()),
            Box::new(self.shared.clone()),
            Box::new(self.files.clone()),
            Box::new(self.file_bytes_behind.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.lag_seconds.clone()),
            Box::new(self.commits.clone()),
            Box::new(self.store_failures.clone()),
            Box::new(self.journal_records.clone()),
            Box::new(self.snapshot_bytes.clone()),
            Box::new(self.sink_backlog.clone()),
            Box::new(self.sink_delivered.clone()),
            Box::new(self.sink_refused.clone()),
            Box::new(self.sink_failures.clone()),
            Box::new(self.http_seconds.clone()),
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
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
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
