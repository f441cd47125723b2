//! The JSON Schema (draft 2020-12) of the configuration file, for editors. Each mapping's keys are the ones that its reader
//! knows. Ranges and what must fit together are the reader's: `stakeout check` tells those.

use super::service::keys;
use super::{ASSET_KEYS, BOUND_KEYS, BUDGET_KEYS, KEYS, NETWORK_KEYS, SETTING_KEYS};
use crate::domain::{Criticality, Level};
use serde_json::{Map, Value, json};

/// The schema.
pub fn schema() -> Value {
    let mut root = object(
        &[&KEYS[..], &keys::SERVICE].concat(),
        [
            ("networks", networks()),
            ("assets", list(assets())),
            (
                "timezone",
                text("In which hours and weekdays are counted, such as `Europe/Berlin`"),
            ),
            ("budget", budget()),
            ("bounds", bounds()),
            ("detectors", detectors()),
            (
                "data_dir",
                text("The folder of learned state, accepted records and alerts; STAKEOUT_DATA_DIR overrides it"),
            ),
            ("http", http()),
            ("inputs", inputs()),
            (
                "sinks",
                list(json!({ "oneOf": keys::SINKS.map(|(kind, keys)| sink(kind, keys)) })),
            ),
            ("store", store()),
            ("kafka", cluster()),
            (
                "confine",
                yes_or_no("Whether the process gives up what it does not need once everything is open"),
            ),
        ],
    );
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Configuration of Stakeout");
    // An empty file is a configuration.
    root["type"] = json!(["object", "null"]);
    root
}

