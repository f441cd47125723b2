//! Certificates in PEM files.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::path::Path;

/// A file of certificates that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}; a file with certificates in PEM form is needed")]
pub struct CertificateProblem {
    /// The file.
    pub(super) path: String,
    /// What is wrong with it.
    pub(super) problem: String,
}

impl CertificateProblem {
    pub(super) fn new(path: &Path, problem: impl ToString) -> CertificateProblem {
        CertificateProblem {
            path: path.display().to_string(),
            problem: problem.to_string(),
        }
    }
}

/// The certificates of a file, of which there is at least one.
pub(super) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    let wrong = |error| CertificateProblem::new(path, error);
    let read = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    let found: Vec<_> = read.collect::<Result<_, _>>().map_err(wrong)?;
    match found.is_empty() {
        true => Err(CertificateProblem::new(path, "it holds no certificate")),
        false => Ok(found),
    }
}
