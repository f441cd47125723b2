//! The house keeps its shape: `domain` sees nobody, `engine` and `edge` see only `domain`, `run` sees all but the
//! command line.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `src`, and what each may import from the crate.
const MAY_SEE: [(&str, &[&str]); 4] = [
    ("domain", &["domain"]),
    ("engine", &["domain", "engine"]),
    ("edge", &["domain", "edge"]),
    ("run", &["config", "domain", "edge", "engine", "run"]),
];

#[test]
fn every_folder_imports_only_what_stands_below_it() {
    let mut broken = Vec::new();
    for (folder, allowed) in MAY_SEE {
        let mut files = Vec::new();
        collect(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder),
            &mut files,
        );
        assert!(!files.is_empty(), "src/{folder} has no files");
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file that was just listed");
            for (number, line) in text.lines().enumerate() {
                for seen in imports(line) {
                    if !allowed.contains(&seen) {
                        broken.push(format!(
                            "{}:{}: {folder} must not see {seen}",
                            file.display(),
                            number + 1
                        ));
                    }
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_test_notices_a_broken_import() {
    assert_eq!(imports("use crate::edge::source::open;").collect::<Vec<_>>(), ["edge"]);
    assert_eq!(imports("    crate::run::replay::run()").collect::<Vec<_>>(), ["run"]);
    assert_eq!(imports("// crate is a word").count(), 0);
}

/// The first parts of all paths that begin at the crate.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, prefix)| {
        let rest = &line[at + prefix.len()..];
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder of src")
        .flatten()
        .map(|e| e.path())
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
}
