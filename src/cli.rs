//! The command line: arguments, help texts and exit statuses.

use crate::domain::{Mistake, Networks};
use crate::engine::catalog::{Catalog, embedded};
use crate::engine::program::EngineBounds;
use crate::engine::triage::Budget;
use crate::run::replay::{self, Ended, Replay};
use crate::run::{OutputFormat, explain};
use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit status of a run that a SIGTERM ended.
const TERMINATED: u8 = 143;

#[derive(Parser)]
#[command(name = "stakeout", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge captures and logs from files: what was unlike whom, with the numbers
    #[command(after_help = "Example:\n  stakeout replay monday.pcap.gz /var/log/auth.log\n  \
        zcat conn.log.gz | stakeout replay - --format ecs > alerts.json")]
    Replay(ReplayArguments),
    /// Show all the numbers behind an alert that a replay wrote
    #[command(after_help = "Example:\n  stakeout replay auth.log --format ecs > alerts.json\n  \
        stakeout explain 3f2a --alerts alerts.json")]
    Explain {
        /// The alert's id, or the beginning of it
        id: String,
        /// The file of ECS alert documents, or - for standard input
        #[arg(long, default_value = "-")]
        alerts: PathBuf,
    },
}

#[derive(Args)]
struct Catalogued {
    /// A folder of detector definitions to use instead of the ones that are built in
    #[arg(long, value_name = "DIR")]
    detectors: Option<PathBuf>,
}

#[derive(Args)]
struct ReplayArguments {
    /// Captures (pcap, pcapng), logs, folders of them, or - for standard input; gzip and zstd are taken off
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    catalogued: Catalogued,
    /// Partitions, and threads that run them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Form of the output [default: text on a terminal, ecs elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    /// Alerts a day that the operators can read
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = budget)]
    budget: f64,
    /// Tell every alert with p up to 1e-2
    #[arg(long, conflicts_with = "budget")]
    no_budget: bool,
    /// Year of the first line of logs without years [default: the one that fits the file's time of change]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1970..=2261))]
    year: Option<i16>,
    /// Time zone of log lines without one, such as Europe/Berlin [default: UTC]
    #[arg(long)]
    timezone: Option<String>,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Say nothing on standard error but what is wrong
    #[arg(long)]
    quiet: bool,
}

fn budget(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(alerts) if (0.01..=1e6).contains(&alerts) => Ok(alerts),
        _ => Err("a number of alerts a day from 0.01 to 1000000".to_owned()),
    }
}

/// Runs the program and gives its exit status: 0 done, 1 the input or configuration is at fault, 2 wrong usage.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match dispatch(cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "stakeout: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    let mut stderr = std::io::stderr();
    match command {
        Command::Replay(arguments) => {
            let request = request(arguments)?;
            let ended = replay::run(&request, Box::new(std::io::stdout().lock()), &mut stderr)?;
            Ok(match ended {
                Ended::Well => 0,
                Ended::WithProblems => 1,
                Ended::BySignal => TERMINATED,
            })
        }
        Command::Explain { id, alerts } => {
            explain::run(&id, &alerts, &mut std::io::stdout().lock())?;
            Ok(0)
        }
    }
}

fn request(arguments: ReplayArguments) -> anyhow::Result<Replay> {
    let line_zone = arguments
        .timezone
        .as_deref()
        .map(|name| {
            jiff::tz::TimeZone::get(name)
                .with_context(|| format!("--timezone {name}: not a zone of the IANA database, such as Europe/Berlin"))
        })
        .transpose()?;
    Ok(Replay {
        catalog: catalog(&arguments.catalogued)?,
        networks: Networks::default(),
        site_zone: line_zone.clone().unwrap_or(jiff::tz::TimeZone::UTC),
        bounds: EngineBounds::default(),
        inputs: arguments.inputs,
        threads: usize::from(arguments.threads),
        format: arguments.format,
        budget: if arguments.no_budget { Budget::Unlimited } else { Budget::AlertsPerDay(arguments.budget) },
        year: arguments.year,
        line_zone,
        summary: arguments.summary,
        quiet: arguments.quiet,
    })
}

/// The detectors of a folder, or the ones that are built in.
fn catalog(catalogued: &Catalogued) -> anyhow::Result<Catalog> {
    let read = match &catalogued.detectors {
        None => embedded::catalog(),
        Some(folder) => Catalog::read(&definition_files(folder)?),
    };
    read.map_err(|mistakes| anyhow::anyhow!(listed(&mistakes)))
}

fn listed(mistakes: &[Mistake]) -> String {
    let mut text = format!("{} mistakes in definitions", mistakes.len());
    for mistake in mistakes {
        text.push_str(&format!("\n  {mistake}"));
    }
    text
}

/// The definitions of a folder, in the order of their names.
fn definition_files(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let reading = || format!("reading detectors from {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text));
        }
    }
    if files.is_empty() {
        bail!("{}: no detector definitions (*.yml) in this folder", folder.display());
    }
    files.sort();
    Ok(files)
}
