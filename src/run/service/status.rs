//! What the service knows of itself, as metrics and as an answer to `/readyz`.

use super::confine::Confinement;
use crate::config::SinkSettings;
use crate::domain::{Alert, Definition, Field, risk};
use crate::edge::collector::{FileProgress, Origin, now};
use crate::edge::sink::Letterhead;
use crate::edge::store::{Store, StoreFailure};
use crate::edge::telemetry::Metrics;
use crate::engine::decoder::Tally;
use crate::engine::feed::Feed;
use crate::engine::pipeline::{Engine, Totals};
use crate::engine::population::P_BOUNDS;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How often gauges are brought up to date: counting entities visits every partition.
const UPDATE_EVERY: Duration = Duration::from_millis(500);

/// What the service knows of itself.
pub(in crate::run) struct Status {
    pub(in crate::run) metrics: Metrics,
    ready: AtomicBool,
    confinement: OnceLock<Confinement>,
    files: Mutex<Option<Arc<FileProgress>>>,
    told: Mutex<Seen>,
}

/// What the counters have been told already.
#[derive(Default)]
struct Seen {
    updated: Option<Instant>,
    totals: Totals,
    findings: Vec<u64>,
    tallies: std::collections::BTreeMap<u16, Tally>,
    trouble: Option<String>,
    /// What is wrong with the brokers that the work comes from.
    brokers: Option<String>,
}

/// The answer to `/readyz`.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    /// What is wrong, if anything is.
    pub(super) trouble: Option<String>,
    /// What the process has given up.
    pub(super) confinement: Confinement,
}

