//! A table: rows without an order, judged by a model that learned from another file, or from the table itself.
//!
//! What is learned from is held in memory, `TABLE_BYTES_MAX` at most; rows judged by what another file taught stream by.
//! A column of which more than half of the cells are numbers holds numbers, and any other text in it is a mistake; every
//! other column holds categories, or, where most rows have a text of their own, texts that are judged by their shape.

use super::csv::{Reader, Record};
use super::{ScoreOptions, Scored, is_time_name, open, parse_value, write_row};
use crate::engine::model::{Cell, Column, Kind, Model, Settings, Table, Training, Values};
use crate::engine::series::TELLING;
use anyhow::{Context, bail};
use std::collections::HashMap;
use std::io::{BufRead, Cursor, Read, Write};
use std::sync::Arc;

/// Bytes of a table that is learned from at most, uncompressed.
const TABLE_BYTES_MAX: u64 = 1 << 30;
/// Rows judged in one go.
const BATCH_ROWS: usize = 1024;
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
    let settings = |rows| Settings {
        kind: options.model.unwrap_or(Kind::Neighbours),
        seed: options.seed,
        rows,
    };
    match &options.train {
        None => {
            let bytes = read_whole(&mut *input)?;
            let (table, _) = read_table(options, &bytes)?;
            let surprises = Model::judge_itself(&table, &settings(Training::Judged))
                .context("the table is judged against itself; --train names a file to learn from")?;
            write_scores(&bytes, &surprises, output)
        }
        Some(path) => {
            let learned = || {
                let bytes = read_whole(&mut *open(path)?)?;
                let (table, _) = read_table(options, &bytes)?;
                Ok::<_, anyhow::Error>(Model::learn(&table, &settings(Training::Apart))?)
            };
            let model = learned().with_context(|| format!("learning from {}", path.display()))?;
            judge(&model, input, output)
        }
    }
}

