//! Where alerts go.

use super::text;
use crate::config::{bounded, expect_mapping};
use crate::domain::{Mistake, Place};
use std::path::PathBuf;

/// One place that alerts go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// What its cursor is kept under; the kind and target unless it is given.
    pub name: String,
    /// What it is.
    pub kind: SinkKind,
}

/// What a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Standard output, a document a line.
    Stdout {
        /// The form of the documents.
        format: DocumentFormat,
    },
    /// A file, a document a line.
    File {
        /// The file; its folder is there.
        path: PathBuf,
        /// The form of the documents.
        format: DocumentFormat,
    },
}

/// The form of an alert for machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DocumentFormat {
    /// Elastic Common Schema.
    #[default]
    Ecs,
    /// OCSF Detection Finding.
    Ocsf,
}

pub(super) fn read(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Vec<SinkSettings> {
    let mut sinks: Vec<SinkSettings> = Vec::new();
    for item in bounded(place, mistakes) {
        let Some(sink) = sink(&item, mistakes) else { continue };
        if sinks.iter().any(|held| held.name == sink.name) {
            mistakes.push(item.mistake(format!(
                "there are two sinks `{}`; give one of them a `name`",
                sink.name
            )));
        }
        sinks.push(sink);
    }
    sinks
}

fn sink(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<SinkSettings> {
    const KINDS: [&str; 2] = ["stdout", "file"];
    let Some(place) = item.get("type") else {
        mistakes.push(item.mistake(format!("the sink has no `type`: {}", KINDS.join(", "))));
        return None;
    };
    let word = place.value().as_str().unwrap_or_default();
    let (kind, usual_name) = match word {
        "stdout" => {
            expect_mapping(item, &["type", "name", "format"], mistakes);
            let format = document_format(item, mistakes);
            (SinkKind::Stdout { format }, "stdout".to_owned())
        }
        "file" => {
            expect_mapping(item, &["type", "name", "format", "path"], mistakes);
            let format = document_format(item, mistakes);
            let Some(path) = item.get("path").and_then(|place| text(&place, mistakes)) else {
                mistakes.push(item.mistake("the sink has no `path`"));
                return None;
            };
            let usual_name = format!("file {path}");
            let path = PathBuf::from(path);
            (SinkKind::File { path, format }, usual_name)
        }
        _ => {
            mistakes.push(place.wrong_word(format!("there is no sink `{word}`"), word, KINDS));
            return None;
        }
    };
    let name = item.get("name").and_then(|place| text(&place, mistakes));
    Some(SinkSettings {
        name: name.unwrap_or(usual_name),
        kind,
    })
}

fn document_format(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> DocumentFormat {
    let Some(place) = item.get("format") else {
        return DocumentFormat::default();
    };
    match place.value().as_str() {
        Some("ecs") => DocumentFormat::Ecs,
        Some("ocsf") => DocumentFormat::Ocsf,
        word => {
            let word = word.unwrap_or_default();
            mistakes.push(place.wrong_word(format!("there is no format `{word}`"), word, ["ecs", "ocsf"]));
            DocumentFormat::default()
        }
    }
}
