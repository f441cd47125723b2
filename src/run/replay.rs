//! `stakeout replay`: captures and logs from files to alerts.

use super::input::{Complaint, Reading, Stream, open_all};
use super::output::{Format, Output, default_format};
use super::summary::{InputSummary, Summary};
use crate::domain::{Networks, Timestamp};
use crate::edge::sink::Letterhead;
use crate::edge::source::expand;
use crate::engine::catalog::Catalog;
use crate::engine::order::Stamped;
use crate::engine::pipeline::Engine;
use crate::engine::program::{EngineBounds, Program};
use crate::engine::triage::Budget;
use anyhow::Context as _;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a replay is asked for.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Files, folders, or `-`.
    pub inputs: Vec<PathBuf>,
    /// What is watched.
    pub catalog: Catalog,
    /// Which addresses are our own.
    pub networks: Networks,
    /// The site's time zone, for hours of the week.
    pub site_zone: jiff::tz::TimeZone,
    /// The bounds of the engine.
    pub bounds: EngineBounds,
    /// Flows that are open at once in a capture.
    pub flows_max: usize,
    /// How far the records of one log may be out of order.
    pub disorder_max: crate::domain::Duration,
    /// Partitions, and threads that run them.
    pub threads: usize,
    /// The form of the output; a table on a terminal and ECS documents elsewhere if none is asked for.
    pub format: Option<Format>,
    /// What decides which alerts are told.
    pub budget: Budget,
    /// The year of the first line of logs without years.
    pub year: Option<i16>,
    /// The zone of log lines without one.
    pub line_zone: Option<jiff::tz::TimeZone>,
    /// The folder of what was learned before, which also keeps what is learned now.
    pub state: Option<PathBuf>,
    /// Where the summary goes as JSON.
    pub summary: Option<PathBuf>,
    /// Whether standard error stays silent but for errors.
    pub quiet: bool,
}

/// How a replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was read.
    Well,
    /// Some input could not be read; the others were judged.
    WithProblems,
    /// A signal ended it early.
    BySignal,
}

