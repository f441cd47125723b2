//! `stakeout templates`: which messages a log holds, by their shape and how often each comes.
//!
//! A line of a format that is known is decoded, and its `message` is what counts, so that the ids are those that detectors
//! see as `log.template.id`. Of any other text the whole line counts.

use crate::domain::Field;
use crate::edge::sink::printable;
use crate::edge::source::{Stop, is_capture, open};
use crate::engine::decoder::Output;
use crate::engine::decoder::log::lines::{LINE_BYTES_MAX, Line, LineSplitter};
use crate::engine::decoder::log::{LineContext, LineDecoder, detect};
use crate::engine::template::{Template, Templates};
use anyhow::{Context as _, bail};
use std::collections::HashMap;
use std::io::{BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Different templates that are listed. Lines of further ones are counted together.
const LISTED_MAX: usize = 100_000;

/// What `stakeout templates` was asked to do.
#[derive(Clone, Debug)]
pub struct TemplatesOptions {
    /// The logs, plain, gzip or zstd; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Write the id of every line in place of the list.
    pub lines: bool,
}

/// Reads the logs, and writes their templates, the most frequent first; or each line's id.
///
/// # Errors
/// When a file can't be read, or is a capture.
pub fn run(options: &TemplatesOptions, output: &mut dyn Write) -> anyhow::Result<()> {
    let mut output = BufWriter::with_capacity(1 << 16, output);
    let mut list = List::default();
    for file in &options.files {
        let mut reader = Reader::open(file)?;
        let done = if options.lines {
            reader.read(&mut |template| writeln!(output, "{:016x}", template.id))
        } else {
            reader.read(&mut |template| {
                list.add(template);
                Ok(())
            })
        };
        done.with_context(|| format!("reading {}", file.display()))?;
    }
    if !options.lines {
        list.write(&mut output).context("writing the list")?;
    }
    output.flush().context("writing the list")
}

/// A log that is being read.
struct Reader {
    bytes: Box<dyn std::io::Read + Send>,
    decoder: Option<Box<dyn LineDecoder>>,
    decoded: Output,
    templates: Templates,
}

impl Reader {
    fn open(path: &Path) -> anyhow::Result<Reader> {
        let opened = open(path, &Stop::default())?;
        if is_capture(&opened.head) {
            bail!("{} is a capture; templates are those of logs", path.display());
        }
        // Neither changes a message.
        let context = LineContext {
            year: 1970,
            offset_minutes: 0,
        };
        Ok(Reader {
            decoder: detect(&opened.head).map(|format| format.decoder(context)),
            bytes: opened.bytes,
            decoded: Output::default(),
            templates: Templates::default(),
        })
    }

    /// Gives the template of every line that is not empty.
    fn read(&mut self, give: &mut dyn FnMut(Template<'_>) -> std::io::Result<()>) -> anyhow::Result<()> {
        let mut splitter = LineSplitter::new(LINE_BYTES_MAX);
        let mut piece = vec![0; PIECE_BYTES];
        let mut told = Ok(());
        loop {
            let count = match self.bytes.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            splitter.feed(&piece[..count], |line| {
                if told.is_ok() {
                    told = self.line(line, give);
                }
            });
        }
        splitter.finish(|line| {
            if told.is_ok() {
                told = self.line(line, give);
            }
        });
        Ok(told?)
    }

    fn line(
        &mut self,
        line: Line<'_>,
        give: &mut dyn FnMut(Template<'_>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong => b"(a line that is too long)",
        };
        let Some(decoder) = &mut self.decoder else {
            return give(self.templates.of(line));
        };
        decoder.line(line, &mut self.decoded);
        let message = self.decoded.events.iter().find_map(|event| event.str(Field::Message));
        let given = give(self.templates.of(message.map_or(line, str::as_bytes)));
        self.decoded.events.clear();
        given
    }
}

/// Templates with the number of their lines.
#[derive(Default)]
struct List {
    templates: HashMap<u64, (u64, String)>,
    further: u64,
}

impl List {
    fn add(&mut self, template: Template<'_>) {
        let room = self.templates.len() < LISTED_MAX;
        match self.templates.get_mut(&template.id) {
            Some((count, _)) => *count += 1,
            None if room => {
                let text = String::from_utf8_lossy(template.text).into_owned();
                self.templates.insert(template.id, (1, text));
            }
            None => self.further += 1,
        }
    }

    fn write(self, output: &mut dyn Write) -> std::io::Result<()> {
        let mut rows: Vec<_> = self.templates.into_iter().collect();
        rows.sort_by(|(_, (count, text)), (_, (other_count, other))| {
            other_count.cmp(count).then_with(|| text.cmp(other))
        });
        for (id, (count, text)) in rows {
            writeln!(output, "{id:016x} {count:>9}  {}", printable(&text))?;
        }
        if self.further > 0 {
            writeln!(
                output,
                "{:16} {:>9}  (templates beyond the first {LISTED_MAX})",
                "-", self.further
            )?;
        }
        Ok(())
    }
}
