//! What is sent to `stakeout run` as syslog and on standard input, by real senders: `logger`, rsyslog and OpenSSL. A test
//! whose sender is not installed says so and does nothing.

mod serving;

use serving::{Folder, Service, certificates, recorded};
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A port that was free a moment ago, for both protocols.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn configure(folder: &Folder, inputs: &str) {
    let text = format!(
        "http: {{ listen: '127.0.0.1:0' }}\nstore: {{ commit_every: 100ms, snapshot_every: 1h }}\n\
         sinks: [{{ type: file, path: '{}' }}]\ninputs:\n{inputs}",
        folder.0.join("alerts.json").display()
    );
    fs::write(folder.0.join("stakeout.yaml"), text).expect("a configuration");
}

#[allow(clippy::print_stderr, reason = "who runs the tests should know what was left out")]
fn is_there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

fn messages(service: &Service) -> f64 {
    let name = "stakeout_collector_messages_total{source=\"syslog\"}";
    service.metric(name).unwrap_or(0.0)
}

fn refused(service: &Service, reason: &str) -> f64 {
    let name = format!("stakeout_collector_refused_total{{reason=\"{reason}\",source=\"syslog\"}}");
    service.metric(&name).unwrap_or(0.0)
}

fn decoded(service: &Service) -> f64 {
    service
        .metric("stakeout_records_total{outcome=\"decoded\"}")
        .unwrap_or(0.0)
}

#[test]
fn what_logger_sends_is_decoded_in_each_framing() {
    if !is_there("logger") {
        return;
    }
    let folder = Folder::new("logger");
    let port = free_port();
    configure(
        &folder,
        &format!("  syslog: ['udp://127.0.0.1:{port}', {{ listen: 'tcp://127.0.0.1:{port}' }}]\n"),
    );
    let service = Service::start(&folder.0);
    let mut sent = 0.0;
    for framing in [
        &["--udp", "--rfc3164"][..],
        &["--udp", "--rfc5424"],
        &["--tcp", "--rfc3164"],
        &["--tcp", "--rfc5424"],
        &["--tcp", "--octet-count", "--rfc5424"],
        &["--tcp", "--octet-count", "--rfc3164"],
    ] {
        let ran = Command::new("logger")
            .args(["--server", "127.0.0.1", "--port", &port.to_string(), "--tag", "sshd"])
            .args(["--priority", "auth.info", "--id=77"])
            .args(framing)
            .arg("Failed password for root from 10.0.0.7 port 4242 ssh2")
            .status()
            .expect("logger was there a moment ago");
        assert!(ran.success(), "{framing:?}");
        sent += 1.0;
        service.wait_until("it has come", |service| messages(service) >= sent);
    }
    service.wait_until("all were decoded", |service| decoded(service) >= sent);
    assert_eq!((messages(&service), decoded(&service)), (sent, sent));
    service.terminate();
}

#[test]
fn a_log_that_rsyslog_forwards_arrives_whole() {
    if !is_there("rsyslogd") {
        return;
    }
    let folder = Folder::new("rsyslog");
    let (port, path) = (free_port(), folder.0.display());
    configure(&folder, &format!("  syslog: ['tcp://127.0.0.1:{port}']\n"));
    let log = recorded();
    fs::write(folder.0.join("auth.log"), &log).expect("a log");
    let lines = log.iter().filter(|byte| **byte == b'\n').count() as f64;
    let service = Service::start(&folder.0);
    // The recorded lines are sent as they are, in octet counting.
    let rules = format!(
        "module(load=\"imfile\")\nglobal(workDirectory=\"{path}\")\n\
         template(name=\"raw\" type=\"string\" string=\"%rawmsg%\")\n\
         input(type=\"imfile\" File=\"{path}/auth.log\" Tag=\"x\")\n\
         action(type=\"omfwd\" Target=\"127.0.0.1\" Port=\"{port}\" Protocol=\"tcp\" TCP_Framing=\"octet-counted\" \
         Template=\"raw\" action.resumeRetryCount=\"-1\")\n"
    );
    fs::write(folder.0.join("rsyslog.conf"), rules).expect("rules");
    let mut rsyslog = Command::new("rsyslogd")
        .arg("-n")
        .arg("-f")
        .arg(folder.0.join("rsyslog.conf"))
        .arg("-i")
        .arg(folder.0.join("rsyslog.pid"))
        .spawn()
        .expect("rsyslogd was there a moment ago");
    service.wait_until("every line has come", |service| messages(service) >= lines);
    rsyslog.kill().expect("it was running");
    rsyslog.wait().expect("it has ended");
    assert_eq!(messages(&service), lines);
    service.wait_until("they were decoded as from a file", |service| decoded(service) > 1000.0);
    service.terminate();
}

