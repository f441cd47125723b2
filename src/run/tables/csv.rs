//! Reads CSV records and keeps their bytes, so that what is written back is what was read.

use anyhow::bail;
use std::io::{BufRead, Read};

/// Bytes of one record at most.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// The mark that some programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A stream of records.
pub(in crate::run) struct Reader {
    input: Box<dyn BufRead>,
    separator: Option<u8>,
    lines_read: u64,
}

/// One record: its bytes and where its cells are.
#[derive(Default)]
pub(in crate::run) struct Record {
    bytes: Vec<u8>,
    row_end: usize,
    text: Vec<u8>,
    cell_ends: Vec<usize>,
    line: u64,
}

impl Reader {
    pub(in crate::run) fn new(input: Box<dyn BufRead>) -> anyhow::Result<Reader> {
        Ok(Reader {
            input,
            separator: None,
            lines_read: 0,
        })
    }

    /// What stands between cells: comma, semicolon or tab, whichever the header has most of.
    pub(in crate::run) fn separator(&self) -> u8 {
        self.separator.unwrap_or(b',')
    }

    /// Reads the next record into `record`; false at the end. Blank lines are no records.
    pub(in crate::run) fn read(&mut self, record: &mut Record) -> anyhow::Result<bool> {
        loop {
            record.bytes.clear();
            record.line = self.lines_read + 1;
            if !self.read_line(record)? {
                return Ok(false);
            }
            record.find_row_end();
            let first = self.separator.is_none();
            if record.row_end == 0 && !first {
                continue;
            }
            let separator = *self.separator.get_or_insert_with(|| most_used_separator(&record.bytes));
            while !record.split(separator, first) {
                if !self.read_line(record)? {
                    bail!("line {}: a quoted cell is never closed", record.line);
                }
                record.find_row_end();
            }
            return Ok(true);
        }
    }

    fn read_line(&mut self, record: &mut Record) -> anyhow::Result<bool> {
        let room = (RECORD_BYTES_MAX + 1 - record.bytes.len().min(RECORD_BYTES_MAX)) as u64;
        let read = (&mut self.input).take(room).read_until(b'\n', &mut record.bytes);
        let read = read.map_err(|error| anyhow::anyhow!("line {}: {error}", self.lines_read + 1))?;
        if record.bytes.len() > RECORD_BYTES_MAX {
            bail!(
                "line {}: a record is over record_bytes_max ({RECORD_BYTES_MAX})",
                record.line
            );
        }
        self.lines_read += u64::from(read > 0);
        Ok(read > 0)
    }
}

impl Record {
    /// The line that the record begins at, counted from 1.
    pub(in crate::run) fn line(&self) -> u64 {
        self.line
    }

    /// How many cells there are.
    pub(in crate::run) fn len(&self) -> usize {
        self.cell_ends.len()
    }

    /// A cell's text without its quotes.
    pub(in crate::run) fn cell(&self, place: usize) -> Option<&[u8]> {
        let start = if place == 0 { 0 } else { *self.cell_ends.get(place - 1)? };
        self.text.get(start..*self.cell_ends.get(place)?)
    }

    /// All cells in order.
    pub(in crate::run) fn cells(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|place| self.cell(place))
    }

    /// The bytes as they stood in the file, and the line's end (a last line without one gets it).
    pub(in crate::run) fn raw(&self) -> (&[u8], &[u8]) {
        let (row, ending) = self.bytes.split_at(self.row_end);
        (row, if ending.is_empty() { b"\n" } else { ending })
    }

    fn find_row_end(&mut self) {
        let row = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        self.row_end = row.strip_suffix(b"\r").unwrap_or(row).len();
    }

    /// Finds the cells; false when a quoted cell goes on in the next line.
    fn split(&mut self, separator: u8, first: bool) -> bool {
        self.text.clear();
        self.cell_ends.clear();
        let row = self.bytes.get(..self.row_end).unwrap_or_default();
        let row = if first {
            row.strip_prefix(BYTE_ORDER_MARK).unwrap_or(row)
        } else {
            row
        };
        let mut quoted = false;
        let mut cell_start = true;
        let mut bytes = row.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' if quoted && bytes.peek() == Some(&b'"') => {
                    bytes.next();
                    self.text.push(b'"');
                }
                b'"' if quoted => quoted = false,
                b'"' if cell_start => quoted = true,
                _ if byte == separator && !quoted => {
                    self.cell_ends.push(self.text.len());
                    cell_start = true;
                    continue;
                }
                _ => self.text.push(byte),
            }
            cell_start = false;
        }
        self.cell_ends.push(self.text.len());
        !quoted
    }
}

fn most_used_separator(header: &[u8]) -> u8 {
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    [b',', b';', b'\t']
        .into_iter()
        .rev()
        .max_by_key(|separator| count(*separator))
        .unwrap_or(b',')
}
