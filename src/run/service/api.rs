//! What people and programs may ask: alerts, detectors, and what is usual for an entity. `openapi.json` describes it.

use crate::domain::{Definition, Timestamp};
use crate::edge::sink::Told;
use crate::edge::store::Store;
use crate::engine::feed::Feed;
use crate::engine::known::{Known, Unknown};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::oneshot;

/// Alerts on one page at most.
const PAGE_MAX: usize = 1000;
/// Alerts on one page unless the question says so.
const PAGE: usize = 100;
/// Documents that are looked through for one answer.
const LOOKED_THROUGH_MAX: u64 = 100_000;
/// Documents that are read from the store at once.
const READ_AT_ONCE: u64 = 1000;
/// Questions to the core that wait at once.
const QUESTIONS_MAX: usize = 32;
/// The description of the interface.
const OPENAPI: &str = include_str!("openapi.json");

/// The interface.
pub(in crate::run) struct Api {
    store: Arc<Store>,
    definitions: RwLock<Arc<Vec<Definition>>>,
    questions: SyncSender<Question>,
}

/// What is asked of the core, which has the engine.
pub(super) struct Question {
    fields: String,
    values: String,
    reply: oneshot::Sender<Result<Known, Unknown>>,
}

/// The core's end of the questions.
pub(in crate::run) struct Questions(Receiver<Question>);

impl Questions {
    /// Answers what waits.
    pub(super) fn answer(&self, feed: &Feed) {
        for question in self.0.try_iter() {
            let fields: Vec<&str> = question.fields.split(',').collect();
            // A user's name may hold a comma; only an entity of several fields is divided.
            let values: Vec<&str> = match fields.len() {
                1 => vec![question.values.as_str()],
                count => question.values.splitn(count, ',').collect(),
            };
            // Who has gone needs no answer.
            let _ = question.reply.send(feed.engine().known(&fields, &values));
        }
    }
}

impl Api {
    /// The interface to what the store holds, and the end of its questions to the core.
    pub(in crate::run) fn new(store: Arc<Store>, definitions: Vec<Definition>) -> (Arc<Api>, Questions) {
        let (questions, ends) = sync_channel(QUESTIONS_MAX);
        let api = Api {
            store,
            definitions: RwLock::new(Arc::new(definitions)),
            questions,
        };
        (Arc::new(api), Questions(ends))
    }

    /// From now on these are watched.
    pub(super) fn set_definitions(&self, definitions: Vec<Definition>) {
        *self.definitions.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(definitions);
    }

    fn definitions(&self) -> Arc<Vec<Definition>> {
        self.definitions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/api/v1/detectors", get(detectors))
            .route("/api/v1/detectors/{id}", get(detector))
            .route("/api/v1/entities/{kind}/{name}", get(entity))
            .with_state(self.clone())
            .merge(self.alert_routes())
    }

    /// The part of it that needs nothing but the store.
    pub(in crate::run) fn alert_routes(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/api/v1/alerts", get(alerts))
            .route("/api/v1/alerts/{id}", get(alert))
            .route("/api/v1/openapi.json", get(openapi))
            .with_state(self.clone())
    }
}

/// An answer that tells what is wrong.
fn problem(status: StatusCode, text: impl Into<String>) -> Response {
    (status, Json(json!({ "error": text.into() }))).into_response()
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// Which alerts are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The detector.
    detector: Option<String>,
    /// One of its tactics.
    tactic: Option<String>,
    /// One of the values of the entity.
    entity: Option<String>,
    /// The lowest risk, 0 to 100.
    min_risk: Option<f64>,
    /// Not before this time.
    since: Option<String>,
    /// Before this time.
    until: Option<String>,
    /// How many, newest first.
    limit: Option<usize>,
    /// How many to leave out first.
    offset: Option<usize>,
}

