//! The one listener: for people, Prometheus and shippers.

use super::text;
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
}

impl Http {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.token_file.iter().map(PathBuf::as_path)
    }
}

impl Default for Http {
    fn default() -> Self {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 9750)),
            token_file: None,
        }
    }
}

pub(super) fn read(place: &Place<'_>, mistakes: &mut Vec<Mistake>) -> Http {
    let mut http = Http::default();
    expect_mapping(place, &["listen", "token_file"], mistakes);
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
    if !http.listen.ip().is_loopback() && http.token_file.is_none() {
        mistakes.push(place.mistake("a listener that is not on loopback needs a `token_file`"));
    }
    http
}
