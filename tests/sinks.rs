//! Where alerts go, with real receivers: Prometheus' Alertmanager, OpenSSL's server, and sockets of our own for what a
//! well receiver can't be made to show.

mod receiver;
mod serving;

use receiver::receiver;
use serving::{Folder, PATIENCE, Service, recorded};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

fn configure(folder: &Path, sinks: &str) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\n\
         inputs: {{ files: ['{0}/auth.log'] }}\n\
         store: {{ commit_every: 100ms, snapshot_every: 1s }}\n\
         sinks:\n  - {{ type: file, path: '{0}/alerts.json' }}\n{sinks}",
        folder.display()
    );
    fs::write(folder.join("stakeout.yaml"), text).expect("a configuration");
    fs::write(folder.join("auth.log"), recorded()).expect("a log");
}

/// The ids and counts of the alerts that were told, in order.
fn told(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("alerts.json")).expect("a file of alerts");
    text.lines().map(key).collect()
}

fn key(document: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(document).expect("a document");
    format!(
        "{}:{}",
        document["event"]["id"].as_str().expect("an id"),
        document["stakeout"]["count"]
    )
}

/// A process of the test's own, ended with it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_webhook_gets_each_alert_in_order_over_failures_and_one_that_is_refused_holds_nobody_up() {
    let folder = Folder::new("webhook");
    let refused = Arc::new(Mutex::new(None::<String>));
    let third = refused.clone();
    let seen = Mutex::new(Vec::<String>::new());
    let (port, received) = receiver(move |body, before| {
        let mut seen = seen.lock().expect("a list");
        if before == 0 {
            seen.push(key(body));
        }
        match (seen.iter().position(|held| *held == key(body)), before) {
            (Some(0), 0..2) => 503,
            (Some(2), _) => {
                *third.lock().expect("a text") = Some(key(body));
                422
            }
            _ => 204,
        }
    });
    fs::write(folder.0.join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("a secret");
    let sink = format!(
        "  - {{ type: webhook, name: hook, url: 'http://127.0.0.1:{port}/in', signing_secret_file: '{}/secret' }}\n",
        folder.0.display()
    );
    configure(&folder.0, &sink);
    let service = Service::start(&folder.0);
    service.wait_until_judged();
    service.wait_until("every alert was delivered", |service| {
        let refused = service.metric("stakeout_sink_refused_total{sink=\"hook\"}");
        refused == Some(1.0) && service.metric("stakeout_sink_backlog_alerts{sink=\"hook\"}") == Some(0.0)
    });
    service.terminate();
    let received = received.lock().expect("a list");
    let arrived: Vec<String> = received
        .iter()
        .filter(|(_, _, status)| *status == 204)
        .map(|(_, body, _)| key(body))
        .collect();
    let mut expected = told(&folder.0);
    let refused = refused.lock().expect("a text").clone().expect("one was refused");
    expected.retain(|told| *told != refused);
    assert_eq!(arrived, expected, "each once, in order");
    for (head, body, _) in received.iter() {
        assert!(head.contains(&format!("webhook-id: {}\r\n", key(body))), "{head}");
        assert!(head.contains("webhook-signature: v1,"), "{head}");
    }
}

#[test]
fn a_secret_that_was_renewed_is_taken_up_with_nothing_lost_and_one_that_is_gone_is_refused() {
    let folder = Folder::new("renewed");
    let (port, received) = receiver(|_, _| 503);
    let (other_port, other_received) = receiver(|_, _| 204);
    fs::write(folder.0.join("token"), "of-yesterday\n").expect("a secret");
    let hook = |name: &str, port: u16, more: &str| {
        format!("  - {{ type: webhook, name: {name}, url: 'http://127.0.0.1:{port}/in'{more} }}\n")
    };
    let bearer = format!(", token_file: '{}/token'", folder.0.display());
    let sinks = hook("hook", port, &bearer) + &hook("other", other_port, "");
    configure(&folder.0, &sinks);
    let service = Service::start(&folder.0);
    let bears = |token: &str| {
        let header = format!("authorization: bearer {token}\r\n");
        received
            .lock()
            .expect("a list")
            .iter()
            .any(|(head, _, _)| head.contains(&header))
    };
    service.wait_until("it was tried", |_| bears("of-yesterday"));
    // It is seen without a signal.
    fs::write(folder.0.join("token"), "of-today\n").expect("a secret");
    service.wait_until("the new one is borne", |_| bears("of-today"));
    assert_eq!(service.metric("stakeout_config_last_reload_successful"), Some(1.0));
    fs::remove_file(folder.0.join("token")).expect("ours");
    service.signal("HUP");
    service.wait_until("a reload without it is refused", |service| {
        service.metric("stakeout_config_last_reload_successful") == Some(0.0)
    });
    assert!(service.said().contains("the sink `hook`"), "{}", service.said());
    service.wait_until_judged();
    assert!(
        service.metric("stakeout_sink_backlog_alerts{sink=\"hook\"}") > Some(0.0),
        "nothing is given up"
    );
    service.wait_until("the other has all", |service| {
        service.metric("stakeout_sink_backlog_alerts{sink=\"other\"}") == Some(0.0)
    });
    service.terminate();
    let arrived: Vec<String> = other_received
        .lock()
        .expect("a list")
        .iter()
        .map(|(_, body, _)| key(body))
        .collect();
    assert_eq!(arrived, told(&folder.0), "a sink whose secrets are the same goes on");
}

