//! A table: rows without an order, judged by a model that learned from another file, or from the table itself.
//!
//! What is learned from is held in memory; rows judged by what another file taught stream by.

use super::{Choice, ScoreOptions, Scored, write_row};
use crate::engine::model::{Kind, Model, Parameters, Settings, Training};
use crate::engine::series::TELLING;
use crate::run::models::{self, Reference};
use crate::run::tables::judge::Judge;
use crate::run::tables::labels;
use crate::run::tables::rows::{self, Rows, Wanted, Whole, read_header};
use crate::run::tables::{Reader, Record, SCORE_COLUMN, is_time_name, parse_value};
use anyhow::{Context, bail};
use std::io::{BufRead, Cursor, Write};
use std::sync::Arc;

/// Scores are `s / (s + HALF_SURPRISE)`, as for series.
const HALF_SURPRISE: f64 = 3.0;

/// Whether a file that begins like this is a table rather than a series, when nobody says: it has no time, and its first
/// row more than one number of which none is called `value`.
pub(super) fn is_table(options: &ScoreOptions, beginning: &[u8]) -> bool {
    if options.train.is_some() || options.model.is_some() {
        return true;
    }
    if options.time.is_some() || options.values.len() == 1 {
        return false;
    }
    let Ok(mut reader) = Reader::new(Box::new(Cursor::new(beginning.to_vec()))) else {
        return false;
    };
    let (mut header, mut first) = (Record::default(), Record::default());
    if !matches!(reader.read(&mut header), Ok(true)) || !matches!(reader.read(&mut first), Ok(true)) {
        return false;
    }
    let names = header.cells().map(String::from_utf8_lossy);
    let plain = names
        .map(|name| name.trim().to_owned())
        .all(|name| !is_time_name(&name) && !name.eq_ignore_ascii_case("value"));
    plain
        && first
            .cells()
            .filter(|cell| matches!(parse_value(cell), Ok(Some(_))))
            .count()
            > 1
}

/// Scores the table `input` and writes it to `output`.
pub(super) fn score(
    options: &ScoreOptions,
    mut input: Box<dyn BufRead>,
    output: &mut dyn Write,
) -> anyhow::Result<Scored> {
    let kind = match &options.model {
        None => Kind::Neighbours,
        Some(Choice::Kind(kind)) => *kind,
        Some(Choice::Saved(reference)) => {
            if options.train.is_some() || options.label.is_some() || !options.values.is_empty() || options.all {
                bail!(
                    "{reference} has learned, and knows its columns: --train, --label, --value and --all are for models that are learned now"
                );
            }
            let saved = models::load(reference, &options.models);
            let saved = match reference {
                Reference::Named { version: None, .. } => saved.with_context(|| {
                    let kinds = Kind::ALL.map(Kind::name).join(", ");
                    format!("{reference} is not a kind of model ({kinds}), so it has to be one that was trained")
                }),
                _ => saved,
            }?;
            return judge_by(&saved.model, input, output);
        }
    };
    let settings = |rows| Settings {
        kind,
        seed: options.seed,
        rows,
        parameters: Parameters::default(),
    };
    match &options.train {
        None => {
            let table = [Whole::read(options.file.display().to_string(), &mut *input)?];
            let bytes = Arc::clone(&table[0].bytes);
            let surprises = Model::judge_itself(&read_rows(options, &table)?.table, &settings(Training::Judged))
                .context("the table is judged against itself; --train names a file to learn from")?;
            write_scores(&bytes, &surprises, output)
        }
        Some(path) => {
            let learned = || {
                let rows = read_rows(options, &Whole::read_all(&[path])?)?;
                let settings = settings(Training::Apart);
                Ok::<_, anyhow::Error>(match &options.label {
                    None => Model::learn(&rows.table, &settings)?,
                    Some(column) => {
                        let labels = labels::of(&rows, column, &options.normal)?;
                        Model::learn_labelled(&rows.table, &labels, &settings)?
                    }
                })
            };
            let model = learned().with_context(|| format!("learning from {}", path.display()))?;
            judge_by(&model, input, output)
        }
    }
}

/// The rows of a file, of the columns that the options choose.
fn read_rows(options: &ScoreOptions, file: &[Whole]) -> anyhow::Result<Rows> {
    let wanted = Wanted {
        values: &options.values,
        time: options.time.as_ref(),
        label: options.label.as_ref(),
    };
    if options
        .label
        .as_ref()
        .is_some_and(|label| options.values.contains(label))
    {
        bail!("the column of labels can't be judged by");
    }
    rows::read(file, &wanted)
}

fn write_scores(bytes: &Arc<[u8]>, surprises: &[f64], output: &mut dyn Write) -> anyhow::Result<Scored> {
    let mut rows = Reader::new(Box::new(Cursor::new(Arc::clone(bytes))))?;
    let mut record = Record::default();
    rows.read(&mut record)?;
    write_row(output, &record, rows.separator(), SCORE_COLUMN)?;
    let mut scored = Scored::default();
    for surprise in surprises {
        rows.read(&mut record)?;
        write_surprise(output, &record, rows.separator(), *surprise, &mut scored)?;
    }
    output.flush().context("writing the scores")?;
    Ok(scored)
}

fn write_surprise(
    output: &mut dyn Write,
    record: &Record,
    separator: u8,
    surprise: f64,
    scored: &mut Scored,
) -> anyhow::Result<()> {
    let score = surprise / (surprise + HALF_SURPRISE);
    scored.rows += 1;
    scored.told += u64::from(score >= TELLING);
    write_row(output, record, separator, &format!("{score:.9}"))
}

/// Judges the rows of `input` by a model.
fn judge_by(model: &Model, input: Box<dyn BufRead>, output: &mut dyn Write) -> anyhow::Result<Scored> {
    let mut rows = Reader::new(input)?;
    let mut head = Record::default();
    let header = read_header(&mut rows, &mut head)?;
    if header.iter().any(|name| name == SCORE_COLUMN) {
        bail!("line 1: a column {SCORE_COLUMN:?} is there already");
    }
    let judge = Judge::new(model, &header)?;
    let separator = rows.separator();
    write_row(output, &head, separator, SCORE_COLUMN)?;
    let mut scored = Scored::default();
    judge.judge(&mut rows, &mut |record, surprise| {
        write_surprise(output, record, separator, surprise, &mut scored)
    })?;
    output.flush().context("writing the scores")?;
    Ok(scored)
}
