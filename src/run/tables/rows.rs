//! The rows that a model learns from: whole files in memory, `TABLE_BYTES_MAX` at most.
//!
//! A column of which more than half of the cells are numbers holds numbers, and any other text in it is a mistake; every
//! other column holds categories, or, where most rows have a text of their own, texts that are judged by their shape.

use super::{Reader, Record, bad_cell, check_width, is_time_name, names_of, open, parse_time, parse_value};
use crate::engine::model::{Column, Table, Values};
use anyhow::{Context, bail};
use std::collections::HashMap;
use std::io::{BufRead, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

/// Bytes of tables that are learned from at most, uncompressed.
const TABLE_BYTES_MAX: u64 = 1 << 30;

/// A file in memory, uncompressed.
pub(in crate::run) struct Whole {
    /// What the file is called in messages.
    pub(in crate::run) name: String,
    /// Its bytes.
    pub(in crate::run) bytes: Arc<[u8]>,
}

/// Which columns are read, and as what.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::run) struct Wanted<'a> {
    /// The columns to learn from; empty means all but the others here and those that are times by their name.
    pub(in crate::run) values: &'a [String],
    /// The column of time.
    pub(in crate::run) time: Option<&'a String>,
    /// The column that says what each row is.
    pub(in crate::run) label: Option<&'a String>,
}

/// Rows in the order of their files.
pub(in crate::run) struct Rows {
    /// The columns to learn from.
    pub(in crate::run) table: Table,
    /// Each row's time in seconds since 1970; empty where no time was wanted.
    pub(in crate::run) times: Vec<f64>,
    /// What each row is; empty where no label was wanted.
    pub(in crate::run) labels: Labels,
    /// Where each row stands: the place of its file, and the line.
    pub(in crate::run) lines: Vec<(u32, u64)>,
}

/// Words by row.
#[derive(Debug, Default)]
pub(in crate::run) struct Labels {
    /// The different words.
    pub(in crate::run) names: Vec<String>,
    /// For each row the place of its word.
    pub(in crate::run) places: Vec<u32>,
}

impl Whole {
    /// Reads files whole; `-` is standard input.
    pub(in crate::run) fn read_all<P: AsRef<Path>>(paths: &[P]) -> anyhow::Result<Vec<Whole>> {
        let mut room = TABLE_BYTES_MAX;
        let mut wholes = Vec::with_capacity(paths.len());
        for path in paths {
            let name = path.as_ref().display().to_string();
            let read = open(path.as_ref()).and_then(|mut input| Whole::read_up_to(name.clone(), &mut *input, room));
            let whole = read.with_context(|| format!("reading {name}"))?;
            room -= whole.bytes.len() as u64;
            wholes.push(whole);
        }
        Ok(wholes)
    }

    /// Reads what is left of an input.
    pub(in crate::run) fn read(name: String, input: &mut dyn BufRead) -> anyhow::Result<Whole> {
        Whole::read_up_to(name, input, TABLE_BYTES_MAX)
    }

    fn read_up_to(name: String, input: &mut dyn BufRead, room: u64) -> anyhow::Result<Whole> {
        let mut bytes = Vec::new();
        input.take(room + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > room {
            bail!("a table of over {TABLE_BYTES_MAX} bytes can't be learned from: learn from a part of it");
        }
        let bytes = bytes.into();
        Ok(Whole { name, bytes })
    }

    fn begin(&self) -> anyhow::Result<(Reader, Vec<String>)> {
        let mut reader = Reader::new(Box::new(Cursor::new(Arc::clone(&self.bytes))))?;
        let header = read_header(&mut reader, &mut Record::default())?;
        Ok((reader, header))
    }
}

/// Reads the header; its names are different.
pub(in crate::run) fn read_header(reader: &mut Reader, record: &mut Record) -> anyhow::Result<Vec<String>> {
    if !reader.read(record)? {
        bail!("the file is empty: a header line is needed");
    }
    let header: Vec<String> = names_of(record);
    for (place, name) in header.iter().enumerate() {
        if header[..place].contains(name) {
            bail!("line 1: two columns are called {name:?}");
        }
    }
    Ok(header)
}

/// Reads a row as wide as the header; false at the end.
pub(in crate::run) fn read_row(rows: &mut Reader, record: &mut Record, header: &[String]) -> anyhow::Result<bool> {
    if !rows.read(record)? {
        return Ok(false);
    }
    check_width(record, header)?;
    Ok(true)
}

/// A column while it is read.
#[derive(Default)]
struct Draft {
    numbers: Vec<f64>,
    texts: u64,
    first_text: Option<FirstText>,
}

/// The first text of a column that is no number.
struct FirstText {
    file: usize,
    line: u64,
    text: String,
}

/// Reads the rows of files, which have the same columns in any order.
pub(in crate::run) fn read(files: &[Whole], wanted: &Wanted<'_>) -> anyhow::Result<Rows> {
    let Some(first) = files.first() else {
        bail!("there is no file to learn from");
    };
    // One file is named by whoever knows what it is read for.
    let name = |file: usize| match files {
        [_] => String::new(),
        several => format!("{}: ", several[file].name),
    };
    let begun = first
        .begin()
        .and_then(|(_, header)| Ok((wanted.choose(&header)?, header)));
    let (chosen, header) = begun.map_err(|error| anyhow::anyhow!("{}{error:#}", name(0)))?;
    let mut drafts: Vec<Draft> = chosen.iter().map(|_| Draft::default()).collect();
    let mut rows = Rows {
        table: Table::default(),
        times: Vec::new(),
        labels: Labels::default(),
        lines: Vec::new(),
    };
    for (place, file) in files.iter().enumerate() {
        read_numbers(&mut rows, &mut drafts, (place, file), &header, &chosen, wanted)
            .map_err(|error| anyhow::anyhow!("{}{error:#}", name(place)))?;
    }
    let mut columns = Vec::with_capacity(drafts.len());
    for (draft, column) in drafts.into_iter().zip(chosen) {
        let numbers = draft.numbers.iter().filter(|number| number.is_finite()).count() as u64;
        let values = match draft.first_text {
            Some(FirstText { file, line, text }) if numbers > draft.texts => bail!(
                "{}line {line}, column {column}: {text:?} is not a number, as {numbers} cells of the column are",
                name(file)
            ),
            Some(_) => {
                let Labels { names, places } = read_texts(files, &column, Values::MISSING)?;
                Values::Texts { names, places }
            }
            None => Values::Numbers(draft.numbers),
        };
        columns.push(Column { name: column, values });
    }
    rows.table = Table::new(columns);
    if let Some(label) = wanted.label {
        rows.labels = read_texts(files, label, 0)?;
    }
    Ok(rows)
}

impl Wanted<'_> {
    /// The names of the columns that are learned from.
    fn choose(&self, header: &[String]) -> anyhow::Result<Vec<String>> {
        super::check_names(self.values.iter().chain(self.time).chain(self.label), header)?;
        let apart = |name: &String| Some(name) == self.time || Some(name) == self.label || is_time_name(name);
        let is_wanted = |name: &&String| match self.values {
            [] => !apart(name),
            named => named.contains(name),
        };
        Ok(header.iter().filter(is_wanted).cloned().collect())
    }
}

