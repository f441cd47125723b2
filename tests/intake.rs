//! What is pushed to `stakeout run` over HTTP: what was acknowledged is never lost, and faults of clients harm nobody
//! but themselves.

mod serving;

use flate2::{Compression, write::GzEncoder};
use serving::{Folder, Service, recorded};
use stakeout::edge::store::Store;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TOKEN: &str = "a-token-of-the-test";

fn configure(folder: &Folder, token: bool) {
    let token_file = folder.0.join("token");
    fs::write(&token_file, format!("{TOKEN}\n")).expect("a token");
    let guard = match token {
        true => format!(", token_file: '{}'", token_file.display()),
        false => String::new(),
    };
    let text = format!(
        "http: {{ listen: '127.0.0.1:0'{guard} }}\nstore: {{ commit_every: 1h, snapshot_every: 1h }}\n\
         sinks: [{{ type: file, path: '{}' }}]\n",
        folder.0.join("alerts.json").display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
}

/// What a request came to.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(stream: &mut TcpStream) -> Option<Answer> {
        let mut text = Vec::new();
        // A reset behind the answer takes nothing of it away.
        let _ = stream.read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Answer {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head: head.to_lowercase(),
            body: body.to_owned(),
        })
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn send(service: &Service, request: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(&service.address).expect("it listens");
    let head = format!(
        "{request} HTTP/1.1\r\nHost: stakeout\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    stream.write_all(body).expect("it reads bodies to their end");
    Answer::read(&mut stream).expect("an answer")
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Recorded log lines as a shipper sends them, for the bulk API.
fn bulk_of(lines: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for line in lines {
        let message = String::from_utf8_lossy(line.trim_ascii_end());
        let document = serde_json::json!({ "@timestamp": "2026-03-02T09:00:00Z", "message": message });
        body.extend_from_slice(b"{\"create\":{\"_index\":\"logs\"}}\n");
        body.extend_from_slice(document.to_string().as_bytes());
        body.push(b'\n');
    }
    body
}

fn records(service: &Service) -> f64 {
    let outcomes = ["decoded", "ignored", "refused"];
    let count = |outcome| service.metric(&format!("stakeout_records_total{{outcome=\"{outcome}\"}}"));
    outcomes.iter().filter_map(count).sum()
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let folder = Folder::new("acknowledged");
    configure(&folder, false);
    let log = recorded();
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').take(3000).collect();
    let mut sent = 0;
    for (round, batch) in lines.chunks(1000).enumerate() {
        let service = Service::start(&folder.0);
        service.wait_until("what was acknowledged is there again", |service| {
            records(service) == f64::from(sent)
        });
        let body = bulk_of(batch);
        let answer = match round {
            0 => send(&service, "POST /_bulk", "", &body),
            1 => send(&service, "PUT /_bulk", "Content-Encoding: gzip\r\n", &packed(&body)),
            _ => send(
                &service,
                "POST /logs/_bulk",
                "Content-Encoding: gzip\r\n",
                &packed(&body),
            ),
        };
        // Nothing else would be committed within the hour.
        service.kill();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("x-elastic-product: elasticsearch"));
        let answer = answer.json();
        assert_eq!(answer["errors"], false);
        assert_eq!(answer["items"].as_array().map(Vec::len), Some(batch.len()));
        assert_eq!(answer["items"][0]["create"]["status"], 201);
        sent += batch.len() as u32;
    }
    let service = Service::start(&folder.0);
    service.wait_until("all is there", |service| records(service) == f64::from(sent));
    service.wait_until("the lines inside were decoded", |service| {
        service.metric("stakeout_events_total").unwrap_or(0.0) > 100.0
    });
    service.terminate();
}

#[test]
fn a_service_that_ends_answers_what_it_took_and_takes_no_more() {
    let folder = Folder::new("ending");
    configure(&folder, false);
    let service = Service::start(&folder.0);
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let address = service.address.clone();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let body = b"{\"@timestamp\":\"2026-03-02T09:00:00Z\",\"user\":{\"name\":\"x\"}}\n".repeat(50);
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(&address) else {
                        break;
                    };
                    let head = format!(
                        "POST /api/v1/events HTTP/1.1\r\nHost: s\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all(head.as_bytes()).is_err() || stream.write_all(&body).is_err() {
                        break;
                    }
                    match Answer::read(&mut stream) {
                        Some(answer) if answer.status == 200 => acknowledged.fetch_add(50, Ordering::Relaxed),
                        Some(answer) => {
                            assert_eq!(answer.status, 503, "{answer:?}");
                            0
                        }
                        // It had ended before it read the request.
                        None => break,
                    };
                }
            });
        }
        std::thread::sleep(Duration::from_millis(700));
        service.terminate();
        stop.store(true, Ordering::Relaxed);
    });
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    assert!(acknowledged > 0, "something was taken");
    // Each request is a record, and the snapshot at the end has seen them all.
    let store = Store::open(&folder.0.join("data")).expect("a store that was left well");
    let snapshot = store.snapshot().expect("no damage").expect("a snapshot at the end");
    assert!(
        snapshot.next_record >= acknowledged / 50,
        "{snapshot:?}, {acknowledged} acknowledged"
    );
    assert_eq!(store.journal_records().expect("no damage"), 0);
}

