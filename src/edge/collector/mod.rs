//! Collectors: what goes on arriving. Each hands whole records to one bounded queue and stops within a second when it
//! is told to; when the queue is full it waits, so that a slow engine slows its sources and not the memory.

mod file;

pub use file::{FileCollector, FilePattern, FileProgress, PatternProblem, Places};

use crate::domain::Timestamp;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Deliveries that wait at once; with [`PIECE_BYTES`] for each, 16 MB.
const QUEUE_DELIVERIES_MAX: usize = 256;
/// Bytes of lines that one delivery holds, but for a single longer line.
pub const PIECE_BYTES: usize = 64 * 1024;

/// Something that was collected.
#[derive(Debug)]
pub struct Delivery {
    /// The input's number.
    pub input: u16,
    /// When it came, by the clock.
    pub received: Timestamp,
    /// Whole lines, each with its line end.
    pub lines: Vec<u8>,
    /// Where the input goes on behind them, in the collector's own form. Kept with them.
    pub position: Option<Vec<u8>>,
}

/// The collectors' end of the queue.
#[derive(Clone, Debug)]
pub struct Queue(SyncSender<Delivery>);

/// The other end has gone: there is nothing left to collect for.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

/// A queue and its end.
pub fn queue() -> (Queue, Receiver<Delivery>) {
    let (sender, receiver) = sync_channel(QUEUE_DELIVERIES_MAX);
    (Queue(sender), receiver)
}

impl Queue {
    /// Waits until there is room.
    pub fn deliver(&self, delivery: Delivery) -> Result<(), Gone> {
        self.0.send(delivery).map_err(|_| Gone)
    }
}

/// The clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