/// What is asked for, understood.
struct Filter {
    wanted: Wanted,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Filter {
    fn new(wanted: Wanted) -> Result<Filter, String> {
        let time = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match text.parse::<jiff::Timestamp>() {
                Ok(time) => Ok(i64::try_from(time.as_nanosecond()).ok().map(Timestamp::from_nanos)),
                Err(_) => Err(format!("`{name}` must be a time such as 2026-03-02T09:12:41Z")),
            },
        };
        let (since, until) = (time("since", &wanted.since)?, time("until", &wanted.until)?);
        if wanted.limit.is_some_and(|limit| limit == 0 || limit > PAGE_MAX) {
            return Err(format!("`limit` must be from 1 to {PAGE_MAX}"));
        }
        if wanted.offset.is_some_and(|offset| offset as u64 > LOOKED_THROUGH_MAX) {
            return Err(format!(
                "`offset` must be at most {LOOKED_THROUGH_MAX}; narrow the time instead"
            ));
        }
        if wanted.min_risk.is_some_and(|risk| !(0.0..=100.0).contains(&risk)) {
            return Err("`min_risk` must be from 0 to 100".to_owned());
        }
        Ok(Filter { wanted, since, until })
    }

    fn matches(&self, document: &Value) -> bool {
        let Wanted {
            detector,
            tactic,
            entity,
            min_risk,
            ..
        } = &self.wanted;
        let at = || {
            let time = document["@timestamp"].as_str()?.parse::<jiff::Timestamp>().ok()?;
            i64::try_from(time.as_nanosecond()).ok().map(Timestamp::from_nanos)
        };
        let is_tactic = |tactic: &String| {
            let tactics = document["threat"]["tactic"].as_array();
            tactics.is_some_and(|tactics| tactics.iter().any(|held| held["name"] == tactic.as_str()))
        };
        let is_entity = |entity: &String| {
            let values = document["stakeout"]["entity"].as_object();
            values.is_some_and(|values| {
                values.values().any(|value| match value {
                    Value::String(text) => text == entity,
                    Value::Number(number) => entity.parse().is_ok_and(|entity: serde_json::Number| entity == *number),
                    _ => false,
                })
            })
        };
        let is_risky = |least: f64| {
            let risk = document["event"]["risk_score"].as_f64();
            risk.is_some_and(|risk| risk >= least)
        };
        detector
            .as_ref()
            .is_none_or(|detector| document["rule"]["id"] == detector.as_str())
            && tactic.as_ref().is_none_or(is_tactic)
            && entity.as_ref().is_none_or(is_entity)
            && min_risk.is_none_or(is_risky)
            && self.since.is_none_or(|since| at().is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| at().is_some_and(|at| at < until))
    }
}

/// Documents as they were told, to the last digit.
#[derive(Serialize)]
struct Page {
    alerts: Vec<Box<RawValue>>,
    next_offset: Option<usize>,
}

async fn alerts(State(api): State<Arc<Api>>, wanted: Result<Query<Wanted>, QueryRejection>) -> Response {
    let filter = wanted
        .map_err(|rejection| rejection.body_text())
        .and_then(|Query(wanted)| Filter::new(wanted));
    let filter = match filter {
        Ok(filter) => filter,
        Err(text) => return problem(StatusCode::BAD_REQUEST, text),
    };
    answer(move || {
        let limit = filter.wanted.limit.unwrap_or(PAGE);
        let offset = filter.wanted.offset.unwrap_or(0);
        let mut found = newest(&api.store, offset, limit + 1, |document| filter.matches(document))?;
        let next = (found.len() > limit).then(|| offset + limit);
        found.truncate(limit);
        let page = Page {
            alerts: found,
            next_offset: next,
        };
        Ok(Json(page).into_response())
    })
    .await
}

