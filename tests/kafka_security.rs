//! How Stakeout proves who it is to a real broker, and what it says when a single right is missing.
#![cfg(feature = "kafka")]

mod broker;
mod serving;

use broker::{Broker, Operation, Resource, Written, broker};
use serving::{Folder, Service, recorded};
use std::fs;
use std::path::Path;

/// Properties of a user with a password.
fn password(folder: &Path, user: &str) -> String {
    fs::write(folder.join("password"), format!("{user}-secret\n")).expect("a secret");
    format!(
        "security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: {user}, \
         sasl.password: {{ file: '{}/password' }}",
        folder.display()
    )
}

/// A folder with a configuration of `respond`, whose topics and group begin with `name`.
fn respond_folder(name: &str, brokers: &str, properties: impl Fn(&Path) -> String) -> Folder {
    let folder = Folder::new(&format!("kafka-security-{name}"));
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         kafka:\n  brokers: '{brokers}'\n  group.id: {name}\n  \
         topics: {{ alerts: {name}.alerts, dead.letters: {name}.dead }}\n  properties: {{ {} }}\n\
         sinks: [{{ type: file, path: '{}/alerts.json' }}]\n",
        properties(&folder.0),
        folder.0.display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    folder
}

fn respond(folder: &Folder) -> Service {
    Service::start_role(&folder.0, "respond", &["--instance", "one"])
}

const ALERT: &[u8] = br#"{"event":{"id":"a"},"stakeout":{"count":1,"entity":{"source.ip":"10.0.0.7"}}}"#;

fn write(broker: &Broker, topic: &str, value: &[u8]) {
    broker.write(
        topic,
        [Written {
            value: Some(value),
            ..Written::default()
        }],
    );
}

fn arrived(folder: &Folder) -> usize {
    let text = fs::read_to_string(folder.0.join("alerts.json")).unwrap_or_default();
    text.lines().count()
}

/// What, by which name, and what may be done with it.
type Right<'a> = (Resource, &'a str, Operation);

/// It says this among its errors, each once.
#[track_caller]
fn wait_until_said_once(service: &Service, what: &str) {
    service.wait_until_said(what, 0);
    let said = service.said();
    let errors = said.lines().filter(|line| line.contains("ERROR"));
    let count = errors.filter(|line| line.contains(what)).count();
    assert_eq!(count, 1, "{what:?} in\n{said}");
}

#[test]
fn a_certificate_is_proof_enough_and_without_one_it_is_told_so() {
    let Some(broker) = broker() else { return };
    for name in ["certified", "bare"] {
        broker.make_topic(&format!("{name}.alerts"), 1);
        write(broker, &format!("{name}.alerts"), ALERT);
    }
    let brokers = format!("127.0.0.1:{}", broker.port + 4);
    let ca_file = &broker.ca_file;
    let folder = respond_folder("certified", &brokers, |folder| {
        fs::write(folder.join("phrase"), "client-secret\n").expect("a secret");
        let made = Path::new(ca_file).parent().expect("the broker's folder").display();
        format!(
            "security.protocol: SSL, ssl.ca.location: '{ca_file}', ssl.certificate.location: '{made}/client.pem', \
             ssl.key.location: '{made}/client-key.pem', ssl.key.password: {{ file: '{}/phrase' }}",
            folder.display()
        )
    });
    let service = respond(&folder);
    service.wait_until("it is delivered", |_| arrived(&folder) == 1);
    service.terminate();

    let folder = respond_folder("bare", &brokers, |_| {
        format!("security.protocol: SSL, ssl.ca.location: '{ca_file}'")
    });
    let service = respond(&folder);
    service.wait_until_said("ertificate", 0);
    let said = service.said();
    assert!(said.contains("respond: ") && said.contains(&brokers), "{said}");
    service.wait_until("it is counted", |service| {
        let count = service.metric("stakeout_kafka_errors_total{reason=\"tls\"}");
        count.is_some_and(|count| count >= 1.0)
    });
    assert_eq!((arrived(&folder), service.metric("stakeout_ready")), (0, Some(0.0)));
    service.terminate();
}

