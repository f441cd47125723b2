//! The one listener: metrics, health, and what was told.

use super::credentials;
use super::intake::Intake;
use super::serve::serve;
use super::status::Status;
use crate::config::Http;
use crate::edge::sink::Told;
use crate::edge::store::Store;
use anyhow::Context as _;
use axum::extract::{MatchedPath, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinHandle;

/// Alerts on one page at most.
const PAGE_MAX: usize = 1000;
/// Alerts that are looked through for one answer.
const LOOKED_THROUGH_MAX: usize = 100_000;

/// What the handlers share.
struct Shared {
    store: Arc<Store>,
    status: Arc<Status>,
    intake: Arc<Intake>,
    token: Option<String>,
}

/// The listener at work.
pub(super) struct Listener {
    /// Where it listens; the port is the one that it got where 0 was asked for.
    pub(super) address: SocketAddr,
    /// Its task.
    pub(super) task: JoinHandle<()>,
}

/// Binds the listener.
pub(super) fn bind(http: &Http) -> anyhow::Result<TcpListener> {
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

/// Answers in the background.
pub(super) async fn start(
    listener: TcpListener,
    http: &Http,
    store: Arc<Store>,
    status: Arc<Status>,
    intake: Arc<Intake>,
) -> anyhow::Result<Listener> {
    let token = match &http.token_file {
        None => None,
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("reading the token {}", path.display()))?;
            Some(text.trim().to_owned())
        }
    };
    let collectors = status.metrics.collectors.clone();
    let shared = Arc::new(Shared {
        store,
        status,
        intake: intake.clone(),
        token,
    });
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/alerts/{id}", get(alert))
        .with_state(shared.clone())
        .merge(intake.routes())
        .route_layer(middleware::from_fn_with_state(shared.clone(), authorised));
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(shared.clone())
        .merge(guarded)
        .layer(middleware::from_fn_with_state(shared, timed));
    let listener = tokio::net::TcpListener::from_std(listener).context("preparing the listener")?;
    let address = listener.local_addr().context("asking for the listener's address")?;
    let task = tokio::spawn(serve(listener, router, collectors));
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
    match &shared.token {
        Some(token) if !credentials::bear(request.headers(), token) => {
            shared.intake.turned_away();
            (
                StatusCode::UNAUTHORIZED,
                [(header::WWW_AUTHENTICATE, "Bearer, Basic realm=\"stakeout\", ApiKey")],
                "the token is needed: as a bearer token, as a password or as an API key\n",
            )
                .into_response()
        }
        _ => next.run(request).await,
    }
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

/// Which alerts are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The detector.
    detector: Option<String>,
    /// The lowest risk, 0 to 100.
    min_risk: Option<f64>,
    /// How many, newest first; 100 unless it is given.
    limit: Option<usize>,
    /// How many to leave out first.
    offset: Option<usize>,
}

async fn alerts(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Response {
    answer(move || {
        let limit = wanted.limit.unwrap_or(100).min(PAGE_MAX);
        let offset = wanted.offset.unwrap_or(0);
        let found = newest(&shared.store, |document| wanted.matches(document))?;
        let page: Vec<Box<RawValue>> = found
            .iter()
            .skip(offset)
            .take(limit)
            .map(|(_, raw)| raw.clone())
            .collect();
        Ok(Json(serde_json::json!({ "total": found.len(), "alerts": page })).into_response())
    })
    .await
}

async fn alert(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    answer(move || {
        let found = newest(&shared.store, |document| document["event"]["id"] == id.as_str())?;
        Ok(match found.into_iter().next() {
            Some((_, raw)) => Json(raw).into_response(),
            None => (StatusCode::NOT_FOUND, "there is no alert of this id\n").into_response(),
        })
    })
    .await
}

impl Wanted {
    fn matches(&self, document: &serde_json::Value) -> bool {
        self.detector
            .as_ref()
            .is_none_or(|detector| document["rule"]["id"] == detector.as_str())
            && self.min_risk.is_none_or(|least| {
                document["event"]["risk_score"]
                    .as_f64()
                    .is_some_and(|risk| risk >= least)
            })
    }
}

/// The last forms of the alerts that match, newest first.
fn newest(store: &Store, matches: impl Fn(&serde_json::Value) -> bool) -> anyhow::Result<Vec<(String, Box<RawValue>)>> {
    let end = store.next_told()?;
    let from = end.saturating_sub(LOOKED_THROUGH_MAX as u64);
    let mut seen = std::collections::HashSet::new();
    let mut found = Vec::new();
    for (_, bytes) in store.told(from, LOOKED_THROUGH_MAX)?.into_iter().rev() {
        let Some(told) = Told::read(&bytes) else { continue };
        let document: serde_json::Value = serde_json::from_str(&told.ecs)?;
        let id = document["event"]["id"].as_str().unwrap_or_default().to_owned();
        if seen.insert(id.clone()) && matches(&document) {
            found.push((id, RawValue::from_string(told.ecs)?));
        }
    }
    Ok(found)
}

/// Answers from the store on a thread that may wait.
async fn answer(work: impl FnOnce() -> anyhow::Result<Response> + Send + 'static) -> Response {
    let failed = |text: String| (StatusCode::INTERNAL_SERVER_ERROR, text + "\n").into_response();
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => failed(format!("{error:#}")),
        Err(error) => failed(error.to_string()),
    }
}
