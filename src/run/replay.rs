//! `stakeout replay`: captures and logs from files to alerts.

use super::input::{Complaint, Named, Reading, open_all};
use super::merge::Merge;
use super::output::{Format, Output, default_format};
use super::progress::Progress;
use super::shutdown::{DRAIN, Shutdown};
use super::state::{StateFile, changes};
use super::summary::{InputSummary, Summary};
use crate::domain::{Alert, Assets, Networks};
use crate::edge::sink::Letterhead;
use crate::edge::source::Stop;
use crate::engine::catalog::Catalog;
use crate::engine::order::Stamped;
use crate::engine::pipeline::Engine;
use crate::engine::program::{EngineBounds, Program};
use crate::engine::triage::Budget;
use anyhow::Context as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

/// What a replay is asked for.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Files, folders, or `-`.
    pub inputs: Vec<PathBuf>,
    /// What is watched.
    pub catalog: Catalog,
    /// Which addresses are our own.
    pub networks: Networks,
    /// What things are called, and how much they matter.
    pub assets: Assets,
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
    /// Some input could not be read, or some output not be written; the rest was done.
    WithProblems,
    /// A signal ended it early. Shells know it by this exit status: 128 and the signal's number.
    BySignal(u8),
    /// The reader of standard output has closed it, as `head` does.
    ReaderGone,
}

