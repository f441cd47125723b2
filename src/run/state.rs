//! The folder of what was learned: read before the first event, written after the last.

use crate::domain::Alert;
use crate::edge::pieces::{PieceProblem, PieceReader, PieceWriter};
use crate::engine::pipeline::Engine;
use crate::engine::succession::Restored;
use anyhow::Context as _;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};

/// The file of learned state in its folder.
const STATE_FILE: &str = "engine.state";
/// Bytes that are written and read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Where learned state is kept.
pub(super) struct StateFile {
    path: PathBuf,
    new: PathBuf,
}

impl StateFile {
    /// Makes the folder and sees that it can be written to, before hours of work.
    pub(super) fn prepare(folder: &Path) -> anyhow::Result<StateFile> {
        let new = folder.join(format!("{STATE_FILE}.new"));
        std::fs::create_dir_all(folder)
            .and_then(|()| File::create(&new))
            .with_context(|| {
                format!(
                    "--state {}: learned state cannot be written there, name another folder",
                    folder.display()
                )
            })?;
        let _ = std::fs::remove_file(&new);
        Ok(StateFile {
            path: folder.join(STATE_FILE),
            new,
        })
    }

    /// Takes up what an earlier run has learned, if there was one. Gives what became of its detectors.
    pub(super) fn restore(&self, engine: &mut Engine) -> anyhow::Result<Option<Restored>> {
        let path = self.path.display();
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading learned state from {path}")),
        };
        let read = || -> anyhow::Result<Restored> {
            let mut pieces = PieceReader::begin(BufReader::with_capacity(BUFFER_BYTES, file))?;
            let mut first = Vec::new();
            pieces.read(&mut first).map_err(unreadable)?;
            engine.restore(&first, |piece| pieces.read(piece).map_err(unreadable))
        };
        read().map(Some).with_context(|| path.to_string())
    }

    /// Writes the engine's state beside the old one.
    pub(super) fn write(&self, engine: &mut Engine, alerts: &mut Vec<Alert>) -> anyhow::Result<Written> {
        let new = New(self.new.clone());
        let mut write = || -> anyhow::Result<File> {
            let file = BufWriter::with_capacity(BUFFER_BYTES, File::create(&new.0)?);
            let mut pieces = PieceWriter::begin(file)?;
            engine.save(alerts, |piece| Ok::<_, anyhow::Error>(pieces.write(piece)?))?;
            Ok(pieces.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?)
        };
        let file = write().with_context(|| self.not_kept())?;
        Ok(Written { file, new })
    }

    /// What was written takes the place of the old state, so that a full disk leaves the old one whole.
    pub(super) fn keep(&self, written: &Written) -> anyhow::Result<()> {
        let kept = written.file.sync_all();
        kept.and_then(|()| std::fs::rename(&written.new.0, &self.path))
            .with_context(|| self.not_kept())
    }

    fn not_kept(&self) -> String {
        format!("{}: learned state was not kept, make room", self.path.display())
    }
}

/// State that was written. It goes away unless it has taken the old one's place.
pub(super) struct Written {
    file: File,
    new: New,
}

/// The file of state that is new.
struct New(PathBuf);

impl Drop for New {
    fn drop(&mut self) {
        // One that stays behind takes room and is never read; the next run writes over it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What became of detectors that are not as they were; nothing when all are.
pub(super) fn changes(restored: &Restored) -> Option<String> {
    let Restored { kept, anew, ended } = restored;
    if anew.is_empty() && ended.is_empty() {
        return None;
    }
    let mut text = format!("{kept} detectors go on with what they learned");
    if !anew.is_empty() {
        let anew: Vec<String> = anew.iter().map(|(id, why)| format!("{id} ({})", why.word())).collect();
        text.push_str(&format!("; these begin anew: {}", anew.join(", ")));
    }
    if !ended.is_empty() {
        text.push_str(&format!("; these have ended: {}", ended.join(", ")));
    }
    Some(text)
}

fn unreadable(problem: PieceProblem) -> anyhow::Error {
    anyhow::anyhow!("{problem}; remove it to begin anew")
}
