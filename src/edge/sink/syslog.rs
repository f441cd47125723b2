//! Syslog after RFC 5424 with the alert in ArcSight's Common Event Format (CEF 0), over UDP (RFC 5426), TCP (RFC 6587,
//! octet counting) or TLS (RFC 5425).

use super::{Sink, SinkFailure, Told};
use crate::edge::certificates::{self, CertificateProblem};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long connecting and each write may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest datagram; RFC 5426 asks receivers for 2,048 bytes, most take 8,192.
const DATAGRAM_BYTES_MAX: usize = 8192;
/// Facility 13, log audit.
const FACILITY: u64 = 13;

/// How the receiver is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyslogTransport {
    /// A datagram a message.
    Udp,
    /// Octet counting over TCP.
    Tcp,
    /// Octet counting over TLS.
    Tls,
}

/// A syslog receiver.
pub struct SyslogSink {
    transport: SyslogTransport,
    /// Host and port.
    address: String,
    tls: Option<Arc<ClientConfig>>,
    hostname: String,
    connection: Option<Connection>,
}

enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl SyslogSink {
    /// A receiver at `address` (host and port). Over TLS its certificate must be signed by one in `ca_file`.
    pub fn new(transport: SyslogTransport, address: &str, ca_file: Option<&Path>) -> io::Result<SyslogSink> {
        let tls = match (transport, ca_file) {
            (SyslogTransport::Tls, Some(path)) => Some(Arc::new(client_config(path).map_err(io::Error::other)?)),
            (SyslogTransport::Tls, None) => {
                return Err(io::Error::other("a `tls://` receiver needs a `ca_file`"));
            }
            _ => None,
        };
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(SyslogSink {
            transport,
            address: address.to_owned(),
            tls,
            hostname,
            connection: None,
        })
    }

    fn connect(&self) -> io::Result<Connection> {
        let nowhere = || io::Error::other("the name has no address");
        let address: SocketAddr = self.address.to_socket_addrs()?.next().ok_or_else(nowhere)?;
        if self.transport == SyslogTransport::Udp {
            let own: SocketAddr = match address {
                SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                SocketAddr::V6(_) => ([0u16; 8], 0).into(),
            };
            let socket = UdpSocket::bind(own)?;
            socket.connect(address)?;
            return Ok(Connection::Udp(socket));
        }
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let Some(config) = &self.tls else {
            return Ok(Connection::Tcp(stream));
        };
        let host = self
            .address
            .rsplit_once(':')
            .map_or(self.address.as_str(), |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let client = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Connection::Tls(Box::new(StreamOwned::new(client, stream))))
    }

    fn write(&mut self, messages: &[String]) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        for message in messages {
            let counted = || format!("{} {message}", message.len());
            match &mut connection {
                Connection::Udp(socket) => {
                    let end = message.floor_char_boundary(DATAGRAM_BYTES_MAX);
                    socket
                        .send(message.get(..end).unwrap_or_default().as_bytes())
                        .map(|_| ())?;
                }
                Connection::Tcp(stream) => stream.write_all(counted().as_bytes())?,
                Connection::Tls(stream) => stream.write_all(counted().as_bytes())?,
            }
        }
        if let Connection::Tls(stream) = &mut connection {
            stream.flush()?;
        }
        self.connection = Some(connection);
        Ok(())
    }
}

impl Sink for SyslogSink {
    fn deliver(&mut self, told: &[Told]) -> Result<(), SinkFailure> {
        let messages: Vec<String> = told
            .iter()
            .filter_map(|told| serde_json::from_str(&told.ecs).ok())
            .map(|document| message(&document, &self.hostname))
            .collect();
        self.write(&messages)
            .map_err(|error| SinkFailure::new(format!("{}: {error}", self.address)))
    }
}