#[test]
fn faults_of_clients_are_answered_counted_and_harm_nobody() {
    let folder = Folder::new("faults");
    configure(&folder, true);
    let service = Service::start(&folder.0);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let zipped = format!("{bearer}Content-Encoding: gzip\r\n");
    let good = b"{\"@timestamp\":\"2026-03-02T09:00:00Z\",\"user\":{\"name\":\"x\"}}\n".as_slice();
    let half = b"{\"@timestamp\":\"2026-03-02T09:00:00Z\",\"user\":{\"na".as_slice();
    let cut = &packed(good)[..20];
    let bomb = packed(&vec![b' '; 200 << 20]);
    let unended = [b"{\"index\":{\"_index\":\"a\"}}\n".as_slice(), half].concat();
    let huge = vec![b'x'; 100 << 20];
    for (request, headers, body, status, told) in [
        ("POST /api/v1/events", "", good, 401, "token"),
        ("POST /_bulk", "Authorization: Bearer wrong\r\n", good, 401, "token"),
        (
            "GET /",
            "Authorization: Basic ZWxhc3RpYzp3cm9uZw==\r\n",
            b"",
            401,
            "token",
        ),
        ("POST /api/v1/events", &zipped, cut, 400, "gzip"),
        ("POST /_bulk", &zipped, b"no gzip\n", 400, "gzip"),
        ("POST /_bulk", &zipped, &bomb, 413, "body_bytes_max"),
        ("POST /api/v1/events", &zipped, &bomb, 413, "body_bytes_max"),
        ("POST /api/v1/events", &bearer, half, 400, "not JSON"),
        ("POST /api/v1/events", &bearer, b"[1]\n\"x\"\n", 400, "JSON object"),
        ("POST /_bulk", &bearer, &unended, 400, "newline"),
        ("POST /_bulk", &bearer, good, 400, "Malformed action"),
        ("POST /_bulk", &bearer, &huge, 413, "body_bytes_max"),
        ("POST /api/v1/events", &bearer, &huge, 413, "body_bytes_max"),
        ("DELETE /_bulk", &bearer, b"", 405, ""),
    ] {
        let answer = send(&service, request, headers, body);
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert!(answer.body.contains(told), "{request}: {answer:?}");
    }
    let brotli = format!("{bearer}Content-Encoding: br\r\n");
    assert_eq!(send(&service, "POST /_bulk", &brotli, good).status, 415);
    let mixed = send(
        &service,
        "POST /api/v1/events",
        &bearer,
        &[good, half, b"\n", good].concat(),
    );
    assert_eq!(mixed.status, 200);
    let mixed = mixed.json();
    assert_eq!(
        (&mixed["accepted"], &mixed["errors"][0]["line"]),
        (&2.into(), &2.into())
    );
    // Whole without a line end.
    let whole = send(&service, "POST /api/v1/events", &bearer, good.trim_ascii_end());
    assert_eq!(whole.json()["accepted"], 1);

    let metrics = send(&service, "GET /metrics", &bearer, b"").body;
    for (reason, count) in [
        ("no_token", 3),
        ("bad_gzip", 2),
        ("too_large", 4),
        ("bad_bulk", 2),
        ("bad_document", 4),
        ("unknown_encoding", 1),
    ] {
        let line = format!("stakeout_collector_refused_total{{reason=\"{reason}\",source=\"http\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(
        metrics.contains("stakeout_collector_messages_total{source=\"http\"} 3\n"),
        "{metrics}"
    );
    service.terminate();
}

#[test]
fn slow_clients_and_thousands_of_connections_keep_nobody_from_being_answered() {
    let folder = Folder::new("crowd");
    configure(&folder, false);
    let service = Service::start(&folder.0);
    let mut limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limits.current = limits.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).expect("the hard limit may be asked for");

    let begun = Instant::now();
    let slow_body = {
        let address = service.address.clone();
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(&address).expect("it listens");
            let head = "POST /_bulk HTTP/1.1\r\nHost: s\r\nContent-Length: 1000000\r\n\r\n";
            stream.write_all(head.as_bytes()).expect("it reads");
            while stream.write_all(b" ").is_ok() && begun.elapsed() < Duration::from_secs(34) {
                std::thread::sleep(Duration::from_millis(500));
            }
            Answer::read(&mut stream)
        })
    };
    let mut slow_head = TcpStream::connect(&service.address).expect("it listens");
    slow_head
        .write_all(b"POST /_bulk HTTP/1.1\r\nHost: s\r\n")
        .expect("it reads");

    let connections = |service: &Service| service.metric("stakeout_collector_connections{source=\"http\"}");
    let mut crowd: Vec<TcpStream> = Vec::new();
    let mut most = 0.0;
    for number in 0..5000 {
        let mut stream = TcpStream::connect(&service.address).unwrap_or_else(|error| panic!("{number}: {error}"));
        // Half of them begin a request and go no further.
        if number % 2 == 0 {
            stream.write_all(b"POST /_bulk HTTP/1.1\r\n").expect("it reads");
        }
        crowd.push(stream);
        if crowd.len().is_multiple_of(500) {
            most = connections(&service).unwrap_or(0.0).max(most);
        }
    }
    // Who came first may have been let go of already.
    assert!(most > 1000.0, "{most} connections at once");
    let good = b"{\"@timestamp\":\"2026-03-02T09:00:00Z\",\"user\":{\"name\":\"x\"}}\n";
    let asked = Instant::now();
    assert_eq!(send(&service, "POST /api/v1/events", "", good).status, 200);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());

    let answer = slow_body.join().expect("no panic").expect("an answer");
    assert_eq!(answer.status, 408, "{answer:?}");
    let mut rest = Vec::new();
    let _ = slow_head.read_to_end(&mut rest);
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    service.wait_until("who says nothing is let go of", |service| {
        connections(service).unwrap_or(f64::MAX) < 10.0
    });
    drop(crowd);
    service.terminate();
}

