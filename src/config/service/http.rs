//! The one listener: for people, Prometheus and shippers.

use super::{keys, text};
use crate::config::expect_mapping;
use crate::domain::{Mistake, Place};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// The file of the token that requests must bear; nobody is asked without it.
    pub token_file: Option<PathBuf>,
    /// Its certificates; it speaks without encryption when there are none.
    pub tls: Option<HttpTls>,
}

/// The files of an encrypted listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTls {
    /// Its certificate, with those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority whose certificates clients must show; they need none without it.
    pub client_ca: Option<PathBuf>,
}

impl Http {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let tls = self.tls.iter();
        let tls = tls.flat_map(|tls| [Some(&tls.certificate), Some(&tls.key), tls.client_ca.as_ref()]);
        self.token_file.iter().chain(tls.flatten()).map(PathBuf::as_path)
    }
}

impl Default for Http {
    fn default() -> Self {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 9750)),
            token_file: None,
            tls: None,
        }
    }
}

pub(super) fn read(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Http {
    let mut http = Http::default();
    expect_mapping(place, &keys::HTTP, mistakes);
    if let Some(place) = place.get("listen") {
        match place.value().as_str().and_then(|text| text.parse().ok()) {
            Some(listen) => http.listen = listen,
            None => mistakes.push(place.mistake("must be an address with a port, such as `127.0.0.1:9750`")),
        }
    }
    http.token_file = place
        .get("token_file")
        .and_then(|place| text(&place, mistakes))
        .map(PathBuf::from);
    http.tls = place.get("tls").and_then(|place| tls(&place, mistakes));
    let asks_for_certificates = http.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if !http.listen.ip().is_loopback() && http.token_file.is_none() && !asks_for_certificates {
        mistakes.push(
            place.mistake("a listener that is not on loopback needs a `token_file`, or `tls` with a `client_ca`"),
        );
    }
    http
}

fn tls(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Option<HttpTls> {
    expect_mapping(place, &keys::HTTP_TLS, mistakes);
    let mut path = |key: &str| {
        place
            .get(key)
            .and_then(|place| text(&place, mistakes))
            .map(PathBuf::from)
    };
    let (certificate, key, client_ca) = (path("certificate"), path("key"), path("client_ca"));
    let (Some(certificate), Some(key)) = (certificate, key) else {
        mistakes.push(place.mistake("needs a `certificate` and a `key`"));
        return None;
    };
    Some(HttpTls {
        certificate,
        key,
        client_ca,
    })
}
