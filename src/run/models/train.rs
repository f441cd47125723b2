//! `stakeout train`: tables in, a version of a model out.
//!
//! The last rows by time (or, without a time, by order) are held out: nothing is learned from them, candidates are judged
//! by them. What the columns look like is learned from the other rows and compared with what it was for the version
//! before. Rows are never drawn at random, for a row's neighbours in time would then be on the other side.

use super::lineage::{Beside, Data, Parent, Part, Trial};
use super::{Lineage, Saved, check_name, encode, gate, hexadecimal, read};
use crate::edge::registry::Registry;
use crate::edge::sink::amount;
use crate::engine::model::quality::{Yardstick, best};
use crate::engine::model::schema::{Holds, Schema, Violation};
use crate::engine::model::{Kind, Labels, Model, Parameters, Settings, Table, Training};
use crate::run::tables::labels;
use crate::run::tables::rows::{self, Rows, Wanted, Whole};
use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What `stakeout train` was asked to do.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// The CSV files.
    pub files: Vec<PathBuf>,
    /// What learns.
    pub kind: Kind,
    /// What the model is called.
    pub name: String,
    /// The column that says what each row is.
    pub label: Option<String>,
    /// The labels that mean normal; none means the usual ones.
    pub normal: Vec<String>,
    /// The column of time.
    pub time: Option<String>,
    /// The columns to learn from; empty means all others.
    pub values: Vec<String>,
    /// The registry.
    pub models: PathBuf,
    /// Where randomness begins.
    pub seed: u64,
    /// The share of the rows that is held out, in 0..1.
    pub hold_out: f64,
    /// Candidates that are tried at most.
    pub trials: usize,
    /// After how long no further candidate is tried.
    pub budget: Duration,
    /// A schema that the rows have to follow, in place of that of the version before.
    pub schema: Option<PathBuf>,
}

/// Trains a model, adds it to the registry, and writes what came of it.
///
/// # Errors
/// When the rows can't be read, differ from the schema, or nothing can be learned from them.
pub fn train(options: &TrainOptions, output: &mut dyn Write) -> anyhow::Result<()> {
    check_name(&options.name)?;
    let registry = Registry::new(&options.models);
    let parent = parent(&registry, &options.name)?;
    let name = match options.files.as_slice() {
        [file] => file.display().to_string(),
        several => format!("{} files", several.len()),
    };
    let learned = learn(options, parent.as_ref()).with_context(|| format!("learning from {name}"))?;

    let held = registry.make(&options.name)?;
    let mut lineage = learned.lineage;
    let (version, bytes) = held.add(|version| {
        lineage.version = version;
        encode(&lineage, &learned.model)
    })?;
    write_summary(&lineage, bytes, output).context("writing what was learned")?;
    let in_force = parent.is_some_and(|parent| parent.is_in_force);
    let name = &options.name;
    if in_force {
        writeln!(output, "not in force yet: stakeout models promote {name}@{version}")?;
    } else {
        writeln!(output, "none is in force yet: stakeout models promote {name}@{version}")?;
    }
    Ok(())
}

/// The version that a new one is compared with.
struct Before {
    version: u32,
    is_in_force: bool,
    saved: Saved,
}

/// The version in force, or else the newest.
fn parent(registry: &Registry, name: &str) -> anyhow::Result<Option<Before>> {
    let in_force = registry.in_force(name)?.version;
    let newest = registry.versions(name)?.last().copied();
    let Some(version) = in_force.or(newest) else {
        return Ok(None);
    };
    let saved = read(registry, name, version).context("reading the version before")?;
    Ok(Some(Before {
        version,
        is_in_force: in_force.is_some(),
        saved,
    }))
}

struct Learned {
    model: Model,
    lineage: Lineage,
}