#[test]
fn a_single_right_that_is_missing_is_told_by_its_name_and_works_once_it_is_given() {
    let Some(broker) = broker() else { return };
    use Operation::{Describe, Read as Reading, Write as Writing};
    use Resource::{Group, Topic};
    let cases: [(&str, Vec<Right<'_>>, Right<'_>, &str); 3] = [
        (
            "nogroup",
            vec![(Topic, "nogroup.alerts", Reading), (Topic, "nogroup.dead", Writing)],
            (Group, "nogroup.respond", Reading),
            "the brokers do not let this user use the group `nogroup.respond`",
        ),
        (
            "notopic",
            vec![
                (Topic, "notopic.alerts", Describe),
                (Group, "notopic.respond", Reading),
                (Topic, "notopic.dead", Writing),
            ],
            (Topic, "notopic.alerts", Reading),
            "the brokers do not let this user read the topic `notopic.alerts`",
        ),
        (
            "nodead",
            vec![(Topic, "nodead.alerts", Reading), (Group, "nodead.respond", Reading)],
            (Topic, "nodead.dead", Writing),
            "dead letters could not be delivered to `nodead.dead`",
        ),
    ];
    let guarded = format!("127.0.0.1:{}", broker.port + 1);
    let running: Vec<_> = cases
        .iter()
        .map(|(name, rights, ..)| {
            let topic = format!("{name}.alerts");
            broker.make_topic(&topic, 1);
            broker.make_topic(&format!("{name}.dead"), 1);
            broker.allow("limited", rights);
            write(broker, &topic, b"no alert");
            write(broker, &topic, ALERT);
            let folder = respond_folder(name, &guarded, |folder| password(folder, "limited"));
            (respond(&folder), folder)
        })
        .collect();
    for ((service, folder), (name, _, right, said)) in running.into_iter().zip(&cases) {
        wait_until_said_once(&service, said);
        let count = service.metric("stakeout_kafka_errors_total{reason=\"authorization\"}");
        assert!(count.is_some_and(|count| count >= 1.0), "{name}: {count:?}");
        broker.allow("limited", &[*right]);
        if *name == "nodead" {
            // What has no dead letter is named, and holds nobody up.
            service.wait_until_said("a refused record has no dead letter", 0);
        }
        service.wait_until("what is there is delivered", |_| arrived(&folder) == 1);
        service.terminate();
    }
}

#[test]
fn what_else_keeps_it_from_the_alerts_is_told_by_its_name() {
    let Some(broker) = broker() else { return };
    broker.make_topic("wrong.alerts", 1);
    let guarded = format!("127.0.0.1:{}", broker.port + 1);
    let wrong = respond_folder("wrong", &guarded, |folder| {
        let properties = password(folder, "limited");
        fs::write(folder.join("password"), "guessed").expect("a secret");
        properties
    });
    let wrong = (respond(&wrong), wrong);
    let unknown = respond_folder("unknown", &broker.address, |_| String::new());
    let unknown = (respond(&unknown), unknown);
    wait_until_said_once(&wrong.0, "Authentication failed");
    wait_until_said_once(&unknown.0, "there is no topic `unknown.alerts`");
    for service in [&wrong.0, &unknown.0] {
        assert_eq!(service.metric("stakeout_ready"), Some(0.0));
        service.wait_until("it says why it is not ready", |service| {
            let text = service.get("/readyz").unwrap_or_default();
            text.contains("Authentication") || text.contains("unknown.alerts")
        });
    }
    // A topic that comes later is found.
    broker.make_topic("unknown.alerts", 1);
    write(broker, "unknown.alerts", ALERT);
    unknown.0.wait_until("it is delivered", |_| arrived(&unknown.1) == 1);
    unknown
        .0
        .wait_until("it is ready", |service| service.metric("stakeout_ready") == Some(1.0));
    unknown.0.terminate();
    wrong.0.terminate();
}

#[test]
fn the_whole_service_tells_a_single_missing_right_too() {
    let Some(broker) = broker() else { return };
    use Operation::{Describe, Read as Reading, Write as Writing};
    use Resource::{Group, Topic, TransactionalId};
    let guarded = format!("127.0.0.1:{}", broker.port + 1);
    broker.make_topic("barred", 1);
    broker.make_topic("barred.alerts", 1);
    broker.allow(
        "limited",
        &[
            (Topic, "barred", Describe),
            (Group, "barred", Reading),
            (Topic, "barred.alerts", Writing),
            // The cursor is an offset under the name of the topic, and that is read.
            (Topic, "barred.alerts", Reading),
            (Group, "barred-id", Reading),
        ],
    );
    let folder = Folder::new("kafka-security-run");
    let properties = password(&folder.0, "limited");
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs:\n  files: ['{0}/*.log']\n  kafka: {{ brokers: '{guarded}', topics: [barred], group.id: barred, \
         properties: {{ {properties} }} }}\n\
         store: {{ commit_every: 100ms }}\n\
         sinks:\n  - {{ type: kafka, name: out, brokers: '{guarded}', topic: barred.alerts, \
         properties: {{ {properties}, transactional.id: barred-id }} }}\n",
        folder.0.display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
    fs::write(folder.0.join("auth.log"), recorded()).expect("a log");
    let service = Service::start(&folder.0);
    for said in [
        "the input `kafka`: `barred/0`: ",
        "the sink `out`: the brokers do not let this user use the transactional.id `barred-id`",
    ] {
        wait_until_said_once(&service, said);
    }
    let said = service.said();
    let errors = said.lines().filter(|line| line.contains("ERROR"));
    assert_eq!(errors.filter(|line| line.contains("the input")).count(), 1, "{said}");
    broker.allow(
        "limited",
        &[
            (Topic, "barred", Reading),
            (TransactionalId, "barred-id", Writing),
            (TransactionalId, "barred-id", Describe),
        ],
    );
    service.wait_until("alerts are delivered", |service| {
        let delivered = service.metric("stakeout_sink_delivered_total{sink=\"out\"}");
        delivered.is_some_and(|count| count > 3.0)
            && service.metric("stakeout_kafka_lag_records{partition=\"0\",topic=\"barred\"}") == Some(0.0)
    });
    service.terminate();
}
