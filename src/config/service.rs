//! What `stakeout run` is told: where state lives, what is collected, where alerts go, and who may ask.

use super::{bounded, expect_mapping};
use crate::domain::{Duration, Mistake, Place};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The service's part of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The folder of the store. `STAKEOUT_DATA_DIR` overrides it.
    pub data_dir: PathBuf,
    /// The listener for people, Prometheus and shippers.
    pub http: Http,
    /// What is collected.
    pub inputs: Inputs,
    /// Where alerts go.
    pub sinks: Vec<Sink>,
    /// How often what was learned is kept.
    pub store: StoreSettings,
}

/// The one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// The file of the token that requests must bear; nobody is asked without it.
    pub token_file: Option<PathBuf>,
}

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

/// One place that alerts go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
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

/// How often what was learned is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The longest time that accepted records wait for a commit when nobody waits for it.
    pub commit_every: Duration,
    /// How often a snapshot of learned state is written.
    pub snapshot_every: Duration,
}

impl Default for Service {
    fn default() -> Self {
        Service {
            data_dir: PathBuf::from("stakeout-data"),
            http: Http {
                listen: SocketAddr::from(([127, 0, 0, 1], 9750)),
                token_file: None,
            },
            inputs: Inputs::default(),
            sinks: Vec::new(),
            store: StoreSettings {
                commit_every: Duration::from_seconds(1),
                snapshot_every: Duration::from_seconds(60),
            },
        }
    }
}

/// The keys of the service's part.
pub(super) const KEYS: [&str; 5] = ["data_dir", "http", "inputs", "sinks", "store"];

impl Service {
    pub(super) fn read(root: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Service {
        let mut service = Service::default();
        if let Some(path) = root.get("data_dir").and_then(|place| text(&place, mistakes)) {
            service.data_dir = PathBuf::from(path);
        }
        if let Some(place) = root.get("http") {
            service.http = http(&place, mistakes);
        }
        if let Some(place) = root.get("inputs") {
            service.inputs = inputs(&place, mistakes);
        }
        if let Some(place) = root.get("sinks") {
            service.sinks = sinks(&place, mistakes);
        }
        if let Some(place) = root.get("store") {
            expect_mapping(&place, &["commit_every", "snapshot_every"], mistakes);
            for (key, setting) in [
                ("commit_every", &mut service.store.commit_every),
                ("snapshot_every", &mut service.store.snapshot_every),
            ] {
                if let Some(place) = place.get(key) {
                    *setting = duration(&place, *setting, mistakes);
                }
            }
        }
        service
    }
}

fn text(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<String> {
    match place.value().as_str() {
        Some(text) if !text.is_empty() => Some(text.to_owned()),
        _ => {
            mistakes.push(place.mistake("must be text"));
            None
        }
    }
}

fn duration(place: &Place<'_>, usual: Duration, mistakes: &mut Vec<Mistake>) -> Duration {
    let shortest = Duration::from_millis(10);
    let longest = Duration::from_seconds(86_400);
    match place.value().as_str().and_then(Duration::parse) {
        Some(length) if length >= shortest && length <= longest => length,
        _ => {
            mistakes.push(place.mistake("must be a length of time from 10ms to 1d, such as `5s`"));
            usual
        }
    }
}

fn http(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Http {
    let mut http = Service::default().http;
    expect_mapping(place, &["listen", "token_file"], mistakes);
    if let Some(place) = place.get("listen") {
        match place.value().as_str().and_then(|text| text.parse().ok()) {
            Some(listen) => http.listen = listen,
            None => mistakes.push(place.mistake("must be an address with a port, such as `127.0.0.1:9750`")),
        }
    }
    http.token_file = place
        .get("token_file")
        .and_then(|place| text(&place, mistakes))
        .map(PathBuf::from);
    if !http.listen.ip().is_loopback() && http.token_file.is_none() {
        mistakes.push(place.mistake("a listener that is not on loopback needs a `token_file`"));
    }
    http
}

fn inputs(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Inputs {
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

fn sinks(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Vec<Sink> {
    let mut sinks: Vec<Sink> = Vec::new();
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

fn sink(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<Sink> {
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
    Some(Sink {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn mistakes(text: &str) -> Vec<String> {
        let found = Config::read("s.yml", text).expect_err("mistakes");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_shipped_configuration_has_no_mistakes() {
        let config = Config::read("deploy/stakeout.yaml", include_str!("../../deploy/stakeout.yaml"));
        let service = config.expect("without mistakes").service;
        assert_eq!(service.http, Service::default().http);
        assert_eq!(service.inputs.files.len(), 4);
        assert_eq!(
            service.sinks,
            [Sink {
                name: "stdout".to_owned(),
                kind: SinkKind::Stdout {
                    format: DocumentFormat::Ecs
                }
            }]
        );
    }

    #[test]
    fn mistakes_about_the_service_are_told_with_their_place() {
        let text = "\
http: { listen: '0.0.0.0:9750' }
inputs: { files: [{ pth: /var/log/a }] }
store: { commit_every: never }
sinks:
  - { type: fiel, path: a }
  - { type: file }
  - { type: stdout, format: csv }
  - { type: stdout }
";
        assert_eq!(
            mistakes(text),
            [
                "s.yml:1: http: a listener that is not on loopback needs a `token_file`",
                "s.yml:2: inputs/files/1: the files have no `path`",
                "s.yml:2: inputs/files/1/pth: unknown key `pth`; did you mean `path`?",
                "s.yml:3: store/commit_every: must be a length of time from 10ms to 1d, such as `5s`",
                "s.yml:5: sinks/1/type: there is no sink `fiel`; did you mean `file`?",
                "s.yml:6: sinks/2: the sink has no `path`",
                "s.yml:7: sinks/3/format: there is no format `csv`; did you mean `ecs`?",
                "s.yml:8: sinks/4: there are two sinks `stdout`; give one of them a `name`",
            ]
        );
    }
}
