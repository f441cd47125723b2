//! NetFlow, IPFIX and sFlow over UDP. Datagrams are handed on as they came: what is known of who sends them is needed to
//! read them, and is kept with what was read.

use super::syslog::ListenProblem;
use super::{Content, Delivery, Gone, Origin, PIECE_BYTES, Queue, datagrams, now};
use crate::domain::Datagram;
use crate::edge::telemetry::CollectorMetrics;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;

/// How often the system is asked what it dropped.
const TICK: Duration = Duration::from_secs(1);
/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;
/// Datagrams that one delivery holds.
const DATAGRAMS_MAX: usize = 1000;

/// A socket that is open and not read yet.
#[derive(Debug)]
pub struct ExportSocket(std::net::UdpSocket);

impl ExportSocket {
    /// Opens a socket.
    pub fn open(address: SocketAddr) -> Result<ExportSocket, ListenProblem> {
        let socket = datagrams::bind(address).map_err(|error| ListenProblem::Address { address, error })?;
        Ok(ExportSocket(socket))
    }
}

/// Whom a listener collects for.
#[derive(Debug)]
pub struct ExportListener {
    /// What is read.
    pub socket: ExportSocket,
    /// The input's number.
    pub input: u16,
    /// Where datagrams go.
    pub queue: Queue,
    /// What is counted.
    pub metrics: CollectorMetrics,
    /// Becomes true when it shall end.
    pub stopping: watch::Receiver<bool>,
}

impl ExportListener {
    /// Begins to read, on the runtime that the caller has entered. Gives where it listens; the port is the one that it
    /// got where 0 was asked for.
    pub fn start(self) -> io::Result<SocketAddr> {
        let socket = UdpSocket::from_std(self.socket.0)?;
        let address = socket.local_addr()?;
        let collecting = Collecting {
            input: self.input,
            queue: self.queue,
            metrics: self.metrics,
        };
        let stopping = self.stopping;
        tokio::spawn(async move {
            // When nobody takes what comes, there is nothing left to collect for.
            let _ = collecting.run(&socket, stopping).await;
        });
        Ok(address)
    }
}

/// A listener at work.
struct Collecting {
    input: u16,
    queue: Queue,
    metrics: CollectorMetrics,
}

impl Collecting {
    async fn run(self, socket: &UdpSocket, mut stopping: watch::Receiver<bool>) -> Result<(), Gone> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let mut drops = datagrams::Drops::of(socket, self.metrics.kernel_drops(Origin::Netflow));
        let messages = self.metrics.messages(Origin::Netflow);
        let mut tick = tokio::time::interval(TICK);
        loop {
            let stopped = tokio::select! {
                biased;
                _ = tick.tick() => {
                    drops.look();
                    false
                }
                came = socket.readable() => came.is_err(),
                _ = stopping.wait_for(|stop| *stop) => true,
            };
            // What has come goes together, also at the end; a flood does not put the end off.
            let most = if stopped { 10 * DATAGRAMS_MAX } else { DATAGRAMS_MAX };
            let (mut gathered, mut bytes) = (Vec::new(), 0);
            for _ in 0..most {
                let Ok((length, from)) = socket.try_recv_from(&mut buffer) else {
                    break;
                };
                messages.inc();
                bytes += length;
                gathered.push(Datagram {
                    from: from.ip().to_canonical(),
                    received: now(),
                    bytes: buffer.get(..length).unwrap_or_default().to_vec(),
                });
                if bytes >= PIECE_BYTES {
                    self.hand_on(std::mem::take(&mut gathered)).await?;
                    bytes = 0;
                }
            }
            self.hand_on(gathered).await?;
            if stopped {
                drops.look();
                return Ok(());
            }
        }
    }

    async fn hand_on(&self, gathered: Vec<Datagram>) -> Result<(), Gone> {
        let Some(last) = gathered.last() else {
            return Ok(());
        };
        let delivery = Delivery {
            input: self.input,
            origin: Origin::Netflow,
            received: last.received,
            content: Content::Datagrams(gathered),
            position: None,
            receipt: None,
        };
        self.queue.send(delivery).await
    }
}
