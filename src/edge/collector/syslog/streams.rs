//! Syslog over TCP and TLS: a task accepts, and each connection is a task of its own.

use super::Outlet;
use super::frames::{Frames, Lines};
use crate::edge::collector::{Gone, Origin};
use crate::edge::tls::Acceptor;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections of one listener at once.
const CONNECTIONS_MAX: usize = 1024;
/// How long a connection may say nothing. Senders lose messages when they are cut off, so it is long.
const IDLE_TIME: Duration = Duration::from_secs(3600);
/// How long a message may rest half sent, and how long a handshake may take.
const HALF_TIME: Duration = Duration::from_secs(60);
/// How long nothing is accepted after the system has refused to.
const AGAIN: Duration = Duration::from_millis(100);
/// How long what is under way may still come at the end.
const LAST_TIME: Duration = Duration::from_millis(50);
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

pub(super) fn start(
    socket: std::net::TcpListener,
    acceptor: Option<Acceptor>,
    outlet: Outlet,
    stopping: watch::Receiver<bool>,
) -> io::Result<SocketAddr> {
    let socket = TcpListener::from_std(socket)?;
    let address = socket.local_addr()?;
    tokio::spawn(accept(socket, acceptor, outlet, stopping));
    Ok(address)
}

async fn accept(socket: TcpListener, acceptor: Option<Acceptor>, outlet: Outlet, mut stopping: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for syslog could not be accepted");
                outlet.refused("not_accepted", 1);
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            outlet.refused("too_many_connections", 1);
            continue;
        };
        let (acceptor, outlet, stopping) = (acceptor.clone(), outlet.clone(), stopping.clone());
        connections.spawn(async move {
            let open = outlet.metrics.connections(Origin::Syslog);
            open.inc();
            serve(stream, acceptor, &outlet, stopping).await;
            open.dec();
            drop(permit);
        });
    }
    // Each reads what has come, and ends.
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, acceptor: Option<Acceptor>, outlet: &Outlet, mut stopping: watch::Receiver<bool>) {
    let Some(acceptor) = acceptor else {
        // When nobody takes what comes, there is nothing left to collect for.
        let _ = collect(stream, outlet, stopping).await;
        return;
    };
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HALF_TIME, acceptor.accept(stream)) => shaken,
        _ = stopping.wait_for(|stop| *stop) => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let _ = collect(stream, outlet, stopping).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake for syslog failed");
            outlet.refused("bad_handshake", 1);
        }
        Err(_) => outlet.refused("too_slow", 1),
    }
}

/// Reads a connection to its end.
async fn collect(
    mut stream: impl AsyncRead + Unpin,
    outlet: &Outlet,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), Gone> {
    let (mut frames, mut lines) = (Frames::default(), Lines::default());
    let mut piece = vec![0; READ_BYTES];
    loop {
        let is_stopping = *stopping.borrow();
        let patience = match (is_stopping, frames.is_under_way()) {
            (true, _) => LAST_TIME,
            (false, true) => HALF_TIME,
            (false, false) => IDLE_TIME,
        };
        let read = tokio::select! {
            biased;
            read = tokio::time::timeout(patience, stream.read(&mut piece)) => read,
            _ = stopping.wait_for(|stop| *stop), if !is_stopping => continue,
        };
        match read {
            Ok(Ok(count)) if count > 0 => {
                frames.take(piece.get(..count).unwrap_or_default(), &mut lines);
                outlet.hand_on(&mut lines).await?;
            }
            // It ended, broke off, or said nothing for too long.
            ended => {
                if ended.is_err() && !is_stopping {
                    let reason = if frames.is_under_way() { "too_slow" } else { "idle" };
                    outlet.refused(reason, 1);
                }
                frames.finish(&mut lines);
                return outlet.hand_on(&mut lines).await;
            }
        }
    }
}
