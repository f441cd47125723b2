//! The command line: arguments, help texts and exit statuses.

mod models;

use crate::edge::sink::printable;
use crate::engine::triage::Budget;
use crate::run;
use crate::run::check::{self, Site, Sources};
use crate::run::replay::{self, Ended, Replay};
use crate::run::score::{self, Choice, ScoreOptions};
use crate::run::templates::{self, TemplatesOptions};
use crate::run::{OutputFormat, detectors, explain, service};
#[cfg(feature = "kafka")]
use crate::run::{detect, respond, topics};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use models::{EvaluateArguments, Folder, ModelsCommand, TrainArguments};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status of a run whose reader has gone: 128 and SIGPIPE's number, as shells have it.
const READER_GONE: u8 = 141;

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
    Replay(Box<ReplayArguments>),
    /// Read configuration and detectors, and report every mistake at once
    #[command(
        after_help = "Example:\n  stakeout check --config stakeout.yml --detectors ./detectors\n  \
        stakeout check --schema > stakeout.schema.json"
    )]
    Check {
        #[command(flatten)]
        written: Written,
        /// Write a JSON Schema for editors instead: of the configuration file, or of a detector
        #[arg(long, value_name = "OF", value_enum, num_args = 0..=1, default_missing_value = "config")]
        schema: Option<check::Schema>,
    },
    /// List what is watched, or show one detector with its fields, windows and techniques
    #[command(after_help = "Example:\n  stakeout detectors source_login_failures")]
    Detectors {
        /// The detector to show
        id: Option<String>,
        #[command(flatten)]
        written: Written,
    },
    /// Score a time series or a table in a CSV file: one column, `anomaly_score` in [0, 1], is added
    ///
    /// With a column of time, each row is judged by the rows before it. Without, or with --train or --model, the rows
    /// are a table of numbers and categories, judged by a model that learned from another file or from the table itself.
    #[command(
        after_help = "Example:\n  stakeout score cpu.csv --time timestamp --value load -o scored.csv\n  \
        stakeout score sessions.csv --train last-month.csv -o scored.csv"
    )]
    Score {
        /// The CSV file, plain or gzip; - is standard input
        file: PathBuf,
        /// The column that holds the time
        #[arg(long)]
        time: Option<String>,
        /// A column to judge; may be given several times [default: the only number column]
        #[arg(long = "value")]
        values: Vec<String>,
        /// Judge every number column
        #[arg(long, conflicts_with = "values")]
        all: bool,
        /// The file to write [default: standard output]
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// For tables: learn from this CSV file alone [default: the table is judged against itself]
        #[arg(long, value_name = "FILE")]
        train: Option<PathBuf>,
        /// For tables: the column of the file to learn from that says what a row is; it is not judged by
        #[arg(long, value_name = "COLUMN", requires = "train")]
        label: Option<String>,
        /// For tables: what the label of a normal row is; may be given several times
        /// [default: normal, norm, benign, legit, good, ham, 0, false, -]
        #[arg(long, value_name = "NAME", requires = "label")]
        normal: Vec<String>,
        /// For tables: what learns, a kind that `train --help` names (sequence looks at one column, of tokens with blanks
        /// between them), or the trained model that judges: NAME, NAME@VERSION, or a file [default: neighbours]
        #[arg(long, value_parser = models::choice)]
        model: Option<Choice>,
        #[command(flatten)]
        folder: Folder,
        /// For tables: where the randomness of learning begins
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Learn a model from tables of rows, and keep it with its lineage
    #[command(
        after_help = "Example:\n  stakeout train january.csv february.csv --name sessions --time started\n  \
        stakeout train flows.csv.gz --name flows --model isolation_forest --label class --trials 12"
    )]
    Train(Box<TrainArguments>),
    /// Judge labelled rows by a trained model: what it finds at which price, whether its p is true, what it costs
    #[command(after_help = "Example:\n  stakeout evaluate march.csv --model sessions --label class --html march.html")]
    Evaluate(Box<EvaluateArguments>),
    /// List models, show and compare their versions, and say which is in force
    #[command(
        after_help = "Example:\n  stakeout models list\n  stakeout models promote sessions@2\n  \
        stakeout models rollback sessions"
    )]
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// List the messages of a log by their shape, the most frequent first: what `log.template.id` is in detectors
    #[command(after_help = "Example:\n  stakeout templates /var/log/auth.log | head")]
    Templates {
        /// Logs of any text, plain, gzip or zstd, or - for standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Write the template's id of every line that is not empty, in their order, in place of the list
        #[arg(long)]
        lines: bool,
    },
    /// Collect, detect and deliver in one process until SIGTERM
    #[command(after_help = "Example:\n  stakeout run --config deploy/stakeout.yaml")]
    Run {
        #[command(flatten)]
        written: Written,
        /// Partitions, and threads that run them
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: u16,
    },
    /// Collect, and publish events to the instances that judge them, until SIGTERM
    #[cfg(feature = "kafka")]
    #[command(
        after_help = "Examples:\n  stakeout collect --config /etc/stakeout/stakeout.yaml --instance collector-1\n  \
        stakeout collect --config /etc/stakeout/stakeout.yaml --retire collector-2"
    )]
    Collect {
        #[command(flatten)]
        written: Written,
        #[command(flatten)]
        instance: Instance,
        /// Say of an instance that is gone for good that nobody shall wait for it any more, and end
        #[arg(long, value_name = "NAME", conflicts_with = "name")]
        retire: Option<String>,
    },
    /// Judge events from Kafka until SIGTERM, as one of any number of instances
    #[cfg(feature = "kafka")]
    #[command(after_help = "Example:\n  stakeout detect --config /etc/stakeout/stakeout.yaml --instance detector-1")]
    Detect {
        #[command(flatten)]
        written: Written,
        #[command(flatten)]
        instance: Instance,
    },
    /// Deliver alerts from Kafka to the sinks until SIGTERM, as one of any number of instances
    #[cfg(feature = "kafka")]
    #[command(after_help = "Example:\n  stakeout respond --config /etc/stakeout/stakeout.yaml --instance responder-1")]
    Respond {
        #[command(flatten)]
        written: Written,
        #[command(flatten)]
        instance: Instance,
    },
    /// Make the topics of Kafka that alerts and dead letters go to, or say how they differ from what they should be
    #[cfg(feature = "kafka")]
    #[command(after_help = "Example:\n  stakeout topics --create --config /etc/stakeout/stakeout.yaml")]
    Topics {
        #[command(flatten)]
        written: Written,
        /// Make those that are not there, then compare
        #[arg(long, required_unless_present = "check")]
        create: bool,
        /// Only compare; exit status 1 where something differs
        #[arg(long, conflicts_with = "create")]
        check: bool,
    },
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
struct Written {
    /// The configuration file: networks, assets, time zone, bounds, what is changed about detectors
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder of detector definitions to use instead of the ones that are built in
    #[arg(long, value_name = "DIR")]
    detectors: Option<PathBuf>,
}

