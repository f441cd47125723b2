//! What is pushed over HTTP: lines of JSON at `/api/v1/events`, and documents at `/_bulk` as Elasticsearch takes them, so
//! that shippers need no change. A request is answered once its documents are durable. All of them are lines of one
//! input.
//!
//! A client that gets no answer sends its request again. A bulk request whose documents all have ids is known then, also
//! over a kill, and taken once; others are taken again.

mod body;
mod bulk;
mod node;
mod seen;

use self::body::{BODY_BYTES_MAX, Received, Room, Taken};
use self::bulk::{Bulk, BulkProblem, Ids, check_document};
use self::seen::{Mark, Seen};
use crate::edge::collector::{Content, Delivery, Gone, Origin, Place, Queue, Receipt, now};
use crate::edge::telemetry::CollectorMetrics;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::task::JoinError;

/// How long a full queue is waited for.
const QUEUE_TIME: Duration = Duration::from_secs(1);
/// How long an answer waits until documents are durable.
const DURABLE_TIME: Duration = Duration::from_secs(30);
/// Refused lines that an answer names.
const TOLD_MAX: usize = 10;

/// The input of everything that is pushed over HTTP.
pub(super) struct Intake {
    input: u16,
    /// Nothing from the moment on at which the service ends.
    queue: RwLock<Option<Queue>>,
    room: Room,
    ids: Ids,
    seen: Mutex<Seen>,
    metrics: CollectorMetrics,
    /// Requests that wait for their documents to be durable.
    open: AtomicUsize,
}

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the service is ending")]
    Closing,
    #[error("too much waits already; send it again later")]
    Full,
    #[error("a body is over body_bytes_max ({BODY_BYTES_MAX}), packed or unpacked; send less at once")]
    TooLarge,
    #[error("the body did not arrive in time")]
    Slow,
    #[error("the body ended before its time")]
    Cut,
    #[error("the content encoding is not known; gzip and identity are")]
    Encoding,
    #[error("the body is no gzip: {0}")]
    Gzip(String),
    #[error(transparent)]
    Bulk(#[from] BulkProblem),
    #[error("what was sent could not be made durable in time; it may still become so")]
    NotDurable,
    #[error("reading the body failed")]
    Failed,
}

