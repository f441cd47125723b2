//! A document a line, to a file or standard output.

use super::{DocumentForm, Sink, SinkFailure, Told};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Standard output.
#[derive(Debug)]
pub struct StdoutSink {
    form: DocumentForm,
}

impl StdoutSink {
    /// Standard output with documents of a form.
    pub fn new(form: DocumentForm) -> StdoutSink {
        StdoutSink { form }
    }
}

impl Sink for StdoutSink {
    fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure> {
        write(&mut io::stdout().lock(), self.form, told)
    }
}

/// A file that is appended to.
#[derive(Debug)]
pub struct FileSink {
    file: File,
    form: DocumentForm,
}

impl FileSink {
    /// Opens a file, making it if it is not there.
    pub fn open(path: &Path, form: DocumentForm) -> io::Result<FileSink> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(FileSink { file, form })
    }
}

impl Sink for FileSink {
    fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure> {
        write(&mut self.file, self.form, told)
    }
}

fn write(writer: &mut impl Write, form: DocumentForm, told: &[Told]) -> Result<(), SinkFailure> {
    let mut text = String::new();
    for told in told {
        text.push_str(told.document(form));
        text.push('\n');
    }
    writer.write_all(text.as_bytes())?;
    writer.flush()?;
    Ok(())
}
