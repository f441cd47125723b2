//! Listeners for what is sent to us: where, and how.

use super::{keys, text};
use crate::config::{bounded, expect_mapping};
use crate::domain::{Mistake, Place};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A listener for syslog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogInput {
    /// As it was configured; names the input.
    pub listen: String,
    /// Address and port.
    pub address: SocketAddr,
    /// How messages come.
    pub transport: ListenTransport,
}

/// How messages come to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenTransport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
    /// Encrypted connections.
    Tls {
        /// The file of the listener's certificate.
        certificate: PathBuf,
        /// The file of its key.
        key: PathBuf,
        /// The file of the authority whose certificates senders must show.
        client_ca: Option<PathBuf>,
    },
}

/// A listener for NetFlow, IPFIX and sFlow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetflowInput {
    /// As it was configured; names the input.
    pub listen: String,
    /// Address and port.
    pub address: SocketAddr,
}

/// Reads the listeners of `inputs: netflow`.
pub(super) fn netflow(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Vec<NetflowInput> {
    let mut found: Vec<NetflowInput> = Vec::new();
    for item in bounded(place, mistakes) {
        let place = if item.value().is_mapping() {
            expect_mapping(&item, &keys::NETFLOW, mistakes);
            item.get("listen")
        } else {
            Some(item.clone())
        };
        let Some(place) = place else {
            mistakes.push(item.mistake("the listener has no `listen`"));
            continue;
        };
        let Some((listen, _, address)) = listen(&place, &["udp"], mistakes) else {
            continue;
        };
        if found.iter().any(|other| other.listen == listen) {
            mistakes.push(item.mistake(format!("there are two listeners `{listen}`")));
        }
        found.push(NetflowInput { listen, address });
    }
    found
}

/// Reads the listeners of `inputs: syslog`.
pub(super) fn syslog(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Vec<SyslogInput> {
    let mut found: Vec<SyslogInput> = Vec::new();
    for item in bounded(place, mistakes) {
        let Some(input) = syslog_input(&item, mistakes) else {
            continue;
        };
        if found.iter().any(|other| other.listen == input.listen) {
            mistakes.push(item.mistake(format!("there are two listeners `{}`", input.listen)));
        }
        found.push(input);
    }
    found
}

fn syslog_input(item: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<SyslogInput> {
    if !item.value().is_mapping() {
        let (listen, scheme, address) = listen(item, &["udp", "tcp"], mistakes)?;
        let transport = match scheme.as_str() {
            "udp" => ListenTransport::Udp,
            _ => ListenTransport::Tcp,
        };
        return Some(SyslogInput {
            listen,
            address,
            transport,
        });
    }
    expect_mapping(item, &keys::SYSLOG, mistakes);
    let Some(place) = item.get("listen") else {
        mistakes.push(item.mistake("the listener has no `listen`"));
        return None;
    };
    let mut path = |key: &str| {
        item.get(key)
            .and_then(|place| text(&place, mistakes))
            .map(PathBuf::from)
    };
    let (certificate, key, client_ca) = (path("certificate"), path("key"), path("client_ca"));
    let has_files = certificate.is_some() || key.is_some() || client_ca.is_some();
    let (listen, scheme, address) = listen(&place, &["udp", "tcp", "tls"], mistakes)?;
    let transport = match (scheme.as_str(), certificate, key) {
        ("tls", Some(certificate), Some(key)) => ListenTransport::Tls {
            certificate,
            key,
            client_ca,
        },
        ("tls", ..) => {
            mistakes.push(item.mistake("a `tls://` listener needs a `certificate` and a `key`"));
            return None;
        }
        _ if has_files => {
            mistakes.push(item.mistake("only a `tls://` listener has a `certificate`, `key` or `client_ca`"));
            return None;
        }
        ("udp", ..) => ListenTransport::Udp,
        _ => ListenTransport::Tcp,
    };
    Some(SyslogInput {
        listen,
        address,
        transport,
    })
}

/// Reads `scheme://address:port`, and gives the text too.
fn listen(place: &Place<'_>, schemes: &[&str], mistakes: &mut Vec<Mistake>) -> Option<(String, String, SocketAddr)> {
    let listen = text(place, mistakes)?;
    let parts = listen.split_once("://").and_then(|(scheme, address)| {
        let scheme = schemes.iter().find(|known| **known == scheme)?;
        Some(((*scheme).to_owned(), address.parse().ok()?))
    });
    let Some((scheme, address)) = parts else {
        let forms: Vec<String> = schemes.iter().map(|scheme| format!("`{scheme}://..`")).collect();
        mistakes.push(place.mistake(format!(
            "must be like `{}://127.0.0.1:5514`, with an address and a port ({})",
            schemes.first().unwrap_or(&"udp"),
            forms.join(", ")
        )));
        return None;
    };
    Some((listen, scheme, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn listeners_are_read() {
        let text = "\
inputs:
  stdin: true
  syslog:
    - udp://127.0.0.1:5514
    - { listen: 'tcp://[::1]:5514' }
    - { listen: 'tls://0.0.0.0:6514', certificate: a.pem, key: b.pem, client_ca: c.pem }
  netflow:
    - { listen: 'udp://127.0.0.1:2055' }
    - udp://[::]:6343
";
        let inputs = Config::read("s.yml", text).expect("no mistakes").service.inputs;
        assert!(inputs.stdin && !inputs.journal);
        let transports: Vec<_> = inputs.syslog.iter().map(|input| &input.transport).collect();
        let tls = ListenTransport::Tls {
            certificate: "a.pem".into(),
            key: "b.pem".into(),
            client_ca: Some("c.pem".into()),
        };
        assert_eq!(transports, [&ListenTransport::Udp, &ListenTransport::Tcp, &tls]);
        let netflow: Vec<_> = inputs.netflow.iter().map(|input| input.address.port()).collect();
        assert_eq!(netflow, [2055, 6343]);
        assert_eq!(inputs.syslog[1].address, "[::1]:5514".parse().expect("an address"));
    }

    #[test]
    fn mistakes_about_listeners_are_told_with_their_place() {
        let text = "\
inputs:
  stdin: maybe
  syslog:
    - http://127.0.0.1:5514
    - { listen: 'tls://0.0.0.0:6514', key: b.pem }
    - { listen: 'udp://0.0.0.0:6514', key: b.pem }
    - { port: 514 }
    - tcp://localhost:514
    - udp://127.0.0.1:5514
    - udp://127.0.0.1:5514
  netflow: [tcp://127.0.0.1:2055, {}]
";
        let found = Config::read("s.yml", text).expect_err("mistakes");
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "s.yml:2:3: inputs/stdin: must be true or false",
                "s.yml:4:7: inputs/syslog/1: must be like `udp://127.0.0.1:5514`, with an address and a port (`udp://..`, `tcp://..`)",
                "s.yml:5:7: inputs/syslog/2: a `tls://` listener needs a `certificate` and a `key`",
                "s.yml:6:7: inputs/syslog/3: only a `tls://` listener has a `certificate`, `key` or `client_ca`",
                "s.yml:7:7: inputs/syslog/4: the listener has no `listen`",
                "s.yml:7:9: inputs/syslog/4/port: unknown key `port`",
                "s.yml:8:7: inputs/syslog/5: must be like `udp://127.0.0.1:5514`, with an address and a port (`udp://..`, `tcp://..`)",
                "s.yml:10:7: inputs/syslog/7: there are two listeners `udp://127.0.0.1:5514`",
                "s.yml:11:13: inputs/netflow/1: must be like `udp://127.0.0.1:5514`, with an address and a port (`udp://..`)",
                "s.yml:11:35: inputs/netflow/2: the listener has no `listen`",
            ]
        );
    }
}