impl Refusal {
    /// The word in the metric, and what the client is told.
    fn kind(&self) -> (&'static str, StatusCode) {
        match self {
            Refusal::Closing => ("closing", StatusCode::SERVICE_UNAVAILABLE),
            Refusal::Full => ("queue_full", StatusCode::TOO_MANY_REQUESTS),
            Refusal::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Refusal::Slow => ("too_slow", StatusCode::REQUEST_TIMEOUT),
            Refusal::Cut => ("cut", StatusCode::BAD_REQUEST),
            Refusal::Encoding => ("unknown_encoding", StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Refusal::Gzip(_) => ("bad_gzip", StatusCode::BAD_REQUEST),
            Refusal::Bulk(_) => ("bad_bulk", StatusCode::BAD_REQUEST),
            Refusal::NotDurable => ("not_durable", StatusCode::SERVICE_UNAVAILABLE),
            Refusal::Failed => ("failed", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// What Elasticsearch calls it.
    fn exception(&self) -> &'static str {
        match self {
            Refusal::Closing | Refusal::NotDurable | Refusal::Failed => "unavailable_shards_exception",
            Refusal::Full => "es_rejected_execution_exception",
            Refusal::TooLarge => "content_too_long_exception",
            Refusal::Bulk(BulkProblem::NoIndex { .. }) => "action_request_validation_exception",
            _ => "illegal_argument_exception",
        }
    }
}

impl Intake {
    /// The intake of the input with this number. `position` is what was kept with it last.
    pub(super) fn new(input: u16, position: Option<Vec<u8>>, queue: Queue, metrics: CollectorMetrics) -> Arc<Intake> {
        Arc::new(Intake {
            input,
            queue: RwLock::new(Some(queue)),
            room: Room::default(),
            ids: Ids::new(now().nanos().unsigned_abs()),
            seen: Mutex::new(Seen::read(&position.unwrap_or_default())),
            metrics,
            open: AtomicUsize::new(0),
        })
    }

    /// Takes nothing more. What was taken is still made durable and answered.
    pub(super) fn close(&self) {
        *self.queue.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Requests that wait for their answer.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The routes, to be guarded by their caller.
    pub(super) fn routes(self: &Arc<Intake>) -> Router {
        let bulk = || post(bulk).put(bulk);
        let index_bulk = post(index_bulk).put(index_bulk);
        Router::new()
            .route("/api/v1/events", post(events))
            .route("/_bulk", bulk())
            .route("/{index}/_bulk", index_bulk)
            .merge(node::routes())
            .layer(middleware::map_response(name_product))
            .with_state(self.clone())
    }

    /// Makes lines durable. What was begun goes on when the client breaks off.
    async fn keep(self: &Arc<Intake>, kept: Kept) -> Result<(), Refusal> {
        let Kept { lines, mark, taken } = kept;
        if lines.is_empty() {
            return Ok(());
        }
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or(Refusal::Closing)?;
        let (receipt, kept) = Receipt::new();
        let intake = self.clone();
        let keeping = tokio::spawn(async move {
            match tokio::time::timeout(QUEUE_TIME, queue.reserve()).await {
                Ok(Ok(place)) => intake.hand_on(place, lines, mark, receipt),
                Ok(Err(Gone)) => return Err(Refusal::Closing),
                Err(_) => return Err(Refusal::Full),
            }
            // The core ends once nobody can deliver any more.
            drop(queue);
            let kept = kept.await.map_err(|_| Refusal::Closing);
            // The lines are in memory until here.
            drop(taken);
            kept
        });
        match tokio::time::timeout(DURABLE_TIME, keeping).await {
            Ok(kept) => kept.unwrap_or_else(|error| Err(not_finished(&error))),
            Err(_) => Err(Refusal::NotDurable),
        }
    }

    /// Hands lines on; without them if they have been handed on before, so that the receipt tells when those are durable.
    fn hand_on(&self, place: Place<'_>, lines: Vec<u8>, mark: Option<Mark>, receipt: Receipt) {
        // Requests are remembered in the order of their deliveries.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_again = mark.is_some_and(|mark| seen.has(mark));
        if is_again {
            self.metrics.refused(Origin::Http, "sent_again").inc();
        }
        place.deliver(Delivery {
            input: self.input,
            origin: Origin::Http,
            received: now(),
            content: Content::Lines(if is_again { Vec::new() } else { lines }),
            position: mark.filter(|_| !is_again).map(|mark| seen.add(mark)),
            receipt: Some(receipt),
        });
    }

    /// Counts what a body came to.
    fn count(&self, taken: u64, refused: u64) {
        self.metrics.messages(Origin::Http).inc_by(taken);
        self.metrics.refused(Origin::Http, "bad_document").inc_by(refused);
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let (reason, status) = refusal.kind();
        self.metrics.refused(Origin::Http, reason).inc();
        let error = json!({ "type": refusal.exception(), "reason": refusal.to_string() });
        let body = json!({ "error": error, "status": status.as_u16() });
        let mut response = (status, Json(body)).into_response();
        if matches!(refusal, Refusal::Full | Refusal::Closing | Refusal::NotDurable) {
            let soon = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, soon);
        }
        if matches!(refusal, Refusal::TooLarge | Refusal::Slow | Refusal::Cut) {
            // The rest of the body may be under way.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// What is to be made durable.
struct Kept {
    lines: Vec<u8>,
    /// By which the request is known when it comes again.
    mark: Option<Mark>,
    taken: Taken,
}

/// A request that is being worked at.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicUsize) -> Open<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Open(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Official clients refuse a node without it.
async fn name_product(mut response: Response) -> Response {
    let product = HeaderValue::from_static("Elasticsearch");
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-elastic-product"), product);
    response
}

async fn bulk(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    take_bulk(&intake, None, request).await
}

async fn index_bulk(State(intake): State<Arc<Intake>>, Path(index): Path<String>, request: Request) -> Response {
    take_bulk(&intake, Some(index), request).await
}

async fn take_bulk(intake: &Arc<Intake>, index: Option<String>, request: Request) -> Response {
    let begun = Instant::now();
    let read = {
        let intake = intake.clone();
        move |bytes: &[u8]| {
            let mut bulk = Bulk::read(bytes, index.as_deref(), &intake.ids)?;
            let mark = bulk.is_named().then(|| Mark::of(bytes));
            let lines = std::mem::take(&mut bulk.lines);
            Ok((bulk, lines, mark))
        }
    };
    match take(intake, request, read).await {
        Ok(bulk) => {
            intake.count(bulk.taken, bulk.refused);
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, bulk.answer(begun.elapsed().as_millis())).into_response()
        }
        Err(refusal) => intake.refuse(&refusal),
    }
}

/// What lines of JSON came to.
#[derive(Default)]
struct Events {
    lines: Vec<u8>,
    taken: u64,
    refused: u64,
    told: Vec<serde_json::Value>,
}

impl Events {
    fn read(body: &[u8]) -> Events {
        let mut events = Events::default();
        for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match check_document(line) {
                Ok(()) => {
                    events.lines.extend_from_slice(line);
                    events.lines.push(b'\n');
                    events.taken += 1;
                }
                Err(problem) => {
                    events.refused += 1;
                    if events.told.len() < TOLD_MAX {
                        events.told.push(json!({ "line": number + 1, "reason": problem }));
                    }
                }
            }
        }
        events
    }
}

/// Whole lines are taken, also beside others that are none; what became of them is in the answer.
async fn events(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    let read = |bytes: &[u8]| {
        let mut events = Events::read(bytes);
        let lines = std::mem::take(&mut events.lines);
        Ok((events, lines, None))
    };
    match take(&intake, request, read).await {
        Ok(events) => {
            intake.count(events.taken, events.refused);
            let status = match events.taken {
                0 if events.refused > 0 => StatusCode::BAD_REQUEST,
                _ => StatusCode::OK,
            };
            let body = json!({ "accepted": events.taken, "refused": events.refused, "errors": events.told });
            (status, Json(body)).into_response()
        }
        Err(refusal) => intake.refuse(&refusal),
    }
}

/// Reads a body, makes its lines durable, and gives what was read.
async fn take<T: Send + 'static>(
    intake: &Arc<Intake>,
    request: Request,
    read: impl FnOnce(&[u8]) -> Result<(T, Vec<u8>, Option<Mark>), Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let _open = Open::new(&intake.open);
    let received = body::read(request, &intake.room).await?;
    // Unpacking and reading a large body takes a while.
    let reading = tokio::task::spawn_blocking(move || {
        let (bytes, taken) = Received::unpack(received)?;
        let (found, lines, mark) = read(&bytes)?;
        Ok::<_, Refusal>((found, Kept { lines, mark, taken }))
    });
    let (found, kept) = reading.await.unwrap_or_else(|error| Err(not_finished(&error)))?;
    intake.keep(kept).await?;
    Ok(found)
}

/// Why a task has no result: the runtime lets go of tasks when the service ends.
fn not_finished(error: &JoinError) -> Refusal {
    match error.is_cancelled() {
        true => Refusal::Closing,
        false => Refusal::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::collector::{QUEUE_DELIVERIES_MAX, queue};
    use crate::edge::telemetry::Metrics;

    fn intake() -> (Arc<Intake>, crate::edge::collector::Deliveries) {
        let (queue, deliveries) = queue();
        let metrics = Metrics::new().expect("metrics").collectors;
        (Intake::new(0, None, queue, metrics), deliveries)
    }

    fn one(intake: &Intake, mark: Option<Mark>) -> Kept {
        Kept {
            lines: b"{}\n".to_vec(),
            mark,
            taken: intake.room.none(),
        }
    }

    #[tokio::test]
    async fn a_request_that_comes_again_is_taken_once_and_answered_twice() {
        let (first, mut deliveries) = intake();
        let mut position = None;
        // The second intake is that of a process that takes up what the first has left.
        for (number, expected) in [(0, "{}\n"), (1, "")] {
            let intake = match number {
                0 => first.clone(),
                _ => {
                    let queue = first.queue.read().expect("no panic").clone().expect("it is open");
                    Intake::new(0, position.clone(), queue, first.metrics.clone())
                }
            };
            let keeping = tokio::spawn({
                let kept = one(&intake, Some(Mark::of(b"body")));
                async move { intake.keep(kept).await }
            });
            let delivery = loop {
                match deliveries.take_waiting() {
                    Some(delivery) => break delivery,
                    None => tokio::task::yield_now().await,
                }
            };
            let Content::Lines(lines) = delivery.content else {
                panic!("lines")
            };
            assert_eq!(lines, expected.as_bytes());
            position = delivery.position.or(position);
            delivery.receipt.expect("a receipt").give();
            assert!(matches!(keeping.await, Ok(Ok(()))));
        }
    }

    #[tokio::test]
    async fn a_full_queue_is_told_and_waits_for_nobody() {
        let (intake, mut deliveries) = intake();
        let keep = |intake: Arc<Intake>| async move { intake.keep(one(&intake, None)).await };
        // The core takes nothing: one more than the queue holds can't be handed over.
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..=QUEUE_DELIVERIES_MAX {
            waiting.spawn(keep(intake.clone()));
        }
        let refused = waiting.join_next().await.expect("a task").expect("no panic");
        assert!(matches!(refused, Err(Refusal::Full)), "{refused:?}");
        // The core goes on, and everybody else is answered.
        while let Some(delivery) = deliveries.take_waiting() {
            delivery.receipt.expect("a receipt").give();
        }
        while let Some(kept) = waiting.join_next().await {
            assert!(matches!(kept, Ok(Ok(()))), "{kept:?}");
        }
    }

    #[tokio::test]
    async fn nothing_is_taken_once_the_intake_is_closed() {
        let (intake, mut deliveries) = intake();
        intake.close();
        let refused = intake.keep(one(&intake, None)).await;
        assert!(matches!(refused, Err(Refusal::Closing)), "{refused:?}");
        assert!(deliveries.take_waiting().is_none());
    }
}
