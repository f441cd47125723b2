//! What `stakeout run` and the roles are told: where state lives, what is collected, where alerts go, who may ask, and
//! which cluster several instances share.

mod cluster;
mod http;
mod inputs;
mod kafka;
pub(super) mod keys;
mod listeners;
mod secret;
mod sinks;

pub use cluster::{ClusterTopics, KafkaCluster, is_name};
pub use http::{Http, HttpTls};
pub use inputs::{Files, Inputs, InterfaceInput};
pub use kafka::{KafkaConnection, KafkaInput, Property, Tolerance, TopicSettings};
pub use listeners::{ListenTransport, NetflowInput, SyslogInput};
pub use secret::{Secret, SecretProblem};
pub use sinks::{CredentialSettings, DocumentFormat, HttpTarget, SinkKind, SinkSettings, Transport};

use super::expect_mapping;
use crate::domain::{Duration, Mistake, Place};
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
    pub sinks: Vec<SinkSettings>,
    /// How often what was learned is kept.
    pub store: StoreSettings,
    /// The cluster of Kafka that several instances share.
    pub kafka: Option<KafkaCluster>,
    /// Whether the process gives up what it does not need once everything is open.
    pub confine: bool,
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
            http: Http::default(),
            inputs: Inputs::default(),
            sinks: Vec::new(),
            store: StoreSettings {
                commit_every: Duration::from_seconds(1),
                snapshot_every: Duration::from_seconds(60),
            },
            kafka: None,
            confine: true,
        }
    }
}

impl Service {
    pub(super) fn read(root: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Service {
        let mut service = Service::default();
        if let Some(path) = root.get("data_dir").and_then(|place| text(&place, mistakes)) {
            service.data_dir = PathBuf::from(path);
        }
        if let Some(place) = root.get("http") {
            service.http = http::read(&place, mistakes);
        }
        if let Some(place) = root.get("inputs") {
            service.inputs = inputs::read(&place, mistakes);
        }
        if let Some(place) = root.get("sinks") {
            service.sinks = sinks::read(&place, mistakes);
        }
        service.kafka = root.get("kafka").and_then(|place| cluster::read(&place, mistakes));
        service.confine = yes_or_no(root, "confine", true, mistakes);
        if let Some(place) = root.get("store") {
            expect_mapping(&place, &keys::STORE, mistakes);
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

/// A whole number within bounds.
fn whole(item: &Place<'_>, key: &str, least: u64, most: u64, mistakes: &mut Vec<Mistake>) -> Option<u64> {
    let place = item.get(key)?;
    let number = place.value().as_u64().filter(|number| (least..=most).contains(number));
    if number.is_none() {
        mistakes.push(place.mistake(format!("must be a whole number from {least} to {most}")));
    }
    number
}

fn yes_or_no(item: &Place<'_>, key: &str, usual: bool, mistakes: &mut Vec<Mistake>) -> bool {
    let Some(place) = item.get(key) else { return usual };
    place.value().as_bool().unwrap_or_else(|| {
        mistakes.push(place.mistake("must be true or false"));
        usual
    })
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
        let config = Config::read("deploy/stakeout.yaml", include_str!("../../../deploy/stakeout.yaml"));
        let service = config.expect("without mistakes").service;
        assert_eq!(service.http, Service::default().http);
        assert_eq!(service.inputs.files.len(), 4);
        assert_eq!(
            service.sinks,
            [SinkSettings {
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
                "s.yml:1:1: http: a listener that is not on loopback needs a `token_file`, or `tls` with a `client_ca`",
                "s.yml:2:19: inputs/files/1: the files have no `path`",
                "s.yml:2:21: inputs/files/1/pth: unknown key `pth`; did you mean `path`?",
                "s.yml:3:10: store/commit_every: must be a length of time from 10ms to 1d, such as `5s`",
                "s.yml:5:7: sinks/1/type: there is no sink `fiel`; did you mean `file`?",
                "s.yml:6:5: sinks/2: the sink has no `path`",
                "s.yml:7:21: sinks/3/format: there is no format `csv`; did you mean `ecs`?",
                "s.yml:8:5: sinks/4: there are two sinks `stdout`; give one of them a `name`",
            ]
        );
    }

    #[test]
    fn sinks_that_speak_to_others_are_read_and_their_mistakes_told() {
        let text = "\
sinks:
  - { type: webhook, url: 'https://soar.example/in', signing_secret_env: HOOK }
  - { type: alertmanager, urls: ['http://a:9093', 'http://b:9093'], user: u, password_file: p }
  - { type: syslog, address: 'tls://siem.example:6514', ca_file: ca.pem, name: siem }
";
        let sinks = Config::read("s.yml", text).expect("without mistakes").service.sinks;
        let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
        assert_eq!(
            names,
            ["webhook https://soar.example/in", "alertmanager http://a:9093", "siem"]
        );
        let SinkKind::Alertmanager { replicas, hold } = &sinks[1].kind else {
            panic!("{:?}", sinks[1])
        };
        assert_eq!((replicas.len(), *hold), (2, Duration::from_seconds(3600)));
        let text = "\
sinks:
  - { type: webhook, url: 'soar.example' }
  - { type: webhook, url: 'https://u:p@soar.example' }
  - { type: elasticsearch, url: 'http://e:9200', user: u }
  - { type: elasticsearch, url: 'http://f:9200', api_key: abc }
  - { type: syslog, address: 'tls://siem:6514' }
  - { type: syslog, address: 'siem:6514' }
  - { type: file, path: a, keep: -1 }
  - { type: webhook, url: 'http://g', token_file: a, token_env: B }
";
        assert_eq!(
            mistakes(text),
            [
                "s.yml:2:22: sinks/1/url: must begin with `http://` or `https://`",
                "s.yml:3:22: sinks/2/url: holds a secret; name a `user` and a `password_file` instead",
                "s.yml:4:5: sinks/3: a `user` needs a `password_file` or `password_env`, and the other way round",
                "s.yml:5:50: sinks/4/api_key: unknown key `api_key`",
                "s.yml:6:5: sinks/5: a `tls://` receiver needs a `ca_file`",
                "s.yml:7:21: sinks/6/address: must be like `udp://siem.example:514`, `tcp://..` or `tls://..`",
                "s.yml:8:28: sinks/7/keep: must be a whole number from 0 to 1000",
                "s.yml:9:5: sinks/8: has both `token_file` and `token_env`; one of them is enough",
            ]
        );
    }
}
