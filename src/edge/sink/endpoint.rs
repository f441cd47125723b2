//! An HTTP endpoint that sinks post to: its address, its secrets, its time limits, and what its answers mean.

use super::SinkFailure;
use crate::edge::certificates::{self, CertificateProblem};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// How long a connection may take to stand.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long a whole exchange may take.
const EXCHANGE_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Characters of an answer that stand in a failure.
const SHOWN_MAX: usize = 200;
/// The longest time that the other end may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Who asks.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// `Authorization: Bearer TOKEN`.
    Bearer(String),
    /// `Authorization: ApiKey KEY`, as Elasticsearch gives it in its encoded form.
    ApiKey(String),
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
}

/// Secrets do not reach a log.
impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Credentials::None => "None",
            Credentials::Bearer(_) => "Bearer(..)",
            Credentials::ApiKey(_) => "ApiKey(..)",
            Credentials::Basic { .. } => "Basic(..)",
        })
    }
}

impl Credentials {
    fn header(&self) -> Option<String> {
        use base64::Engine as _;
        Some(match self {
            Credentials::None => return None,
            Credentials::Bearer(token) => format!("Bearer {token}"),
            Credentials::ApiKey(key) => format!("ApiKey {key}"),
            Credentials::Basic { user, password } => {
                let pair = format!("{user}:{password}");
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
        })
    }
}

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    agent: Agent,
    url: String,
    credentials: Credentials,
}

impl Endpoint {
    /// An endpoint. Certificates are checked against `ca_file`, else against Mozilla's roots.
    pub fn new(url: &str, credentials: Credentials, ca_file: Option<&Path>) -> Result<Endpoint, CertificateProblem> {
        let roots = match ca_file {
            Some(path) => {
                let read = certificates::read(path)?;
                RootCerts::from(
                    read.iter()
                        .map(|held| Certificate::from_der(held).to_owned())
                        .collect::<Vec<_>>(),
                )
            }
            None => RootCerts::WebPki,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(EXCHANGE_MAX))
            .user_agent(concat!("stakeout/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(Endpoint {
            agent: config.new_agent(),
            url: url.trim_end_matches('/').to_owned(),
            credentials,
        })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Posts a body to a path below the endpoint's address and gives the answer, which is a success.
    pub fn post(
        &self,
        path: &str,
        content_type: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<String, SinkFailure> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("content-type", content_type);
        if let Some(credentials) = self.credentials.header() {
            request = request.header("authorization", credentials);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let failed = |problem: String| SinkFailure::new(format!("{}: {problem}", self.url));
        let mut answer = request.send(body).map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let retry_after = answer
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        if status.is_success() {
            return text.map_err(|error| failed(error.to_string()));
        }
        let said: String = text.unwrap_or_default().chars().take(SHOWN_MAX).collect();
        let mut failure = failed(format!("answered {status}: {}", said.trim()));
        failure.retry_after = retry_after;
        // What the other end can't take will not get better by being sent again.
        failure.refused = matches!(status.as_u16(), 400 | 413 | 422);
        Err(failure)
    }
}
