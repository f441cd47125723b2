//! `stakeout evaluate`: a saved model on labelled rows: what it finds at which price, whether its p is true, what it costs.

use super::report;
use super::{Reference, load};
use crate::engine::model::measures::{Calibrated, FALSE_ALARM_RATES, Point, Separation, calibration, roc_area_error};
use crate::run::tables::judge::Judge;
use crate::run::tables::rows::read_header;
use crate::run::tables::{Reader, Record, bad_cell, labels, open, parse_time};
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Seconds of a day.
const DAY_SECONDS: f64 = 86_400.0;
/// How far two points of a curve that is drawn are apart at least, of the whole axis.
const CURVE_STEP: f64 = 0.002;
/// The breadth of the steps of the histogram, in powers of ten of p, and how many there are.
const STEP: f64 = 0.25;
const STEPS_MAX: usize = 48;
/// Labels whose recall is told at most, the most frequent.
const LABELS_MAX: usize = 50;

/// What `stakeout evaluate` was asked to do.
#[derive(Clone, Debug)]
pub struct EvaluateOptions {
    /// The CSV file of labelled rows.
    pub file: PathBuf,
    /// The model.
    pub model: Reference,
    /// The registry.
    pub models: PathBuf,
    /// The column that says what each row is.
    pub label: String,
    /// The labels that mean normal; none means the usual ones.
    pub normal: Vec<String>,
    /// The column of time.
    pub time: Option<String>,
    /// The column that says whom a row is about.
    pub entity: Option<String>,
    /// Where the seed of resampling begins.
    pub seed: u64,
    /// The file to write the report to as JSON.
    pub json: Option<PathBuf>,
    /// The file to write the report to as a page.
    pub html: Option<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model.
    pub model: Judging,
    /// The rows.
    pub rows: Judged,
    /// Area under recall over false-alarm rate.
    pub roc_area: f64,
    /// Its standard error.
    pub roc_area_error: f64,
    /// Area under precision over recall (average precision).
    pub pr_area: f64,
    /// Recall at false-alarm rates, as far as the normal rows are enough for them.
    pub recall: Vec<Recall>,
    /// How true p is on the normal rows.
    pub calibration: Vec<Calibrated>,
    /// Recall by label, at the first of the false-alarm rates.
    pub labels: Vec<ByLabel>,
    /// What judging costs.
    pub cost: Cost,
    /// Recall over false-alarm rate, thinned.
    pub roc: Vec<(f64, f64)>,
    /// Precision over recall, thinned.
    pub pr: Vec<(f64, f64)>,
    /// For each step of surprise (`-log10 p`) of a quarter the share of the normal rows and of the bad ones.
    pub surprises: Vec<(f64, f64, f64)>,
}

/// The model that judged.
#[derive(Clone, Debug, Serialize)]
pub struct Judging {
    /// How it was named.
    pub named: String,
    /// The name and version that it was trained as.
    pub trained_as: String,
    /// What it is.
    pub id: String,
    /// Its kind.
    pub kind: &'static str,
    /// When it was trained.
    pub created: String,
    /// Rows that it learned from.
    pub trained_rows: u64,
}

/// The rows that were judged.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The file.
    pub file: String,
    /// Normal rows.
    pub normal: u64,
    /// Bad rows.
    pub bad: u64,
    /// Whom rows are about, where it was said.
    pub entities: Option<u64>,
    /// From the first time to the last, where there is a time.
    pub days: Option<f64>,
}

/// What is found at a false-alarm rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Recall {
    /// The rate.
    pub false_alarm_rate: f64,
    /// The surprise from which on rows are told.
    pub surprise: f64,
    /// Normal rows that are told.
    pub false_alarms: u64,
    /// Bad rows that are told.
    pub hits: u64,
    /// Share of the bad rows that are told.
    pub recall: f64,
    /// Rows that are told a day, both kinds.
    pub alerts_a_day: Option<f64>,
    /// Normal rows that are told a day.
    pub false_alarms_a_day: Option<f64>,
}

/// What is found of one label.
#[derive(Clone, Debug, Serialize)]
pub struct ByLabel {
    /// The label.
    pub label: String,
    /// Whether it means normal.
    pub is_normal: bool,
    /// Rows that have it.
    pub rows: u64,
    /// Of these, rows that are told.
    pub told: u64,
}

/// What judging costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Microseconds of one thread for a row, reading it left out.
    pub microseconds_a_row: f64,
    /// Bytes of the model's file.
    pub bytes: u64,
}

