//! Zeek's own log files: columns from the `#fields` header, never by position. A file may hold several logs one after
//! the other; a column that the header does not name is missing, one that no table knows is passed over.

use super::zeek::{Cell, Reader, Record, place_of_path};
use super::zeek_kinds::KINDS;
use super::{LineDecoder, saved};
use crate::domain::Timestamp;
use crate::engine::decoder::Output;
use serde::{Deserialize, Serialize};

/// How many columns of a header are read.
const HEADER_COLUMNS_MAX: usize = 512;

/// Reads Zeek's tab-separated logs.
#[derive(Debug)]
pub struct ZeekTsv {
    separator: String,
    set_separator: char,
    empty: String,
    unset: String,
    path: String,
    header: Header,
}

#[derive(Debug)]
enum Header {
    /// No `#fields` yet.
    None,
    /// A log that becomes no events.
    Other,
    /// For each column of the file its place in the log's table.
    Known {
        reader: Box<Reader>,
        places: Vec<Option<usize>>,
    },
}

/// What outlives a process. Columns are kept by name, because a later version may know others.
#[derive(Serialize, Deserialize)]
struct Saved {
    separator: String,
    set_separator: char,
    empty: String,
    unset: String,
    path: String,
    header: SavedHeader,
}

#[derive(Serialize, Deserialize)]
enum SavedHeader {
    None,
    Other,
    Known { path: String, columns: Vec<Option<String>> },
}

impl SavedHeader {
    fn of(header: &Header) -> SavedHeader {
        match header {
            Header::None => SavedHeader::None,
            Header::Other => SavedHeader::Other,
            Header::Known { reader, places } => {
                let name = |place: &Option<usize>| Some(reader.kind.columns.get((*place)?)?.name.to_owned());
                SavedHeader::Known {
                    path: reader.kind.path.to_owned(),
                    columns: places.iter().map(name).collect(),
                }
            }
        }
    }

    /// Nothing when this version does not know the log.
    fn header(self) -> Option<Header> {
        let (path, columns) = match self {
            SavedHeader::None => return Some(Header::None),
            SavedHeader::Other => return Some(Header::Other),
            SavedHeader::Known { path, columns } => (path, columns),
        };
        let kind = KINDS.get(place_of_path(&path)?)?;
        let place = |name: Option<String>| {
            kind.columns
                .iter()
                .position(|column| Some(column.name) == name.as_deref())
        };
        Some(Header::Known {
            reader: Box::new(Reader::new(kind)),
            places: columns.into_iter().map(place).collect(),
        })
    }
}

impl Default for ZeekTsv {
    fn default() -> Self {
        Self::new()
    }
}

impl ZeekTsv {
    /// A decoder that has seen no header yet.
    pub fn new() -> Self {
        ZeekTsv {
            separator: "\t".to_owned(),
            set_separator: ',',
            empty: "(empty)".to_owned(),
            unset: "-".to_owned(),
            path: String::new(),
            header: Header::None,
        }
    }

    /// Takes one line that begins with `#`. The value stands behind the separator, behind a blank for `#separator`.
    fn header_line(&mut self, line: &str) {
        if let Some(value) = line.strip_prefix("#separator ") {
            *self = Self::new();
            let value = value.trim();
            let code = value
                .strip_prefix("\\x")
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match code {
                Some(code) if code.is_ascii() => self.separator = char::from(code).to_string(),
                None if !value.is_empty() && value.len() <= 8 => self.separator = value.to_owned(),
                _ => {}
            }
            return;
        }
        let Some((name, value)) = line.split_once(self.separator.as_str()) else {
            return;
        };
        match name {
            "#set_separator" => self.set_separator = value.chars().next().unwrap_or(','),
            "#empty_field" => self.empty = value.chars().take(64).collect(),
            "#unset_field" => self.unset = value.chars().take(64).collect(),
            "#path" => self.path = value.chars().take(64).collect(),
            "#fields" => self.header = self.read_fields(value),
            _ => {}
        }
    }

    fn read_fields(&self, names: &str) -> Header {
        let names: Vec<&str> = names.split(self.separator.as_str()).take(HEADER_COLUMNS_MAX).collect();
        let Some(kind) = place_of_path(&self.path).and_then(|place| KINDS.get(place)) else {
            return Header::Other;
        };
        let mut taken = 0u64;
        let places = names
            .iter()
            .map(|name| {
                let place = kind.columns.iter().position(|column| column.name == *name)?;
                // A column that is named twice counts once.
                let bit = 1u64.checked_shl(place as u32)?;
                let first = taken & bit == 0;
                taken |= bit;
                first.then_some(place)
            })
            .collect();
        Header::Known {
            reader: Box::new(Reader::new(kind)),
            places,
        }
    }

    fn fill<'a>(&self, record: &mut Record<'a>, line: &'a str, places: &[Option<usize>]) -> Result<(), &'static str> {
        let mut cells = line.split(self.separator.as_str());
        for place in places {
            let cell = cells.next().ok_or("zeek_too_few_columns")?;
            let Some(place) = place else { continue };
            if cell == self.unset || cell == self.empty || cell.is_empty() {
                continue;
            }
            record.set(
                *place,
                if cell.contains("\\x") {
                    Cell::Tsv(cell)
                } else {
                    Cell::Plain(cell)
                },
            );
        }
        Ok(())
    }
}

impl LineDecoder for ZeekTsv {
    fn line(&mut self, line: &[u8], output: &mut Output) {
        output.tally.records += 1;
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        if text.starts_with('#') {
            self.header_line(text);
            output.tally.ignore("comment");
            return;
        }
        let result = match &self.header {
            Header::None => Err("zeek_no_header"),
            Header::Other => {
                output.tally.ignore("zeek_other");
                return;
            }
            Header::Known { reader, places } => {
                let mut record = Record::new(Some(self.set_separator));
                self.fill(&mut record, text, places)
                    .and_then(|()| reader.event(&record))
            }
        };
        match result {
            Ok(event) => {
                output.tally.decoded += 1;
                output.events.push(event);
            }
            Err(reason) => output.tally.refuse(reason),
        }
    }

    fn advance(&mut self, _time: Timestamp, _output: &mut Output) {}

    fn finish(&mut self, _output: &mut Output) {}

    fn save(&self) -> Vec<u8> {
        saved(&Saved {
            separator: self.separator.clone(),
            set_separator: self.set_separator,
            empty: self.empty.clone(),
            unset: self.unset.clone(),
            path: self.path.clone(),
            header: SavedHeader::of(&self.header),
        })
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        if saved.is_empty() {
            return true;
        }
        let Ok(saved) = postcard::from_bytes::<Saved>(saved) else {
            return false;
        };
        let Some(header) = saved.header.header() else {
            return false;
        };
        *self = ZeekTsv {
            separator: saved.separator,
            set_separator: saved.set_separator,
            empty: saved.empty,
            unset: saved.unset,
            path: saved.path,
            header,
        };
        true
    }
}
