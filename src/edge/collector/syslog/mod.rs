//! Syslog over UDP, TCP and TLS (RFC 5426, 6587, 5425). One input a listener; what its senders send becomes lines in the
//! order in which they came.
//!
//! Nobody is told that a message has arrived: the protocol has no word for it. While the queue is full, TCP senders wait
//! and datagrams are dropped by the system, which is counted. At the end what has already come is still read.

mod datagrams;
mod frames;
mod streams;
use super::datagrams::bind;
use super::{Content, Delivery, Gone, Origin, Queue, now};
use crate::edge::telemetry::CollectorMetrics;
use crate::edge::tls::{Acceptor, TlsFiles, TlsProblem};
use frames::Lines;
use std::io;
use std::net::SocketAddr;
use tokio::sync::watch;

/// How messages come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogTransport {
    /// A datagram a message.
    Udp,
    /// A stream of messages.
    Tcp,
    /// The same, encrypted.
    Tls(TlsFiles),
}

/// A socket that is open and not read yet.
#[derive(Debug)]
pub struct SyslogSocket(Opened);

#[derive(Debug)]
enum Opened {
    Datagrams(std::net::UdpSocket),
    Streams(std::net::TcpListener, Option<Acceptor>),
}

/// Whom a listener collects for.
#[derive(Debug)]
pub struct SyslogListener {
    /// What is read.
    pub socket: SyslogSocket,
    /// The input's number.
    pub input: u16,
    /// Where messages go.
    pub queue: Queue,
    /// What is counted.
    pub metrics: CollectorMetrics,
    /// Becomes true when it shall end.
    pub stopping: watch::Receiver<bool>,
}

/// Why a listener can't be started.
#[derive(Debug, thiserror::Error)]
pub enum ListenProblem {
    /// The system refuses the address.
    #[error("listening on {address}: {error}; is it in use, or does it need a privilege?")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The certificate, the key or the authority.
    #[error(transparent)]
    Tls(#[from] TlsProblem),
}

impl SyslogSocket {
    /// Opens a socket, and reads the files of TLS.
    pub fn open(transport: &SyslogTransport, address: SocketAddr) -> Result<SyslogSocket, ListenProblem> {
        let refused = |error| ListenProblem::Address { address, error };
        let acceptor = match transport {
            SyslogTransport::Udp => {
                let socket = bind(address).map_err(refused)?;
                return Ok(SyslogSocket(Opened::Datagrams(socket)));
            }
            SyslogTransport::Tcp => None,
            SyslogTransport::Tls(files) => Some(files.acceptor(&[])?),
        };
        let socket = std::net::TcpListener::bind(address).map_err(refused)?;
        socket.set_nonblocking(true).map_err(refused)?;
        Ok(SyslogSocket(Opened::Streams(socket, acceptor)))
    }
}

impl SyslogListener {
    /// Begins to read, on the runtime that the caller has entered. Gives where it listens; the port is the one that it
    /// got where 0 was asked for.
    pub fn start(self) -> io::Result<SocketAddr> {
        let SyslogListener {
            socket,
            input,
            queue,
            metrics,
            stopping,
        } = self;
        let outlet = Outlet { input, queue, metrics };
        match socket.0 {
            Opened::Datagrams(socket) => datagrams::start(socket, outlet, stopping),
            Opened::Streams(socket, acceptor) => streams::start(socket, acceptor, outlet, stopping),
        }
    }
}

/// Where the messages of a listener go.
#[derive(Clone)]
struct Outlet {
    input: u16,
    queue: Queue,
    metrics: CollectorMetrics,
}

impl Outlet {
    fn refused(&self, reason: &'static str, count: u64) {
        self.metrics.refused(Origin::Syslog, reason).inc_by(count);
    }

    /// Hands on what has gathered.
    async fn hand_on(&self, lines: &mut Lines) -> Result<(), Gone> {
        let Lines {
            bytes,
            messages,
            cut,
            halves,
        } = std::mem::take(lines);
        self.metrics.messages(Origin::Syslog).inc_by(messages);
        self.refused("message_cut", cut);
        self.refused("message_half", halves);
        if bytes.is_empty() {
            return Ok(());
        }
        let delivery = Delivery {
            input: self.input,
            origin: Origin::Syslog,
            received: now(),
            content: Content::Lines(bytes),
            position: None,
            receipt: None,
        };
        self.queue.send(delivery).await
    }
}