async fn alert(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Response {
    answer(move || {
        let found = newest(&api.store, 0, 1, |document| document["event"]["id"] == id.as_str())?;
        Ok(match found.into_iter().next() {
            Some(raw) => Json(raw).into_response(),
            None => problem(
                StatusCode::NOT_FOUND,
                "there is no alert of this id, or it is long past",
            ),
        })
    })
    .await
}

/// The last documents of the alerts that match, newest first, without the first `offset`. Reads as far back as needed.
fn newest(
    store: &Store,
    offset: usize,
    most: usize,
    matches: impl Fn(&Value) -> bool,
) -> anyhow::Result<Vec<Box<RawValue>>> {
    let mut end = store.next_told()?;
    let least = end.saturating_sub(LOOKED_THROUGH_MAX);
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    let mut left_out = 0;
    while end > least {
        let from = end.saturating_sub(READ_AT_ONCE).max(least);
        let read = store.told(from, (end - from) as usize)?;
        for (_, bytes) in read.into_iter().rev() {
            let Some(told) = Told::read(&bytes) else { continue };
            let document: Value = serde_json::from_str(&told.ecs)?;
            let id = document["event"]["id"].as_str().unwrap_or_default();
            if !seen.insert(id.to_owned()) || !matches(&document) {
                continue;
            }
            if left_out < offset {
                left_out += 1;
                continue;
            }
            found.push(RawValue::from_string(told.ecs)?);
            if found.len() == most {
                return Ok(found);
            }
        }
        end = from;
    }
    Ok(found)
}

async fn detectors(State(api): State<Arc<Api>>) -> Response {
    let all: Vec<Value> = api.definitions().iter().map(described).collect();
    Json(json!({ "detectors": all })).into_response()
}

async fn detector(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Response {
    match api.definitions().iter().find(|definition| definition.id == id) {
        Some(definition) => Json(described(definition)).into_response(),
        None => problem(
            StatusCode::NOT_FOUND,
            format!("there is no detector `{id}`; /api/v1/detectors lists them"),
        ),
    }
}

fn described(definition: &Definition) -> Value {
    let windows: Vec<String> = definition.windows.iter().map(ToString::to_string).collect();
    let entity: Vec<&str> = definition.entity.iter().map(|field| field.name()).collect();
    json!({
        "id": definition.id,
        "version": definition.version,
        "title": definition.title,
        "description": definition.description,
        "level": definition.level.word(),
        "tags": definition.tags,
        "entity": entity,
        "measure": definition.measure.word(),
        "baseline": definition.baseline.kind().word(),
        "windows": windows,
        "falsepositives": definition.falsepositives,
    })
}

async fn entity(State(api): State<Arc<Api>>, Path((kind, name)): Path<(String, String)>) -> Response {
    let (reply, answer) = oneshot::channel();
    let question = Question {
        fields: kind,
        values: name,
        reply,
    };
    if api.questions.try_send(question).is_err() {
        return problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many questions wait, or the service ends; ask again",
        );
    }
    match answer.await {
        Ok(Ok(known)) => Json(told(&api.definitions(), &known)).into_response(),
        Ok(Err(unknown)) => {
            let status = match unknown {
                Unknown::Value { .. } => StatusCode::BAD_REQUEST,
                Unknown::Kind { .. } | Unknown::Entity { .. } => StatusCode::NOT_FOUND,
            };
            problem(status, unknown.to_string())
        }
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "the service ends"),
    }
}

/// What is known about an entity, in numbers.
fn told(definitions: &[Definition], known: &Known) -> Value {
    let usual: Vec<Value> = known
        .usual
        .iter()
        .filter_map(|usual| {
            let definition = definitions.get(usize::from(usual.detector))?;
            let window = definition.windows.get(usize::from(usual.window))?;
            let expected = usual.expected.as_ref().map(|expected| {
                json!({
                    "typical": expected.typical, "low": expected.low, "high": expected.high,
                    "mean": expected.mean, "variance": expected.variance,
                    "history_windows": expected.history_windows, "prior_weight": expected.prior_weight,
                })
            });
            Some(json!({
                "detector": definition.id, "title": definition.title, "window": window.to_string(),
                "measure": definition.measure.word(), "unit": definition.measure.unit(), "expected": expected,
            }))
        })
        .collect();
    json!({ "entity": known.entity.text(), "last_seen": known.last.to_string(), "usual": usual })
}

/// Answers from the store on a thread that may wait.
async fn answer(work: impl FnOnce() -> anyhow::Result<Response> + Send + 'static) -> Response {
    let failed = |text: String| problem(StatusCode::INTERNAL_SERVER_ERROR, text);
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => failed(format!("{error:#}")),
        Err(error) => failed(error.to_string()),
    }
}