#[test]
fn tls_takes_those_who_show_a_certificate_of_the_authority() {
    if !is_there("openssl") {
        return;
    }
    let folder = Folder::new("tls");
    certificates(&folder);
    let (port, path) = (free_port(), folder.0.display());
    configure(
        &folder,
        &format!(
            "  syslog: [{{ listen: 'tls://127.0.0.1:{port}', certificate: '{path}/service.pem', key: \
             '{path}/service.key', client_ca: '{path}/ca.pem' }}]\n"
        ),
    );
    let service = Service::start(&folder.0);
    let connect = |certificate: &[&str]| {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-CAfile", "ca.pem"])
            .args(["-connect", &format!("127.0.0.1:{port}")])
            .args(certificate)
            .current_dir(&folder.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl was there a moment ago");
        let message = "<38>Mar  2 09:00:00 host sshd[7]: Failed password for root from 10.0.0.7 port 4242 ssh2";
        let stream = format!("{} {message}{message}\n", message.len());
        // Who was turned away does not read it.
        let _ = client.stdin.as_mut().expect("piped").write_all(stream.as_bytes());
        client
    };
    let mut shown = connect(&["-cert", "sender.pem", "-key", "sender.key"]);
    service.wait_until("both messages have come", |service| decoded(service) >= 2.0);
    assert_eq!(messages(&service), 2.0);
    let mut bare = connect(&[]);
    service.wait_until("the other is turned away", |service| {
        refused(service, "bad_handshake") >= 1.0
    });
    let mut plain = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    plain.write_all(b"<38>no handshake\n").expect("it reads");
    service.wait_until("so is who encrypts nothing", |service| {
        refused(service, "bad_handshake") >= 2.0
    });
    assert_eq!(messages(&service), 2.0);
    for client in [&mut shown, &mut bare] {
        let _ = client.kill();
        client.wait().expect("it has ended");
    }
    service.terminate();
}

#[test]
fn floods_and_long_lines_are_counted_and_what_comes_behind_them_is_whole() {
    let folder = Folder::new("flood");
    let port = free_port();
    configure(
        &folder,
        &format!("  syslog: ['udp://127.0.0.1:{port}', {{ listen: 'tcp://127.0.0.1:{port}' }}]\n"),
    );
    let service = Service::start(&folder.0);
    let good = "<38>Mar  2 09:00:00 host sshd[7]: Failed password for root from 10.0.0.7 port 4242 ssh2\n";
    let connect = || TcpStream::connect(("127.0.0.1", port)).expect("it listens");

    // A line of 100 MB, and a good one behind it.
    let mut stream = connect();
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        stream.write_all(&piece).expect("it reads");
    }
    stream.write_all(format!("\n{good}").as_bytes()).expect("it reads");
    service.wait_until("the good line was read", |service| decoded(service) >= 1.0);
    assert_eq!((messages(&service), refused(&service, "message_cut")), (2.0, 1.0));

    // Bytes that mean nothing, as a count that is never reached among them.
    let mut number = 0x5eed_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (number >> 56) as u8
    })
    .take(3 << 20)
    .collect();
    let mut stream = connect();
    stream.write_all(&noise).expect("it reads");
    stream.write_all(b"\n999999 half").expect("it reads");
    drop(stream);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for datagram in noise.chunks(1000).take(500) {
        socket.send_to(datagram, ("127.0.0.1", port)).expect("it is there");
    }
    service.wait_until("the half message is counted", |service| {
        refused(service, "message_half") >= 1.0
    });

    // More connections than are taken.
    let crowd: Vec<TcpStream> = (0..1100).map(|_| connect()).collect();
    service.wait_until("the rest are turned away", |service| {
        refused(service, "too_many_connections") >= 50.0
    });
    drop(crowd);
    service.wait_until("nobody is left but the first", |service| {
        let name = "stakeout_collector_connections{source=\"syslog\"}";
        service.metric(name).unwrap_or(f64::MAX) <= 1.0
    });
    let mut stream = connect();
    stream.write_all(good.as_bytes()).expect("it reads");
    service.wait_until("good lines are still read", |service| decoded(service) >= 2.0);

    // What has come is read at the end, though its sender goes on.
    let before = messages(&service);
    for _ in 0..100 {
        stream.write_all(good.as_bytes()).expect("it reads");
    }
    service.wait_until("it has come", |service| messages(service) >= before + 100.0);
    let begun = Instant::now();
    service.terminate();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn one_message_on_standard_input_is_read_and_its_end_ends_nothing() {
    let folder = Folder::new("stdin");
    configure(&folder, "  stdin: true\n");
    let message = "Mar  2 09:00:00 host sshd[7]: Failed password for root from 10.0.0.7 port 4242 ssh2";
    // Without a line end.
    fs::write(folder.0.join("message"), message).expect("a file");
    let input = fs::File::open(folder.0.join("message")).expect("it was just written");
    let service = Service::start_reading(&folder.0, input);
    service.wait_until("the message was decoded", |service| decoded(service) >= 1.0);
    assert!(service.get("/healthz").is_some_and(|answer| answer == "ok\n"));
    service.terminate();
}