/// Reads the columns of a file as far as they hold numbers, and the times.
fn read_numbers(
    rows: &mut Rows,
    drafts: &mut [Draft],
    (file_place, file): (usize, &Whole),
    first_header: &[String],
    chosen: &[String],
    wanted: &Wanted<'_>,
) -> anyhow::Result<()> {
    let (mut reader, header) = file.begin()?;
    let differing = |one: &[String], other: &[String]| one.iter().find(|name| !other.contains(name)).cloned();
    if let Some(name) = differing(first_header, &header) {
        bail!("line 1: the first file has a column {name:?}, this one has not");
    }
    if let Some(name) = differing(&header, first_header) {
        bail!("line 1: this file has a column {name:?}, the first one has not");
    }
    let place_of = |name: &String| header.iter().position(|column| column == name);
    let places: Vec<usize> = chosen.iter().filter_map(place_of).collect();
    let time = wanted.time.and_then(place_of);
    let mut record = Record::default();
    while read_row(&mut reader, &mut record, &header)? {
        rows.lines.push((file_place as u32, record.line()));
        if let Some(place) = time {
            let seconds = record.cell(place).and_then(parse_time);
            rows.times
                .push(seconds.ok_or_else(|| bad_cell(&record, &header, place, "a time"))?);
        }
        for (place, draft) in places.iter().zip(&mut *drafts) {
            let cell = record.cell(*place).unwrap_or_default();
            draft.numbers.push(match parse_value(cell) {
                Ok(value) => value.unwrap_or(f64::NAN),
                Err(()) if is_infinite(cell) => {
                    return Err(bad_cell(&record, &header, *place, "a finite number"));
                }
                Err(()) => {
                    draft.texts += 1;
                    draft.first_text.get_or_insert_with(|| FirstText {
                        file: file_place,
                        line: record.line(),
                        text: String::from_utf8_lossy(cell).chars().take(40).collect(),
                    });
                    f64::NAN
                }
            });
        }
    }
    Ok(())
}

/// Reads a column of texts. A missing value has the place `missing`, and where that is a name's, the name is empty.
fn read_texts(files: &[Whole], name: &String, missing: u32) -> anyhow::Result<Labels> {
    let mut read = Labels::default();
    let mut known: HashMap<String, u32> = HashMap::new();
    if missing == 0 {
        read.names.push(String::new());
    }
    let mut record = Record::default();
    for file in files {
        let (mut rows, header) = file.begin()?;
        let place = header.iter().position(|column| column == name).unwrap_or(header.len());
        while read_row(&mut rows, &mut record, &header)? {
            let cell = record.cell(place).unwrap_or_default();
            if parse_value(cell) == Ok(None) {
                read.places.push(missing);
                continue;
            }
            let text = String::from_utf8_lossy(cell);
            let place = known.get(text.trim()).copied().unwrap_or_else(|| {
                let place = read.names.len() as u32;
                read.names.push(text.trim().to_owned());
                known.insert(text.trim().to_owned(), place);
                place
            });
            read.places.push(place);
        }
    }
    Ok(read)
}

fn is_infinite(cell: &[u8]) -> bool {
    let text = std::str::from_utf8(cell).unwrap_or_default().trim();
    text.parse::<f64>().is_ok_and(f64::is_infinite)
}
