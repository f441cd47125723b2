//! The folder of what was learned: read before the first event, written after the last.

use crate::engine::pipeline::Engine;
use crate::engine::succession::Restored;
use anyhow::Context as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The file of learned state in its folder.
const STATE_FILE: &str = "engine.state";

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
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                let restored = engine.restore(&bytes);
                restored.map(Some).with_context(|| self.path.display().to_string())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading learned state from {}", self.path.display())),
        }
    }

    /// Writes the state beside the old one, which then gives way, so that a full disk leaves the old one whole.
    pub(super) fn keep(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = File::create(&self.new)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&self.new, &self.path));
        if written.is_err() {
            let _ = std::fs::remove_file(&self.new);
        }
        written.with_context(|| format!("{}: learned state was not kept, make room", self.path.display()))
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