/// A mapping of these keys, each with what may stand there, and no others.
fn object<const N: usize>(keys: &[&str], properties: [(&str, Value); N]) -> Value {
    let properties: Map<String, Value> = properties
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let mut known: Vec<&str> = keys.to_vec();
    known.sort_unstable();
    let mut told: Vec<&str> = properties.keys().map(String::as_str).collect();
    told.sort_unstable();
    debug_assert_eq!(known, told, "the reader and the schema know the same keys");
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn described(mut value: Value, description: &str) -> Value {
    value["description"] = json!(description);
    value
}

fn requiring(mut value: Value, keys: &[&str]) -> Value {
    value["required"] = json!(keys);
    value
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

fn yes_or_no(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn whole(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

fn number(description: &str) -> Value {
    json!({ "type": "number", "minimum": 0, "description": description })
}

fn duration(description: &str) -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d|w)$", "description": description })
}

fn word<'w>(words: impl IntoIterator<Item = &'w str>, description: &str) -> Value {
    json!({ "enum": words.into_iter().collect::<Vec<_>>(), "description": description })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn one_or_many(of: Value) -> Value {
    json!({ "anyOf": [of.clone(), list(of)] })
}

fn networks() -> Value {
    let network = || text("A network such as `10.0.0.0/8`, or an address");
    object(
        &NETWORK_KEYS,
        [
            ("internal", described(one_or_many(network()), "What is inside")),
            (
                "named",
                json!({ "type": "object", "additionalProperties": one_or_many(network()), "description": "What networks are called" }),
            ),
            (
                "asn_database",
                text("A MaxMind DB file of autonomous systems, relative to this file's folder"),
            ),
        ],
    )
}

fn assets() -> Value {
    let asset = object(
        &ASSET_KEYS,
        [
            ("name", one_or_many(text("What alerts call it"))),
            ("address", one_or_many(text("An address or network"))),
            ("host", one_or_many(text("A host's name"))),
            ("user", one_or_many(text("An account's name"))),
            (
                "criticality",
                word(Criticality::ALL.map(Criticality::word), "How much it matters"),
            ),
        ],
    );
    requiring(asset, &["criticality"])
}

fn budget() -> Value {
    object(
        &BUDGET_KEYS,
        [("alerts_per_day", number("How many alerts a day operators can read"))],
    )
}

fn bounds() -> Value {
    object(
        &BOUND_KEYS,
        [
            (
                "entities_per_key_group_max",
                whole("Entities of a kind with state of their own in each of the 1,024 key groups"),
            ),
            ("flows_max", whole("Flows that are open at once in one capture")),
            (
                "disorder_max",
                duration("How far the records of one log may be out of order"),
            ),
        ],
    )
}

fn detectors() -> Value {
    let setting = object(
        &SETTING_KEYS,
        [
            ("at_least", number("No finding below this, however improbable")),
            ("level", word(Level::ALL.map(Level::word), "How bad it is if true")),
        ],
    );
    json!({
        "type": "object",
        "additionalProperties": { "anyOf": [{ "enum": ["off", false] }, setting] },
        "description": "What is changed about detectors, by id: `off`, or other numbers",
    })
}

fn http() -> Value {
    let tls = object(
        &keys::HTTP_TLS,
        [
            ("certificate", text("The file of its certificate, in PEM")),
            ("key", text("The file of its private key, in PEM")),
            (
                "client_ca",
                text("The file of the authority whose certificates clients must show"),
            ),
        ],
    );
    object(
        &keys::HTTP,
        [
            ("listen", text("Address and port, such as `127.0.0.1:9750`")),
            ("token_file", text("The file of the token that requests must bear")),
            ("tls", requiring(tls, &["certificate", "key"])),
        ],
    )
}

fn inputs() -> Value {
    let files = object(&keys::FILES, [("path", text("A path or pattern"))]);
    let interface = object(
        &keys::INTERFACE,
        [
            ("name", text("The interface, such as `eth1`")),
            ("filter", text("Which frames, in libpcap's filter language")),
            ("snap_bytes", whole("Bytes of each frame that are kept")),
            ("buffer_bytes", whole("Bytes of the kernel's ring")),
            ("promiscuous", yes_or_no("Whether frames for others are taken too")),
            ("workers", whole("Threads that decode its frames")),
        ],
    );
    let syslog = object(
        &keys::SYSLOG,
        [
            ("listen", text("`udp://`, `tcp://` or `tls://`, address and port")),
            ("certificate", text("The file of its certificate, for `tls://`")),
            ("key", text("The file of its private key, for `tls://`")),
            (
                "client_ca",
                text("The file of the authority whose certificates senders must show"),
            ),
        ],
    );
    let netflow = object(&keys::NETFLOW, [("listen", text("`udp://`, address and port"))]);
    let topics = one_or_many(text("A topic"));
    let kafka = object(
        &keys::KAFKA,
        [
            ("name", text("What positions are kept under")),
            ("brokers", brokers()),
            ("topics", described(topics, "What is read")),
            ("group.id", text("The group that is told positions")),
            ("properties", properties()),
            ("errors.tolerance", tolerance()),
            (
                "errors.deadletterqueue.topic.name",
                text("The topic that records go to which can't be read"),
            ),
            (
                "errors.deadletterqueue.topic.replication.factor",
                whole("How many copies of it `stakeout topics` makes"),
            ),
        ],
    );
    let or_text = |item: Value, key: &str, description: &str| {
        one_or_many(json!({ "anyOf": [text(description), requiring(item, &[key])] }))
    };
    object(
        &keys::INPUTS,
        [
            ("files", or_text(files, "path", "Log files, by path or pattern")),
            ("interfaces", or_text(interface, "name", "A network interface")),
            (
                "syslog",
                or_text(syslog, "listen", "`udp://` or `tcp://`, address and port"),
            ),
            ("netflow", or_text(netflow, "listen", "`udp://`, address and port")),
            ("kafka", one_or_many(requiring(kafka, &["brokers", "topics"]))),
            ("stdin", yes_or_no("Whether standard input is read")),
            ("journal", yes_or_no("Whether the system journal is followed")),
        ],
    )
}

/// The cluster that roles share.
fn cluster() -> Value {
    let topics = object(
        &keys::CLUSTER_TOPICS,
        [
            ("events", text("Decoded events")),
            ("findings", text("Findings, for triage")),
            ("population", text("What whole groups of entities have shown")),
            ("state", text("What was learned")),
            ("alerts", text("Alerts")),
            ("dead.letters", text("Records that could not be read")),
        ],
    );
    let cluster = object(
        &keys::CLUSTER,
        [
            ("brokers", brokers()),
            ("properties", properties()),
            ("group.id", text("What groups and transactional ids begin with")),
            (
                "instance",
                text("The name of this instance; the host's name without it"),
            ),
            (
                "partitions",
                whole("Partitions of the events and of the state, over which key groups are dealt out"),
            ),
            ("alerts.partitions", whole("Partitions of the alerts")),
            (
                "replication",
                whole("How many copies of each partition `stakeout topics` makes"),
            ),
            ("commit.interval.ms", whole("The longest time between two transactions")),
            (
                "snapshot.interval.ms",
                whole("How often the state of each key group is written at least"),
            ),
            ("topics", described(topics, "What topics are called")),
            ("errors.tolerance", tolerance()),
        ],
    );
    described(
        requiring(cluster, &["brokers"]),
        "The cluster of Kafka through which several instances share the work",
    )
}

fn tolerance() -> Value {
    word(
        ["all", "none"],
        "Whether a partition goes on behind a record that can't be read",
    )
}

fn brokers() -> Value {
    described(
        one_or_many(text("`host:port`")),
        "Some of the brokers; they name the others",
    )
}

/// Properties of librdkafka. Their names are its own.
fn properties() -> Value {
    let secret = object(
        &keys::KAFKA_SECRET,
        [
            ("file", text("The file that holds the secret")),
            ("env", text("The environment variable that holds the secret")),
        ],
    );
    json!({
        "type": "object",
        "additionalProperties": { "anyOf": [{ "type": ["string", "number", "boolean"] }, secret] },
        "description": "Properties of librdkafka, such as `security.protocol`",
    })
}

fn store() -> Value {
    object(
        &keys::STORE,
        [
            (
                "commit_every",
                duration("The longest time that accepted records wait for a commit"),
            ),
            (
                "snapshot_every",
                duration("How often a snapshot of learned state is written"),
            ),
        ],
    )
}

fn sink(kind: &str, keys: &[&str]) -> Value {
    let mut properties = Map::new();
    properties.insert("type".to_owned(), json!({ "const": kind }));
    properties.insert("name".to_owned(), text("What its place in the outbox is kept under"));
    for key in keys {
        properties.insert((*key).to_owned(), sink_value(key));
    }
    let mut required = vec!["type"];
    required.extend(["path", "address", "brokers"].iter().filter(|key| keys.contains(key)));
    if keys.contains(&"url") && !keys.contains(&"urls") {
        required.push("url");
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

fn sink_value(key: &str) -> Value {
    match key {
        "format" => word(["ecs", "ocsf"], "The form of the documents"),
        "path" => text("The file; its folder is there"),
        "rotate_bytes" => whole("Bytes from which on another file is begun"),
        "keep" => whole("Older files that are kept"),
        "hold" => duration("How long after its last form an alert is resolved"),
        "url" => text("`http://` or `https://`"),
        "urls" => one_or_many(text("`http://` or `https://`, one for each replica")),
        "index" => text("The index or data stream"),
        "address" => text("`udp://`, `tcp://` or `tls://`, host and port"),
        "ca_file" => text("The file of the certificates that its own must be signed by"),
        "user" => text("Who asks"),
        "brokers" => brokers(),
        "properties" => properties(),
        "topic" => text("The topic"),
        "partitions" => whole("How many partitions `stakeout topics` makes"),
        "replication" => whole("How many copies of each partition `stakeout topics` makes"),
        key if key.ends_with("_file") => text("The file that holds the secret"),
        key if key.ends_with("_env") => text("The environment variable that holds the secret"),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_the_reader_knows_is_described() {
        // The mappings' keys are compared where they are made.
        let text = schema().to_string();
        for (kind, keys) in keys::SINKS {
            for key in keys {
                assert_ne!(sink_value(key), json!({}), "{kind}: {key}");
            }
        }
        assert!(!text.contains("{}"), "{text}");
    }
}
