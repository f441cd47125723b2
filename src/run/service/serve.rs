//! Accepts connections for the router, as many as are bounded, and lets go of those that do not say what they want.

use super::http::Access;
use crate::edge::collector::Origin;
use crate::edge::telemetry::CollectorMetrics;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once, if as many files may be open.
const CONNECTIONS_MAX: usize = 8192;
/// How long the handshake of an encrypted connection may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Open files that are left to everything else.
const OTHER_FILES: u64 = 512;
/// How long the head of a request may take; also how long a connection may rest between two requests.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long nothing is accepted after the system has refused to.
const AGAIN: Duration = Duration::from_millis(100);
/// What a connection over the bound is told.
const OVER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Accepts connections and answers them, for ever.
pub(super) async fn serve(listener: TcpListener, router: Router, access: Arc<Access>, metrics: CollectorMetrics) {
    let permits = Arc::new(Semaphore::new(connections_max()));
    let open = metrics.connections(Origin::Http);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Files or memory have run out; what is open now goes on.
                tracing::warn!(%error, "a connection could not be accepted");
                metrics.refused(Origin::Http, "not_accepted").inc();
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            metrics.refused(Origin::Http, "too_many_connections").inc();
            if access.acceptor().is_none() {
                // It is told if that needs no waiting.
                let _ = stream.try_write(OVER);
            }
            continue;
        };
        let (router, open) = (router.clone(), open.clone());
        let (acceptor, metrics) = (access.acceptor(), metrics.clone());
        tokio::spawn(async move {
            open.inc();
            // Small answers go at once.
            let _ = stream.set_nodelay(true);
            match acceptor {
                None => answer(stream, router).await,
                Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => answer(stream, router).await,
                    // One that speaks without encryption is among them.
                    Ok(Err(_)) => metrics.refused(Origin::Http, "bad_handshake").inc(),
                    Err(_) => metrics.refused(Origin::Http, "too_slow").inc(),
                },
            }
            open.dec();
            drop(permit);
        });
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // How a client breaks off is its own affair.
    let _ = connection.await;
}

/// Raises the number of files that may be open as far as the system allows, and gives the connections that fit in.
fn connections_max() -> usize {
    let mut limits = getrlimit(Resource::Nofile);
    let wanted = CONNECTIONS_MAX as u64 + OTHER_FILES;
    if limits.current.is_some_and(|current| current < wanted) {
        let raised = limits.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        limits.current = Some(raised);
        if let Err(error) = setrlimit(Resource::Nofile, limits) {
            tracing::warn!(%error, "the number of open files could not be raised");
            limits = getrlimit(Resource::Nofile);
        }
    }
    let files = limits.current.unwrap_or(wanted).min(wanted);
    usize::try_from(files.saturating_sub(OTHER_FILES))
        .unwrap_or(CONNECTIONS_MAX)
        .max(16)
}
