//! What is collected.

use super::text;
use crate::config::{bounded, expect_mapping};
use crate::domain::{Mistake, Place};

/// What is collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Log files.
    pub files: Vec<Files>,
}

/// Log files by path or pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// A path; `*`, `?`, `[a-z]` and `{a,b}` stand for parts of names, `**` for folders.
    pub path: String,
}

pub(super) fn read(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Inputs {
    let mut inputs = Inputs::default();
    expect_mapping(place, &["files"], mistakes);
    let listed = match place.get("files") {
        Some(place) => bounded(&place, mistakes),
        None => Vec::new(),
    };
    for item in listed {
        let path = if item.value().is_mapping() {
            expect_mapping(&item, &["path"], mistakes);
            item.get("path")
        } else {
            Some(item.clone())
        };
        match path {
            Some(path) => inputs.files.extend(text(&path, mistakes).map(|path| Files { path })),
            None => mistakes.push(item.mistake("the files have no `path`")),
        }
    }
    inputs
}