/// Judges the rows and writes what was found.
///
/// # Errors
/// When the model or the rows can't be read, or rows of one of the two kinds are missing.
pub fn evaluate(options: &EvaluateOptions, output: &mut dyn Write) -> anyhow::Result<()> {
    let report = measure(options).with_context(|| format!("evaluating on {}", options.file.display()))?;
    let write = |path: &PathBuf, text: String| {
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    };
    if let Some(path) = &options.json {
        write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(path) = &options.html {
        write(path, report::page(&report))?;
    }
    report::write_text(&report, output).context("writing the report")
}

/// Words as numbers, in the order they were met.
#[derive(Default)]
struct Words {
    names: Vec<String>,
    known: HashMap<String, u32>,
}

impl Words {
    fn place_of(&mut self, word: &str) -> u32 {
        if let Some(place) = self.known.get(word) {
            return *place;
        }
        let place = self.names.len() as u32;
        self.names.push(word.to_owned());
        self.known.insert(word.to_owned(), place);
        place
    }
}

/// Rows after they were judged.
#[derive(Default)]
struct Told {
    surprises: Vec<f64>,
    label_places: Vec<u32>,
    labels: Words,
    entity_places: Vec<u32>,
    entities: Words,
    times: Option<(f64, f64)>,
    elapsed: Duration,
}

fn measure(options: &EvaluateOptions) -> anyhow::Result<Report> {
    let saved = load(&options.model, &options.models)?;
    let told = judge(options, &saved.model, saved.lineage.time.as_ref())?;
    let is_normal: Vec<bool> = told
        .labels
        .names
        .iter()
        .map(|name| labels::is_normal(name, &options.normal))
        .collect();
    let normal_of = |row: usize| is_normal[told.label_places[row] as usize];
    if !told.surprises.is_empty() && !is_normal.contains(&true) {
        return Err(labels::none_is_normal(
            &options.label,
            &told.labels.names,
            &options.normal,
        ));
    }
    let rows = told
        .surprises
        .iter()
        .enumerate()
        .map(|(row, surprise)| (*surprise, !normal_of(row)));
    let Some(separation) = Separation::of(rows) else {
        bail!(
            "{} rows, all of one kind: areas and recall need normal rows and bad ones",
            told.surprises.len()
        );
    };
    let days = told
        .times
        .map(|(first, last)| (last - first) / DAY_SECONDS)
        .filter(|days| *days > 0.0);
    let recall: Vec<Recall> = FALSE_ALARM_RATES
        .iter()
        .filter_map(|rate| recall_at(&separation, *rate, days))
        .collect();
    let normal_rows: Vec<usize> = (0..told.surprises.len()).filter(|row| normal_of(*row)).collect();
    let normal: Vec<f64> = normal_rows.iter().map(|row| told.surprises[*row]).collect();
    let entities = options.entity.is_some().then(|| {
        // Those that have normal rows, counted anew from 0.
        let mut places = HashMap::new();
        let entities = normal_rows.iter().map(|row| {
            let next = places.len() as u32;
            *places.entry(told.entity_places[*row]).or_insert(next)
        });
        entities.collect::<Vec<u32>>()
    });
    let area = separation.roc_area();
    let from = recall.first().map_or(f64::INFINITY, |recall| recall.surprise);
    Ok(Report {
        model: Judging {
            named: options.model.to_string(),
            trained_as: format!("{}@{}", saved.lineage.name, saved.lineage.version),
            id: saved.id.clone(),
            kind: saved.lineage.kind.name(),
            created: saved.lineage.created.clone(),
            trained_rows: saved.lineage.training.rows,
        },
        rows: Judged {
            file: options.file.display().to_string(),
            normal: separation.normal,
            bad: separation.bad,
            entities: options.entity.is_some().then_some(told.entities.names.len() as u64),
            days,
        },
        roc_area: area,
        roc_area_error: roc_area_error(area, separation.normal as usize, separation.bad as usize),
        pr_area: separation.pr_area(),
        recall,
        calibration: calibration(&normal, entities.as_deref(), options.seed),
        labels: by_label(&told, &is_normal, from),
        cost: Cost {
            microseconds_a_row: told.elapsed.as_secs_f64() * 1e6 / told.surprises.len() as f64,
            bytes: saved.bytes,
        },
        roc: roc(&separation),
        pr: pr(&separation),
        surprises: histogram(&told, normal_of),
    })
}

/// Judges the rows of the file as they stream by.
fn judge(
    options: &EvaluateOptions,
    model: &crate::engine::model::Model,
    trained_time: Option<&String>,
) -> anyhow::Result<Told> {
    let mut reader = Reader::new(open(&options.file)?)?;
    let header = read_header(&mut reader, &mut Record::default())?;
    let judge = Judge::new(model, &header)?;
    let place_of = |name: &String| header.iter().position(|column| column == name);
    let demanded = |name: &String| {
        place_of(name).with_context(|| format!("line 1: no column {name:?}; the columns are {}", header.join(", ")))
    };
    let label = demanded(&options.label)?;
    let time = match &options.time {
        Some(name) => Some(demanded(name)?),
        None => trained_time.and_then(place_of),
    };
    let entity = options.entity.as_ref().map(demanded).transpose()?;
    let mut told = Told::default();
    let elapsed = judge.judge(&mut reader, &mut |record, surprise| {
        let text = |place: usize| {
            String::from_utf8_lossy(record.cell(place).unwrap_or_default())
                .trim()
                .to_owned()
        };
        let name = text(label);
        if name.is_empty() {
            bail!("line {}, column {}: the row has no label", record.line(), options.label);
        }
        told.label_places.push(told.labels.place_of(&name));
        if let Some(place) = entity {
            told.entity_places.push(told.entities.place_of(&text(place)));
        }
        if let Some(place) = time {
            let seconds = record.cell(place).and_then(parse_time);
            let seconds = seconds.ok_or_else(|| bad_cell(record, &header, place, "a time"))?;
            let (first, last) = told.times.unwrap_or((seconds, seconds));
            told.times = Some((first.min(seconds), last.max(seconds)));
        }
        told.surprises.push(surprise);
        Ok(())
    })?;
    told.elapsed = elapsed;
    Ok(told)
}

fn recall_at(separation: &Separation, rate: f64, days: Option<f64>) -> Option<Recall> {
    let point: Point = separation.at_false_alarm_rate(rate)?;
    Some(Recall {
        false_alarm_rate: rate,
        surprise: point.score,
        false_alarms: point.false_alarms,
        hits: point.hits,
        recall: separation.recall(&point),
        alerts_a_day: days.map(|days| (point.false_alarms + point.hits) as f64 / days),
        false_alarms_a_day: days.map(|days| point.false_alarms as f64 / days),
    })
}

fn by_label(told: &Told, is_normal: &[bool], from: f64) -> Vec<ByLabel> {
    let mut labels: Vec<ByLabel> = told
        .labels
        .names
        .iter()
        .zip(is_normal)
        .map(|(label, is_normal)| ByLabel {
            label: label.clone(),
            is_normal: *is_normal,
            rows: 0,
            told: 0,
        })
        .collect();
    for (place, surprise) in told.label_places.iter().zip(&told.surprises) {
        labels[*place as usize].rows += 1;
        labels[*place as usize].told += u64::from(*surprise >= from);
    }
    labels.sort_by(|left, right| right.rows.cmp(&left.rows).then_with(|| left.label.cmp(&right.label)));
    labels.truncate(LABELS_MAX);
    labels
}

fn roc(separation: &Separation) -> Vec<(f64, f64)> {
    let lowest = (0.5 / separation.normal as f64).log10();
    let all = separation.points.iter().map(|point| {
        (
            point.false_alarms as f64 / separation.normal as f64,
            point.hits as f64 / separation.bad as f64,
        )
    });
    // The axis is logarithmic where it is drawn.
    let place = |point: &(f64, f64)| (point.0.log10().max(lowest) / lowest, point.1);
    thinned(std::iter::once((0.0, 0.0)).chain(all), place)
}

fn pr(separation: &Separation) -> Vec<(f64, f64)> {
    let all = separation.points.iter().map(|point| {
        (
            point.hits as f64 / separation.bad as f64,
            point.hits as f64 / (point.hits + point.false_alarms) as f64,
        )
    });
    thinned(all, |point| *point)
}

/// The points that are far enough from the last one kept, and the last of all.
fn thinned(points: impl Iterator<Item = (f64, f64)>, place: impl Fn(&(f64, f64)) -> (f64, f64)) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    let mut last = None;
    for point in points {
        last = Some(point);
        let is_far = kept.last().is_none_or(|before| {
            let (one, other) = (place(before), place(&point));
            (one.0 - other.0).abs() > CURVE_STEP || (one.1 - other.1).abs() > CURVE_STEP
        });
        if is_far {
            kept.push(point);
        }
    }
    if kept.last() != last.as_ref() {
        kept.extend(last);
    }
    kept
}

fn histogram(told: &Told, is_normal: impl Fn(usize) -> bool) -> Vec<(f64, f64, f64)> {
    let mut counts = vec![(0u64, 0u64); STEPS_MAX];
    for (row, surprise) in told.surprises.iter().enumerate() {
        let step = &mut counts[((surprise / STEP) as usize).min(STEPS_MAX - 1)];
        if is_normal(row) {
            step.0 += 1;
        } else {
            step.1 += 1;
        }
    }
    let used = counts
        .iter()
        .rposition(|step| *step != (0, 0))
        .map_or(0, |last| last + 1);
    let (normal, bad) = counts
        .iter()
        .fold((0, 0), |sums, step| (sums.0 + step.0, sums.1 + step.1));
    let steps = counts[..used].iter().enumerate();
    steps
        .map(|(place, step)| {
            (
                place as f64 * STEP,
                step.0 as f64 / normal.max(1) as f64,
                step.1 as f64 / bad.max(1) as f64,
            )
        })
        .collect()
}