fn client_config(ca_file: &Path) -> Result<ClientConfig, CertificateProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates::read(ca_file)? {
        roots
            .add(certificate)
            .map_err(|error| CertificateProblem::new(ca_file, error))?;
    }
    Ok(ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A whole message.
fn message(document: &Value, hostname: &str) -> String {
    let severity = document["event"]["severity"].as_u64().unwrap_or(0);
    // Syslog's severities: critical, error, warning, notice, informational.
    let level = match severity {
        90.. => 2,
        60.. => 3,
        40.. => 4,
        20.. => 5,
        _ => 6,
    };
    let time = document["@timestamp"].as_str().unwrap_or("-");
    format!(
        "<{}>1 {time} {hostname} stakeout {} alert - {}",
        FACILITY * 8 + level,
        std::process::id(),
        cef(document, severity)
    )
}

/// `CEF:0|vendor|product|version|class id|name|severity|extension`.
fn cef(document: &Value, severity: u64) -> String {
    let text = |pointer: &str| match document.pointer(pointer) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Array(list)) => {
            let names: Vec<&str> = list
                .iter()
                .filter_map(|item| item.as_str().or(item["name"].as_str()).or(item["id"].as_str()))
                .collect();
            (!names.is_empty()).then(|| names.join(","))
        }
        _ => None,
    };
    let header = |pointer: &str| {
        let text = text(pointer).unwrap_or_default();
        text.replace('\\', "\\\\")
            .replace('|', "\\|")
            .replace(['\n', '\r'], " ")
    };
    let mut line = format!(
        "CEF:0|Stakeout|Stakeout|{}|{}|{}|{}|",
        header("/stakeout/versions/program"),
        header("/rule/id"),
        header("/rule/name"),
        (severity / 10).min(10)
    );
    let mut separator = "";
    for (key, pointer) in EXTENSION {
        let Some(value) = text(pointer) else { continue };
        let value = match key {
            "rt" | "start" | "end" => milliseconds(&value),
            _ => value,
        };
        let value = value.replace('\\', "\\\\").replace('=', "\\=");
        let value = value.replace('\r', "").replace('\n', "\\n");
        line.push_str(&format!("{separator}{key}={value}"));
        separator = " ";
        if let Some((_, label)) = LABELS.iter().find(|(labelled, _)| *labelled == key) {
            line.push_str(&format!(" {key}Label={label}"));
        }
    }
    line
}

/// A time as CEF writes it: milliseconds since 1970.
fn milliseconds(time: &str) -> String {
    time.parse::<jiff::Timestamp>()
        .map_or_else(|_| time.to_owned(), |time| time.as_millisecond().to_string())
}

/// CEF's extension keys, and where their values stand in an ECS document.
const EXTENSION: [(&str, &str); 18] = [
    ("externalId", "/event/id"),
    ("rt", "/@timestamp"),
    ("start", "/event/start"),
    ("end", "/event/end"),
    ("cnt", "/stakeout/count"),
    ("cat", "/threat/tactic"),
    ("src", "/source/ip"),
    ("dst", "/destination/ip"),
    ("dpt", "/destination/port"),
    ("shost", "/host/name"),
    ("suser", "/user/name"),
    ("destinationDnsDomain", "/dns/question/registered_domain"),
    ("sproc", "/process/name"),
    ("cfp1", "/event/risk_score"),
    ("cfp2", "/stakeout/peak/surprise"),
    ("cs1", "/threat/technique"),
    ("cs2", "/stakeout/normal_if"),
    ("msg", "/message"),
];
const LABELS: [(&str, &str); 4] = [
    ("cfp1", "risk"),
    ("cfp2", "surprise"),
    ("cs1", "attackTechniques"),
    ("cs2", "normalIf"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_alert_is_a_line_of_cef_in_a_syslog_message() {
        let document = json!({
            "@timestamp": "2026-03-02T09:12:41.000Z", "message": "a=b failed\n37 logins",
            "event": { "id": "a1", "severity": 73, "risk_score": 92.7 },
            "rule": { "id": "source_login_failures", "name": "Many | failures" },
            "source": { "ip": "10.0.0.7" },
            "threat": { "tactic": [{ "name": "credential-access" }], "technique": [{ "id": "T1110" }] },
            "stakeout": { "count": 1, "versions": { "program": "0.1.0" } },
        });
        let message = message(&document, "sensor");
        let (head, cef) = message.split_once(" - CEF:").expect("CEF");
        assert_eq!(
            head,
            format!(
                "<107>1 2026-03-02T09:12:41.000Z sensor stakeout {} alert",
                std::process::id()
            )
        );
        assert_eq!(
            cef,
            "0|Stakeout|Stakeout|0.1.0|source_login_failures|Many \\| failures|7|externalId=a1 \
             rt=1772442761000 cnt=1 cat=credential-access src=10.0.0.7 cfp1=92.7 cfp1Label=risk \
             cs1=T1110 cs1Label=attackTechniques msg=a\\=b failed\\n37 logins"
        );
    }
}