/// Runs a replay.
///
/// # Errors
/// When nothing can be begun: the state can't be used, or there is no room for the summary. What goes wrong later is
/// told on `stderr` and in the summary, and changes how it has [`Ended`].
pub fn run(request: &Replay, stdout: Box<dyn Write + '_>, stderr: &mut dyn Write) -> anyhow::Result<Ended> {
    let shutdown = Shutdown::watch();
    let summary_file = request.summary.as_ref().map(|path| create_summary(path)).transpose()?;
    let state = request
        .state
        .as_ref()
        .map(|folder| StateFile::prepare(folder))
        .transpose()?;
    let program = Program::new(&request.catalog, request.networks.clone(), request.bounds)?;
    let definitions = program.definitions.clone();
    let head = Letterhead {
        definitions: &definitions,
        program: env!("CARGO_PKG_VERSION"),
        networks: &request.networks,
        assets: &request.assets,
    };
    let mut engine = Engine::new(program, request.budget, request.threads, request.site_zone.clone());
    if let Some(state) = &state {
        let restored = state.restore(&mut engine)?;
        if let Some(changes) = restored.as_ref().and_then(changes).filter(|_| !request.quiet) {
            let _ = writeln!(stderr, "learned state: {changes}");
        }
    }
    let reading = reading(request, shutdown.stop.clone());
    let mut complaints = Vec::new();
    let (mut merge, named) = open_all(&request.inputs, &reading, &mut complaints);
    let mut output = Output::new(request.format.unwrap_or_else(default_format), stdout);
    let mut progress = Progress::new(request.quiet);
    let judged = judge(
        &mut engine,
        &mut merge,
        &shutdown,
        &mut complaints,
        |engine, merge, alerts| {
            if progress.is_due() {
                progress.show(engine.totals().events, merge.progress(), stderr);
            }
            output.tell(alerts, &head)
        },
    );
    progress.clear(stderr);
    let told = judged.and_then(|()| finish(&mut engine, state.as_ref(), output, &head, &mut complaints));
    let is_reader_gone = matches!(&told, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
    if let Err(error) = &told
        && !is_reader_gone
    {
        complaints.push(Complaint(format!(
            "standard output: {error}; make room or write elsewhere, alerts from here on were not written"
        )));
    }
    let mut summary = summarise(&engine, merge, named);
    summary.problems = complaints.into_iter().map(|complaint| complaint.0).collect();
    summary.interrupted = shutdown.status().is_some();
    summary.reader_gone = is_reader_gone;
    report(request, summary_file, &mut summary, stderr);
    // The process ends here: what is known of a million entities need not be taken apart first.
    std::mem::forget(engine);
    Ok(match shutdown.status() {
        Some(status) => Ended::BySignal(status),
        None if is_reader_gone => Ended::ReaderGone,
        None if summary.problems.is_empty() => Ended::Well,
        None => Ended::WithProblems,
    })
}

/// The events of a replay's inputs in their one order, before any detector has seen them.
///
/// # Errors
/// When an input cannot be read; the message names each.
pub fn events(request: &Replay) -> anyhow::Result<Vec<Stamped>> {
    let mut complaints = Vec::new();
    let (mut merge, _) = open_all(&request.inputs, &reading(request, Stop::default()), &mut complaints);
    let mut events = Vec::new();
    while let Some(stamped) = merge.next(&mut complaints) {
        events.push(stamped);
    }
    let problems: Vec<_> = complaints.into_iter().map(|complaint| complaint.0).collect();
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(events)
}

fn reading(request: &Replay, stop: Stop) -> Reading {
    Reading {
        year: request.year,
        zone: request.line_zone.clone(),
        flows_max: request.flows_max,
        disorder_max: request.disorder_max,
        stop,
    }
}

/// Judges event by event until the inputs end, a signal comes or what is told can't be written.
fn judge(
    engine: &mut Engine,
    merge: &mut Merge,
    shutdown: &Shutdown,
    complaints: &mut Vec<Complaint>,
    mut tell: impl FnMut(&Engine, &Merge, &mut Vec<Alert>) -> io::Result<()>,
) -> io::Result<()> {
    let mut alerts = Vec::new();
    let mut stopped_at = None;
    while let Some(stamped) = merge.next(complaints) {
        engine.push(stamped, &mut alerts);
        tell(engine, merge, &mut alerts)?;
        // What was read before the signal is judged, but not for longer than one may wait for the end.
        if shutdown.stop.is_asked() && stopped_at.get_or_insert_with(Instant::now).elapsed() > DRAIN {
            break;
        }
    }
    Ok(())
}

/// Ends the engine, tells what is left, and then keeps what was learned: what could not be told is not kept either, so
/// that the same input tells it again.
fn finish(
    engine: &mut Engine,
    state: Option<&StateFile>,
    mut output: Output<'_>,
    head: &Letterhead<'_>,
    complaints: &mut Vec<Complaint>,
) -> io::Result<()> {
    let mut alerts = Vec::new();
    let learned = match state {
        Some(state) => Some((state, state.write(engine, &mut alerts))),
        None => {
            engine.finish(&mut alerts);
            None
        }
    };
    output.tell(&mut alerts, head)?;
    output.finish(head)?;
    if let Some((state, written)) = learned
        && let Err(error) = written.and_then(|written| state.keep(&written))
    {
        complaints.push(Complaint(format!("{error:#}; what was learned before is still there")));
    }
    Ok(())
}

fn summarise(engine: &Engine, merge: Merge, named: Vec<Named>) -> Summary {
    let totals = engine.totals();
    let (tally, packets) = merge.account();
    let counted = |counts: std::collections::BTreeMap<&'static str, u64>| {
        counts
            .into_iter()
            .map(|(word, count)| (word.to_owned(), count))
            .collect()
    };
    Summary {
        inputs: named
            .into_iter()
            .map(|named| InputSummary {
                path: named.path,
                format: named.format,
                number: named.number,
            })
            .collect(),
        records: tally.records,
        decoded: tally.decoded,
        ignored: counted(tally.ignored),
        refused: counted(tally.refused),
        duplicate_frames: packets.duplicates,
        one_way_flows: packets.flows_one_way,
        events: totals.events,
        entities: totals.entities,
        shared: totals.shared,
        judgements: totals.judgements,
        findings: totals.triage.findings,
        alerts: totals.triage.told,
        withheld: totals.triage.withheld,
        folded: totals.triage.folded,
        ..Summary::default()
    }
}

/// Room for the summary, before hours of work.
fn create_summary(path: &PathBuf) -> anyhow::Result<(File, &PathBuf)> {
    let file = File::create(path).with_context(|| {
        format!(
            "--summary {}: it cannot be written there, name another place",
            path.display()
        )
    })?;
    Ok((file, path))
}

/// Writes the summary where it was asked for. What goes wrong with one is a problem in the other.
fn report(request: &Replay, summary_file: Option<(File, &PathBuf)>, summary: &mut Summary, stderr: &mut dyn Write) {
    if let Some((mut file, path)) = summary_file {
        let written = serde_json::to_string_pretty(summary)
            .map_err(io::Error::from)
            .and_then(|text| file.write_all((text + "\n").as_bytes()));
        if let Err(error) = written {
            let problem = format!("--summary {}: {error}; make room or name another place", path.display());
            summary.problems.push(problem);
        }
    }
    let text = if request.quiet {
        summary.problems_text()
    } else {
        summary.text()
    };
    let _ = stderr.write_all(text.as_bytes());
}