/// Which of several instances this is.
#[cfg(feature = "kafka")]
#[derive(Args)]
struct Instance {
    /// The name of this instance, another one for each [default: the configuration's, or the host's name]
    #[arg(long = "instance", value_name = "NAME")]
    name: Option<String>,
}

#[derive(Args)]
struct ReplayArguments {
    /// Captures (pcap, pcapng), logs, folders of them, or - for standard input; gzip and zstd are taken off
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    written: Written,
    /// Partitions, and threads that run them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Form of the output [default: text on a terminal, ecs elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    /// Alerts a day that the operators can read [default: the configuration's, or 20]
    #[arg(long, value_name = "N", value_parser = budget)]
    budget: Option<f64>,
    /// Tell every alert with p up to 1e-2
    #[arg(long, conflicts_with = "budget")]
    no_budget: bool,
    /// Year of the first line of logs without years [default: the one that fits the file's time of change]
    #[arg(long, value_parser = clap::value_parser!(i16).range(1970..=2261))]
    year: Option<i16>,
    /// Time zone of log lines without one, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    timezone: Option<jiff::tz::TimeZone>,
    /// Begin with what was learned in this folder, and keep there what is learned
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
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

fn time_zone(name: &str) -> Result<jiff::tz::TimeZone, String> {
    jiff::tz::TimeZone::get(name).map_err(|_| "not a zone of the IANA database, such as Europe/Berlin".to_owned())
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
    if let Some(error) = wrong_usage(&cli.command) {
        let _ = error.print();
        return ExitCode::from(2);
    }
    match dispatch(cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) if is_reader_gone(&error) => ExitCode::from(READER_GONE),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "stakeout: {}", printable(&format!("{error:#}")));
            ExitCode::from(1)
        }
    }
}

/// What the parser can't see is wrong with arguments.
fn wrong_usage(command: &Command) -> Option<clap::Error> {
    let inputs = match command {
        Command::Replay(arguments) => &arguments.inputs,
        Command::Templates { files, .. } => files,
        _ => return None,
    };
    let standard_inputs = inputs.iter().filter(|input| input.as_os_str() == "-").count();
    (standard_inputs > 1).then(|| {
        let message = "standard input (-) can be read only once";
        Cli::command().error(clap::error::ErrorKind::ArgumentConflict, message)
    })
}