fn learn(options: &TrainOptions, parent: Option<&Before>) -> anyhow::Result<Learned> {
    let files = Whole::read_all(&options.files)?;
    let wanted = Wanted {
        values: &options.values,
        time: options.time.as_ref(),
        label: options.label.as_ref(),
    };
    let rows = rows::read(&files, &wanted)?;
    let mut notes = Vec::new();
    let split = Split::of(&rows, options, &mut notes)?;
    let table = check(options, parent, &rows, &split, &mut notes)?;
    let schema = Schema::of(&table.select(&split.training));
    let lesson = split.lesson(&table, options);
    let yardstick = Yardstick::new(
        &table.select(&split.held_out),
        &table.select(&split.held_out_bad),
        options.seed,
    );
    if yardstick.is_none() {
        notes.push(format!(
            "{} normal rows held out are too few to judge by: the kind's own parameters were taken, and nothing is known of how good the model is",
            split.held_out.len()
        ));
    }
    let Searched {
        model,
        parameters,
        trials,
    } = search(options, &lesson, yardstick.as_ref())?;
    let quality = trials
        .iter()
        .find(|trial| trial.parameters == parameters)
        .map(|trial| trial.quality.clone());
    if let Some(quality) = &quality {
        notes.extend(quality.calibration.iter().filter(|told| told.is_enough && !(0.5..=2.0).contains(&told.ratio)).map(|told| {
            format!(
                "rows held out reach a p of {:e} {:.1} times as often as they should: they are unlike the rows learned from, or rows of one time are alike",
                told.nominal, told.ratio
            )
        }));
    }
    let beside: Option<Beside> = match (parent, &yardstick) {
        (Some(parent), Some(yardstick)) => Some(gate::beside(&parent.saved, parent.version, yardstick)),
        _ => None,
    };
    let data = files.iter().map(|file| Data {
        file: file.name.clone(),
        sha256: hexadecimal(&Sha256::digest(&file.bytes)),
        bytes: file.bytes.len() as u64,
    });
    let lineage = Lineage {
        name: options.name.clone(),
        version: 0,
        parent: parent.map(|parent| Parent {
            version: parent.version,
            id: parent.saved.id.clone(),
        }),
        created: jiff::Timestamp::now().to_string(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        kind: options.kind,
        parameters,
        seed: options.seed,
        data: data.collect(),
        time: options.time.clone(),
        label: options.label.clone(),
        normal: options.normal.clone(),
        training: split.part(&rows, &files, &split.training, split.training_bad.len()),
        held_out: split.part(&rows, &files, &split.held_out, split.held_out_bad.len()),
        schema,
        trials,
        quality,
        beside,
        notes,
    };
    Ok(Learned { model, lineage })
}

/// Which rows are learned from, and which are held out; of both, which are normal and which are labelled bad.
struct Split {
    training: Vec<u32>,
    training_bad: Vec<u32>,
    held_out: Vec<u32>,
    held_out_bad: Vec<u32>,
}

impl Split {
    fn of(rows: &Rows, options: &TrainOptions, notes: &mut Vec<String>) -> anyhow::Result<Split> {
        let mut order: Vec<u32> = (0..rows.table.rows() as u32).collect();
        let time = |row: u32| rows.times[row as usize];
        let mut first_held_out = order.len() - (order.len() as f64 * options.hold_out).round() as usize;
        if !rows.times.is_empty() && first_held_out < order.len() {
            order.sort_by(|left, right| time(*left).total_cmp(&time(*right)));
            // Rows of one time are on one side.
            let border = time(order[first_held_out]);
            let of_border = order.partition_point(|row| time(*row) < border);
            if of_border == 0 {
                notes.push("the rows have one time only: they were split by their order".to_owned());
            } else {
                first_held_out = of_border;
            }
        }
        let normal = match &options.label {
            Some(column) => labels::of(rows, column, &options.normal)?.normal,
            None => vec![true; rows.table.rows()],
        };
        let (training, held_out) = order.split_at(first_held_out);
        let apart = |rows: &[u32]| rows.iter().partition::<Vec<u32>, _>(|row| normal[**row as usize]);
        let (training, training_bad) = apart(training);
        let (held_out, held_out_bad) = apart(held_out);
        Ok(Split {
            training,
            training_bad,
            held_out,
            held_out_bad,
        })
    }

    /// The rows to learn from, bad ones included where there are labels, for some kinds learn from them too.
    fn lesson(&self, table: &Table, options: &TrainOptions) -> Lesson {
        if options.label.is_none() {
            return Lesson {
                table: table.select(&self.training),
                labels: None,
            };
        }
        let mut normal = vec![true; self.training.len()];
        normal.resize(self.training.len() + self.training_bad.len(), false);
        let all: Vec<u32> = self.training.iter().chain(&self.training_bad).copied().collect();
        Lesson {
            table: table.select(&all),
            labels: Some(Labels { normal }),
        }
    }

    fn part(&self, rows: &Rows, files: &[Whole], places: &[u32], bad_rows: usize) -> Part {
        let ends = || Some((*places.iter().min()?, *places.iter().max()?));
        let line = |row: u32| place_of(rows, files, row);
        let times = || {
            let times = places.iter().filter_map(|row| rows.times.get(*row as usize));
            let first = times.clone().copied().min_by(f64::total_cmp)?;
            Some((time_text(first), time_text(times.copied().max_by(f64::total_cmp)?)))
        };
        Part {
            rows: places.len() as u64,
            bad_rows: bad_rows as u64,
            times: times(),
            lines: ends().map(|(first, last)| (line(first), line(last))),
        }
    }
}

fn time_text(seconds: f64) -> String {
    let time = jiff::Timestamp::from_nanosecond((seconds * 1e9) as i128);
    time.map_or_else(|_| format!("{seconds}"), |time| time.to_string())
}

fn place_of(rows: &Rows, files: &[Whole], row: u32) -> String {
    let (file, line) = rows.lines[row as usize];
    format!("{}:{line}", files[file as usize].name)
}

/// Compares the rows with what was expected of them, and leaves out columns that hold nothing.
fn check(
    options: &TrainOptions,
    parent: Option<&Before>,
    rows: &Rows,
    split: &Split,
    notes: &mut Vec<String>,
) -> anyhow::Result<Table> {
    let expected = match (&options.schema, parent) {
        (Some(path), _) => Some((read_schema(path)?, path.display().to_string())),
        (None, Some(parent)) => Some((
            parent.saved.lineage.schema.clone(),
            format!("version {}", parent.version),
        )),
        (None, None) => None,
    };
    let own = Schema::of(&rows.table.select(&split.training));
    for column in own.constant() {
        notes.push(match column.holds {
            Holds::Nothing => format!(
                "column {} has no value in the rows learned from: it was left out",
                column.name
            ),
            _ => format!(
                "column {} is constant in the rows learned from: only another value will count",
                column.name
            ),
        });
    }
    let holds_nothing = |name: &str| {
        own.columns
            .iter()
            .any(|column| column.name == name && column.holds == Holds::Nothing)
    };
    let table = rows.table.keep(|column| !holds_nothing(&column.name));
    if let Some((schema, whose)) = expected {
        // Every row has to be as expected, those held out too, but those that are labelled bad.
        let mut all: Vec<u32> = split.training.iter().chain(&split.held_out).copied().collect();
        all.sort_unstable();
        let violations = schema.check(&table.select(&all));
        if !violations.is_empty() {
            let text: Vec<String> = violations
                .iter()
                .map(|violation| violation_text(violation, rows, &all))
                .collect();
            bail!(
                "the rows are not as {whose} has them: {}\nname another schema with --schema FILE if they may be so (stakeout models show {} --schema writes one to begin with)",
                text.join("; "),
                options.name
            );
        }
        return Ok(table);
    }
    let in_training = Schema::of(&table.select(&split.training));
    for violation in in_training.check(&table.select(&split.held_out)) {
        notes.push(format!(
            "rows held out differ from those learned from: {}",
            violation_text(&violation, rows, &split.held_out)
        ));
    }
    Ok(table)
}

fn violation_text(violation: &Violation, rows: &Rows, places: &[u32]) -> String {
    let Violation { column, row, problem } = violation;
    match row {
        None => format!("column {column}: {problem}"),
        Some(row) => format!(
            "line {}, column {column}: {problem}",
            rows.lines[places[*row] as usize].1
        ),
    }
}

fn read_schema(path: &PathBuf) -> anyhow::Result<Schema> {
    let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no schema", path.display()))
}

/// What is learned from.
struct Lesson {
    table: Table,
    labels: Option<Labels>,
}

impl Lesson {
    fn learn(&self, settings: &Settings) -> anyhow::Result<Model> {
        Ok(match &self.labels {
            None => Model::learn(&self.table, settings)?,
            Some(labels) => Model::learn_labelled(&self.table, labels, settings)?,
        })
    }
}

struct Searched {
    model: Model,
    parameters: Parameters,
    trials: Vec<Trial>,
}

/// Learns a model with each choice of parameters that the budget allows, the kind's own first, and keeps the best.
fn search(options: &TrainOptions, lesson: &Lesson, yardstick: Option<&Yardstick>) -> anyhow::Result<Searched> {
    let settings = |parameters| Settings {
        kind: options.kind,
        seed: options.seed,
        rows: Training::Apart,
        parameters,
    };
    let Some(yardstick) = yardstick else {
        let parameters = Parameters::default();
        let model = lesson.learn(&settings(parameters))?;
        return Ok(Searched {
            model,
            parameters,
            trials: Vec::new(),
        });
    };
    let choices = spread(options.kind.ranges().choices(), options.trials);
    let begun = Instant::now();
    let mut progress = Progress::new(choices.len());
    let mut trials: Vec<Trial> = Vec::new();
    let mut kept: Option<(usize, Model)> = None;
    for (number, parameters) in choices.into_iter().enumerate() {
        if number > 0 && begun.elapsed() > options.budget {
            break;
        }
        progress.show(number + 1, begun.elapsed());
        let model = lesson.learn(&settings(parameters))?;
        let quality = yardstick.measure(&model)?;
        trials.push(Trial { parameters, quality });
        let qualities: Vec<_> = trials.iter().map(|trial| trial.quality.clone()).collect();
        let best = best(&qualities).expect("one was just measured");
        if best == number || kept.is_none() {
            kept = Some((number, model));
        }
    }
    progress.clear();
    let qualities: Vec<_> = trials.iter().map(|trial| trial.quality.clone()).collect();
    let best = best(&qualities).expect("the kind's own parameters were tried");
    let parameters = trials[best].parameters;
    let model = match kept {
        Some((number, model)) if number == best => model,
        // A candidate that was not the best when it was tried can become it when a later one widens what is good enough.
        _ => lesson.learn(&settings(parameters))?,
    };
    Ok(Searched {
        model,
        parameters,
        trials,
    })
}

/// As many choices as may be tried: the first, and of the others an even part.
fn spread(choices: Vec<Parameters>, most: usize) -> Vec<Parameters> {
    let (first, others) = choices.split_first().expect("the kind's own parameters are a choice");
    let wanted = most.saturating_sub(1).min(others.len());
    let even = (0..wanted).map(|number| others[(2 * number + 1) * others.len() / (2 * wanted)]);
    std::iter::once(*first).chain(even).collect()
}

/// Which candidate is being tried, on a terminal.
struct Progress {
    is_shown: bool,
    of: usize,
}

impl Progress {
    fn new(of: usize) -> Progress {
        Progress {
            is_shown: std::io::stderr().is_terminal(),
            of,
        }
    }

    fn show(&mut self, number: usize, elapsed: Duration) {
        if self.is_shown {
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\rcandidate {number} of {}, {} s", self.of, elapsed.as_secs());
            let _ = stderr.flush();
        }
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r{:40}\r", "");
        }
    }
}

fn write_summary(lineage: &Lineage, bytes: u64, output: &mut dyn Write) -> std::io::Result<()> {
    let Lineage { name, version, .. } = lineage;
    writeln!(
        output,
        "{name}@{version}: {}, {}",
        lineage.kind.name(),
        amount(bytes as f64)
    )?;
    super::commands::write_parts(lineage, output)?;
    super::commands::write_quality(lineage, output)?;
    for note in &lineage.notes {
        writeln!(output, "note: {note}")?;
    }
    Ok(())
}