fn read_whole(input: &mut dyn BufRead) -> anyhow::Result<Arc<[u8]>> {
    let mut bytes = Vec::new();
    input.take(TABLE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TABLE_BYTES_MAX {
        bail!("a table of over {TABLE_BYTES_MAX} bytes can't be learned from: learn from a part of it with --train");
    }
    Ok(bytes.into())
}

fn reader(bytes: &Arc<[u8]>) -> anyhow::Result<(Reader, Vec<String>)> {
    let mut reader = Reader::new(Box::new(Cursor::new(Arc::clone(bytes))))?;
    let header = read_header(&mut reader, &mut Record::default())?;
    Ok((reader, header))
}

fn read_header(reader: &mut Reader, record: &mut Record) -> anyhow::Result<Vec<String>> {
    if !reader.read(record)? {
        bail!("the file is empty: a header line is needed");
    }
    let header: Vec<String> = super::names_of(record);
    for (place, name) in header.iter().enumerate() {
        if header[..place].contains(name) {
            bail!("line 1: two columns are called {name:?}");
        }
    }
    Ok(header)
}

/// A column while it is read.
#[derive(Default)]
struct Draft {
    numbers: Vec<f64>,
    texts: u64,
    /// The first text that is no number: its line, and itself.
    first_text: Option<(u64, String)>,
}

/// The table in `bytes`, of the columns that the options choose, and their names.
fn read_table(options: &ScoreOptions, bytes: &Arc<[u8]>) -> anyhow::Result<(Table, Vec<String>)> {
    let (mut rows, header) = reader(bytes)?;
    super::check_names(options, &header)?;
    let chosen = choose(options, &header);
    let mut drafts: Vec<Draft> = chosen.iter().map(|_| Draft::default()).collect();
    let mut record = Record::default();
    while read_row(&mut rows, &mut record, &header)? {
        for (place, draft) in chosen.iter().zip(&mut drafts) {
            let cell = record.cell(*place).unwrap_or_default();
            draft.numbers.push(match parse_value(cell) {
                Ok(value) => value.unwrap_or(f64::NAN),
                Err(()) if is_infinite(cell) => {
                    return Err(super::bad_cell(&record, &header, *place, "a finite number"));
                }
                Err(()) => {
                    draft.texts += 1;
                    draft.first_text.get_or_insert_with(|| {
                        (record.line(), String::from_utf8_lossy(cell).chars().take(40).collect())
                    });
                    f64::NAN
                }
            });
        }
    }
    let names: Vec<String> = chosen.iter().map(|place| header[*place].clone()).collect();
    let mut columns = Vec::with_capacity(drafts.len());
    for ((draft, name), place) in drafts.into_iter().zip(&names).zip(&chosen) {
        let numbers = draft.numbers.iter().filter(|number| number.is_finite()).count() as u64;
        let values = match draft.first_text {
            Some((line, text)) if numbers > draft.texts => {
                bail!("line {line}, column {name}: {text:?} is not a number, as {numbers} cells of the column are")
            }
            Some(_) => read_texts(bytes, *place)?,
            None => Values::Numbers(draft.numbers),
        };
        columns.push(Column {
            name: name.clone(),
            values,
        });
    }
    Ok((Table::new(columns), names))
}

fn read_texts(bytes: &Arc<[u8]>, place: usize) -> anyhow::Result<Values> {
    let (mut rows, header) = reader(bytes)?;
    let (mut names, mut places, mut known) = (Vec::new(), Vec::new(), HashMap::new());
    let mut record = Record::default();
    while read_row(&mut rows, &mut record, &header)? {
        let cell = record.cell(place).unwrap_or_default();
        if parse_value(cell) == Ok(None) {
            places.push(Values::MISSING);
            continue;
        }
        let text = String::from_utf8_lossy(cell);
        let place = known.get(text.trim()).copied().unwrap_or_else(|| {
            let place = names.len() as u32;
            names.push(text.trim().to_owned());
            known.insert(text.trim().to_owned(), place);
            place
        });
        places.push(place);
    }
    Ok(Values::Texts { names, places })
}

/// The places of the columns that are learned from: those asked for, or all but the time and the score.
fn choose(options: &ScoreOptions, header: &[String]) -> Vec<usize> {
    let wanted = |name: &String| {
        if options.values.is_empty() {
            options.time.as_ref() != Some(name) && !is_time_name(name)
        } else {
            options.values.contains(name)
        }
    };
    (0..header.len()).filter(|place| wanted(&header[*place])).collect()
}

fn read_row(rows: &mut Reader, record: &mut Record, header: &[String]) -> anyhow::Result<bool> {
    if !rows.read(record)? {
        return Ok(false);
    }
    super::check_width(record, header)?;
    Ok(true)
}

fn is_infinite(cell: &[u8]) -> bool {
    let text = std::str::from_utf8(cell).unwrap_or_default().trim();
    text.parse::<f64>().is_ok_and(f64::is_infinite)
}

fn write_scores(bytes: &Arc<[u8]>, surprises: &[f64], output: &mut dyn Write) -> anyhow::Result<Scored> {
    let mut rows = Reader::new(Box::new(Cursor::new(Arc::clone(bytes))))?;
    let mut record = Record::default();
    rows.read(&mut record)?;
    write_row(output, &record, rows.separator(), super::SCORE_COLUMN)?;
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

/// Judges the rows of `input` by a model, row by row.
fn judge(model: &Model, input: Box<dyn BufRead>, output: &mut dyn Write) -> anyhow::Result<Scored> {
    let mut rows = Reader::new(input)?;
    let mut head = Record::default();
    let header = read_header(&mut rows, &mut head)?;
    let places = places_of(model, &header)?;
    write_row(output, &head, rows.separator(), super::SCORE_COLUMN)?;

    let mut scored = Scored::default();
    let mut batch: Vec<Record> = Vec::new();
    let mut surprises = Vec::new();
    loop {
        let mut count = 0;
        while count < BATCH_ROWS {
            if batch.len() == count {
                batch.push(Record::default());
            }
            if !read_row(&mut rows, &mut batch[count], &header)? {
                break;
            }
            count += 1;
        }
        let mut cells = Vec::with_capacity(count * places.len());
        for record in &batch[..count] {
            for (column, place) in places.iter().enumerate() {
                cells.push(cell_of(model, column, record, &header, *place)?);
            }
        }
        surprises.clear();
        model.surprises(&cells, &mut surprises);
        for (record, surprise) in batch.iter().zip(&surprises) {
            write_surprise(output, record, rows.separator(), *surprise, &mut scored)?;
        }
        if count < BATCH_ROWS {
            break;
        }
    }
    output.flush().context("writing the scores")?;
    Ok(scored)
}

/// Where the model's columns are; every one has to be there.
fn places_of(model: &Model, header: &[String]) -> anyhow::Result<Vec<usize>> {
    if header.iter().any(|name| name == super::SCORE_COLUMN) {
        bail!("line 1: a column {:?} is there already", super::SCORE_COLUMN);
    }
    let names = model.columns().names();
    let missing: Vec<&str> = names
        .iter()
        .filter(|name| !header.contains(name))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        bail!(
            "line 1: what was learned from has columns that are not here: {}; the columns are {}",
            missing.join(", "),
            header.join(", ")
        );
    }
    let place = |name: &String| header.iter().position(|column| column == name);
    Ok(names.iter().filter_map(place).collect())
}

fn cell_of<'a>(
    model: &Model,
    column: usize,
    record: &'a Record,
    header: &[String],
    place: usize,
) -> anyhow::Result<Cell<'a>> {
    let cell = record.cell(place).unwrap_or_default();
    match parse_value(cell) {
        Ok(None) => Ok(Cell::Missing),
        Ok(Some(number)) if model.columns().is_number(column) => Ok(Cell::Number(number)),
        Err(()) if model.columns().is_number(column) => Err(super::bad_cell(record, header, place, "a number")),
        // A category whose bytes are no text was never seen, whatever they are.
        Ok(Some(_)) | Err(()) => Ok(Cell::Text(std::str::from_utf8(cell).unwrap_or("\u{fffd}").trim())),
    }
}