#[test]
fn alertmanager_shows_each_alert_once_by_who_and_what() {
    let Some(program) = ["prometheus-alertmanager", "alertmanager"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok())
    else {
        serving::left_out("Alertmanager is not installed (script/bootstrap installs it)");
        return;
    };
    let folder = Folder::new("alertmanager");
    fs::write(
        folder.0.join("alertmanager.yml"),
        "route: { receiver: none }\nreceivers: [{ name: none }]\n",
    )
    .expect("a configuration");
    let port = free_port();
    let start = || {
        let child = Command::new(program)
            .arg(format!("--config.file={}/alertmanager.yml", folder.0.display()))
            .arg(format!("--storage.path={}/alertmanager", folder.0.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Process(child.expect("starting Alertmanager"))
    };
    let sink = format!("  - {{ type: alertmanager, name: am, url: 'http://127.0.0.1:{port}' }}\n");
    configure(&folder.0, &sink);
    // Alertmanager is down while the alerts come.
    let service = Service::start(&folder.0);
    service.wait_until("a delivery has failed", |service| {
        service
            .metric("stakeout_sink_failures_total{sink=\"am\"}")
            .is_some_and(|failures| failures > 0.0)
            && service
                .metric("stakeout_sink_backlog_alerts{sink=\"am\"}")
                .is_some_and(|backlog| backlog > 0.0)
    });
    let alertmanager = start();
    service.wait_until_judged();
    service.wait_until("every alert was delivered", |service| {
        service.metric("stakeout_sink_backlog_alerts{sink=\"am\"}") == Some(0.0)
    });
    let shown = shown(port);
    service.terminate();
    drop(alertmanager);
    let mut expected: Vec<String> = Vec::new();
    for line in fs::read_to_string(folder.0.join("alerts.json"))
        .expect("alerts")
        .lines()
    {
        let document: serde_json::Value = serde_json::from_str(line).expect("a document");
        let identity = format!("{} {}", document["rule"]["id"], document["stakeout"]["entity"]);
        if document["stakeout"]["merged_into"].is_null() && !expected.contains(&identity) {
            expected.push(identity);
        }
    }
    assert!(
        shown.len() > 1 && shown.len() == expected.len(),
        "{shown:?}\n{expected:?}"
    );
    for alert in &shown {
        let labels = &alert["labels"];
        assert_eq!(labels["service"], "stakeout");
        assert!(
            labels["alertname"].is_string() && labels["severity"].is_string(),
            "{labels}"
        );
        assert!(labels["risk_score"].is_null(), "a score is no identity: {labels}");
        assert!(
            alert["annotations"]["summary"]
                .as_str()
                .is_some_and(|text| text.len() > 10),
            "{alert}"
        );
        assert_eq!(alert["status"]["state"], "active", "{alert}");
    }
}

/// The alerts that Alertmanager shows.
fn shown(port: u16) -> Vec<serde_json::Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("Alertmanager listens");
    write!(stream, "GET /api/v2/alerts HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    serde_json::from_str(body).expect("a list of alerts")
}

/// The documents of messages, each with its length in front.
fn count_of_messages(mut text: &str) -> usize {
    let mut count = 0;
    while let Some((length, rest)) = text.split_once(' ') {
        let Some(message) = length.parse().ok().and_then(|length: usize| rest.get(..length)) else {
            break;
        };
        assert!(
            message.starts_with("<1") && message.contains(" alert - CEF:0|Stakeout|Stakeout|"),
            "{message}"
        );
        count += 1;
        text = &rest[message.len()..];
    }
    count
}

#[test]
fn syslog_receivers_get_each_alert_as_cef() {
    let folder = Folder::new("syslog");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let udp = datagrams.local_addr().expect("an address").port();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let tcp = listener.local_addr().expect("an address").port();
    let tls = free_port();
    let path = |name: &str| folder.0.join(name).display().to_string();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-keyout", &path("key.pem"), "-out", &path("certificate.pem")])
        .stderr(Stdio::null())
        .status();
    assert!(made.is_ok_and(|made| made.success()), "openssl makes a certificate");
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &tls.to_string()])
        .args(["-cert", &path("certificate.pem"), "-key", &path("key.pem")])
        .stdin(Stdio::piped())
        .stdout(fs::File::create(path("tls")).expect("a file"))
        .stderr(Stdio::null())
        .spawn();
    let _server = Process(server.expect("starting openssl"));
    configure(
        &folder.0,
        &format!(
            "  - {{ type: syslog, name: udp, address: 'udp://127.0.0.1:{udp}' }}\n\
             \x20 - {{ type: syslog, name: tcp, address: 'tcp://127.0.0.1:{tcp}' }}\n\
             \x20 - {{ type: syslog, name: tls, address: 'tls://localhost:{tls}', ca_file: '{}' }}\n",
            path("certificate.pem")
        ),
    );
    let over_tcp = std::thread::spawn(move || {
        let mut text = String::new();
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.read_to_string(&mut text).expect("text");
        text
    });
    let service = Service::start(&folder.0);
    service.wait_until_judged();
    service.wait_until("every alert was delivered", |service| {
        ["udp", "tcp", "tls"].iter().all(|sink| {
            let count = |name: &str| service.metric(&format!("stakeout_sink_{name}{{sink=\"{sink}\"}}"));
            count("backlog_alerts") == Some(0.0) && count("delivered_total").is_some_and(|delivered| delivered > 5.0)
        })
    });
    service.terminate();
    let expected = told(&folder.0).len();
    assert_eq!(count_of_messages(&over_tcp.join().expect("a reader")), expected);
    let begun = Instant::now();
    while count_of_messages(&fs::read_to_string(path("tls")).expect("text")) < expected {
        assert!(begun.elapsed() < PATIENCE, "not all came over TLS");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut datagram = [0; 65_536];
    let length = datagrams.recv(&mut datagram).expect("a datagram");
    let first = String::from_utf8_lossy(&datagram[..length]).into_owned();
    assert!(first.contains(" alert - CEF:0|"), "{first}");
}
