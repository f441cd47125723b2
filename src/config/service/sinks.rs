//! Where alerts go.

use super::kafka::{self, KafkaConnection, Property, TopicSettings};
use super::{Secret, keys, text, whole};
use crate::config::{bounded, expect_mapping};
use crate::domain::{Duration, Mistake, Place};
use std::path::{Path, PathBuf};

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
        /// Bytes from which on another file is begun.
        rotate_bytes: u64,
        /// Older files that are kept.
        keep: u32,
    },
    /// A signed request for each form of an alert.
    Webhook {
        /// Where it goes.
        target: HttpTarget,
        /// What requests are signed with.
        signing_secret: Option<Secret>,
        /// The form of the documents.
        format: DocumentFormat,
    },
    /// Prometheus Alertmanager.
    Alertmanager {
        /// Its replicas.
        replicas: Vec<HttpTarget>,
        /// How long after its last form an alert is resolved.
        hold: Duration,
    },
    /// Elasticsearch or OpenSearch.
    Elasticsearch {
        /// Where it is.
        target: HttpTarget,
        /// The index or data stream.
        index: String,
        /// The form of the documents.
        format: DocumentFormat,
    },
    /// A topic of Kafka, in transactions.
    Kafka {
        /// How its brokers are reached.
        connection: KafkaConnection,
        /// The topic.
        topic: TopicSettings,
        /// The form of the documents.
        format: DocumentFormat,
    },
    /// A syslog receiver, with alerts in CEF.
    Syslog {
        /// How it is spoken to.
        transport: Transport,
        /// Host and port.
        address: String,
        /// The certificates that its own must be signed by.
        ca_file: Option<PathBuf>,
    },
}

impl SinkSettings {
    /// The files that it reads when it starts: secrets and certificates.
    pub fn files(&self) -> Vec<&Path> {
        match &self.kind {
            SinkKind::Stdout { .. } | SinkKind::File { .. } => Vec::new(),
            SinkKind::Webhook {
                target, signing_secret, ..
            } => {
                let secret = signing_secret.as_ref().and_then(Secret::file);
                target.files().chain(secret).collect()
            }
            SinkKind::Alertmanager { replicas, .. } => replicas.iter().flat_map(HttpTarget::files).collect(),
            SinkKind::Elasticsearch { target, .. } => target.files().collect(),
            SinkKind::Kafka { connection, .. } => {
                let values = connection.properties.iter().map(|(_, value)| value);
                values.filter_map(Property::secret).filter_map(Secret::file).collect()
            }
            SinkKind::Syslog { ca_file, .. } => ca_file.as_deref().into_iter().collect(),
        }
    }
}

impl HttpTarget {
    fn files(&self) -> impl Iterator<Item = &Path> {
        let secret = match &self.credentials {
            CredentialSettings::None => None,
            CredentialSettings::Bearer(secret) | CredentialSettings::ApiKey(secret) => secret.file(),
            CredentialSettings::Basic { password, .. } => password.file(),
        };
        secret.into_iter().chain(self.ca_file.as_deref())
    }
}

/// Something spoken to over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// `http://` or `https://`.
    pub url: String,
    /// Who asks.
    pub credentials: CredentialSettings,
    /// The certificates that its own must be signed by; Mozilla's roots without it.
    pub ca_file: Option<PathBuf>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSettings {
    /// Nobody in particular.
    None,
    /// A bearer token.
    Bearer(Secret),
    /// An API key of Elasticsearch.
    ApiKey(Secret),
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// How a syslog receiver is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
    /// An encrypted connection.
    Tls,
}

/// Bytes from which on a sink's file is rotated, unless it says so itself.
const ROTATE_BYTES: u64 = 100_000_000;
/// Older files of a sink that are kept, unless it says so itself.
const KEEP: u32 = 5;
/// How long after its last form an alert is resolved in Alertmanager, unless the sink says so itself.
const HOLD: Duration = Duration::from_seconds(3600);

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
    let words = keys::SINKS.map(|(word, _)| word);
    let Some(place) = item.get("type") else {
        mistakes.push(item.mistake(format!("the sink has no `type`: {}", words.join(", "))));
        return None;
    };
    let word = place.value().as_str().unwrap_or_default();
    let Some((_, known)) = keys::SINKS.iter().find(|(known, _)| *known == word) else {
        mistakes.push(place.wrong_word(format!("there is no sink `{word}`"), word, words));
        return None;
    };
    let known: Vec<&str> = ["type", "name"].iter().chain(*known).copied().collect();
    expect_mapping(item, &known, mistakes);
    let format = document_format(item, mistakes);
    let (kind, target) = match word {
        "stdout" => (SinkKind::Stdout { format }, String::new()),
        "file" => {
            let path = needed(item, "path", mistakes)?;
            let kind = SinkKind::File {
                path: PathBuf::from(&path),
                format,
                rotate_bytes: whole(item, "rotate_bytes", 4096, u64::MAX, mistakes).unwrap_or(ROTATE_BYTES),
                keep: whole(item, "keep", 0, 1000, mistakes).map_or(KEEP, |keep| keep as u32),
            };
            (kind, path)
        }
        "webhook" => {
            let target = http_target(item, "url", mistakes)?;
            let url = target.url.clone();
            let signing_secret = secret(item, "signing_secret", mistakes);
            let kind = SinkKind::Webhook {
                target,
                signing_secret,
                format,
            };
            (kind, url)
        }
        "alertmanager" => alertmanager(item, mistakes)?,
        "elasticsearch" => {
            let target = http_target(item, "url", mistakes)?;
            let url = target.url.clone();
            let index = match item.get("index") {
                Some(place) => text(&place, mistakes)?,
                None => "stakeout-alerts".to_owned(),
            };
            (SinkKind::Elasticsearch { target, index, format }, url)
        }
        "kafka" => {
            let topic = kafka::topic(item, "stakeout.alerts", mistakes);
            let name = topic.name.clone();
            let kind = SinkKind::Kafka {
                connection: kafka::connection(item, mistakes)?,
                topic,
                format,
            };
            (kind, name)
        }
        _ => syslog(item, mistakes)?,
    };
    let usual_name = format!("{word} {target}").trim_end().to_owned();
    let name = item.get("name").and_then(|place| text(&place, mistakes));
    Some(SinkSettings {
        name: name.unwrap_or(usual_name),
        kind,
    })
}

