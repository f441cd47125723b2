//! TLS of a listener: its certificate, and those that clients must show.

use crate::edge::certificates;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The files that a TLS listener needs, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, with those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority whose certificates clients must show; they need none without it.
    pub client_ca: Option<PathBuf>,
}

/// What is wrong with the files of a TLS listener.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// A file can't be read as PEM.
    #[error("{path}: {problem}; a PEM file of {wanted} is needed")]
    File {
        /// The file.
        path: String,
        /// What should be in it.
        wanted: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// What they hold does not fit together.
    #[error("the certificate {path} can't be used: {problem}")]
    Unfit {
        /// The certificate's file.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

/// What shakes hands with clients.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Shakes hands. Whoever calls bounds the time.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds the key.
        formatter.write_str("Acceptor")
    }
}

impl TlsFiles {
    /// Reads the files. `protocols` are offered by ALPN (RFC 7301); none where the list is empty.
    pub fn acceptor(&self, protocols: &[&str]) -> Result<Acceptor, TlsProblem> {
        let unfit = |problem: String| TlsProblem::Unfit {
            path: self.certificate.display().to_string(),
            problem,
        };
        let certificates = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| file_problem(&self.key, "a private key", error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| unfit(error.to_string()))?;
        let clients = match &self.client_ca {
            None => versions.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in self::certificates(path)? {
                    roots
                        .add(authority)
                        .map_err(|error| file_problem(path, "certificates", error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error| file_problem(path, "certificates", error.to_string()))?;
                versions.with_client_cert_verifier(verifier)
            }
        };
        let mut config = clients
            .with_single_cert(certificates, key)
            .map_err(|error| unfit(error.to_string()))?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    certificates::read(path).map_err(|wrong| file_problem(path, "certificates", wrong.problem))
}

fn file_problem(path: &Path, wanted: &'static str, problem: String) -> TlsProblem {
    TlsProblem::File {
        path: path.display().to_string(),
        wanted,
        problem,
    }
}