impl Status {
    pub(in crate::run) fn new() -> anyhow::Result<Status> {
        Ok(Status {
            metrics: Metrics::new()?,
            ready: AtomicBool::new(false),
            confinement: OnceLock::new(),
            files: Mutex::new(None),
            told: Mutex::new(Seen::default()),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // A thread that panicked while it counted leaves counts that are as good as before.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is configured is told from the start on, so that nothing is seen to begin where it only was not asked for.
    pub(in crate::run) fn configured(&self, alerts_per_day: f64, sinks: &[SinkSettings]) {
        let metrics = &self.metrics;
        metrics.budget_per_day.set(alerts_per_day);
        for sink in sinks {
            metrics.sink_backlog.with_label_values(&[&sink.name]).set(0);
            for counter in [
                &metrics.sink_failures,
                &metrics.sink_delivered,
                &metrics.sink_refused,
                &metrics.sink_without_document,
            ] {
                counter.with_label_values(&[&sink.name]);
            }
        }
        for operation in ["commit", "snapshot"] {
            metrics.store_failures.with_label_values(&[operation]);
        }
        for outcome in ["decoded", "ignored", "refused"] {
            metrics.records.with_label_values(&[outcome]);
        }
        metrics.refused.with_label_values(&["unknown_format"]);
        let collectors = &metrics.collectors;
        collectors.messages(Origin::Http);
        collectors.refused(Origin::Http, "bad_document");
        for origin in [Origin::Syslog, Origin::Netflow] {
            collectors.kernel_drops(origin);
        }
        for outcome in ["received", "lost_by_kernel", "lost_by_interface"] {
            metrics.capture_packets.with_label_values(&[outcome]);
        }
    }

    /// A source of this kind is collected from now on.
    pub(super) fn collects(&self, origin: Origin) {
        self.metrics.collected_bytes.with_label_values(&[origin.name()]);
        self.came(origin);
    }

    /// A source of this kind has given something.
    pub(super) fn came(&self, origin: Origin) {
        let now = now().nanos() as f64 / 1e9;
        self.metrics.source_last.with_label_values(&[origin.name()]).set(now);
    }

    /// Watches the collector of files.
    pub(super) fn watch_files(&self, progress: Arc<FileProgress>) {
        self.collects(Origin::File);
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    /// A sink has left for good: nothing waits for it.
    pub(super) fn sink_left(&self, name: &str) {
        // There is nothing to remove where the sink has told nothing.
        let _ = self.metrics.sink_backlog.remove_label_values(&[name]);
    }

    /// The configuration was read again, and taken up if it was good.
    pub(in crate::run) fn reloaded(&self, is_good: bool) {
        self.metrics.reload_successful.set(i64::from(is_good));
        if is_good {
            self.metrics.reload_success.set(now().nanos() as f64 / 1e9);
        }
    }

    /// Tells what the process has given up.
    pub(in crate::run) fn set_confinement(&self, confinement: Confinement) {
        // It is given up once.
        let _ = self.confinement.set(confinement);
    }

    pub(in crate::run) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
        self.tell_ready();
    }

    fn tell_ready(&self) {
        self.metrics.ready.set(i64::from(self.readiness().ready));
    }

    pub(super) fn readiness(&self) -> Readiness {
        let seen = self.seen();
        let trouble = seen.trouble.clone().or_else(|| seen.brokers.clone());
        drop(seen);
        Readiness {
            ready: self.ready.load(Ordering::Relaxed) && trouble.is_none(),
            trouble,
            confinement: self.confinement.get().cloned().unwrap_or_default(),
        }
    }

    pub(super) fn collected(&self, origin: Origin, lines: &[u8]) {
        self.metrics
            .collected_bytes
            .with_label_values(&[origin.name()])
            .inc_by(lines.len() as u64);
    }

    /// Counts records that were decoded where they were collected.
    pub(super) fn decoded(&self, tally: &Tally) {
        self.count(tally, &Tally::default());
    }

    pub(super) fn unknown_format(&self, lines: &[u8]) {
        let lines = memchr::memchr_iter(b'\n', lines).count() as u64;
        self.metrics.records.with_label_values(&["refused"]).inc_by(lines);
        self.metrics
            .refused
            .with_label_values(&["unknown_format"])
            .inc_by(lines);
    }

    pub(super) fn told(&self, alert: &Alert, head: &Letterhead<'_>) {
        if alert.count == 1
            && let Some(definition) = head.definitions.get(usize::from(alert.first.detector))
        {
            self.count_alert(definition, 1, risk(alert.peak.surprise));
        }
    }

    fn count_alert(&self, definition: &Definition, alerts: u64, risk: f64) {
        let (tactic, entity) = (tactic(definition), entity(definition));
        let labels = [definition.id.as_str(), tactic, &entity, definition.level.word()];
        self.metrics.alerts.with_label_values(&labels).inc_by(alerts);
        self.metrics
            .alert_risk
            .with_label_values(&[tactic, &entity])
            .inc_by(risk);
    }

    /// The brokers that the work comes from are well, or what is wrong with them.
    #[cfg(feature = "kafka")]
    pub(in crate::run) fn brokers(&self, problem: Option<String>) {
        self.seen().brokers = problem;
        self.tell_ready();
    }

    pub(in crate::run) fn store_failed(&self, failure: &StoreFailure) {
        self.metrics.store_failures.with_label_values(&["commit"]).inc();
        self.seen().trouble = Some(failure.to_string());
        self.tell_ready();
    }

    /// A commit worked and took so long.
    pub(in crate::run) fn committed(&self, took: Duration) {
        self.metrics.commit_seconds.observe(took.as_secs_f64());
        if self.seen().trouble.take().is_some() {
            self.tell_ready();
        }
    }

    pub(in crate::run) fn snapshot_failed(&self) {
        self.metrics.store_failures.with_label_values(&["snapshot"]).inc();
    }

    /// Judging has waited so long for a part of a snapshot.
    pub(super) fn waited_for_snapshot(&self, length: Duration) {
        self.metrics.snapshot_wait_seconds.observe(length.as_secs_f64());
    }

    /// A snapshot of so many bytes was written, for which judging has waited so long in all.
    pub(super) fn kept(&self, bytes: u64, took: Duration) {
        self.metrics.snapshot_bytes.set(bytes as i64);
        self.metrics.snapshot_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn journal_bytes(&self, bytes: u64) {
        self.metrics.journal_bytes.set(bytes as i64);
    }

    /// Brings gauges and counters up to date, at most twice a second.
    pub(super) fn update(&self, feed: &Feed, store: &Store, waiting_deliveries: usize) {
        let mut seen = self.seen();
        if seen.updated.is_some_and(|at| at.elapsed() < UPDATE_EVERY) {
            return;
        }
        seen.updated = Some(Instant::now());
        self.bring_up(&mut seen, feed);
        let metrics = &self.metrics;
        metrics.queue.set(waiting_deliveries as i64);
        metrics
            .journal_records
            .set(store.journal_records().map_or(-1, |records| records as i64));
        if let Some(files) = &*self.files.lock().unwrap_or_else(PoisonError::into_inner) {
            metrics.files.set(files.files.load(Ordering::Relaxed) as i64);
            let too_long = files.lines_too_long.swap(0, Ordering::Relaxed);
            metrics.collectors.refused(Origin::File, "too_long").inc_by(too_long);
            metrics
                .file_bytes_behind
                .set(files.bytes_behind.load(Ordering::Relaxed) as i64);
        }
        if feed.horizon().nanos() > 0 {
            metrics.lag_seconds.set(now().since(feed.horizon()).as_seconds());
        }
    }

    /// Another feed takes the place of this one: what it has counted is told.
    pub(super) fn changes_over(&self, before: &Feed) {
        self.bring_up(&mut self.seen(), before);
    }

    /// This feed has taken over: it counts from what it has on.
    pub(super) fn changed_over(&self, feed: &Feed) {
        let mut seen = self.seen();
        seen.totals = feed.engine().totals();
        seen.findings.clear();
        seen.tallies.clear();
        seen.updated = None;
        // Detectors that have ended have none.
        self.metrics.bar.reset();
        self.metrics.window_p.clear();
    }

    /// Tells what the feed has counted since it was asked last.
    fn bring_up(&self, seen: &mut Seen, feed: &Feed) {
        let metrics = &self.metrics;
        let totals = feed.engine().totals();
        let before = std::mem::replace(&mut seen.totals, totals);
        metrics.events.inc_by(totals.events.saturating_sub(before.events));
        metrics
            .judgements
            .inc_by(totals.judgements.saturating_sub(before.judgements));
        self.count_detectors(feed.engine(), &mut seen.findings);
        metrics
            .alerts_today
            .set(i64::try_from(feed.engine().told_today()).unwrap_or(i64::MAX));
        metrics
            .withheld
            .inc_by(totals.triage.withheld.saturating_sub(before.triage.withheld));
        metrics.shared.inc_by(totals.shared.saturating_sub(before.shared));
        metrics.entities.set(totals.entities as i64);
        metrics.waiting.set(feed.waiting() as i64);
        for input in feed.inputs() {
            if let Some(tally) = feed.tally(input) {
                let before = seen.tallies.insert(input, tally.clone()).unwrap_or_default();
                self.count(tally, &before);
                if feed.has_datagrams(input) {
                    for (reason, count) in &tally.refused {
                        let more = count.saturating_sub(before.refused.get(reason).copied().unwrap_or(0));
                        metrics.collectors.refused(Origin::Netflow, reason).inc_by(more);
                    }
                }
            }
        }
    }

    fn count_detectors(&self, engine: &Engine, counted: &mut Vec<u64>) {
        let definitions = &engine.program().definitions;
        if counted.is_empty() {
            definitions
                .iter()
                .for_each(|definition| self.count_alert(definition, 0, 0.0));
            counted.resize(definitions.len(), 0);
        }
        for ((definition, totals), counted) in definitions.iter().zip(engine.detectors()).zip(counted) {
            let before = std::mem::replace(counted, totals.findings);
            let metrics = &self.metrics;
            metrics
                .findings
                .with_label_values(&[&definition.id])
                .inc_by(totals.findings.saturating_sub(before));
            metrics.bar.with_label_values(&[&definition.id]).set(totals.bar);
            let within = P_BOUNDS.into_iter().zip(totals.uniformity.within);
            metrics.window_p.set(&definition.id, within);
        }
    }

    fn count(&self, tally: &Tally, before: &Tally) {
        let records = &self.metrics.records;
        let sum = |counts: &std::collections::BTreeMap<&'static str, u64>| counts.values().sum::<u64>();
        for (outcome, now, then) in [
            ("decoded", tally.decoded, before.decoded),
            ("ignored", sum(&tally.ignored), sum(&before.ignored)),
            ("refused", sum(&tally.refused), sum(&before.refused)),
        ] {
            records.with_label_values(&[outcome]).inc_by(now.saturating_sub(then));
        }
        for (reason, count) in &tally.refused {
            let then = before.refused.get(reason).copied().unwrap_or(0);
            self.metrics
                .refused
                .with_label_values(&[reason])
                .inc_by(count.saturating_sub(then));
        }
    }
}

/// The tactic under which a detector's alerts are counted: the first that it names.
fn tactic(definition: &Definition) -> &str {
    definition.tactics().next().unwrap_or("none")
}

/// Whom a detector's alerts are about, by the fields that make one.
fn entity(definition: &Definition) -> String {
    let names: Vec<&str> = definition.entity.iter().map(|field: &Field| field.name()).collect();
    names.join(",")
}
