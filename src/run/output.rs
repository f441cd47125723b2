//! Where a replay's alerts go: documents as they are told, or a table at the end.

use crate::domain::Alert;
use crate::edge::sink::{Letterhead, ecs_document, ocsf_document, table};
use std::io::{self, IsTerminal, Write};

/// The form of a replay's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Elastic Common Schema documents, one a line.
    #[value(alias = "json")]
    Ecs,
    /// OCSF Detection Findings, one a line.
    Ocsf,
    /// A table for people.
    Text,
}

/// Alerts to standard output.
pub(super) struct Output<'a> {
    format: Format,
    writer: io::BufWriter<Box<dyn Write + 'a>>,
    /// For the table: each alert in its last form, in the order in which they were first told.
    told: Vec<Alert>,
}

impl<'a> Output<'a> {
    pub(super) fn new(format: Format, writer: Box<dyn Write + 'a>) -> Self {
        Output {
            format,
            writer: io::BufWriter::new(writer),
            told: Vec::new(),
        }
    }

    /// Takes forms of alerts as they become known.
    pub(super) fn tell(&mut self, alerts: &mut Vec<Alert>, head: &Letterhead<'_>) -> io::Result<()> {
        if alerts.is_empty() {
            return Ok(());
        }
        for alert in alerts.drain(..) {
            let document = match self.format {
                Format::Ecs => ecs_document(&alert, head),
                Format::Ocsf => ocsf_document(&alert, head),
                Format::Text => {
                    match self.told.iter_mut().rev().find(|held| held.id == alert.id) {
                        Some(held) => *held = alert,
                        None => self.told.push(alert),
                    }
                    continue;
                }
            };
            serde_json::to_writer(&mut self.writer, &document).map_err(io::Error::from)?;
            self.writer.write_all(b"\n")?;
        }
        if self.format == Format::Text {
            Ok(())
        } else {
            self.writer.flush()
        }
    }

    /// Everything has been told.
    pub(super) fn finish(mut self, head: &Letterhead<'_>) -> io::Result<()> {
        if self.format == Format::Text {
            self.told.retain(|alert| alert.merged_into.is_none());
            self.writer.write_all(table(&self.told, head, columns()).as_bytes())?;
        }
        self.writer.flush()
    }
}

/// Columns where there is no terminal to ask.
const COLUMNS_DEFAULT: usize = 120;

/// The width of the terminal, of what the environment says where there is none.
fn columns() -> usize {
    let terminal = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let columns = terminal
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0);
    columns
        .or_else(|| std::env::var("COLUMNS").ok()?.parse().ok())
        .unwrap_or(COLUMNS_DEFAULT)
}

/// The default form: a table on a terminal, documents elsewhere.
pub(super) fn default_format() -> Format {
    if io::stdout().is_terminal() {
        Format::Text
    } else {
        Format::Ecs
    }
}
