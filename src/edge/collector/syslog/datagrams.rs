//! Syslog over UDP: a datagram a message.

use super::Outlet;
use super::frames::Lines;
use crate::edge::collector::{Gone, Origin, PIECE_BYTES, datagrams};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;

/// How often the system is asked what it dropped.
const DROPS_EVERY: Duration = Duration::from_secs(1);
/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

pub(super) fn start(
    socket: std::net::UdpSocket,
    outlet: Outlet,
    stopping: watch::Receiver<bool>,
) -> io::Result<SocketAddr> {
    let socket = UdpSocket::from_std(socket)?;
    let address = socket.local_addr()?;
    tokio::spawn(async move {
        // When nobody takes what comes, there is nothing left to collect for.
        let _ = collect(&socket, &outlet, stopping).await;
    });
    Ok(address)
}

async fn collect(socket: &UdpSocket, outlet: &Outlet, mut stopping: watch::Receiver<bool>) -> Result<(), Gone> {
    let mut lines = Lines::default();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    let mut drops = datagrams::Drops::of(socket, outlet.metrics.kernel_drops(Origin::Syslog));
    let mut look = tokio::time::interval(DROPS_EVERY);
    loop {
        let stopped = tokio::select! {
            biased;
            came = socket.readable() => came.is_err(),
            _ = look.tick() => {
                drops.look();
                continue;
            }
            _ = stopping.wait_for(|stop| *stop) => true,
        };
        // What has come goes together, also at the end.
        while let Ok(length) = socket.try_recv(&mut datagram) {
            lines.add(datagram.get(..length).unwrap_or_default());
            if lines.bytes.len() >= PIECE_BYTES {
                outlet.hand_on(&mut lines).await?;
                drops.look_again();
                if *stopping.borrow() && !stopped {
                    break;
                }
            }
        }
        outlet.hand_on(&mut lines).await?;
        if stopped || *stopping.borrow() {
            drops.look();
            return Ok(());
        }
    }
}
