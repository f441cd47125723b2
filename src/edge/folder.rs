//! A folder that a test has to itself.

use std::fs;
use std::path::PathBuf;

/// An empty folder that goes away with its test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// `name` is the test's own among all tests of the library.
    pub(crate) fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("stakeout-edge-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