/// Needs Python and its package index; says so and does nothing where these are not there.
#[allow(clippy::print_stderr, reason = "who runs the tests should know what was left out")]
#[test]
fn the_official_elasticsearch_client_ships_unchanged() {
    let venv = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("elasticsearch-8");
    let python = venv.join("bin/python");
    let has_client = || {
        let tried = Command::new(&python).args(["-c", "import elasticsearch"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    if !has_client() {
        let _ = Command::new("python3").args(["-m", "venv"]).arg(&venv).output();
        let pip = ["-m", "pip", "install", "--quiet", "elasticsearch>=8,<9"];
        let _ = Command::new(&python).args(pip).output();
    }
    if !has_client() {
        eprintln!("skipped: Python's client `elasticsearch` could not be installed");
        return;
    }
    let folder = Folder::new("python");
    configure(&folder, true);
    let service = Service::start(&folder.0);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/elasticsearch_bulk.py");
    let ran = Command::new(&python)
        .args([script, &format!("http://{}", service.address), TOKEN, "2500"])
        .output()
        .expect("Python was there a moment ago");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let metrics = send(&service, "GET /metrics", &bearer, b"").body;
    // Four clients, and the one document beside the deletion.
    assert!(
        metrics.contains("stakeout_collector_messages_total{source=\"http\"} 10001\n"),
        "{metrics}"
    );
    service.terminate();
}