/// Whether the reader of standard output has closed it, as `head` does when it has enough.
fn is_reader_gone(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    let mut stdout = std::io::stdout().lock();
    match command {
        Command::Replay(arguments) => {
            let request = request(*arguments)?;
            let ended = replay::run(&request, Box::new(stdout), &mut std::io::stderr())?;
            return Ok(match ended {
                Ended::Well => 0,
                Ended::WithProblems => 1,
                Ended::BySignal(status) => status,
                Ended::ReaderGone => READER_GONE,
            });
        }
        Command::Run { written, threads } => {
            drop(stdout);
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
            let threads = usize::from(threads);
            service::run(written.sources(), &service::Role::All { threads })?;
            return Ok(0);
        }
        #[cfg(feature = "kafka")]
        Command::Collect {
            written,
            retire: Some(name),
            ..
        } => service::retire(&written.read()?.config, &name)?,
        #[cfg(feature = "kafka")]
        Command::Collect { written, instance, .. } => {
            drop(stdout);
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
            let instance = instance.name;
            service::run(written.sources(), &service::Role::Collect { instance })?;
        }
        #[cfg(feature = "kafka")]
        Command::Detect { written, instance } => {
            drop(stdout);
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
            detect::run(&written.sources(), instance.name.as_deref())?;
        }
        Command::Check {
            schema: Some(schema), ..
        } => check::write_schema(schema, &mut stdout)?,
        Command::Check { written, schema: None } => {
            return Ok(u8::from(!check::run(&written.sources(), &mut stdout)?));
        }
        Command::Detectors { id, written } => {
            let catalog = written.read()?.catalog;
            match id {
                Some(id) => detectors::show(&catalog, &id, &mut stdout)?,
                None => detectors::list(&catalog, &mut stdout)?,
            }
        }
        Command::Score {
            file,
            time,
            values,
            all,
            output,
            train,
            label,
            normal,
            model,
            folder,
            seed,
        } => {
            let options = ScoreOptions {
                file,
                time,
                values,
                all,
                output,
                train,
                label,
                normal,
                model,
                models: folder.models,
                seed,
            };
            score::score(&options, &mut std::io::BufWriter::new(stdout))?;
        }
        Command::Train(arguments) => run::models::train(&arguments.options(), &mut stdout)?,
        Command::Evaluate(arguments) => run::models::evaluate(&arguments.options(), &mut stdout)?,
        Command::Models { command } => return Ok(u8::from(!models::run(command, &mut stdout)?)),
        Command::Templates { files, lines } => templates::run(&TemplatesOptions { files, lines }, &mut stdout)?,
        #[cfg(feature = "kafka")]
        Command::Respond { written, instance } => {
            drop(stdout);
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
            respond::run(&written.sources(), instance.name.as_deref())?;
        }
        #[cfg(feature = "kafka")]
        Command::Topics { written, create, .. } => {
            let wish = if create {
                topics::Wish::Create
            } else {
                topics::Wish::Check
            };
            return Ok(u8::from(!topics::run(&written.read()?.config, wish, &mut stdout)?));
        }
        Command::Explain { id, alerts } => explain::run(&id, &alerts, &mut stdout)?,
    }
    Ok(0)
}

impl Written {
    fn sources(self) -> Sources {
        Sources {
            config: self.config,
            detectors: self.detectors,
        }
    }

    /// What the site has written; every mistake at once if there are any.
    fn read(self) -> anyhow::Result<Site> {
        check::demand(&self.sources().gather()?)
    }
}

fn request(arguments: ReplayArguments) -> anyhow::Result<Replay> {
    let site = arguments.written.read()?;
    let bounds = site.engine_bounds();
    let Site { config, catalog } = site;
    let alerts_per_day = arguments.budget.unwrap_or(config.alerts_per_day);
    Ok(Replay {
        catalog,
        networks: config.networks,
        assets: config.assets,
        site_zone: config.timezone,
        bounds,
        flows_max: config.bounds.flows_max,
        disorder_max: config.bounds.disorder_max,
        inputs: arguments.inputs,
        threads: usize::from(arguments.threads),
        format: arguments.format,
        budget: if arguments.no_budget {
            Budget::Unlimited
        } else {
            Budget::AlertsPerDay(alerts_per_day)
        },
        year: arguments.year,
        line_zone: arguments.timezone,
        state: arguments.state,
        summary: arguments.summary,
        quiet: arguments.quiet,
    })
}
