//! Collectors: what goes on arriving. Each hands whole records to one bounded queue and stops within a second when it
//! is told to; when the queue is full it waits, so that a slow engine slows its sources and not the memory.

mod datagrams;
mod exports;
mod file;
mod interface;
mod journal;
#[cfg(feature = "kafka")]
mod kafka;
mod lines;
mod rotated;
mod stdin;
mod syslog;

pub use exports::{ExportListener, ExportSocket};
pub use file::{FileCollector, FilePattern, FileProgress, PatternProblem, Places};
pub use interface::{Interface, InterfaceFailure, InterfaceSettings, Loss};
pub use journal::JournalCollector;
#[cfg(feature = "kafka")]
pub use kafka::{KafkaCollector, KafkaSource, RecordCheck, Tolerance, add_lines};
pub use stdin::StdinCollector;
pub use syslog::{ListenProblem, SyslogListener, SyslogSocket, SyslogTransport};

use crate::domain::{Datagram, Event, Timestamp};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Deliveries that wait at once; with [`PIECE_BYTES`] for each, 16 MB.
pub const QUEUE_DELIVERIES_MAX: usize = 256;
/// Bytes of lines that one delivery holds, but for a single longer line.
pub const PIECE_BYTES: usize = 64 * 1024;
/// The longest line that is collected whole.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// What kind of collector something came from: a metric's label, and what its lines are where that is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A followed file.
    File,
    /// Standard input.
    Stdin,
    /// The system journal.
    Journal,
    /// A syslog listener.
    Syslog,
    /// Pushed over HTTP.
    Http,
    /// A listener for NetFlow, IPFIX or sFlow.
    Netflow,
    /// A network interface.
    Interface,
    /// A topic of Kafka.
    Kafka,
}

impl Origin {
    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::File => "file",
            Origin::Stdin => "stdin",
            Origin::Journal => "journal",
            Origin::Syslog => "syslog",
            Origin::Http => "http",
            Origin::Netflow => "netflow",
            Origin::Interface => "interface",
            Origin::Kafka => "kafka",
        }
    }
}

/// Something that was collected.
#[derive(Debug)]
pub struct Delivery {
    /// The input's number.
    pub input: u16,
    /// Where it came from.
    pub origin: Origin,
    /// When it came, by the clock.
    pub received: Timestamp,
    /// What came.
    pub content: Content,
    /// Where the input goes on behind it, in the collector's own form. Kept with it.
    pub position: Option<Vec<u8>>,
    /// Who waits until it is durable.
    pub receipt: Option<Receipt>,
}

impl Delivery {
    /// Whether more of an input is known to be there.
    pub fn of_behind(input: u16, origin: Origin, is_behind: bool) -> Delivery {
        Delivery {
            input,
            origin,
            received: now(),
            content: Content::Behind(is_behind),
            position: None,
            receipt: None,
        }
    }
}

/// What was collected.
#[derive(Debug)]
pub enum Content {
    /// Whole lines, each with its line end.
    Lines(Vec<u8>),
    /// Events that were decoded where they were collected.
    Events {
        /// The input's own time behind them.
        known_at: Timestamp,
        /// The events, each with the input's own time when it came out of its decoder.
        events: Vec<(Timestamp, Event)>,
    },
    /// Datagrams that tell of flows.
    Datagrams(Vec<Datagram>),
    /// Whether more of this input is known to be there: the others' time waits for it.
    Behind(bool),
    /// Nothing that can be judged, up to the position.
    Nothing,
}

/// Told when a delivery is durable. Dropped without a word, it was not kept.
#[derive(Debug)]
pub struct Receipt(oneshot::Sender<()>);

impl Receipt {
    /// A receipt, and what waits for it.
    pub fn new() -> (Receipt, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Receipt(sender), receiver)
    }

    /// The delivery is durable.
    pub fn give(self) {
        // Who has stopped waiting has no use for it.
        let _ = self.0.send(());
    }
}

/// The collectors' end of the queue.
#[derive(Clone, Debug)]
pub struct Queue(mpsc::Sender<Delivery>);

/// Room for one delivery.
#[derive(Debug)]
pub struct Place<'a>(mpsc::Permit<'a, Delivery>);

impl Place<'_> {
    /// Delivers at once.
    pub fn deliver(self, delivery: Delivery) {
        self.0.send(delivery);
    }
}

/// The core's end of the queue.
#[derive(Debug)]
pub struct Deliveries(mpsc::Receiver<Delivery>);

/// The other end has gone: there is nothing left to collect for.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

/// What waiting for a delivery came to.
#[derive(Debug)]
pub enum Waited {
    /// Something came.
    Delivery(Delivery),
    /// Nothing came in time.
    Nothing,
    /// Every collector has gone.
    Ended,
}

/// A queue and its end.
pub fn queue() -> (Queue, Deliveries) {
    let (sender, receiver) = mpsc::channel(QUEUE_DELIVERIES_MAX);
    (Queue(sender), Deliveries(receiver))
}

impl Queue {
    /// Waits until there is room. For threads.
    pub fn deliver(&self, delivery: Delivery) -> Result<(), Gone> {
        self.0.blocking_send(delivery).map_err(|_| Gone)
    }

    /// Waits until there is room. For tasks.
    pub async fn send(&self, delivery: Delivery) -> Result<(), Gone> {
        self.0.send(delivery).await.map_err(|_| Gone)
    }

    /// Waits until there is room, and keeps it. For tasks that must say in which order deliveries go.
    pub async fn reserve(&self) -> Result<Place<'_>, Gone> {
        self.0.reserve().await.map(Place).map_err(|_| Gone)
    }

    /// How many deliveries wait.
    pub fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }
}

impl Deliveries {
    /// Waits for the next delivery on a thread that is not the runtime's.
    pub fn wait(&mut self, runtime: &Handle, most: Duration) -> Waited {
        if let Ok(delivery) = self.0.try_recv() {
            return Waited::Delivery(delivery);
        }
        match runtime.block_on(async { tokio::time::timeout(most, self.0.recv()).await }) {
            Ok(Some(delivery)) => Waited::Delivery(delivery),
            Ok(None) => Waited::Ended,
            Err(_) => Waited::Nothing,
        }
    }

    /// How many deliveries wait.
    pub fn waiting(&self) -> usize {
        self.0.len()
    }

    /// The next delivery if one is there.
    pub fn take_waiting(&mut self) -> Option<Delivery> {
        self.0.try_recv().ok()
    }
}

/// The clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
