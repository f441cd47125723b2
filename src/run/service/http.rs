//! The one listener: metrics, health, and what was told.

use super::credentials;
use super::serve::serve;
use super::status::Status;
use crate::config::{Http, Secret};
use crate::edge::collector::Origin;
use crate::edge::tls::{Acceptor, TlsFiles};
use anyhow::Context as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::task::JoinHandle;

/// What the handlers share.
struct Shared {
    status: Arc<Status>,
    access: Arc<Access>,
}

/// Who may ask. Read again when the configuration is reloaded.
#[derive(Debug)]
pub(in crate::run) struct Access(RwLock<Opened>);

/// What the listener's files say.
#[derive(Debug)]
pub(super) struct Opened {
    token: Option<String>,
    acceptor: Option<Acceptor>,
}

impl Opened {
    fn read(http: &Http) -> anyhow::Result<Opened> {
        let token = http.token_file.clone().map(|path| Secret::File(path).read());
        let acceptor = http.tls.as_ref().map(|tls| {
            let files = TlsFiles {
                certificate: tls.certificate.clone(),
                key: tls.key.clone(),
                client_ca: tls.client_ca.clone(),
            };
            files.acceptor(&["http/1.1"])
        });
        Ok(Opened {
            token: token.transpose()?,
            acceptor: acceptor.transpose()?,
        })
    }
}

impl Access {
    pub(in crate::run) fn new(http: &Http) -> anyhow::Result<Arc<Access>> {
        Ok(Arc::new(Access(RwLock::new(Opened::read(http)?))))
    }

    /// What the files say now.
    pub(super) fn read(&self, http: &Http) -> anyhow::Result<Opened> {
        Opened::read(http)
    }

    /// From now on this decides.
    pub(super) fn put(&self, opened: Opened) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = opened;
    }

    /// What shakes hands with whom connects now, where the listener is encrypted.
    pub(super) fn acceptor(&self) -> Option<Acceptor> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// Whether a request bears what is asked for, if anything is.
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let opened = self.0.read().unwrap_or_else(PoisonError::into_inner);
        opened
            .token
            .as_ref()
            .is_none_or(|token| credentials::bear(headers, token))
    }
}

/// The listener at work.
pub(in crate::run) struct Listener {
    /// Where it listens; the port is the one that it got where 0 was asked for.
    pub(in crate::run) address: SocketAddr,
    /// Its task.
    pub(in crate::run) task: JoinHandle<()>,
}

/// Binds the listener.
pub(in crate::run) fn bind(http: &Http) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(http.listen);
    let listener = listener.with_context(|| {
        format!(
            "listening on {}; is it in use? name another `http: listen`",
            http.listen
        )
    })?;
    listener.set_nonblocking(true).context("preparing the listener")?;
    Ok(listener)
}

/// Answers in the background, `routes` only to those who may ask.
pub(in crate::run) async fn start(
    listener: TcpListener,
    access: Arc<Access>,
    status: Arc<Status>,
    routes: Router,
) -> anyhow::Result<Listener> {
    let collectors = status.metrics.collectors.clone();
    let shared = Arc::new(Shared {
        status,
        access: access.clone(),
    });
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .with_state(shared.clone())
        .merge(routes)
        .route_layer(middleware::from_fn_with_state(shared.clone(), authorised));
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(shared.clone())
        .merge(guarded)
        .layer(middleware::from_fn_with_state(shared, timed));
    let listener = tokio::net::TcpListener::from_std(listener).context("preparing the listener")?;
    let address = listener.local_addr().context("asking for the listener's address")?;
    let task = tokio::spawn(serve(listener, router, access, collectors));
    Ok(Listener { address, task })
}

/// Notes how long an answer took, by the route that gave it: what was asked for is not a label.
async fn timed(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let path = route.as_ref().map_or("none", MatchedPath::as_str);
    let status = match response.status().as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    let seconds = &shared.status.metrics.http_seconds;
    seconds
        .with_label_values(&[path, status])
        .observe(begun.elapsed().as_secs_f64());
    response
}

/// Lets through who bears the token, or everybody where none is configured (loopback only).
async fn authorised(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if shared.access.lets_in(request.headers()) {
        return next.run(request).await;
    }
    let collectors = &shared.status.metrics.collectors;
    collectors.refused(Origin::Http, "no_token").inc();
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, "Bearer, Basic realm=\"stakeout\", ApiKey")],
        "the token is needed: as a bearer token, as a password or as an API key\n",
    )
        .into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match shared.status.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let readiness = shared.status.readiness();
    let code = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(readiness)).into_response()
}
