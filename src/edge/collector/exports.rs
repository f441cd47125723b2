//! NetFlow, IPFIX and sFlow over UDP. What datagrams say is their decoder's business; its events are handed on with the
//! clock's time as the input's own.

use super::syslog::ListenProblem;
use super::{Content, Delivery, Gone, Origin, Queue, datagrams, now};
use crate::domain::{Event, Timestamp};
use crate::edge::telemetry::CollectorMetrics;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;

/// How often time goes on for the decoder, and the system is asked what it dropped.
const TICK: Duration = Duration::from_secs(1);
/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;
/// Events that one delivery holds, but for those of one datagram.
const EVENTS_MAX: usize = 1000;

/// Makes events of datagrams.
pub trait DatagramDecoder: Send + 'static {
    /// Reads a datagram that was received at this moment of the clock.
    fn datagram(&mut self, from: IpAddr, received: Timestamp, bytes: &[u8], events: &mut Vec<Event>);

    /// The clock has come to this moment.
    fn advance(&mut self, now: Timestamp, events: &mut Vec<Event>);

    /// Nothing more comes.
    fn finish(&mut self, events: &mut Vec<Event>);
}

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
pub struct ExportListener<D> {
    /// What is read.
    pub socket: ExportSocket,
    /// The input's number.
    pub input: u16,
    /// Who reads datagrams.
    pub decoder: D,
    /// Where events go.
    pub queue: Queue,
    /// What is counted.
    pub metrics: CollectorMetrics,
    /// Becomes true when it shall end.
    pub stopping: watch::Receiver<bool>,
}

impl<D: DatagramDecoder> ExportListener<D> {
    /// Begins to read, on the runtime that the caller has entered. Gives where it listens; the port is the one that it
    /// got where 0 was asked for.
    pub fn start(self) -> io::Result<SocketAddr> {
        let socket = UdpSocket::from_std(self.socket.0)?;
        let address = socket.local_addr()?;
        let collecting = Collecting {
            input: self.input,
            decoder: self.decoder,
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
struct Collecting<D> {
    input: u16,
    decoder: D,
    queue: Queue,
    metrics: CollectorMetrics,
}

impl<D: DatagramDecoder> Collecting<D> {
    async fn run(mut self, socket: &UdpSocket, mut stopping: watch::Receiver<bool>) -> Result<(), Gone> {
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        let mut events = Vec::new();
        let mut drops = datagrams::Drops::of(socket, self.metrics.kernel_drops(Origin::Netflow));
        let messages = self.metrics.messages(Origin::Netflow);
        let mut tick = tokio::time::interval(TICK);
        loop {
            let stopped = tokio::select! {
                biased;
                _ = tick.tick() => {
                    drops.look();
                    self.decoder.advance(now(), &mut events);
                    false
                }
                came = socket.readable() => came.is_err(),
                _ = stopping.wait_for(|stop| *stop) => true,
            };
            // What has come goes together, also at the end; a flood does not put the end off.
            let most = if stopped { 10_000 } else { EVENTS_MAX };
            for _ in 0..most {
                let Ok((length, from)) = socket.try_recv_from(&mut datagram) else {
                    break;
                };
                messages.inc();
                let bytes = datagram.get(..length).unwrap_or_default();
                self.decoder
                    .datagram(from.ip().to_canonical(), now(), bytes, &mut events);
                if events.len() >= EVENTS_MAX {
                    self.hand_on(&mut events).await?;
                }
            }
            if stopped {
                drops.look();
                self.decoder.finish(&mut events);
                return self.hand_on(&mut events).await;
            }
            self.hand_on(&mut events).await?;
        }
    }

    async fn hand_on(&mut self, events: &mut Vec<Event>) -> Result<(), Gone> {
        if events.is_empty() {
            return Ok(());
        }
        let received = now();
        let delivery = Delivery {
            input: self.input,
            origin: Origin::Netflow,
            received,
            content: Content::Events {
                known_at: received,
                events: events.drain(..).map(|event| (received, event)).collect(),
            },
            position: None,
            receipt: None,
        };
        self.queue.send(delivery).await
    }
}
