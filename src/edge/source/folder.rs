//! The files that an argument names: itself, or what a folder holds.

use super::SourceFailure;
use std::path::{Path, PathBuf};

/// Files that a folder may bring in.
const FILES_MAX: usize = 100_000;
/// Folders within folders.
const DEPTH_MAX: usize = 32;

/// The files that an argument names: folders are walked, in the order of their names; hidden files are left out, and so
/// are pipes, sockets and devices, which are read only when they are named themselves. What cannot be walked is added
/// to `failures`; the rest is still found.
pub fn expand(path: &Path, failures: &mut Vec<SourceFailure>) -> Vec<PathBuf> {
    if path == Path::new("-") || !path.is_dir() {
        return vec![path.to_path_buf()];
    }
    let mut walk = Walk {
        files: Vec::new(),
        above: Vec::new(),
        failures,
    };
    walk.folder(path);
    let Walk { files, failures, .. } = walk;
    if files.len() > FILES_MAX {
        failures.push(SourceFailure::TooMany {
            path: path.display().to_string(),
            files_max: FILES_MAX,
        });
    }
    files.into_iter().take(FILES_MAX).collect()
}

struct Walk<'a> {
    files: Vec<PathBuf>,
    /// The folders on the way down, without links.
    above: Vec<PathBuf>,
    failures: &'a mut Vec<SourceFailure>,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path) {
        let refuse = |problem: &str| SourceFailure::Folder {
            path: path.display().to_string(),
            problem: problem.to_owned(),
        };
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if self.above.contains(&real) {
            self.failures
                .push(refuse("the link leads back to a folder that it lies in"));
            return;
        }
        if self.above.len() >= DEPTH_MAX {
            self.failures
                .push(refuse(&format!("folders lie over depth_max ({DEPTH_MAX}) deep")));
            return;
        }
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                self.failures.push(SourceFailure::Io {
                    path: path.display().to_string(),
                    error,
                });
                return;
            }
        };
        let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        let before = self.files.len();
        self.above.push(real);
        for entry in entries {
            let hidden = entry
                .file_name()
                .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || self.files.len() > FILES_MAX {
                continue;
            }
            match std::fs::metadata(&entry) {
                Ok(metadata) if metadata.is_dir() => self.folder(&entry),
                Ok(metadata) if metadata.is_file() => self.files.push(entry),
                Ok(_) => {}
                Err(error) => self.failures.push(SourceFailure::Io {
                    path: entry.display().to_string(),
                    error,
                }),
            }
        }
        self.above.pop();
        if self.above.is_empty() && self.files.len() == before && self.failures.is_empty() {
            self.failures.push(refuse("the folder holds no files"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_walked_in_order_and_a_link_that_leads_back_ends_there() -> std::io::Result<()> {
        let root = std::env::temp_dir().join(format!("stakeout-folder-{}", std::process::id()));
        std::fs::create_dir_all(root.join("b/empty"))?;
        for name in ["c.log", "b/d.log", ".hidden", "a.log"] {
            std::fs::write(root.join(name), "x")?;
        }
        std::os::unix::fs::symlink(&root, root.join("b/back"))?;
        std::os::unix::fs::symlink(root.join("nowhere"), root.join("b/lost"))?;
        let mut failures = Vec::new();
        let files = expand(&root, &mut failures);
        assert_eq!(files, ["a.log", "b/d.log", "c.log"].map(|name| root.join(name)));
        let told: Vec<_> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("b/back: the link leads back"), "{told:?}");
        assert!(
            told[1].contains("b/lost") && told[1].contains("where a link leads"),
            "{told:?}"
        );
        failures.clear();
        assert!(expand(&root.join("b/empty"), &mut failures).is_empty());
        assert!(failures[0].to_string().contains("holds no files"));
        std::fs::remove_dir_all(&root)
    }
}