fn alertmanager(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<(SinkKind, String)> {
    let replicas = match item.get("urls") {
        None => vec![http_target(item, "url", mistakes)?],
        Some(list) => {
            let mut replicas = Vec::new();
            for place in bounded(&list, mistakes) {
                replicas.push(HttpTarget {
                    url: url(&place, mistakes)?,
                    credentials: credentials(item, mistakes),
                    ca_file: path(item, "ca_file", mistakes),
                });
            }
            replicas
        }
    };
    let Some(first) = replicas.first() else {
        mistakes.push(item.mistake("the sink has no `url`"));
        return None;
    };
    let target = first.url.clone();
    let hold = item
        .get("hold")
        .map_or(HOLD, |place| super::duration(&place, HOLD, mistakes));
    Some((SinkKind::Alertmanager { replicas, hold }, target))
}

fn syslog(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<(SinkKind, String)> {
    let address = needed(item, "address", mistakes)?;
    let parts = address.split_once("://").and_then(|(scheme, rest)| {
        let transport = match scheme {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            _ => return None,
        };
        let (host, port) = rest.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| (transport, rest.to_owned()))
    });
    let Some((transport, rest)) = parts else {
        let place = item.get("address")?;
        mistakes.push(place.mistake("must be like `udp://siem.example:514`, `tcp://..` or `tls://..`"));
        return None;
    };
    let ca_file = path(item, "ca_file", mistakes);
    if transport == Transport::Tls && ca_file.is_none() {
        mistakes.push(item.mistake("a `tls://` receiver needs a `ca_file`"));
    }
    let kind = SinkKind::Syslog {
        transport,
        address: rest,
        ca_file,
    };
    Some((kind, address))
}

fn http_target(item: &Place<'_>, key: &str, mistakes: &mut Vec<Mistake>) -> Option<HttpTarget> {
    let Some(place) = item.get(key) else {
        mistakes.push(item.mistake(format!("the sink has no `{key}`")));
        return None;
    };
    Some(HttpTarget {
        url: url(&place, mistakes)?,
        credentials: credentials(item, mistakes),
        ca_file: path(item, "ca_file", mistakes),
    })
}

fn url(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let url = text(place, mistakes)?;
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        mistakes.push(place.mistake("must begin with `http://` or `https://`"));
        return None;
    };
    if rest.split('/').next().is_some_and(|host| host.contains('@')) {
        mistakes.push(place.mistake("holds a secret; name a `user` and a `password_file` instead"));
        return None;
    }
    Some(url)
}

fn credentials(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> CredentialSettings {
    if let Some(token) = secret(item, "token", mistakes) {
        return CredentialSettings::Bearer(token);
    }
    if let Some(key) = secret(item, "api_key", mistakes) {
        return CredentialSettings::ApiKey(key);
    }
    let user = item.get("user").and_then(|place| text(&place, mistakes));
    match (user, secret(item, "password", mistakes)) {
        (Some(user), Some(password)) => CredentialSettings::Basic { user, password },
        (None, None) => CredentialSettings::None,
        _ => {
            mistakes.push(item.mistake("a `user` needs a `password_file` or `password_env`, and the other way round"));
            CredentialSettings::None
        }
    }
}

/// A secret by the file or the environment variable that holds it.
fn secret(item: &Place<'_>, key: &str, mistakes: &mut Vec<Mistake>) -> Option<Secret> {
    let file = path(item, &format!("{key}_file"), mistakes);
    let variable = item.get(&format!("{key}_env")).and_then(|place| text(&place, mistakes));
    match (file, variable) {
        (Some(_), Some(_)) => {
            mistakes.push(item.mistake(format!("has both `{key}_file` and `{key}_env`; one of them is enough")));
            None
        }
        (Some(file), None) => Some(Secret::File(file)),
        (None, variable) => variable.map(Secret::Variable),
    }
}

fn path(item: &Place<'_>, key: &str, mistakes: &mut Vec<Mistake>) -> Option<PathBuf> {
    item.get(key)
        .and_then(|place| text(&place, mistakes))
        .map(PathBuf::from)
}

fn needed(item: &Place<'_>, key: &str, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let Some(place) = item.get(key) else {
        mistakes.push(item.mistake(format!("the sink has no `{key}`")));
        return None;
    };
    text(&place, mistakes)
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
