//! Rows judged by a model as they stream by: a thousand in memory, in their order.

use super::rows::read_row;
use super::{Reader, Record, bad_cell, parse_value};
use crate::engine::model::{Cell, Model};
use anyhow::bail;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Rows judged in one go.
const BATCH_ROWS: usize = 1024;

/// A model and where its columns are.
pub(in crate::run) struct Judge<'a> {
    model: &'a Model,
    header: &'a [String],
    places: Vec<usize>,
}

impl<'a> Judge<'a> {
    /// Finds the model's columns; every one has to be there.
    pub(in crate::run) fn new(model: &'a Model, header: &'a [String]) -> anyhow::Result<Judge<'a>> {
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
        let places = names.iter().filter_map(place).collect();
        Ok(Judge { model, header, places })
    }

    /// Judges all rows that follow the header; `take` gets each with its surprise, in order. Gives the model's time on
    /// the processor, reading left out.
    pub(in crate::run) fn judge(
        &self,
        rows: &mut Reader,
        take: &mut dyn FnMut(&Record, f64) -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let mut batch: Vec<Record> = Vec::new();
        let mut surprises = Vec::new();
        let mut elapsed = Duration::ZERO;
        loop {
            let mut count = 0;
            while count < BATCH_ROWS {
                if batch.len() == count {
                    batch.push(Record::default());
                }
                if !read_row(rows, &mut batch[count], self.header)? {
                    break;
                }
                count += 1;
            }
            let mut cells = Vec::with_capacity(count * self.places.len());
            for record in &batch[..count] {
                for (column, place) in self.places.iter().enumerate() {
                    cells.push(self.cell_of(column, record, *place)?);
                }
            }
            surprises.clear();
            let begun = processor_time();
            self.model.surprises(&cells, &mut surprises);
            elapsed += processor_time().saturating_sub(begun);
            for (record, surprise) in batch.iter().zip(&surprises) {
                take(record, *surprise)?;
            }
            if count < BATCH_ROWS {
                return Ok(elapsed);
            }
        }
    }

    fn cell_of<'r>(&self, column: usize, record: &'r Record, place: usize) -> anyhow::Result<Cell<'r>> {
        let cell = record.cell(place).unwrap_or_default();
        match parse_value(cell) {
            Ok(None) => Ok(Cell::Missing),
            Ok(Some(number)) if self.model.columns().is_number(column) => Ok(Cell::Number(number)),
            Err(()) if self.model.columns().is_number(column) => Err(bad_cell(record, self.header, place, "a number")),
            // A category whose bytes are no text was never seen, whatever they are.
            Ok(Some(_)) | Err(()) => Ok(Cell::Text(std::str::from_utf8(cell).unwrap_or("\u{fffd}").trim())),
        }
    }
}

/// How long this thread has been on a processor; other programs on the machine do not count.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
