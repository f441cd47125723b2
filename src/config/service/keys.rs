//! The keys that each mapping of the service's part knows: for its reader, and for the schema.

pub(in crate::config) const SERVICE: [&str; 7] = ["data_dir", "http", "inputs", "sinks", "store", "kafka", "confine"];
pub(in crate::config) const HTTP: [&str; 3] = ["listen", "token_file", "tls"];
pub(in crate::config) const HTTP_TLS: [&str; 3] = ["certificate", "key", "client_ca"];
pub(in crate::config) const INPUTS: [&str; 7] =
    ["files", "interfaces", "syslog", "netflow", "kafka", "stdin", "journal"];
pub(in crate::config) const FILES: [&str; 1] = ["path"];
pub(in crate::config) const INTERFACE: [&str; 6] =
    ["name", "filter", "snap_bytes", "buffer_bytes", "promiscuous", "workers"];
pub(in crate::config) const SYSLOG: [&str; 4] = ["listen", "certificate", "key", "client_ca"];
pub(in crate::config) const NETFLOW: [&str; 1] = ["listen"];
pub(in crate::config) const KAFKA: [&str; 8] = [
    "name",
    "brokers",
    "topics",
    "group.id",
    "properties",
    "errors.tolerance",
    "errors.deadletterqueue.topic.name",
    "errors.deadletterqueue.topic.replication.factor",
];
pub(in crate::config) const KAFKA_SECRET: [&str; 2] = ["file", "env"];
pub(in crate::config) const CLUSTER: [&str; 11] = [
    "brokers",
    "properties",
    "group.id",
    "instance",
    "partitions",
    "alerts.partitions",
    "replication",
    "commit.interval.ms",
    "snapshot.interval.ms",
    "topics",
    "errors.tolerance",
];
pub(in crate::config) const CLUSTER_TOPICS: [&str; 6] =
    ["events", "findings", "population", "state", "alerts", "dead.letters"];
pub(in crate::config) const STORE: [&str; 2] = ["commit_every", "snapshot_every"];

/// The kinds, and the keys that each knows beside `type` and `name`.
pub(in crate::config) const SINKS: [(&str, &[&str]); 7] = [
    ("stdout", &["format"]),
    ("file", &["format", "path", "rotate_bytes", "keep"]),
    (
        "webhook",
        &[
            "format",
            "url",
            "ca_file",
            "signing_secret_file",
            "signing_secret_env",
            "token_file",
            "token_env",
        ],
    ),
    (
        "alertmanager",
        &[
            "url",
            "urls",
            "hold",
            "ca_file",
            "token_file",
            "token_env",
            "user",
            "password_file",
            "password_env",
        ],
    ),
    (
        "elasticsearch",
        &[
            "format",
            "url",
            "index",
            "ca_file",
            "api_key_file",
            "api_key_env",
            "user",
            "password_file",
            "password_env",
        ],
    ),
    (
        "kafka",
        &["format", "brokers", "topic", "partitions", "replication", "properties"],
    ),
    ("syslog", &["address", "ca_file"]),
];
