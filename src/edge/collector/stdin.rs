//! Standard input: a message a line. Its end ends this collector and nothing else.

use super::lines::Cutter;
use super::{Content, Delivery, Gone, Origin, PIECE_BYTES, Queue, now};
use crate::edge::source::{Piped, Stop};
use crate::edge::telemetry::CollectorMetrics;
use std::io::{self, Read};

/// Reads standard input.
#[derive(Debug)]
pub struct StdinCollector {
    input: u16,
    queue: Queue,
    metrics: CollectorMetrics,
    stop: Stop,
}

impl StdinCollector {
    /// A collector that hands lines to `queue` until it is told to stop.
    pub fn new(input: u16, queue: Queue, metrics: CollectorMetrics, stop: Stop) -> StdinCollector {
        StdinCollector {
            input,
            queue,
            metrics,
            stop,
        }
    }

    /// Reads to the end.
    pub fn run(self) {
        let opened = Piped::start(|| Ok(Box::new(io::stdin())), self.stop.clone());
        let read = opened.and_then(|input| self.read(input));
        match read {
            Ok(()) => tracing::info!("standard input has ended"),
            Err(error) => tracing::error!(%error, "standard input can't be read any more"),
        }
    }

    fn read(&self, mut input: impl Read) -> io::Result<()> {
        let mut cutter = Cutter::default();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = input.read(&mut piece)?;
            let lines = match count {
                0 => cutter.finish(),
                _ => cutter.take(piece.get(..count).unwrap_or_default()),
            };
            let over = cutter.take_over();
            self.metrics.refused(Origin::Stdin, "too_long").inc_by(over);
            // When nobody takes what comes, there is nothing left to read for.
            if self.hand_on(lines).is_err() || count == 0 {
                return Ok(());
            }
        }
    }

    fn hand_on(&self, lines: Vec<u8>) -> Result<(), Gone> {
        if lines.is_empty() {
            return Ok(());
        }
        let messages = memchr::memchr_iter(b'\n', &lines).count() as u64;
        self.metrics.messages(Origin::Stdin).inc_by(messages);
        self.queue.deliver(Delivery {
            input: self.input,
            origin: Origin::Stdin,
            received: now(),
            content: Content::Lines(lines),
            position: None,
            receipt: None,
        })
    }
}