/// Runs a replay.
pub fn run(request: &Replay, stdout: Box<dyn Write + '_>, stderr: &mut dyn Write) -> anyhow::Result<Ended> {
    let stop = watch_signals();
    let mut complaints = Vec::new();
    let mut paths = Vec::new();
    for input in &request.inputs {
        match expand(input) {
            Ok(files) => paths.extend(files),
            Err(failure) => complaints.push(Complaint::from(failure)),
        }
    }
    let reading = Reading {
        year: request.year,
        zone: request.line_zone.clone(),
        flows_max: request.flows_max,
        disorder_max: request.disorder_max,
    };
    let (mut streams, named) = open_all(&paths, &reading, &mut complaints);
    let program = Program::new(&request.catalog, request.networks.clone(), request.bounds)?;
    let definitions = program.definitions.clone();
    let head = Letterhead {
        definitions: &definitions,
        program: env!("CARGO_PKG_VERSION"),
    };
    let mut engine = Engine::new(program, request.budget, request.threads, request.site_zone.clone());
    if let Some(folder) = &request.state {
        restore(&mut engine, folder)?;
    }
    let mut output = Output::new(request.format.unwrap_or_else(default_format), stdout);
    let mut progress = Progress::new(request.quiet);
    let mut alerts = Vec::new();
    let writing = "writing alerts to standard output; is the reader gone or the disk full?";
    while let Some(stamped) = next(&mut streams, &mut complaints) {
        engine.push(stamped, &mut alerts);
        if !alerts.is_empty() {
            output.tell(&mut alerts, &head).context(writing)?;
        }
        if progress.due() {
            progress.show(engine.totals().events, stderr);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    let interrupted = stop.load(Ordering::Relaxed);
    for stream in &mut streams {
        stream.stop(&mut complaints);
    }
    match &request.state {
        Some(folder) => save(&mut engine, folder, &mut alerts)?,
        None => engine.finish(&mut alerts),
    }
    output.tell(&mut alerts, &head).context(writing)?;
    progress.clear(stderr);
    output.finish(&head).context(writing)?;
    let mut summary = summarise(&engine, &streams);
    summary.inputs = named
        .into_iter()
        .map(|named| InputSummary {
            path: named.path,
            format: named.format,
            number: named.number,
        })
        .collect();
    summary.problems = complaints.into_iter().map(|complaint| complaint.0).collect();
    summary.interrupted = interrupted;
    report(request, &summary, stderr)?;
    Ok(if interrupted {
        Ended::BySignal
    } else if summary.problems.is_empty() {
        Ended::Well
    } else {
        Ended::WithProblems
    })
}

/// The file of learned state in its folder.
const STATE_FILE: &str = "engine.state";

fn restore(engine: &mut Engine, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(STATE_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => engine.restore(&bytes).with_context(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// Writes the state beside the old one and then takes its place, so that a full disk leaves the old one whole.
fn save(engine: &mut Engine, folder: &Path, alerts: &mut Vec<crate::domain::Alert>) -> anyhow::Result<()> {
    let bytes = engine.save(alerts)?;
    let writing = || format!("writing learned state to {}", folder.display());
    std::fs::create_dir_all(folder).with_context(writing)?;
    let new = folder.join(format!("{STATE_FILE}.new"));
    let mut file = std::fs::File::create(&new).with_context(writing)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .with_context(writing)?;
    std::fs::rename(&new, folder.join(STATE_FILE)).with_context(writing)
}

/// The earliest of the streams' next events.
fn next(streams: &mut [Stream], complaints: &mut Vec<Complaint>) -> Option<Stamped> {
    if let [only] = streams {
        only.peek(complaints)?;
        return only.take();
    }
    let mut earliest: Option<(usize, Timestamp)> = None;
    for number in 0..streams.len() {
        let Some(time) = streams[number].peek(complaints).map(|stamped| stamped.engine_time) else {
            continue;
        };
        let is_first = match earliest {
            Some((held, held_time)) if held_time == time => content(streams, number) < content(streams, held),
            Some((_, held_time)) => time < held_time,
            None => true,
        };
        if is_first {
            earliest = Some((number, time));
        }
    }
    streams[earliest?.0].take()
}

/// What orders the next event of a stream among others of its time.
fn content(streams: &mut [Stream], number: usize) -> Option<u64> {
    streams[number].first().map(Stamped::content)
}

fn summarise(engine: &Engine, streams: &[Stream]) -> Summary {
    let totals = engine.totals();
    let mut summary = Summary {
        events: totals.events,
        entities: totals.entities,
        shared: totals.shared,
        judgements: totals.judgements,
        findings: totals.triage.findings,
        alerts: totals.triage.told,
        withheld: totals.triage.withheld,
        folded: totals.triage.folded,
        ..Summary::default()
    };
    for stream in streams {
        let tally = &stream.tally;
        summary.records += tally.records;
        summary.decoded += tally.decoded;
        for (kind, count) in &tally.ignored {
            *summary.ignored.entry((*kind).to_owned()).or_default() += count;
        }
        for (reason, count) in &tally.refused {
            *summary.refused.entry((*reason).to_owned()).or_default() += count;
        }
        if let Some(packets) = stream.packets() {
            summary.duplicate_frames += packets.duplicates;
            summary.one_way_flows += packets.flows_one_way;
        }
    }
    summary
}

fn report(request: &Replay, summary: &Summary, stderr: &mut dyn Write) -> anyhow::Result<()> {
    if let Some(path) = &request.summary {
        let text = serde_json::to_string_pretty(summary).context("writing the summary")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing the summary to {}", path.display()))?;
    }
    if request.quiet {
        for problem in &summary.problems {
            let _ = writeln!(stderr, "problem: {problem}");
        }
    } else {
        let _ = stderr.write_all(summary.text().as_bytes());
    }
    Ok(())
}

/// A flag that SIGTERM and SIGINT set.
fn watch_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    // Without the watcher a signal ends the program at once, which is no worse than without this function.
    let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async move {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
        });
    });
    stop
}

/// Progress on a terminal, twice a second.
struct Progress {
    shown: bool,
    ticks: u32,
    last: Instant,
    begun: Instant,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        let now = Instant::now();
        Progress {
            shown: !quiet && std::io::stderr().is_terminal(),
            ticks: 0,
            last: now,
            begun: now,
        }
    }

    /// Whether half a second has passed; looks at the clock once in a thousand events.
    fn due(&mut self) -> bool {
        self.ticks = self.ticks.wrapping_add(1);
        if !self.ticks.is_multiple_of(1024) || self.last.elapsed() < Duration::from_millis(500) {
            return false;
        }
        self.last = Instant::now();
        true
    }

    fn show(&self, events: u64, stderr: &mut dyn Write) {
        if self.shown {
            let _ = write!(
                stderr,
                "\r{events} events in {:.0} s",
                self.begun.elapsed().as_secs_f64()
            );
            let _ = stderr.flush();
        }
    }

    fn clear(&self, stderr: &mut dyn Write) {
        if self.shown {
            let _ = write!(stderr, "\r{:40}\r", "");
        }
    }
}
