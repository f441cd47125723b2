//! A document a line, to standard output or to a file that is rotated when it has grown.
//!
//! What a file holds is the truth about what has arrived in it: a line that a crash has cut is taken away when the file is
//! opened again, and documents that are in it already are not written a second time.

use super::{DocumentForm, Sink, SinkFailure, Told};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Bytes at a file's end in which its last line is looked for.
const LAST_LINE_BYTES_MAX: u64 = 4 << 20;

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
        let mut stdout = io::stdout().lock();
        stdout.write_all(lines(told, self.form).as_bytes())?;
        stdout.flush()?;
        Ok(())
    }
}

/// When a file has grown enough, and how many older ones are kept as `NAME.1`, `NAME.2` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes of a file from which on another one is begun.
    pub bytes: u64,
    /// Older files that are kept.
    pub keep: u32,
}

/// A file that is appended to.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    form: DocumentForm,
    rotation: Rotation,
    file: File,
    /// The last line that was there when the process began.
    last: Option<String>,
}

impl FileSink {
    /// Opens a file, making it if it is not there.
    pub fn open(path: &Path, form: DocumentForm, rotation: Rotation) -> io::Result<FileSink> {
        let mut file = append_to(path)?;
        let mut last = mend(&mut file)?;
        if last.is_none() {
            // It may have been rotated just before the process ended.
            last = OpenOptions::new()
                .read(true)
                .write(true)
                .open(numbered(path, 1))
                .and_then(|mut older| mend(&mut older))
                .unwrap_or(None);
        }
        Ok(FileSink {
            path: path.to_owned(),
            form,
            rotation,
            file,
            last,
        })
    }

    /// The file that has the name: another one when somebody else has moved it, or when it has grown enough.
    fn renew(&mut self) -> io::Result<()> {
        let held = self.file.metadata()?;
        let is_there =
            fs::metadata(&self.path).is_ok_and(|found| found.ino() == held.ino() && found.dev() == held.dev());
        if is_there && held.len() < self.rotation.bytes {
            return Ok(());
        }
        if is_there {
            self.file.sync_data()?;
            for number in (1..=self.rotation.keep).rev() {
                let from = match number {
                    1 => self.path.clone(),
                    number => numbered(&self.path, number - 1),
                };
                if from.exists() {
                    fs::rename(&from, numbered(&self.path, number))?;
                }
            }
            if self.rotation.keep == 0 {
                fs::remove_file(&self.path)?;
            }
        }
        self.file = append_to(&self.path)?;
        Ok(())
    }
}

impl Sink for FileSink {
    fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure> {
        let mut told = told;
        if let Some(last) = self.last.take() {
            let arrived = told.iter().rposition(|told| told.document(self.form) == last);
            told = arrived.map_or(told, |at| told.get(at + 1..).unwrap_or_default());
        }
        self.renew()?;
        let length = self.file.metadata()?.len();
        let written = self
            .file
            .write_all(lines(told, self.form).as_bytes())
            .and_then(|()| self.file.flush());
        if let Err(error) = written {
            // Nothing of the batch counts, so nothing of it stays. Where that fails too, the next start mends it.
            let _ = self.file.set_len(length);
            return Err(error.into());
        }
        Ok(())
    }

    fn comes_in_any_order(&mut self) {
        self.last = None;
    }
}

fn lines(told: &[Told], form: DocumentForm) -> String {
    let mut text = String::new();
    for told in told {
        text.push_str(told.document(form));
        text.push('\n');
    }
    text
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).read(true).open(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Takes away a line that was cut, and gives the last whole one.
fn mend(file: &mut File) -> io::Result<Option<String>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LAST_LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.take(LAST_LINE_BYTES_MAX).read_to_end(&mut end)?;
    let Some(whole) = memchr::memrchr(b'\n', &end) else {
        if from == 0 {
            file.set_len(0)?;
        }
        return Ok(None);
    };
    file.set_len(from + whole as u64 + 1)?;
    let before = end.get(..whole).unwrap_or_default();
    let begin = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let last = before.get(begin..).unwrap_or_default();
    Ok(String::from_utf8(last.to_vec()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::folder::Folder;

    fn told(numbers: std::ops::Range<u32>) -> Vec<Told> {
        numbers
            .map(|number| Told {
                ecs: format!("{{\"number\":{number}}}"),
                ocsf: String::new(),
            })
            .collect()
    }

    fn open(path: &Path, bytes: u64) -> FileSink {
        let rotation = Rotation { bytes, keep: 2 };
        FileSink::open(path, DocumentForm::Ecs, rotation).expect("a file")
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("a file")
    }

    #[test]
    fn what_is_in_the_file_is_not_written_again_after_a_crash() {
        let folder = Folder::new("lines-crash");
        let path = folder.0.join("alerts");
        open(&path, 1 << 20).deliver(&told(0..3)).expect("written");
        // The crash came before the cursor was kept, and cut the line after the third.
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(b"{\"numb"))
            .expect("written");
        open(&path, 1 << 20).deliver(&told(0..5)).expect("written");
        assert_eq!(text(&path), lines(&told(0..5), DocumentForm::Ecs));
    }

    #[test]
    fn a_file_that_has_grown_makes_room_and_older_ones_go() {
        let folder = Folder::new("lines-rotation");
        let path = folder.0.join("alerts");
        let mut sink = open(&path, 20);
        for number in 0..5 {
            sink.deliver(&told(2 * number..2 * number + 2)).expect("written");
        }
        assert_eq!(text(&path), lines(&told(8..10), DocumentForm::Ecs));
        assert_eq!(text(&numbered(&path, 1)), lines(&told(6..8), DocumentForm::Ecs));
        assert_eq!(text(&numbered(&path, 2)), lines(&told(4..6), DocumentForm::Ecs));
        assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 3);
    }

    #[test]
    fn a_file_that_somebody_moved_is_begun_anew() {
        let folder = Folder::new("lines-moved");
        let path = folder.0.join("alerts");
        let mut sink = open(&path, 1 << 20);
        sink.deliver(&told(0..1)).expect("written");
        fs::rename(&path, folder.0.join("elsewhere")).expect("moved");
        sink.deliver(&told(1..2)).expect("written");
        assert_eq!(text(&path), lines(&told(1..2), DocumentForm::Ecs));
    }
}
